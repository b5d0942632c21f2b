"""CuPy on a machine with GPUs, as far as rawgan uses it, made of NumPy and of the device "cuda-sim".

    monkeypatch.setitem(sys.modules, "cupy", fake_cupy.make(count=2))

As strict as CuPy, or stricter, where that is easily got wrong: every array lives on one GPU, and work on it
is refused while another is current; NumPy's arrays meet none of these; an index out of range wraps around;
each allocation has a limit. Kernels are compiled and run as those of "cuda-sim" are.
"""

import contextlib
import re
import types
from functools import partial

import numpy as np

from rawgan.kernels.cuda import host
from rawgan.kernels.cuda.program import Program

SHAPE_ONLY = ("shape", "dtype", "ndim", "size", "itemsize", "nbytes", "strides")
METHODS = ("all", "any", "argmax", "astype", "copy", "max", "mean", "min", "prod", "ravel", "reshape", "sum")
METHODS += ("swapaxes", "transpose", "view")
VIEWS = ("ravel", "reshape", "swapaxes", "transpose", "view")
PLAIN = 48 << 10  # bytes of shared memory that a kernel has without asking


class OutOfMemoryError(MemoryError):
    pass


class CUDADriverError(RuntimeError):
    """Of a launch."""


class CUDARuntimeError(RuntimeError):
    pass


class State:
    """What the machine has, which GPU is current, and what was asked of it."""

    def __init__(self, count, capability):
        self.count, self.capability = count, capability
        self.current = 0
        self.room = 1 << 40  # bytes: the most of one allocation
        self.switches = 0
        self.awaited = []  # GPUs that somebody waited for
        self.launched = []  # (GPU, kernel)
        self.allowed = {}  # (GPU, kernel) -> bytes of dynamic shared memory
        self.capture = None  # what a graph will do, while one is captured: nothing of it is done meanwhile


STATE = State(0, "90")


class Device:
    def __init__(self, device=None):
        self.id = STATE.current if device is None else int(device)
        self._before = []

    def use(self):
        set_device(self.id)

    def __enter__(self):
        self._before.append(STATE.current)
        self.use()
        return self

    def __exit__(self, *error):
        set_device(self._before.pop())

    def synchronize(self):
        STATE.awaited.append(self.id)

    compute_capability = property(lambda self: STATE.capability[self.id])


def set_device(number):
    if not 0 <= number < STATE.count:
        raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
    STATE.switches += 1
    STATE.current = number


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    __module__ = "cupy"
    __array_priority__ = 100

    def __init__(self, values, number):
        self._values = values
        self.data = types.SimpleNamespace(device_id=number, ptr=values.ctypes.data)

    device = property(lambda self: Device(self.data.device_id))
    T = property(lambda self: self.transpose())

    @property
    def flags(self):
        flags = self._values.flags
        return types.SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous)

    def get(self):
        refuse_in_capture()
        return self._values.copy(order="A")

    def item(self):
        return self.get().item()

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return done(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function, kinds, args, kwargs):
        return done(function, args, kwargs)

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self.get())

    def __float__(self):
        return float(self.get())

    def __getitem__(self, index):
        return done(
            lambda values, index: values[index], (self, wrapped(self.shape, index)), {}, indexing=True
        )

    def __setitem__(self, index, value):
        def store(values, value, index):
            values[index] = value

        done(store, (self, value, plain(wrapped(self.shape, index))), {}, indexing=True, in_place=True)


for _name in SHAPE_ONLY:
    setattr(ndarray, _name, property(lambda self, name=_name: getattr(self._values, name)))
for _name in METHODS:

    def _method(self, *args, _name=_name, **kwargs):
        if _name in VIEWS and not self.size:  # of no memory, so `done` could not tell a view
            return ndarray(getattr(self._values, _name)(*args, **kwargs), self.data.device_id)
        return done(lambda x, *rest, **more: getattr(x, _name)(*rest, **more), (self, *args), kwargs)

    setattr(ndarray, _name, _method)


def wrapped(shape, index):
    """The index with whole numbers in arrays taken modulo the length of their axis, as CuPy does."""
    parts = list(index) if isinstance(index, tuple) else [index]
    axes = [i for i, part in enumerate(parts) if part is not None]
    places = {i: axis for axis, i in enumerate(axes)}
    if Ellipsis in [p for p in parts if p is Ellipsis]:
        at = next(i for i, p in enumerate(parts) if p is Ellipsis)
        for i in axes:
            if i > at:
                places[i] += len(shape) - len(axes)
    for i, part in enumerate(parts):
        if isinstance(part, list):
            part = np.asarray(part)
        if isinstance(part, ndarray | np.ndarray) and part.dtype.kind in "iu":
            number = getattr(getattr(part, "data", None), "device_id", STATE.current)
            parts[i] = ndarray(np.asarray(np.mod(plain(part), shape[places[i]])), number)
    return tuple(parts) if isinstance(index, tuple) else parts[0]


def plain(value):
    if isinstance(value, ndarray):
        return value._values
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    return type(value)(map(plain, value)) if type(value) in (tuple, list) else value


def among(value):
    """The arrays in a value."""
    if isinstance(value, tuple | list):
        return [x for v in value for x in among(v)]
    return [value] if isinstance(value, ndarray | np.ndarray) else []


def allocated(size):
    if size > STATE.room:
        raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: 0 bytes).")


def refuse_in_capture():
    if STATE.capture is not None:
        raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted in a capture")


def again(function, result):
    result[...] = function()


def done(function, args, kwargs, indexing=False, in_place=False):
    """The function of NumPy on arrays of the current GPU."""
    given = [*among(args), *among([*kwargs.values()])]
    if not indexing and any(isinstance(x, np.ndarray) for x in given):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    given = [x for x in given if isinstance(x, ndarray)]
    out = kwargs.get("out")
    call = partial(function, *plain(args), **plain(kwargs))
    if out is not None or in_place:
        refuse_others(given)
        (call if STATE.capture is None else partial(STATE.capture.append, call))()
        return out[0] if isinstance(out, tuple) else out
    result = call()
    if not isinstance(result, np.ndarray | np.generic):
        return result
    result = np.asarray(result)
    for x in given:
        if result.size and np.may_share_memory(result, x._values):
            return ndarray(result, x.data.device_id)  # a view
    refuse_others(given)
    return placed(result, call)


def placed(values, call):
    """The new array of values on the current GPU; while a graph is captured, of what `call` will give."""
    allocated(values.nbytes)
    if STATE.capture is not None:
        values = np.full_like(values, 77)
        STATE.capture.append(partial(again, call, values))
    return ndarray(values, STATE.current)


def refuse_others(given):
    for x in given:
        if x.data.device_id != STATE.current:
            raise ValueError(
                f"The device where the array resides ({x.data.device_id}) is different from the current"
                f" device ({STATE.current}). Peer access is unavailable between these devices."
            )


class Function:
    def __init__(self, function):
        self._function = function
        if isinstance(function, np.ufunc):
            self.at = lambda *args: done(function.at, args, {}, indexing=True, in_place=True)

    def __call__(self, *args, **kwargs):
        return done(self._function, args, kwargs)


def asarray(value, dtype=None):
    if isinstance(value, ndarray):
        if value.data.device_id == STATE.current and dtype in (None, value.dtype):
            return value
        call = partial(np.array, value._values, dtype=dtype, order="C")
        return placed(call(), call)
    refuse_in_capture()
    value = np.array(value, dtype=dtype, order="C")
    allocated(value.nbytes)
    return ndarray(value, STATE.current)


def filled(function, *args, **kwargs):
    call = partial(function, *args, **kwargs)
    return placed(call(), call)


def empty(shape, dtype=float, **more):
    allocated(int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize)
    values = np.empty(shape, dtype)
    if values.dtype.kind == "f":
        values[...] = np.nan
    return ndarray(values, STATE.current)


class RawModule:
    def __init__(self, *, code, options=(), name_expressions=()):
        files = re.findall(r'#line 1 "(\w+)\.cu"', code)
        self._program = Program(files[-1] if files else "raw")
        self._program.__dict__["text"] = code
        self._names = name_expressions
        self._run = None

    def get_function(self, name):
        assert name in self._names
        self._run = self._run or host.compiled(self._program)
        return RawKernel(name, self._run)


class RawKernel:
    def __init__(self, name, run):
        self._name, self._run = name, run

    @property
    def max_dynamic_shared_size_bytes(self):
        return STATE.allowed.get((STATE.current, self._name), PLAIN)

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size):
        STATE.allowed[STATE.current, self._name] = size

    def __call__(self, grid, block, args, *, shared_mem=0):
        for x in args:
            if isinstance(x, ndarray) and x.data.device_id != STATE.current:
                raise RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise RuntimeError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        STATE.launched.append((STATE.current, self._name))
        values = [None if type(x) is int and x == 0 else plain(x) for x in args]
        values = [
            x[0] if isinstance(x, np.ndarray) and x.dtype.kind == "V" else x for x in values
        ]  # a struct
        call = partial(self._run, self._name, grid, block, shared_mem, values)
        (call if STATE.capture is None else partial(STATE.capture.append, call))()


class Stream(contextlib.nullcontext):
    ptr = 0

    def synchronize(self):
        refuse_in_capture()
        STATE.awaited.append(STATE.current)

    def begin_capture(self, mode):
        STATE.capture = []

    def end_capture(self):
        captured, STATE.capture = STATE.capture, None
        return types.SimpleNamespace(launch=lambda stream: [call() for call in captured])

    def is_capturing(self):
        return STATE.capture is not None


class Module(types.ModuleType):
    def __getattr__(self, name):
        found = getattr(np, name)
        return found if isinstance(found, type) or not callable(found) else Function(found)


def make(count=1, capability=None):
    """A fresh CuPy with so many GPUs. capability: of each, "90" by default."""
    STATE.__init__(count, capability or ["90"] * count)
    cupy = Module("cupy")
    cupy.__version__ = "14.2"
    cupy.ndarray, cupy.RawModule, cupy.asarray, cupy.empty = ndarray, RawModule, asarray, empty
    cupy.array = lambda value, dtype=None: asarray(plain(value), dtype)
    for name in ("zeros", "ones", "full"):
        setattr(cupy, name, partial(filled, getattr(np, name)))
    cupy.ElementwiseKernel = lambda *words: lambda b, c, a: a.__setitem__(..., b + 0.5 * c)  # the only one
    runtime = types.SimpleNamespace(
        getDevice=lambda: STATE.current,
        setDevice=set_device,
        getDeviceCount=lambda: STATE.count,
        memGetInfo=lambda: ((STATE.current + 1) << 30, 8 << 30),  # so that each GPU has its own
        CUDARuntimeError=CUDARuntimeError,
        streamCaptureModeRelaxed=2,
    )
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        runtime=runtime,
        driver=types.SimpleNamespace(CUDADriverError=CUDADriverError),
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        is_available=lambda: STATE.count > 0,
        get_current_stream=Stream,
        Stream=Stream,
        MemoryPool=lambda: types.SimpleNamespace(malloc=None),
        using_allocator=contextlib.nullcontext,
    )
    return cupy
