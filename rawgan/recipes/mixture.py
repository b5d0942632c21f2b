"""Small perceptrons on points in the plane: where mode collapse is seen in a minute.

The ring of 8 Gaussians and the protocol of VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018):
z of length 16, G 16-128-128-2 and D 2-128-128-1 with LeakyReLU(0.2), the non-saturating loss from logits,
Adam with learning rate 2e-4 and betas (0.5, 0.999), batches of 256 fresh points, 10,000 steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rawgan import nn
from rawgan.recipes.adversarial import Adversarial
from rawgan.settings import whole_number


@dataclass(frozen=True, kw_only=True)
class Mixture(Adversarial):
    """hidden: the width of the two hidden layers of each network."""

    name: ClassVar[str] = "mixture"

    data: str = "ring"
    steps: int | None = 10_000
    noise: int = 16
    batch_size: int = 256
    hidden: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(f"{self.name}: hidden", self.hidden)

    def networks(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        size = math.prod(shape)
        generator = nn.Sequential(
            nn.Dense(self.noise, self.hidden),
            nn.LeakyReLU(0.2),
            nn.Dense(self.hidden, self.hidden),
            nn.LeakyReLU(0.2),
            nn.Dense(self.hidden, size),
            nn.Reshape(shape),
        )
        discriminator = nn.Sequential(
            nn.Flatten(),
            nn.Dense(self.pack * size, self.hidden),
            nn.LeakyReLU(0.2),
            nn.Dense(self.hidden, self.hidden),
            nn.LeakyReLU(0.2),
            nn.Dense(self.hidden, 1),
        )
        return {"generator": generator, "discriminator": discriminator}
