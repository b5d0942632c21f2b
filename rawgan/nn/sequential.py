"""Networks of layers one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rawgan import ops
from rawgan.engine.mode import MODE
from rawgan.kernels.errors import ConfigError
from rawgan.nn.layers import Dense, Dropout, Dropout2d, LeakyReLU, ReLU, Sigmoid
from rawgan.nn.module import Module

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
        layers, i = self.layers, 0
        watched = MODE.get().watch is not None
        while i < len(layers):
            chain, after = ([], i) if watched else _chain(layers, i)
            if len(chain) > 1 and _fits(x, chain):
                weights, biases = [d.weight for d, _ in chain], [d.bias for d, _ in chain]
                last = _plain(layers[after]) if after < len(layers) and chain[-1][1] == 1.0 else None
                squashed = isinstance(last, Sigmoid)
                x = ops.perceptron(x, weights, biases, [s for _, s in chain], squashed)
                i = after + squashed
            elif not watched and (drop := _drop_after(layers, i)):
                x = drop.after_relu(x, _slope(layers[i]))
                i += 2
            else:
                x = layers[i](x)
                i += 1
        return x

    def __len__(self) -> int:
        return len(self._children)

    def __getitem__(self, i: int | slice) -> Module:
        """Layer i, or the layers of a slice as a Sequential that shares them."""
        return Sequential(*self.layers[i]) if isinstance(i, slice) else self.layers[i]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)


def _chain(layers: list[Module], first: int) -> tuple[list[tuple[Dense, float]], int]:
    """The dense layers from number `first` on, each with the slope of the ReLU after it; where they end."""
    chain: list[tuple[Dense, float]] = []
    for i in range(first, len(layers)):
        layer = _plain(layers[i])
        if type(layer) is Dense:
            chain.append((layer, 1.0))
        elif isinstance(layer, ReLU | LeakyReLU) and chain and chain[-1][1] == 1.0:
            chain[-1] = chain[-1][0], _slope(layer)
        else:
            return chain, i
    return chain, len(layers)


def _slope(rectifier: Module) -> float:
    return rectifier.negative_slope if isinstance(rectifier, LeakyReLU) else 0.0


def _drop_after(layers: list[Module], i: int) -> Dropout | None:
    """The dropout after a (leaky) ReLU at number i: both are one pass over memory."""
    if i + 1 < len(layers) and isinstance(_plain(layers[i]), ReLU | LeakyReLU):
        drop = _plain(layers[i + 1])
        return drop if isinstance(drop, Dropout) else None
    return None


def _plain(layer: Module) -> Module | None:
    """The layer, if it is one of ours and its forward was not replaced."""
    return layer if type(layer) in PLAIN and "forward" not in layer.__dict__ else None


def _fits(x: Any, chain: list[tuple[Dense, float]]) -> bool:
    shape = getattr(x, "shape", ())
    if len(shape) != 2:
        return False
    width = shape[1]
    for dense, _ in chain:
        weight, bias = dense.weight, dense.bias
        if (
            weight.shape[1] != width
            or weight.dtype != x.dtype
            or (bias is not None and bias.dtype != x.dtype)
        ):
            return False
        width = weight.shape[0]
    return True
