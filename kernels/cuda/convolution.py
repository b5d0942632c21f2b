"""Convolution and the two operations that differentiate it, each one product of tiles; see convolution.cu.

Images go in and come out in channels-last memory. Weights are first brought into the order (O, kh, kw, C).
"""

import math

from ..checks import conv_output_size, conv_transpose_output_size
from ..precision import precision
from .layout import THREADS, blocks, channels_first, channels_last, empty, swap_last
from .linear import SIDE, add_parts, in_order, part_of
from .program import Program

PROGRAM = Program("convolution", "product")
TF32 = Program("convolution", "product", define="RG_TF32")
FEW, LANES = 4, 8  # a warp takes pixels of at most FEW channels from images of at least LANES


def _tiles(*launch):
    """A launch of a kernel made of product.cuh's tiles, in the precision that was asked for."""
    (TF32 if precision() == "tf32" else PROGRAM)(*launch)


def _convolve(x, weight, bias, sizes, stride, padding, transposed, lines, depth):
    """y (N, P, Q, O) for x (N, H, W, C) and weight in the order (O, kh, kw, C).

    sizes: P, Q, O, kh, kw. lines: of the phase that has most; depth: its k.
    """
    o = sizes[2]
    y = empty((len(x), *sizes[:3]), x.dtype, x)
    numbers = *x.shape, *sizes, *stride, *padding, transposed
    bias = bias if bias is None else in_order(bias)
    if 0 < o <= FEW and x.shape[3] >= LANES:
        grid = blocks(y.size // o, THREADS // 32)
        PROGRAM("few_outputs", x.dtype, grid, THREADS, x, weight, bias, y, *numbers)
        return channels_first(y)
    across, down = blocks(o, SIDE), blocks(lines, SIDE)
    tiles = across * down * (math.prod(stride) if transposed else 1)
    part = part_of(depth, tiles)
    parts = max(1, blocks(depth, part))
    if parts == 1:
        _tiles("convolve", x.dtype, tiles, THREADS, x, weight, bias, y, *numbers, part, across, down)
    else:
        sums = empty((parts, *y.shape), x.dtype, x)
        _tiles(
            "convolve", x.dtype, (tiles, parts), THREADS, x, weight, None, sums, *numbers, part, across, down
        )
        add_parts(sums, bias, None, y, 1.0)
    return channels_first(y)


def conv2d(x, weight, bias, stride, padding):
    """See CONTRACTS["conv2d"]."""
    o, c, *kernel = weight.shape
    plane = [conv_output_size(*s) for s in zip(x.shape[2:], kernel, stride, padding, strict=True)]
    taps = math.prod(kernel)
    weight = in_order(weight)
    if c > 1 and taps > 1:
        weight = swap_last(weight, c, taps)
    lines = len(x) * math.prod(plane)
    return _convolve(
        channels_last(x), weight, bias, (*plane, o, *kernel), stride, padding, 0, lines, taps * c
    )


def conv_transpose2d(x, weight, bias, stride, padding, output_padding):
    """See CONTRACTS["conv_transpose2d"]."""
    c, o, *kernel = weight.shape
    spaces = zip(x.shape[2:], kernel, stride, padding, output_padding, strict=True)
    plane = [conv_transpose_output_size(*s) for s in spaces]
    weight = swap_last(in_order(weight), c, o * math.prod(kernel))
    lines = len(x) * math.prod(map(blocks, plane, stride))
    depth = c * math.prod(map(blocks, kernel, stride))
    return _convolve(channels_last(x), weight, bias, (*plane, o, *kernel), stride, padding, 1, lines, depth)


def conv2d_weight_grad(x, gy, kernel_size, stride, padding):
    """See CONTRACTS["conv2d_weight_grad"]."""
    x, gy = channels_last(x), channels_last(gy)
    *positions, o = gy.shape
    taps, c, depth = math.prod(kernel_size), x.shape[3], math.prod(positions)
    if not depth:  # nothing to add, and no plane to count places of
        gw = empty((o, c, *kernel_size), x.dtype, x)
        gw[...] = 0
        return gw
    across, down = blocks(taps * c, SIDE), blocks(o, SIDE)
    part = part_of(depth, across * down)
    parts = max(1, blocks(depth, part))
    sums, gw = (empty(shape, x.dtype, x) for shape in ((parts, o, taps, c), (o, c, *kernel_size)))
    numbers = *x.shape, *gy.shape[1:], *kernel_size, *stride, *padding, part, across
    _tiles("conv2d_weight_grad", x.dtype, (across * down, parts), THREADS, x, gy, sums, *numbers)
    PROGRAM("add_weight_parts", x.dtype, blocks(gw.size), THREADS, sums, gw, parts, gw.size, taps, c)
    return gw
