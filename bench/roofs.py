"""What this machine can do at best, measured in the same run as what is judged by it.

A kernel that does `flops` operations and must move `bytes` cannot be faster than the slower of the two roofs
(Williams, Waterman and Patterson 2009): `flops` at the rate of multiply-adds on numbers in registers (of a
large matrix product on a GPU), `bytes` at the rate of a triad a = b + s·c over arrays that no cache holds.
Where a GPU computes in TF32 (`use_precision`), `flops` are judged by its tensor cores' own rate, `mma.sync`.
A processor's large np.matmul, "sgemm", is measured too: what a library makes of that rate.

More than 100% has two honest reasons: a fast convolution does fewer multiplications than the definition,
whose operations are counted; and arrays that a cache still holds from the call before need not be fetched.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rawgan import arrays
from rawgan.bench.columns import Column
from rawgan.kernels.precision import precision

SIZE = 2048  # of the square matrices: 17 GFLOP a product
SCALE = np.float32(0.5)
TRIAD = 1 << 27  # numbers in each of a GPU's three arrays
BLOCKS, ROUNDS = 528, 4096  # of the tensor cores' products: four blocks for each of an H200's multiprocessors
LOOPS = 1 << 18  # of a processor's multiply-adds, half a millisecond


class Work(NamedTuple):
    """A product, its name and operations, a triad and its bytes; both calls wait for the end."""

    product: Callable[[], Any]
    named: str
    operations: float
    triad: Callable[[], Any]
    moved: float


def measure(device: str = "cpu", seconds: float = 1.0) -> dict[str, Any]:
    """{"product", its "gflops", "gbytes": GB/s of the triad, reads and writes counted}: best of several.

    And the "sgemm" of a processor, Gflop/s of np.matmul.
    """
    with arrays.use_device(device):
        gpu = device.partition(":")[0] == "cuda"
        work = (_cupy if gpu else _host)(device)
        found = {
            "product": work.named,
            "gflops": work.operations / _best(work.product, seconds) / 1e9,
            "gbytes": work.moved / _best(work.triad, seconds) / 1e9,
        }
        return found if gpu else found | {"sgemm": 2 * SIZE**3 / _best(sgemm(), seconds) / 1e9}


def _best(call: Callable[[], Any], seconds: float) -> float:
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def sgemm() -> Callable[[], Any]:
    """A call that multiplies two square float32 matrices of `SIZE` with np.matmul."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((SIZE, SIZE), np.float32) for _ in range(2))
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


def _host(device: str) -> Work:
    from rawgan.kernels.cpu import peak, pool

    count = min(max(2 * last_cache(), 1 << 26), 1 << 29) // 4
    b, c = np.ones(count, np.float32), np.ones(count, np.float32)
    a = np.zeros(count, np.float32)
    body = _triad()
    block = 1 << 18

    def triad() -> None:
        pool.run_blocks(lambda i, j: body(a[i:j], b[i:j], c[i:j], SCALE), count, block)

    operations = peak.multiply(LOOPS)[1]
    return Work(lambda: peak.multiply(LOOPS), "multiply-adds", operations, triad, 3 * a.nbytes)


@cache
def _triad() -> Callable[..., None]:
    from rawgan.kernels.cpu.jit import jit

    @jit
    def triad(a, b, c, s):
        for i in range(a.size):
            a[i] = b[i] + s * c[i]

    return triad


def last_cache() -> int:
    """Bytes of the largest processor cache, 32 MiB where the system does not say."""
    sizes = [1 << 25]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        if text.endswith("K") and text[:-1].isdecimal():
            sizes.append(int(text[:-1]) * 1024)
    return max(sizes[1:] or sizes)


def _cupy(device: str) -> Work:
    from rawgan.kernels.cuda import peak

    rng = np.random.default_rng(0)  # of zeros or ones a GPU makes more a second than of data
    a, b = (arrays.asarray(rng.standard_normal((SIZE, SIZE), np.float32)) for _ in range(2))
    x, y = (arrays.asarray(np.resize(rng.standard_normal(1 << 20, np.float32), TRIAD)) for _ in range(2))
    xp = arrays.namespace(a)
    z = arrays.empty(x.shape, x.dtype)
    body = xp.ElementwiseKernel("float32 b, float32 c", "float32 a", "a = b + 0.5f * c", "triad")
    wait = Column(device).wait()

    def awaited(call: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            call()
            if wait:
                wait()

        return run

    triad = awaited(lambda: body(x, y, z))
    if precision() == "fp32":
        return Work(awaited(lambda: xp.matmul(a, b)), "SGEMM", 2 * SIZE**3, triad, 3 * x.nbytes)
    operations = peak.multiply(a, BLOCKS, ROUNDS)[1]
    product = awaited(lambda: peak.multiply(a, BLOCKS, ROUNDS))
    return Work(product, "mma.sync of TF32", operations, triad, 3 * x.nbytes)


def against(flops: float, moved: float, ms: float, roof: dict[str, float]) -> dict[str, Any]:
    """{"percent", "binds"} of the roof that is reached, {} for work that counts as nothing.

    >>> against(2e9, 1e6, ms=40.0, roof={"gflops": 100.0, "gbytes": 10.0})
    {'percent': 50.0, 'binds': 'compute'}
    """
    least = {"compute": flops / roof["gflops"] / 1e6, "memory": moved / roof["gbytes"] / 1e6}
    binds = max(least, key=least.__getitem__)
    return {"percent": 100 * least[binds] / ms, "binds": binds} if least[binds] > 0 else {}
