"""Checks of settings that a user types: numbers and ranges, refused with a ConfigError that says what fits.

>>> whole_number("batch_size", 0)
Traceback (most recent call last):
    ...
rawgan.kernels.errors.ConfigError: batch_size is a whole number ≥ 1, got 0
"""

from __future__ import annotations

import math
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
