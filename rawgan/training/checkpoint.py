"""A checkpoint is one safetensors file: arrays by name, and one JSON document that says what they are.

`save(path, arrays, meta)` writes it whole or not at all; `load(path)` gives the arrays and `meta` back
bit for bit, or raises CheckpointError. Nothing is pickled, so a checkpoint from a stranger cannot run code.

The safetensors package reads and writes the format, and any reader of it opens the file. The document is
the one entry of its `__metadata__`: {"format": 1, "meta": ..., "sha256": over all the rest}. One entry,
because the package writes several in random order, and equal states should give equal files.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rawgan.kernels.errors import CheckpointError
from rawgan.training.files import write_whole

FORMAT = 1  # of our document; a reader refuses a higher one

_KEY = "rawgan"  # our document's name in the file's metadata
_FLOATS, _INTEGERS = ("float16", "float32", "float64"), ("int8", "int16", "int32", "int64")
_DTYPES = ("bool", *_INTEGERS, *(f"u{name}" for name in _INTEGERS), *_FLOATS)
_ELSE = "use an older checkpoint or copy it again"


def save(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write `arrays` and `meta` to one file, whole or not at all.

    `arrays`: NumPy arrays of any shape and memory order, of floats up to 64 bits, integers or bool; they
    are read, never kept or changed. `meta`: whatever JSON can hold, with strings as keys. Equal arrays and
    meta give equal files. Takes memory for one copy of the arrays.
    Raises CheckpointError, with the old file intact, for what cannot be stored or a disk that refuses.

    >>> import tempfile; folder = tempfile.TemporaryDirectory(); path = f"{folder.name}/one.safetensors"
    >>> save(path, {"0.weight": np.float32([[1, -0.0]])}, {"step": 100})
    >>> load(path)
    ({'0.weight': array([[ 1., -0.]], dtype=float32)}, {'step': 100})
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save as serialize

    plain = {name: _storable(path, name, array) for name, array in arrays.items()}
    try:
        document = _document(plain, meta)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: meta is not JSON ({error}); pass plain Python values") from error
    try:
        content = serialize(plain, {_KEY: document})
    except SafetensorError as error:
        raise CheckpointError(f"{path}: {error}; store large things as arrays, not in meta") from error
    # Not the package's save_file, which leaves a temporary file of its own behind when killed, does not
    # wait for the disk, and tells of a full one without an errno.
    write_whole(path, [content])


def load(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the meta that `save` wrote to `path`, bit for bit.

    The arrays are new, writable and C-contiguous; memory stays within the file's size.
    Raises CheckpointError for a file that is missing, damaged, cut short, foreign or of a newer format.
    """
    path, start = Path(path), b""
    try:
        if not path.is_file():  # before opening, since opening a pipe would wait
            what = "is not a regular file" if path.exists() else "there is no such file"
            what = "is a folder" if path.is_dir() else what
            raise CheckpointError(f"{path}: {what}; a checkpoint is one .safetensors file: give its name")
        with path.open("rb") as file:  # what hinders it says more than the package would
            start = file.read(8)
        return _read(path)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); check permissions and disk") from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: too large for the free memory; load it on another machine") from error
    except Exception as error:  # the package raises many kinds for a damaged file, AttributeError too
        raise CheckpointError(f"{path}: {_what_else(start, error)}") from error


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        if _KEY not in metadata:
            raise CheckpointError(
                f"{path}: a safetensors file, but not a rawgan checkpoint (no {_KEY!r} in its metadata); "
                "read its weights with safetensors.numpy.load_file and give them to load_state_dict"
            )
        document = json.loads(metadata[_KEY])
        version = document["format"]
        if version > FORMAT:
            raise CheckpointError(
                f"{path}: written by a newer rawgan (format {version}; this one reads {FORMAT}); "
                "upgrade rawgan"
            )
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
    meta = document["meta"]
    if metadata[_KEY] != _document(arrays, meta):
        raise CheckpointError(f"{path}: is damaged: its content does not fit its SHA-256; {_ELSE}")
    return arrays, meta


def _document(arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> str:
    """The JSON text that belongs to this content: `load` accepts no other, be it by a letter."""
    table = {
        name: [
            array.dtype.name,
            array.shape,
            hashlib.sha256(array.reshape(-1).view(np.uint8).data).hexdigest(),
        ]
        for name, array in sorted(arrays.items())
    }
    digest = hashlib.sha256(json.dumps([FORMAT, meta, table]).encode()).hexdigest()
    return json.dumps({"format": FORMAT, "meta": meta, "sha256": digest})


def _storable(path: str | os.PathLike, name: str, array: np.ndarray) -> np.ndarray:
    """The array little-endian and in C order: the package writes wrong values for others (its issue 825)."""
    if not isinstance(name, str) or name == "__metadata__" or any("\ud800" <= c <= "\udfff" for c in name):
        raise CheckpointError(f"{path}: {name!r} cannot name an array; use another string")
    array = np.asarray(array)
    if array.dtype.name not in _DTYPES:
        takes = ", ".join(_DTYPES)
        raise CheckpointError(f"{path}: array {name!r} has dtype {array.dtype}; convert it to one of {takes}")
    # order="C" and not ascontiguousarray, which would turn a 0-d array into a 1-d one.
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _what_else(start: bytes, error: Exception) -> str:
    """What a file is that begins with these eight bytes and that the package cannot read."""
    if not start:
        return f"is empty; {_ELSE}"
    pickles = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    if start.startswith(pickles) and any(start[3:]):  # else the length of a header below 16 MiB
        return (
            "looks like a PyTorch or pickle file, which rawgan never opens because it can run code; "
            "save the weights with safetensors.torch.save_file and load them by name"
        )
    return f"is damaged, cut short or not a checkpoint ({error}); {_ELSE}"
