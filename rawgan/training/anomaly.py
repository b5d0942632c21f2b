"""When a number stops being finite: find the operation that made the first one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rawgan import arrays
from rawgan.engine import switch
from rawgan.kernels.errors import NonFiniteError


class _Found(Exception):
    pass


def check_finite(step: int, player: str, row: dict[str, float], again: Callable[[], Any]) -> None:
    """Raise NonFiniteError if a number of `row` is not finite, naming where it began.

    again: repeats the player's forward pass exactly and returns the loss; that and the backward pass are
    watched, result by result, until the first infinite or NaN element.
    """
    if all(math.isfinite(value) for value in row.values()):
        return
    bad = next(name for name, value in row.items() if not math.isfinite(value))
    try:
        with switch(watch=_stop_at_first):
            loss = again()
        with switch(watch=_stop_at_first_gradient):
            loss.backward()
        where = "every single result is finite, but their sum is not: the numbers have grown too large"
    except _Found as found:
        where = f"the first value that is not finite is {found}"
    raise NonFiniteError(
        f"step {step}: {bad.replace('_', ' ')} of the {player}'s turn is {row[bad]}; {where}. "
        "The networks stand as after the last good update. Remedies: a lower learning_rate, clip_norm=1.0, "
        "or an objective on logits"
    )


def _stop_at_first(op: str, layer: str, what: str, array: arrays.Array) -> None:
    if not bool(arrays.namespace(array).isfinite(array).all()):
        raise _Found(f"the {what} of {op}{f' in {layer}' if layer else ''}")


def _stop_at_first_gradient(op: str, layer: str, what: str, array: arrays.Array) -> None:
    if what != "value":  # an operation inside a gradient rule; the rule itself is named when it is done
        _stop_at_first(op, layer, what, array)
