"""CIFAR-10 (Krizhevsky, 2009) from its binary version: https://www.cs.toronto.edu/~kriz/cifar.html.

Each file is a row of records of 3073 bytes: a label, then 32x32 red, green and blue values. The
Python version is pickle, which runs whatever its author wrote, and is not read.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np

from rawgan.data.dataset import Dataset
from rawgan.data.fetch import Remote, Source, locate
from rawgan.kernels.errors import DataError

RECORD = 1 + 3 * 32 * 32
MAX_BYTES = 1 << 28  # the whole archive unpacks to 184 MB; a bomb stops here
ARCHIVE = "cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
MEMBERS = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
SOURCE = Source(
    "cifar10",
    folders=("cifar10", "cifar10/cifar-10-batches-bin", "cifar-10-batches-bin"),
    hosts=("https://www.cs.toronto.edu/~kriz/",),
)


def load(split: str, data_dir: str | os.PathLike[str] | None) -> Dataset:
    """(50000, 3, 32, 32) uint8 pictures with labels; 10000 for "test".

    Reads the archive in memory, or the unpacked files; of data_batch_1.bin to data_batch_5.bin
    those that are there. Raises DataError for files that are missing or not what they should be.
    """
    members = MEMBERS[split]
    (found,) = locate(SOURCE, [Remote(ARCHIVE, SHA256, spellings=(*members, ARCHIVE))], data_dir)
    contents = _read_archive(found, members) if found.name == ARCHIVE else _read_folder(found.parent, members)
    records = [_records(contents[name], f"{found.parent / name}") for name in members if name in contents]
    images = np.concatenate([record[:, 1:] for record in records]).reshape(-1, 3, 32, 32)
    return Dataset("cifar10", images, np.concatenate([record[:, 0] for record in records]))


def _records(content: bytes, name: str) -> np.ndarray:
    """(N, 3073) uint8, checked."""
    if not content or len(content) % RECORD:
        raise DataError(f"{name}: {len(content)} bytes; takes a multiple of {RECORD}, at least one record")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    bad = np.flatnonzero(records[:, 0] > 9)
    if bad.size:
        raise DataError(f"{name}: record {bad[0]} has the label {records[bad[0], 0]}; CIFAR-10's are 0 to 9")
    return records


def _read_folder(folder: Path, members: tuple[str, ...]) -> dict[str, bytes]:
    contents = {}
    for path in (folder / name for name in members):
        try:
            if path.is_file():
                if path.stat().st_size > MAX_BYTES:
                    raise DataError(f"{path}: {path.stat().st_size} bytes; takes at most {MAX_BYTES}")
                contents[path.name] = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    return contents


def _read_archive(path: Path, members: tuple[str, ...]) -> dict[str, bytes]:
    """The members by their bare name. Nothing is written to disk, so no path in the archive matters."""
    contents = {}
    try:
        with gzip.open(path) as unzipped:
            stream = _Bounded(unzipped, path)
            # Block by block, so that what follows the last header is still in the stream.
            with tarfile.open(fileobj=stream, mode="r|", bufsize=tarfile.BLOCKSIZE) as archive:
                for member in archive:
                    name = PurePosixPath(member.name).name
                    if name in members and member.isfile() and (file := archive.extractfile(member)):
                        contents[name] = file.read()
            # tarfile takes a damaged header for the end; and gzip checks its sum only at its own.
            while rest := stream.read(1 << 20):
                if rest.strip(b"\0"):
                    raise DataError(f"{path}: damaged archive: goes on after its last readable file")
    except DataError:
        raise
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError) as error:
        # ValueError: tarfile lets int() and decode() fail on a damaged header.
        raise DataError(f"{path}: damaged archive, or none ({error}); fetch it again") from error
    if not contents:
        raise DataError(f"{path}: holds none of {', '.join(members)}")
    return contents


class _Bounded(io.BufferedIOBase):
    """A stream that ends in a DataError after MAX_BYTES, whatever tar headers say about lengths."""

    def __init__(self, stream: gzip.GzipFile, path: Path):
        self._stream, self._path, self._left = stream, path, MAX_BYTES

    def read(self, size: int | None = -1) -> bytes:
        wanted = self._left + 1 if size is None or size < 0 else min(size, self._left + 1)
        content = self._stream.read(wanted)
        self._left -= len(content)
        if self._left < 0:
            raise DataError(f"{self._path}: unpacks to more than {MAX_BYTES} bytes; this is not CIFAR-10")
        return content
