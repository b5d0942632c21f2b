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
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import uuid4

from numba import _dynfunc, cfunc, njit, types  # type: ignore[attr-defined]  # the first is compiled
from numba.core import event
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import NativeLowering

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


class _Part(JITCodeLibrary):
    """LLVM code that is optimised and made into machine code where it is called, and not alone."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(NativeLowering):
    _name = "rawgan_part_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _Part(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        made = state["cr"]
        # Compiled callers find the code by the object that Python would call, so there must be one.
        place, name = made.fndesc.lookup_module(), made.fndesc.qualname
        mark = _dynfunc.make_function(place, name, name, 0, made.env, (state.library,))
        state.targetctx.insert_user_function(mark, made.fndesc, [state.library])
        state["cr"] = made._replace(cfunc=mark)
        return True


class _PartCompiler(CompilerBase):
    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [(_PartLowering if p is NativeLowering else p, why) for p, why in passes.passes]
        passes.finalize()
        return [passes]


class _PartFunction(CPUDispatcher):
    """One version for all integers, where Numba makes another for each that is written in a call."""

    def get_call_template(self, args: Any, kws: Any) -> Any:
        plain = tuple(types.int64 if isinstance(kind, types.IntegerLiteral) else kind for kind in args)
        return super().get_call_template(plain, kws)


class _Function(CPUDispatcher):
    """Compiled as a whole for Python, as a part of its callers for compiled functions; see `jit`."""

    @cached_property
    def part(self) -> _PartFunction:
        options = self.targetoptions | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        return _PartFunction(self.py_func, targetoptions=options, pipeline_class=_PartCompiler)

    @property
    def _numba_type_(self) -> types.Dispatcher:
        return types.Dispatcher(self.part)


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """Compiles on the first call with new argument types. options: Numba's, beside OPTIONS.

    What another compiled function calls is lowered to LLVM code once and optimised within each of its
    callers. Numba also optimises it alone, makes machine code of that and wraps it for Python, or with
    inline="always" types it anew for each caller: of a first step of `mlp`, 9.0 seconds, 1.7 went there.

    Numba keeps compiled code by a function's name and its file's date. It knows nothing of RAWGAN_SIMD, nor
    that a function of another file, compiled into this one, has changed: so the name says both.

    Numba raises at once where neither the module's folder nor the user's cache folder can be written; there
    the function is compiled anew by each process.
    """
    made = _compiled(njit, function, **OPTIONS, **options)
    made.__class__ = _Function
    file: Any = getattr(made._cache, "_cache_file", None)
    if hasattr(file, "_data_name_pattern"):
        # Numba numbers the files of a function's versions for each kind of arguments. Of two processes that
        # compile two of them at once both may take a number, and the list may keep the name of the one whose
        # file the other has overwritten: from then on calls fail with "can't unbox array".
        file._data_name_pattern = file._data_name_pattern.replace(".nbc", f".{_PROCESS}.nbc")
    return made


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
