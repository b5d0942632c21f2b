"""The leaky rectifier; with slope 0 it is ReLU."""

import numpy as np


def leaky_relu(x, negative_slope):
    """y = negative_slope · x where x ≤ 0, else x; with slope 0 that is 0, also at −∞. NaN stays NaN."""
    below = x * x.dtype.type(negative_slope) if negative_slope else np.zeros_like(x)
    return np.asarray(np.where(x <= 0, below, x))


def leaky_relu_grad(gy, y, negative_slope):
    """gx = gy where y > 0, else negative_slope · gy: y has the sign of x, for the slope is not negative."""
    return np.asarray(np.where(y > 0, gy, gy * gy.dtype.type(negative_slope)))
