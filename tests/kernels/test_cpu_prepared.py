"""Results kept for the same weights: changed weights, in place or not, are always noticed."""

import numpy as np
import pytest

from rawgan import kernels
from rawgan.kernels.cpu import prepared as module
from rawgan.kernels.cpu.prepared import PLACES, prepared


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    monkeypatch.setattr(module, "_known", type(module._known)())


def counting(value):
    calls = []
    return calls, lambda: calls.append(1) or np.full(3, value, np.float32)


def test_computed_once_for_the_same_bits():
    w = np.array([1.0, np.nan, -0.0], np.float32)
    calls, compute = counting(1)
    for weight in (w, w.copy(), w[::-1][::-1]):
        prepared("a", weight, compute)
    assert len(calls) == 1
    w[2] = 0.0  # equal as a number, not as bits
    prepared("a", w, compute)
    prepared("b", w, compute)
    assert len(calls) == 3


def test_several_networks_of_one_shape():
    kept = [np.full(2, n, np.float32) for n in range(PLACES)]
    calls, compute = counting(1)
    for _ in range(3):
        for weight in kept:
            prepared("a", weight, compute)
    assert len(calls) == PLACES
    prepared("a", np.full(2, -1, np.float32), compute)  # takes the place not used for longest
    prepared("a", kept[-1], compute)
    assert len(calls) == PLACES + 1
    prepared("a", kept[0], compute)
    assert len(calls) == PLACES + 2


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "KEPT", 100)
    for n in range(20):
        result = prepared(n, np.ones(2, np.float32), lambda n=n: np.full(5, n, np.float32))
        assert (result == n).all()
    assert sum(kept.nbytes for _, kept in module._known.values()) <= 100
    assert prepared("large", np.ones(2, np.float32), lambda: np.zeros(99, np.float32)).size == 99


def test_convolutions_see_weights_changed_in_place():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 32, 16, 16), np.float32)
    w = rng.standard_normal((32, 32, 4, 4), np.float32)
    y = rng.standard_normal((16, 32, 8, 8), np.float32)
    calls = {
        "conv2d": (x, w, None, (2, 2), (1, 1)),
        "conv_transpose2d": (y, w, None, (2, 2), (1, 1), (0, 0)),
    }
    for _ in range(3):
        for name, arguments in calls.items():
            got, again = (getattr(kernels, name)(*arguments) for _ in range(2))
            np.testing.assert_array_equal(got, again)
            with kernels.use_kernels("reference"):
                wanted = getattr(kernels, name)(*arguments)
            assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max()
        w *= -0.5
        w[3, 5, 1, 2] += 1
    assert module._known
