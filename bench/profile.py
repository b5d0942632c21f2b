"""Where the time of a training step goes: every kernel that it calls, and what is left for Python.

A kernel's least time is that of the roof that binds it, by its contract's operations and bytes; "kernels at
their roofs" adds those of a step up. A step is faster than that only by convolutions with fewer
multiplications than the definition counts, and by what a cache still holds.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

from rawgan import kernels
from rawgan.bench import document, roofs, steps, timing
from rawgan.bench.columns import find
from rawgan.kernels.errors import ConfigError

PYTHON, STEP, LEAST = "Python and the tape", "the whole step", "kernels at their roofs"


def run(
    recipe: str,
    device: str = "cpu",
    batch: int | None = None,
    seconds: float = 3.0,
    against: Sequence[str] = (),
) -> dict[str, Any]:
    """The document of one recipe's step: a row for each kernel, for all its calls in a step together.

    against: of "torch" and "torch.compile", whose whole step is timed in turns with ours.
    """
    (column,) = find([device])
    if column.missing:
        raise ConfigError(f"bench: nothing to time: {device}: {column.missing}")
    step = column.bound(steps.plain_step(steps.trainer(recipe, batch, device=column.device)))
    wait = column.wait() or (lambda: None)
    roof = roofs.measure(column.device, min(1.0, seconds))
    work = counted(step)  # compiles, too
    taken: list[dict[str, float]] = []
    end = time.perf_counter() + seconds
    while len(taken) < 5 or time.perf_counter() < end:
        taken.append(timed(step, wait))
    times = {name: timing.summary([sums.get(name, 0.0) for sums in taken]) for name in {**work, **taken[0]}}
    often = [name for name in work if times[name]["median_ms"] > 0]  # an epoch's order is drawn more seldom
    rows, least = [], 0.0
    for name in sorted(often, key=lambda name: -times[name]["median_ms"]):
        flops, moved = (float(sum(amounts)) for amounts in zip(*work[name], strict=True))
        share = roofs.against(flops, moved, times[name]["median_ms"], roof)
        least += sum(max(f / roof["gflops"], b / roof["gbytes"]) for f, b in work[name]) / 1e9
        calls = f"{len(work[name])} call{'s' if len(work[name]) > 1 else ''}"
        rows.append(_row(name, calls, {column.name: times[name] | share}, flops, moved))
    sides, missing = [], {}
    if against and (why := document.why_no_torch(column.device)):
        missing = dict.fromkeys(against, why)
    whole = {column.name: timing.Call(step, column.wait())}
    for side in against if not missing else ():
        try:
            rival = steps.trainer(recipe, batch, device=column.device)
            whole[side] = steps.rival_step(rival, side == "torch.compile")
            sides.append(side)
        except Exception as error:  # torch.compile wants a C++ compiler, and fails in many ways
            missing[side] = document.words(error)
    steps_taken = {column.name: times[STEP]}
    if sides:
        steps_taken = {name: timing.summary(t) for name, t in timing.alternate(whole, seconds).items()}
    rows += [_row(PYTHON, "", {column.name: times[PYTHON]}), _row(STEP, "", steps_taken)]
    rows.append(_row(LEAST, "", {column.name: timing.summary([least])}))
    settings = {"recipe": recipe, "batch": batch, "seconds": seconds, **document.of_torch(sides)}
    more = {"roofs": {column.name: roof}, "settings": settings, "missing": missing}
    return document.make("profile", rows, [column.name, *against], column.name, **more)


def _row(name: str, case: str, times: dict, flops: float = 0.0, moved: float = 0.0) -> dict[str, Any]:
    return {"name": name, "part": "step", "case": case, "flops": flops, "bytes": moved, "times": times}


def counted(step: Callable[[], Any]) -> dict[str, list[tuple[float, float]]]:
    """The operations and bytes of each call of each kernel in a step."""
    work = defaultdict(list)

    def call(kernel: kernels.Kernel, *args: Any, **kwargs: Any) -> Any:
        contract = kernel.contract
        work[kernel.name].append((contract.flops(*args, **kwargs), contract.bytes(*args, **kwargs)))
        return plain(kernel, *args, **kwargs)

    plain = kernels.Kernel.__call__
    with mock.patch.object(kernels.Kernel, "__call__", call):
        step()
    return dict(work)


def timed(step: Callable[[], Any], wait: Callable[[], Any]) -> dict[str, float]:
    """Seconds of each kernel in a step, of the step, and of what is left."""
    sums: dict[str, float] = defaultdict(float)

    def call(kernel: kernels.Kernel, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        found = plain(kernel, *args, **kwargs)
        wait()
        sums[kernel.name] += time.perf_counter() - start
        return found

    plain = kernels.Kernel.__call__
    with mock.patch.object(kernels.Kernel, "__call__", call):
        start = time.perf_counter()
        step()
        wait()
        whole = time.perf_counter() - start
    return sums | {PYTHON: whole - sum(sums.values()), STEP: whole}
