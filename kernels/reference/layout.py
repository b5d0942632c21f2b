"""Memory order."""

import numpy as np


def contiguous(x):
    """A copy of x in C order."""
    return np.array(x, order="C")
