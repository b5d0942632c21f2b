"""The device "cuda": programs through CuPy's RawModule, compiled by NVRTC for the GPU at hand."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from math import prod
from typing import Any

import numpy as np

from ..errors import DeviceError
from .program import Program

OPTIONS = ("--std=c++17", "-fmad=true")  # CuPy adds -ftz=true: float32 below 1.2e-38 is 0
STATIC = 48 << 10  # bytes of shared memory that a kernel may have without asking


def empty_on(device: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """An uninitialised array on a GPU; DeviceError, with the sizes, where it has no room."""
    cupy = import_module("cupy")
    try:
        with device:
            return cupy.empty(shape, dtype)
    except cupy.cuda.memory.OutOfMemoryError as error:
        wanted = prod(shape) * np.dtype(dtype).itemsize
        free, total = cupy.cuda.runtime.memGetInfo()
        raise DeviceError(
            f"cuda:{device.id} has no room for {shape} of {np.dtype(dtype)}, {wanted >> 20} MiB; {free >> 20}"
            f" of {total >> 20} are free; use a smaller batch or network, or end what else runs on the GPU"
        ) from error


def compiled(program: Program) -> Callable[..., None]:
    """What launches an instance of the program's kernels."""
    cupy = import_module("cupy")
    names = [kernel.instance(code) for kernel, code in program.instances]
    module = cupy.RawModule(code=program.text, options=OPTIONS, name_expressions=names)
    functions: dict[str, Any] = {}

    def run(name: str, grid: tuple, block: tuple, shared: int, values: list[Any]) -> None:
        function = functions.get(name)
        if function is None:
            function = functions[name] = module.get_function(name)
        if shared > STATIC:
            function.max_dynamic_shared_size_bytes = shared
        function(grid, block, tuple(0 if value is None else value for value in values), shared_mem=shared)

    return run
