"""Work on a device, recorded once and replayed: a CUDA graph on a GPU, a list of calls on the simulator.

    recording = new("cuda-sim")
    with recording.using(): step()          # as ever, in the memory and on the stream of the replays to come
    with recording.making(): step()         # computes nothing: every array that it makes is empty still
    recording.replay()

A replay repeats each launch and each of the array module's operations with the same arrays and numbers, so
numbers that must grow lie on the device (`count.py`), nothing is read back, and no array comes from the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple

from ..errors import DeviceError


class Launch(NamedTuple):
    """One kernel as it was launched: `arguments` are arrays and NumPy numbers."""

    program: str
    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int
    arguments: list[Any]


_current: ContextVar[Any] = ContextVar("rawgan_recording", default=None)


def current() -> Any:
    """The Recording that is being made, or None."""
    return _current.get()


def refuse(what: str) -> None:
    """Raise DeviceError if a recording is being made, in which `what` cannot be done."""
    if _current.get() is not None:
        raise DeviceError(f"{what} while a step is recorded: a replay would not do it again")


class Recording:
    """One of the simulator; `graph.py` has a GPU's.

    launches: those of our own kernels, in order. calls: everything, in order.
    """

    def __init__(self) -> None:
        self.launches: list[Launch] = []
        self.calls: list[Callable[[], Any]] = []

    def using(self) -> AbstractContextManager[Any]:
        """Where replays work, for what comes between them."""
        return nullcontext()

    @contextmanager
    def making(self) -> Iterator[None]:
        """What is done inside becomes the recording; DeviceError where a replay could not do it."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def add(self, made: Launch, run: Callable[[], None]) -> None:
        """A launch of ours; run: makes it."""
        self.launches.append(made)
        self.calls.append(run)

    def replay(self) -> None:
        """Do it all once more; on a GPU, without waiting for the end."""
        for call in self.calls:
            call()


def possible(device: str) -> bool:
    """Whether work on a device of that name can be recorded."""
    return device.partition(":")[0] in ("cuda", "cuda-sim")


def new(device: str) -> Any:
    """An empty Recording for a device: "cuda", "cuda:1" or "cuda-sim"."""
    if device == "cuda-sim":
        return Recording()
    from .graph import GraphRecording

    return GraphRecording(device)
