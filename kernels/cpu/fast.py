"""Convolutions by the algorithms of `bilinear.py`: three transforms and a matrix product for each plane.

With u = U x, v = V w and d = D gy as matrices u[p] (N · tiles, phases · C), v[p] (O, phases · C) and
d[p] (N · tiles, O) for each plane p:

    y = Dᵀ(u[p] v[p]ᵀ),    gx = Uᵀ(d[p] v[p]),    gw = Vᵀ(d[p]ᵀ u[p]).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from .bilinear import Algorithm, algorithm
from .layout import taps_first
from .memory import fresh, scratch
from .planes import multiply, packed
from .prepared import prepared
from .transform import BLOCK, compiled, joined, transform
from .vector import LANES

GAIN = 1.5
ROWS = 16
PAD = 16  # floats beyond a row, lest rows fall on each other in the cache


@dataclass(frozen=True)
class Shape:
    """A convolution's sizes: x (images, height, width, into), y (images, p, q, out)."""

    images: int
    into: int
    out: int
    image: tuple[int, int]
    plane: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    def algorithm(self) -> Algorithm | None:
        """The algorithm that pays for this shape, or None.

        Transforms and memory cost about what a third of the products would, so fewer are to be at least
        1.5 times fewer; a matrix product of fewer rows than ROWS waits for its weights.
        """
        if any(channels % LANES or channels < BLOCK for channels in (self.into, self.out)):
            return None
        found = algorithm(self.image, self.plane, self.kernel, self.stride, self.padding)
        direct = self.plane[0] * self.plane[1] * self.kernel[0] * self.kernel[1]
        if found is None or direct < GAIN * found.products or self.images * found.tiles < ROWS:
            return None
        return found


class Fast:
    """One convolution's fast algorithm, ready to run: weights (out, into, *kernel), images channels-last."""

    def __init__(self, shape: Shape, known: Algorithm):
        self.shape, self.known = shape, known
        self.rows = shape.images * known.tiles
        self.wide = shape.into * len(known.phases)
        self.taps = shape.kernel[0] * shape.kernel[1]
        u_row, d_row = self.wide + PAD, shape.out + PAD
        self.u_step, self.d_step = known.tiles * u_row, known.tiles * d_row
        plane, tile = np.divmod(np.arange(known.planes * known.tiles), known.tiles)
        u_places = plane * (self.rows * u_row + PAD) + tile * u_row
        d_places = plane * (self.rows * d_row + PAD) + tile * d_row
        v_places = np.arange(known.planes) * (shape.out * self.wide + PAD)
        outputs = np.arange(shape.plane[0] * shape.plane[1]) * shape.out

        def both(*parts):
            forwards = [compiled(program, near, far) for program, near, far in parts]
            back = [compiled(program.transpose(), far, near) for program, near, far in parts]
            return joined(forwards), joined(back)

        into, phases = shape.into, list(enumerate(known.phases))
        self.image, self.image_back = both(
            *((p.image, np.array(p.pixels) * into, u_places + f * into) for f, p in phases)
        )
        self.weight, self.weight_back = both(
            *((p.weight, np.array(p.taps) * into, v_places + f * into) for f, p in phases)
        )
        self.result, self.result_back = both((known.result, outputs, d_places))
        self.no_shift = np.zeros(max(shape.into, shape.out), np.float32)

    def _planes(self, name, rows, columns, pad):
        """A matrix for each plane, in scratch; neither rows nor planes lie a power of 2 apart."""
        planes, row = self.known.planes, columns + pad
        room = scratch(name, (planes, rows * row + PAD), np.dtype(np.float32))
        return room[:, : rows * row].reshape(planes, rows, row)[:, :, :columns]

    def _u(self):
        return self._planes("u", self.rows, self.wide, PAD)

    def _d(self):
        return self._planes("d", self.rows, self.shape.out, PAD)

    def _v(self):
        return self._planes("v", self.shape.out, self.wide, 0)

    def _images(self, x):
        """u = U x."""
        u, into = self._u(), self.shape.into
        transform(self.image, x, x[0].size, u, self.u_step, len(x), self.no_shift[:into])
        return u

    def _results(self, y):
        """d = D y."""
        d, out = self._d(), self.shape.out
        transform(self.result, y, y[0].size, d, self.d_step, len(y), self.no_shift[:out])
        return d

    def _weights(self, weight, turned):
        """The panels of v = V w, or of its transpose; not to be written to."""

        def compute():
            v, into = self._v(), self.shape.into
            taps = taps_first(weight)
            transform(self.weight, taps, taps.shape[1], v, self.wide, len(taps), self.no_shift[:into])
            return packed(v, turned)

        return prepared((self.shape, turned), weight, compute)

    def conv2d(self, x, weight, bias):
        """y = Dᵀ(u vᵀ) + bias, (N, P, Q, O)."""
        s = self.shape
        panels = self._weights(weight, True)
        u, d = self._images(x), self._d()
        multiply(u, False, panels, d)
        y = fresh((s.images, *s.plane, s.out), x.dtype)
        shift = self.no_shift[: s.out] if bias is None else np.ascontiguousarray(bias)
        transform(self.result_back, d, self.d_step, y, y[0].size, s.images, shift)
        return y

    def conv_transpose2d(self, y, weight, bias):
        """x = Uᵀ(d v) + bias, (N, H, W, C)."""
        s = self.shape
        panels = self._weights(weight, False)
        d, u = self._results(y), self._u()
        multiply(d, False, panels, u)
        x = fresh((s.images, *s.image, s.into), y.dtype)
        shift = self.no_shift[: s.into] if bias is None else np.ascontiguousarray(bias)
        transform(self.image_back, u, self.u_step, x, x[0].size, s.images, shift)
        return x

    def conv2d_weight_grad(self, x, y):
        """gw = Vᵀ(dᵀ u), (O, taps, C)."""
        s = self.shape
        u, d = self._images(x), self._results(y)
        v = self._v()
        multiply(d, True, u, v)
        gw = fresh((s.out, self.taps, s.into), x.dtype)
        transform(self.weight_back, v, self.wide, gw, gw[0].size, s.out, self.no_shift[: s.into])
        return gw


@cache
def fast(shape: Shape) -> Fast | None:
    """The fast path of this shape, or None where it does not pay."""
    known = shape.algorithm()
    return Fast(shape, known) if known else None
