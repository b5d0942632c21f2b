"""Pictures out of a folder: photographs, drawings, sprites, whatever there is, of one size in the end.

    from rawgan import data
    faces = data.folder("faces", size=64)      # or rawgan.train(data="faces") where all are of one size

Files are strangers' bytes: each is decoded by Pillow under limits, and one that is damaged, cut off or
not what its name says stops the loading with its path. Everything is decoded before training begins,
and kept as bytes (uint8), so that a step's batch costs no more than of any other data.
"""

from __future__ import annotations

import os
import stat
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rawgan.data.dataset import Dataset
from rawgan.kernels.errors import ConfigError, DataError
from rawgan.notice import warn
from rawgan.settings import whole_number

# Names that are looked at, and Pillow's decoders that may be. Others stay shut: EPS starts another program.
ENDINGS = ("png", "jpg", "jpeg", "jfif", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "pbm")
SUFFIXES = tuple(f".{ending}" for ending in ENDINGS)
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_PIXELS = 1 << 26  # of one picture, 8192 x 8192: a small file can unpack to any number
GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes without colour
ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 swap width and height
THREADS = 8  # Pillow lets go of Python's lock while it decodes
MANY = 300  # from so many pictures on, progress is shown


def folder(path: str | os.PathLike[str], size: int | None = None, channels: int | None = None) -> Dataset:
    """The pictures in a folder and its sub-folders, as a Dataset of (N, C, H, W) uint8 with C 1 or 3.

    path: the folder. Its pictures (PNG, JPEG, WebP, BMP, GIF, TIFF, PPM; of an animation the first) come in
        the order of their paths. If all lie in sub-folders, two or more, these are the labels, counted from 0
        in alphabetical order, and `classes` their names. Hidden files, files with other suffixes and links to
        folders are passed over, with a warning that counts them.
    size: every picture becomes size x size: the largest square in its middle, by Pillow's bicubic filter,
        which averages where it shrinks. Without it all have to be of one size already.
    channels: 1 turns colours to grey, 3 grey to colour. By default 1 if no picture has colour, else 3.
        What is transparent is laid on white, 16-bit grey brought to 8 bits, and pictures turned as their
        EXIF tag says. A fourth channel is not kept: recipes and their sample pictures know grey and colour.

    Raises ConfigError for settings; DataError, with the file's path, for a folder that cannot be read or
    has no pictures, a file that is damaged, cut off, no regular file or of more than 2²⁶ pixels, pictures
    of different sizes where no size is given, and more pixels than memory holds.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as where:
    ...     Image.new("RGB", (40, 30), "red").save(f"{where}/a.png")
    ...     folder(where, size=16).shape
    (3, 16, 16)
    """
    if size is not None:
        whole_number("folder: size", size)
    if channels not in (None, 1, 3) or isinstance(channels, bool | float):
        raise ConfigError(
            f"folder: channels is 1 (grey), 3 (colour) or None (as the pictures are), got {channels!r}; "
            "transparency is laid on white and not kept"
        )
    root = Path(os.path.expanduser(path)).absolute()
    files = _pictures_in(root)
    heads = [_head(file) for file in _progress(files, f"{root.name}: looking")]
    if channels is None:
        channels = 1 if all(head.grey for head in heads) else 3
    width, height = (size, size) if size is not None else _one_size(root, files, heads)
    shape = len(files), channels, height, width
    try:
        items = np.empty(shape, np.uint8)
    except MemoryError as error:
        gigabytes = np.prod(shape, dtype=float) / 1e9
        raise DataError(
            f"{root}: {len(files)} pictures of shape {shape[1:]} are {gigabytes:.1f} GB, more than there is "
            "memory; give a smaller size="
        ) from error

    def load(number: int) -> None:
        items[number] = _pixels(files[number], channels, size, (height, width))

    pool = ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1))
    try:
        for _ in _progress(pool.map(load, range(len(files))), f"{root.name}: reading", len(files)):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    labels, classes = _labels(root, files)
    return Dataset(str(root), items, labels, classes)


def _pictures_in(root: Path) -> list[Path]:
    """The picture files under `root` by path; a warning says what else there was."""
    if not root.is_dir():
        raise DataError(
            f"{root}: is {'a file' if root.exists() else 'not there'}; takes a folder of pictures"
        )
    found: list[Path] = []
    passed: Counter[str] = Counter()

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror or error})") from error

    for where, folders, names in os.walk(root, onerror=refuse):
        for name in names:
            if name.startswith("."):
                passed["hidden"] += 1
            elif name.lower().endswith(SUFFIXES):
                found.append(Path(where, name))
            else:
                passed["with other suffixes"] += 1
        links = sum(os.path.islink(os.path.join(where, name)) for name in folders)
        passed["links to folders"] += links  # os.walk does not follow them: they may lead in circles
        open_ones = [name for name in folders if not name.startswith(".")]
        passed["hidden"] += len(folders) - len(open_ones)
        folders[:] = open_ones
    words = ", ".join(f"{count} {kind}" for kind, count in passed.items() if count)
    if not found:
        raise DataError(
            f"{root}: has no pictures{f' (but {words})' if words else ''}; takes files that end in "
            f"{', '.join(SUFFIXES)}. For a folder of dataset files: load(name, data_dir=path)"
        )
    if words:
        warn(f"{root}: passed over {words}; {len(found)} pictures remain")
    return sorted(found, key=lambda file: file.relative_to(root).parts)


def _labels(root: Path, files: list[Path]) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    parts = [file.relative_to(root).parts for file in files]
    classes = tuple(sorted({part[0] for part in parts}))
    if len(classes) < 2 or any(len(part) == 1 for part in parts):
        return None, None
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number[part[0]] for part in parts]), classes


class _Head(NamedTuple):
    size: tuple[int, int]  # width, height, once turned
    grey: bool


def _head(file: Path) -> _Head:
    """What a file says of itself before it is decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's word on large pictures: they are refused here
        with _Opened(file) as picture:
            turned = picture.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
            size = picture.size[::-1] if turned else picture.size
            return _Head(size, picture.mode in GREY)


class _Opened:
    """A picture file, open and within limits. Whatever Pillow makes of it, errors name the file."""

    def __init__(self, file: Path):
        self._file = file

    def __enter__(self) -> Any:
        from PIL import Image

        try:
            if not stat.S_ISREG(self._file.stat().st_mode):  # opening a pipe would wait for ever
                raise DataError(f"{self._file}: is no regular file; remove it")
            self._picture = Image.open(self._file, formats=FORMATS)
        except Exception as error:
            raise self._named(error) from error
        width, height = self._picture.size
        if width * height > MAX_PIXELS:
            self._picture.close()
            raise DataError(
                f"{self._file}: {width} x {height} pixels; takes at most {MAX_PIXELS:,}. Shrink or remove it"
            )
        return self._picture

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._picture.close()
        if isinstance(error, Exception):
            raise self._named(error) from error

    def _named(self, error: Exception) -> DataError:
        """Decoders fed with damage raise anything: OSError, SyntaxError, struct.error, KeyError..."""
        if isinstance(error, DataError):
            return error
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if type(error).__name__ == "UnidentifiedImageError":
            reason = f"no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        return DataError(f"{self._file}: is not a readable picture ({reason}); restore or remove it")


def _one_size(root: Path, files: list[Path], heads: list[_Head]) -> tuple[int, int]:
    sizes = Counter(head.size for head in heads)
    if len(sizes) > 1:
        (usual, count), *_ = sizes.most_common(1)
        odd = next(i for i, head in enumerate(heads) if head.size != usual)
        other = heads[odd].size
        raise DataError(
            f"{root}: pictures of {len(sizes)} sizes: {count} are {usual[0]} x {usual[1]}, {files[odd]} is "
            f"{other[0]} x {other[1]}; make them one: data=rawgan.data.folder(path, size=64)"
        )
    return heads[0].size


def _pixels(file: Path, channels: int, size: int | None, expected: tuple[int, int]) -> np.ndarray:
    """(C, H, W) uint8."""
    from PIL import Image, ImageOps

    with _Opened(file) as picture:
        if size is not None:
            # A JPEG is decoded at the least of its own scales that is twice as large as needed.
            scale = 2 * size / min(picture.size)
            picture.draft(None, (int(picture.width * scale) + 1, int(picture.height * scale) + 1))
        shown = ImageOps.exif_transpose(picture)
        if shown.mode == "F":
            raise DataError(f"{file}: its pixels are floats, of no known range; save it with 8 or 16 bits")
        if shown.mode.startswith("I"):
            shown = Image.fromarray(_eight_bits(file, np.asarray(shown)))
        elif shown.has_transparency_data:
            shown = shown.convert("RGBA")
            white = Image.new("RGBA", shown.size, "white")
            shown = Image.alpha_composite(white, shown)
        shown = shown.convert("L" if channels == 1 else "RGB")
        if size is not None:
            shown = ImageOps.fit(shown, (size, size), Image.Resampling.BICUBIC)
        pixels = np.asarray(shown)
    if pixels.shape[:2] != expected:
        raise DataError(
            f"{file}: has {pixels.shape[1]} x {pixels.shape[0]} pixels where its head said {expected[1]} x "
            f"{expected[0]}; restore it"
        )
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _eight_bits(file: Path, values: np.ndarray) -> np.ndarray:
    """Pillow itself cuts 16 bits off at 255."""
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{file}: values from {values.min()} to {values.max()}; save it with 8 or 16 bits")
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _progress(steps: Iterable, label: str, total: int | None = None) -> Iterator:
    """`steps`, with a bar where there are many of them and someone looks on."""
    total = len(steps) if total is None else total  # type: ignore[arg-type]
    if total < MANY or not sys.stderr.isatty():
        yield from steps
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(steps, label, total, console=Console(stderr=True), transient=True)
