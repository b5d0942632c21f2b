"""Proof of one recorded gradient: finite differences of the recorded graph, in float64.

The node's value is moved by h and −h along a direction, all that depends on it is computed again, and the
slope of the loss is compared with the recorded gradient, and with what the same gradient rules give in
float64. Central differences with h and h/2, by Richardson's extrapolation (see `rawgan.differences`). Where a
unit changes sides at a corner within the step, a smaller step is tried; if that does not help, it is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rawgan import arrays
from rawgan.engine import Tensor, grad
from rawgan.inspect.kinks import sides
from rawgan.inspect.nodes import Backward, Digest, RecordedNode, Share, gradient
from rawgan.inspect.replay import Replay
from rawgan.inspect.show import host
from rawgan.kernels.errors import GradientError

STEPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)  # shares of max(1, |x|) to move by, the largest that meets no corner
ROUNDING = 64 * np.finfo(np.float64).eps
ENOUGH = 1e-5  # a tolerance that small, of the gradient, needs no smaller step
CLEAR = 1e-3  # a larger one than that proves nothing
ROUNDINGS = 256  # of a recorded number, in units of the last place of its node's largest gradient


@dataclass
class Check:
    """A gradient by three ways. what: the element or direction. recorded: None where it was not kept.

    exact: by the gradient rules in float64; numeric: by finite differences with `step`; error: their
    distance, tolerance: how much of it differences can explain; undecided: too much, so they prove nothing.
    rounding: how far a recorded number of that size may lie off. crossings: units that change sides at a
    corner within even the smallest step.
    """

    node: RecordedNode
    what: str
    recorded: float | None
    exact: float
    numeric: float
    step: float
    tolerance: float
    rounding: float
    crossings: dict[str, int]
    undecided: bool = False

    @property
    def error(self) -> float:
        return abs(self.exact - self.numeric)

    @property
    def ok(self) -> bool:
        """Whether the gradient agrees with the finite difference, and the recorded number with both."""
        near = self.recorded is None or abs(self.recorded - self.exact) <= self.rounding
        return bool(near and self.error <= self.tolerance and not self.undecided)

    def __repr__(self) -> str:
        name = self.node.name or f"{self.node.op} (node {self.node.number})"
        lines = [f"the gradient of {name}{self.what}"]
        if self.recorded is not None:
            off = abs(self.recorded - self.exact)
            lines.append(f"  recorded            {self.recorded: .10g}   off by {off:.2g}, ")
            lines[-1] += f"rounding up to {self.rounding:.2g}"
        lines.append(f"  rules in float64    {self.exact: .10g}")
        lines.append(f"  finite difference   {self.numeric: .10g}   h = {self.step:.2g}")
        verdict = "they agree" if self.ok else "THEY DO NOT AGREE"
        verdict = "UNDECIDED: no step is small enough for a slope here" if self.undecided else verdict
        lines.append(f"  error {self.error:.2g}, tolerance {self.tolerance:.2g}: {verdict}")
        for where, count in self.crossings.items():
            lines.append(
                f"  a corner: {count} of {where} change sides within the step, so this is no slope there"
            )
        return "\n".join(lines)


def check(
    replay: Replay, node: RecordedNode, index: Any = None, seed: int = 0, backward: Any = None
) -> Check:
    """Compare a gradient of a node, at an index or along a random direction, with differences."""
    received = node.gift(backward)
    backward, recorded = received.backward, gradient(received)
    point = replay.value(node).data
    if index is None:
        direction = np.random.default_rng(seed).standard_normal(point.shape)
        direction /= np.linalg.norm(direction)
        what = f" along a random direction (seed {seed})"
    else:
        index = element(node, index)
        direction = np.zeros(point.shape)
        direction[index] = 1.0
        what = f"[{', '.join(map(str, index))}]"
    weight = np.asarray(arrays.to_numpy(backward.seed.array), np.float64)
    root = backward.root

    def loss(x: np.ndarray) -> tuple[np.ndarray, dict[RecordedNode, np.ndarray]]:
        found = replay.along({node: Tensor(np.asarray(x))}, [root])
        return found[root].data * weight, _corners(replay, found)

    leaf = Tensor(point, requires_grad=True)
    end = replay.along({node: leaf}, [root])[root]
    (slopes,) = grad(end, [leaf], weight)
    exact = float(np.sum(slopes.data * direction))
    scale = max(1.0, float(np.abs(point[direction != 0]).max(initial=0.0)))
    with np.errstate(all="ignore"):
        _, here = loss(point)
        largest = float(np.abs(slopes.data).max(initial=0.0))
        best: tuple[float, float, float, dict[str, int]] = (np.inf, np.nan, 0.0, {})
        for share in STEPS:
            h, last = share * scale, share == STEPS[-1]
            coarse, rounding, one = _central(loss, point, direction, h)
            crossings = _crossed(here, one)
            if not np.isfinite(coarse) or (crossings and not last):
                continue
            fine, _, two = _central(loss, point, direction, h / 2)
            crossings = _crossed(here, [*one, *two])
            numeric = fine + (fine - coarse) / 3
            tolerance = abs(fine - coarse) + 4 * rounding + 1e-9 * abs(numeric)
            if crossings and (not last or best[0] < np.inf):
                continue
            if tolerance < best[0]:
                best = tolerance, numeric, h, crossings
            if tolerance <= ENOUGH * max(abs(numeric), largest):
                break
    tolerance, numeric, h, crossings = best
    kept = None if isinstance(recorded, Digest) else np.asarray(arrays.to_numpy(recorded), np.float64)
    found = None if kept is None else float(np.sum(kept * direction))
    unit = 0.0 if kept is None else float(np.finfo(arrays.to_numpy(recorded).dtype).eps)
    most = max([largest, *(_upstream(share, backward) for share in received.shares)])
    clear = tolerance <= CLEAR * max(abs(exact), abs(numeric)) + 1e-6 * largest + 1e-9
    undecided = not clear and exact != numeric
    what += node.of_several(backward)
    return Check(
        node, what, found, exact, numeric, h, tolerance, ROUNDINGS * unit * most, crossings, undecided
    )


def _upstream(share: Share, backward: Backward) -> float:
    """How large a sum of a consumer's gradients may be by rounding's chance, where it ought to be 0."""
    brought = share.consumer.brought_by(backward) if share.consumer else None
    given = gradient(brought) if brought else None
    if given is None or isinstance(given, Digest):
        return 0.0
    there = host(given)
    each = there.size / max(1, int(np.prod(share.held.value.shape)))
    return float(np.abs(there).max(initial=0.0)) * max(1.0, each) ** 0.5


def element(node: RecordedNode, index: Any) -> tuple[int, ...]:
    """An index as a tuple of whole numbers from 0; GradientError if there is no such element."""
    index = index if isinstance(index, tuple | list) else (index,)
    shape = node.shape
    whole = all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in index)
    fits = whole and len(index) == len(shape) and all(-n <= i < n for i, n in zip(index, shape, strict=True))
    if not fits:
        raise GradientError(f"{node!r}: there is no element {tuple(index)}; it has the shape {shape}")
    return tuple(int(i) % n for i, n in zip(index, shape, strict=True))


def _central(loss: Any, point: np.ndarray, direction: np.ndarray, h: float) -> tuple[float, float, list]:
    plus, above = loss(point + h * direction)
    minus, below = loss(point - h * direction)
    # Differences first: the part of the loss that stays the same must not drown the part that moves.
    slope = float(np.sum(plus - minus)) / (2 * h)
    return slope, ROUNDING * float(np.sum(np.abs(plus))) / h, [above, below]


def _corners(replay: Replay, found: dict[RecordedNode, Tensor]) -> dict[RecordedNode, np.ndarray]:
    out = {}
    for node, y in found.items():
        if node.leaf:
            continue
        inputs = [found[x] if isinstance(x, RecordedNode) and x in found else x for x in node.inputs]
        inputs = [replay.value(x) if isinstance(x, RecordedNode) else x for x in inputs]
        side = sides(node, inputs, y, replay.attributes(node))
        if side is not None:
            out[node] = side
    return out


def _crossed(here: dict, others: list[dict]) -> dict[str, int]:
    """Node -> how many elements are elsewhere on another side than here."""
    out = {}
    for node, side in here.items():
        moved = np.zeros(side.shape, bool)
        for other in others:
            moved |= other[node] != side
        if moved.any():
            where = f"the {side.size:,} elements of {node.op}{f' in {node.layer}' if node.layer else ''}"
            out[where] = int(moved.sum())
    return out
