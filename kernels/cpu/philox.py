"""Philox4x32-10 (Salmon and others, "Parallel random numbers: as easy as 1, 2, 3", 2011), in vectors.

    fill_words(out, first, stream)    # from block `first` on; stream: two words of the key, two of the draw

A product of two words is twice as wide, so a vector holds half as many blocks as words, each in a lane of 64
bits; the blocks' words lie in four vectors and are put side by side at the end. A word took 2.6 processor
cycles so, as it did when Numba made vectors of the loop over blocks: ten rounds wait for each other, and of
instructions that far apart none is in sight. With two vectors of blocks, turn by turn, it takes 2.0.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from .jit import jit
from .vector import INT, LANES, address, intrinsic, on_stack, pointer

LOW = 0xFFFFFFFF
BLOCKS = LANES  # two vectors: with one, its blocks' rounds wait for each other
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
STEPS = 0x9E3779B9, 0xBB67AE85  # from one round's key to the next one's
ROUNDS = 10
WORD = ir.IntType(32)
BLOCKS_WIDE = ir.VectorType(INT, BLOCKS)


def _lanes(number):
    return ir.Constant(BLOCKS_WIDE, [number] * BLOCKS)


@intrinsic
def _blocks(typingctx, place, count, first, k0, k1, c2, c3):
    """The words of `count` blocks, a multiple of BLOCKS, from block `first` on, at an address."""

    def generate(context, builder, signature, args):
        place, count, first, *stream = args
        low, half = _lanes(LOW), _lanes(32)

        def spread(number):
            lane = builder.insert_element(ir.Constant(BLOCKS_WIDE, ir.Undefined), number, WORD(0))
            return builder.shuffle_vector(lane, lane, ir.Constant(ir.VectorType(WORD, BLOCKS), [0] * BLOCKS))

        def times(words, multiplier):
            """Products of the lower halves; the upper ones are whatever was left there."""
            return builder.mul(builder.and_(words, low), _lanes(multiplier))

        k0, k1, c2, c3 = map(spread, stream)
        begin = builder.add(spread(first), ir.Constant(BLOCKS_WIDE, list(range(BLOCKS))))
        target = pointer(builder, place)
        with cgutils.for_range_slice(builder, INT(0), count, INT(BLOCKS)) as (i, _):
            block = builder.add(begin, spread(i))
            a, b, c, d, x, y = block, builder.lshr(block, half), c2, c3, k0, k1
            for _ in range(ROUNDS):
                p, q = times(a, MULTIPLIERS[0]), times(c, MULTIPLIERS[1])
                a, b = builder.xor(builder.xor(builder.lshr(q, half), b), x), q
                c, d = builder.xor(builder.xor(builder.lshr(p, half), d), y), p
                x, y = builder.add(x, _lanes(STEPS[0])), builder.add(y, _lanes(STEPS[1]))
            pairs = [builder.or_(builder.and_(u, low), builder.shl(v, half)) for u, v in ((a, b), (c, d))]
            turns = [lane for j in range(BLOCKS) for lane in (j, BLOCKS + j)]
            words = builder.shuffle_vector(*pairs, ir.Constant(ir.VectorType(WORD, 2 * BLOCKS), turns))
            there = builder.gep(target, [builder.mul(i, INT(4))])
            builder.store(words, builder.bitcast(there, words.type.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, *[types.uint64] * 5), generate


_last_words = on_stack(types.uint32, 4 * BLOCKS)


@jit
def fill_words(out, first, stream):
    """Fills a uint32 array with words from block `first` on."""
    k0, k1, c2, c3 = stream
    whole = out.size // (4 * BLOCKS) * BLOCKS
    _blocks(address(out), whole, first, k0, k1, c2, c3)
    rest = out[4 * whole :]
    last = _last_words()
    if rest.size:
        _blocks(address(last), BLOCKS, first + np.uint64(whole), k0, k1, c2, c3)
        for i in range(rest.size):
            rest[i] = last[i]
