"""One row for each layer of `rawgan.nn`: how to draw one, its input, and the shape it gives.

A layer without a row, or a row without a layer, stops the collection of the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rawgan import nn, rng

Shape = tuple[int, ...]


@dataclass
class Drawn:
    """A layer, the shape of an input for it, and the shape of the output that must come."""

    layer: nn.Module
    shape: Shape
    out: Shape


class Draw:
    """Whole numbers from Hypothesis."""

    def __init__(self, data: st.DataObject):
        self.data = data

    def __call__(self, low: int = 1, high: int = 3) -> int:
        return self.data.draw(st.integers(low, high))

    def flag(self) -> bool:
        return self.data.draw(st.booleans())

    def shape(self, low: int = 1, high: int = 4) -> Shape:
        return tuple(self() for _ in range(self(low, high)))

    def pair(self, low: int, high: int) -> tuple[int, int]:
        return self(low, high), self(low, high)


@dataclass(frozen=True)
class Row:
    """draw: Draw -> Drawn. kink: of two inputs the output follows the larger, so keep values apart."""

    draw: Callable[[Draw], Drawn]
    kink: bool = False


def same(layer: Callable[[], nn.Module], low: int = 1) -> Callable[[Draw], Drawn]:
    def draw(d: Draw) -> Drawn:
        shape = d.shape(low)
        return Drawn(layer(), shape, shape)

    return draw


def dense(d: Draw) -> Drawn:
    before, into, out = d.shape(0, 2), d(), d()
    return Drawn(nn.Dense(into, out, bias=d.flag()), (*before, into), (*before, out))


def conv(d: Draw) -> Drawn:
    n, into, out = d(1, 2), d(1, 2), d(1, 2)
    kernel, stride, padding = d.pair(1, 3), d.pair(1, 2), d.pair(0, 1)
    size = d.pair(3, 4)
    layer = nn.Conv2d(into, out, kernel, stride, padding, bias=d.flag())
    after = [(s + 2 * p - k) // t + 1 for s, k, t, p in zip(size, kernel, stride, padding, strict=True)]
    return Drawn(layer, (n, into, *size), (n, out, *after))


def conv_transpose(d: Draw) -> Drawn:
    n, into, out = d(1, 2), d(1, 2), d(1, 2)
    kernel, stride, size = d.pair(2, 3), d.pair(1, 2), d.pair(2, 3)
    padding = d.pair(0, 1)
    extra = tuple(d(0, s - 1) for s in stride)
    layer = nn.ConvTranspose2d(into, out, kernel, stride, padding, extra, bias=d.flag())
    after = [
        (s - 1) * t - 2 * p + k + e
        for s, k, t, p, e in zip(size, kernel, stride, padding, extra, strict=True)
    ]
    return Drawn(layer, (n, into, *size), (n, out, *after))


def batch_norm(d: Draw) -> Drawn:
    c = d()
    shape = (d(3, 4), c) if d.flag() else (d(2, 3), c, *d.pair(1, 2))
    return Drawn(nn.BatchNorm(c), shape, shape)


def maxout(d: Draw) -> Drawn:
    pieces, groups, n, rest = d(), d(), d(), d.shape(0, 1)
    return Drawn(nn.Maxout(pieces), (n, pieces * groups, *rest), (n, groups, *rest))


def flatten(d: Draw) -> Drawn:
    shape = d.shape()
    return Drawn(nn.Flatten(), shape, (shape[0], int(np.prod(shape[1:]))))


def reshape(d: Draw) -> Drawn:
    n, a, b = d(), d(), d()
    return Drawn(nn.Reshape((b, 1, a)), (n, a * b), (n, b, 1, a))


def spectral(d: Draw) -> Drawn:
    inner = (dense, conv, conv_transpose)[d(0, 2)](d)
    return Drawn(nn.SpectralNorm(inner.layer), inner.shape, inner.out)


def sequential(d: Draw) -> Drawn:
    first = conv(d)
    out = first.out
    layers = nn.Sequential(first.layer, nn.Tanh(), nn.Flatten(), nn.Dense(int(np.prod(out[1:])), 2))
    return Drawn(layers, first.shape, (out[0], 2))


ROWS: dict[str, Row] = {
    "Dense": Row(dense),
    "Conv2d": Row(conv),
    "ConvTranspose2d": Row(conv_transpose),
    "BatchNorm": Row(batch_norm),
    "ReLU": Row(same(nn.ReLU), kink=True),
    "LeakyReLU": Row(same(lambda: nn.LeakyReLU(0.3)), kink=True),
    "Tanh": Row(same(nn.Tanh)),
    "Sigmoid": Row(same(nn.Sigmoid)),
    "Softplus": Row(same(nn.Softplus)),
    "Maxout": Row(maxout, kink=True),
    "Dropout": Row(same(lambda: nn.Dropout(0.4))),
    "Dropout2d": Row(same(lambda: nn.Dropout2d(0.4), low=2)),
    "Flatten": Row(flatten),
    "Reshape": Row(reshape),
    "SpectralNorm": Row(spectral),
    "Sequential": Row(sequential),
}

LAYERS = set(nn.__all__) - {"Module", "frozen"}
assert set(ROWS) == LAYERS, f"layers and rows differ: {sorted(LAYERS ^ set(ROWS))}"


def drawn(name: str, data: st.DataObject) -> Drawn:
    """A layer of that name, its weights drawn from a fixed stream."""
    with rng.use_generator(rng.Generator(5)):
        return ROWS[name].draw(Draw(data))


def values(name: str, shape: Shape, seed: int = 0) -> np.ndarray:
    """float64 input values; for a row with a kink no two within 0.05 of each other, or of 0."""
    random = np.random.default_rng(seed)
    if not ROWS[name].kink:
        return random.normal(size=shape)
    size = int(np.prod(shape))
    return ((random.permutation(size) - size // 2 + 0.5) * max(0.1, 4 / size)).reshape(shape)


def functional(layer: nn.Module, seed: int = 3) -> tuple[Callable[..., Any], list[Any]]:
    """f(x, *parameters), which gives the same value each time, and the parameters to start from.

    Dropout draws the same mask in each call; a SpectralNorm's singular vectors are held.
    """
    places = [(m, name) for _, m in layer.named_modules() for name in m._parameters]
    start = [getattr(m, name).data.copy() for m, name in places]
    for _, module in layer.named_modules():
        if isinstance(module, nn.SpectralNorm):
            held = module._singular_vectors(update=True)
            module._singular_vectors = lambda update, held=held: held

    def f(x, *parameters):
        for (module, name), p in zip(places, parameters, strict=True):
            setattr(module, name, p)
        with rng.use_generator(rng.Generator(seed)):
            return layer(x)

    return f, start
