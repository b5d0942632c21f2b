"""How the cost of a training step grows with the batch, the channels and the size of the pictures.

Each axis is walked alone from the recipe's own settings. The operations of a row, by the definition, give
the ideal: a step that costs as much for one of them as the recipe's own step does lies on that line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rawgan import recipes
from rawgan.bench import document, steps, timing
from rawgan.bench.columns import find
from rawgan.kernels.errors import ConfigError
from rawgan.recipes import nearest

AXES: dict[str, tuple[float, ...]] = {
    "batch": (8, 16, 32, 64, 128, 256, 512, 1024),
    "width": (0.25, 0.5, 0.75, 1, 1.5, 2),
    "size": (28, 32, 40, 48, 56, 64),
}


def run(
    recipe: str = "dcgan_mnist",
    device: str = "cpu",
    against: Sequence[str] = (),
    only: Sequence[str] = (),
    seconds: float = 2.0,
    show: Callable[[list], Any] = iter,
) -> dict[str, Any]:
    """The document of one recipe's step along all axes, or `only` these.

    An axis that the recipe has not is left out: the size of points, or of pictures that must have one size.
    """
    for name in only:
        if name not in AXES:
            raise ConfigError(f"bench: there is no axis {name!r}{nearest(name, AXES)}")
    (column,) = find([device])
    if column.missing:
        raise ConfigError(f"bench: nothing to time: {device}: {column.missing}")
    rival = column.device if column.kind == "cuda" else "cpu"
    why = document.why_no_torch(rival) if against else None
    own = {"batch": recipes.make(recipe).batch_size, "width": 1, "size": 28}
    rows = []
    for axis, value in show([(name, value) for name in only or AXES for value in AXES[name]]):
        setting = {axis: value}
        try:
            ours = steps.trainer(recipe, **setting, device=column.device)
        except ConfigError:
            continue
        calls = {column.name: timing.Call(column.bound(steps.plain_step(ours)), column.wait())}
        if against and not why:
            from rawgan.bench import twins

            calls["torch"] = twins.call(steps.trainer(recipe, **setting, device=rival))
        times = {side: timing.summary(t) for side, t in timing.alternate(calls, seconds).items()}
        row = {"name": recipe, "part": axis, "case": f"{axis} {value:g}", "value": value}
        row |= {"own": value == own[axis], "flops": sum(steps.direct(ours).values()), "times": times}
        rows.append(row)
    names = [column.name, *["torch"] * bool(against)]
    more = {"missing": {"torch": why} if why else {}, "settings": {"seconds": seconds}}
    return document.make("growth", rows, names, column.name, **more)
