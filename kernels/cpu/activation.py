"""The leaky rectifier and its gradient, over memory order.

Their time is memory's and the call's. Microseconds for (128, 12544), value and
gradient, on two threads: 139 and 233 as Python calls on the pool's threads, 116 and 178 as jobs of the team.
"""

from functools import cache, lru_cache

import numpy as np
from numba import types
from numba.np.numpy_support import carray

from ..reference import activation as reference
from .jit import entry, jit
from .layout import flat, packed, packed_like
from .memory import fresh_like, location, passes
from .pool import run_blocks
from .team import arguments, even, run_parts
from .vector import (
    INT,
    LANES,
    LINE,
    constant,
    doubles,
    floats,
    intrinsic,
    load,
    pointer,
    spread,
    store,
    stream,
)

PART = 1 << 14

ZERO = np.float32(0)


@intrinsic(prefer_literal=True)
def _rectify_vector(typingctx, streamed, source, signs, target, slope, flat):
    """As `rectify`, for LANES numbers; `streamed` is a literal."""
    put = stream if streamed.literal_value else store

    def generate(context, builder, signature, args):
        _, *args = args
        source, signs, target = (pointer(builder, p) for p in args[:3])
        value, sign, zeros = load(builder, source, INT(0)), load(builder, signs, INT(0)), constant(0)
        below = builder.select(args[4], zeros, builder.fmul(value, spread(builder, args[3])))
        above, above_or_nan = (f(">", sign, zeros) for f in (builder.fcmp_ordered, builder.fcmp_unordered))
        above = builder.select(args[4], above_or_nan, above)
        put(builder, builder.select(above, value, below), target, INT(0))
        return context.get_dummy_value()

    return types.void(streamed, *[types.int64] * 3, types.float32, types.boolean), generate


@jit
def rectify(source, signs, target, size, slope, flat, streamed):
    """target = source where signs > 0, else slope · source; float32 at addresses, which may be the same.

    flat: below, target is 0 and nothing is multiplied, as 0 · ∞ would be NaN and 0 · −1 is −0; NaN stays.
    streamed: past the caches, from where a line begins.
    Vectors are written out, because of a loop over one array LLVM makes a store for some of the numbers, one
    by one: 8,192 of them took 4.8 microseconds, and take 0.5.
    """
    whole = size // LANES * LANES
    if streamed:
        for i in range(0, whole, LANES):
            _rectify_vector(1, source + 4 * i, signs + 4 * i, target + 4 * i, slope, flat)
    else:
        for i in range(0, whole, LANES):
            _rectify_vector(0, source + 4 * i, signs + 4 * i, target + 4 * i, slope, flat)
    xs, ys = carray(floats(source), (size,)), carray(floats(signs), (size,))
    zs = carray(floats(target), (size,))
    for i in range(whole, size):
        below = ZERO if flat else slope * xs[i]
        above = not ys[i] <= 0 if flat else ys[i] > 0
        zs[i] = xs[i] if above else below


def _part(number, place):
    """Words are the slope's bits, how many numbers, and to a part, three addresses, `flat`, `streamed`."""
    words = arguments(place)
    slope = np.float32(carray(doubles(place), (1,))[0])
    start = number * words[2]
    size = min(words[1] - start, words[2])
    source, signs, target = words[3] + 4 * start, words[4] + 4 * start, words[5] + 4 * start
    rectify(source, signs, target, size, slope, words[6] != 0, words[7] != 0)


@cache
def _entry():
    return entry(_part)


@lru_cache(maxsize=64)
def _bits(number):
    return int(np.float64(number).view(np.int64))


def _run(a, b, slope, flat):
    """The step of a after the signs of b, which are of one shape; the first in memory order."""
    if not (a.flags.c_contiguous and b.flags.c_contiguous):
        same = a is b
        b = packed(b)
        a = b if same else packed_like(a, b)
    c = fresh_like(b)
    size = c.size
    step = even(size, PART, LINE // 4)
    places = location(a), location(b), location(c)
    run_parts(_entry(), (_bits(float(slope)), size, step, *places, flat, passes(c)), -(-size // step))
    return c


def leaky_relu(x, negative_slope):
    """See CONTRACTS["leaky_relu"]."""
    if x.dtype != np.float32:
        return reference.leaky_relu(x, negative_slope)
    return _run(x, x, negative_slope, negative_slope == 0)


def leaky_relu_grad(gy, y, negative_slope):
    """See CONTRACTS["leaky_relu_grad"]."""
    if y.dtype != np.float32:
        return reference.leaky_relu_grad(gy, y, negative_slope)
    return _run(gy, y, negative_slope, False)


@jit
def _dropout_grad(gy, y, bits, gx, keep, slope, dropped, start, stop):
    """bits are those of y, dropped those of −0."""
    gys, ys, signs, gxs = gy[start:stop], y[start:stop], bits[start:stop], gx[start:stop]
    zero = keep - keep
    for i in range(gys.size):
        value = gys[i] / keep
        value = value if ys[i] > 0 else slope * value
        gxs[i] = zero if signs[i] == dropped else value


def dropout_grad(gy, y, p, negative_slope=1.0):
    """See CONTRACTS["dropout_grad"]."""
    y = packed(y)
    gy = packed_like(gy, y)
    gx = fresh_like(y)
    values = flat(y)
    assert values is not None  # packed
    bits = values.view(np.int32 if y.dtype == np.float32 else np.int64)
    upstream, target, dropped = flat(gy), flat(gx), np.iinfo(bits.dtype).min
    keep, slope = y.dtype.type(1 - p), y.dtype.type(negative_slope)

    def task(start, stop):
        _dropout_grad(upstream, values, bits, target, keep, slope, dropped, start, stop)

    run_blocks(task, y.size)
    return gx
