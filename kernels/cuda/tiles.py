"""How a product of matrices is cut into blocks: how large a tile is, and into how many parts k is cut.

Large tiles read less memory for each multiplication, small ones and parts of k make blocks enough for every
multiprocessor. `costs` estimates what each choice takes, of which `choose` takes the least; nothing of the
estimate was fitted to a GPU yet. It is one for all devices, or sums would be in another order elsewhere.

>>> choose(8192, 128, 1024).blocks
128
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..precision import precision
from .layout import blocks
from .program import Program

DEPTH, STAGES = 16, 4  # as in product.cuh
TOGETHER = {
    1: 8,
    2: 6,
    4: 3,
    8: 1,
}  # warps of a block, each with a program of its own: blocks a multiprocessor holds
MULTIPROCESSORS = 132  # of an H200
SCHEDULERS = 4  # of a multiprocessor, each of which runs one warp at a time
CYCLES = {"tf32": 220, "fp32": 1100, "fp64": 550}  # of a scheduler, for a step of a warp
COPYING = 12  # cycles, for each copy of 16 bytes that a thread starts
WAITING = 100  # cycles of a step in which a warp waits for a barrier and for shared memory
STARTING, WARP = (
    2000,
    100,
)  # cycles until a block's first stage has come, and for its results; and for each warp
BYTES = 28  # a cycle, from the second cache to a multiprocessor where all of them read
LAUNCH, ADDING = 4000, 75  # cycles for the launch that adds parts, and for each part
LEAST = 64  # numbers along k that are worth a part
CUTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


class Plan(NamedTuple):
    """A way to cut a product: `across` by `down` tiles, and `parts` of `part` numbers along k.

    warps and shared: a block's, in bytes. blocks: of the launch. cost: cycles, estimated.
    """

    warps: int
    across: int
    down: int
    parts: int
    part: int
    blocks: int
    shared: int
    cost: float


def _plan(warps: int, m: int, n: int, k: int, count: int, parts: int, kind: str) -> Plan:
    size = 8 if kind == "fp64" else 4
    rows, columns = 128 // size * min(warps, 4), 256 // size * max(1, warps // 4)
    across, down = blocks(n, columns), blocks(m, rows)
    part = blocks(max(1, k), parts * DEPTH) * DEPTH
    parts = max(1, blocks(k, part))
    steps, stage = part // DEPTH, DEPTH * (rows + columns) * size
    total = across * down * count * parts
    busiest = blocks(total, MULTIPROCESSORS)  # blocks that one multiprocessor computes
    rounds = blocks(busiest, TOGETHER[warps])
    cycles = CYCLES[kind] + COPYING * stage / (16 * 32 * warps)
    computing = steps * cycles * max(rounds, busiest * warps / SCHEDULERS) + rounds * steps * WAITING
    reading = steps * busiest * stage / BYTES
    cost = max(computing, reading) + rounds * (STARTING + WARP * warps)
    if parts > 1:  # they are written and read
        cost += LAUNCH + parts * ADDING + 2 * parts * count * m * n * size / BYTES / MULTIPROCESSORS
    return Plan(warps, across, down, parts, part, total, STAGES * stage, cost)


def costs(m: int, n: int, k: int, count: int = 1, kind: str = "fp32") -> list[Plan]:
    """Every choice for `count` products (m, k) x (k, n), in "fp32", "tf32" or "fp64"."""
    cuts = [parts for parts in CUTS if parts == 1 or parts * LEAST <= k]
    return [_plan(warps, m, n, k, count, parts, kind) for warps in TOGETHER for parts in cuts]


@lru_cache(maxsize=1024)
def choose(m: int, n: int, k: int, count: int = 1, kind: str = "fp32") -> Plan:
    """The choice that costs least; of equals that of the fewest warps, then parts."""
    return min(costs(m, n, k, count, kind), key=lambda plan: plan.cost)


class Tiled:
    """The kernels of a file that are made of product.cuh's tiles, in each precision and size of a tile."""

    def __init__(self, name: str):
        self.programs = {
            (kind, warps): Program(name, "product", define=f"{word}RG_WARPS {warps}")
            for kind, word in (("fp32", ""), ("tf32", "RG_TF32\n#define "))
            for warps in TOGETHER
        }

    @staticmethod
    def choose(m: int, n: int, k: int, count: int, dtype: Any) -> Plan:
        """The plan in the precision that was asked for."""
        return choose(m, n, k, count, "fp64" if np.dtype(dtype).itemsize == 8 else precision())

    def __call__(self, kernel: str, dtype: Any, plan: Plan, *arguments: Any) -> None:
        """Launch a block for each tile and part of the plan."""
        kind = "fp32" if np.dtype(dtype).itemsize == 8 else precision()
        grid = plan.blocks // plan.parts, plan.parts
        program = self.programs[kind, plan.warps]
        program(kernel, dtype, grid, 32 * plan.warps, *arguments, shared=plan.shared)
