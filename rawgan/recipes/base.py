"""What every recipe is: settings, checked when they are given, and how to build the networks."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from rawgan import losses, nn, optim, rng
from rawgan.engine import no_grad
from rawgan.kernels.errors import ConfigError
from rawgan.losses import adversarial
from rawgan.settings import is_number, number, whole_number

PLAYERS = ("generator", "discriminator")  # of most games


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
    label_smoothing: taken off D's target for real data. pack: how many items D judges together (PacGAN,
        Lin et al. 2018). weight_clip: limits each of D's weights after an update (Arjovsky et al. 2017).
    gradient_penalty, r1, l2: weights of further terms of D's loss (`rawgan.losses`); l2 for each player.
    average: the decay of an exponential moving average of G's weights, which samples are then made with.
    """

    name: ClassVar[str] = ""
    players: ClassVar[Mapping[str, tuple[str, ...]]] = {player: (player,) for player in PLAYERS}
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
    label_smoothing: float = 0.0
    pack: int = 1
    weight_clip: float | None = None
    gradient_penalty: float = 0.0
    r1: float = 0.0
    l2: Any = None
    average: float | None = None

    def __post_init__(self) -> None:
        for f in fields(self):  # NumPy's numbers are not JSON's
            if isinstance(getattr(self, f.name), np.generic):
                object.__setattr__(self, f.name, getattr(self, f.name).item())
        for key in ("noise", "batch_size", "d_steps", "pack"):
            whole_number(f"{self.name}: {key}", getattr(self, key))
        if self.batch_size % self.pack:
            raise ConfigError(
                f"{self.name}: batch_size {self.batch_size} is no multiple of pack, {self.pack}, which is how "
                "many items D judges together"
            )
        for key in ("gradient_penalty", "r1"):
            number(f"{self.name}: {key}", getattr(self, key), 0.0)
        if (
            self.weight_clip is not None
            and not number(f"{self.name}: weight_clip", self.weight_clip, 0.0) > 0
        ):
            raise ConfigError(f"{self.name}: weight_clip is a number above 0, got {self.weight_clip!r}")
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
        adversarial(self.objective, self.probabilities, self.label_smoothing)  # refuses an unknown one
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

    def prepare(self, source: Any) -> Any:
        """The dataset as this recipe's networks take it (resized, say)."""
        return source

    def networks(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        """Freshly initialised, by name; those of most games are

        "generator": (N, noise) -> (N, *shape), and "discriminator": (N, *packed(shape)) -> (N, 1).
        """
        raise TypeError(f"{type(self).__name__} does not define networks()")

    @classmethod
    def members(cls) -> tuple[str, ...]:
        """The names of the networks."""
        return tuple(dict.fromkeys(name for names in cls.players.values() for name in names))

    def packed(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what D judges at once: of `pack` items, one channel after another."""
        return (self.pack * shape[0], *shape[1:])

    def batches(self) -> int:
        """How many batches of the data a step takes."""
        return self.d_steps

    def prefix(self, player: str) -> str:
        """What a player's columns of the history begin with."""
        return f"{player[0]}_"

    def columns(self) -> tuple[str, ...]:
        """Of the history: losses, D's mean answers, norms before clipping, and the further terms."""
        common = ("step", "d_loss", "g_loss", "d_real", "d_fake", "d_grad_norm", "g_grad_norm")
        return (
            *common,
            *(f"d_{name}" for name in ("gradient_penalty", "r1") if getattr(self, name)),
            *self._l2(),
        )

    def _l2(self) -> list[str]:
        return [f"{self.prefix(player)}l2" for player in self.players if self.for_player("l2", player)]

    def step(self, game: Any) -> None:
        """One training step: D `d_steps` times, then G once. game: a `rawgan.training.game.Game`.

        The last fake batch serves both players, as in Radford et al.'s training: D sees it cut off from the
        tape, G learns through it.
        """
        for left in reversed(range(self.d_steps)):
            real = game.real()
            with no_grad() if left else contextlib.nullcontext():
                fake = game.generate()
            game.update("discriminator", self.discriminator_terms(game, real, fake.detach()))
        with nn.frozen(game.networks["discriminator"]):
            game.update("generator", self.generator_terms(game, fake))

    def discriminator_terms(self, game: Any, real: Any, fake: Any) -> dict[str, Any]:
        """What D's loss is the sum of, by name."""
        terms = game.objective.discriminator_terms(game.judge(real, "d_real"), game.judge(fake, "d_fake"))
        if self.gradient_penalty:
            terms["gradient_penalty"] = losses.gradient_penalty(game.judge, real, fake, self.gradient_penalty)
        if self.r1:
            terms["r1"] = losses.r1(game.judge, real, self.r1)
        return terms | self.weight_decay(game, "discriminator")

    def generator_terms(self, game: Any, fake: Any) -> dict[str, Any]:
        """What G's loss is the sum of, by name."""
        return {"adversarial": game.objective.generator(game.judge(fake))} | self.weight_decay(
            game, "generator"
        )

    def weight_decay(self, game: Any, player: str) -> dict[str, Any]:
        """The player's term l2 · Σ θ², if it has one."""
        weight = self.for_player("l2", player)
        if weight is None:
            return {}
        parameters = [p for name in self.players[player] for p in game.networks[name].parameters()]
        return {"l2": weight * losses.l2(parameters)}

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
