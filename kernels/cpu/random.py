"""Philox4x32-10 and what is made of its words: uniforms, normals, dropout.

Words come a few thousand at a time into scratch memory that stays in the nearest cache, and a second loop
turns them into numbers, so that both loops are vectors. The definitions are those of reference/random.py;
the words, uniforms and masks are the same bits, the normals differ in how log, sin and cos are computed:
here by the polynomials of Sun's fdlibm (1993), below one unit in the last place of float64.

Dropout of (128, 64, 14, 14), with a rectifier, in ms: 1.01 by Python calls on the pool's threads, for loops
that Numba made vectors of; 0.73 as jobs of the team, of vectors written out. Of whole maps, (128, 64, 16, 16)
0.34 and 0.24, (128, 256, 4, 4) 0.19 and 0.09. float64, which nobody trains with, is NumPy's.
"""

from functools import cache

import numpy as np
from llvmlite import ir
from numba import float64, types, uint64

from .activation import PART, ZERO, bits, leaky_relu
from .jit import entry, jit
from .layout import channels_first, channels_last
from .memory import fresh_like, location, numbers_of, passes
from .philox import LOW, fill_words
from .pool import run_blocks
from .team import arguments, even, run_parts, share, team
from .vector import (
    FLOAT,
    INT,
    LANES,
    LINE,
    address,
    constant,
    doubles,
    floats,
    intrinsic,
    load,
    on_stack,
    pointer,
    spread,
    store,
    stream,
    unsigned,
)

PIECE = 2048  # numbers at a time, and to a part: a few arrays of 16 KB

# What a part of a dropout is told: addresses, how many numbers (or pixels) there are and to a part, how to
# drop, and where words come from: the stream, or those drawn for the maps.
X, Y, COUNT, STEP, LIMIT, SHARE, SLOPE, STREAMED = range(8)
KEY, DRAW = 8, 9
DRAWN, CHANNELS, PIXELS = 8, 9, 10


@intrinsic
def _as_float(typingctx, bits):
    """The float64 with these 64 bits."""
    return float64(uint64), lambda context, builder, signature, args: builder.bitcast(
        args[0], ir.DoubleType()
    )


@intrinsic
def _as_bits(typingctx, value):
    """The 64 bits of a float64."""
    return uint64(float64), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(64))


@jit
def _exact(integer):
    """A uint64 below 2⁵² as float64. AVX2 has no instruction for it; 2⁵² + n has n for its lowest bits."""
    return _as_float(integer | np.uint64(0x4330000000000000)) - 4503599627370496.0


@jit
def _log(x):
    """ln x for x in (0, 1]: fdlibm's e_log.c, with x = 2ᵏ (1 + f), √½ < 1 + f < √2."""
    half = np.uint64(0x3FE6A09E667F3BCD)  # √½; what lies above it carries into the exponent
    shifted = _as_bits(x) + (np.uint64(0x3FF0000000000000) - half)
    k = _exact(shifted >> np.uint64(52)) - 1023.0
    f = _as_float((shifted & np.uint64(0x000FFFFFFFFFFFFF)) + half) - 1.0
    s = f / (2.0 + f)
    z = s * s
    tail = 0.1531383769920937332 + z * 0.1479819860511658591
    tail = 0.1818357216161805012 + z * tail
    tail = 0.2222219843214978396 + z * tail
    tail = 0.2857142874366239149 + z * tail
    tail = 0.3999999999940941908 + z * tail
    tail = z * (0.6666666666666735130 + z * tail)
    square = 0.5 * f * f
    low = s * (square + tail) + k * 1.90821492927058770002e-10
    return k * 6.93147180369123816490e-01 - ((square - low) - f)


@jit
def _turn(u):
    """(cos 2πu, sin 2πu) for u in [0, 1): quarter turns off exactly, then fdlibm's k_cos.c and k_sin.c."""
    quarter = np.floor(4.0 * u + 0.5)
    angle = 6.283185307179586 * (u - 0.25 * quarter)
    z = angle * angle
    s = -2.50507602534068634195e-08 + z * 1.58969099521155010221e-10
    s = 2.75573137070700676789e-06 + z * s
    s = -1.98412698298579493134e-04 + z * s
    s = 8.33333333332248946124e-03 + z * s
    s = -1.66666666666666324348e-01 + z * s
    s = angle + angle * z * s
    c = 2.08757232129817482790e-09 + z * -1.13596475577881948265e-11
    c = -2.75573143513906633035e-07 + z * c
    c = 2.48015872894767294178e-05 + z * c
    c = -1.38888888888741095749e-03 + z * c
    c = 4.16666666666666019037e-02 + z * c
    c = 1.0 - (0.5 * z - z * z * c)
    odd = (quarter == 1.0) | (quarter == 3.0)
    cosine = s if odd else c
    sine = c if odd else s
    cosine = -cosine if (quarter == 1.0) | (quarter == 2.0) else cosine
    sine = -sine if (quarter == 2.0) | (quarter == 3.0) else sine
    return cosine, sine


@jit
def _units(words, units, narrow):
    """Numbers in [0, 1): 24 bits of a word each where `narrow`, else 53 of two; both are exact in float64."""
    if narrow:
        for i in range(units.size):
            units[i] = _exact(np.uint64(words[i]) >> np.uint64(8)) * 2.0**-24
    else:
        for i in range(units.size):
            high = _exact(np.uint64(words[2 * i]) >> np.uint64(5))
            low = _exact(np.uint64(words[2 * i + 1]) >> np.uint64(6))
            units[i] = (high * 67108864.0 + low) * 2.0**-53


@jit
def _box_muller(units, unit, cosines, sines):
    """The pairs made of units[2i] + unit, which is in (0, 1], and units[2i + 1]."""
    for i in range(cosines.size):
        radius = np.sqrt(-2.0 * _log(units[2 * i] + unit))
        cosine, sine = _turn(units[2 * i + 1])
        cosines[i] = radius * cosine
        sines[i] = radius * sine


_drawn_words = on_stack(types.uint32, 2 * PIECE)  # two make a float64
_drawn, _drawn_halves = on_stack(float64, PIECE), on_stack(float64, PIECE // 2)


@jit
def _numbers(out, normal, start, stop, stream):
    """Normals or uniforms in one function: of two, each would compile for half a second what both do."""
    share = out.itemsize // 4
    unit = 2.0**-24 if share == 1 else 2.0**-53
    words, units, cosines, sines = _drawn_words(), _drawn(), _drawn_halves(), _drawn_halves()
    for first in range(start, stop, PIECE):
        part = out[first : min(stop, first + PIECE)]
        pairs = (part.size + 1) // 2
        fill_words(words[: 2 * pairs * share], np.uint64(first * share // 4), stream)
        _units(words, units[: 2 * pairs], share == 1)
        if normal:
            _box_muller(units, unit, cosines[:pairs], sines[:pairs])
            for i in range(pairs):
                units[2 * i] = cosines[i]
                units[2 * i + 1] = sines[i]
        for i in range(part.size):
            part[i] = units[i]


@jit
def _halves(key, draw):
    """The stream of a key and a draw."""
    key, draw, low, half = np.uint64(key), np.uint64(draw), np.uint64(LOW), np.uint64(32)
    return key & low, key >> half, draw & low, draw >> half


@intrinsic(prefer_literal=True)
def _drop_vector(typingctx, streamed, source, drawn, target, limit, share, slope, flat):
    """target = source, rectified, / share where the words drawn are at least `limit`, else −0."""
    put = stream if streamed.literal_value else store

    def generate(context, builder, signature, args):
        _, source, drawn, target, limit, share, slope, flat = args
        source, drawn, target = (pointer(builder, p) for p in (source, drawn, target))
        value, word, zeros = load(builder, source, INT(0)), load(builder, drawn, INT(0)), constant(0)
        below = builder.select(flat, zeros, builder.fmul(value, spread(builder, slope)))
        value = builder.select(builder.fcmp_ordered("<=", value, zeros), below, value)
        value = builder.fadd(builder.fdiv(value, spread(builder, share)), zeros)  # −0 + 0 = 0
        integers = ir.VectorType(ir.IntType(32), LANES)
        bounds = builder.bitcast(spread(builder, builder.bitcast(limit, FLOAT)), integers)
        kept = builder.icmp_unsigned(">=", builder.bitcast(word, integers), bounds)
        put(builder, builder.select(kept, value, constant(-0.0)), target, INT(0))
        return context.get_dummy_value()

    kinds = types.uint32, types.float32, types.float32, types.boolean
    return types.void(streamed, *[types.int64] * 3, *kinds), generate


@jit
def _drop(source, drawn, target, size, limit, share, slope, streamed):
    """As `_drop_vector`, for `size` numbers; streamed: past the caches, from where a line begins."""
    flat, whole = slope == 0, size // LANES * LANES
    if streamed:
        for i in range(0, 4 * whole, 4 * LANES):
            _drop_vector(1, source + i, drawn + i, target + i, limit, share, slope, flat)
    else:
        for i in range(0, 4 * whole, 4 * LANES):
            _drop_vector(0, source + i, drawn + i, target + i, limit, share, slope, flat)
    if whole < size:
        xs, ys = floats(source, size), floats(target, size)
        ws = unsigned(drawn, size)
        for i in range(whole, size):
            below = ZERO if flat else slope * xs[i]
            value = (below if xs[i] <= 0 else xs[i]) / share + ZERO
            ys[i] = value if ws[i] >= limit else -ZERO


@jit
def _how(place):
    """The threshold, the share that is kept, the slope, and whether results go past the caches."""
    words, numbers = arguments(place), doubles(place, SLOPE + 1)
    limit = np.uint32(words[LIMIT])
    return limit, np.float32(numbers[SHARE]), np.float32(numbers[SLOPE]), words[STREAMED] != 0


def _drop_part(number, place):
    """A word for each number."""
    words = arguments(place)
    limit, share, slope, streamed = _how(place)
    start = number * words[STEP]
    last = min(words[COUNT], start + words[STEP])
    from_stream = _halves(words[KEY], words[DRAW])
    drawn = _drawn_words()
    for first in range(start, last, PIECE):
        size = min(PIECE, last - first)
        fill_words(drawn[:size], np.uint64(first // 4), from_stream)
        x, y = words[X] + 4 * first, words[Y] + 4 * first
        _drop(x, address(drawn), y, size, limit, share, slope, streamed)


def _drop_maps_part(number, place):
    """A word for each channel of an image, whose pixels are rows of channels."""
    words = arguments(place)
    limit, share, slope, streamed = _how(place)
    row, pixel = 4 * words[CHANNELS], number * words[STEP]
    last = min(words[COUNT], pixel + words[STEP])
    while pixel < last:
        n = pixel // words[PIXELS]
        for i in range(row * pixel, row * min(last, (n + 1) * words[PIXELS]), row):
            x, y, drawn = words[X] + i, words[Y] + i, words[DRAWN] + n * row
            _drop(x, drawn, y, words[CHANNELS], limit, share, slope, streamed)
        pixel = (n + 1) * words[PIXELS]


def _stream(key, draw):
    return tuple(np.uint64(v) for v in (key & LOW, key >> 32, draw & LOW, draw >> 32))


@jit
def words_from(out, first, stream):
    """`fill_words`, for Python to call."""
    fill_words(out, first, stream)


def philox_words(out, key, draw):
    """See CONTRACTS["philox_words"]."""
    flat, stream = out.reshape(-1), _stream(key, draw)
    run_blocks(lambda start, stop: words_from(flat[start:stop], np.uint64(start // 4), stream), flat.size)
    return out


@jit
def _share(number, place):
    """A part's first number, the end of its numbers, and the stream; words are as `_share_out` has them."""
    words = arguments(place)
    start = number * PIECE
    return start, min(words[1], start + PIECE), _halves(words[2], words[3])


def _part_32(number, place):
    start, stop, stream = _share(number, place)
    words = arguments(place)
    _numbers(floats(words[0], stop), words[4] != 0, start, stop, stream)


def _part_64(number, place):
    start, stop, stream = _share(number, place)
    words = arguments(place)
    _numbers(doubles(words[0], stop), words[4] != 0, start, stop, stream)


_entry = cache(entry)  # compiled when first asked for


def _signed(*words):
    """Words of 64 bits as the team's are."""
    return [v - (1 << 64) if v >> 63 else v for v in words]


_told = on_stack(types.int64, 5)


@jit
def _share_out(out, size, key, draw, normal, parts, function, board, helpers):
    words = _told()
    words[0], words[1], words[2], words[3], words[4] = numbers_of(out), size, key, draw, normal
    share(board, function, words, parts, helpers)


def _fill(out, key, draw, normal):
    """Fills out in parts that begin at a multiple of four words."""
    part, size = _part_32 if out.itemsize == 4 else _part_64, out.size
    count, (key, draw) = -(-size // PIECE), _signed(key, draw)
    with team().crew(count) as (board, helpers):
        _share_out(id(out), size, key, draw, normal, count, _entry(part), board, helpers)
    return out


def philox_uniform(out, key, draw):
    """See CONTRACTS["philox_uniform"]."""
    return _fill(out, key, draw, False)


def philox_normal(out, key, draw):
    """See CONTRACTS["philox_normal"]."""
    return _fill(out, key, draw, True)


def _dropped(x, key, draw, threshold, share, slope, channels):
    """`dropout` of float32 in memory order, images channels-last; the threshold is a word."""
    y = fresh_like(x)
    how = threshold, bits(float(share)), bits(float(slope))
    if channels:
        n, h, w, c = x.shape
        drawn = philox_words(np.empty((n, c), np.uint32), key, draw)
        count, step = n * h * w, even(n * h * w, max(1, PART // c))
        source, part, streamed = (location(drawn), c, h * w), _drop_maps_part, c % LANES == 0 and passes(y)
    else:
        count, step = x.size, even(x.size, PART, LINE // 4)
        source, part, streamed = _signed(key, draw), _drop_part, passes(y)
    words = location(x), location(y), count, step, *how, streamed, *source
    run_parts(_entry(part), words, -(-count // step))
    return y


def dropout(x, p, key, draw, channels=False, negative_slope=1.0):
    """See CONTRACTS["dropout"]."""
    threshold = round(p * 2**32)
    share, slope, zero = (x.dtype.type(v) for v in (1 - p, negative_slope, 0))
    rows = channels_last(x) if x.ndim == 4 else np.ascontiguousarray(x)
    if x.dtype == np.float32 and threshold <= LOW and (x.ndim == 4 or not channels) and x.size:
        y = _dropped(rows, key, draw, threshold, share, slope, channels)
        return channels_first(y) if x.ndim == 4 else y
    if channels:
        words = philox_words(np.empty(x.shape[:2], np.uint32), key, draw)
        words = words.reshape(*x.shape[:2], *[1] * (x.ndim - 2))
    else:
        words = philox_words(np.empty(rows.shape, np.uint32), key, draw)
        words = channels_first(words) if x.ndim == 4 else words
    return np.where(words >= threshold, leaky_relu(x, negative_slope) / share + zero, -zero)
