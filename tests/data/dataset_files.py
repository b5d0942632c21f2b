"""Writes small dataset files in the real formats, and damages them."""

import gzip
import io
import struct
import tarfile
import tracemalloc

import numpy as np
from hypothesis import strategies as st
from PIL import Image

FORMATS = {  # Pillow's names of pictures by suffix
    "png": "PNG",
    "jpg": "JPEG",
    "webp": "WEBP",
    "bmp": "BMP",
    "gif": "GIF",
    "tiff": "TIFF",
    "ppm": "PPM",
}


def idx_bytes(array, code=8):
    """An IDX file of unsigned bytes."""
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def mnist_pair(count=6, seed=0):
    """(images, labels) like MNIST's."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, 28, 28), np.uint8), random.integers(0, 10, count, np.uint8)


def write_mnist(folder, prefix="train", suffix=".gz", dot="-", count=6, seed=0):
    """The two files of a split; returns (images, labels)."""
    images, labels = mnist_pair(count, seed)
    folder.mkdir(parents=True, exist_ok=True)
    pack = gzip.compress if suffix else bytes
    (folder / f"{prefix}-images{dot}idx3-ubyte{suffix}").write_bytes(pack(idx_bytes(images)))
    (folder / f"{prefix}-labels{dot}idx1-ubyte{suffix}").write_bytes(pack(idx_bytes(labels)))
    return images, labels


def cifar_records(count=4, seed=0):
    """(count, 3073) uint8: label, then the picture."""
    random = np.random.default_rng(seed)
    records = random.integers(0, 256, (count, 3073), np.uint8)
    records[:, 0] %= 10
    return records


def tar_bytes(members):
    """An uncompressed tar archive of {name: content}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def damaged(content):
    """A strategy: `content` after one to four flips, deletions, insertions or a cut."""
    place = st.integers(0, len(content) - 1) | st.integers(0, min(40, len(content) - 1))
    step = st.one_of(
        st.tuples(st.just("flip"), place, st.integers(1, 255)),
        st.tuples(st.just("delete"), place, st.integers(1, 600)),
        st.tuples(st.just("insert"), place, st.binary(min_size=1, max_size=600)),
        st.tuples(st.just("cut"), place, st.none()),
    )
    return st.lists(step, min_size=1, max_size=4).map(lambda steps: _apply(content, steps))


def _apply(content, steps):
    content = bytearray(content)
    for kind, place, what in steps:
        place = min(place, len(content))
        if kind == "flip" and place < len(content):
            content[place] ^= what
        elif kind == "delete":
            del content[place : place + what]
        elif kind == "insert":
            content[place:place] = what
        elif kind == "cut":
            del content[place:]
    return bytes(content)


def peak_memory(call):
    """(what `call` returned or raised, the most bytes that Python and NumPy held meanwhile)."""
    tracemalloc.start()
    try:
        result = call()
    except Exception as error:
        result = error
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return result, peak


def noise(height=6, width=8, channels=3, seed=0):
    """(H, W, 3) uint8, or (H, W) for one channel."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def write(path, pixels, **options):
    """Save pixels where the path says, in the format of its suffix; returns them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels
