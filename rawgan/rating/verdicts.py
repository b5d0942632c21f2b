"""Files of verdicts, as the page gives them, read back: several people's, pooled, with what they say.

A file comes from somebody else's computer, so nothing in it is taken on trust: it has to be of this run, of
the shape that the page writes, and to agree about what was real with what the seed says.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rawgan.kernels.errors import ConfigError, DataError
from rawgan.rating.chance import interval, p_value
from rawgan.rating.page import FORMAT, MOST, about, is_real, refuse_points
from rawgan.training import Run, load

LARGEST = 1 << 22  # bytes of a file: ten times what 2,000 verdicts take
KINDS = {"real": True, "generated": False}
FALSE_REAL, FALSE_FAKE, BOTH = "generated, taken for real", "real, called generated", "both"


class Count(NamedTuple):
    """Wrong verdicts and all verdicts."""

    wrong: int
    of: int

    @property
    def rate(self) -> float:
        return self.wrong / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's, of 95%."""
        return interval(self.wrong, self.of)


class Person(NamedTuple):
    """One file: whose it is, a verdict at each place of its page, and what was right.

    real, said_real: (verdicts,) bool; seconds: (verdicts,) float64.
    """

    name: str
    session: str
    real: np.ndarray
    said_real: np.ndarray
    seconds: np.ndarray

    def count(self, kind: str = BOTH) -> Count:
        chosen = {FALSE_REAL: ~self.real, FALSE_FAKE: self.real, BOTH: np.full(len(self.real), True)}[kind]
        return Count(int((self.real != self.said_real)[chosen].sum()), int(chosen.sum()))


@dataclass(frozen=True)
class Rating:
    """What people said of a run's pictures.

    steps: the training of the generator that they saw. people: one for each file.
    """

    recipe: str
    data: str
    steps: int
    people: tuple[Person, ...]

    def count(self, kind: str = BOTH) -> Count:
        """Over all people: of "generated, taken for real", of "real, called generated", or of both."""
        return Count(*map(sum, zip(*(person.count(kind) for person in self.people), strict=True)))

    @property
    def error_rate(self) -> float:
        """The share of verdicts that were wrong; one half is what guessing gives."""
        return self.count().rate

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95% (Clopper and Pearson), as if every verdict stood for itself."""
        return self.count().interval

    @property
    def p_value(self) -> float:
        """How often guessing would give an error rate at least so far from one half."""
        return p_value(*self.count())

    def says(self) -> str:
        """Whether the error rate differs from guessing, and what that means."""
        wrong, of = self.count()
        low, high = self.interval
        if self.p_value >= 0.05:
            return (
                "This does not differ from guessing (50%): the generated pictures were not told from real "
                f"ones; but with {of} verdicts any error rate from {low:.1%} to {high:.1%} would fit."
            )
        odds = "less than 1 of 1,000" if self.p_value < 0.001 else f"{self.p_value:.1%} of"
        if 2 * wrong < of:
            return (
                "The generated pictures can be told from real ones: guessing (50%) would come out so far "
                f"from half in {odds} cases."
            )
        return (
            "The generated pictures were taken for the real ones more often than by guessing (50%), which "
            f"would come out so far from half in {odds} cases: people see a difference, and take it the "
            "wrong way."
        )

    def remarks(self) -> list[str]:
        """What the figures cannot say."""
        found = ["95% interval: Clopper and Pearson's; against guessing: the exact binomial test"]
        if len(self.people) > 1:
            found.append(
                "the verdicts of one person go together, so over people the truth is less certain than the "
                "interval of both says: compare their lines"
            )
        for person in self.people:
            if len(person.said_real) > 1 and len(set(person.said_real.tolist())) == 1:
                said = "real" if person.said_real[0] else "generated"
                found.append(f"{person.name} said {said!r} every time, which tells nothing apart")
        return found

    def __str__(self) -> str:
        from rich.console import Console

        out = io.StringIO()
        Console(file=out, width=110, color_system=None).print(self)
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines())

    def __rich__(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, title_justify="left", caption_justify="left")
        table.title = Text(f"{self.recipe} on {self.data} after {self.steps:,} steps, judged by people")
        table.caption = Text("\n".join(self.remarks()))
        for heading in ("", "wrong", "verdicts", "error rate", "95% interval", "seconds, median"):
            table.add_column(heading, justify="right" if heading else "left")
        seconds = np.concatenate([person.seconds for person in self.people])
        for kind in (FALSE_REAL, FALSE_FAKE, BOTH):
            table.add_row(
                kind, *_cells(self.count(kind)), f"{np.median(seconds):.1f}" if kind == BOTH else ""
            )
        if len(self.people) > 1:
            table.add_section()
            for person in self.people:
                table.add_row(Text(person.name), *_cells(person.count()), f"{np.median(person.seconds):.1f}")
        return Group(table, Text(f"\n{self.says()}"))

    def as_json(self) -> str:
        """The same as a JSON text."""

        def of(count: Count) -> dict[str, Any]:
            share = None if not count.of else {"error_rate": count.rate, "interval": list(count.interval)}
            return {"wrong": count.wrong, "of": count.of} | (share or {"error_rate": None, "interval": None})

        document = {
            "recipe": self.recipe,
            "data": self.data,
            "steps": self.steps,
            "all": of(self.count()) | {"p_value_against_guessing": self.p_value},
            "generated_taken_for_real": of(self.count(FALSE_REAL)),
            "real_called_generated": of(self.count(FALSE_FAKE)),
            "people": [
                {"name": p.name, "median_seconds": float(np.median(p.seconds))} | of(p.count())
                for p in self.people
            ],
            "says": self.says(),
            "remarks": self.remarks(),
        }
        return json.dumps(document, indent=2, allow_nan=False) + "\n"


def read_verdicts(
    run: Run | str | os.PathLike, paths: Iterable[str | os.PathLike], device: str = "auto"
) -> Rating:
    """The verdicts of people on a run's pictures, out of the files that its pages give.

    run: as for `write_page`; it may have been trained further since. paths: one file for each person and
    page. Pages with other pictures (another seed) of the same generator can be pooled.

    Raises ConfigError for no files and for a run that makes points; DataError, with the file's name, for a
    file that cannot be read, was not written by such a page, is of another run or of another state of it
    than the others, or is there twice.
    """
    if not isinstance(run, Run):
        run = load(run, device=device)
    refuse_points(run)
    here = about(run, 1, 0)
    people: list[Person] = []
    pages: list[tuple[Any, dict[str, Any]]] = []
    for path in paths:
        page, person = _read(Path(path))
        if page["run"] != here["run"]:
            raise DataError(
                f"{path}: is of another run ({page['recipe']!r} after {page['steps']:,} steps), "
                f"not of {run!r}"
            )
        if page["steps"] == here["steps"] and page["weights"] != here["weights"]:
            raise DataError(f"{path}: is of other weights than this run has after {here['steps']:,} steps")
        for other, before in pages:
            if page["weights"] != before["weights"] or page["steps"] != before["steps"]:
                raise DataError(
                    f"{path}: is of the generator after {page['steps']:,} steps, {other} of that after "
                    f"{before['steps']:,}; read them apart"
                )
        for (other, _), before in zip(pages, people, strict=True):
            if person.session == before.session:
                raise DataError(f"{path}: holds the same person's verdicts as {other}; give them once")
        pages.append((path, page))
        people.append(person)
    if not people:
        raise ConfigError("rate: give one file of verdicts or more")
    return Rating(run.config["recipe"], run.config["data"]["name"], pages[0][1]["steps"], tuple(people))


def _cells(count: Count) -> tuple[str, ...]:
    if not count.of:
        return "0", "0", "", ""
    low, high = count.interval
    return f"{count.wrong:,}", f"{count.of:,}", f"{count.rate:.1%}", f"{low:.1%} to {high:.1%}"


_HASH = re.compile(r"[0-9a-f]{16}")
_PAGE = {  # what a file says of its page, and what each value has to be
    "recipe": lambda v: isinstance(v, str) and len(v) <= 100,
    "steps": lambda v: type(v) is int and 0 <= v < 1 << 53,
    "run": lambda v: isinstance(v, str) and _HASH.fullmatch(v),
    "weights": lambda v: isinstance(v, str) and _HASH.fullmatch(v),
    "n": lambda v: type(v) is int and 1 <= v <= MOST,
    "seed": lambda v: isinstance(v, str) and re.fullmatch(r"[0-9]{1,20}", v) and int(v) < 1 << 64,
}


def _read(path: Path) -> tuple[dict[str, Any], Person]:
    """One file: what page it is of, and the person."""
    try:
        with open(path, "rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(raw) > LARGEST:
        raise DataError(f"{path}: is larger than any file of verdicts; give what a rating page downloaded")
    try:
        found = json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({error}); give what a rating page downloaded") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise DataError(f"{path}: is not a file of verdicts ({FORMAT!r}); give what a rating page downloaded")
    page: Any = found.get("page")
    for key, fits in _PAGE.items():
        if not isinstance(page, dict) or not fits(page.get(key)):
            raise _damaged(path, f"page.{key}", page.get(key) if isinstance(page, dict) else None)
    name, session, verdicts = (found.get(key) for key in ("person", "session", "verdicts"))
    if not isinstance(name, str) or len(name) > 200:
        raise _damaged(path, "person", name)
    if not isinstance(session, str) or not re.fullmatch(r"[0-9a-f]{32}", session):
        raise _damaged(path, "session", session)
    if not isinstance(verdicts, list) or not 1 <= len(verdicts) <= 2 * page["n"]:
        what = f"{len(verdicts)} of them" if isinstance(verdicts, list) else verdicts
        raise _damaged(path, "verdicts", what)
    real = is_real(page["n"], int(page["seed"]))
    for place, verdict in enumerate(verdicts):
        if not _is_verdict(verdict) or verdict["picture"] != place:
            raise _damaged(path, f"verdicts[{place}]", verdict)
        if KINDS[verdict["is"]] != real[place]:
            raise DataError(
                f"{path}: says that picture {place} is {verdict['is']}, and on that page it is not; the file "
                "was changed, or the page is of another version of rawgan"
            )
    person = Person(
        "".join(c for c in name if c.isprintable()).strip() or session[:8],
        session,
        real[: len(verdicts)],
        np.array([KINDS[verdict["said"]] for verdict in verdicts]),
        np.array([verdict["seconds"] for verdict in verdicts], np.float64),
    )
    return page, person


def _is_verdict(found: Any) -> bool:
    return (
        isinstance(found, dict)
        and type(found.get("picture")) is int
        and all(isinstance(found.get(key), str) and found[key] in KINDS for key in ("said", "is"))
        and type(found.get("seconds")) in (int, float)
        and 0 <= found["seconds"] < 1e7
    )


def _damaged(path: Path, key: str, value: Any) -> DataError:
    text = repr(value)
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return DataError(f"{path}: {key} is not what a rating page writes there: {shown}; download it again")
