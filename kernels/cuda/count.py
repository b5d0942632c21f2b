"""Numbers that grow from step to step, for launches that are recorded once and replayed.

A recorded launch keeps the numbers it was given, so a draw's number or an optimiser's step would stand still.
A `Count` is such a number in two parts: where it stood at the recording, which the launch may keep, and how
far it has moved since, which lies on the device. Kernels take both: `long long step, const long long*
step_moved_or_null`.

>>> split(7), split(Count(5, "moved") + 2)
((7, None), (7, 'moved'))
"""

from __future__ import annotations

from typing import Any


class Count(int):
    """The number where it stood at the recording; moved: an int64 array (1,) on the device, to be added."""

    moved: Any

    def __new__(cls, start: int, moved: Any) -> Count:
        self = super().__new__(cls, start)
        self.moved = moved
        return self

    def __add__(self, more: int) -> Count:  # a later number of the same count
        return Count(int(self) + more, self.moved)

    def __mod__(self, limit: int) -> Count:  # of the start only: sums of 64 bits wrap on the device too
        return Count(int(self) % limit, self.moved)


class Varying(float):
    """A number that is another at every replay; now: a float64 array (1,) on the device, which holds it."""

    now: Any

    def __new__(cls, number: float, now: Any) -> Varying:
        self = super().__new__(cls, number)
        self.now = now
        return self


def varying(number: float) -> tuple[float, Any]:
    """The two arguments of a kernel: `double lr, const double* lr_now_or_null`."""
    return float(number), getattr(number, "now", None)


def split(number: int) -> tuple[int, Any]:
    """The two arguments of a kernel: a plain number has moved nowhere."""
    return int(number), getattr(number, "moved", None)
