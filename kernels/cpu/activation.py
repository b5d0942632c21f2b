"""The leaky rectifier and its gradient, and the gradient of a dropout after it, over memory order.

Their time is memory's and the call's. Microseconds for (128, 12544), value and
gradient, on two threads: 139 and 233 as Python calls on the pool's threads, 116 and 178 as jobs of the team.
So `dropout_grad` of (128, 64, 16, 16) and (128, 256, 4, 4): 390 and 160, and 300 and 63.
"""

from functools import cache, lru_cache

import numpy as np
from llvmlite import ir
from numba import types

from ..reference import activation as reference
from .jit import entry, jit
from .layout import packed, packed_like
from .memory import fresh_like, location, passes
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
    unsigned,
)

PART = 1 << 14

ZERO = np.float32(0)
DROPPED = np.uint32(1 << 31)  # the bits of −0


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
    xs, ys = floats(source, size), floats(signs, size)
    zs = floats(target, size)
    for i in range(whole, size):
        below = ZERO if flat else slope * xs[i]
        above = not ys[i] <= 0 if flat else ys[i] > 0
        zs[i] = xs[i] if above else below


def _part(number, place):
    """Words are the slope's bits, how many numbers, and to a part, three addresses, `flat`, `streamed`."""
    words = arguments(place)
    slope = np.float32(doubles(place, 1)[0])
    start = number * words[2]
    size = min(words[1] - start, words[2])
    source, signs, target = words[3] + 4 * start, words[4] + 4 * start, words[5] + 4 * start
    rectify(source, signs, target, size, slope, words[6] != 0, words[7] != 0)


_entry = cache(entry)  # compiled when first asked for


@lru_cache(maxsize=64)
def bits(number):
    """A float64's bits, as a word of a part."""
    return int(np.float64(number).view(np.int64))


def _run(part, a, b, slope, how):
    """A part's function for the step of a after the signs of b, which are of one shape."""
    if not (a.flags.c_contiguous and b.flags.c_contiguous):
        same = a is b
        b = packed(b)
        a = b if same else packed_like(a, b)
    c = fresh_like(b)
    size = c.size
    step = even(size, PART, LINE // 4)
    places = location(a), location(b), location(c)
    run_parts(_entry(part), (bits(float(slope)), size, step, *places, how, passes(c)), -(-size // step))
    return c


def leaky_relu(x, negative_slope):
    """See CONTRACTS["leaky_relu"]."""
    if x.dtype != np.float32:
        return reference.leaky_relu(x, negative_slope)
    return _run(_part, x, x, negative_slope, negative_slope == 0)


def leaky_relu_grad(gy, y, negative_slope):
    """See CONTRACTS["leaky_relu_grad"]."""
    if y.dtype != np.float32:
        return reference.leaky_relu_grad(gy, y, negative_slope)
    return _run(_part, gy, y, negative_slope, False)


@intrinsic(prefer_literal=True)
def _undrop_vector(typingctx, streamed, source, signs, target, slope, share):
    """target = source / share, times the slope where signs are not above 0; 0 where they are −0."""
    put = stream if streamed.literal_value else store

    def generate(context, builder, signature, args):
        _, source, signs, target, slope, share = args
        source, signs, target = (pointer(builder, p) for p in (source, signs, target))
        value, sign, zeros = load(builder, source, INT(0)), load(builder, signs, INT(0)), constant(0)
        value = builder.fdiv(value, spread(builder, share))
        below = builder.fmul(value, spread(builder, slope))
        value = builder.select(builder.fcmp_ordered(">", sign, zeros), value, below)
        whole = ir.VectorType(ir.IntType(32), LANES)
        dropped = builder.icmp_unsigned("==", *(builder.bitcast(v, whole) for v in (sign, constant(-0.0))))
        put(builder, builder.select(dropped, zeros, value), target, INT(0))
        return context.get_dummy_value()

    return types.void(streamed, *[types.int64] * 3, types.float32, types.float32), generate


def _undrop_part(number, place):
    """Words are as those of `_part`, with the share that was kept for `flat`."""
    words = arguments(place)
    slope, share = np.float32(doubles(place, 1)[0]), np.float32(doubles(place, 7)[6])
    start = number * words[2]
    size = min(words[1] - start, words[2])
    source, signs, target = words[3] + 4 * start, words[4] + 4 * start, words[5] + 4 * start
    whole = size // LANES * LANES
    if words[7]:
        for i in range(0, 4 * whole, 4 * LANES):
            _undrop_vector(1, source + i, signs + i, target + i, slope, share)
    else:
        for i in range(0, 4 * whole, 4 * LANES):
            _undrop_vector(0, source + i, signs + i, target + i, slope, share)
    rest = 4 * whole
    gys, gxs = floats(source + rest, size - whole), floats(target + rest, size - whole)
    ys, bits = floats(signs + rest, size - whole), unsigned(signs + rest, size - whole)
    for i in range(gxs.size):
        value = gys[i] / share
        value = value if ys[i] > 0 else slope * value
        gxs[i] = ZERO if bits[i] == DROPPED else value


def dropout_grad(gy, y, p, negative_slope=1.0):
    """See CONTRACTS["dropout_grad"]."""
    if y.dtype != np.float32:
        return reference.dropout_grad(gy, y, p, negative_slope)
    return _run(_undrop_part, gy, y, negative_slope, bits(float(np.float32(1 - p))))
