"""The leaky rectifier; with slope 0 it is ReLU."""

import numpy as np


def leaky_relu(x, negative_slope):
    """y = negative_slope · x where x ≤ 0, else x; with slope 0 that is 0, also at −∞. NaN stays NaN."""
    below = x * x.dtype.type(negative_slope) if negative_slope else np.zeros_like(x)
    return np.asarray(np.where(x <= 0, below, x))


def leaky_relu_grad(gy, y, negative_slope):
    """gx = gy where y > 0, else negative_slope · gy: y has the sign of x, for the slope is not negative."""
    return np.asarray(np.where(y > 0, gy, gy * gy.dtype.type(negative_slope)))


def dropout_grad(gy, y, p, negative_slope=1.0):
    """gx = gy / (1 − p), times the slope where y ≤ 0; but 0 where y was dropped, which −0 tells."""
    dropped = (y == 0) & np.signbit(y)
    return np.where(dropped, gy.dtype.type(0), leaky_relu_grad(gy / gy.dtype.type(1 - p), y, negative_slope))
