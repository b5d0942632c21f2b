"""Random numbers: one seed, one stream, whatever else happens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rawgan
from rawgan import rng
from rawgan.kernels.errors import ConfigError, DTypeError
from rawgan.rng import Generator

words = st.integers(0, 2**64 - 1)

# The block of counter 0 and key 0, as published with the paper (Random123, kat_vectors, philox4x32 10).
BLOCK = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_known_answer():
    assert Generator(0).uniform(4).tolist() == [(word >> 8) * 2.0**-24 for word in BLOCK]
    wide = [((a >> 5) * 2**26 + (b >> 6)) * 2.0**-53 for a, b in (BLOCK[:2], BLOCK[2:])]
    assert Generator(0).uniform(2, "float64").tolist() == wide


@given(words, words, st.integers(0, 50))
def test_same_seed_same_numbers(seed, draw, size):
    a, b = Generator(seed, draw), Generator(seed, draw)
    for name in ("uniform", "normal"):
        for dtype in ("float32", "float64"):
            x, y = getattr(a, name)((size,), dtype), getattr(b, name)((size,), dtype)
            assert x.dtype == dtype
            np.testing.assert_array_equal(x, y)
            assert np.isfinite(x).all()
    np.testing.assert_array_equal(a.permutation(size), b.permutation(size))
    np.testing.assert_array_equal(a.integers(7, size), b.integers(7, size))


def test_every_draw_is_another():
    g = Generator(3)
    first, second = g.normal(8), g.normal(8)
    assert not np.isin(first, second).any()
    assert g.draw == 2
    assert repr(g) == "Generator(seed=3, draw=2)"
    assert Generator(0, 2**64 - 1).next() == (0, 2**64 - 1)


def test_spawned_streams_are_their_own():
    g = Generator(5, draw=9)
    a, b = g.spawn("noise"), g.spawn("order")
    assert g.draw == 9  # spawning draws nothing
    assert len({g.key, a.key, b.key, Generator(6).spawn("noise").key}) == 4
    np.testing.assert_array_equal(a.normal(5), Generator(5).spawn("noise").normal(5))
    x, y = a.normal(20_000, "float64"), b.normal(20_000, "float64")
    assert abs(np.mean(x * y)) <= 5 / np.sqrt(20_000)  # five standard deviations


@given(words, words)
def test_state_round_trip(seed, draw):
    g = Generator(seed, draw)
    state = g.state()
    assert state == {"key": seed, "draw": draw}
    expected = g.normal(3)
    other = Generator()
    other.set_state(state)
    np.testing.assert_array_equal(other.normal(3), expected)


@given(words, st.integers(0, 200))
def test_a_permutation_is_one(seed, n):
    p = Generator(seed).permutation(n)
    assert p.dtype == np.int64
    assert sorted(p.tolist()) == list(range(n))


def test_permutations_are_even():
    """Each of 4! orders about equally often: χ² with 23 degrees of freedom stays below 60 (p about 4e-5)."""
    g = Generator(11)
    n = 4800
    counts = {}
    for _ in range(n):
        order = tuple(g.permutation(4).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert sum((c - n / 24) ** 2 / (n / 24) for c in counts.values()) <= 60


def test_uniform_and_normal_have_their_moments():
    n = 200_000
    for dtype in ("float32", "float64"):
        u, z = Generator(1).uniform(n, dtype), Generator(2).normal(n, dtype)
        assert 0 <= u.min() < u.max() < 1
        u, z = u.astype(np.float64), z.astype(np.float64)
        five = 5 / np.sqrt(n)
        assert abs(u.mean() - 0.5) <= five * np.sqrt(1 / 12)
        assert abs(u.var() - 1 / 12) <= five * np.sqrt(1 / 180)
        assert abs(z.mean()) <= five
        assert abs(z.var() - 1) <= five * np.sqrt(2)
        assert abs((z**3).mean()) <= five * np.sqrt(15)
        assert abs((z**4).mean() - 3) <= five * np.sqrt(96)


@given(st.integers(1, 2**53), words)
def test_integers_stay_in_range(n, seed):
    x = Generator(seed).integers(n, (3, 4))
    assert x.shape == (3, 4)
    assert x.dtype == np.int64
    assert (x >= 0).all()
    assert (x < n).all()


@pytest.mark.parametrize("bad", [-1, 2**64, 1.5, "1", None])
def test_keys_out_of_range(bad):
    with pytest.raises(ConfigError, match=r"seed is a whole number in \[0, 2\*\*64\), got"):
        Generator(bad)
    with pytest.raises(ConfigError, match="draw is a whole number"):
        Generator(0, bad)
    before = rng.current().state()
    with pytest.raises(ConfigError, match="key is a whole number"):
        rawgan.manual_seed(bad)
    assert rng.current().state() == before


@pytest.mark.parametrize("n", [0, -3, 2**53 + 1])
def test_integers_out_of_range(n):
    with pytest.raises(ConfigError, match=r"takes n in \[1, 2\*\*53\]"):
        Generator(0).integers(n)


def test_numpy_integers_are_seeds():
    assert Generator(np.int64(3)).key == 3


def test_other_dtypes_are_refused():
    with pytest.raises(DTypeError, match="tensors are float32 or float64"):
        Generator(0).normal(3, "int32")


def test_the_current_generator():
    rawgan.manual_seed(4)
    first = rng.current().normal(3)
    with rng.use_generator(Generator(8)) as inner:
        assert rng.current() is inner
        rng.current().normal(3)
    with pytest.raises(KeyError), rng.use_generator(inner):
        raise KeyError
    assert rng.current().draw == 1
    rawgan.manual_seed(4)
    np.testing.assert_array_equal(rng.current().normal(3), first)
