"""Distances between all pairs of two sets of points, a block at a time.

>>> import numpy as np
>>> line = np.arange(4.0).reshape(4, 1)
>>> kth_squared_distances(line, 1).tolist(), kth_squared_distances(line, 2).tolist()
([1.0, 1.0, 1.0, 1.0], [4.0, 1.0, 1.0, 4.0])
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rawgan.metrics.features import blocks

FEW = 16  # up to so many features, differences themselves are squared: slower for more, but exact at ties
SLACK = 1e-12  # of |x|² + |y|²: a hundred times what rounding takes from the distance of many features


def squared_distances(
    x: np.ndarray, y: np.ndarray, slack: float = 0.0
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """(rows of x, rows of y, (rows, rows) squared Euclidean distances), every pair once, x's blocks outside.

    Of many features, |x|² + |y|² − 2 x·y around x's mean: one matrix product instead of d passes. Its
    rounding could put a point just outside a ball whose surface it lies on, so `slack` takes that share of
    |x|² + |y|² off; none comes back below 0.
    """
    if x.shape[1] <= FEW:
        for rows in blocks(len(x)):
            a = x[rows].astype(np.float64)
            for columns in blocks(len(y)):
                b = y[columns].astype(np.float64)
                total = np.zeros((len(a), len(b)))
                for k in range(a.shape[1]):
                    difference = a[:, k, None] - b[:, k]
                    difference *= difference
                    total += difference
                yield rows, columns, total
        return
    origin = x.mean(axis=0, dtype=np.float64)
    for rows in blocks(len(x)):
        a, a2 = _around(origin, x[rows], slack)
        for columns in blocks(len(y)):
            b, b2 = _around(origin, y[columns], slack)
            total = a @ b.T
            total *= -2
            total += a2[:, None]
            total += b2
            yield rows, columns, np.maximum(total, 0.0, out=total)


def _around(origin: np.ndarray, points: np.ndarray, slack: float) -> tuple[np.ndarray, np.ndarray]:
    moved = points - origin
    return moved, np.einsum("ij,ij->i", moved, moved) * (1 - slack)


def kth_squared_distances(x: np.ndarray, k: int) -> np.ndarray:
    """(N,): from each point the squared distance to the k-th nearest of the others."""
    out = np.empty(len(x))
    for rows, columns, squared in squared_distances(x, x):
        if columns.start == 0:
            nearest = np.full((len(squared), k), np.inf)
        if rows == columns:
            np.fill_diagonal(squared, np.inf)
        found = np.concatenate([nearest, squared], axis=1)
        found.partition(k - 1, axis=1)
        nearest = found[:, :k].copy()
        out[rows] = nearest.max(axis=1)
    return out


def nearest(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each x the distance to the nearest y, (N,), and which y that is, (N,)."""
    squares, places = np.full(len(x), np.inf), np.zeros(len(x), np.int64)
    for rows, columns, squared in squared_distances(x, y):
        place = squared.argmin(axis=1)
        found = squared[np.arange(len(place)), place]
        closer = found < squares[rows]
        squares[rows][closer] = found[closer]
        places[rows][closer] = place[closer] + columns.start
    # Once more from the differences, so that a copy is at 0 and not at the root of a rounding error.
    for rows in blocks(len(x)):
        difference = x[rows].astype(np.float64) - y[places[rows]]
        squares[rows] = np.einsum("ij,ij->i", difference, difference)
    return np.sqrt(squares), places
