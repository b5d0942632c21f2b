"""Memory orders. Images are channels-last inside this column, whatever their strides outside.

An image (N, C, H, W) whose memory is in the order N, H, W, C keeps the pixels of one place together: a
kernel's row of taps is one run of memory, and a matrix product writes its result in place.
"""

from functools import cache

import numpy as np

from .gemm import turn
from .jit import entry
from .memory import fresh, location
from .team import arguments, even, run_parts
from .vector import LANES, floats

SOURCE, TARGET, COUNT, STEP, ROWS, COLUMNS = range(6)  # what a part of the work is told
PART = 1 << 16  # floats to a part


def _swap_part(number, place):
    """target[i, k, j] = source[i, j, k] for matrices number · STEP ..., by squares of a vector's side.

    The last squares of a row or column begin early enough to end with it, and so write some numbers twice.
    """
    words = arguments(place)
    rows, columns = words[ROWS], words[COLUMNS]
    by_squares = rows >= LANES and columns >= LANES
    for i in range(number * words[STEP], min(words[COUNT], (number + 1) * words[STEP])):
        begin = 4 * i * rows * columns
        source, target = words[SOURCE] + begin, words[TARGET] + begin
        for down in range(0, rows if by_squares else 0, LANES):
            j = min(down, rows - LANES)
            for right in range(0, columns, LANES):
                k = min(right, columns - LANES)
                turn(source + 4 * (j * columns + k), columns, target + 4 * (k * rows + j), rows)
        values = floats(source, (rows, columns))
        turned = floats(target, (columns, rows))
        for j in range(0 if by_squares else rows):
            for k in range(columns):
                turned[k, j] = values[j, k]


@cache
def _entry():
    return entry(_swap_part)


def swap_last(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """x, C-contiguous and seen as (A, rows, columns), as a new array (A, columns, rows)."""
    count = x.size // max(1, rows * columns)
    target = fresh((count, columns, rows), x.dtype)
    if x.dtype != np.float32:
        target[...] = x.reshape(count, rows, columns).swapaxes(1, 2)
    elif x.size:
        step = even(count, max(1, PART // (rows * columns)))
        words = location(x), location(target), count, step, rows, columns
        run_parts(_entry(), words, -(-count // step))
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


def contiguous(x):
    """See CONTRACTS["contiguous"]."""
    if x.ndim == 4 and not x.flags.c_contiguous:
        images = x.transpose(0, 2, 3, 1)
        if images.flags.c_contiguous:
            return swap_last(images, x.shape[2] * x.shape[3], x.shape[1]).reshape(x.shape)
    y = fresh(x.shape, x.dtype)
    y[...] = x
    return y


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
    if x.flags.c_contiguous or (x.ndim == 4 and x.transpose(0, 2, 3, 1).flags.c_contiguous):
        return x
    return np.ascontiguousarray(x)


def packed_like(x: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """x in the memory order of `pattern` (a `packed` array of its shape): x itself if it is so already."""
    if x.strides == pattern.strides:
        return x
    if pattern.flags.c_contiguous:
        return x if x.flags.c_contiguous else np.ascontiguousarray(x)
    return channels_first(channels_last(x))
