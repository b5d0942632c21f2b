"""What every recipe is: settings, checked when they are given, and how to build the networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from rawgan import nn, optim, rng
from rawgan.kernels.errors import ConfigError
from rawgan.losses import adversarial
from rawgan.settings import is_number, number, whole_number

PLAYERS = ("generator", "discriminator")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings that every GAN has.

    A setting said to be "for each player" is one number for both, or
    {"generator": ..., "discriminator": ...} with one or both of them.

    data: the dataset's name, unless the user gives another.
    epochs, steps: how long to train by default; one of them.
    noise: the length of z, standard normal.
    learning_rate: for each player. betas: Adam's. optimizer: "adam", "rmsprop", "adagrad" or "sgd".
    objective: the adversarial loss (`rawgan.losses.adversarial`).
    d_steps: updates of D for one of G.
    clip_norm: for each player, limits the norm of all its gradients together; {} for no limit.
    clip_norm_each: the same for each parameter's own norm. clip_value: for each gradient element.
    """

    name: ClassVar[str] = ""
    low: ClassVar[float] = -1.0  # the range of pictures inside, the range of G's output
    high: ClassVar[float] = 1.0
    probabilities: ClassVar[bool] = False  # D ends in a sigmoid

    data: str = "digits"
    epochs: int | None = None
    steps: int | None = None
    noise: int = 100
    batch_size: int = 128
    learning_rate: Any = 2e-4
    optimizer: str = "adam"
    betas: tuple[float, float] = (0.5, 0.999)
    objective: str = "non_saturating"
    d_steps: int = 1
    clip_norm: Any = None
    clip_norm_each: Any = None
    clip_value: Any = None

    def __post_init__(self) -> None:
        for f in fields(self):  # NumPy's numbers are not JSON's
            if isinstance(getattr(self, f.name), np.generic):
                object.__setattr__(self, f.name, getattr(self, f.name).item())
        for key in ("noise", "batch_size", "d_steps"):
            whole_number(f"{self.name}: {key}", getattr(self, key))
        for key in ("epochs", "steps"):
            if getattr(self, key) is not None:
                whole_number(f"{self.name}: {key}", getattr(self, key))
        for player in PLAYERS:
            if self.for_player("learning_rate", player) is None:
                raise ConfigError(f"{self.name}: learning_rate says nothing for the {player}")
        for key in ("clip_norm", "clip_norm_each", "clip_value"):
            for player in PLAYERS:
                self.for_player(key, player)
        if not isinstance(self.optimizer, str) or self.optimizer not in optim.OPTIMIZERS:
            raise ConfigError(
                f"{self.name}: there is no optimizer {self.optimizer!r}; "
                f"there are: {', '.join(optim.OPTIMIZERS)}"
            )
        adversarial(self.objective, self.probabilities)  # refuses an unknown one
        betas = self.betas
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ConfigError(f"{self.name}: betas are two numbers in [0, 1), got {betas!r}")
        betas = tuple(number(f"{self.name}: each of betas", b, 0.0, 1.0) for b in betas)
        object.__setattr__(self, "betas", betas)

    def for_player(self, key: str, player: str) -> float | None:
        """A per-player setting's number for one player, or None."""
        value = getattr(self, key)
        if isinstance(value, Mapping):
            odd = [name for name in value if name not in PLAYERS]
            if odd:
                raise ConfigError(
                    f"{self.name}: {key} is for 'generator' and 'discriminator', not {odd[0]!r}"
                )
            value = value.get(player)
        if value is not None and not (is_number(value) and value > 0):
            raise ConfigError(
                f"{self.name}: {key} is a number above 0 (or one for each player), got {value!r}"
            )
        return None if value is None else float(value)

    def prepare(self, source: Any) -> Any:
        """The dataset as this recipe's networks take it (resized, say)."""
        return source

    def networks(self, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
        """G: (N, noise) -> (N, *shape) and D: (N, *shape) -> (N, 1), freshly initialised."""
        raise TypeError(f"{type(self).__name__} does not define networks()")

    def make_optimizer(self, player: str, parameters: list) -> optim.Optimizer:
        """The optimiser of one player."""
        rate: Any = self.for_player("learning_rate", player)  # never None: __post_init__ has seen to it
        if self.optimizer == "adam":
            return optim.Adam(parameters, rate, self.betas)
        return optim.OPTIMIZERS[self.optimizer](parameters, rate)


@dataclass(frozen=True, kw_only=True)
class Custom(Recipe):
    """The user's own networks, given to `rawgan.train(generator=..., discriminator=...)`.

    value_range: what black and white are to the networks: G's output and D's input for pictures.
    d_probabilities: whether D ends in a sigmoid.
    """

    name: ClassVar[str] = "custom"

    value_range: tuple[float, float] = (-1.0, 1.0)
    d_probabilities: bool = False

    def __post_init__(self) -> None:
        ends = self.value_range
        rising = isinstance(ends, tuple | list) and len(ends) == 2 and all(map(is_number, ends))
        if not rising or not ends[0] < ends[1]:
            raise ConfigError(f"custom: value_range is (black, white), two rising numbers, got {ends!r}")
        object.__setattr__(self, "value_range", (float(ends[0]), float(ends[1])))
        super().__post_init__()

    @property
    def low(self) -> float:  # type: ignore[override]
        return self.value_range[0]

    @property
    def high(self) -> float:  # type: ignore[override]
        return self.value_range[1]

    @property
    def probabilities(self) -> bool:  # type: ignore[override]
        return self.d_probabilities


def draw_dcgan_weights(network: nn.Module) -> nn.Module:
    """Weights from N(0, 0.02²), BatchNorm scales from N(1, 0.02²), biases 0 (Radford et al. 2016)."""
    for _, module in network.named_modules():
        for name, tensor in module._parameters.items():
            if name == "bias":
                tensor.copy_(0 * tensor.data)
            else:
                centre = 1.0 if isinstance(module, nn.BatchNorm) else 0.0
                tensor.copy_(centre + 0.02 * rng.current().normal(tensor.shape))
    return network


def picture_size(name: str, shape: tuple[int, ...], multiple: int) -> tuple[int, int, int]:
    """(C, H, W) of a picture dataset, refused unless H and W are multiples of a number."""
    if len(shape) != 3 or shape[1] % multiple or shape[2] % multiple:
        raise ConfigError(
            f"{name}: takes pictures whose sides are multiples of {multiple}, the data is of shape {shape}"
        )
    return shape
