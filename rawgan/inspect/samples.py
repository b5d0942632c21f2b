"""What each generated example is told: the gradient of G's loss with respect to it, and D's factor in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rawgan.inspect.ledger import Turn
from rawgan.inspect.nodes import Digest, RecordedNode
from rawgan.inspect.show import host, text
from rawgan.kernels.errors import GradientError

BY_OBJECTIVE = {"saturating": "−σ(s)", "non_saturating": "−(1 − σ(s))"}  # of others the factor is no such
FORMULAS = {"−σ(s)": lambda p: -p, "−(1 − σ(s))": lambda p: p - 1}


@dataclass
class Samples:
    """Of N generated examples. items: (N, ...); gradients: of the same shape, of each example's own loss.

    outputs: D's raw output s for each, (N,); factors: the derivative of each example's loss by s; formula:
    which of "−σ(s)" and "−(1 − σ(s))" the factors are, or "" where they are neither. A loss is the mean over
    the examples, so an example's own is N times its part. Where D judges several together, what it says of
    them stands with each, and their loss is each one's own.
    """

    items: np.ndarray
    gradients: np.ndarray
    outputs: np.ndarray
    factors: np.ndarray
    formula: str

    @property
    def norms(self) -> np.ndarray:
        """Of each example's gradient, (N,)."""
        return np.sqrt((self.gradients.astype(np.float64).reshape(len(self.gradients), -1) ** 2).sum(axis=1))

    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "example": i,
                "s": s,
                "σ(s)": 1 / (1 + np.exp(-s)),
                self.formula or "∂L/∂s": f,
                "gradient norm": n,
            }
            for i, (s, f, n) in enumerate(zip(self.outputs, self.factors, self.norms, strict=True))
        ]

    def __repr__(self) -> str:
        rows = self.rows()
        more = f"\n... {len(rows) - 12} more" if len(rows) > 12 else ""
        return text(rows[:12]) + more


def samples(turns: list[Turn], objective: str | None = None) -> Samples:
    """Of a training step; GradientError where G had no turn, or what is needed was not kept.

    objective: of the game; where it is not known, the formula is told by the factors, if they fit one only.
    """
    found = next((turn.judged for turn in reversed(turns) if turn.judged is not None), None)
    if found is None:
        raise GradientError("no examples were generated and judged in a turn of G's on this tape")
    made, out = found
    logit = out.inputs[0] if out.op == "sigmoid" else out
    for node in (made, logit):
        if isinstance(node.value, Digest) or node.grad is None or isinstance(node.grad, Digest):
            raise GradientError(f"{node!r}: its value or gradient was not kept; record with a larger budget")
    items, count = host(made.value), len(host(logit.value))
    s, factors = (
        np.repeat(x.reshape(-1), len(items) // count) for x in (host(logit.value), host(logit.grad) * count)
    )
    certain = 1 / (1 + np.exp(-s.astype(np.float64)))
    near = [name for name, f in FORMULAS.items() if np.allclose(f(certain), factors, rtol=1e-3, atol=1e-6)]
    if objective is not None:
        near = [name for name in near if name == BY_OBJECTIVE.get(objective)]
    return Samples(items, host(made.grad) * count, s, factors, near[0] if len(near) == 1 else "")


def judged(outputs: list[RecordedNode], made: list[RecordedNode]) -> tuple[RecordedNode, RecordedNode] | None:
    """(G's examples, D's outputs on them) among D's outputs of a turn and what G may have made."""
    pairs = ((fake, out) for fake in made for out in outputs if _depends(out, fake))
    return next(pairs, None)


def _depends(node: RecordedNode, on: RecordedNode) -> bool:
    stack, seen = [node], set()
    while stack:
        here = stack.pop()
        if here is on:
            return True
        if here not in seen:
            seen.add(here)
            stack += [
                x for x, f in zip(here.inputs, here.flows, strict=True) if f and isinstance(x, RecordedNode)
            ]
    return False
