"""The JSON file that every measurement is kept in, and that `compare` and `plot` read.

    {"format": 1, "what": "kernels", "date": ..., "commit": ..., "machine": {...}, "versions": {...},
     "precision": "float32", "threads": 2, "main": "cpu", "columns": ["reference", "cpu", "torch"],
     "missing": {"torch": "why the whole column is blank"},
     "roofs": {"cpu": {"product": "multiply-adds", "gflops": ..., "gbytes": ..., "sgemm": ...}},
     "rows": [{"name": "conv2d", "part": "value", "case": ..., "flops": ..., "bytes": ...,
               "times": {"cpu": {"median_ms": ..., "low_ms": ..., "high_ms": ..., "timings": ...}},
               "missing": {"torch": "why this one cell is blank"}}]}

A row of trainings has `figures` too, {"torch": {"modes": [8, 7, 8]}}, a value for each seed, or `curves`,
{"generator": {"x": [...], "median": [...], "low": [...], "high": [...]}}. `main` is this project's own
column, the one that `compare` and `plot` are about.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import rawgan
from rawgan.kernels.errors import DataError
from rawgan.training.files import write_whole

FORMAT = 1
WHATS = (
    "kernels",
    "train-step",
    "profile",
    "growth",
    "tape",
    "gradients",
    "ring",
    "norms",
    "warnings",
    "inspect",
)
RIVALS = ("torch", "torch.compile")
CURVE = ("x", "median", "low", "high")


def make(what: str, rows: list[dict[str, Any]], columns: list[str], main: str, **more: Any) -> dict[str, Any]:
    """A document of this machine and moment around the rows."""
    from rawgan import kernels

    machine = kernels.info()
    packages = {name: _version(name) for name in ("numpy", "torch", "cupy-cuda12x", "cupy-cuda13x")}
    versions = {"rawgan": rawgan.__version__, "python": platform.python_version(), **packages}
    versions["numba"] = machine.pop("numba")
    return {
        "format": FORMAT,
        "what": what,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {
            **machine,
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": {name: text for name, text in versions.items() if text},
        "precision": {"fp32": "float32", "tf32": "TF32"}[kernels.precision.precision()],
        "threads": machine["threads"],
        "main": main,
        "columns": columns,
        "missing": {},
        "roofs": {},
        **more,
        "rows": rows,
    }


def _version(package: str) -> str | None:
    if package in sys.modules:  # PyTorch adds to its version what it was built for
        return str(sys.modules[package].__version__)
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def why_no_torch(device: str = "cpu") -> str | None:
    """Why PyTorch's columns are blank; None if it can be used on that device."""
    try:
        if importlib.util.find_spec("torch") is None:
            return "not installed"
        import torch
    except Exception as error:  # a broken installation fails in any way it likes
        return f"does not work: {words(error)}"
    if device != "cpu" and not torch.cuda.is_available():
        return "has no CUDA here"
    return None


def of_torch(sides: Sequence[str]) -> dict[str, Any]:
    """What a document's settings say of PyTorch, if it is one of the sides."""
    if not sides:
        return {}
    from rawgan.bench import rivals

    rivals.settle()
    return {"torch": rivals.settings()}


def words(error: BaseException) -> str:
    """An error of somebody else's as a short line: its class and the start of its message."""
    text = "".join(c for c in " ".join(str(error).split()) if c.isprintable())
    return f"{type(error).__name__}: {text}"[:120]


def commit() -> str | None:
    """The commit of the checkout that runs, with "+" if its sources have changes; None outside of one."""
    root = Path(rawgan.__file__).parents[1]
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "rawgan", "kernels")
        return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def write(path: str | os.PathLike, document: dict[str, Any]) -> None:
    """CheckpointError where the file cannot be written."""
    write_whole(path, [(json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()])


def read(path: str | os.PathLike) -> dict[str, Any]:
    """The document in a file; DataError if it is missing, or anything but what `write` wrote."""
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({error}); it takes a file that --json has written") from error
    fault = _fault(found)
    if fault:
        raise DataError(f"{path}: {fault}; it takes a file that rawgan bench --json has written")
    return found


def _fault(found: Any) -> str | None:
    """What is wrong with a document, or None."""
    if not isinstance(found, dict) or found.get("format") != FORMAT or found.get("what") not in WHATS:
        return f"is no result of rawgan bench, format {FORMAT}"
    texts = {key: found.get(key) for key in ("date", "main", "precision")}
    lists = {key: found.get(key) for key in ("machine", "versions", "missing", "roofs")}
    rows, columns = found.get("rows"), found.get("columns")
    if not isinstance(columns, list) or not isinstance(rows, list):
        return "has no columns or no rows"
    if odd := [key for key, text in texts.items() if not _plain(text)]:
        return f"{odd[0]!r} is not a text"
    if odd := [key for key, group in lists.items() if not isinstance(group, dict)]:
        return f"{odd[0]!r} is not a group of values"
    if not all(map(_plain, [*columns, *found["missing"].values(), *map(str, found["machine"].values())])):
        return "a column or a word about the machine is not a text"
    for name, roof in found["roofs"].items():
        known = isinstance(roof, dict)
        rates = ("gflops", "gbytes", "sgemm") if known and "sgemm" in roof else ("gflops", "gbytes")
        if not known or not all(_positive(roof.get(rate)) for rate in rates):
            return f"the roofs of {name!r} are not numbers above 0"
        if not _plain(roof.get("product", "")):
            return f"the product that is a roof of {name!r} has no name"
    if not all(
        map(_plain, map(str, [found.get("commit"), found.get("threads"), *found["versions"].values()]))
    ):
        return "a word about the versions is not a text"
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not all(_plain(row.get(key)) for key in ("name", "part", "case")):
            return f"row {number} has no name, part or case"
        times, missing = row.get("times"), row.get("missing", {})
        if not isinstance(times, dict) or not isinstance(missing, dict) or not times.keys() <= set(columns):
            return f"row {number} has no times in the columns"
        if not all(map(_plain, missing.values())):
            return f"row {number} says no word why a cell is blank"
        for taken in times.values():
            keys = ("median_ms", "low_ms", "high_ms")
            if not isinstance(taken, dict) or not all(_positive(taken.get(key)) for key in keys):
                return f"row {number} has a time that is not a number above 0"
            if "percent" in taken and not (_positive(taken["percent"]) and _plain(taken.get("binds"))):
                return f"row {number} has a share of the roof that is not a number"
        if not all(_positive(row.get(key, 0), least=0) for key in ("flops", "bytes", "value")):
            return f"row {number} has flops or bytes that are not numbers"
        apart = row.get("differences", {})
        if not isinstance(apart, dict) or not all(_plain(k) and _positive(v, 0) for k, v in apart.items()):
            return f"row {number} has a difference that is not a number"
        memory = row.get("memory_mb", {})
        if not isinstance(memory, dict) or not all(
            _plain(side) and isinstance(m, dict) and (_positive(m.get("peak")) or _plain(m.get("missing")))
            for side, m in memory.items()
        ):
            return f"row {number} has a memory that is not a number"
        if not _series(row.get("figures", {})):
            return f"row {number} has figures that are not lists of numbers"
        if not _series(row.get("curves", {}), CURVE):
            return f"row {number} has a curve that is not lists of numbers, as many of each"
    return None


def _series(groups: Any, keys: tuple[str, ...] = ()) -> bool:
    """Whether it is lists of numbers from 0 on in groups by name; keys: each group's, of lists alike long."""
    if not isinstance(groups, dict) or not all(isinstance(group, dict) for group in groups.values()):
        return False
    for name, group in groups.items():
        lists = list(group.values())
        if not _plain(name) or not all(map(_plain, group)):
            return False
        if not all(isinstance(v, list) and all(_positive(n, least=0) for n in v) for v in lists):
            return False
        if keys and (tuple(group) != keys or len({len(v) for v in lists}) > 1):
            return False
    return True


def _plain(text: Any) -> bool:
    """Whether it is a text that can be shown: no control characters, which would drive the terminal."""
    return isinstance(text, str) and text.isprintable()


def _positive(value: Any, least: float = 5e-324) -> bool:
    return type(value) in (int, float) and least <= value <= 1e300 and math.isfinite(value)
