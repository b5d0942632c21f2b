"""The backward pass: one walk over the tape, newest Node first."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from rawgan import arrays
from rawgan.arrays import Array
from rawgan.engine.mode import MODE, Watch
from rawgan.engine.tape import OPS, Node
from rawgan.engine.tensor import Tensor, real
from rawgan.kernels.errors import GradientError, ShapeError


def backward(self: Tensor, grad: Any = None) -> None:
    """Add to `.grad` of every leaf this tensor was computed from.

    grad: the gradient of this tensor (default 1, for a single element).
    Raises GradientError without a graph or if a saved value was changed in place.
    """
    if not self.requires_grad:
        raise GradientError(
            "backward(): this tensor was computed from nothing that requires a gradient "
            "(or inside no_grad()); make a leaf with requires_grad=True"
        )
    with arrays.beside(self._data):
        shares, owned = _sweep(self, _first_gradient(self, grad), None, False)
    for leaf, share in shares.items():
        if not (leaf in owned and type(share) is np.ndarray and share.flags.c_contiguous):
            with arrays.beside(share):
                share = arrays.contiguous(share) if leaf in owned and share.shape else _own(share, leaf)
        if leaf.grad is not None:  # into the new array: whoever holds the old one sees no change
            share = _combined(operator.iadd, share, leaf.grad)
        leaf.grad = share


Tensor.backward = backward


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

    >>> import rawgan
    >>> x = rawgan.tensor(3.0, requires_grad=True)
    >>> rawgan.grad(x * x, [x])
    (tensor(6.),)
    """
    if type(output) is not Tensor:
        raise GradientError(f"grad(): the output is a tensor, got {type(output).__name__}")
    if type(inputs) is Tensor or arrays.is_array(inputs) or not isinstance(inputs, Iterable):
        raise GradientError("grad(): inputs is a list of tensors; write grad(y, [x])")
    inputs = list(inputs)
    for x in inputs:
        if type(x) is not Tensor:
            raise GradientError(f"grad(): inputs are tensors, got {type(x).__name__}")
    targets = {_key(x) for x in inputs}
    found: dict[Any, Any] = {}
    if output.requires_grad:
        with arrays.beside(output._data):
            found, _ = _sweep(output, _first_gradient(output, grad_outputs), targets, create_graph)
    out = []
    for x in inputs:
        share = found.get(_key(x))
        if type(share) is not Tensor:
            with arrays.beside(x._data):
                share = Tensor(
                    arrays.namespace(x._data).zeros_like(x._data) if share is None else _own(share, x)
                )
        out.append(share)
    return tuple(out)


def _key(x: Tensor) -> Any:
    return x if x._node is None else x._node


def _own(share: Array, like: Tensor) -> Array:
    """A C-contiguous copy: a rule's result may share memory with another gradient or a saved value."""
    out = arrays.namespace(like._data).empty(like.shape, dtype=like.dtype)
    out[...] = share
    return out


def _first_gradient(output: Tensor, given: Any) -> Any:
    if given is None:
        if output.size != 1:
            raise GradientError(
                f"the gradient of a tensor of shape {output.shape} needs a starting value: give grad= "
                "(backward) or grad_outputs= (grad), or take .sum() first"
            )
        one = arrays.namespace(output._data).empty(output.shape, dtype=output.dtype)
        one[...] = 1  # what ones_like does in a quarter of the time
        return one
    if type(given) is not Tensor:
        given = arrays.asarray(real("the starting gradient", given), output.dtype, output.device)
    elif given.dtype != output.dtype:
        given = OPS["astype"](given, dtype=output.dtype)
    if given.shape != output.shape:
        raise ShapeError(f"the starting gradient has shape {given.shape}, the tensor {output.shape}")
    return given


def _sweep(output: Tensor, first: Any, targets: set | None, create_graph: bool) -> tuple[dict, set]:
    """Walk the Nodes from `output`, newest first, and sum what each rule contributes.

    Returns the gradients of the targets (of all leaves where targets is None) as arrays, or as
    Tensors with create_graph, and which of them nobody else holds: sums, and what fused rules made.
    """
    root = _key(output)
    if create_graph:
        first = first if type(first) is Tensor else Tensor(first)
    elif type(first) is Tensor:
        first = first._data
    useful = None if targets is None else _leading_to(root, targets)
    watch = MODE.get().watch
    if watch is None:
        return _walk(root, first, targets, useful, create_graph, None)
    watch.backward(output, first, create_graph)
    try:
        return _walk(root, first, targets, useful, create_graph, watch)
    finally:
        watch.done()


def _walk(
    root: Any, first: Any, targets: set | None, useful: set | None, create_graph: bool, watch: Watch | None
) -> tuple[dict, set]:
    gradients: dict[Any, Any] = {root: first}
    owned: set[Any] = set()  # gradients whose memory nobody else has, so they may be added to in place
    results: dict[Any, Any] = {}
    heap: list[tuple[int, Node]] = []
    if type(root) is Node:
        heap.append((-root.sequence, root))
    while heap:
        node = heappop(heap)[1]
        gy = gradients.pop(node)
        if targets is not None and node in targets:
            results[node] = gy
        if watch is not None:
            watch.node(node, gy)
        array = gy._data if create_graph else gy
        if type(array) is np.ndarray:
            shares = _shares(node, gy, useful, create_graph)
        else:  # a graph may cross from one device to another
            with arrays.beside(array):
                shares = _shares(node, gy, useful, create_graph)
        for i, share, fresh in shares:
            parent, given = node.parents[i], share
            like = parent._data if type(parent) is Tensor else parent
            if share.shape != like.shape:  # undo broadcasting, here and nowhere else
                share = OPS["sum_to"](share, shape=like.shape)
            if share.dtype is not like.dtype and share.dtype != like.dtype:
                share = OPS["astype"](share, dtype=like.dtype)
            if watch is not None:
                watch.share(node, i, share)
            known = gradients.get(parent)
            if known is None:
                gradients[parent] = share
                if fresh and share is given and watch is None:  # who watches may keep it
                    owned.add(parent)
                if type(parent) is Node:
                    heappush(heap, (-parent.sequence, parent))
            elif create_graph or parent not in owned or not known.shape:
                gradients[parent] = _combined(operator.add, known, share)
                owned.add(parent)
            else:
                _combined(operator.iadd, known, share)
    if targets is None:
        return gradients, owned  # what is left are leaves
    results |= {key: share for key, share in gradients.items() if key in targets}
    return results, owned


def _combined(function: Callable, x: Any, y: Any) -> Any:
    """A function of two arrays, or Tensors, on their device."""
    if type(x) is np.ndarray or type(x) is Tensor:
        return function(x, y)
    with arrays.beside(x):
        return function(x, y)


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


def _shares(node: Node, gy: Any, useful: set | None, create_graph: bool) -> list[tuple[int, Any, bool]]:
    """(input number, gradient, whether its memory is new) for each input whose gradient is wanted."""
    op = node.op
    if useful is None:
        flags = [parent is not None for parent in node.parents]
    else:
        flags = [parent is not None and parent in useful for parent in node.parents]
    if True not in flags:
        return []
    for name, version, then, _ in node.versions:
        if version[0] != then:
            raise GradientError(
                f"backward through {op.name}{f' in {node.layer}' if node.layer else ''}: its saved {name!r} "
                "was changed in place after it was used; call backward() before the update, or compute again"
            )
    env = _with_history(node) if create_graph else node.saved
    fused = op.fused is not None and not create_graph
    if fused:
        results = op.fused.function(gy, flags, *[env[name] for name in op.fused.needs])
        shares = [(i, share, True) for i, share in enumerate(results) if flags[i]]
    else:
        if op.shared is not None:
            env = env | op.shared.function(*[env[name] for name in op.shared.needs])
        shares = []
        for i, asked in enumerate(flags):
            if not asked:
                continue
            rule = op._rule(i)
            if op.variadic:
                env = env | {"position": i}
            share = rule.function(gy, *[env[name] for name in rule.needs])
            shares.append((i, share, rule.new and not create_graph))
    return shares


def _with_history(node: Node) -> dict[str, Any]:
    """The saved values, where inputs and output are Tensors again, for gradients of gradients."""
    env = dict(node.saved)
    for name, version, _, j in node.versions:
        producer = node if j is None else node.parents[j]
        if producer is None:
            continue
        if node.op.variadic and j is not None:
            env[name] = several = list(env[name])
            several[j] = _again(node, f"{name}[{j}]", several[j], producer, version)
        else:
            env[name] = _again(node, name, env[name], producer, version)
    return env


def _again(node: Node, name: str, array: Array, producer: Any, version: list[int]) -> Tensor:
    """The Tensor that a saved array was: the leaf itself, or a new one of the same origin."""
    if type(producer) is Tensor:
        if producer._data is not array:
            raise GradientError(
                f"backward through {node.op.name}: the data of its leaf {name!r} was replaced after it was "
                "used, so no gradient of a gradient can reach it; compute again from the new data"
            )
        return producer
    out = Tensor(array)
    out._node = producer
    out._version = version
    return out
