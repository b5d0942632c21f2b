"""The Wasserstein GAN with gradient penalty (Gulrajani et al. 2017), on the networks of `dcgan_mnist`.

    D: −D(x) + D(G(z)) + λ (‖∇D(x̂)‖ − 1)²,  x̂ between x and G(z);  G: −D(G(z))

The critic's slope is held near 1 by a term of its loss in place of cut weights, λ = 10. That term is a
gradient of a gradient: `rawgan.grad(..., create_graph=True)`. Five updates of the critic for one of G, Adam
with learning rate 1e-4 and betas (0, 0.9), batches of 64, as in the paper's algorithm 1. The critic has no
batch normalisation, for which one example's gradient would depend on the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rawgan.recipes.wgan import Wgan


@dataclass(frozen=True, kw_only=True)
class WganGp(Wgan):
    """width: channels before G's last layer and after the critic's first. slope: LeakyReLU's."""

    name: ClassVar[str] = "wgan_gp"

    learning_rate: Any = 1e-4
    optimizer: str = "adam"
    betas: tuple[float, float] = (0.0, 0.9)
    weight_clip: float | None = None
    gradient_penalty: float = 10.0
