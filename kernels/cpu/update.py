"""Served by the textbook for now."""

from ..reference.update import adam, sum_squares  # noqa: F401
