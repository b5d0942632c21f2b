"""Windows of images as the rows of a matrix, and products with them as jobs of the team.

`gather` copies the windows of some images into such a matrix (im2col), `scatter` is its adjoint: it adds the
rows of one back into images. A window's row of taps is one run of channels-last memory. Every part of the
work takes some images and has its own matrix, which the second cache keeps.

In microseconds, "17@13 - 29@7 5x5" at batch 16: Python calls on the pool's threads, weights packed once, 280;
gradients of weights by BLAS, 360; so 190 and 250.
"""

from functools import cache

import numpy as np

from .gemm import NO, WIDE, YES, pack, panels_shape, product
from .jit import entry, jit
from .memory import location
from .team import arguments, run_parts
from .vector import address, floats, keep


@jit
def gather(x, windows, start, stop, q_size, step, origin, taps):
    """windows[r] = the window of x (N, H, W·C) at place r of images start ... stop - 1, zero in the padding.

    step, origin, taps: rows and columns (columns already times C) between windows, before the image, in a
    window; q_size: windows to a row.
    """
    _, h, w = x.shape
    p_size = windows.shape[0] // max(1, (stop - start) * q_size)
    r = 0
    for n in range(start, stop):
        for p in range(p_size):
            top = p * step[0] - origin[0]
            for q in range(q_size):
                left = q * step[1] - origin[1]
                first = min(max(0, -left), taps[1])
                last = max(first, min(taps[1], w - left))
                for a in range(taps[0]):
                    row = windows[r, a * taps[1] : (a + 1) * taps[1]]
                    if top + a < 0 or top + a >= h:
                        row[:] = 0
                        continue
                    row[:first] = 0
                    row[last:] = 0
                    inside, seen = row[first:last], x[n, top + a, left + first : left + last]
                    for j in range(inside.size):
                        inside[j] = seen[j]
                r += 1


@jit
def scatter(windows, y, bias, start, stop, q_size, step, origin, taps):
    """y[n] = bias + the sum of the windows at their places; the arguments are those of `gather`."""
    _, h, w = y.shape
    channels = bias.size
    p_size = windows.shape[0] // max(1, (stop - start) * q_size)
    r = 0
    for n in range(start, stop):
        for i in range(h):
            for j in range(0, w, channels):
                for c in range(channels):
                    y[n, i, j + c] = bias[c]
        for p in range(p_size):
            top = p * step[0] - origin[0]
            for q in range(q_size):
                left = q * step[1] - origin[1]
                first = min(max(0, -left), taps[1])
                last = max(first, min(taps[1], w - left))
                for a in range(max(0, -top), min(taps[0], h - top)):
                    row = windows[r, a * taps[1] + first : a * taps[1] + last]
                    seen = y[n, top + a, left + first : left + last]
                    for j in range(row.size):
                        seen[j] += row[j]
                r += 1


# What a part of the work is told: images (N, H, W · C) and rows (N · PLACES, DEEP), the other matrix, counts;
# then the geometry of `gather`. STEP images are a part's, CHUNK of them have their windows at a time.
IMAGES, ROWS, MATRIX, N, H, W, PLACES, DEEP, STEP, CHUNK, Q = range(11)
DOWN, ACROSS, TOP, LEFT, HIGH, WIDE_TAPS, BIAS, CHANNELS = range(11, 19)


@jit
def _images(words):
    return floats(words[IMAGES], (words[N], words[H], words[W]))


@jit
def _gathered(words, start, stop):
    """The windows of images start ... stop - 1."""
    taps = words[HIGH], words[WIDE_TAPS]
    windows = np.empty(((stop - start) * words[PLACES], taps[0] * taps[1]), np.float32)
    step, origin = (words[DOWN], words[ACROSS]), (words[TOP], words[LEFT])
    gather(_images(words), windows, start, stop, words[Q], step, origin, taps)
    return windows


def _convolve_part(number, place):
    """Rows = windows times the packed matrix."""
    words = arguments(place)
    start, stop = number * words[STEP], min(words[N], (number + 1) * words[STEP])
    windows = _gathered(words, start, stop)
    (m, k), n, panels = windows.shape, words[DEEP], words[MATRIX]
    to = words[ROWS] + 4 * start * words[PLACES] * n
    product(address(windows), k, NO, panels, to, n, m, n, k, NO, panels, 0, panels, 0)
    keep(windows)


def _spread_part(number, place):
    """Images = bias + the sum at their places of the windows that are rows times the packed matrix."""
    words = arguments(place)
    start, stop = number * words[STEP], min(words[N], (number + 1) * words[STEP])
    taps, panels = (words[HIGH], words[WIDE_TAPS]), words[MATRIX]
    windows = np.empty(((stop - start) * words[PLACES], taps[0] * taps[1]), np.float32)
    (m, n), k = windows.shape, words[DEEP]
    rows = words[ROWS] + 4 * start * words[PLACES] * k
    product(rows, k, NO, panels, address(windows), n, m, n, k, NO, panels, 0, panels, 0)
    bias = floats(words[BIAS], words[CHANNELS])
    step, origin = (words[DOWN], words[ACROSS]), (words[TOP], words[LEFT])
    scatter(windows, _images(words), bias, start, stop, words[Q], step, origin, taps)
    keep(windows)


@jit
def _correlate(words, start, stop, to):
    """The product for images start ... stop - 1, to an address."""
    windows = _gathered(words, start, stop)
    (k, n), m = windows.shape, words[DEEP]
    room = np.empty((-(-n // WIDE), k + 1, WIDE), np.float32)
    pack(windows, NO, floats(to, 0), room)
    rows, panels = words[ROWS] + 4 * start * words[PLACES] * m, address(room)
    product(rows, m, YES, panels, to, n, m, n, k, NO, panels, 0, panels, 0)
    keep(windows)
    keep(room)


@jit
def _add(total, more):
    for j in range(total.size):
        total[j] += more[j]


def _correlate_part(number, place):
    """matrix[number] = the sum over images of rows, turned, times windows."""
    words = arguments(place)
    first, last = number * words[STEP], min(words[N], (number + 1) * words[STEP])
    m, n = words[DEEP], words[HIGH] * words[WIDE_TAPS]
    to = words[MATRIX] + 4 * number * m * n
    some = np.empty(m * n if last - first > words[CHUNK] else 0, np.float32)
    for start in range(first, last, words[CHUNK]):
        target = to if start == first else address(some)
        _correlate(words, start, min(last, start + words[CHUNK]), target)
        if start > first:
            _add(floats(to, m * n), some)
    keep(some)


_entry = cache(entry)  # compiled when first asked for


@jit
def _pack(b, transposed, shift, panels):
    """`pack`, for Python to call."""
    pack(b, transposed, shift, panels)


def packed(b, transposed, bias=None):
    """b, C-contiguous, as `product` reads it."""
    n, k = b.shape if transposed else b.shape[::-1]
    panels = np.empty(panels_shape(k, n), np.float32)
    shift = np.empty(0, np.float32) if bias is None else np.ascontiguousarray(bias)
    _pack(b, YES if transposed else NO, shift, panels)
    return panels


def _run(part, images, rows, matrix, step, chunk, geometry, bias):
    """geometry: q_size, step, origin and taps of `gather`."""
    q_size, *pairs = geometry
    n, deep = len(images), rows.shape[1]
    words = [location(images), location(rows), location(matrix), *images.shape, len(rows) // n, deep]
    words += [step, chunk, q_size, *(size for pair in pairs for size in pair)]
    words += [location(bias), bias.size] if bias is not None else [0, 0]
    run_parts(_entry(part), words, -(-n // step))


def convolve(images, panels, rows, step, geometry):
    """rows = windows of images (N, H, W·C) times the panels, for `step` images to a part."""
    _run(_convolve_part, images, rows, panels, step, step, geometry, None)


def spread(rows, panels, images, step, geometry, bias):
    """images = bias + the sum of the windows, which are rows times the panels, at their places."""
    _run(_spread_part, images, rows, panels, step, step, geometry, bias)


def correlate(images, rows, partial, step, chunk, geometry):
    """partial[i] = rowsᵀ windows over group i of `step` images, `chunk` of them at a time."""
    _run(_correlate_part, images, rows, partial, step, chunk, geometry, None)
