"""A step by layer: how large gradients and updates are, and which units do nothing."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rawgan.inspect.ledger import Turn, Update, norm
from rawgan.inspect.nodes import Digest, RecordedNode
from rawgan.inspect.show import dataframe, host, rich_table, table, text

if TYPE_CHECKING:
    import pandas

RECTIFIERS = ("relu", "leaky_relu")
SATURATED = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
NEAR = 0.01  # a saturated unit lies within this share of its range from an end


@dataclass
class Summary:
    """A row for each layer, in order, of each phase. `rows`: dicts of numbers by column's name."""

    rows: list[dict[str, Any]]

    def __repr__(self) -> str:
        return text(self.rows)

    def __rich__(self) -> Any:
        return rich_table(self.rows, "the step by layer")

    def _repr_html_(self) -> str:
        return table(self.rows, "the step by layer")

    def to_dataframe(self) -> pandas.DataFrame:
        """The rows as a pandas DataFrame; ConfigError without pandas."""
        return dataframe(self.rows)


def summary(nodes: list[RecordedNode], turns: list[Turn]) -> Summary:
    """By phase and layer, and turn where there are more than two. Columns, where they apply:

    value rms, grad norm: of the layer's output. dead: the share of a rectifier's units that are 0 for the
    whole batch. saturated: the share of outputs of a sigmoid or tanh within 1% of an end. mean, variance: of
    a batch normalisation's input, the mean over channels of |mean| and of the variance. And of the layer's
    parameters in the turn: weight norm, weight grad (before clipping), clipped (the factor), update norm,
    update / weight, and effective step: the root mean square of an element's update over the learning rate,
    of Adam at most about 1.
    """
    rows: list[dict[str, Any]] = []
    by_layer: dict[tuple[int, str, str], dict[str, Any]] = {}
    ends = [turn.backward.root.number for turn in turns]
    for node in nodes:
        if node.leaf or not node.layer or node.within is not None:
            continue
        key = bisect_left(ends, node.number), node.phase, node.layer
        row = by_layer.get(key)
        if row is None:
            row = by_layer[key] = {"turn": key[0] + 1, "phase": node.phase, "layer": node.layer}
            rows.append(row)
        _activity(row, node)
    users: dict[RecordedNode, RecordedNode] = {}
    for node in nodes:
        for x in node.inputs:
            if isinstance(x, RecordedNode) and x.leaf:
                users.setdefault(x, node)
    for turn in turns:
        by_user: dict[tuple[int, str, str], list[Update]] = {}
        for update in turn.parameters.values():
            user = users.get(update.node)
            if user is not None:
                key = bisect_left(ends, user.number), user.phase, user.layer
                by_user.setdefault(key, []).append(update)
        for key, updates in by_user.items():
            if key in by_layer:
                by_layer[key].update(_updates(updates))
    names = list(dict.fromkeys(name for row in rows for name in row))
    order = [n for n in COLUMNS if n in names and (n != "turn" or len(turns) > 2)]
    return Summary([{name: row.get(name) for name in order} for row in rows])


COLUMNS = (
    "turn", "phase", "layer", "value rms", "grad norm", "dead", "saturated", "mean", "variance",
    "weight norm", "weight grad", "clipped", "update norm", "update / weight", "effective step",
)  # fmt: skip


def _activity(row: dict[str, Any], node: RecordedNode) -> None:
    value = node.value
    if isinstance(value, Digest):
        row["value rms"] = value.norm / max(1, int(np.prod(value.shape))) ** 0.5
    else:
        y = host(value)
        row["value rms"] = norm(y) / max(1, y.size) ** 0.5
        if node.op in RECTIFIERS and y.ndim > 1:
            others = tuple(axis for axis in range(y.ndim) if axis != 1)
            row["dead"] = float((y <= 0).all(axis=others).mean()) if node.op == "relu" else None
        if node.op in SATURATED:
            low, high = SATURATED[node.op]
            margin = NEAR * (high - low)
            row["saturated"] = float(((y < low + margin) | (y > high - margin)).mean())
    source = node.inputs[0] if node.inputs else None
    if node.op == "batch_norm" and isinstance(source, RecordedNode) and not isinstance(source.value, Digest):
        x = host(source.value)
        axes = (0, *range(2, x.ndim))
        row["mean"] = float(np.abs(x.mean(axis=axes)).mean())
        row["variance"] = float(x.var(axis=axes).mean())
    if node.grad is not None:
        row["grad norm"] = node.grad.norm if isinstance(node.grad, Digest) else norm(host(node.grad))


def _updates(updates: list[Update]) -> dict[str, Any]:
    def together(values: list[np.ndarray]) -> float:
        return float(np.sqrt(sum(norm(v) ** 2 for v in values)))

    before, after = [u.gradient for u in updates], [u.clipped for u in updates]
    weights, changes = [u.before for u in updates], [u.after.astype(np.float64) - u.before for u in updates]
    size, raw, moved = together(weights), together(before), together(changes)
    count, rate = sum(w.size for w in weights), updates[0].learning_rate
    return {
        "weight norm": size,
        "weight grad": raw,
        "clipped": together(after) / raw if raw else 1.0,
        "update norm": moved,
        "update / weight": moved / size if size else None,
        "effective step": moved / count**0.5 / rate if rate else None,
    }
