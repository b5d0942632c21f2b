"""A Run in a notebook: what it is, how it stands, how its losses went, and what it makes."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from rawgan.inspect.show import table
from rawgan.training.pictures import D_COLOUR, G_COLOUR, image_grid

if TYPE_CHECKING:
    from rawgan.training.run import Run

WIDTH, HEIGHT = 480, 120  # of the curves, in pixels
POINTS = 200  # of a curve


def run_html(run: Run) -> str:
    """Title, last line of the history, curves, samples, warnings."""
    history = run.history
    parts = [f"<b>{html.escape(repr(run))}</b>"]
    if run.stopped:
        parts.append(f"<p>stopped: {html.escape(run.stopped)}</p>")
    if len(history.get("step", ())):
        parts.append(table([{name: values[-1].item() for name, values in history.items()}], "the last step"))
        parts.append(_curves(history))
    parts.append(_samples(run))
    parts += [f"<p>step {w.step:,}: {html.escape(w.says)}</p>" for w in run.warnings]
    return "<div>" + "".join(parts) + "</div>"


def _curves(history: Mapping[str, np.ndarray]) -> str:
    """The players' losses as an SVG, thinned out to `POINTS`."""
    found = {name: history[name] for name in ("d_loss", "g_loss", "loss") if name in history}
    known = np.concatenate([values[np.isfinite(values)] for values in found.values()] or [np.zeros(1)])
    low, high = float(known.min()), float(known.max())
    height = max(high - low, 1e-12)
    lines = []
    for (name, values), colour in zip(found.items(), (D_COLOUR, G_COLOUR), strict=False):
        places = np.unique(np.linspace(0, len(values) - 1, POINTS).astype(int))
        points = " ".join(
            f"{WIDTH * i / max(1, len(values) - 1):.1f},{HEIGHT * (1 - (values[i] - low) / height):.1f}"
            for i in places
            if np.isfinite(values[i])
        )
        title = f"<title>{name}</title>"
        lines.append(f'<polyline fill="none" stroke="{colour}" points="{points}">{title}</polyline>')
    words = ", ".join(
        f'<span style="color:{colour}">{name}</span>'
        for name, colour in zip(found, (D_COLOUR, G_COLOUR), strict=False)
    )
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="-2 -2 {WIDTH + 4} {HEIGHT + 4}"'
    return f"<p>{words}, from {low:.3g} to {high:.3g}</p><svg {size}>{''.join(lines)}</svg>"


def _samples(run: Run) -> str:
    if len(run.trainer.shape) == 3 and run.trainer.shape[0] in (1, 3):
        from PIL import Image

        png = io.BytesIO()
        Image.fromarray(image_grid(run.sample(16), columns=8)).save(png, format="PNG")
        data = base64.b64encode(png.getvalue()).decode()
        return f'<p><img alt="16 samples" src="data:image/png;base64,{data}"></p>'
    if run.trainer.shape == (2,):
        points = run.sample(500)
        largest = float(np.abs(points).max(initial=1e-12))
        dots = "".join(f'<circle cx="{x:.3f}" cy="{-y:.3f}" r="0.012"/>' for x, y in points / largest)
        return f'<svg width="240" height="240" viewBox="-1.05 -1.05 2.1 2.1" fill="{G_COLOUR}">{dots}</svg>'
    return ""
