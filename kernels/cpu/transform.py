"""Runs linear programs over images: every step on `BLOCK` channels at once, or on half as many.

    steps = compiled(program, sources, targets)
    transform(steps, source, source_step, target, target_step, images, shift)

A program is not compiled but read, sums of equally many terms in one go, each on BLOCK channels in registers.
Reading costs little beside a block of channels, and needs no compiler however many layers a network has. What
U of "64@14 - 128@7 5x5" took, in ms of one core: 3.6 with sums of two to four terms as they came, where the
processor guessed wrong at the end of most of them; 3.3 in runs of like sums; 2.7 once planes no longer lay a
power of 2 apart. U of "64@16 - 128@8 4x4", ms of two cores: 1.6; 1.2 with each vector in one cache line and
inputs read where they are; 0.8 with results written past the caches, so that they need not be read first. A
step of `dcgan_mnist` took 184 ms, and 177 with the results of the transforms back written so too. While an
image is read the next is asked for: a convolution of that layer 6.4 ms instead of 6.6, all caches cold.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby

import numpy as np
from numba import types

from .gemm import WIDE
from .jit import entry, jit
from .memory import location, streams
from .programs import Program
from .team import arguments, run_parts
from .vector import (
    INT,
    LANES,
    LINE,
    address,
    aligned,
    choose,
    integers,
    intrinsic,
    load,
    multiply_add,
    pointer,
    prefetch,
    spread,
    store,
    stream,
)

BLOCK, HALF = 4 * LANES, 2 * LANES  # of channels, whose sums are in 4 or 2 registers


@dataclass(frozen=True)
class Steps:
    """Programs as arrays. Places count floats: in the image, in the result, or in the room between.

    runs: of like sums: (terms, sums, whether of the image, whether for the result). coefficients, places: of
    each term. targets: of each sum. size: floats of the room.
    """

    runs: np.ndarray
    coefficients: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    size: int

    @cached_property
    def words(self) -> np.ndarray:
        """What `perform` is told: addresses and sizes."""
        tables = [location(table) for table in (self.coefficients, self.places, self.targets)]
        return np.array([location(self.runs), len(self.runs), *tables, self.size], np.int64)


PLAIN, SHIFTED, STREAMED = range(3)  # what becomes of a sum
MOST = 4  # terms to a sum


@intrinsic
def _sums(
    typingctx, vectors, kind, terms, count, weights, places, x, targets, y, column, apart, shift, ahead
):
    """`count` sums of `terms` values: y[targets[s]:] = Σ weights[s][i] · x[places[s][i]:].

    All of 2 or 4 vectors. All int64, addresses but for the first four and the column. SHIFTED: shift is
    added. STREAMED: so too, and past the caches, into places where a vector begins. Each sum asks the cache
    for one more line from `ahead` on.
    """

    def generate(context, builder, signature, args):
        vectors, kind, terms, count, weights, places, x, targets, y, column, apart, shift, ahead = args
        weights, x, y, shift, ahead = (pointer(builder, p) for p in (weights, x, y, shift, ahead))
        places, targets = (builder.inttoptr(p, INT.as_pointer()) for p in (places, targets))

        def write(kind, group, width):
            across = [INT(v * LANES) for v in range(group)]
            columns = [builder.add(column, v) for v in across]
            panels = [builder.mul(builder.sdiv(j, INT(WIDE)), apart) for j in columns]
            beyond = [
                builder.add(panel, builder.srem(j, INT(WIDE)))
                for panel, j in zip(panels, columns, strict=True)
            ]
            sums = [] if kind == PLAIN else [load(builder, shift, v) for v in across]
            before = builder.block
            loop, after = (builder.append_basic_block(name) for name in ("sums", "done"))
            builder.branch(loop)
            builder.position_at_end(loop)
            s = builder.phi(INT)
            s.add_incoming(INT(0), before)
            prefetch(builder, ahead, builder.mul(s, INT(LINE // 4)))
            first = builder.mul(s, INT(width))
            for i in range(width):
                term = builder.add(first, INT(i))
                place = builder.load(builder.gep(places, [term]))
                weight = spread(builder, builder.load(builder.gep(weights, [term])))
                seen = [load(builder, x, builder.add(place, v)) for v in across]
                if sums:
                    sums = [multiply_add(builder, weight, a, b) for a, b in zip(seen, sums, strict=True)]
                else:
                    sums = [builder.fmul(weight, a) for a in seen]
            to = builder.load(builder.gep(targets, [s]))
            for v, total in zip(beyond, sums, strict=True):
                (stream if kind == STREAMED else store)(builder, total, y, builder.add(to, v))
            following = builder.add(s, INT(1))
            s.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
            builder.position_at_end(after)

        variants = {
            64 * kind + 8 * group + width: (kind, group, width)
            for kind in (PLAIN, SHIFTED, STREAMED)
            for group in (4, 2)
            for width in range(1, MOST + 1)
        }
        key = builder.add(builder.mul(kind, INT(64)), builder.mul(vectors, INT(8)))
        choose(builder, builder.add(key, terms), variants, write)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 13), generate


RUNS, RUN_COUNT, COEFFICIENTS, PLACES, TARGETS, SIZE = range(6)


@jit
def room_for(steps):
    """Room for `perform` with these steps (the address of their words); value 0 is zero."""
    words = integers(steps, 6)
    values = np.empty(words[SIZE] + LINE // 4, np.float32)
    values[: BLOCK + LINE // 4] = 0
    return values


@jit
def perform(steps, image, result, apart, channels, shift, kind, values, ahead, reach):
    """result = the programs of one image, for every channel. Addresses; kind: what becomes of the result.

    steps: of their words; values: from `room_for`. Meanwhile `reach` bytes from `ahead` on come nearer.
    """
    words = integers(steps, 6)
    runs = integers(words[RUNS], (words[RUN_COUNT], 5))
    room = aligned(address(values))
    c = 0
    while c < channels:
        vectors = 4 if channels - c >= BLOCK else 2
        c = min(c, channels - vectors * LANES)  # the last may do again what the one before did
        weights, origins, tos = words[COEFFICIENTS], words[PLACES], words[TARGETS]
        for r in range(len(runs)):
            terms, count = runs[r, 0], runs[r, 1]
            seen = image + 4 * c if runs[r, 2] else room
            line = ahead if reach > 0 else room
            last = runs[r, 3] != 0
            how, to, part = (kind, result, apart) if last else (PLAIN, room, WIDE)
            column, more = (runs[r, 4] + c, shift + 4 * c) if last else (0, room)
            _sums(vectors, how, terms, count, weights, origins, seen, tos, to, column, part, more, line)
            weights += 4 * terms * count
            origins += 8 * terms * count
            tos += 8 * count
            ahead += LINE * count
            reach -= LINE * count
        c += vectors * LANES


# What a part of the work is told: addresses and sizes.
STEPS, SOURCE, SOURCE_STEP, TARGET, TARGET_STEP, APART, IMAGES, STEP, SHIFT, CHANNELS, KIND = range(11)
PARTS = 16


def _images(number, place):
    """The programs for images number · STEP ..., and every channel."""
    words = arguments(place)
    values = room_for(words[STEPS])
    for n in range(number * words[STEP], min(words[IMAGES], (number + 1) * words[STEP])):
        image = words[SOURCE] + 4 * n * words[SOURCE_STEP]
        result = words[TARGET] + 4 * n * words[TARGET_STEP]
        step = 4 * words[SOURCE_STEP]
        channels, shift = words[CHANNELS], words[SHIFT]
        perform(
            words[STEPS],
            image,
            result,
            words[APART],
            channels,
            shift,
            words[KIND],
            values,
            image + step,
            step,
        )


@cache
def _entry():
    return entry(_images)


def transform(steps, source, source_step, target, target_step, images, shift, apart=WIDE):
    """target = the programs of source, for each image and channel, on all threads.

    The steps between images count floats. There are HALF channels or more, a multiple of LANES;
    shift[channel] is added to outputs.
    """
    step = max(1, -(-images // PARTS))
    words = [location(steps.words), location(source), source_step, location(target), target_step, apart]
    words += [images, step, location(shift), shift.size, STREAMED if streams(target) else SHIFTED]
    run_parts(_entry(), words, -(-images // step))


def compiled(program: Program, sources: np.ndarray, targets: np.ndarray, column: int = 0) -> Steps:
    """The program as arrays, for inputs and outputs that lie at these places.

    Sums of inputs alone read the image, and sums that are outputs alone write the result; other inputs and
    outputs are copied, by sums of one term. Sums are put in an order in which like follows like, so that the
    processor need not guess where each ends; longer ones than MOST terms are made of several.
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
    made = range(1 + program.inputs, 1 + program.inputs + len(sums))
    terms_of = dict(zip(made, sums, strict=True))
    depth = dict.fromkeys(range(made.start), 0)
    for v in made:
        depth[v] = 1 + max(depth[w] for _, w in terms_of[v])

    outputs = [0 if v is None else names[v] for v in program.outputs]
    uses = Counter(outputs) + Counter(w for terms in sums for _, w in terms)
    place = {v: to for v, to in zip(outputs, targets, strict=True) if v in terms_of and uses[v] == 1}
    outside = {v for v in made if all(0 < w < made.start for _, w in terms_of[v])}
    order = sorted(made, key=lambda v: (depth[v], v in outside, v in place, len(terms_of[v])))

    copied = {v for v in outputs if 0 < v < made.start}
    copied |= {w for v in made if v not in outside for _, w in terms_of[v] if 0 < w < made.start}
    inside = [0, *sorted(copied), *(v for v in order if v not in place)]
    room = {v: i * BLOCK for i, v in enumerate(inside)}

    steps = [([(1.0, sources[v - 1])], room[v], True, False) for v in sorted(copied)]
    for v in order:
        terms = [(c, sources[w - 1] if v in outside else room[w]) for c, w in terms_of[v]]
        steps.append((terms, place.get(v, room.get(v)), v in outside, v in place))
    left = [(v, to) for v, to in zip(outputs, targets, strict=True) if v not in place]
    steps += [([(1.0, room[v])], to, False, True) for v, to in left]

    levels = [0] * len(copied) + [depth[v] for v in order] + [len(made) + 1] * len(left)
    alike = groupby(zip(levels, steps, strict=True), lambda s: (s[0], len(s[1][0]), *s[1][2:]))
    return Steps(
        np.array(
            [(n, len(list(group)), *flags, column) for (_, n, *flags), group in alike], np.int64
        ).reshape(-1, 5),
        np.array([c for terms, *_ in steps for c, _ in terms], np.float32),
        np.array([at for terms, *_ in steps for _, at in terms], np.int64),
        np.array([to for _, to, *_ in steps], np.int64),
        len(inside) * BLOCK,
    )


def joined(several: Sequence[Steps]) -> Steps:
    """One after another, in the same room."""
    names = "runs", "coefficients", "places", "targets"
    tables = {name: np.concatenate([getattr(steps, name) for steps in several]) for name in names}
    return Steps(**tables, size=max(steps.size for steps in several))
