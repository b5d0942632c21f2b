"""Run: a trained (or half-trained) GAN, its history, and how it is saved and loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rawgan import arrays, nn, recipes, rng
from rawgan.inspect.comparison import Comparison
from rawgan.inspect.tape import BUDGET, Tape
from rawgan.kernels.errors import CheckpointError, ConfigError, RawganError
from rawgan.nn.structure import rebuild
from rawgan.settings import whole_number
from rawgan.training import checkpoint, history
from rawgan.training.config import check
from rawgan.training.rundir import RunDirectory
from rawgan.training.step import Trainer


class Run:
    """What `rawgan.train` returns and `rawgan.load` finds.

    generator, discriminator: the networks. config: what the run was started with.
    path: its run directory, or None. stopped: why it ended early ("interrupted", "callback"), or None.
    """

    def __init__(self, trainer: Trainer, config: dict[str, Any], rows: Any, path: Path | None = None):
        self.trainer, self.config, self.path = trainer, config, path
        self._rows = rows  # a History, or a plain dict of arrays
        self.stopped: str | None = None
        self.warnings: list[Any] = []  # of this training: (step, kind, says)

    def __repr__(self) -> str:
        where = f", path={str(self.path)!r}" if self.path else ""
        return f"<Run {self.config['recipe']} on {self.config['data']['name']}, {self.steps} steps{where}>"

    def _repr_html_(self) -> str:
        from rawgan.training.notebook import run_html

        return run_html(self)

    @property
    def generator(self) -> nn.Module:
        return self.trainer.generator

    @property
    def discriminator(self) -> nn.Module:
        return self.trainer.discriminator

    @property
    def steps(self) -> int:
        """Training steps done."""
        return self.trainer.steps

    @property
    def history(self) -> dict[str, np.ndarray]:
        """One NumPy array per column, one value per step: "step", "d_loss", "g_loss", "d_real", ..."""
        return self._rows if isinstance(self._rows, dict) else self._rows.as_arrays()

    def sample(self, n: int = 64, seed: int = 0) -> np.ndarray:
        """n new examples from noise that depends on the seed only.

        Pictures: (n, C, H, W) float32 in [0, 1]; points: (n, 2) float32.
        """
        whole_number("sample: n", n, least=0)
        z = rng.Generator(seed).spawn("samples").normal((n, self.trainer.recipe.noise), device="cpu")
        return self.trainer.generate(z)

    def inspect(
        self,
        step: int,
        devices: Sequence[str] | None = None,
        budget: int = BUDGET,
        layers: Sequence[str] | None = None,
        ops: Sequence[str] | None = None,
        data: Any = None,
    ) -> Tape | Comparison:
        """Replay a training step, recorded: 1 is the first, `run.steps` the last, `run.steps` + 1 the next.

        From the nearest checkpoint, bit for bit; the run itself is left alone. devices: run that one step on
        each, from the same state, and compare the gradients. budget, layers, ops: as for
        `rawgan.inspect.record`. data: where the run was loaded and trained on data of your own.
        Returns a Tape, or with devices a Comparison. Raises ConfigError, CheckpointError.

        >>> import rawgan
        >>> run = rawgan.train("mlp", steps=2, batch_size=16, progress=False)
        >>> [turn.player for turn in run.inspect(step=2).turns]
        ['discriminator', 'generator']
        """
        from rawgan.training.inspected import inspect

        return inspect(self, step, devices, budget, layers, ops, data)

    def save(self, path: str | os.PathLike) -> None:
        """Write everything to one file that `rawgan.load` reads; CheckpointError if it cannot."""
        values, meta = self.trainer.state()
        values |= {f"history.{name}": column for name, column in self.history.items()}
        checkpoint.save(path, values, {**meta, "config": self.config})


def load(
    path: str | os.PathLike,
    generator: nn.Module | None = None,
    discriminator: nn.Module | None = None,
    device: str = "auto",
) -> Run:
    """The run saved in a run directory (its newest whole checkpoint) or in a file of `Run.save`.

    generator, discriminator: for networks whose classes are not rawgan's own; their weights are overwritten.
    Raises CheckpointError where there is no run, none that is whole, or a configuration changed by hand.
    """
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        if network is not None and not isinstance(network, nn.Module):
            raise ConfigError(f"{name}= takes a network such as nn.Sequential(...), got {network!r}")
    if RunDirectory.exists(path) or Path(path).is_dir():
        directory = RunDirectory.open(path)
        found = directory.latest_checkpoint()
        if found is None:
            raise CheckpointError(f"{path}: the run has no checkpoint yet; train longer")
        values, meta, config, source = found.arrays, found.meta, directory.config, directory.config_path
        rows = {k: v[: found.step] for k, v in history.read(directory.history_path).items()}
        where = directory.path
    else:
        values, meta = checkpoint.load(path)
        if not isinstance(meta, dict) or "config" not in meta:
            raise CheckpointError(
                f"{path}: is a checkpoint without its configuration; give the run directory that it is from"
            )
        config, source, where = meta["config"], Path(path), None
        rows = {}
    check(config, source)
    device = arrays.resolve(device)
    recipe = recipes.make(config["recipe"], **config["settings"])
    rows = rows or {k: values[f"history.{k}"] for k in recipe.columns() if f"history.{k}" in values}
    own = {"generator": generator, "discriminator": discriminator}
    networks = {name: own.get(name) or _rebuilt(name, config, source) for name in recipe.members()}
    try:
        trainer = Trainer(recipe, config["data"]["shape"], None, config["seed"], device, networks)
        trainer.restore(values, meta)
    except (RawganError, MemoryError) as error:  # such as a description without layers
        raise CheckpointError(f"{path}: {error}") from error
    return Run(trainer, config, rows, where)


def _rebuilt(player: str, config: dict[str, Any], source: Path) -> nn.Module:
    """The network as its description says; CheckpointError with the place where that cannot be built."""
    try:
        with rng.use_generator(rng.Generator()):  # initial values are drawn, but not from the caller's stream
            return rebuild(config["networks"][player])
    except ConfigError as error:
        raise CheckpointError(f"{source}: networks.{player}: {error}") from error
    except (LookupError, TypeError, AttributeError, ValueError, MemoryError, RawganError) as error:
        raise CheckpointError(
            f"{source}: networks.{player} cannot be built ({error!r}); restore it"
        ) from error
