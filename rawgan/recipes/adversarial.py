"""What every game of two has: a discriminator's turns and a generator's, and the terms of their losses."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rawgan import kernels, losses, nn, optim
from rawgan.engine import no_grad
from rawgan.kernels.errors import ConfigError
from rawgan.recipes.base import Recipe
from rawgan.settings import is_number, number, whole_number

PLAYERS = ("generator", "discriminator")


@dataclass(frozen=True, kw_only=True)
class Adversarial(Recipe):
    """The settings that every GAN has, besides those of `Recipe`.

    objective: the adversarial loss (`rawgan.losses.adversarial`). d_steps: updates of D for one of G.
    label_smoothing: taken off D's target for real data (Salimans et al. 2016).
    pack: how many items D judges together (PacGAN, Lin et al. 2018).
    weight_clip: the limit of each of D's weights after its update (Arjovsky et al. 2017), or None.
    gradient_penalty, r1: weights of further terms of D's loss (`rawgan.losses`).
    conjugate: the weight λ of a second game of both, an f-GAN's, whose divergence is "kl", "reverse_kl",
        "pearson" or "jensen_shannon" (`rawgan.losses.conjugate`).
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {player: (player,) for player in PLAYERS}
    probabilities: ClassVar[bool] = False  # D ends in a sigmoid

    objective: str = "non_saturating"
    d_steps: int = 1
    label_smoothing: float = 0.0
    pack: int = 1
    weight_clip: float | None = None
    gradient_penalty: float = 0.0
    r1: float = 0.0
    conjugate: float = 0.0
    divergence: str = "pearson"

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("d_steps", "pack"):
            whole_number(f"{self.name}: {key}", getattr(self, key))
        if self.batch_size % self.pack:
            raise ConfigError(
                f"{self.name}: D judges {self.pack} items together (pack), and batch_size {self.batch_size} "
                "is no multiple of that"
            )
        self.at_least_zero("gradient_penalty", "r1", "conjugate")
        number(f"{self.name}: label_smoothing", self.label_smoothing, 0.0, 1.0)
        if self.weight_clip is not None and not (is_number(self.weight_clip) and self.weight_clip > 0):
            raise ConfigError(f"{self.name}: weight_clip is a number above 0, got {self.weight_clip!r}")
        if self.conjugate and self.probabilities:
            raise ConfigError(
                f"{self.name}: conjugate takes D's raw output, and this D ends in a sigmoid; use the recipe "
                "'gat'"
            )
        losses.conjugate(self.divergence)  # refuses an unknown one
        self.make_objective()

    def make_objective(self) -> losses.Objective:
        return losses.adversarial(self.objective, self.probabilities, self.label_smoothing)

    def packed(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what D judges at once: of `pack` items, one channel after another."""
        return (self.pack * shape[0], *shape[1:])

    def batches(self) -> int:
        return self.d_steps

    def columns(self) -> tuple[str, ...]:
        """Losses, D's mean answers (probability or critic score), norms before clipping, further terms."""
        common = ("step", "d_loss", "g_loss", "d_real", "d_fake", "d_grad_norm", "g_grad_norm")
        further = [f"d_{name}" for name in ("gradient_penalty", "r1") if getattr(self, name)]
        further += ["d_conjugate", "g_conjugate"] if self.conjugate else []
        return (*common, *further, *self.decay_columns())

    def step(self, game: Any) -> None:
        """D `d_steps` times, then G once.

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
        on_real, on_fake = game.judge(real, "d_real"), game.judge(fake, "d_fake")
        terms = game.objective.discriminator_terms(on_real, on_fake)
        if self.gradient_penalty or self.r1:
            D, real, fake = game.networks["discriminator"], game.packed(real), game.packed(fake)
        if self.gradient_penalty:
            terms["gradient_penalty"] = losses.gradient_penalty(D, real, fake, self.gradient_penalty)
        if self.r1:
            terms["r1"] = losses.r1(D, real, self.r1)
        if self.conjugate:
            game_of_f = losses.conjugate(self.divergence)
            terms["conjugate"] = self.conjugate * (game_of_f.real(on_real) + game_of_f.fake(on_fake))
        return terms | self.weight_decay(game, "discriminator")

    def generator_terms(self, game: Any, fake: Any) -> dict[str, Any]:
        """What G's loss is the sum of, by name."""
        on_fake = game.judge(fake)
        terms = {"adversarial": game.objective.generator(on_fake)}
        if self.conjugate:
            terms["conjugate"] = self.conjugate * losses.conjugate(self.divergence).generator(on_fake)
        return terms | self.weight_decay(game, "generator")

    def after_update(self, player: str, optimizer: optim.Optimizer) -> None:
        if player == "discriminator" and self.weight_clip is not None:
            kernels.clip_value([p.data for p in optimizer.params], self.weight_clip)
            for p in optimizer.params:
                p.changed()


@dataclass(frozen=True, kw_only=True)
class Custom(Adversarial):
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
