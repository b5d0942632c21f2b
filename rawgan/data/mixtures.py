"""Points without end: mixtures of Gaussians, where mode collapse is seen in a minute, or your own.

>>> ring().batch_for(step=0, batch_size=256, key=1).shape
(256, 2)
>>> grid(side=3)
Mixture('grid(3, 2, 0.05)', 9 modes, sigma=0.05)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from rawgan import rng
from rawgan.data.checks import as_items
from rawgan.kernels.errors import ConfigError, DataError
from rawgan.settings import number, whole_number


class Endless:
    """Fresh points at every step. What is left open is `sample(n, generator)`, and what tells two apart.

    name: what messages and checkpoints call it.
    """

    kind = "points"
    shape = (2,)
    name: str

    def sample(self, n: int, generator: rng.Generator) -> np.ndarray:
        """(n, 2) float32 points; the generator moves on."""
        raise NotImplementedError

    def steps_per_epoch(self, batch_size: int) -> None:
        """None: there is no end to pass."""

    def batch_for(
        self, step: int, batch_size: int, key: int, low: float = 0.0, high: float = 1.0
    ) -> np.ndarray:
        """(batch_size, 2) float32: fresh points for every step, a function of `step` and `key` alone.

        `low` and `high`, a picture's range, do not concern points.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size is a whole number from 1 on, got {batch_size}")
        return self.sample(batch_size, rng.Generator(key).spawn(f"batch {step}"))


class Mixture(Endless):
    """An endless supply of points from equally likely round Gaussians.

    centres: (modes, 2). sigma: the standard deviation of each, in each direction.
    """

    def __init__(self, name: str, centres: np.ndarray, sigma: float):
        self.name = name
        self.centres = np.asarray(centres, np.float32)
        self.sigma = sigma

    def __repr__(self) -> str:
        return f"Mixture({self.name!r}, {len(self.centres)} modes, sigma={self.sigma})"

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of a SHA-256 over centres and sigma."""
        content = self.centres.astype("<f4").tobytes() + np.array(self.sigma, "<f8").tobytes()
        return hashlib.sha256(content).hexdigest()[:16]

    def sample(self, n: int, generator: rng.Generator) -> np.ndarray:
        mode = generator.integers(len(self.centres), (n,))
        noise = generator.normal((n, 2), device="cpu")
        noise *= np.float32(self.sigma)
        noise += self.centres.take(mode, axis=0)
        return noise


def ring(modes: int = 8, radius: float = 2.0, sigma: float = 0.1) -> Mixture:
    """Gaussians on a circle; 8 on one of radius 2 as in unrolled GANs (Metz et al., 2017).

    >>> ring().centres[2].round(3).tolist()
    [0.0, 2.0]
    """
    whole_number("ring: modes", modes)
    number("ring: radius", radius, 0.0)
    angle = 2 * np.pi * np.arange(modes) / modes
    centres = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _named("ring", (modes, radius, sigma), (8, 2.0, 0.1), centres)


def grid(side: int = 5, spacing: float = 2.0, sigma: float = 0.05) -> Mixture:
    """side x side Gaussians around the origin; 25 from -4 to 4 as in PacGAN (Lin et al., 2018).

    >>> len(grid().centres), grid(side=10, spacing=1).centres.max().item()
    (25, 4.5)
    """
    whole_number("grid: side", side)
    number("grid: spacing", spacing, 0.0)
    line = spacing * (np.arange(side) - (side - 1) / 2)
    centres = np.stack(np.meshgrid(line, line), axis=-1).reshape(side * side, 2)
    return _named("grid", (side, spacing, sigma), (5, 2.0, 0.05), centres)


def spirals(arms: int = 2, modes: int = 20, sigma: float = 0.1) -> Mixture:
    """Gaussians strung along spirals, `modes` on each arm at equal distances along it.

    Every arm (Archimedes': the radius grows with the angle) leads from radius 0.5 to 4 in 1¼ turns.
    With a large enough sigma the modes run into each other, and the data is a curve.

    >>> spirals().centres[[0, 19, 20]].tolist()
    [[0.5, 0.0], [0.0, 4.0], [-0.5, 0.0]]
    """
    whole_number("spirals: arms", arms)
    whole_number("spirals: modes", modes, least=2)
    inner, outer, end = 0.5, 4.0, 2.5 * np.pi
    angle = np.linspace(0, end, 10_001)
    radius = inner + (outer - inner) * angle / end
    pieces = np.hypot(np.diff(radius * np.cos(angle)), np.diff(radius * np.sin(angle)))
    way = np.concatenate([[0.0], np.cumsum(pieces)])
    places = np.interp(np.linspace(0, way[-1], modes), way, angle)
    radii = inner + (outer - inner) * places / end
    turned = places + 2 * np.pi * np.arange(arms)[:, None] / arms
    centres = np.stack([radii * np.cos(turned), radii * np.sin(turned)], axis=-1).reshape(-1, 2)
    # Rounded, so that the fingerprint does not hang on the last bit of some machine's sine; + 0 for no -0.
    return _named("spirals", (arms, modes, sigma), (2, 20, 0.1), centres.round(4) + 0.0)


def _named(name: str, given: tuple, usual: tuple, centres: np.ndarray) -> Mixture:
    """The table's name is for the table's mixture: a saved run finds its data by name."""
    sigma = number(f"{name}: sigma", given[-1], 0.0)
    if given != usual:
        name = f"{name}({', '.join(f'{value:g}' for value in given)})"
    return Mixture(name, centres, sigma)


class Function(Endless):
    """Points that a function of the user's draws; made by `function`."""

    def __init__(self, f: Callable[[int, rng.Generator], Any], name: str):
        self.name = name
        self._f = f

    def __repr__(self) -> str:
        return f"Function({self.name!r})"

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of a SHA-256 over some of its points."""
        return hashlib.sha256(self.sample(256, rng.Generator(0)).astype("<f4").tobytes()).hexdigest()[:16]

    def sample(self, n: int, generator: rng.Generator) -> np.ndarray:
        points = as_items(self.name, self._f(n, generator))
        if points.shape != (n, 2):
            raise DataError(f"{self.name}: f({n}, generator) gave shape {points.shape}; it gives ({n}, 2)")
        return points


def function(f: Callable[[int, rng.Generator], Any], name: str) -> Function:
    """Training data out of your own sampler.

    f: called as f(n, generator), returns (n, 2) floats, finite. All chance in it comes from the generator,
    a `rawgan.rng.Generator` (its `uniform`, `normal` and `integers` give arrays of a shape): it is how
    runs repeat and resume bit for bit. name: what messages and checkpoints call it.

    Raises ConfigError for an f that draws other points from the same generator, or the same points from
    another, and DataError for points of another shape or type. Later batches are checked too, for shape,
    type and values.

    >>> def circle(n, generator):
    ...     angle = 2 * np.pi * generator.uniform(n, device="cpu")
    ...     return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    >>> function(circle, "circle").batch_for(step=0, batch_size=4, key=1).shape
    (4, 2)
    """
    if not isinstance(name, str) or not name:
        raise ConfigError(f"function: name is a text, got {name!r}")
    if not callable(f):
        raise ConfigError(f"{name}: f is a function of a count and a generator, got {f!r}")
    made = Function(f, name)
    made.sample(3, rng.Generator(0))
    first, again, other = (made.sample(64, rng.Generator(seed)) for seed in (1, 1, 2))
    if (first != again).any():
        raise ConfigError(
            f"{name}: f gave other points from the same generator, so no run could be repeated; draw from "
            "the generator that f is given, and from nothing else"
        )
    if (first == other).all():
        raise ConfigError(
            f"{name}: f gave the same points from another generator, so every batch would be the same; draw "
            "from the generator that f is given"
        )
    return made
