"""Training on a GPU without the host: one step is recorded as a graph (recorded.py), which is then replayed.

    replays = Replays(trainer)
    for row in replays.rows(limit=50): ...     # some steps, at most 50, and their rows of the history

The results are those of `Trainer.step`, bit for bit. It takes over where a step cannot be recorded, and does
the last steps again where a number is no longer finite, to name the operation that made it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from rawgan.engine.mode import MODE
from rawgan.kernels.cuda import recording
from rawgan.kernels.errors import DeviceError
from rawgan.notice import warn
from rawgan.training.recorded import MOST, Held, Recorded
from rawgan.training.step import Trainer

WARM = 2  # steps before one is recorded: they compile, and leave the memory that it needs
SECONDS = 0.2  # between two looks at the values, if not MOST steps are done before: a person watches


class Replays:
    """The steps of a Trainer on a device "cuda" or "cuda-sim"."""

    def __init__(self, trainer: Trainer):
        self.trainer = trainer
        self._impossible = False
        self._wait = WARM
        self._held: Held = (None, None)
        self._start()

    def _start(self) -> None:
        self._maker = recording.new(self.trainer.device)
        self._recorded: Recorded | None = None
        self._warm = 0
        self._together = MOST  # replays without a look at the values

    def rows(self, limit: int) -> Iterator[dict[str, float]]:
        """The rows of the next steps: one or more, at most `limit`."""
        if self._recorded is not None and not self._recorded.stands():
            # A recording takes as long as several steps: where each is soon out of date, there are fewer.
            self._wait = WARM if self._recorded.done >= MOST else 2 * self._wait
            self._start()
        if self._recorded is None and self._warm >= self._wait and not self._impossible:
            self._record()
        if self._recorded is None or MODE.get().watch is not None:
            yield self._eager()
            self._warm += 1
        else:
            yield from self._replayed(self._recorded, min(limit, self._together))

    def _eager(self) -> dict[str, float]:
        with self._maker.using():
            return self.trainer.step()

    def _record(self) -> None:
        try:
            self._recorded = Recorded(self.trainer, self._maker, self._held)
            self._held = self._recorded.held
        except DeviceError as error:
            self._start()
            self._impossible = True
            warn(f"training goes on operation by operation, as its steps cannot be replayed: {error}")

    def _replayed(self, recorded: Recorded, count: int) -> Iterator[dict[str, float]]:
        begin = time.perf_counter()
        rows = recorded.run(count)
        each = (time.perf_counter() - begin) / count
        self._together = max(1, min(MOST, int(SECONDS / each)))
        if rows is not None:
            yield from rows
            return
        self._start()
        for _ in range(count):  # one of them raises NonFiniteError
            yield self._eager()
