"""Products of matrices."""

import numpy as np


def matmul(a, b):
    """y[..., i, k] = Σ_j a[..., i, j] · b[..., j, k], leading axes broadcast."""
    return np.einsum("...ij,...jk->...ik", a, b)


def dense(x, weight, bias):
    """y = x weightᵀ + bias."""
    y = np.einsum("ni,oi->no", x, weight)
    return y if bias is None else y + bias
