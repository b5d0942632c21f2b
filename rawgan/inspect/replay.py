"""The recorded graph once more, in another dtype, with values in it changed or differentiated.

A node's value is computed again from what went in, operation by operation. What depends on some nodes is
computed along the edges on which gradients flow; on the others (`detach`, `no_grad`) stands what was
recorded, as the gradient has it too. On the CPU, whatever device the recording is from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rawgan import arrays
from rawgan.engine import OPS, Tensor, no_grad
from rawgan.inspect.nodes import Digest, RecordedNode
from rawgan.kernels.errors import GradientError


class Replay:
    """nodes: of the recording, in order. dtype: in which to compute."""

    def __init__(self, nodes: list[RecordedNode], dtype: Any = np.float64):
        self._nodes, self.dtype = nodes, np.dtype(dtype)
        self._known: dict[RecordedNode, Tensor] = {}

    def value(self, node: RecordedNode) -> Tensor:
        """A node's value, computed from the leaves."""
        if node not in self._known:
            needed = _before([node], self._known)
            with no_grad():
                for each in self._nodes:
                    if each in needed and each not in self._known:
                        self._known[each] = self._compute(each, self._known)
        return self._known[node]

    def along(
        self, starts: Mapping[RecordedNode, Tensor], ends: Iterable[RecordedNode]
    ) -> dict[RecordedNode, Tensor]:
        """All that depends on the starts and leads to the ends, where they have these values; the ends."""
        ends = list(ends)
        path = _between(self._nodes, starts, ends)
        if not path.intersection(ends):
            first = next(iter(starts))
            raise GradientError(f"no recorded way leads from {first!r} to {ends[0]!r}: record from the start")
        for end in ends:
            self.value(end)
        found = dict(starts)
        for node in self._nodes:
            if node in path and node not in starts:
                inputs = [
                    found[x] if flows and x in found else x
                    for x, flows in zip(node.inputs, node.flows, strict=True)
                ]
                found[node] = self._compute(node, self._known, inputs)
        return {node: found.get(node, self._known[node]) for node in {*path, *ends}}

    def _compute(self, node: RecordedNode, known: dict, inputs: Any = None) -> Tensor:
        if node.leaf:
            if isinstance(node.held.value, Digest):
                raise GradientError(f"{node!r} was made before the recording began: record from the start")
            host = arrays.to_numpy(node.held.value)
            return Tensor(np.array(host, self.dtype, order="C"))
        given = [known[x] if isinstance(x, RecordedNode) else x for x in inputs or node.inputs]
        with arrays.use_device("cpu"):
            return OPS[node.op](*given, **self.attributes(node))

    def attributes(self, node: RecordedNode) -> dict[str, Any]:
        """A node's attributes, as they are for this dtype and device."""
        out = {}
        for name, value in node.attrs.items():
            if arrays.is_array(value):
                value = np.asarray(arrays.to_numpy(value))
                value = value.astype(self.dtype) if value.dtype.kind == "f" else value
            elif name == "dtype":
                value = self.dtype
            elif name == "device":
                value = "cpu"
            out[name] = value
        return out


def _before(ends: list[RecordedNode], known: Any) -> set[RecordedNode]:
    """The nodes that the ends are computed from, without going on from known ones."""
    found, stack = set(), list(ends)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            if node not in known:
                stack.extend(x for x in node.inputs if isinstance(x, RecordedNode))
    return found


def _between(
    nodes: list[RecordedNode], starts: Iterable[RecordedNode], ends: list[RecordedNode]
) -> set[RecordedNode]:
    """The nodes on paths of gradients from the starts to an end."""
    after = set(starts)
    for node in nodes:
        if any(flows and x in after for x, flows in zip(node.inputs, node.flows, strict=True)):
            after.add(node)
    path: set[RecordedNode] = set()
    wanted = set(ends)
    for node in reversed(nodes):
        if node in after and (node in wanted or node in path):
            path.add(node)
            path.update(x for x, flows in zip(node.inputs, node.flows, strict=True) if flows and x in after)
    return path | set(starts)
