"""`rawgan.train`: from keywords to a trained GAN, with a run directory to watch, stop and go on from."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rawgan import arrays, nn
from rawgan.kernels.cuda import recording
from rawgan.kernels.errors import CheckpointError, ConfigError, NonFiniteError
from rawgan.kernels.precision import precision
from rawgan.settings import whole_number
from rawgan.training import plan
from rawgan.training.alarms import EVERY, Alarms
from rawgan.training.history import History, read
from rawgan.training.keeper import Keeper
from rawgan.training.progress import Progress
from rawgan.training.replays import Replays
from rawgan.training.run import Run
from rawgan.training.rundir import RunDirectory, compare_config
from rawgan.training.step import Trainer

# What a resumed run may change.
FREE = {"epochs", "steps", "checkpoint_every", "sample_every", "device", "precision"}


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
    warnings: bool = True,
    checkpoint_every: int | None = None,
    sample_every: int | None = None,
    data_dir: str | os.PathLike | None = None,
    **settings: Any,
) -> Run:
    """Train a GAN: a recipe by name, or your own two networks.

    recipe: one of `rawgan.recipes.names()`; or leave it out and give generator and discriminator,
        G: (N, noise) -> (N, *item) and D: (N, *item) -> (N, 1).
    data: a name of `rawgan.data.names()`, the path of a folder of pictures, an array, or a Dataset; by
        default the recipe's own.
    epochs or steps: how long, counted from the very start; by default the recipe's own.
    device: "auto", "cpu", "cuda", "cuda:1", "cuda-sim" (the CUDA kernels on the processor).
    seed: decides everything random (default 0): one seed, one result.
    out: the run directory, new or empty; None keeps everything in memory.
    resume: go on with the run in `out`; what is not given is taken from it, what is given must agree.
    callbacks: called after each step, before it is saved, as callback(run, row); one that returns True
        ends the training. Gradients that one keeps are to be copied: on a GPU the next step writes into them.
    progress: show a progress bar.
    warnings: look for signs that training goes wrong (alarms.py); they are shown with the progress, kept in
        run.warnings, and written to warnings.txt.
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
    keywords = [name for name in inspect.signature(train).parameters if name != "settings"]
    plan.refuse_unknown(recipe, settings, keywords)
    if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise ConfigError(f"callbacks= takes a list of functions, got {callbacks!r}")
    if resume and out is None:
        raise ConfigError("resume=True goes on with a run directory: give its path as out=")
    saved = plan.saved_config(out) if resume else None
    if epochs is not None and steps is not None:
        raise ConfigError("give epochs or steps, not both")
    counts = {"checkpoint_every": checkpoint_every, "sample_every": sample_every}
    given = {key: value for key, value in counts.items() if value is not None}
    for key, value in {"epochs": epochs, "steps": steps, **given}.items():
        if value is not None:
            whole_number(key, value)
    chosen = plan.recipe_for(recipe, generator, discriminator, settings, saved)
    source = chosen.prepare(plan.source_for(data, data_dir, chosen, saved))
    root = seed if seed is not None else saved["seed"] if saved else 0
    own = plan.own_networks(generator, discriminator)
    trainer = Trainer(chosen, source.shape, source, root, arrays.resolve(device), own)
    config = plan.config_of(chosen, source, root, trainer)
    if saved is not None:
        compare_config(saved, config, FREE)
        if epochs is None and steps is None:
            epochs, steps = saved["epochs"], saved["steps"]
    total, epochs, steps = plan.length(chosen, source, epochs, steps)
    often = {"checkpoint_every": max(1, min(500, total // 20)), "sample_every": max(1, total // 20)}
    often |= {key: saved[key] for key in often if saved}
    every = often | given
    where = {"device": trainer.device, "precision": precision()}
    config = plan.as_json(config | {"epochs": epochs, "steps": steps, **every, **where})
    with contextlib.ExitStack() as stack:
        run, directory = _open(stack, trainer, config, out, saved)
        _loop(run, directory, total, every, callbacks, progress, warnings)
    return run


def _open(
    stack: contextlib.ExitStack, trainer: Trainer, config: dict, out: Any, saved: dict | None
) -> tuple[Run, RunDirectory | None]:
    """The run, new or resumed, and its open directory."""
    columns = trainer.recipe.columns()
    if out is None:
        return Run(trainer, config, History.in_memory(columns)), None
    if saved is None:
        directory = stack.enter_context(RunDirectory.create(out, config))
        found = None
    else:
        directory = stack.enter_context(RunDirectory.open(out, writing=True))
        found = directory.latest_checkpoint()
        if found is None and directory.history_path.exists() and len(read(directory.history_path)["step"]):
            raise CheckpointError(
                f"{directory.path}: has a history but no checkpoint to go on from; restore checkpoints/, or "
                "start a new run in another `out`"
            )
        directory.set_config(config)
    if found is None:
        rows = History.create(directory.history_path, columns)
    else:
        trainer.restore(found.arrays, found.meta)
        rows = History.resume(directory.history_path, found.step, columns)
    stack.callback(rows.close)
    return Run(trainer, config, rows, directory.path), directory


def _loop(
    run: Run,
    directory: RunDirectory | None,
    total: int,
    every: dict[str, int],
    callbacks: Sequence[Callable],
    progress: bool,
    warnings: bool,
) -> None:
    trainer, rows = run.trainer, run._rows
    keeper = Keeper(run, directory, **every) if directory else None
    replays = Replays(trainer) if recording.possible(trainer.device) else None
    alarms = Alarms(run) if warnings else None
    with Progress(total, trainer.steps, progress) as bar, _polite_stop() as asked_to_stop:
        try:
            if keeper and trainer.steps == 0:
                keeper.save()
            while trainer.steps < total and not run.stopped:
                left = [total - trainer.steps]
                left += [who.steps_until_due() for who in (keeper, alarms) if who]
                limit = 1 if callbacks else min(left)
                for row in replays.rows(limit) if replays else (trainer.step(),):
                    rows.append(row)
                    bar.update(row)
                    if alarms:
                        alarms.add(row)
                    for callback in callbacks:  # before the saving, so that what they change is saved too
                        answer = callback(run, row)
                        if isinstance(answer, bool | np.bool_) and answer:
                            run.stopped = "callback"
                if alarms and trainer.steps % EVERY == 0:
                    for alarm in alarms.look():
                        bar.message(f"step {alarm.step:,}: {alarm.says}")
                        run.warnings.append(alarm)
                        if keeper:
                            keeper.warning(alarm)
                if keeper:
                    keeper.after_step()
                if asked_to_stop():
                    run.stopped = "interrupted"
            if keeper:
                keeper.finish()
        except NonFiniteError as error:
            raise NonFiniteError(f"{error}. {directory.kept()}" if directory else f"{error}.") from None
        if run.stopped == "interrupted" and directory:
            bar.message(f"stopped at step {run.steps}; go on with resume=True (--resume), out={run.path}")


@contextlib.contextmanager
def _polite_stop() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C (or termination signal) asks for a stop after the step, a second one breaks off."""
    asked = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals reach the main thread only
        return
    old = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    # A signal that is ignored (in a background job, say) stays so, and so does a handler set by C (None).
    old = {s: handler for s, handler in old.items() if handler not in (None, signal.SIG_IGN)}

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
