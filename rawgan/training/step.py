"""One training step of a GAN, and everything that it changes.

A `Trainer` holds the networks, their optimisers and the random streams. All its state can be taken out
and put back, and equal states make equal steps, bit for bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rawgan import arrays, nn, rng
from rawgan.engine import Watch, no_grad, switch
from rawgan.kernels.errors import CheckpointError
from rawgan.recipes import Recipe
from rawgan.settings import number
from rawgan.training import anomaly
from rawgan.training.average import Average, standing_statistics
from rawgan.training.game import Game, Search


class _Stopped(Exception):
    """A turn of a step has a number that is not finite."""


class Trainer:
    """The players and how they take turns.

    recipe: settings. networks: by name, or None for the recipe's own, drawn from the seed.
    shape: of one item of the data. source: the data, or None to sample only.
    device: where everything lives. steps: training steps done so far.
    optimizers: by player. average: of G's weights over the steps, where the recipe wants one.
    """

    def __init__(
        self,
        recipe: Recipe,
        shape: tuple[int, ...],
        source: Any = None,
        seed: int = 0,
        device: str = "cpu",
        networks: Mapping[str, nn.Module] | None = None,
    ):
        root = rng.Generator(seed)
        self.recipe, self.shape, self.source, self.device = recipe, tuple(shape), source, device
        with arrays.use_device(device), rng.use_generator(root.spawn("weights")):
            made = networks or recipe.networks(self.shape)
        self.networks = {name: made[name].label(name).to(device).train() for name in recipe.members()}
        self.objective = recipe.make_objective()
        self.optimizers = {
            player: recipe.make_optimizer(
                player, [p for name in names for p in self.networks[name].parameters()]
            )
            for player, names in recipe.players.items()
        }
        weights = self.generator.parameters()
        self.average = None if recipe.average is None else Average(weights, recipe.average)
        self.noise = root.spawn("noise")
        self.layers = root.spawn("layers")  # what dropout draws from
        self.data_key = root.spawn("data").key
        self.steps = 0
        modules = (module for network in self.networks.values() for _, module in network.named_modules())
        self._with_buffers = [module for module in modules if module._buffers]

    @property
    def generator(self) -> nn.Module:
        return self.networks["generator"]

    @property
    def discriminator(self) -> nn.Module:
        return self.networks["discriminator"]

    def step(self) -> dict[str, float]:
        """One step of the recipe; returns the row of the history.

        Raises NonFiniteError, before the player at fault is updated, where a loss or gradient is not finite.
        """
        row: dict[str, float] = {}
        begin = self.noise.state(), self.layers.state()
        statistics = [(module, dict(module._buffers)) for module in self._with_buffers]

        def check(turn: int, player: str, values: dict[str, arrays.Array]) -> None:
            numbers = {name: arrays.to_numpy(value).item() for name, value in values.items()}
            if not anomaly.all_finite(numbers):
                raise _Stopped(turn, player, numbers)
            row.update(numbers)

        game = Game(self, self.batch, check)
        try:
            self.play(game)
        except _Stopped as stopped:
            turn, player, numbers = stopped.args
            outside = any(bool(((v < 0) | (v > 1)).any()) for v in game.verdicts)
            hint = (
                ". D gives values outside [0, 1], which this objective takes as probabilities: end it with "
                "nn.Sigmoid() or set d_probabilities=False"
            )
            hint = hint if self.objective and self.objective.probabilities and outside else ""
            self.noise.set_state(begin[0])
            self.layers.set_state(begin[1])
            search = Search(self, self.batch, turn)
            error = anomaly.error(self.steps + 1, player, numbers, lambda: self.play(search, search), hint)
            for module, buffers in statistics:  # of a batch that counts no more
                for name, value in buffers.items():
                    module.buffer(name, value)
            raise error from None
        self.steps += 1
        return {"step": self.steps, **row}

    def play(self, game: Game, watch: Watch | None = None) -> None:
        """All that a step computes; no value is read back here, so that it can be recorded (recorded.py)."""
        # NumPy's warnings tell less than the NonFiniteError that follows, and come for harmless values too.
        quiet = np.errstate(over="ignore", divide="ignore", invalid="ignore")
        watching = switch(watch=watch) if watch else contextlib.nullcontext()
        with arrays.use_device(self.device), rng.use_generator(self.layers), quiet, watching:
            self.recipe.step(game)

    def real_batch(self, number: int) -> arrays.Array:
        """Batch `number` of the data on the device, in the range of the recipe."""
        recipe = self.recipe
        batch = self.source.batch_for(number, recipe.batch_size, self.data_key, recipe.low, recipe.high)
        return arrays.asarray(batch, "float32", self.device)

    def batch(self, turn: int) -> arrays.Array:
        """The next step's batch number `turn`, counted from 0."""
        return self.real_batch(self.steps * self.recipe.batches() + turn)

    def generate(self, z: arrays.Array) -> np.ndarray:
        """G's output for noise, as after training (running statistics, no dropout): pictures in [0, 1]."""
        was = self.generator.training
        self.generator.eval()
        averaged = self._averaged(self.average) if self.average else contextlib.nullcontext()
        try:
            with no_grad(), arrays.use_device(self.device), averaged:
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

    @contextlib.contextmanager
    def _averaged(self, average: Average) -> Iterator[None]:
        """G as samples are made with it; its running statistics would not fit the averaged weights."""
        with average.in_use(), standing_statistics(self.generator, self.recipe.noise):
            yield

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that a step depends on: arrays by name, and the rest as JSON."""
        out = {}
        for part, kept in self._parts().items():
            out |= {f"{part}.{name}": value for name, value in kept.state_dict().items()}
        meta = {"step": self.steps, "noise": self.noise.state(), "layers": self.layers.state()}
        return out, meta | {"dropout": {path: layer.p for path, layer in self._dropouts().items()}}

    def _parts(self) -> dict[str, Any]:
        """What has a state_dict, by the name that it has in a checkpoint."""
        optimizers = {f"optimizer.{player}": found for player, found in self.optimizers.items()}
        return self.networks | optimizers | ({"average": self.average} if self.average else {})

    def _dropouts(self) -> dict[str, nn.Dropout]:
        """The dropout layers by path: their p may be changed by callbacks, so it is saved."""
        return {
            path: layer
            for name, network in self.networks.items()
            for path, layer in network.named_modules(name)
            if isinstance(layer, nn.Dropout)
        }

    def restore(self, saved: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Put back what `state` gave; CheckpointError if it is of other networks."""
        try:
            for part, kept in self._parts().items():
                kept.load_state_dict(_under(f"{part}.", saved))
            self.noise.set_state(meta["noise"])
            self.layers.set_state(meta["layers"])
            for path, layer in self._dropouts().items():
                layer.p = number(f"{path}: p", meta["dropout"][path], 0.0, 1.0)
            self.steps = int(meta["step"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint does not fit these networks: {error}") from error


def _under(prefix: str, saved: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in saved.items() if name.startswith(prefix)}
