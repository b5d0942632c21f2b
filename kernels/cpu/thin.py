"""Convolution of images with one or three channels, and its weight gradient: windows read where they lie.

A window of such an image has few numbers (25 or 48 in the networks here), so a product over windows is
short, and copying them out first takes as long. Here each image is copied once into a frame of zeros; the
window of place (p, q) is at fixed offsets from its corner there, and a tile of the product (`gemm.py`) reads
the windows of six places of a row in step, or for the weights six taps of a row's windows.

In ms of one core at batch 128, with windows copied out and without: conv2d "1@28 - 64@14 5x5" 3.4, 1.1;
"3@32 - 64@16 4x4" 5.3, 2.5, which is 80 Gflop/s; their weight gradients 2.7, 1.3 and 4.5, 3.1.
"""

import numpy as np
from numba import types

from .gemm import WIDE, pack, panels_shape, sums_in_registers, tile_rows
from .jit import jit
from .layout import taps_first
from .memory import fresh
from .pool import run
from .vector import INT, address, intrinsic, keep, pointer

CHANNELS = 4  # images of more have windows long enough for a product over copies
IMAGES = 4  # to a task
GROUPS = 8  # partial sums of a weight gradient


def pays(channels: int, out: int, dtype: np.dtype) -> bool:
    """Whether conv2d of such an image and as many output channels belongs here."""
    return dtype == np.float32 and channels <= CHANNELS and out % WIDE == 0


@intrinsic(prefer_literal=True)
def _windows(typingctx, rows, k, x, x_step, offsets, b, c, c_step):
    """A tile whose row r has its number i at x + r · x_step + offsets[i]; b begins with the bias."""
    count = rows.literal_value

    def generate(context, builder, signature, args):
        _, k, x, x_step, offsets, b, c, c_step = args
        x, b, c = (pointer(builder, p) for p in (x, b, c))
        offsets = builder.inttoptr(offsets, INT.as_pointer())
        heads = [builder.gep(x, [builder.mul(INT(r), x_step)]) for r in range(count)]

        def along(i):
            return builder.load(builder.gep(offsets, [i]))

        first = builder.gep(b, [INT(WIDE)])
        sums_in_registers(builder, k, heads, along, first, INT(WIDE), b, INT(0), c, c_step)
        return context.get_dummy_value()

    return types.void(rows, *[types.int64] * 7), generate


@intrinsic(prefer_literal=True)
def _taps(typingctx, rows, k, x, x_step, offsets, gy, gy_step, c):
    """c += a tile over k places side by side: row r of A has its number i at x + offsets[r] + i · x_step."""
    count = rows.literal_value

    def generate(context, builder, signature, args):
        _, k, x, x_step, offsets, gy, gy_step, c = args
        x, gy, c = (pointer(builder, p) for p in (x, gy, c))
        offsets = builder.inttoptr(offsets, INT.as_pointer())
        places = [builder.load(builder.gep(offsets, [INT(r)])) for r in range(count)]
        heads = [builder.gep(x, [place]) for place in places]

        def along(i):
            return builder.mul(i, x_step)

        sums_in_registers(builder, k, heads, along, gy, gy_step, c, gy_step, c, gy_step)
        return context.get_dummy_value()

    return types.void(rows, *[types.int64] * 7), generate


@jit
def _frame(x, n, frame, origin):
    """Puts image n into its frame of zeros, without the last rows and columns that no window sees."""
    high = max(0, min(x.shape[1], frame.shape[0] - origin[0]))
    wide = max(0, min(x.shape[2], frame.shape[1] - origin[1]))
    for i in range(high):
        inside, seen = frame[origin[0] + i, origin[1] : origin[1] + wide], x[n, i, :wide]
        for j in range(inside.size):
            inside[j] = seen[j]


@jit
def _correlate(x, gy, total, offsets, frame_shape, step, origin, start, stop):
    """total[tap, o] = the sum over images start ... stop − 1 of windows times gy; see `_convolve`."""
    _, p_size, q_size, out = gy.shape
    frame = np.zeros(frame_shape, np.float32)
    total[:] = 0
    for n in range(start, stop):
        _frame(x, n, frame, origin)
        for p in range(p_size):
            corner = address(frame) + 4 * (p * step[0] * frame_shape[1])
            t = 0
            while t < len(total):
                rows = tile_rows(len(total) - t)
                for left in range(0, out, WIDE):
                    row = address(gy) + 4 * (((n * p_size + p) * q_size) * out + left)
                    to = address(total) + 4 * (t * out + left)
                    places = address(offsets) + 8 * t
                    if rows == 6:
                        _taps(6, q_size, corner, step[1], places, row, out, to)
                    elif rows == 4:
                        _taps(4, q_size, corner, step[1], places, row, out, to)
                    elif rows == 2:
                        _taps(2, q_size, corner, step[1], places, row, out, to)
                    else:
                        _taps(1, q_size, corner, step[1], places, row, out, to)
                t += rows
    keep(frame)


@jit
def _convolve(x, panels, y, offsets, frame_shape, step, origin, start, stop):
    """y[n] = the convolution of x[n], (H, W · C), for start ≤ n < stop; y is (N, P, Q, O).

    frame_shape, step, origin: rows and numbers of the frame, between windows, and before the image.
    """
    _, p_size, q_size, out = y.shape
    k = panels.shape[1] - 1
    frame = np.zeros(frame_shape, np.float32)
    places = address(offsets)
    for n in range(start, stop):
        _frame(x, n, frame, origin)
        for p in range(p_size):
            q = 0
            while q < q_size:
                rows = tile_rows(q_size - q)
                corner = address(frame) + 4 * (p * step[0] * frame_shape[1] + q * step[1])
                for left in range(0, out, WIDE):
                    b = address(panels) + 4 * (left // WIDE) * (k + 1) * WIDE
                    to = address(y) + 4 * (((n * p_size + p) * q_size + q) * out + left)
                    if rows == 6:
                        _windows(6, k, corner, step[1], places, b, to, out)
                    elif rows == 4:
                        _windows(4, k, corner, step[1], places, b, to, out)
                    elif rows == 2:
                        _windows(2, k, corner, step[1], places, b, to, out)
                    else:
                        _windows(1, k, corner, step[1], places, b, to, out)
                q += rows
    keep(frame)


@jit
def _pack(weight, bias, panels):
    pack(weight, True, bias, panels)


def _geometry(channels, kernel, plane, stride, padding):
    """(offsets, frame, step, origin) of `_convolve`."""
    down, across = ((n - 1) * s + k for n, s, k in zip(plane, stride, kernel, strict=True))
    frame = (down, across * channels)
    offsets = (np.arange(kernel[0])[:, None] * frame[1] + np.arange(kernel[1] * channels)).ravel()
    return offsets, frame, (stride[0], stride[1] * channels), (padding[0], padding[1] * channels)


def conv2d(x, weight, bias, plane, stride, padding):
    """x (N, H, W, C) -> (N, P, Q, O), both channels-last; plane is (P, Q)."""
    n, h, w, c = x.shape
    out, _, *kernel = weight.shape
    panels = np.empty(panels_shape(kernel[0] * kernel[1] * c, out), np.float32)
    _pack(taps_first(weight), np.empty(0, np.float32) if bias is None else np.ascontiguousarray(bias), panels)
    y = fresh((n, *plane, out), x.dtype)
    images = x.reshape(n, h, w * c)
    geometry = _geometry(c, kernel, plane, stride, padding)

    def task(i):
        _convolve(images, panels, y, *geometry, i * IMAGES, min(n, (i + 1) * IMAGES))

    run(task, -(-n // IMAGES))
    return y


def conv2d_weight_grad(x, gy, kernel, stride, padding):
    """x (N, H, W, C), gy (N, P, Q, O), both channels-last -> (O, C, kh, kw)."""
    n, h, w, c = x.shape
    out = gy.shape[3]
    images = x.reshape(n, h, w * c)
    geometry = _geometry(c, kernel, gy.shape[1:3], stride, padding)
    group = max(1, -(-n // GROUPS))
    totals = np.zeros((-(-n // group), kernel[0] * kernel[1] * c, out), np.float32)

    def task(i):
        _correlate(images, gy, totals[i], *geometry, i * group, min(n, (i + 1) * group))

    run(task, len(totals))
    return np.ascontiguousarray(totals.sum(0).reshape(*kernel, c, out).transpose(3, 2, 0, 1))
