"""Networks of layers one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rawgan.engine import OPS
from rawgan.engine.mode import MODE
from rawgan.kernels.errors import ConfigError, DTypeError, ShapeError
from rawgan.nn.layers import Dense, Dropout, Dropout2d, LeakyReLU, ReLU, Sigmoid
from rawgan.nn.module import SETTING, Module

_perceptron = OPS["perceptron"]
PLAIN = (Dense, ReLU, LeakyReLU, Sigmoid, Dropout, Dropout2d)


class Sequential(Module):
    """Layers one after another; names are their numbers, as in a PyTorch Sequential.

    Dense layers that follow each other, with or without (leaky) ReLUs between them and a sigmoid at the end,
    are computed as one operation, `ops.perceptron`, and so are a (leaky) ReLU and a dropout after it: the
    same numbers in less time. While the tape is watched, or where shapes or dtypes do not fit, every layer
    runs by itself, so that messages name it.
    """

    def __init__(self, *layers: Module):
        super().__init__()
        self._plan: tuple[object, list, list[Callable]] = None, [], []  # see `_planned`
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise ConfigError(
                    f"Sequential takes layers, got {layer!r} as number {i}; write nn.ReLU(), not nn.ReLU"
                )
            self._children[str(i)] = layer

    @property
    def layers(self) -> list[Module]:
        """The layers in order."""
        return list(self._children.values())

    def forward(self, x: Any) -> Any:
        setting, _, plan = self._plan
        if MODE.get().watch is not None:
            plan = self.layers
        elif setting is not SETTING[0]:
            plan = self._planned()
        for run in plan:
            x = run(x)
        return x

    def _planned(self) -> list[Callable]:
        """What is called one after another: layers, and in place of several what computes them together.

        It holds until an attribute of any module is set. Then it is made again if layers are others, of other
        classes, or with another forward; else what it keeps of their attributes is read again. To look at
        three small dense layers takes 2 microseconds in a loop of its own, and 5 between the kernels of a
        step: all that is looked at must come back to the nearest cache.
        """
        _, known, plan = self._plan
        setting, layers = SETTING[0], self.layers
        state = [*map(id, layers), *map(type, layers), *["forward" in layer.__dict__ for layer in layers]]
        if known != state:
            plan = _together(layers)  # which keeps the layers, so that no other gets the id of one
        for run in plan:
            if type(run) is _Chain:
                run.read()
        object.__setattr__(self, "_plan", (setting, state, plan))  # which is no setting
        return plan

    def __len__(self) -> int:
        return len(self._children)

    def __getitem__(self, i: int | slice) -> Module:
        """Layer i, or the layers of a slice as a Sequential that shares them."""
        return Sequential(*self.layers[i]) if isinstance(i, slice) else self.layers[i]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)


def _together(layers: list[Module]) -> list[Callable]:
    """The layers, with those that are computed together as one."""
    plan: list[Callable] = []
    kinds = [_kind(layer) for layer in layers]
    i = 0
    while i < len(layers):
        end = _chain_end(kinds, i)
        if kinds[i:end].count(Dense) > 1:
            plan.append(_Chain(layers[i:end]))
        elif kinds[i] in (ReLU, LeakyReLU) and i + 1 < len(layers) and kinds[i + 1] in (Dropout, Dropout2d):
            plan.append(_Dropped(layers[i], layers[i + 1]))
            end = i + 2
        else:
            plan.append(layers[i])
            end = i + 1
        i = end
    return plan


def _kind(layer: Module) -> type | None:
    """The layer's class, if it is one of ours and its forward was not replaced."""
    return type(layer) if type(layer) in PLAIN and "forward" not in layer.__dict__ else None


def _chain_end(kinds: list[type | None], i: int) -> int:
    """Where dense layers from number i on end, each with the (leaky) ReLU or, the last, sigmoid after it."""
    while i < len(kinds) and kinds[i] is Dense:
        i += 1
        after = kinds[i] if i < len(kinds) else None
        if after in (ReLU, LeakyReLU, Sigmoid):
            i += 1  # where it is a sigmoid, what follows is another chain
            if after is Sigmoid:
                break
    return i


class _Chain:
    """Dense layers, the (leaky) ReLUs after each, and the sigmoid after the last, as one operation."""

    def __init__(self, layers: list[Any]):
        self.layers = layers
        self.squashed = type(layers[-1]) is Sigmoid

    def read(self) -> None:
        """Keep what is used of the layers' attributes."""
        self.parameters: list[Any] = []  # W₁, b₁, W₂, b₂, ...
        slopes: list[float] = []  # of the rectifier after each
        for layer in self.layers:
            if type(layer) is Dense:
                self.parameters += layer.weight, layer.bias
                slopes.append(1.0)
            elif type(layer) is not Sigmoid:
                slopes[-1] = layer.negative_slope if type(layer) is LeakyReLU else 0.0
        self.slopes = tuple(slopes)

    def __call__(self, x: Any) -> Any:
        if len(getattr(x, "shape", ())) == 2 and x.dtype == self.parameters[0].dtype:
            try:
                return _perceptron(x, *self.parameters, slopes=self.slopes, squashed=self.squashed)
            except (ShapeError, DTypeError):
                pass  # the layer at fault says it by its own name
        for layer in self.layers:
            x = layer(x)
        return x


class _Dropped:
    """A (leaky) ReLU and the dropout after it: both are one pass over memory."""

    def __init__(self, rectifier: Any, drop: Any):
        self.rectifier, self.drop = rectifier, drop

    def __call__(self, x: Any) -> Any:
        slope = self.rectifier.negative_slope if type(self.rectifier) is LeakyReLU else 0.0
        return self.drop.after_relu(x, slope)
