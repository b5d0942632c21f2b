"""Batch normalisation over rows (pixels) of channels.

Each block of the matrix is read once for its mean and sum of squared deviations; blocks are merged by Chan,
Golub and LeVeque's formula ("Updating formulae and a pairwise algorithm", 1979), in float64 and in a fixed
order.
"""

import numpy as np

from .jit import jit
from .layout import channels_first, channels_last
from .memory import fresh_like
from .pool import run

COLUMNS = 512
VALUES = 1 << 16


@jit
def _moments(x, first, last, left, right, total, squares):
    """Σ x and Σ (x − the block's mean)² of rows first ... last − 1, columns left ... right − 1."""
    total, squares = total[left:right], squares[left:right]
    total[:] = 0.0
    squares[:] = 0.0
    for i in range(first, last):
        row = x[i, left:right]
        for j in range(row.size):
            total[j] += row[j]
    mean = total / (last - first)
    for i in range(first, last):
        row = x[i, left:right]
        for j in range(row.size):
            d = row[j] - mean[j]
            squares[j] += d * d


@jit
def _normalise(x, y, first, last, left, right, mean, slope, shift):
    mean, slope, shift = mean[left:right], slope[left:right], shift[left:right]
    for i in range(first, last):
        row, out = x[i, left:right], y[i, left:right]
        for j in range(row.size):
            out[j] = (row[j] - mean[j]) * slope[j] + shift[j]


@jit
def _sums(gy, x, first, last, left, right, mean, total, product):
    """Σ gy and Σ gy · (x − mean)."""
    mean, total, product = mean[left:right], total[left:right], product[left:right]
    total[:] = 0.0
    product[:] = 0.0
    for i in range(first, last):
        upstream, row = gy[i, left:right], x[i, left:right]
        for j in range(row.size):
            total[j] += upstream[j]
            product[j] += upstream[j] * (row[j] - mean[j])


@jit
def _input_grad(gy, x, gx, first, last, left, right, mean, slope, lean, offset):
    mean, slope, lean, offset = mean[left:right], slope[left:right], lean[left:right], offset[left:right]
    for i in range(first, last):
        upstream, row, out = gy[i, left:right], x[i, left:right], gx[i, left:right]
        for j in range(row.size):
            out[j] = upstream[j] * slope[j] - (row[j] - mean[j]) * lean[j] - offset[j]


def _rows(x):
    """x as a C-contiguous matrix (values of a channel, channels)."""
    if x.ndim == 2:
        return np.ascontiguousarray(x)
    return channels_last(x).reshape(-1, x.shape[1])


def _like(rows, x):
    """A result in rows, as the shape of x."""
    n, c, *plane = x.shape
    return channels_first(rows.reshape(n, *plane, c)) if plane else rows


class _Blocks:
    """A matrix cut into blocks that fit the cache; the cut depends on the shape alone."""

    def __init__(self, shape):
        self.rows, self.columns = shape
        self.width = min(self.columns, COLUMNS)
        self.height = max(1, VALUES // self.width)
        self.down, self.across = -(-self.rows // self.height), -(-self.columns // self.width)

    def run(self, task):
        """task(i, first, last, left, right) for every block, i counting blocks of rows."""

        def one(k):
            i, j = divmod(k, self.across)
            first, left = i * self.height, j * self.width
            task(i, first, min(self.rows, first + self.height), left, min(self.columns, left + self.width))

        run(one, self.down * self.across)


def batch_norm(x, scale, shift, eps):
    """See CONTRACTS["batch_norm"]."""
    rows = _rows(x)
    blocks = _Blocks(rows.shape)
    total, squares = np.empty((2, blocks.down, blocks.columns))
    blocks.run(lambda i, *bounds: _moments(rows, *bounds, total[i], squares[i]))

    counts = np.full((blocks.down, 1), float(blocks.height))
    counts[-1] = blocks.rows - (blocks.down - 1) * blocks.height
    mean = total.sum(0) / blocks.rows
    var = (squares + counts * (total / counts - mean) ** 2).sum(0) / blocks.rows

    y = fresh_like(rows)
    slope = scale / np.sqrt(var + eps)
    wide_shift = shift.astype(np.float64)
    blocks.run(lambda i, *bounds: _normalise(rows, y, *bounds, mean, slope, wide_shift))
    return _like(y, x), mean.astype(x.dtype), var.astype(x.dtype)


def batch_norm_grad(gy, x, scale, mean, var, eps):
    """See CONTRACTS["batch_norm_grad"]."""
    upstream, rows = _rows(gy), _rows(x)
    blocks = _Blocks(rows.shape)
    mean = mean.astype(np.float64)
    inverse = 1 / np.sqrt(var.astype(np.float64) + eps)
    total, product = np.empty((2, blocks.down, blocks.columns))
    blocks.run(lambda i, *bounds: _sums(upstream, rows, *bounds, mean, total[i], product[i]))

    gshift = total.sum(0)
    gscale = product.sum(0) * inverse
    slope = scale * inverse
    lean = slope * inverse * gscale / blocks.rows
    offset = slope * gshift / blocks.rows
    gx = fresh_like(rows)
    blocks.run(lambda i, *bounds: _input_grad(upstream, rows, gx, *bounds, mean, slope, lean, offset))
    return _like(gx, x), gscale.astype(x.dtype), gshift.astype(x.dtype)
