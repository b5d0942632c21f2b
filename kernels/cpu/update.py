"""What an optimiser does to the arrays of all its parameters: one call, one pass over memory.

A small network has a dozen small parameters, and a call for each costs more than its work. Here the arrays
of float32 stand in a table of addresses, cut into parts of at most PART numbers that the team shares. Adam
took 63 microseconds for the six parameters of the ring's generator one by one, and 33 so; the norms are
no faster so, 23 and 26.
"""

from functools import cache, lru_cache

import numpy as np
from numba.np.numpy_support import carray

from .jit import entry, jit, summing
from .layout import flat
from .memory import location
from .team import arguments, integers, share, team
from .vector import address, doubles, floats

PART = 1 << 13
SUMS, ADAM = range(2)
ALONE = 1 << 14  # numbers that each thread should have, or a helper costs more than it does


@summing
def _sum_squares(xs):
    """Σ x² in float64: four times as fast as in a fixed order, which leaves the processor waiting."""
    total = 0.0
    for i in range(xs.size):
        value = np.float64(xs[i])
        total += value * value
    return total


@jit
def _adam(ps, gs, ms, vs, rates):
    rate, old1, new1, old2, new2, correction, eps = rates
    for i in range(ps.size):
        g = gs[i]
        ms[i] = old1 * ms[i] + new1 * g
        vs[i] = old2 * vs[i] + new2 * (g * g)
        ps[i] -= rate * ms[i] / (np.sqrt(vs[i] * correction) + eps)


@jit
def _piece(place, column, i, start, stop):
    """Numbers start ... stop − 1 of an array in row i of the table of addresses."""
    table = carray(integers(place), (i + 1, 4))
    return carray(floats(table[i, column] + 4 * start), (stop - start,))


def _part(number, place):
    """A part of Σ x², or of Adam: words are the table, the parts, the sums or rates, and which of the two."""
    words = arguments(place)
    i, start, stop = carray(integers(words[1]), (number + 1, 3))[number]
    first = _piece(words[0], 0, i, start, stop)
    if words[3] == SUMS:
        sums = carray(doubles(words[2]), (number + 1,))
        sums[number] = _sum_squares(first)
    else:
        r = carray(floats(words[2]), (7,))
        _adam(
            first,
            _piece(words[0], 1, i, start, stop),
            _piece(words[0], 2, i, start, stop),
            _piece(words[0], 3, i, start, stop),
            (r[0], r[1], r[2], r[3], r[4], r[5], r[6]),
        )


@cache
def _entry():
    return entry(_part)


@jit
def _row(table, i, a, b, c, d):
    table[i, 0], table[i, 1], table[i, 2], table[i, 3] = address(a), address(b), address(c), address(d)


@lru_cache(maxsize=256)
def _parts(sizes: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """(array, first number, last number) of each part for arrays of these sizes; how many threads pay."""
    cuts = [(i, s, min(size, s + PART)) for i, size in enumerate(sizes) for s in range(0, size, PART)]
    return np.array(cuts, np.int64).reshape(-1, 3), min(len(cuts), sum(sizes) // ALONE)


def _run(which, rows, sizes, numbers):
    """All parts of float32 arrays, of each row's as many as it takes."""
    table = np.empty((len(sizes), 4), np.int64)
    for i, row in enumerate(rows):
        _row(table, i, *row)
    parts, threads = _parts(sizes)
    words = np.array([location(table), location(parts), location(numbers), which], np.int64)
    with team().crew(threads) as (board, helpers):
        share(board, _entry(), words, len(parts), helpers)


def _sum(x):
    """Σ x² of one array of any dtype and order."""
    values = flat(x)
    if values is not None:
        pieces = (values[start : start + PART] for start in range(0, values.size, PART))
    else:
        pieces = np.nditer(x, ["external_loop", "buffered", "zerosize_ok"], order="K")
    return float(sum(_sum_squares(np.ascontiguousarray(piece)) for piece in pieces))


def sum_squares(xs):
    """See CONTRACTS["sum_squares"]."""
    if not all(x.dtype == np.float32 and x.flags.c_contiguous for x in xs):
        return tuple(map(_sum, xs))
    sizes = tuple([x.size for x in xs])
    sums = np.empty(len(_parts(sizes)[0]))
    _run(SUMS, [(x.reshape(-1),) * 4 for x in xs], sizes, sums)
    totals = [0.0] * len(xs)
    for (i, _, _), total in zip(_parts(sizes)[0].tolist(), sums.tolist(), strict=True):
        totals[i] += total
    return tuple(totals)


def adam(params, grads, ms, vs, lr, beta1, beta2, eps, step):
    """See CONTRACTS["adam"]."""
    dtype = params[0].dtype
    rates = lr / (1 - beta1**step), beta1, 1 - beta1, beta2, 1 - beta2, 1 / (1 - beta2**step), eps
    rows = [[x.reshape(-1) for x in row] for row in zip(params, grads, ms, vs, strict=True)]
    if dtype == np.float32:
        _run(ADAM, rows, tuple([p.size for p in params]), np.array(rates, dtype))
    else:
        for row in rows:
            _adam(*row, tuple(map(float, rates)))
