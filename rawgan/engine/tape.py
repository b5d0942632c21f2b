"""Node and Op: what an operation is, and what it leaves on the tape."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rawgan import arrays
from rawgan.arrays import Array
from rawgan.engine.mode import MODE
from rawgan.engine.tensor import Tensor, tensor
from rawgan.kernels.errors import DeviceError, DTypeError, GradientError, RawganError, ShapeError

_sequence = itertools.count()
_new = object.__new__  # without the time of __init__: every operation makes two


class Node:
    """One operation on the tape. It never refers to its output Tensor: no reference cycle.

    parents: for each input its Node, the Tensor itself where it is a leaf, or None where no gradient
        is wanted.
    saved: name -> value: the attributes, and exactly the arrays and shapes that the wanted rules name.
    versions: (name, version cell, its value when saved, input number or None) of the saved arrays.
    shape, dtype: of the output.
    """

    __slots__ = ("__weakref__", "dtype", "layer", "op", "parents", "saved", "sequence", "shape", "versions")

    def __repr__(self) -> str:
        return f"<Node {self.sequence} {self.op.name}{f' in {self.layer}' if self.layer else ''}>"


class Rule(NamedTuple):
    """How one input's gradient follows from the output's."""

    function: Callable
    formula: str
    needs: tuple[str, ...]  # saved values, in the order of the function's arguments after gy
    new: bool = False  # whether the result is an array of its own, which the sweep may keep and add to


OPS: dict[str, Op] = {}
_INPUT, _SHAPE, _OUTPUT, _KEPT, _ALL, _SHAPES = range(6)  # where a saved value comes from


class Op:
    """A differentiable operation: a value rule and one gradient rule per input.

    Call it with Tensors, arrays or numbers for the inputs and keywords for the attributes.
    With a Tensor among the inputs it returns a Tensor; with arrays only, an array.
    """

    def __init__(self, name: str, value: Callable, keeps: tuple[str, ...], view: bool):
        parameters = list(inspect.signature(value).parameters.values())[1:]  # the first is the array module
        positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        self.name = name
        self.value = value
        self.keeps = keeps  # names of what the value rule returns after y, for the gradient rules
        self.view = view  # the output may share its input's memory
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.inputs = tuple(p.name for p in parameters if p.kind is p.VAR_POSITIONAL) or tuple(
            p.name for p in positional
        )
        self.optional = {i for i, p in enumerate(positional) if p.default is None}  # inputs that may be None
        self.attrs = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        self.output = "z" if "y" in self.inputs else "y"
        self.rules: dict[str, Rule] = {}
        self.shared: Rule | None = None
        self.fused: Rule | None = None
        self._plans: dict[int, tuple[tuple[str, int, int], ...]] = {}
        self.__doc__ = value.__doc__
        self.__name__ = name
        self.__module__ = value.__module__

    def __repr__(self) -> str:
        return f"<op {self.name}({', '.join(self.inputs)})>"

    def rule(self, name: str, formula: str, new: bool = False) -> Callable:
        """Register the gradient rule of input `name`: f(gy, *what it needs) -> its gradient.

        A rule's argument names declare what the tape saves for it: an input, an attribute, the output
        ("y", or "z" where an input is called y), a kept value, "x_shape" (the shape of an input x), or
        a result of `share`. Of an operation on any number of inputs xs, "xs" is all of them, "shapes" their
        shapes, and "position" says whose gradient is asked for. new: the result is always an array of its
        own; it need not be copied.
        """

        def register(function: Callable) -> Callable:
            if name not in self.inputs:
                raise TypeError(f"{self.name} has no input {name!r}")
            self.rules[name] = Rule(function, formula, self._needs(function, 1), new)
            return function

        return register

    def share(self, function: Callable) -> Callable:
        """Register work that several rules share: f(*needs) -> dict of named values."""
        self.shared = Rule(function, "", self._needs(function, 0))
        return function

    def fuse(self, function: Callable) -> Callable:
        """Register one kernel for all the rules: f(gy, wanted, *needs) -> gradients, each a new array.

        Used where no graph of the gradient is asked for, in place of the composed rules.
        """
        self.fused = Rule(function, "", self._needs(function, 2))
        return function

    def _needs(self, function: Callable, skip: int) -> tuple[str, ...]:
        return tuple(inspect.signature(function).parameters)[skip:]

    def __call__(self, *inputs: Any, **attrs: Any) -> Any:
        return self.apply(inputs, attrs)[0]

    def apply(self, inputs: tuple, attrs: dict[str, Any]) -> tuple[Any, Sequence]:
        """The output, and the kept values (plain arrays)."""
        mode = MODE.get()
        values = [*inputs]
        parents: list[Any] = [None] * len(values)
        first = None  # an array behind some Tensor among the inputs
        guests = []  # which inputs are arrays without a Tensor
        wanted = False
        for i, value in enumerate(inputs):
            if type(value) is Tensor:
                first = values[i] = value._data
                if value._node is not None:
                    parents[i] = value._node
                    wanted = True
                elif value._leaf:
                    parents[i] = value
                    wanted = True
            elif type(value) is bool:
                values[i] = float(value)
            elif value is None:
                if not (self.variadic or i in self.optional):
                    raise DTypeError(f"{self.name}: takes arrays, tensors and numbers, got None")
            elif type(value) is not float and type(value) is not int:
                if type(value) is not np.ndarray:
                    values[i] = _operand(value)
                guests.append(i)
        plain = first is None
        if guests or plain:
            first = _settle(self.name, values, guests, first)
        try:
            if type(first) is np.ndarray:
                y = self.value(np, *values, **attrs)
            else:
                xp = arrays.namespace(first)
                self._refuse_others(values, first)
                with arrays.beside(first):
                    y = self.value(xp, *values, **attrs)
        except (ValueError, TypeError) as error:
            raise self._misfit(values, error) from None
        kept: Sequence = ()
        if self.keeps:
            y, kept = y[0], y[1:]
        if type(y) is not type(first) and isinstance(y, np.generic):  # NumPy returns scalars where it can
            y = arrays.namespace(first).asarray(y)
        if plain:
            if mode.watch is not None:
                mode.watch.value(self, mode.layer, inputs, attrs, y)
            return y, kept

        out = _new(Tensor)
        out._data = y
        out._leaf = False
        out._node = None
        out.grad = None
        out._version = version = inputs[0]._version if self.view and type(inputs[0]) is Tensor else [0]
        if not (wanted and mode.grad):
            if mode.watch is not None:
                mode.watch.value(self, mode.layer, inputs, attrs, out)
            return out, kept
        node = _new(Node)
        node.op = self
        node.parents = parents
        node.layer = mode.layer
        node.sequence = next(_sequence)
        node.shape = y.shape
        node.dtype = y.dtype
        node.saved = saved = attrs
        node.versions = versions = []
        for i, parent in enumerate(parents):
            if parent is None:
                continue
            plan = self._plans.get(i)
            for name, place, j in self._plan(i) if plan is None else plan:
                if name in saved:
                    continue
                if place == _KEPT:
                    saved[name] = kept[j]
                elif place == _INPUT:
                    saved[name] = values[j]
                    source = inputs[j]
                    if type(source) is Tensor:
                        versions.append((name, source._version, source._version[0], j))
                elif place == _OUTPUT:
                    saved[name] = y
                    versions.append((name, version, version[0], None))
                elif place == _SHAPE:
                    saved[name] = values[j].shape
                elif place == _ALL:
                    saved[name] = values
                    versions += [
                        (name, x._version, x._version[0], j)
                        for j, x in enumerate(inputs)
                        if type(x) is Tensor
                    ]
                else:
                    saved[name] = [v.shape for v in values]
            if self.variadic:
                break  # one rule for all inputs, and what it needs is saved
        out._node = node
        if mode.watch is not None:
            mode.watch.value(self, mode.layer, inputs, attrs, out)
        return out, kept

    def _refuse_others(self, values: list, first: Any) -> None:
        """Refuse arrays of another device than the first one's; modules see to it only in part."""
        here = arrays.device_of(first)
        for value in values:
            if value is not first and hasattr(value, "shape") and arrays.device_of(value) != here:
                raise _two_devices(self.name, first, value)

    def _misfit(self, values: list, error: ValueError | TypeError) -> Exception:
        """NumPy's complaint about shapes as one that names the operation; rawgan's own stay as they are."""
        if isinstance(error, RawganError):
            return error
        placed = [value for value in values if hasattr(value, "shape")]
        self._refuse_others(placed, placed[0])
        if isinstance(error, TypeError):
            return error
        shapes = " and ".join(str(tuple(v.shape)) for v in values if hasattr(v, "shape"))
        return ShapeError(f"{self.name}: shapes {shapes} do not fit each other: {error}")

    def _plan(self, i: int) -> tuple[tuple[str, int, int], ...]:
        """What the gradient of input i needs saved: (name, where it comes from, which one)."""
        rule = self._rule(i)
        places = {name: (_KEPT, k) for k, name in enumerate(self.keeps)}
        places[self.output] = (_OUTPUT, 0)
        for j, name in enumerate(self.inputs):
            places[name] = (_INPUT, j)
            places[name + "_shape"] = (_SHAPE, j)
        if self.variadic:
            places |= {self.inputs[0]: (_ALL, 0), "shapes": (_SHAPES, 0)}
        needs = rule.needs
        for extra in (self.shared, self.fused):
            needs += extra.needs if extra is not None else ()
        self._plans[i] = tuple((n, *places[n]) for n in dict.fromkeys(needs) if n in places)
        return self._plans[i]

    def input_name(self, i: int) -> str:
        """What input number i is called."""
        return self.inputs[0 if self.variadic else i]

    def _rule(self, i: int) -> Rule:
        name = self.input_name(i)
        if name not in self.rules:
            raise GradientError(f"{self.name} has no gradient with respect to its input {name!r}")
        return self.rules[name]


def op(name: str, keeps: tuple[str, ...] = (), view: bool = False) -> Callable[[Callable], Op]:
    """Register an operation from its value rule f(xp, *inputs, **attributes).

    keeps: names of further results that the value rule returns after y, for its gradient rules.
    view: the output may share memory with the first input.
    """

    def register(value: Callable) -> Op:
        OPS[name] = found = Op(name, value, keeps, view)
        return found

    return register


def _operand(value: Any) -> Any:
    """An input that is neither a Tensor nor a Python number, as an array."""
    if isinstance(value, list | tuple):
        return tensor(value)._data
    arrays.namespace(value)  # refuses what is not an array
    return value


def _settle(name: str, values: list, guests: list[int], first: Any) -> Array:
    """The array that decides device and dtype, the other plain arrays made to fit it.

    What has no axes becomes a Python number and whole numbers take the dtype, so that neither an array
    scalar nor an array of labels widens float32.
    """
    if first is None:
        leader = max(guests, key=lambda i: len(values[i].shape), default=0)
        if not guests or isinstance(values[leader], np.generic):
            values[leader] = np.asarray(values[leader], dtype=None if guests else np.float32)
        first = values[leader]
        if not arrays.is_float(first.dtype):
            first = values[leader] = arrays.as_float(name, first, arrays.namespace(first).float32)
    for i in guests:
        value = values[i]
        if value is first:
            continue
        if not value.shape:
            alike = type(value) is type(first) and value.dtype == first.dtype
            values[i] = value if alike else float(value)  # a GPU would be waited for
        elif type(value) is not type(first):
            raise _two_devices(name, first, value)
        elif value.dtype != first.dtype:
            values[i] = arrays.as_float(name, value, first.dtype)
    return first


def _two_devices(name: str, first: Array, other: Array) -> DeviceError:
    return DeviceError(
        f"{name}: got arrays on {arrays.device_of(first)} and {arrays.device_of(other)}; "
        "move one with rawgan.tensor(x, device=...) or .to(device)"
    )
