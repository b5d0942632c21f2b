"""When a number stops being finite: find the operation that made the first one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from rawgan import arrays
from rawgan.kernels.errors import NonFiniteError


class Found(Exception):
    """The search has met a value that is not finite; its text says which."""


class Done(Exception):
    """The search has come to its end."""


def all_finite(numbers: Mapping[str, float]) -> bool:
    """Whether a turn may go on."""
    return all(map(math.isfinite, numbers.values()))


def error(
    step: int, player: str, numbers: Mapping[str, float], search: Callable[[], None], hint: str = ""
) -> NonFiniteError:
    """What to raise for a turn of which a number is not finite.

    search: repeats the step and raises Found or Done. hint: a sentence for the end.
    """
    bad = next(name for name, value in numbers.items() if not math.isfinite(value))
    where = "every single result is finite, but their sum is not: the numbers have grown too large"
    try:
        search()
    except Found as found:
        where = f"the first value that is not finite is {found}"
    except Done:
        pass
    return NonFiniteError(
        f"step {step}: {bad.replace('_', ' ')} of the {player}'s turn is {numbers[bad]}; {where}. "
        "The networks stand as after the last good update. Remedies: a lower learning_rate, clip_norm=1.0, "
        f"or an objective on logits{hint}"
    )


def stop_at_first(op: str, layer: str, what: str, array: arrays.Array) -> None:
    """For the tape's `watch`: Found at a value or gradient that is not finite."""
    if not bool(arrays.namespace(array).isfinite(array).all()):
        raise Found(f"the {what} of {op}{f' in {layer}' if layer else ''}")


def stop_at_first_gradient(op: str, layer: str, what: str, array: arrays.Array) -> None:
    """The same while gradients are made."""
    if what != "value":  # an operation inside a gradient rule; the rule itself is named when it is done
        stop_at_first(op, layer, what, array)
