"""Two documents side by side: two machines, two commits, or a CPU's file and a GPU's."""

from __future__ import annotations

import math
from typing import Any

from rich.markup import escape
from rich.table import Table

from rawgan.bench import tables
from rawgan.bench.document import RIVALS
from rawgan.kernels.errors import DataError

Key = tuple[str, str, str]


def pairs(a: dict[str, Any], b: dict[str, Any]) -> list[tuple[Key, dict | None, dict | None]]:
    """(name, part, case) and its row in each document, None where one has none; in the order of A, then B."""
    if a["what"] != b["what"]:
        raise DataError(f"compare: A is of {a['what']}, B of {b['what']}; take two files of one kind")
    rows = [{(r["name"], r["part"], r["case"]): r for r in document["rows"]} for document in (a, b)]
    return [(key, rows[0].get(key), rows[1].get(key)) for key in rows[0] | rows[1]]


def gains(a: dict[str, Any], b: dict[str, Any]) -> dict[Key, float]:
    """How many times faster B's main column is than A's, where both have one."""
    found = {}
    for key, of_a, of_b in pairs(a, b):
        times = [
            row["times"].get(document["main"]) if row else None for row, document in ((of_a, a), (of_b, b))
        ]
        if times[0] and times[1]:
            found[key] = times[0]["median_ms"] / times[1]["median_ms"]
    return found


def show(a: dict[str, Any], b: dict[str, Any], names: tuple[str, str] = ("A", "B")) -> None:
    """Print both machines, the table, and the mean gain."""
    out, gained = table(a, b), gains(a, b)  # first: they refuse what cannot be compared
    screen = tables.console()
    for letter, name, document in zip("AB", names, (a, b), strict=True):
        screen.print(f"{letter}: {name}", soft_wrap=True, markup=False)
        for line in tables.headline(document):
            screen.print(f"   {line}", soft_wrap=True, markup=False)
    screen.print(out)
    if gained:
        mean = math.exp(sum(map(math.log, gained.values())) / len(gained))
        count = f"{len(gained)} rows that both have"
        screen.print(f"geometric mean over the {count}: B is {mean:.2f} times as fast as A")
    else:
        screen.print("no row has a time in both files")


def table(a: dict[str, Any], b: dict[str, Any]) -> Table:
    """Main columns and their ratio, then the rivals that either file has."""
    gained, both = gains(a, b), (("A", a), ("B", b))
    rivals = [rival for rival in RIVALS if rival in a["columns"] or rival in b["columns"]]
    out = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("name", "of", "case"):
        out.add_column(title, no_wrap=True)
    titles = [*(f"{letter} {d['main']}" for letter, d in both), "A / B"]
    titles += [f"{letter} {rival}" for rival in rivals for letter, _ in both]
    for title in titles:
        out.add_column(escape(title), justify="right")
    for key, *rows in pairs(a, b):
        cells = [_cell(row, d["main"], letter) for row, (letter, d) in zip(rows, both, strict=True)]
        cells.append(f"{gained[key]:.2f}" if key in gained else "")
        for rival in rivals:
            cells += [_cell(row, rival, letter) for row, (letter, _) in zip(rows, both, strict=True)]
        of = next(tables.of(row) for row in rows if row)
        out.add_row(*map(escape, (key[0], of, key[2])), *cells)
    return out


def _cell(row: dict[str, Any] | None, column: str, letter: str) -> str:
    return tables.cell(row, column) if row else f"[dim]not in {letter}[/]"
