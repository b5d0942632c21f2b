"""What the tape costs: one small operation, recorded and differentiated, against NumPy alone.

python bench/tape.py
"""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import rawgan
from rawgan import kernels, ops

CHAIN = 100


def microseconds(call: Callable[[], object], per: int = 1) -> float:
    """Smallest of 25 timings of a repeated call: the machine's noise only ever adds."""
    repeat = max(1, 2000 // per)
    best = float("inf")
    for _ in range(25):
        start = time.perf_counter()
        for _ in range(repeat):
            call()
        best = min(best, time.perf_counter() - start)
    return 1e6 * best / repeat / per


def main() -> None:
    a = rawgan.tensor(np.ones(8), dtype="float32", requires_grad=True)
    b = rawgan.tensor(np.ones(8), dtype="float32")
    gy = np.ones(8, np.float32)

    def chain(operation: Callable) -> rawgan.Tensor:
        y = a
        for _ in range(CHAIN):
            y = operation(y)
        return y

    def plain() -> np.ndarray:
        y = a.data
        for _ in range(CHAIN):
            y = y * b.data
        return y

    def both(operation: Callable) -> None:
        chain(operation).backward(gy)
        a.grad = None

    figures = {"NumPy x * y": microseconds(plain, CHAIN)}
    with rawgan.no_grad():
        figures["x * y under no_grad"] = microseconds(lambda: chain(lambda x: x * b), CHAIN)
    figures["x * y recorded"] = microseconds(lambda: chain(lambda x: x * b), CHAIN)
    figures["x * y recorded and differentiated"] = microseconds(lambda: both(lambda x: x * b), CHAIN)
    figures["tanh recorded and differentiated"] = microseconds(lambda: both(ops.tanh), CHAIN)

    print("microseconds for one operation on 8 numbers, in a chain of", CHAIN)
    for name, figure in figures.items():
        print(f"  {name:36}{figure:6.2f}")
    if len(sys.argv) == 3 and sys.argv[1] == "--json":
        document = {
            "what": "microseconds for one operation on 8 numbers",
            "date": datetime.date.today().isoformat(),
            "machine": kernels.info(),
            "versions": {"rawgan": rawgan.__version__, "numpy": np.__version__},
            "figures": figures,
        }
        Path(sys.argv[2]).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
