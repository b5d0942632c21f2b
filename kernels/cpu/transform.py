"""Runs linear programs over images: every step on `BLOCK` channels at once.

    steps = compiled(program)
    transform(steps, source, source_step, sources, target, target_step, targets, first, last, shift)

A program is not compiled but read: for each sum, an intrinsic loads the coefficients and the values one after
another into registers of sums. Reading costs little beside a block of channels, and needs no compiler however
many layers a network has.
"""

import numpy as np
from numba import types

from .jit import jit
from .programs import Program
from .vector import (
    INT,
    LANES,
    VECTOR,
    address,
    constant,
    intrinsic,
    load,
    multiply_add,
    pointer,
    spread,
    store,
)

GROUP = 4  # registers of sums
BLOCK = GROUP * LANES

Steps = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@intrinsic
def _weigh(typingctx, coefficients, places, count, values, target):
    """target[:BLOCK] = Σ coefficients[i] · values[places[i]:][:BLOCK], i < count; all int64 addresses."""

    def generate(context, builder, signature, args):
        coefficients, places, count, values, target = args
        coefficients, values, target = (pointer(builder, p) for p in (coefficients, values, target))
        places = builder.inttoptr(places, INT.as_pointer())
        before = builder.block
        loop, after = (builder.function.append_basic_block(name) for name in ("sum", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        i = builder.phi(INT)
        i.add_incoming(INT(0), before)
        sums = [builder.phi(VECTOR) for _ in range(GROUP)]
        place = builder.load(builder.gep(places, [i]))
        weight = spread(builder, builder.load(builder.gep(coefficients, [i])))
        new = []
        for v, total in enumerate(sums):
            seen = load(builder, values, builder.add(place, INT(v * LANES)))
            new.append(multiply_add(builder, weight, seen, total))
            total.add_incoming(constant(0), before)
            total.add_incoming(new[v], loop)
        following = builder.add(i, INT(1))
        i.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
        builder.position_at_end(after)
        for v, total in enumerate(new):
            store(builder, total, target, INT(v * LANES))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@intrinsic
def _move(typingctx, source, shift, target):
    """target[:BLOCK] = source[:BLOCK] + shift[:BLOCK]."""

    def generate(context, builder, signature, args):
        source, shift, target = (pointer(builder, p) for p in args)
        for v in range(GROUP):
            place = INT(v * LANES)
            total = builder.fadd(load(builder, source, place), load(builder, shift, place))
            store(builder, total, target, place)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@jit
def transform(steps, source, source_step, sources, target, target_step, targets, first, last, shift):
    """Runs a program for images first ... last − 1 and every channel, and adds shift[channel] to its outputs.

    source and target are the addresses of image 0, the steps floats between images; sources and targets say
    how many floats after its image each input and output lies. There are a multiple of BLOCK channels.
    """
    starts, coefficients, places, results = steps
    inputs, sums = sources.size, starts.size - 1
    values = np.zeros((1 + inputs + sums) * BLOCK, np.float32)  # value 0 is zero
    room = address(values)
    weights, origins = address(coefficients), address(places)
    for n in range(first, last):
        for c in range(0, shift.size, BLOCK):
            image = source + 4 * (n * source_step + c)
            for i in range(inputs):
                _move(image + 4 * sources[i], room, room + 4 * BLOCK * (1 + i))
            to = room + 4 * BLOCK * (1 + inputs)
            for i in range(sums):
                start = starts[i]
                _weigh(weights + 4 * start, origins + 8 * start, starts[i + 1] - start, room, to)
                to += 4 * BLOCK
            result = target + 4 * (n * target_step + c)
            for i in range(targets.size):
                _move(room + 4 * BLOCK * results[i], address(shift) + 4 * c, result + 4 * targets[i])


def compiled(program: Program) -> Steps:
    """The program as arrays: where each sum starts, coefficients, places of values, outputs."""
    counts = [len(terms) for terms in program.sums]
    terms = [term for terms in program.sums for term in terms]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    coefficients = np.array([c for c, _ in terms], np.float32)
    places = np.array([(1 + v) * BLOCK for _, v in terms], np.int64)
    results = np.array([0 if v is None else 1 + v for v in program.outputs], np.int64)
    return starts, coefficients, places, results
