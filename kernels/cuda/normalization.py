"""Batch normalisation over rows (pixels) of channels, and its gradient."""

from .layout import channels_first, empty, packed
from .program import Program
from .reduction import BLOCK, MERGE_BLOCK, ROWS, RUN, Cut, as_rows

PROGRAM = Program("normalization")
AT_ONCE = ROWS * RUN  # rows that a block has in registers


def _runs(cut):
    """Blocks where each thread has one run."""
    return cut.tiles * -(-cut.size // (cut.columns * AT_ONCE))


def _at_once(cut):
    return cut.fold == 1 and cut.size <= AT_ONCE * cut.columns


def _like(rows, x):
    return channels_first(rows) if x.ndim == 4 else rows


def batch_norm(x, scale, shift, eps):
    """See CONTRACTS["batch_norm"]."""
    cut, rows = Cut.of(x), as_rows(x)
    scale, shift = packed(scale), packed(shift)
    y = empty(rows.shape, x.dtype, x)
    mean, var = (empty((cut.channels,), x.dtype, x) for _ in range(2))
    if _at_once(cut):
        arrays = rows, scale, shift, y, mean, var
        sizes = cut.size, cut.columns, cut.tiles, eps
        PROGRAM("batch_norm_at_once", x.dtype, cut.tiles, BLOCK, *arrays, *sizes)
        return _like(y, x), mean, var
    parts = empty((3, cut.parts, cut.channels), "f8", x)
    line = empty((2, cut.channels), x.dtype, x)
    sizes = cut.size, cut.columns, cut.height, cut.tiles
    PROGRAM("moments", x.dtype, cut.tiles * cut.down, BLOCK, rows, parts, *sizes)
    arrays = parts, scale, shift, mean, var, line
    PROGRAM("moments_merge", x.dtype, cut.mergers, MERGE_BLOCK, *arrays, cut.parts, cut.channels, eps)
    sizes = cut.size, cut.columns, cut.channels, cut.tiles
    PROGRAM("normalise", x.dtype, _runs(cut), BLOCK, rows, mean, line, y, *sizes)
    return _like(y, x), mean, var


def batch_norm_grad(gy, x, scale, mean, var, eps):
    """See CONTRACTS["batch_norm_grad"]."""
    cut, rows, upstream = Cut.of(x), as_rows(x), as_rows(gy)
    scale, mean, var = packed(scale), packed(mean), packed(var)
    gx = empty(rows.shape, x.dtype, x)
    gscale, gshift = (empty((cut.channels,), x.dtype, x) for _ in range(2))
    if _at_once(cut):
        arrays = upstream, rows, scale, mean, var, gx, gscale, gshift
        sizes = cut.size, cut.columns, cut.tiles, eps
        PROGRAM("batch_norm_grad_at_once", x.dtype, cut.tiles, BLOCK, *arrays, *sizes)
        return _like(gx, x), gscale, gshift
    parts = empty((2, cut.parts, cut.channels), "f8", x)
    line = empty((3, cut.channels), x.dtype, x)
    sizes = cut.size, cut.columns, cut.channels, cut.height, cut.tiles
    PROGRAM("products", x.dtype, cut.tiles * cut.down, BLOCK, upstream, rows, mean, parts, *sizes)
    arrays = parts, scale, var, gscale, gshift, line
    sizes = cut.parts, cut.channels, cut.size // cut.channels, eps
    PROGRAM("products_merge", x.dtype, cut.mergers, MERGE_BLOCK, *arrays, *sizes)
    sizes = cut.size, cut.columns, cut.channels, cut.tiles
    PROGRAM("input_grad", x.dtype, _runs(cut), BLOCK, upstream, rows, mean, line, gx, *sizes)
    return _like(gx, x), gscale, gshift
