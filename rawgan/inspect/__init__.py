"""See every gradient: record what the engine does, and ask where a number comes from.

    with rawgan.inspect.record() as tape:
        loss = ...
        loss.backward()
    tape.nodes                      # every operation: value, gradient, and what each consumer gave to it
    tape.check(x, (0, 3))           # a gradient against a finite difference
    tape.explain(x, (0, 3))         # the chain of local derivatives behind one number
    tape.ledger(x)                  # the gradient by terms of the loss
    tape.summary()                  # the layers at a glance
    tape.save_html("gradients.html")

`run.inspect(step=120)` gives the tape of a past training step, bit for bit.
"""

from collections.abc import Iterator
from typing import Any

from rawgan.inspect.check import Check
from rawgan.inspect.explain import Explanation
from rawgan.inspect.ledger import Ledger
from rawgan.inspect.nodes import Backward, Digest, RecordedNode, Share
from rawgan.inspect.samples import Samples
from rawgan.inspect.stepping import Event
from rawgan.inspect.summary import Summary
from rawgan.inspect.tape import Tape, record

__all__ = [
    "Backward",
    "Check",
    "Digest",
    "Event",
    "Explanation",
    "Ledger",
    "RecordedNode",
    "Samples",
    "Share",
    "Summary",
    "Tape",
    "record",
    "steps",
]


def steps(run: Any, step: int) -> Iterator[Event]:
    """A training step of a Run by phases, layers and operations, forwards and backwards.

    The step is replayed first (see `Run.inspect`), then told.
    """
    yield from run.inspect(step=step).events()
