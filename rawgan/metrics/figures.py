"""What metrics found, as rows of one table: the samples' figure, that of real data, and how far to trust it.

>>> import numpy as np
>>> from rawgan.metrics import kernel_inception_distance
>>> x, y = np.random.default_rng(0).normal(size=(2, 50, 3))
>>> distance(kernel_inception_distance(x, y), None).real
0.0
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from rawgan.metrics.frechet import FrechetDistance
from rawgan.metrics.inception import InceptionScore
from rawgan.metrics.kernel import KernelInceptionDistance
from rawgan.metrics.manifolds import FIGURES, Neighbourhoods
from rawgan.metrics.memory import Memorisation
from rawgan.metrics.mixtures import Modes

LEAST_CLASS = 0.01  # the share of the samples that a class needs to be covered


class Figure(NamedTuple):
    """One row. value: of the samples. real: of real data, measured or expected, None where there is none."""

    value: float
    real: float | None
    note: str


def score(found: InceptionScore, real: InceptionScore) -> Figure:
    note = f"1 to {found.classes}, higher is better; so few samples lower it by about {-found.bias:.2g}"
    return Figure(float(found), float(real), note)


def frechet(found: FrechetDistance, real: FrechetDistance | None) -> Figure:
    floor = found.floor if real is None else float(real)
    note = f"0 is best; below about {found.floor:.3g} it says nothing"
    return Figure(float(found), None if math.isnan(floor) else floor, note)


def distance(found: KernelInceptionDistance, real: KernelInceptionDistance | None) -> Figure:
    note = f"± {found.standard_error:.2g}; 0 is best"
    return Figure(float(found), 0.0 if real is None else float(real), note)


def neighbourhoods(found: Neighbourhoods, real: Neighbourhoods | None) -> dict[str, Figure]:
    """precision, recall, density and coverage."""
    what = {
        "precision": "of the samples, near real ones",
        "recall": "of the real ones, near samples",
        "density": "of samples around real ones; above 1: crowded",
        "coverage": "of the real ones, with a sample as near as their neighbours",
    }
    rows = {}
    for name in FIGURES:
        beside = found.expected[name] if real is None else getattr(real, name)
        note = what[name] + (_between(found.intervals[name]) if name in found.intervals else "")
        rows[name] = Figure(getattr(found, name), beside, note)
    return rows


def classes(shares: np.ndarray, real: np.ndarray, names: list[str]) -> Figure:
    """How many classes have at least 1% of the samples. shares, real: (classes,)."""
    missing = [name for name, share in zip(names, shares, strict=True) if share < LEAST_CLASS]
    rarest = int(shares.argmin())
    note = f"of {len(names)}, with at least {LEAST_CLASS:.0%} of the samples; " + (
        f"missing: {', '.join(missing)}"
        if missing
        else f"the rarest, {names[rarest]}, has {shares[rarest]:.1%}"
    )
    return Figure(int((shares >= LEAST_CLASS).sum()), int((real >= LEAST_CLASS).sum()), note)


def memory(found: Memorisation) -> Figure:
    ours, theirs = np.median(found.fake_distances), np.median(found.held_out_distances)
    verdict = f"copying, p = {found.p_value:.2g}" if found.copying else "no copying"
    note = (
        f"± {found.standard_error:.2g}; 0.5: as near to training pictures as test pictures are, 1: copies "
        f"(median distances {ours:.3g} and {theirs:.3g}); {verdict}"
    )
    return Figure(found.closer, 0.5, note)


def mixture(found: Modes, least: float) -> dict[str, Figure]:
    """modes_covered, valid, total_variation and kl. least: the share of the samples that covers a mode."""
    covered = f"of {found.count}, with at least {least:.2g} of the samples"
    if found.missing:
        covered += f"; missing: {', '.join(map(str, found.missing))}"
    valid = f"within 3 sigma of a mode{_between(found.valid_interval)}; above a true sampler's: too narrow"
    notes = {
        "valid": valid,
        "total_variation": "of the modes' shares from equal ones, 0 to 1; 0 is best",
        "kl": f"of the same, in nats, at most {math.log(found.count):.3g}; 0 is best",
    }
    rows = {"modes_covered": Figure(found.covered, found.count, covered)}
    return rows | {
        name: Figure(getattr(found, name), float(found.expected[name]), note) for name, note in notes.items()
    }


def _between(interval: tuple[float, float]) -> str:
    low, high = interval
    return f" (95%: {low:.3g} to {high:.3g})"


def text(value: Any) -> str:
    """A table's number.

    >>> text(10), text(0.123456), text(None), text(1234567.0)
    ('10', '0.1235', '', '1.235e+06')
    """
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4g}"
