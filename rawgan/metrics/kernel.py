"""The Kernel Inception Distance: how far apart two sets of features are, without bias.

>>> kernel_inception_distance([[0, 0], [1, 0], [0, 1]], [[1, 1], [2, 1], [1, 2]])
KernelInceptionDistance 13.2 ± 7.1: 3 real, 3 fake; 0 is expected of two samples of one distribution
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rawgan.metrics.features import blocks, pair
from rawgan.metrics.shares import Score


class KernelInceptionDistance(Score):
    """Zero on average for two samples of one distribution, at any size; so it may come out below 0.

    standard_error: the jackknife's (see `kernel_inception_distance`).
    """

    standard_error: float
    n_real: int
    n_fake: int

    def __repr__(self) -> str:
        return (
            f"KernelInceptionDistance {self:.3g} ± {self.standard_error:.2g}: {self.n_real} real, "
            f"{self.n_fake} fake; 0 is expected of two samples of one distribution"
        )


def kernel_inception_distance(real: Any, fake: Any) -> KernelInceptionDistance:
    """The unbiased MMD² with the kernel (x·y / d + 1)³, over all pairs (Bińkowski et al. 2018).

    real, fake: (N, d) features, at least 3 of each; N may differ. With M the number of fakes,

        Σ_{i≠j} k(xᵢ, xⱼ) / (N (N − 1)) + Σ_{i≠j} k(yᵢ, yⱼ) / (M (M − 1)) − 2 Σ_{ij} k(xᵢ, yⱼ) / (N M)

    The standard error comes from leaving out each sample in turn (J. Tukey's jackknife; B. Efron and
    C. Stein, Ann. Statist. 9, 1981), which the kernel's row sums give at no further cost. Where the two
    distributions are one, first-order terms vanish and it is too large, by up to √2.

    Raises ShapeError, DTypeError, DataError for features that are not so.
    """
    why = "as one is left out in turn for the standard error"
    x, y = pair("kernel_inception_distance", ("real", real), ("fake", fake), least=3, why=why)
    n, m = len(x), len(y)
    xx, yy = _within(x), _within(y)
    xy, yx = _between(x, y)
    sums = xx.sum(), yy.sum(), xy.sum()
    value = _estimate(n, m, *sums)
    without_x = _estimate(n - 1, m, sums[0] - 2 * xx, sums[1], sums[2] - xy)
    without_y = _estimate(n, m - 1, sums[0], sums[1] - 2 * yy, sums[2] - yx)
    variance = (n - 1) * np.var(without_x) + (m - 1) * np.var(without_y)
    return KernelInceptionDistance(float(value), standard_error=float(np.sqrt(variance)), n_real=n, n_fake=m)


def _estimate(n: int, m: int, xx: Any, yy: Any, xy: Any) -> Any:
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    k = a @ b.T
    k /= a.shape[1]
    k += 1
    return k * k * k


def _within(x: np.ndarray) -> np.ndarray:
    """(N,): the sum over j ≠ i of k(xᵢ, xⱼ)."""
    sums = np.zeros(len(x))
    for rows in blocks(len(x)):
        a = x[rows].astype(np.float64)
        for columns in blocks(rows.stop):  # the kernel is symmetric
            k = _kernel(a, x[columns].astype(np.float64))
            if rows == columns:
                np.fill_diagonal(k, 0.0)
            else:
                sums[columns] += k.sum(axis=0)
            sums[rows] += k.sum(axis=1)
    return sums


def _between(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) sums over all y, and (M,) sums over all x."""
    of_x, of_y = np.zeros(len(x)), np.zeros(len(y))
    for rows in blocks(len(x)):
        a = x[rows].astype(np.float64)
        for columns in blocks(len(y)):
            k = _kernel(a, y[columns].astype(np.float64))
            of_x[rows] += k.sum(axis=1)
            of_y[columns] += k.sum(axis=0)
    return of_x, of_y
