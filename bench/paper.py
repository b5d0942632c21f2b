"""What every picture of a measurement shares: paper, ink, and how it is written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rawgan.training.files import write_whole

OWN, TRAIN, RIVAL, COMPILED = "#1f5fa8", "#7ea6d6", "#d1600a", "#e8a33d"
INK = "#222222"


def figure(width: float, height: float) -> Any:
    """A white figure, in inches, made of Matplotlib's objects alone: nobody's settings are touched."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")


def save(figure: Any, path: Path) -> None:
    """Write a PNG, whole or not at all; CheckpointError where it cannot be."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    write_whole(path, [png.getvalue()])


def plain(axes: Any, grid: str = "both") -> None:
    """A light grid along the axes that are read, and no box around the picture."""
    axes.grid(axis=grid, color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def readable(axis: Any) -> None:
    """Numbers at 1, 2 and 5 of each power of ten of a logarithmic axis, written out."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def beside(axes: Any, text: str, at: tuple[float, float], by: tuple[float, float], **more: Any) -> None:
    """A word next to a point, `by` so many points of type."""
    axes.annotate(text, at, by, textcoords="offset points", **more)


def machine(document: dict[str, Any]) -> str:
    """On what and when it was measured. Dollars would start a formula."""
    about = document["machine"]
    parts = [
        str(about.get("cpu", "?")),
        f"{document.get('threads', '?')} threads",
        str(about.get("simd", "?")),
    ]
    return ", ".join([*parts, document["precision"], document["date"][:10]]).replace("$", r"\$")
