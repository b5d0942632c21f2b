"""Max pooling over channels-last images, and the two ways to use its indices.

Whether all indices lie inside the plane is read back from the device: scatter and gather wait for it, but
not while a step is recorded, whose like has been checked before.
"""

import numpy as np

from ..checks import conv_output_size, index_out_of_range
from . import recording
from .layout import THREADS, blocks, channels_first, channels_last, empty
from .program import Program

PROGRAM = Program("pooling")
INT32 = np.dtype(np.int32)
LINES, BANDS = 32, 8  # of a block that scatters: images' channels, and parts of their places
SHARED = 48 << 10  # bytes
BLOCKS = 264  # two for each of an H200's multiprocessors
FEWEST = 8  # places of a band


def max_pool2d(x, kernel_size, stride, padding=(0, 0)):
    """See CONTRACTS["max_pool2d"]."""
    n, c, h, w = x.shape
    p = conv_output_size(h, kernel_size[0], stride[0], padding[0])
    q = conv_output_size(w, kernel_size[1], stride[1], padding[1])
    y = empty((n, p, q, c), x.dtype, x)
    indices = empty((n, p, q, c), INT32, x)
    sizes = y.size, c, h, w, p, q, *kernel_size, *stride, *padding
    PROGRAM("max_pool2d", x.dtype, blocks(y.size), THREADS, channels_last(x), y, indices, *sizes)
    return channels_first(y), channels_first(indices)


def max_pool2d_gather(x, indices):
    """See CONTRACTS["max_pool2d_gather"]."""
    n, c, h, w = x.shape
    p, q = indices.shape[2:]
    y, wrong = empty((n, p, q, c), x.dtype, x), _flag(x)
    arrays = channels_last(x), _indices_last(indices), y, wrong
    PROGRAM("max_pool2d_gather", x.dtype, blocks(y.size), THREADS, *arrays, y.size, c, p * q, h * w)
    if _set(wrong):
        index_out_of_range("max_pool2d_gather", (h, w))
    return channels_first(y)


def max_pool2d_scatter(gy, indices, shape):
    """See CONTRACTS["max_pool2d_scatter"]."""
    n, c, p, q = gy.shape
    h, w = shape
    gx, wrong = empty((n, h, w, c), gy.dtype, gy), _flag(gy)
    across = -(-n * c // LINES)
    share = _share(across, h * w, gy.itemsize)
    need = share * LINES * gy.itemsize
    arrays = channels_last(gy), _indices_last(indices), gx, wrong
    sizes = n * c, c, p * q, h * w, share, int(need <= SHARED)
    grid = across, max(1, -(-h * w // share))
    PROGRAM(
        "max_pool2d_scatter",
        gy.dtype,
        grid,
        (LINES, BANDS),
        *arrays,
        *sizes,
        shared=need if need <= SHARED else 0,
    )
    if _set(wrong):
        index_out_of_range("max_pool2d_scatter", (h, w))
    return channels_first(gx)


def _share(across, places, itemsize):
    """Places of a block: so few that the device has work, and that sums fit in shared memory if 4 blocks do.

    Every block reads all indices of its images, so more blocks are not better.
    """
    wanted = min(BLOCKS // max(1, across), places // (BANDS * FEWEST))
    fitting = -(-places * LINES * itemsize // SHARED)
    parts = max(1, wanted, fitting if fitting <= 4 else 1)
    return max(1, -(-places // parts))


def _flag(like):
    """A zero on the device."""
    wrong = empty((1,), INT32, like)
    PROGRAM("clear", INT32, 1, 1, wrong)
    return wrong


def _set(flag):
    return recording.current() is None and flag.item()


def _indices_last(indices):
    """Channels last; only floats are put in order by the device's own kernels."""
    return channels_last(indices.view(np.float32)).view(INT32)
