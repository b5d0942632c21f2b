"""Gradients against finite differences, in float64.

>>> import rawgan
>>> from rawgan import ops
>>> x = rawgan.tensor([[0.3, -0.8]], dtype="float64")
>>> rawgan.gradcheck(ops.tanh, x, order=2)
True

A gradient rule is right where it agrees with the slope of the value rule. The slope comes from central
differences with two steps, h and h/2. Richardson's extrapolation (L. F. Richardson, Phil. Trans. A 210, 1911)
combines them into an estimate whose error falls as h⁴, and by how much the two disagree says how far that
estimate can be trusted: the tolerance is not a guess. What is compared is ⟨u, f⟩ for a random u; with u all
ones a wrong rule can pass (softmax's gradient is then 0).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rawgan import arrays, rng
from rawgan.engine import Tensor, grad
from rawgan.engine.tensor import real
from rawgan.kernels.errors import ConfigError, GradientError

STEP = 1e-3  # h as a share of max(1, |x|)
FULL = 32  # up to so many elements every one is checked by itself
DIRECTIONS = 6  # and above, this many random directions
ROUNDING = 64 * np.finfo(np.float64).eps  # of f itself, relative to its largest value
KEY = 20140610  # the random numbers are the same in every run


def gradcheck(f: Callable[..., Any], *tensors: Any, order: int = 1) -> bool:
    """Check rawgan's gradients of `f` against finite differences; True, or GradientError.

    f: maps Tensors to a Tensor of any shape. It must give the same value each time, and be smooth
        within a few thousandths of the point: keep away from the kink of a ReLU.
    tensors: Tensors or arrays, where to check, shaped as f takes them. They are taken as float64
        (float32 has too few digits for differences), so f must bring no float32 of its own.
    order: 1 checks the gradient; 2 also the gradient of the gradient, by checking x ↦ ⟨∇f(x), v⟩.

    Up to 32 input elements are checked one by one; beyond that, six random directions.
    The error names the worst element: input number, index, both values, error, tolerance and step.
    """
    if not callable(f):
        raise ConfigError(f"gradcheck: f is a function of tensors, got {f!r}")
    if not isinstance(order, int) or order not in (1, 2):
        raise ConfigError(f"gradcheck: order is 1 or 2, got {order!r}")
    if not tensors:
        raise ConfigError("gradcheck: give at least one tensor to differentiate with respect to")
    points = [_point(t) for t in tensors]
    generator = rng.Generator(KEY)
    _check(f, points, generator, "the gradient")
    if order == 2:
        directions = [_normal(p, generator) for p in points]
        u = Tensor(_normal(f(*[Tensor(p) for p in points])._data, generator))

        def along(*xs: Tensor) -> Tensor:
            gradients = grad(f(*xs), xs, u, create_graph=True)
            slopes = [(g * v).sum() for g, v in zip(gradients, directions, strict=True)]
            return functools.reduce(operator.add, slopes)

        _check(along, points, generator, "the gradient of the gradient")
    return True


def _point(value: Any) -> Any:
    array = real("gradcheck", value)
    return arrays.asarray(array, np.dtype(np.float64), arrays.device_of(array))


def _normal(like: Any, generator: rng.Generator) -> Any:
    return generator.normal(like.shape, "float64", arrays.device_of(like))


def _check(f: Callable[..., Any], points: list, generator: rng.Generator, what: str) -> None:
    """Compare every gradient of ⟨u, f⟩ at the points with differences of it."""
    leaves = [Tensor(p, requires_grad=True) for p in points]
    y = f(*leaves)
    if not isinstance(y, Tensor):
        raise GradientError(f"gradcheck: f returns a Tensor, got {type(y).__name__}")
    if str(y.dtype) != "float64":
        raise GradientError(f"gradcheck: f(float64) gave {y.dtype}; something in f is not float64")
    u = _normal(y._data, generator)
    cotangent = arrays.to_numpy(u)
    analytic = [arrays.to_numpy(g._data) for g in grad(y, leaves, Tensor(u))]
    hosts = [np.array(arrays.to_numpy(p), order="C") for p in points]

    def value(number: int, x: np.ndarray) -> np.ndarray:
        args = list(points)
        args[number] = arrays.asarray(x, points[number].dtype, arrays.device_of(points[number]))
        return arrays.to_numpy(
            f(*[Tensor(a, requires_grad=True) for a in args])._data
        )  # f may take gradients

    for number, (x, gx) in enumerate(zip(hosts, analytic, strict=True)):
        if gx.shape != x.shape:
            raise GradientError(f"gradcheck: input {number} has shape {x.shape}, its gradient {gx.shape}")
        _compare(value, number, x, gx, cotangent, generator, what)


def _compare(value, number, x, gx, cotangent, generator, what) -> None:
    """One input: raise for the worst element or direction if it is out of tolerance."""
    worst = None
    for index, direction in _directions(x, generator):
        h = STEP * max(1.0, float(np.max(np.abs(x[direction != 0]))))
        numeric, tolerance = _slope(value, number, x, direction, h, cotangent)
        found = float(np.sum(gx * direction))
        tolerance += 1e-9 * abs(numeric)
        error = abs(found - numeric)
        excess = error / tolerance if tolerance > 0 else (0.0 if error == 0 else np.inf)
        if worst is None or not excess <= worst[0]:  # NaN is the worst there is
            worst = excess, index, found, numeric, error, tolerance, h
            if np.isnan(excess):
                break
    if worst is not None and not worst[0] <= 1:
        _, index, found, numeric, error, tolerance, h = worst
        raise GradientError(
            f"gradcheck: {what} of input {number} is wrong at {index}: the rules give {found:.10g}, "
            f"finite differences {numeric:.10g}; error {error:.3g}, tolerance {tolerance:.3g}, h {h:.3g}"
        )


def _directions(x: np.ndarray, generator: rng.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """(what to call it, direction) pairs: single elements, or random unit directions."""
    if x.size <= FULL:
        for index in np.ndindex(x.shape):
            unit = np.zeros(x.shape)
            unit[index] = 1.0
            yield f"element {tuple(map(int, index))}", unit
    else:
        for k in range(DIRECTIONS):
            direction = generator.normal(x.shape, "float64", "cpu")
            largest = np.unravel_index(int(np.argmax(np.abs(direction))), x.shape)
            yield (
                f"random direction {k} (largest at element {tuple(map(int, largest))})",
                direction / np.sqrt(np.sum(direction * direction)),
            )


def _slope(value, number, x, direction, h, cotangent) -> tuple[float, float]:
    """The slope of ⟨u, f⟩ along a direction, and how far to trust it."""

    def central(step: float) -> tuple[float, float]:
        plus, minus = value(number, x + step * direction), value(number, x - step * direction)
        # Differences first: the part of f that stays the same must not drown the part that moves.
        slope = float(np.sum((plus - minus) * cotangent)) / (2 * step)
        size = float(np.sum(np.abs(plus * cotangent)))
        return slope, ROUNDING * size / step

    coarse, _ = central(h)
    fine, rounding = central(h / 2)
    return fine + (fine - coarse) / 3, abs(fine - coarse) + rounding
