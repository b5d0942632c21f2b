"""The tape: Tensor, Node, Op, backward() and grad(). The whole engine.

An operation computes a value with array functions or a kernel and, if somebody wants a
gradient, leaves a `Node`: which operation, from which parents, with exactly the arrays that
its gradient rules need. `backward()` walks the Nodes newest to oldest, asks each rule for
its share and sums the shares. Rules are written with the same operations, which also take
plain arrays, so that they serve twice: on arrays for a plain backward pass, on Tensors
where the gradient itself is to be differentiated.

>>> x = tensor([1.0, 2.0], requires_grad=True)
>>> (gx,) = grad((x * x * x).sum(), [x], create_graph=True)
>>> (ggx,) = grad(gx.sum(), [x])
>>> ggx.numpy()
array([ 6., 12.], dtype=float32)
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from heapq import heappop, heappush
from typing import Any, NamedTuple

import numpy as np

from rawgan import arrays
from rawgan.arrays import Array
from rawgan.kernels.errors import DTypeError, GradientError, ShapeError


class Mode(NamedTuple):
    """The switches of the tape; one immutable value, replaced and restored as a whole."""

    grad: bool = True  # leave Nodes
    layer: str = ""  # the layer that is running, for messages and inspection
    watch: Callable[[str, str, str, Array], None] | None = (
        None  # told (op, layer, what, array) of each result
    )


MODE: ContextVar[Mode] = ContextVar("mode", default=Mode())  # noqa: B039 (a NamedTuple cannot change)


@contextmanager
def switch(**changes: Any) -> Iterator[None]:
    """Change some of the tape's switches inside the block."""
    token = MODE.set(MODE.get()._replace(**changes))
    try:
        yield
    finally:
        MODE.reset(token)


def no_grad() -> Any:
    """Operations inside the block leave nothing on the tape.

    >>> x = tensor(1.0, requires_grad=True)
    >>> with no_grad():
    ...     (x * 2).requires_grad
    False
    """
    return switch(grad=False)


_sequence = itertools.count()


class Node:
    """One operation on the tape. It never refers to its output Tensor: no reference cycle.

    parents: for each input its Node, the Tensor itself where it is a leaf, or None where no gradient is wanted.
    saved: name -> value: the attributes, and exactly the arrays and shapes that the wanted rules name.
    versions: (name, version cell, its value when saved, input number or None) of the saved arrays.
    shape, dtype: of the output.
    """

    __slots__ = ("dtype", "layer", "op", "parents", "saved", "sequence", "shape", "versions")

    def __repr__(self) -> str:
        return f"<Node {self.sequence} {self.op.name}{f' in {self.layer}' if self.layer else ''}>"


class Rule(NamedTuple):
    """How one input's gradient follows from the output's."""

    function: Callable
    formula: str
    needs: tuple[str, ...]  # saved values, in the order of the function's arguments after gy


OPS: dict[str, Op] = {}
_INPUT, _SHAPE, _OUTPUT, _KEPT = range(4)  # where a saved value comes from


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

    def rule(self, name: str, formula: str) -> Callable:
        """Register the gradient rule of input `name`: f(gy, *what it needs) -> its gradient.

        A rule's argument names declare what the tape saves for it: an input, an attribute, the output
        ("y", or "z" where an input is called y), a kept value, "x_shape" (the shape of an input x), or
        a result of `share`.
        """

        def register(function: Callable) -> Callable:
            if name not in self.inputs:
                raise TypeError(f"{self.name} has no input {name!r}")
            self.rules[name] = Rule(function, formula, self._needs(function, 1))
            return function

        return register

    def share(self, function: Callable) -> Callable:
        """Register work that several rules share: f(*needs) -> dict of named values."""
        self.shared = Rule(function, "", self._needs(function, 0))
        return function

    def fuse(self, function: Callable) -> Callable:
        """Register one kernel for all the rules: f(gy, wanted, *needs) -> a gradient per input.

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
            elif value is not None and type(value) is not float and type(value) is not int:
                values[i] = _operand(value)
        plain = first is None
        if plain:
            first = next((v for v in values if hasattr(v, "dtype")), None)
            if first is None:
                first = values[0] = np.asarray(values[0], dtype=np.float32)
        xp = arrays.namespace(first)
        y = self.value(xp, *values, **attrs)
        kept: Sequence = ()
        if self.keeps:
            y, *kept = y
        if type(y) is not type(first):  # NumPy returns scalars where it can
            y = xp.asarray(y)
        if mode.watch is not None:
            mode.watch(self.name, mode.layer, "value", y)
        if plain:
            return y, kept

        out = Tensor.__new__(Tensor)
        out._data = y
        out._leaf = False
        out._node = None
        out.grad = None
        out._version = version = inputs[0]._version if self.view and type(inputs[0]) is Tensor else [0]
        if not (wanted and mode.grad):
            return out, kept
        node = Node.__new__(Node)
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
            for name, place, j in self._plans.get(i) or self._plan(i):
                if name in saved:
                    continue
                if place == _INPUT:
                    saved[name] = values[j]
                    source = inputs[j]
                    if type(source) is Tensor:
                        versions.append((name, source._version, source._version[0], j))
                elif place == _OUTPUT:
                    saved[name] = y
                    versions.append((name, version, version[0], None))
                elif place == _SHAPE:
                    saved[name] = values[j].shape
                else:
                    saved[name] = kept[j]
        if self.variadic:
            saved["shapes"] = [v.shape for v in values]
        out._node = node
        return out, kept

    def _plan(self, i: int) -> tuple[tuple[str, int, int], ...]:
        """What the gradient of input i needs saved: (name, where it comes from, which one)."""
        rule = self._rule(i)
        places = {name: (_KEPT, k) for k, name in enumerate(self.keeps)}
        places[self.output] = (_OUTPUT, 0)
        for j, name in enumerate(self.inputs):
            places[name] = (_INPUT, j)
            places[name + "_shape"] = (_SHAPE, j)
        needs = rule.needs
        for extra in (self.shared, self.fused):
            needs += extra.needs if extra is not None else ()
        self._plans[i] = tuple((n, *places[n]) for n in dict.fromkeys(needs) if n in places)
        return self._plans[i]

    def _rule(self, i: int) -> Rule:
        name = self.inputs[0 if self.variadic else i]
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
    """An input that is no Tensor: arrays stay, array scalars and 0-d arrays become Python numbers.

    A number then never widens the dtype of the Tensor that it meets.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, list | tuple):
        value = np.asarray(value)
        if value.dtype == np.float64 or value.dtype.kind in "iub":
            value = value.astype(np.float32)
    arrays.namespace(value)  # refuses what is not an array
    return value


# Tensors ----------------------------------------------------------------------------


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
        value = arrays.asarray(value, self.dtype, self.device)
        if value.shape != self.shape:
            raise ShapeError(f"data of shape {value.shape} does not fit a tensor of shape {self.shape}")
        self._data = value
        self._version = [0]

    def copy_(self, value: Any) -> Tensor:
        """Overwrite the values in place; a backward pass that still needs the old ones will refuse."""
        value = arrays.asarray(value._data if type(value) is Tensor else value, self.dtype, self.device)
        if value.shape != self.shape:
            raise ShapeError(
                f"copy_: values of shape {value.shape} do not fit a tensor of shape {self.shape}"
            )
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

    def backward(self, grad: Any = None) -> None:
        """Add to `.grad` of every leaf this tensor was computed from.

        grad: the gradient of this tensor (default 1, for a single element).
        Raises GradientError without a graph or if a saved value was changed in place.
        """
        if not self.requires_grad:
            raise GradientError(
                "backward(): this tensor was computed from nothing that requires a gradient "
                "(or inside no_grad()); make a leaf with requires_grad=True"
            )
        for leaf, share in _sweep(self, _first_gradient(self, grad), None, False).items():
            share = _own(share, leaf)
            leaf.grad = share if leaf.grad is None else leaf.grad + share

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
        if self.device != "cpu":
            notes += f", device='{self.device}'"
        if self._node is not None:
            notes += f", op={self._node.op.name}"
        elif self._leaf:
            notes += ", requires_grad=True"
        return f"tensor({values}{notes})"

    # NumPy asks for these before it gives up; a plain copy is what its user means.
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.requires_grad and MODE.get().grad:
            raise GradientError("NumPy would lose this tensor's gradient; use x.detach().numpy() or x.data")
        return np.array(self.numpy(), dtype=dtype, copy=copy)


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
    dtype = arrays.float_dtype(dtype)
    if not arrays.is_array(value):
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise ShapeError(f"tensor(): rows of different lengths: {error}") from None
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind not in "biuf":
        raise DTypeError(f"tensor() takes real numbers, got an array of dtype {value.dtype}")
    array = arrays.asarray(value, dtype, device)
    xp = arrays.namespace(array)
    return Tensor(xp.asarray(array, copy=True), requires_grad)


# The backward pass ------------------------------------------------------------------


def grad(
    output: Tensor,
    inputs: Sequence[Tensor],
    grad_outputs: Any = None,
    create_graph: bool = False,
) -> tuple[Tensor, ...]:
    """Gradients of `output` with respect to `inputs`; `.grad` is left alone.

    grad_outputs: the gradient of the output (default 1, for a single element).
    create_graph: the results are themselves on the tape, for gradients of gradients.
    Returns a Tensor per input; zeros for an input that the output does not depend on.

    >>> x = tensor(3.0, requires_grad=True)
    >>> grad(x * x, [x])
    (tensor(6.),)
    """
    if type(inputs) is Tensor:
        raise GradientError("grad(): inputs is a list of tensors; write grad(y, [x])")
    inputs = list(inputs)
    for x in inputs:
        if type(x) is not Tensor:
            raise GradientError(f"grad(): inputs are tensors, got {type(x).__name__}")
    targets = {_key(x) for x in inputs}
    found: dict[Any, Any] = {}
    if output.requires_grad:
        found = _sweep(output, _first_gradient(output, grad_outputs), targets, create_graph)
    out = []
    for x in inputs:
        share = found.get(_key(x))
        if share is None:
            share = Tensor(arrays.namespace(x._data).zeros_like(x._data))
        elif type(share) is not Tensor:
            share = Tensor(_own(share, x))
        out.append(share)
    return tuple(out)


def _key(x: Tensor) -> Any:
    return x if x._node is None else x._node


def _own(share: Array, like: Tensor) -> Array:
    """A copy, as a rule's result may share memory with another gradient or a saved value."""
    xp = arrays.namespace(like._data)
    return xp.asarray(share, dtype=like.dtype, copy=True)


def _first_gradient(output: Tensor, given: Any) -> Any:
    if given is None:
        if output.size != 1:
            raise GradientError(
                f"the gradient of a tensor of shape {output.shape} needs a starting value: give grad= "
                "(backward) or grad_outputs= (grad), or take .sum() first"
            )
        return arrays.namespace(output._data).ones_like(output._data)
    value = given._data if type(given) is Tensor else given
    if getattr(value, "shape", ()) != output.shape or not hasattr(value, "dtype"):
        value = arrays.asarray(value, output.dtype, output.device)
    if value.shape != output.shape:
        raise ShapeError(f"the starting gradient has shape {value.shape}, the tensor {output.shape}")
    return (
        given
        if type(given) is Tensor and given.dtype == output.dtype
        else arrays.asarray(value, output.dtype, output.device)
    )


def _sweep(output: Tensor, first: Any, targets: set | None, create_graph: bool) -> dict[Any, Any]:
    """Walk the Nodes from `output`, newest first, and sum what each rule contributes.

    Returns the gradients of the targets (of all leaves where targets is None) as arrays, or as
    Tensors with create_graph.
    """
    root = _key(output)
    if create_graph:
        first = first if type(first) is Tensor else Tensor(first)
    elif type(first) is Tensor:
        first = first._data
    useful = None if targets is None else _leading_to(root, targets)
    gradients: dict[Any, Any] = {root: first}
    owned: set[Any] = set()  # gradients that are sums made here, so they may be added to in place
    results: dict[Any, Any] = {}
    heap: list[tuple[int, Node]] = []
    if type(root) is Node:
        heap.append((-root.sequence, root))
    while heap:
        node = heappop(heap)[1]
        gy = gradients.pop(node)
        if targets is not None and node in targets:
            results[node] = gy
        for i, share in _shares(node, gy, useful, create_graph):
            parent = node.parents[i]
            if share.shape != parent.shape:  # undo broadcasting, here and nowhere else
                share = OPS["sum_to"](share, shape=parent.shape)
            if share.dtype != parent.dtype:
                share = OPS["astype"](share, dtype=parent.dtype)
            known = gradients.get(parent)
            if known is None:
                gradients[parent] = share
                if type(parent) is Node:
                    heappush(heap, (-parent.sequence, parent))
            elif create_graph or parent not in owned or not known.shape:
                gradients[parent] = known + share
                owned.add(parent)
            else:
                known += share
    for key, share in gradients.items():  # what is left are leaves
        if targets is None or key in targets:
            results[key] = share
    return results


def _leading_to(root: Any, targets: set) -> set:
    """Everything on a path from `root` to a target: only there are gradients computed."""
    useful = set(targets)
    stack: list[tuple[Any, bool]] = [(root, False)]
    seen = set()
    while stack:
        item, expanded = stack.pop()
        if type(item) is not Node:
            continue
        if expanded:
            if any(parent in useful for parent in item.parents if parent is not None):
                useful.add(item)
        elif item not in seen:
            seen.add(item)
            stack.append((item, True))
            stack.extend((parent, False) for parent in item.parents if parent is not None)
    return useful


def _shares(node: Node, gy: Any, useful: set | None, create_graph: bool) -> list[tuple[int, Any]]:
    """(input number, gradient) for each input of a node whose gradient is wanted."""
    op = node.op
    for name, version, then, _ in node.versions:
        if version[0] != then:
            raise GradientError(
                f"backward through {op.name}{f' in {node.layer}' if node.layer else ''}: its saved {name!r} was "
                "changed in place after it was used; call backward() before the update, or compute again"
            )
    wanted = [
        i
        for i, parent in enumerate(node.parents)
        if parent is not None and (useful is None or parent in useful)
    ]
    env = _with_history(node) if create_graph else node.saved
    if op.fused is not None and not create_graph:
        flags = [i in wanted for i in range(len(node.parents))]
        results = op.fused.function(gy, flags, *[env[name] for name in op.fused.needs])
        shares = [(i, results[i]) for i in wanted]
    else:
        if op.shared is not None:
            env = env | op.shared.function(*[env[name] for name in op.shared.needs])
        shares = []
        for i in wanted:
            rule = op._rule(i)
            if op.variadic:
                env = env | {"position": i}
            shares.append((i, rule.function(gy, *[env[name] for name in rule.needs])))
    watch = MODE.get().watch
    if watch is not None:
        for i, share in shares:
            name = op.inputs[0 if op.variadic else i]
            watch(op.name, node.layer, f"gradient of {name}", share._data if type(share) is Tensor else share)
    return shares


def _with_history(node: Node) -> dict[str, Any]:
    """The saved values, where inputs and output are Tensors again, for gradients of gradients."""
    env = dict(node.saved)
    for name, version, _, j in node.versions:
        producer = node if j is None else node.parents[j]
        if type(producer) is Tensor:
            env[name] = producer
        elif producer is not None:
            env[name] = _again(node.saved[name], producer, version)
    return env


def _again(array: Array, node: Node, version: list[int]) -> Tensor:
    out = Tensor(array)
    out._node = node
    out._version = version
    return out
