"""Memory orders. Images are channels-last inside this column, whatever their strides outside.

An image (N, C, H, W) whose memory is in the order N, H, W, C keeps the pixels of one place together: a
kernel's row of taps is one run of memory, and a matrix product writes its result in place.
"""

import numpy as np

from .jit import jit
from .memory import fresh
from .pool import run


@jit
def _swap(source, target, start, stop):
    """target[i, k, j] = source[i, j, k] for start ≤ i < stop, a cache line of k at a time."""
    _, rows, columns = source.shape
    for i in range(start, stop):
        for first in range(0, columns, 16):
            last = min(first + 16, columns)
            for j in range(rows):
                for k in range(first, last):
                    target[i, k, j] = source[i, j, k]


def swap_last(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """x, C-contiguous and seen as (A, rows, columns), as a new array (A, columns, rows)."""
    source = x.reshape(-1, rows, columns) if x.size else np.empty((0, rows, columns), x.dtype)
    target = fresh((len(source), columns, rows), x.dtype)
    step = max(1, (1 << 16) // (rows * columns)) if x.size else 1
    tasks = -(-len(source) // step)
    run(lambda i: _swap(source, target, i * step, min(len(source), (i + 1) * step)), tasks)
    return target


def channels_last(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) -> (N, H, W, C), C-contiguous: a view where the memory is in that order already."""
    view = x.transpose(0, 2, 3, 1)
    if view.flags.c_contiguous:
        return view
    n, c, h, w = x.shape
    return swap_last(np.ascontiguousarray(x), c, h * w).reshape(n, h, w, c)


def channels_first(x: np.ndarray) -> np.ndarray:
    """(N, H, W, C) memory as the logical (N, C, H, W) that kernels return."""
    return x.transpose(0, 3, 1, 2)


def taps_first(weight: np.ndarray) -> np.ndarray:
    """(A, B, kh, kw) -> (A, kh · kw · B), C-contiguous: the order in which `gather` lays out a window."""
    a, b, kh, kw = weight.shape
    view = weight.transpose(0, 2, 3, 1)
    if view.flags.c_contiguous:
        return view.reshape(a, kh * kw * b)
    return swap_last(np.ascontiguousarray(weight), b, kh * kw).reshape(a, kh * kw * b)


def flat(x: np.ndarray) -> np.ndarray | None:
    """A 1-D view of x in memory order, for C order and channels-last memory; None for any other."""
    if x.flags.c_contiguous:
        return x.reshape(-1)
    if x.ndim == 4:
        view = x.transpose(0, 2, 3, 1)
        if view.flags.c_contiguous:
            return view.reshape(-1)
    return None


def packed(x: np.ndarray) -> np.ndarray:
    """x itself if `flat` can see it, else a C-contiguous copy."""
    return x if flat(x) is not None else np.ascontiguousarray(x)


def packed_like(x: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """x in the memory order of `pattern` (a `packed` array of its shape): x itself if it is so already."""
    if pattern.flags.c_contiguous:
        return x if x.flags.c_contiguous else np.ascontiguousarray(x)
    return channels_first(channels_last(x))
