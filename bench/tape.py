"""What the tape costs: one small operation, recorded and differentiated, beside NumPy alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import rawgan
from rawgan import ops
from rawgan.bench import document, timing

CHAIN = 100


def run(seconds: float = 0.5) -> dict[str, Any]:
    """The document of an operation on 8 numbers, in a chain of `CHAIN`; times are of one operation."""
    a = rawgan.tensor(np.ones(8), dtype="float32", requires_grad=True)
    b = rawgan.tensor(np.ones(8), dtype="float32")
    gy = np.ones(8, np.float32)

    def chain(operation: Callable) -> rawgan.Tensor:
        y = a
        for _ in range(CHAIN):
            y = operation(y)
        return y

    def numpy_alone() -> None:
        y = a.data
        for _ in range(CHAIN):
            y = y * b.data

    def unrecorded() -> None:
        with rawgan.no_grad():
            chain(lambda x: x * b)

    def differentiated(operation: Callable) -> None:
        chain(operation).backward(gy)
        a.grad = None

    cases: dict[str, Callable[[], Any]] = {
        "NumPy x * y": numpy_alone,
        "x * y under no_grad": unrecorded,
        "x * y recorded": lambda: chain(lambda x: x * b),
        "x * y recorded and differentiated": lambda: differentiated(lambda x: x * b),
        "tanh recorded and differentiated": lambda: differentiated(ops.tanh),
    }
    calls = {name: timing.Call(call) for name, call in cases.items()}
    rows = []
    for name, times in timing.alternate(calls, seconds).items():
        each = timing.summary([t / CHAIN for t in times])
        rows.append({"name": name, "part": "operation", "case": "8 numbers", "times": {"cpu": each}})
    return document.make("tape", rows, ["cpu"], "cpu", settings={"seconds": seconds})
