"""Rows short and long, many and few, with what is not finite, as the textbook has them."""

import numpy as np
import pytest

from rawgan.kernels.cpu import softmax as fast
from rawgan.kernels.reference import softmax as reference


@pytest.mark.parametrize(
    "shape", [(1, 1), (700, 10), (129, 2), (65, fast.SHORT - 1), (9, fast.SHORT), (3, 1001)]
)
def test_log_softmax_of_rows_of_any_length(shape):
    x = np.random.default_rng(0).normal(0, 10, shape).astype(np.float32)
    exact = reference.log_softmax(x.astype(np.float64))
    error = np.abs(fast.log_softmax(x) - exact) / np.maximum(1, np.abs(exact))
    assert error.max() <= 2e-7


@pytest.mark.parametrize("size", [10, fast.SHORT + 3])
def test_log_softmax_of_what_is_not_finite(size):
    """NaN, ∞ and nothing but −∞ spoil their own row; −∞ beside numbers is a probability of 0."""
    x = np.zeros((70, size), np.float32)
    x[1, 3], x[2, 4], x[3], x[4, 5], x[5, 0] = np.nan, np.inf, -np.inf, -np.inf, 1e30
    with np.errstate(all="ignore"):
        found, exact = fast.log_softmax(x), reference.log_softmax(x)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(exact))
    np.testing.assert_allclose(found, exact, rtol=2e-7)
