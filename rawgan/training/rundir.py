"""The folder of one run: what was asked for, what happened, and the checkpoints to go on from.

    config.json                           what the run was started with
    history.csv                           one row a step (`rawgan.training.history`)
    checkpoints/step-00000100.safetensors the newest few (`rawgan.training.checkpoint`)
    samples/step-00000100.png             generated from the same noise each time
    plots/losses.png, gradient_norms.png
    plots/learning.png                    the sample pictures, animated

`RunDirectory.create(path, config)` starts one, `RunDirectory.open(path)` reads one, and
`RunDirectory.open(path, writing=True)` goes on with one. Only one process at a time may write:
who writes holds a lock, which the system lifts when that process ends, however it ends.
"""

import json
import os
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rawgan.kernels.errors import CheckpointError, ConfigError
from rawgan.notice import warn
from rawgan.training import checkpoint
from rawgan.training.files import PREFIX, remove_leftovers, unwritable, write_whole
from rawgan.training.lock import NAME as LOCK
from rawgan.training.lock import FolderLock

CONFIG = "config.json"


class Checkpoint(NamedTuple):
    """A checkpoint of a run: after so many steps, these arrays and this meta."""

    step: int
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]


class RunDirectory:
    """One run's folder: `path`, `config` (as JSON gives it back), and whether it is open for `writing`.

    A context manager: leaving it, or `close()`, lifts the lock.

    >>> import tempfile; folder = tempfile.TemporaryDirectory()
    >>> with RunDirectory.create(f"{folder.name}/first", {"learning_rate": 2e-4}) as run:
    ...     run.save_checkpoint(100, {"w": np.zeros(2)}, {"epoch": 1})
    >>> RunDirectory.open(f"{folder.name}/first").latest_checkpoint()
    Checkpoint(step=100, arrays={'w': array([0., 0.])}, meta={'epoch': 1, 'step': 100})
    """

    def __init__(self, path: Path, config: dict[str, Any], lock: "FolderLock | None"):
        self.path = path
        self.config = config
        self._lock = lock

    @classmethod
    def create(cls, path: str | os.PathLike, config: Mapping[str, Any]) -> "RunDirectory":
        """Start a run in `path`, a new or empty folder, and lock it.

        Raises CheckpointError where the folder holds something, cannot be made, or is locked.
        """
        path = Path(path).absolute()
        text = _as_text(config)
        try:
            path.mkdir(parents=True, exist_ok=True)
            _check_empty(path)  # before a lock is left in a folder that is not ours ...
        except CheckpointError:
            raise
        except OSError as error:
            raise unwritable(path, error) from error
        lock = FolderLock(path)
        try:
            _check_empty(path)  # ... and again, now that nobody else can start a run in it
            remove_leftovers(path)
            write_whole(path / CONFIG, [text])
        except BaseException:
            lock.release()
            raise
        return cls(path, json.loads(text), lock)

    @classmethod
    def open(cls, path: str | os.PathLike, writing: bool = False) -> "RunDirectory":
        """Open the run in `path`; with `writing`, lock it and clear away what a killed writer left.

        Raises CheckpointError where `path` holds no run, or, for writing, another process has it.
        """
        path = Path(path).absolute()
        if not cls.exists(path):
            what = "is not the folder of a run" if path.is_dir() else "is not a folder"
            raise CheckpointError(f"{path} {what} (no {CONFIG}); give the `out` of a rawgan.train")
        try:
            config = json.loads((path / CONFIG).read_text())
            if not isinstance(config, dict):
                raise ValueError("not a JSON object")
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{path / CONFIG}: cannot be read ({error}); restore it") from error
        lock = FolderLock(path) if writing else None
        if writing:
            remove_leftovers(path)
        return cls(path, config, lock)

    @staticmethod
    def exists(path: str | os.PathLike) -> bool:
        """Whether `path` holds a run: one that got as far as its configuration."""
        return Path(path, CONFIG).is_file()

    def set_config(self, config: Mapping[str, Any]) -> None:
        """Replace the configuration: a resumed run may be longer than it was planned."""
        text = _as_text(config)
        write_whole(self.path / CONFIG, [text])
        self.config = json.loads(text)

    def close(self) -> None:
        if self._lock:
            self._lock.release()

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    @property
    def config_path(self) -> Path:
        return self.path / CONFIG

    @property
    def history_path(self) -> Path:
        return self.path / "history.csv"

    def add_warning(self, step: int, says: str) -> None:
        """A line of warnings.txt, "step: ...", in place of what is there of this and later steps."""
        path = self.path / "warnings.txt"
        line = f"{step}: {says}"
        try:
            old = path.read_text("utf-8").splitlines() if path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{path}: cannot be read ({error}); remove it") from error
        kept = [text for text in old if _number_before(text) <= step and text != line]
        write_whole(path, ["".join(f"{text}\n" for text in [*kept, line]).encode()])

    def warnings(self) -> list[tuple[int, str, str]]:
        """(step, kind, what it says) for each line of warnings.txt that a run wrote."""
        path = self.path / "warnings.txt"
        lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
        found = (re.fullmatch(r"([0-9]{1,18}): (\w+): (.+)", line) for line in lines)
        return [(int(match[1]), match[2], match[3]) for match in found if match]

    def sample_path(self, step: int) -> Path:
        """Where the picture of the samples after `step` steps belongs; its folder is made."""
        return self._folder("samples") / f"step-{step:08d}.png"

    def sample_paths(self) -> dict[int, Path]:
        """The pictures of samples there are, by step, in order."""
        return _by_step(self.path / "samples", "png")

    def plots_folder(self) -> Path:
        """Where plots belong; the folder is made."""
        return self._folder("plots")

    def save_checkpoint(
        self, step: int, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], keep: int = 3
    ) -> None:
        """Save the state after `step` steps, then delete all but the newest `keep` up to that step.

        A damaged checkpoint of a later step, from before a fallback, stays until it is written again.
        Raises CheckpointError where it cannot be written; the older ones are then all still there.
        """
        if not self._lock:
            raise CheckpointError(f"{self.path} is open for reading; open it with writing=True")
        path = self._folder("checkpoints") / f"step-{step:08d}.safetensors"
        try:
            checkpoint.save(path, arrays, {**meta, "step": step})
        except CheckpointError as error:
            raise CheckpointError(f"{error}. {self.kept()}") from error
        earlier = [path for at, path in self.checkpoint_paths().items() if at <= step]
        for old in earlier[:-keep]:
            old.unlink(missing_ok=True)

    def checkpoint_paths(self) -> dict[int, Path]:
        """The checkpoints there are, whole or not, by step, in order."""
        return _by_step(self.path / "checkpoints", "safetensors")

    def latest_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; None if the run had not come as far as its first.

        A damaged one is passed over with a warning that names it.
        Raises CheckpointError if there are checkpoints and none is whole.
        """
        return self.checkpoint_at_or_before(sys.maxsize)

    def checkpoint_at_or_before(self, step: int) -> Checkpoint | None:
        """The newest whole checkpoint of `step` or earlier; None if there was never one. Errors as above."""
        found, damage = self._newest_whole(step)
        if found is None:
            if damage:
                raise CheckpointError(f"{self.path}: no checkpoint is whole; {'; '.join(damage)}")
            return None
        for message in damage:
            warn(f"{message} (going on from step {found.step} instead)", RuntimeWarning)
        return found

    def kept(self) -> str:
        """What there is to go on from, in words for an error: no checkpoint is promised that is not whole."""
        found, damage = self._newest_whole(sys.maxsize)
        what = f"The checkpoint of step {found.step} is kept" if found else "There is no whole checkpoint"
        return ". ".join([*damage, f"{what} in {self.path}."])

    def _newest_whole(self, step: int) -> tuple[Checkpoint | None, list[str]]:
        """The newest whole checkpoint up to `step`, and what is wrong with those after it."""
        damage = []
        for at, path in reversed(self.checkpoint_paths().items()):
            if at > step:
                continue
            try:
                arrays, meta = checkpoint.load(path)
                if meta.get("step") != at:
                    raise CheckpointError(f"{path}: holds step {meta.get('step')}, not the one in its name")
            except CheckpointError as error:
                damage.append(str(error))
            else:
                return Checkpoint(at, arrays, meta), damage
        return None, damage

    def _folder(self, name: str) -> Path:
        folder = self.path / name
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from error
        return folder


def compare_config(saved: Mapping[str, Any], wanted: Mapping[str, Any], free: Collection[str] = ()) -> None:
    """Raise a ConfigError that names every setting of `wanted` that is not as it was `saved`.

    `saved` and `wanted` are configurations, nested or not; those in `free` (top-level names) may change.

    >>> compare_config({"learning_rate": 2e-4, "epochs": 5}, {"learning_rate": 2e-4, "epochs": 9}, {"epochs"})
    >>> compare_config({"betas": [0.5, 0.9]}, {"betas": (0.5, 0.999)})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    rawgan.kernels.errors.ConfigError: resuming with changed settings: betas was [0.5, 0.9], now ...
    """
    old, new = (_flat({key: value for key, value in c.items() if key not in free}) for c in (saved, wanted))
    changes = [
        f"{key} was {old.get(key, 'absent')}, now {new.get(key, 'absent')}"
        for key in sorted(old.keys() | new.keys())
        if key not in old or key not in new or not _same(old[key], new[key])
    ]
    # What the networks are made of follows from the settings: it is told only where nothing else changed.
    changes = [c for c in changes if not c.startswith("networks.")] or changes
    if changes:
        raise ConfigError(
            f"resuming with changed settings: {'; '.join(changes)}; "
            "leave them as they were, or start a new run in another `out`"
        )


def _as_text(config: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(config, indent=2, sort_keys=True).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the configuration is not JSON ({error}); pass plain Python values") from error


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """{"generator": {"lr": 1}} as {"generator.lr": "1"}: as JSON, where a tuple is a list and NaN is NaN."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = json.dumps(value)
    return flat


def _same(old: str, new: str) -> bool:
    return old == new or json.loads(old) == json.loads(new)  # 1 is 1.0


def _number_before(line: str) -> float:
    """The step that a line of warnings.txt begins with; of another line, none: it is kept."""
    word = line.partition(":")[0]
    return int(word) if word.isdecimal() else 0.0


def _check_empty(path: Path) -> None:
    """Refuse a folder with anything but what a run leaves that was killed before it had a configuration."""
    found = sorted(name for name in os.listdir(path) if name != LOCK and not name.startswith(PREFIX))
    if CONFIG in found:
        raise CheckpointError(f"{path} already holds a run; pass resume=True to go on, or another `out`")
    if found:
        raise CheckpointError(f"{path} is not empty (it holds {found[0]!r}); pass another `out`")


def _by_step(folder: Path, extension: str) -> dict[int, Path]:
    name = re.compile(rf"step-(\d+)\.{extension}")
    found = {int(match[1]): path for path in folder.glob("*") if (match := name.fullmatch(path.name))}
    return dict(sorted(found.items()))
