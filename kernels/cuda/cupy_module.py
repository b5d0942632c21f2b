"""The device "cuda": programs through CuPy's RawModule, compiled by NVRTC for the GPU at hand."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from math import prod
from typing import Any

import numpy as np

from ..errors import DeviceError
from .program import Listed, Program

OPTIONS = ("--std=c++17", "-fmad=true")  # CuPy adds -ftz=true: float32 below 1.2e-38 is 0
UNASKED = 48 << 10  # bytes of dynamic shared memory that a kernel may have without asking


class On:
    """Within the block GPU `number` is CuPy's current one, and memory that it has not is a DeviceError.

    CuPy launches, allocates and computes on the current GPU, whichever one the arrays are on. Which one that
    is costs one call of the driver to find out, so the block costs next to nothing where it is this one.
    """

    __slots__ = ("_before", "_cuda", "_number")

    def __init__(self, number: int):
        self._number = number
        self._cuda = import_module("cupy").cuda

    def __enter__(self) -> None:
        self._before = self._cuda.runtime.getDevice()
        if self._before != self._number:
            self._cuda.runtime.setDevice(self._number)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        full = kind is not None and issubclass(kind, self._cuda.memory.OutOfMemoryError)
        refusal = no_room(self._number, str(error)) if full else None
        if self._cuda.runtime.getDevice() != self._before:
            self._cuda.runtime.setDevice(self._before)
        if refusal:
            raise refusal from error


def no_room(number: int, what: str) -> DeviceError:
    """The error for memory that the current GPU, of this number, has not."""
    free, total = import_module("cupy").cuda.runtime.memGetInfo()
    return DeviceError(
        f"cuda:{number} has no room for {what}; {free >> 20} of {total >> 20} MiB are free; use a smaller "
        "batch or network, or end what else runs on the GPU"
    )


def empty_on(number: int, shape: Any, dtype: Any) -> Any:
    """An uninitialised array on a GPU; DeviceError, with the sizes, where it has no room."""
    cupy = import_module("cupy")
    with On(number):
        try:
            return cupy.empty(shape, dtype)
        except cupy.cuda.memory.OutOfMemoryError as error:
            sizes = (shape,) if isinstance(shape, int) else tuple(shape)
            bytes_wanted = prod(sizes) * np.dtype(dtype).itemsize
            raise no_room(number, f"{sizes} of {np.dtype(dtype)}, {bytes_wanted >> 20} MiB") from error


def compiled(program: Program, number: int) -> Callable[..., None]:
    """What launches an instance of the program's kernels on a GPU."""
    cupy = import_module("cupy")
    if "#define RG_TF32\n" in program.text:
        ability = cupy.cuda.Device(number).compute_capability
        if int(ability) < 80:
            raise DeviceError(
                "use_precision('tf32') needs a GPU of compute capability 8.0 or newer (Ampere, 2020); "
                f"cuda:{number} has {ability[:-1]}.{ability[-1]}; use 'fp32'"
            )
    names = [kernel.instance(code) for kernel, code in program.instances]
    module = cupy.RawModule(code=program.text, options=OPTIONS, name_expressions=names)
    functions: dict[str, Any] = {}
    allowed: dict[str, int] = {}

    def run(name: str, grid: tuple, block: tuple, shared: int, values: list[Any]) -> None:
        with On(number):
            function = functions.get(name)
            if function is None:
                function = functions[name] = module.get_function(name)
            if shared > allowed.get(name, UNASKED):
                function.max_dynamic_shared_size_bytes = allowed[name] = shared
            function(grid, block, tuple(map(_argument, values)), shared_mem=shared)

    return run


def _argument(value: Any) -> Any:
    """A value as CuPy passes it: no array is the address 0, and one element of NumPy's goes by value."""
    if isinstance(value, Listed):
        return value.words(lambda array: array.data.ptr)
    return 0 if value is None else value
