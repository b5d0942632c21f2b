"""What the warnings of `rawgan.train` cost: a look, spread over the steps until the next, beside a step.

    rawgan bench warnings --json warnings.json

A look is timed when all of it is done: a training that is old enough to be asked whether it has collapsed, in
which nothing has been said lately. Both are taken in turns, in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rawgan.bench import document, steps, timing
from rawgan.training.alarms import EVERY, SETTLED, Alarms
from rawgan.training.history import History
from rawgan.training.run import Run

STEP, WARNINGS = "cpu train", "warnings"
ASKED = 2.0  # percent of a step, at most


def run(only: Sequence[str] = (), seconds: float = 5.0, show: Callable[[list], Any] = iter) -> dict[str, Any]:
    """The document: a row for each of the recipes `steps.TIMED`, or of `only` these."""
    rows = []
    for name in show(list(only or steps.TIMED)):
        calls = watched(name)
        times = {side: timing.summary(t) for side, t in timing.alternate(calls, seconds).items()}
        case = f"every {EVERY} steps"
        rows.append({"name": name, "part": "step", "case": case, "times": times, "missing": {}})
    return document.make("warnings", rows, [STEP, WARNINGS], STEP, settings={"seconds": seconds})


def watched(name: str) -> dict[str, timing.Call]:
    """A step, and what the warnings add to it: of `EVERY` steps the rows kept and one look."""
    trainer = steps.trainer(name)
    history = History.in_memory(trainer.recipe.columns())
    row = trainer.step()
    history.append(row)
    trainer.steps = SETTLED
    alarms = Alarms(Run(trainer, {}, history))

    def look() -> None:
        for _ in range(EVERY):
            alarms.add(row)
        alarms._quiet_until.clear()
        alarms.look()

    def step() -> None:
        trainer.step()
        trainer.steps = SETTLED

    return {STEP: timing.Call(step), WARNINGS: timing.Call(look, each=EVERY)}


def notes(found: dict[str, Any]) -> list[str]:
    """The share of each recipe's step."""
    lines = []
    for row in found["rows"]:
        times = row["times"]
        if {STEP, WARNINGS} <= times.keys():
            share = 100 * times[WARNINGS]["median_ms"] / times[STEP]["median_ms"]
            verdict = "reached" if share <= ASKED else "not reached"
            lines.append(
                f"{row['name']}: warnings take {share:.2f}% of a step, {ASKED:g}% are asked for: {verdict}"
            )
    return lines
