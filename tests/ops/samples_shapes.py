"""Samples of the operations that reduce, repeat, move or pick elements."""

from __future__ import annotations

import numpy as np
from drawing import Case, sample

from rawgan import ops


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


@sample("log_softmax", kernel=True)
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
