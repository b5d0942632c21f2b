"""Logarithms of softmax probabilities along the last axis, and their gradient."""

from .layout import blocks, contiguous, empty
from .program import Program

PROGRAM = Program("softmax", "sums")
ROWS = 8  # to a block, as in softmax.cu


def _rows(kernel, *arrays):
    arrays = [x if x.flags.c_contiguous else contiguous(x) for x in arrays]
    x = arrays[0]
    result, size = empty(x.shape, x.dtype, x), x.shape[-1]
    rows = x.size // size
    PROGRAM(kernel, x.dtype, blocks(rows, ROWS), 32 * ROWS, *arrays, result, rows, size)
    return result


def log_softmax(x):
    """See CONTRACTS["log_softmax"]."""
    return _rows("log_softmax", x)


def log_softmax_grad(gy, y):
    """See CONTRACTS["log_softmax_grad"]."""
    return _rows("log_softmax_grad", gy, y)
