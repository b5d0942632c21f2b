"""Convolutions between images of one to four channels and deeper ones: windows read where they lie.

A window of such an image has few numbers (25 or 48 in the networks here), so a product over windows is
short, and copying them out first takes as long. Here each image is copied once into a frame of zeros, in
which number i of the window of place r is at places[r] + taps[i]: two short tables, with which a tile of the
product (`gemm.py`) reads the windows of six places in step, or for the weights six taps of many windows.

The other way, from deep images to thin ones, each pixel times the weights is a row of such a window, and a
pixel of the result the sum of a few numbers of neighbouring rows. The product of one image stays in the
nearest caches, with a kernel's rows as long as a whole number of strides; then the rows of the result are
written from left to right, a stride at a time, each as a sum of vectors with nothing read back.

The ladder, in ms of two cores at batch 128 (AVX2, 171 Gflop/s in large products), for "1@28 - 64@14 5x5" and
"3@32 - 64@16 4x4", which at that speed would take 0.47 and 1.18:

- conv2d: windows copied out 1.9, 2.3; read in place, by rows of the image 0.67, 1.42; the whole image as one
  product, so that few tiles have less than six rows, and on the team's threads 0.54, 1.22.
- conv2d_weight_grad: copied out 1.4, 2.1; sums in registers along one row of the image 0.80, 1.60; over all
  of it 0.60, 1.33.
- conv_transpose2d: a product by BLAS and a scatter 1.34, 2.31; sums along rows 0.91, 1.53, with the blocks in
  which as many windows meet in one loop 0.83, 1.40. Of this the products take 0.65 and 1.22.

That is with all caches warm. In a training step their arrays have gone to memory since, and the three took
0.62 and 1.47, 0.72 and 1.47, 1.01 and 1.62. Every tile asks for a little of what the next ones read, and for
the places of the next rows of its result, so as to own them when it writes: 0.59 and 1.32, 0.57 and 1.31,
0.92 and 1.50.

A tile is as wide as the outputs let it be: with 32 of them "3@32 - 32@32 7x7" has tiles of half the width on
AVX-512 and takes 3.1 ms, where windows copied out and filled up to whole panels took 10.7.
"""

from functools import cache

import numpy as np
from numba import types
from numba.core import cgutils

from .gemm import TILES, WIDE, sums_in_registers, tile_rows
from .jit import entry, jit
from .memory import fresh, location
from .team import arguments, run_parts
from .vector import (
    INT,
    LANES,
    LINE,
    VECTOR,
    VECTORS,
    address,
    choose,
    floats,
    intrinsic,
    keep,
    load,
    pointer,
    prefetch,
    store,
)

CHANNELS = 4  # images of more have windows long enough for a product over copies
IMAGES = 4  # to a part
WASTE = 3  # times the products needed; with copies and a scatter even the needed ones take twice as long
GROUPS = 8  # partial sums of a weight gradient
DEEP = 256  # places whose sums stay in registers; their output gradients are read for each tile of taps

# What a part of the work is told: addresses; counts of images, places, numbers to a window, outputs.
X, B, Y, PLACES, TAPS, N, COUNT, K, OUT, BROAD = range(10)
H, W, DOWN, ACROSS, TOP, LEFT = range(10, 16)  # the image, its frame, where it lies there
BIAS, HIGH, WIDTH, STRIDE, UNIT, KERNEL, UNITS = range(16, 23)  # of `_spread`


def pays(channels: int, out: int, dtype: np.dtype) -> bool:
    """Whether convolutions of such images to as many output channels, or their gradients, belong here."""
    return dtype == np.float32 and channels <= CHANNELS and out % LANES == 0


def transpose_pays(x: np.ndarray, weight: np.ndarray, stride: tuple[int, int]) -> bool:
    """Whether conv_transpose2d of x, channels-last or not, belongs here."""
    if x.dtype != np.float32 or weight.shape[1] > CHANNELS or x.size == 0:
        return False
    return _columns(weight, stride) <= WASTE * weight[0].size


def _columns(weight, stride):
    """Columns of the product: a kernel's rows, each of whole strides, to the end of a panel."""
    _, out, kh, kw = weight.shape
    return -(-kh * -(-kw // stride[1]) * stride[1] * out // WIDE) * WIDE


def _wide(out: int) -> int:
    """Columns of a tile: the most of which `out` columns are a number."""
    return max(LANES * n for n in range(1, VECTORS + 1) if out % (LANES * n) == 0)


@intrinsic
def _tile(typingctx, rows, wide, k, x, heads, along, b, b_step, start, start_step, c, c_step, ahead, reach):
    """C = start + A B for `rows` rows and `wide` columns; A's number r, i lies at x + heads[r] + along[i].

    Asks for the places of as many rows below C, and at each of the k steps for a line `reach` bytes further
    from `ahead` on.
    """

    def generate(context, builder, signature, args):
        rows, wide, k, x, heads, along, b, b_step, start, start_step, c, c_step, ahead, reach = args
        x, b, start, c = (pointer(builder, p) for p in (x, b, start, c))
        heads, along = (builder.inttoptr(p, INT.as_pointer()) for p in (heads, along))

        def place(i):
            later = builder.add(ahead, builder.mul(i, reach))
            prefetch(builder, pointer(builder, later), INT(0))
            return builder.load(builder.gep(along, [i]))

        def write(count, vectors):
            firsts = [builder.gep(x, [builder.load(builder.gep(heads, [INT(r)]))]) for r in range(count)]
            for r in range(count, 2 * count):
                row = builder.mul(INT(r), c_step)
                for j in range(0, vectors * LANES, LINE // 4):
                    prefetch(builder, c, builder.add(row, INT(j)), written=True)
            sums_in_registers(
                builder, k, firsts, place, b, b_step, start, start_step, c, c_step, vectors=vectors
            )

        key = builder.add(builder.mul(rows, INT(2 * WIDE)), wide)
        widths = range(1, VECTORS + 1)
        variants = {r * 2 * WIDE + v * LANES: (r, v) for r in (*TILES, 5) for v in widths}
        choose(builder, key, variants, write)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 14), generate


@jit
def _sums(rows, wide, k, x, heads, along, b, b_step, start, start_step, c, c_step, ahead, reach):
    _tile(rows, wide, k, x, heads, along, b, b_step, start, start_step, c, c_step, ahead, reach)


@jit
def _tile_rows(rest):
    """Rows of the next tile where `rest` are left: as in `gemm.py`, but 25 is five fives."""
    return 5 if rest % 5 == 0 and rest % 6 else tile_rows(rest)


@jit
def _reach(size, rows, k, out, wide):
    """Of `size` bytes, how many for each step of a product's tiles."""
    return size // max(1, rows * k * out // (6 * wide)) + 1


@jit
def _multiply(x, words, y, ahead, size):
    """y = bias + the windows at x times the packed weights; asks for `size` bytes from `ahead` on."""
    k, out, wide = words[K], words[OUT], words[BROAD]
    reach = _reach(size, words[COUNT], k, out, wide)
    i = 0
    while i < words[COUNT]:
        rows = _tile_rows(words[COUNT] - i)
        for left in range(0, out, wide):
            b = words[B] + 4 * left * (k + 1)
            heads, to = words[PLACES] + 8 * i, y + 4 * (i * out + left)
            _sums(rows, wide, k, x, heads, words[TAPS], b + 4 * wide, wide, b, 0, to, out, ahead, reach)
            ahead += k * reach
        i += rows


@jit
def _into_frame(words, n, frame):
    """Puts image n into its frame of zeros, without the last rows and columns that no window sees."""
    x = floats(words[X] + 4 * n * words[H] * words[W], (words[H], words[W]))
    high = max(0, min(x.shape[0], frame.shape[0] - words[TOP]))
    wide = max(0, min(x.shape[1], frame.shape[1] - words[LEFT]))
    for i in range(high):
        inside, seen = frame[words[TOP] + i, words[LEFT] : words[LEFT] + wide], x[i, :wide]
        for j in range(inside.size):
            inside[j] = seen[j]


def _convolve_part(number, place):
    """y[n] = the convolution of x[n], for IMAGES images."""
    words = arguments(place)
    frame = np.zeros((words[DOWN], words[ACROSS]), np.float32)
    size = 4 * words[H] * words[W]
    for n in range(number * IMAGES, min(words[N], (number + 1) * IMAGES)):
        _into_frame(words, n, frame)
        to, following = words[Y] + 4 * n * words[COUNT] * words[OUT], words[X] + (n + 1) * size
        _multiply(address(frame), words, to, following, size)
    keep(frame)


def _correlate_part(number, place):
    """total[tap, o] = the sum over one group of images of windows times output gradients."""
    words = arguments(place)
    count, k, out, wide = words[COUNT], words[K], words[OUT], words[BROAD]
    total = words[Y] + 4 * number * k * out
    floats(total, k * out)[:] = 0
    frame = np.zeros((words[DOWN], words[ACROSS]), np.float32)
    x = address(frame)
    group = -(-words[N] // GROUPS)
    for n in range(number * group, min(words[N], (number + 1) * group)):
        _into_frame(words, n, frame)
        for first in range(0, count, DEEP):
            depth = min(DEEP, count - first)
            gy = words[B] + 4 * (n * count + first) * out
            size = 4 * depth * out
            ahead, reach = gy + size, _reach(size, depth, k, out, wide)
            for left in range(0, out, wide):
                t = 0
                while t < k:
                    rows = _tile_rows(k - t)
                    heads, along = words[TAPS] + 8 * t, words[PLACES] + 8 * first
                    to = total + 4 * (t * out + left)
                    _sums(
                        rows, wide, depth, x, heads, along, gy + 4 * left, out, to, out, to, out, ahead, reach
                    )
                    ahead += depth * reach
                    t += rows
    keep(frame)


@intrinsic
def _sums_along(typingctx, steps, count, x, x_step, places, start, to, to_step):
    """At to + i · to_step for i < steps: start's vector + those at x + i · x_step + places[j], j < count."""

    def generate(context, builder, signature, args):
        steps, count, x, x_step, places, start, to, to_step = args
        x, start, to = (pointer(builder, p) for p in (x, start, to))
        places = builder.inttoptr(places, INT.as_pointer())
        first = load(builder, start, INT(0))
        with cgutils.for_range(builder, steps) as outer:
            here = builder.gep(x, [builder.mul(outer.index, x_step)])
            before = builder.block
            head, body, after = (
                builder.function.append_basic_block(name) for name in ("next", "add", "done")
            )
            builder.branch(head)
            builder.position_at_end(head)
            j, total = builder.phi(INT), builder.phi(VECTOR)
            builder.cbranch(builder.icmp_signed("<", j, count), body, after)
            builder.position_at_end(body)
            more = builder.fadd(total, load(builder, here, builder.load(builder.gep(places, [j]))))
            following = builder.add(j, INT(1))
            builder.branch(head)
            for phi, begun, later in ((j, INT(0), following), (total, first, more)):
                phi.add_incoming(begun, before)
                phi.add_incoming(later, body)
            builder.position_at_end(after)
            store(builder, total, to, builder.mul(outer.index, to_step))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), generate


@jit
def _spread(words, products, line, reach, y):
    """Writes an image: its pixel is bias + the sum of the numbers of `products` that fall on it.

    A row of `products` has KERNEL rows of UNITS units, a unit being UNIT floats: the channels of STRIDE
    pixels. line, reach: room for a row of the image and its margins, and for places.
    """
    h, w, out, unit, units = words[H], words[W], words[OUT], words[UNIT], words[UNITS]
    size = words[WIDTH]
    for i in range(words[HIGH]):
        from_top = i + words[TOP]
        seen = 0
        for a in range(from_top % words[STRIDE], words[KERNEL], words[STRIDE]):
            p = (from_top - a) // words[STRIDE]
            if 0 <= p < h:
                reach[seen] = p * w * out + a * units * unit
                seen += 1
        for u in range(1, units):
            for s in range(seen):
                reach[u * seen + s] = reach[s] + u * (unit - out)
        blocks = -(-(words[LEFT] + size) // unit)
        t = 0
        while t < blocks:
            first = min(units, max(0, t - w + 1))
            count = max(0, min(units, t + 1) - first) * seen
            alike = units - 1 <= t < w and unit <= LANES
            steps = min(w, blocks) - t if alike else 1
            for v in range(0, unit, LANES):
                x, to = products + 4 * (t * out + v), address(line) + 4 * (t * unit + v)
                wanted, start = address(reach) + 8 * first * seen, words[BIAS] + 4 * v
                _sums_along(steps, count, x, out, wanted, start, to, unit)
            t += steps
        row, shown = floats(y + 4 * i * size, size), line[words[LEFT] : words[LEFT] + size]
        for j in range(row.size):
            row[j] = shown[j]


def _spread_part(number, place):
    """y[n] = the transposed convolution of x[n], for IMAGES images."""
    words = arguments(place)
    products = np.empty(words[COUNT] * words[OUT] + LANES, np.float32)
    line = np.empty(words[LEFT] + words[WIDTH] + words[UNIT] + LANES, np.float32)
    reach = np.empty(words[KERNEL] * words[UNITS], np.int64)
    size = 4 * words[COUNT] * words[K]
    for n in range(number * IMAGES, min(words[N], (number + 1) * IMAGES)):
        x = words[X] + n * size
        _multiply(x, words, address(products), x + size, size)
        _spread(words, address(products), line, reach, words[Y] + 4 * n * words[HIGH] * words[WIDTH])
    keep(products)


@cache
def _entries():
    return entry(_convolve_part), entry(_correlate_part), entry(_spread_part)


@jit
def _scatter(values, places, target):
    for i in range(values.size):
        target[places[i]] = values[i]


@cache
def _panel_places(shape, rows, columns, k, wide):
    """Where in panels of k rows each number of a weight goes: to row Σ rows · i and column Σ columns · i."""
    at = np.indices(shape).reshape(len(shape), -1)
    row, column = np.array(rows) @ at, np.array(columns) @ at
    return (column // wide * (k + 1) + row + 1) * wide + column % wide


def _packed(weight, rows, columns, k, out):
    """The matrix (k, out) made of a weight, as a tile reads it; beside the weight and for the bias, zeros."""
    wide = _wide(out)
    panels = np.zeros((out // wide, k + 1, wide), np.float32)
    places = _panel_places(weight.shape, rows, columns, k, wide)
    _scatter(np.ascontiguousarray(weight).reshape(-1), places, panels.reshape(-1))
    return panels


@cache
def _tables(channels, kernel, plane, stride):
    """(places, taps, rows and numbers to a row of the frame)."""
    down, across = ((n - 1) * s + k for n, s, k in zip(plane, stride, kernel, strict=True))
    row = across * channels
    taps = np.arange(kernel[0])[:, None] * row + np.arange(kernel[1] * channels)
    places = np.arange(plane[0])[:, None] * stride[0] * row + np.arange(plane[1]) * stride[1] * channels
    return places.ravel(), taps.ravel(), (down, row)


def _words(x, b, y, kernel, plane, stride, padding):
    """What `_convolve_part` and `_correlate_part` are told; the last axis of y is that of outputs."""
    n, h, w, c = x.shape
    out = y.shape[-1]
    places, taps, frame = _tables(c, tuple(kernel), tuple(plane), tuple(stride))
    arrays = (location(array) for array in (x, b, y, places, taps))
    sizes = n, places.size, taps.size, out, _wide(out)
    return *arrays, *sizes, h, w * c, *frame, padding[0], padding[1] * c


def conv2d(x, weight, bias, plane, stride, padding):
    """x (N, H, W, C) -> (N, P, Q, O), both channels-last; plane is (P, Q)."""
    out, c, *kernel = weight.shape
    kh, kw = kernel
    panels = _packed(weight, (0, 1, kw * c, c), (1, 0, 0, 0), kh * kw * c, out)
    if bias is not None:
        panels[:, 0] = bias.reshape(len(panels), -1)
    y = fresh((len(x), *plane, out), x.dtype)
    run_parts(_entries()[0], _words(x, panels, y, kernel, plane, stride, padding), -(-len(x) // IMAGES))
    return y


def conv2d_weight_grad(x, gy, kernel, stride, padding):
    """x (N, H, W, C), gy (N, P, Q, O), both channels-last -> (O, C, kh, kw)."""
    n, _, _, c = x.shape
    out = gy.shape[3]
    parts = -(-n // max(1, -(-n // GROUPS)))
    totals = np.empty((parts, kernel[0] * kernel[1] * c, out), np.float32)
    run_parts(_entries()[1], _words(x, gy, totals, kernel, gy.shape[1:3], stride, padding), parts)
    return np.ascontiguousarray(totals.sum(0).reshape(*kernel, c, out).transpose(3, 2, 0, 1))


def conv_transpose2d(x, weight, bias, image, stride, padding):
    """x (N, P, Q, I) -> (N, H, W, O), both channels-last; image is (H, W)."""
    n, h, w, k = x.shape
    _, out, kh, kw = weight.shape
    units, unit, columns = -(-kw // stride[1]), stride[1] * out, _columns(weight, stride)
    panels = _packed(weight, (1, 0, 0, 0), (0, 1, units * unit, out), k, columns)
    shift = np.zeros((-(-unit // LANES) * LANES + LANES) // out * out + out, np.float32)
    if bias is not None:
        shift.reshape(-1, out)[:] = bias
    y = fresh((n, *image, out), x.dtype)
    places, taps = np.arange(h * w) * k, np.arange(k)
    addresses = (location(array) for array in (x, panels, y, places, taps))
    sizes = n, h * w, k, columns, _wide(columns), h, w, 0, 0, padding[0], padding[1] * out
    words = *addresses, *sizes, location(shift), image[0], image[1] * out, stride[0], unit, kh, units
    run_parts(_entries()[2], words, -(-n // IMAGES))
    return y
