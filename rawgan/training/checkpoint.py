"""A checkpoint is one safetensors file: arrays by name, and one JSON document that says what they are.

`save(path, arrays, meta)` writes it whole or not at all; `load(path)` gives the arrays and `meta` back
bit for bit, or raises CheckpointError. Nothing is pickled, so a checkpoint from a stranger cannot run code.

The format (https://huggingface.co/docs/safetensors) is plain enough to read and write here: eight bytes
with the header's length, a JSON header that gives each array's dtype, shape and place, then the arrays'
bytes, C order, little-endian. Writing it here streams each array straight from memory, checks every number
of the header on the way back, and stays clear of the safetensors package's wrong values for arrays
that are not C-contiguous (its issue 825). Any safetensors reader opens the file.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from rawgan.kernels.errors import CheckpointError
from rawgan.training.files import write_whole

FORMAT = 1  # of our document; a reader refuses a higher one
HEADER_LIMIT = 8 * 2**20  # bytes: a header is kilobytes, and a lying length must not fill the memory

_KEY = "rawgan"  # our document's name in the header's __metadata__
_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}

_ELSE = "use an older checkpoint or copy it again"


def save(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write `arrays` and `meta` to one file, whole or not at all.

    `arrays`: NumPy arrays of any shape and memory order, of floats up to 64 bits, integers or bool; they
    are read, never kept or changed. `meta`: whatever JSON can hold, with strings as keys.
    Raises CheckpointError, with the old file intact, for what cannot be stored or a disk that refuses.

    >>> import tempfile; folder = tempfile.TemporaryDirectory(); path = f"{folder.name}/one.safetensors"
    >>> save(path, {"0.weight": np.float32([[1, -0.0]])}, {"step": 100})
    >>> load(path)
    ({'0.weight': array([[ 1., -0.]], dtype=float32)}, {'step': 100})
    """
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        _check_storable(path, name, array)
    widest_first = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))
    arrays = dict(widest_first)  # so that every array is aligned in the file
    try:
        document = json.dumps({"format": FORMAT, "meta": meta})
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: meta is not JSON ({error}); pass plain Python values") from error
    header = _header(document, arrays)
    if len(header) > HEADER_LIMIT:
        raise CheckpointError(
            f"{path}: names and meta take {len(header):,} bytes, and a header takes {HEADER_LIMIT:,}; "
            "store large things as arrays"
        )

    def chunks() -> Iterator[bytes | memoryview]:
        yield len(header).to_bytes(8, "little")
        yield header
        for array in arrays.values():
            yield _data(array)

    write_whole(path, chunks())


def load(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the meta that `save` wrote to `path`, bit for bit.

    The arrays are new, writable, C-contiguous and little-endian; memory stays within the file's size.
    Raises CheckpointError for a file that is missing, damaged, cut short, foreign or of a newer format.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening, since opening a pipe would wait
            what = "is a folder" if Path(path).is_dir() else "is not a regular file"
            raise CheckpointError(f"{path}: {what}; a checkpoint is one .safetensors file: give its name")
        with open(path, "rb") as file:
            return _read(path, file)
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file; check the name") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise CheckpointError(
            f"{path}: cannot be read ({error}); check name, permissions and disk"
        ) from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: too large for the free memory; load it on another machine") from error


def _read(path: str | os.PathLike, file: BufferedReader) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= min(HEADER_LIMIT, size - 8):
        raise CheckpointError(f"{path}: {_what_else(start, length, size)}")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_no_duplicates)
        metadata = header.pop("__metadata__", {})
        meta = _parse_document(metadata, path)
        entries = _parse_entries(header, size - 8 - length)
        arrays = {name: np.empty(shape, dtype) for name, dtype, shape in entries}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its header is damaged ({error}); {_ELSE}") from error
    for name, array in arrays.items():
        if file.readinto(_data(array)) != array.nbytes:
            raise CheckpointError(f"{path}: ended inside array {name!r}; {_ELSE}")
    if _digest(metadata[_KEY], arrays) != metadata.get("sha256"):
        raise CheckpointError(f"{path}: damaged: its SHA-256 is not the one it was saved with; {_ELSE}")
    return arrays, meta


def _check_storable(path: str | os.PathLike, name: str, array: np.ndarray) -> None:
    if not isinstance(name, str) or name == "__metadata__" or any("\ud800" <= c <= "\udfff" for c in name):
        raise CheckpointError(f"{path}: {name!r} cannot name an array; use another string")
    if array.dtype.newbyteorder("<") not in _CODES:
        takes = ", ".join(str(dtype) for dtype in _CODES)
        raise CheckpointError(f"{path}: array {name!r} has dtype {array.dtype}; convert it to one of {takes}")


def _header(document: str, arrays: dict[str, np.ndarray]) -> bytes:
    fields: dict[str, Any] = {"__metadata__": {_KEY: document, "sha256": _digest(document, arrays)}}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        fields[name] = {"dtype": _code(array), "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % 8)  # the arrays start at a multiple of eight


def _parse_document(metadata: dict[str, str], path: str | os.PathLike) -> dict[str, Any]:
    """The meta in the header's metadata, if it is of a format that this version can read."""
    if _KEY not in metadata:
        raise CheckpointError(
            f"{path}: a safetensors file, but not a rawgan checkpoint (no {_KEY!r} in its metadata); "
            "read its weights with safetensors.numpy.load_file and give them to load_state_dict"
        )
    document = json.loads(metadata[_KEY], object_pairs_hook=_no_duplicates)
    version = document["format"]
    if type(version) is not int:
        raise ValueError(f"format {version!r}")
    if version > FORMAT:
        raise CheckpointError(
            f"{path}: written by a newer rawgan (format {version}; this one reads {FORMAT}); upgrade rawgan"
        )
    return document["meta"]


def _parse_entries(fields: dict[str, Any], data_size: int) -> list[tuple[str, np.dtype, tuple[int, ...]]]:
    """Each array's name, dtype and shape, in file order.

    Together they must fill `data_size` bytes with no gap, so that no lie costs memory.
    """
    entries, end = [], 0
    for name, field in sorted(fields.items(), key=lambda item: tuple(item[1]["data_offsets"])):
        code, shape, offsets = field["dtype"], field["shape"], field["data_offsets"]
        if code not in _DTYPES:
            raise ValueError(f"array {name!r} has the unknown dtype {code!r}")
        if len(shape) > 64 or not all(type(n) is int and 0 <= n < 2**63 for n in shape):  # NumPy's limits
            raise ValueError(f"array {name!r} has an impossible shape")
        if offsets != [end, end + math.prod(shape) * _DTYPES[code].itemsize]:
            raise ValueError(f"array {name!r} does not fit its place in the file")
        end = offsets[1]
        entries.append((name, _DTYPES[code], tuple(shape)))
    if end != data_size:
        raise ValueError(f"{end:,} bytes of arrays promised, {data_size:,} found")
    return entries


def _digest(document: str, arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 over all that a checkpoint says, in whatever order the file holds the arrays."""
    table = {
        name: [_code(array), array.shape, hashlib.sha256(_data(array)).hexdigest()]
        for name, array in arrays.items()
    }
    return hashlib.sha256(json.dumps([document, table], sort_keys=True).encode()).hexdigest()


def _data(array: np.ndarray) -> memoryview:
    """The array's bytes in C order, little-endian: a view where they lie so already, a copy where not."""
    # order="C" and not ascontiguousarray, which would turn a 0-d array into a 1-d one.
    plain = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    return plain.reshape(-1).view(np.uint8).data


def _code(array: np.ndarray) -> str:
    return _CODES[array.dtype.newbyteorder("<")]


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(names := dict(pairs)) < len(pairs):
        raise ValueError("a name occurs twice")
    return names


def _what_else(start: bytes, length: int, size: int) -> str:
    """What a file is whose first eight bytes do not give a header's length."""
    if not size:
        return f"is empty; {_ELSE}"
    if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return (
            "looks like a PyTorch or pickle file, which rawgan never opens because it can run code; "
            "save the weights with safetensors.torch.save_file and load them by name"
        )
    found = f"a header of {length:,} bytes promised, {max(size - 8, 0):,} bytes follow"
    return f"is cut short or not a checkpoint: {found}; {_ELSE}"
