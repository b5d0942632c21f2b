"""Max pooling over channels-last images: one pixel's channels are compared side by side."""

import numpy as np

from ..checks import conv_output_size, index_out_of_range
from .jit import jit
from .layout import channels_first, channels_last
from .memory import fresh
from .pool import run


@jit
def _max_pool(x, y, indices, n, kernel, stride, padding):
    _, h, w, _ = x.shape
    _, p_size, q_size, _ = y.shape
    for p in range(p_size):
        for q in range(q_size):
            top, left = p * stride[0] - padding[0], q * stride[1] - padding[1]
            i0, j0 = max(0, top), max(0, left)
            best, where = y[n, p, q], indices[n, p, q]
            first = x[n, i0, j0]
            for k in range(best.size):
                best[k] = first[k]
            where[:] = i0 * w + j0
            for i in range(i0, min(h, top + kernel[0])):
                for j in range(j0, min(w, left + kernel[1])):
                    pixel, place = x[n, i, j], np.int32(i * w + j)
                    for c in range(pixel.size):
                        value, old = pixel[c], best[c]
                        wins = (value > old) | ((value != value) & (old == old))
                        best[c] = value if wins else old
                        where[c] = place if wins else where[c]


@jit
def _scatter(gy, indices, gx, n):
    """gx[n] = 0 but for gy[n] added at its indices; False where an index lies outside."""
    gx[n, :, :] = 0
    places, channels = gx.shape[1:]
    for r in range(gy.shape[1]):
        for c in range(channels):
            k = indices[n, r, c]
            if k < 0 or k >= places:
                return False
            gx[n, k, c] += gy[n, r, c]
    return True


@jit
def _gather(x, indices, y, n):
    places, channels = x.shape[1:]
    for r in range(y.shape[1]):
        for c in range(channels):
            k = indices[n, r, c]
            if k < 0 or k >= places:
                return False
            y[n, r, c] = x[n, k, c]
    return True


def _each_image(task, images, values):
    """task(n) for each image; together on this thread where there are few values."""
    if values < 1 << 16:
        for n in range(images):
            task(n)
    else:
        run(task, images)


def max_pool2d(x, kernel_size, stride, padding=(0, 0)):
    """See CONTRACTS["max_pool2d"]."""
    n, c, h, w = x.shape
    p = conv_output_size(h, kernel_size[0], stride[0], padding[0])
    q = conv_output_size(w, kernel_size[1], stride[1], padding[1])
    images = channels_last(x)
    y = fresh((n, p, q, c), x.dtype)
    indices = fresh((n, p, q, c), np.dtype(np.int32))
    geometry = tuple(kernel_size), tuple(stride), tuple(padding)
    _each_image(lambda i: _max_pool(images, y, indices, i, *geometry), n, x.size)
    return channels_first(y), channels_first(indices)


def max_pool2d_scatter(gy, indices, shape):
    """See CONTRACTS["max_pool2d_scatter"]."""
    n, c, p, q = gy.shape
    upstream = channels_last(gy).reshape(n, p * q, c)
    places = channels_last(indices).reshape(n, p * q, c)
    gx = fresh((n, shape[0] * shape[1], c), gy.dtype)

    def task(i):
        if not _scatter(upstream, places, gx, i):
            index_out_of_range("max_pool2d_scatter", shape)

    _each_image(task, n, gx.size)
    return channels_first(gx.reshape(n, *shape, c))


def max_pool2d_gather(x, indices):
    """See CONTRACTS["max_pool2d_gather"]."""
    n, c, h, w = x.shape
    p, q = indices.shape[2:]
    images = channels_last(x).reshape(n, h * w, c)
    places = channels_last(indices).reshape(n, p * q, c)
    y = fresh((n, p * q, c), x.dtype)

    def task(i):
        if not _gather(images, places, y, i):
            index_out_of_range("max_pool2d_gather", (h, w))

    _each_image(task, n, y.size)
    return channels_first(y.reshape(n, p, q, c))
