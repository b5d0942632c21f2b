"""Times every kernel of the table, and every gradient rule made of kernels, on the cases of the contracts.

Nothing here names a kernel: a new row of `rawgan.kernels.contracts` is timed as soon as it has cases. The
gradient of an operation is timed as its rule in `rawgan.ops.OPS`, by itself, without the tape; its operations
and bytes are those of the kernels that the rule calls. An operation whose gradient is one fused kernel, and a
kernel that is a gradient itself (it takes gy), has its own row and no further one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from rawgan import arrays, kernels, ops
from rawgan.bench import document, roofs, timing
from rawgan.bench.columns import Column, find
from rawgan.kernels.errors import ConfigError
from rawgan.recipes import nearest

ACTIVATIONS = ("x", "gy", "y", "outputs", "indices")  # arguments whose first axis is the batch


def run(
    devices: Sequence[str] | None = None,
    against: Sequence[str] = (),
    only: Sequence[str] = (),
    batch: int | None = None,
    seconds: float = 0.3,
    show: Callable[[list], Any] = iter,
    keep: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """The document of all kernels, or of `only` these.

    devices: columns, see `columns.find`. against: ("torch",) or (). batch: in place of the cases' own.
    seconds: for each column of each row. show: wraps the list of rows to be timed, for a progress bar.
    keep: called after each kernel with the document so far.
    """
    for name in only:
        if name not in kernels.KERNELS:
            raise ConfigError(f"bench: there is no kernel {name!r}{nearest(name, kernels.KERNELS)}")
    columns = find(devices)
    main = next((c for c in reversed(columns) if c.missing is None), None)
    if main is None:
        raise ConfigError(f"bench: nothing to time: {columns[0].name}: {columns[0].missing}")
    missing = {c.name: c.missing for c in columns if c.missing}
    rival = None
    if against:
        rival = main.device if main.kind == "cuda" else "cpu"
        if why := document.why_no_torch(rival):
            missing["torch"], rival = why, None
    usable = [c for c in columns if c.missing is None]
    limits = {device: roofs.measure(device) for device in dict.fromkeys(c.device for c in usable)}
    work = []
    for name in only or kernels.KERNELS:
        for case, make in kernels.KERNELS[name].contract.cases.items():
            arguments = make(np.random.default_rng(0))
            given = [part for part in parts(name) if part == "value" or arguments[part] is not None]
            work += [(name, part, case) for part in given]
    names = [c.name for c in columns] + ["torch"] * bool(against)
    settings = {"batch": batch, "seconds": seconds, **document.of_torch([rival] if rival else [])}
    more = {"missing": missing, "roofs": limits, "settings": settings}
    rows: list[dict[str, Any]] = []
    for name, part, case in show(work):
        if keep and rows and rows[-1]["name"] != name:
            keep(document.make("kernels", rows, names, main.name, **more))
        arguments = kernels.KERNELS[name].contract.cases[case](np.random.default_rng(0))
        if batch:
            arguments = rebatched(arguments, batch)
        calls, blank = _calls(name, part, arguments, usable, rival)
        flops, moved = cost(name, part, arguments)
        times = {c: timing.summary(t) for c, t in timing.alternate(calls, seconds).items()}
        for column in usable:
            if column.name in times:
                ms = times[column.name]["median_ms"]
                times[column.name] |= roofs.against(flops, moved, ms, limits[column.device])
        label = f"{case}, batch {batch}" if batch else case
        row = {"name": name, "part": part, "case": label, "flops": flops, "bytes": moved, "times": times}
        rows.append(row | {"missing": blank})
    return document.make("kernels", rows, names, main.name, **more)


def _calls(
    name: str, part: str, arguments: dict[str, Any], usable: list[Column], rival: str | None
) -> tuple[dict[str, timing.Call], dict[str, str]]:
    """What is timed in each column, and why there is nothing in the others; `rival`: PyTorch's device."""
    calls, blank = {}, {}
    for column in usable:
        if column.implementation in kernels.KERNELS[name].implementations:
            calls[column.name] = column_call(column, name, part, arguments)
        else:
            blank[column.name] = "no such kernel yet"
    if rival:
        call = torch_call(name, part, arguments, rival)
        if call:
            calls["torch"] = call
        else:
            blank["torch"] = "no such call"
    return calls, blank


def parts(name: str) -> list[str]:
    """ "value", and the inputs whose gradients are rules that call kernels."""
    kernel, op = kernels.KERNELS[name], ops.OPS.get(name)
    takes = set(kernel.contract.arguments)
    if op is None or op.fused or "gy" in takes or {*op.inputs, *op.attrs} != takes:
        return ["value"]
    return ["value", *op.rules]


def rebatched(arguments: dict[str, Any], batch: int) -> dict[str, Any]:
    """The arguments with as many examples, repeated or left out, in the same memory order."""

    def resized(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(map(resized, value))
        if value.ndim < 2:
            return value
        order = sorted(range(value.ndim), key=lambda axis: -abs(value.strides[axis]))
        if order[0] != 0 or not len(value):
            return np.resize(value, (batch, *value.shape[1:]))
        rows = value.transpose(order)[np.arange(batch) % len(value)]
        return rows.transpose(np.argsort(order))

    return {name: resized(v) if name in ACTIVATIONS else v for name, v in arguments.items()}


def column_call(column: Column, name: str, part: str, arguments: dict[str, Any]) -> timing.Call:
    """What is timed in a column: the kernel, or the gradient rule with what the tape would have saved."""
    kernel = kernels.KERNELS[name]
    placed = {key: column.place(value) for key, value in arguments.items()}
    if part == "value":
        function = kernel.implementation(column.implementation)
        return timing.Call(lambda: function(**placed), column.wait())
    rule, values = _saved(name, part, placed, column)
    return timing.Call(column.bound(lambda: rule(*values)), column.wait())


def _saved(name: str, part: str, placed: dict[str, Any], column: Column) -> tuple[Callable, list[Any]]:
    op = ops.OPS[name]
    rule = op.rules[part]
    inputs, attrs = [placed[n] for n in op.inputs], {n: placed[n] for n in op.attrs}
    y, kept = column.bound(lambda: op.apply(tuple(inputs), attrs))()
    saved = placed | {f"{n}_shape": v.shape for n, v in placed.items() if arrays.is_array(v)}
    saved |= {op.output: y, **dict(zip(op.keeps, kept, strict=True))}
    gy = np.random.default_rng(1).standard_normal(y.shape).astype(str(y.dtype))
    if y.ndim == 4:  # as the layer after leaves it
        gy = np.ascontiguousarray(gy.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return rule.function, [column.place(gy), *(saved[n] for n in rule.needs)]


def torch_call(name: str, part: str, arguments: dict[str, Any], device: str) -> timing.Call | None:
    """PyTorch's call for the same result on that device; None where it has none."""
    import torch

    from rawgan.bench import rivals

    if name not in rivals.CALLS:
        return None
    rivals.settle()
    call = rivals.CALLS[name]
    taken = kernels.KERNELS[name].contract.arguments
    placed = rivals.arguments_of(name, {n: arguments[n] for n in taken}, device)
    wait = torch.cuda.synchronize if device != "cpu" else None
    if part == "value":
        return timing.Call(torch.no_grad()(lambda: call(*placed.values())), wait)
    x = placed[part].requires_grad_()
    y = call(*placed.values())
    y = y[0] if isinstance(y, tuple) else y
    gy = torch.randn(y.shape, dtype=y.dtype, device=y.device)
    return timing.Call(lambda: torch.autograd.grad(y, [x], gy, retain_graph=True), wait)


def cost(name: str, part: str, arguments: dict[str, Any]) -> tuple[float, float]:
    """Operations and bytes by the contract; for a gradient, by those of the kernels that its rule calls."""
    contract = kernels.KERNELS[name].contract
    if part == "value":
        values = [arguments[n] for n in contract.arguments]
        return float(contract.flops(*values)), float(contract.bytes(*values))
    rule, values = _saved(name, part, arguments, Column("cpu"))
    with ledger() as calls:
        rule(*values)
    return sum(flops for _, flops, _ in calls), sum(moved for _, _, moved in calls)


@contextmanager
def ledger() -> Iterator[list[tuple[str, float, float]]]:
    """A list that gets (kernel, operations, bytes) of every kernel called within the block."""
    calls: list[tuple[str, float, float]] = []
    plain = kernels.Kernel.__call__

    def noted(self: kernels.Kernel, *args: Any, **kwargs: Any) -> Any:
        values = [*args, *(kwargs[n] for n in self.contract.arguments[len(args) :])]
        calls.append((self.name, float(self.contract.flops(*values)), float(self.contract.bytes(*values))))
        return plain(self, *args, **kwargs)

    kernels.Kernel.__call__ = noted
    try:
        yield calls
    finally:
        kernels.Kernel.__call__ = plain
