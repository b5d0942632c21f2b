"""A past training step once more, recorded: `Run.inspect`.

The run is taken up at its nearest checkpoint before the step (or at its very beginning), the steps between
are trained again without recording, and the step itself runs on a copy of everything, recorded and labelled
by phases. The numbers are those of the first time, bit for bit; where the history has others, it is said.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rawgan import arrays, data, recipes
from rawgan.arrays import Array
from rawgan.engine import Tensor, switch
from rawgan.inspect.comparison import Comparison
from rawgan.inspect.ledger import Turn, Update
from rawgan.inspect.nodes import RecordedNode
from rawgan.inspect.recorder import Recorder
from rawgan.inspect.samples import judged
from rawgan.inspect.show import host
from rawgan.inspect.tape import BUDGET, Tape
from rawgan.kernels.errors import CheckpointError, ConfigError
from rawgan.notice import warn
from rawgan.settings import whole_number
from rawgan.training.game import Game
from rawgan.training.rundir import RunDirectory
from rawgan.training.step import Trainer

if TYPE_CHECKING:
    from rawgan.training.run import Run

LOSS = "loss"  # until the player is known


class RecordedGame(Game):
    """A step that tells a tape its phases, terms and updates."""

    def __init__(self, trainer: Trainer, report: Callable[..., None], tape: Tape, recorder: Recorder):
        super().__init__(trainer, trainer.batch, report)
        self._tape, self._recorder = tape, recorder
        self._fake: Tensor | None = None
        self._outputs: list[Tensor] = []
        self._gradients: dict[Tensor, tuple[np.ndarray, np.ndarray]] = {}  # before and after clipping

    def generate(self) -> Tensor:
        with self._tape.during("G makes examples"):
            self._fake = super().generate()
        return self._fake

    def judge(self, items: Any, column: str | None = None) -> Tensor:
        phase = {"d_real": "D on real", "d_fake": "D on fake"}.get(column or "", "D on G's examples")
        with self._tape.during(phase):
            found = super().judge(items, column)
        self._outputs.append(found)
        return found

    def update(self, player: str, terms: Mapping[str, Tensor]) -> None:
        tape, names = self._tape, self.recipe.players[player]
        who = player[0].upper() if player in ("generator", "discriminator") else player
        for node in tape.nodes:
            node.phase = f"{who}: loss" if node.phase == LOSS else node.phase
        parameters = {
            f"{name}.{key}": p for name in names for key, p in self.networks[name].named_parameters()
        }
        nodes = {name: self._recorder.record_of(p) for name, p in parameters.items()}
        optimizer = self.trainer.optimizers[player]
        if "generator" in names and len(self.trainer.shape) == 1:
            tape.about["networks"] = copy.deepcopy(self.networks)
        with tape.during(f"{who}: update"):
            super().update(player, terms)
            turn = Turn(
                player,
                f"{who}: update",
                tape.passes[-1],
                {name: tape.find(term) for name, term in terms.items()},
                {
                    name: Update(node, *self._gradients[p], np.array(host(p.data)), optimizer.rate)
                    for name, p in parameters.items()
                    if p in self._gradients and (node := nodes[name]) is not None
                },
                self._judged() if "generator" in names else None,
            )
            tape.turns.append(turn)
            self._recorder.log.append(("update", turn))
        self._outputs.clear()

    def _judged(self) -> Any:
        outputs = [found for out in self._outputs if (found := self._recorder.record_of(out)) is not None]
        fake = self._recorder.record_of(self._fake) if self._fake is not None else None
        return judged(outputs, [fake] if fake else self._made())

    def _made(self) -> list[RecordedNode]:
        """What G made in its shape of an example, where the recipe runs G in parts; the last first."""
        return [
            node
            for node in reversed(self._tape.nodes)
            if node.layer.startswith("generator") and not node.leaf and node.shape[1:] == self.trainer.shape
        ]

    def _clip(self, player: str, gradients: list[Array], sums: Array) -> None:
        limits = [
            self.recipe.for_player(key, player) for key in ("clip_norm", "clip_norm_each", "clip_value")
        ]
        before = [np.array(host(g)) for g in gradients] if any(limits) else gradients
        super()._clip(player, gradients, sums)
        learning = [p for p in self.trainer.optimizers[player].params if p.grad is not None]
        pairs = zip(map(host, before), map(host, gradients), strict=True)
        self._gradients = dict(zip(learning, pairs, strict=True))


def inspect(
    run: Run,
    step: int,
    devices: Sequence[str] | None = None,
    budget: int = BUDGET,
    layers: Sequence[str] | None = None,
    ops: Sequence[str] | None = None,
    source: Any = None,
) -> Tape | Comparison:
    """See Run.inspect."""
    whole_number("inspect: step", step)
    if step > run.steps + 1:
        raise ConfigError(
            f"inspect: step {step} lies ahead; the run has {run.steps} steps, the next is {run.steps + 1}"
        )
    if not (devices is None or (isinstance(devices, list | tuple) and devices)):
        raise ConfigError(f'inspect: devices is a list such as ("cpu", "cuda-sim"), got {devices!r}')
    trainer = _before(run, step, _source(run, source))
    if devices is None:
        return _recorded(trainer, run, step, (budget, layers, ops))
    state = trainer.state()
    tapes = {}
    for device in map(arrays.resolve, devices):
        there = _trainer(run, trainer.source, device)
        there.restore(*state)
        tapes[device] = _recorded(there, run, step, (budget, layers, ops))
    return Comparison(tapes)


def _source(run: Run, given: Any) -> Any:
    """The data of the run: as given, or as it was, or by the name in the configuration."""
    known = run.config["data"]
    source = run.trainer.source if given is None else given
    if source is None:
        if not data.known(known["name"]):
            raise ConfigError(
                f"inspect: this run trained on data of your own ({known['name']!r}): give it as data="
            )
        source = known["name"]
    if not hasattr(source, "batch_for") or given is not None:
        source = run.trainer.recipe.prepare(data.load(source))
    if source.fingerprint != known["fingerprint"]:
        raise ConfigError(f"inspect: the run trained on other data than {source.name!r} is now")
    return source


def _trainer(run: Run, source: Any, device: str) -> Trainer:
    """One that stands where the run stood at its very beginning, if the recipe made its networks."""
    config = run.config
    recipe = (
        recipes.make(config["recipe"], **config["settings"])
        if config["recipe"] != "custom"
        else run.trainer.recipe
    )
    own = {name: copy.deepcopy(network) for name, network in run.trainer.networks.items()}
    fresh = None if config["recipe"] != "custom" else own
    return Trainer(recipe, config["data"]["shape"], source, config["seed"], device, fresh)


def _before(run: Run, step: int, source: Any) -> Trainer:
    """A trainer that has done step − 1 steps."""
    trainer = _trainer(run, source, run.trainer.device)
    begin = _begin(run, step)
    if begin is not None:
        trainer.restore(*begin)
    elif run.config["recipe"] == "custom":
        raise CheckpointError(
            f"inspect: there is no checkpoint before step {step}, and how your own networks began is not "
            f"known; there are: {', '.join(map(str, _checkpoints(run))) or 'none'}; train with out= and "
            "checkpoint_every= to have them"
        )
    begun, history = trainer.steps, run.history
    agrees = True
    for _ in range(begun, step - 1):
        row = trainer.step()
        agrees = agrees and _compare(history, row)  # it is said once
    return trainer


def _checkpoints(run: Run) -> list[int]:
    return list(RunDirectory.open(run.path).checkpoint_paths()) if run.path else []


def _begin(run: Run, step: int) -> Any:
    """The newest state at or before the step: what is in memory, or a checkpoint; None for the beginning."""
    if run.steps == step - 1:
        return run.trainer.state()
    if run.path and any(at < step for at in _checkpoints(run)):
        found = RunDirectory.open(run.path).checkpoint_at_or_before(step - 1)
        if found is not None:
            return found.arrays, found.meta
    return None


def _compare(history: Mapping[str, np.ndarray], row: Mapping[str, float]) -> bool:
    """Whether a step is as the history has it, with a warning if not; where it has none, it is."""
    at = int(row["step"]) - 1
    if at >= len(history["step"]):
        return True
    same = all(name not in history or history[name][at] == value for name, value in row.items())
    if not same:
        warn(
            f"step {at + 1} is not as the run's history has it: callbacks changed something, or the run was "
            "trained on another device or machine, or by another version",
            RuntimeWarning,
        )
    return same


def _recorded(trainer: Trainer, run: Run, step: int, how: tuple) -> Tape:
    tape = recorded_step(trainer, *how)
    config = run.config
    tape.title = f"step {step} of {config['recipe']} on {config['data']['name']}, {trainer.device}"
    own = trainer.device == run.trainer.device and step <= len(run.history["step"])
    same = _compare(run.history, tape.about["row"]) if own else None
    recipe = trainer.recipe
    tape.about |= {"recipe": recipe.name, "step": step, "as_trained": same, "source": trainer.source}
    tape.about |= {"shape": trainer.shape, "range": (recipe.low, recipe.high), "noise": recipe.noise}
    tape.about["settings"] = recipe
    return tape


def recorded_step(
    trainer: Trainer,
    budget: int = BUDGET,
    layers: Sequence[str] | None = None,
    ops: Sequence[str] | None = None,
) -> Tape:
    """One training step, recorded; tape.about has its "row" of the history and its "device"."""
    recorder = Recorder(budget, layers, ops)
    for name, network in trainer.networks.items():
        recorder.names.update({p: f"{name}.{key}" for key, p in network.named_parameters()})
    tape, row = Tape(recorder), {"step": float(trainer.steps + 1)}

    def report(turn: int, player: str, values: dict[str, Array]) -> None:
        row.update({key: arrays.to_numpy(value).item() for key, value in values.items()})

    recorder.phase = LOSS
    try:
        with switch(grad=True):
            trainer.play(RecordedGame(trainer, report, tape, recorder), recorder)
    finally:
        recorder.forget()
    trainer.steps += 1
    tape.about |= {"row": row, "device": trainer.device}
    return tape
