"""A gradient split by its sources: D on real, D on fake, penalties, regularisers, each player's terms.

A loss is a sum of terms, so its gradient is the sum of theirs. Each term of the recorded graph is
differentiated by itself; the parts, their norms, and which way they pull against each other are the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rawgan import arrays
from rawgan.engine import Tensor, grad
from rawgan.inspect.nodes import Backward, Digest, RecordedNode, gradient
from rawgan.inspect.replay import Replay
from rawgan.inspect.show import dataframe, host, table, text
from rawgan.kernels.errors import GradientError

if TYPE_CHECKING:
    import pandas


@dataclass
class Turn:
    """One player's update, as it was recorded.

    terms: what the loss is the sum of, by name. parameters: what was done to each, by name. judged: G's
    examples and D's outputs on them, in a turn of G's.
    """

    player: str
    phase: str
    backward: Backward
    terms: dict[str, RecordedNode]
    parameters: dict[str, Update]
    judged: tuple[RecordedNode, RecordedNode] | None = None

    @property
    def clipping(self) -> dict[str, float]:
        """Of all parameters' gradients together: "before" and "after" (norms), and the "cosine" of both."""
        pairs = [(update.gradient, update.clipped) for update in self.parameters.values()]
        before, after = (np.sqrt(sum(norm(pair[i]) ** 2 for pair in pairs)) for i in (0, 1))
        along = sum(float(np.vdot(*(np.asarray(x, np.float64) for x in pair))) for pair in pairs)
        whole = float(before * after)
        return {"before": float(before), "after": float(after), "cosine": along / whole if whole else 0.0}


@dataclass
class Update:
    """What one update did to a parameter.

    node: the parameter as it was before. gradient, clipped: before and after clipping. after: the new values.
    """

    node: RecordedNode
    gradient: np.ndarray
    clipped: np.ndarray
    after: np.ndarray
    learning_rate: float

    @property
    def before(self) -> np.ndarray:
        """The values before the update."""
        return host(self.node.held.value)


@dataclass
class Ledger:
    """The parts of a gradient by source. whole: as recorded (before clipping); clipped: after, if it was."""

    node: RecordedNode
    parts: dict[str, np.ndarray]
    whole: np.ndarray
    clipped: np.ndarray | None
    of: str = ""  # words, where several passes brought gradients

    @property
    def sum(self) -> np.ndarray:
        """Of all parts, in float64."""
        return np.sum([part.astype(np.float64) for part in self.parts.values()], axis=0)

    @property
    def rest(self) -> float:
        """How far the parts' sum is from the whole, as a share of the whole's norm."""
        size = norm(self.whole)
        return norm(self.sum - self.whole) / size if size else norm(self.sum)

    @property
    def norms(self) -> dict[str, float]:
        return {name: norm(part) for name, part in self.parts.items()}

    @property
    def cosines(self) -> dict[tuple[str, str], float]:
        """Of each pair of parts: 1 where they pull the same way, −1 where they pull apart."""
        names = list(self.parts)
        return {
            (a, b): cosine(self.parts[a], self.parts[b]) for i, a in enumerate(names) for b in names[i + 1 :]
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row for each part, the whole, and the clipped gradient."""
        out = []
        for name, part in self.parts.items():
            out.append(
                {"source": name, "norm": norm(part), "cosine with the whole": cosine(part, self.whole)}
            )
        out.append({"source": "sum", "norm": norm(self.whole), "cosine with the whole": 1.0})
        if self.clipped is not None:
            along = cosine(self.clipped, self.whole)
            out.append(
                {"source": "after clipping", "norm": norm(self.clipped), "cosine with the whole": along}
            )
        return out

    def to_dataframe(self) -> pandas.DataFrame:
        """The rows as a pandas DataFrame; ConfigError without pandas."""
        return dataframe(self.rows())

    def __repr__(self) -> str:
        pairs = [f"cosine of {a} and {b}: {value:+.3f}" for (a, b), value in self.cosines.items()]
        title = f"where the gradient of {self.node.name or self.node.op}{self.of} comes from"
        off = f"the parts add up to the whole but for {self.rest:.1e} of its norm"
        off = f"THESE ARE NOT ALL PARTS: {self.rest:.2g} of the norm is missing" if self.rest > 1e-3 else off
        return "\n".join([title, text(self.rows()), *pairs, off])

    def _repr_html_(self) -> str:
        return table(self.rows(), f"where the gradient of {self.node.name or self.node.op} comes from")


def norm(x: np.ndarray) -> float:
    flat = np.asarray(x, np.float64).reshape(-1)
    return float(np.sqrt(flat @ flat))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """0 where one of them is 0."""
    size = norm(a) * norm(b)
    return float(np.vdot(np.asarray(a, np.float64), np.asarray(b, np.float64)) / size) if size else 0.0


def ledger(
    replay: Replay,
    node: RecordedNode,
    terms: Mapping[str, RecordedNode],
    clipped: np.ndarray | None,
    backward: Any = None,
) -> Ledger:
    """Split a gradient of a node by terms of the loss that the pass began from."""
    return ledgers(replay, {node: clipped}, terms, backward)[node]


def ledgers(
    replay: Replay,
    nodes: Mapping[RecordedNode, np.ndarray | None],
    terms: Mapping[str, RecordedNode],
    backward: Any = None,
) -> dict[RecordedNode, Ledger]:
    """The same for several nodes at once, none of them before another, that one pass brought gradients to.

    nodes: to each the gradient after clipping, or None.
    """
    wholes = {node: gradient(node.gift(backward)) for node in nodes}
    for node, whole in wholes.items():
        if isinstance(whole, Digest):
            raise GradientError(
                f"{node!r}: its gradient was not kept; record with a larger budget or other filters"
            )
    backward = next(iter(nodes)).gift(backward).backward
    xs = {node: Tensor(replay.value(node).data, requires_grad=True) for node in nodes}
    found = replay.along(xs, [*terms.values(), backward.root])
    seed = np.asarray(arrays.to_numpy(backward.seed.array), replay.dtype)
    parts: dict[str, dict[RecordedNode, np.ndarray]] = {}
    weights = _weights(replay, list(terms.values()), backward.root, seed)
    for name, term in terms.items():
        shares = grad(found[term], list(xs.values()), weights[term])
        parts[name] = {node: np.array(share.data) for node, share in zip(xs, shares, strict=True)}
    return {
        node: Ledger(
            node,
            {name: part[node] for name, part in parts.items()},
            np.array(host(wholes[node])),
            clipped,
            node.of_several(backward),
        )
        for node, clipped in nodes.items()
    }


def _weights(
    replay: Replay, terms: list[RecordedNode], root: RecordedNode, seed: np.ndarray
) -> dict[RecordedNode, np.ndarray]:
    """How much of each term there is in the loss, but for what of it comes through another term."""
    leaves = {term: Tensor(replay.value(term).data, requires_grad=True) for term in terms}
    end = replay.along(leaves, [root])[root]
    found = grad(end, list(leaves.values()), seed)
    return {term: share.data for term, share in zip(leaves, found, strict=True)}


def addends(root: RecordedNode) -> dict[str, RecordedNode]:
    """The terms of a loss that is written as a sum, by the operation and the line that made each."""
    out: dict[str, RecordedNode] = {}
    stack = [root]
    while stack:
        node = stack.pop()
        inner = [x for x in node.inputs if isinstance(x, RecordedNode)]
        if node.op == "add" and node.shape == () and inner:
            stack += reversed(inner)
        else:
            out[f"{node.op} (node {node.number}, {node.source.rpartition('/')[2]})"] = node
    return out
