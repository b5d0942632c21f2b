"""What a count of wrong verdicts says: against tables, SciPy, and each other."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawgan.rating import chance, interval, p_value

COUNTS = st.integers(1, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@pytest.mark.parametrize(
    ("count", "of", "low", "high", "p"),
    [
        (0, 10, 0.0, 1 - 0.025 ** (1 / 10), 2 / 2**10),  # the tails have one term: known in closed form
        (10, 10, 0.025 ** (1 / 10), 1.0, 2 / 2**10),
        (1, 1, 0.025, 1.0, 1.0),
        (5, 10, 0.1871, 0.8129, 1.0),  # Clopper and Pearson, 1934, and every table since
        (2, 20, 0.0123, 0.3170, 2 * 211 / 2**20),
    ],
)
def test_known_values(count, of, low, high, p):
    found = interval(count, of)
    assert max(abs(found[0] - low), abs(found[1] - high)) <= 5e-5
    assert abs(p_value(count, of) - p) <= 1e-12


@given(COUNTS)
def test_the_interval_and_the_test_agree(count_of):
    count, of = count_of
    low, high = interval(count, of)
    assert 0 <= low <= count / of <= high <= 1
    assert (p_value(count, of) < 1 - chance.LEVEL) == (not low <= 0.5 <= high)


@given(COUNTS)
def test_swapping_right_and_wrong_mirrors_all(count_of):
    count, of = count_of
    low, high = interval(count, of)
    mirrored = interval(of - count, of)
    assert max(abs(low - (1 - mirrored[1])), abs(high - (1 - mirrored[0]))) <= 1e-12
    assert abs(p_value(count, of) - p_value(of - count, of)) <= 1e-12


@pytest.mark.parametrize("of", [5, 30])
def test_at_least_95_of_100_intervals_hold_the_true_share(of):
    """Exactly, over the binomial distribution itself, for many true shares."""
    ends = np.array([interval(count, of) for count in range(of + 1)])
    for share in np.linspace(0.01, 0.99, 99):
        chances = [math.comb(of, i) * share**i * (1 - share) ** (of - i) for i in range(of + 1)]
        held = (ends[:, 0] <= share) & (share <= ends[:, 1])
        assert np.dot(held, chances) >= 0.95


@pytest.mark.dev
@given(COUNTS)
def test_as_scipy_has_it(count_of):
    stats = pytest.importorskip("scipy.stats", reason="SciPy is the witness: it comes with rawgan[dev]")
    count, of = count_of
    witness = stats.binomtest(count, of, 0.5)
    ends = witness.proportion_ci(0.95, "exact")
    found = interval(count, of)
    assert max(abs(found[0] - ends.low), abs(found[1] - ends.high)) <= 1e-10
    assert abs(p_value(count, of) - witness.pvalue) <= 1e-10
