"""A dense path to a convolutional end, for 28x28 digits: the GAN of an introductory article, mended.

Networks: G dense 128-256-512-1024-7·7·256, as 256 maps of 7x7, then transposed 4x4 convolutions of stride 2
to 128 channels and to the picture, BatchNorm and LeakyReLU(0.2) after each but the last, tanh at the end.
D 4x4 convolutions of stride 2 to 32, 64 and 128 channels, LeakyReLU(0.2) after each, then dense to 1.
Cross-entropy from logits, G's non-saturating; Adam with learning rate 2e-4 and β₁ = 0.5, batches of 128.
Weights after Glorot, biases 0, as the article's library draws them; none before a BatchNorm, which undoes it.

The article speaks of batch normalisation in both networks and its code has none. Here G has it throughout, D
not at all, and the maps of 7x7 are normalised before they are maps, each number over the batch. With none
before the maps noise was lost in the dense layers, and all samples were one picture after 1,500 steps. With
each map normalised over its places too, what varies may be the place and no more the sample: three pictures
after 777 steps, taken for 4 of the 10 digits. Now there are 9 of them after 1,000 steps, most to be read at
once, though in a dozen or two of forms that come again: noise still loses much on this way.

Padding is symmetric, 1 on each side; the article's "same" pads (1, 2) where a side is odd, and its third
convolution has maps of 4x4 where these are 3x3. Its code cannot train as printed: `minimize` without a list
of variables updates both networks for either loss, it reshapes 12,544 numbers to 28x28x1, which are 784 (here
256 maps of 7x7 are enlarged), it feeds random normal numbers as the real pictures, and the steps of an epoch
are nowhere set.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

from rawgan import nn, rng
from rawgan.recipes.adversarial import Adversarial
from rawgan.recipes.base import picture_size
from rawgan.settings import whole_number


@dataclass(frozen=True, kw_only=True)
class DenseConv(Adversarial):
    """width: the channels of D's first layer; all other layers are as wide in proportion.

    Pictures smaller than 28x28 are enlarged to it.
    """

    name: ClassVar[str] = "dense_conv"

    data: str = "mnist"
    epochs: int | None = 5
    width: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(f"{self.name}: width", self.width)

    def prepare(self, source: Any) -> Any:
        return source.resized(28) if len(source.shape) == 3 and max(source.shape[1:]) < 28 else source

    def networks(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        channels, height, width = picture_size(self.name, shape, 4)
        h, w, c = height // 4, width // 4, self.width
        widths = (self.noise, 4 * c, 8 * c, 16 * c, 32 * c)
        path: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            path += [nn.Dense(inputs, outputs, bias=False), nn.BatchNorm(outputs), nn.LeakyReLU(0.2)]
        generator = nn.Sequential(
            *path,
            nn.Dense(32 * c, 8 * c * h * w, bias=False),
            nn.BatchNorm(8 * c * h * w),
            nn.LeakyReLU(0.2),
            nn.Reshape((8 * c, h, w)),
            nn.ConvTranspose2d(8 * c, 4 * c, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm(4 * c),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(4 * c, channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )
        discriminator = nn.Sequential(
            nn.Conv2d(self.pack * channels, c, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(c, 2 * c, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * c, 4 * c, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Dense(4 * c * (h // 2) * (w // 2), 1),
        )
        return {
            "generator": draw_glorot_weights(generator),
            "discriminator": draw_glorot_weights(discriminator),
        }


def draw_glorot_weights(network: nn.Sequential) -> nn.Sequential:
    """Weights uniform within ±√(6 / (inputs + outputs)), biases 0 (Glorot and Bengio 2010, equation 16)."""
    for layer in network:
        if isinstance(layer, nn.Dense | nn.Conv2d | nn.ConvTranspose2d):
            shape = layer.weight.shape
            limit = math.sqrt(6 / (math.prod(shape[2:]) * (shape[0] + shape[1])))
            layer.weight.copy_(limit * (2 * rng.current().uniform(shape) - 1))
            if layer.bias is not None:
                layer.bias.copy_(0 * layer.bias.data)
    return network
