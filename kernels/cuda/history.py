"""What a recorded step leaves for the host to read later."""

from .count import split
from .program import Program

PROGRAM = Program("history")


def keep_row(values, table, row):
    """table (R, W)[row mod R] = values (W,), float64; row: a whole number from 0 or a Count. Returns None."""
    rows, width = table.shape
    PROGRAM("keep_row", "f8", 1, 32, values, table, *split(row), width, rows)
