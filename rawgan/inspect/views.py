"""Arrays as a page shows them: their figures, and as many of their elements as there is room for.

What is drawn are recorded elements: of an array that is larger than its picture, the first pictures, rows or
channels, and of each block of a map the element that is largest in magnitude. What was left out is said.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from rawgan.inspect.nodes import Digest, RecordedNode, digest
from rawgan.inspect.show import host

SAME_PLACES = ("reshape", "tanh", "sigmoid", "relu", "leaky_relu", "clip", "dropout")
SIDE = 32  # a tile of a feature map is at most so wide
ACROSS = 66  # cells of all tiles together, each way: three pixels for each in the page's panel


def figures(value: Any) -> dict[str, Any]:
    """The figures of an array or Digest: of its finite elements, over all of them."""
    found = value if isinstance(value, Digest) else digest(value)
    out = found._asdict()
    del out["nbytes"]
    if not isinstance(value, Digest):
        array = host(value)
        if array.dtype.kind == "f":
            out["nonfinite"] = int(array.size - np.isfinite(array).sum())
    return out


def picture(value: Any, room: int, item: tuple[int, ...] = ()) -> dict[str, Any] | None:
    """At most about `room` elements of an array to be drawn; None of a single number and of a Digest.

    item: the shape of the data's pictures, where the array's rows are such. Keys: "tiles": (rows, columns),
    "size": (height, width) of each, "channels": 1, or 3 where a tile is a picture in colours, "data": float32
    in base64 in the order tile row, tile column, channel, row, column; "image": whether it is a picture like
    the data's; "said": what is seen; "block": (height, width) of a block that a cell stands for.
    """
    if isinstance(value, Digest):
        return None
    x = host(value)
    if x.size <= 1:
        return None
    if item:
        what = "pictures" if x.ndim == 4 else f"rows, each as a picture of {item[1]} × {item[2]}"
        return _grid(x.reshape(len(x), *item), room, True, what)
    if x.ndim == 4 and x.shape[2] * x.shape[3] > 1:
        return _maps(x, room)
    return _matrix(x, room)


def pictured(nodes: list[RecordedNode], item: tuple[int, ...]) -> set[int]:
    """The numbers of the nodes whose rows are pictures of the data's shape, or weigh the pixels of such.

    Those of that shape, what is reshaped from or to them, what one of them is an elementwise function of, and
    the weights of a dense layer on them.
    """
    if len(item) != 3 or item[0] not in (1, 3):
        return set()
    size = int(np.prod(item))
    found = {n.number for n in nodes if n.shape[1:] == tuple(item)}
    for node in [*reversed(nodes), *nodes]:
        first = node.inputs[0] if node.inputs else None
        if not isinstance(first, RecordedNode):
            continue
        same = [x for x in (node, first) if x.shape[1:] in (tuple(item), (size,))]
        if node.op in SAME_PLACES and len(same) == 2 and found & {n.number for n in same}:
            found |= {n.number for n in same}
        if node.op == "dense" and first.number in found and isinstance(node.inputs[1], RecordedNode):
            found.add(node.inputs[1].number)
    return found


def encode(x: np.ndarray) -> str:
    """Little-endian float32 in base64."""
    return base64.b64encode(np.ascontiguousarray(x, "<f4").tobytes()).decode()


def strongest(x: np.ndarray, height: int, width: int) -> tuple[np.ndarray, tuple[int, int]]:
    """(..., h, w) with h ≤ height and w ≤ width: of each block the element that is largest in magnitude."""
    rows, columns = -(-x.shape[-2] // height), -(-x.shape[-1] // width)
    if rows == columns == 1:
        return x, (1, 1)
    h, w = -(-x.shape[-2] // rows), -(-x.shape[-1] // columns)
    filled = np.zeros((*x.shape[:-2], h * rows, w * columns), x.dtype)
    filled[..., : x.shape[-2], : x.shape[-1]] = x
    blocks = filled.reshape(*x.shape[:-2], h, rows, w, columns).swapaxes(-3, -2)
    flat = blocks.reshape(*x.shape[:-2], h, w, rows * columns)
    at = np.abs(flat).argmax(axis=-1)[..., None]
    return np.take_along_axis(flat, at, axis=-1)[..., 0], (rows, columns)


def _grid(
    x: np.ndarray, room: int, image: bool, what: str, block: tuple[int, int] = (1, 1)
) -> dict[str, Any]:
    """(N, C, H, W) as a block of tiles, one after another in rows."""
    count, channels, height, width = x.shape
    shown = max(1, min(count, 36, room // (channels * height * width)))
    columns = min(shown, max(1, round((shown * 1.5) ** 0.5)))
    rows = -(-shown // columns)
    shown = min(count, rows * columns)
    first = f"the first {shown} of {count} {what}" if shown < count else f"all {count} {what}"
    filled = np.zeros((rows * columns, *x.shape[1:]), np.float32)
    filled[:shown] = x[:shown]
    return {
        "tiles": (rows, columns), "size": (height, width), "channels": channels, "data": encode(filled),
        "image": image, "shown": shown, "said": first + _blocks(block), "block": block,
    }  # fmt: skip


def _maps(x: np.ndarray, room: int) -> dict[str, Any]:
    """Feature maps or filters: a row of tiles for each example (or output), a tile for each channel."""
    height, width = min(x.shape[2], SIDE), min(x.shape[3], SIDE)
    what = f"maps of {x.shape[2]} × {x.shape[3]}"
    if 1 in x.shape[:2]:
        small, block = strongest(x.reshape(-1, 1, *x.shape[2:]), height, width)
        return _grid(small, room, False, what, block)
    tiles = max(1, room // (height * width))
    columns = min(x.shape[1], max(1, round((tiles * 1.5) ** 0.5)), max(1, ACROSS // (width + 1)))
    rows = min(x.shape[0], max(1, tiles // columns), max(1, ACROSS // (height + 1)))
    small, block = strongest(x[:rows, :columns], height, width)
    parts = [
        f"{'all' if n == whole else f'the first {n} of'} {whole} {what}"
        for n, whole, what in ((rows, x.shape[0], "down"), (columns, x.shape[1], "across"))
    ]
    return {
        "tiles": (rows, columns), "size": small.shape[2:], "channels": 1, "data": encode(small),
        "image": False, "said": f"{what}: {', '.join(parts)}{_blocks(block)}", "block": block,
    }  # fmt: skip


def _matrix(x: np.ndarray, room: int) -> dict[str, Any]:
    if x.ndim == 1:
        x, what = x[None], f"{x.size} elements"
    else:
        shape = x.shape
        x = x.reshape(shape[0], -1) if x.ndim > 2 or x.ndim == 0 else x
        what = f"{shape[0]} rows (down), {x.shape[1]} columns (across)"
    height, width = x.shape
    scale = max(1.0, height * width / room) ** 0.5
    high = min(height, max(1, int(height / scale)))
    wide = min(width, max(1, room // high))
    high = min(height, max(1, room // wide))
    small, block = strongest(x, high, wide)
    return {
        "tiles": (1, 1), "size": small.shape, "channels": 1, "data": encode(small),
        "image": False, "said": what + _blocks(block), "block": block,
    }  # fmt: skip


def _blocks(block: tuple[int, int]) -> str:
    if block == (1, 1):
        return ""
    return f"; of each {block[0]} × {block[1]} block the element largest in magnitude"
