"""Two devices' gradients of one step, parameter by parameter: where they part says which kernel is wrong.

    rawgan bench gradients dcgan_mnist --device cpu cuda

All devices have the same weights and the same batch, and draw the same noise and masks from one seed. Both
players' gradients are taken at these weights, with no update between, which would magnify the differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rawgan import arrays, nn, rng
from rawgan.bench import document, steps
from rawgan.bench.columns import find
from rawgan.kernels.errors import ConfigError

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


def _taken(recipe: str, batch: int | None, device: str, start: tuple) -> dict[str, tuple]:
    """Name -> (what it is, the least norm that it is held against, the values as NumPy's float64)."""
    ours = steps.trainer(recipe, batch, device=device)
    ours.restore(*start)
    G, D = ours.generator, ours.discriminator
    with arrays.use_device(ours.device), rng.use_generator(ours.layers):
        z = ours.noise.normal((ours.recipe.batch_size, ours.recipe.noise))
        fake = G(z)
        ours.objective.discriminator(D(ours.real_batch(0)), D(fake.detach())).backward()
        with nn.frozen(D):
            ours.objective.generator(D(fake)).backward()
    out = {"noise": ("value", 0.0, _host(z)), "G's output": ("value", 0.0, _host(fake.data))}
    for player, network in (("generator", G), ("discriminator", D)):
        gradients = {name: _host(p.grad) for name, p in network.named_parameters()}
        least = FLOOR * float(np.sqrt(sum(np.sum(g * g) for g in gradients.values())))
        out |= {f"{player}.{name}": ("gradient", least, g) for name, g in gradients.items()}
    return out


def _host(array: arrays.Array) -> np.ndarray:
    return arrays.to_numpy(array).astype(np.float64)


def _difference(found: np.ndarray, wanted: np.ndarray, least: float) -> float:
    apart, size = np.linalg.norm(found - wanted), max(np.linalg.norm(wanted), least)
    if not np.isfinite(apart):
        return NOT_FINITE
    return float(apart / size) if size else float(apart)
