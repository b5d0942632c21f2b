"""What a metric takes: every array that enters is checked here, and only here.

>>> features("frechet_distance", "real", [[0, 1], [2, 3]], least=2).shape
(2, 2)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rawgan import arrays
from rawgan.engine import Tensor
from rawgan.kernels.errors import DataError, DTypeError, ShapeError

LARGEST = np.float64(np.finfo(np.float32).max)  # beyond it products of products leave float64
ROWS = 1024  # of a block: 16 MB of 2,048 float64 features


def features(metric: str, name: str, value: Any, least: int, why: str = "") -> np.ndarray:
    """`value` as a NumPy array (N, d) of real numbers in its own dtype, N at least `least`.

    Raises DTypeError for what is no array of numbers, ShapeError for another shape, DataError for too few
    rows and for values that are not finite or beyond float32; each says what to do.
    """
    array = as_array(metric, name, value)
    if array.ndim != 2 or array.shape[1] == 0:
        hint = ""
        if array.ndim == 1:
            hint = "; for one feature a sample: x.reshape(-1, 1)"
        elif array.ndim > 2:
            hint = "; to compare pixels as they are: x.reshape(len(x), -1)"
        raise ShapeError(f"{metric}: {name} has shape {array.shape}; it takes (N, d), one row a sample{hint}")
    if len(array) < least:
        raise DataError(
            f"{metric}: {name} has {len(array)} samples; it takes at least {least}{why and ', '}{why}"
        )
    _check_values(metric, name, array)
    return array


def pair(
    metric: str, first: tuple[str, Any], second: tuple[str, Any], least: int, why: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Two (name, value) sets of features, checked, of one width; ShapeError if the widths differ."""
    x, y = (features(metric, *each, least, why) for each in (first, second))
    same_width(metric, (first[0], x), (second[0], y))
    return x, y


def same_width(metric: str, first: tuple[str, np.ndarray], second: tuple[str, np.ndarray]) -> None:
    """ShapeError unless both have as many features a sample."""
    (name, x), (other, y) = first, second
    if x.shape[1] != y.shape[1]:
        raise ShapeError(
            f"{metric}: {name} has {x.shape[1]} features a sample, {other} {y.shape[1]}; "
            "take both from the same extractor"
        )


def as_array(metric: str, name: str, value: Any) -> np.ndarray:
    """A NumPy array of real numbers of any shape; DTypeError otherwise."""
    if isinstance(value, np.ma.MaskedArray):
        raise DTypeError(f"{metric}: {name} is a masked array; drop or fill what is masked first")
    if isinstance(value, Tensor):
        value = value.numpy()
    elif arrays.is_array(value):
        value = arrays.to_numpy(value)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:  # ragged lists; arrays that live elsewhere
        raise DTypeError(f"{metric}: {name} is no array ({error}); it takes arrays of real numbers") from None
    if array.dtype.kind not in "iuf":
        raise DTypeError(f"{metric}: {name} is of dtype {array.dtype}; it takes whole numbers or floats")
    return array


def blocks(count: int) -> Iterator[slice]:
    """Slices of at most ROWS rows that cover `count`."""
    return (slice(start, min(start + ROWS, count)) for start in range(0, count, ROWS))


def _check_values(metric: str, name: str, array: np.ndarray) -> None:
    if array.dtype.kind != "f":
        return
    for block in blocks(len(array)):
        fine = np.abs(array[block]) <= LARGEST  # NaN is not
        if not fine.all():
            row, column = np.argwhere(~fine)[0].tolist()
            raise DataError(
                f"{metric}: {name} has {array[block][row, column]} in sample {block.start + row}, feature "
                f"{column}; values are finite and at most {LARGEST:.2g} in size: mend the extractor, or drop "
                "such samples"
            )
