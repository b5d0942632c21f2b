"""Memory orders on the device, as in the CPU column: images are channels-last inside, whatever outside.

Where an array is neither in C order nor an image in the order N, H, W, C, its copy is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .program import Program, device_of

PROGRAM = Program("layout")
THREADS = 256
TILE = 32


def empty(shape: tuple[int, ...], dtype: Any, like: Any) -> Any:
    """An uninitialised array on the device of another one."""
    if device_of(like) != "cuda-sim":
        from .cupy_module import empty_on

        return empty_on(like.data.device_id, shape, dtype)
    from .host import HostArray

    return np.empty(shape, dtype).view(HostArray)


def to_host(x: Any) -> np.ndarray:
    """A NumPy array of the same values: waits for the device."""
    return x.get()


def blocks(n: int, threads: int = THREADS) -> int:
    """Blocks for n numbers, one a thread."""
    return -(-n // threads)


def flat(x: Any) -> Any:
    """A 1-D view of x in memory order, for C order and channels-last memory; None for any other."""
    if x.flags.c_contiguous:
        return x.reshape(-1)
    if x.ndim == 4 and x.transpose(0, 2, 3, 1).flags.c_contiguous:
        return x.transpose(0, 2, 3, 1).reshape(-1)
    return None


def packed(x: Any) -> Any:
    """x itself if `flat` can see it, else a C-contiguous copy."""
    return x if flat(x) is not None else contiguous(x)


def packed_like(x: Any, pattern: Any) -> Any:
    """x in the memory order of `pattern` (a `packed` array of its shape): x itself if it is so already."""
    if pattern.flags.c_contiguous:
        return x if x.flags.c_contiguous else contiguous(x)
    return channels_first(channels_last(x))


def fresh_like(x: Any) -> Any:
    """An uninitialised array of the shape, dtype and memory order of x, a `packed` array."""
    if x.flags.c_contiguous:
        return empty(x.shape, x.dtype, x)
    n, c, h, w = x.shape
    return channels_first(empty((n, h, w, c), x.dtype, x))


def channels_last(x: Any) -> Any:
    """(N, C, H, W) -> (N, H, W, C), C-contiguous: a view where the memory is in that order already."""
    view = x.transpose(0, 2, 3, 1)
    if view.flags.c_contiguous:
        return view
    n, c, h, w = x.shape
    return swap_last(x if x.flags.c_contiguous else contiguous(x), c, h * w).reshape(n, h, w, c)


def channels_first(x: Any) -> Any:
    """(N, H, W, C) memory as the logical (N, C, H, W) that kernels return."""
    return x.transpose(0, 3, 1, 2)


def swap_last(x: Any, rows: int, columns: int) -> Any:
    """x, C-contiguous and seen as (A, rows, columns), as a new array (A, columns, rows)."""
    count = x.size // max(1, rows * columns)
    y = empty((count, columns, rows), x.dtype, x)
    across, down = blocks(columns, TILE), blocks(rows, TILE)
    PROGRAM("swap_last", x.dtype, across * down * count, (TILE, 8), x, y, rows, columns, across, down)
    return y


def contiguous(x: Any) -> Any:
    """See CONTRACTS["contiguous"]."""
    if x.ndim == 4 and not x.flags.c_contiguous:
        images = x.transpose(0, 2, 3, 1)
        if images.flags.c_contiguous:
            return swap_last(images, x.shape[2] * x.shape[3], x.shape[1]).reshape(x.shape)
    y = empty(x.shape, x.dtype, x)
    store(y, x)  # strides of no order that the kernels know: the array module copies
    return y


def store(y: Any, values: Any) -> None:
    """y[...] = values, a number or an array of y's device, by the array module."""
    if device_of(y) == "cuda-sim":
        y[...] = values
        return
    from .cupy_module import On

    with On(y.data.device_id):
        y[...] = values
