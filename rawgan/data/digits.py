"""The bundled digits: 1,797 handwritten digits, 8x8, that need no download.

From the UCI Machine Learning Repository, "Optical Recognition of Handwritten Digits" (E. Alpaydin
and C. Kaynak, 1998), CC BY 4.0; the attribution lies beside the files. Each pixel counts the dark
ones among 4x4 finer pixels, 0 to 16; v becomes the byte nearest to 255 v / 16, halves upwards.

>>> int(load().items.max())
255
"""

from __future__ import annotations

import io
from importlib.resources import files

import numpy as np

from rawgan.data.dataset import Dataset
from rawgan.data.idx import read_idx_stream


def load() -> Dataset:
    """(1797, 1, 8, 8) uint8 pictures, with labels."""
    counts = _bundled("digits-images-idx3-ubyte.gz", ndim=3)
    pixels = (counts.astype(np.uint16) * 255 + 8) // 16
    return Dataset("digits", pixels.astype(np.uint8), _bundled("digits-labels-idx1-ubyte.gz", ndim=1))


def _bundled(name: str, ndim: int) -> np.ndarray:
    content = files("rawgan.data").joinpath("files", name).read_bytes()
    return read_idx_stream(io.BytesIO(content), len(content), name, ndim)
