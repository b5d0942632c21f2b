"""Max pooling, which remembers where each maximum came from, and the two ways to use that memory."""

import numpy as np

from ..checks import conv_output_size, index_out_of_range


def max_pool2d(x, kernel_size, stride, padding=(0, 0)):
    """y[n,c,p,q] = max over a, b of x[n,c,s·p+a,t·q+b]; indices hold its flat position h·W + w.

    The first of equal maxima wins, the first NaN wins over everything, and places in the padding never win.
    """
    (kh, kw), (s, t), (ph, pw) = kernel_size, stride, padding
    n, c, h, w = x.shape
    p, q = conv_output_size(h, kh, s, ph), conv_output_size(w, kw, t, pw)
    y = np.full((n, c, p, q), -np.inf, x.dtype)
    indices = np.full((n, c, p, q), -1, np.int32)
    for a in range(kh):
        for b in range(kw):
            rows = np.arange(p) * s - ph + a
            columns = np.arange(q) * t - pw + b
            inside = ((rows >= 0) & (rows < h))[:, None] & ((columns >= 0) & (columns < w))
            seen = x[:, :, rows.clip(0, h - 1)[:, None], columns.clip(0, w - 1)]
            wins = inside & ((indices < 0) | (seen > y) | (np.isnan(seen) & ~np.isnan(y)))
            y = np.where(wins, seen, y)
            indices = np.where(wins, (rows[:, None] * w + columns).astype(np.int32), indices)
    return y, indices


def max_pool2d_gather(x, indices):
    """y[n,c,p,q] = x[n,c] at flat position indices[n,c,p,q]."""
    n, c, h, w = x.shape
    _inside("max_pool2d_gather", indices, (h, w))
    p, q = indices.shape[2:]
    flat = np.take_along_axis(x.reshape(n, c, h * w), indices.reshape(n, c, p * q), axis=2)
    return flat.reshape(n, c, p, q)


def max_pool2d_scatter(gy, indices, shape):
    """gx[n,c,k] = Σ gy[n,c,p,q] over the (p, q) whose index is k."""
    n, c, p, q = gy.shape
    h, w = shape
    _inside("max_pool2d_scatter", indices, shape)
    gx = np.zeros((n, c, h * w), gy.dtype)
    planes = np.arange(n)[:, None, None], np.arange(c)[:, None], indices.reshape(n, c, p * q)
    np.add.at(gx, planes, gy.reshape(n, c, p * q))
    return gx.reshape(n, c, h, w)


def _inside(kernel, indices, plane):
    if indices.size and not (indices.min() >= 0 and indices.max() < plane[0] * plane[1]):
        index_out_of_range(kernel, plane)
