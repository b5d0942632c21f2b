"""Sums over everything but the channels: the gradient of a bias.

Rows of channels are added in float32 a few at a time, and those sums in float64, so that neither time nor
digits are lost. NumPy's sums over a picture's places, then over the batch, took 6 ms of a step of
`dcgan_cifar10`. Microseconds for (128, 64, 14, 14) and (128, 12544): compiled calls made by Python for each
block of rows, 135 and 212 (all rows are one block there); jobs of the team over blocks of rows and columns,
the sums in registers, 82 and 85. Of few channels the pixels are taken many at a time: (128, 3, 32, 32) 280
and 26. A batch of at most 512 rows is added up in two halves, as `perceptron` does.
"""

from functools import cache
from math import gcd

import numpy as np
from numba import types

from ..reference import reduction as reference
from .jit import entry, jit
from .layout import channels_last
from .memory import location
from .team import arguments, even, run_parts
from .vector import (
    INT,
    LANES,
    VECTOR,
    address,
    constant,
    doubles,
    floats,
    intrinsic,
    load,
    on_stack,
    pointer,
    store,
)

RUN = 32  # rows added in float32
VECTORS = 4  # sums in registers
ROWS, COLUMNS = 512, 512  # of a part
APART = 64  # rows of half a batch, whose sums are apart


@intrinsic
def _sum_rows(typingctx, x, step, rows, sums):
    """sums = Σ of `rows` rows, `step` floats apart, of VECTORS · LANES floats at x."""

    def generate(context, builder, signature, args):
        x, step, rows, sums = args
        x, sums = pointer(builder, x), pointer(builder, sums)
        before = builder.block
        loop, after = (builder.function.append_basic_block(name) for name in ("row", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        row = builder.phi(INT)
        totals = [builder.phi(VECTOR) for _ in range(VECTORS)]
        start, following = builder.mul(row, step), builder.add(row, INT(1))
        added = [
            builder.fadd(total, load(builder, x, builder.add(start, INT(v * LANES))))
            for v, total in enumerate(totals)
        ]
        for phi, first, new in zip(
            [row, *totals], [INT(0), *[constant(0)] * VECTORS], [following, *added], strict=True
        ):
            phi.add_incoming(first, before)
            phi.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", following, rows), loop, after)
        builder.position_at_end(after)
        for v in range(VECTORS):
            store(builder, added[v], sums, INT(v * LANES))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@jit
def _add(total, row):
    for c in range(total.size):
        total[c] += row[c]


@jit
def _put(sums, total):
    for c in range(sums.size):
        sums[c] = total[c]


_short = on_stack(types.float32, COLUMNS)


def _part(number, place):
    """The sums of a block of rows and columns, float64, into the block's place among the partial sums.

    Where a block has all rows, its sums are the result's.
    """
    words = arguments(place)
    x, rows, channels, across, height, sums = words[0], words[1], words[2], words[3], words[4], words[5]
    run = words[6]
    first, left = number // across * height, number % across * COLUMNS
    width, last = min(COLUMNS, channels - left), min(rows, first + height)
    short, total = _short(), np.zeros(width)
    whole = width // (VECTORS * LANES) * VECTORS * LANES
    for start in range(first, last, run):
        count, here = min(run, last - start), x + 4 * (start * channels + left)
        for c in range(0, whole, VECTORS * LANES):
            _sum_rows(here + 4 * c, channels, count, address(short) + 4 * c)
        rest = short[whole:width]
        rest[:] = 0
        for r in range(count if whole < width else 0):
            _add(rest, floats(here + 4 * (r * channels + whole), width - whole))
        _add(total, short[:width])
    if height >= rows:
        _put(floats(sums + 4 * left, width), total)
    else:
        _put(doubles(sums + 8 * (number // across * channels + left), width), total)


@cache
def _entry():
    return entry(_part)


def rows_summed(rows: int) -> int:
    """How many of a batch's rows are added in float32: the halves that `perceptron` has on two threads."""
    if rows > ROWS:
        return RUN
    return -(-rows // 2) if rows >= 2 * APART else max(1, rows)


def channel_sum(x):
    """See CONTRACTS["channel_sum"]."""
    if x.dtype != np.float32:
        return reference.channel_sum(x)
    images = channels_last(x) if x.ndim == 4 else np.ascontiguousarray(x)
    channels = x.shape[1]
    rows, fold = x.size // max(1, channels), 1
    if x.ndim == 4 and rows and channels % (VECTORS * LANES):  # several pixels as one row
        fold = gcd(rows, 1 << max(0, (COLUMNS // channels).bit_length() - 1))
    rows, columns = rows // fold, channels * fold
    height, across = even(rows, ROWS), -(-columns // COLUMNS)
    down = max(1, -(-rows // height))
    sums = np.empty((down, columns), x.dtype if down == 1 else np.float64)
    run = rows_summed(rows) if x.ndim == 2 else RUN
    words = location(images), rows, columns, across, height, location(sums), run
    run_parts(_entry(), words, down * across)
    if down * fold == 1:
        return sums[0]
    return sums.reshape(down * fold, channels).sum(axis=0, dtype=np.float64).astype(x.dtype)
