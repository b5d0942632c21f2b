"""Philox4x32-10 and what is made of its words: uniforms, normals, dropout."""

from math import prod

from .count import split
from .layout import THREADS, blocks, channels_first, channels_last, contiguous, fresh_like
from .program import Program

PROGRAM = Program("random")


def _fill(kernel, out, key, draw, each):
    """Fills out, of which a thread makes `each` numbers."""
    given = out.reshape(-1), key, *split(draw), out.size
    PROGRAM(kernel, out.dtype, blocks(blocks(out.size, each)), THREADS, *given)
    return out


def philox_words(out, key, draw):
    """See CONTRACTS["philox_words"]."""
    return _fill("philox_words", out, key, draw, 4)


def philox_uniform(out, key, draw):
    """See CONTRACTS["philox_uniform"]."""
    return _fill("philox_uniform", out, key, draw, 16 // out.itemsize)


def philox_normal(out, key, draw):
    """See CONTRACTS["philox_normal"]."""
    return _fill("philox_normal", out, key, draw, 16 // out.itemsize)


def dropout(x, p, key, draw, channels=False, negative_slope=1.0):
    """See CONTRACTS["dropout"]."""
    image = x.ndim == 4
    rows = channels_last(x) if image else x if x.flags.c_contiguous else contiguous(x)
    y = fresh_like(rows)
    given = rows.reshape(-1), y.reshape(-1), round(p * 2**32), 1 - p, negative_slope, key, *split(draw)
    if channels:
        inner = prod(x.shape[2:])
        maps = max(1, inner), int(image), max(1, x.shape[1])
        PROGRAM("dropout_maps", x.dtype, blocks(x.size), THREADS, *given, *maps, x.size)
    else:
        PROGRAM("dropout", x.dtype, blocks(blocks(x.size, 4)), THREADS, *given, x.size)
    return channels_first(y) if image else y
