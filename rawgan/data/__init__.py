"""Where training data comes from: bundled digits, MNIST, CIFAR-10, folders of pictures, mixtures, arrays.

>>> digits = load("digits")
>>> digits
Dataset('digits', 1797 images of shape (1, 8, 8), uint8)
>>> digits.batch([0, 1], low=-1.0, high=1.0).shape
(2, 1, 8, 8)

The training loop asks every source, finite or endless, the same four questions: `shape`,
`fingerprint`, `steps_per_epoch(batch_size)` and `batch_for(step, batch_size, key, low, high)`.
A new dataset is a new row of `DATASETS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from rawgan.data import cifar10, digits, mnist
from rawgan.data.dataset import Dataset
from rawgan.data.folders import folder
from rawgan.data.mixtures import Endless, Mixture, function, grid, ring, spirals
from rawgan.data.resize import resize_images
from rawgan.kernels.errors import ConfigError
from rawgan.settings import near

__all__ = [
    "DATASETS",
    "Dataset",
    "Endless",
    "Entry",
    "Mixture",
    "folder",
    "function",
    "grid",
    "known",
    "load",
    "names",
    "resize_images",
    "ring",
    "spirals",
]


class Entry(NamedTuple):
    """One row of the table: how data is made, and which splits it has.

    `make` takes the split and the folder that the user named (or None).
    """

    make: Callable[[str, str | os.PathLike[str] | None], Dataset | Endless]
    splits: tuple[str, ...] = ("train",)


_BOTH = ("train", "test")
DATASETS: dict[str, Entry] = {
    "digits": Entry(lambda split, folder: digits.load()),  # handwritten digits, 8x8, bundled
    "mnist": Entry(lambda *where: mnist.load("mnist", *where), _BOTH),  # the same, 28x28
    "fashion_mnist": Entry(lambda *where: mnist.load("fashion_mnist", *where), _BOTH),  # clothes, 28x28
    "cifar10": Entry(cifar10.load, _BOTH),  # ten kinds of thing in colour, 32x32
    "ring": Entry(lambda split, folder: ring()),  # 8 Gaussians on a circle, endless
    "grid": Entry(lambda split, folder: grid()),  # 25 Gaussians on a square grid, endless
    "spirals": Entry(lambda split, folder: spirals()),  # 40 Gaussians along two spirals, endless
}


def names() -> list[str]:
    """The names that `load` knows.

    >>> names()
    ['digits', 'mnist', 'fashion_mnist', 'cifar10', 'ring', 'grid', 'spirals']
    """
    return list(DATASETS)


def known(name: str) -> bool:
    """Whether `load` finds something by this name: a row of the table, or a folder.

    >>> known("digits"), known("no/such/folder")
    (True, False)
    """
    return name in DATASETS or os.path.isdir(os.path.expanduser(name))


def load(
    source: Any = "digits", *, split: str = "train", data_dir: str | os.PathLike[str] | None = None
) -> Dataset | Endless:
    """Training data by name, from a folder of pictures, or from an array.

    source: a name out of `names()`; or the path of a folder of pictures, all of one size ("./digits" is a
    folder, "digits" a name; `folder` says more and takes other sizes); or pictures, (N, H, W) or
    (N, C, H, W) with C 1 or 3, uint8 or floats in [0, 1]; or points, (N, 2) floats; or a Dataset or an
    endless source, returned as it is.
    split: "train", or for the datasets that come with one "test".
    data_dir: the folder that holds a named dataset's files, themselves or in a sub-folder of the
    dataset's name. Without it the folder in the environment variable RAWGAN_DATA is searched, then
    the user's cache, into which missing files are downloaded. Bundled datasets need no files.

    Raises ConfigError for an unknown name or split, DataError for data that cannot be used.

    >>> import numpy as np
    >>> load(np.zeros((5, 28, 28), np.uint8)).shape
    (1, 28, 28)
    """
    if isinstance(source, Dataset | Endless):
        _check_split(source.name, split, ("train",))
        return source
    if isinstance(source, os.PathLike) or (
        isinstance(source, str) and source not in DATASETS and known(source)
    ):
        _check_split("a folder", split, ("train",))
        return folder(source)
    if not isinstance(source, str):
        _check_split("an array", split, ("train",))
        return Dataset("array", source)
    if source not in DATASETS:
        meant = near(source, DATASETS)
        hint = f"did you mean {meant!r}? " if meant else ""
        raise ConfigError(
            f"unknown data {source!r}: {hint}There are: {', '.join(DATASETS)}; or give the path of a folder "
            "of pictures (there is none of this name)"
        )
    entry = DATASETS[source]
    _check_split(source, split, entry.splits)
    return entry.make(split, data_dir)


def _check_split(name: str, split: str, splits: tuple[str, ...]) -> None:
    if split not in splits:
        raise ConfigError(f"{name} has no split {split!r}; it has: {', '.join(splits)}")
