"""A GAN with an encoder: D judges a picture's code beside what G has inside; after an article, mended.

Networks, perceptrons of width 128: encoder E gives the mean μ and the logarithm of the variance of a
picture's code; generator G, in two halves, makes of a code the middle features h, and of these the picture; D
judges a pair: real is (μ(x), h of μ(x)), generated is (μ(G(z)), h of z). The article's losses are

    L_GAN = E[log D(x)] + E[log(1 − D(G(z)))]
    L_R = mean(−log D(x) + λ R(G(z))),  R = KL(E(G(z)) ‖ N(0, 1))
    L_total = |L_GAN − L_R| + α R(G) + β ‖θ_D‖²

As L_GAN ≤ 0 ≤ L_R, the absolute value does nothing but turn the sign, and log D(x) is counted twice: D lowers
−2 E[log D(x)] − E[log(1 − D(G(z)))] + β ‖θ_D‖². R is nothing that D could change, so λ falls out. For G the
article names a cross-entropy "between the generator's distribution and the data's" and gives no formula. Here
G and E lower −log D(G(z)) + α R, and besides

    −log(1 − D(x)), as in a bidirectional GAN (Donahue et al. 2017): else D would know the data by its codes;
    the cross-entropy of a picture's pixels with those of G(μ(x)), summed over the picture, times a weight.

Without the last nothing ties codes to pictures: E gives all of them one code, D can tell nothing apart, and G
is free to draw what it likes (measured: after 100 epochs on the digits all samples were one dark picture).

D's gradient is clipped by its norm. The article's update, θ ← θ − η g / √(v + ε) with v ← (1 − β₁) v + β₁ g²,
is called Adam there and has no first moment: it is RMSprop with ρ = 1 − β₁, the default here (with ε outside
of the root, and v before θ, which is printed after); optimizer="adam" is Adam, "rmsprop_printed" has the
order and the ε of the article, whose first step divides by √ε alone.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rawgan import losses, nn, ops
from rawgan.engine import no_grad
from rawgan.kernels.errors import ConfigError
from rawgan.recipes.adversarial import Adversarial
from rawgan.settings import whole_number


@dataclass(frozen=True, kw_only=True)
class EncoderGan(Adversarial):
    """hidden: the width of the networks. noise: the length of a code. kl: the weight α of R.

    cross_entropy: the weight of the cross-entropy of pictures with those made of their codes.
    """

    name: ClassVar[str] = "encoder_gan"
    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "generator": ("encoder", "generator"),
        "discriminator": ("discriminator",),
    }
    low: ClassVar[float] = 0.0

    epochs: int | None = 300
    noise: int = 32
    optimizer: str = "rmsprop"
    clip_norm: Any = field(default_factory=lambda: {"discriminator": 1.0})
    l2: Any = field(default_factory=lambda: {"discriminator": 1e-5})
    hidden: int = 128
    kl: float = 0.1
    cross_entropy: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(f"{self.name}: hidden", self.hidden)
        self.at_least_zero("kl", "cross_entropy")
        if self.pack > 1:
            raise ConfigError(f"{self.name}: D judges codes, not pictures: pack is 1, got {self.pack}")

    def networks(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        if len(shape) != 3:  # a pixel is a probability here
            raise ConfigError(f"{self.name}: takes pictures, the data is of shape {shape}")
        pixels, hidden = math.prod(shape), self.hidden
        encoder = nn.Sequential(
            nn.Flatten(),
            nn.Dense(pixels, hidden),
            nn.ReLU(),
            nn.Dense(hidden, 2 * self.noise),
        )
        generator = nn.Sequential(
            nn.Sequential(nn.Dense(self.noise, hidden), nn.ReLU(), nn.Dense(hidden, hidden), nn.ReLU()),
            nn.Sequential(nn.Dense(hidden, pixels), nn.Sigmoid(), nn.Reshape(shape)),
        )
        discriminator = nn.Sequential(
            nn.Dense(self.noise + hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Dense(hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Dense(hidden, 1),
        )
        return {"encoder": encoder, "generator": generator, "discriminator": discriminator}

    def columns(self) -> tuple[str, ...]:
        return (*super().columns(), "g_encoder", "g_kl", "g_cross_entropy")

    def step(self, game: Any) -> None:
        for left in reversed(range(self.d_steps)):
            x, z = game.real(), game.noise()
            with no_grad() if left else contextlib.nullcontext():
                real, fake, others = self.pairs(game, x, z)
            terms = self.discriminator_terms(game, real.detach(), fake.detach())
            game.update("discriminator", terms | {"real": 2 * terms["real"]})
        with nn.frozen(game.networks["discriminator"]):
            terms = self.generator_terms(game, fake)
            terms["encoder"] = game.objective.called_fake(game.judge(real))
            game.update("generator", terms | others)

    def pairs(self, game: Any, x: Any, z: Any) -> tuple[Any, Any, dict[str, Any]]:
        """What D judges of real pictures and of generated ones, and the terms of G's loss beside D."""
        encoder, (first, second) = game.networks["encoder"], game.networks["generator"]
        code = encoder(x)[:, : self.noise]
        inside, middle = first(code), first(z)
        made = encoder(second(middle))
        mean, log_variance = made[:, : self.noise], made[:, self.noise :]
        real = ops.concatenate([code, inside], axis=1)
        fake = ops.concatenate([mean, middle], axis=1)
        pixels = math.prod(x.shape[1:])
        others = {
            "kl": self.kl * losses.kl_to_normal(mean, log_variance),
            "cross_entropy": self.cross_entropy * pixels * losses.bce(second(inside), x),
        }
        return real, fake, others
