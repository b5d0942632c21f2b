"""Random numbers by counting: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
easy as 1, 2, 3", SC 2011).

A block of four 32-bit words is a function of a counter and a key, so any element of any draw can be had
without the ones before it, on any device, in any order. Word e of draw d is word e mod 4 of the block with
the counter (⌊e/4⌋, d) and the key, each a 64-bit number split into its low and high half.
"""

import numpy as np

from .activation import leaky_relu

LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


def philox4x32(counter, key):
    """Ten rounds on four counter words (uint64 arrays that hold 32 bits), with two key words; four words."""
    c0, c1, c2, c3 = (np.asarray(c, np.uint64) for c in counter)
    k0, k1 = key
    for i in range(10):
        product0 = np.uint64(0xD2511F53) * c0
        product1 = np.uint64(0xCD9E8D57) * c2
        round0 = np.uint64((k0 + i * 0x9E3779B9) % 2**32)
        round1 = np.uint64((k1 + i * 0xBB67AE85) % 2**32)
        c0, c1 = (product1 >> HALF) ^ c1 ^ round0, product1 & LOW
        c2, c3 = (product0 >> HALF) ^ c3 ^ round1, product0 & LOW
    return c0, c1, c2, c3


def _words(count, key, draw):
    """The first `count` words of a draw."""
    block = np.arange(-(-count // 4), dtype=np.uint64)
    counter = block & LOW, block >> HALF, draw % 2**32, draw >> 32
    words = philox4x32(counter, (key % 2**32, key >> 32))
    return np.stack(np.broadcast_arrays(*words), axis=-1).reshape(-1)[:count].astype(np.uint32)


def philox_words(out, key, draw):
    """Fills a uint32 array with words 0, 1, 2, ... of the draw, and returns it."""
    out[...] = _words(out.size, key, draw).reshape(out.shape)
    return out


def _integers(count, dtype, key, draw):
    """`count` integers below 2²⁴ from a word each (float32), or below 2⁵³ from two words each (float64)."""
    if dtype == np.float32:
        return (_words(count, key, draw) >> np.uint32(8)).astype(np.float64), 2.0**-24
    words = _words(2 * count, key, draw).astype(np.uint64)
    return (((words[::2] >> np.uint64(5)) << np.uint64(26)) + (words[1::2] >> np.uint64(6))).astype(
        np.float64
    ), 2.0**-53


def philox_uniform(out, key, draw):
    """Fills out with numbers in [0, 1): (word ≫ 8) · 2⁻²⁴, in float64 (w₀ ≫ 5) · 2⁻²⁷ + (w₁ ≫ 6) · 2⁻⁵³."""
    integers, unit = _integers(out.size, out.dtype, key, draw)
    out[...] = (integers * unit).reshape(out.shape)
    return out


def _turn(u):
    """(cos 2πu, sin 2πu), exact at right angles: quarter turns are taken off before multiplying by 2π."""
    quarter = np.rint(4 * u)
    angle = 2 * np.pi * (u - quarter / 4)
    c, s = np.cos(angle), np.sin(angle)
    quarter %= 4
    return np.choose(quarter.astype(int), (c, -s, -c, s)), np.choose(quarter.astype(int), (s, c, -s, -c))


def philox_normal(out, key, draw):
    """Box and Muller (1958): elements 2i and 2i+1 are r cos 2πu₂ and r sin 2πu₂ with r = √(−2 ln u₁).

    u₁ = (k + 1) · unit in (0, 1] and u₂ = k′ · unit in [0, 1), from the pair's two integers k, k′; computed
    in float64 and rounded once. An odd size drops the last sine.
    """
    pairs = -(-out.size // 2)
    integers, unit = _integers(2 * pairs, out.dtype, key, draw)
    radius = np.sqrt(-2 * np.log((integers[::2] + 1) * unit))
    cosine, sine = _turn(integers[1::2] * unit)
    normals = np.stack((radius * cosine, radius * sine), axis=-1).reshape(-1)
    out[...] = normals[: out.size].reshape(out.shape)
    return out


def dropout(x, p, key, draw, channels=False, negative_slope=1.0):
    """y = h / (1 − p), h = leaky_relu(x), where word e of the draw is at least p · 2³², else −0, which
    nothing kept ever is.

    Elements are counted in the order (N, H, W, C) for images, else in C order; with `channels` one word
    decides for a whole (n, c), counted n · C + c.
    """
    if channels:
        word = _words(x.shape[0] * x.shape[1], key, draw).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
    elif x.ndim == 4:
        n, c, h, w = x.shape
        word = _words(x.size, key, draw).reshape(n, h, w, c).transpose(0, 3, 1, 2)
    else:
        word = _words(x.size, key, draw).reshape(x.shape)
    keep = word.astype(np.uint64) >= np.uint64(round(p * 2**32))
    h = leaky_relu(x, negative_slope)
    return np.where(keep, h / x.dtype.type(1 - p) + x.dtype.type(0), -x.dtype.type(0))
