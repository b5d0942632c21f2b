"""What an optimiser does to the arrays of all its parameters: one call, one pass over memory.

A small network has a dozen small parameters, and a call for each costs more than its work. Here the arrays
of float32 stand in a table of addresses, cut into parts of at most PART numbers that the team shares. Adam
took 70 microseconds for the six parameters of the ring's generator one by one, and 26 so; the norms 41 and
11. Most of the 26 was the check of 24 arrays and the list of where they are: made together in compiled code
they left 14 for Adam's step, and 7 for the norms.
"""

from functools import cache, lru_cache
from math import inf, sqrt

import numpy as np
from numba import types

from .. import checks_update as check
from ..checks_update import checking
from .jit import entry, jit, summing
from .layout import flat
from .memory import addresses, location, plain_addresses
from .team import arguments, share, team
from .vector import address, doubles, floats, integers, on_stack

PARAMS, GRADS, FIRST, SECOND = np.arange(4)  # columns; as plain numbers each would be a type of its own
PART = 1 << 15
ALONE = 1 << 14  # numbers that each thread should have, or a helper costs more than it does


@summing
def _sum_squares(xs):
    """Σ x² in float64: four times as fast as in a fixed order, which leaves the processor waiting."""
    total = 0.0
    for i in range(xs.size):
        value = np.float64(xs[i])
        total += value * value
    return total


# The rules: up to four arrays, and numbers of their dtype.


@jit
def _scale(xs, numbers):
    factor = numbers[0]
    for i in range(xs.size):
        xs[i] *= factor


@jit
def _cut(xs, numbers):
    limit = numbers[0]
    for i in range(xs.size):
        x = xs[i]
        low = -limit if x < -limit else x
        xs[i] = limit if x > limit else low


@jit
def _adam(ps, gs, ms, vs, numbers):
    rate, old1, new1, old2, new2, correction, eps = numbers
    for i in range(ps.size):
        g = gs[i]
        ms[i] = old1 * ms[i] + new1 * g
        vs[i] = old2 * vs[i] + new2 * (g * g)
        ps[i] -= rate * ms[i] / (np.sqrt(vs[i] * correction) + eps)


@jit
def _descend(ps, gs, numbers):
    lr = numbers[0]
    for i in range(ps.size):
        ps[i] -= lr * gs[i]


@jit
def _roll(ps, gs, vs, numbers):
    lr, momentum = numbers
    for i in range(ps.size):
        vs[i] = momentum * vs[i] + gs[i]
        ps[i] -= lr * vs[i]


@jit
def _rooted(ps, gs, vs, numbers):
    """RMSprop, and with old = fresh = 1 Adagrad."""
    lr, old, fresh, eps = numbers
    for i in range(ps.size):
        g = gs[i]
        vs[i] = old * vs[i] + fresh * (g * g)
        ps[i] -= lr * g / (np.sqrt(vs[i]) + eps)


# A part of each of them. The words that all threads get are the table of addresses, a column for each list of
# arrays, the parts, the numbers, and how many arrays a list has.


@jit
def _piece(words, number, column):
    """Of the array in a column of part `number`'s row, the numbers from its first to its last."""
    i, start, stop = integers(words[1], (number + 1, 3))[number]
    table = integers(words[0], (column + 1, words[3]))
    return floats(table[column, i] + 4 * start, stop - start)


@jit
def _numbers(words, count):
    return floats(words[2], count)


def _sum_part(number, place):
    words = arguments(place)
    sums = doubles(words[2], number + 1)
    sums[number] = _sum_squares(_piece(words, number, PARAMS))


def _scale_part(number, place):
    """Each array has a factor of its own."""
    words = arguments(place)
    i = integers(words[1], (number + 1, 3))[number, 0]
    _scale(_piece(words, number, PARAMS), (_numbers(words, i + 1)[i],))


def _cut_part(number, place):
    words = arguments(place)
    _cut(_piece(words, number, PARAMS), (_numbers(words, 1)[0],))


def _adam_part(number, place):
    words = arguments(place)
    ps, gs = _piece(words, number, PARAMS), _piece(words, number, GRADS)
    ms, vs = _piece(words, number, FIRST), _piece(words, number, SECOND)
    r = _numbers(words, 7)
    _adam(ps, gs, ms, vs, (r[0], r[1], r[2], r[3], r[4], r[5], r[6]))


def _descend_part(number, place):
    words = arguments(place)
    _descend(_piece(words, number, PARAMS), _piece(words, number, GRADS), (_numbers(words, 1)[0],))


def _roll_part(number, place):
    words = arguments(place)
    ps, gs, vs = _piece(words, number, PARAMS), _piece(words, number, GRADS), _piece(words, number, FIRST)
    r = _numbers(words, 2)
    _roll(ps, gs, vs, (r[0], r[1]))


def _rooted_part(number, place):
    words = arguments(place)
    ps, gs, vs = _piece(words, number, PARAMS), _piece(words, number, GRADS), _piece(words, number, FIRST)
    r = _numbers(words, 4)
    _rooted(ps, gs, vs, (r[0], r[1], r[2], r[3]))


@cache
def _entry(part):
    return entry(part)


_told = on_stack(types.int64, 4)


@jit
def _share(table, parts, numbers, count, board, function, helpers):
    words = _told()
    words[0], words[1], words[2], words[3] = address(table), address(parts), numbers, count
    share(board, function, words, len(parts), helpers)


@lru_cache(maxsize=256)
def _parts(sizes: tuple[int, ...]) -> tuple[np.ndarray, int, bool]:
    """(array, first number, last number) of each part of arrays of these sizes; threads that pay; is each
    array one part?"""
    cuts = [(i, s, min(size, s + PART)) for i, size in enumerate(sizes) for s in range(0, size, PART)]
    whole = [i for i, *_ in cuts] == [*range(len(sizes))]
    return np.array(cuts, np.int64).reshape(-1, 3), min(len(cuts), sum(sizes) // ALONE), whole


def _run(part, table, arrays, numbers):
    """All parts of float32 arrays in C order; table: the addresses of these and of what lies beside them."""
    parts, threads, _ = _parts(tuple([x.size for x in arrays]))
    with team().crew(threads) as (board, helpers):
        _share(table, parts, location(numbers), len(arrays), board, _entry(part), helpers)


def _move(rule, part, table, lists, numbers):
    """A rule over the arrays of some lists, side by side; table: their addresses, if they are plain."""
    if table is None and lists[0] and lists[0][0].dtype == np.float32:
        table = addresses([x for xs in lists for x in xs])
    if table is not None:
        _run(part, table, lists[0], np.array(numbers, np.float32))
    else:
        for row in zip(*lists, strict=True):
            rule(*[x.reshape(-1) for x in row], tuple(map(float, numbers)))


def _sum(x):
    """Σ x² of one array of any dtype and order."""
    values = flat(x)
    if values is not None:
        pieces = (values[start : start + PART] for start in range(0, values.size, PART))
    else:
        pieces = np.nditer(x, ["external_loop", "buffered", "zerosize_ok"], order="K")
    return float(sum(_sum_squares(np.ascontiguousarray(piece)) for piece in pieces))


@checking
def sum_squares(xs):
    """See CONTRACTS["sum_squares"]."""
    table = plain_addresses(xs)
    if table is None:
        check.sum_squares(xs)
        if not all(x.dtype == np.float32 and x.flags.c_contiguous for x in xs):
            return np.array([_sum(x) for x in xs])
        table = addresses(xs)
    parts, _, whole = _parts(tuple([x.size for x in xs]))
    if not len(parts):
        return np.zeros(len(xs))
    sums = np.empty(len(parts))
    _run(_sum_part, table, xs, sums)
    return sums if whole else np.bincount(parts[:, 0], sums, len(xs))


@checking
def clip_norm(xs, sums, limit, each):
    """See CONTRACTS["clip_norm"]."""
    table = plain_addresses(xs)
    if table is None or sums.shape != (len(xs),) or sums.dtype is not check.FLOAT64 or not limit > 0:
        check.clip_norm(xs, sums, limit, each)
    found = sums.tolist()
    norms = [sqrt(total) for total in found] if each else [sqrt(sum(found))] * len(xs)
    factors = [limit / norm if limit < norm < inf else 1.0 for norm in norms]
    if factors.count(1.0) == len(factors):
        return
    if table is not None:
        _run(_scale_part, table, xs, np.array(factors, np.float32))
        return
    for x, factor in zip(xs, factors, strict=True):
        if factor != 1:
            x *= factor


@checking
def clip_value(xs, limit):
    """See CONTRACTS["clip_value"]."""
    table = plain_addresses(xs)
    if table is None or not limit > 0:
        check.clip_value(xs, limit)
    if table is not None:
        _move(_cut, _cut_part, table, [xs], (limit,))
        return
    for dtype in (np.float32, np.float64):
        _move(_cut, _cut_part, None, [[x for x in xs if x.dtype == dtype]], (limit,))


@checking
def adam(params, grads, ms, vs, lr, beta1, beta2, eps, step):
    """See CONTRACTS["adam"]."""
    lists = params, grads, ms, vs
    table = plain_addresses(*lists)
    if table is None or not params or step < 1:
        check.adam(*lists, lr, beta1, beta2, eps, step)
    rates = lr / (1 - beta1**step), beta1, 1 - beta1, beta2, 1 - beta2, 1 / (1 - beta2**step), eps
    _move(_adam, _adam_part, table, lists, rates)


@checking
def sgd(params, grads, vs, lr, momentum):
    """See CONTRACTS["sgd"]."""
    lists = (params, grads, vs) if vs or momentum else (params, grads)
    table = plain_addresses(*lists)
    if table is None or not params:
        check.sgd(params, grads, vs, lr, momentum)
    if vs:
        _move(_roll, _roll_part, table, lists, (lr, momentum))
    else:
        _move(_descend, _descend_part, table, lists, (lr,))


@checking
def rmsprop(params, grads, vs, lr, rho, eps):
    """See CONTRACTS["rmsprop"]."""
    table = plain_addresses(params, grads, vs)
    if table is None or not params:
        check.rmsprop(params, grads, vs, lr, rho, eps)
    _move(_rooted, _rooted_part, table, [params, grads, vs], (lr, rho, 1 - rho, eps))


@checking
def adagrad(params, grads, sums, lr, eps):
    """See CONTRACTS["adagrad"]."""
    table = plain_addresses(params, grads, sums)
    if table is None or not params:
        check.adagrad(params, grads, sums, lr, eps)
    _move(_rooted, _rooted_part, table, [params, grads, sums], (lr, 1.0, 1.0, eps))
