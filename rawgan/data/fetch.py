"""Finds a dataset's files: in a folder that the user names, in RAWGAN_DATA, or on the net.

Downloads go into the user's cache folder and are held against their SHA-256, every time they
are used. Nothing else in this package touches the net.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rawgan.kernels.errors import DataError

VARIABLE = "RAWGAN_DATA"
TIMEOUT = 30  # seconds without an answer


@dataclass(frozen=True)
class Source:
    """A dataset that comes in files.

    folders: the sub-folders in which its files may lie. hosts: addresses to which a file's name is
    appended, tried in turn. foreign: names of folders that hold another dataset's files under the
    same names.
    """

    name: str
    folders: tuple[str, ...]
    hosts: tuple[str, ...]
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remote:
    """One file: its name on the hosts, its hash, and the names that do for it in a user's folder."""

    name: str
    sha256: str
    spellings: tuple[str, ...]


def locate(source: Source, wanted: Sequence[Remote], data_dir: str | os.PathLike[str] | None) -> list[Path]:
    """A path for each wanted file, all out of one folder; downloads them if there is no such folder.

    Only `data_dir` is searched if it is given. Raises DataError that lists where it looked.
    """
    looked: list[Path] = []
    named = data_dir if data_dir is not None else os.environ.get(VARIABLE)
    if named:
        base = Path(named).expanduser()
        if not base.is_dir():
            origin = "data_dir" if data_dir is not None else VARIABLE
            raise DataError(f"{source.name}: {origin} is {str(base)!r}, which is not a folder")
        looked = [base / folder for folder in source.folders]
        if base.name not in source.foreign:
            looked.append(base)
        for folder in looked:
            paths = [_first(folder, file.spellings) for file in wanted]
            if all(paths):
                return [path for path in paths if path]
    if data_dir is not None:
        raise DataError(f"{source.name}: found no {_listed(wanted)} in {_joined(looked)}")
    return _download(source, wanted, looked)


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _listed(wanted: Sequence[Remote]) -> str:
    return " and ".join(file.spellings[0] for file in wanted)


def _joined(folders: Sequence[Path]) -> str:
    return ", ".join(str(folder) for folder in folders)


def user_cache() -> Path:
    """The folder in which rawgan keeps what can be had again, at some cost."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("rawgan", appauthor=False))


def cache_folder(source: Source) -> Path:
    """Where downloads of this dataset are kept."""
    return user_cache() / source.name


def _download(source: Source, wanted: Sequence[Remote], looked: Sequence[Path]) -> list[Path]:
    folder = cache_folder(source)
    paths, failures = [], []
    for file in wanted:
        for host in source.hosts:
            try:
                paths.append(_fetch(host + file.name, file, folder))
                break
            except (OSError, ValueError) as error:  # refused, cut off, unwritable; wrong hash
                failures.append(f"{host + file.name} ({_reason(error)})")
        else:
            searched = f"Looked in {_joined(looked)}. " if looked else ""
            raise DataError(
                f"{source.name}: its files are not here and {file.name} cannot be downloaded. Put "
                f"{_listed(wanted)} into a folder and set {VARIABLE} to it, or pass data_dir=. {searched}"
                f"Tried: {'; '.join(failures)}"
            )
    return paths


def _fetch(url: str, file: Remote, folder: Path) -> Path:
    import pooch

    bar: Any  # pooch's annotations know neither bars nor its own downloaders
    with _Bar(file.name) if sys.stderr.isatty() else nullcontext(False) as bar:
        downloader: Any = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=TIMEOUT)
        return Path(pooch.retrieve(url, f"sha256:{file.sha256}", file.name, folder, downloader=downloader))


def _reason(error: BaseException) -> str:
    """The first cause: requests wraps "Connection refused" into three layers of its own words."""
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {error}"


class _Bar:
    """rich's progress bar in the form that pooch asks for, shown once a download starts."""

    def __init__(self, label: str):
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task(label, total=None)
        self.total = 0

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, count: int) -> None:
        self._progress.start()
        self._progress.update(self._task, total=self.total or None, advance=count)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        self._progress.stop()
