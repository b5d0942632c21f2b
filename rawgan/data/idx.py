"""Reads IDX files, the format of MNIST and its kin (http://yann.lecun.com/exdb/mnist/, bottom of the page).

A file is two zero bytes, a type code, the number of dimensions, each dimension as a big-endian
32-bit number, and the values, last index fastest. It may be wrapped in gzip. Nothing in the
header is believed before it has been held against the file, and no file can make the reader take
more memory than the values that it really holds.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from rawgan.kernels.errors import DataError

UNSIGNED_BYTE = 0x08
# Deflate cannot do better than 258 bytes from 2 bits (RFC 1951, 3.2.5): 1032 to 1.
MAX_RATIO = 1032
MAX_BYTES = 1 << 30  # the largest set in use, EMNIST by class, is half of it
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str], ndim: int) -> np.ndarray:
    """The uint8 array of `ndim` dimensions in an IDX file, plain or gzipped.

    Raises DataError, naming the file, what was found and what was expected, for anything that is
    not exactly such a file: unreadable, wrong magic number, too short, too long, damaged gzip.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return read_idx_stream(file, os.fstat(file.fileno()).st_size, str(path), ndim)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def read_idx_stream(file: BufferedIOBase, size: int, name: str, ndim: int) -> np.ndarray:
    """`read_idx` for an open file of `size` bytes that messages call `name`."""
    zipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    try:
        if not zipped:
            return _read(file, name, ndim, size)
        with gzip.GzipFile(fileobj=file) as unzipped:
            return _read(unzipped, name, ndim, None, at_most=size * MAX_RATIO)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name}: damaged gzip file ({error}); fetch it again") from error


def _read(
    file: BufferedIOBase, name: str, ndim: int, size: int | None, at_most: int = MAX_BYTES
) -> np.ndarray:
    start = _exactly(file, 4, name, "the magic number")
    expected = bytes([0, 0, UNSIGNED_BYTE, ndim])
    if start != expected:
        raise DataError(
            f"{name}: starts with {start.hex(' ')}; an IDX file of unsigned bytes with {ndim} "
            f"dimension{'s' * (ndim > 1)} starts with {expected.hex(' ')}"
        )
    shape = struct.unpack(f">{ndim}I", _exactly(file, 4 * ndim, name, "the dimensions"))
    total = math.prod(shape)
    if total == 0:
        raise DataError(f"{name}: declares dimensions {shape}, which hold nothing")
    declared = 4 + 4 * ndim + total
    if size is not None and size != declared:
        raise DataError(f"{name}: declares dimensions {shape}, so {declared} bytes in all, but has {size}")
    if declared > min(at_most, MAX_BYTES):
        raise DataError(
            f"{name}: declares dimensions {shape}, so {declared} bytes in all; "
            f"a file of its size holds at most {min(at_most, MAX_BYTES)}"
        )
    values = np.empty(total, np.uint8)  # memory is not touched, so not taken, before it is filled
    view, filled = values.data, 0
    while filled < total:
        count = file.readinto(view[filled : filled + _CHUNK])
        if not count:
            raise DataError(
                f"{name}: declares dimensions {shape}, so {total} values, but ends after {filled}"
            )
        filled += count
    if file.read(1):  # also makes gzip compare its checksum
        raise DataError(f"{name}: goes on after the {total} values of its dimensions {shape}")
    return values.reshape(shape)


def _exactly(file: BufferedIOBase, count: int, name: str, what: str) -> bytes:
    found = file.read(count)
    if len(found) != count:
        raise DataError(f"{name}: ends within {what}, after {len(found)} of {count} bytes; not an IDX file")
    return found
