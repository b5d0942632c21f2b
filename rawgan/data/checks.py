"""What counts as data: every array that enters is checked here, and only here.

>>> import numpy as np
>>> as_items("mine", np.full((2, 4, 4), 0.5)).dtype
dtype('float32')
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rawgan.kernels.errors import DataError

TAKES = (
    "pictures are (N, H, W) or (N, C, H, W) with C 1 or 3, uint8 or floats in [0, 1]; "
    "points are (N, 2) floats"
)


def as_items(name: str, value: Any) -> np.ndarray:
    """`value` as (N, C, H, W) uint8 or float32 pictures, or (N, 2) float32 points, read-only.

    Raises DataError with what it got, what it takes and, where it can be guessed, what to do.
    """
    array = _as_array(name, value)
    if array.ndim not in (2, 3, 4):
        raise DataError(f"{name}: got shape {array.shape}; {TAKES}")
    if array.size == 0:
        raise DataError(f"{name}: empty, shape {array.shape}; {TAKES}")
    floats = array.dtype.kind == "f"
    if array.ndim == 2:
        if array.shape[1] != 2:
            raise DataError(f"{name}: got shape {array.shape}; {TAKES}. Flat pictures: reshape to (N, H, W)")
    elif array.ndim == 3:
        array = array[:, None]
    elif array.shape[1] not in (1, 3):
        last = array.shape[3] in (1, 3)
        hint = ". Channels last: use np.moveaxis(array, -1, 1)" if last else ""
        raise DataError(f"{name}: got shape {array.shape}; {TAKES}{hint}")
    if not floats and (array.ndim == 2 or array.dtype != np.uint8):
        hint = ". Whole numbers 0 to 255: use array.astype(np.uint8)" if array.dtype.kind in "iub" else ""
        raise DataError(f"{name}: got dtype {array.dtype} with shape {array.shape}; {TAKES}{hint}")
    if floats:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and is reported below
            array = array.astype(np.float32, copy=False)
        _check_values(name, array)
    array = array.view()
    array.flags.writeable = False
    return array


def as_labels(name: str, value: Any, count: int) -> np.ndarray:
    """`value` as `count` whole numbers, int64; DataError otherwise."""
    labels = _as_array(name, value)
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise DataError(
            f"{name}: labels of shape {labels.shape}, dtype {labels.dtype}; takes ({count},) whole numbers, "
            "one for each item"
        )
    labels = labels.astype(np.int64)
    labels.flags.writeable = False
    return labels


def _as_array(name: str, value: Any) -> np.ndarray:
    if isinstance(value, np.ma.MaskedArray):
        raise DataError(f"{name}: got a masked array; fill or drop what is masked first; {TAKES}")
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:  # ragged lists; arrays that live on another device
        raise DataError(f"{name}: {type(value).__name__} is no NumPy array ({error}); {TAKES}") from None


def _check_values(name: str, array: np.ndarray) -> None:
    low, high = array.min(), array.max()  # NaN wins both, so no mask of the whole array is made
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = ~np.isfinite(array)
        where = tuple(int(i) for i in np.unravel_index(np.argmax(bad), array.shape))
        raise DataError(
            f"{name}: value {array[where]} at {where} (item {where[0]}), {bad.sum()} such values in all; "
            "data must be finite: drop or mend those items"
        )
    if array.ndim == 4 and not (low >= 0 and high <= 1):
        if low >= -1 and high <= 1:
            hint = "for [-1, 1] use (array + 1) / 2"
        elif low >= 0 and high <= 255:
            hint = "for 0 to 255 use array / 255, or array.astype(np.uint8)"
        else:
            hint = "scale them first"
        raise DataError(f"{name}: values from {low:.6g} to {high:.6g}; float pictures lie in [0, 1]: {hint}")
