"""What a count of wrong verdicts says: an interval for the error rate, and whether guessing explains it.

Both are exact and agree with each other: the interval leaves out 50% just where the p-value is below 5%.
The page computes the same in JavaScript (page.html), which the tests hold to this.

>>> low, high = interval(38, 100)
>>> round(low, 4), round(high, 4), round(p_value(38, 100), 4)
(0.2848, 0.4825, 0.021)
"""

from __future__ import annotations

import math

import numpy as np

LEVEL = 0.95


def interval(count: int, of: int) -> tuple[float, float]:
    """The 95% interval for a share of which `count` of `of` were seen.

    C. J. Clopper and E. S. Pearson, Biometrika 26, 1934: the shares p for which neither tail of the binomial
    distribution, P(X ≥ count) or P(X ≤ count), is below 2.5%. It holds the true share in at least 95% of
    cases, however few there are.
    """
    return _lowest(count, of), 1.0 - _lowest(of - count, of)


def p_value(count: int, of: int) -> float:
    """How often guessing (a share of one half) would give a count at least so far from the half of `of`."""
    less = _at_least(of - count, _coefficients(of), 0.5)
    more = _at_least(count, _coefficients(of), 0.5)
    return min(1.0, 2.0 * min(less, more))


def _lowest(count: int, of: int) -> float:
    """The p with P(X ≥ count) = 2.5%, by halving: that probability grows with p."""
    if count == 0:
        return 0.0
    coefficients = _coefficients(of)
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if _at_least(count, coefficients, middle) < (1 - LEVEL) / 2:
            low = middle
        else:
            high = middle
    return low


def _coefficients(of: int) -> np.ndarray:
    """(of + 1,): log C(of, i)."""
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1.0, of + 1)))])
    return factorials[-1] - factorials - factorials[::-1]


def _at_least(count: int, coefficients: np.ndarray, p: float) -> float:
    """P(X ≥ count) of a binomial distribution with 0 < p < 1."""
    of = len(coefficients) - 1
    seen = np.arange(count, of + 1)
    return float(np.exp(coefficients[count:] + seen * math.log(p) + (of - seen) * math.log1p(-p)).sum())
