"""A chain of dense layers in one call: the rows go through all layers while they are in the nearest cache.

Layer by layer, a network of three small layers costs seven kernel calls forwards and eleven backwards, each
of which wakes the helpers and passes all rows through memory. Here

- forwards, every part takes some rows of x through all layers, so nobody waits for anybody between layers;
  where rows are few, some columns of one layer instead, for it is weights then that are better not shared:
  784-128-128-1 at batch 16 took 78 microseconds, by rows for each of two threads 70, and 52 so (PyTorch 64);
- backwards, the parts first take rows of the gradient down through the layers, then each computes some
  columns of the weights' gradients over all rows.

The weights are packed once for all parts, and that in parts too. (With a copy for each thread none reads
what another has just written: 7% less for a step of `mlp` where the two processors share no cache, 1 to 2%
more where they do, and up to 7% more for `mixture`.) Sums run in the same order as in `linear.py` and
`reduction.py`, so the bits are those of the layers one by one, and whoever records a step layer by layer sees
what was trained. In microseconds, two threads, layers one by one and so: 16-128-128-2 at batch 256, 137 and
84 forwards, 227 and 168 backwards; 100-128-128-784 at batch 128, 283 and 240, 518 and 476; what the tape
spares around them is more.
"""

from functools import cache

import numpy as np
from numba.np.numpy_support import carray

from . import activation, linear, sigmoid
from .chain import (
    ALONG,
    BIAS,
    FACTOR_STEP,
    FACTORS,
    FACTORS_FROM,
    FIELDS,
    FROM,
    GRADIENT,
    HIGH,
    INPUT,
    INTO,
    KIND,
    LAYER,
    LINES,
    OUT,
    PANELS,
    PRODUCT,
    RESULT,
    SOURCE,
    STEP,
    TARGET,
    TERMS,
    TO,
    UNIT,
    WEIGHT,
    WIDTH,
    plan_of,
)
from .gemm import NO, WIDE, YES, pack, product
from .jit import entry, inlined, jit
from .memory import addresses, fresh, scratch
from .reduction import ROWS, channel_sum
from .team import arguments, share, team
from .vector import address, floats, integers, keep

OFF, THREE = np.bool_(False), np.int64(3)  # in compiled code plain ones are types of their own


NO_UNITS = np.empty((0, UNIT), np.int64)


@inlined
def _table(place, layers):
    return carray(integers(place), (layers, FIELDS))


@jit
def _pack_columns(number, place):
    """Some columns of one layer's panels: of W, or Wᵀ and the bias on the way up."""
    words = arguments(place)
    table, backwards = _table(words[0], words[2]), words[6] != 0
    i, left, right = carray(integers(words[7]), (number + 1, 3))[number]
    into, out = table[i, INTO], table[i, OUT]
    weight = carray(floats(table[i, WEIGHT]), (out, into))
    k = out if backwards else into
    to = table[i, PANELS] + 4 * left * (k + 1)
    room = carray(floats(to), (-(-(right - left) // WIDE), k + 1, WIDE))
    if backwards:
        pack(weight[0:out, left:right], NO, carray(floats(to), (0,)), room)
    else:
        biased = out if table[i, BIAS] else 0
        pack(weight[left:right, 0:into], YES, carray(floats(table[i, BIAS]), (biased,))[left:right], room)


@inlined
def _one_unit(line, source, to, rows, into):
    """A layer of one unit: rows times a vector, as `linear` has it."""
    linear.rows_times(source, line[WEIGHT], to, rows, into)
    out = carray(floats(to), (rows if line[BIAS] else 0,))
    for r in range(out.size):
        out[r] += carray(floats(line[BIAS]), (1,))[0]


def _rows_up(number, place):
    """Rows number · step ... of x through all layers."""
    words = arguments(place)
    table, slopes = _table(words[0], words[2]), carray(floats(words[1]), (words[2],))
    rows, step, source = words[3], words[4], words[5]
    first, last = number * step, min(rows, (number + 1) * step)
    source += 4 * first * table[0, INTO]
    for i in range(words[2]):
        into, out = table[i, INTO], table[i, OUT]
        panels, to = table[i, PANELS], table[i, RESULT] + 4 * first * out
        if out == 1 and into > 1:
            _one_unit(table[i], source, to, last - first, into)
        else:
            product(source, into, NO, panels, to, out, last - first, out, into, panels, NO, panels, NO)
        if slopes[i] != 1:
            activation.rectify(to, to, to, (last - first) * out, slopes[i], slopes[i] == 0, OFF)
        elif i == words[2] - 1 and words[8]:
            sigmoid.squash(carray(floats(to), ((last - first) * out,)))
        source = to


def _columns_up(number, place):
    """Some columns of one layer over all rows, with their part of the weight packed here."""
    words = arguments(place)
    table, slopes = _table(words[0], words[2]), carray(floats(words[1]), (words[2],))
    rows, unit = words[3], words[4] + number
    _pack_columns(unit, place)
    i, left, right = carray(integers(words[7]), (unit + 1, 3))[unit]
    into, out = table[i, INTO], table[i, OUT]
    panels, to = table[i, PANELS] + 4 * left * (into + 1), table[i, RESULT] + 4 * left
    source = table[i - 1, RESULT] if i else words[5]
    if out == 1 and into > 1:
        _one_unit(table[i], source, to, rows, into)
    else:
        product(source, into, NO, panels, to, out, rows, right - left, into, panels, NO, panels, NO)
    squashed = i == words[2] - 1 and words[8] != 0
    for r in range(rows if squashed or slopes[i] != 1 else 0):
        here = to + 4 * r * out
        if squashed:
            sigmoid.squash(carray(floats(here), (right - left,)))
        else:
            activation.rectify(here, here, here, right - left, slopes[i], slopes[i] == 0, OFF)


def _rows_down(number, place):
    """Rows number · step ... of the gradient through all layers, and to x where words[6] says where."""
    words = arguments(place)
    table, slopes = _table(words[0], words[2]), carray(floats(words[1]), (words[2],))
    rows, step, gy, gx = words[3], words[4], words[5], words[6]
    first, last = number * step, min(rows, (number + 1) * step)
    top = words[2] - 1
    begin, size = 4 * first * table[top, OUT], (last - first) * table[top, OUT]
    signs, to = table[top, RESULT] + begin, table[top, GRADIENT] + begin
    if words[11]:
        ys, gzs = carray(floats(signs), (size,)), carray(floats(to), (size,))
        sigmoid.slope(carray(floats(gy + begin), (size,)), ys, gzs)
    elif table[top, GRADIENT] != gy:
        activation.rectify(gy + begin, signs, to, size, slopes[top], OFF, OFF)
    for i in range(top, -1, -1):
        into, out, panels = table[i, INTO], table[i, OUT], table[i, PANELS]
        to = (table[i - 1, GRADIENT] if i else gx) + 4 * first * into
        mine = table[i, GRADIENT] + 4 * first * out
        if into == 1 and out > 1 and (i or gx):
            linear.rows_times(mine, table[i, WEIGHT], to, last - first, out)
        elif i or gx:
            product(mine, out, NO, panels, to, into, last - first, into, out, panels, NO, panels, NO)
        if i:
            signs = table[i - 1, RESULT] + 4 * first * into
            activation.rectify(to, signs, to, (last - first) * into, slopes[i - 1], OFF, OFF)


def _weights(number, place):
    """A unit of the weights' gradients: a product ḡᵀ x over some rows, or a sum of multiples of rows."""
    words = arguments(place)
    table = _table(words[0], words[2])
    unit = carray(integers(words[7]), (number + 1, UNIT))[number]
    i, terms, wide, step, factor_step = unit[LAYER], unit[TERMS], unit[WIDTH], unit[STEP], unit[FACTOR_STEP]
    to = table[i, unit[TARGET]] + unit[TO]
    source = table[i, unit[SOURCE]] + unit[FROM]
    factors = table[i, unit[FACTORS]] + unit[FACTORS_FROM]
    room = words[9] + 4 * number * words[10]
    if unit[KIND] == PRODUCT:
        panels = carray(floats(room), (-(-wide // WIDE), terms + 1, WIDE))
        rows = carray(floats(source), (terms, step))
        pack(rows[0:terms, 0:wide], NO, carray(floats(room), (0,)), panels)
        product(factors, factor_step, YES, room, to, step, unit[HIGH], wide, terms, room, NO, room, NO)
    else:
        total = carray(floats(to if unit[ALONG] == 1 else room), (wide,))
        if unit[KIND] == LINES:
            total[:] = 0
        for r in range(terms):
            factor = carray(floats(factors + 4 * r * factor_step), (1,))[0]
            linear.add_multiple(total, factor, source + 4 * r * step)
        if unit[ALONG] > 1:
            found = carray(floats(to), (wide * unit[ALONG],))
            for c in range(total.size):
                found[c * unit[ALONG]] = total[c]


def _pack_part(number, place):
    _pack_columns(number, place)


_address = cache(entry)  # each is compiled when it is first wanted


@inlined
def _filled(layout, room, places, columns):
    """The table of a plan's layout, in `room`, with the addresses of all layers' arrays, column by column."""
    table = layout.copy()
    for i in range(len(table)):
        for j in range(PANELS, INPUT):
            table[i, j] += room
        for j in range(columns):
            table[i, WEIGHT + j] = places[j * len(table) + i]
    return table


@jit
def _up(layout, slopes, squashed, places, rows, step, packs, functions, board, helpers):
    """places: of x, the room for panels, then of all weights, outputs and biases."""
    table = _filled(layout, places[1], places[2:], THREE)
    words = np.empty(9, np.int64)
    words[0], words[1], words[2] = address(table), address(slopes), len(table)
    words[3], words[4], words[5] = rows, step, places[0]
    words[6], words[7], words[8] = 0, address(packs), squashed
    if step:
        share(board, functions[0], words, len(packs), helpers)
        share(board, functions[1], words, -(-rows // step), helpers)
    first = 0
    while not step and first < len(packs):
        last = first
        while last < len(packs) and packs[last, 0] == packs[first, 0]:
            last += 1
        words[4] = first
        share(board, functions[1], words, last - first, helpers)
        first = last
    keep(words)
    keep(table)


@jit
def _down(layout, slopes, squashed, places, rows, step, packs, units, sums, room, functions, board, helpers):
    """places: of gy, the rooms for panels and for columns, gx or 0, x, then as `_up`, with gradients."""
    table = _filled(layout, places[1], places[5:], (len(places) - 5) // len(layout))
    words = np.empty(12, np.int64)
    words[0], words[1], words[2] = address(table), address(slopes), len(table)
    words[3], words[4], words[5] = rows, step, places[0]
    words[6], words[7] = 1, address(packs)
    words[8], words[9], words[10], words[11] = 0, places[2], room, squashed
    for i in range(len(table)):
        table[i, INPUT] = table[i - 1, RESULT] if i else places[4]
    if slopes[-1] == 1 and not squashed:
        table[-1, GRADIENT] = places[0]
    share(board, functions[0], words, len(packs), helpers)
    words[6], words[7] = places[3], address(units)
    share(board, functions[1], words, -(-rows // step), helpers)
    if len(units):
        share(board, functions[2], words, len(units), helpers)
    if len(sums):
        words[7] = address(sums)
        share(board, functions[2], words, len(sums), helpers)
    keep(words)
    keep(table)


def _plan_for(x, weights, slopes, backwards):
    """The plan of a chain that is computed here; None where layer by layer is better."""
    if x.dtype != np.float32 or len(x) < 2 or False in [w.flags.c_contiguous for w in weights]:
        return None
    plan = plan_of(len(x), tuple([w.shape for w in weights]), tuple(slopes), backwards)
    return plan if plan.small else None


def perceptron(x, weights, biases, slopes, squashed=False):
    """See CONTRACTS["perceptron"]."""
    plan = _plan_for(x, weights, slopes, False)
    if plan is None:
        return _one_by_one(x, weights, biases, slopes, squashed)
    x, n = np.ascontiguousarray(x), len(x)
    panels = scratch("panels", (plan.floats,), x.dtype)
    shifts = [x if b is None else np.ascontiguousarray(b) for b in biases]
    outputs = [fresh((n, len(w)), x.dtype) for w in weights]
    places = addresses([x, panels, *weights, *outputs, *shifts])
    for i, b in enumerate(biases):
        if b is None:
            places[i - len(biases)] = 0
    functions = _address(_pack_part), _address(_rows_up if plan.step else _columns_up)
    with team().crew(plan.parts) as (board, helpers):
        _up(plan.layout, plan.slopes, squashed, places, n, plan.step, plan.packs, functions, board, helpers)
    return tuple(outputs)


def _one_by_one(x, weights, biases, slopes, squashed):
    outputs = []
    for weight, bias, slope in zip(weights, biases, slopes, strict=True):
        x = linear.dense(x, weight, bias)
        if slope != 1:
            x = activation.leaky_relu(x, slope)
        outputs.append(x)
    return (*outputs[:-1], sigmoid.sigmoid(x)) if squashed else tuple(outputs)


def perceptron_grad(gy, x, outputs, weights, slopes, wanted, squashed=False):
    """See CONTRACTS["perceptron_grad"]."""
    plan = _plan_for(x, weights, slopes, True)
    if plan is None or False in [y.flags.c_contiguous for y in outputs]:
        return _one_by_one_grad(gy, x, outputs, weights, slopes, wanted, squashed)
    x, gy, n = np.ascontiguousarray(x), np.ascontiguousarray(gy), len(x)
    panels = scratch("panels", (plan.floats,), x.dtype)
    units, sums = (plan.units, plan.sums) if wanted[1] else (NO_UNITS, NO_UNITS)
    columns = scratch("columns", (len(units) * plan.room,), x.dtype)
    gx = fresh(x.shape, x.dtype) if wanted[0] else gy
    ours = [gy, panels, columns, gx, x, *weights, *outputs, *outputs]  # biases are not asked for here
    of_weights, of_biases = [], []
    if wanted[1]:
        of_weights = [fresh(w.shape, x.dtype) for w in weights]
        of_biases = [np.empty(len(w), x.dtype) for w in weights]
        ours += of_weights + of_biases
    places = addresses(ours)
    if not wanted[0]:
        places[3] = 0
    functions = _address(_pack_part), _address(_rows_down), _address(_weights)
    by_channel = wanted[1] and n > ROWS
    parts = max(plan.parts, len(units))
    with team().crew(parts) as (board, helpers):
        step, packs, room = plan.step, plan.packs if wanted[0] else plan.inner, plan.room
        of = plan.layout, plan.slopes, squashed, places, n, step
        _down(*of, packs, units, sums, room, functions, board, helpers)
    for i, begin in enumerate(plan.gradients if by_channel else ()):
        size = len(weights[i])
        gz = panels[begin : begin + n * size].reshape(n, size)
        plain = i == len(weights) - 1 and slopes[i] == 1 and not squashed
        of_biases[i] = channel_sum(gy if plain else gz)
    gradients = [g for pair in zip(of_weights, of_biases, strict=True) for g in pair]
    return (gx, *gradients) if wanted[0] else tuple(gradients)


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
