"""Rows as tables: for the terminal, for a notebook, as a DataFrame."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rawgan import arrays
from rawgan.kernels.errors import ConfigError

if TYPE_CHECKING:
    import pandas

    from rawgan.inspect.nodes import RecordedNode

Rows = Sequence[Mapping[str, Any]]


def number(value: Any) -> str:
    """A cell: four digits of a number, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    return str(value)


def _columns(rows: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def text(rows: Rows) -> str:
    """A table in plain characters."""
    names = _columns(rows)
    lines = [names, *([number(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    right = [all(isinstance(row.get(n), float | int | None) for row in rows) for n in names]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def rich_table(rows: Rows, title: str) -> Any:
    """A table for `rich`."""
    from rich.table import Table

    made = Table(title=title, title_justify="left")
    for name in _columns(rows):
        made.add_column(name, justify="right" if isinstance(rows[0].get(name), float | int) else "left")
    for row in rows:
        made.add_row(*[number(row.get(name)) for name in _columns(rows)])
    return made


def table(rows: Rows, title: str) -> str:
    """A table as HTML."""
    names = _columns(rows)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(number(row.get(name)))}</td>" for name in names) + "</tr>"
        for row in rows
    )
    top = f"<caption>{html.escape(title)}</caption><thead><tr>{head}</tr></thead>"
    return f"<table>{top}<tbody>{body}</tbody></table>"


def dataframe(rows: Rows) -> pandas.DataFrame:
    """The rows as a pandas DataFrame; ConfigError without pandas."""
    try:
        import pandas
    except ImportError:
        raise ConfigError("a DataFrame needs pandas: pip install pandas") from None
    return pandas.DataFrame(list(rows), columns=_columns(rows))


def figures(array: Any) -> str:
    """An array in a line: shape, range, mean, norm."""
    from rawgan.inspect.nodes import Digest, digest

    found = array if isinstance(array, Digest) else digest(array)
    shape = "×".join(map(str, found.shape)) or "one number"
    return (
        f"{shape} {found.dtype}, {found.minimum:.4g} … {found.maximum:.4g}, mean {found.mean:.4g}, "
        f"norm {found.norm:.4g}" + (f" ({found.why})" if found.why else "")
    )


def node_html(node: RecordedNode) -> str:
    """A node as a small table."""
    rows = [{"": "operation", " ": node.op}, {"": "layer", " ": node.layer or node.name}]
    rows += [{"": "at", " ": node.source}]
    rows += [{"": f"formula of {name}", " ": formula} for name, formula in node.formulas.items()]
    rows += [{"": f"input {n}", " ": repr(x)} for n, x in zip(node.input_names, node.inputs, strict=False)]
    rows.append({"": "value", " ": figures(node.value)})
    if node.grad is not None:
        rows.append({"": "gradient", " ": figures(node.grad)})
    for share in node.shares:
        who = repr(share.consumer) if share.consumer else "the start of the backward pass"
        rows.append({"": "share", " ": f"{who}: {figures(share.value)}"})
    return table(rows, repr(node))


def host(array: Any) -> np.ndarray:
    """An array of any device as NumPy's."""
    return np.asarray(arrays.to_numpy(array))
