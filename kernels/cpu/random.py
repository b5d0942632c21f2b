"""Philox4x32-10 and what is made of its words: uniforms, normals, dropout.

Words come a few thousand at a time into scratch memory that stays in the nearest cache, and a second loop turns
them into numbers, so that both loops are vectors. The definitions are those of reference/random.py; the words,
uniforms and masks are the same bits, the normals differ in how log, sin and cos are computed: here by the
polynomials of Sun's fdlibm (1993), below one unit in the last place of float64.
"""

import math

import numpy as np
from llvmlite import ir
from numba import float64, int64
from numba.extending import intrinsic

from .jit import jit
from .layout import channels_first, channels_last
from .pool import BLOCK, run_blocks, scratch

LOW = 0xFFFFFFFF
PIECE = 4096  # words at a time: 16 KB


@jit
def _words(out, first, k0, k1, c2, c3):
    """Fills out, whose size is a multiple of 4, with words from block `first` on."""
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
    return float64(int64), lambda context, builder, signature, args: builder.bitcast(args[0], ir.DoubleType())


@intrinsic
def _as_bits(typingctx, value):
    """The 64 bits of a float64."""
    return int64(float64), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(64))


@jit
def _log(x):
    """ln x for x in (0, 1]: fdlibm's e_log.c, x = 2ᵏ (1 + f) with √½ < 1 + f < √2."""
    bits = _as_bits(x)
    # Adding (1 − √½)'s bits carries into the exponent where the mantissa is above √2.
    shifted = bits + (0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    k = _as_float((shifted >> 52) | 0x4330000000000000) - (4503599627370496.0 + 1023.0)
    f = _as_float((shifted & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD) - 1.0
    s = f / (2.0 + f)
    z = s * s
    tail = 0.1531383769920937332 + z * 0.1479819860511658591
    tail = 0.1818357216161805012 + z * tail
    tail = 0.2222219843214978396 + z * tail
    tail = 0.2857142874366239149 + z * tail
    tail = 0.3999999999940941908 + z * tail
    tail = z * (0.6666666666666735130 + z * tail)
    square = 0.5 * f * f
    return k * 6.93147180369123816490e-01 - (
        (square - (s * (square + tail) + k * 1.90821492927058770002e-10)) - f
    )


@jit
def _turn(u):
    """(cos 2πu, sin 2πu) for u in [0, 1): quarter turns off exactly, then fdlibm's k_cos.c and k_sin.c."""
    quarter = math.floor(4.0 * u + 0.5)
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
def _exact(integer):
    """A non-negative integer below 2⁵² as float64; AVX2 has no instruction for it, so by the bits of 2⁵² + n."""
    return _as_float(integer | 0x4330000000000000) - 4503599627370496.0


@jit
def _normals(words, out):
    """Box and Muller on pairs of 24-bit (out float32) or 53-bit (float64) integers; out has an even size."""
    narrow = out.itemsize == 4
    for i in range(out.size // 2):
        if narrow:
            u1 = (_exact(np.int64(words[2 * i] >> 8)) + 1.0) * 2.0**-24
            u2 = _exact(np.int64(words[2 * i + 1] >> 8)) * 2.0**-24
        else:
            high, low = _exact(np.int64(words[4 * i] >> 5)), _exact(np.int64(words[4 * i + 1] >> 6))
            u1 = (high * 67108864.0 + low + 1.0) * 2.0**-53
            high, low = _exact(np.int64(words[4 * i + 2] >> 5)), _exact(np.int64(words[4 * i + 3] >> 6))
            u2 = (high * 67108864.0 + low) * 2.0**-53
        radius = math.sqrt(-2.0 * _log(u1))
        cosine, sine = _turn(u2)
        out[2 * i] = radius * cosine
        out[2 * i + 1] = radius * sine


@jit
def _uniforms(words, out):
    narrow = out.itemsize == 4
    for i in range(out.size):
        if narrow:
            out[i] = np.float32(words[i] >> 8) * np.float32(2.0**-24)
        else:
            high, low = _exact(np.int64(words[2 * i] >> 5)), _exact(np.int64(words[2 * i + 1] >> 6))
            out[i] = (high * 67108864.0 + low) * 2.0**-53


@jit
def _drop(words, x, y, threshold, keep):
    """threshold as uint32: the caller handles the share that 32 bits cannot say."""
    for i in range(x.size):
        y[i] = x[i] / keep if words[i] >= threshold else 0


def _stream(key, draw):
    return tuple(np.uint64(v) for v in (key & LOW, key >> 32, draw & LOW, draw >> 32))


def _in_pieces(size, words_each, key, draw, use):
    """Calls use(words, start, stop) for consecutive pieces of range(size), on all threads."""
    stream = _stream(key, draw)
    piece = PIECE // words_each

    def block(first, last):
        for start in range(first, last, piece):
            stop = min(last, start + piece)
            words = scratch("words", (-(-(stop - start) * words_each // 4) * 4,), np.dtype(np.uint32))
            _words(words, np.uint64(start * words_each // 4), *stream)
            use(words, start, stop)

    run_blocks(block, size)


def philox_words(out, key, draw):
    """See CONTRACTS["philox_words"]."""
    flat = out.reshape(-1)
    whole = flat.size // 4 * 4
    stream = _stream(key, draw)
    run_blocks(lambda start, stop: _words(flat[start:stop], np.uint64(start // 4), *stream), whole)
    if whole < flat.size:
        last = np.empty(4, np.uint32)
        _words(last, np.uint64(whole // 4), *stream)
        flat[whole:] = last[: flat.size - whole]
    return out


def philox_uniform(out, key, draw):
    """See CONTRACTS["philox_uniform"]."""
    flat = out.reshape(-1)
    words_each = out.itemsize // 4
    _in_pieces(flat.size, words_each, key, draw, lambda words, i, j: _uniforms(words, flat[i:j]))
    return out


def philox_normal(out, key, draw):
    """See CONTRACTS["philox_normal"]."""
    flat = out.reshape(-1)
    even = flat.size // 2 * 2
    words_each = out.itemsize // 4
    _in_pieces(even, words_each, key, draw, lambda words, i, j: _normals(words, flat[i:j]))
    if even < flat.size:
        words, pair = np.empty(4 * words_each, np.uint32), np.empty(2, out.dtype)
        _words(words, np.uint64(even * words_each // 4), *_stream(key, draw))
        _normals(words[even * words_each % 4 :][: 2 * words_each], pair)
        flat[even] = pair[0]
    return out


def dropout(x, p, key, draw, channels=False):
    """See CONTRACTS["dropout"]."""
    threshold = round(p * 2**32)
    keep = x.dtype.type(1 - p)
    if channels:
        word = philox_words(np.empty(x.shape[:2], np.uint32), key, draw)
        kept = (word.astype(np.uint64) >= np.uint64(threshold)).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
        return np.where(kept, x / keep, x.dtype.type(0))
    rows = channels_last(x) if x.ndim == 4 else np.ascontiguousarray(x)
    y = np.empty_like(rows)
    source, target = rows.reshape(-1), y.reshape(-1)
    if threshold == 2**32:
        y[...] = 0
    else:
        limit = np.uint32(threshold)
        _in_pieces(x.size, 1, key, draw, lambda words, i, j: _drop(words, source[i:j], target[i:j], limit, keep))
    return channels_first(y) if x.ndim == 4 else y


assert BLOCK % PIECE == 0  # so that every piece starts at a block of four words
