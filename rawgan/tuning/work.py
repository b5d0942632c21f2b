"""Workers that try one trial after another on a shared storage, until there are as many as were asked for.

Who is to begin a trial is decided by their numbers, which the storage gives each once: of two workers that
see one place left, the one with the higher number steps back.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from rawgan.kernels.errors import ConfigError, NonFiniteError
from rawgan.training import Run, train
from rawgan.training.plan import length
from rawgan.tuning.results import short

HEARTBEAT, GRACE = (
    15,
    60,
)  # seconds: a trial whose worker has been silent for so long is lost, and tried again
WAIT = 0.5  # seconds between two looks at the trials of others
BEGUN, SURPLUS = "begun", "surplus"  # attributes of a trial: its worker lives; there was no place for it


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ConfigError("tune needs Optuna: pip install rawgan[tune]") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextmanager
def _experimental(optuna: Any) -> Iterator[None]:
    """Heartbeats are new in Optuna, which says so at every turn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def study_of(plan: dict[str, Any], url: str, worker: int = 0) -> Any:
    """Optuna's study, new or as it was left."""
    optuna = _optuna()
    with _experimental(optuna):
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


def work(
    plan: dict[str, Any], metric: Any, url: str, folder: str, trials: int, number: int, progress: bool
) -> None:
    """One worker: trials until there are enough, those of others that are lost meanwhile included."""
    study = study_of(plan, url, number)
    stopped: list[bool] = []
    objective = partial(_try, plan, metric, Path(folder), trials, stopped, progress)
    while not stopped and _place_left(study, trials):
        study.optimize(objective, n_trials=1, catch=(NonFiniteError,))


def counted(study: Any, lost: bool = False) -> list[Any]:
    """Optuna's trials that have a place; those that were lost and are tried again only if `lost`."""
    optuna = _optuna()
    waiting, running = optuna.trial.TrialState.WAITING, optuna.trial.TrialState.RUNNING
    every = study.trials
    late = datetime.now() - timedelta(seconds=GRACE)
    again: set[int] = set()
    with _experimental(optuna):
        again.update(
            *map(optuna.storages.RetryHeartbeatStaleTrialCallback.retry_history, [] if lost else every)
        )

    def has_place(trial: Any) -> bool:
        if trial.state == running and BEGUN not in trial.user_attrs and trial.datetime_start < late:
            return False  # its worker was killed before its first sign of life, so nobody will miss it
        return trial.state != waiting and SURPLUS not in trial.user_attrs and trial.number not in again

    return [trial for trial in every if has_place(trial)]


def _place_left(study: Any, trials: int) -> bool:
    """Whether another trial is to be begun. Waits while that hangs on others, whose workers may be killed."""
    optuna = _optuna()
    while True:
        with _experimental(optuna):
            optuna.storages.fail_stale_trials(study)
        begun = counted(study)
        if len(begun) < trials:
            return True
        if not any(trial.state == optuna.trial.TrialState.RUNNING for trial in begun):
            return False
        time.sleep(WAIT)


def _try(
    plan: dict[str, Any],
    metric: Any,
    folder: Path,
    trials: int,
    stopped: list[bool],
    progress: bool,
    trial: Any,
) -> float:
    """One trial: the metric at its end. stopped: gets an item where the worker is to stop."""
    optuna = _optuna()
    trial.set_user_attr(BEGUN, True)
    before = sum(other.number < trial.number for other in counted(trial.study))
    if before >= trials:  # another worker was quicker
        trial.set_user_attr(SURPLUS, True)
        raise optuna.TrialPruned
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
        stopped.append(True)
        raise optuna.TrialPruned
    value = _measured(metric, run, plan["samples"])
    if progress:
        shown = ", ".join(f"{key} {short(v)}" for key, v in given.items())
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


def together(work: Callable[[int, bool], None], workers: int, progress: bool) -> None:
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
