"""Do the fakes look real, and are all of the real ones covered? From balls around neighbours.

>>> precision_recall_density_coverage([[0], [1], [2], [3], [4]], [[0.4], [0.6], [10]], k=1).recall
0.8
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rawgan.metrics.features import pair
from rawgan.metrics.pairs import SLACK, kth_squared_distances, squared_distances
from rawgan.metrics.shares import interval
from rawgan.settings import whole_number

FIGURES = ("precision", "recall", "density", "coverage")


@dataclass(frozen=True)
class Neighbourhoods:
    """Four figures; each ball reaches from a point to the k-th nearest other of its own kind.

    precision: the share of fakes that lie in a ball around a real one. recall: the share of real ones in a
    ball around a fake. density: how many real balls a fake lies in, on average, over k; may exceed 1.
    coverage: the share of real balls that hold a fake.
    intervals: for the three shares their 95% intervals (low, high), as if each point fell in or out alone.
    expected: the four figures for fakes that are as good as real, a dict. Precision and recall are those of
    two random halves of the real features, so at half the size, None where these are too few; density is 1,
    and coverage follows from the sizes alone.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    k: int
    n_real: int
    n_fake: int
    intervals: dict[str, tuple[float, float]]
    expected: dict[str, float | None]

    def __repr__(self) -> str:
        parts = []
        for name in FIGURES:
            words = f"{name} {getattr(self, name):.3g}"
            if name in self.intervals:
                words += " [{:.3g}, {:.3g}]".format(*self.intervals[name])
            best = self.expected[name]
            parts.append(f"{words} of {'?' if best is None else f'{best:.3g}'}")
        return (
            f"Neighbourhoods({', '.join(parts)}; k={self.k}, {self.n_real} real, {self.n_fake} fake; "
            "'of': fakes as good as real)"
        )


def precision_recall_density_coverage(real: Any, fake: Any, k: int = 5) -> Neighbourhoods:
    """Improved precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    real, fake: (N, d) features, at least k + 1 of each; N may differ. k: which neighbour a ball reaches to.
    A point on a ball's surface is inside, so that a set is all inside of itself.

    A fake as good as real is, among N real points and itself, as likely as any other to be one of the k
    nearest to a given one: density is then 1 on average, and coverage
    1 − Π_{i=1..k} (N − i) / (N + M − i) with M fakes (Naeem et al., lemma 2), where no distances are equal.

    Raises ShapeError, DTypeError, DataError for features that are not so, ConfigError for k.
    """
    what = "precision_recall_density_coverage"
    whole_number(f"{what}: k", k)
    x, y = pair(what, ("real", real), ("fake", fake), k + 1, f"one more than k={k}")
    n, m = len(x), len(y)
    counts = _counts(x, y, k)
    best: dict[str, float | None] = {"precision": None, "recall": None, "density": 1.0}
    if n // 2 > k:
        order = np.random.default_rng(0).permutation(n)  # data often comes sorted by class
        a, b = x[np.sort(order[: n // 2])], x[np.sort(order[n // 2 :])]
        halves = _counts(a, b, k)
        best |= {"precision": halves["precision"] / len(b), "recall": halves["recall"] / len(a)}
    i = np.arange(1, k + 1)
    best["coverage"] = float(1 - np.prod((n - i) / (n + m - i)))
    of = {"precision": m, "recall": n, "coverage": n}
    return Neighbourhoods(
        **{name: counts[name] / total for name, total in of.items()},
        density=counts["density"] / (k * m),
        k=k,
        n_real=n,
        n_fake=m,
        intervals={name: interval(counts[name], total) for name, total in of.items()},
        expected=best,
    )


def _counts(x: np.ndarray, y: np.ndarray, k: int) -> dict[str, int]:
    """How many fakes and reals are inside, and how many pairs of a fake and a real ball around it."""
    real_radii, fake_radii = kth_squared_distances(x, k), kth_squared_distances(y, k)
    real_inside, covered = np.zeros(len(x), bool), np.zeros(len(x), bool)
    fake_inside, pairs = np.zeros(len(y), bool), 0
    for rows, columns, squared in squared_distances(x, y, SLACK):
        inside = squared <= real_radii[rows, None]
        pairs += int(np.count_nonzero(inside))
        covered[rows] |= inside.any(axis=1)
        fake_inside[columns] |= inside.any(axis=0)
        real_inside[rows] |= (squared <= fake_radii[columns]).any(axis=1)
    found = {"precision": fake_inside, "recall": real_inside, "coverage": covered}
    return {name: int(np.count_nonzero(mask)) for name, mask in found.items()} | {"density": pairs}
