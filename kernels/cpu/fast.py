"""Convolutions by the algorithms of `bilinear.py`: three transforms and a matrix product for each plane.

With u = U x, v = V w and d = D gy as matrices u[p] (N · tiles, phases · C), v[p] (O, phases · C) and
d[p] (N · tiles, O) for each plane p:

    y = Dᵀ(u[p] v[p]ᵀ),    gx = Uᵀ(d[p] v[p]),    gw = Vᵀ(d[p]ᵀ u[p]).

The first two go by chunks of images (`chunks.py`). A weight's gradient sums over all images, so there each
step is done for all of them before the next (`planes.py`). What a product takes as its right side is written
in panels by the transform that makes it: packing them took 1 ms of 8 for a weight's gradient of
`dcgan_cifar10`, and as long again as transforming the weights.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from .bilinear import Algorithm, algorithm
from .chunks import PAD, Layout, convolve, correlate
from .gemm import WIDE, panels_shape
from .layout import swap_last, taps_first
from .memory import fresh, scratch
from .planes import multiply, panels
from .prepared import prepared
from .transform import HALF, compiled, joined, transform
from .vector import LANES

GAIN = 1.5
ROWS = 16
GROUPS = 8  # partial sums of a weight's gradient
DEEP = 32  # rows of a product at least
FEW = 4  # times as many numbers in the planes as in partial sums
LEAST = max(HALF, 32)  # channels: of fewer, transforms and panels are mostly filling


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
        if any(channels % LANES or channels < LEAST for channels in (self.into, self.out)):
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
        self.plane, self.tile = np.divmod(np.arange(known.planes * known.tiles), known.tiles)
        self.near = Layout(known.planes, known.tiles, self.wide, shape.out)
        self.near_back = Layout(known.planes, known.tiles, shape.out, self.wide)
        # Programs, the numbers of the pixels or taps that they read, the column where their planes begin.
        starts = range(0, self.wide, shape.into)
        self.images = [(p.image, p.pixels, at) for p, at in zip(known.phases, starts, strict=True)]
        self.weights = [(p.weight, p.taps, at) for p, at in zip(known.phases, starts, strict=True)]
        self.results = [(known.result, range(shape.plane[0] * shape.plane[1]), 0)]
        self.no_shift = np.zeros(max(shape.into, shape.out), np.float32)

    @cached_property
    def _forwards(self):
        """U and Dᵀ of a chunk."""
        before, after = self.near.places()
        s = self.shape
        return _there(self.images, s.into, before), _back(self.results, after, s.out)

    @cached_property
    def _backwards(self):
        """D and Uᵀ of a chunk."""
        before, after = self.near_back.places()
        s = self.shape
        return _there(self.results, s.out, before), _back(self.images, after, s.into)

    @cached_property
    def by_image(self) -> bool:
        """Whether a weight's gradient is summed image by image in GROUPS: where its partial sums are few."""
        s, tiles = self.shape, self.known.tiles
        planes, sums = self.rows * (self.wide + s.out), GROUPS * self.wide * s.out
        return tiles >= DEEP and s.images >= GROUPS and FEW * sums <= planes

    @cached_property
    def _for_weights(self):
        """U into panels, D, and Vᵀ; U and D of one image or of all."""
        s, known = self.shape, self.known
        rows = known.tiles if self.by_image else self.rows
        panel = np.prod(panels_shape(rows, self.wide))
        d_row, v_step = s.out + PAD, s.out * self.wide + (0 if self.by_image else PAD)
        return (
            _there(self.images, s.into, self.plane * panel + (1 + self.tile) * WIDE),
            _there(self.results, s.out, self.plane * (rows * d_row + PAD) + self.tile * d_row),
            _back(self.weights, np.arange(known.planes) * v_step, s.into),
        )

    @cached_property
    def _to_v(self):
        """V into panels of v."""
        s = self.shape
        panel = np.prod(panels_shape(s.out, self.wide))
        return _there(self.weights, s.into, np.arange(self.known.planes) * panel + WIDE)

    @cached_property
    def _to_turned_v(self):
        """V into panels of vᵀ."""
        s = self.shape
        rows = np.arange(self.known.planes) * np.prod(panels_shape(self.wide, s.out)) + WIDE
        return joined(
            [compiled(v, np.array(taps) * s.out, rows + first * WIDE) for v, taps, first in self.weights]
        )

    def _planes(self, name, rows, columns, pad):
        """A matrix for each plane, in scratch; neither rows nor planes lie a power of 2 apart."""
        planes, row = self.known.planes, columns + pad
        room = scratch(name, (planes, rows * row + PAD), np.dtype(np.float32))
        return room[:, : rows * row].reshape(planes, rows, row)[:, :, :columns]

    def _v(self, weight):
        """The panels of v = V w; not to be written to."""

        def compute():
            s = self.shape
            taps = taps_first(weight)
            v = panels(self.known.planes, s.out, self.wide)
            no_shift = self.no_shift[: s.into]
            transform(self._to_v, taps, taps.shape[1], v, WIDE, s.out, no_shift, v[0, 0].size)
            return v

        return prepared((self.shape, False), weight, compute)

    def _turned_v(self, weight):
        """The panels of vᵀ."""

        def compute():
            s = self.shape
            taps = swap_last(np.ascontiguousarray(weight), s.out, s.into * self.taps)
            v = panels(self.known.planes, self.wide, s.out)
            step = self.taps * s.out
            no_shift = self.no_shift[: s.out]
            transform(self._to_turned_v, taps, step, v, WIDE, s.into, no_shift, v[0, 0].size)
            return v

        return prepared((self.shape, True), weight, compute)

    def conv2d(self, x, weight, bias):
        """y = Dᵀ(u vᵀ) + bias, (N, P, Q, O)."""
        s = self.shape
        v = self._turned_v(weight)
        y = fresh((s.images, *s.plane, s.out), x.dtype)
        shift = self.no_shift[: s.out] if bias is None else np.ascontiguousarray(bias)
        convolve(*self._forwards, x, v, y, shift, self.near)
        return y

    def conv_transpose2d(self, y, weight, bias):
        """x = Uᵀ(d v) + bias, (N, H, W, C)."""
        s = self.shape
        v = self._v(weight)
        x = fresh((s.images, *s.image, s.into), y.dtype)
        shift = self.no_shift[: s.into] if bias is None else np.ascontiguousarray(bias)
        convolve(*self._backwards, y, v, x, shift, self.near_back)
        return x

    def conv2d_weight_grad(self, x, y):
        """gw = Vᵀ(dᵀ u), (O, taps, C)."""
        s, planes, tiles = self.shape, self.known.planes, self.known.tiles
        to_u, to_d, to_gw = self._for_weights
        if self.by_image:
            some = scratch("v", (GROUPS, planes, s.out, self.wide), x.dtype)
            correlate(to_u, to_d, x, y, some, tiles)
            v = some.sum(0)
        else:
            u = panels(planes, self.rows, self.wide, "u")
            transform(to_u, x, x[0].size, u, tiles * WIDE, s.images, self.no_shift[: s.into], u[0, 0].size)
            d = self._planes("d", self.rows, s.out, PAD)
            transform(to_d, y, y[0].size, d, tiles * (s.out + PAD), s.images, self.no_shift[: s.out])
            v = self._planes("v", s.out, self.wide, 0)
            multiply(d, u, v)
        gw = fresh((s.out, self.taps, s.into), x.dtype)
        transform(to_gw, v, self.wide, gw, gw[0].size, s.out, self.no_shift[: s.into])
        return gw


def _there(parts, channels, places):
    """From images, weights or results to planes."""
    return joined(
        [compiled(program, np.array(at) * channels, places, column) for program, at, column in parts]
    )


def _back(parts, places, channels):
    """From planes to what `parts` would have read."""
    return joined(
        [
            compiled(program.transpose(), places + column, np.array(at) * channels)
            for program, at, column in parts
        ]
    )


@cache
def fast(shape: Shape) -> Fast | None:
    """The fast path of this shape, or None where it does not pay."""
    known = shape.algorithm()
    return Fast(shape, known) if known else None
