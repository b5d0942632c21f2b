"""Logarithms of the softmax probabilities along the last axis, and their gradient by the values."""

import numpy as np


def log_softmax(x):
    """y = x − log Σ eˣ, of numbers from which the largest is taken first."""
    with np.errstate(invalid="ignore"):  # ∞ − ∞ is NaN
        x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def log_softmax_grad(gy, y):
    """gx = gy − eʸ Σ gy."""
    return gy - np.exp(y) * gy.sum(axis=-1, keepdims=True)
