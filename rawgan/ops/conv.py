"""Convolutions and pooling.

conv2d, conv_transpose2d and conv2d_weight_grad are the three partial maps of one trilinear
form Σ x·w·y, so each one's gradient rules are the other two, and gradients of gradients need
nothing new. The same holds for max pooling with its two halves, gather and scatter.
Shapes are (N, C, H, W); kernels sit in (out, in, kh, kw), for the transposed convolution in
(in, out, kh, kw).
"""

from __future__ import annotations

import operator

from rawgan import kernels
from rawgan.engine import op
from rawgan.kernels.checks import conv_output_size, conv_transpose_output_size
from rawgan.kernels.errors import ShapeError
from rawgan.ops.linear import same_dtype
from rawgan.ops.reduce import channel_sum
from rawgan.ops.shape import as_input

Pair = int | tuple[int, int]


def pair(name, what, value, least):
    """A number or a pair as a pair of whole numbers, each at least `least`."""
    try:
        values = tuple(map(operator.index, value if isinstance(value, tuple | list) else (value, value)))
    except TypeError:
        values = ()
    if len(values) != 2 or min(values) < least:
        raise ShapeError(f"{name}: {what} is a whole number ≥ {least} or a pair of them, got {value!r}")
    return values


def _spare(size, kernel, stride, padding):
    """Rows and columns at the end that a strided convolution never reaches."""
    return tuple((n + 2 * p - k) % s for n, k, s, p in zip(size, kernel, stride, padding, strict=True))


def _check(name, x, weight, bias, in_axis):
    same_dtype(name, x=x, weight=weight, bias=bias)
    layout = "(out, in, kh, kw)" if in_axis else "(in, out, kh, kw)"
    if len(x.shape) != 4 or len(weight.shape) != 4 or x.shape[1] != weight.shape[in_axis]:
        raise ShapeError(
            f"{name}: x of shape {x.shape} does not fit a weight of shape {weight.shape}: "
            f"x takes (N, C, H, W), the weight {layout} with in = C"
        )
    if 0 in weight.shape[2:]:
        raise ShapeError(f"{name}: the kernel of weight {weight.shape} is empty")
    out = weight.shape[1 - in_axis]
    if bias is not None and tuple(bias.shape) != (out,):
        raise ShapeError(f"{name}: bias of shape {bias.shape} does not fit {out} output channels")


@op("conv2d")
def _conv2d(xp, x, weight, bias=None, *, stride, padding):
    """y[n,o,p,q] = Σ x[n, c, s·p + i − pad, s·q + j − pad] · w[o,c,i,j] + b[o]."""
    return kernels.conv2d(x, weight, bias, stride, padding)


@_conv2d.rule("x", formula="x̄ = convT(ȳ, w)")
def conv2d_x(gy, weight, x_shape, stride, padding):
    spare = _spare(x_shape[2:], weight.shape[2:], stride, padding)
    return _conv_transpose2d(gy, weight, None, stride=stride, padding=padding, output_padding=spare)


@_conv2d.rule("weight", formula="w̄ = Σₙ x ⋆ ȳ", new=True)
def conv2d_weight(gy, x, weight_shape, stride, padding):
    return _conv2d_weight_grad(x, gy, kernel_size=weight_shape[2:], stride=stride, padding=padding)


@_conv2d.rule("bias", formula="b̄ = Σ ȳ over all but channels")
def conv2d_bias(gy):
    return channel_sum(gy)


def conv2d(x, weight, bias=None, stride: Pair = 1, padding: Pair = 0):
    """Cross-correlation, as every deep-learning library calls convolution.

    x (N, C, H, W), weight (O, C, kh, kw), bias (O,) or None;
    returns (N, O, ⌊(H + 2·pad − kh) / stride⌋ + 1, likewise W).
    """
    x, weight, bias = as_input(x), as_input(weight), as_input(bias, True)
    stride, padding = pair("conv2d", "stride", stride, 1), pair("conv2d", "padding", padding, 0)
    _check("conv2d", x, weight, bias, 1)
    for n, k, p in zip(x.shape[2:], weight.shape[2:], padding, strict=True):
        if n + 2 * p < k:
            raise ShapeError(
                f"conv2d: a kernel of {weight.shape[2:]} is larger than the picture {x.shape[2:]} "
                f"with padding {padding}"
            )
    return _conv2d(x, weight, bias, stride=stride, padding=padding)


@op("conv_transpose2d")
def _conv_transpose2d(xp, x, weight, bias=None, *, stride, padding, output_padding):
    """The adjoint of conv2d in x: y[n, o, s·p + i − pad, s·q + j − pad] += x[n,c,p,q] · w[c,o,i,j]."""
    return kernels.conv_transpose2d(x, weight, bias, stride, padding, output_padding)


@_conv_transpose2d.rule("x", formula="x̄ = conv(ȳ, w)")
def conv_transpose2d_x(gy, weight, stride, padding):
    return _conv2d(gy, weight, None, stride=stride, padding=padding)


@_conv_transpose2d.rule("weight", formula="w̄ = Σₙ ȳ ⋆ x", new=True)
def conv_transpose2d_weight(gy, x, weight_shape, stride, padding):
    return _conv2d_weight_grad(gy, x, kernel_size=weight_shape[2:], stride=stride, padding=padding)


@_conv_transpose2d.rule("bias", formula="b̄ = Σ ȳ over all but channels")
def conv_transpose2d_bias(gy):
    return channel_sum(gy)


def conv_transpose2d(x, weight, bias=None, stride: Pair = 1, padding: Pair = 0, output_padding: Pair = 0):
    """Transposed convolution: conv2d's gradient with respect to its picture, used forwards.

    x (N, I, H, W), weight (I, O, kh, kw), bias (O,) or None;
    returns (N, O, (H − 1)·stride − 2·pad + kh + output_padding, likewise W).
    """
    name = "conv_transpose2d"
    x, weight, bias = as_input(x), as_input(weight), as_input(bias, True)
    stride, padding = pair(name, "stride", stride, 1), pair(name, "padding", padding, 0)
    extra = pair(name, "output_padding", output_padding, 0)
    _check(name, x, weight, bias, 0)
    if any(e >= s for e, s in zip(extra, stride, strict=True)):
        raise ShapeError(f"{name}: output_padding {extra} must be smaller than the stride {stride}")
    sizes = zip(x.shape[2:], weight.shape[2:], stride, padding, extra, strict=True)
    size = tuple(conv_transpose_output_size(*each) for each in sizes)
    if min(size) < 1:
        raise ShapeError(f"{name}: a picture of {x.shape[2:]} would become {size} with padding {padding}")
    return _conv_transpose2d(x, weight, bias, stride=stride, padding=padding, output_padding=extra)


@op("conv2d_weight_grad")
def _conv2d_weight_grad(xp, x, gy, *, kernel_size, stride, padding):
    """The adjoint of conv2d in w: g[o,c,i,j] = Σ x[n, c, s·p + i − pad, s·q + j − pad] · ȳ[n,o,p,q]."""
    return kernels.conv2d_weight_grad(x, gy, kernel_size, stride, padding)


@_conv2d_weight_grad.rule("x", formula="x̄ = convT(ȳ, ḡ)")
def conv2d_weight_grad_x(gw, gy, x_shape, kernel_size, stride, padding):
    spare = _spare(x_shape[2:], kernel_size, stride, padding)
    return _conv_transpose2d(gy, gw, None, stride=stride, padding=padding, output_padding=spare)


@_conv2d_weight_grad.rule("gy", formula="ȳ̄ = conv(x, ḡ)")
def conv2d_weight_grad_gy(gw, x, stride, padding):
    return _conv2d(x, gw, None, stride=stride, padding=padding)


def conv2d_weight_grad(x, gy, kernel_size, stride: Pair = 1, padding: Pair = 0):
    """What conv2d's weight gets when its output gets gy.

    x (N, C, H, W), gy (N, O, P, Q) of the size that conv2d gives -> (O, C, kh, kw).
    """
    name = "conv2d_weight_grad"
    x, gy = as_input(x), as_input(gy)
    kernel = pair(name, "kernel_size", kernel_size, 1)
    stride, padding = pair(name, "stride", stride, 1), pair(name, "padding", padding, 0)
    same_dtype(name, x=x, gy=gy)
    if len(x.shape) == 4:
        sizes = zip(x.shape[2:], kernel, stride, padding, strict=True)
        size = tuple(conv_output_size(*each) for each in sizes)
    if len(x.shape) != 4 or len(gy.shape) != 4 or gy.shape[0] != x.shape[0] or gy.shape[2:] != size:
        raise ShapeError(
            f"{name}: gy of shape {gy.shape} is not what conv2d gives for x of shape {x.shape}, "
            f"kernel {kernel}, stride {stride}, padding {padding}"
        )
    return _conv2d_weight_grad(x, gy, kernel_size=kernel, stride=stride, padding=padding)


@op("max_pool2d", keeps=("indices",))
def _max_pool2d(xp, x, *, kernel_size, stride, padding):
    """The largest value of each window; the first one wins a tie."""
    return kernels.max_pool2d(x, kernel_size, stride, padding)


@_max_pool2d.rule("x", formula="x̄ = ȳ, put where the largest values were")
def max_pool2d_x(gy, indices, x_shape):
    return max_pool2d_scatter(gy, indices=indices, shape=x_shape[2:])


@op("max_pool2d_scatter")
def max_pool2d_scatter(xp, gy, *, indices, shape):
    """ȳ added into planes of zeros at the indices."""
    return kernels.max_pool2d_scatter(gy, indices, shape)


@max_pool2d_scatter.rule("gy", formula="ḡ = x̄ at the indices")
def max_pool2d_scatter_gy(gx, indices):
    return max_pool2d_gather(gx, indices=indices)


@op("max_pool2d_gather")
def max_pool2d_gather(xp, x, *, indices):
    """The values of each plane at the indices."""
    return kernels.max_pool2d_gather(x, indices)


@max_pool2d_gather.rule("x", formula="x̄ = ȳ, added at the indices")
def max_pool2d_gather_x(gy, indices, x_shape):
    return max_pool2d_scatter(gy, indices=indices, shape=x_shape[2:])


def max_pool2d(x, kernel_size, stride=None, padding=0):
    """The largest value of each window of (N, C, H, W); stride defaults to the kernel size."""
    name = "max_pool2d"
    x = as_input(x)
    same_dtype(name, x=x)
    kernel = pair(name, "kernel_size", kernel_size, 1)
    stride = kernel if stride is None else pair(name, "stride", stride, 1)
    padding = pair(name, "padding", padding, 0)
    if len(x.shape) != 4:
        raise ShapeError(f"{name}: takes (N, C, H, W), got shape {x.shape}")
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ShapeError(f"{name}: padding {padding} must be at most half of the kernel {kernel}")
    if any(n + 2 * p < k for n, k, p in zip(x.shape[2:], kernel, padding, strict=True)):
        raise ShapeError(f"{name}: a window of {kernel} does not fit a picture of {x.shape[2:]}")
    return _max_pool2d(x, kernel_size=kernel, stride=stride, padding=padding)
