"""One training step of a GAN, and everything that it changes.

A `Trainer` holds both networks, their optimisers and the random streams. All its state can be taken out
and put back, and equal states make equal steps, bit for bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from rawgan import arrays, kernels, nn, optim, rng
from rawgan.engine import Tensor, no_grad
from rawgan.kernels.errors import CheckpointError, NonFiniteError, ShapeError
from rawgan.losses import adversarial
from rawgan.recipes import Recipe
from rawgan.recipes.base import PLAYERS
from rawgan.settings import number
from rawgan.training.anomaly import check_finite

Report = Callable[[str, dict[str, arrays.Array], Callable[[], Tensor]], None]


class Trainer:
    """The two players and how they take turns.

    recipe: settings. networks: (G, D), or None for the recipe's own, drawn from the seed.
    shape: of one item of the data. source: the data, or None to sample only.
    device: where everything lives. steps: training steps done so far.
    """

    def __init__(
        self,
        recipe: Recipe,
        shape: tuple[int, ...],
        source: Any = None,
        seed: int = 0,
        device: str = "cpu",
        networks: tuple[nn.Module, nn.Module] | None = None,
    ):
        root = rng.Generator(seed)
        self.recipe, self.shape, self.source, self.device = recipe, tuple(shape), source, device
        with arrays.use_device(device), rng.use_generator(root.spawn("weights")):
            generator, discriminator = networks or recipe.networks(self.shape)
        self.generator = generator.label("generator").to(device).train()
        self.discriminator = discriminator.label("discriminator").to(device).train()
        self.objective = adversarial(recipe.objective, recipe.probabilities)
        self.optimizers = {
            player: recipe.make_optimizer(player, self.network(player).parameters()) for player in PLAYERS
        }
        self.noise = root.spawn("noise")
        self.layers = root.spawn("layers")  # what dropout draws from
        self.data_key = root.spawn("data").key
        self.steps = 0
        self._verdicts: list[arrays.Array] = []  # D's outputs in this turn, on real and on fake

    def network(self, player: str) -> nn.Module:
        """ "generator" or "discriminator" by name."""
        return self.generator if player == "generator" else self.discriminator

    def step(self) -> dict[str, float]:
        """Update D `d_steps` times and G once; returns the row of the history.

        Raises NonFiniteError, before the player at fault is updated, where a loss or gradient is not finite.
        """
        row: dict[str, float] = {}

        def check(player: str, values: dict[str, arrays.Array], again: Callable[[], Tensor]) -> None:
            numbers = {name: arrays.to_numpy(value).item() for name, value in values.items()}
            try:
                check_finite(self.steps + 1, player, numbers, again)
            except NonFiniteError as error:
                outside = any(bool(((v < 0) | (v > 1)).any()) for v in self._verdicts)
                if self.objective.probabilities and outside:
                    raise NonFiniteError(
                        f"{error}. D gives values outside [0, 1], which this objective takes as "
                        "probabilities: end it with nn.Sigmoid() or set d_probabilities=False"
                    ) from None
                raise
            row.update(numbers)

        first = self.steps * self.recipe.d_steps
        self.play(lambda turn: self.real_batch(first + turn), check)
        self.steps += 1
        return {"step": self.steps, **row}

    def play(self, real: Callable[[int], arrays.Array], report: Report) -> None:
        """All that a step computes; no value is read back here, so that it can be recorded (replays.py).

        real: D's turn, counted from 0 -> its batch, on the device. report: called in each turn, before the
        update, with the player, what is written down of the turn as arrays of no axes, and a function that
        repeats the forward pass exactly and returns the loss.

        The last fake batch serves both players, as in Radford et al.'s training: D sees it cut off from the
        tape, G learns through it.
        """
        # NumPy's warnings tell less than the NonFiniteError that follows, and come for harmless values too.
        quiet = np.errstate(over="ignore", divide="ignore", invalid="ignore")
        with arrays.use_device(self.device), rng.use_generator(self.layers), quiet:
            for turn in range(self.recipe.d_steps):
                last = turn == self.recipe.d_steps - 1
                batch = real(turn)
                z = self.noise.normal((self.recipe.batch_size, self.recipe.noise))
                before = self.layers.state()
                with contextlib.nullcontext() if last else no_grad():
                    fake = self.generator(z)
                if fake.shape != batch.shape:
                    raise ShapeError(
                        f"the generator makes {fake.shape} of noise {z.shape}, the data is {batch.shape}; "
                        "end it with nn.Reshape(...)"
                    )
                d_losses = partial(self._d_loss, batch)
                self._turn("discriminator", d_losses, fake, z, before, report)
            with nn.frozen(self.discriminator):
                self._turn("generator", self._g_loss, fake, z, before, report)

    def real_batch(self, number: int) -> arrays.Array:
        """Batch `number` of the data on the device, in the range of the recipe."""
        recipe = self.recipe
        batch = self.source.batch_for(number, recipe.batch_size, self.data_key, recipe.low, recipe.high)
        return arrays.asarray(batch, "float32", self.device)

    def _d_loss(self, real: arrays.Array, fake: Tensor) -> tuple[Tensor, dict[str, arrays.Array]]:
        on_real, on_fake = self._judge(real), self._judge(fake.detach())
        loss = self.objective.discriminator(on_real, on_fake)
        return loss, {"d_real": self.objective.verdict(on_real), "d_fake": self.objective.verdict(on_fake)}

    def _g_loss(self, fake: Tensor) -> tuple[Tensor, dict[str, arrays.Array]]:
        return self.objective.generator(self._judge(fake)), {}

    def _judge(self, items: Any) -> Tensor:
        """D's outputs, one for each item."""
        outputs = self.discriminator(items)
        if outputs.shape != (len(items), 1):
            raise ShapeError(
                f"the discriminator makes {outputs.shape} of {items.shape}, not one number for each item, "
                f"{(len(items), 1)}; end it with nn.Flatten(), nn.Dense(..., 1)"
            )
        self._verdicts.append(outputs.data)
        return outputs

    def _turn(
        self,
        player: str,
        losses: Callable[[Tensor], tuple[Tensor, dict[str, arrays.Array]]],
        fake: Tensor,
        z: arrays.Array,
        before: dict,
        report: Report,
    ) -> None:
        """One player's loss, gradients, clipping and update."""
        optimizer = self.optimizers[player]
        optimizer.zero_grad()
        self._verdicts.clear()
        mine = self.layers.state()
        loss, values = losses(fake)
        loss.backward()
        gradients, sums = optim.squared_norms(optimizer.params)
        norm = arrays.namespace(sums).sqrt(sums.sum())
        values |= {f"{player[0]}_loss": loss.data, f"{player[0]}_grad_norm": norm}

        def again() -> Tensor:  # the same forward pass, for whoever looks for the first bad value
            self.layers.set_state(before)
            remade = self.generator(z)
            self.layers.set_state(mine)
            return losses(remade)[0]

        report(player, values, again)
        self._clip(player, gradients, sums)
        optimizer.step()

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

    def generate(self, z: arrays.Array) -> np.ndarray:
        """G's output for noise, as after training (running statistics, no dropout): pictures in [0, 1]."""
        was = self.generator.training
        self.generator.eval()
        try:
            with no_grad(), arrays.use_device(self.device):
                out = [
                    self.generator(arrays.asarray(z[i : i + 256], "float32", self.device)).numpy()
                    for i in range(0, len(z), 256)
                ]
        finally:
            self.generator.train(was)
        items = np.concatenate(out) if out else np.empty((0, *self.shape), np.float32)
        if len(self.shape) == 3:
            low, high = self.recipe.low, self.recipe.high
            items = np.clip((items - low) / (high - low), 0, 1)
        return np.asarray(items, np.float32)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that a step depends on: arrays by name, and the rest as JSON."""
        out = {}
        for player in PLAYERS:
            for name, value in self.network(player).state_dict().items():
                out[f"{player}.{name}"] = value
            for name, value in self.optimizers[player].state_dict().items():
                out[f"optimizer.{player}.{name}"] = value
        meta = {"step": self.steps, "noise": self.noise.state(), "layers": self.layers.state()}
        return out, meta | {"dropout": {path: layer.p for path, layer in self._dropouts().items()}}

    def _dropouts(self) -> dict[str, nn.Dropout]:
        """The dropout layers by path: their p may be changed by callbacks, so it is saved."""
        return {
            path: layer
            for player in PLAYERS
            for path, layer in self.network(player).named_modules(player)
            if isinstance(layer, nn.Dropout)
        }

    def restore(self, saved: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Put back what `state` gave; CheckpointError if it is of other networks."""
        try:
            for player in PLAYERS:
                self.network(player).load_state_dict(_under(f"{player}.", saved))
                self.optimizers[player].load_state_dict(_under(f"optimizer.{player}.", saved))
            self.noise.set_state(meta["noise"])
            self.layers.set_state(meta["layers"])
            for path, layer in self._dropouts().items():
                layer.p = number(f"{path}: p", meta["dropout"][path], 0.0, 1.0)
            self.steps = int(meta["step"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint does not fit these networks: {error}") from error


def _under(prefix: str, saved: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in saved.items() if name.startswith(prefix)}
