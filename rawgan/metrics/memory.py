"""Is a generator memorising? Its samples against the training data, and real ones that it never saw.

>>> import numpy as np
>>> training, held_out, fake = np.random.default_rng(0).normal(size=(3, 400, 2))
>>> memorisation(training, fake, held_out).copying
False
>>> copies = memorisation(training, training[:100] + 0.01, held_out)
>>> copies.copying, round(copies.closer, 2)
(True, 0.98)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rawgan.metrics.features import features, pair, same_width
from rawgan.metrics.pairs import nearest

LEVEL = 0.01  # a true sampler is accused so often


@dataclass(frozen=True)
class Memorisation:
    """Whether fakes lie closer to the training data than fresh real samples do.

    closer: of all pairs of a fake and a held-out sample, the share in which the fake is closer to its nearest
    training sample (ties count half): 0.5 where nothing is memorised, 1 for copies, below 0.5 for fakes that
    are far from all data. standard_error: of `closer` where nothing is memorised.
    z: how many of those it lies above 0.5. p_value: how often chance alone gives at least that much.
    fake_distances, (M,), and held_out_distances, (H,): to the nearest training sample.
    fake_neighbours, (M,): which that is; look at the pairs before you accuse.
    """

    closer: float
    standard_error: float
    z: float
    p_value: float
    n_training: int
    fake_distances: np.ndarray = field(compare=False)
    held_out_distances: np.ndarray = field(compare=False)
    fake_neighbours: np.ndarray = field(compare=False)

    @property
    def copying(self) -> bool:
        """Whether chance would give this in fewer than one case of a hundred."""
        return self.p_value < LEVEL

    def __repr__(self) -> str:
        fake, held_out = self.fake_distances, self.held_out_distances
        return (
            f"Memorisation(closer {self.closer:.3g}: 0.5 ± {self.standard_error:.3g} where nothing is "
            f"memorised; p = {self.p_value:.2g}; median distance to the nearest of {self.n_training} "
            f"training samples: {len(fake)} fake {np.median(fake):.3g}, {len(held_out)} held out "
            f"{np.median(held_out):.3g})"
        )


def nearest_neighbours(samples: Any, training: Any) -> tuple[np.ndarray, np.ndarray]:
    """For each sample the Euclidean distance to the nearest training sample, (N,), and which it is, (N,).

    samples: (N, d), training: (M, d) features (or pixels, flat). Raises ShapeError, DTypeError, DataError.

    >>> nearest_neighbours([[1.0], [5.0]], [[0.0], [4.5], [9.0]])
    (array([1. , 0.5]), array([0, 1]))
    """
    return nearest(*pair("nearest_neighbours", ("samples", samples), ("training", training), least=1))


def memorisation(training: Any, fake: Any, held_out: Any) -> Memorisation:
    """Mann and Whitney's test on distances to the training data (Meehan, Chaudhuri and Dasgupta 2020).

    training: (T, d) features of what the generator was trained on. held_out: (H, d), real ones of the same
    distribution that it was not trained on. fake: (M, d), its samples. At least 8 of the latter two.

    Given the training data, the distances of the held-out samples are independent draws of one distribution,
    and those of the fakes too; for a true sampler it is the same. U counts the pairs with the fake closer;
    U / (M H) is normal about 1/2 with variance (M + H + 1) / (12 M H), less a share for ties. The test sees
    copying on the whole: a generator that copies some samples and places others too far out escapes it.

    Raises ShapeError, DTypeError, DataError for features that are not so.
    """
    seen = features("memorisation", "training", training, least=1)
    why = "for the test to be near normal"
    made = features("memorisation", "fake", fake, 8, why)
    fresh = features("memorisation", "held_out", held_out, 8, why)
    for name, other in (("fake", made), ("held_out", fresh)):
        same_width("memorisation", ("training", seen), (name, other))
    (of_fake, neighbours), (of_fresh, _) = nearest(made, seen), nearest(fresh, seen)
    m, h = len(of_fake), len(of_fresh)
    ordered = np.sort(of_fresh)
    left, right = np.searchsorted(ordered, of_fake, "left"), np.searchsorted(ordered, of_fake, "right")
    closer = float(np.sum((h - right) + (right - left) / 2) / (m * h))
    _, ties = np.unique(np.concatenate([of_fake, of_fresh]), return_counts=True)
    total = m + h
    tied = float(np.sum(ties.astype(np.float64) ** 3 - ties)) / (total * (total - 1))
    error = math.sqrt(max(total + 1 - tied, 0.0) / (12 * m * h))
    z = (closer - 0.5) / error if error else 0.0  # all distances are one
    p = 0.5 * math.erfc(z / math.sqrt(2))
    return Memorisation(closer, error, z, p, len(seen), of_fake, of_fresh, neighbours)
