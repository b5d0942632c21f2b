"""Products of matrices, with what often follows: a bias, the leaky rectifier, or its gradient.

In one launch where there are blocks enough for a GPU; else k is cut into parts, which a second launch adds.
"""

import math

import numpy as np

from .layout import THREADS, blocks, contiguous, empty
from .tiles import Tiled

TILED = Tiled("linear")
PROGRAM, TF32 = TILED.programs["fp32", 1], TILED.programs["tf32", 1]


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
    plan = TILED.choose(m, n, k, count, y.dtype)
    steps = m * k if a.size > m * k else 0, k * n if b.size > k * n else 0
    numbers = m, n, k, plan.part, plan.across, plan.down, int(a_turned), int(b_turned), *steps, count
    if plan.parts == 1:
        TILED("product", y.dtype, plan, a, b, bias, gate, y, slope, *numbers)
        return
    sums = empty((plan.parts, *y.shape), y.dtype, y)
    TILED("product", y.dtype, plan, a, b, None, None, sums, 1.0, *numbers)
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
