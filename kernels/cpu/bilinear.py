"""Fast algorithms for a convolution, each as three linear programs.

A convolution is linear in the image x and in the weights w. A fast algorithm is a way to write it as

    y = Dᵀ[(V w) · (U x)]

with fewer products "·" than the definition has. Its gradients are the same three maps in another order:

    gx = Uᵀ[(V w) · (D gy)],    gw = Vᵀ[(U x) · (D gy)].

Over C channels of x, O of y and N images each of the products becomes a matrix product over channels: one
`plane` for each, of N · tiles rows. Strides are taken apart first: along an axis, taps k ≡ r modulo the
stride meet only the pixels of one phase, so a convolution of stride s is the sum of s² convolutions of stride
1, which share D and whose products add up in one longer matrix product.

`algorithm(...)` chooses: Toom-Cook (Winograd's F(m, r), see Lavin and Gray, "Fast algorithms for
convolutional neural networks", 2016) in tiles, or the discrete Fourier transform of the whole plane with
three real products for a complex one, whichever multiplies less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np

from .programs import Program, fourier, separable, toom_cook

Pair = tuple[int, int]

# Taps of a phase -> outputs of a tile and the points. More points would multiply less and round worse: these
# keep the error under 5e-6 of the largest output, {0, ±1, ½, ∞} for two taps had 1e-5.
TILES: dict[int, tuple[int, tuple[Fraction, ...]]] = {
    2: (4, tuple(Fraction(n, 4) for n in (1, -1, 5, -5))),
    3: (2, tuple(Fraction(n) for n in (0, 1, -1))),
}
LARGEST = 1024  # outputs of a program: beyond, it leaves the cache
LONGEST = 12  # Fourier transforms of more places than this take more steps than they save


@dataclass(frozen=True)
class Phase:
    """The image pixels and weight taps (row-major numbers) that one pair of programs reads."""

    image: Program
    pixels: tuple[int, ...]
    weight: Program
    taps: tuple[int, ...]


@dataclass(frozen=True)
class Algorithm:
    """Outputs of every program are ordered [plane][tile]; weights have no tiles."""

    name: str
    phases: tuple[Phase, ...]
    result: Program
    planes: int
    tiles: int

    @property
    def products(self) -> int:
        """Multiplications for each image, input channel and output channel."""
        return self.planes * self.tiles * len(self.phases)


@dataclass(frozen=True)
class _Line:
    """One axis of a phase: y[i] = Σ x[i + shift + u] · w[u], x being every `stride`-th pixel from `first`."""

    pixels: range
    taps: range
    shift: int


def _lines(size: int, kernel: int, stride: int, padding: int) -> list[_Line]:
    lines = []
    for r in range(stride):
        shift, first = divmod(r - padding, stride)
        lines.append(_Line(range(first, size, stride), range(r, kernel, stride), shift))
    return lines


def _two_axes(down: Sequence[_Line], across: Sequence[_Line], width: int, kernel_width: int):
    for a, b in product(down, across):
        pixels = tuple(i * width + j for i in a.pixels for j in b.pixels)
        taps = tuple(i * kernel_width + j for i in a.taps for j in b.taps)
        yield a, b, pixels, taps


def _tiled(matrix: np.ndarray, tiles: int, length: int, step: int, shift: int) -> np.ndarray:
    """A tile's matrix for each tile of an axis, (tiles · points, length); t reads from step · t + shift."""
    points, reach = matrix.shape
    whole = np.zeros((tiles, points, length))
    for t, k in product(range(tiles), range(reach)):
        if 0 <= step * t + shift + k < length:
            whole[t, :, step * t + shift + k] = matrix[:, k]
    return whole.reshape(tiles * points, length)


def _by_plane(program: Program, points: int, down: int, across: int) -> Program:
    """Outputs ordered [tile row][point][tile column][point] as [point][point][tile row][tile column]."""
    order = np.arange(len(program.outputs)).reshape(down, points, across, points).transpose(1, 3, 0, 2)
    program.outputs = [program.outputs[i] for i in order.ravel()]
    return program


def _by_tiles(down, across, plane: Pair, width: int, kernel_width: int) -> Algorithm | None:
    most = max(len(line.taps) for line in [*down, *across])
    if most not in TILES:
        return None
    step, points = TILES[most]
    b, g, a = toom_cook(step, most, points)
    count = len(b)
    high, wide = (-(-n // step) for n in plane)
    if high * wide * count**2 > LARGEST:
        return None
    phases = []
    for rows, columns, pixels, taps in _two_axes(down, across, width, kernel_width):
        image = separable(
            _tiled(b, high, len(rows.pixels), step, rows.shift),
            _tiled(b, wide, len(columns.pixels), step, columns.shift),
        )
        weight = separable(g[:, : len(rows.taps)], g[:, : len(columns.taps)])
        phases.append(Phase(_by_plane(image, count, high, wide), pixels, weight, taps))
    result = separable(_tiled(a, high, plane[0], step, 0), _tiled(a, wide, plane[1], step, 0))
    name = f"F({step}x{step}, {most}x{most})"
    return Algorithm(name, tuple(phases), _by_plane(result, count, high, wide), count**2, high * wide)


def _circle(line: _Line, outputs: int) -> int:
    """The shortest circular correlation in which no pixel is met at a place that wraps round."""
    places = len(line.pixels)
    reach = range(line.shift, outputs + line.shift + len(line.taps) - 1)
    size = max(places, outputs, len(line.taps))
    while any(0 <= k % size < places and k % size != k for k in reach):
        size += 1
    return size


def _by_fourier(down, across, plane: Pair, width: int, kernel_width: int) -> Algorithm | None:
    size = max(_circle(line, n) for lines, n in ((down, plane[0]), (across, plane[1])) for line in lines)
    if size > LONGEST:
        return None
    middle = [n // 2 for n in plane]
    phases = []
    for rows, columns, pixels, taps in _two_axes(down, across, width, kernel_width):
        lengths = len(rows.pixels), len(columns.pixels)
        seen = [range(-m, n - m) for n, m in zip(lengths, middle, strict=True)]
        read = [range(line.shift, line.shift + len(line.taps)) for line in (rows, columns)]
        image = fourier(seen[0], seen[1], size, "image")
        weight = fourier(read[0], read[1], size, "weight")
        phases.append(Phase(image, pixels, weight, taps))
    ends = [range(-m, n - m) for n, m in zip(plane, middle, strict=True)]
    result = fourier(ends[0], ends[1], size, "result")
    return Algorithm(f"Fourier {size}x{size}", tuple(phases), result, len(result.outputs), 1)


@cache
def algorithm(image: Pair, plane: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Algorithm | None:
    """The algorithm that multiplies least, or None where none is known for these sizes.

    image is (H, W) of conv2d's x, plane (P, Q) of its y.
    """
    if stride[0] > kernel[0] or stride[1] > kernel[1] or min(stride) < 1:
        return None
    sizes = zip(image, kernel, stride, padding, strict=True)
    down, across = (_lines(*size) for size in sizes)
    if not all(len(line.pixels) for line in [*down, *across]):
        return None
    known = [make(down, across, plane, image[1], kernel[1]) for make in (_by_tiles, _by_fourier)]
    return min((a for a in known if a is not None), key=lambda a: a.products, default=None)
