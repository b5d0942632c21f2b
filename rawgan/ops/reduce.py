"""Reductions and their opposite, broadcasting.

`axis` is None (all), a number, or a tuple of numbers; `keepdims` keeps the reduced axes with
length 1. The public functions put these into one form; the operations take only that form:
a sorted tuple of axes, always kept, so that the rules need no reshaping.
"""

from __future__ import annotations

import math

import numpy as np

from rawgan import arrays, kernels
from rawgan.engine import op
from rawgan.kernels.errors import ConfigError, ShapeError
from rawgan.ops.arithmetic import indicator, raw
from rawgan.ops.shape import as_input, reshape, whole_numbers
from rawgan.settings import is_number


def axes_of(name, axis, ndim):
    """`axis` as a sorted tuple of non-negative numbers, or a ShapeError naming the operation."""
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, tuple | list) else (axis,)
    out = set()
    for a in given:
        (a,) = whole_numbers(name, "axis", (a,))
        if not -ndim <= a < ndim:
            raise ShapeError(f"{name}: axis {a!r} does not exist in an array of {ndim} dimensions")
        out.add(a % ndim)
    if len(out) != len(given):
        raise ShapeError(f"{name}: axis {axis} names an axis twice")
    return tuple(sorted(out))


def _reduced(name, operation, x, axis, keepdims, **attrs):
    x = as_input(x)
    if not isinstance(keepdims, (int, np.bool_)):
        raise ConfigError(f"{name}: keepdims is True or False, got {keepdims!r}")
    axes = axes_of(name, axis, len(x.shape))
    whole = len(axes) == len(x.shape)  # a gradient without axes broadcasts; any other keeps them until here
    y = operation(x, axis=axes, keepdims=bool(keepdims) or not whole, **attrs)
    if keepdims or whole or not axes:
        return y
    return reshape(y, tuple(n for a, n in enumerate(y.shape) if a not in axes))


def _count(shape, axis):
    return math.prod(shape[a] for a in axis)


@op("sum")
def _sum(xp, x, *, axis, keepdims=True):
    """Σ x over the axes."""
    return xp.sum(x, axis=axis, keepdims=keepdims)


@_sum.rule("x", formula="x̄ = ȳ, repeated over the axes")
def sum_x(gy, x_shape):
    return broadcast_to(gy, x_shape)


def sum(x, axis=None, keepdims=False):
    """Sum over axes.

    >>> sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    array([4., 6.], dtype=float32)
    """
    return _reduced("sum", _sum, x, axis, keepdims)


@op("mean")
def _mean(xp, x, *, axis, keepdims=True):
    """Σ x / n over the axes."""
    return xp.mean(x, axis=axis, keepdims=keepdims)


@_mean.rule("x", formula="x̄ = ȳ / n, repeated over the axes")
def mean_x(gy, x_shape, axis):
    return broadcast_to(gy / max_(_count(x_shape, axis), 1), x_shape)


max_ = max  # Python's own, as `max` below is the reduction


def mean(x, axis=None, keepdims=False):
    """Arithmetic mean over axes; ShapeError if there is nothing to average."""
    _refuse_empty("mean", x, axis)
    return _reduced("mean", _mean, x, axis, keepdims)


@op("channel_sum")
def channel_sum(xp, x):
    """Σ x over all axes but 1, of x (N, C) or (N, C, H, W): a bias's gradient."""
    return kernels.channel_sum(x)


@channel_sum.rule("x", formula="x̄ = ȳ, repeated over all axes but 1")
def channel_sum_x(gy, x_shape):
    return broadcast_to(reshape(gy, (1, x_shape[1], *[1] * (len(x_shape) - 2))), x_shape)


@op("var")
def _var(xp, x, *, axis, ddof, keepdims=True):
    """Σ (x − mean x)² / (n − ddof) over the axes."""
    d = x - xp.mean(x, axis=axis, keepdims=True)
    return xp.sum(d * d, axis=axis, keepdims=keepdims) / (_count(x.shape, axis) - ddof)


@_var.rule("x", formula="x̄ = ȳ ⊙ 2(x − mean x) / (n − ddof)")
def var_x(gy, x, axis, ddof, x_shape):
    return gy * ((x - _mean(x, axis=axis)) * (2 / (_count(x_shape, axis) - ddof)))


def var(x, axis=None, keepdims=False, ddof=0):
    """Variance over axes: the biased one, or with ddof=1 the unbiased one."""
    count = _refuse_empty("var", x, axis)
    if not is_number(ddof):
        raise ConfigError(f"var: ddof is a number, got {ddof!r}")
    if count <= ddof:
        raise ShapeError(f"var: ddof={ddof} needs more than {ddof} values, got {count}")
    return _reduced("var", _var, x, axis, keepdims, ddof=ddof)


@op("max")
def _max(xp, x, *, axis, keepdims=True):
    """The largest value over the axes."""
    return xp.max(x, axis=axis, keepdims=keepdims)


@_max.rule("x", formula="x̄ = ȳ ⊙ [x = y] / (how many are largest)")
def max_x(gy, x, y, axis):
    x = raw(x)
    largest = indicator(x == raw(y), gy)
    return gy * (largest / arrays.namespace(x).sum(largest, axis=axis, keepdims=True))


def max(x, axis=None, keepdims=False):
    """Largest value over axes; equal ones share the gradient evenly."""
    _refuse_empty("max", x, axis)
    return _reduced("max", _max, x, axis, keepdims)


def _refuse_empty(name, x, axis):
    shape = as_input(x).shape
    count = _count(shape, axes_of(name, axis, len(shape)))
    if count == 0:
        raise ShapeError(f"{name}: nothing to reduce in an array of shape {shape} along axis {axis}")
    return count


@op("broadcast_to", view=True)
def _broadcast_to(xp, x, *, shape):
    """x repeated to a larger shape."""
    return xp.broadcast_to(x, shape)


@_broadcast_to.rule("x", formula="x̄ = Σ ȳ over the repeated axes")
def broadcast_to_x(gy, x_shape):
    return _sum_to(gy, shape=x_shape)


def broadcast_to(x, shape):
    """x repeated along new and length-1 axes; ShapeError if it does not fit."""
    x = as_input(x)
    shape = _whole_shape("broadcast_to", shape)
    if not _fits(x.shape, shape):
        raise ShapeError(f"broadcast_to: an array of shape {x.shape} does not broadcast to {shape}")
    return _broadcast_to(x, shape=shape)


def _whole_shape(name, shape):
    return whole_numbers(name, "the shape", shape if isinstance(shape, tuple | list) else (shape,))


def _fits(small, large):
    """Whether an array of shape `small` broadcasts to `large`."""
    pairs = zip(small[::-1], large[::-1], strict=False)
    return len(small) <= len(large) and all(n in (1, m) and m >= 0 for n, m in pairs)


@op("sum_to")
def _sum_to(xp, x, *, shape):
    """x summed down to a shape that broadcasts to x's: how the engine undoes broadcasting."""
    extra = len(x.shape) - len(shape)
    axes = tuple(a for a, n in enumerate(x.shape) if a < extra or (shape[a - extra] == 1 and n != 1))
    return xp.reshape(xp.sum(x, axis=axes, keepdims=True), shape)


@_sum_to.rule("x", formula="x̄ = ȳ, repeated to the shape of x")
def sum_to_x(gy, x_shape):
    return broadcast_to(gy, x_shape)


def sum_to(x, shape):
    """x summed down to a shape that broadcasts to x's; ShapeError if it does not.

    >>> sum_to([[1.0, 2.0], [3.0, 4.0]], (1, 2))
    array([[4., 6.]], dtype=float32)
    """
    x, shape = as_input(x), _whole_shape("sum_to", shape)
    if not _fits(shape, x.shape):
        raise ShapeError(f"sum_to: the shape {shape} does not broadcast to that of x, {x.shape}")
    return _sum_to(x, shape=shape)
