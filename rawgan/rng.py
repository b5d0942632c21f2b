"""Counter-based random numbers: the same on every device and at every thread count.

A `Generator` is two whole numbers, a key and a count of draws; each draw is a pure
function of both (Philox4x32-10, Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", SC 2011). So its whole state fits in a checkpoint, and a mask can be drawn again
in the backward pass instead of being kept.

>>> Generator(0).uniform(2) == Generator(0).uniform(2)
array([ True,  True])
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from rawgan import arrays, kernels
from rawgan.kernels.cuda import recording
from rawgan.kernels.errors import ConfigError

_LIMIT = 1 << 64


class Generator:
    """A stream of random numbers.

    seed: a whole number in [0, 2**64); it is the Philox key.
    draw: how many arrays have been drawn so far.
    """

    def __init__(self, seed: int = 0, draw: int = 0):
        self.key = _word(seed, "seed")
        self.draw = _word(draw, "draw")

    def __repr__(self) -> str:
        return f"Generator(seed={self.key}, draw={self.draw})"

    def next(self) -> tuple[int, int]:
        """The (key, draw) that names the next array, for kernels that draw inside."""
        draw = self.draw
        self.draw = (draw + 1) % _LIMIT
        return self.key, draw

    def spawn(self, label: str) -> Generator:
        """An independent stream, the same for the same key and label; draws nothing."""
        digest = hashlib.sha256(f"{self.key}/{label}".encode()).digest()
        return Generator(int.from_bytes(digest[:8], "little"))

    def uniform(self, shape: Any = (), dtype: Any = "float32", device: str | None = None) -> arrays.Array:
        """Numbers in [0, 1), multiples of 2^-24 (float32) or 2^-53 (float64)."""
        return kernels.philox_uniform(_empty(shape, dtype, device), *self.next())

    def normal(self, shape: Any = (), dtype: Any = "float32", device: str | None = None) -> arrays.Array:
        """Standard normal numbers by Box and Muller's method (Ann. Math. Statist. 29, 1958)."""
        return kernels.philox_normal(_empty(shape, dtype, device), *self.next())

    def integers(self, n: int, shape: Any = ()) -> np.ndarray:
        """int64 NumPy array of whole numbers in [0, n), n up to 2**53."""
        if not 0 < n <= 1 << 53:
            raise ConfigError(f"integers(n) takes n in [1, 2**53], got {n}")
        return (self.uniform(shape, "float64", "cpu") * n).astype(np.int64)

    def permutation(self, n: int) -> np.ndarray:
        """int64 NumPy array: 0..n-1 in random order."""
        recording.refuse(_ON_HOST)
        words = kernels.philox_words(np.empty(2 * n, np.uint32), *self.next()).astype(np.uint64)
        return np.argsort(words[0::2] << np.uint64(32) | words[1::2], kind="stable")

    def state(self) -> dict[str, int]:
        """Everything there is to save: {"key": ..., "draw": ...}."""
        return {"key": self.key, "draw": self.draw}

    def set_state(self, state: dict[str, int]) -> None:
        """Go on exactly where `state()` was taken."""
        self.key, self.draw = _word(state["key"], "key"), _word(state["draw"], "draw")


_ON_HOST = "random numbers are drawn on the host"


def _empty(shape: Any, dtype: Any, device: str | None) -> arrays.Array:
    made = arrays.empty(shape, arrays.float_dtype(dtype), device)
    if type(made) is np.ndarray:
        recording.refuse(_ON_HOST)
    return made


def _word(value: Any, name: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number < _LIMIT:
        raise ConfigError(f"{name} is a whole number in [0, 2**64), got {value!r}")
    return number


_default = Generator(0)
_current: ContextVar[Generator | None] = ContextVar("generator", default=None)


def current() -> Generator:
    """The generator that layers and initialisers draw from."""
    return _current.get() or _default


def manual_seed(seed: int) -> None:
    """Restart the current generator from `seed`.

    >>> manual_seed(1); a = current().normal(3); manual_seed(1); b = current().normal(3)
    >>> bool((a == b).all())
    True
    """
    current().set_state({"key": seed, "draw": 0})


@contextmanager
def use_generator(generator: Generator) -> Iterator[Generator]:
    """Layers and initialisers draw from `generator` inside the block."""
    token = _current.set(generator)
    try:
        yield generator
    finally:
        _current.reset(token)
