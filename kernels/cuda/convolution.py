"""Convolution and the two operations that differentiate it, each one product of tiles; see convolution.cu.

Images go in and come out in channels-last memory. Weights are first brought into the order (O, kh, kw, C).
"""

import math

from ..checks import conv_output_size, conv_transpose_output_size
from .layout import THREADS, blocks, channels_first, channels_last, empty, store, swap_last
from .linear import add_parts, in_order
from .tiles import Tiled

TILED = Tiled("convolution")
PROGRAM, TF32 = TILED.programs["fp32", 1], TILED.programs["tf32", 1]
FEW, LANES = 4, 8  # a warp takes pixels of at most FEW channels from images of at least LANES


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
    plan = TILED.choose(lines, o, depth, math.prod(stride) if transposed else 1, x.dtype)
    numbers = *numbers, plan.part, plan.across, plan.down
    if plan.parts == 1:
        TILED("convolve", x.dtype, plan, x, weight, bias, y, *numbers)
    else:
        sums = empty((plan.parts, *y.shape), x.dtype, x)
        TILED("convolve", x.dtype, plan, x, weight, None, sums, *numbers)
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
        store(gw, 0)
        return gw
    plan = TILED.choose(o, taps * c, depth, 1, x.dtype)
    sums, gw = (empty(shape, x.dtype, x) for shape in ((plan.parts, o, taps, c), (o, c, *kernel_size)))
    numbers = *x.shape, *gy.shape[1:], *kernel_size, *stride, *padding, plan.part, plan.across
    TILED("conv2d_weight_grad", x.dtype, plan, x, gy, sums, *numbers)
    PROGRAM("add_weight_parts", x.dtype, blocks(gw.size), THREADS, sums, gw, plan.parts, gw.size, taps, c)
    return gw
