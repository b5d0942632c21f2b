"""A recording on a GPU: one CUDA graph, captured from a stream, in memory that is its own.

CuPy's pool would give the memory of the recorded step's arrays to others once Python has let go of them, and
a replay would write there: so they come from a pool that lives as long as the graph and serves nobody else.
The step is done there before it is captured: a capture is no time to ask the driver for memory or to compile.

Written by CuPy's documentation and source; no GPU was at hand to try it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from ..errors import DeviceError
from .recording import Launch, Recording


class GraphRecording(Recording):
    """A step of a GPU."""

    def __init__(self, device: str):
        super().__init__()
        self._cupy = import_module("cupy")
        self._device = self._cupy.cuda.Device(int(device.partition(":")[2] or 0))
        with self._device:
            # Waits for the null stream, where everybody else works, and that for it: no event is needed.
            self._stream = self._cupy.cuda.Stream()
        self._pool = self._cupy.cuda.MemoryPool()
        self._graph: Any = None

    @contextmanager
    def using(self) -> Iterator[None]:
        """The graph's stream and memory."""
        with self._device, self._cupy.cuda.using_allocator(self._pool.malloc), self._stream:
            yield

    @contextmanager
    def making(self) -> Iterator[None]:
        """Captures; CuPy's refusals become a DeviceError."""
        with super().making(), self.using():
            self._stream.begin_capture(self._cupy.cuda.runtime.streamCaptureModeRelaxed)
            try:
                yield
                self._graph = self._stream.end_capture()
            except self._refusals() as error:
                self._abandon()
                raise DeviceError(f"the step cannot be captured: {error}") from error
            except BaseException:
                self._abandon()
                raise

    def _abandon(self) -> None:
        """Ends the capture, where it has not ended; of a broken one, CUDA says again that it is broken."""
        with suppress(*self._refusals()):
            if self._stream.is_capturing():
                self._stream.end_capture()

    def _refusals(self) -> tuple[type[Exception], ...]:
        """What CuPy raises where CUDA refuses a call or a launch, and where it refuses cuBLAS itself."""
        cuda = self._cupy.cuda
        return cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError, NotImplementedError

    def add(self, made: Launch, run: Callable[[], None]) -> None:
        self.launches.append(made)
        run()  # into the capture

    def replay(self) -> None:
        self._graph.launch(self._stream)
