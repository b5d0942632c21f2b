"""Shares of a count and their uncertainty; numbers that stand with their context.

>>> low, high = interval(9889, 10000)
>>> round(low, 4), round(high, 4)
(0.9867, 0.9908)
"""

from __future__ import annotations

import math
from typing import Any

Z95 = 1.959963984540054  # the normal distribution holds 95% within so many standard deviations


class Score(float):
    """A number with the figures that it should be read with, as attributes."""

    def __new__(cls, value: float, **figures: Any):
        made = super().__new__(cls, value)
        made.__dict__.update(figures)
        return made

    def __str__(self) -> str:
        return float.__repr__(self)


def interval(count: int, of: int) -> tuple[float, float]:
    """The 95% interval for a share of which `count` of `of` were seen (E. B. Wilson, JASA 22, 1927).

    Unlike p ± z √(p (1 − p) / n) it does not shrink to a point at 0 or all.
    """
    p, z2 = count / of, Z95 * Z95
    middle = (p + z2 / (2 * of)) / (1 + z2 / of)
    reach = Z95 / (1 + z2 / of) * math.sqrt(p * (1 - p) / of + z2 / (4 * of * of))
    # At the ends the root cancels only up to rounding.
    return (0.0 if count == 0 else middle - reach), (1.0 if count == of else middle + reach)
