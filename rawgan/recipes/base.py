"""What every recipe is: settings, checked when they are given, and how to build and train the networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from rawgan import losses, nn, optim, rng, schedules
from rawgan.kernels.errors import ConfigError
from rawgan.settings import is_number, number, whole_number


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings that all training has.

    A setting said to be "for each player" is one number for all, or one for some of them by name, such as
    {"generator": ..., "discriminator": ...}.

    data: the dataset's name, unless the user gives another.
    epochs, steps: how long to train by default; one of them.
    noise: the length of z, standard normal.
    learning_rate: for each player. betas: Adam's. optimizer: "adam", "rmsprop", "adagrad",
        "sgd", or "rmsprop_printed" (`optim.RMSpropPrinted`).
    schedule: "constant", or how the learning rate falls to 0, "linear" or "cosine", in each player's first
        schedule_steps updates.
    clip_norm: for each player, limits the norm of all its gradients together; {} for no limit.
    clip_norm_each: the same for each parameter's own norm. clip_value: for each gradient element.
    l2: for each player, the weight of a further term of its loss, Σ θ².
    average: the decay of an exponential moving average of G's weights, which samples are then made with,
        batch normalisation by statistics that fit them.

    A class says besides: players: who is updated -> the networks that are his.
    """

    name: ClassVar[str] = ""
    players: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    low: ClassVar[float] = -1.0  # the range of pictures inside, the range of G's output
    high: ClassVar[float] = 1.0

    data: str = "digits"
    epochs: int | None = None
    steps: int | None = None
    noise: int = 100
    batch_size: int = 128
    learning_rate: Any = 2e-4
    optimizer: str = "adam"
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: str = "constant"
    schedule_steps: int | None = None
    clip_norm: Any = None
    clip_norm_each: Any = None
    clip_value: Any = None
    l2: Any = None
    average: float | None = None

    def __post_init__(self) -> None:
        for f in fields(self):  # NumPy's numbers are not JSON's
            if isinstance(getattr(self, f.name), np.generic):
                object.__setattr__(self, f.name, getattr(self, f.name).item())
        for key in ("noise", "batch_size"):
            whole_number(f"{self.name}: {key}", getattr(self, key))
        if self.average is not None:
            number(f"{self.name}: average", self.average, 0.0, 1.0)
        for key in ("epochs", "steps"):
            if getattr(self, key) is not None:
                whole_number(f"{self.name}: {key}", getattr(self, key))
        for player in self.players:
            if self.for_player("learning_rate", player) is None:
                raise ConfigError(f"{self.name}: learning_rate says nothing for the {player}")
        for key in ("clip_norm", "clip_norm_each", "clip_value", "l2"):
            for player in self.players:
                self.for_player(key, player)
        if not isinstance(self.optimizer, str) or self.optimizer not in optim.OPTIMIZERS:
            raise ConfigError(
                f"{self.name}: there is no optimizer {self.optimizer!r}; "
                f"there are: {', '.join(optim.OPTIMIZERS)}"
            )
        schedules.make(self.schedule, self.schedule_steps)  # refuses an unknown one
        betas = self.betas
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ConfigError(f"{self.name}: betas are two numbers in [0, 1), got {betas!r}")
        betas = tuple(number(f"{self.name}: each of betas", b, 0.0, 1.0) for b in betas)
        object.__setattr__(self, "betas", betas)

    def for_player(self, key: str, player: str) -> float | None:
        """A per-player setting's number for one player, or None."""
        value = getattr(self, key)
        if isinstance(value, Mapping):
            odd = [name for name in value if name not in self.players]
            if odd:
                known = " and ".join(map(repr, self.players))
                raise ConfigError(f"{self.name}: {key} is for {known}, not {odd[0]!r}")
            value = value.get(player)
        if value is not None and not (is_number(value) and value > 0):
            raise ConfigError(
                f"{self.name}: {key} is a number above 0 (or one for each player), got {value!r}"
            )
        return None if value is None else float(value)

    def at_least_zero(self, *keys: str) -> None:
        """Refuse settings that are not numbers from 0 on."""
        for key in keys:
            number(f"{self.name}: {key}", getattr(self, key), 0.0)

    def prepare(self, source: Any) -> Any:
        """The dataset as this recipe's networks take it (resized, say)."""
        return source

    def networks(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        """Freshly initialised, by name, for items of a shape; "generator": (N, noise) -> (N, *shape)."""
        raise TypeError(f"{type(self).__name__} does not define networks()")

    @classmethod
    def members(cls) -> tuple[str, ...]:
        """The names of the networks."""
        return tuple(dict.fromkeys(name for names in cls.players.values() for name in names))

    def make_optimizer(self, player: str, parameters: list) -> optim.Optimizer:
        """The optimiser of one player."""
        rate: Any = self.for_player("learning_rate", player)  # never None: __post_init__ has seen to it
        more = (self.betas,) if self.optimizer == "adam" else ()
        made = optim.OPTIMIZERS[self.optimizer](parameters, rate, *more)
        made.schedule = schedules.make(self.schedule, self.schedule_steps)
        return made

    def make_objective(self) -> losses.Objective | None:
        """The adversarial losses, where there is a game."""
        return None

    def step(self, game: Any) -> None:
        """One training step, written down; game: a `rawgan.training.game.Game`."""
        raise TypeError(f"{type(self).__name__} does not define step()")

    def after_update(self, player: str, optimizer: optim.Optimizer) -> None:
        """What is done to the weights themselves when a player has been updated."""

    def batches(self) -> int:
        """How many batches of the data a step takes."""
        return 1

    def prefix(self, player: str) -> str:
        """What a player's columns of the history begin with."""
        return f"{player[0]}_"

    def columns(self) -> tuple[str, ...]:
        """Of the history, "step" first."""
        raise TypeError(f"{type(self).__name__} does not define columns()")

    def weight_decay(self, game: Any, player: str) -> dict[str, Any]:
        """The player's term l2 · Σ θ², if it has one."""
        weight = self.for_player("l2", player)
        if weight is None:
            return {}
        parameters = [p for name in self.players[player] for p in game.networks[name].parameters()]
        return {"l2": weight * losses.l2(parameters)}

    def decay_columns(self) -> list[str]:
        """Those of `weight_decay`."""
        return [f"{self.prefix(player)}l2" for player in self.players if self.for_player("l2", player)]


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
