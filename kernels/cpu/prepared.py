"""What was computed from weights, kept until they change.

    v = prepared(shape, weight, lambda: transform(weight))

A training step uses the same weights up to six times between two updates: D's on real and on fake images,
forwards and backwards, and before and after G's. Whether they are the same is seen by comparing their bits
with a copy, a tenth of the time of transforming them, so nobody has to tell when weights change in place.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import cache

import numpy as np

from .jit import entry
from .memory import fresh, location
from .team import arguments, even, run_parts
from .vector import floats, integers

PLACES = 2  # results for one key: G and D may have layers of one shape
KEPT = 1 << 28  # bytes of results
PART = 1 << 16  # numbers compared in one go

_lock = threading.Lock()
# (key, number) -> the bits of the weights, the result; what was used last at the end.
_known: OrderedDict[tuple[Hashable, int], tuple[np.ndarray, np.ndarray]] = OrderedDict()


ONE, OTHER, COUNT, STEP, FOUND = range(5)  # what a part of the work is told


def _differ(number, place):
    """Whether any of a part's bits differ; a stop at the first that does would keep it from vectors."""
    words = arguments(place)
    found = integers(words[FOUND], 1)
    if found[0]:
        return
    begin = number * words[STEP]
    size = min(words[STEP], words[COUNT] - begin)
    one = floats(words[ONE] + 4 * begin, size).view(np.int32)  # so that NaN equals itself
    other = floats(words[OTHER] + 4 * begin, size).view(np.int32)
    differing = np.int32(0)
    for i in range(one.size):
        differing |= one[i] ^ other[i]
    if differing:
        found[0] = 1


@cache
def _entry():
    return entry(_differ)


def _same(a, b):
    """Whether two float32 arrays of one size have the same bits."""
    found = np.zeros(1, np.int64)
    step = even(a.size, PART)
    run_parts(_entry(), [location(a), location(b), a.size, step, location(found)], -(-a.size // step))
    return not found[0]


def prepared(key: Hashable, weight: np.ndarray, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """compute(), or what it returned for weights of the same bits under this key. Not to be written to."""
    values = np.ascontiguousarray(weight).reshape(-1)
    with _lock:
        for place in [place for place in _known if place[0] == key]:
            copy, result = _known[place]
            if _same(copy, values):
                _known.move_to_end(place)
                return result
        used = [place for place in _known if place[0] == key]
        place = used[0] if len(used) == PLACES else (key, len(used))
        _known.pop(place, None)
        copy = result = None  # their memory is the new result's
    result = compute()
    copy = fresh(values.shape, values.dtype)
    np.copyto(copy, values)
    with _lock:
        _known[place] = copy, result
        while sum(kept.nbytes for _, kept in _known.values()) > KEPT:
            _known.popitem(last=False)
    return result
