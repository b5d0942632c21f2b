"""The ring of 8 Gaussians, the protocol by which mode collapse is compared, beside PyTorch on the same seeds.

    rawgan bench ring --against torch --threads 1 --json ring.json

The recipe `mixture`: 10,000 steps, then 10,000 samples; a mode is covered that at least 1% of them lie
within 3 sigma of (VEEGAN, Srivastava et al. 2017; PacGAN, Lin et al. 2018, in which D judges `pack` points
together). Both sides start from the same weights and see the same real batches; G's noise differs, and with
it all that follows, so that only means over the seeds are to be compared. Samples are made of the same noise.

A true sampler has 98.89% of its samples within 3 sigma. More is no success but over-concentration: with half
the sigma it would be 100.00%. So `spread` stands beside: the root mean square distance of valid samples from
their centres, 1 for a true sampler; modes that are too narrow have less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rawgan import data, metrics, recipes, rng
from rawgan.bench import document, steps, timing
from rawgan.kernels.errors import ConfigError
from rawgan.metrics.mixtures import REACH, within
from rawgan.settings import whole_number
from rawgan.training.step import Trainer

SAMPLES = 10_000
OWN, RIVAL, TRUTH = "cpu", "torch", "true sampler"
PARTS = ("quality", "speed")
FASTER, ERRORS = 3.0, 2.0  # what is asked for: times PyTorch's speed, standard errors below its mean
MEASURES = {  # how they are called, and written
    "modes": ("modes covered", "{:.2f}"),
    "valid": ("valid, %", "{:.1f}"),
    "total_variation": ("total variation", "{:.3f}"),
    "spread": ("spread", "{:.2f}"),
}
BETTER = {"modes": 1, "valid": 1, "total_variation": -1}  # more, more, less


def run(
    against: Sequence[str] = (),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    packs: Sequence[int] = (1, 2),
    only: Sequence[str] = (),
    length: int | None = None,
    seconds: float = 10.0,
    show: Callable[[list], Any] = iter,
) -> dict[str, Any]:
    """The document: a row for each number of points that D judges together.

    only: of "quality", the samples after training, and "speed", the time of a step. length: steps, in place
    of the protocol's. seconds: of timing, for each column of each row.
    """
    for part in only:
        if part not in PARTS:
            raise ConfigError(f"bench: ring has no part {part!r}{recipes.nearest(part, PARTS)}")
    length = length if length is not None else recipes.make("mixture").steps or 0
    whole_number("bench: steps", length)
    if len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**32 for seed in seeds):
        raise ConfigError(f"bench: seeds are different whole numbers from 0 on, got {list(seeds)}")
    made = {pack: recipes.make("mixture", pack=pack) for pack in packs}
    why = document.why_no_torch() if against else None
    sides = [OWN, *([RIVAL] if against and not why else [])]
    work = only or PARTS
    rows = {pack: _row(pack) for pack in made}
    for pack, seed in show([(pack, seed) for pack in made for seed in seeds] if "quality" in work else []):
        found = _judged(made[pack], seed, sides, length)
        for side, values in found.items():
            kept = rows[pack]["figures"].setdefault(side, {name: [] for name in MEASURES})
            for name, value in values.items():
                kept[name].append(value)
    for pack in show([*made] if "speed" in work else []):
        calls = _calls(made[pack], sides)
        taken = timing.alternate(calls, seconds)
        rows[pack]["times"] = {side: timing.summary(times) for side, times in taken.items()}
    settings = {"seeds": list(seeds), "steps": length, "samples": SAMPLES}
    more = {"missing": {RIVAL: why} if why else {}, "settings": settings | document.of_torch(sides[1:])}
    columns = [OWN, f"{OWN} train", RIVAL]
    return document.make("ring", list(rows.values()), columns, OWN, **more)


def _row(pack: int) -> dict[str, Any]:
    return {"name": "ring", "part": "pack", "case": f"pack {pack}", "value": pack, "times": {}, "figures": {}}


def _trainer(recipe: Any, seed: int) -> Trainer:
    source = data.load("ring")
    return Trainer(recipe, source.shape, source, seed)


def _judged(recipe: Any, seed: int, sides: Sequence[str], length: int) -> dict[str, dict[str, float]]:
    """Each side's samples after training with one seed, and a true sampler's, by the name of a measure."""
    ours = _trainer(recipe, seed)
    z = rng.Generator(seed).spawn("samples").normal((SAMPLES, recipe.noise))
    samples = {}
    if RIVAL in sides:
        samples[RIVAL] = _torch_samples(ours, seed, length, z)
    for _ in range(length):
        ours.step()
    samples[OWN] = ours.generate(z)
    samples[TRUTH] = ours.source.sample(SAMPLES, rng.Generator(seed).spawn("truth"))
    return {side: measures(samples[side], ours.source) for side in (*sides, TRUTH)}


def _torch_samples(ours: Trainer, seed: int, length: int, z: np.ndarray) -> np.ndarray:
    """Of PyTorch's twin of a trainer that has not begun."""
    import torch

    from rawgan.bench import twins

    torch.manual_seed(seed)
    G, D = twins.players(ours)
    train = twins.step(ours, networks=(G, D))
    for _ in range(length):
        train()
    with torch.no_grad():
        return G(torch.from_numpy(z)).numpy()


def measures(samples: np.ndarray, source: data.Mixture) -> dict[str, float]:
    """By the names of `MEASURES`; of samples (N, 2). A spread of 0 is of samples none of which is valid."""
    found = metrics.modes(samples, source.centres, source.sigma)
    apart = np.linalg.norm(samples[:, None].astype(np.float64) - source.centres, axis=2).min(axis=1)
    inside = apart[apart <= REACH * source.sigma] / source.sigma
    half = REACH * REACH / 2  # E[d² | d ≤ 3] = 2 − 9 e^(−9/2) / (1 − e^(−9/2)), of a Rayleigh distance
    expected = 2 - 2 * half * math.exp(-half) / -math.expm1(-half)
    spread = math.sqrt(np.mean(inside**2) / expected) if len(inside) else 0.0
    return {
        "modes": found.covered,
        "valid": 100 * found.valid,
        "total_variation": found.total_variation,
        "spread": spread,
    }


def _calls(recipe: Any, sides: Sequence[str]) -> dict[str, timing.Call]:
    """What a step is on each side: a plain loop, and ours as `rawgan.train` has it."""
    calls = {
        OWN: timing.Call(steps.plain_step(_trainer(recipe, 0))),
        f"{OWN} train": timing.Call(_trainer(recipe, 0).step),
    }
    if RIVAL in sides:
        from rawgan.bench import twins

        calls[RIVAL] = twins.call(_trainer(recipe, 0))
    return calls


def mean(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, standard deviation, standard error of the mean; the latter two are 0 of a single value.

    >>> mean([7, 8, 9])
    (8.0, 1.0, 0.5773502691896258)
    """
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return float(np.mean(values)), deviation, deviation / math.sqrt(len(values))


def table(found: dict[str, Any]) -> Any:
    """A line for each side of each row, each measure as its mean ± standard deviation over the seeds."""
    from rich.markup import escape
    from rich.table import Table

    from rawgan.bench import tables

    out = Table(box=None, pad_edge=False, header_style="bold")
    out.add_column("ring", no_wrap=True)
    out.add_column("side", no_wrap=True)
    titles = [*(title for title, _ in MEASURES.values()), "a step", "a run", "× torch"]
    for title in titles:
        out.add_column(title, justify="right")
    length = _length(found)
    for number, row in enumerate(found["rows"]):
        if number:
            out.add_section()
        for place, side in enumerate(dict.fromkeys([*row.get("figures", {}), *row["times"]])):
            kept, taken = row.get("figures", {}).get(side, {}), row["times"].get(side)
            cells = [_cell(kept.get(name, []), form) for name, (_, form) in MEASURES.items()]
            cells.append(tables.cell(row, side) if taken else "")
            cells.append(tables.duration(taken["median_ms"] * length) if taken and length else "")
            cells.append(tables.ratio(row, RIVAL, side, "{:.2f}×") if side != RIVAL else "")
            label = f"{row['name']}, {row['case']}" if not place else ""
            out.add_row(escape(label), escape(side), *cells)
        if not row.get("figures", {}) and not row["times"]:
            out.add_row(*map(escape, (f"{row['name']}, {row['case']}", "")))
    return out


def _length(found: Mapping[str, Any]) -> float:
    settings = found.get("settings")
    length = settings.get("steps") if isinstance(settings, dict) else None
    return length if type(length) is int and 0 < length < 1e12 else 0


def _cell(values: Sequence[float], form: str) -> str:
    if not values:
        return ""
    middle, deviation, _ = mean(values)
    return f"{form.format(middle)} [dim]± {form.format(deviation)}[/]"


def notes(found: dict[str, Any]) -> list[str]:
    """How to read the table, and whether what is asked for has been reached."""
    lines = [f"{column}: {why}" for column, why in found["missing"].items()]
    lines.append(
        "± is the standard deviation over the seeds, of a step half the distance between its quartiles; "
        f"valid: within {REACH:g} sigma of a centre. A true sampler has {within(2):.2%}: more is modes that "
        "are too narrow, with half the sigma 100.00%, as is a spread below 1"
    )
    for row in found["rows"]:
        lines += verdict(row)
    return lines


def verdict(row: dict[str, Any]) -> list[str]:
    """Whether a row lands no more than two standard errors below PyTorch's mean, three times as fast."""
    lines = []
    ours, theirs = (row.get("figures", {}).get(side, {}) for side in (OWN, RIVAL))
    for name, sign in BETTER.items():
        if not ours.get(name) or not theirs.get(name):
            continue
        title, form = MEASURES[name]
        (own, _, of_own), (other, _, of_other) = (mean(side[name]) for side in (ours, theirs))
        behind = sign * (other - own)
        lines.append(
            f"{row['case']}, {title}: {form.format(own)} (standard error {form.format(of_own)}) beside "
            f"PyTorch's {form.format(other)} ({form.format(of_other)}): "
            + ("no worse" if behind <= 0 else f"worse by {form.format(behind)}")
            + f", {ERRORS:g} standard errors of PyTorch's mean are {form.format(ERRORS * of_other)}: "
            + ("reached" if behind <= ERRORS * of_other else "not reached")
        )
    if OWN in row["times"] and RIVAL in row["times"]:
        faster = row["times"][RIVAL]["median_ms"] / row["times"][OWN]["median_ms"]
        reached = "reached" if faster >= FASTER else "not reached"
        speed = f"{faster:.2f} times PyTorch's speed, {FASTER:g} are asked for"
        lines.append(f"{row['case']}, {speed}: {reached}")
    return lines
