"""Matrix products: BLAS, on the pool's threads where the product is large."""

import numpy as np

from .pool import run, single_threaded_blas

# Multiply-adds below which one thread is done before another could start.
SMALL = 1 << 22


def _product(a, b, out):
    """out = a b for matrices, by rows or columns on several threads."""
    m, k = a.shape
    n = b.shape[1]
    with single_threaded_blas():
        if m * k * n < SMALL:
            np.matmul(a, b, out=out)
        elif n >= m:
            step = max(64, -(-n // 8))
            run(
                lambda i: np.matmul(
                    a, b[:, i * step : (i + 1) * step], out=out[:, i * step : (i + 1) * step]
                ),
                -(-n // step),
            )
        else:
            step = max(64, -(-m // 8))
            run(
                lambda i: np.matmul(a[i * step : (i + 1) * step], b, out=out[i * step : (i + 1) * step]),
                -(-m // step),
            )
    return out


def matmul(a, b):
    """See CONTRACTS["matmul"]."""
    if a.ndim == b.ndim == 2:
        return _product(a, b, np.empty((a.shape[0], b.shape[1]), a.dtype))
    return np.matmul(a, b)


def dense(x, weight, bias):
    """See CONTRACTS["dense"]."""
    y = _product(x, weight.T, np.empty((x.shape[0], weight.shape[0]), x.dtype))
    if bias is not None:
        y += bias
    return y
