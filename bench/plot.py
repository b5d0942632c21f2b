"""Pictures of a document: kernels' roofline and bars, steps' bars, curves of growth and of norms."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rawgan.bench import paper, roofline
from rawgan.bench.profile import LEAST, PYTHON, STEP
from rawgan.bench.tables import duration
from rawgan.kernels.errors import DataError

Document = dict[str, Any]
RIVALS = {"torch": ("PyTorch\neager", paper.RIVAL), "torch.compile": ("PyTorch\ncompiled", paper.COMPILED)}
SEEN = 0.02  # of the kernels' time: less is not named in a step's anatomy
AXES = {"batch": "batch", "width": "channels, times the recipe's", "size": "height and width of the pictures"}


def draw(document: Document, folder: Path, stem: str) -> list[Path]:
    """Write the document's pictures as `folder/stem-*.png`; their paths. DataError if there are none."""
    paths = []
    for name, picture in PICTURES[document["what"]].items():
        figure = picture(document)
        if figure is not None:
            paths.append(Path(folder, f"{stem}-{name}.png"))
            paper.save(figure, paths[-1])
    if not paths:
        raise DataError(f"plot: nothing in this file of {document['what']} can be drawn: it has no times")
    return paths


def step_bars(document: Document) -> Any:
    """A panel a recipe, a bar a side, with the quartiles as a whisker; memory below where it was measured."""
    rows = [r for r in document["rows"] if r["times"]]
    if not rows:
        return None
    peaks = [{side: m["peak"] for side, m in r.get("memory_mb", {}).items() if "peak" in m} for r in rows]
    figure = paper.figure(max(5.0, 3.2 * len(rows)), 6.6 if any(peaks) else 3.8)
    figure.suptitle(f"One training step: {paper.machine(document)}", x=0.01, ha="left", fontsize=10)
    grid = figure.subplots(2 if any(peaks) else 1, len(rows), squeeze=False)
    for column, (row, peak) in enumerate(zip(rows, peaks, strict=True)):
        times = {side: row["times"][side] for side in document["columns"] if side in row["times"]}
        median, low, high = (
            np.array([t[f"{key}_ms"] for t in times.values()]) for key in ("median", "low", "high")
        )
        spread = np.maximum([median - low, high - median], 0)
        _columns(grid[0][column], list(times), median, document["main"], duration, spread)
        grid[0][column].set_title(f"{row['name']}, {row['case']}", loc="left", fontsize=10)
        if peak:
            _columns(
                grid[1][column], list(peak), np.array([*peak.values()]), document["main"], "{:.0f}".format
            )
    grid[0][0].set_ylabel("milliseconds a step")
    if any(peaks):
        grid[1][0].set_ylabel("peak resident memory, MB")
    return figure


def _columns(
    axes: Any, sides: list[str], values: np.ndarray, main: str, words: Callable, spread: Any = None
) -> None:
    """A bar a side; `spread`: (2, sides), how far the quartiles lie below and above."""
    looks = {main: ("rawgan", paper.OWN), f"{main} train": ("rawgan\n.train", paper.TRAIN), **RIVALS}
    labels, colours = zip(
        *(looks.get(side, (side.replace(" ", "\n"), "#bbbbbb")) for side in sides), strict=True
    )
    places = np.arange(len(sides))
    axes.bar(places, values, color=colours, width=0.72, zorder=2)
    tops = values
    if spread is not None:
        tops = values + spread[1]
        style = {"ecolor": "#555555", "elinewidth": 1, "capsize": 2, "zorder": 3}
        axes.errorbar(places, values, spread, linestyle="", **style)
    for place, value, top in zip(range(len(sides)), values, tops, strict=True):
        paper.beside(axes, words(value), (place, top), (0, 3), ha="center", fontsize=8)
    axes.set_xticks(places, labels, fontsize=8)
    axes.set_ylim(0, 1.14 * max(tops))
    axes.set_xlim(-0.6, len(sides) - 0.4)
    paper.plain(axes, "y")
    axes.tick_params(axis="x", length=0)


def growth(document: Document) -> Any:
    """Step time along each axis, beside the line on which an operation costs what it does in the recipe."""
    rows = [r for r in document["rows"] if r["times"] and r.get("value") and r["part"] in AXES]
    axis_names = [axis for axis in AXES if any(r["part"] == axis for r in rows)]
    if not axis_names:
        return None
    figure = paper.figure(max(5.0, 4.4 * len(axis_names)), 4.4)
    title = f"A step of {rows[0]['name']}: {paper.machine(document)}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    for axes, axis in zip(figure.subplots(1, len(axis_names), squeeze=False)[0], axis_names, strict=True):
        walked = sorted((r for r in rows if r["part"] == axis), key=lambda r: r["value"])
        for side, colour in ((document["main"], paper.OWN), ("torch", paper.RIVAL)):
            mine = [r for r in walked if side in r["times"]]
            if mine:
                _curve(axes, mine, side, colour)
        own = next((r for r in walked if r.get("own") and document["main"] in r["times"]), None)
        if own and own.get("flops"):
            cost = own["times"][document["main"]]["median_ms"] / own["flops"]
            ideal = [(r["value"], cost * r["flops"]) for r in walked if r.get("flops")]
            style = {"color": paper.INK, "linewidth": 1, "linestyle": "--", "zorder": 2}
            axes.plot(*zip(*ideal, strict=True), label="ideal: as the operations grow", **style)
        axes.set(xscale="log", yscale="log", xlabel=AXES[axis])
        axes.minorticks_off()
        axes.set_xticks([r["value"] for r in walked], [f"{r['value']:g}" for r in walked])
        paper.readable(axes.yaxis)
        axes.legend(frameon=False, fontsize=8)
        paper.plain(axes)
    figure.axes[0].set_ylabel("milliseconds a step")
    return figure


def _curve(axes: Any, rows: list[dict[str, Any]], side: str, colour: str) -> None:
    """The medians, the quartiles as a band, the recipe's own setting as a larger point."""
    x = [r["value"] for r in rows]
    low, median, high = ([r["times"][side][f"{k}_ms"] for r in rows] for k in ("low", "median", "high"))
    label = {"torch": "PyTorch"}.get(side, f"rawgan, {side}")
    axes.plot(x, median, "o-", color=colour, markersize=4, label=label, zorder=3)
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    own = [(r["value"], r["times"][side]["median_ms"]) for r in rows if r.get("own")]
    axes.plot(*zip(*own, strict=True), "o", color=colour, markersize=8, zorder=4) if own else None


def anatomy(document: Document) -> Any:
    """A step as a bar of its kernels and Python, the same with every kernel at its roof, and the rivals'."""
    main = document["main"]
    of_main = {r["name"]: r["times"][main]["median_ms"] for r in document["rows"] if main in r["times"]}
    if not of_main.keys() >= {PYTHON, STEP, LEAST}:
        return None
    python, least = of_main.pop(PYTHON), of_main.pop(LEAST)
    whole = next(r["times"] for r in document["rows"] if r["name"] == STEP)
    of_main.pop(STEP)
    slow = {name: ms for name, ms in of_main.items() if ms >= SEEN * sum(of_main.values())}
    rest = sum(of_main.values()) - sum(slow.values())
    bars = {"as it is": [*slow.items(), ("others", rest), ("Python", python)]}
    bars["every kernel\nat its roof"] = [("kernels", least), ("Python", python)]
    bars |= {RIVALS[side][0]: [("", whole[side]["median_ms"])] for side in RIVALS if side in whole}
    figure = paper.figure(8.5, 1.3 + 0.62 * len(bars))
    axes = figure.add_subplot(xlabel="milliseconds a step")
    widest = max(sum(ms for _, ms in parts) for parts in bars.values())
    rivals = dict(RIVALS.values())
    for place, (label, parts) in enumerate(bars.items()):
        left = 0.0
        for number, (name, ms) in enumerate(parts):
            colour = rivals.get(label, paper.INK if name == "Python" else paper.OWN)
            shade = {"color": colour, "alpha": 1 if number % 2 == 0 or colour != paper.OWN else 0.75}
            axes.barh(place, ms, left=left, height=0.62, zorder=2, **shade)
            if ms > 0.011 * widest * len(name):
                axes.text(left + ms / 2, place, name, color="white", fontsize=8, ha="center", va="center")
            left += ms
        paper.beside(axes, duration(left), (left, place), (4, 0), va="center", fontsize=9)
    axes.set_yticks(range(len(bars)), list(bars))
    axes.set_xlim(0, 1.12 * widest)
    axes.invert_yaxis()
    settings = document.get("settings")
    recipe = f"{settings.get('recipe')}: " if isinstance(settings, dict) else ""
    axes.set_title(recipe.replace("$", r"\$") + paper.machine(document), loc="left", fontsize=9)
    paper.plain(axes, "x")
    return figure


def one_bar_a_row(document: Document) -> Any:
    """A bar an operation of the tape."""
    main = document["main"]
    rows = [r for r in document["rows"] if main in r["times"]]
    if not rows:
        return None
    figure = paper.figure(7.5, 1.1 + 0.4 * len(rows))
    axes = figure.add_subplot(xlabel="microseconds for one operation on 8 numbers")
    values = [1e3 * r["times"][main]["median_ms"] for r in rows]
    axes.barh(range(len(rows)), values, color=paper.OWN, height=0.6, zorder=2)
    for place, value in enumerate(values):
        paper.beside(
            axes, f"{value:.{2 if value < 100 else 0}f}", (value, place), (3, 0), va="center", fontsize=8
        )
    axes.set_yticks(range(len(rows)), [r["name"] for r in rows])
    axes.invert_yaxis()
    axes.set_title(paper.machine(document), loc="left", fontsize=9)
    paper.plain(axes, "x")
    return figure


LAYERS = "layer of G, from the noise on"
NORMS = {  # a row of panels: what it shows, of which curves, along what
    "generator": ("G's gradient norm", "step"),
    "discriminator": ("D's gradient norm", "step"),
    "generator, by layer, first": ("G, an element's size\nin the first steps", LAYERS),
}
METHODS = (paper.INK, paper.OWN, paper.RIVAL, "#3a8f4d", "#8a56a8", "#8c6d1f")
RANGE = 1e-12, 1e6  # of what is drawn of a norm


def norms(document: Document) -> Any:
    """A column of panels for each setting, a curve for each method; a band over all seeds."""
    rows = [r for r in document["rows"] if any(c["x"] for c in r.get("curves", {}).values())]
    names = list(dict.fromkeys(r["name"] for r in rows))
    if not rows:
        return None
    figure = paper.figure(max(6.0, 3.6 * len(names)), 9.4)
    title = (
        "Gradient norms before clipping, no less than $10^{-12}$: median, lowest and highest of the seeds. "
    )
    figure.suptitle(title + paper.machine(document), x=0.01, ha="left", fontsize=10)
    grid = figure.subplots(len(NORMS), len(names), squeeze=False, sharey="row")
    for place, name in enumerate(names):
        grid[0][place].set_title(name.replace("$", r"\$"), loc="left", fontsize=10)
        for axes, (curve, (_, along)) in zip(grid[:, place], NORMS.items(), strict=True):
            own = [r for r in rows if r["name"] == name and curve in r["curves"]]
            drawn = [(r["case"], r["curves"][curve]) for r in own]
            for (case, found), colour in zip(drawn, itertools.cycle(METHODS), strict=False):
                _norm(axes, case, found, colour, points=along == LAYERS)
            axes.set(yscale="log", xlabel=along)
            axes.locator_params(axis="x", integer=True, nbins=6)
            paper.plain(axes)
    for axes, (label, _) in zip(grid[:, 0], NORMS.values(), strict=True):
        axes.set_ylabel(label)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False, fontsize=9)
    return figure


def _norm(axes: Any, label: str, curve: dict[str, list[float]], colour: str, points: bool) -> None:
    """What is 0 is drawn nowhere."""
    x, middle, low, high = (np.array(curve[key], float) for key in ("x", "median", "low", "high"))
    middle, low, high = (np.where(v > 0, v.clip(*RANGE), np.nan) for v in (middle, low, high))
    style = {"linewidth": 1.6, "marker": "o" if points else "", "markersize": 3, "zorder": 3}
    if colour == METHODS[0]:  # what the others are compared with is seen through and above them
        style |= {"linestyle": (0, (4, 2)), "linewidth": 1.2, "zorder": 4}
    axes.plot(x, middle, label=label.replace("$", r"\$"), color=colour, **style)
    axes.fill_between(x, np.where(np.isnan(low), RANGE[0], low), high, color=colour, alpha=0.09, linewidth=0)


PICTURES: dict[str, dict[str, Callable[[Document], Any]]] = {
    "kernels": {"roofline": roofline.roofline, "bars": roofline.bars},
    "train-step": {"bars": step_bars},
    "growth": {"curves": growth},
    "profile": {"anatomy": anatomy},
    "tape": {"bars": one_bar_a_row},
    "norms": {"curves": norms},
    "gradients": {},
    "ring": {},
    "warnings": {},
}
