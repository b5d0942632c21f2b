"""Checks of settings that a user types, refused with a ConfigError that says what fits; and names misspelt.

>>> whole_number("batch_size", 0)
Traceback (most recent call last):
    ...
rawgan.kernels.errors.ConfigError: batch_size is a whole number ≥ 1, got 0
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from rawgan.kernels.errors import ConfigError


def is_number(value: Any) -> bool:
    """A finite real number, and not a truth value."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)


def number(what: str, value: Any, low: float, high: float = math.inf) -> float:
    """`value` as a Python float, which leaves an array's dtype alone; refused outside [low, high)."""
    if not is_number(value) or not low <= value < high:
        raise ConfigError(f"{what} is a number in [{low:g}, {high:g}), got {value!r}")
    return float(value)


def whole_number(what: str, value: Any, least: int = 1) -> None:
    """Refuse what is not a whole number of at least `least`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{what} is a whole number ≥ {least}, got {value!r}")


def near(word: Any, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one was meant for, or None where none is near.

    Near is what at most one slip in three letters makes of the other (a letter too many, too few, wrong, or
    two swapped), and what the other begins with.

    >>> near("droput", ["out", "dropout"]), near("droput", ["out"]), near("noise_dim", ["noise", "epochs"])
    ('dropout', None, 'noise')
    """
    word = str(word).lower()
    slips = {name: _slips(word, name.lower()) for name in known}
    best = min(slips, key=slips.__getitem__, default=None)
    if best is not None and slips[best] <= min(len(word), len(best)) // 3:
        return best
    begins = (name for name in slips if min(len(word), len(name)) > 2)
    return next((name for name in begins if word.startswith(name) or name.startswith(word)), None)


def nearest(word: Any, known: Iterable[str]) -> str:
    """ "; did you mean ...?", or nothing where no known name is near."""
    found = near(word, known)
    return f"; did you mean {found!r}?" if found else ""


def _slips(a: str, b: str) -> int:
    """Optimal string alignment distance: how many slips of the pen lead from one to the other."""
    before, last = [], list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        row = [i]
        for j, y in enumerate(b, start=1):
            row.append(min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y)))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                row[j] = min(row[j], before[j - 2] + 1)
        before, last = last, row
    return last[-1]
