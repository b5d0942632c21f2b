"""When a run is written down: checkpoints, sample pictures and curves, each at its times."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rawgan import data
from rawgan.kernels.errors import CheckpointError, DataError, NonFiniteError, ShapeError
from rawgan.notice import warn
from rawgan.training import pictures
from rawgan.training.alarms import Alarm
from rawgan.training.run import Run
from rawgan.training.rundir import RunDirectory

PLOT_SECONDS = 20.0  # while training, the curves are drawn again at most this often


class Keeper:
    """Writes a run into its directory.

    checkpoint_every, sample_every: in steps. saved_at: the step of the last checkpoint.
    """

    def __init__(self, run: Run, directory: RunDirectory, checkpoint_every: int, sample_every: int):
        self.run, self.directory = run, directory
        self.checkpoint_every, self.sample_every = checkpoint_every, sample_every
        self.saved_at = run.steps
        self.plotted_at = time.monotonic()
        self.warned: set[str] = set()  # what could not be written, once said

    def steps_until_due(self) -> int:
        """How many steps, one or more, to the next at which there is something to write."""
        return min(every - self.run.steps % every for every in (self.sample_every, self.checkpoint_every))

    def after_step(self) -> None:
        """What is due. The picture first: once the checkpoint is there, a resumed run draws it no more."""
        if self.run.steps % self.sample_every == 0:
            self.picture()
            if time.monotonic() - self.plotted_at > PLOT_SECONDS:
                self.plot()
        if self.run.steps % self.checkpoint_every == 0:
            self.save()

    def finish(self) -> None:
        """The last checkpoint, picture and curves, where they are not there yet, and the animation."""
        if self.saved_at != self.run.steps:
            self.save()
        if self.run.steps not in self.directory.sample_paths():
            self.picture()
        self.plot()
        with self._dispensable("animation"):
            samples = self.directory.sample_paths()
            if len(samples) > 1:
                pictures.save_animation(self.directory.plots_folder() / "learning.png", samples)

    @contextmanager
    def _dispensable(self, what: str) -> Iterator[None]:
        """A picture that cannot be written, or an old one that was changed, is no reason to lose the run."""
        try:
            yield
        except (CheckpointError, DataError, ShapeError) as error:
            if what not in self.warned:
                self.warned.add(what)
                warn(f"no {what}: {error}", RuntimeWarning)

    def save(self) -> None:
        """A checkpoint. The history goes to the disk first, so that no checkpoint knows more than it.

        Raises NonFiniteError for a state from which no training goes on; it is not written.
        """
        values, meta = self.run.trainer.state()
        for name, value in values.items():
            if not np.isfinite(value).all():
                raise NonFiniteError(
                    f"after step {self.run.steps} {name} is not finite, so no checkpoint of it is written. "
                    "Remedies: a lower learning_rate, clip_norm=1.0"
                )
        self.run._rows.sync()
        self.directory.save_checkpoint(self.run.steps, values, meta)
        self.saved_at = self.run.steps

    def picture(self) -> None:
        with self._dispensable("picture"):
            self._picture(self.directory.sample_path(self.run.steps))

    def _picture(self, path: Path) -> None:
        source = self.run.trainer.source
        if len(self.run.trainer.shape) == 3:
            pictures.save_grid(path, self.run.sample(64))
        else:
            n = min(2000, len(source)) if isinstance(source, data.Dataset) else 2000
            real = source.batch_for(0, n, key=0)
            centres = getattr(source, "centres", None)
            pictures.points_figure(path, real, self.run.sample(2000), self.run.steps, centres)

    def warning(self, alarm: Alarm) -> None:
        """Into the list of warnings; what a run that was cut off said later than this step is dropped."""
        with self._dispensable("list of warnings"):
            self.directory.add_warning(alarm.step, f"{alarm.kind}: {alarm.says}")

    def plot(self) -> None:
        with self._dispensable("plot"):
            pictures.plot_history(self.directory.plots_folder(), self.run.history)
        self.plotted_at = time.monotonic()
