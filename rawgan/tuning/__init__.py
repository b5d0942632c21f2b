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
from functools import partial
from pathlib import Path
from typing import Any

from rawgan import recipes
from rawgan.evaluation import figures_for
from rawgan.kernels.errors import ConfigError
from rawgan.settings import is_number, whole_number
from rawgan.training import Run
from rawgan.tuning import work
from rawgan.tuning.results import HIGHER, LOWER, Trial, Tuning, result

__all__ = ["METRICS", "Trial", "Tuning", "space_of", "tune"]

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
    trials: how many there are to be in all, those of earlier calls included, and those that were lost with
        their worker and tried again not counted. workers: processes.
    space: setting -> [choices], (low, high), or (low, high, "log"); whole numbers stay whole. By default
        `space_of` the recipe.
    out: the folder of the trials' runs. storage: Optuna's URL, by default a SQLite file in `out`.
    looks: how often the metric is looked at in each trial, the end included.
    settings: of every trial; keywords of `rawgan.train`, such as steps and data.

    Needs Optuna (`pip install rawgan[tune]`). Raises ConfigError for what cannot be tried, and for a folder
    in which something else was tried.
    """
    chosen = recipes.make(recipe)
    direction = _direction(metric, direction)
    for name, value in {"trials": trials, "workers": workers, "samples": samples, "looks": looks}.items():
        whole_number(f"tune: {name}", value)
    plan = {
        "recipe": recipe,
        "metric": metric if isinstance(metric, str) else getattr(metric, "__name__", repr(metric)),
        "direction": direction,
        "space": _checked(chosen, space_of(chosen) if space is None else dict(space), settings),
        "samples": samples,
        "looks": looks,
        "seed": seed,
        "settings": settings,
    }
    if isinstance(metric, str):
        _check_figure(metric, chosen, settings)
    folder = Path(out).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    url = storage or f"sqlite:///{folder / 'trials.db'}"
    study = work.study_of(plan, url)
    said = study.user_attrs.get("plan")
    if said is not None and json.loads(said) != json.loads(_text(plan)):
        raise ConfigError(
            f"{folder}: something else was tried there; go on with it as it was, or give another out="
        )
    study.set_user_attr("plan", _text(plan))
    one = partial(work.work, plan, metric, url, str(folder), trials)
    if workers == 1:
        one(0, progress)
    else:
        work.together(one, workers, progress)
    found = result(plan, work.counted(study, lost=True), folder)
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


def _check_figure(metric: str, recipe: recipes.Recipe, settings: Mapping[str, Any]) -> None:
    """Refuse a metric that is no figure of the data, before anything is trained."""
    given = settings.get("data")
    given = recipe.data if given is None else given
    try:
        names = figures_for(given, settings.get("data_dir"))
    except ConfigError as error:
        raise ConfigError(f"tune: {error}; or give a function of a Run as metric=") from None
    if metric not in names:
        raise ConfigError(
            f"tune: {metric!r} is no figure of runs on {given!r}; there are: "
            f"{', '.join(name for name in names if name in METRICS)}"
        )


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
