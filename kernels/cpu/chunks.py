"""A convolution in chunks of images so small that their planes stay in the second cache.

    convolve(first, last, x, panels, y, shift, layout)      # y = last(first(x)[p] b[p]) + shift
    correlate(first, last, x, y, v, tiles)                  # v[g, p] = sum of last(y)[p]ᵀ first(x)[p]

Each part of the work transforms its images, multiplies plane by plane and transforms the products back, in
memory that it uses again for its next chunk: the planes, three to five times as many numbers as the images
have, never leave the processor that made them. What passes by instead are the weights, once for each chunk.
They come from the third cache while a panel before them is multiplied (`gemm.product`), for which as few as 6
rows leave time.

Planes of the whole batch, written to memory and read again, took 7.8 to 8.2 ms in a step of `dcgan_cifar10`
for each of its large convolutions forwards and to images; chunks take 6.0 to 6.4. A weight's gradient goes
image by image where it is small beside the planes: "48@15 - 96@15 3x3" took 8.6 ms, and takes 5.4 (AVX-512).
"""

from dataclasses import dataclass
from functools import cache
from math import gcd, prod

import numpy as np

from .gemm import NO, WIDE, YES, panels_shape, product
from .jit import entry
from .machine import second_cache
from .memory import location, streams
from .team import arguments, run_parts
from .threads import thread_count
from .transform import PLAIN, SHIFTED, STREAMED, perform, room_for
from .vector import LINE, address, aligned, keep

PAD = 16  # floats beyond a row, lest rows fall on each other in the cache
NEAR = (
    second_cache() * 13 // 16
)  # bytes of planes that stay in the second cache while weights pass through it
TILE = 6  # rows of the product's tile


@dataclass(frozen=True)
class Layout:
    """Where the planes of a chunk lie: before the product (tiles, k) for each image, after it (tiles, n).

    Products are written over planes that have been multiplied. They begin at 0, and the others so far behind
    that no product reaches its own plane or a later one.
    """

    planes: int
    tiles: int
    k: int
    n: int

    @property
    def most(self) -> int:
        """Images of a chunk, at most: as fit into NEAR, or at least a tile's rows."""
        each = 4 * self.planes * self.tiles * max(self.k + PAD, self.n + PAD)
        return max(NEAR // each, -(-TILE // self.tiles))

    @property
    def images(self) -> int:
        """Images of every chunk but a thread's last, if possible with rows for whole tiles."""
        unit = TILE // gcd(TILE, self.tiles)
        return self.most // unit * unit or self.most

    @property
    def before(self) -> int:
        """Floats from plane to plane before the product."""
        return self.most * self.tiles * (self.k + PAD) + PAD

    @property
    def after(self) -> int:
        """And after it."""
        return self.most * self.tiles * (self.n + PAD) + PAD

    @property
    def begin(self) -> int:
        """Where the planes before the product begin."""
        return max(self.after, self.planes * self.after - (self.planes - 1) * self.before)

    @property
    def size(self) -> int:
        """Floats of them all."""
        return self.begin + self.planes * self.before

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Where an image's rows are, before and after the product, [plane][tile]."""
        plane, tile = np.divmod(np.arange(self.planes * self.tiles), self.tiles)
        return (
            self.begin + plane * self.before + tile * (self.k + PAD),
            plane * self.after + tile * (self.n + PAD),
        )


# What a part of the work is told.
FIRST, LAST, X, X_STEP, X_CHANNELS, Y, Y_STEP, Y_CHANNELS, SHIFT, KIND = range(10)
IMAGES, SHARES, CHUNKS, CHUNK, PLANES, TILES, K, N = range(10, 18)
BEFORE, AFTER, BEGIN, SIZE, PANELS, PANELS_PLANE = range(18, 24)


def _chunk(number, place):
    """One chunk of a thread's share of the images."""
    words = arguments(place)
    share, chunk = number // words[CHUNKS], number % words[CHUNKS]
    begin = words[IMAGES] * share // words[SHARES] + chunk * words[CHUNK]
    end = words[IMAGES] * (share + 1) // words[SHARES]
    count = words[CHUNK] if chunk < words[CHUNKS] - 1 else end - begin
    spare = np.empty(words[SIZE] + LINE // 4, np.float32)
    values, values_back = room_for(words[FIRST]), room_for(words[LAST])
    room = aligned(address(spare))
    tiles, k, n = words[TILES], words[K], words[N]
    step, y_step = 4 * words[X_STEP], 4 * words[Y_STEP]

    x, channels = words[X] + begin * step, words[X_CHANNELS]
    for i in range(count):
        rows = room + 4 * i * tiles * (k + PAD)
        perform(words[FIRST], x, rows, WIDE, channels, 0, PLAIN, values, x + step, step)
        x += step

    panels = words[PANELS]
    for p in range(words[PLANES]):
        a = room + 4 * (words[BEGIN] + p * words[BEFORE])
        c = room + 4 * p * words[AFTER]
        ahead = panels + 4 * words[PANELS_PLANE]
        product(a, k + PAD, NO, panels, c, n + PAD, count * tiles, n, k, NO, ahead, 0, ahead, 0)
        panels = ahead

    y, channels = words[Y] + begin * y_step, words[Y_CHANNELS]
    for i in range(count):
        rows = room + 4 * i * tiles * (n + PAD)
        perform(words[LAST], rows, y, WIDE, channels, words[SHIFT], words[KIND], values_back, rows, 0)
        y += y_step
    keep(spare)


def _sum_over_group(number, place):
    """v[number] = the sum over one group of images of their planes' products, an image at a time."""
    words = arguments(place)
    begin, end = words[IMAGES] * number // words[SHARES], words[IMAGES] * (number + 1) // words[SHARES]
    spare = np.zeros(words[SIZE] + LINE // 4, np.float32)  # in panels, whose first rows stay zero
    values, values_back = room_for(words[FIRST]), room_for(words[LAST])
    u = aligned(address(spare))
    d = u + 4 * words[BEGIN]
    tiles, k, n = words[TILES], words[K], words[N]
    step, y_step = 4 * words[X_STEP], 4 * words[Y_STEP]
    v = words[PANELS] + 4 * number * words[PLANES] * words[PANELS_PLANE]
    for i in range(begin, end):
        x, y = words[X] + i * step, words[Y] + i * y_step
        panel = (tiles + 1) * WIDE
        perform(words[FIRST], x, u, panel, words[X_CHANNELS], 0, PLAIN, values, x + step, step)
        perform(words[LAST], y, d, WIDE, words[Y_CHANNELS], 0, PLAIN, values_back, y + y_step, y_step)
        for p in range(words[PLANES]):
            a, b = d + 4 * p * words[AFTER], u + 4 * p * words[BEFORE]
            c = v + 4 * p * words[PANELS_PLANE]
            product(a, n + PAD, YES, b, c, k, n, k, tiles, i - begin, b, 0, b, 0)
    keep(spare)


_entry = cache(entry)  # compiled when first asked for


def convolve(first, last, x, panels, y, shift, layout):
    """y = last(first(x)[p] b[p]) + shift, for images x and y; b[p] in panels."""
    shares = thread_count()
    chunks = 1 + max(0, -(-(-(-len(x) // shares) - layout.most) // layout.images))
    words = [location(first.words), location(last.words), location(x), x[0].size, x.shape[-1]]
    words += [location(y), y[0].size, y.shape[-1], location(shift), STREAMED if streams(y) else SHIFTED]
    words += [len(x), shares, chunks, layout.images, layout.planes, layout.tiles, layout.k, layout.n]
    words += [layout.before, layout.after, layout.begin, layout.size, location(panels), panels[0].size]
    run_parts(_entry(_chunk), words, shares * chunks)


def correlate(first, last, x, y, v, tiles):
    """v[g, p] = the sum over group g of last(y)[p]ᵀ first(x)[p], which have `tiles` rows for each image.

    Groups are of like size, one image at least. first writes panels, last rows with PAD floats between them.
    """
    groups, planes, n, k = v.shape
    words = [location(first.words), location(last.words), location(x), x[0].size, x.shape[-1]]
    words += [location(y), y[0].size, y.shape[-1], 0, PLAIN, len(x), groups, 0, 0, planes, tiles, k, n]
    before, after = prod(panels_shape(tiles, k)), tiles * (n + PAD) + PAD
    words += [before, after, planes * before, planes * (before + after), location(v), n * k]
    run_parts(_entry(_sum_over_group), words, groups)
