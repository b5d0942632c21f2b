"""Points from mixtures of Gaussians in the plane, where mode collapse is seen in a minute.

>>> ring().batch_for(step=0, batch_size=256, key=1).shape
(256, 2)
"""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np

from rawgan import rng
from rawgan.kernels.errors import ConfigError


class Mixture:
    """An endless supply of points from equally likely round Gaussians.

    name: what messages and checkpoints call it.
    centres: (modes, 2). sigma: the standard deviation of each, in each direction.
    """

    kind = "points"
    shape = (2,)

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
        """(n, 2) float32 points; the generator moves on."""
        mode = generator.integers(len(self.centres), (n,))
        noise = generator.normal((n, 2), device="cpu")
        return self.centres[mode] + np.float32(self.sigma) * noise

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


def ring() -> Mixture:
    """8 Gaussians on a circle of radius 2, as in unrolled GANs (Metz et al., 2017), each of sigma 0.1.

    >>> ring().centres[2].round(3).tolist()
    [0.0, 2.0]
    """
    angle = 2 * np.pi * np.arange(8) / 8
    return Mixture("ring", 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1), sigma=0.1)


def grid() -> Mixture:
    """25 Gaussians on the 5x5 grid from -4 to 4, sigma 0.05, as in PacGAN (Lin et al., 2018).

    >>> len(grid().centres)
    25
    """
    line = np.arange(-4, 5, 2)
    return Mixture("grid", np.stack(np.meshgrid(line, line), axis=-1).reshape(25, 2), sigma=0.05)
