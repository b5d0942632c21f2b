"""Who is timed when: in turns, in one process, so that a noisy machine is noisy for all of them alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

BURST = 3
SETTLE = 0.02  # seconds
ONE_TIMING = 2e-4  # seconds; shorter calls are timed several at once
LEAST = 3
HOPELESS = 4


class Call(NamedTuple):
    """What is timed, and what waits for the device that does it, if it is another than the processor.

    each: how many of the things whose time is wanted one call does.
    """

    run: Callable[[], Any]
    wait: Callable[[], Any] | None = None
    each: int = 1

    def seconds(self, repeat: int) -> float:
        """The mean time of one thing, over `repeat` calls and one wait."""
        start = time.perf_counter()
        for _ in range(repeat):
            self.run()
        if self.wait:
            self.wait()
        return (time.perf_counter() - start) / (repeat * self.each)


def alternate(calls: Mapping[str, Call], seconds: float) -> dict[str, list[float]]:
    """Times in seconds of one call of each, taken in turns (A A A, B B B, A A A, ...) after a warm-up.

    What comes in the first 20 ms of a burst is not counted: after a call PyTorch's OpenMP threads and those
    of BLAS keep spinning for some milliseconds, and take a processor from whoever comes next. With a single
    call in place of the 20 ms a product of 256 128 128 took 108 us instead of 64. Takes about `seconds` for
    each of the calls; one so slow that it would need all of that for `LEAST` timings (a textbook kernel)
    has no more than those, and one that would need `HOPELESS` times as much for a single one has no other.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    repeats, slow = {}, {}
    for name, call in calls.items():
        call.seconds(1)  # compiles, allocates
        once = call.seconds(1)
        repeats[name] = max(1, min(1000, round(ONE_TIMING / once)))
        if once > HOPELESS * seconds:
            slow[name], times[name] = 1, [once]
        elif LEAST * once > seconds:
            slow[name] = LEAST
    end = time.perf_counter() + seconds * len(calls.keys() - slow.keys())
    while time.perf_counter() < end or any(len(times[name]) < slow.get(name, LEAST) for name in calls):
        for name, call in calls.items():
            if name not in slow:
                times[name] += _burst(call, repeats[name])
            elif len(times[name]) < slow[name]:
                times[name].append(call.seconds(1))
    return times


def _burst(call: Call, repeat: int) -> list[float]:
    """Timings after the others' threads have settled: `BURST` of them, more where they are short."""
    start = time.perf_counter()
    call.seconds(repeat)
    while time.perf_counter() - start < SETTLE:
        call.seconds(repeat)
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < BURST or time.perf_counter() - start < SETTLE:
        times.append(call.seconds(repeat))
    return times


def summary(times: list[float]) -> dict[str, float]:
    """Median and quartiles in milliseconds.

    >>> summary([0.001, 0.002, 0.003])
    {'median_ms': 2.0, 'low_ms': 1.5, 'high_ms': 2.5, 'timings': 3}
    """
    low, median, high = np.quantile(np.asarray(times) * 1e3, [0.25, 0.5, 0.75])
    return {
        "median_ms": float(median),
        "low_ms": float(low),
        "high_ms": float(high),
        "timings": len(times),
    }


@contextmanager
def use_threads(count: int | None):
    """Within the block, the CPU kernels, NumPy's BLAS and PyTorch work on this many threads (None: all)."""
    from threadpoolctl import threadpool_limits

    from rawgan.kernels.cpu import pool, team, threads

    def forget() -> None:
        pool.pool.cache_clear()
        team.team.cache_clear()

    before = os.environ.get("RAWGAN_NUM_THREADS")
    if count is not None:
        os.environ["RAWGAN_NUM_THREADS"] = str(count)
        forget()
    try:
        with threadpool_limits(threads.thread_count()):
            yield
    finally:
        if count is not None:
            os.environ.pop("RAWGAN_NUM_THREADS")
            if before is not None:
                os.environ["RAWGAN_NUM_THREADS"] = before
            forget()
