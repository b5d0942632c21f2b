"""Batches of items that lie on the device."""

from math import prod

from .count import split
from .layout import THREADS, blocks, empty, store
from .program import Program

PROGRAM = Program("data")


def _in_order(x):
    """x, or a C-contiguous copy; of any dtype, which `layout.contiguous` does not take."""
    if x.flags.c_contiguous:
        return x
    y = empty(x.shape, x.dtype, x)
    store(y, x)
    return y


def gather(items, table, row, low, high):
    """See CONTRACTS["gather"]."""
    items, table = _in_order(items), _in_order(table)
    (rows, batch), count, inner = table.shape, len(items), prod(items.shape[1:])
    out = empty((batch, *items.shape[1:]), "f4", items)
    threads = min(THREADS, 32 * blocks(inner, 32))
    grid = batch, blocks(inner, max(1, threads))
    given = items, table, out, rows, batch, *split(row), count, inner
    if items.dtype == "u1":
        PROGRAM("gather_bytes", "f4", grid, threads, *given, 255 / (high - low), low)
    else:
        as_they_are = int((low, high) == (0, 1))
        PROGRAM("gather_floats", "f4", grid, threads, *given, as_they_are, high - low, low)
    return out
