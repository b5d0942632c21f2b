"""Binary cross-entropy: its mean and its gradient in two launches."""

from .layout import THREADS, blocks, contiguous, empty
from .program import Program

PROGRAM = Program("loss", "sums")
MOST = 256  # blocks: each leaves a partial sum


def _mean(kernel, x, t):
    x = x if x.flags.c_contiguous else contiguous(x)
    number, targets = (t, None) if isinstance(t, int | float) else (0.0, t)
    if targets is not None:
        targets = (targets if targets.flags.c_contiguous else contiguous(targets)).reshape(-1)
    count = min(MOST, blocks(x.size))
    slope, sums, mean = empty(x.shape, x.dtype, x), empty((count,), "f8", x), empty((1,), x.dtype, x)
    PROGRAM(kernel, x.dtype, count, THREADS, x.reshape(-1), targets, number, slope.reshape(-1), sums, x.size)
    PROGRAM("finish", x.dtype, 1, THREADS, sums, mean, count, x.size)
    return mean.reshape(()), slope


def bce(p, t):
    """See CONTRACTS["bce"]."""
    return _mean("bce", p, t)


def bce_with_logits(x, t):
    """See CONTRACTS["bce_with_logits"]."""
    return _mean("bce_with_logits", x, t)
