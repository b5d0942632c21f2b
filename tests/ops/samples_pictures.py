"""Samples of matrix products, convolutions, pooling and normalisation."""

from __future__ import annotations

import itertools

import numpy as np
from drawing import GAP, Case, sample

from rawgan import ops


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


@sample("channel_sum", kernel=True)
def _channel_sum(c, name):
    shape = c.shape(4, 4) if c.flag() else c.shape(2, 2)
    return Case(name, [c.smooth(shape)])


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


@sample("perceptron", kernel=True)
def _perceptron(c, name):
    n, sizes = c.side(), [c.integer(1, 3) for _ in range(c.integer(2, 4))]
    squashed = c.flag()
    slopes = tuple(c.pick([0.0, 0.2, 1.0]) for _ in sizes[1 + squashed :]) + (1.0,) * squashed
    while True:
        operands = [c.smooth((n, sizes[0]))]
        for into, out in itertools.pairwise(sizes):
            operands += [c.smooth((out, into)), c.smooth((out,)) if c.flag() else None]
        x, *rest = operands
        clear = True
        for weight, bias, slope in zip(rest[::2], rest[1::2], slopes, strict=True):
            z = x @ weight.T + (0 if bias is None else bias)
            clear = clear and (slope == 1 or np.abs(z).min(initial=1) > GAP)
            x = np.where(z > 0, z, slope * z)
        if clear:
            break

    def public(*inputs):
        x, *rest = case.arguments(*inputs)
        return ops.perceptron(x, rest[::2], rest[1::2], slopes, squashed)

    case = Case(name, operands, {"slopes": slopes, "squashed": squashed}, public)
    return case


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
