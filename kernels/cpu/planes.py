"""A matrix product for each plane of the fast convolutions: c[p] = a[p] b[p].

The planes are arrays (planes, rows, columns) with the floats of a row side by side. Where b is made of
weights, which serve several products between two updates, it is packed once for all of them; else each part
of the work packs its own planes.
"""

from functools import cache

import numpy as np
from numba.np.numpy_support import carray

from .gemm import NO, WIDE, pack, panels_shape, product
from .jit import entry
from .memory import fresh, location
from .team import arguments, run_parts
from .vector import address, floats, keep

# What a part of the work is told: addresses, steps in floats from plane to plane and row to row, sizes.
A, A_PLANE, A_ROW, A_TURNED, B, B_PLANE, B_ROW, B_TURNED, C, C_PLANE, C_ROW, M, N, K = range(14)
PANELS, PANELS_PLANE, COUNT, STEP = range(14, 18)  # panels: 0 where b is packed on the way
PARTS = 16


def _pack_part(number, place):
    """The panels of planes number · STEP ..."""
    words = arguments(place)
    n, k = words[N], words[K]
    rows = n if words[B_TURNED] else k
    for p in range(number * words[STEP], min(words[COUNT], (number + 1) * words[STEP])):
        to = words[PANELS] + 4 * p * words[PANELS_PLANE]
        b = carray(floats(words[B] + 4 * p * words[B_PLANE]), (rows, words[B_ROW]))
        room = carray(floats(to), (words[PANELS_PLANE] // ((k + 1) * WIDE), k + 1, WIDE))
        pack(b[:, : k if words[B_TURNED] else n], words[B_TURNED], carray(floats(to), (0,)), room)


def _product_part(number, place):
    """The products of planes number · STEP ..."""
    words = arguments(place)
    m, n, k = words[M], words[N], words[K]
    last = min(words[COUNT], (number + 1) * words[STEP])
    packed = words[PANELS] != 0
    spare = np.empty(0 if packed else words[PANELS_PLANE], np.float32)
    a_reach = 4 * (k if words[A_TURNED] else m) * words[A_ROW]
    for p in range(number * words[STEP], last):
        following = min(p + 1, last - 1)
        if packed:
            panels = words[PANELS] + 4 * p * words[PANELS_PLANE]
            ahead = words[PANELS] + 4 * following * words[PANELS_PLANE]
            reach = 4 * words[PANELS_PLANE]
        else:
            panels = address(spare)
            b = carray(floats(words[B] + 4 * p * words[B_PLANE]), (k, words[B_ROW]))
            room = carray(floats(panels), (words[PANELS_PLANE] // ((k + 1) * WIDE), k + 1, WIDE))
            pack(b[:, :n], NO, carray(floats(panels), (0,)), room)
            ahead = words[B] + 4 * following * words[B_PLANE]
            reach = 4 * k * words[B_ROW]
        a, c = words[A] + 4 * p * words[A_PLANE], words[C] + 4 * p * words[C_PLANE]
        later = words[A] + 4 * following * words[A_PLANE]
        product(
            a, words[A_ROW], words[A_TURNED], panels, c, words[C_ROW], m, n, k, ahead, reach, later, a_reach
        )
    keep(spare)


@cache
def _entries():
    return entry(_pack_part), entry(_product_part)


def _steps(x):
    """Address, and floats from plane to plane and from row to row."""
    return [location(x), x.strides[0] // 4, x.strides[1] // 4]


def packed(b, turned):
    """The panels of every plane of b (k, n), or (n, k) where turned."""
    k, n = b.shape[1:] if not turned else b.shape[:0:-1]
    panels = fresh((len(b), *panels_shape(k, n)), b.dtype)
    step = -(-len(b) // PARTS)
    words = [0] * 4 + [*_steps(b), int(turned), 0, 0, 0, 0, n, k]
    run_parts(_entries()[0], [*words, location(panels), panels[0].size, len(b), step], -(-len(b) // step))
    return panels


def multiply(a, a_turned, b, c):
    """c[p] = a[p] b[p], a transposed where turned; b as it is, or what `packed` returned."""
    m, n = c.shape[1:]
    k = a.shape[1] if a_turned else a.shape[2]
    words = [*_steps(a), int(a_turned)]
    if b.ndim == 4:
        words += [0, 0, 0, 0, *_steps(c), m, n, k, location(b), b[0].size]
    else:
        words += [*_steps(b), 0, *_steps(c), m, n, k, 0, int(np.prod(panels_shape(k, n)))]
    step = -(-len(c) // PARTS)
    run_parts(_entries()[1], [*words, len(c), step], -(-len(c) // step))
