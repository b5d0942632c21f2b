"""What was computed from weights, kept until they change.

    v = prepared(shape, weight, lambda: transform(weight))

A training step uses the same weights up to six times between two updates: D's on real and on fake images,
forwards and backwards, and before and after G's. Whether they are the same is seen by comparing their bits
with a copy, a tenth of the time of transforming them, so nobody has to tell when weights change in place.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np

PLACES = 2  # results for one key: G and D may have layers of one shape
KEPT = 1 << 28  # bytes of results

_lock = threading.Lock()
# (key, number) -> the bits of the weights, the result; what was used last at the end.
_known: OrderedDict[tuple[Hashable, int], tuple[np.ndarray, np.ndarray]] = OrderedDict()


def prepared(key: Hashable, weight: np.ndarray, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """compute(), or what it returned for weights of the same bits under this key. Not to be written to."""
    bits = np.ascontiguousarray(weight).reshape(-1).view(np.uint32)  # so that NaN equals itself
    with _lock:
        for place in [place for place in _known if place[0] == key]:
            copy, result = _known[place]
            if np.array_equal(copy, bits):
                _known.move_to_end(place)
                return result
        used = [place for place in _known if place[0] == key]
        place = used[0] if len(used) == PLACES else (key, len(used))
        _known.pop(place, None)
        copy = result = None  # their memory is the new result's
    result = compute()
    with _lock:
        _known[place] = bits.copy(), result
        while sum(kept.nbytes for _, kept in _known.values()) > KEPT:
            _known.popitem(last=False)
    return result
