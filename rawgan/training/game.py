"""What a recipe's step has at hand: the data, the noise, the networks, and the update of a player.

A recipe writes its step down as an article would (`Recipe.step`):

    real, fake = game.real(), game.generate()
    game.update("discriminator", {"real": ..., "fake": ...})
    game.update("generator", {"adversarial": ...})

and knows neither whether its numbers are looked at after each update, nor whether the step is being recorded
(recorded.py), nor whether it is repeated to find a fault (`Search`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from rawgan import arrays, kernels, optim
from rawgan.engine import Tensor, switch
from rawgan.kernels.errors import ShapeError
from rawgan.ops import reshape
from rawgan.training import anomaly

if TYPE_CHECKING:
    from rawgan.training.step import Trainer

Report = Callable[[int, str, dict[str, arrays.Array]], None]
COMMON = ("real", "fake", "adversarial")  # terms that have no column of their own


class Game:
    """One training step of a Trainer.

    networks: by name. objective: the adversarial losses. turn: updates made in this step so far.
    batch: number, counted from 0 in this step -> the batch on the device. report: told in each turn, before
    the update, its number, the player, and what is written down of it, as arrays of no axes.
    """

    def __init__(self, trainer: Trainer, batch: Callable[[int], arrays.Array], report: Report):
        self.trainer, self.recipe = trainer, trainer.recipe
        self.networks, self.objective = trainer.networks, trainer.objective
        self.turn = 0
        self.verdicts: list[arrays.Array] = []  # D's outputs in this turn
        self._told: dict[str, arrays.Array] = {}
        self._batch, self._report = batch, report
        self._batches = 0

    def real(self) -> arrays.Array:
        """The next batch of the data, (batch_size, *shape)."""
        self._batches += 1
        return self._batch(self._batches - 1)

    def noise(self) -> arrays.Array:
        """New z, (batch_size, noise), standard normal."""
        return self.trainer.noise.normal((self.recipe.batch_size, self.recipe.noise))

    def generate(self) -> Tensor:
        """G's output for new noise; ShapeError if it is not of the data's shape."""
        z = self.noise()
        fake = self.networks["generator"](z)
        if fake.shape != (len(z), *self.trainer.shape):
            raise ShapeError(
                f"the generator makes {fake.shape} of noise {z.shape}, the data is "
                f"{(len(z), *self.trainer.shape)}; end it with nn.Reshape(...)"
            )
        return fake

    def packed(self, items: Any) -> Any:
        """What D judges at once: `pack` consecutive items, their channels one after another."""
        pack, shape = getattr(self.recipe, "pack", 1), tuple(items.shape)
        if pack == 1:
            return items
        return reshape(items, (shape[0] // pack, pack * shape[1], *shape[2:]))

    def judge(self, items: Any, column: str | None = None) -> Tensor:
        """D's outputs: one for each item, or for each `pack` of them; their mean is told as `column`."""
        items = self.packed(items)
        outputs = self.networks["discriminator"](items)
        if outputs.shape != (len(items), 1):
            raise ShapeError(
                f"the discriminator makes {outputs.shape} of {items.shape}, not one number for each item, "
                f"{(len(items), 1)}; end it with nn.Flatten(), nn.Dense(..., 1)"
            )
        if column is not None and self.objective is not None:
            self.verdicts.append(outputs.data)
            self._told[column] = self.objective.verdict(outputs)
        return outputs

    def update(self, player: str, terms: Mapping[str, Tensor]) -> None:
        """The gradients of the sum of all terms, clipped, and one update of the player's networks."""
        optimizer = self.trainer.optimizers[player]
        optimizer.zero_grad()
        loss = reduce(add, terms.values())
        loss.backward()
        gradients, sums = optim.squared_norms(optimizer.params)
        of = self.recipe.prefix(player)
        values = self._told | {f"{of}loss": loss.data}
        values |= {f"{of}{name}": term.data for name, term in terms.items() if name not in COMMON}
        self._report(self.turn, player, values | {f"{of}grad_norm": arrays.namespace(sums).sqrt(sums.sum())})
        self._clip(player, gradients, sums)
        optimizer.step()
        self.recipe.after_update(player, optimizer)
        if self.trainer.average is not None and "generator" in self.recipe.players[player]:
            self.trainer.average.update()
        self._next()

    def _next(self) -> None:
        self.turn += 1
        self.verdicts.clear()
        self._told.clear()

    def _clip(self, player: str, gradients: list[arrays.Array], sums: arrays.Array) -> None:
        """In place; sums: Σ g² of each gradient."""
        limit = self.recipe.for_player("clip_value", player)
        if limit is not None:
            kernels.clip_value(gradients, limit)
            sums = kernels.sum_squares(gradients)
        limit = self.recipe.for_player("clip_norm_each", player)
        if limit is not None:
            kernels.clip_norm(gradients, sums, limit, True)
            sums = kernels.sum_squares(gradients)
        limit = self.recipe.for_player("clip_norm", player)
        if limit is not None:
            kernels.clip_norm(gradients, sums, limit, False)


class Search(Game, anomaly.StopAtFirst):
    """The step again, as it was until turn `target`, in which every result is looked at; nothing is updated.

    Raises anomaly.Found for the first that is not finite.
    """

    def __init__(self, trainer: Trainer, batch: Callable[[int], arrays.Array], target: int):
        super().__init__(trainer, batch, lambda turn, player, values: None)
        self.target = target

    def value(self, *what: Any) -> None:
        if self.turn == self.target:
            super().value(*what)

    def share(self, *what: Any) -> None:
        if self.turn == self.target:
            super().share(*what)

    def update(self, player: str, terms: Mapping[str, Tensor]) -> None:
        if self.turn == self.target:
            loss = reduce(add, terms.values())
            with switch(watch=anomaly.StopAtFirstGradient()):
                loss.backward()
            raise anomaly.Done
        self._next()
