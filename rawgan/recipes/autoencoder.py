"""An autoencoder: what a network learns of pictures without an adversary, for comparison with the GANs.

    L = mean (x − G(E(x)))²

Networks: encoder E pixels-256-noise with ReLU, decoder G noise-256-pixels with ReLU and a sigmoid at the end
(Rumelhart, Hinton and Williams 1986; Hinton and Salakhutdinov 2006). Adam with learning rate 1e-3, batches of
128. The codes of real pictures follow no distribution that is known, so what G makes of normal noise, which
`run.sample` shows, is worse than what it makes of codes: that is the gap that the VAE and the GANs close.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rawgan import nn, ops
from rawgan.recipes.base import Recipe
from rawgan.settings import whole_number


@dataclass(frozen=True, kw_only=True)
class Autoencoder(Recipe):
    """hidden: the width of the hidden layer of each network. noise: the length of a code."""

    name: ClassVar[str] = "autoencoder"
    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"autoencoder": ("encoder", "generator")}
    low: ClassVar[float] = 0.0
    codes: ClassVar[int] = 1  # how many numbers the encoder gives for one of the code

    epochs: int | None = 100
    noise: int = 16
    learning_rate: Any = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    hidden: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(f"{self.name}: hidden", self.hidden)

    def networks(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        pixels = math.prod(shape)
        encoder = nn.Sequential(
            nn.Flatten(),
            nn.Dense(pixels, self.hidden),
            nn.ReLU(),
            nn.Dense(self.hidden, self.codes * self.noise),
        )
        generator = nn.Sequential(
            nn.Dense(self.noise, self.hidden),
            nn.ReLU(),
            nn.Dense(self.hidden, pixels),
            nn.Sigmoid(),
            nn.Reshape(shape),
        )
        return {"encoder": encoder, "generator": generator}

    def prefix(self, player: str) -> str:
        return ""

    def columns(self) -> tuple[str, ...]:
        return ("step", "loss", "reconstruction", "grad_norm", *self.decay_columns())

    def step(self, game: Any) -> None:
        x = game.real()
        difference = game.networks["generator"](game.networks["encoder"](x)) - x
        terms = {"reconstruction": ops.mean(difference * difference)}
        game.update("autoencoder", terms | self.weight_decay(game, "autoencoder"))
