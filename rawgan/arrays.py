"""The backend switch: which array module holds the data, on which device.

Everything above this file asks `namespace(array)` for the module that made an array and
writes `xp.exp(x)`; no other file outside `kernels/` knows which devices exist. A device is
named by a string: "cpu", "cuda", "cuda:1", "cuda-sim". A further array module is one more
`Backend` row (the tests add one to prove it).

>>> x = asarray([1, 2], dtype="float32")
>>> namespace(x).__name__, device_of(x)
('numpy', 'cpu')
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from rawgan.kernels.errors import DeviceError, DTypeError
from rawgan.notice import warn

Array = Any  # a NumPy or CuPy array: every array module has its own class
FLOATS = ("float32", "float64")


@dataclass(frozen=True)
class Backend:
    """One array module.

    kind: the first part of the device names that it answers to ("cuda" of "cuda:1").
    module: loads the array module, or raises DeviceError saying what is missing.
    array_types: classes of its arrays and scalars; the first is the array class itself.
    asarray: value, dtype, device name -> array there.
    to_numpy: array -> NumPy array.
    device: array -> device name.
    empty: shape, dtype, device name -> uninitialised array there.
    count: how many devices of the kind there are, numbered from 0; None where its one device has no number.
    on: device name -> a block in which the module computes there; None where it does so anyhow.
    """

    kind: str
    module: Callable[[], Any]
    array_types: Callable[[], tuple[type, ...]]
    asarray: Callable[[Any, Any, str], Array]
    to_numpy: Callable[[Array], np.ndarray]
    device: Callable[[Array], str]
    empty: Callable[[Any, Any, str], Array]
    count: Callable[[], int] | None = None
    on: Callable[[str], AbstractContextManager] | None = None


BACKENDS: dict[str, Backend] = {}
_by_type: dict[type, tuple[Backend, Any]] = {}
_device: ContextVar[str] = ContextVar("device", default="cpu")


def register(backend: Backend) -> None:
    """Make an array module known under its kind."""
    BACKENDS[backend.kind] = backend


def _lookup(kind: type) -> tuple[Backend, Any]:
    """The backend and module of an array class; remembered."""
    found = _by_type.get(kind)
    if found is None:
        nearest = len(kind.__mro__)
        for backend in BACKENDS.values():
            try:
                types = backend.array_types()
            except DeviceError:
                continue  # that module is not installed, so the array cannot be its own
            for base in types:
                if base in kind.__mro__[:nearest]:  # a subclass's own module comes before its base's
                    nearest = kind.__mro__.index(base)
                    found = backend, backend.module()
        if found is None:
            raise DTypeError(
                f"{kind.__module__}.{kind.__qualname__} is not an array that rawgan can compute with; "
                f"give a Tensor, a number, or an array of one of: {', '.join(sorted(BACKENDS))}"
            )
        _by_type[kind] = found
    return found


def namespace(array: Array) -> Any:
    """The module (numpy, cupy, ...) whose functions take this array."""
    found = _by_type.get(type(array))  # most calls end here: every operation asks
    return found[1] if found is not None else _lookup(type(array))[1]


def device_of(array: Array) -> str:
    """The name of the device that holds an array."""
    return _lookup(type(array))[0].device(array)


def is_array(value: object) -> bool:
    """Whether a value is an array (or array scalar) of a known module."""
    try:
        _lookup(type(value))
    except DTypeError:
        return False
    return True


def to_numpy(array: Array) -> np.ndarray:
    """A NumPy array with the same values; copies only across devices."""
    return _lookup(type(array))[0].to_numpy(array)


def asarray(value: Any, dtype: Any = None, device: str | None = None) -> Array:
    """An array of `dtype` on `device` (default: the current one); copies only if needed."""
    name = resolve(device)
    if is_array(value) and device_of(value) != name:
        value = to_numpy(value)
    return _backend(name).asarray(value, dtype, name)


def empty(shape: Any, dtype: Any, device: str | None = None) -> Array:
    """An uninitialised array on `device` (default: the current one)."""
    name = resolve(device)
    return _backend(name).empty(shape, dtype, name)


_ANYWHERE = nullcontext()


def beside(array: Array) -> AbstractContextManager:
    """A block in which expressions of the array's module are computed on the array's device.

    An array module with several devices computes on the one that is current, whichever the arrays are on.
    The engine enters the right one by itself; a block of one's own is for expressions of plain arrays.

    >>> x = asarray([1, 2])
    >>> with beside(x):
    ...     x + 1
    array([2, 3])
    """
    if type(array) is np.ndarray:
        return _ANYWHERE
    backend = _lookup(type(array))[0]
    return _ANYWHERE if backend.on is None else backend.on(backend.device(array))


def contiguous(array: Array) -> Array:
    """The array itself, or a copy in C order if its memory is laid out otherwise."""
    if type(array) is np.ndarray and array.flags.c_contiguous:
        return array
    xp = namespace(array)
    if not array.ndim or not hasattr(xp, "ascontiguousarray"):
        return array
    with beside(array):
        return xp.ascontiguousarray(array)


def float_dtype(dtype: Any) -> np.dtype:
    """`dtype` as a NumPy dtype, refused unless it is float32 or float64."""
    try:
        return _float_dtype(dtype)
    except TypeError:
        raise DTypeError(f"dtype {dtype!r} is not supported: tensors are float32 or float64") from None


@functools.cache
def _float_dtype(dtype: Any) -> np.dtype:  # a dtype's name takes two microseconds to write
    found = np.dtype(dtype)
    if found.name not in FLOATS:
        raise TypeError
    return found


def is_float(dtype: Any) -> bool:
    """Whether an array's dtype, of whichever module, is float32 or float64."""
    return _is_float(type(dtype), dtype)


@functools.cache
def _is_float(kind: type, dtype: Any) -> bool:  # with the class, as dtypes of two modules may not be compared
    return str(dtype).rpartition(".")[2] in FLOATS


def as_float(name: str, array: Array, dtype: Any) -> Array:
    """Whole numbers and booleans in `dtype`; float32 and float64 as they are; the rest is refused."""
    if is_float(array.dtype):
        return array
    kind = str(array.dtype)
    if not kind.rpartition(".")[2].startswith(("int", "uint", "bool")):
        raise DTypeError(f"{name}: takes float32 or float64, got an array of dtype {kind}")
    with beside(array):
        return namespace(array).astype(array, dtype)


def scatter_add(shape: tuple[int, ...], index: Any, values: Array) -> Array:
    """Zeros of `shape` with `values` added at `index`; an element named twice gets both."""
    xp = namespace(values)
    out = xp.zeros(shape, dtype=values.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts):
        out[index] = values  # names each element once
    else:
        xp.add.at(out, index, values)
    return out


def _backend(device: str) -> Backend:
    found = BACKENDS.get(device) or BACKENDS.get(device.partition(":")[0])
    if found is None:
        raise DeviceError(f"there is no device {device!r}; there are: auto, {', '.join(sorted(BACKENDS))}")
    return found


def resolve(device: str | None) -> str:
    """The full name of a usable device; None is the current one, "auto" the best there is.

    Raises DeviceError, saying what is missing, for one that cannot be used.
    """
    if device is None:
        return _device.get()
    if not isinstance(device, str):
        raise DeviceError(f"a device is named by a string such as 'cpu' or 'cuda:1', got {device!r}")
    if device == "auto":
        return _best()
    backend = _backend(device)
    backend.module()
    kind, colon, index = device.partition(":")
    if not colon:
        return device
    if backend.count is None:
        raise DeviceError(f"there is one device {kind!r}; got {device!r}")
    if not (index.isascii() and index.isdigit()):
        raise DeviceError(f"the device {device!r} has no such number; write it as '{kind}:1'")
    number, count = int(index), backend.count()
    if number >= count:
        gpus = f"{count} GPU{'s' if count > 1 else ''}"
        raise DeviceError(f"there is no {device!r}: this machine has {gpus}, numbered from 0")
    return f"{kind}:{number}" if number else kind


_said_why: set[str] = set()


def _best() -> str:
    try:
        return resolve("cuda")
    except DeviceError as error:
        reason = str(error)
    if reason not in _said_why:
        _said_why.add(reason)
        warn(f"device='auto' uses the CPU: {reason.partition(';')[0]}")
    return "cpu"


@contextmanager
def use_device(device: str) -> Iterator[str]:
    """New tensors and modules are made on `device` inside the block.

    CuPy computes there too, so expressions of plain arrays (`x.data -= lr * x.grad`) need no more.

    >>> with use_device("cpu") as name:
    ...     name
    'cpu'
    """
    name = resolve(device)
    on = _backend(name).on
    token = _device.set(name)
    try:
        with _ANYWHERE if on is None else on(name):
            yield name
    finally:
        _device.reset(token)


register(
    Backend(
        kind="cpu",
        module=lambda: np,
        array_types=lambda: (np.ndarray, np.generic),
        asarray=lambda value, dtype, device: np.asarray(value, dtype=dtype),
        to_numpy=lambda array: np.asarray(array),
        device=lambda array: "cpu",
        empty=lambda shape, dtype, device: np.empty(shape, dtype),
    )
)


def _cupy_class() -> tuple[type, ...]:
    import sys

    # An array cannot be CuPy's while nobody has imported CuPy: don't pay for the import.
    cupy = sys.modules.get("cupy")
    if cupy is None:
        raise DeviceError("CuPy is not in use")
    return (cupy.ndarray,)


def _cupy() -> Any:
    how = "install rawgan[cuda13] (or rawgan[cuda12] for an older driver) on a machine with an NVIDIA GPU"
    try:
        cupy = importlib.import_module("cupy")
        usable = cupy.cuda.is_available()
    except ImportError as error:
        raise DeviceError(f"'cuda' needs CuPy, which is not installed ({error}); {how}") from None
    except Exception as error:  # a broken installation fails in any way it likes
        raise DeviceError(f"CuPy is installed but does not work ({error!r}); {how}") from error
    if not usable:
        raise DeviceError(f"CuPy {cupy.__version__} is installed but finds no usable NVIDIA GPU; {how}")
    return cupy


def _on_gpu(device: str) -> AbstractContextManager:
    from rawgan.kernels.cuda.cupy_module import On

    return On(_number(device))


def _number(device: str) -> int:
    return int(device.partition(":")[2] or 0)


def _cupy_asarray(value: Any, dtype: Any, device: str) -> Array:
    from rawgan.kernels.cuda import recording

    cupy = _cupy()
    if not isinstance(value, cupy.ndarray):
        # CuPy would send it from a buffer that is soon another's, and keep all buffers from then on.
        recording.refuse("values are copied from the host")
    with _on_gpu(device):
        if isinstance(value, np.ndarray) and not value.flags.c_contiguous:  # CuPy would put it in C order
            axes = sorted(range(value.ndim), key=lambda axis: -abs(value.strides[axis]))
            back = sorted(range(value.ndim), key=axes.__getitem__)
            return cupy.asarray(value.transpose(axes), dtype=dtype).transpose(back)
        return cupy.asarray(value, dtype=dtype)


def _cupy_empty(shape: Any, dtype: Any, device: str) -> Array:
    from rawgan.kernels.cuda.cupy_module import empty_on

    return empty_on(_number(device), shape, dtype)


register(
    Backend(
        kind="cuda",
        module=_cupy,
        array_types=_cupy_class,
        asarray=_cupy_asarray,
        to_numpy=lambda array: array.get(),
        device=lambda array: f"cuda:{number}" if (number := array.data.device_id) else "cuda",
        empty=_cupy_empty,
        count=lambda: _cupy().cuda.runtime.getDeviceCount(),
        on=_on_gpu,
    )
)


def _host_class() -> tuple[type, ...]:
    import sys

    # As above: there is none of its arrays before somebody has loaded the device.
    host = sys.modules.get("rawgan.kernels.cuda.host")
    if host is None:
        raise DeviceError("'cuda-sim' is not in use")
    return (host.HostArray,)


def _host() -> Any:
    from rawgan.kernels.cuda import host

    host.compiler()  # says what to install where there is none
    return host.namespace


def _host_asarray(value: Any, dtype: Any, device: str) -> Array:
    from rawgan.kernels.cuda import host

    return host.asarray(value, dtype)


register(
    Backend(
        kind="cuda-sim",
        module=_host,
        array_types=_host_class,
        asarray=_host_asarray,
        to_numpy=lambda array: array.get(),
        device=lambda array: "cuda-sim",
        empty=lambda shape, dtype, device: _host().empty(shape, dtype),
    )
)
