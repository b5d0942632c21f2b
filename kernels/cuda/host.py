"""The device "cuda-sim": the same `.cu` files, compiled for the processor, over NumPy's memory.

    with use_seed(3): ...                  # another order of lanes, warps and blocks; odd seeds copy at once

A `HostArray` is an array of that device. It is NumPy's, but meets a plain array in no expression, as one of a
GPU's would not. Needs a compiler for C++17 (g++, clang++, or what CXX names); compiled files are kept in the
user's cache. RAWGAN_SIM_FLAGS adds flags, such as those of the sanitizers.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DeviceError
from . import recording
from .program import Listed, Program

HEADERS = Path(__file__).parent / "host"
FLAGS = ["-std=c++17", "-O2", "-fPIC", "-shared", "-w", "-fno-strict-aliasing", "-ffp-contract=off"]
_DYNAMIC = re.compile(r"extern\s+__shared__\s+(?P<type>[\w ]+?)\s+(?P<name>\w+)\s*\[\s*\]\s*;")
_seed: ContextVar[int] = ContextVar("rawgan_sim_seed", default=0)
_one_at_a_time = threading.Lock()  # a compiled file keeps the launch in static memory


class HostArray(np.ndarray):
    """An array on the device "cuda-sim"."""

    rawgan_device = "cuda-sim"

    def get(self) -> np.ndarray:
        """A copy for the host, as CuPy's method."""
        recording.refuse("values are copied to the host")
        return np.array(plain(self))

    @staticmethod
    def by_hand(function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of NumPy arrays for those of the device, whose memory NumPy can read and write."""

        def run(*args: Any, **kwargs: Any) -> Any:
            recording.refuse(f"{function.__name__} is computed by the reference kernels, on the host,")
            named = {name: plain(value) for name, value in kwargs.items()}
            return on_device(function(*map(plain, args), **named))

        return run

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        operands = (inputs[0], *inputs[2:]) if method == "at" else inputs  # an index may be anybody's
        for value in (*operands, *(out or ())):
            if isinstance(value, np.ndarray) and value.ndim and not isinstance(value, HostArray):
                raise DeviceError(
                    f"{ufunc.__name__}: an array of 'cuda-sim' meets one of 'cpu'; move one with to(...)"
                )
        if out is not None:
            kwargs["out"] = tuple(map(plain, out))
        found = _made(getattr(ufunc, method), inputs, kwargs, out is not None or method == "at")
        return found if out is None else out[0] if len(out) == 1 else out

    def __getitem__(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(part, np.ndarray) and part.dtype.kind == "b" for part in parts):
            recording.refuse("a shape depends on values (a mask)")
        return _made(np.ndarray.__getitem__, (self, index), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        _made(np.ndarray.__setitem__, (self, index, value), {}, in_place=True)

    def fill(self, value: Any) -> None:
        """NumPy's."""
        _made(np.ndarray.fill, (self, value), {}, in_place=True)


def _method(name: str) -> Callable[..., Any]:
    """A method of NumPy's arrays whose result may be a copy."""
    return lambda self, *args, **kwargs: _made(getattr(np.ndarray, name), (self, *args), kwargs)


def _reading(name: str) -> Callable[..., Any]:
    """A method of NumPy's arrays that gives the host a value."""

    def read(self: HostArray, *args: Any) -> Any:
        recording.refuse(f"a value is read back ({name})")
        return getattr(np.ndarray, name)(self, *args)

    return read


for _name in ("astype", "copy", "flatten", "ravel", "repeat", "reshape", "take"):
    setattr(HostArray, _name, _method(_name))
for _name in ("__bool__", "__complex__", "__float__", "__index__", "__int__", "item", "tobytes", "tolist"):
    setattr(HostArray, _name, _reading(_name))


def _made(function: Callable, inputs: tuple, kwargs: dict, in_place: bool = False) -> Any:
    """What NumPy's function makes of the device's arrays.

    While a recording is made, it is done at every replay instead, into the same array: now only for the
    result's shape, and not at all if `in_place`.
    """
    given = tuple(map(plain, inputs))
    making = recording.current()
    if making is None:
        return on_device(function(*given, **kwargs))
    if in_place:
        making.calls.append(partial(function, *given, **kwargs))
        return None
    with np.errstate(all="ignore"):
        found = on_device(function(*given, **kwargs))
    results = [plain(x) for x in (found if isinstance(found, tuple | list) else [found])]
    arrays = [x for x in (*given, *kwargs.values()) if isinstance(x, np.ndarray)]
    if any(isinstance(r, np.ndarray) and not any(np.may_share_memory(r, x) for x in arrays) for r in results):
        making.calls.append(partial(_again, function, given, kwargs, results))
    return found


def _again(function: Callable, given: tuple, kwargs: dict, results: list) -> None:
    found = function(*given, **kwargs)
    for result, value in zip(results, found if isinstance(found, tuple | list) else [found], strict=True):
        if isinstance(result, np.ndarray):
            result[...] = value


def plain(value: Any) -> Any:
    """The device's arrays, also in a tuple or list, as NumPy's of the same memory; anything else as it is."""
    if isinstance(value, HostArray):
        return value.view(np.ndarray)
    return type(value)(map(plain, value)) if type(value) in (tuple, list) else value


def on_device(value: Any) -> Any:
    """NumPy's arrays and scalars, also in a tuple or list, as those of the device; anything else as it is."""
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value).view(HostArray)
    return type(value)(map(on_device, value)) if type(value) in (tuple, list) else value


SENDING = (np.asarray, np.array)
READING = (np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.compress, np.extract)


def asarray(value: Any, dtype: Any = None) -> HostArray:
    """The device's own array, or a copy there of the host's."""
    if isinstance(value, HostArray):
        return value if dtype is None or value.dtype == dtype else on_device(value.astype(dtype))
    recording.refuse("values are copied from the host")
    return on_device(np.array(value, dtype))


class _Namespace:
    """NumPy's functions, with arrays of the device for results."""

    __name__ = "rawgan.kernels.cuda.host"

    def __getattr__(self, name: str) -> Any:
        value = getattr(np, name)
        if callable(value) and not isinstance(value, type | np.ufunc):  # ufuncs ask the array
            value = partial(_on_device, value)
        self.__dict__[name] = value
        return value


def _on_device(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if function in READING:
        recording.refuse(f"a shape depends on values ({function.__name__})")
    if function in SENDING and not any(isinstance(x, HostArray) for x in args):
        recording.refuse("values are copied from the host")
    if function in (np.empty, np.empty_like):  # has no values to be made again
        return on_device(function(*map(plain, args), **kwargs))
    kwargs, out = {name: plain(value) for name, value in kwargs.items()}, kwargs.get("out")
    found = _made(function, args, kwargs, in_place=out is not None or function is np.copyto)
    return found if out is None else out


namespace = _Namespace()


@contextmanager
def use_seed(seed: int) -> Iterator[None]:
    """Within the block, launches run in an order drawn from the seed; 0 is in order."""
    token = _seed.set(seed)
    try:
        yield
    finally:
        _seed.reset(token)


@cache
def compiler() -> str:
    """The C++ compiler; DeviceError where there is none."""
    for name in filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++")):
        if found := shutil.which(name):
            return found
    raise DeviceError(
        "'cuda-sim' compiles its kernels and finds no C++ compiler; install g++ (Debian, Ubuntu: `apt "
        "install g++`; Fedora: `dnf install gcc-c++`) or clang, or name one in CXX"
    )


def has_compiler() -> bool:
    """Whether programs can be compiled here."""
    try:
        return bool(compiler())
    except DeviceError:
        return False


def translation(program: Program) -> str:
    """The C++ of a program: the headers, its text in a namespace of its own, a function for each kernel."""
    text = _DYNAMIC.sub(r"\g<type>* \g<name> = (\g<type>*)sim::dynamic_shared();", program.text)
    calls = []
    for number, (kernel, code) in enumerate(program.instances):
        name = kernel.instance(code)
        calls.append(
            f'extern "C" int run_{number}(const unsigned* grid, const unsigned* block, size_t shared, '
            f"uint64_t seed, void** arguments) {{\n"
            f"    return sim::run(&{name}, grid, block, shared, seed, arguments);\n}}\n"
            f'extern "C" const char* parameters_{number}() {{ return sim::parameters(&{name}); }}\n'
        )
    return f'#include "launch.h"\nnamespace {{\n{text}\n}}\n{"".join(calls)}'


def library(program: Program) -> ctypes.CDLL:
    """The compiled program, from the cache or compiled now."""
    code = translation(program)
    flags = FLAGS + shlex.split(os.environ.get("RAWGAN_SIM_FLAGS", ""))
    headers = b"".join(path.read_bytes() for path in sorted(HEADERS.glob("*.h")))
    key = hashlib.blake2b(
        b"\0".join([compiler().encode(), " ".join(flags).encode(), headers, code.encode()]), digest_size=8
    ).hexdigest()
    target = _folder() / f"{program.name}-{key}.so"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            source, made = Path(folder) / f"{program.name}.cpp", Path(folder) / "made.so"
            source.write_text(code, "utf-8")
            command = [compiler(), *flags, f"-I{HEADERS}", str(source), "-o", str(made)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise DeviceError(f"{program.name}.cu: {compiler()} cannot compile it:\n{done.stderr[:4000]}")
            made.replace(target)  # whole or not at all, whoever else compiles it now
    return ctypes.CDLL(str(target))


@cache
def _folder() -> Path:
    from platformdirs import user_cache_path

    try:
        place = user_cache_path("rawgan") / "cuda-sim"
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place):
            return place
    except OSError:  # nothing is kept then; a folder that others could have made is never loaded from
        return Path(tempfile.mkdtemp(prefix="rawgan-sim-"))


def compiled(program: Program) -> Callable[..., None]:
    """What launches an instance of the program's kernels."""
    found = library(program)
    found.sim_error.restype = ctypes.c_char_p
    functions = {}
    for number, (kernel, code) in enumerate(program.instances):
        described = getattr(found, f"parameters_{number}")
        described.restype = ctypes.c_char_p
        if described().decode() != kernel.signature(code):
            takes, read = described().decode(), kernel.signature(code)
            raise DeviceError(f"{program.name}.cu: {kernel.name} takes {takes} and is read as {read}")
        functions[kernel.instance(code)] = getattr(found, f"run_{number}")

    def run(name: str, grid: tuple, block: tuple, shared: int, values: list[Any]) -> None:
        kept = [_place(value) for value in values]
        places = (ctypes.c_void_p * len(kept))(*map(ctypes.addressof, kept))
        sizes = (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block)
        with _one_at_a_time:
            wrong = functions[name](*sizes, ctypes.c_size_t(shared), ctypes.c_uint64(_seed.get()), places)
            message = found.sim_error().decode() if wrong else ""
        if wrong:
            raise DeviceError(f"{name}: {message}")

    return run


def _place(value: Any) -> Any:
    """An argument in memory: an address, or the bytes of a number or a list."""
    if isinstance(value, Listed):
        value = value.words(lambda array: array.ctypes.data)[0]
    if value is None or isinstance(value, np.ndarray):
        return ctypes.c_void_p(None if value is None else value.ctypes.data)
    return ctypes.create_string_buffer(value.tobytes(), value.nbytes)
