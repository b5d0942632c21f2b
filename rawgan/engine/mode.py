"""The switches of the tape, as one context variable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from rawgan.arrays import Array

if TYPE_CHECKING:
    from rawgan.engine.tape import Node, Op
    from rawgan.engine.tensor import Tensor


class Watch:
    """Whoever is told of all that the tape does, inside `switch(watch=...)`. A subclass takes what it wants.

    The arrays are the tape's own: not to be changed, and changed by nobody but the user, in place.
    """

    def value(self, op: Op, layer: str, inputs: tuple, attrs: dict[str, Any], out: Tensor | Array) -> None:
        """An operation gave `out`: a Tensor, or an array where there is none among its inputs."""

    def backward(self, output: Tensor, grad: Tensor | Array, create_graph: bool) -> None:
        """A backward pass begins at `output`, whose gradient is `grad`."""

    def node(self, node: Node, grad: Tensor | Array) -> None:
        """The pass has come to a node, whose gradient is now complete."""

    def share(self, node: Node, i: int, share: Tensor | Array) -> None:
        """The node gives this to the gradient of its input number i, in the input's shape."""

    def done(self) -> None:
        """The backward pass has ended, also where it failed."""


class Mode(NamedTuple):
    """The switches of the tape; one immutable value, replaced and restored as a whole."""

    grad: bool = True  # leave Nodes
    layer: str = ""  # the layer that is running, for messages and inspection
    watch: Watch | None = None


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
