"""Module: a part of a network, its parameters by name, and how they are saved and moved.

A subclass assigns Tensors (parameters), arrays through `buffer` (state that is not trained) and
other Modules in its `__init__`, and defines `forward`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from rawgan import arrays
from rawgan.engine import MODE, Mode, Tensor
from rawgan.engine.tensor import real
from rawgan.kernels.errors import ConfigError, DTypeError, ShapeError

SETTING = [object()]  # another one whenever an attribute of any module is set: what plans are made for


class Recorded:
    """Remembers the arguments that it was made with, for rawgan.nn.structure.

    A class apart, since in the class that defines `__init__`, `inspect.signature` would prefer `__new__`.
    """

    _made_with: tuple[tuple, dict[str, Any]]

    def __new__(cls, *args: Any, **keywords: Any) -> Any:
        made = object.__new__(cls)
        object.__setattr__(made, "_made_with", (args, keywords))
        return made


class Module(Recorded):
    """Base of every layer and network."""

    def __init__(self) -> None:
        self.training = True
        self._parameters: dict[str, Tensor] = {}
        self._buffers: dict[str, arrays.Array] = {}
        self._children: dict[str, Module] = {}
        self._label = type(self).__name__  # how messages and inspection call this layer

    def __setattr__(self, name: str, value: Any) -> None:
        SETTING[0] = object()
        tables = {table: self.__dict__.get(table) for table in ("_parameters", "_buffers", "_children")}
        known = name in (tables["_parameters"] or ())
        if isinstance(value, Tensor) and value._node is None and (value._leaf or known):
            place = (
                "_parameters"  # other Tensors, such as an activation kept to look at, are plain attributes
            )
        elif isinstance(value, Module):
            place = "_children"
        else:  # an array is a buffer only under a name that `buffer` has made one
            place = "_buffers" if name in (tables["_buffers"] or ()) and arrays.is_array(value) else ""
        for table, held in tables.items():
            if table == place:
                if held is None:
                    raise TypeError(f"{type(self).__name__}: call super().__init__() before setting {name!r}")
                held[name] = value
            elif held:
                held.pop(name, None)  # the name stands for something else now
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        SETTING[0] = object()
        object.__delattr__(self, name)
        for table in (self._parameters, self._buffers, self._children):
            table.pop(name, None)

    def buffer(self, name: str, value: arrays.Array) -> None:
        """Keep an array that is saved with the parameters but not trained.

        Replace it by a new array where it changes: the tape may still hold the old one.
        """
        if not arrays.is_array(value):
            raise DTypeError(f"buffer: {name!r} takes an array, got {value!r}")
        self._buffers[name] = value
        object.__setattr__(self, name, value)

    def forward(self, *inputs: Any) -> Any:
        raise TypeError(f"{type(self).__name__} does not define forward()")

    def __call__(self, *inputs: Any) -> Any:
        mode = MODE.get()
        token = MODE.set(Mode(mode.grad, self._label, mode.watch))
        try:
            return self.forward(*inputs)
        finally:
            MODE.reset(token)

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """(path, module) for this module and all inside it; the path of this one is `prefix`."""
        yield prefix, self
        for name, child in self._children.items():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """(name, tensor) of every parameter, such as ("0.weight", ...); a shared one once."""
        seen = set()
        for path, module in self.named_modules():
            for name, tensor in module._parameters.items():
                if tensor not in seen:
                    seen.add(tensor)
                    yield (f"{path}.{name}" if path else name), tensor

    def parameters(self) -> list[Tensor]:
        """Every parameter, in the order of the layers; a shared one once."""
        found = list(self._parameters.values())
        for child in self._children.values():
            if child._children or type(child).parameters is not Module.parameters:
                found += child.parameters()
            else:
                found += child._parameters.values()
        return list(dict.fromkeys(found))

    def label(self, prefix: str) -> Module:
        """Call the layers by their path under `prefix` in messages; returns the module."""
        for path, module in self.named_modules(prefix):
            module._label = f"{path} ({type(module).__name__})"
        return self

    def train(self, flag: bool = True) -> Module:
        """Training behaviour (dropout drops, batch statistics) on; returns the module."""
        for _, module in self.named_modules():
            module.training = bool(flag)
        return self

    def eval(self) -> Module:
        """Training behaviour off; returns the module."""
        return self.train(False)

    def requires_grad_(self, flag: bool = True) -> Module:
        """Whether the parameters want gradients; a frozen network does not pay for them."""
        for tensor in self.parameters():
            tensor.requires_grad = flag
        return self

    def zero_grad(self) -> None:
        """Forget the parameters' gradients."""
        for tensor in self.parameters():
            tensor.grad = None

    def to(self, device: str | None = None, dtype: Any = None) -> Module:
        """Move the parameters and buffers to a device and/or dtype, in place; returns the module.

        Call it before making an optimiser, whose state is made beside the parameters.
        """
        for _, module in self.named_modules():
            for tensor in module._parameters.values():
                where = tensor.device if device is None else device
                kind = tensor.dtype if dtype is None else arrays.float_dtype(dtype)
                tensor._data = arrays.asarray(tensor._data, kind, where)
                tensor.grad = None
                tensor._version = [0]
            for name, value in module._buffers.items():
                where = arrays.device_of(value) if device is None else device
                kind = value.dtype if dtype is None else arrays.float_dtype(dtype)
                module.buffer(name, arrays.asarray(value, kind, where))
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """NumPy copies of all parameters and buffers, by name."""
        out = {}
        for path, module in self.named_modules():
            dot = f"{path}." if path else ""
            for name, tensor in module._parameters.items():
                out[dot + name] = np.array(arrays.to_numpy(tensor._data), order="C")
            for name, value in module._buffers.items():
                out[dot + name] = np.array(arrays.to_numpy(value), order="C")
        return out

    def load_state_dict(self, state: dict[str, Any]) -> Module:
        """Overwrite all parameters and buffers from arrays by name; returns the module.

        The names must be this module's own ("num_batches_tracked", which PyTorch adds, is ignored);
        nothing is changed unless everything fits. Raises ConfigError, ShapeError or DTypeError.
        """
        if not isinstance(state, Mapping):
            raise ConfigError(f"load_state_dict: takes what state_dict() gives, got {state!r}")
        state = {k: v for k, v in state.items() if str(k).rpartition(".")[2] != "num_batches_tracked"}
        places: dict[str, tuple[Module, str]] = {}
        for path, module in self.named_modules():
            for name in (*module._parameters, *module._buffers):
                places[f"{path}.{name}" if path else name] = (module, name)
        missing, extra = sorted(places.keys() - state.keys()), sorted(map(str, state.keys() - places.keys()))
        if missing or extra:
            raise ConfigError(
                "load_state_dict: the names do not match this network"
                + (f"; missing: {', '.join(missing[:5])}" if missing else "")
                + (f"; unknown: {', '.join(extra[:5])}" if extra else "")
            )
        values = {}
        for key, (module, name) in places.items():
            value = arrays.to_numpy(real(f"load_state_dict: {key}", state[key]))
            own = module._parameters.get(name)
            shape = own.shape if own is not None else module._buffers[name].shape
            if value.shape != shape:
                raise ShapeError(f"load_state_dict: {key} has shape {value.shape}, this network's {shape}")
            if value.dtype.kind != "f":
                raise DTypeError(f"load_state_dict: {key} holds {value.dtype}, not floating-point numbers")
            values[key] = value
        for key, (module, name) in places.items():
            if name in module._parameters:
                module._parameters[name].copy_(values[key])
            else:
                old = module._buffers[name]
                with arrays.beside(old):
                    fresh = arrays.namespace(old).empty_like(old)
                    fresh[...] = arrays.asarray(values[key], fresh.dtype, arrays.device_of(fresh))
                module.buffer(name, fresh)
        return self

    def __repr__(self) -> str:
        inner = "".join(
            f"\n({name}): {child!r}".replace("\n", "\n  ") for name, child in self._children.items()
        )
        return f"{type(self).__name__}({self.describe()}{inner}{chr(10) if inner else ''})"

    def describe(self) -> str:
        """The settings that `repr` shows between the brackets."""
        return ""


@contextmanager
def frozen(module: Module) -> Iterator[Module]:
    """Inside the block the module's parameters want no gradients, and none are computed.

    >>> from rawgan import nn
    >>> D = nn.Dense(2, 1)
    >>> with frozen(D):
    ...     [p.requires_grad for p in D.parameters()]
    [False, False]
    """
    if not isinstance(module, Module):
        raise ConfigError(f"frozen takes a module, got {module!r}")
    flags = [(tensor, tensor.requires_grad) for tensor in module.parameters()]
    for tensor, _ in flags:
        tensor.requires_grad = False
    try:
        yield module
    finally:
        for tensor, flag in flags:
            tensor.requires_grad = flag
