"""A convolutional GAN for 32x32 colour pictures, after a tutorial article (its section 4.2), mended.

Networks: G transposed 4x4 convolutions 100-256-128-64-channels, from 1x1 to 4x4 and then doubling, with
BatchNorm and ReLU, tanh at the end. D 4x4 convolutions of stride 2, channels-64-128-256, LeakyReLU(0.2) and
Dropout2d(0.3), then a 4x4 convolution to one number. Cross-entropy from logits, Adam with learning
rate 2e-4 and betas (0.5, 0.999), weights from N(0, 0.02²) (Radford et al. 2016).

The article's code cannot train as printed: it never zeroes gradients, calls backward through the
fake batch twice after freeing it, feeds views of the wrong shape, and its D ends in 4x4
feature maps fed to BCELoss without a sigmoid. Here D's last convolution reduces them to one logit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rawgan import nn
from rawgan.kernels.errors import ConfigError
from rawgan.recipes.adversarial import Adversarial
from rawgan.recipes.base import draw_dcgan_weights
from rawgan.settings import number, whole_number


@dataclass(frozen=True, kw_only=True)
class DcganCifar10(Adversarial):
    """width: channels before G's last layer and after D's first. dropout: the share of channels D drops.

    Pictures of another size are brought to 32x32.
    """

    name: ClassVar[str] = "dcgan_cifar10"

    data: str = "cifar10"
    epochs: int | None = 20
    width: int = 64
    dropout: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(f"{self.name}: width", self.width)
        number(f"{self.name}: dropout", self.dropout, 0.0, 1.0)

    def prepare(self, source: Any) -> Any:
        return source.resized(32) if len(source.shape) == 3 else source

    def networks(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        if len(shape) != 3 or shape[1:] != (32, 32):
            raise ConfigError(f"{self.name}: takes 32x32 pictures, the data is of shape {shape}")
        channels, c = shape[0], self.width
        generator = nn.Sequential(
            nn.Reshape((self.noise, 1, 1)),
            nn.ConvTranspose2d(self.noise, 4 * c, 4, stride=1, bias=False),
            nn.BatchNorm(4 * c),
            nn.ReLU(),
            nn.ConvTranspose2d(4 * c, 2 * c, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm(2 * c),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * c, c, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm(c),
            nn.ReLU(),
            nn.ConvTranspose2d(c, channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )
        discriminator = nn.Sequential(
            nn.Conv2d(self.pack * channels, c, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Dropout2d(self.dropout),
            nn.Conv2d(c, 2 * c, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Dropout2d(self.dropout),
            nn.Conv2d(2 * c, 4 * c, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Dropout2d(self.dropout),
            nn.Conv2d(4 * c, 1, 4),
            nn.Flatten(),
        )
        drawn = draw_dcgan_weights(generator), draw_dcgan_weights(discriminator)
        return {"generator": drawn[0], "discriminator": drawn[1]}
