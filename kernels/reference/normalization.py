"""Batch normalisation (Ioffe and Szegedy, 2015), with sums in float64 whatever the dtype."""

import numpy as np


def _over(x):
    """The axes of the statistics, all but the channels', and the shape that broadcasts (C,) against x."""
    return (0, *range(2, x.ndim)), (-1, *[1] * (x.ndim - 2))


def batch_norm(x, scale, shift, eps):
    """y = scale · (x − μ) / √(σ² + eps) + shift; μ, σ² over all axes but 1, σ² divided by M, not M − 1.

    Returns (y, mean, var), the last two of shape (C,).
    """
    axes, column = _over(x)
    mean = x.mean(axes, np.float64)
    centred = x - mean.reshape(column)
    var = np.mean(centred**2, axes)
    normal = centred / np.sqrt(var + eps).reshape(column)
    y = normal * scale.reshape(column) + shift.reshape(column)
    return y.astype(x.dtype), mean.astype(x.dtype), var.astype(x.dtype)


def batch_norm_grad(gy, x, scale, mean, var, eps):
    """With x̂ = (x − μ) / √(σ² + eps) and M values a channel:

    gshift = Σ gy,   gscale = Σ gy · x̂,   gx = scale / √(σ² + eps) · (gy − gshift / M − x̂ · gscale / M).

    Returns (gx, gscale, gshift).
    """
    axes, column = _over(x)
    count = x.size // x.shape[1]
    inverse = 1 / np.sqrt(var.astype(np.float64) + eps)
    normal = (x - mean.astype(np.float64).reshape(column)) * inverse.reshape(column)
    gshift = gy.sum(axes, np.float64)
    gscale = (gy * normal).sum(axes)
    centred = gy - (gshift / count).reshape(column) - normal * (gscale / count).reshape(column)
    gx = (scale * inverse).reshape(column) * centred
    return gx.astype(x.dtype), gscale.astype(x.dtype), gshift.astype(x.dtype)
