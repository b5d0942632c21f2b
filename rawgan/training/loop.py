"""`rawgan.train`: from keywords to a trained GAN, with a run directory to watch, stop and go on from."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rawgan import arrays, data, nn, recipes
from rawgan.kernels.errors import ConfigError, NonFiniteError
from rawgan.nn.structure import describe
from rawgan.recipes.base import whole_number
from rawgan.training import pictures
from rawgan.training.history import COLUMNS, History
from rawgan.training.progress import Progress
from rawgan.training.run import Run
from rawgan.training.rundir import RunDirectory, compare_config
from rawgan.training.step import Trainer

FREE = {"epochs", "steps", "checkpoint_every", "sample_every"}  # what a resumed run may change
PLOT_SECONDS = 20.0  # while training, the curves are drawn again at most this often


def train(
    recipe: str | None = None,
    *,
    generator: nn.Module | None = None,
    discriminator: nn.Module | None = None,
    data: Any = None,
    epochs: int | None = None,
    steps: int | None = None,
    device: str = "auto",
    seed: int | None = None,
    out: str | os.PathLike | None = None,
    resume: bool = False,
    callbacks: Sequence[Callable[[Run, dict], Any]] = (),
    progress: bool = True,
    checkpoint_every: int | None = None,
    sample_every: int | None = None,
    data_dir: str | os.PathLike | None = None,
    **settings: Any,
) -> Run:
    """Train a GAN: a recipe by name, or your own two networks.

    recipe: one of `rawgan.recipes.names()`; or leave it out and give generator and discriminator,
        G: (N, noise) -> (N, *item) and D: (N, *item) -> (N, 1).
    data: a name of `rawgan.data.names()`, an array, or a Dataset; by default the recipe's own.
    epochs or steps: how long, counted from the very start; by default the recipe's own.
    device: "auto", "cpu", "cuda", "cuda:1".
    seed: decides everything random (default 0): one seed, one result.
    out: the run directory, new or empty; None keeps everything in memory.
    resume: go on with the run in `out`; what is not given is taken from it, what is given must agree.
    callbacks: called after each step as callback(run, row); one that returns True ends the training.
    progress: show a progress bar.
    checkpoint_every, sample_every: steps between checkpoints and between pictures (default: a
        twentieth of the way, checkpoints at most 500 steps apart).
    data_dir: where the dataset's files lie.
    settings: the recipe's own fields, such as batch_size, learning_rate, noise, objective.

    Returns a Run. Ctrl-C finishes the step, saves, and returns it with run.stopped = "interrupted".
    Raises ConfigError for unknown or impossible settings, DataError, CheckpointError, DeviceError, and
    NonFiniteError when a loss or gradient is no longer finite; the last checkpoint is then kept.

    >>> run = train("mlp", steps=2, batch_size=16, progress=False)
    >>> run.sample(4).shape
    (4, 1, 8, 8)
    """
    saved = RunDirectory.open(out).config if resume and out is not None and RunDirectory.exists(out) else None
    if resume and out is None:
        raise ConfigError("resume=True goes on with a run directory: give its path as out=")
    if epochs is not None and steps is not None:
        raise ConfigError("give epochs or steps, not both")
    for key, value in (("epochs", epochs), ("steps", steps)):
        if value is not None:
            whole_number(key, value)
    plan = _plan(recipe, generator, discriminator, settings, saved)
    source = plan.prepare(_source(data, data_dir, plan, saved))
    if seed is None:
        seed = saved["seed"] if saved else 0
    trainer = Trainer(
        plan, source.shape, source, seed, arrays.resolve(device), _own(generator, discriminator)
    )
    config = _config(plan, source, seed, trainer)
    if saved is not None:
        compare_config(saved, config, FREE)
        if epochs is None and steps is None:
            epochs, steps = saved["epochs"], saved["steps"]
    total, epochs, steps = _length(plan, source, epochs, steps)
    kept = saved or {}
    every = {
        "checkpoint_every": checkpoint_every or kept.get("checkpoint_every") or max(1, min(500, total // 20)),
        "sample_every": sample_every or kept.get("sample_every") or max(1, total // 20),
    }
    for key, value in every.items():
        whole_number(key, value)
    config |= {"epochs": epochs, "steps": steps, **every}
    with contextlib.ExitStack() as stack:
        run, directory = _open(stack, trainer, config, out, saved)
        _loop(run, directory, total, every, callbacks, progress)
    return run


def _plan(
    recipe: Any, generator: Any, discriminator: Any, settings: dict, saved: dict | None
) -> recipes.Recipe:
    """The recipe with its settings; where they are not given, those of the saved run."""
    own = generator is not None or discriminator is not None
    if own:
        if recipe is not None:
            raise ConfigError(f"give the recipe {recipe!r} or your own networks, not both")
        for name, network in (("generator", generator), ("discriminator", discriminator)):
            if not isinstance(network, nn.Module):
                raise ConfigError(f"{name}= takes a network such as nn.Sequential(...), got {network!r}")
        recipe = "custom"
    if recipe is None:
        if saved is None:
            raise ConfigError(
                f"give a recipe ({', '.join(recipes.names())}) or your own generator and discriminator"
            )
        recipe = saved["recipe"]
    if recipe == "custom" and not own:
        if saved is None:
            raise ConfigError("for networks of your own give generator= and discriminator=")
        raise ConfigError(
            "this run trains networks of your own: give them again as generator= and discriminator="
        )
    if saved is not None and saved["recipe"] == recipe:
        settings = saved["settings"] | settings
    elif saved is not None:
        raise ConfigError(f"resuming with a changed recipe: it was {saved['recipe']!r}, now {recipe!r}")
    return recipes.make(recipe, **settings)


def _source(given: Any, data_dir: Any, plan: recipes.Recipe, saved: dict | None) -> Any:
    if given is None:
        given = saved["data"]["name"] if saved else plan.data
        if saved and given not in data.names():
            raise ConfigError(f"this run trains on data of your own ({given!r}): give it again as data=")
    return data.load(given, data_dir=data_dir)


def _own(generator: nn.Module | None, discriminator: nn.Module | None) -> tuple[nn.Module, nn.Module] | None:
    return (generator, discriminator) if generator is not None and discriminator is not None else None


def _config(plan: recipes.Recipe, source: Any, seed: int, trainer: Trainer) -> dict[str, Any]:
    """Everything that decides the result, as JSON."""
    settings = {
        f.name: getattr(plan, f.name)
        for f in dataclasses.fields(plan)
        if f.name not in ("data", "epochs", "steps")
    }
    return {
        "recipe": plan.name,
        "settings": settings,
        "data": {"name": source.name, "shape": list(source.shape), "fingerprint": source.fingerprint},
        "seed": seed,
        "networks": {
            "generator": describe(trainer.generator),
            "discriminator": describe(trainer.discriminator),
        },
    }


def _length(plan: recipes.Recipe, source: Any, epochs: int | None, steps: int | None) -> tuple[int, Any, Any]:
    """(total steps, epochs or None, steps or None)."""
    if epochs is None and steps is None:
        epochs, steps = plan.epochs, plan.steps
        if epochs is None and steps is None:
            raise ConfigError("how long? give epochs= or steps=")
    per_epoch = source.steps_per_epoch(plan.batch_size)  # refuses a batch larger than the data
    if steps is not None:
        return steps, None, steps
    if per_epoch is None:
        raise ConfigError(f"the data {source.name!r} has no end, so no epochs: give steps=")
    return max(1, epochs * per_epoch // plan.d_steps), epochs, None


def _open(
    stack: contextlib.ExitStack, trainer: Trainer, config: dict, out: Any, saved: dict | None
) -> tuple[Run, RunDirectory | None]:
    """The run, new or resumed, and its open directory."""
    if out is None:
        return Run(trainer, config, History.in_memory()), None
    if saved is None:
        directory = stack.enter_context(RunDirectory.create(out, config))
        found = None
    else:
        directory = stack.enter_context(RunDirectory.open(out, writing=True))
        found = directory.latest_checkpoint()
        directory.set_config(config)
    if found is None:
        rows = History.create(directory.history_path)
    else:
        trainer.restore(found.arrays, found.meta)
        rows = History.resume(directory.history_path, found.step, COLUMNS)
    stack.callback(rows.close)
    return Run(trainer, config, rows, directory.path), directory


def _loop(
    run: Run,
    directory: RunDirectory | None,
    total: int,
    every: dict[str, int],
    callbacks: Sequence[Callable],
    progress: bool,
) -> None:
    trainer, rows = run.trainer, run._rows
    keeper = _Keeper(run, directory, every)
    with Progress(total, trainer.steps, progress) as bar, _polite_stop() as asked_to_stop:
        if trainer.steps == 0:
            keeper.save()
        try:
            while trainer.steps < total and not run.stopped:
                row = trainer.step()
                rows.append(row)
                bar.update(row)
                keeper.after(row)
                for callback in callbacks:
                    if callback(run, row) is True:
                        run.stopped = "callback"
                if asked_to_stop():
                    run.stopped = "interrupted"
        except NonFiniteError as error:
            last = keeper.saved_at
            kept = f" The checkpoint of step {last} is kept in {directory.path}." if directory else ""
            raise NonFiniteError(f"{error}.{kept}") from None
        keeper.finish()
        if run.stopped == "interrupted" and directory:
            bar.message(f"stopped; go on with resume=True, out={str(directory.path)!r}")


class _Keeper:
    """Writes checkpoints, sample pictures and curves at their times."""

    def __init__(self, run: Run, directory: RunDirectory | None, every: dict[str, int]):
        self.run, self.directory, self.every = run, directory, every
        self.saved_at = run.steps
        self.plotted_at = time.monotonic()

    def after(self, row: dict[str, float]) -> None:
        if self.directory is None:
            return
        step = int(row["step"])
        if step % self.every["sample_every"] == 0:
            self.picture()
            if time.monotonic() - self.plotted_at > PLOT_SECONDS:
                self.plot()
        if step % self.every["checkpoint_every"] == 0:
            self.save()

    def finish(self) -> None:
        if self.directory is None:
            return
        if self.saved_at != self.run.steps or not self.run.steps:
            self.save()
        if not self.directory.sample_path(self.run.steps).exists():
            self.picture()
        if self.run.steps:
            self.plot()

    def save(self) -> None:
        """The history goes to the disk first: a checkpoint never knows more than it."""
        if self.directory is None:
            return
        self.run._rows.sync()
        self.directory.save_checkpoint(self.run.steps, *self.run.trainer.state())
        self.saved_at = self.run.steps

    def picture(self) -> None:
        trainer = self.run.trainer
        path = self.directory.sample_path(self.run.steps)
        if len(trainer.shape) == 3:
            pictures.save_grid(path, self.run.sample(64))
        else:
            source = trainer.source
            n = min(2000, len(source)) if isinstance(source, data.Dataset) else 2000
            real = source.batch_for(0, n, key=0)
            centres = getattr(source, "centres", None)
            pictures.points_figure(path, real, self.run.sample(2000), self.run.steps, centres)

    def plot(self) -> None:
        pictures.plot_history(self.directory.plots_folder(), self.run.history)
        self.plotted_at = time.monotonic()


@contextlib.contextmanager
def _polite_stop() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C (or termination signal) asks for a stop after the step, a second one breaks off."""
    asked = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals reach the main thread only
        return
    old = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, frame: Any) -> None:
        asked.append(number)
        for s, handler in old.items():
            signal.signal(s, handler)

    for s in old:
        signal.signal(s, on_signal)
    try:
        yield lambda: bool(asked)
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)
