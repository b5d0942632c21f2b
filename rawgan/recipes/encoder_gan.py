"""A GAN with an encoder: D judges a picture's code beside what G has inside; after an article, mended.

Networks, perceptrons of width 128: encoder E gives the mean μ and the logarithm of the variance of a
picture's code; generator G, in two halves, makes of a code the middle features h, and of these the picture; D
judges a pair: real is (μ(x), h of μ(x)), generated is (μ(G(z)), h of z). The article's losses are

    L_GAN = E[log D(x)] + E[log(1 − D(G(z)))]
    L_R = mean(−log D(x) + λ R(G(z))),  R = KL(E(G(z)) ‖ N(0, 1))
    L_total = |L_GAN − L_R| + α R(G) + β ‖θ_D‖²

As L_GAN ≤ 0 ≤ L_R, the absolute value does nothing but turn the sign, and log D(x) is counted twice: D lowers
−2 E[log D(x)] − E[log(1 − D(G(z)))] + β ‖θ_D‖². R is nothing that D could change, so λ falls out. For G
the article gives no loss; G and E lower −log D(G(z)) + α R − log(1 − D(x)), the last for E's sake as in a
bidirectional GAN (Donahue et al. 2017): else D would know the real data by its codes.

D's gradient is clipped by its norm. The article's update, θ ← θ − η g / √(v + ε) with v ← (1 − β₁) v + β₁ g²,
is called Adam there and has no first moment: it is RMSprop with ρ = 1 − β₁, the default here (with ε outside
of the root, and v before θ, which is printed after); optimizer="adam" is Adam.
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
    """hidden: the width of the networks. noise: the length of a code. kl: the weight α of R."""

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

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(f"{self.name}: hidden", self.hidden)
        self.at_least_zero("kl")
        if self.pack > 1:
            raise ConfigError(f"{self.name}: D judges codes, not pictures: pack is 1, got {self.pack}")

    def networks(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
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
        return (*super().columns(), "g_encoder", "g_kl")

    def step(self, game: Any) -> None:
        for left in reversed(range(self.d_steps)):
            x, z = game.real(), game.noise()
            with no_grad() if left else contextlib.nullcontext():
                real, fake, regulariser = self.pairs(game, x, z)
            terms = self.discriminator_terms(game, real.detach(), fake.detach())
            game.update("discriminator", terms | {"real": 2 * terms["real"]})
        with nn.frozen(game.networks["discriminator"]):
            terms = self.generator_terms(game, fake)
            terms["encoder"] = game.objective.called_fake(game.judge(real))
            game.update("generator", terms | {"kl": self.kl * regulariser})

    def pairs(self, game: Any, x: Any, z: Any) -> tuple[Any, Any, Any]:
        """What D judges of real pictures and of generated ones, and R."""
        encoder, (first, second) = game.networks["encoder"], game.networks["generator"]
        code = encoder(x)[:, : self.noise]
        middle = first(z)
        made = encoder(second(middle))
        mean, log_variance = made[:, : self.noise], made[:, self.noise :]
        real = ops.concatenate([code, first(code)], axis=1)
        fake = ops.concatenate([mean, middle], axis=1)
        return real, fake, losses.kl_to_normal(mean, log_variance)
