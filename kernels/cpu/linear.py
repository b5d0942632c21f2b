"""Served by the textbook for now."""

from ..reference.linear import dense, matmul  # noqa: F401
