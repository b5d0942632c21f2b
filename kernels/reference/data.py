"""Batches of items that lie in memory."""

import numpy as np


def gather(items, table, row, low, high):
    """The items of a row of the table; black is `low` and white `high`."""
    picked = items[table[row % len(table)]]
    if picked.dtype == np.uint8:
        return np.divide(picked, np.float32(255 / (high - low)), dtype=np.float32) + np.float32(low)
    if (low, high) == (0, 1):
        return picked
    return picked * np.float32(high - low) + np.float32(low)
