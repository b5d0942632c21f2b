"""How a learning rate changes over training: what it is multiplied by, of the updates done so far.

    optimizer.schedule = make("linear", 10_000)

The functions take any array module's numbers, so that a recorded step computes them on the device.

>>> import numpy as np
>>> [float(make("linear", 4)(np, t)) for t in (0, 1, 4, 9)]
[1.0, 0.75, 0.0, 0.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rawgan.kernels.errors import ConfigError
from rawgan.settings import whole_number

Schedule = Callable[[Any, Any], Any]
SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {  # share: of the way, from 0 to 1
    "linear": lambda xp, share: 1 - share,
    "cosine": lambda xp, share: 0.5 * (1 + xp.cos(math.pi * share)),  # Loshchilov and Hutter 2017, equation 5
}
NAMES = ("constant", *SCHEDULES)


def make(name: str, updates: int | None) -> Schedule | None:
    """The schedule of that name, which ends at 0 after so many updates; None for "constant".

    Raises ConfigError for an unknown name, or without a number of updates.
    """
    if name == "constant":
        return None
    if not isinstance(name, str) or name not in SCHEDULES:
        raise ConfigError(f"there is no schedule {name!r}; there are: {', '.join(NAMES)}")
    if updates is None:
        raise ConfigError(f"the schedule {name!r} ends after schedule_steps updates: give their number")
    whole_number("schedule_steps", updates)
    return lambda xp, t: SCHEDULES[name](xp, xp.minimum(t / updates, 1.0))
