"""What a recorded step has taken for granted: whatever the host decides by, to be compared before a replay.

    before = sealed(trainer)
    ...                                    # a callback does as it likes
    if sealed(trainer) != before: ...      # the step must be recorded anew

Seen are the attributes of the layers, optimisers, random streams, recipe, objective and average, with the
numbers in lists and dicts among them. Not seen is what lies elsewhere: a clock, a file, a module's variables.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rawgan import kernels
from rawgan.engine import Tensor
from rawgan.kernels.precision import precision
from rawgan.nn import Module
from rawgan.training.step import Trainer

PLAIN = frozenset((bool, int, float, str, type(None)))
GROWING = frozenset(("draw", "steps"))  # of random streams and optimisers, see `counted`
IDLE = frozenset(("_label", "_made_with", "_plan"))  # of layers: nothing, or nothing new, is told by them
SMALL = 1024  # bytes of a host's array that are compared; of a larger one, only which it is


class Same:
    """Equal to itself alone, by which object it holds; while it lives, no other can have that one's id."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    __hash__ = None  # type: ignore[assignment]


def taken(value: Any) -> Any:
    """A value as it is now: numbers and names by value, also inside lists and dicts; the rest by identity.

    >>> rates = [0.1, 0.2]; before = taken(rates); rates[1] = 0.3
    >>> taken(rates) == before
    False
    """
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind in (list, tuple):
        return kind, [taken(v) for v in value]
    if kind is dict:
        return kind, [(taken(k), taken(v)) for k, v in value.items()]
    if kind is np.ndarray and value.nbytes <= SMALL:
        return Same(value), value.dtype.str, value.shape, value.tobytes()
    if kind is Tensor:
        return Same(value), Same(value._data), value.requires_grad
    return value if isinstance(value, np.generic) else Same(value)


def attributes(thing: Any, but: frozenset[str]) -> Any:
    """Those of an object, as they are now."""
    return Same(thing), [(name, taken(value)) for name, value in vars(thing).items() if name not in but]


def modules(trainer: Trainer) -> list[Module]:
    """All layers of all networks, as they are nested now."""
    return [module for network in trainer.networks.values() for _, module in network.named_modules()]


def sealed(trainer: Trainer) -> Any:
    """All that decides what a step of the trainer does, apart from counts and the values of arrays there."""
    parts = [trainer.recipe, trainer.objective, trainer.average, trainer.noise, trainer.layers]
    parts += trainer.optimizers.values()
    return (
        [precision(), kernels.choice(), Same(trainer.source)],
        [None if part is None else attributes(part, GROWING) for part in parts],
        [attributes(module, IDLE) for module in modules(trainer)],
    )


def counted(trainer: Trainer) -> Any:
    """What every step counts: steps, draws, each parameter's updates."""
    optimizers = trainer.optimizers.values()
    return trainer.steps, trainer.noise.draw, trainer.layers.draw, [list(o.steps) for o in optimizers]


class Attributes:
    """The attributes of layers, to be looked at and put back when a step has been recorded."""

    def __init__(self, layers: list[Module]):
        self._layers = [(layer, dict(vars(layer)), attributes(layer, IDLE)) for layer in layers]
        inside = [value for _, found, _ in self._layers for value in found.values()]
        self._inside = [(value, value.copy()) for value in inside if type(value) in (list, dict)]

    def put_back(self) -> None:
        """All as it was, also inside lists and dicts."""
        for layer, found, _ in self._layers:
            vars(layer).clear()
            vars(layer).update(found)
        for value, copy in self._inside:
            value.clear()
            (value.extend if isinstance(value, list) else value.update)(copy)

    def changed(self) -> str | None:
        """The first that is another now, as "Layer.attribute"."""
        for layer, _, (_, before) in self._layers:
            _, now = attributes(layer, IDLE)
            if now != before:
                names = [name for name, value in now if (name, value) not in before]
                return f"{type(layer).__name__}.{names[0]}" if names else type(layer).__name__
        return None
