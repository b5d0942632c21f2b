"""The leaky rectifier, its gradient, and that of dropout: elementwise, over memory order."""

from .layout import THREADS, blocks, flat, fresh_like, packed, packed_like
from .program import Program

PROGRAM = Program("activation")


def leaky_relu(x, negative_slope):
    """See CONTRACTS["leaky_relu"]."""
    x = packed(x)
    y = fresh_like(x)
    PROGRAM("leaky_relu", x.dtype, blocks(x.size), THREADS, flat(x), flat(y), negative_slope, x.size)
    return y


def leaky_relu_grad(gy, y, negative_slope):
    """See CONTRACTS["leaky_relu_grad"]."""
    y = packed(y)
    gy, gx = packed_like(gy, y), fresh_like(y)
    arrays = flat(gy), flat(y), flat(gx)
    PROGRAM("leaky_relu_grad", y.dtype, blocks(y.size), THREADS, *arrays, negative_slope, y.size)
    return gx


def dropout_grad(gy, y, p, negative_slope=1.0):
    """See CONTRACTS["dropout_grad"]."""
    y = packed(y)
    gy, gx = packed_like(gy, y), fresh_like(y)
    arrays = flat(gy), flat(y), flat(gx)
    PROGRAM("dropout_grad", y.dtype, blocks(y.size), THREADS, *arrays, 1 - p, negative_slope, y.size)
    return gx
