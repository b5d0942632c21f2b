"""What a recording is made of: nodes, backward passes, and what each consumer gave to a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np

from rawgan import arrays
from rawgan.arrays import Array
from rawgan.engine import OPS
from rawgan.kernels.errors import GradientError

BINS = 32


class Digest(NamedTuple):
    """What is left of an array that was not kept. why: it was not kept."""

    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    minimum: float
    maximum: float
    mean: float
    norm: float
    zeros: float  # the share of elements that are 0
    counts: tuple[int, ...]  # in BINS like parts of the range from minimum to maximum
    why: str

    def __repr__(self) -> str:
        return (
            f"<array {self.shape} {self.dtype}, not kept ({self.why}): from {self.minimum:.4g} to "
            f"{self.maximum:.4g}, mean {self.mean:.4g}, norm {self.norm:.4g}, {self.zeros:.0%} zeros>"
        )


def digest(array: Array, why: str = "") -> Digest:
    """The figures of an array, over its finite elements."""
    host = np.asarray(arrays.to_numpy(array))
    finite = host[np.isfinite(host)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    flat = finite.reshape(-1).astype(np.float64, copy=False)
    apart = high - low > BINS * np.spacing(max(abs(low), abs(high)))  # else parts of the range would be empty
    counts = np.histogram(flat, BINS, (low, high) if apart else (low - 0.5, low + 0.5))[0]
    return Digest(
        tuple(host.shape),
        str(host.dtype),
        host.nbytes,
        low,
        high,
        float(flat.mean()) if flat.size else 0.0,
        float(np.sqrt(flat @ flat)),
        float((flat == 0).mean()) if flat.size else 0.0,
        tuple(map(int, counts)),
        why,
    )


class Held:
    """An array, or once it had to go its digest; several places may hold the same."""

    __slots__ = ("array", "digest")

    def __init__(self, array: Array | None, what: Digest | None = None):
        self.array, self.digest = array, what

    @property
    def value(self) -> Any:
        return self.digest if self.array is None else self.array

    def drop(self, why: str) -> None:
        if self.array is not None:
            self.digest, self.array = digest(self.array, why), None


class Share(NamedTuple):
    """What one consumer gave to a gradient. consumer: None where the backward pass begins, with its seed.

    position: which of the consumer's inputs this is; name: what that is called.
    """

    consumer: RecordedNode | None
    position: int
    held: Held

    def __repr__(self) -> str:
        who = repr(self.consumer) if self.consumer else "the start of the backward pass"
        return f"<share of {who}: {self.value!r}>"

    @property
    def name(self) -> str:
        return self.consumer.input_names[self.position] if self.consumer else ""

    @property
    def value(self) -> Any:
        """An array of the gradient's shape (or its Digest)."""
        return self.held.value


class Received(NamedTuple):
    """What one backward pass brought to a node."""

    backward: Backward
    shares: list[Share]
    whole: list[Held]  # the gradient, once the pass has come to the node; empty for leaves


@dataclass(eq=False)
class Backward:
    """A backward pass, or a call of `rawgan.grad`.

    number: counted from 0. root: what was differentiated; seed: its own gradient, mostly 1. visits: the nodes
    in the order in which their rules ran. create_graph: whether the gradients are themselves on the tape.
    """

    number: int
    root: RecordedNode
    seed: Held
    phase: str
    create_graph: bool
    visits: list[RecordedNode] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<backward {self.number} from {self.root!r}{f' ({self.phase})' if self.phase else ''}>"


@dataclass(eq=False)
class RecordedNode:
    """One operation as it ran, or something that went in: a parameter or an array.

    number: in execution order. op: the operation's name, "parameter" or "input". layer: such as
    "generator.0 (Dense)". name: of a parameter, such as "generator.0.weight". source: "file:line" of the
    user's call. inputs: RecordedNodes, numbers or None; flows: whether a gradient goes to each. attrs: the
    operation's. phase: of the training step. within: the backward pass that ran it, where a gradient was to
    be differentiated again.
    """

    number: int
    op: str
    layer: str
    name: str
    source: str
    inputs: tuple[Any, ...]
    flows: tuple[bool, ...]
    attrs: dict[str, Any]
    held: Held
    phase: str
    within: Backward | None = None
    received: list[Received] = field(default_factory=list)
    version: tuple[list[int], int] | None = None  # the cell and its count then; None of copies

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.shape)) or "1"
        what = self.name or f"{self.op}{f' in {self.layer}' if self.layer else ''}"
        return f"<{self.number}: {what}, {shape}>"

    def _repr_html_(self) -> str:
        from rawgan.inspect.show import node_html

        return node_html(self)

    @property
    def leaf(self) -> bool:
        """Whether it went in from outside."""
        return self.op not in OPS

    @property
    def value(self) -> Any:
        """The array (or its Digest). GradientError where somebody changed it in place since."""
        if self.version is not None and self.version[0][0] != self.version[1]:
            raise GradientError(f"{self!r}: the value was changed in place after it was recorded")
        return self.held.value

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.held.value.shape)

    @property
    def input_names(self) -> tuple[str, ...]:
        """What the operation calls its inputs."""
        if self.leaf:
            return ()
        op = OPS[self.op]
        if op.variadic:
            return tuple(f"{op.inputs[0]}[{i}]" for i in range(len(self.inputs)))
        return op.inputs[: len(self.inputs)]

    @property
    def formulas(self) -> dict[str, str]:
        """The operation's value rule under its output's name, and each input's gradient rule under that's."""
        if self.leaf:
            return {}
        op = OPS[self.op]
        value = (op.__doc__ or "").strip().splitlines()
        return {op.output: value[0].rstrip(".") if value else ""} | {
            n: rule.formula for n, rule in op.rules.items()
        }

    @property
    def grad(self) -> Any:
        """The gradient that the last backward pass brought (or its Digest); None where none came."""
        return gradient(self.received[-1]) if self.received else None

    @property
    def shares(self) -> list[Share]:
        """What each consumer gave to `grad`, which is their sum, added in this order."""
        return self.received[-1].shares if self.received else []

    def gift(self, backward: Any = None) -> Received:
        """What a pass (or the pass of that number; by default the last) brought; GradientError if nothing."""
        if backward is None and self.received:
            return self.received[-1]
        found = next((r for r in self.received if backward in (r.backward, r.backward.number)), None)
        if found is None:
            passes = ", ".join(str(r.backward.number) for r in self.received)
            which = "no backward pass" if backward is None else f"backward pass {backward!r} never"
            raise GradientError(
                f"{self!r}: {which} brought a gradient here" + (f"; these did: {passes}" if passes else "")
            )
        return found

    def of_several(self, backward: Backward) -> str:
        """Words for a gradient that is one of several; "" where it is the only one."""
        if len(self.received) < 2:
            return ""
        passes = ", ".join(str(r.backward.number) for r in self.received)
        return f" (of backward pass {backward.number}; {passes} brought gradients here)"

    def brought_by(self, backward: Backward) -> Received | None:
        """What that pass brought here."""
        return next((r for r in self.received if r.backward is backward), None)


def gradient(received: Received) -> Any:
    """The gradient that a pass brought: an array, or a Digest where parts of it were not kept."""
    if received.whole:
        return received.whole[0].value
    values = [share.value for share in received.shares]
    missing = next((v for v in values if isinstance(v, Digest)), None)
    return missing if missing is not None else added(values)


def added(values: Sequence[Array]) -> Array:
    """Their sum in this order, as the backward pass has it."""
    if len(values) == 1:
        return values[0]
    with arrays.beside(values[0]):
        return reduce(add, values)
