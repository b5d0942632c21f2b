"""Listens to the tape and writes down what it does."""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from heapq import heappop, heappush
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, finalize, ref

from rawgan import arrays
from rawgan.arrays import Array
from rawgan.engine import Node, Op, Tensor, Watch
from rawgan.inspect.nodes import Backward, Digest, Held, Received, RecordedNode, Share
from rawgan.kernels.errors import ConfigError
from rawgan.settings import whole_number

PACKAGE = Path(__file__).parents[1]
# Calls from these rooms are not the user's; a recipe's lines are worth seeing.
INNER = tuple(str(PACKAGE / room) for room in ("engine", "ops", "nn", "losses", "inspect", "training"))


class Recorder(Watch):
    """Fills lists of nodes, passes and events.

    budget: bytes of arrays that are kept, beside what went in, which always is; the largest give
    way. layers, ops: patterns; the arrays of other nodes are not kept.
    """

    def __init__(self, budget: int, layers: Sequence[str] | None, ops: Sequence[str] | None):
        whole_number("record: budget", budget, least=0)
        for name, patterns in (("layers", layers), ("ops", ops)):
            of_texts = isinstance(patterns, list | tuple) and all(isinstance(p, str) for p in patterns)
            if patterns is not None and not of_texts:
                raise ConfigError(
                    f"record: {name} is a list of patterns such as ['generator.*'], got {patterns!r}"
                )
        _collect_dropped()
        self.nodes: list[RecordedNode] = []
        self.passes: list[Backward] = []
        self.log: list[tuple[str, Any]] = []
        self.names: dict[Tensor, str] = {}  # of parameters, where they are known
        self.phase = ""
        self.left_out = 0  # arrays that gave way to the budget
        self._budget, self._layers, self._ops = budget, layers, ops
        self._kept = 0
        self._heap: list[tuple[int, int, Held]] = []
        self._order = itertools.count()
        self._held: dict[int, Held] = {}  # by the id of an array, which is held
        # The user's graph is not kept alive by these: it would hold arrays that are over the budget.
        self._of_node: WeakKeyDictionary[Node, RecordedNode] = WeakKeyDictionary()
        self._of_leaf: WeakKeyDictionary[Tensor, dict[int, RecordedNode]] = WeakKeyDictionary()
        self._of_array: dict[int, tuple[ref[Array], RecordedNode]] = {}  # by an array's id, while it lives
        self._running: list[Backward] = []  # passes, of which a rule may begin another

    def record_of(self, x: Tensor) -> RecordedNode | None:
        """The node of a tensor, also after the recording; of a leaf that was updated, the newest."""
        if x._node is not None:
            return self._of_node.get(x._node)
        known = self._of_leaf.get(x)
        return list(known.values())[-1] if known else self._made(x._data)

    def forget(self) -> None:
        """Lets go of what only listening needs."""
        finalize(self, _dropped.append, self._kept)
        self._of_array.clear()
        self._held.clear()
        self._heap.clear()

    # What the tape says --------------------------------------------------------------------------------

    def value(self, op: Op, layer: str, inputs: tuple, attrs: dict[str, Any], out: Any) -> None:
        plain = type(out) is not Tensor
        if plain and (self._running or not layer):  # a gradient rule's, or of figures beside the step
            return
        node = None if plain else out._node
        array = out if plain else out._data
        parents = node.parents if node is not None else [None] * len(inputs)
        given = tuple(self._input(op, layer, i, x) for i, x in enumerate(inputs))
        version = None if plain else (out._version, out._version[0])
        shown = array
        if op.view and isinstance(given[0], RecordedNode) and given[0].version is None:
            shown, version = _copied(array), None  # else it shows what the optimiser will write there
        made = RecordedNode(
            number=0,
            op=op.name,
            layer=layer,
            name="",
            source=_source(),
            inputs=given,
            flows=tuple(parent is not None for parent in parents),
            attrs={name: attrs[name] for name in op.attrs if name in attrs},
            held=self._keep(shown, op.name, layer),
            phase=self.phase,
            within=self._pass,
            version=version,
        )
        self._add(made)
        self.log.append(("forward", made))
        if node is not None:
            self._of_node[node] = made
        self._of_array[id(array)] = ref(array), made

    def backward(self, output: Tensor, grad: Any, create_graph: bool) -> None:
        root = self._tensor(output, "", "output")
        seed = Held(_copied(_array(grad)))
        self._running.append(Backward(len(self.passes), root, seed, self.phase, create_graph))
        self.passes.append(self._running[-1])
        self.log.append(("pass", self._running[-1]))
        self._received(root).shares.append(Share(None, 0, seed))

    def node(self, node: Node, grad: Any) -> None:
        here = self._find(node)
        self._received(here).whole.append(self._keep(_array(grad), here.op, here.layer))
        self._pass.visits.append(here)
        self.log.append(("backward", (self._pass, here)))

    def share(self, node: Node, i: int, share: Any) -> None:
        here = self._find(node)
        if here.inputs:
            target = here.inputs[i]
        else:  # from before the recording
            parent = node.parents[i]
            target = self._find(parent) if type(parent) is Node else self._tensor(parent, "", "leaf")
        held = self._keep(_array(share), target.op, target.layer)
        self._received(target).shares.append(Share(here, i, held))

    def done(self) -> None:
        self._running.pop()

    @property
    def _pass(self) -> Any:
        """The innermost backward pass that runs, or None."""
        return self._running[-1] if self._running else None

    # Who is who -----------------------------------------------------------------------------------------

    def _add(self, node: RecordedNode) -> RecordedNode:
        node.number = len(self.nodes)
        self.nodes.append(node)
        return node

    def _received(self, node: RecordedNode) -> Received:
        if not node.received or node.received[-1].backward is not self._pass:
            node.received.append(Received(self._pass, [], []))
        return node.received[-1]

    def _input(self, op: Op, layer: str, i: int, x: Any) -> Any:
        if type(x) is Tensor:
            return self._tensor(x, layer, op.input_name(i), inner=i > 0)
        if arrays.is_array(x) and x.shape:
            return self._plain(x, layer, op.input_name(i))
        if isinstance(x, list | tuple):
            return self._leaf("input", layer, op.input_name(i), arrays.asarray(x, "float32"))
        return None if x is None else float(x)

    def _tensor(self, x: Tensor, layer: str, name: str, inner: bool = False) -> RecordedNode:
        if x._node is not None:
            return self._find(x._node, x)
        known = self._of_leaf.setdefault(x, {})
        found = known.get(x._version[0])
        if found is None:
            found = self._made(x._data)
            if found is not None and not x._leaf and found.version in (None, (x._version, x._version[0])):
                return found  # cut off the tape, or made under no_grad
            kind = "parameter" if x._leaf or x in self.names or (inner and layer) else "input"
            found = known[x._version[0]] = self._leaf(kind, layer, name, x._data, self.names.get(x))
        return found

    def _made(self, array: Array) -> RecordedNode | None:
        """The node whose value this very array is."""
        alive, found = self._of_array.get(id(array), (None, None))
        return found if alive is not None and alive() is array else None

    def _plain(self, x: Array, layer: str, name: str) -> RecordedNode:
        found = self._made(x)
        if found is None or (found.leaf and not bool((found.held.array == x).all())):
            found = self._leaf("input", layer, name, x)
            self._of_array[id(x)] = ref(x), found
        return found

    def _leaf(self, kind: str, layer: str, name: str, array: Array, known: str | None = None) -> RecordedNode:
        path = layer.split(" ")[0]
        called = known or (
            (f"{path}.{name}" if kind == "parameter" else f"{name} of {path}") if path else name
        )
        made = RecordedNode(0, kind, layer, called, _source(), (), (), {}, Held(_copied(array)), self.phase)
        return self._add(made)

    def _find(self, node: Node, tensor: Tensor | None = None) -> RecordedNode:
        """The record of a Node; one from before the recording has no value unless its Tensor is at hand."""
        found = self._of_node.get(node)
        if found is None:
            name = f"{node.op.name} before the recording"
            if tensor is not None:
                found = self._leaf("input", node.layer, name, tensor._data)
            else:
                empty = Held(None, _unknown(node))
                made = RecordedNode(0, "input", node.layer, name, "", (), (), {}, empty, self.phase)
                found = self._add(made)
            self._of_node[node] = found
        return found

    # What is kept ---------------------------------------------------------------------------------------

    def _keep(self, array: Array, op: str, layer: str) -> Held:
        held = self._held.get(id(array))
        if held is not None and held.array is array:
            return held
        held = self._held[id(array)] = Held(array)
        if not (_matches(op, self._ops) and _matches(layer.split(" ")[0], self._layers)):
            held.drop("filtered out")
            return held
        self._kept += array.nbytes
        heappush(self._heap, (-array.nbytes, next(self._order), held))
        while self._kept > self._budget and self._heap:
            size, _, largest = heappop(self._heap)
            self._kept += size
            self.left_out += 1
            largest.drop("over the budget of bytes")
        return held


def _copied(array: Array) -> Array:
    with arrays.beside(array):
        copy = arrays.namespace(array).empty(array.shape, dtype=array.dtype)
        copy[...] = array
    return copy


def _array(x: Any) -> Array:
    return x._data if type(x) is Tensor else x


def _matches(name: str, patterns: Sequence[str] | None) -> bool:
    return patterns is None or any(fnmatchcase(name, p) or name.startswith(f"{p}.") for p in patterns)


def _unknown(node: Node) -> Digest:
    nan = float("nan")
    return Digest(
        tuple(node.shape), str(node.dtype), 0, nan, nan, nan, nan, nan, (), "made before the recording"
    )


_dropped: list[int] = []  # bytes that recordings held of which nobody knows any more
MOST_DROPPED = 1 << 28


def _collect_dropped() -> None:
    """Nodes and their consumers refer to each other, and Python's collector counts objects, not bytes."""
    if sum(_dropped) > MOST_DROPPED:
        _dropped.clear()
        gc.collect()


_shown: dict[str, str] = {}


def _source() -> str:
    """Where the user's code called, as "file:line"."""
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        shown = _shown.get(file)
        if shown is None:
            shown = _shown[file] = "" if file.startswith(INNER) else _short(file)
        if shown:
            return f"{shown}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _short(file: str) -> str:
    """A file's path from the checkout or the working folder on, where it lies there; of a cell, "In[3]"."""
    jupyter = sys.modules.get("IPython")
    shell = jupyter.get_ipython() if jupyter else None
    cell = shell.compile.format_code_name(file) if shell else None
    if cell is not None:  # ("Cell", "In[3]"); its file is a temporary one that means nothing to anybody
        return cell[1]
    for folder in (PACKAGE.parent, Path.cwd()):
        with suppress(ValueError):
            return str(Path(file).relative_to(folder))
    return file
