"""Results as tables in the terminal."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rawgan.bench.document import RIVALS

Row = dict[str, Any]
BARE = "bare SGEMM"
# The modules of what is shown in another way.
OWN = {"ring": "ring", "norms": "norms", "warnings": "alarms", "inspect": "inspected"}


def console() -> Console:
    """The terminal; a pipe or file gets lines as wide as the table."""
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def following(work: Sequence[Any]) -> Iterable[Any]:
    """Goes through the work with a progress bar on the terminal's error stream, silent elsewhere."""
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=len(work))
        for item in work:
            words = item if isinstance(item, tuple) else (item,)
            progress.update(task, description=escape(" ".join(map(str, words))))
            yield item
            progress.advance(task)


def show(document: dict[str, Any]) -> None:
    """Print a document: the machine, its roofs, the rows, and a word about each blank column."""
    screen = console()
    of = importlib.import_module(f"rawgan.bench.{OWN[document['what']]}") if document["what"] in OWN else None
    for line in headline(document):
        screen.print(line, soft_wrap=True, markup=False)
    screen.print(getattr(of, "table", table)(document))
    for line in getattr(of, "notes", notes)(document):
        screen.print(line, soft_wrap=True, markup=False)


def headline(document: dict[str, Any]) -> list[str]:
    """Machine, versions and roofs in a line each."""
    machine, versions = document["machine"], document["versions"]
    simd, threads = machine.get("simd", "?"), document.get("threads", "?")
    about = f"{machine.get('cpu', '?')}, {threads} threads, {simd}, {document['precision']}"
    when = f"{document['date']}, commit {document.get('commit') or 'unknown'}"
    lines = [about, f"{when}; {', '.join(f'{name} {text}' for name, text in versions.items())}"]
    for device, roof in document["roofs"].items():
        product = roof.get("product", "SGEMM")
        library = f" ({roof['sgemm']:.0f} in np.matmul)" if "sgemm" in roof else ""
        rates = f"{roof['gflops']:.0f} Gflop/s in {product}{library}, {roof['gbytes']:.1f} GB/s in a triad"
        lines.append(f"roofs of {device}, measured in this run: {rates}")
    return lines


def notes(document: dict[str, Any]) -> list[str]:
    """Why columns are blank, and how to read the rest."""
    lines = [f"{column}: {why}" for column, why in document["missing"].items()]
    if any("cuda-sim" in row["times"] for row in document["rows"]):
        lines.append(
            "cuda-sim runs the CUDA kernels' threads one after another: its times say nothing of a GPU's"
        )
    memory = [(r["name"], c, m) for r in document["rows"] for c, m in r.get("memory_mb", {}).items()]
    lines += [f"memory of {name}, {side}: {m['missing']}" for name, side, m in memory if "missing" in m]
    if document["what"] == "gradients":
        words = f"relative differences from {document['columns'][0]}, by norm, the largest first"
        return [*lines, words] if document["columns"] else lines
    lines.append("± is half the distance between the quartiles; × is how many times faster than that column")
    if document["what"] in ("kernels", "profile"):
        lines.append(
            "% of the roof that binds by the contract's operations and bytes; above 100 where a fast method "
            "does fewer multiplications than the definition, or a cache still holds the arrays"
        )
    return lines


def table(document: dict[str, Any]) -> Table:
    """The rows as a rich table."""
    main, columns = document["main"], shown(document)
    apart = dict.fromkeys(side for row in document["rows"] for side in row.get("differences", {}))
    out = Table(box=None, pad_edge=False, header_style="bold")
    fields: list[tuple[str, Callable[[Row], str]]] = []
    for column in columns:
        fields.append((column, lambda row, column=column: cell(row, column)))
    for rival in RIVALS:
        if rival in columns:
            fields.append((f"× {rival}", lambda row, rival=rival: ratio(row, rival, main, "{:.2f}×")))
    if document["what"] in ("kernels", "profile"):
        fields += [
            ("Gflop/s", lambda row: rate(row, main, "flops")),
            ("GB/s", lambda row: rate(row, main, "bytes")),
            ("% of roof", lambda row: percent(row, main)),
        ]
    for side in apart:
        fields.append((side, lambda row, side=side: difference(row, side)))
    if BARE in columns:
        fields.append((f"/ {BARE}", lambda row: ratio(row, main, BARE, "{:.2f}")))
    if document["what"] == "growth":
        fields.append(("Gflop/s", lambda row: rate(row, main, "flops")))
    sides = dict.fromkeys(side for row in document["rows"] for side in row.get("memory_mb", {}))
    for side in sides:
        fields.append((f"{side} MB", lambda row, side=side: megabytes(row, side)))
    parts = dict.fromkeys(row["part"] for row in document["rows"])
    out.add_column("name", no_wrap=True)
    if len(parts) > 1 and document["what"] == "kernels":
        out.add_column("of", no_wrap=True)
    out.add_column("case", no_wrap=True)
    for title, _ in fields:
        blank = document["missing"].get(title)
        out.add_column(escape(title) + ("\n[dim]blank: see below[/]" if blank else ""), justify="right")
    before = None
    for row in document["rows"]:
        if before not in (None, row["name"]):
            out.add_section()
        name, before = "" if row["name"] == before else row["name"], row["name"]
        part = [] if len(parts) < 2 or document["what"] != "kernels" else [of(row)]
        out.add_row(*map(escape, [name, *part, row["case"]]), *(value(row) for _, value in fields))
    return out


def shown(document: dict[str, Any]) -> list[str]:
    """The columns with a time, or with a word why there is none."""
    known = {*document["missing"]}
    for row in document["rows"]:
        known |= {*row["times"], *row.get("missing", {})}
    return [column for column in document["columns"] if column in known]


def of(row: Row) -> str:
    """What a row is about: the value, or the gradient of an input."""
    return f"∂{row['part']}" if "bytes" in row and row["part"] not in ("value", "step") else row["part"]


def cell(row: Row, column: str) -> str:
    """The median and its spread, or the word why there is none."""
    taken = row["times"].get(column)
    if taken is None:
        return f"[dim]{escape(row.get('missing', {}).get(column, ''))}[/]"
    spread = 50 * (taken["high_ms"] - taken["low_ms"]) / taken["median_ms"]
    return f"{duration(taken['median_ms'])} [dim]±{spread:2.0f}%[/]"


def duration(ms: float) -> str:
    """Three digits and a unit.

    >>> duration(0.01234), duration(12.34), duration(1234.5), duration(0.0004567)
    ('12.3 µs', '12.3 ms', '1.23 s', '457 ns')
    """
    units = {"s": 1e3, "ms": 1.0, "µs": 1e-3, "ns": 1e-6}
    unit = next((name for name, size in units.items() if ms >= 0.9995 * size), "ns")
    value = ms / units[unit]
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"


def ratio(row: Row, above: str, below: str, form: str) -> str:
    """One column's median over another's, or nothing."""
    times = row["times"]
    if above not in times or below not in times:
        return ""
    return form.format(times[above]["median_ms"] / times[below]["median_ms"])


def rate(row: Row, column: str, what: str) -> str:
    taken, work = row["times"].get(column), row.get(what)
    return f"{work / taken['median_ms'] / 1e6:.1f}" if taken and work else ""


def percent(row: Row, column: str) -> str:
    taken = row["times"].get(column, {})
    if "percent" not in taken:
        return ""
    return f"{taken['percent']:.0f} [dim]{taken['binds']}[/]"


def difference(row: Row, side: str) -> str:
    """A relative difference; one beyond all numbers is of values that are not finite."""
    found = row.get("differences", {}).get(side)
    return "" if found is None else f"{found:.1e}" if found < 1e300 else "not finite"


def megabytes(row: Row, side: str) -> str:
    found = row.get("memory_mb", {}).get(side, {})
    return f"{found['peak']:.0f}" if "peak" in found else "[dim]-[/]"
