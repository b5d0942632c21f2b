"""`rawgan.tune`: a recipe's settings chosen by trial, on Optuna.

    found = rawgan.tune("mixture", metric="total_variation", trials=30, workers=2, out="runs/tuning")
    found.best                                 # {"learning_rate": 0.0007, ...}
    print(found)                               # a table, best first

Each trial is a training of its own, in `out/trial-0007`; the metric is looked at on the way, and a trial that
does worse than half of the others did by then is given up. What was tried lies in one SQLite file beside the
runs (or any storage that Optuna knows), so several processes, or machines, work on it together, one that is
killed loses its trial alone, which is tried again, and calling again goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rawgan import recipes
from rawgan.kernels.errors import ConfigError, NonFiniteError
from rawgan.settings import is_number, whole_number
from rawgan.training import Run, train
from rawgan.training.pictures import trials_figure
from rawgan.training.plan import length

HEARTBEAT, GRACE = (
    15,
    60,
)  # seconds: a trial whose worker has been silent for so long is lost, and tried again
LOWER, HIGHER = "minimize", "maximize"
METRICS = {  # of `rawgan.evaluate`, and what is better
    "frechet_distance": LOWER,
    "kernel_inception_distance": LOWER,
    "inception_score": HIGHER,
    "precision": HIGHER,
    "recall": HIGHER,
    "density": HIGHER,
    "coverage": HIGHER,
    "classes_covered": HIGHER,
    "modes_covered": HIGHER,
    "total_variation": LOWER,
}
Space = dict[str, Any]


def space_of(recipe: recipes.Recipe) -> Space:
    """What is tried where nothing is said: what the articles leave open, as far as the recipe uses it.

    >>> space_of(recipes.make("mlp"))["learning_rate"]
    (1e-05, 0.01, 'log')
    """
    space: Space = {"learning_rate": (1e-5, 1e-2, "log"), "batch_size": [32, 64, 128, 256]}
    space |= {key: (0.1, 10.0, "log") for key in ("clip_norm", "clip_norm_each") if getattr(recipe, key)}
    for key, values in {
        "conjugate": (0.01, 10.0, "log"),
        "gradient_penalty": (0.1, 100.0, "log"),
        "r1": (0.01, 100.0, "log"),
        "weight_clip": (1e-3, 1e-1, "log"),
        "beta": (0.1, 10.0, "log"),
    }.items():
        if getattr(recipe, key, None):
            space[key] = values
    return space


@dataclass(frozen=True)
class Trial:
    """number: its run is trial-<number>. state: "complete", "pruned", "fail" or "running". value: the metric,
    at the end or where the trial was given up; None where there is none."""

    number: int
    state: str
    value: float | None
    settings: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Tuning:
    """What was tried, best first. best, value: of the best trial that was completed, or None."""

    recipe: str
    metric: str
    direction: str
    trials: tuple[Trial, ...]
    path: Path

    @property
    def best(self) -> dict[str, Any] | None:
        done = [trial for trial in self.trials if trial.state == "complete"]
        return done[0].settings if done else None

    @property
    def value(self) -> float | None:
        done = [trial for trial in self.trials if trial.state == "complete"]
        return done[0].value if done else None

    def __str__(self) -> str:
        from rich.console import Console
        from rich.table import Table

        better = "lower" if self.direction == LOWER else "higher"
        table = Table(title=f"{self.recipe}: {self.metric}, {better} is better", title_justify="left")
        keys = list(dict.fromkeys(key for trial in self.trials for key in trial.settings))
        for name in ("trial", self.metric, *keys, "seconds", ""):
            table.add_column(name, justify="left" if name == "" else "right")
        for trial in self.trials:
            value = "" if trial.value is None else f"{trial.value:.4g}"
            shown = [_short(trial.settings.get(key)) for key in keys]
            state = "" if trial.state == "complete" else trial.state
            table.add_row(str(trial.number), value, *shown, f"{trial.seconds:.1f}", state)
        console = Console(width=110, color_system=None, force_terminal=False)
        with console.capture() as captured:
            console.print(table)
        return captured.get()


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)


def tune(
    recipe: str,
    *,
    metric: str | Callable[[Run], float],
    trials: int = 20,
    workers: int = 1,
    space: Mapping[str, Any] | None = None,
    direction: str | None = None,
    out: str | os.PathLike = "tuning",
    storage: str | None = None,
    samples: int = 2000,
    looks: int = 5,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> Tuning:
    """Try settings of a recipe, and say which did best.

    metric: a figure of `rawgan.evaluate` by name (`tuning.METRICS`), judged on so many `samples`; or a
        function of a Run, for which direction= says what is better, "minimize" or "maximize".
    trials: how many there are to be in all, those of earlier calls included; what other workers have begun
        by then is ended too. workers: processes.
    space: setting -> [choices], (low, high), or (low, high, "log"); whole numbers stay whole. By default
        `space_of` the recipe.
    out: the folder of the trials' runs. storage: Optuna's URL, by default a SQLite file in `out`.
    looks: how often the metric is looked at in each trial, the end included.
    settings: of every trial; keywords of `rawgan.train`, such as steps and data.

    Needs Optuna (`pip install rawgan[tune]`). Raises ConfigError for what cannot be tried, and for a folder
    in which something else was tried.
    """
    chosen = recipes.make(recipe)
    for name, value in {"trials": trials, "workers": workers, "samples": samples, "looks": looks}.items():
        whole_number(f"tune: {name}", value)
    plan = {
        "recipe": recipe,
        "metric": metric if isinstance(metric, str) else getattr(metric, "__name__", repr(metric)),
        "direction": _direction(metric, direction),
        "space": _checked(chosen, space_of(chosen) if space is None else dict(space), settings),
        "samples": samples,
        "looks": looks,
        "seed": seed,
        "settings": settings,
    }
    folder = Path(out).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    url = storage or f"sqlite:///{folder / 'trials.db'}"
    study = _study(plan, url)
    said = study.user_attrs.get("plan")
    if said is not None and json.loads(said) != json.loads(_text(plan)):
        raise ConfigError(
            f"{folder}: something else was tried there; go on with it as it was, or give another out="
        )
    study.set_user_attr("plan", _text(plan))
    work = partial(_work, plan, metric, url, str(folder), trials)
    if workers == 1:
        work(0, progress)
    else:
        _together(work, workers, progress)
    found = _result(plan, study, folder)
    if progress:
        print(found)
    return found


def _direction(metric: Any, given: str | None) -> str:
    if isinstance(metric, str):
        if metric not in METRICS:
            raise ConfigError(f"tune: there is no metric {metric!r}; there are: {', '.join(METRICS)}")
        return METRICS[metric]
    if not callable(metric):
        raise ConfigError(f"tune: metric= takes a name or a function of a Run, got {metric!r}")
    if given not in (LOWER, HIGHER):
        raise ConfigError(
            f"tune: for a function of your own say direction={LOWER!r} or {HIGHER!r}, got {given!r}"
        )
    return given


def _checked(recipe: recipes.Recipe, space: Space, settings: Mapping[str, Any]) -> Space:
    """The space without what is settled, each part of it tried on the recipe."""
    space = {key: values for key, values in space.items() if key not in settings}
    if not space:
        raise ConfigError("tune: nothing is left to be tried; give space=")
    for key, values in space.items():
        ends = values if isinstance(values, list) else values[:2] if isinstance(values, tuple) else ()
        numbers = isinstance(values, tuple) and len(values) in (2, 3) and all(map(is_number, values[:2]))
        rising = numbers and values[0] < values[1] and values[2:] in ((), ("log",))
        if not (isinstance(values, list) and values) and not rising:
            raise ConfigError(
                f"tune: {key} is tried in [choices], (low, high) or (low, high, 'log'), got {values!r}"
            )
        for value in ends:
            recipes.make(recipe.name, **{key: value})
    return space


def _text(plan: dict[str, Any]) -> str:
    return json.dumps(plan, sort_keys=True, default=str)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ConfigError("tune needs Optuna: pip install rawgan[tune]") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _study(plan: dict[str, Any], url: str, worker: int = 0) -> Any:
    """Optuna's study, new or as it was left."""
    import warnings

    optuna = _optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.RDBStorage(
            url,
            engine_kwargs={"connect_args": {"timeout": 60}} if url.startswith("sqlite") else None,
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=3),
        )
        return optuna.create_study(
            storage=storage,
            study_name=plan["recipe"],
            direction=plan["direction"],
            sampler=optuna.samplers.TPESampler(seed=plan["seed"] + worker),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
            load_if_exists=True,
        )


def _work(
    plan: dict[str, Any], metric: Any, url: str, folder: str, trials: int, worker: int, progress: bool
) -> None:
    """One worker: trials until there are enough."""
    optuna = _optuna()
    study = _study(plan, url, worker)
    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL)
    if sum(trial.state in ended for trial in study.trials) >= trials:
        return
    enough = optuna.study.MaxTrialsCallback(trials, states=ended)
    objective = partial(_try, plan, metric, Path(folder), progress)
    study.optimize(objective, callbacks=[enough], catch=(NonFiniteError,))


def _try(plan: dict[str, Any], metric: Any, folder: Path, progress: bool, trial: Any) -> float:
    """One trial: the metric at its end."""
    optuna = _optuna()
    given = {key: _suggested(trial, key, values) for key, values in plan["space"].items()}
    settings = {
        "seed": plan["seed"],
        "sample_every": 10**9,
        **plan["settings"],
        **given,
    }  # pictures take time
    place = folder / f"trial-{trial.number:04d}"
    looks: list[float] = []

    def look(run: Run, row: Mapping[str, float]) -> bool:
        if int(row["step"]) % max(1, _total(run) // plan["looks"]) or len(looks) >= plan["looks"] - 1:
            return False
        looks.append(_measured(metric, run, plan["samples"]))
        trial.report(looks[-1], len(looks))
        return bool(trial.should_prune())

    run = train(plan["recipe"], out=place, progress=False, warnings=False, callbacks=[look], **settings)
    if run.stopped == "callback":
        raise optuna.TrialPruned
    if run.stopped:
        trial.study.stop()
        raise optuna.TrialPruned
    value = _measured(metric, run, plan["samples"])
    if progress:
        shown = ", ".join(f"{key} {_short(v)}" for key, v in given.items())
        print(f"trial {trial.number}: {plan['metric']} {value:.4g} ({shown})", flush=True)
    return value


def _total(run: Run) -> int:
    """How many steps the run is to have."""
    trainer = run.trainer
    return length(trainer.recipe, trainer.source, run.config["epochs"], run.config["steps"])[0]


def _suggested(trial: Any, key: str, values: Any) -> Any:
    if isinstance(values, list):
        return trial.suggest_categorical(key, values)
    low, high, log = values[0], values[1], len(values) == 3
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(key, low, high, log=log)
    return trial.suggest_float(key, low, high, log=log)


def _measured(metric: str | Callable[[Run], float], run: Run, samples: int) -> float:
    if not isinstance(metric, str):
        return float(metric(run))
    from rawgan.evaluation import evaluate

    figures = evaluate(run, n=samples, progress=False).figures
    if metric not in figures:
        raise ConfigError(f"tune: {metric!r} is no figure of {run!r}; there are: {', '.join(figures)}")
    return figures[metric].value


def _together(work: Callable[[int, bool], None], workers: int, progress: bool) -> None:
    """Several processes, each with its share of the processors; the dead are counted, not waited for."""
    import multiprocessing

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    before = os.environ.get("RAWGAN_NUM_THREADS")
    os.environ["RAWGAN_NUM_THREADS"] = str(max(1, cores // workers))
    try:
        context = multiprocessing.get_context("spawn")
        started = [context.Process(target=work, args=(i, progress)) for i in range(workers)]
        for process in started:
            process.start()
    finally:
        os.environ.pop("RAWGAN_NUM_THREADS")
        if before is not None:
            os.environ["RAWGAN_NUM_THREADS"] = before
    for process in started:
        process.join()
    if all(process.exitcode for process in started):
        raise ConfigError(f"tune: no worker came to its end (exit codes {[p.exitcode for p in started]})")


def _result(plan: dict[str, Any], study: Any, folder: Path) -> Tuning:
    trials = []
    for trial in study.trials:
        state = trial.state.name.lower()
        value = (
            trial.value if trial.value is not None else trial.intermediate_values.get(trial.last_step or 0)
        )
        seconds = trial.duration.total_seconds() if trial.duration else 0.0
        trials.append(Trial(trial.number, state, value, dict(trial.params), seconds))
    sign = 1 if plan["direction"] == LOWER else -1
    rank = {"complete": 0, "pruned": 1}
    trials.sort(key=lambda t: (rank.get(t.state, 2), sign * t.value if t.value is not None else 0.0))
    found = Tuning(plan["recipe"], plan["metric"], plan["direction"], tuple(trials), folder)
    _draw(found, plan["space"], folder / "trials.png")
    return found


def _draw(found: Tuning, space: Space, path: Path) -> None:
    """The metric of the trials one by one, and against each setting."""
    shown = sorted((t for t in found.trials if t.value is not None), key=lambda t: t.number)
    if shown:
        panels = {}
        for key, values in space.items():
            tried = [t.settings.get(key) for t in shown]
            if isinstance(values, list):
                tried = list(map(str, tried))  # choices stand side by side
            panels[key] = tried, isinstance(values, tuple) and len(values) == 3
        trials_figure(path, found.metric, np.array([t.value for t in shown]), panels)
