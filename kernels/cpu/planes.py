"""A matrix product for each plane of the fast convolutions: c[p] = a[p]ᵀ b[p].

a and c are arrays (planes, rows, columns) with the floats of a row side by side; b is in panels, as
`gemm.pack` would have packed each plane. Packed here, and in 13 parts for 25 planes, the products of
`dcgan_cifar10` ran at 135 and 149 Gflop/s; in panels from the start and in like parts, at 149 and 159.
"""

from functools import cache

import numpy as np

from .gemm import NO, YES, panels_shape, product
from .jit import entry
from .memory import fresh, location, scratch
from .team import arguments, run_parts

# What a part of the work is told: addresses, steps in floats from plane to plane and row to row, sizes.
A, A_PLANE, A_ROW, PANELS, PANELS_PLANE, C, C_PLANE, C_ROW, M, N, K, CUTS = range(12)
PARTS = 48  # or more


def _product_part(number, place):
    """Some rows of one plane's product."""
    words = arguments(place)
    m, cuts = words[M], words[CUTS]
    p, cut = number // cuts, number % cuts
    first, last = m * cut // cuts, m * (cut + 1) // cuts
    panels = words[PANELS] + 4 * p * words[PANELS_PLANE]
    a = words[A] + 4 * (p * words[A_PLANE] + first)
    c = words[C] + 4 * (p * words[C_PLANE] + first * words[C_ROW])
    # A thread's parts come from the highest number down.
    before = max(0, p - 1)
    ahead = words[PANELS] + 4 * before * words[PANELS_PLANE]
    reach = 4 * words[PANELS_PLANE] if cut == 0 else 0
    later, later_reach = words[A] + 4 * before * words[A_PLANE], 4 * words[K] * words[A_ROW]
    if cut:
        later_reach = 0
    rows, n, k = last - first, words[N], words[K]
    product(a, words[A_ROW], YES, panels, c, words[C_ROW], rows, n, k, NO, ahead, reach, later, later_reach)


@cache
def _entry():
    return entry(_product_part)


def _steps(x):
    """Address, and floats from plane to plane and from row to row."""
    return [location(x), x.strides[0] // 4, x.strides[1] // 4]


def panels(planes: int, k: int, n: int, name: str | None = None) -> np.ndarray:
    """Room for planes of (k, n) in panels, without a bias: new, or scratch of this name."""
    shape, dtype = (planes, *panels_shape(k, n)), np.dtype(np.float32)
    room = scratch(name, shape, dtype) if name else fresh(shape, dtype)
    room[:, :, 0] = 0
    return room


def multiply(a, b, c):
    """c[p] = a[p]ᵀ b[p]."""
    planes, m, n = c.shape
    cuts = max(1, min(-(-PARTS // planes), m // 48))
    words = [*_steps(a), location(b), b[0].size, *_steps(c), m, n, a.shape[1], cuts]
    run_parts(_entry(), words, planes * cuts)
