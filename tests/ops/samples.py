"""Sample inputs for every operation of `rawgan.ops.OPS`, one row each.

A row says how to draw a case, whether the operation or its rules call kernels, and whether its value rule is
analytic, so that it can be computed at complex numbers. An operation without a row, or a row without an
operation, stops the collection of the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from drawing import Case, Choices

from rawgan import ops
from rawgan.engine import OPS
from rawgan.rng import Generator


@dataclass(frozen=True)
class Sample:
    """draw: Choices -> Case.

    kernel: calls kernels, forward or backward. analytic: differentiable at complex numbers as it is written.
    empty: takes arrays without elements.
    """

    draw: Callable[[Choices], Case]
    kernel: bool
    analytic: bool
    empty: bool


SAMPLES: dict[str, Sample] = {}


def sample(name: str, kernel: bool = False, analytic: bool = True, empty: bool = True):
    def register(draw):
        SAMPLES[name] = Sample(lambda c: draw(c, name), kernel, analytic and not kernel, empty)
        return draw

    return register


# Elementwise ------------------------------------------------------------------------


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
_unary("tanh", Choices.smooth)
_unary("abs", lambda c, s: c.away(s, 0.0), analytic=False)  # |x| is not analytic
_unary("sigmoid", lambda c, s: 2 * c.away(s, 0.0), analytic=False)  # written with |x| and x ≥ 0
_unary("softplus", lambda c, s: 2 * c.away(s, 0.0), analytic=False)
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
    x = c.smooth(c.shape(low, 4))
    return Case(
        name,
        [x],
        {"p": p, "key": key, "draw": draw},
        lambda x: function(x, p, generator=Generator(key, draw)),
    )


@sample("dropout2d", kernel=True)
def _dropout2d(c, name):
    return _dropout(c, name, low=2)


@sample("bce")
def _bce(c, name):
    shape = c.shape()
    t = c.pick([1.0, 0.0, 0.25]) if c.integer(0, 3) == 0 else c.inside(shape)
    case = Case(name, [c.inside(shape), t])
    case.public = lambda *xs: ops.bce(*case.arguments(*xs))
    return case


@sample("bce_with_logits", analytic=False)  # written with |x|
def _bce_with_logits(c, name):
    shape = c.shape()
    t = c.pick([1.0, 0.0, 0.25]) if c.integer(0, 3) == 0 else c.inside(shape)
    case = Case(name, [2 * c.away(shape, 0.0), t])
    case.public = lambda *xs: ops.bce_with_logits(*case.arguments(*xs))
    return case


# Reductions and shapes --------------------------------------------------------------


def _reduction(c, name, values, **attrs):
    shape = c.shape()
    axes = c.axes(len(shape))
    if name == "var" and c.flag() and np.prod([shape[a] for a in axes]) > 1:
        attrs["ddof"] = 1
    x = values(shape)
    axis = tuple(a - len(shape) if c.flag() else a for a in axes)[:: c.pick([1, -1])]
    if len(axis) == 1 and c.flag():
        axis = axis[0]
    if len(axes) == len(shape) and c.flag():
        axis = None
    keepdims = c.flag()
    function = getattr(ops, name)
    return Case(name, [x], {"axis": axes, **attrs}, lambda x: function(x, axis, keepdims=keepdims, **attrs))


sample("sum")(lambda c, name: _reduction(c, name, c.smooth))
sample("mean", empty=False)(lambda c, name: _reduction(c, name, c.smooth))
sample("max", empty=False)(lambda c, name: _reduction(c, name, c.distinct))
sample("var", empty=False)(lambda c, name: _reduction(c, name, c.smooth, ddof=0))


@sample("log_softmax")
def _log_softmax(c, name):
    shape = (*c.shape(0, 2), c.integer(1, 4))
    order = c.rng.permutation(len(shape))
    axis = int(np.flatnonzero(order == len(shape) - 1)[0])
    shape = tuple(shape[i] for i in order)
    given = c.pick([axis, axis - len(shape)])
    return Case(name, [c.smooth(shape)], {"axis": axis}, lambda x: ops.log_softmax(x, axis=given))


@sample("maxout")
def _maxout(c, name):
    shape = c.shape(1, 3)
    axis, pieces = c.integer(0, len(shape) - 1), c.integer(1, 3)
    shape = (*shape[:axis], shape[axis] * pieces, *shape[axis + 1 :])
    given = c.pick([axis, axis - len(shape)])
    return Case(
        name,
        [c.distinct(shape)],
        {"pieces": pieces, "axis": axis},
        lambda x: ops.maxout(x, pieces, axis=given),
    )


@sample("broadcast_to")
def _broadcast_to(c, name):
    shape = c.shape()
    return Case(
        name, [c.smooth(c.subshape(shape))], {"shape": shape}, lambda x: ops.broadcast_to(x, list(shape))
    )


@sample("sum_to")
def _sum_to(c, name):
    shape = c.shape()
    return Case(name, [c.smooth(shape)], {"shape": c.subshape(shape)})


@sample("reshape")
def _reshape(c, name):
    shape = c.shape()
    size = int(np.prod(shape))
    target = c.pick([(size,), shape[::-1], (1, *shape), (*shape[1:], *shape[:1])])
    unknown = c.integer(0, len(target))
    known = int(np.prod(target[:unknown] + target[unknown + 1 :]))
    given = (*target[:unknown], -1, *target[unknown + 1 :]) if unknown < len(target) and known else target
    return Case(name, [c.smooth(shape)], {"shape": target}, lambda x: ops.reshape(x, given))


@sample("transpose")
def _transpose(c, name):
    shape = c.shape()
    axes = tuple(map(int, c.rng.permutation(len(shape))))
    given = tuple(a - len(shape) if c.flag() else a for a in axes)
    return Case(name, [c.smooth(shape)], {"axes": axes}, lambda x: ops.transpose(x, given))


@sample("concatenate")
def _concatenate(c, name):
    shape = c.shape(1, 3)
    axis = c.integer(0, len(shape) - 1)
    xs = [c.smooth((*shape[:axis], c.integer(0, 2), *shape[axis + 1 :])) for _ in range(c.integer(0, 2))] + [
        c.smooth(shape)
    ]
    given = c.pick([axis, axis - len(shape)])
    return Case(name, xs, {"axis": axis}, lambda *xs: ops.concatenate(xs, axis=given))


@sample("pad")
def _pad(c, name):
    shape = c.shape()
    width = tuple((c.integer(0, 2), c.integer(0, 2)) for _ in shape)
    return Case(name, [c.smooth(shape)], {"pad_width": width}, lambda x: ops.pad(x, width))


def _index(c, shape):
    """Numbers, slices forwards and backwards, None, Ellipsis, repeated whole numbers, booleans."""
    if not c.basic and not c.empty and c.integer(0, 4) == 0:
        return c.rng.random(shape) < 0.6
    parts = []
    arrays = 0
    for n in shape:
        kind = c.integer(0, 3 if n and not c.basic else 2) if n else 1
        if kind == 0:
            parts.append(c.integer(-n, n - 1))
        elif kind == 1:
            parts.append(slice(None, None, c.pick([1, 2])))
        elif kind == 2:
            parts.append(
                slice(c.integer(0, max(n - 1, 0) if c.basic else n), None)
                if c.flag()
                else slice(None, None, -1)
            )
        else:
            arrays += 1
            parts.append(c.rng.integers(-n, n, 1 if arrays > 1 else 4))
    if c.flag() and not arrays and not c.basic:
        parts.insert(c.integer(0, len(parts)), None)
    cut = c.integer(0, len(parts))
    if c.flag():
        parts[cut:] = [Ellipsis]
    elif c.basic:
        return tuple(parts)
    if len(parts) == 1 and c.flag():
        return parts[0]
    return tuple(parts)


@sample("getitem")
def _getitem(c, name):
    shape = c.shape(1, 3)
    index = _index(c, shape)
    return Case(name, [c.smooth(shape)], {"index": index}, lambda x: ops.getitem(x, index))


@sample("scatter_add")
def _scatter_add(c, name):
    shape = c.shape(1, 3)
    index = _index(c, shape)
    part = np.empty(shape)[index]
    return Case(name, [c.smooth(part.shape)], {"index": index, "shape": shape})


# Products and pictures --------------------------------------------------------------


@sample("matmul", kernel=True)
def _matmul(c, name):
    lead, other = c.pair()
    m, k, n = c.integer(1, 3), c.integer(1, 3), c.integer(1, 3)
    a, b = (*lead, m, k), (*other, k, n)
    if c.integer(0, 3) == 0:  # vectors: only the public function takes them
        if c.flag():
            a = a[-1:]
        if len(a) > 1 or c.flag():
            b = b[-2:-1]
        return Case(name, [c.smooth(a), c.smooth(b)], public=ops.matmul, only_public=True)
    return Case(name, [c.smooth(a), c.smooth(b)], public=ops.matmul)


@sample("dense", kernel=True)
def _dense(c, name):
    n, i, o = c.side(), c.integer(1, 3), c.integer(1, 3)
    operands = [c.smooth((n, i)), c.smooth((o, i))]
    if c.flag():
        operands.append(c.smooth((o,)))
    if n and c.integer(0, 3) == 0:
        operands[0] = c.smooth(c.pick([(i,), (2, n, i)]))
        return Case(name, operands, public=ops.dense, only_public=True)
    return Case(name, operands, public=ops.dense)


def _geometry(c):
    kernel = c.integer(1, 3), c.integer(1, 3)
    stride = c.integer(1, 3), c.integer(1, 3)
    padding = c.integer(0, 2), c.integer(0, 2)
    return kernel, stride, padding


def _picture(c, kernel, padding):
    return tuple(c.integer(max(1, k - 2 * p), 5) for k, p in zip(kernel, padding, strict=True))


@sample("conv2d", kernel=True)
def _conv2d(c, name):
    kernel, stride, padding = _geometry(c)
    n, i, o = c.side(1, 2), c.integer(1, 2), c.integer(1, 2)
    operands = [c.smooth((n, i, *_picture(c, kernel, padding))), c.smooth((o, i, *kernel))]
    if c.flag():
        operands.append(c.smooth((o,)))
    attrs = {"stride": stride, "padding": padding}
    return Case(name, operands, attrs, lambda *xs: ops.conv2d(*xs, **attrs))


@sample("conv_transpose2d", kernel=True)
def _conv_transpose2d(c, name):
    kernel, stride, padding = _geometry(c)
    extra = tuple(c.integer(0, s - 1) for s in stride)
    n, i, o = c.side(1, 2), c.integer(1, 2), c.integer(1, 2)
    smallest = (
        max(1, -(-(1 + 2 * p - k - e) // s) + 1)
        for k, s, p, e in zip(kernel, stride, padding, extra, strict=True)
    )
    size = tuple(c.integer(low, max(low, 3)) for low in smallest)
    operands = [c.smooth((n, i, *size)), c.smooth((i, o, *kernel))]
    if c.flag():
        operands.append(c.smooth((o,)))
    attrs = {"stride": stride, "padding": padding, "output_padding": extra}
    return Case(name, operands, attrs, lambda *xs: ops.conv_transpose2d(*xs, **attrs))


def _out_size(size, kernel, stride, padding):
    return tuple((m + 2 * p - k) // s + 1 for m, k, s, p in zip(size, kernel, stride, padding, strict=True))


@sample("conv2d_weight_grad", kernel=True)
def _conv2d_weight_grad(c, name):
    kernel, stride, padding = _geometry(c)
    n, i, o = c.side(1, 2), c.integer(1, 2), c.integer(1, 2)
    size = _picture(c, kernel, padding)
    x, gy = c.smooth((n, i, *size)), c.smooth((n, o, *_out_size(size, kernel, stride, padding)))
    attrs = {"kernel_size": kernel, "stride": stride, "padding": padding}
    return Case(name, [x, gy], attrs, lambda *xs: ops.conv2d_weight_grad(*xs, **attrs))


def _pool(c):
    kernel, stride, _ = _geometry(c)
    padding = tuple(c.integer(0, k // 2) for k in kernel)
    size = tuple(c.integer(max(2, k - 2 * p), 4) for k, p in zip(kernel, padding, strict=True))
    attrs = {"kernel_size": kernel, "stride": stride, "padding": padding}
    return (c.side(1, 2), c.integer(1, 2), *size), _out_size(size, kernel, stride, padding), attrs


@sample("max_pool2d", kernel=True)
def _max_pool2d(c, name):
    shape, _, attrs = _pool(c)
    return Case(name, [c.distinct(shape)], attrs, lambda x: ops.max_pool2d(x, **attrs))


@sample("max_pool2d_scatter", kernel=True)
def _max_pool2d_scatter(c, name):
    (n, k, *plane), out, _ = _pool(c)
    indices = c.rng.integers(0, plane[0] * plane[1], (n, k, *out)).astype(np.int32)
    return Case(name, [c.smooth(indices.shape)], {"indices": indices, "shape": tuple(plane)})


@sample("max_pool2d_gather", kernel=True)
def _max_pool2d_gather(c, name):
    (n, k, *plane), out, _ = _pool(c)
    indices = c.rng.integers(0, plane[0] * plane[1], (n, k, *out)).astype(np.int32)
    return Case(name, [c.smooth((n, k, *plane))], {"indices": indices})


@sample("batch_norm", kernel=True, empty=False)
def _batch_norm(c, name):
    shape = (c.integer(2, 4), c.integer(1, 3), *((c.integer(1, 2), c.integer(1, 3)) if c.flag() else ()))
    eps = c.pick([1e-5, 0.1])
    operands = [c.distinct(shape), c.smooth(shape[1:2]), c.smooth(shape[1:2])]
    return Case(name, operands, {"eps": eps}, lambda *xs: ops.batch_norm(*xs, eps=eps))


missing, extra = sorted(set(OPS) - set(SAMPLES)), sorted(set(SAMPLES) - set(OPS))
if missing or extra:
    raise RuntimeError(f"operations without samples: {missing}; samples without operations: {extra}")
