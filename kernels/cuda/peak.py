"""The tensor cores' own rate, which `rawgan bench` measures as the roof of TF32 products."""

import numpy as np

from .layout import empty
from .program import Program

PROGRAM = Program("peak")
FRAGMENTS = 3  # as in peak.cu
WARPS = 8


def multiply(like, blocks, rounds):
    """What the kernel leaves, (blocks, 16, 8) float32 where `like` is; and how many operations it was."""
    y = empty((blocks, 16, 8), np.dtype(np.float32), like)
    PROGRAM("multiply", np.float32, blocks, 32 * WARPS, y, rounds)
    return y, 2 * 16 * 8 * 8 * FRAGMENTS**2 * WARPS * blocks * rounds
