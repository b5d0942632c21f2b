"""Products of matrices, with what often follows: a bias, the leaky rectifier, or its gradient.

In one launch where there are blocks enough for a GPU; else k is cut into parts, which a second launch adds.
"""

import math

import numpy as np

from ..precision import precision
from .layout import THREADS, blocks, contiguous, empty
from .program import Program

PROGRAM = Program("linear", "product")
TF32 = Program("linear", "product", define="RG_TF32")
SIDE, DEPTH = 64, 16  # of a tile, as in linear.cu
ENOUGH = 264  # blocks: two for each multiprocessor of an H200; the same everywhere, or results would differ
LEAST = 128  # numbers along k that are worth a block


def part_of(depth, tiles):
    """How many numbers along k a block adds, a multiple of DEPTH: all, or a part that makes blocks enough."""
    parts = max(1, min(depth // LEAST, ENOUGH // max(1, tiles)))
    return blocks(max(1, depth), parts * DEPTH) * DEPTH


def add_parts(parts, bias, gate, y, slope):
    """y = the sum of parts (count, *y.shape), plus bias and so on, over y's memory."""
    n = y.size
    PROGRAM("add_parts", y.dtype, blocks(n), THREADS, parts, bias, gate, y, slope, len(parts), n, y.shape[-1])


def in_order(x):
    """x itself if it is in C order, else a copy that is."""
    return x if x.flags.c_contiguous else contiguous(x)


def _turned(x):
    """(array, whether its last axes are x's transposed) with the array in C order."""
    if not x.flags.c_contiguous and x.swapaxes(-1, -2).flags.c_contiguous:
        return x.swapaxes(-1, -2), True
    return in_order(x), False


def _multiply(a, a_turned, b, b_turned, y, bias=None, gate=None, slope=1.0):
    """y = a b for matrices of as many in a as in b, or a single one in either; all of them in C order."""
    m, n = y.shape[-2:]
    k = a.shape[-2] if a_turned else a.shape[-1]
    count = y.size // (m * n)
    across, down = blocks(n, SIDE), blocks(m, SIDE)
    part = part_of(k, across * down * count)
    parts = max(1, blocks(k, part))
    a_steps = (m * k if a.size > m * k else 0, *((1, m) if a_turned else (k, 1)))
    b_steps = (k * n if b.size > k * n else 0, *((k, 1) if b_turned else (1, n)))
    numbers = m, n, k, part, across, down, *a_steps, *b_steps, count
    program = TF32 if precision() == "tf32" else PROGRAM
    grid = across * down * count, parts
    if parts == 1:
        program("product", y.dtype, grid, THREADS, a, b, bias, gate, y, slope, *numbers)
        return
    sums = empty((parts, *y.shape), y.dtype, y)
    program("product", y.dtype, grid, THREADS, a, b, None, None, sums, 1.0, *numbers)
    add_parts(sums, bias, gate, y, slope)


def product(a, b, bias=None, slope=1.0, gate=None):
    """leaky_relu(a b + bias, slope) for matrices; or with a gate, leaky_relu_grad(a b, gate, slope)."""
    y = empty((a.shape[0], b.shape[1]), a.dtype, a)
    if y.size:
        bias, gate = (x if x is None else in_order(x) for x in (bias, gate))
        _multiply(*_turned(a), *_turned(b), y, bias, gate, slope)
    return y


def sum_rows(x):
    """The sum over the rows of a matrix, in float64, rounded once."""
    rows, columns = x.shape
    y = empty((columns,), x.dtype, x)
    PROGRAM("sum_rows", x.dtype, blocks(columns, 32), (32, 8), in_order(x), y, rows, columns)
    return y


def _stacked(a, a_turned, b, b_turned, y):
    """The products of stacks: one launch, or one for each index of an axis that only one of them has."""
    leading = a.shape[:-2], b.shape[:-2]
    if leading[0] == leading[1] or 1 in map(math.prod, leading):
        _multiply(a, a_turned, b, b_turned, y)
    else:
        for i in range(len(y)):
            _stacked(a[i % len(a)], a_turned, b[i % len(b)], b_turned, y[i])


def matmul(a, b):
    """See CONTRACTS["matmul"]."""
    leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    y = empty((*leading, a.shape[-2], b.shape[-1]), a.dtype, a)
    if y.size:
        (a, a_turned), (b, b_turned) = _turned(a), _turned(b)
        a, b = (x.reshape((1,) * (y.ndim - x.ndim) + x.shape) for x in (a, b))
        _stacked(a, a_turned, b, b_turned, y)
    return y


def dense(x, weight, bias):
    """See CONTRACTS["dense"]."""
    return product(x, weight.T, bias)
