"""A file of CUDA kernels: what they take, and how they are called.

    PROGRAM = Program("activation")
    PROGRAM("leaky_relu", x.dtype, blocks, 256, x, y, slope, x.size)

A kernel in the file is `__global__ void name(...)`, or `template <class T>` of one, which exists for float
and double. Its parameters, read here, are the only description of it: CuPy would pass a Python number as 8
bytes whatever the kernel takes, and any array as an address. A pointer named `..._or_null` may be None. A
`List<T*>`, `List<const T*>` or `List<int>` (lists.cuh) takes a list of up to LISTED arrays or numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DeviceError, DTypeError, ShapeError
from . import recording

FOLDER = Path(__file__).parent
TYPES = {
    "float": "f4",
    "double": "f8",
    "int": "i4",
    "unsigned": "u4",
    "long long": "i8",
    "unsigned long long": "u8",
    "unsigned char": "u1",
}
INSTANCES = {"f4": "float", "f8": "double"}
_KERNEL = re.compile(
    r"(?P<template>template\s*<class T>\s*)?__global__\s+(?:__launch_bounds__\([^)]*\)\s+)?"
    r"void\s+(?:__launch_bounds__\([^)]*\)\s+)?(?P<name>\w+)\s*\((?P<parameters>[^)]*)\)"
)
_PARAMETER = re.compile(
    r"(?P<listed>List<)?(?P<const>const\s+)?(?P<type>[\w ]+?)\s*(?P<pointer>\*)?\s*(?(listed)>\s*)"
    r"(?:__restrict__\s+)?(?P<name>\w+)"
)
LISTED = 64  # as in lists.cuh: all arguments of a launch have room in 4 KB
MOST = (2**31 - 1, 65535, 65535)  # blocks along each axis of a grid


@dataclass(frozen=True)
class Parameter:
    """code: the type as in NumPy ("f4", "i8"), or "T", the template's. written: a pointer, not to const.

    listed: a List of those.
    """

    name: str
    code: str
    pointer: bool
    written: bool
    listed: bool

    @property
    def optional(self) -> bool:
        return self.name.endswith("_or_null")


@dataclass(frozen=True)
class Kernel:
    """One kernel; `parameters` in order."""

    name: str
    templated: bool
    parameters: tuple[Parameter, ...]

    def instance(self, code: str) -> str:
        """Its name in C++ for a type."""
        return f"{self.name}<{INSTANCES[code]}>" if self.templated else self.name

    def signature(self, code: str) -> str:
        """The parameters as the compiler describes them to `host.py`: "*f4,i8,", a List as "*f4[64],"."""
        codes = (code if p.code == "T" else p.code for p in self.parameters)
        many = f"[{LISTED}]"
        return "".join(
            f"{'*' * p.pointer}{c}{many * p.listed}," for p, c in zip(self.parameters, codes, strict=True)
        )


class Listed(NamedTuple):
    """What a List is given: its arrays, or its numbers, which are of `dtype`."""

    items: list[Any]
    dtype: np.dtype

    def words(self, address: Callable[[Any], int]) -> np.ndarray:
        """The struct, filled up with zeros, as one element: so CuPy passes it by value."""
        words = np.zeros(LISTED, self.dtype)
        words[: len(self.items)] = [x if isinstance(x, np.generic) else address(x) for x in self.items]
        return words.view(f"V{words.nbytes}")


def read(text: str) -> dict[str, Kernel]:
    """The kernels of a source, by name.

    >>> read("template <class T> __global__ void fill(T* y, T value, int n) {}")["fill"].signature("f8")
    '*f8,f8,i4,'
    """
    found = {}
    for match in _KERNEL.finditer(text):
        parameters = tuple(_parameter(words) for words in match["parameters"].split(","))
        found[match["name"]] = Kernel(match["name"], bool(match["template"]), parameters)
    return found


def _parameter(words: str) -> Parameter:
    match = _PARAMETER.fullmatch(" ".join(words.split()))
    if match is None or match["type"] not in {*TYPES, "T"}:
        raise ValueError(f"{words!r} is not a parameter that the launcher knows how to pass")
    pointer = bool(match["pointer"])
    written, listed = pointer and not match["const"], bool(match["listed"])
    return Parameter(match["name"], TYPES.get(match["type"], "T"), pointer, written, listed)


class Program:
    """The kernels of one `.cu` file, compiled for a device when first launched there.

    parts: names of `.cuh` files before it. define: a word that the preprocessor knows.
    paths: of the files that it is made of.
    """

    def __init__(self, name: str, *parts: str, define: str = ""):
        self.name = name
        self.paths = [*(FOLDER / f"{part}.cuh" for part in ("device", *parts)), FOLDER / f"{name}.cu"]
        self._define = f"#define {define}\n" if define else ""
        self._compiled: dict[str, Any] = {}

    @cached_property
    def text(self) -> str:
        """device.cuh, other parts that were named, and the file, with the lines that compilers quote."""
        parts = (f'#line 1 "{path.name}"\n{path.read_text("utf-8")}' for path in self.paths)
        return self._define + "".join(parts)

    @cached_property
    def kernels(self) -> dict[str, Kernel]:
        return read(self.text)

    @cached_property
    def instances(self) -> list[tuple[Kernel, str]]:
        """Every kernel with every type that it exists for."""
        return [(k, code) for k in self.kernels.values() for code in (INSTANCES if k.templated else ("f4",))]

    def __call__(
        self, kernel: str, dtype: Any, grid: Any, block: Any, *arguments: Any, shared: int = 0
    ) -> None:
        """Launch; an empty grid does nothing.

        dtype: which instance of a template. grid: blocks, and block: threads, or a tuple of up to three.
        shared: bytes of dynamic shared memory.
        """
        found, code = self.kernels[kernel], np.dtype(dtype).str[1:]
        if found.templated and code not in INSTANCES:
            raise DTypeError(f"{kernel}: exists for float32 and float64, got {np.dtype(dtype)}")
        grid, block = _three(kernel, "blocks", grid, MOST), _three(kernel, "threads", block, (1024, 1024, 64))
        if block[0] * block[1] * block[2] > 1024:
            raise ShapeError(f"{kernel}: {block} threads; takes up to 1024 together")
        values, device = _passed(found, code, arguments)
        if 0 in grid:
            return
        run = partial(self._on(device), found.instance(code), grid, block, shared, values)
        making = recording.current()
        if making is None:
            run()
        else:
            making.add(recording.Launch(self.name, found.instance(code), grid, block, shared, values), run)

    def _on(self, device: str) -> Callable[..., None]:
        """What launches an instance on "cuda", "cuda:1", ... or "cuda-sim"."""
        run = self._compiled.get(device)
        if run is None:
            kind, _, number = device.partition(":")
            if kind == "cuda":
                from . import cupy_module

                run = cupy_module.compiled(self, int(number or 0))
            else:
                from . import host

                run = host.compiled(self)
            self._compiled[device] = run
        return run


def _three(kernel: str, what: str, sizes: Any, most: tuple[int, ...]) -> tuple[int, int, int]:
    sizes = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    whole = (*sizes, *(1,) * (3 - len(sizes)))
    if len(whole) != 3 or any(not 0 <= n <= limit for n, limit in zip(whole, most, strict=True)):
        raise ShapeError(f"{kernel}: {sizes} {what}; takes up to {most}")
    return whole


def device_of(array: Any) -> str | None:
    """ "cuda", "cuda:1", ... for an array of CuPy's, "cuda-sim" for a HostArray, None for anything else."""
    kind = type(array)
    if kind.__module__.partition(".")[0] != "cupy":
        return getattr(kind, "rawgan_device", None)
    return f"cuda:{number}" if (number := array.data.device_id) else "cuda"


def _passed(kernel: Kernel, code: str, arguments: tuple[Any, ...]) -> tuple[list[Any], str]:
    """The arguments as the kernel takes them, numbers in their exact width; and the device of the arrays."""
    if len(arguments) != len(kernel.parameters):
        raise ShapeError(f"{kernel.name}: takes {len(kernel.parameters)} arguments, got {len(arguments)}")
    values, devices = [], set()
    for parameter, value in zip(kernel.parameters, arguments, strict=True):
        wanted = np.dtype(code if parameter.code == "T" else parameter.code)
        what = f"{kernel.name}: {parameter.name}"
        given = value if parameter.listed else [value]
        if not isinstance(given, list) or len(given) > LISTED:
            got = f"{len(given)} of them" if isinstance(given, list) else type(given).__name__
            raise ShapeError(f"{what} takes a list of up to {LISTED}, got {got}")
        for x in given:
            if not parameter.pointer:
                values.append(_number(what, wanted, x))
            elif x is None and parameter.optional:
                values.append(None)
            else:
                devices.add(_home(what, wanted, parameter.written, x))
                values.append(x)
        if parameter.listed:
            start = len(values) - len(given)
            values[start:] = [Listed(values[start:], np.dtype("u8") if parameter.pointer else wanted)]
    if len(devices) != 1:
        raise DeviceError(f"{kernel.name}: arrays on one device are wanted, got {sorted(devices) or 'none'}")
    return values, devices.pop()


def _home(what: str, wanted: np.dtype, written: bool, array: Any) -> str:
    """The device of an array that a kernel can take."""
    device = device_of(array)
    if array is None or device is None:
        raise DeviceError(f"{what} takes an array on the device, got {type(array).__name__}")
    if array.dtype != wanted:
        raise DTypeError(f"{what} takes {wanted}, got an array of {array.dtype}")
    if not array.flags.c_contiguous:
        raise ShapeError(
            f"{what} takes a C-contiguous array, got strides {array.strides} of shape {array.shape}"
        )
    if written and not getattr(array.flags, "writeable", True):
        raise ShapeError(f"{what} is written, and the array is read-only")
    return device


def _number(what: str, wanted: np.dtype, value: Any) -> np.generic:
    if wanted.kind == "f":
        if not isinstance(value, int | float | np.floating | np.integer):
            raise DTypeError(f"{what} takes a number, got {type(value).__name__}")
        return wanted.type(value)
    if not isinstance(value, int | np.integer):
        raise DTypeError(f"{what} takes a whole number, got {type(value).__name__}")
    limits = np.iinfo(wanted)
    if not limits.min <= value <= limits.max:
        raise ShapeError(f"{what} takes {wanted}, which cannot hold {value}")
    return wanted.type(value)
