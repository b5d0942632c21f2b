"""Batch normalisation over rows (pixels) of channels.

The matrix is cut into blocks that the second cache keeps, by its shape alone. Rows of few channels are taken
several at a time as one row, so that loops are long. Each block gives a mean and a sum of squared deviations;
blocks are merged by Chan, Golub and LeVeque's formula ("Updating formulae and a pairwise algorithm", 1979).

Sums are of RUN numbers in float32, and of such sums in float64. It is differences that are added, to the
block's first row for the mean, to the mean for the squares: so the error is of the deviation's size, however
far from zero all numbers lie. Squares are float32, where deviations above 1e18 are infinite.

Milliseconds on two threads, batch_norm and its gradient, for (128, 12544) and (128, 64, 14, 14) in
channels-last memory:

    2-D          4-D
    1.08  1.25   0.79  1.00   float64 sums in memory, Python calls on the pool's threads, merges by NumPy
    0.46  0.65   0.37  0.44   float32 runs, jobs of the team; all steps at once where a block has all values
                              of its channels; sums in memory that is used again

float64 arrays are the textbook's.
"""

from functools import cache
from math import gcd

import numpy as np
from numba import types

from ..reference import normalization as reference
from .jit import entry, jit
from .layout import channels_first, channels_last
from .memory import fresh_like, location, scratch
from .team import arguments, even, share, team
from .vector import doubles, floats, on_stack

WIDTH = 512
VALUES = 1 << 16  # floats to a block
RUN = 16  # numbers added in float32

# What a part of the work is told: steps, the cut, and addresses.
STEPS, CHANNELS, ROWS, COLUMNS, HEIGHT, EPS, SUMS, LINES, X, RESULT, SCALE, MEAN, VAR = range(13)
SHIFT, GY, GSCALE, GSHIFT = 13, 13, 14, 15
SUM, MERGE, APPLY = 1, 2, 4


_row = on_stack(types.float32, WIDTH)


@jit
def _differences(x, first, last, left, right, shift, squared, total):
    """total = Σ (x − shift) or, squared, Σ (x − shift)², over rows first ..., columns left ..."""
    short = _row()[: right - left]
    for j in range(total.size):
        total[j] = 0.0
    for start in range(first, last, RUN):
        for j in range(short.size):
            short[j] = 0
        for i in range(start, min(last, start + RUN)):
            row = x[i, left:right]
            if squared:
                for j in range(row.size):
                    d = row[j] - shift[j]
                    short[j] += d * d
            else:
                for j in range(row.size):
                    short[j] += row[j] - shift[j]
        for j in range(short.size):
            total[j] += short[j]


@jit
def _moments(x, first, last, left, right, total, squares):
    """Σ x and Σ (x − the block's mean)²."""
    shift = _row()[: right - left]
    zero = np.float32(0)
    row = x[first, left:right]
    for j in range(row.size):
        shift[j] = row[j] if row[j] - row[j] == zero else zero  # ∞ − ∞ would hide that the mean is ∞
    _differences(x, first, last, left, right, shift, False, total)
    count = last - first
    for j in range(total.size):
        total[j] += count * np.float64(shift[j])
        shift[j] = total[j] / count
    _differences(x, first, last, left, right, shift, True, squares)
    for j in range(total.size):
        squares[j] -= count * (total[j] / count - shift[j]) ** 2


@jit
def _products(gy, x, first, last, left, right, mean, total, product):
    """Σ gy and Σ gy · (x − mean)."""
    short, shorter = _row()[: right - left], _row()[: right - left]
    mean = mean[left:right]
    for j in range(total.size):
        total[j] = 0.0
        product[j] = 0.0
    for start in range(first, last, RUN):
        for j in range(short.size):
            short[j] = 0
            shorter[j] = 0
        for i in range(start, min(last, start + RUN)):
            upstream, row = gy[i, left:right], x[i, left:right]
            for j in range(row.size):
                short[j] += upstream[j]
                shorter[j] += upstream[j] * (row[j] - mean[j])
        for j in range(short.size):
            total[j] += short[j]
            product[j] += shorter[j]


@jit
def _normalise(x, y, first, last, left, right, mean, slope, shift):
    mean, slope, shift = mean[left:right], slope[left:right], shift[left:right]
    for i in range(first, last):
        row, out = x[i, left:right], y[i, left:right]
        for j in range(row.size):
            out[j] = (row[j] - mean[j]) * slope[j] + shift[j]


@jit
def _input_grad(gy, x, gx, first, last, left, right, mean, slope, lean, offset):
    mean, slope, lean, offset = mean[left:right], slope[left:right], lean[left:right], offset[left:right]
    for i in range(first, last):
        upstream, row, out = gy[i, left:right], x[i, left:right], gx[i, left:right]
        for j in range(row.size):
            out[j] = upstream[j] * slope[j] - (row[j] - mean[j]) * lean[j] - offset[j]


@jit
def _sum_blocks(sums, channels, first, last):
    """Σ over blocks, and over pixels side by side in a row, for channels first ... last − 1."""
    total = np.zeros(last - first)
    for i in range(sums.shape[0]):
        for k in range(0, sums.shape[1], channels):
            row = sums[i, k + first : k + last]
            for j in range(row.size):
                total[j] += row[j]
    return total


@jit
def _merge_moments(sums, lines, height, rows, eps, scale, shift, mean, var, first, last):
    """Mean and variance of channels first ... last − 1, and from them the lines that `_normalise` takes."""
    channels, columns = mean.size, lines.shape[1]
    values = rows * (columns // channels)
    total, squares = _sum_blocks(sums[0], channels, first, last), _sum_blocks(sums[1], channels, first, last)
    for i in range(sums.shape[1]):
        count = min(rows - i * height, height)
        for k in range(0, columns, channels):
            row = sums[0, i, k + first : k + last]
            for j in range(row.size):
                squares[j] += count * (row[j] / count - total[j] / values) ** 2
    scale, shift, mean, var = scale[first:last], shift[first:last], mean[first:last], var[first:last]
    for j in range(total.size):
        mean[j] = total[j] / values
        var[j] = squares[j] / values
    for k in range(0, columns, channels):
        middle, slope, offset = (
            lines[0, k + first : k + last],
            lines[1, k + first : k + last],
            lines[2, k + first : k + last],
        )
        for j in range(middle.size):
            middle[j] = mean[j]
            s = scale[j] / np.sqrt(squares[j] / values + eps)
            slope[j] = s
            offset[j] = shift[j] - (total[j] / values - mean[j]) * s  # mean[j] is rounded


@jit
def _merge_products(sums, lines, rows, eps, scale, mean, var, gscale, gshift, first, last):
    """gscale and gshift of channels first ... last − 1, and from them the lines that `_input_grad` takes."""
    channels, columns = mean.size, lines.shape[1]
    values = rows * (columns // channels)
    total, product = _sum_blocks(sums[0], channels, first, last), _sum_blocks(sums[1], channels, first, last)
    scale, var, gscale, gshift = scale[first:last], var[first:last], gscale[first:last], gshift[first:last]
    for j in range(total.size):
        gshift[j] = total[j]
        gscale[j] = product[j] / np.sqrt(var[j] + eps)
    for k in range(0, columns, channels):
        slope, lean, offset = (
            lines[1, k + first : k + last],
            lines[2, k + first : k + last],
            lines[3, k + first : k + last],
        )
        for j in range(slope.size):
            inverse = 1 / np.sqrt(var[j] + eps)
            slope[j] = scale[j] * inverse
            lean[j] = scale[j] * inverse * inverse * inverse * product[j] / values
            offset[j] = scale[j] * inverse * total[j] / values


@jit
def _cut(number, words):
    """Block `number`: its place among the blocks of rows, and its bounds."""
    across = (words[COLUMNS] + WIDTH - 1) // WIDTH
    i, j = number // across, number % across
    first, left = i * words[HEIGHT], j * WIDTH
    return i, first, min(words[ROWS], first + words[HEIGHT]), left, min(words[COLUMNS], left + WIDTH)


@jit
def _tables(words):
    down = (words[ROWS] + words[HEIGHT] - 1) // words[HEIGHT]
    sums = doubles(words[SUMS], (2, down, words[COLUMNS]))
    return sums, floats(words[LINES], (4, words[COLUMNS]))


def _forward_part(number, place):
    words = arguments(place)
    i, first, last, left, right = _cut(number, words)
    shape = words[ROWS], words[COLUMNS]
    sums, lines = _tables(words)
    x = floats(words[X], shape)
    if words[STEPS] & SUM:
        _moments(x, first, last, left, right, sums[0, i, left:right], sums[1, i, left:right])
    if words[STEPS] & MERGE:
        channels = words[CHANNELS]
        scale, shift = floats(words[SCALE], channels), floats(words[SHIFT], channels)
        mean, var = floats(words[MEAN], channels), floats(words[VAR], channels)
        eps = doubles(place + 8 * EPS, 1)[0]
        begin, end = (left, right) if words[STEPS] & SUM else (0, channels)
        _merge_moments(sums, lines, words[HEIGHT], shape[0], eps, scale, shift, mean, var, begin, end)
    if words[STEPS] & APPLY:
        y = floats(words[RESULT], shape)
        _normalise(x, y, first, last, left, right, lines[0], lines[1], lines[2])


def _backward_part(number, place):
    words = arguments(place)
    i, first, last, left, right = _cut(number, words)
    shape = words[ROWS], words[COLUMNS]
    sums, lines = _tables(words)
    x, gy = floats(words[X], shape), floats(words[GY], shape)
    if words[STEPS] & SUM:
        _products(gy, x, first, last, left, right, lines[0], sums[0, i, left:right], sums[1, i, left:right])
    if words[STEPS] & MERGE:
        channels = words[CHANNELS]
        scale, gscale, gshift = (
            floats(words[SCALE], channels),
            floats(words[GSCALE], channels),
            floats(words[GSHIFT], channels),
        )
        mean, var = floats(words[MEAN], channels), floats(words[VAR], channels)
        eps = doubles(place + 8 * EPS, 1)[0]
        begin, end = (left, right) if words[STEPS] & SUM else (0, channels)
        _merge_products(sums, lines, shape[0], eps, scale, mean, var, gscale, gshift, begin, end)
    if words[STEPS] & APPLY:
        gx = floats(words[RESULT], shape)
        _input_grad(gy, x, gx, first, last, left, right, lines[0], lines[1], lines[2], lines[3])


@cache
def _entries():
    return entry(_forward_part), entry(_backward_part)


@jit
def _share(words, function, blocks, across, board, helpers):
    """All steps at once for `across` blocks that have all values of their channels; else (0) in turn."""
    if across:
        words[STEPS] = SUM | MERGE | APPLY
        share(board, function, words, across, helpers)
    else:
        words[STEPS] = SUM
        share(board, function, words, blocks, helpers)
        words[STEPS] = MERGE
        share(board, function, words, 1, 0)
        words[STEPS] = APPLY
        share(board, function, words, blocks, helpers)


def _run(function, x, eps, known, arrays):
    """Sums, merges and applies; where a block has all values of its channels, in one go.

    `arrays` are those of the words from X to VAR but for SUMS and LINES, x's first, as rows of channels;
    `known` is the first of the lines, where the caller has it.
    """
    count, channels = x.shape
    fold = gcd(count, 1 << max(0, (WIDTH // channels).bit_length() - 1))
    rows, columns = count // fold, channels * fold
    height = even(rows, max(1, VALUES // min(columns, WIDTH)))
    down, across = -(-rows // height), -(-columns // WIDTH)
    sums = scratch("batch_norm", (2, down, columns), np.dtype(np.float64))
    lines = scratch("batch_norm", (4, columns), np.dtype(np.float32))
    if known is not None:
        lines[0].reshape(fold, channels)[:] = known
    cut = channels, rows, columns, height, int(np.float64(eps).view(np.int64)), location(sums)
    words = np.array((0, *cut, location(lines), *(location(a) for a in arrays)), np.int64)
    with team().crew(down * across) as (board, helpers):
        _share(words, function, down * across, across if down * fold == 1 else 0, board, helpers)


def _rows(x):
    """x as a C-contiguous matrix (values of a channel, channels)."""
    if x.ndim == 2:
        return np.ascontiguousarray(x)
    return channels_last(x).reshape(-1, x.shape[1])


def _like(rows, x):
    """A result in rows, as the shape of x."""
    n, c, *plane = x.shape
    return channels_first(rows.reshape(n, *plane, c)) if plane else rows


def batch_norm(x, scale, shift, eps):
    """See CONTRACTS["batch_norm"]."""
    if x.dtype != np.float32:
        return reference.batch_norm(x, scale, shift, eps)
    rows = _rows(x)
    y = fresh_like(rows)
    mean, var = np.empty((2, rows.shape[1]), np.float32)
    scale, shift = np.ascontiguousarray(scale), np.ascontiguousarray(shift)
    _run(_entries()[0], rows, eps, None, (rows, y, scale, mean, var, shift))
    return _like(y, x), mean, var


def batch_norm_grad(gy, x, scale, mean, var, eps):
    """See CONTRACTS["batch_norm_grad"]."""
    if x.dtype != np.float32:
        return reference.batch_norm_grad(gy, x, scale, mean, var, eps)
    upstream, rows = _rows(gy), _rows(x)
    gx = fresh_like(rows)
    gscale, gshift = np.empty((2, rows.shape[1]), np.float32)
    scale, mean, var = map(np.ascontiguousarray, (scale, mean, var))
    _run(_entries()[1], rows, eps, mean, (rows, gx, scale, mean, var, upstream, gscale, gshift))
    return _like(gx, x), gscale, gshift
