"""The roofline of kernels (Williams, Waterman and Patterson 2009), and how they stand beside PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

from rawgan.bench import paper

Document = dict[str, Any]


def roofline(document: Document) -> Any:
    """Achieved operations a second over operations per byte, under the two roofs of the main column."""
    main = document["main"]
    roof = document["roofs"].get(main)
    rows = [r for r in document["rows"] if main in r["times"] and r.get("flops") and r.get("bytes")]
    if not rows or not roof:
        return None
    figure = paper.figure(10.5, 6)
    axes = figure.add_subplot(xscale="log", yscale="log")
    points = [(r["flops"] / r["bytes"], _speed(r, main)) for r in rows]
    theirs = [(r["flops"] / r["bytes"], _speed(r, "torch")) for r in rows if "torch" in r["times"]]
    if theirs:
        style = {"color": "#b0b0b0", "markersize": 4.5, "linestyle": "", "marker": "x", "zorder": 2}
        axes.plot(*zip(*theirs, strict=True), label="PyTorch, the same rows", **style)
    names = list(dict.fromkeys(r["name"] for r in rows))
    for number, name in enumerate(names):
        mine = [point for point, r in zip(points, rows, strict=True) if r["name"] == name]
        style = {
            "marker": "os^Dv"[number // 8 % 5],
            "linestyle": "",
            "color": f"C{number % 8}",
            "markersize": 6,
        }
        ink = {"markeredgecolor": "white", "markeredgewidth": 0.6}
        axes.plot(*zip(*mine, strict=True), label=name, zorder=3, **style, **ink)
    x, y = np.array(points).T
    ridge = roof["gflops"] / roof["gbytes"]
    low, high = min(x.min(), ridge / 8) / 1.5, max(x.max(), ridge * 4) * 1.5
    along = np.geomspace(low, high, 300)
    limit = np.minimum(roof["gflops"], roof["gbytes"] * along)
    slowest = min([y.min(), *(speed for _, speed in theirs)])
    bottom, top = min(slowest, limit[0]) / 1.6, 2.2 * max(y.max(), roof["gflops"])
    axes.plot(along, limit, color=paper.INK, linewidth=1.6, zorder=1)
    axes.fill_between(along, limit, top, color="#f3f3f3", zorder=0, linewidth=0)
    paper.beside(
        axes,
        f"{roof.get('product', 'SGEMM')} {roof['gflops']:.0f} Gflop/s",
        (np.sqrt(ridge * high), roof["gflops"]),
        (0, 5),
        ha="center",
    )
    middle = np.sqrt(low * ridge)
    at = middle, roof["gbytes"] * middle
    paper.beside(axes, f"triad {roof['gbytes']:.0f} GB/s", at, (-8, 4), ha="right", va="bottom")
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, top)
    axes.set(xlabel="operations per byte, by the contract", ylabel="Gflop/s, operations by the definition")
    axes.set_title(f"{main}: {paper.machine(document)}", loc="left", fontsize=10)
    paper.plain(axes)
    entries = len(axes.get_legend_handles_labels()[0])
    spacing = min(0.5, 15 / entries)  # of many kernels the lines stand closer
    figure.legend(
        loc="outside right upper", frameon=False, fontsize=9 if entries <= 28 else 7.5, labelspacing=spacing
    )
    return figure


def bars(document: Document) -> Any:
    """A line for each case of each kernel, a dot for its value and each gradient.

    How many times faster than PyTorch; without PyTorch, the share of the roof in percent.
    """
    main = document["main"]
    rival = any({main, "torch"} <= r["times"].keys() for r in document["rows"])
    found = []
    for r in document["rows"]:
        taken, theirs = r["times"].get(main), r["times"].get("torch")
        if taken and (theirs if rival else taken.get("percent")):
            found.append((r, theirs["median_ms"] / taken["median_ms"] if rival else taken["percent"]))
    if not found:
        return None
    lines = list(dict.fromkeys((r["name"], r["case"]) for r, _ in found))
    place = {line: number for number, line in enumerate(lines)}
    figure = paper.figure(9, 1.3 + 0.185 * len(lines))
    axes = figure.add_subplot(xscale="log")
    for number, part in enumerate(dict.fromkeys(r["part"] for r, _ in found)):
        x, y = zip(
            *((value, place[r["name"], r["case"]]) for r, value in found if r["part"] == part), strict=True
        )
        style = {"marker": "osD^v"[number % 5], "markersize": 6, "markeredgecolor": "white", "zorder": 3}
        label = "value" if part == "value" else f"gradient of {part}"
        axes.plot(x, y, linestyle="", color=f"C{number}", label=label, **style)
    for number in range(1, len(lines)):  # a line between kernels
        if lines[number][0] != lines[number - 1][0]:
            axes.axhline(number - 0.5, color="#cccccc", linewidth=0.8, zorder=1)
    labels = [f"{name}  {case}".replace("$", r"\$") for name, case in lines]
    axes.set_yticks(range(len(lines)), labels, fontsize=7.5)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    values = np.array([value for _, value in found])
    level = 1 if rival else 100
    low, high = min(values.min() / 1.3, level / 2), max(values.max() * 1.3, level * 2)
    axes.axvline(level, color=paper.INK, linewidth=1, zorder=2)
    axes.axvspan(low, level, color="#f3f3f3", zorder=0)
    axes.set_xlim(low, high)
    paper.readable(axes.xaxis)
    axes.set_xlabel("times faster than PyTorch" if rival else "% of the roof that binds")
    axes.set_title(f"{main}: {paper.machine(document)}", loc="left", fontsize=9)
    paper.plain(axes)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return figure


def _speed(row: dict[str, Any], column: str) -> float:
    return row["flops"] / row["times"][column]["median_ms"] / 1e6
