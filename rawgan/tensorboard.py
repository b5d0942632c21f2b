"""TensorBoard: what a run directory holds, or a run while it trains, as TensorBoard's event files.

    from rawgan import tensorboard
    tensorboard.export("runs/first", "logs/first")      # or: rawgan tensorboard runs/first --out logs/first

    with tensorboard.TensorBoard("logs/second", every=100) as board:
        rawgan.train("mlp", callbacks=[board])

Then `tensorboard --logdir logs` shows curves, histograms of weights (and, of a run that is watched, of
gradients), sample pictures, the settings, to compare runs by, and the warnings. It takes rawgan[tensorboard]:
tensorboardX, which writes these files and needs neither PyTorch nor TensorFlow. Its plain writer is used, not
the one with a thread, so that a full disk is an error and not a training that waits for ever.
"""

from __future__ import annotations

import io
import os
import secrets
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rawgan import arrays
from rawgan.data import Dataset
from rawgan.kernels.errors import CheckpointError, ConfigError, DataError
from rawgan.notice import warn
from rawgan.settings import whole_number
from rawgan.training import Run, checkpoint, history, load, pictures
from rawgan.training.config import check
from rawgan.training.files import unwritable
from rawgan.training.rundir import RunDirectory

BINS = 64  # of a histogram, even; TensorBoard draws 30 of them
POINTS = 2000
HELD = ("optimizer.",)  # parts of a checkpoint that are not weights


class TensorBoard:
    """A callback of `rawgan.train` that writes down what happens as it happens.

    logs: the folder of this run's events; of a run that goes on, the same as before: what stands there of
    later steps is then hidden. every: steps between histograms of the weights and gradients, sample pictures,
    and writes to the disk; curves have every step. pictures: whether to draw samples; training is not
    changed by them.

    Gradients are those of each player's last update, as the optimiser saw them: clipped. After the training
    call `close()`, or leave the `with` block; what is since the last write would else come with the
    program's end.

    Raises ConfigError without tensorboardX, CheckpointError where the folder cannot be written.

    >>> import rawgan, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with TensorBoard(folder.name, every=2, pictures=False) as board:
    ...     run = rawgan.train("mlp", steps=2, callbacks=[board], device="cpu", progress=False)
    >>> [path.name.split(".")[0] for path in Path(folder.name).iterdir()]
    ['events']
    """

    def __init__(self, logs: str | os.PathLike, every: int = 100, pictures: bool = True):
        whole_number("TensorBoard: every", every)
        _tensorboard_x()
        self.logs, self.every, self.pictures = Path(logs), every, pictures
        self._events: _Events | None = None
        self._run: Run | None = None
        self._warned = 0

    def __call__(self, run: Run, row: Mapping[str, float]) -> None:
        events = self._events
        if events is None or run is not self._run:
            events = self._begin(run, row)
        events.scalars(run.steps, row)
        self._write_warnings(events, run)
        if run.steps % self.every == 0:
            self._look(events, run)
            events.flush()

    def close(self) -> None:
        """Write down what is left, and shut the file; the next training begins another."""
        events, run = self._events, self._run
        self._events = self._run = None
        if events is not None and run is not None:
            self._write_warnings(events, run)
            events.close()

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def _begin(self, run: Run, row: Mapping[str, float]) -> _Events:
        self.close()
        self._run, self._warned = run, 0
        self._events = events = _Events(self.logs, first=run.steps)
        events.settings(run.config, row)
        return events

    def _write_warnings(self, events: _Events, run: Run) -> None:
        """Those that have come since; they are raised after the callbacks of their step."""
        for alarm in run.warnings[self._warned :]:
            events.text(f"warnings/{alarm.kind}", alarm.says, alarm.step)
        self._warned = len(run.warnings)

    def _look(self, events: _Events, run: Run) -> None:
        for player, network in run.trainer.networks.items():
            for name, parameter in network.named_parameters():
                tag = f"{player}/{name}"
                events.histogram(f"weights/{tag}", arrays.to_numpy(parameter.data), run.steps)
                if parameter.grad is not None:
                    events.histogram(f"gradients/{tag}", arrays.to_numpy(parameter.grad), run.steps)
        if self.pictures:
            events.picture("samples", _samples(run), run.steps)


def export(run: Run | str | os.PathLike, logs: str | os.PathLike) -> None:
    """Write what is known of a run as TensorBoard's events.

    run: the path of a run directory, be it finished or still in training; a Run; or a file of `Run.save`.
    logs: the folder of this run's events, new or without any; the name of the folder is what TensorBoard
    calls the run.

    Of a run directory: the history, each column a curve; the weights of the checkpoints that are kept, as
    histograms; every sample picture; the settings; the warnings. Without a directory: the history, the
    weights and a picture of now. The history knows no times of day, so "relative" and "wall" say nothing.

    Raises ConfigError without tensorboardX and for a folder with events, CheckpointError for what is no run
    and for a folder that cannot be written.
    """
    _tensorboard_x()
    logs = Path(logs)
    if any(logs.glob("*.tfevents.*")):
        raise ConfigError(f"{logs} already holds events; give another folder, or delete these")
    if not isinstance(run, Run) and not os.path.isdir(run):
        run = load(run, device="cpu")  # for one picture
    if isinstance(run, Run):
        config, rows = run.config, run.history
        directory = None if run.path is None else RunDirectory.open(run.path)
    else:
        directory = RunDirectory.open(run)
        check(directory.config, directory.config_path)
        config, rows = directory.config, _history(directory)
    events = _Events(logs)
    try:
        columns = [name for name in rows if name != "step"]
        events.settings(config, columns)
        for step, *values in zip(rows["step"].tolist(), *(rows[name] for name in columns), strict=True):
            events.scalars(step, dict(zip(columns, values, strict=True)))
        if directory is not None:
            _export_files(directory, events)
        elif isinstance(run, Run):
            _export_weights(run.trainer.state()[0], run.steps, events)
            events.picture("samples", _samples(run), run.steps)
    finally:
        events.close()


def _export_files(directory: RunDirectory, events: _Events) -> None:
    for step, path in directory.checkpoint_paths().items():
        try:
            _export_weights(checkpoint.load(path)[0], step, events)
        except CheckpointError as error:  # damaged, or deleted just now by the training that goes on
            warn(f"no histograms of step {step}: {error}", RuntimeWarning)
    for step, path in directory.sample_paths().items():
        try:
            events.picture("samples", _read(path), step)
        except DataError as error:
            warn(f"no picture of step {step}: {error}", RuntimeWarning)
    for step, kind, says in directory.warnings():
        events.text(f"warnings/{kind}", says, step)


def _export_weights(values: Mapping[str, np.ndarray], step: int, events: _Events) -> None:
    for name, value in values.items():
        if not name.startswith(HELD):
            player, _, rest = name.partition(".")
            events.histogram(f"weights/{player}/{rest}", value, step)


def _history(directory: RunDirectory) -> dict[str, np.ndarray]:
    if not directory.history_path.exists():
        return {"step": np.zeros(0, np.int64)}
    return history.read(directory.history_path)


def _samples(run: Run) -> np.ndarray:
    """What the run makes now, as a picture: (height, width[, 3]) uint8."""
    if len(run.trainer.shape) == 3:
        return pictures.image_grid(run.sample(64))
    source, real = run.trainer.source, None
    if source is not None:
        real = source.batch_for(0, min(POINTS, len(source)) if isinstance(source, Dataset) else POINTS, key=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "points.png")
        fake = run.sample(POINTS)
        pictures.points_figure(path, real, fake, run.steps, getattr(source, "centres", None))
        return _read(path)


def _read(path: Path) -> np.ndarray:
    return np.asarray(pictures.opened(path))


def _tensorboard_x() -> Any:
    try:
        import tensorboardX
    except ImportError:
        raise ConfigError("TensorBoard's files need tensorboardX: pip install rawgan[tensorboard]") from None
    return tensorboardX


def _tag(column: str) -> str:
    """A column of the history under a heading: TensorBoard folds what has the same first part."""
    for ending, heading in (("loss", "losses"), ("grad_norm", "gradient_norms")):
        if column.endswith(ending):
            return f"{heading}/{column}"
    return f"values/{column}"


class _Events:
    """One event file in a folder.

    first: the step from which on it counts, where a training goes on; what other files there say of that
    step and later ones is then to be forgotten.
    """

    def __init__(self, folder: Path, first: int | None = None):
        _tensorboard_x()
        from tensorboardX import summary
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2, summary_pb2

        # The classes in these modules are made when they are imported: no type checker knows them.
        self._summary: Any = summary
        self._event: Any = event_pb2
        self._proto: Any = summary_pb2
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # The name has the second of the day in it, and two files of one second must not be one.
            self._writer = EventsWriter(str(folder / "events"), f".{secrets.token_hex(4)}")
        except OSError as error:
            raise unwritable(folder, error) from error
        if first is not None and first > 1:
            start = self._event.SessionLog(status=self._event.SessionLog.START)
            self._write(self._event.Event(wall_time=time.time(), step=first, session_log=start))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        found = [
            self._proto.Summary.Value(tag=_tag(name), simple_value=value)
            for name, value in values.items()
            if name != "step"
        ]
        self._add(step, self._proto.Summary(value=found))

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """Of all that is finite in `values`; of nothing, none."""
        values = values[np.isfinite(values)]
        if values.size:
            self._add(step, self._summary.histogram(tag, values, BINS))

    def picture(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """pixels: (height, width) or (height, width, 3), uint8."""
        from PIL import Image

        png = io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG")
        height, width = pixels.shape[:2]
        image = self._proto.Summary.Image(
            height=height,
            width=width,
            colorspace=1 if pixels.ndim == 2 else 3,
            encoded_image_string=png.getvalue(),
        )
        self._add(step, self._proto.Summary(value=[self._proto.Summary.Value(tag=tag, image=image)]))

    def text(self, tag: str, text: str, step: int) -> None:
        self._add(step, self._summary.text(tag, text))

    def settings(self, config: Mapping[str, Any], columns: Iterable[str]) -> None:
        """As a table, and as what TensorBoard compares runs by, beside the last value of each curve."""
        settings = {"recipe": config["recipe"], "data": config["data"]["name"], "seed": config["seed"]}
        settings |= config["settings"]
        rows = (f"{name} | {value}".replace("\n", " ") for name, value in settings.items())
        self.text("settings", "\n".join(["setting | value", "--- | ---", *rows]), 0)
        given = {name: value for name, value in settings.items() if value is not None}
        plain = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in given.items()}
        curves = {_tag(name): 0.0 for name in columns if name != "step"}
        for found in self._summary.hparams(plain, curves):
            self._add(0, found)

    def flush(self) -> None:
        try:
            self._writer.flush()
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def close(self) -> None:
        try:
            self._writer.close()
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def _add(self, step: int, summary: Any) -> None:
        self._write(self._event.Event(wall_time=time.time(), step=int(step), summary=summary))

    def _write(self, event: Any) -> None:
        try:
            self._writer.write_event(event)
        except OSError as error:
            raise unwritable(self.folder, error) from error
