"""Finite-difference checks and derivations for a page, as many as a number of seconds allows.

The nodes whose loss is computed again fastest come first, so every layer that is cheap to prove is proved;
what was left out is said with the call that makes up for it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import numpy as np

from rawgan.inspect.check import Check
from rawgan.inspect.explain import Explanation, Path
from rawgan.inspect.nodes import Digest, RecordedNode
from rawgan.inspect.show import host
from rawgan.kernels.errors import GradientError

PATHS = 3  # of a derivation, at each level
CALL = 1e5  # multiplications that take as long as calling an operation


def proofs(tape: Any, seconds: float) -> dict[int, dict[str, Any]]:
    """Node -> "index" of its largest gradient element; "check", "derivation", or why there is "none".

    Of parameters also "along": a check along a random direction, which meets every element at once.
    """
    begun, pace = time.perf_counter(), {"check": 0.0, "derivation": 0.0}
    out: dict[int, dict[str, Any]] = {}
    costs = _costs(tape)
    for backward in tape.passes if seconds else ():  # every value once, before anything is timed
        with suppress(GradientError):
            tape.replay().value(backward.root)
    chosen = sorted((n for n in tape.nodes if n.number in costs), key=lambda n: costs[n.number])
    jobs = [(n, what) for n in chosen for what in ("check", "derivation")]
    jobs += [(n, "along") for n in chosen if n.op == "parameter"]
    for node, what in jobs:
        here = out.setdefault(node.number, {})
        if "none" in here:
            continue
        if isinstance(node.grad, Digest):
            here["none"] = "its gradient was not kept; record with a larger budget"
            continue
        index = here.setdefault("index", largest(node))
        left = seconds - (time.perf_counter() - begun)
        about, cost = "derivation" if what == "derivation" else "check", costs[node.number]
        if left <= 0 or pace[about] * cost > left:
            continue
        start = time.perf_counter()
        # A step of h may leave a function's domain, as √x at 0; the numbers then are not finite, and shown.
        with np.errstate(all="ignore"):
            try:
                if what == "derivation":
                    here[what] = _derivation(tape.explain(node, tuple(index), PATHS))
                else:
                    here[what] = _check(tape.check(node, tuple(index) if what == "check" else None))
            except GradientError as error:
                here["none"] = str(error)
        pace[about] = (time.perf_counter() - start) / cost
    return out


def largest(node: RecordedNode) -> list[int]:
    """Where a node's gradient is largest in magnitude."""
    g = np.abs(np.nan_to_num(host(node.grad), nan=0.0))
    return [int(i) for i in np.unravel_index(int(g.argmax()), g.shape)]


def _costs(tape: Any) -> dict[int, float]:
    """Node with a gradient -> about how many multiplications lie between it and the loss."""
    work = {}
    for node in tape.nodes:
        inner = [x for x in node.inputs[1:2] if isinstance(x, RecordedNode) and len(x.shape) > 1]
        each = int(np.prod(inner[0].shape[1:])) if inner else 1
        work[node.number] = float(max(1, int(np.prod(node.shape))) * max(1, each))
    users: dict[int, list[int]] = {}
    for node in tape.nodes:
        for x, flows in zip(node.inputs, node.flows, strict=True):
            if flows and isinstance(x, RecordedNode):
                users.setdefault(x.number, []).append(node.number)
    out = {}
    for node in tape.nodes:
        if not node.received or not int(np.prod(node.shape)):
            continue
        seen, stack = set(), [node.number]
        while stack:
            for user in users.get(stack.pop(), ()):
                if user not in seen and user <= node.received[-1].backward.root.number:
                    seen.add(user)
                    stack.append(user)
        out[node.number] = sum((CALL + work[n] for n in seen), CALL)
    return out


def _check(found: Check) -> dict[str, Any]:
    return {
        "what": found.what, "recorded": found.recorded, "exact": found.exact, "numeric": found.numeric,
        "step": found.step, "error": found.error, "tolerance": found.tolerance, "rounding": found.rounding,
        "ok": found.ok, "crossings": found.crossings,
    }  # fmt: skip


def _derivation(found: Explanation | None) -> list[dict[str, Any]]:
    """The levels of an explanation, from the element up to the loss."""
    levels = []
    while found is not None:
        levels.append(
            {
                "node": found.node.number, "index": list(found.index), "value": found.value,
                "paths": [_path(p) for p in found.paths],
                "other": found.other, "count": found.count, "total": found.total,
            }
        )  # fmt: skip
        found = next((p.below for p in found.paths if p.below is not None), None)
    return levels


def _path(path: Path) -> dict[str, Any]:
    return {
        "consumer": path.consumer.number if path.consumer else None, "name": path.name,
        "index": list(path.index), "gradient": path.gradient, "slope": path.slope, "part": path.part,
    }  # fmt: skip
