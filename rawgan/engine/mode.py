"""The switches of the tape, as one context variable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from rawgan.arrays import Array


class Mode(NamedTuple):
    """The switches of the tape; one immutable value, replaced and restored as a whole."""

    grad: bool = True  # leave Nodes
    layer: str = ""  # the layer that is running, for messages and inspection
    watch: Callable[[str, str, str, Array], None] | None = None  # told (op, layer, what, array) each time


MODE: ContextVar[Mode] = ContextVar("mode", default=Mode())  # noqa: B039 (a NamedTuple cannot change)


@contextmanager
def switch(**changes: Any) -> Iterator[None]:
    """Change some of the tape's switches inside the block."""
    token = MODE.set(MODE.get()._replace(**changes))
    try:
        yield
    finally:
        MODE.reset(token)


def no_grad() -> Any:
    """Operations inside the block leave nothing on the tape.

    >>> import rawgan
    >>> x = rawgan.tensor(1.0, requires_grad=True)
    >>> with rawgan.no_grad():
    ...     (x * 2).requires_grad
    False
    """
    return switch(grad=False)
