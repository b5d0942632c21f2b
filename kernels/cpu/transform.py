"""Runs linear programs over images: every step on `BLOCK` channels at once.

    steps = compiled(program)
    transform(steps, source, source_step, sources, target, target_step, targets, first, last, shift)

A program is not compiled but read, sums of equally many terms in one go, each on BLOCK channels in registers.
Reading costs little beside a block of channels, and needs no compiler however many layers a network has. What
U of "64@14 - 128@7 5x5" took, in ms of one core: 3.6 with sums of two to four terms as they came, where the
processor guessed wrong at the end of most of them; 3.3 in runs of like sums; 2.7 once planes no longer lay a
power of 2 apart.
"""

from itertools import groupby

import numpy as np
from numba import types

from .jit import jit
from .programs import Program
from .vector import (
    INT,
    LANES,
    address,
    constant,
    intrinsic,
    keep,
    load,
    multiply_add,
    pointer,
    spread,
    store,
)

GROUP = 4  # registers of sums
BLOCK = GROUP * LANES

Steps = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@intrinsic(prefer_literal=True)
def _sums(typingctx, terms, count, coefficients, places, values, target):
    """`count` sums of `terms` values each, one after another, into target.

    target[s][:BLOCK] = Σ coefficients[s][i] · values[places[s][i]:][:BLOCK], i < terms, a literal; the others
    are int64, addresses but for count.
    """
    width = terms.literal_value

    def generate(context, builder, signature, args):
        _, count, coefficients, places, values, target = args
        coefficients, values, target = (pointer(builder, p) for p in (coefficients, values, target))
        places = builder.inttoptr(places, INT.as_pointer())
        before = builder.block
        loop, after = (builder.function.append_basic_block(name) for name in ("sums", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        s = builder.phi(INT)
        s.add_incoming(INT(0), before)
        first = builder.mul(s, INT(width))
        sums = [constant(0)] * GROUP
        for i in range(width):
            term = builder.add(first, INT(i))
            place = builder.load(builder.gep(places, [term]))
            weight = spread(builder, builder.load(builder.gep(coefficients, [term])))
            for v in range(GROUP):
                seen = load(builder, values, builder.add(place, INT(v * LANES)))
                sums[v] = multiply_add(builder, weight, seen, sums[v]) if i else builder.fmul(weight, seen)
        for v, total in enumerate(sums):
            store(builder, total, target, builder.add(builder.mul(s, INT(BLOCK)), INT(v * LANES)))
        following = builder.add(s, INT(1))
        s.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(terms, *[types.int64] * 5), generate


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
    runs, coefficients, places, results = steps
    inputs = sources.size
    values = np.zeros((1 + inputs + runs[:, 1].sum()) * BLOCK, np.float32)  # value 0 is zero
    room = address(values)
    for n in range(first, last):
        for c in range(0, shift.size, BLOCK):
            image = source + 4 * (n * source_step + c)
            for i in range(inputs):
                _move(image + 4 * sources[i], room, room + 4 * BLOCK * (1 + i))
            weights, origins = address(coefficients), address(places)
            to = room + 4 * BLOCK * (1 + inputs)
            for r in range(len(runs)):
                terms, count = runs[r, 0], runs[r, 1]
                if terms == 1:
                    _sums(1, count, weights, origins, room, to)
                elif terms == 2:
                    _sums(2, count, weights, origins, room, to)
                elif terms == 3:
                    _sums(3, count, weights, origins, room, to)
                else:
                    _sums(4, count, weights, origins, room, to)
                weights += 4 * terms * count
                origins += 8 * terms * count
                to += 4 * BLOCK * count
            result = target + 4 * (n * target_step + c)
            for i in range(targets.size):
                _move(room + 4 * BLOCK * results[i], address(shift) + 4 * c, result + 4 * targets[i])
    keep(values)


MOST = 4  # terms to a sum


def compiled(program: Program) -> Steps:
    """The program as arrays: runs (terms, sums) of like sums, coefficients, places of values, outputs.

    Sums are put in an order in which like follows like, so that the processor need not guess where each ends;
    longer ones than MOST terms are made of several.
    """
    sums: list[list[tuple[float, int]]] = []
    names = list(range(1, 1 + program.inputs))  # this program's values, in numbers of the arrays'
    for terms in program.sums:
        rest = [(c, names[v]) for c, v in terms]
        while len(rest) > MOST:
            sums.append(rest[:MOST])
            rest = [(1.0, program.inputs + len(sums)), *rest[MOST:]]
        sums.append(rest)
        names.append(program.inputs + len(sums))
    depth = [0] * (1 + program.inputs)
    for terms in sums:
        depth.append(1 + max(depth[v] for _, v in terms))
    made = range(1 + program.inputs, len(depth))
    order = sorted(made, key=lambda v: (depth[v], len(sums[v - made.start])))
    place = {v: i for i, v in enumerate([*range(made.start), *order])}
    ordered = [sums[v - made.start] for v in order]
    kinds = groupby(zip(ordered, order, strict=True), key=lambda s: (len(s[0]), depth[s[1]]))
    runs = np.array([(terms, len(list(group))) for (terms, _), group in kinds], np.int64).reshape(-1, 2)
    coefficients = np.array([c for terms in ordered for c, _ in terms], np.float32)
    places = np.array([place[v] * BLOCK for terms in ordered for _, v in terms], np.int64)
    results = np.array([0 if v is None else place[names[v]] for v in program.outputs], np.int64)
    return runs, coefficients, places, results
