"""Where functions have corners: on which side of each a node's elements are.

A finite difference across a corner is no slope. Two evaluations with the same sides have no corner between
them (but for one that is crossed twice).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rawgan.engine import OPS, Tensor
from rawgan.inspect.nodes import RecordedNode

Sides = Callable[[list[Any], np.ndarray, dict[str, Any]], np.ndarray]


def _sign(inputs: list[Any], y: np.ndarray, attrs: dict[str, Any]) -> np.ndarray:
    return inputs[0] > 0


def _rectified(inputs: list[Any], y: np.ndarray, attrs: dict[str, Any]) -> np.ndarray:
    return inputs[0] > 0 if attrs["negative_slope"] != 1 else np.zeros(0, bool)


def _clipped(inputs: list[Any], y: np.ndarray, attrs: dict[str, Any]) -> np.ndarray:
    return y != inputs[0]


def _largest(inputs: list[Any], y: np.ndarray, attrs: dict[str, Any]) -> np.ndarray:
    x, axis = inputs[0], attrs["axis"]
    return x == (y if y.ndim == x.ndim or axis is None else np.expand_dims(y, axis))


def _group(inputs: list[Any], y: np.ndarray, attrs: dict[str, Any]) -> np.ndarray:
    return inputs[0] == np.repeat(y, attrs["pieces"], axis=attrs["axis"])


def _pooled(inputs: list[Any], y: np.ndarray, attrs: dict[str, Any]) -> np.ndarray:
    return OPS["max_pool2d"].apply((Tensor(inputs[0]),), dict(attrs))[1][0]


def _units(inputs: list[Any], y: np.ndarray, attrs: dict[str, Any]) -> np.ndarray:
    kept = OPS["perceptron"].apply(tuple(None if x is None else Tensor(x) for x in inputs), dict(attrs))[1][0]
    bent = [h for h, slope in zip([*kept, y], attrs["slopes"], strict=True) if slope != 1]
    return np.concatenate([(h > 0).reshape(-1) for h in bent] or [np.zeros(0, bool)])


SIDES: dict[str, Sides] = {
    "relu": _sign,
    "leaky_relu": _sign,
    "abs": _sign,
    "dropout": _rectified,
    "dropout2d": _rectified,
    "maximum": lambda inputs, y, attrs: y == inputs[0],
    "minimum": lambda inputs, y, attrs: y == inputs[0],
    "clip": _clipped,
    "max": _largest,
    "maxout": _group,
    "max_pool2d": _pooled,
    "perceptron": _units,
}


def sides(node: RecordedNode, inputs: list[Any], y: Tensor, attrs: dict[str, Any]) -> np.ndarray | None:
    """On which side of its corner each element of a node is; None for operations that have none."""
    of = SIDES.get(node.op)
    if of is None:
        return None
    return of([x.data if isinstance(x, Tensor) else x for x in inputs], y.data, attrs)
