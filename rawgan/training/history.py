"""What happened at every training step: one row of numbers a step, in memory and in `history.csv`.

`History.create(path)` starts the file, `append(row)` adds a step, `sync()` before each checkpoint makes
the rows safe from a power cut, `as_arrays()` gives them as NumPy arrays. After a kill,
`History.resume(path, step)` keeps the rows up to the checkpoint's step and cuts off the rest.
`read(path)` looks at a run, live or finished. NumPy and pandas read the file too:

    np.genfromtxt("history.csv", delimiter=",", names=True)
    pandas.read_csv("history.csv")
"""

import os
import time
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rawgan.kernels.errors import CheckpointError, ConfigError
from rawgan.training.files import unwritable, write_whole

# Losses; D's mean answer on real and generated data (probability or critic score); norms before clipping.
COLUMNS = ("step", "d_loss", "g_loss", "d_real", "d_fake", "d_grad_norm", "g_grad_norm")

FLUSH_ROWS = 256
FLUSH_SECONDS = 1.0


class History:
    """The rows of one run, and the file that they go to.

    Rows are kept in memory and written when `FLUSH_ROWS` have gathered or `FLUSH_SECONDS` have passed.
    A write that the system refuses raises CheckpointError; the rows stay in memory, the file keeps
    what it had, and the next `flush()` tries again.

    >>> import tempfile; folder = tempfile.TemporaryDirectory()
    >>> history = History.create(f"{folder.name}/history.csv", ("step", "d_loss"))
    >>> history.append({"step": 1, "d_loss": 0.7})
    >>> history.as_arrays()
    {'step': array([1]), 'd_loss': array([0.7])}
    >>> history.close()
    """

    def __init__(self, path: Path | None, columns: tuple[str, ...], values: "array[float]"):
        """Go on with the file at `path`, which holds exactly these rows; without a path, in memory only."""
        self.path = path
        self.columns = columns
        self._values = values  # row after row, without the step
        self._written = self._steps()
        self._last_flush = time.monotonic()
        self._file = None
        if path is None:
            return
        try:
            self._file = open(path, "r+b", buffering=0)  # noqa: SIM115 (open for as long as the run lasts)
            self._end = self._file.seek(0, os.SEEK_END)  # of the last whole row
        except OSError as error:
            raise unwritable(path, error) from error

    @classmethod
    def in_memory(cls, columns: Sequence[str] = COLUMNS) -> "History":
        """A history without a file, for a run without a directory."""
        return cls(None, tuple(columns), array("d"))

    @classmethod
    def create(cls, path: str | os.PathLike, columns: Sequence[str] = COLUMNS) -> "History":
        """Start a file with the header line. `columns` are fixed from here on; the first is "step"."""
        columns = tuple(columns)
        if (
            columns[:1] != ("step",)
            or len(set(columns)) < len(columns)
            or not all(c.isidentifier() for c in columns)
        ):
            raise ConfigError(f"history columns {columns}: give different names, the first of them 'step'")
        write_whole(path, [_line(columns)])
        return cls(Path(path), columns, array("d"))

    @classmethod
    def resume(cls, path: str | os.PathLike, step: int, columns: Sequence[str] = COLUMNS) -> "History":
        """Go on after `step`: the rows up to it are kept, and what is after it is cut off.

        Raises CheckpointError if those rows are not all there, 1, 2, ..., `step`, in these columns.
        """
        columns = tuple(columns)
        lines = _lines(path)
        if lines[0] != _line(columns):
            raise CheckpointError(f"{path}: has not the columns {','.join(columns)}; start a new run")
        if len(lines) <= step or not lines[step].endswith(b"\n"):
            raise CheckpointError(
                f"{path}: ends before step {step}, the checkpoint's; resume from an older checkpoint"
            )
        values = _parse(path, columns, lines[1 : step + 1])
        if len(lines) > step + 1:
            write_whole(path, lines[: step + 1])
        return cls(Path(path), columns, values)

    def append(self, row: Mapping[str, float]) -> None:
        """Add one step: a number for each column, "step" the one after the last row's."""
        if row.keys() != set(self.columns) or row["step"] != self._steps() + 1:
            raise ConfigError(
                f"history: got {dict(row)}; a row has the columns {','.join(self.columns)}, "
                f"and the next step is {self._steps() + 1}"
            )
        self._values.extend([float(row[column]) for column in self.columns[1:]])
        late = time.monotonic() - self._last_flush > FLUSH_SECONDS
        if late or self._steps() - self._written >= FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that only memory holds. They survive the end of the process, but not a power cut."""
        self._last_flush = time.monotonic()
        if self._file is None:
            return
        width, steps = len(self.columns) - 1, self._steps()
        text = bytearray()
        for step in range(self._written, steps):
            text += _line([step + 1, *self._values[step * width : (step + 1) * width]])
        try:
            self._file.seek(self._end)
            rest = memoryview(text)
            while rest:  # a raw write may take a part only
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._file.truncate(self._end)  # a row in part would be taken for damage
            raise unwritable(self._file.name, error) from error
        self._end += len(text)
        self._written = steps

    def sync(self) -> None:
        """Flush, and wait until the disk has the rows: before a checkpoint that counts on them."""
        self.flush()
        if self._file is None:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise unwritable(self._file.name, error) from error

    def as_arrays(self) -> dict[str, np.ndarray]:
        """One array a column: "step" (steps,) int64, the others (steps,) float64. Copies."""
        return _as_arrays(self.columns, self._values)

    def close(self) -> None:
        """Flush, and close the file even if that fails."""
        try:
            self.flush()
        finally:
            if self._file is not None:
                self._file.close()

    def _steps(self) -> int:
        return len(self._values) // (len(self.columns) - 1)


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The rows of a history file as `History.as_arrays` gives them; a last line in part is left out.

    Raises CheckpointError if the file is missing or damaged.
    """
    lines = _lines(path)
    if not lines[-1].endswith(b"\n"):  # the writer is alive, or was killed
        lines.pop()
    if not lines or not lines[0].startswith(b"step,"):
        raise CheckpointError(f"{path}: is not a history file (no header line 'step,...')")
    columns = tuple(lines[0].decode(errors="replace").strip().split(","))
    return _as_arrays(columns, _parse(path, columns, lines[1:]))


def _lines(path: str | os.PathLike) -> list[bytes]:
    try:
        return Path(path).read_bytes().splitlines(keepends=True) or [b""]
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); restore it or start a new run"
        ) from error


def _parse(path: str | os.PathLike, columns: tuple[str, ...], lines: list[bytes]) -> "array[float]":
    """The numbers of rows that must count 1, 2, 3, ...; without the step."""
    values = array("d")
    for step, line in enumerate(lines, start=1):
        cells = line.split(b",")
        try:
            if len(cells) != len(columns) or int(cells[0]) != step:
                raise ValueError
            values.extend(map(float, cells[1:]))
        except ValueError:
            raise CheckpointError(
                f"{path}, line {step + 1}: {line[:80]!r} is not the row of step {step}; "
                "restore the file from a copy or start a new run"
            ) from None
    return values


def _line(cells: Sequence) -> bytes:
    """A row of the file. str of a float is its shortest text that reads back as the same number."""
    return (",".join(map(str, cells)) + "\n").encode()


def _as_arrays(columns: tuple[str, ...], values: "array[float]") -> dict[str, np.ndarray]:
    table = np.array(values).reshape(-1, len(columns) - 1)
    steps = {"step": np.arange(1, len(table) + 1, dtype=np.int64)}
    return steps | {name: table[:, i].copy() for i, name in enumerate(columns[1:])}
