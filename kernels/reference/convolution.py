"""Convolution and the two operations that differentiate it.

With x̂ the zero-padded x and strides (s, t), convolution is y[n,o,p,q] = Σ_{c,a,b} x̂[n,c,s·p+a,t·q+b] ·
w[o,c,a,b]: linear in x and in w. The sum Σ y·gy is therefore one trilinear form of (x, w, gy), and each of
the three functions here is that form with one of its arguments left open. So each one's gradients are the
other two.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..checks import conv_transpose_output_size


def _pad(x, padding):
    (p, q) = padding
    return np.pad(x, ((0, 0), (0, 0), (p, p), (q, q)))


def conv2d(x, weight, bias, stride=(1, 1), padding=(0, 0)):
    """y[n,o,p,q] = bias[o] + Σ_{c,a,b} x̂[n,c,s·p+a,t·q+b] · weight[o,c,a,b]."""
    s, t = stride
    windows = sliding_window_view(_pad(x, padding), weight.shape[2:], axis=(2, 3))[:, :, ::s, ::t]
    y = np.einsum("ncpqab,ocab->nopq", windows, weight, optimize=True)
    return y if bias is None else y + bias[:, None, None]


def conv_transpose2d(x, weight, bias, stride=(1, 1), padding=(0, 0), output_padding=(0, 0)):
    """ŷ[n,o,s·i+a,t·j+b] += Σ_c x[n,c,i,j] · weight[c,o,a,b]; y is ŷ less its padding, plus bias[o]."""
    s, t = stride
    n, _, h, w = x.shape
    _, o, kh, kw = weight.shape
    out_h = conv_transpose_output_size(h, kh, s, padding[0], output_padding[0])
    out_w = conv_transpose_output_size(w, kw, t, padding[1], output_padding[1])
    full = np.zeros((n, o, out_h + 2 * padding[0], out_w + 2 * padding[1]), x.dtype)
    for a in range(kh):
        for b in range(kw):
            full[:, :, a : a + s * (h - 1) + 1 : s, b : b + t * (w - 1) + 1 : t] += np.einsum(
                "ncij,co->noij", x, weight[:, :, a, b], optimize=True
            )
    y = full[:, :, padding[0] : padding[0] + out_h, padding[1] : padding[1] + out_w].copy()
    return y if bias is None else y + bias[:, None, None]


def conv2d_weight_grad(x, gy, kernel_size, stride=(1, 1), padding=(0, 0)):
    """gw[o,c,a,b] = Σ_{n,p,q} x̂[n,c,s·p+a,t·q+b] · gy[n,o,p,q]."""
    s, t = stride
    _, o, p, q = gy.shape
    padded = _pad(x, padding)
    gw = np.empty((o, x.shape[1], *kernel_size), x.dtype)
    for a in range(kernel_size[0]):
        for b in range(kernel_size[1]):
            seen = padded[:, :, a : a + s * (p - 1) + 1 : s, b : b + t * (q - 1) + 1 : t]
            gw[:, :, a, b] = np.einsum("ncpq,nopq->oc", seen, gy, optimize=True)
    return gw
