"""What an optimiser does to the arrays of all its parameters, in a launch for up to LISTED of one dtype."""

from itertools import accumulate

from .count import split, varying
from .layout import THREADS, blocks, empty, packed
from .layout import flat as in_memory
from .program import LISTED, Program

PROGRAM = Program("update", "sums", "lists")
PART = 2048  # numbers to a block, as in lists.cuh


def _alike(xs):
    """The places in xs of the arrays that one launch takes."""
    dtypes = {}
    for i, x in enumerate(xs):
        dtypes.setdefault(x.dtype, []).append(i)
    return [places[i : i + LISTED] for places in dtypes.values() for i in range(0, len(places), LISTED)]


def _cuts(xs):
    """The blocks for all arrays; their sizes, and the blocks up to each."""
    sizes = [x.size for x in xs]
    ends = list(accumulate(blocks(size, PART) for size in sizes))
    return ends[-1], sizes, ends + ends[-1:] * (LISTED - len(ends))


def _launch(kernel, lists, *numbers):
    """All arrays of some lists, of one dtype, side by side."""
    for i in range(0, len(lists[0]), LISTED):
        some = [xs[i : i + LISTED] for xs in lists]
        count, sizes, ends = _cuts(some[0])
        PROGRAM(kernel, some[0][0].dtype, count, THREADS, *some, sizes, ends, *numbers)


def sum_squares(xs):
    """See CONTRACTS["sum_squares"]."""
    totals = empty((len(xs),), "f8", xs[0])
    for places in _alike(xs):
        some = [in_memory(packed(xs[i])) for i in places]
        count, sizes, ends = _cuts(some)
        sums = empty((count,), "f8", totals)
        PROGRAM("squares", some[0].dtype, count, THREADS, some, sizes, ends, sums)
        PROGRAM("add_squares", "f4", len(some), THREADS, sums, ends, places, totals)
    return totals


def clip_norm(xs, sums, limit, each):
    """See CONTRACTS["clip_norm"]."""
    for places in _alike(xs):
        some = [xs[i] for i in places]
        count, sizes, ends = _cuts(some)
        numbers = places, sums, sums.size, limit, int(each)
        PROGRAM("clip_norm", some[0].dtype, count, THREADS, some, sizes, ends, *numbers)


def clip_value(xs, limit):
    """See CONTRACTS["clip_value"]."""
    for places in _alike(xs):
        _launch("clip_value", [[xs[i] for i in places]], limit)


def adam(params, grads, ms, vs, lr, beta1, beta2, eps, step):
    """See CONTRACTS["adam"]."""
    _launch("adam", [params, grads, ms, vs], *varying(lr), beta1, beta2, eps, *split(step))


def sgd(params, grads, vs, lr, momentum):
    """See CONTRACTS["sgd"]."""
    if vs:
        _launch("sgd_momentum", [params, grads, vs], *varying(lr), momentum)
    else:
        _launch("sgd", [params, grads], *varying(lr))


def rmsprop(params, grads, vs, lr, rho, eps):
    """See CONTRACTS["rmsprop"]."""
    _launch("rooted", [params, grads, vs], *varying(lr), rho, 1 - rho, eps)


def adagrad(params, grads, sums, lr, eps):
    """See CONTRACTS["adagrad"]."""
    _launch("rooted", [params, grads, sums], *varying(lr), 1.0, 1.0, eps)
