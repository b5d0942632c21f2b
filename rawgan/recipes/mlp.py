"""Two multilayer perceptrons: the GAN of an introductory article, mended.

Networks: G 100-128-128-pixels with ReLU and a sigmoid at the end; D pixels-128-128-1 likewise.
Objective, on D's probabilities, as Goodfellow et al. (2014, equation 1) print it:

    min_G max_D  E[log D(x)] + E[log(1 − D(G(z)))]

Adam with learning rate 2e-4 and β₁ = 0.5, batches of 128. Between backward and update every
parameter of G is clipped by its own norm: g ← g · C / ‖g‖ where ‖g‖ ≥ C, with C = 1.

The article's code cannot run as printed. Its "disc_loss" is D's raw output, and one gradient of it
drives both players; the clipping is applied once an epoch, after the update, through a
`generator.loss` that is nowhere set; and it clips by the mean of |g| where its formula says the norm.
Here each player has its own loss and its own gradient, clipped by the norm before every update.
`objective="non_saturating"` gives G the stronger loss −log D(G(z)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rawgan import nn
from rawgan.recipes.adversarial import Adversarial
from rawgan.settings import whole_number


@dataclass(frozen=True, kw_only=True)
class Mlp(Adversarial):
    """hidden: the width of the two hidden layers of each network."""

    name: ClassVar[str] = "mlp"
    low: ClassVar[float] = 0.0
    probabilities: ClassVar[bool] = True

    epochs: int | None = 300
    objective: str = "saturating"
    clip_norm_each: Any = field(default_factory=lambda: {"generator": 1.0})
    hidden: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(f"{self.name}: hidden", self.hidden)

    def networks(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        pixels = math.prod(shape)
        generator = nn.Sequential(
            nn.Dense(self.noise, self.hidden),
            nn.ReLU(),
            nn.Dense(self.hidden, self.hidden),
            nn.ReLU(),
            nn.Dense(self.hidden, pixels),
            nn.Sigmoid(),
            nn.Reshape(shape),
        )
        discriminator = nn.Sequential(
            nn.Flatten(),
            nn.Dense(self.pack * pixels, self.hidden),
            nn.ReLU(),
            nn.Dense(self.hidden, self.hidden),
            nn.ReLU(),
            nn.Dense(self.hidden, 1),
            nn.Sigmoid(),
        )
        return {"generator": generator, "discriminator": discriminator}
