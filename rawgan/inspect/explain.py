"""Where one gradient element comes from: the chain of local derivatives, largest paths first.

    x̄[i] = Σ over consumers, Σ over the elements j of their outputs, of ȳ[j] · ∂y[j]/∂x[i]

The local derivatives ∂y[j]/∂x[i] of all j at once are the gradient of ⟨u, rule⟩ with respect to u: a rule is
linear in the gradient that it is given, and written in differentiable operations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rawgan import arrays, ops
from rawgan.engine import OPS, Tensor, grad
from rawgan.inspect.check import element
from rawgan.inspect.nodes import Backward, Digest, RecordedNode, gradient
from rawgan.inspect.replay import Replay
from rawgan.kernels.errors import GradientError


@dataclass
class Path:
    """One element's part in another's gradient: gradient · slope = part.

    consumer: whose output the element is of (None: the loss itself, where the pass begins), index: where.
    below: the element's own gradient explained, where it was.
    """

    consumer: RecordedNode | None
    name: str
    index: tuple[int, ...]
    gradient: float
    slope: float
    below: Explanation | None = None

    @property
    def part(self) -> float:
        return self.gradient * self.slope


@dataclass
class Explanation:
    """A gradient element as a sum. value: as recorded; paths: the largest parts; other: the rest of them.

    count: how many the rest is made of. total: what all parts add up to, in float64.
    """

    node: RecordedNode
    index: tuple[int, ...]
    value: float
    paths: list[Path] = field(default_factory=list)
    other: float = 0.0
    count: int = 0

    @property
    def total(self) -> float:
        return sum(path.part for path in self.paths) + self.other

    def __repr__(self) -> str:
        return "\n".join(_lines(self))


def explain(
    replay: Replay,
    node: RecordedNode,
    index: Any,
    most: int = 3,
    depth: int | None = None,
    backward: Any = None,
) -> Explanation:
    """A gradient element of a node by paths: `most` at each level, the largest followed to the loss.

    depth: how many levels at most.
    """
    backward = node.gift(backward).backward
    first = here = _level(replay, node, element(node, index), backward, most)
    level = 1
    while here.paths and (depth is None or level < depth):
        path = here.paths[0]
        if path.consumer is None:
            break
        here = path.below = _level(replay, path.consumer, path.index, backward, most)
        level += 1
    return first


def _level(
    replay: Replay, node: RecordedNode, index: tuple[int, ...], backward: Backward, most: int
) -> Explanation:
    received = node.brought_by(backward)
    out = Explanation(node, index, _element(_gradient(node, backward), index))
    parts: list[Path] = []
    for share in received.shares if received else ():
        if share.consumer is None:
            parts.append(Path(None, "", index, _element(share.value, index), 1.0))
            continue
        slopes = local(replay, share.consumer, share.position, index)
        gy = np.asarray(arrays.to_numpy(_gradient(share.consumer, backward)), np.float64)
        found = np.flatnonzero(slopes)
        size = np.abs(gy.reshape(-1)[found] * slopes.reshape(-1)[found])
        ranked = found[np.argsort(-size, kind="stable")]
        for flat in ranked[:most]:
            place = tuple(map(int, np.unravel_index(flat, slopes.shape)))
            parts.append(Path(share.consumer, share.name, place, float(gy[place]), float(slopes[place])))
        rest = ranked[most:]
        out.other += float(np.sum(gy.reshape(-1)[rest] * slopes.reshape(-1)[rest]))
        out.count += len(rest)
    parts.sort(key=lambda path: -abs(path.part))
    out.paths = parts[:most]
    out.other += sum(path.part for path in parts[most:])
    out.count += len(parts[most:])
    return out


def _gradient(node: RecordedNode, backward: Backward) -> Any:
    received = node.brought_by(backward)
    found = gradient(received) if received else None
    if found is None or isinstance(found, Digest):
        raise GradientError(
            f"{node!r}: its gradient was not kept; record with a larger budget or other filters"
        )
    return found


def _element(array: Any, index: tuple[int, ...]) -> float:
    return float(arrays.to_numpy(array)[index])


def local(replay: Replay, node: RecordedNode, position: int, index: tuple[int, ...]) -> np.ndarray:
    """∂y/∂x[index] of one operation for all elements of its output y; x is its input number `position`."""
    if node.leaf:
        raise GradientError(f"{node!r} was made before the recording began: record from the start")
    same = node.inputs[position]
    x = Tensor(replay.value(same).data, requires_grad=True)
    inputs = [replay.value(v) if isinstance(v, RecordedNode) else v for v in node.inputs]
    inputs[position] = x
    y = OPS[node.op](*inputs, **replay.attributes(node))
    u = Tensor(np.zeros(y.shape, replay.dtype), requires_grad=True)
    (g,) = grad(y, [x], u, create_graph=True)
    (slopes,) = grad(ops.getitem(g, index), [u])
    return slopes.numpy()


def _lines(found: Explanation) -> list[str]:
    node, lines = found.node, []
    lines.append(f"∂L/∂({node.name or f'y of {_where(node)}'}){_brackets(found.index)} = {found.value:.6g}")
    for path in found.paths:
        if path.consumer is None:
            lines.append(f"    {path.part:+.6g}   the loss: the pass begins here")
            continue
        rule = path.consumer.formulas.get(path.name.split("[")[0], "")
        terms = f"{path.part:+.6g} = {path.gradient:.6g} · {path.slope:.6g}"
        where = (
            f"ȳ{_brackets(path.index)} · ∂y{_brackets(path.index)}/∂{path.name} of {_where(path.consumer)}"
        )
        lines.append(f"    {terms:36} {where},  {rule}")
    if found.count:
        lines.append(f"    {found.other:+.6g}   other: {found.count:,} paths")
    if len(found.paths) + bool(found.count) > 1:
        lines.append(f"    {'─' * 12}\n    {found.total:+.6g}")
    for path in found.paths:
        if path.below is not None:
            lines += _lines(path.below)
    return lines


def _brackets(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]" if index else ""


def _where(node: RecordedNode) -> str:
    return f"{node.op}{f' in {node.layer}' if node.layer else ''} (node {node.number})"
