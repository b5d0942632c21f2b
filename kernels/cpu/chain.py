"""How a chain of dense layers is cut into parts, by its sizes alone.

    plan = Plan(256, ((128, 16), (2, 128)), (True, True), (0.2, 1.0), squashed=False, backwards=True)

The parts of `perceptron.py`: rows that go through all layers, or columns of a layer where rows are few; some
columns of the weights' packing; and units of the weights' gradients.
"""

from itertools import accumulate, product
from math import prod

import numpy as np

from . import linear
from .gemm import WIDE
from .memory import SMALL, fresh, location
from .reduction import ROWS, rows_summed

# What all parts are told. SHARE: rows to a part, or 0 for columns. START: the address of x, or of gy. LIST:
# that of packs or units, where this job's begin with FIRST. ROOM: of the units' room, EACH floats for each.
TABLE, SLOPES, LAYERS, BATCH, SHARE, START, GX, LIST, FIRST, SQUASHED, BACKWARDS = range(11)
ROOM, EACH, JOB, WORDS = range(11, 15)
PACKING, PASSING, WEIGHING = range(3)  # jobs
# What only their caller needs. SKIPPED: how many packs are the first layer's. LEVEL: whether nothing follows
# the last layer. FUNCTION: where the parts' code is.
LAYOUT, PACKS, PACKED, SKIPPED, UNITS, UNIT_COUNT, ADDED, ADDED_COUNT, LEVEL = range(14, 23)
FUNCTION, ALL = range(23, 25)
# A layer's line of the table: sizes, where its panels, its rows' gradients and its partial sums begin, the
# addresses of its input, of a one, and of its arrays (0 where there is none; a plan says 1 for a bias).
INTO, OUT, PANELS, GRADIENT, PARTIAL, BIAS_PARTIAL, INPUT, ONE = range(8)
WEIGHT, RESULT, BIAS, WEIGHT_GRADIENT, BIAS_GRADIENT, FIELDS = range(8, 14)
# A unit of the weights' gradients: TARGET, SOURCE and FACTORS say under what the table has the addresses, TO,
# FROM and FACTORS_FROM how many bytes after them; steps are floats. PRODUCT: HIGH rows and WIDTH columns of
# factorsᵀ source. LINES: the sum of TERMS rows of the source, each times a factor, with ALONG floats between
# its numbers; MORE: the same, added to what is there.
KIND, LAYER, TARGET, TO, SOURCE, FROM, STEP, FACTORS, FACTORS_FROM, FACTOR_STEP = range(10)
TERMS, WIDTH, HIGH, ALONG, UNIT = range(10, 15)
PRODUCT, LINES, MORE = range(3)
THIN = 3  # rows or columns that are taken one by one
PART = 1 << 18  # multiply-adds to a part
MOST_PARTS = 16
LEAST_ROWS = 12
PACK = 1 << 14  # floats that a part packs
FEW = 3  # times as many weights as numbers that go through the layers: rows are few
TALL = 96  # rows of half a weight's gradient at least
SUM = 1 << 12  # numbers added up in one go


_one = np.ones(1, np.float32)


def _cut(size, step):
    return [(first, min(size, first + step)) for first in range(0, size, step)]


def _gradients(rows, sizes):
    """(units, units that add up partial sums, floats of room that each of the first takes).

    Sorted so that a thread takes what it wrote: pieces of the batch, halves of a gradient, or columns, by
    where they begin.
    """
    units, sums, room = [], [], 0
    for i, (out, into) in enumerate(sizes):
        pieces = _cut(rows, -(-rows // linear.pieces(out, rows, into)))
        thin, more = min(out, into) <= THIN, len(pieces) - 1
        halves = _cut(out, -(-out // 32) * 16 if out > into and out >= 2 * TALL and not thin else out)
        width = max(1, round(PART / (rows * out * WIDE) * len(pieces) * len(halves))) * WIDE
        room = max(room, min(width, -(-into // WIDE) * WIDE) * (pieces[0][1] + 1), max(out, into))
        for p, (begin, end) in enumerate(pieces):
            to, base = (PARTIAL, (p - 1) * out * into) if p else (WEIGHT_GRADIENT, 0)
            gz, inputs, where = begin * out, begin * into, begin / rows
            for j in range(min(out, into) if thin else 0):
                if out <= into:
                    what = to, base + j * into, INPUT, inputs, into, GRADIENT, gz + j, out
                else:
                    what = to, base + j, GRADIENT, gz, out, INPUT, inputs + j, into
                along = 1 if out <= into else into
                units.append((where, (LINES, i, *what, end - begin, max(out, into), 0, along)))
            for (top, bottom), (left, right) in product(halves, [] if thin else _cut(into, width)):
                what = to, base + top * into + left, INPUT, inputs + left, into, GRADIENT, gz + top, out
                after = top / out if more or halves[1:] else left / into
                units.append((where + after, (PRODUCT, i, *what, end - begin, right - left, bottom - top, 1)))
        for left, right in _cut(out * into if more else 0, SUM):
            what = WEIGHT_GRADIENT, left, PARTIAL, left, out * into, ONE, 0, 0
            sums.append((MORE, i, *what, more, right - left, 0, 1))
        batch = _cut(rows, rows_summed(rows)) if rows <= ROWS else []
        for p, (begin, end) in enumerate(batch):
            what = BIAS_PARTIAL if p else BIAS_GRADIENT, 0, GRADIENT, begin * out, out, ONE, 0, 0
            units.append((begin / rows, (LINES, i, *what, end - begin, out, 0, 1)))
        if len(batch) > 1:
            sums.append((MORE, i, BIAS_GRADIENT, 0, BIAS_PARTIAL, 0, 0, ONE, 0, 0, 1, out, 0, 1))
    ordered = [unit for _, unit in sorted(units, key=lambda unit: unit[0])]
    both = [np.array(found, np.int64).reshape(-1, UNIT) for found in (ordered, sums)]
    for found in both:
        found[:, [TO, FROM, FACTORS_FROM]] *= 4
    return (*both, -(-room // 16) * 16)


class Plan:
    """How a chain is cut into parts, by its sizes alone.

    sizes: (out, into) of each layer. biased: whether each has a bias. small: whether every weight is small
    enough to be computed with here; if so, words: what the parts are told, and with it the arrays that it has
    the addresses of. floats: how large the room is that the table's begin in, and gradients: where those of
    the rows do. parts: of the largest job, and most: with the weights' gradients. results: of each, who makes
    it, and its shape.
    """

    def __init__(
        self,
        rows: int,
        sizes: tuple[tuple[int, int], ...],
        biased: tuple[bool, ...],
        slopes: tuple[float, ...],
        squashed: bool,
        backwards: bool,
    ):
        self.small = rows > 1 and all(0 < out * into <= linear.LARGEST for out, into in sizes)
        if not self.small:
            return
        self.slopes = np.array(slopes, np.float32)
        work = sum(out * into for out, into in sizes)
        most = max(rows // LEAST_ROWS, min(2, rows // 4))  # two of fewer rows are better than one
        parts = max(1, min(rows * work // PART, MOST_PARTS, most))
        if parts > 1:
            parts = 1 << (parts.bit_length() - 1)
        step = -(-rows // (2 * parts)) * 2
        self.parts = -(-rows // step)
        counts = []
        for out, into in sizes:
            n, k = (into, out) if backwards else (out, into)
            counts.append(-(-n // WIDE) * (k + 1) * WIDE)
        layers = len(sizes)
        counts += [rows * out for out, _ in sizes]
        counts += [(linear.pieces(out, rows, into) - 1) * out * into for out, into in sizes]
        counts += [out for out, _ in sizes]
        begins = [0, *accumulate(-(-count // 16) * 16 for count in counts)]
        self.gradients = begins[layers : 2 * layers]
        self.layout = np.zeros((len(sizes), FIELDS), np.int64)
        self.layout[:, OUT], self.layout[:, INTO] = np.transpose(sizes)
        self.layout[:, PANELS : BIAS_PARTIAL + 1] = np.multiply(begins[:-1], 4).reshape(4, layers).T
        self.layout[:, ONE], self.layout[:, BIAS] = location(_one), biased
        packs = []
        for i, (out, into) in enumerate(sizes):
            n, k = (into, out) if backwards else (out, into)
            width = max(1, min(PACK // (k * WIDE), -(-n // (2 * WIDE)))) * WIDE
            packs += [(i, left, min(n, left + width)) for left in range(0, n, width)]
        self.packs = np.array(packs, np.int64)
        numbers = rows * (sizes[0][1] + sum(out for out, _ in sizes))
        if not backwards and work >= FEW * numbers:
            step, self.parts = 0, len(packs)
        self.units, self.sums, each = _gradients(rows, sizes)
        self.most = max(self.parts, len(self.units))
        self.backwards = backwards
        self.floats = begins[-1] + len(self.units) * each if backwards else begins[layers]
        self.words = words = np.zeros(ALL, np.int64)
        words[SLOPES], words[LAYERS], words[BATCH], words[SHARE] = location(self.slopes), layers, rows, step
        words[SQUASHED], words[BACKWARDS], words[ROOM], words[EACH] = (
            squashed,
            backwards,
            4 * begins[-1],
            each,
        )
        words[LAYOUT], words[LEVEL] = location(self.layout), slopes[-1] == 1 and not squashed
        words[PACKS], words[PACKED] = location(self.packs), len(packs)
        words[SKIPPED] = sum(i == 0 for i, _, _ in packs)
        words[UNITS], words[UNIT_COUNT] = location(self.units), len(self.units)
        words[ADDED], words[ADDED_COUNT] = location(self.sums), len(self.sums)
        made = [shape for out, into in sizes for shape in ((out, into), (out,))]
        made = made if backwards else [(rows, out) for out, _ in sizes]
        self.results = [(np.empty if 4 * prod(shape) < SMALL else fresh, shape) for shape in made]
