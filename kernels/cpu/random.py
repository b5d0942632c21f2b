"""Philox4x32-10 and what is made of its words: uniforms, normals, dropout.

Words come a few thousand at a time into scratch memory that stays in the nearest cache, and a second loop
turns them into numbers, so that both loops are vectors. The definitions are those of reference/random.py;
the words, uniforms and masks are the same bits, the normals differ in how log, sin and cos are computed:
here by the polynomials of Sun's fdlibm (1993), below one unit in the last place of float64.
"""

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, float64, uint64
from numba.np.numpy_support import carray

from .activation import leaky_relu
from .jit import entry, jit
from .layout import channels_first, channels_last
from .memory import fresh_like, location
from .pool import run_blocks
from .team import arguments, run_parts
from .vector import doubles, floats

LOW = 0xFFFFFFFF
PIECE = 2048  # numbers at a time, and to a part: a few arrays of 16 KB

# An intrinsic is called without its first argument, which type checkers cannot know.
intrinsic: Any = extending.intrinsic


@jit
def _words(out, first, stream):
    """Fills out, whose size is a multiple of 4, with words from block `first` on."""
    k0, k1, c2, c3 = stream
    low, half = np.uint64(LOW), np.uint64(32)
    m0, m1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
    w0, w1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
    for i in range(out.size // 4):
        block = first + np.uint64(i)
        a, b, c, d = block & low, block >> half, c2, c3
        x, y = k0, k1
        for _ in range(10):
            p, q = m0 * a, m1 * c
            a, b = (q >> half) ^ b ^ x, q & low
            c, d = (p >> half) ^ d ^ y, p & low
            x, y = (x + w0) & low, (y + w1) & low
        out[4 * i] = a
        out[4 * i + 1] = b
        out[4 * i + 2] = c
        out[4 * i + 3] = d


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


@jit
def _normals(out, start, stop, stream):
    share = out.itemsize // 4
    unit = 2.0**-24 if share == 1 else 2.0**-53
    words, units = np.empty(PIECE * share, np.uint32), np.empty(PIECE)
    cosines, sines = np.empty(PIECE // 2), np.empty(PIECE // 2)
    for first in range(start, stop, PIECE):
        part = out[first : min(stop, first + PIECE)]
        pairs = (part.size + 1) // 2
        _words(words[: (2 * pairs * share + 3) // 4 * 4], np.uint64(first * share // 4), stream)
        _units(words, units[: 2 * pairs], share == 1)
        _box_muller(units, unit, cosines[:pairs], sines[:pairs])
        for i in range(part.size // 2):
            part[2 * i] = cosines[i]
            part[2 * i + 1] = sines[i]
        if part.size % 2:
            part[part.size - 1] = cosines[pairs - 1]


@jit
def _uniforms(out, start, stop, stream):
    share = out.itemsize // 4
    words, units = np.empty(PIECE * share, np.uint32), np.empty(PIECE)
    for first in range(start, stop, PIECE):
        part = out[first : min(stop, first + PIECE)]
        _words(words[: (part.size * share + 3) // 4 * 4], np.uint64(first * share // 4), stream)
        _units(words, units[: part.size], share == 1)
        for i in range(part.size):
            part[i] = units[i]


@jit
def _rectified(value, slope):
    """As `leaky_relu`: with slope 0 nothing is multiplied, as 0 · ∞ would be NaN."""
    below = slope if slope == 0 else slope * value
    return below if value <= 0 else value


@jit
def _drop(x, y, start, stop, threshold, keep, slope, stream):
    words = np.empty(PIECE, np.uint32)
    zero = keep - keep
    for first in range(start, stop, PIECE):
        xs, ys = x[first : min(stop, first + PIECE)], y[first : min(stop, first + PIECE)]
        _words(words[: (xs.size + 3) // 4 * 4], np.uint64(first // 4), stream)
        for i in range(xs.size):
            value = (
                _rectified(xs[i], slope) / keep + zero
            )  # before the choice, so that the loop has no branch; −0 + 0 = 0
            ys[i] = value if words[i] >= threshold else -zero


@jit
def _drop_maps(x, y, start, stop, words, threshold, keep, slope):
    """y[n] = x[n] / keep in the maps whose word says so, −0 in the others, for start ≤ n < stop."""
    zero = keep - keep
    for n in range(start, stop):
        word = words[n]
        for i in range(x.shape[1]):
            for j in range(x.shape[2]):
                xs, ys = x[n, i, j], y[n, i, j]
                for c in range(xs.size):
                    value = _rectified(xs[c], slope) / keep + zero
                    ys[c] = value if word[c] >= threshold else -zero


@jit
def _raw(out, start, stop, stream):
    whole = (stop - start) // 4 * 4
    _words(out[start : start + whole], np.uint64(start // 4), stream)
    if start + whole < stop:
        last = np.empty(4, np.uint32)
        _words(last, np.uint64((start + whole) // 4), stream)
        for i in range(stop - start - whole):
            out[start + whole + i] = last[i]


def _stream(key, draw):
    return tuple(np.uint64(v) for v in (key & LOW, key >> 32, draw & LOW, draw >> 32))


def philox_words(out, key, draw):
    """See CONTRACTS["philox_words"]."""
    flat, stream = out.reshape(-1), _stream(key, draw)
    run_blocks(lambda start, stop: _raw(flat, start, stop, stream), flat.size)
    return out


@jit
def _share(number, place):
    """A part's first number, the end of its numbers, and the stream; words are as `_fill` has them."""
    words = arguments(place)
    start, low, half = number * PIECE, np.uint64(LOW), np.uint64(32)
    key, draw = np.uint64(words[2]), np.uint64(words[3])
    return start, min(words[1], start + PIECE), (key & low, key >> half, draw & low, draw >> half)


def _normals_32(number, place):
    start, stop, stream = _share(number, place)
    _normals(carray(floats(arguments(place)[0]), (stop,)), start, stop, stream)


def _normals_64(number, place):
    start, stop, stream = _share(number, place)
    _normals(carray(doubles(arguments(place)[0]), (stop,)), start, stop, stream)


def _uniforms_32(number, place):
    start, stop, stream = _share(number, place)
    _uniforms(carray(floats(arguments(place)[0]), (stop,)), start, stop, stream)


def _uniforms_64(number, place):
    start, stop, stream = _share(number, place)
    _uniforms(carray(doubles(arguments(place)[0]), (stop,)), start, stop, stream)


_entry = cache(entry)  # compiled when first asked for


def _fill(parts, out, key, draw):
    """Fills out in parts that begin at a multiple of four words; parts: for float32 and for float64."""
    part = parts[out.itemsize // 4 - 1]
    signed = [v - (1 << 64) if v >> 63 else v for v in (key, draw)]
    run_parts(_entry(part), [location(out), out.size, *signed], -(-out.size // PIECE))
    return out


def philox_uniform(out, key, draw):
    """See CONTRACTS["philox_uniform"]."""
    return _fill((_uniforms_32, _uniforms_64), out, key, draw)


def philox_normal(out, key, draw):
    """See CONTRACTS["philox_normal"]."""
    return _fill((_normals_32, _normals_64), out, key, draw)


def dropout(x, p, key, draw, channels=False, negative_slope=1.0):
    """See CONTRACTS["dropout"]."""
    threshold = round(p * 2**32)
    keep, slope = x.dtype.type(1 - p), x.dtype.type(negative_slope)
    if channels:
        words = philox_words(np.empty(x.shape[:2], np.uint32), key, draw)
        if x.ndim != 4:
            kept = (words >= threshold).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
            return np.where(kept, leaky_relu(x, negative_slope) / keep + x.dtype.type(0), -x.dtype.type(0))
        images = channels_last(x)
        y = fresh_like(images)
        few = max(1, (1 << 17) * len(x) // max(1, x.size))  # pictures to a task
        run_blocks(lambda i, j: _drop_maps(images, y, i, j, words, threshold, keep, slope), len(x), few)
        return channels_first(y)
    rows = channels_last(x) if x.ndim == 4 else np.ascontiguousarray(x)
    y = fresh_like(rows)
    source, target, stream = rows.reshape(-1), y.reshape(-1), _stream(key, draw)
    run_blocks(lambda start, stop: _drop(source, target, start, stop, threshold, keep, slope, stream), x.size)
    return channels_first(y) if x.ndim == 4 else y
