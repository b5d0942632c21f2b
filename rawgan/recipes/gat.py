"""A GAN with a second, "conjugate" adversarial loss that both players share, after an introductory article.

    L_GAT = L_GAN + λ · L_A

Networks, as the article's: G 100-128-128-pixels with ReLU and a sigmoid at the end; D pixels-128-128-1 with
ReLU, here without the sigmoid, so that both losses read the same raw output v. The article says of L_A only
that it is an adversarial loss shared by both, and prints mean(log(1 + softmax(y))), whose gradient is zero
for one output. What the name promises is the game of f-GAN (Nowozin, Cseke and Tomioka 2016), in which f*
is the convex conjugate of a divergence's f:

    L_A = E[g(D(x))] − E[f*(g(D(G(z))))],  which D raises and G lowers.

`divergence` chooses f: "kl", "reverse_kl", "pearson" (the default) or "jensen_shannon". Of these, Jensen and
Shannon's is L_GAN itself but for a constant, log 4: there λ only rescales. `conjugate` is λ, which the
article leaves open, as it does the learning rate: both can be searched for. Its code sets no optimisers, and
trains D on one batch of noise that is drawn once; Adam with learning rate 2e-4 and β₁ = 0.5, and fresh noise,
stand here. D's slope on the data is held down by R1 (Mescheder et al. 2018), of which the article says
nothing: without it the samples were all one picture after 150 epochs on the digits, at λ = 0 as at 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from rawgan import nn
from rawgan.recipes.mlp import Mlp


@dataclass(frozen=True, kw_only=True)
class Gat(Mlp):
    """hidden: the width of the two hidden layers of each network."""

    name: ClassVar[str] = "gat"
    probabilities: ClassVar[bool] = False

    objective: str = "non_saturating"
    conjugate: float = 0.5
    r1: float = 1.0
    clip_norm_each: Any = None

    def networks(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        discriminator = nn.Sequential(
            nn.Flatten(),
            nn.Dense(math.prod(self.packed(shape)), self.hidden),
            nn.ReLU(),
            nn.Dense(self.hidden, self.hidden),
            nn.ReLU(),
            nn.Dense(self.hidden, 1),
        )
        return super().networks(shape) | {"discriminator": discriminator}
