"""The Fréchet distance between normal distributions with the features' means and covariances.

>>> import numpy as np
>>> frechet_from_moments(np.zeros(3), np.eye(3), np.ones(3), np.eye(3))
3.0
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rawgan.kernels.errors import DataError, ShapeError
from rawgan.metrics.features import as_array, blocks, features, pair
from rawgan.metrics.shares import Score


class FrechetDistance(Score):
    """At least 0; the square of a distance, in the features' units squared.

    floor: about what two samples of one distribution would give at these sizes, from two halves of the
    real features; NaN where there are fewer than 4. A distance below it says nothing.
    """

    floor: float
    n_real: int
    n_fake: int

    def __repr__(self) -> str:
        floor = (
            "too few real samples to tell the floor"
            if np.isnan(self.floor)
            else f"two samples of one distribution would give about {self.floor:.3g}"
        )
        return f"FrechetDistance {self:.3g}: {self.n_real} real, {self.n_fake} fake; {floor}"


class _Moments(NamedTuple):
    """Mean, (d,), and F, (k, d) with the covariance FᵀF."""

    mean: np.ndarray
    factor: np.ndarray


def frechet_distance(real: Any, fake: Any) -> FrechetDistance:
    """|μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) (Dowson and Landau 1982; for GANs Heusel et al. 2017).

    real, fake: (N, d) features, at least 2 of each; N may differ. Covariances are divided by N − 1.

    The distance is biased upwards, by about c (1/N₁ + 1/N₂) (Chong and Forsyth 2020). The floor is what
    two random halves of the real features give, taken to these sizes by that rule. Where N is not well above
    d, c itself changes with N: then it is a rough figure.

    Raises ShapeError, DTypeError, DataError for features that are not so.

    >>> frechet_distance([[0.0], [2.0]], [[3.0], [5.0]])
    FrechetDistance 9: 2 real, 2 fake; too few real samples to tell the floor
    """
    x, y = pair("frechet_distance", ("real", real), ("fake", fake), least=2, why="for a covariance")
    distance = _distance(_moments(x), _moments(y))
    floor = float("nan")
    if len(x) >= 4:
        order = np.random.default_rng(0).permutation(len(x))  # data often comes sorted by class
        halves = order[: len(x) // 2], order[len(x) // 2 :]
        apart = _distance(*(_moments(x[np.sort(half)]) for half in halves))
        floor = apart * (1 / len(x) + 1 / len(y)) / sum(1 / len(half) for half in halves)
    return FrechetDistance(distance, floor=floor, n_real=len(x), n_fake=len(y))


def frechet_from_moments(real_mean: Any, real_covariance: Any, fake_mean: Any, fake_covariance: Any) -> float:
    """The same from means, (d,), and covariances, (d, d), such as published statistics give.

    Raises ShapeError, DTypeError; DataError for values that are not finite, and for a matrix that is no
    covariance: not symmetric, or with an eigenvalue below 0.
    """
    real = _given_moments("real", real_mean, real_covariance)
    fake = _given_moments("fake", fake_mean, fake_covariance)
    if len(real.mean) != len(fake.mean):
        raise ShapeError(
            f"frechet_from_moments: real has {len(real.mean)} features, fake {len(fake.mean)}; "
            "take both from the same extractor"
        )
    return _distance(real, fake)


def _distance(a: _Moments, b: _Moments) -> float:
    # tr (Σ₁ Σ₂)^½ is the sum of the singular values of F₁ F₂ᵀ. Roots of the eigenvalues of Σ₁ Σ₂ would turn
    # a rounding error of 1e-16 into one of 1e-8, for each of the d.
    cross = np.linalg.svd(a.factor @ b.factor.T, compute_uv=False).sum()
    traces = np.square(a.factor).sum() + np.square(b.factor).sum()
    return max(0.0, float(np.square(a.mean - b.mean).sum() + traces - 2 * cross))


def _moments(x: np.ndarray) -> _Moments:
    count, width = x.shape
    mean = x.mean(axis=0, dtype=np.float64)
    if count <= width:
        return _Moments(mean, (x - mean) / np.sqrt(count - 1))
    scatter = np.zeros((width, width))
    for rows in blocks(count):
        centred = x[rows] - mean
        scatter += centred.T @ centred
    return _Moments(mean, _factor(scatter / (count - 1))[0])


def _factor(covariance: np.ndarray) -> tuple[np.ndarray, float]:
    """F with FᵀF the covariance, without directions that are only rounding; and the least eigenvalue."""
    values, vectors = np.linalg.eigh(covariance)
    real = values > max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
    return np.sqrt(values[real])[:, None] * vectors[:, real].T, float(values[0])


def _given_moments(name: str, mean: Any, covariance: Any) -> _Moments:
    what = "frechet_from_moments"
    centre = as_array(what, f"{name}_mean", mean)
    if centre.ndim != 1:
        raise ShapeError(f"{what}: {name}_mean has shape {centre.shape}; it takes (d,)")
    centre = features(what, f"{name}_mean", centre[None], least=1)[0].astype(np.float64)
    matrix = features(what, f"{name}_covariance", covariance, least=1).astype(np.float64)
    if matrix.shape != (len(centre), len(centre)):
        raise ShapeError(
            f"{what}: {name}_covariance has shape {matrix.shape}, {name}_mean {centre.shape}; it takes (d, d)"
        )
    # Published statistics are often float32: that much asymmetry and negative rounding is no fault.
    close = 1e-5 * np.abs(matrix).max()
    if not np.abs(matrix - matrix.T).max() <= close:
        raise DataError(f"{what}: {name}_covariance is not symmetric; give np.cov(features, rowvar=False)")
    factor, least = _factor((matrix + matrix.T) / 2)
    if not least >= -close:
        raise DataError(
            f"{what}: {name}_covariance has the eigenvalue {least:.3g}; a covariance has none below 0: give "
            "np.cov(features, rowvar=False)"
        )
    return _Moments(centre, factor)
