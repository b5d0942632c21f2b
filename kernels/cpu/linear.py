"""Matrix products: BLAS, on the pool's threads where the product is large."""

import numpy as np

from .pool import run, single_threaded_blas

# Multiply-adds worth a thread's while: waking one takes as long as two million of them.
SHARE = 1 << 22


def _product(a, b, out):
    """out = a b for matrices, its longer side cut into 1, 2, 4, ... parts for the pool."""
    m, k = a.shape
    n = b.shape[1]
    side = max(m, n)
    parts = max(1, min(m * k * n // SHARE, side // 64, 16))
    step = -(-side // (1 << parts.bit_length() - 1))

    def task(i):
        part = slice(i * step, (i + 1) * step)
        if m >= n:
            np.matmul(a[part], b, out=out[part])
        else:
            np.matmul(a, b[:, part], out=out[:, part])

    with single_threaded_blas:
        run(task, -(-side // step) if side else 0)
    return out


def matmul(a, b):
    """See CONTRACTS["matmul"]."""
    if a.ndim == b.ndim == 2:
        return _product(a, b, np.empty((a.shape[0], b.shape[1]), a.dtype))
    with single_threaded_blas:
        return np.matmul(a, b)


def dense(x, weight, bias):
    """See CONTRACTS["dense"]."""
    y = _product(x, weight.T, np.empty((x.shape[0], weight.shape[0]), x.dtype))
    if bias is not None:
        y += bias
    return y
