"""A variational autoencoder (Kingma and Welling 2014), for comparison with the GANs.

    L = E[−log p(x | z)] + beta · KL(N(μ(x), σ²(x)) ‖ N(0, 1)),  z = μ(x) + σ(x) · ε

Networks: encoder E pixels-256-(μ, log σ²), decoder G noise-256-pixels with ReLU and a sigmoid at the end,
as in the paper's section 5 and appendix C. −log p(x | z) is the cross-entropy of the pixels, summed over a
picture and averaged over the batch. Adam with learning rate 1e-3, batches of 128. G is trained to make
pictures of normal noise, as a GAN's is, but by likelihood: its samples cover all of the data, and are
blurred.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from rawgan import losses, nn, ops
from rawgan.kernels.errors import ConfigError
from rawgan.recipes.autoencoder import Autoencoder


@dataclass(frozen=True, kw_only=True)
class Vae(Autoencoder):
    """hidden: the width of the hidden layer of each network. beta: the weight of KL."""

    name: ClassVar[str] = "vae"
    codes: ClassVar[int] = 2

    beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least_zero("beta")

    def networks(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        if len(shape) != 3:  # a pixel is a probability here
            raise ConfigError(f"{self.name}: takes pictures, the data is of shape {shape}")
        return super().networks(shape)

    def columns(self) -> tuple[str, ...]:
        return ("step", "loss", "reconstruction", "kl", "grad_norm", *self.decay_columns())

    def step(self, game: Any) -> None:
        x, epsilon = game.real(), game.noise()
        code = game.networks["encoder"](x)
        mean, log_variance = code[:, : self.noise], code[:, self.noise :]
        z = mean + ops.exp(0.5 * log_variance) * epsilon
        made = game.networks["generator"](z)
        terms = {
            "reconstruction": math.prod(x.shape[1:]) * losses.bce(made, x),
            "kl": self.beta * losses.kl_to_normal(mean, log_variance),
        }
        game.update("autoencoder", terms | self.weight_decay(game, "autoencoder"))
