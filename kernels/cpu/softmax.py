"""Logarithms of softmax probabilities: sums in float64; float64 is NumPy's.

Long rows are taken one at a time. Rows of a few numbers, of which vectors are hardly made, go 64 at a time,
turned: 512 rows of ten took one thread 22.5 microseconds one by one, with a call of the C library for each
logarithm, and take 15.3 so.
"""

from functools import cache

import numpy as np
from numba import types
from numba.core.cgutils import alloca_once, for_range

from ..reference import softmax as reference
from .jit import entry, jit
from .loss import _total
from .memory import location
from .random import _log
from .sigmoid import MOST, exp
from .team import arguments, even, run_parts
from .vector import INT, LANES, VECTOR, address, constant, floats, intrinsic, load, pointer

PART = 1 << 12  # numbers, or one row
SHORT = 8 * LANES  # numbers
SIDE = 64  # short rows at a time
ROW = 50  # numbers that take as long as what a row takes beside its numbers


@jit
def _least(value):
    """value as `exp` takes it: e^−87 is as good as 0 beside the largest, which is 1."""
    return value if value > -MOST else -MOST


@intrinsic
def _largest_of_vectors(typingctx, x, vectors):
    """The largest number of so many vectors at an address, or −∞; NaN is left out."""

    def generate(context, builder, signature, args):
        x = pointer(builder, args[0])
        largest = alloca_once(builder, VECTOR)
        builder.store(constant(-np.inf), largest)
        with for_range(builder, args[1]) as i:
            value, old = load(builder, x, builder.mul(i.index, INT(LANES))), builder.load(largest)
            larger = builder.fcmp_ordered(">", value, old)
            builder.store(builder.select(larger, value, old), largest)
        lanes = [builder.extract_element(builder.load(largest), INT(i)) for i in range(LANES)]
        for lane in lanes[1:]:
            lanes[0] = builder.select(builder.fcmp_ordered(">", lane, lanes[0]), lane, lanes[0])
        return lanes[0]

    return types.float32(types.int64, types.int64), generate


@jit
def _largest(xs):
    """The largest number, or −∞. One by one, each waits for the one before, which for a few is faster."""
    vectors = xs.size // LANES if xs.size >= 8 * LANES else 0
    most = _largest_of_vectors(address(xs), vectors) if vectors else np.float32(-np.inf)
    for i in range(vectors * LANES, xs.size):
        most = xs[i] if xs[i] > most else most
    return most


@jit
def _log_softmax(xs, ys, size):
    """Of rows one after another; powers over all of them, for the last few of a row are not in vectors."""
    powers = np.empty(xs.size, np.float32)
    for row in range(0, xs.size, size):
        x, y = xs[row : row + size], ys[row : row + size]
        most = _largest(x)
        for i in range(x.size):
            y[i] = x[i] - most
    for i in range(powers.size):
        value = ys[i]
        power = exp(_least(value))
        powers[i] = power if value == value else value  # NaN spoils its row's sum
    for row in range(0, xs.size, size):
        y, log = ys[row : row + size], np.float32(np.log(_total(powers[row : row + size])))
        for i in range(y.size):
            y[i] -= log


@jit
def _log_softmax_of_short(xs, ys, size):
    """The same for rows of a few numbers, turned: vectors are of one number each of many rows."""
    turned = np.empty((size, SIDE), np.float32)
    largest, powers, sums = np.empty((2, SIDE), np.float32), np.empty(SIDE, np.float32), np.empty(SIDE)
    rows = xs.size // size
    for first in range(0, rows, SIDE):
        count = min(SIDE, rows - first)
        most, power, total = largest[1, :count], powers[:count], sums[:count]
        for r in range(count):
            x, column = xs[(first + r) * size : (first + r + 1) * size], turned[:, r]
            for j in range(column.size):
                column[j] = x[j]
        most[:] = -np.inf
        total[:] = 0
        for j in range(size):
            line, before, most = turned[j, :count], most, largest[j % 2, :count]
            for r in range(line.size):  # into other memory: of one array LLVM stores some of the numbers
                value, old = line[r], before[r]
                most[r] = value if value > old else old
        for j in range(size):
            line = turned[j, :count]
            for r in range(line.size):
                value = line[r] - most[r]
                line[r] = value
                found = exp(_least(value))
                power[r] = found if value == value else value
            for r in range(total.size):
                total[r] += power[r]
        for r in range(total.size):
            log = _log(total[r])
            power[r] = log if total[r] == total[r] else total[r]
        for r in range(count):
            y, column = ys[(first + r) * size : (first + r + 1) * size], turned[:, r]
            log = power[r]
            for j in range(column.size):
                y[j] = column[j] - log


@jit
def _log_softmax_grad(gys, ys, gxs):
    total = np.float32(_total(gys))
    for i in range(gxs.size):
        value = ys[i]
        cut = _least(value)
        power = exp(cut if cut < MOST else MOST)
        gxs[i] = gys[i] - (power if value == value else value) * total


def _part(number, place):
    """Some rows. Words: rows, how long each is, rows in a part, the addresses; one that is 0 for none."""
    words = arguments(place)
    rows, size, each = words[0], words[1], words[2]
    start, last = number * each, min(rows, (number + 1) * each)
    if not words[4]:
        begin, count = 4 * start * size, (last - start) * size
        xs, ys = floats(words[3] + begin, count), floats(words[5] + begin, count)
        if size < SHORT:
            _log_softmax_of_short(xs, ys, size)
        else:
            _log_softmax(xs, ys, size)
        return
    for row in range(start, last):
        begin = 4 * row * size
        gys, ys = floats(words[3] + begin, size), floats(words[4] + begin, size)
        _log_softmax_grad(gys, ys, floats(words[5] + begin, size))


@cache
def _entry():
    return entry(_part)


def _run(x, y):
    x, result = np.ascontiguousarray(x), np.empty(x.shape, x.dtype)
    y = None if y is None else np.ascontiguousarray(y)
    size = x.shape[-1]
    rows = x.size // size
    each = even(rows, max(1, PART // (size + ROW)))
    places = location(x), 0 if y is None else location(y), location(result)
    if rows:
        run_parts(_entry(), (rows, size, each, *places), -(-rows // each))
    return result


def log_softmax(x):
    """See CONTRACTS["log_softmax"]."""
    return _run(x, None) if x.dtype == np.float32 else reference.log_softmax(x)


def log_softmax_grad(gy, y):
    """See CONTRACTS["log_softmax_grad"]."""
    return _run(gy, y) if y.dtype == np.float32 else reference.log_softmax_grad(gy, y)
