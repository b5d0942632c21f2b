"""As `checks.py`, for what an optimiser does to the arrays of all its parameters."""

from itertools import chain
from typing import Any

from .checks import FLOAT64, Array, Many, _filled, _floats, _shapes
from .cuda.count import split
from .errors import ConfigError, ShapeError


def sum_squares(xs: Many) -> None:
    for x in xs:
        _floats("sum_squares", x)


def clip_norm(xs: Many, sums: Array, limit: float, each: bool) -> None:
    _clipped("clip_norm", xs, limit)
    if sums.dtype != FLOAT64 or sums.shape != (len(xs),):
        raise ShapeError(
            f"clip_norm: got sums {sums.shape} of {sums.dtype} for {len(xs)} arrays; takes what sum_squares "
            "gave of them"
        )
    _filled("clip_norm", sums)


def clip_value(xs: Many, limit: float) -> None:
    _clipped("clip_value", xs, limit)


def _clipped(kernel: str, xs: Many, limit: float) -> None:
    for x in xs:
        _floats(kernel, x)
        _filled(kernel, x)
    if not limit > 0:
        raise ConfigError(f"{kernel}: got limit {limit}; takes a number above 0")


def _moving(kernel: str, names: tuple[str, ...], *lists: Many) -> None:
    """As many params, grads and states; of one dtype and C-contiguous, where they meet of one shape."""
    counts = [len(some) for some in lists]
    if not counts[0] or counts != [counts[0]] * len(lists):
        got = ", ".join(f"{count} {name}s" for count, name in zip(counts, names, strict=True))
        raise ShapeError(f"{kernel}: got {got}; takes as many of each, at least one")
    _floats(kernel, *chain(*lists))
    for row in zip(*lists, strict=True):
        shape = row[0].shape
        for array in row:
            if array.shape != shape:
                _shapes(kernel, "arrays of one shape where they meet", **dict(zip(names, row, strict=True)))
            flags = array.flags
            if not (flags.c_contiguous and (array is row[1] or getattr(flags, "writeable", True))):
                _shapes(kernel, "C-contiguous arrays, writeable but for grad", array=array)


def adam(
    params: Many,
    grads: Many,
    ms: Many,
    vs: Many,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: Any,
) -> None:
    _moving("adam", ("param", "grad", "m", "v"), params, grads, ms, vs)
    if split(step)[0] < 1:
        raise ConfigError(f"adam: got step {step}; takes the number of this update, counted from 1")


def sgd(params: Many, grads: Many, vs: Many, lr: float, momentum: float) -> None:
    if vs or momentum:
        _moving("sgd", ("param", "grad", "v"), params, grads, vs)
    else:
        _moving("sgd", ("param", "grad"), params, grads)


def rmsprop(params: Many, grads: Many, vs: Many, lr: float, rho: float, eps: float) -> None:
    _moving("rmsprop", ("param", "grad", "v"), params, grads, vs)


def adagrad(params: Many, grads: Many, sums: Many, lr: float, eps: float) -> None:
    _moving("adagrad", ("param", "grad", "sum"), params, grads, sums)
