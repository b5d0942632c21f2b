"""Max pooling over channels-last images: one pixel's channels are compared side by side.

Milliseconds for 128 images of 64 channels, 14 × 14 to 7 × 7, on two threads (indices of scatter and gather in
C order; in max_pool2d's own they take 0.05 less):

    max_pool2d  scatter  gather
    0.88        0.72     0.60    loops over the channels of a pixel, one Python call an image
    0.54        0.47     0.42    jobs of the team; indices are checked before, not between, the moves
    0.22        0.30     0.24    a window stays in registers; indices are put in order by vectors

What is left of scatter and gather is their moves, number by number.
"""

from functools import cache
from math import prod

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.cgutils import alloca_once, for_range

from ..checks import conv_output_size, index_out_of_range
from ..reference import pooling as reference
from .jit import entry, jit
from .layout import channels_first, channels_last
from .memory import fresh, location
from .team import arguments, even, integers, run_parts
from .vector import INT, LANES, VECTOR, address, floats, int32s, intrinsic, load, pointer, store

PART = 1 << 15  # floats of the larger images to a part
WORD = ir.IntType(32)
WORDS = ir.VectorType(WORD, LANES)


def _spread(builder, number):
    """A vector of one int32."""
    empty = ir.Constant(WORDS, ir.Undefined)
    single = builder.insert_element(empty, number, WORD(0))
    return builder.shuffle_vector(single, empty, ir.Constant(WORDS, [0] * LANES))


@intrinsic
def _largest(typingctx, corner, index, rows, columns, step, down, best, where):
    """The largest of a window for a vector of channels: its first pixel is at address `corner` and of number
    `index`, the next one at `step` bytes, the row below at `down` pixels. The first NaN counts as larger.
    """

    def generate(context, builder, signature, args):
        corner, index, rows, columns, step, down, best, where = args
        larger, place = alloca_once(builder, VECTOR), alloca_once(builder, WORDS)
        builder.store(load(builder, pointer(builder, corner), INT(0)), larger)
        builder.store(_spread(builder, builder.trunc(index, WORD)), place)
        with for_range(builder, rows) as row, for_range(builder, columns) as column:
            number = builder.add(builder.mul(row.index, down), column.index)
            pixel = builder.add(corner, builder.mul(number, step))
            value, old = load(builder, pointer(builder, pixel), INT(0)), builder.load(larger)
            wins = builder.and_(
                builder.fcmp_unordered(">", value, old), builder.fcmp_ordered("ord", old, old)
            )
            here = _spread(builder, builder.trunc(builder.add(index, number), WORD))
            builder.store(builder.select(wins, value, old), larger)
            builder.store(builder.select(wins, here, builder.load(place)), place)
        store(builder, builder.load(larger), pointer(builder, best), INT(0))
        builder.store(builder.load(place), builder.inttoptr(where, WORDS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), generate


@jit
def _largest_of(corner, index, rows, columns, step, down, best, where):
    """As `_largest`, for the one channel at address `corner`."""
    value = floats(best, 1)
    place = int32s(where, 1)
    value[0], place[0] = floats(corner, 1)[0], index
    for i in range(rows):
        for j in range(columns):
            number = i * down + j
            new, old = floats(corner + number * step, 1)[0], value[0]
            if old == old and not new <= old:
                value[0], place[0] = new, index + number


# What the parts of max_pool2d are told: addresses and geometry.
X, Y, WHERE, COUNT, STEP, HEIGHT, WIDTH, CHANNELS, P, Q, KH, KW, SH, SW, PH, PW = range(16)


def _max_pool_part(number, place):
    words = arguments(place)
    h, w, size = words[HEIGHT], words[WIDTH], 4 * words[CHANNELS]
    whole = size // (4 * LANES) * 4 * LANES
    for n in range(number * words[STEP], min(words[COUNT], (number + 1) * words[STEP])):
        image, out = words[X] + n * h * w * size, n * words[P] * words[Q] * size
        for p in range(words[P]):
            top = p * words[SH] - words[PH]
            for q in range(words[Q]):
                left = q * words[SW] - words[PW]
                i, j = max(0, top), max(0, left)
                rows, columns = min(h, top + words[KH]) - i, min(w, left + words[KW]) - j
                k = i * w + j
                corner, best, where = image + k * size, words[Y] + out, words[WHERE] + out
                for c in range(0, whole, 4 * LANES):
                    _largest(corner + c, k, rows, columns, size, w, best + c, where + c)
                for c in range(whole, size, 4):
                    _largest_of(corner + c, k, rows, columns, size, w, best + c, where + c)
                out += size


# Of the other two: addresses, how many images, images to a part, places of an image and of a pooled one.
LARGE, SMALL, INDICES, WRONG, IMAGES, SHARE, PLACES, POOLED, DEPTH = range(9)


@intrinsic
def _vectors_outside(typingctx, indices, vectors, places):
    """Whether any of so many vectors of indices at an address holds one below 0 or from `places` on."""

    def generate(context, builder, signature, args):
        base = builder.inttoptr(args[0], WORDS.as_pointer())
        limit = _spread(builder, builder.trunc(args[2], WORD))
        found = alloca_once(builder, WORDS)
        builder.store(ir.Constant(WORDS, [0] * LANES), found)
        with for_range(builder, args[1]) as i:
            # As a number without sign, one below 0 is large.
            outside = builder.icmp_unsigned(">=", builder.load(builder.gep(base, [i.index]), align=4), limit)
            builder.store(builder.or_(builder.load(found), builder.sext(outside, WORDS)), found)
        bits = ir.IntType(32 * LANES)
        return builder.icmp_unsigned("!=", builder.bitcast(builder.load(found), bits), bits(0))

    return types.boolean(*[types.int64] * 3), generate


@jit
def _outside(indices, places):
    vectors = indices.size // LANES
    found = _vectors_outside(address(indices), vectors, places)
    for i in range(vectors * LANES, indices.size):
        found |= indices[i] < 0 or indices[i] >= places
    return found


@jit
def _scatter(image, pooled, indices, channels):
    for i in range(image.size):
        image[i] = 0
    step = np.uint64(channels)
    for r in range(0, pooled.size, channels):
        values, places = pooled[r : r + channels], indices[r : r + channels]
        for c in range(values.size):
            image[np.uint64(places[c]) * step + np.uint64(c)] += values[c]


@jit
def _gather(image, pooled, indices, channels):
    step = np.uint64(channels)
    for r in range(0, pooled.size, channels):
        values, places = pooled[r : r + channels], indices[r : r + channels]
        for c in range(values.size):
            values[c] = image[np.uint64(places[c]) * step + np.uint64(c)]


@jit
def _images(number, place, scatters):
    """Scatters or gathers a part's images; WRONG is set where an index lies outside its image."""
    words = arguments(place)
    channels, large, small = words[DEPTH], words[PLACES] * words[DEPTH], words[POOLED] * words[DEPTH]
    for n in range(number * words[SHARE], min(words[IMAGES], (number + 1) * words[SHARE])):
        image = floats(words[LARGE] + 4 * n * large, large)
        pooled = floats(words[SMALL] + 4 * n * small, small)
        indices = int32s(words[INDICES] + 4 * n * small, small)
        if _outside(indices, words[PLACES]):
            integers(words[WRONG], 1)[0] = 1
        elif scatters:
            _scatter(image, pooled, indices, channels)
        else:
            _gather(image, pooled, indices, channels)


def _scatter_part(number, place):
    _images(number, place, True)


def _gather_part(number, place):
    _images(number, place, False)


@cache
def _entry(part):
    return entry(part)


def _parts(images):
    """Images to a part, and parts."""
    n, *shape = images.shape
    step = even(n, max(1, PART // max(1, prod(shape))))
    return step, -(-n // step)


def max_pool2d(x, kernel_size, stride, padding=(0, 0)):
    """See CONTRACTS["max_pool2d"]."""
    if x.dtype != np.float32:
        return reference.max_pool2d(x, kernel_size, stride, padding)
    n, c, h, w = x.shape
    p = conv_output_size(h, kernel_size[0], stride[0], padding[0])
    q = conv_output_size(w, kernel_size[1], stride[1], padding[1])
    images = channels_last(x)
    y = fresh((n, p, q, c), x.dtype)
    indices = fresh((n, p, q, c), np.dtype(np.int32))
    step, parts = _parts(images)
    addresses = location(images), location(y), location(indices)
    run_parts(
        _entry(_max_pool_part),
        (*addresses, n, step, h, w, c, p, q, *kernel_size, *stride, *padding),
        parts,
    )
    return channels_first(y), channels_first(indices)


def _move(part, name, large, small, indices):
    """Runs a part over (N, H, W, C) images and what is pooled of them."""
    n, h, w, c = large.shape
    indices = channels_last(indices.view(np.float32))  # only floats are put in order by vectors
    wrong = np.zeros(1, np.int64)
    step, parts = _parts(large)
    addresses = location(large), location(small), location(indices), location(wrong)
    run_parts(_entry(part), (*addresses, n, step, h * w, small.shape[1] * small.shape[2], c), parts)
    if wrong[0]:
        index_out_of_range(name, (h, w))


def max_pool2d_scatter(gy, indices, shape):
    """See CONTRACTS["max_pool2d_scatter"]."""
    if gy.dtype != np.float32:
        return reference.max_pool2d_scatter(gy, indices, shape)
    n, c = gy.shape[:2]
    gx = fresh((n, *shape, c), gy.dtype)
    _move(_scatter_part, "max_pool2d_scatter", gx, channels_last(gy), indices)
    return channels_first(gx)


def max_pool2d_gather(x, indices):
    """See CONTRACTS["max_pool2d_gather"]."""
    if x.dtype != np.float32:
        return reference.max_pool2d_gather(x, indices)
    n, c, p, q = indices.shape
    y = fresh((n, p, q, c), x.dtype)
    _move(_gather_part, "max_pool2d_gather", channels_last(x), y, indices)
    return channels_first(y)
