"""A training step as a story: phase by phase, layer by layer, operation by operation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rawgan.inspect.nodes import RecordedNode


@dataclass
class Event:
    """Something that happened.

    kind: "phase", "layer", "forward", "backward", "update", or "pass" where a backward pass begins. says: a
    line for people. node: the operation; turn: the update.
    """

    kind: str
    phase: str
    layer: str
    says: str
    node: RecordedNode | None = None
    backward: Any = None
    turn: Any = None

    def __repr__(self) -> str:
        return self.says


def events(log: list[tuple[str, Any]]) -> Iterator[Event]:
    """The events of a recorder's log; of a new "phase" or "layer" it is told before its first operation."""
    phase: str | None = None
    layer = ""
    for kind, what in log:
        if (what[0] if kind == "backward" else what).phase != phase:
            phase, layer = (what[0] if kind == "backward" else what).phase, ""
            if phase:
                yield Event("phase", phase, "", f"== {phase}")
        now = phase or ""
        if kind == "pass":
            layer = ""
            yield Event("pass", now, "", f"-- backward from {what.root!r}", what.root, what)
        elif kind == "update":
            says = f"     {what.player}: {len(what.parameters)} parameters updated"
            yield Event("update", now, "", says, None, what.backward, what)
        else:
            backward, node = what if kind == "backward" else (None, what)
            if node.layer != layer:
                layer = node.layer
                yield Event("layer", now, layer, f"   {layer or 'outside of layers'}", node, backward)
            yield Event(kind, now, layer, _operation(kind, node), node, backward)


def _operation(kind: str, node: RecordedNode) -> str:
    formulas = node.formulas
    if kind == "forward":
        rule = next(iter(formulas.values()), "")
        return f"     {node.number:4d} {node.op}: {rule}"
    rules = [
        formulas.get(n.split("[")[0], "") for n, f in zip(node.input_names, node.flows, strict=False) if f
    ]
    return f"     {node.number:4d} {node.op} backwards: {'; '.join(dict.fromkeys(rules))}"
