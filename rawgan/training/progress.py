"""How training is going, on the terminal: a live bar, plain lines in a pipe, or nothing.

    with Progress(total=5000) as progress:
        for step in ...:
            progress.update(row)              # a row of the history
            progress.message("saved ...")     # appears above the bar

A terminal or notebook shows a bar with the latest losses, redrawn at most ten times a second. A pipe gets
a plain line at every tenth of the way, and at least every half minute, with no control characters.
"""

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.live import Live

REDRAW_SECONDS = 0.1
LINE_SECONDS = 30.0

# What a row shows, in three groups; plain ASCII, since not every terminal has more.
_GROUPS = (
    ("loss ", {"D": "d_loss", "G": "g_loss", "": "loss"}),
    ("", {"D(x)": "d_real", "D(G(z))": "d_fake", "reconstruction": "reconstruction", "KL": "kl"}),
    ("grad ", {"D": "d_grad_norm", "G": "g_grad_norm", "": "grad_norm"}),
)


class Progress:
    """A context manager that shows the way from step `start` to step `total`.

    `enabled=False` shows nothing. Leaving it ends with a line: steps, seconds, steps a second.
    An output that breaks (a closed pipe, a full disk under a log) is given up; training goes on.

    >>> with Progress(total=2) as progress:    # doctest: +ELLIPSIS
    ...     progress.update({"step": 1, "d_loss": 1.38, "g_loss": 0.693})
    ...     progress.update({"step": 2, "d_loss": 1.31, "g_loss": 0.721})
    step 1/2 (50%), ..., 0:00 left, loss D 1.380 G 0.693
    step 2/2 (100%), ..., 0:00 left, loss D 1.310 G 0.721
    2 steps in ... s, ... steps/s
    """

    def __init__(self, total: int, start: int = 0, enabled: bool = True):
        self._total = total
        self._start = self._step = start
        self._enabled = enabled
        self._live: Live | None = None
        self._row: Mapping[str, float] = {}
        self._marks = deque([(0.0, start)], maxlen=50)  # when at which step lately, for the speed
        self._next_draw = self._next_step = math.inf

    def __enter__(self) -> "Progress":
        if self._enabled:
            self._live = self._find_screen()
        self._began = time.monotonic()
        self._marks[0] = (self._began, self._start)
        if self._live:
            self._live.start(refresh=True)
            self._next_draw = self._began
        elif self._enabled:
            self._next_draw, self._next_step = self._began + LINE_SECONDS, self._next_tenth()
        return self

    def __exit__(self, kind, error, trace) -> None:
        if self._live:
            self._give_up_if_broken(self._live.stop)
        seconds = time.monotonic() - self._began
        steps = self._step - self._start
        stopped = f"stopped at step {self._step:,} of {self._total:,}: " if self._step < self._total else ""
        took = f"{seconds:.1f} s" if seconds < 60 else _clock(seconds)
        self.message(f"{stopped}{steps:,} steps in {took}, {_speed(steps / max(seconds, 1e-9))}")

    def update(self, row: Mapping[str, float]) -> None:
        """Tell the state after a step: "step", and any of the history's columns. Cheap between redraws."""
        self._row = row
        self._step = int(row["step"])
        now = time.monotonic()
        if now < self._next_draw and self._step < self._next_step:
            return
        self._marks.append((now, self._step))
        if self._live:
            self._next_draw = now + REDRAW_SECONDS
            self._give_up_if_broken(self._live.refresh)
        else:
            self._next_draw = now + LINE_SECONDS
            self._next_step = self._next_tenth()
            self.message(self._line())

    def message(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if not self._enabled:
            return
        if live := self._live:
            # plain text: a path in [brackets] is no markup, and the terminal breaks long lines itself
            show = partial(live.console.print, text, markup=False, highlight=False, soft_wrap=True)
            self._give_up_if_broken(show)
        else:
            self._give_up_if_broken(partial(print, text, flush=True))

    def _find_screen(self) -> "Live | None":
        """The live display of a terminal or notebook, if there is one."""
        from rich.console import Console
        from rich.live import Live

        console = Console()
        notebook = console.is_jupyter and find_spec("ipywidgets") is not None
        # Ask the stream itself: rich takes FORCE_COLOR for a terminal, even in a pipe.
        if notebook or (sys.stdout.isatty() and not console.is_dumb_terminal):
            return Live(console=console, auto_refresh=False, get_renderable=self._bar)
        return None

    def _give_up_if_broken(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError:
            live, self._live, self._enabled = self._live, None, False
            self._next_draw = self._next_step = math.inf
            if live:
                with suppress(OSError):  # it fails the same way, after it has given stdout back
                    live.stop()

    def _next_tenth(self) -> int:
        tenths = self._step * 10 // max(self._total, 1) + 1
        return math.ceil(tenths * self._total / 10)

    def _pace(self) -> tuple[str, str]:
        """Steps a second lately, and the time left at that pace, as texts."""
        (began, first), (now, step) = self._marks[0], self._marks[-1]
        if step == first:
            return "", ""
        speed = (step - first) / max(now - began, 1e-9)
        return _speed(speed), f"{_clock((self._total - self._step) / speed)} left"

    def _groups(self) -> list[str]:
        groups = []
        for name, columns in _GROUPS:
            parts = [
                f"{label} {_number(self._row[key])}".strip()
                for label, key in columns.items()
                if key in self._row
            ]
            if parts:
                groups.append(name + " ".join(parts))
        return groups

    def _line(self) -> str:
        share = f"({self._step / max(self._total, 1):.0%})"
        return ", ".join([f"step {self._step:,}/{self._total:,} {share}", *self._pace(), *self._groups()])

    def _bar(self):
        """Two lines of a terminal: how far, and how well."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        total = f"{self._total:,}"
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(no_wrap=True)
        row.add_column(ratio=1)
        for _ in range(2):
            row.add_column(no_wrap=True, justify="right")
        steps = Text(f"step {self._step:>{len(total)},}/{total}", style="bold")
        bar = ProgressBar(total=max(self._total, 1), completed=self._step)
        row.add_row(steps, bar, *self._pace())
        groups = "   ".join(self._groups())
        return Group(row, Text(groups, no_wrap=True, overflow="ellipsis")) if groups else row


def _number(value: float) -> str:
    """About three digits in five characters, so that a row does not jump about."""
    size = abs(value)
    if size >= 1e5 or 0 < size < 0.001:
        return f"{value:.0e}"
    return f"{value:5.{3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0}f}"


def _speed(speed: float) -> str:
    if 0 < speed < 1:
        return f"{1 / speed:,.1f} s/step"
    return f"{speed:,.{1 if speed < 10 else 0}f} steps/s"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
