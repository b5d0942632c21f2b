"""Tensor: an array, its gradient, and the Node that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rawgan import arrays
from rawgan.arrays import Array
from rawgan.engine.mode import MODE
from rawgan.kernels.errors import DTypeError, GradientError, ShapeError

if TYPE_CHECKING:
    from rawgan.engine.tape import Node


class Tensor:
    """An array and how it was computed.

    Made by `rawgan.tensor` and by operations. `.data` is the plain array (NumPy or CuPy); `.grad`
    after `backward()` a plain array of the same shape, dtype and device. Operators and methods
    (`+ - * / ** @ []`, `.sum()`, `.reshape()`, ...) are the operations of `rawgan.ops`.
    """

    __slots__ = ("__weakref__", "_data", "_leaf", "_node", "_version", "grad")
    __array_priority__ = 1000
    __array_ufunc__ = None  # so that ndarray * Tensor asks Tensor
    __hash__ = object.__hash__

    def __init__(self, data: Array, requires_grad: bool = False):
        self._data = data
        self._leaf = requires_grad
        self._node: Node | None = None
        self._version = [0]
        self.grad: Array | None = None

    @property
    def data(self) -> Array:
        """The values as a plain array. Change them in place as `x.data -= step`: the tape notices."""
        return self._data

    @data.setter
    def data(self, value: Array) -> None:
        if value is self._data:  # the second half of `x.data -= ...`
            self._version[0] += 1
            return
        value = arrays.contiguous(arrays.asarray(real("data", value), self.dtype, self.device))
        if value.shape != self.shape:
            raise ShapeError(f"data of shape {value.shape} does not fit a tensor of shape {self.shape}")
        self._data = value
        self._version = [0]

    def copy_(self, value: Any) -> Tensor:
        """Overwrite the values in place; a backward pass that still needs the old ones will refuse."""
        value = arrays.asarray(real("copy_", value), self.dtype, self.device)
        if value.shape != self.shape:
            raise ShapeError(
                f"copy_: values of shape {value.shape} do not fit a tensor of shape {self.shape}"
            )
        with arrays.beside(value):
            self._data[...] = value
        self._version[0] += 1
        return self

    def changed(self) -> None:
        """Tell the tape that a kernel has written into `data`."""
        self._version[0] += 1

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through this tensor. Settable on leaves."""
        return self._leaf or self._node is not None

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        if self._node is not None:
            raise GradientError("requires_grad can be set on leaves only; use x.detach() to cut a tensor off")
        self._leaf = bool(flag)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    @property
    def device(self) -> str:
        return arrays.device_of(self._data)

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array (shared with the tensor on the CPU)."""
        return arrays.to_numpy(self._data)

    def item(self) -> float:
        """The one value as a Python number; ShapeError if there is not exactly one."""
        if self.size != 1:
            raise ShapeError(f"item() takes a tensor of one element, got shape {self.shape}")
        return self.numpy().item()

    def tolist(self) -> Any:
        return self.numpy().tolist()

    def detach(self) -> Tensor:
        """The same memory, cut off the tape; in-place changes are noticed through either."""
        out = Tensor(self._data)
        out._version = self._version
        return out

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __repr__(self) -> str:
        values = np.array2string(self.numpy(), separator=", ", prefix="tensor(")
        notes = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        if self.device != arrays.resolve(None):
            notes += f", device='{self.device}'"
        if self._node is not None:
            notes += f", op={self._node.op.name}"
        elif self._leaf:
            notes += ", requires_grad=True"
        return f"tensor({values}{notes})"

    def _repr_html_(self) -> str:
        """For notebooks: what made it, its figures, its values, and its gradient's."""
        values = self.numpy()
        made = (
            f"made by {self._node.op.name}"
            if self._node is not None
            else "a leaf"
            if self._leaf
            else "constant"
        )
        rows = [("shape", f"{self.shape}, {self.dtype}, {self.device}"), ("is", made)]
        for name, array in (("values", values), ("gradient", self.grad)):
            if array is not None and self.size:
                host = arrays.to_numpy(array)
                figures = f"from {host.min():.4g} to {host.max():.4g}, mean {host.mean():.4g}"
                shown = np.array2string(host, precision=4, threshold=64, edgeitems=3)
                rows.append((name, f"{figures}<pre>{shown}</pre>"))
        body = "".join(f"<tr><th>{name}</th><td>{text}</td></tr>" for name, text in rows)
        return f"<table><caption>Tensor</caption>{body}</table>"

    if TYPE_CHECKING:  # `rawgan.ops` and `rawgan.engine.backward` attach these

        def backward(self, grad: Any = None) -> None: ...
        def __add__(self, y: Any) -> Tensor: ...
        def __radd__(self, y: Any) -> Tensor: ...
        def __sub__(self, y: Any) -> Tensor: ...
        def __rsub__(self, y: Any) -> Tensor: ...
        def __mul__(self, y: Any) -> Tensor: ...
        def __rmul__(self, y: Any) -> Tensor: ...
        def __truediv__(self, y: Any) -> Tensor: ...
        def __rtruediv__(self, y: Any) -> Tensor: ...
        def __pow__(self, y: Any) -> Tensor: ...
        def __rpow__(self, y: Any) -> Tensor: ...
        def __matmul__(self, y: Any) -> Tensor: ...
        def __rmatmul__(self, y: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __getattr__(self, name: str) -> Any: ...  # sum, mean, reshape, ...

    # NumPy asks for these before it gives up; a plain copy is what its user means.
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.requires_grad and MODE.get().grad:
            raise GradientError("NumPy would lose this tensor's gradient; use x.detach().numpy() or x.data")
        return np.array(self.numpy(), dtype=dtype, copy=copy)


def real(what: str, value: Any) -> Array:
    """`value` as an array; DTypeError for what is not real numbers, ShapeError for uneven rows."""
    if type(value) is Tensor:
        return value._data
    if not arrays.is_array(value):
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise ShapeError(f"{what}: rows of different lengths: {error}") from None
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind not in "biuf":
        raise DTypeError(f"{what} takes real numbers, got an array of dtype {value.dtype}")
    return value


def tensor(value: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A leaf tensor with a copy of `value`.

    value: a number, nested lists, an array, or a Tensor.
    dtype: "float32" or "float64"; by default float32, but a float64 array keeps its dtype.
    device: "cpu", "cuda", ...; by default the current one.

    >>> tensor([[1, 2]])
    tensor([[1., 2.]])
    """
    if type(value) is Tensor:
        value = value._data
    if dtype is None:
        wide = getattr(value, "dtype", None) == np.float64 and not isinstance(value, np.generic)
        dtype = "float64" if wide else "float32"
    array = arrays.asarray(real("tensor()", value), arrays.float_dtype(dtype), device)
    with arrays.beside(array):
        out = arrays.namespace(array).empty(array.shape, dtype=array.dtype)
        out[...] = array
    return Tensor(out, requires_grad)
