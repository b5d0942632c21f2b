"""The processors' own rate of multiply-adds, which `rawgan bench` measures as the roof of what computes.

No matrix product is faster than its multiply-adds alone, with all numbers in registers. np.matmul is no such
roof: where it came to 210 Gflop/s (AVX-512), products of `gemm.py` ran at 350 to 430.
"""

from functools import cache

import numpy as np
from numba import types

from .jit import entry
from .memory import location
from .team import arguments, run_parts
from .threads import thread_count
from .vector import INT, LANES, VECTOR, constant, intrinsic, load, multiply_add, pointer, store

CHAINS = 12  # sums at a time: more than a processor needs in flight, fewer than it has registers


@intrinsic
def _multiply(typingctx, rounds, place):
    """`rounds` times s = s / 2 + 1 for CHAINS vectors of sums from an address on, and puts them back."""

    def generate(context, builder, signature, args):
        rounds, place = args
        place = pointer(builder, place)
        offsets = [INT(i * LANES) for i in range(CHAINS)]
        first = [load(builder, place, offset) for offset in offsets]
        before = builder.block
        loop, after = (builder.append_basic_block(name) for name in ("multiply", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        i = builder.phi(INT)
        sums = [builder.phi(VECTOR) for _ in first]
        more = [multiply_add(builder, total, constant(0.5), constant(1.0)) for total in sums]
        following = builder.add(i, INT(1))
        for phi, begun, later in zip((i, *sums), (INT(0), *first), (following, *more), strict=True):
            phi.add_incoming(begun, before)
            phi.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed("<", following, rounds), loop, after)
        builder.position_at_end(after)
        for total, offset in zip(more, offsets, strict=True):
            store(builder, total, place, offset)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def _part(number, place):
    words = arguments(place)
    _multiply(words[1], words[0] + 4 * number * words[2])


@cache
def _entry():
    return entry(_part)


def multiply(rounds: int) -> tuple[np.ndarray, int]:
    """What every thread's sums have come to, (threads, sums), from 0 on; and how many operations it was."""
    sums = np.zeros((thread_count(), CHAINS * LANES), np.float32)
    run_parts(_entry(), [location(sums), rounds, sums.shape[1]], len(sums))
    return sums, 2 * sums.size * rounds
