"""When a number stops being finite: find the operation that made the first one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from rawgan import arrays
from rawgan.engine import Node, Op, Tensor, Watch
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


class StopAtFirst(Watch):
    """Raises Found at the first value or gradient that is not finite."""

    def value(self, op: Op, layer: str, inputs: tuple, attrs: dict[str, Any], out: Any) -> None:
        self._look(f"value of {op.name}", layer, out)

    def share(self, node: Node, i: int, share: Any) -> None:
        self._look(f"gradient of {node.op.input_name(i)} of {node.op.name}", node.layer, share)

    def _look(self, what: str, layer: str, found: Any) -> None:
        array = found.data if isinstance(found, Tensor) else found
        if not bool(arrays.namespace(array).isfinite(array).all()):
            raise Found(f"the {what}{f' in {layer}' if layer else ''}")


class StopAtFirstGradient(StopAtFirst):
    """The same while gradients are made, of which only the whole is named, not operations inside of rules."""

    def value(self, *what: Any) -> None:
        pass
