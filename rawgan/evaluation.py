"""`rawgan.evaluate`: a run's samples judged, each figure beside what real data would get.

    result = rawgan.evaluate("runs/first", n=10_000)
    result.figures["frechet_distance"].value
    print(result)                              # the table; `rawgan evaluate runs/first` shows the same

Pictures are compared in the features of a classifier (`metrics.classifier`), points with a mixture's modes.

>>> import rawgan
>>> result = evaluate(rawgan.train("mixture", steps=2, progress=False, device="cpu"), n=100)
>>> result.figures["modes_covered"].real
8
"""

from __future__ import annotations

import io
import json
import math
import os
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rawgan import data as datasets
from rawgan import metrics, rng
from rawgan.data import Dataset, Mixture
from rawgan.kernels.errors import CheckpointError, ConfigError, DataError
from rawgan.metrics import figures
from rawgan.metrics.classifiers import describe_accuracy
from rawgan.metrics.figures import Figure
from rawgan.settings import whole_number
from rawgan.training import Run, load

FEWEST = 8  # samples that every metric can do with
# The figures, by name.
OF_POINTS = ("modes_covered", "valid", "total_variation", "kl", "seconds")
OF_PICTURES = (
    "inception_score",
    "frechet_distance",
    "kernel_inception_distance",
    "precision",
    "recall",
    "density",
    "coverage",
    "classes_covered",
    "seconds",
)


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    figures: by name, in the order of the table. judge: the classifier in words, or None. remarks: what the
    table cannot say. class_shares: the share of each class among the samples, or None.
    results: what the metrics themselves gave, by name.
    """

    recipe: str
    data: str
    steps: int
    samples: int
    seed: int
    figures: dict[str, Figure]
    judge: str | None = None
    remarks: tuple[str, ...] = ()
    class_shares: dict[str, float] | None = None
    results: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __str__(self) -> str:
        from rich.console import Console

        out = io.StringIO()
        Console(file=out, width=110, color_system=None).print(self)
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines())

    def __rich__(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        title = f"{self.recipe} on {self.data} after {self.steps:,} steps, {self.samples:,} samples"
        below = [*([self.judge] if self.judge else []), *self.remarks]
        table = Table(title=Text(title), caption=Text("\n".join(below)), box=SIMPLE_HEAD)
        table.title_justify = table.caption_justify = "left"
        table.add_column("")
        table.add_column("samples", justify="right")
        table.add_column("real", justify="right")
        table.add_column("")
        for name, row in self.figures.items():
            table.add_row(
                name.replace("_", " "), figures.text(row.value), figures.text(row.real), Text(row.note)
            )
        return table

    def as_json(self) -> str:
        """The same as a JSON text; what is no finite number is null."""

        def plain(value: float | None) -> float | None:
            return value if value is not None and math.isfinite(value) else None

        rows = {
            name: {"value": plain(row.value), "real": plain(row.real), "note": row.note}
            for name, row in self.figures.items()
        }
        names = ("recipe", "data", "steps", "samples", "seed", "judge", "remarks", "class_shares")
        document = {name: getattr(self, name) for name in names} | {"figures": rows}
        return json.dumps(document, indent=2, allow_nan=False) + "\n"


def evaluate(
    run: Run | str | os.PathLike,
    n: int = 10_000,
    seed: int = 0,
    device: str = "auto",
    data: Any = None,
    classifier: Any = None,
    data_dir: str | os.PathLike | None = None,
    progress: bool = True,
) -> Evaluation:
    """Judge n samples of a run.

    run: a Run, or the path of a run directory or of a file of `Run.save`. seed: decides the noise.
    device: where a saved run is loaded; a Run stays where it is. data: what the run was trained on, where it
    is not to be found by name. classifier: for pictures; the name of a dataset that has one, or a
    `metrics.Classifier`; by default that of the run's own dataset, trained first if it is not cached.
    data_dir: where the dataset's files lie. progress: say what is being done.

    Pictures are compared with the test part of their dataset, which no generator has been trained on, and
    beside them stands what n training pictures would get in the place of the samples. Where a dataset has no
    test part, all of it is compared with, and what stands beside is what the metrics expect.

    Raises CheckpointError where there is no run, ConfigError for data that cannot be judged, DataError for
    data that is missing or is not the run's.
    """
    whole_number("evaluate: n", n, least=FEWEST)
    if not isinstance(run, Run):
        run = load(run, device=device)
    raw, training, held_out = data_of(run, data, data_dir, "evaluate")
    judge = None
    if isinstance(training, Dataset) and training.kind == "images":
        judge = _judge_of(raw, classifier, run.trainer.device, data_dir, progress)
    elif not isinstance(training, Mixture):
        raise ConfigError(
            f"evaluate: {training!r} has no known modes; compare run.sample(n) with points of it "
            "yourself, by rawgan.metrics"
        )
    began = time.perf_counter()
    with busy(f"generating {n:,} samples", progress):
        samples = run.sample(n, seed)
    seconds = time.perf_counter() - began
    with busy(f"judging {n:,} samples", progress):
        if isinstance(training, Mixture):
            found = _of_points(samples, training)
        else:
            found = _of_pictures(samples, training, held_out, judge, seed)
    found["figures"]["seconds"] = Figure(seconds, None, "to generate the samples")
    return Evaluation(run.config["recipe"], run.config["data"]["name"], run.steps, n, seed, **found)


def figures_for(given: Any, data_dir: Any = None) -> tuple[str, ...]:
    """The names of the figures that `evaluate` has for every run on such data, without a word more.

    given: as `data=` of `rawgan.train`. Raises ConfigError for data that it cannot judge so.

    >>> "modes_covered" in figures_for("ring")
    True
    """
    raw = datasets.load(given, data_dir=data_dir)
    if isinstance(given, str) and isinstance(raw, Mixture):
        return OF_POINTS
    if isinstance(given, str) and isinstance(raw, Dataset) and raw.name in metrics.CLASSIFIERS:
        return OF_PICTURES
    raise ConfigError(
        f"evaluate has no figures for {raw!r} without being told more: it judges mixtures by name, and the "
        f"pictures of {', '.join(metrics.CLASSIFIERS)}"
    )


def data_of(run: Run, given: Any, data_dir: Any, command: str) -> tuple[Any, Any, Any]:
    """What the run was trained on, as it comes and as its recipe takes it; and such a test part, or None."""
    name, prepare = run.config["data"]["name"], run.trainer.recipe.prepare
    if given is None:
        if not datasets.known(name):
            raise ConfigError(
                f"{command}: this run was trained on data of your own ({name!r}): give it again as data="
            )
        given = name
    raw = datasets.load(given, data_dir=data_dir)
    training = prepare(raw)
    was = run.config["data"]["fingerprint"]
    if training.fingerprint != was:
        raise DataError(
            f"{command}: {training!r} is not what the run was trained on (fingerprint "
            f"{training.fingerprint}, the run's {was}); give that as data=, or its folder as data_dir="
        )
    if not isinstance(given, str) or "test" not in getattr(datasets.DATASETS.get(given), "splits", ()):
        return raw, training, None
    return raw, training, prepare(datasets.load(given, split="test", data_dir=data_dir))


def _judge_of(raw: Dataset, given: Any, device: str, data_dir: Any, progress: bool) -> metrics.Classifier:
    if isinstance(given, metrics.Classifier):
        return given
    if given is None and raw.name not in metrics.CLASSIFIERS:
        raise ConfigError(
            f"evaluate: there is no classifier for {raw.name!r}; give the name of the nearest dataset that "
            f"has one as classifier=: {', '.join(metrics.CLASSIFIERS)}"
        )
    name = raw.name if given is None else given
    judge = metrics.classifier(name, device=device, data_dir=data_dir, progress=progress)
    if name == raw.name and judge.facts["fingerprint"] != raw.fingerprint:
        raise CheckpointError(
            f"evaluate: the cached classifier of {name} was trained on other data of that name; train it "
            f"again: rawgan train-classifier {name}"
        )
    return judge


def _of_points(samples: np.ndarray, data: Mixture) -> dict[str, Any]:
    least = min(figures.LEAST_CLASS, 0.5 / len(data.centres))
    found = metrics.modes(samples, data.centres, data.sigma, least)
    return {
        "figures": figures.mixture(found, least),
        "results": {"modes": found},
        "remarks": ("real: a true sampler's, at this number of samples",),
    }


def _of_pictures(
    samples: np.ndarray,
    training: Dataset,
    held_out: Dataset | None,
    judge: Any,
    seed: int,
) -> dict[str, Any]:
    fake, seen = judge.outputs(samples), judge.outputs(training.items)
    real = seen if held_out is None else judge.outputs(held_out.items)
    found = _compare(real, fake)
    stream = rng.Generator(seed).spawn("real")
    if held_out is None:
        beside = dict.fromkeys(found)
        remarks = (
            f"compared with all of {training.name}, which has no test part and on which the run was trained, "
            "so whether it memorises cannot be told; real: what the metrics expect",
        )
    else:
        chosen = stream.permutation(len(training))[: len(samples)]
        beside = _compare(real, metrics.Outputs(seen.features[chosen], seen.logits[chosen]))
        found["memorisation"] = metrics.memorisation(seen.features, fake.features, real.features)
        remarks = (
            f"compared with {len(real.logits):,} test pictures{_told_apart(judge, held_out, real)}; real: "
            f"{len(chosen):,} training pictures in the place of the samples",
        )
    some = stream.permutation(len(real.logits))[: len(samples)]
    names = [str(i) for i in range(fake.logits.shape[1])]
    shares = _shares(fake.logits)
    rows = {
        "inception_score": figures.score(found["inception"], metrics.inception_score(real.logits[some])),
        "frechet_distance": figures.frechet(found["frechet"], beside["frechet"]),
        "kernel_inception_distance": figures.distance(found["kernel"], beside["kernel"]),
        **figures.neighbourhoods(found["neighbourhoods"], beside["neighbourhoods"]),
        "classes_covered": figures.classes(shares, _shares(real.logits[some]), names),
    }
    if held_out is not None:
        rows["closer_to_training"] = figures.memory(found["memorisation"])
    return {
        "figures": rows,
        "results": found,
        "judge": f"judged by the classifier of {judge.name}: {describe_accuracy(judge.facts)}",
        "remarks": remarks,
        "class_shares": dict(zip(names, shares.tolist(), strict=True)),
    }


def _compare(real: metrics.Outputs, fake: metrics.Outputs) -> dict[str, Any]:
    return {
        "inception": metrics.inception_score(fake.logits),
        "frechet": metrics.frechet_distance(real.features, fake.features),
        "kernel": metrics.kernel_inception_distance(real.features, fake.features),
        "neighbourhoods": metrics.precision_recall_density_coverage(real.features, fake.features),
    }


def _told_apart(judge: Any, held_out: Dataset, found: metrics.Outputs) -> str:
    """Where a recipe takes pictures in another size than the classifier: how well it can see in that size."""
    if judge.name != held_out.name or held_out.labels is None or held_out.shape == judge.shape:
        return ""
    right = (found.logits.argmax(axis=1) == held_out.labels).mean()
    return f" of shape {held_out.shape}, as the recipe takes them: the classifier tells {right:.2%} right"


def _shares(logits: np.ndarray) -> np.ndarray:
    """(classes,): of the pictures, by the classifier's first choice."""
    return np.bincount(logits.argmax(axis=1), minlength=logits.shape[1]) / len(logits)


def busy(text: str, progress: bool) -> AbstractContextManager:
    """A line on the terminal while the block runs."""
    if not (progress and sys.stderr.isatty()):
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(text)
