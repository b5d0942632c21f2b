"""The Wasserstein GAN (Arjovsky, Chintala and Bottou 2017), on the networks of `dcgan_mnist`.

    D: −D(x) + D(G(z));  G: −D(G(z))

D, called the critic, has no sigmoid, no dropout, and after each update its weights are cut to [−0.01, 0.01],
which makes it a function whose slope is bounded: its loss is then, up to a factor, the distance by which
the mass of one distribution has to be moved to become the other. Five updates of the critic for one of G,
RMSprop with learning rate 5e-5, batches of 64, as in the paper's algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rawgan import nn
from rawgan.recipes.base import draw_dcgan_weights, picture_size
from rawgan.recipes.dcgan_mnist import DcganMnist


@dataclass(frozen=True, kw_only=True)
class Wgan(DcganMnist):
    """width: channels before G's last layer and after the critic's first. slope: LeakyReLU's.

    dropout: the critic's, of which the paper has none.
    """

    name: ClassVar[str] = "wgan"

    batch_size: int = 64
    learning_rate: Any = 5e-5
    optimizer: str = "rmsprop"
    objective: str = "wasserstein"
    d_steps: int = 5
    weight_clip: float | None = 0.01
    dropout: float = 0.0
    slope: float = 0.2

    def networks(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        channels, height, width = picture_size(self.name, shape, 4)
        c = self.width
        dropouts = [nn.Dropout(self.dropout) for _ in range(2)] if self.dropout else []
        critic = nn.Sequential(
            nn.Conv2d(self.pack * channels, c, 5, stride=2, padding=2),
            nn.LeakyReLU(self.slope),
            *dropouts[:1],
            nn.Conv2d(c, 2 * c, 5, stride=2, padding=2),
            nn.LeakyReLU(self.slope),
            *dropouts[1:],
            nn.Flatten(),
            nn.Dense(2 * c * (height // 4) * (width // 4), 1),
        )
        generator = super().networks(shape)["generator"]
        return {"generator": generator, "discriminator": draw_dcgan_weights(critic)}
