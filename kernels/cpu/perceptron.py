"""A chain of dense layers in one call: the rows go through all layers while they are in the nearest cache.

Layer by layer, a network of three small layers costs seven kernel calls forwards and eleven backwards, each
of which wakes the helpers and passes all rows through memory. Here

- forwards, every part takes some rows of x through all layers, so nobody waits for anybody between layers;
  where rows are few, some columns of one layer instead, for it is weights then that are better not shared:
  784-128-128-1 at batch 16 took 78 microseconds, by rows for each of two threads 70, and 52 so (PyTorch 64);
- backwards, the parts first take rows of the gradient down through the layers, then compute the weights'
  gradients: where the batch is long beside a layer's sides, in pieces of its rows, each on the thread that
  wrote them, whose sums are added up after that; else by columns, and before them by halves of a tall
  gradient's rows. One or a few rows or columns are sums of multiples of rows, not tiles of 16 columns.
  The gradient of an output is read where it is.

`chain.py` plans all that, once for a chain's sizes, down to the words that the parts are told: 8 microseconds
of Python became 6 forwards, and 13 became 8 backwards. With that, and all weights' gradients by columns
before and as above now: 16-128-128-2 at batch 256 took 157 and takes 139, where the two processors share no
cache 229 and 181; 2-128-128-1 so 157 and 134, 228 and 180; 100-128-128-784 at batch 128 466 and 435, 700 and
559.

The weights are packed once for all parts, and that in parts too. (With a copy for each thread none reads
what another has just written: 7% less for a step of `mlp` where the two processors share no cache, 1 to 2%
more where they do, and up to 7% more for `mixture`. Packed weights kept until their bits change, which five
calls of a step's nine found so: 2% more for both.) Sums run in the same order as in `linear.py` and
`reduction.py`, so the bits are those of the layers one by one, and whoever records a step layer by layer sees
what was trained. In microseconds, two threads, layers one by one and so: 16-128-128-2 at batch 256, 132 and
79 forwards, 218 and 140 backwards; 100-128-128-784 at batch 128, 287 and 233, 513 and 436; what the tape
spares around them is more.
"""

from functools import cache, lru_cache

import numpy as np
from numba import types

from .. import checks as check
from ..checks_update import checking
from . import activation, linear, sigmoid
from .chain import (
    ADDED,
    ADDED_COUNT,
    ALONG,
    BACKWARDS,
    BATCH,
    BIAS,
    EACH,
    FACTOR_STEP,
    FACTORS,
    FACTORS_FROM,
    FIELDS,
    FIRST,
    FROM,
    FUNCTION,
    GRADIENT,
    GX,
    HIGH,
    INPUT,
    INTO,
    JOB,
    KIND,
    LAYER,
    LAYERS,
    LAYOUT,
    LEVEL,
    LINES,
    LIST,
    OUT,
    PACKED,
    PACKING,
    PACKS,
    PANELS,
    PASSING,
    PRODUCT,
    RESULT,
    ROOM,
    SHARE,
    SKIPPED,
    SLOPES,
    SOURCE,
    SQUASHED,
    START,
    STEP,
    TABLE,
    TARGET,
    TERMS,
    TO,
    UNIT,
    UNIT_COUNT,
    UNITS,
    WEIGHING,
    WEIGHT,
    WIDTH,
    WORDS,
    Plan,
)
from .gemm import NO, WIDE, YES, pack, product
from .jit import entry, jit
from .memory import IN_ORDER, fresh, read, read_plain, scratch
from .reduction import ROWS, channel_sum
from .team import arguments, share, team
from .vector import address, floats, integers, keep, on_stack

OFF = np.bool_(False)  # in compiled code a plain one is a type of its own
FLOAT32 = np.dtype(np.float32)
_told = on_stack(types.int64, WORDS)
COLUMNS = 5  # of the table, of arrays: with the gradients


@jit
def _table(place, layers):
    return integers(place, (layers, FIELDS))


@jit
def _pack_columns(number, place):
    """Some columns of one layer's panels: of W, or Wᵀ and the bias on the way up."""
    words = arguments(place)
    table, backwards = _table(words[TABLE], words[LAYERS]), words[BACKWARDS] != 0
    i, left, right = integers(words[LIST], (number + 1, 3))[number]
    into, out = table[i, INTO], table[i, OUT]
    weight = floats(table[i, WEIGHT], (out, into))
    k = out if backwards else into
    to = table[i, PANELS] + 4 * left * (k + 1)
    room = floats(to, (-(-(right - left) // WIDE), k + 1, WIDE))
    if backwards:
        pack(weight[0:out, left:right], NO, floats(to, 0), room)
    else:
        biased = out if table[i, BIAS] else 0
        pack(weight[left:right, 0:into], YES, floats(table[i, BIAS], biased)[left:right], room)


@jit
def _one_unit(line, source, to, rows, into):
    """A layer of one unit: rows times a vector, as `linear` has it."""
    linear.rows_times(source, line[WEIGHT], to, rows, into)
    out = floats(to, rows if line[BIAS] else 0)
    for r in range(out.size):
        out[r] += floats(line[BIAS], 1)[0]


@jit
def _rows_up(number, place):
    """Rows number · step ... of x through all layers."""
    words = arguments(place)
    table, slopes = _table(words[TABLE], words[LAYERS]), floats(words[SLOPES], words[LAYERS])
    rows, step, source = words[BATCH], words[SHARE], words[START]
    first, last = number * step, min(rows, (number + 1) * step)
    source += 4 * first * table[0, INTO]
    for i in range(words[LAYERS]):
        into, out = table[i, INTO], table[i, OUT]
        panels, to = table[i, PANELS], table[i, RESULT] + 4 * first * out
        if out == 1 and into > 1:
            _one_unit(table[i], source, to, last - first, into)
        else:
            product(source, into, NO, panels, to, out, last - first, out, into, NO, panels, 0, panels, 0)
        if slopes[i] != 1:
            activation.rectify(to, to, to, (last - first) * out, slopes[i], slopes[i] == 0, OFF)
        elif i == words[LAYERS] - 1 and words[SQUASHED]:
            sigmoid.squash(floats(to, (last - first) * out))
        source = to


def _columns_up(number, place):
    """Some columns of one layer over all rows, with their part of the weight packed here."""
    words = arguments(place)
    table, slopes = _table(words[TABLE], words[LAYERS]), floats(words[SLOPES], words[LAYERS])
    rows, unit = words[BATCH], words[FIRST] + number
    _pack_columns(unit, place)
    i, left, right = integers(words[LIST], (unit + 1, 3))[unit]
    into, out = table[i, INTO], table[i, OUT]
    panels, to = table[i, PANELS] + 4 * left * (into + 1), table[i, RESULT] + 4 * left
    source = table[i - 1, RESULT] if i else words[START]
    if out == 1 and into > 1:
        _one_unit(table[i], source, to, rows, into)
    else:
        product(source, into, NO, panels, to, out, rows, right - left, into, NO, panels, 0, panels, 0)
    squashed = i == words[LAYERS] - 1 and words[SQUASHED] != 0
    for r in range(rows if squashed or slopes[i] != 1 else 0):
        here = to + 4 * r * out
        if squashed:
            sigmoid.squash(floats(here, right - left))
        else:
            activation.rectify(here, here, here, right - left, slopes[i], slopes[i] == 0, OFF)


@jit
def _rows_down(number, place):
    """Rows number · step ... of the gradient through all layers, and to x where words[GX] says where."""
    words = arguments(place)
    table, slopes = _table(words[TABLE], words[LAYERS]), floats(words[SLOPES], words[LAYERS])
    rows, step, gy, gx = words[BATCH], words[SHARE], words[START], words[GX]
    first, last = number * step, min(rows, (number + 1) * step)
    top = words[LAYERS] - 1
    begin, size = 4 * first * table[top, OUT], (last - first) * table[top, OUT]
    signs, to = table[top, RESULT] + begin, table[top, GRADIENT] + begin
    if words[SQUASHED]:
        sigmoid.slope(floats(gy + begin, size), floats(signs, size), floats(to, size))
    elif table[top, GRADIENT] != gy:
        activation.rectify(gy + begin, signs, to, size, slopes[top], OFF, OFF)
    for i in range(top, -1, -1):
        into, out, panels = table[i, INTO], table[i, OUT], table[i, PANELS]
        to = (table[i - 1, GRADIENT] if i else gx) + 4 * first * into
        mine = table[i, GRADIENT] + 4 * first * out
        if into == 1 and out > 1 and (i or gx):
            linear.rows_times(mine, table[i, WEIGHT], to, last - first, out)
        elif i or gx:
            product(mine, out, NO, panels, to, into, last - first, into, out, NO, panels, 0, panels, 0)
        if i:
            signs = table[i - 1, RESULT] + 4 * first * into
            activation.rectify(to, signs, to, (last - first) * into, slopes[i - 1], OFF, OFF)


@jit
def _weights(number, place):
    """A unit of the weights' gradients: a product ḡᵀ x over some rows, or a sum of multiples of rows."""
    words = arguments(place)
    table = _table(words[TABLE], words[LAYERS])
    unit = integers(words[LIST], (number + 1, UNIT))[number]
    i, terms, wide, step, factor_step = unit[LAYER], unit[TERMS], unit[WIDTH], unit[STEP], unit[FACTOR_STEP]
    to = table[i, unit[TARGET]] + unit[TO]
    source = table[i, unit[SOURCE]] + unit[FROM]
    factors = table[i, unit[FACTORS]] + unit[FACTORS_FROM]
    room = words[ROOM] + 4 * number * words[EACH]
    if unit[KIND] == PRODUCT:
        panels = floats(room, (-(-wide // WIDE), terms + 1, WIDE))
        rows = floats(source, (terms, step))
        pack(rows[0:terms, 0:wide], NO, floats(room, 0), panels)
        product(factors, factor_step, YES, room, to, step, unit[HIGH], wide, terms, NO, room, 0, room, 0)
    else:
        total = floats(to if unit[ALONG] == 1 else room, wide)
        if unit[KIND] == LINES:
            total[:] = 0
        for r in range(terms):
            factor = floats(factors + 4 * r * factor_step, 1)[0]
            linear.add_multiple(total, factor, source + 4 * r * step)
        if unit[ALONG] > 1:
            found = floats(to, wide * unit[ALONG])
            for c in range(total.size):
                found[c * unit[ALONG]] = total[c]


def _part(number, place):
    """All jobs but one in one function: each of four would compile products of its own for half a second."""
    words = arguments(place)
    if words[JOB] == PACKING:
        _pack_columns(number, place)
    elif words[JOB] == WEIGHING:
        _weights(number, place)
    elif words[BACKWARDS]:
        _rows_down(number, place)
    else:
        _rows_up(number, place)


_address = cache(entry)  # each is compiled when it is first wanted


@jit
def _run(plan, arrays, count, array_class, dtype, flags, board, helpers):
    """A plan's jobs one after another; False, and nothing done, where an array is not as `read_plain` asks.

    arrays: the `id` of a list of `count`: x or gy, the room, gx (or gy again, where it is not wanted), x, all
    weights, outputs, biases (anything where there is none) and perhaps gradients. flags: 0 to ask nothing.
    """
    places = np.empty(count, np.int64)
    if flags == 0:
        read(arrays, places)
    elif not read_plain(arrays, 1, places, array_class, dtype, flags):
        return False
    layers, columns, step = plan[LAYERS], (count - 4) // plan[LAYERS], plan[SHARE]
    table = integers(plan[LAYOUT], (layers, FIELDS)).copy()
    for i in range(layers):
        for j in range(PANELS, INPUT):
            table[i, j] += places[1]
        biased = table[i, BIAS]
        for j in range(columns):
            table[i, WEIGHT + j] = places[4 + j * layers + i]
        table[i, BIAS] *= biased
        table[i, INPUT] = table[i - 1, RESULT] if i else places[3]
    words = _told()
    for i in range(WORDS):
        words[i] = plan[i]
    words[TABLE], words[START], words[ROOM] = address(table), places[0], places[1] + plan[ROOM]
    words[GX] = places[2] if places[2] != places[0] else 0
    skipped = plan[SKIPPED] if plan[BACKWARDS] and words[GX] == 0 else 0
    words[LIST] = plan[PACKS] + 24 * skipped
    if plan[BACKWARDS] and plan[LEVEL]:
        table[-1, GRADIENT] = places[0]
    packs = integers(plan[PACKS], (plan[PACKED], 3))
    if step:
        words[JOB] = PACKING
        share(board, plan[FUNCTION], words, plan[PACKED] - skipped, helpers)
        words[JOB] = PASSING
        share(board, plan[FUNCTION], words, -(-plan[BATCH] // step), helpers)
    first = 0
    while not step and first < len(packs):
        last = first
        while last < len(packs) and packs[last, 0] == packs[first, 0]:
            last += 1
        words[FIRST] = first
        share(board, plan[FUNCTION], words, last - first, helpers)
        first = last
    if columns == COLUMNS:
        words[JOB], words[LIST] = WEIGHING, plan[UNITS]
        share(board, plan[FUNCTION], words, plan[UNIT_COUNT], helpers)
        words[LIST] = plan[ADDED]
        if plan[ADDED_COUNT]:
            share(board, plan[FUNCTION], words, plan[ADDED_COUNT], helpers)
    keep(table)
    return True


@lru_cache(maxsize=256)
def _plan(x, weights, biases, slopes, squashed, backwards):
    """(plan, shapes of the chain's outputs); (None, []) where layer by layer is better.

    Or where the shapes given do not fit each other: of arrays that have a plan nothing but their kind needs a
    check, and that takes three microseconds less than with what `checks.py` does.
    """
    into = x[1:]
    for weight, bias in zip(weights, biases, strict=False):
        if weight[1:] != into or bias not in (None, weight[:1]):
            return None, []
        into = weight[:1]
    fits = len(x) == 2 and len(weights) == len(biases) == len(slopes) > 0
    if not fits or (squashed and slopes[-1] != 1):
        return None, []
    plan = Plan(x[0], weights, tuple(b is not None for b in biases), slopes, squashed, backwards)
    if not plan.small:
        return None, []
    plan.words[FUNCTION] = _address(_part if plan.words[SHARE] else _columns_up)
    return plan, [(x[0], out) for out, _ in weights]


@checking
def perceptron(x, weights, biases, slopes, squashed=False):
    """See CONTRACTS["perceptron"]."""
    shapes = tuple([w.shape for w in weights]), tuple([b if b is None else b.shape for b in biases])
    plan, _ = _plan(x.shape, *shapes, tuple(slopes), squashed, False)
    if plan is None or x.dtype is not FLOAT32:
        check.perceptron(x, weights, biases, slopes, squashed)
        return _one_by_one(x, weights, biases, slopes, squashed)
    outputs = [make(shape, FLOAT32) for make, shape in plan.results]
    room = scratch("panels", (plan.floats,), FLOAT32)
    ours = [x, room, x, x, *weights, *outputs, *[x if b is None else b for b in biases]]
    with team().crew(plan.parts) as (board, helpers):
        if not _run(plan.words, id(ours), len(ours), *IN_ORDER, board, helpers):
            check.perceptron(x, weights, biases, slopes, squashed)
            ours = [np.ascontiguousarray(array) for array in ours]
            _run(plan.words, id(ours), len(ours), 0, 0, 0, board, helpers)
    return tuple(outputs)


def _one_by_one(x, weights, biases, slopes, squashed):
    outputs = []
    for weight, bias, slope in zip(weights, biases, slopes, strict=True):
        x = linear.dense(x, weight, bias)
        if slope != 1:
            x = activation.leaky_relu(x, slope)
        outputs.append(x)
    return (*outputs[:-1], sigmoid.sigmoid(x)) if squashed else tuple(outputs)


@checking
def perceptron_grad(gy, x, outputs, weights, slopes, wanted, squashed=False):
    """See CONTRACTS["perceptron_grad"]."""
    shapes, none = tuple([w.shape for w in weights]), (None,) * len(weights)
    plan, made = _plan(x.shape, shapes, none, tuple(slopes), squashed, True)
    fits = [y.shape for y in outputs] == made and len(wanted) == 2
    if plan is None or not fits or gy.shape != made[-1] or x.dtype is not FLOAT32:
        check.perceptron_grad(gy, x, outputs, weights, slopes, wanted, squashed)
        return _one_by_one_grad(gy, x, outputs, weights, slopes, wanted, squashed)
    gx = fresh(x.shape, FLOAT32) if wanted[0] else gy
    found = [make(shape, FLOAT32) for make, shape in plan.results] if wanted[1] else []
    room = scratch("panels", (plan.floats,), FLOAT32)
    # Biases are not asked for here.
    ours = [gy, room, gx, x, *weights, *outputs, *outputs, *found[::2], *found[1::2]]
    with team().crew(plan.most if wanted[1] else plan.parts) as (board, helpers):
        if not _run(plan.words, id(ours), len(ours), *IN_ORDER, board, helpers):
            check.perceptron_grad(gy, x, outputs, weights, slopes, wanted, squashed)
            ours = [np.ascontiguousarray(array) for array in ours]
            ours[2] = gx if wanted[0] else ours[0]
            _run(plan.words, id(ours), len(ours), 0, 0, 0, board, helpers)
    if wanted[1] and len(x) > ROWS:
        rows = [room[b : b + y.size].reshape(y.shape) for b, y in zip(plan.gradients, outputs, strict=True)]
        rows[-1] = ours[0] if plan.words[LEVEL] else rows[-1]
        found[1::2] = map(channel_sum, rows)
    return (gx, *found) if wanted[0] else tuple(found)


def _one_by_one_grad(gy, x, outputs, weights, slopes, wanted, squashed):
    gy = sigmoid.sigmoid_grad(gy, outputs[-1]) if squashed else gy
    gradients = []
    for i in reversed(range(len(weights))):
        gz = gy if slopes[i] == 1 else activation.leaky_relu_grad(gy, outputs[i], slopes[i])
        if wanted[1]:
            gradients = [linear.matmul(gz.T, outputs[i - 1] if i else x), channel_sum(gz), *gradients]
        if i or wanted[0]:
            gy = linear.matmul(gz, weights[i])
    return (gy, *gradients) if wanted[0] else tuple(gradients)
