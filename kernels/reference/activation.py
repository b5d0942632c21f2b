"""The leaky rectifier; with slope 0 it is ReLU."""

import numpy as np


def leaky_relu(x, negative_slope):
    """y = x where x > 0, else negative_slope · x; NaN stays NaN."""
    return np.asarray(np.where(x > 0, x, x * x.dtype.type(negative_slope)))


def leaky_relu_grad(gy, y, negative_slope):
    """gx = gy where y > 0, else negative_slope · gy: y has the sign of x, for the slope is not negative."""
    return np.asarray(np.where(y > 0, gy, gy * gy.dtype.type(negative_slope)))
