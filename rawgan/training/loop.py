"""`rawgan.train`: from keywords to a trained GAN, with a run directory to watch, stop and go on from."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rawgan import arrays, data, nn, recipes
from rawgan.kernels.errors import CheckpointError, ConfigError, NonFiniteError
from rawgan.nn.structure import describe
from rawgan.settings import whole_number
from rawgan.training.history import COLUMNS, History, read
from rawgan.training.keeper import Keeper
from rawgan.training.progress import Progress
from rawgan.training.run import Run
from rawgan.training.rundir import RunDirectory, compare_config
from rawgan.training.step import Trainer

FREE = {"epochs", "steps", "checkpoint_every", "sample_every"}  # what a resumed run may change


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
    callbacks: called after each step, before it is saved, as callback(run, row); one that returns True
        ends the training.
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
    if resume and out is None:
        raise ConfigError("resume=True goes on with a run directory: give its path as out=")
    saved = _saved_config(out) if resume else None
    if epochs is not None and steps is not None:
        raise ConfigError("give epochs or steps, not both")
    counts = {"checkpoint_every": checkpoint_every, "sample_every": sample_every}
    given = {key: value for key, value in counts.items() if value is not None}
    for key, value in {"epochs": epochs, "steps": steps, **given}.items():
        if value is not None:
            whole_number(key, value)
    plan = _plan(recipe, generator, discriminator, settings, saved)
    source = plan.prepare(_source(data, data_dir, plan, saved))
    root = seed if seed is not None else saved["seed"] if saved else 0
    own = _own(generator, discriminator)
    trainer = Trainer(plan, source.shape, source, root, arrays.resolve(device), own)
    config = _config(plan, source, root, trainer)
    if saved is not None:
        compare_config(saved, config, FREE)
        if epochs is None and steps is None:
            epochs, steps = saved.get("epochs"), saved.get("steps")
    total, epochs, steps = _length(plan, source, epochs, steps)
    often = {"checkpoint_every": max(1, min(500, total // 20)), "sample_every": max(1, total // 20)}
    often |= {key: saved[key] for key in often if saved and key in saved}
    every = often | given
    config = _plain(config | {"epochs": epochs, "steps": steps, **every})
    with contextlib.ExitStack() as stack:
        run, directory = _open(stack, trainer, config, out, saved)
        _loop(run, directory, total, every, callbacks, progress)
    return run


def _saved_config(out: Any) -> dict[str, Any] | None:
    """What the run in `out` was started with; None where no run has begun."""
    if not RunDirectory.exists(out):
        return None
    config = RunDirectory.open(out).config
    for key, kind in {"recipe": str, "settings": dict, "data": dict, "networks": dict, "seed": int}.items():
        if not isinstance(config.get(key), kind):
            raise CheckpointError(f"{Path(out, 'config.json')}: has no usable {key!r}; restore it")
    return config


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
    _refuse_unknown(recipe, settings)
    return recipes.make(recipe, **settings)


def _refuse_unknown(recipe: str, settings: dict) -> None:
    """Name the nearest right keyword, be it the recipe's or `train`'s own."""
    kind = recipes.RECIPES.get(recipe, recipes.Custom)
    fields = [f.name for f in dataclasses.fields(kind)]
    keywords = [name for name in inspect.signature(train).parameters if name != "settings"]
    for key in settings:
        if key not in fields:
            raise ConfigError(
                f"the recipe {recipe!r} has no setting {key!r}"
                f"{recipes.nearest(key, [*fields, *keywords])}; it has: {', '.join(fields)}"
            )


def _source(given: Any, data_dir: Any, plan: recipes.Recipe, saved: dict | None) -> Any:
    if given is None:
        given = saved["data"].get("name") if saved else plan.data
        if saved and given not in data.names():
            raise ConfigError(f"this run trains on data of your own ({given!r}): give it again as data=")
    return data.load(given, data_dir=data_dir)


def _own(generator: nn.Module | None, discriminator: nn.Module | None) -> tuple[nn.Module, nn.Module] | None:
    return (generator, discriminator) if generator is not None and discriminator is not None else None


def _config(plan: recipes.Recipe, source: Any, seed: int, trainer: Trainer) -> dict[str, Any]:
    """Everything that decides the result."""
    settings = {
        f.name: getattr(plan, f.name)
        for f in dataclasses.fields(plan)
        if f.name not in ("data", "epochs", "steps")
    }
    config = {
        "recipe": plan.name,
        "settings": settings,
        "data": {"name": source.name, "shape": list(source.shape), "fingerprint": source.fingerprint},
        "seed": seed,
        "networks": {
            "generator": describe(trainer.generator),
            "discriminator": describe(trainer.discriminator),
        },
    }
    return _plain(config)


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """The same as JSON gives it back: NumPy's numbers as Python's, tuples as lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.generic | np.ndarray):
            return value.tolist()
        if isinstance(value, Mapping):
            return dict(value)
        raise ConfigError(f"{value!r} cannot be written to a configuration; give numbers and strings")

    return json.loads(json.dumps(config, default=plain))


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
        if found is None and directory.history_path.exists() and len(read(directory.history_path)["step"]):
            raise CheckpointError(
                f"{directory.path}: has a history but no checkpoint to go on from; restore checkpoints/, or "
                "start a new run in another `out`"
            )
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
    keeper = Keeper(run, directory, **every) if directory else None
    with Progress(total, trainer.steps, progress) as bar, _polite_stop() as asked_to_stop:
        try:
            if keeper and trainer.steps == 0:
                keeper.save()
            while trainer.steps < total and not run.stopped:
                row = trainer.step()
                rows.append(row)
                bar.update(row)
                for callback in callbacks:  # before the saving, so that what they change is saved too
                    answer = callback(run, row)
                    if isinstance(answer, bool | np.bool_) and answer:
                        run.stopped = "callback"
                if keeper:
                    keeper.after_step()
                if asked_to_stop():
                    run.stopped = "interrupted"
            if keeper:
                keeper.finish()
        except NonFiniteError as error:
            kept = f" The checkpoint of step {keeper.saved_at} is kept in {run.path}." if keeper else ""
            raise NonFiniteError(f"{error}.{kept}") from None
        if run.stopped == "interrupted" and directory:
            bar.message(f"stopped; go on with resume=True, out={str(directory.path)!r}")


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
