"""What was tried and how it did: a table, and a picture of the metric against each setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rawgan.training.pictures import trials_figure

LOWER, HIGHER = "minimize", "maximize"


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
            shown = [short(trial.settings.get(key)) for key in keys]
            state = "" if trial.state == "complete" else trial.state
            table.add_row(str(trial.number), value, *shown, f"{trial.seconds:.1f}", state)
        console = Console(width=110, color_system=None, force_terminal=False)
        with console.capture() as captured:
            console.print(table)
        return captured.get()


def short(value: Any) -> str:
    """A setting for a table."""
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)


def result(plan: dict[str, Any], tried: Iterable[Any], folder: Path) -> Tuning:
    """tried: Optuna's trials. Draws `trials.png` too."""
    trials = []
    for trial in tried:
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


def _draw(found: Tuning, space: Mapping[str, Any], path: Path) -> None:
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
