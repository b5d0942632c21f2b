"""Sums over everything but the channels, and how a matrix of channels is cut into blocks."""

from typing import Any, NamedTuple

from .layout import channels_last, empty, packed
from .program import Program

PROGRAM = Program("reduction")
# As in reduction.cu and normalization.cu.
LANES = 32
ROWS = 8
RUN = 16
MERGERS = 32
BLOCK = (LANES, ROWS)
MERGE_BLOCK = (LANES, MERGERS)
BLOCKS = 1056  # at most, of those that leave a partial result: 8 for each of an H200's multiprocessors


class Cut(NamedTuple):
    """A matrix (values of a channel, channels), of `size` numbers, as rows of `columns` numbers in blocks.

    A row is `fold` of the matrix's, the last one perhaps fewer. A block has 32 columns, which makes `tiles`
    across, and `height` rows, which makes `down` of them. It depends on the shape alone, so that the order of
    additions does too.
    """

    size: int
    channels: int
    columns: int
    fold: int
    tiles: int
    height: int
    down: int

    @classmethod
    def of(cls, x: Any) -> "Cut":
        """Of an array (N, C) or (N, C, H, W), which has a channel."""
        channels = x.shape[1]
        fold = max(1, LANES // channels)
        columns = fold * channels
        rows, tiles = -(-x.size // columns), -(-columns // LANES)
        step = ROWS * RUN
        height = step * max(1, -(-rows // (step * max(1, BLOCKS // tiles))))
        return cls(x.size, channels, columns, fold, tiles, height, -(-rows // height))

    @property
    def parts(self) -> int:
        """Partial results of a channel."""
        return self.down * self.fold

    @property
    def mergers(self) -> int:
        """Blocks of 32 channels."""
        return -(-self.channels // LANES)


def as_rows(x: Any) -> Any:
    """(N, C) or (N, C, H, W) in C order with the channels last: itself, or a copy."""
    return channels_last(x) if x.ndim == 4 else packed(x)


def channel_sum(x):
    """See CONTRACTS["channel_sum"]."""
    y = empty(x.shape[1:2], x.dtype, x)
    if not y.size:
        return y
    cut = Cut.of(x)
    parts = None if cut.parts == 1 else empty((cut.parts, cut.channels), "f8", x)
    arrays = as_rows(x), y if parts is None else None, parts
    sizes = cut.size, cut.columns, cut.height, cut.tiles
    PROGRAM("channel_sums", x.dtype, cut.tiles * cut.down, BLOCK, *arrays, *sizes)
    if parts is not None:
        merged = parts, y, cut.parts, cut.channels
        PROGRAM("channel_sums_merge", x.dtype, cut.mergers, MERGE_BLOCK, *merged)
    return y
