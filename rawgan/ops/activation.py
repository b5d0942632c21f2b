"""Activations: what stands between the layers of a network."""

from __future__ import annotations

from rawgan import arrays, kernels
from rawgan.engine import op
from rawgan.kernels.errors import ShapeError
from rawgan.ops.arithmetic import exp, indicator, raw
from rawgan.ops.reduce import axes_of, broadcast_to
from rawgan.ops.reduce import sum as sum_
from rawgan.ops.shape import as_input, reshape, whole_numbers
from rawgan.settings import number


def _array(gy, y):
    """A gradient as an array: NumPy makes scalars of arrays without axes."""
    return gy if type(gy) is type(y) else arrays.namespace(y).asarray(gy)


@op("tanh")
def tanh(xp, x):
    """Hyperbolic tangent: values in (−1, 1)."""
    return kernels.tanh(x)


@tanh.rule("x", formula="x̄ = ȳ ⊙ (1 − y²)")
def tanh_x(gy, y):
    return gy * (1 - y * y)


@tanh.fuse
def tanh_fused(gy, wanted, y):
    return (kernels.tanh_grad(_array(gy, y), y),)


@op("sigmoid")
def sigmoid(xp, x):
    """σ(x) = 1 / (1 + e^−x): values in (0, 1); never overflows."""
    return kernels.sigmoid(x)


@sigmoid.rule("x", formula="x̄ = ȳ ⊙ y ⊙ (1 − y)")
def sigmoid_x(gy, y):
    return gy * y * (1 - y)


@sigmoid.fuse
def sigmoid_fused(gy, wanted, y):
    return (kernels.sigmoid_grad(_array(gy, y), y),)


@op("softplus")
def softplus(xp, x):
    """log(1 + e^x), a smooth ReLU; never overflows."""
    return xp.maximum(x, xp.zeros_like(x)) + xp.log1p(xp.exp(-xp.abs(x)))


@softplus.rule("x", formula="x̄ = ȳ ⊙ σ(x)")
def softplus_x(gy, x):
    return gy * sigmoid(x)


@op("leaky_relu")
def _leaky_relu(xp, x, *, negative_slope):
    """x where x > 0, else negative_slope · x."""
    return kernels.leaky_relu(x, negative_slope)


@_leaky_relu.rule("x", formula="x̄ = ȳ ⊙ (1 where y > 0, else slope)")
def leaky_relu_x(gy, y, negative_slope):
    return leaky_relu_grad(gy, y=raw(y), negative_slope=negative_slope)


def leaky_relu(x, negative_slope=0.2):
    """x where x > 0, else negative_slope · x (Maas et al. 2013); the slope at 0 is `negative_slope`.

    >>> leaky_relu([-1.0, 2.0], 0.5)
    array([-0.5,  2. ], dtype=float32)
    """
    return _leaky_relu(as_input(x), negative_slope=number("leaky_relu: negative_slope", negative_slope, 0.0))


@op("relu")
def relu(xp, x):
    """x where x > 0, else 0; its slope at 0 is taken as 0."""
    return kernels.leaky_relu(x, 0.0)


@relu.rule("x", formula="x̄ = ȳ ⊙ [y > 0]")
def relu_x(gy, y):
    return leaky_relu_grad(gy, y=raw(y), negative_slope=0.0)


@op("leaky_relu_grad")
def leaky_relu_grad(xp, gy, *, y, negative_slope):
    """ȳ ⊙ (1 where y > 0, else slope): linear in ȳ, so it is its own gradient rule."""
    return kernels.leaky_relu_grad(gy, y, negative_slope)


@leaky_relu_grad.rule("gy", formula="ḡ = x̄ ⊙ (1 where y > 0, else slope)")
def leaky_relu_grad_gy(gx, y, negative_slope):
    return leaky_relu_grad(gx, y=y, negative_slope=negative_slope)


@op("maxout")
def _maxout(xp, x, *, pieces, axis):
    """The largest of each group of `pieces` neighbours along the axis."""
    return xp.max(_grouped(xp, x, pieces, axis), axis=axis + 1)


def _grouped(xp, x, pieces, axis):
    n = x.shape[axis]
    return xp.reshape(x, (*x.shape[:axis], n // pieces, pieces, *x.shape[axis + 1 :]))


@_maxout.rule("x", formula="x̄ = ȳ ⊙ [x = y] / (how many are largest), by group")
def maxout_x(gy, x, y, pieces, axis):
    values = raw(x)
    xp = arrays.namespace(values)
    groups = _grouped(xp, values, pieces, axis)
    largest = indicator(groups == xp.expand_dims(raw(y), axis=axis + 1), gy)
    largest = largest / xp.sum(largest, axis=axis + 1, keepdims=True)
    shape = (*y.shape[: axis + 1], 1, *y.shape[axis + 1 :])
    return reshape(broadcast_to(reshape(gy, shape), groups.shape) * largest, x.shape)


def maxout(x, pieces, axis=1):
    """The largest of each group of `pieces` neighbouring features (Goodfellow et al. 2013).

    x: (N, features, ...); the result has features / pieces of them. Equal ones share the gradient.
    """
    x = as_input(x)
    (axis,) = axes_of("maxout", axis, len(x.shape))
    (pieces,) = whole_numbers("maxout", "pieces", (pieces,))
    if pieces < 1 or x.shape[axis] % pieces:
        raise ShapeError(f"maxout: {x.shape[axis]} features do not divide into groups of {pieces}")
    return _maxout(x, pieces=pieces, axis=axis)


@op("log_softmax")
def _log_softmax(xp, x, *, axis):
    """x − log Σ e^x along the axis; never overflows."""
    return _along(kernels.log_softmax, axis, x)


def _along(kernel, axis, *values):
    """A kernel of the last axis along another one."""
    xp = arrays.namespace(values[-1])
    last = [xp.moveaxis(x, axis, -1) for x in values]
    return xp.moveaxis(kernel(*last), -1, axis)


@_log_softmax.rule("x", formula="x̄ = ȳ − e^y ⊙ Σ ȳ")
def log_softmax_x(gy, y, axis):
    return gy - exp(y) * sum_(gy, axis=axis, keepdims=True)


@_log_softmax.fuse
def log_softmax_fused(gy, wanted, y, axis):
    return (_along(kernels.log_softmax_grad, axis, _array(gy, y), y),)


def log_softmax(x, axis=-1):
    """Logarithms of the softmax probabilities along an axis."""
    x = as_input(x)
    (axis,) = axes_of("log_softmax", axis, len(x.shape))
    if x.shape[axis] == 0:
        raise ShapeError(f"log_softmax: axis {axis} of shape {x.shape} is empty")
    return _log_softmax(x, axis=axis)
