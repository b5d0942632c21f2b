"""What a sample is made of: choices drawn by Hypothesis or by dice, and values made by NumPy.

A row of `samples.SAMPLES` asks a `Choices` for sizes, axes and attributes. Behind it is either Hypothesis,
which looks for the smallest failing case, or dice with a seed, where a test needs a few cases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rawgan.engine import OPS

GAP = 0.05  # kinks are at least this far away: more than ten steps of a finite difference, at values below 4


class Choices:
    """Whole numbers in a range, from which all else follows.

    empty: make the first size that may be 0 so. basic: index as the array API
    standard allows: by numbers and slices, for every axis.
    """

    def __init__(self, integer: Callable[[int, int], int], empty: bool = False, basic: bool = False):
        self.integer = integer
        self.empty = empty
        self.basic = basic
        self.rng = np.random.default_rng(integer(0, 2**32 - 1))

    def pick(self, options):
        return options[self.integer(0, len(options) - 1)]

    def flag(self) -> bool:
        return bool(self.integer(0, 1))

    def side(self, low: int = 1, high: int = 3) -> int:
        """A length; 0 where an empty array is being asked for."""
        if self.empty:
            self.empty = False
            return 0
        return self.integer(low, high)

    def shape(self, low: int = 0, high: int = 3, side: int = 3) -> tuple[int, ...]:
        ndim = self.integer(max(low, 1) if self.empty else low, high)
        return tuple(self.side(1, side) for _ in range(ndim))

    def subshape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts to `shape`."""
        kept = shape[self.integer(0, len(shape)) :]
        return tuple(1 if self.integer(0, 3) == 0 else n for n in kept)

    def pair(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Two shapes that broadcast against each other."""
        shape = self.shape()
        two = shape, self.subshape(shape)
        return two if self.flag() else two[::-1]

    def axes(self, ndim: int) -> tuple[int, ...]:
        """Some axes, in order."""
        return tuple(a for a in range(ndim) if self.flag())

    def smooth(self, shape) -> np.ndarray:
        return self.layout(self.rng.normal(0, 0.8, shape))

    def positive(self, shape) -> np.ndarray:
        return self.layout(self.rng.uniform(0.4, 2, shape))

    def inside(self, shape) -> np.ndarray:
        """Probabilities."""
        return self.layout(self.rng.uniform(0.1, 0.9, shape))

    def away(self, shape, *kinks: float) -> np.ndarray:
        """Values on both sides of each kink, but not near one."""
        x = self.rng.uniform(-2, 2, shape)
        while True:
            near = np.any([np.abs(x - k) < GAP for k in kinks], axis=0) if kinks else np.zeros(shape, bool)
            if not near.any():
                return self.layout(x)
            x = np.where(near, self.rng.uniform(-2, 2, shape), x)

    def distinct(self, shape) -> np.ndarray:
        """Values of which no two are near each other."""
        size = int(np.prod(shape))
        return self.layout(
            ((self.rng.permutation(size) - size / 2) * max(GAP, 2 / (size + 1))).reshape(shape)
        )

    def grid(self, shape, offset: float) -> np.ndarray:
        """Multiples of 1/5, moved by the offset: two such arrays are nowhere equal."""
        return self.layout(self.rng.integers(-8, 9, shape) / 5 + offset)

    def layout(self, array: np.ndarray) -> np.ndarray:
        """The same values in another order of memory."""
        array = np.asarray(array)
        kind = self.pick(["C", "C", "Fortran", "reversed", "strided"])
        if kind == "Fortran":
            return np.asarray(array, order="F")
        if kind == "reversed":
            back = (slice(None, None, -1),) * array.ndim
            return np.ascontiguousarray(array[back])[back] if array.ndim else array
        if kind == "strided" and array.ndim:
            wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]))
            wide[..., ::2] = array
            return wide[..., ::2]
        return array


def drawn(data: st.DataObject, **limits: bool) -> Choices:
    """Choices by Hypothesis."""
    return Choices(lambda low, high: data.draw(st.integers(low, high)), **limits)


def dice(seed: int, **limits: bool) -> Choices:
    """Choices by chance, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return Choices(lambda low, high: int(rng.integers(low, high, endpoint=True)), **limits)


@dataclass
class Case:
    """One way to call an operation.

    operands: arrays, numbers or None, in the order of the op's inputs.
    places: which of them are differentiated; by default the arrays.
    attrs: its keywords. Both are empty where only the public function takes this case.
    public: the same computation by the public function, of the differentiated arrays.
    """

    name: str
    operands: list[Any]
    attrs: dict[str, Any] = field(default_factory=dict)
    public: Callable[..., Any] | None = None
    only_public: bool = False
    places: tuple[int, ...] | None = None

    def __post_init__(self) -> None:  # arithmetic on 0-d arrays gives scalars, which are not differentiated
        self.operands = [np.asarray(v) if isinstance(v, np.generic) else v for v in self.operands]
        if self.places is None:
            self.places = tuple(i for i, v in enumerate(self.operands) if isinstance(v, np.ndarray))

    @property
    def inputs(self) -> list[Any]:
        return [self.operands[i] for i in self.places]

    def arguments(self, *inputs: Any) -> list[Any]:
        out = list(self.operands)
        for i, x in zip(self.places, inputs, strict=True):
            out[i] = x
        return out

    def raw(self, *inputs: Any) -> Any:
        return OPS[self.name](*self.arguments(*inputs), **self.attrs)

    @property
    def calls(self) -> list[Callable[..., Any]]:
        """The ways to compute it: by the operation itself, by the public function."""
        ways = [None if self.only_public else self.raw, self.public]
        return [call for call in ways if call is not None]

    @property
    def call(self) -> Callable[..., Any]:
        return self.public if self.only_public else self.raw

    def converted(self, convert: Callable[[np.ndarray], Any]) -> Case:
        """The case with every float array in it converted, attributes included."""

        def change(value):
            return convert(value) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value

        operands = [change(v) for v in self.operands]
        attrs = {k: change(v) for k, v in self.attrs.items()}
        return replace(self, operands=operands, attrs=attrs)

    def astype(self, dtype: str) -> Case:
        case = self.converted(lambda a: a.astype(dtype, order="K"))
        if "dtype" in case.attrs:
            case.attrs["dtype"] = np.dtype(dtype)
        return case


@dataclass(frozen=True)
class Sample:
    """draw: Choices -> Case.

    kernel: calls kernels, forward or backward. analytic: differentiable at complex numbers as it is written.
    empty: takes arrays without elements.
    """

    draw: Callable[[Choices], Case]
    kernel: bool
    analytic: bool
    empty: bool


SAMPLES: dict[str, Sample] = {}


def sample(name: str, kernel: bool = False, analytic: bool = True, empty: bool = True):
    def register(draw):
        SAMPLES[name] = Sample(lambda c: draw(c, name), kernel, analytic and not kernel, empty)
        return draw

    return register
