"""How Numba compiles the functions here: free of the interpreter's lock, cached on disk where possible.

How to write one that comes out as vectors: take slices of the arrays first and let the inner loop run over
`range(slice.size)`. With any other range Numba must ask for each index whether it is negative and counts from
the end, and with that question in it the same loop took eight times as long. Choose between values with `a if
condition else b`, both computed before; the types of both must be those of the array. Copy arrays in a loop:
`a[:] = b` can fail, and the text of that error takes two seconds to compile.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import uuid4

from numba import cfunc, njit, types
from numba.core import event
from numba.core.registry import CPUDispatcher

from .vector import SIMD

OPTIONS = {"nogil": True, "error_model": "numpy"}

cached = True

_sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
_PROCESS = uuid4().hex[:8]
_EDITION = f"{SIMD}_{blake2b(_sources, digest_size=4).hexdigest()}"


class _Message(event.Listener):
    """Tells whoever sits before a terminal or notebook why a first step takes seconds; once a process."""

    told = False

    def on_start(self, event: Any) -> None:
        if self.told or not event.data["dispatcher"].py_func.__module__.startswith(__package__):
            return
        self.told = True
        after = "once; they are kept on disk" if cached else "anew in each process: no folder can be written"
        with suppress(AttributeError, OSError, ValueError):  # there is none, or a broken or closed one
            if sys.stderr.isatty() or "ipykernel" in sys.modules:
                print(f"rawgan: compiling kernels for this processor ({after})", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        pass


_message = _Message()
event.register("numba:compile", _message)


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """Compiles on the first call with new argument types. options: Numba's, beside OPTIONS.

    Numba keeps compiled code by a function's name and its file's date. It knows nothing of RAWGAN_SIMD, nor
    that a function of another file, compiled into this one, has changed: so the name says both.

    Numba raises at once where neither the module's folder nor the user's cache folder can be written; there
    the function is compiled anew by each process.
    """
    made = _compiled(njit, function, **OPTIONS, **options)
    file: Any = getattr(made._cache, "_cache_file", None)
    if hasattr(file, "_data_name_pattern"):
        # Numba numbers the files of a function's versions for each kind of arguments. Of two processes that
        # compile two of them at once both may take a number, and the list may keep the name of the one whose
        # file the other has overwritten: from then on calls fail with "can't unbox array".
        file._data_name_pattern = file._data_name_pattern.replace(".nbc", f".{_PROCESS}.nbc")
    return made


class _Inner(CPUDispatcher):
    """One version for all integers, where Numba makes another for each that is written in a call.

    Says what is wrong where Numba's own would jump to code that was not made.
    """

    def get_call_template(self, args: Any, kws: Any) -> Any:
        plain = tuple(types.int64 if isinstance(kind, types.IntegerLiteral) else kind for kind in args)
        return super().get_call_template(plain, kws)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{self.py_func.__name__}: compiled functions alone can call it; see `inner`")


def inner(function: Callable[..., Any]) -> Any:
    """As `jit`, for a function that only compiled ones call, without what takes Python's objects apart.

    That costs 0.05 seconds or more for each function at the first use: `mlp` compiled for 11.6 seconds with
    it, and 10.7 without.
    """
    made = jit(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    made.__class__ = _Inner
    return made


def inlined(function: Callable[..., Any]) -> Any:
    """As `jit`, for a function that one or two others call: it is compiled as a part of them alone.

    A compiled function of its own costs 0.05 to 0.2 seconds at the first use: `mlp` compiled for 12.9 seconds
    without this, and 11.8 with it, when both were timed.
    """
    return jit(function, inline="always")


def fusing(function: Callable[..., Any]) -> Any:
    """As `jit`; a · b + c is one instruction, rounded once."""
    return jit(function, fastmath={"contract"})


def summing(function: Callable[..., Any]) -> Any:
    """As `jit`; sums come in whatever order the vectors make best, though always in the same."""
    return jit(function, fastmath={"reassoc", "contract"})


def entry(function: Callable[[int, int], None]) -> int:
    """The address of a function (int64, int64), compiled now, for threads outside the interpreter."""
    signature = types.void(types.int64, types.int64)
    return _compiled(partial(cfunc, signature), function, error_model="numpy").address


def _compiled(compiler: Callable[..., Any], function: Callable[..., Any], **options: Any) -> Any:
    global cached
    function.__qualname__ += f"_{_EDITION}"
    try:
        return compiler(cache=True, **options)(function)
    except RuntimeError:
        cached = False
        return compiler(**options)(function)
