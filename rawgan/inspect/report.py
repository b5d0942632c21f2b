"""The report: a recording as one HTML page, which opens from disk and asks nothing of any host.

`tape.save_html("gradients.html")` writes it. The page is `page/page.html` with the styles and scripts beside
it and the recording as JSON. Its numbers are the recorded ones; what had to be computed besides (finite
differences, the ledger, densities in the plane) is computed here, once, and said to be so.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rawgan.engine import OPS
from rawgan.inspect import findings, graph, ledger, mathml, proofs, views
from rawgan.inspect.nodes import Digest, RecordedNode
from rawgan.inspect.plane import plane
from rawgan.kernels.errors import CheckpointError, ConfigError, GradientError, RawganError
from rawgan.settings import is_number

if TYPE_CHECKING:
    from rawgan.inspect.comparison import Comparison
    from rawgan.inspect.tape import Tape

PIXELS = 1_000_000  # elements in pictures, in all: 4 bytes each, 5⅓ in base64
LEAST, MOST = 144, 9_000  # of one picture
EXAMPLES = 24  # of G's
SCRIPTS = (
    "core", "arrays", "layout", "boxes", "graph", "player", "panel", "proof", "tables", "examples", "plane",
    "start",
)  # fmt: skip


def save(
    tape: Tape, path: str | os.PathLike, seconds: float = 10.0, beside: Comparison | None = None
) -> None:
    """Write the report of a tape.

    seconds: about how long to compute finite differences and derivations; the rest takes its own time.
    beside: a comparison that the tape is part of. Raises CheckpointError where the file cannot be written.
    """
    if not is_number(seconds) or seconds < 0:
        raise ConfigError(f"save_html: seconds is a number ≥ 0, got {seconds!r}")
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"save_html takes the path of a file, got {path!r}")
    page = filled(document(tape, seconds, beside))
    part = Path(f"{os.fspath(path)}.part")  # an older page stays whole until the new one is
    try:
        part.write_text(page, "utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise CheckpointError(f"{path}: cannot be written ({error.strerror or error})") from error


def filled(document: dict[str, Any]) -> str:
    """The page with its styles, scripts and data."""
    folder = resources.files("rawgan.inspect").joinpath("page")
    page = folder.joinpath("page.html").read_text("utf-8")
    script = "\n".join(folder.joinpath(f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    parts = {
        "title": mathml.escaping.escape(document["about"]["title"]),
        "style": folder.joinpath("style.css").read_text("utf-8"),
        "script": script,
        # Nothing in it can end the element that it stands in, or begin a comment.
        "data": json.dumps(plain(document), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
    }
    first, *rest = page.split("{{")
    return first + "".join(parts[name] + after for name, _, after in (part.partition("}}") for part in rest))


def document(tape: Tape, seconds: float = 10.0, beside: Comparison | None = None) -> dict[str, Any]:
    """All that the page shows."""
    structure = graph.Structure(tape)
    summary = tape.summary().rows
    known = proofs.proofs(tape, seconds)
    return {
        "about": _about(tape, seconds),
        "ops": {op: _formulas(op) for op in dict.fromkeys(n.op for n in tape.nodes if not n.leaf)},
        "nodes": _nodes(tape, structure, known),
        "cards": structure.cards,
        "turns": [_turn(turn) for turn in tape.turns],
        "passes": graph.passes(tape),
        "flows": graph.flows(tape),
        "events": structure.events(),
        "ledger": _ledgers(tape),
        "summary": {"rows": summary, "findings": findings.findings(summary), "limits": findings.LIMITS},
        "examples": _or_why(_examples, tape),
        "plane": _or_why(plane, tape),
        "comparison": None if beside is None else {"rows": beside.rows(), "devices": list(beside.tapes)},
    }


def plain(x: Any) -> Any:
    """As JSON takes it: numbers that it has no word for are texts."""
    if isinstance(x, dict):
        return {str(key): plain(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [plain(value) for value in x]
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, float) and not math.isfinite(x):
        return str(x)
    return x


def _about(tape: Tape, seconds: float) -> dict[str, Any]:
    about = tape.about
    dtypes = dict.fromkeys(str(n.held.value.dtype) for n in tape.nodes if n.op == "parameter")
    dropped = sum(
        isinstance(n.held.value, Digest) or isinstance(n.grad, Digest) for n in tape.nodes if not n.leaf
    )
    return {
        "title": tape.title or "a recording",
        "precision": ", ".join(dtypes),
        "nodes": len(tape),
        "passes": len(tape.passes),
        "dropped": dropped,
        "seconds": seconds,
        "data": getattr(about.get("source"), "name", ""),
        "objective": getattr(about.get("settings"), "objective", ""),
    } | {key: about.get(key) for key in ("recipe", "step", "device", "row", "as_trained", "shape", "range")}


def _formulas(op: str) -> dict[str, Any]:
    """An operation's rules as HTML."""
    made = OPS[op]
    names = (*made.inputs, *made.attrs)
    said = ((made.__doc__ or "").strip().splitlines() or [""])[0].rstrip(".")
    leads = mathml.is_formula(said) and "=" not in said.split(":")[0].split(",")[0]
    value = mathml.html(f"{made.output} = {said}" if leads else said, names)
    rules = {name: mathml.html(rule.formula, names) for name, rule in made.rules.items()}
    return {"value": value, "rules": rules, "output": made.output}


def _nodes(tape: Tape, structure: graph.Structure, known: dict[int, dict]) -> list[dict[str, Any]]:
    item = tuple(tape.about.get("shape") or ())
    count = sum(1 + bool(n.received) for n in tape.nodes) or 1
    room = int(min(MOST, max(LEAST, PIXELS // count)))
    pictures = views.pictured(tape.nodes, item)
    generous = max(room, min(MOST, PIXELS // 2 // (2 * len(pictures) or 1)))
    figures: dict[int, Any] = {}  # of arrays in several places once

    def shown(value: Any, number: int) -> dict[str, Any]:
        if id(value) not in figures:
            figures[id(value)] = value, views.figures(value)
        own = number in pictures
        picture = views.picture(value, generous if own else room, item if own else ())
        return {"figures": figures[id(value)][1], "picture": picture}

    return [_node(node, structure, known.get(node.number), shown) for node in tape.nodes]


def _node(node: RecordedNode, structure: graph.Structure, proof: Any, shown: Any) -> dict[str, Any]:
    grad = node.grad
    return {
        "op": node.op, "layer": node.layer, "name": node.name, "source": node.source, "phase": node.phase,
        "group": structure.group_of.get(node.number), "turn": structure.turn_of[node.number],
        "inputs": [x.number if isinstance(x, RecordedNode) else {"is": x} for x in node.inputs],
        "names": node.input_names, "flows": node.flows,
        "attrs": {key: _attribute(value) for key, value in node.attrs.items()},
        "shape": node.shape, "value": shown(node.value, node.number),
        "grad": None if grad is None else shown(grad, node.number),
        "within": node.within is not None,
        "pass": node.received[-1].backward.number if node.received else None,
        "proof": proof,
    }  # fmt: skip


def _attribute(value: Any) -> str:
    return f"array {value.shape}" if hasattr(value, "shape") and value.shape else str(value)


def _turn(turn: ledger.Turn) -> dict[str, Any]:
    return {
        "player": turn.player, "phase": turn.phase, "pass": turn.backward.number,
        "terms": {name: {"node": n.number, "value": _scalar(n)} for name, n in turn.terms.items()},
        "loss": _scalar(turn.backward.root),
        "updates": {
            name: {
                "gradient": ledger.norm(u.gradient), "clipped": ledger.norm(u.clipped),
                "weights": ledger.norm(u.before),
                "moved": ledger.norm(u.after.astype(np.float64) - u.before), "rate": u.learning_rate,
                "node": u.node.number if u.node else None,
            }
            for name, u in turn.parameters.items()
        },
    }  # fmt: skip


def _scalar(node: RecordedNode) -> float | None:
    value = node.value
    return None if isinstance(value, Digest) or value.shape else float(value)


def _ledgers(tape: Tape) -> list[dict[str, Any]]:
    """Of each turn, each parameter's gradient by terms."""
    out = []
    for number, turn in enumerate(tape.turns):
        nodes = {
            u.node: u.clipped
            for u in turn.parameters.values()
            if u.node is not None and u.node.received and u.node.received[-1].backward is turn.backward
        }
        if not nodes:
            continue
        try:
            dtype = next(iter(nodes)).held.value.dtype
            found = ledger.ledgers(tape.replay(dtype), nodes, turn.terms)
        except GradientError as error:
            out += [{"turn": number, "node": n.number, "parameter": n.name, "why": str(error)} for n in nodes]
            continue
        out += [_entry(number, one) for one in found.values()]
    return out


def _entry(turn: int, found: ledger.Ledger) -> dict[str, Any]:
    return {
        "turn": turn, "node": found.node.number, "parameter": found.node.name,
        "parts": found.norms, "whole": ledger.norm(found.whole), "rest": found.rest,
        "cosines": [[a, b, value] for (a, b), value in found.cosines.items()],
        "along": {part: ledger.cosine(x, found.whole) for part, x in found.parts.items()},
        "clipped": None if found.clipped is None else ledger.norm(found.clipped),
    }  # fmt: skip


def _examples(tape: Tape) -> dict[str, Any] | None:
    if not tape.turns:
        return None
    found = tape.samples()
    shape = found.items.shape[1:]
    count = min(len(found.items), EXAMPLES)
    low, high = tape.about.get("range") or (0.0, 1.0)
    out = {
        "of": len(found.items), "count": count, "shape": shape, "formula": found.formula,
        "outputs": found.outputs.tolist(), "factors": found.factors.tolist(),
        "norms": found.norms.tolist(), "range": (low, high),
    }  # fmt: skip
    if len(shape) == 3 and shape[0] in (1, 3):
        out |= {
            "items": views.encode(found.items[:count]),
            "gradients": views.encode(found.gradients[:count]),
        }
    return out


def _or_why(make: Any, tape: Tape) -> Any:
    try:
        return make(tape)
    except RawganError as error:
        return {"why": str(error)}
