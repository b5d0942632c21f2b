"""The leaky rectifier and its gradient, over memory order."""

import numpy as np

from .jit import jit
from .layout import flat, packed, packed_like
from .memory import fresh_like
from .pool import run_blocks


# With slope 0 nothing is multiplied: 0 · ∞ would be NaN, and 0 · −1 is −0.
@jit
def _leaky_relu(x, y, slope, start, stop):
    xs, ys = x[start:stop], y[start:stop]
    if slope == 0:
        for i in range(xs.size):
            ys[i] = 0 if xs[i] <= 0 else xs[i]
    else:
        for i in range(xs.size):
            ys[i] = slope * xs[i] if xs[i] <= 0 else xs[i]


@jit
def _leaky_relu_grad(gy, y, gx, slope, start, stop):
    gys, ys, gxs = gy[start:stop], y[start:stop], gx[start:stop]
    for i in range(gys.size):
        gxs[i] = gys[i] if ys[i] > 0 else slope * gys[i]


def leaky_relu(x, negative_slope):
    """See CONTRACTS["leaky_relu"]."""
    x = packed(x)
    y = fresh_like(x)
    source, target, slope = flat(x), flat(y), x.dtype.type(negative_slope)
    run_blocks(lambda start, stop: _leaky_relu(source, target, slope, start, stop), x.size)
    return y


def leaky_relu_grad(gy, y, negative_slope):
    """See CONTRACTS["leaky_relu_grad"]."""
    y = packed(y)
    gy = packed_like(gy, y)
    gx = fresh_like(y)
    upstream, values, target, slope = flat(gy), flat(y), flat(gx), y.dtype.type(negative_slope)
    run_blocks(lambda start, stop: _leaky_relu_grad(upstream, values, target, slope, start, stop), y.size)
    return gx


@jit
def _dropout_grad(gy, y, bits, gx, keep, slope, dropped, start, stop):
    """bits are those of y, dropped those of −0."""
    gys, ys, signs, gxs = gy[start:stop], y[start:stop], bits[start:stop], gx[start:stop]
    zero = keep - keep
    for i in range(gys.size):
        value = gys[i] / keep
        value = value if ys[i] > 0 else slope * value
        gxs[i] = zero if signs[i] == dropped else value


def dropout_grad(gy, y, p, negative_slope=1.0):
    """See CONTRACTS["dropout_grad"]."""
    y = packed(y)
    gy = packed_like(gy, y)
    gx = fresh_like(y)
    values = flat(y)
    assert values is not None  # packed
    bits = values.view(np.int32 if y.dtype == np.float32 else np.int64)
    upstream, target, dropped = flat(gy), flat(gx), np.iinfo(bits.dtype).min
    keep, slope = y.dtype.type(1 - p), y.dtype.type(negative_slope)

    def task(start, stop):
        _dropout_grad(upstream, values, bits, target, keep, slope, dropped, start, stop)

    run_blocks(task, y.size)
    return gx
