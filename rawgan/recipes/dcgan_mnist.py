"""A convolutional GAN for 28x28 digits, after a tutorial article (its section 4.1), mended.

Networks: G dense to 7·7·256 without bias, BatchNorm, LeakyReLU(0.3), then transposed 5x5 convolutions
to 128 (stride 1), 64 (stride 2) and 1 channel (stride 2), BatchNorm and LeakyReLU between, tanh at the
end. D 5x5 convolutions to 64 and 128 channels (stride 2), LeakyReLU(0.3) and dropout 0.3 after each, then
dense to 1. Cross-entropy from logits; G takes the non-saturating form −log σ(D(G(z))). Adam with
learning rate 1e-4 and β₁ = 0.5; weights from N(0, 0.02²).

Padding is symmetric, 2 on each side with one output row added where the stride is 2; the
article's "same" would pad 1 before and 2 after. Its code cannot train as printed: it rebuilds both
networks on every batch, its generator loss rewards being called fake, it divides the pixels by 255
twice and one-hot-encodes them, and its tape covers the wrong calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rawgan import nn
from rawgan.recipes.adversarial import Adversarial
from rawgan.recipes.base import draw_dcgan_weights, picture_size
from rawgan.settings import number, whole_number


@dataclass(frozen=True, kw_only=True)
class DcganMnist(Adversarial):
    """width: channels before G's last layer and after D's first. dropout: D's. slope: LeakyReLU's.

    Pictures smaller than 28x28 are enlarged to it.
    """

    name: ClassVar[str] = "dcgan_mnist"

    data: str = "mnist"
    epochs: int | None = 5
    learning_rate: Any = 1e-4
    width: int = 64
    dropout: float = 0.3
    slope: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(f"{self.name}: width", self.width)
        number(f"{self.name}: dropout", self.dropout, 0.0, 1.0)
        number(f"{self.name}: slope", self.slope, 0.0)

    def prepare(self, source: Any) -> Any:
        return source.resized(28) if len(source.shape) == 3 and max(source.shape[1:]) < 28 else source

    def networks(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        channels, height, width = picture_size(self.name, shape, 4)
        h, w, c = height // 4, width // 4, self.width
        generator = nn.Sequential(
            nn.Dense(self.noise, 4 * c * h * w, bias=False),
            nn.BatchNorm(4 * c * h * w),
            nn.LeakyReLU(self.slope),
            nn.Reshape((4 * c, h, w)),
            nn.ConvTranspose2d(4 * c, 2 * c, 5, stride=1, padding=2, bias=False),
            nn.BatchNorm(2 * c),
            nn.LeakyReLU(self.slope),
            nn.ConvTranspose2d(2 * c, c, 5, stride=2, padding=2, output_padding=1, bias=False),
            nn.BatchNorm(c),
            nn.LeakyReLU(self.slope),
            nn.ConvTranspose2d(c, channels, 5, stride=2, padding=2, output_padding=1, bias=False),
            nn.Tanh(),
        )
        discriminator = nn.Sequential(
            nn.Conv2d(self.pack * channels, c, 5, stride=2, padding=2),
            nn.LeakyReLU(self.slope),
            nn.Dropout(self.dropout),
            nn.Conv2d(c, 2 * c, 5, stride=2, padding=2),
            nn.LeakyReLU(self.slope),
            nn.Dropout(self.dropout),
            nn.Flatten(),
            nn.Dense(2 * c * h * w, 1),
        )
        drawn = draw_dcgan_weights(generator), draw_dcgan_weights(discriminator)
        return {"generator": drawn[0], "discriminator": drawn[1]}
