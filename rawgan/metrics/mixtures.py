"""Which modes of a known mixture do the samples cover, and how well?

>>> from rawgan import data, rng
>>> ring = data.load("ring")
>>> modes(ring.sample(10_000, rng.Generator(0)), ring.centres, ring.sigma).covered
8
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rawgan.metrics.features import pair
from rawgan.metrics.pairs import nearest
from rawgan.metrics.shares import interval
from rawgan.settings import number

REACH = 3.0  # standard deviations within which a sample is valid


@dataclass(frozen=True)
class Modes:
    """What `modes` found.

    covered: modes that have enough valid samples. count: modes there are. missing: the numbers of the others.
    valid: the share of samples within 3 sigma of a centre. valid_interval: its 95% interval.
    shares, (count,): the share of all samples that is nearest to each centre. total_variation and kl compare
    them with equal shares: ½ Σ |s − 1/count|, below 1, and Σ s log (s count) in nats, at most log count.
    expected: the figures valid, total_variation and kl of a true sampler at this sample size, a dict. A
    larger share of valid samples than that is no success: the modes are too narrow.
    """

    covered: int
    count: int
    missing: tuple[int, ...]
    valid: float
    valid_interval: tuple[float, float]
    total_variation: float
    kl: float
    samples: int
    expected: dict[str, float]
    shares: np.ndarray = field(compare=False)

    def __repr__(self) -> str:
        low, high = self.valid_interval
        best = self.expected
        return (
            f"Modes({self.covered} of {self.count} covered, valid {self.valid:.2%} [{low:.2%}, {high:.2%}] "
            f"of {best['valid']:.2%}, total variation {self.total_variation:.3g} of "
            f"{best['total_variation']:.3g}, KL {self.kl:.3g} of {best['kl']:.3g}; {self.samples} samples; "
            "'of': a true sampler)"
        )


def modes(samples: Any, centres: Any, sigma: float, least: float = 0.01) -> Modes:
    """Judge samples of a mixture of equally likely round Gaussians, in any number of dimensions.

    samples: (N, d). centres: (modes, d). sigma: each one's standard deviation in each direction. least: the
    share of all samples, valid ones, that a mode needs to be covered: the protocol of the ring of 8. With
    over 50 modes take less.

    A true sampler has P(χ²_d ≤ 9) of its samples within 3 sigma, 98.89% in the plane (more where modes
    overlap). Its shares differ from equal ones by chance: the expected total variation is exact (the mean
    deviation of a binomial number, A. de Moivre 1730); that of KL, (modes − 1) / (2 N), is of first order.

    Raises ShapeError, DTypeError, DataError for arrays that are not so, ConfigError for sigma and least.
    """
    number("modes: sigma", sigma, 0.0)
    number("modes: least", least, 0.0, 1.0)
    x, c = pair("modes", ("samples", samples), ("centres", centres), least=1)
    distances, places = nearest(x, c)
    inside = distances <= REACH * sigma
    held = np.bincount(places[inside], minlength=len(c))
    covered = held >= max(1, least * len(x))
    shares = np.bincount(places, minlength=len(c)) / len(x)
    seen = shares[shares > 0]
    return Modes(
        covered=int(covered.sum()),
        count=len(c),
        missing=tuple(np.flatnonzero(~covered).tolist()),
        valid=float(inside.mean()),
        valid_interval=interval(int(inside.sum()), len(x)),
        total_variation=float(np.abs(shares - 1 / len(c)).sum() / 2),
        kl=max(0.0, float(np.sum(seen * np.log(seen * len(c))))),
        samples=len(x),
        expected={
            "valid": within(x.shape[1]),
            "total_variation": len(c) * _mean_deviation(len(x), 1 / len(c)) / (2 * len(x)),
            "kl": (len(c) - 1) / (2 * len(x)),
        },
        shares=shares,
    )


def within(dimensions: int) -> float:
    """The share of a round Gaussian within 3 sigma of its centre: P(d/2, 9/2), the incomplete gamma function.

    From P(1, x) = 1 − e⁻ˣ or P(1/2, x) = erf √x, by P(a + 1, x) = P(a, x) − xᵃ e⁻ˣ / Γ(a + 1).

    >>> [round(within(d), 4) for d in (1, 2, 3)]
    [0.9973, 0.9889, 0.9707]
    """
    x = REACH * REACH / 2
    a, share = (1.0, -math.expm1(-x)) if dimensions % 2 == 0 else (0.5, math.erf(math.sqrt(x)))
    while a < dimensions / 2:
        share -= math.exp(a * math.log(x) - x - math.lgamma(a + 1))
        a += 1
    return max(0.0, share)


def _mean_deviation(n: int, p: float) -> float:
    """E |X − n p| of a binomial X: 2 v C(n, v) pᵛ (1 − p)ⁿ⁻ᵛ⁺¹ with v = ⌊n p⌋ + 1."""
    if p == 1:
        return 0.0
    v = math.floor(n * p) + 1
    choose = math.lgamma(n + 1) - math.lgamma(v + 1) - math.lgamma(n - v + 1)
    return 2 * v * math.exp(choose + v * math.log(p) + (n - v + 1) * math.log1p(-p))
