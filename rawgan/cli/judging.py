"""`rawgan evaluate`, `rawgan rate`, `rawgan train-classifier` and `rawgan tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

import rawgan
from rawgan.cli.options import Count, Flag, Setting, values


def evaluate(
    run: Path,
    /,
    *,
    n: Count = 10_000,
    seed: int = 0,
    device: str = "auto",
    classifier: str | None = None,
    data_dir: Path | None = None,
    json: Path | None = None,
    quiet: Flag = False,
) -> None:
    """Judge a run's samples: how good, how varied, how much like the training data.

    Parameters
    ----------
    run:
        A run directory, or a file written by Run.save.
    n:
        How many samples.
    seed:
        Decides the noise.
    device:
        auto, cpu, cuda, cuda:1, cuda-sim (CUDA kernels on the processor).
    classifier:
        The dataset whose classifier judges pictures: digits, mnist, fashion_mnist; by default the run's own.
        It is trained first if it is not cached.
    data_dir:
        The folder with the dataset's files (or set RAWGAN_DATA).
    json:
        A file for the figures.
    quiet:
        No progress bar.
    """
    from rich.console import Console

    from rawgan.training.files import write_whole

    found = rawgan.evaluate(
        run, n, seed, device, classifier=classifier, data_dir=data_dir, progress=not quiet
    )
    Console().print(found)
    if json is not None:
        write_whole(json, [found.as_json().encode()])
        print(json)


def rate(
    run: Path,
    /,
    *,
    n: Count = 50,
    seed: int = 0,
    out: Path | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
    verdicts: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")] = None,
    json: Path | None = None,
    quiet: Flag = False,
) -> None:
    """Let people judge: write a page that shows real and generated pictures, or read their verdicts.

    Parameters
    ----------
    run:
        A run directory, or a file written by Run.save; of a run that makes pictures.
    n:
        How many pictures of each kind.
    seed:
        Decides the noise, which real pictures are shown, and the order.
    out:
        The page, one file that asks nothing of any host (default: rate.html).
    device:
        auto, cpu, cuda, cuda:1, cuda-sim (CUDA kernels on the processor).
    data_dir:
        The folder with the dataset's files (or set RAWGAN_DATA).
    verdicts:
        Files that such pages gave, one or more: show what they say, in place of writing a page.
    json:
        With --verdicts: a file for the figures.
    quiet:
        Nothing but the page's name.
    """
    from rich.console import Console

    from rawgan import rating
    from rawgan.training.files import write_whole

    if verdicts is not None:
        if out is not None:
            raise rawgan.ConfigError("--out is for a new page; give it or --verdicts, not both")
        found = rating.read_verdicts(run, verdicts, device)
        Console().print(found)
        if json is not None:
            write_whole(json, [found.as_json().encode()])
            print(json)
        return
    if json is not None:
        raise rawgan.ConfigError("--json is for the figures of --verdicts")
    out = out or Path("rate.html")
    if out.suffix.lower() not in (".html", ".htm"):
        raise rawgan.ConfigError(f"--out takes a file that ends in .html, got {out}")
    said = rating.write_page(run, out, n, seed, device, data_dir=data_dir, progress=not quiet)
    if not quiet:
        print(said)
    print(out)


def train_classifier(
    data: str,
    /,
    *,
    epochs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    data_dir: Path | None = None,
    quiet: Flag = False,
) -> None:
    """Train the classifier whose features `rawgan evaluate` compares pictures in.

    Parameters
    ----------
    data:
        digits (bundled), mnist, fashion_mnist.
    epochs:
        Passes over the data; by default the classifier's own.
    seed:
        Decides everything random.
    device:
        auto, cpu, cuda, cuda:1, cuda-sim (CUDA kernels on the processor).
    data_dir:
        The folder with the dataset's files (or set RAWGAN_DATA).
    quiet:
        No progress bar.
    """
    from rawgan.metrics import classifiers

    made = classifiers.train_classifier(data, epochs, seed, device, data_dir, progress=not quiet)
    print(f"{data}: {classifiers.describe_accuracy(made.facts)}")
    print(classifiers.cache_path(data))


def tune(
    recipe: str,
    /,
    *,
    metric: str,
    trials: int = 20,
    workers: int = 1,
    out: Path = Path("tuning"),
    storage: str | None = None,
    samples: int = 2000,
    seed: int = 0,
    quiet: Flag = False,
    **settings: Setting,
) -> None:
    """Choose a recipe's learning rate, batch size and thresholds by trial; needs rawgan[tune].

    Parameters
    ----------
    recipe:
        As for rawgan train.
    metric:
        frechet_distance, kernel_inception_distance, inception_score, precision, recall, density, coverage,
        classes_covered, modes_covered, total_variation.
    trials:
        How many in all, those of earlier calls with the same folder included.
    workers:
        Processes.
    out:
        The folder of the trials' runs.
    storage:
        Optuna's URL, for several machines; by default a SQLite file in the folder.
    samples:
        What the metric is judged on.
    seed:
        Of the trials and of every run.
    quiet:
        Nothing but the result.
    settings:
        Of every trial, such as --steps 2000 or --data mnist; what is given is not tried.
    """
    from rawgan import tuning

    more: dict[str, Any] = {
        "workers": workers,
        "out": out,
        "storage": storage,
        "samples": samples,
        "seed": seed,
    }
    found = tuning.tune(recipe, metric=metric, trials=trials, progress=not quiet, **more, **values(settings))
    if quiet:
        print(found)
