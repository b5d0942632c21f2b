"""What it costs that a training step can be recorded: while nobody does, and while it is.

    rawgan bench inspect --json inspect.json

While nobody records, each operation asks once whether somebody watches, and each backward pass once; a step's
questions are asked here by themselves. Recording keeps every value and gradient, and runs layers one by one
that are fused otherwise. All are taken in turns, in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rawgan.bench import document, steps, timing
from rawgan.engine import MODE
from rawgan.training.inspected import recorded_step

STEP, RECORDED, QUESTIONS = "cpu train", "recorded", "questions"
OFF, ON = 1.0, 2.0  # percent of a step, and times a step, at most


def run(only: Sequence[str] = (), seconds: float = 5.0, show: Callable[[list], Any] = iter) -> dict[str, Any]:
    """The document: a row for each of the recipes `steps.TIMED`, or of `only` these."""
    rows = []
    for name in show(list(only or steps.TIMED)):
        calls, nodes = sides(name)
        times = {side: timing.summary(t) for side, t in timing.alternate(calls, seconds).items()}
        case = f"{nodes} nodes"
        rows.append({"name": name, "part": "step", "case": case, "times": times, "missing": {}})
    columns = [STEP, RECORDED, QUESTIONS]
    return document.make("inspect", rows, columns, STEP, settings={"seconds": seconds})


def sides(name: str) -> tuple[dict[str, timing.Call], int]:
    """A step, a recorded one, and all that a step asks for nobody; and how many nodes are recorded."""
    trainer = steps.trainer(name)
    trainer.step()
    tape = recorded_step(trainer)
    visits = sum(len(found.visits) for found in tape.passes)
    count, nodes = len(tape) + 3 * visits + len(tape.passes), len(tape)
    del tape

    def ask() -> None:
        mode = MODE.get()
        for _ in range(count):
            if mode.watch is not None:
                raise AssertionError

    return {
        STEP: timing.Call(trainer.step),
        RECORDED: timing.Call(lambda: recorded_step(trainer)),
        QUESTIONS: timing.Call(ask),
    }, nodes


def notes(found: dict[str, Any]) -> list[str]:
    """What each recipe pays, off and on."""
    lines = []
    for row in found["rows"]:
        times = row["times"]
        if {STEP, RECORDED, QUESTIONS} <= times.keys():
            step = times[STEP]["median_ms"]
            off, on = 100 * times[QUESTIONS]["median_ms"] / step, times[RECORDED]["median_ms"] / step
            lines.append(
                f"{row['name']}: {off:.2f}% of a step while nobody records ({OFF:g}% at most wanted), "
                f"{on:.2f} times a step while it is recorded ({ON:g} at most wanted)"
            )
    return lines
