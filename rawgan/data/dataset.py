"""A finite set of pictures or points in memory, and the order in which training sees it.

`batch_for(step, ...)` keeps no position: the batch of a step is a function of the step and a
key alone, so a resumed run needs nothing but its step number to go on where it was.

>>> import numpy as np
>>> data = Dataset("squares", np.arange(8, dtype=np.uint8).reshape(8, 1, 1))
>>> first = data.batch_for(step=0, batch_size=4, key=7)
>>> again = data.batch_for(step=0, batch_size=4, key=7)
>>> bool((first == again).all())
True
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import numpy as np

from rawgan import rng
from rawgan.data.checks import as_items, as_labels
from rawgan.data.resize import resize_images
from rawgan.kernels.errors import ConfigError, DataError


class Dataset:
    """N pictures, (N, C, H, W) with C 1 or 3, or N points, (N, 2).

    name: what messages and checkpoints call it.
    items: uint8 pictures stay uint8; float pictures, in [0, 1], become float32; points float32.
    (N, H, W) becomes (N, 1, H, W). The array is not copied unless its type has to change.
    labels: (N,) whole numbers, or None. classes: the names that labels 0, 1, ... stand for, or None.

    Raises DataError for data of another shape or type, values outside the range, NaN, no items.
    """

    def __init__(self, name: str, items: Any, labels: Any = None, classes: tuple[str, ...] | None = None):
        self.name = name
        self.classes = classes
        self.items = as_items(name, items)
        self.labels = None if labels is None else as_labels(name, labels, len(self.items))
        self._resized: dict[int, Dataset] = {}
        self._order: tuple[int, int, np.ndarray] | None = None  # the last epoch's: key, epoch, indices

    @property
    def kind(self) -> str:
        """ "images" or "points"."""
        return "images" if self.items.ndim == 4 else "points"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one item: (C, H, W) or (2,)."""
        return self.items.shape[1:]

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self)} {self.kind} of shape {self.shape}, {self.items.dtype})"

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of a SHA-256 over shapes, types and values; the name is not in it."""
        digest = hashlib.sha256()
        for array in (self.items, self.labels):
            if array is None:
                continue
            array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(array.data)
        return digest.hexdigest()[:16]

    def batch(self, indices: Any, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """float32 copies of the items at `indices`, pictures scaled so that black is `low`, white `high`.

        Both ends are exact for [0, 1] and [-1, 1]. Points come as they are.
        """
        picked = self.items[np.asarray(indices)]
        if self.kind == "points" or (picked.dtype != np.uint8 and (low, high) == (0, 1)):
            return picked
        if picked.dtype == np.uint8:
            # Dividing by 255 or 127.5 hits both ends; multiplying by the rounded reciprocal need not.
            scaled = np.divide(picked, np.float32(255 / (high - low)), dtype=np.float32)
        else:
            scaled = np.multiply(picked, np.float32(high - low), out=picked)
        scaled += np.float32(low)
        return scaled

    def steps_per_epoch(self, batch_size: int) -> int:
        """How many whole batches one pass gives; the last, short one is left out.

        Raises DataError where not even one batch can be filled.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size is a whole number from 1 on, got {batch_size}")
        if batch_size > len(self):
            raise DataError(
                f"{self.name}: batch_size {batch_size} is more than the {len(self)} {self.kind} there are; "
                f"take batch_size={len(self)} or less"
            )
        return len(self) // batch_size

    def batch_for(
        self, step: int, batch_size: int, key: int, low: float = 0.0, high: float = 1.0
    ) -> np.ndarray:
        """The batch, (batch_size, *shape) float32, of training step `step`, counted from 0.

        key: a whole number in [0, 2**64), the run's; each epoch's order follows from it and the
        epoch's number, so every item comes at most once an epoch, bit for bit the same anywhere.
        """
        return self.batch(self.indices_for(step, batch_size, key), low, high)

    def indices_for(self, step: int, batch_size: int, key: int) -> np.ndarray:
        """Which items `batch_for` takes: their numbers, (batch_size,)."""
        epoch, position = divmod(step, self.steps_per_epoch(batch_size))
        order = self._epoch_order(key, epoch)
        return order[position * batch_size : (position + 1) * batch_size]

    def _epoch_order(self, key: int, epoch: int) -> np.ndarray:
        if self._order is None or self._order[:2] != (key, epoch):
            order = rng.Generator(key).spawn(f"epoch {epoch}").permutation(len(self))
            self._order = (key, epoch, order)
        return self._order[2]

    def resized(self, size: int) -> Dataset:
        """The same pictures, size x size (see `resize_images`); made once and kept."""
        if self.kind != "images":
            raise DataError(f"{self.name}: only images can be resized, these are points")
        if self.shape[1:] == (size, size):
            return self
        if size not in self._resized:
            self._resized[size] = Dataset(
                self.name, resize_images(self.items, size), self.labels, self.classes
            )
        return self._resized[size]
