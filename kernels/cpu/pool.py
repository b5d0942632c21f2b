"""Python calls on all threads, for kernels that are not one compiled job for the team.

A kernel cuts its work into tasks whose number depends on the shapes alone, and `run(task, count)` calls
`task(0) ... task(count - 1)`, each on whichever thread is free. A task must write only its own part of the
result; then results do not depend on the number of threads. Tasks release the interpreter's lock (Numba's
nogil, np.matmul), so threads, not processes, are enough.

Numba's prange is not used: OpenMP's waiting threads spin against those of BLAS. BLAS's own threads are not
used either, for the same reason: inside `run` it works on one thread, and the parallelism is ours.
"""

import os
import threading
from collections.abc import Callable
from functools import cache
from itertools import count as counter
from itertools import product
from typing import Any

from .team import Team, team


class _Job:
    """A task to be called with 0 ... count - 1; whoever finishes the last call releases `finished`."""

    def __init__(self, task: Callable[[int], None], count: int):
        self.task = task
        self.count = count
        self.error: BaseException | None = None
        self.finished = threading.Lock()
        self.finished.acquire()
        # next() of these is atomic under the interpreter's lock.
        self._taken = counter().__next__
        self._done = counter(1).__next__

    def work(self) -> None:
        while (i := self._taken()) < self.count:
            try:
                if self.error is None:
                    self.task(i)
            except BaseException as error:
                self.error = error
            if self._done() == self.count:
                self.finished.release()


class Pool:
    """The calling thread and its team's helpers; by default, those of the process."""

    def __init__(self, threads: int | None = None):
        self.team = team() if threads is None else Team(threads)

    def run(self, task: Callable[[int], None], count: int) -> None:
        helpers = min(self.team.helpers, count - 1)
        if helpers < 1 or self.team.helping:
            for i in range(count):
                task(i)
            return
        job = _Job(task, count)
        self.team.call(job.work, helpers)  # in the caller's context: its np.errstate holds in the helpers too
        job.work()
        job.finished.acquire()
        if job.error is not None:
            raise job.error


@cache
def pool() -> Pool:
    return Pool()


def run(task: Callable[[int], None], count: int) -> None:
    """Calls task(i) for every i below count, on all threads; raises what a task raised."""
    pool().run(task, count)


BLOCK = 1 << 17


def run_blocks(task: Callable[[int, int], None], size: int, block: int = BLOCK) -> None:
    """Calls task(start, stop) for consecutive blocks of range(size); a single block stays on this thread."""
    if size <= block:
        if size:
            task(0, size)
        return
    run(lambda i: task(i * block, min(size, (i + 1) * block)), -(-size // block))


@cache
def _blas() -> list[tuple[Callable[[], int], Callable[[int], Any]]]:
    """Each loaded BLAS's functions that get and set its number of threads.

    threadpoolctl finds the libraries, but lets only the first thread that asks change OpenBLAS's setting,
    which is the process's; here callers on any thread share one limit, so OpenBLAS is asked directly.
    """
    from threadpoolctl import ThreadpoolController

    found = []
    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        pair = library.get_num_threads, library.set_num_threads
        if library.internal_api == "openblas":
            for prefix, suffix in product(("", "scipy_"), ("", "64_", "_64", "_64_")):
                names = [f"{prefix}openblas_{verb}_num_threads{suffix}" for verb in ("get", "set")]
                if all(hasattr(library.dynlib, name) for name in names):
                    pair = tuple(getattr(library.dynlib, name) for name in names)
                    break
        found.append(pair)
    return found


class _SingleThreadedBlas:
    """Counts the blocks that want BLAS on one thread: the first in sets it, the last out restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._saved: list[int] = []

    def __enter__(self) -> None:
        with self._lock:
            if self._depth == 0:
                self._saved = [get() for get, _ in _blas()]
                for _, set_threads in _blas():
                    set_threads(1)
            self._depth += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                for (_, set_threads), threads in zip(_blas(), self._saved, strict=True):
                    set_threads(threads)


single_threaded_blas = _SingleThreadedBlas()  # with single_threaded_blas: BLAS starts no threads


def _forget() -> None:
    """A forked child has this module's memory but none of its threads."""
    pool.cache_clear()
    single_threaded_blas.__init__()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
