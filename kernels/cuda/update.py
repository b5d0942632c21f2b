"""What an optimiser does to the arrays of all its parameters."""

from .layout import THREADS, blocks, contiguous, empty, to_host
from .program import Program

PROGRAM = Program("update", "sums")
MOST = 128  # blocks to an array: each leaves a partial sum


def sum_squares(xs):
    """See CONTRACTS["sum_squares"]."""
    counts = [min(MOST, blocks(x.size)) for x in xs]
    if not sum(counts):
        return (0.0,) * len(xs)
    sums = empty((sum(counts),), "f8", xs[0])
    totals = []
    for i, (x, count) in enumerate(zip(xs, counts, strict=True)):
        flat = (x if x.flags.c_contiguous else contiguous(x)).reshape(-1)
        PROGRAM("squares", x.dtype, count, THREADS, flat, sums, sum(counts[:i]), x.size)
    found = to_host(sums).tolist()  # a few hundred numbers, which the host must see anyway
    for i, count in enumerate(counts):
        totals.append(sum(found[sum(counts[:i]) : sum(counts[:i]) + count], 0.0))
    return tuple(totals)


def adam(params, grads, ms, vs, lr, beta1, beta2, eps, step):
    """See CONTRACTS["adam"]."""
    rates = lr / (1 - beta1**step), beta1, 1 - beta1, beta2, 1 - beta2, 1 / (1 - beta2**step), eps
    for row in zip(params, grads, ms, vs, strict=True):
        n = row[0].size
        PROGRAM("adam", row[0].dtype, blocks(n), THREADS, *(x.reshape(-1) for x in row), *rates, n)
