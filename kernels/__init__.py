"""Every computation heavier than an elementwise expression, once for each kind of processor.

Raw arrays in, raw arrays out: this room knows nothing of tensors or gradients.

>>> import numpy as np
>>> from rawgan import kernels
>>> x = np.ones((1, 1, 3, 3), np.float32)
>>> kernels.conv2d(x, x, None, stride=(1, 1), padding=(0, 0))[0, 0]
array([[9.]], dtype=float32)

`KERNELS` maps a kernel's name to a `Kernel`, which looks at the type of its first argument and at
`use_kernels(...)` and calls one of the columns below. `contracts.py` says what each kernel takes
and returns; `reference/` says it again in NumPy, slowly and plainly; `cpu/` and `cuda/` say it fast.
"""

if __name__ != "rawgan.kernels":
    raise ImportError("this folder is a part of rawgan: write `import rawgan.kernels`")

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from .contracts import CONTRACTS, Contract
from .errors import ConfigError, DeviceError
from .precision import use_precision as use_precision

# Which column serves which arrays, under which choice. A new device is a new row; a subclass of a listed type
# is served by the row of its nearest listed base. Types by name: most are never imported.
COLUMNS: dict[str, dict[str, str]] = {
    "numpy.ndarray": {"fast": "cpu", "reference": "reference"},
    "rawgan.kernels.cuda.host.HostArray": {"fast": "cuda", "reference": "reference"},
    "cupy.ndarray": {"fast": "cuda"},
}
CHOICES = ("fast", "reference")

_NOTHING = np.empty(0)  # stands for the first array of an empty list
_choice: ContextVar[str] = ContextVar("rawgan_kernels", default="fast")


@contextmanager
def use_kernels(choice: str) -> Iterator[None]:
    """Within the block, run the "fast" kernels (the default) or the textbook ones ("reference").

    Raises ConfigError for any other name.

    >>> with use_kernels("reference"):
    ...     dense(np.ones((1, 2)), np.ones((1, 2)), None)
    array([[2.]])
    """
    if choice not in CHOICES:
        raise ConfigError(f"use_kernels: unknown choice {choice!r}; the choices are {', '.join(CHOICES)}")
    token = _choice.set(choice)
    try:
        yield
    finally:
        _choice.reset(token)


def choice() -> str:
    """The kernels in use, "fast" or "reference"."""
    return _choice.get()


class Kernel:
    """One kernel: calling it checks the arguments and runs the column that fits the first array of them.

    A column's function that has the attribute `checks` calls the check itself: see `checks_update.checking`.
    `implementations` maps a column to "module:function"; a column is imported on its first call.
    """

    def __init__(self, contract: Contract):
        self.name = contract.name
        self.contract = contract
        columns = {column for row in COLUMNS.values() for column in row.values()}
        self.implementations = {c: f".{c}.{contract.family}:{contract.name}" for c in sorted(columns)}
        self.__doc__ = contract.summary
        self._check = contract.check
        self._first = contract.arguments[0]
        self._resolved: dict[tuple[type, str], tuple[Callable[..., Any], Callable[..., None] | None]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        first = args[0] if args else kwargs.get(self._first)
        if type(first) is list:
            first = first[0] if first else _NOTHING
        key = (type(first), _choice.get())
        found = self._resolved.get(key)
        if found is None:
            run = self.resolve(*key)
            found = self._resolved[key] = run, None if hasattr(run, "checks") else self._check
        run, check = found
        if check is not None:
            check(*args, **kwargs)
        return run(*args, **kwargs)

    def resolve(self, array_type: type, choice: str) -> Callable[..., Any]:
        """The function that serves arrays of this type; DeviceError where there is none."""
        for base in array_type.__mro__:
            row = COLUMNS.get(f"{base.__module__}.{base.__qualname__}")
            if row is None:
                continue
            if choice not in row:
                raise DeviceError(
                    f"{self.name}: the {choice} kernels take no {base.__module__} arrays; use 'cpu'"
                )
            function = self.implementation(row[choice])
            by_hand = getattr(base, "by_hand", None)  # how an array module runs the textbook
            return by_hand(function) if by_hand and row[choice] == "reference" else function
        raise DeviceError(
            f"{self.name}: no kernel for arrays of type {array_type.__module__}.{array_type.__qualname__}; "
            f"there are kernels for {', '.join(COLUMNS)}"
        )

    def implementation(self, column: str) -> Callable[..., Any]:
        """The function of one column, imported now."""
        module, function = self.implementations[column].split(":")
        return getattr(import_module(module, __name__), function)

    def __repr__(self) -> str:
        return f"<kernel {self.name}({', '.join(self.contract.arguments)})>"


KERNELS: dict[str, Kernel] = {name: Kernel(contract) for name, contract in CONTRACTS.items()}
globals().update(KERNELS)

if TYPE_CHECKING:  # each kernel is an attribute of this module

    def __getattr__(name: str) -> Kernel: ...


def info() -> dict[str, Any]:
    """What the CPU column runs on: Numba's version, threads, BLAS, instruction set.

    >>> sorted(info())
    ['blas', 'compiled kernels', 'cpu', 'instructions', 'numba', 'second cache', 'simd', 'threads']
    """
    from .cpu.machine import info as describe

    return describe()
