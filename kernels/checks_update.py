"""As `checks.py`, for what a training step does besides its networks: batches, clipping, updates."""

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np

from .checks import FLOAT32, FLOAT64, INT32, Array, Many, _filled, _floats, _shapes
from .cuda.count import split
from .errors import ConfigError, DTypeError, ShapeError

UINT8 = np.dtype(np.uint8)


def checking(function: Callable) -> Callable:
    """Marks a column's function that calls its check itself, unless it sees at less cost that all is well."""
    function.checks = True
    return function


def gather(items: Array, table: Array, row: Any, low: float, high: float) -> None:
    if items.dtype not in (UINT8, FLOAT32) or table.dtype != INT32:
        raise DTypeError(
            f"gather: got items of {items.dtype}, table of {table.dtype}; takes uint8 or float32 and int32"
        )
    if items.ndim < 1 or not len(items) or table.ndim != 2 or not len(table):
        _shapes("gather", "items (N, ...) and a table (R, B), N and R at least 1", items=items, table=table)
    if not low < high or split(row)[0] < 0:
        raise ConfigError(f"gather: got row {row}, low {low}, high {high}; takes row ≥ 0 and low < high")
    if type(table) is np.ndarray:  # a device's is not read back: its kernel takes the nearest item
        numbers = table[row % len(table)]
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(items):
            raise ShapeError(
                f"gather: got numbers from {numbers.min()} to {numbers.max()} for {len(items)} items"
            )


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
    shapes = [array.shape for array in lists[0]]
    for name, arrays in zip(names, lists, strict=True):
        if [array.shape for array in arrays] != shapes:
            row = next(row for row in zip(*lists, strict=True) if len({array.shape for array in row}) > 1)
            _shapes(kernel, "arrays of one shape where they meet", **dict(zip(names, row, strict=True)))
        for array in arrays:
            flags = array.flags
            if not (flags.c_contiguous and (name == "grad" or getattr(flags, "writeable", True))):
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
