"""Samples of the operations that take each element by itself."""

from __future__ import annotations

import numpy as np
from drawing import Case, Choices, sample

from rawgan import ops
from rawgan.rng import Generator


def _binary(c, name, left, right):
    """Two arrays, or an array and a number on either side."""
    kind = c.integer(0, 4)
    if kind == 0:
        operands = [left(c.shape()), 0.75]
    elif kind == 1:
        operands = [1.25, right(c.shape())]
    else:
        one, two = c.pair()
        operands = [left(one), right(two)]
    function = getattr(ops, name)
    case = Case(name, operands)
    case.public = lambda *xs: function(*case.arguments(*xs))
    return case


for _name in ("add", "subtract", "multiply"):
    sample(_name)(lambda c, name: _binary(c, name, c.smooth, c.smooth))


@sample("divide")
def _divide(c, name):
    return _binary(c, name, c.smooth, lambda s: c.positive(s) * c.pick([-1, 1]))


@sample("maximum")
@sample("minimum")
def _extreme(c, name):
    return _binary(c, name, lambda s: c.grid(s, 0.0), lambda s: c.grid(s, 0.1))


@sample("power")
def _power(c, name):
    kind = c.integer(0, 3)
    if kind == 0:
        return _binary(c, name, c.positive, c.smooth)
    if kind == 1:
        return Case(name, [c.positive(c.shape()), c.pick([2, 3.0, -1, 0.5, 0, 1, -2.0])])
    if kind == 2:
        return Case(name, [c.away(c.shape(), 0.0, 0.1, -0.1, 0.2, -0.2), c.pick([2, 3, -1])])
    shape = c.shape()
    whole = c.rng.integers(-2, 4, shape).astype(float)
    base = np.where(c.rng.random(shape) < 0.5, -1, 1) * c.rng.uniform(0.5, 2, shape)
    return Case(name, [c.layout(base), whole], places=(0,))


def _unary(name, values, **traits):
    @sample(name, **traits)
    def draw(c, name):
        function = getattr(ops, name)
        return Case(name, [values(c, c.shape())], public=lambda x: function(x))


_unary("negate", Choices.smooth)
_unary("exp", Choices.smooth)
_unary("log", Choices.positive)
_unary("sqrt", Choices.positive)
_unary("tanh", Choices.smooth, kernel=True)
_unary("abs", lambda c, s: c.away(s, 0.0), analytic=False)  # |x| is not analytic
_unary("sigmoid", lambda c, s: 2 * c.away(s, 0.0), kernel=True)
_unary("softplus", lambda c, s: 2 * c.away(s, 0.0), kernel=True)
_unary("relu", lambda c, s: c.away(s, 0.0), kernel=True)


@sample("clip")
def _clip(c, name):
    low, high = c.pick([(-0.7, 0.9), (None, 0.5), (-0.5, None), (0.2, 0.2)])
    x = c.away(c.shape(), *(k for k in (low, high) if k is not None))
    return Case(name, [x], {"low": low, "high": high}, lambda x: ops.clip(x, low, high))


@sample("astype", analytic=False)  # the value rule would make complex numbers real
def _astype(c, name):
    return Case(name, [c.smooth(c.shape())], {"dtype": np.dtype("float64")})


@sample("to_device")
def _to_device(c, name):
    return Case(name, [c.smooth(c.shape())], {"device": "cpu"})


@sample("leaky_relu", kernel=True)
def _leaky_relu(c, name):
    slope = c.pick([0.2, 0.0, 1.5])
    return Case(
        name,
        [c.away(c.shape(), 0.0)],
        {"negative_slope": slope},
        lambda x: ops.leaky_relu(x, negative_slope=slope),
    )


@sample("leaky_relu_grad", kernel=True)
def _leaky_relu_grad(c, name):
    shape = c.shape()
    return Case(name, [c.smooth(shape)], {"y": c.away(shape, 0.0), "negative_slope": c.pick([0.2, 0.0, 1.5])})


@sample("dropout", kernel=True)
def _dropout(c, name, low=1):
    p, key, draw = c.pick([0.5, 0.0, 0.3]), c.integer(0, 2**62), c.integer(0, 2**62)
    function = getattr(ops, name)
    slope, x = c.pick([1.0, 0.0, 0.2]), c.away(c.shape(low, 4), 0.0)
    return Case(
        name,
        [x],
        {"p": p, "key": key, "draw": draw, "negative_slope": slope},
        lambda x: function(x, p, generator=Generator(key, draw), negative_slope=slope),
    )


@sample("dropout_grad", kernel=True)
def _dropout_grad(c, name):
    shape = c.shape()
    y = np.where(c.away(shape, 0.0) > 0.7, -0.0, c.smooth(shape))
    return Case(
        name,
        [c.smooth(shape)],
        {"y": y, "p": c.pick([0.5, 0.0, 0.3]), "negative_slope": c.pick([1.0, 0.0, 0.2])},
    )


@sample("dropout2d", kernel=True)
def _dropout2d(c, name):
    return _dropout(c, name, low=2)


@sample("bce", kernel=True, empty=False)
def _bce(c, name):
    shape = c.shape()
    t = c.pick([1.0, 0.0, 0.25]) if c.integer(0, 3) == 0 else c.inside(shape)
    case = Case(name, [c.inside(shape), t])
    case.public = lambda *xs: ops.bce(*case.arguments(*xs))
    return case


@sample("bce_with_logits", kernel=True, empty=False)
def _bce_with_logits(c, name):
    shape = c.shape()
    t = c.pick([1.0, 0.0, 0.25]) if c.integer(0, 3) == 0 else c.inside(shape)
    case = Case(name, [2 * c.away(shape, 0.0), t])
    case.public = lambda *xs: ops.bce_with_logits(*case.arguments(*xs))
    return case
