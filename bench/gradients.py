"""Two devices' gradients of one step, parameter by parameter: where they part says which kernel is wrong.

    rawgan bench gradients dcgan_mnist --device cpu cuda

All devices have the same weights and the same batch, and draw the same noise and masks from one seed. All
players' gradients are taken at these weights, with no update between, which would magnify the differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from rawgan import arrays
from rawgan.bench import document, steps
from rawgan.bench.columns import find
from rawgan.kernels.errors import ConfigError
from rawgan.training.game import Game
from rawgan.training.step import Trainer

FLOOR = 1e-4  # of all of a player's gradients: a smaller one is held against this
NOT_FINITE = 1e300  # stands for a difference that is no number


def run(recipe: str, devices: Sequence[str] | None = None, batch: int | None = None) -> dict[str, Any]:
    """The document: a row for the noise, G's output and each parameter, what differs most first.

    devices: the first is what the others are compared with; by default the CPU, and a GPU or "cuda-sim".
    A difference is ‖a − b‖ / ‖a‖, and for gradients ‖a‖ is at least `FLOOR` of the norm of all gradients of
    the player: that of a bias before a batch normalisation is 0 but for rounding.
    """
    columns = find(devices or ("cpu", "cuda" if find(["cuda"])[0].missing is None else "cuda-sim"))
    for column in columns:
        if column.missing or column.name == "reference":
            raise ConfigError(
                f"bench: no gradients on {column.name!r}: {column.missing or 'it is no device'}"
            )
    first, *others = (column.name for column in columns)
    if not others:
        raise ConfigError(
            f"bench: gradients on {first!r} are compared with those of another device; name two"
        )
    start = steps.trainer(recipe, batch, device=first).state()
    taken = {device: _taken(recipe, batch, device, start) for device in (first, *others)}
    rows = []
    for name, (part, size, wanted) in taken[first].items():
        differences = {device: _difference(taken[device][name][2], wanted, size) for device in others}
        case = "×".join(map(str, wanted.shape)) or "1"
        row = {"name": name, "part": part, "case": case, "flops": 0.0, "bytes": 0.0, "times": {}}
        rows.append(row | {"differences": differences})
    rows.sort(key=lambda row: -max(row["differences"].values()))
    settings = {"recipe": recipe, "batch": batch}
    return document.make("gradients", rows, [first, *others], others[-1], settings=settings)


def worst(found: dict[str, Any]) -> str:
    """The gradient that differs most, in words."""
    row = next(row for row in found["rows"] if row["part"] == "gradient")
    return f"{row['name']} {row['case']} differs most: {max(row['differences'].values()):.1e}"


class _Taking(Game):
    """A step in which every player's gradients are kept, and nobody is updated."""

    def __init__(self, ours: Trainer):
        super().__init__(ours, ours.real_batch, lambda turn, player, values: None)
        self.values: dict[str, Any] = {}
        self.gradients: dict[str, dict[str, Any]] = {}

    def noise(self) -> Any:
        z = super().noise()
        self.values["noise"] = _host(z)
        return z

    def generate(self) -> Any:
        fake = super().generate()
        self.values["G's output"] = _host(fake.data)
        return fake

    def update(self, player: str, terms: Mapping[str, Any]) -> None:
        self.trainer.optimizers[player].zero_grad()
        reduce(add, terms.values()).backward()
        self.gradients[player] = {
            f"{name}.{key}": _host(p.grad)
            for name in self.recipe.players[player]
            for key, p in self.networks[name].named_parameters()
            if p.grad is not None
        }
        self._next()


def _taken(recipe: str, batch: int | None, device: str, start: tuple) -> dict[str, tuple]:
    """Name -> (what it is, the least norm that it is held against, the values as NumPy's float64)."""
    ours = steps.trainer(recipe, batch, device=device)
    ours.restore(*start)
    game = _Taking(ours)
    ours.play(game)
    out = {name: ("value", 0.0, value) for name, value in game.values.items()}
    for gradients in game.gradients.values():
        least = FLOOR * float(np.sqrt(sum(np.sum(g * g) for g in gradients.values())))
        out |= {name: ("gradient", least, g) for name, g in gradients.items()}
    return out


def _host(array: arrays.Array) -> np.ndarray:
    return arrays.to_numpy(array).astype(np.float64)


def _difference(found: np.ndarray, wanted: np.ndarray, least: float) -> float:
    apart, size = np.linalg.norm(found - wanted), max(np.linalg.norm(wanted), least)
    if not np.isfinite(apart):
        return NOT_FINITE
    return float(apart / size) if size else float(apart)
