"""The tape of a recording: every node in order, and the questions that can be asked of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from rawgan.engine import MODE, Tensor, switch
from rawgan.inspect import check, explain, ledger, samples, stepping, summary
from rawgan.inspect.nodes import Backward, RecordedNode
from rawgan.inspect.recorder import Recorder
from rawgan.inspect.replay import Replay
from rawgan.kernels.errors import ConfigError, GradientError
from rawgan.settings import whole_number

BUDGET = 1 << 30


class Tape:
    """What a recording holds. `nodes` are in execution order; `passes` the backward passes.

    turns: the players' updates, of a training step. title: what was recorded. Drop the tape and all that it
    holds is free, once Python collects garbage. about: of a training step: "recipe", "step", "device",
    "row" (its line of the history), "as_trained" (whether that is the run's own line; None on another
    device and ahead of it), "shape" of an item, "range" of its numbers, "noise" (the length of z), "source"
    (the data), "settings" (the recipe), and for points "networks", as in G's turn.
    """

    def __init__(self, recorder: Recorder, title: str = ""):
        self._recorder, self.title = recorder, title
        self.nodes = recorder.nodes
        self.passes: list[Backward] = recorder.passes
        self.turns: list[ledger.Turn] = []
        self.about: dict[str, Any] = {}
        self._replays: dict[Any, Replay] = {}

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, number: int) -> RecordedNode:
        return self.nodes[number]

    def __iter__(self) -> Iterator[RecordedNode]:
        return iter(self.nodes)

    def __repr__(self) -> str:
        left = self._recorder.left_out
        gone = f", {left} arrays over the budget and summarised" if left else ""
        title = f" of {self.title}" if self.title else ""
        return f"<Tape{title}: {len(self)} nodes, {len(self.passes)} backward passes{gone}>"

    def _repr_html_(self) -> str:
        from rawgan.inspect.show import table

        rows = [
            {
                "node": n.number,
                "phase": n.phase,
                "what": n.name or n.op,
                "layer": n.layer,
                "shape": str(n.shape),
            }
            for n in self.nodes[:200]
        ]
        more = f" (the first 200 of {len(self)})" if len(self) > 200 else ""
        return table(rows, repr(self) + more)

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """What is recorded inside the block belongs to that phase of a training step."""
        recorder = self._recorder
        before, recorder.phase = recorder.phase, phase
        try:
            yield
        finally:
            recorder.phase = before

    def find(self, what: Any) -> RecordedNode:
        """The node of a Tensor, a number, or a name: a parameter's, a layer's (its last operation).

        Of several of one name it is the last that has a gradient. Raises GradientError where there is none.
        """
        if isinstance(what, RecordedNode):
            if what.number >= len(self) or self.nodes[what.number] is not what:
                raise GradientError(f"{what!r} is of another tape")
            return what
        if isinstance(what, Tensor):
            found = self._recorder.record_of(what)
            if found is None:
                raise GradientError(
                    "this tensor was not recorded: make it inside `with rawgan.inspect.record()`"
                )
            return found
        if isinstance(what, str):
            named = [n for n in self.nodes if what in (n.name, n.layer, n.layer.split(" ")[0])]
            best = [n for n in named if n.name == what] or [n for n in named if not n.leaf]
            best = [n for n in best if n.received] or best
            if not best:
                names = ", ".join(dict.fromkeys(n.name for n in self.nodes if n.op == "parameter"))
                raise GradientError(f"there is no node {what!r}; parameters: {names}")
            return best[-1]
        whole_number("a node's number", what, least=0)
        if what >= len(self):
            raise GradientError(f"there is no node {what}; the tape has {len(self)}")
        return self.nodes[what]

    def replay(self, dtype: Any = np.float64) -> Replay:
        """The recorded graph, to be computed again in a dtype."""
        dtype = np.dtype(dtype)
        if dtype not in self._replays:
            self._replays[dtype] = Replay(self.nodes, dtype)
        return self._replays[dtype]

    def check(self, node: Any, index: Any = None, seed: int = 0, backward: Any = None) -> check.Check:
        """A gradient element against a finite difference; without an index, along a random direction.

        backward: which pass's gradient, or its number; by default the last one's that came to the node.
        Returns a Check; print it, or ask `.ok`.
        """
        whole_number("check: seed", seed, least=0)
        return check.check(self.replay(), self.find(node), index, seed, backward)

    def explain(
        self, node: Any, index: Any = (), most: int = 3, depth: int | None = None, backward: Any = None
    ) -> explain.Explanation:
        """The chain of local derivatives behind one gradient element: `most` paths at each level.

        The largest is followed up to the loss, or `depth` levels. backward: as for `check`. Print the result.
        """
        whole_number("explain: most", most)
        if depth is not None:
            whole_number("explain: depth", depth)
        return explain.explain(self.replay(), self.find(node), index, most, depth, backward)

    def ledger(
        self, node: Any, terms: Mapping[str, Any] | None = None, backward: Any = None
    ) -> ledger.Ledger:
        """A node's gradient by terms of the loss.

        terms: by name, the Tensors or nodes that the loss is the sum of; by default those of the training
        step, or else what is added up in the loss. backward: as for `check`.
        """
        node = self.find(node)
        backward = node.gift(backward).backward
        if terms is not None and not (isinstance(terms, Mapping) and terms):
            raise ConfigError(f"ledger: terms is a dict of names and tensors, got {terms!r}")
        turn = self.turn_of(backward)
        if terms is not None:
            named = {name: self.find(term) for name, term in terms.items()}
        else:
            named = turn.terms if turn else ledger.addends(backward.root)
        update = next((u for u in turn.parameters.values() if u.node is node), None) if turn else None
        return ledger.ledger(
            self.replay(node.held.value.dtype), node, named, update.clipped if update else None, backward
        )

    def turn_of(self, backward: Backward) -> ledger.Turn | None:
        """The update that a backward pass was for."""
        return next((turn for turn in self.turns if turn.backward is backward), None)

    def samples(self) -> samples.Samples:
        """Of each example that G made in a training step: the gradient of G's loss, and D's factor in it."""
        return samples.samples(self.turns, getattr(self.about.get("settings"), "objective", None))

    def summary(self) -> summary.Summary:
        """Norms, dead and saturated units, updates, layer by layer."""
        return summary.summary(self.nodes, self.turns)

    def events(self) -> Iterator[stepping.Event]:
        """All that happened, in order."""
        return stepping.events(self._recorder.log)

    def save_html(self, path: str | os.PathLike, seconds: float = 10.0) -> None:
        """Write the report: one page that opens from disk and asks nothing of any host.

        seconds: about how long to compute finite differences and derivations for it, cheapest first.
        Raises CheckpointError where the file cannot be written.
        """
        from rawgan.inspect.report import save

        save(self, path, seconds)


@contextmanager
def record(
    budget: int = BUDGET, layers: Sequence[str] | None = None, ops: Sequence[str] | None = None
) -> Iterator[Tape]:
    """Inside the block every operation is written down, with its value, gradient, and who gave what to it.

    budget: bytes of arrays to keep; beyond them the largest are replaced by their figures (a Digest).
    layers, ops: patterns such as ["generator.*"], ["conv*"]; of other nodes no arrays are kept.
    Layers and parameters go by their class's name, "Dense.weight", unless `network.label("generator")` has
    named them by their place, "generator.0.weight".

    >>> import rawgan
    >>> x = rawgan.tensor([1.0, 2.0], requires_grad=True)
    >>> with rawgan.inspect.record() as tape:
    ...     (x * x).sum().backward()
    >>> [node.op for node in tape.nodes]
    ['parameter', 'multiply', 'sum']
    >>> tape.check(x, 1).ok
    True
    """
    if MODE.get().watch is not None:
        raise ConfigError("record: somebody is watching already; recordings do not nest")
    recorder = Recorder(budget, layers, ops)
    tape = Tape(recorder)
    try:
        with switch(watch=recorder):
            yield tape
    finally:
        recorder.forget()
