"""Served by the textbook for now."""

from ..reference.random import dropout, philox_normal, philox_uniform, philox_words  # noqa: F401
