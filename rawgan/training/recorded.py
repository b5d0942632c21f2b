"""One training step as a recording of the device's work, and what replays of it need.

A replay launches everything at once and reads nothing back, so a step costs what the device needs and not
what Python does: batches are gathered on the device, draws and the optimisers' steps are counted there, and
what the history wants stays there for some steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rawgan import arrays, kernels
from rawgan.data import Dataset
from rawgan.kernels.cuda.count import Count
from rawgan.kernels.cuda.history import keep_row
from rawgan.kernels.errors import DeviceError
from rawgan.training.game import Game
from rawgan.training.seal import Attributes, counted, modules, sealed
from rawgan.training.step import Trainer

Held = tuple[Any, Any]  # see Recorded.held
MOST = 50  # steps whose batches and rows of the history the device holds


class Recorded:
    """A step of `trainer`, recorded with `maker` (kernels/cuda/recording.py).

    The recording keeps arrays and numbers. Of the arrays, those that outlive a step are written in place. Of
    the numbers, those that grow are in `_moved`, and `stands` says whether all others are still the same.
    A replay writes also over what a step had made and nobody held any more, so whatever is to outlast it is
    made before the recording or held from then on.
    done: steps that were replayed. held: a Dataset and its items on the device; earlier: as the recording
    before this one held them.
    Raises DeviceError where the step does what cannot be replayed; the trainer is then as it was.
    """

    def __init__(self, trainer: Trainer, maker: Any, earlier: Held = (None, None)):
        self.trainer, self._maker = trainer, maker
        self.done = 0
        self._streams = (trainer.noise, trainer.layers)
        self._optimizers = list(trainer.optimizers.values())
        self._modules = modules(trainer)
        with maker.using(), arrays.use_device(trainer.device) as device:
            # Steps, batches, draws of the two streams of random numbers, and steps of each optimiser.
            self._moved = arrays.asarray(np.zeros(4 + len(self._optimizers), np.int64), device=device)
            self._growth = arrays.asarray(np.zeros(self._moved.shape, np.int64), device=device)
            self._stage = _Stage(trainer, self._moved[1:2], earlier)
            held = [self._moved, *self._persistent()]
            self._state = [(array, arrays.namespace(array).empty_like(array)) for array in held]
            self._make()
        self.held = self._stage.held
        self._seal, self._counted = sealed(trainer), counted(trainer)

    def _persistent(self) -> list[arrays.Array]:
        """What a step changes and the next one reads, the counts apart."""
        return [
            *(p.data for network in self.trainer.networks.values() for p in network.parameters()),
            *(array for module in self._modules for array in module._buffers.values()),
            *(array for o in self._optimizers for state in o.state for array in state.values()),
            *(self.trainer.average.values if self.trainer.average else ()),
        ]

    def _make(self) -> None:
        """The recording. What the host counts meanwhile is put back, and then known for each replay."""
        moved = [self._moved[i : i + 1] for i in range(len(self._moved))]
        drawn = [int(stream.draw) for stream in self._streams]
        steps = [list(optimizer.steps) for optimizer in self._optimizers]
        buffers = [
            (module, name, array) for module in self._modules for name, array in module._buffers.items()
        ]
        attributes = Attributes(self._modules)
        try:
            for stream, moved_by in zip(self._streams, moved[2:4], strict=True):
                stream.draw = Count(stream.draw, moved_by)
            for optimizer, moved_by in zip(self._optimizers, moved[4:], strict=True):
                optimizer.moved = moved_by
            with self._maker.making():
                self._play(moved[0])
                for module, name, array in buffers:
                    if module._buffers[name] is not array:  # replaced, where a replay needs it written
                        array[...] = module._buffers[name]
                self._moved += self._growth
            for module, name, array in buffers:
                module.buffer(name, array)
            if changed := attributes.changed():
                raise DeviceError(
                    f"{changed} changes from step to step, which a replay does not; an array that does is "
                    "kept by buffer()"
                )
            self._drawn = [int(s.draw) - then for s, then in zip(self._streams, drawn, strict=True)]
            self._stepped = [
                [now - then for now, then in zip(o.steps, old, strict=True)]
                for o, old in zip(self._optimizers, steps, strict=True)
            ]
        finally:
            for stream, draw in zip(self._streams, drawn, strict=True):
                stream.draw = draw
            for optimizer, old in zip(self._optimizers, steps, strict=True):
                optimizer.moved, optimizer.steps = None, old
            attributes.put_back()
        growth = [1, self.trainer.recipe.batches(), *self._drawn, *(max(each) for each in self._stepped)]
        self._growth[...] = arrays.asarray(np.array(growth, np.int64), device=self.trainer.device)

    def _play(self, moved: arrays.Array) -> None:
        """The step, and its row of the history kept."""
        values: list[tuple[str, arrays.Array]] = []
        game = Game(self.trainer, self._stage.batch, lambda turn, player, found: values.extend(found.items()))
        self.trainer.play(game)
        xp = arrays.namespace(self._moved)
        self._columns = {name: i for i, (name, _) in enumerate(values)}  # of D's turns, the last
        self._table = xp.empty((MOST, len(values)), dtype="float64")
        row = xp.empty(len(values), dtype="float64")
        # One by one: CuPy's stack() of more than 8 sends their addresses from the host.
        for i, (_, value) in enumerate(values):
            row[i] = value
        keep_row(row, self._table, Count(0, moved))

    def stands(self) -> bool:
        """Whether a replay still is the step: no setting, weight's array or count was changed by others."""
        return counted(self.trainer) == self._counted and sealed(self.trainer) == self._seal

    def run(self, count: int) -> list[dict[str, float]] | None:
        """Replay `count` steps, at most MOST, and give their rows of the history.

        None, and everything as it was before, if a number among them is not finite.
        """
        trainer = self.trainer
        with self._maker.using(), arrays.use_device(trainer.device):
            self._stage.fill(trainer.steps, count, self.done)
            for array, copy in self._state:
                copy[...] = array
            with np.errstate(all="ignore"):  # cuda-sim's; what is not finite is found below
                for _ in range(count):
                    self._maker.replay()
            places = [(self.done + i) % MOST for i in range(count)]
            found = arrays.to_numpy(self._table)[places]
            if not np.isfinite(found).all():
                for array, copy in self._state:
                    array[...] = copy
                return None
        self._advance(count)
        return [
            {"step": trainer.steps - count + 1 + i, **{n: float(row[c]) for n, c in self._columns.items()}}
            for i, row in enumerate(found)
        ]

    def _advance(self, count: int) -> None:
        """What the host counts, as after `count` steps."""
        self.done += count
        self.trainer.steps += count
        for stream, each in zip(self._streams, self._drawn, strict=True):
            for _ in range(count * each):
                stream.next()
        for optimizer, each in zip(self._optimizers, self._stepped, strict=True):
            optimizer.steps = [n + count * more for n, more in zip(optimizer.steps, each, strict=True)]
            for p in optimizer.params:
                p.changed()
        self._counted = counted(self.trainer)


class _Stage:
    """The batches of the coming turns of D on the device: rows of a table of items' numbers.

    The items of a Dataset lie there whole. Of other sources, the batches themselves are sent, some at a time.
    """

    def __init__(self, trainer: Trainer, moved: arrays.Array, earlier: Held):
        self._trainer, self._moved = trainer, moved
        recipe, self._source = trainer.recipe, trainer.source
        self._rows = MOST * recipe.batches()
        self._whole = getattr(type(self._source), "batch_for", None) is Dataset.batch_for
        size = recipe.batch_size
        if self._whole:
            source, self._items = earlier
            if source is not self._source:
                self._items = arrays.asarray(self._source.items, device=trainer.device)
            self._host = np.zeros((self._rows, size), np.int32)
        else:
            self._items = arrays.asarray(np.zeros((self._rows * size, *trainer.shape), np.float32))
            self._host = np.arange(self._rows * size, dtype=np.int32).reshape(self._rows, size)
        self._table = arrays.asarray(self._host)
        self.held = (self._source, self._items) if self._whole else earlier

    def fill(self, steps: int, count: int, done: int) -> None:
        """Send the batches of `count` steps that come after `steps`, of which `done` were replays."""
        recipe, key, turns = self._trainer.recipe, self._trainer.data_key, self._trainer.recipe.batches()
        for i in range(count * turns):
            row, number = (done * turns + i) % self._rows, steps * turns + i
            if self._whole:
                self._host[row] = self._source.indices_for(number, recipe.batch_size, key)
            else:
                batch = self._source.batch_for(number, recipe.batch_size, key, recipe.low, recipe.high)
                places = slice(row * recipe.batch_size, (row + 1) * recipe.batch_size)
                self._items[places] = arrays.asarray(batch, "float32")
        if self._whole:
            self._table[...] = arrays.asarray(self._host)

    def batch(self, turn: int) -> arrays.Array:
        """The batch of a step's turn, counted from 0."""
        recipe, scaled = self._trainer.recipe, self._whole and self._source.kind == "images"
        ends = (recipe.low, recipe.high) if scaled else (0.0, 1.0)
        return kernels.gather(self._items, self._table, Count(turn, self._moved), *ends)
