"""The command line: a thin face over the Python interface.

Every command exits 0 on success, 2 on a usage error, 1 on a failure with one clear line. Nothing heavy is
imported before a command runs, so that `rawgan --help` is instant.
"""

from __future__ import annotations

import ast
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter

import rawgan

app = App(
    name="rawgan",
    help="Generative adversarial networks on an engine in which nothing is hidden.",
    version=rawgan.__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # main() says more
)
SETTINGS = Group("Settings of the recipe", help="Any field of the recipe, such as --noise 64 --d-steps 2.")


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its status."""
    warnings.showwarning = lambda message, *rest, **more: print(f"rawgan: {message}", file=sys.stderr)
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        print(f"rawgan: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("rawgan: broken off; what was saved is kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `rawgan info | head`
        sys.stderr.close()
        sys.exit(1)
    except MemoryError as error:
        print(f"rawgan: not enough memory: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:  # naming rawgan's classes here would import NumPy for --help as well
        if not isinstance(error, rawgan.RawganError):
            raise
        print(f"rawgan: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, rawgan.ConfigError) else 1)
    sys.exit(0)


@app.command
def train(
    recipe: str | None = None,
    /,
    *,
    data: str | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    out: Path | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    device: str = "auto",
    seed: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    objective: str | None = None,
    checkpoint_every: int | None = None,
    sample_every: int | None = None,
    data_dir: Path | None = None,
    quiet: Annotated[bool, Parameter(negative="")] = False,
    warnings: bool = True,
    **settings: Annotated[str, Parameter(group=SETTINGS)],
) -> None:
    """Train a GAN.

    Parameters
    ----------
    recipe:
        One of mlp, dense_conv, dcgan_mnist, dcgan_cifar10, encoder_gan, gat, wgan, wgan_gp, mixture,
        autoencoder, vae; not needed with --resume.
    data:
        digits (bundled), mnist, fashion_mnist, cifar10, ring, grid, spirals; or the path of a folder of
        pictures, all of one size; by default the recipe's own.
    epochs:
        Passes over the data, counted from the start.
    steps:
        Training steps, in place of epochs.
    out:
        The run directory, new or empty (default: runs/RECIPE-1, -2, ...).
    resume:
        Go on with the run in --out.
    device:
        auto, cpu, cuda, cuda:1, cuda-sim (CUDA kernels on the processor).
    seed:
        Decides everything random; default 0.
    batch_size:
        Examples a step.
    learning_rate:
        For both players.
    objective:
        saturating, non_saturating, least_squares, hinge, wasserstein.
    checkpoint_every:
        Steps between checkpoints.
    sample_every:
        Steps between pictures of samples.
    data_dir:
        The folder with the dataset's files (or set RAWGAN_DATA).
    quiet:
        No progress bar, and no word of what goes wrong but in warnings.txt.
    warnings:
        Look for signs that training goes wrong: a D that has won, gradients that vanish or explode, dead
        units, collapse.
    """
    given: dict[str, Any] = {
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "objective": objective,
    }
    given = {name: value for name, value in given.items() if value is not None}
    given |= {name.replace("-", "_"): _value(text) for name, text in settings.items()}
    if odd := given.keys() & {"recipe", "generator", "discriminator", "callbacks", "progress"}:
        raise rawgan.ConfigError(f"{min(odd)} is a keyword of rawgan.train in Python, not an option here")
    if out is None and not resume:
        out = _free_folder(recipe or "run")
    run = rawgan.train(
        recipe,
        data=data,
        epochs=epochs,
        steps=steps,
        out=out,
        resume=resume,
        device=device,
        seed=seed,
        checkpoint_every=checkpoint_every,
        sample_every=sample_every,
        data_dir=data_dir,
        progress=not quiet,
        warnings=warnings,
        **given,
    )
    if run.stopped == "interrupted" and quiet:  # else the progress bar has said so
        print(f"stopped at step {run.steps}; go on with: rawgan train --resume --out {out}")
    for what, path in _results(run):
        print(f"{what:<12}{path}")


def _value(text: str) -> Any:
    """A number, tuple or dict where the text is one, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


def _free_folder(name: str) -> Path:
    number = 1
    while (folder := Path("runs", f"{name}-{number}")).exists():
        number += 1
    return folder


def _results(run: Any) -> list[tuple[str, Path]]:
    near = os.path.relpath(run.path)
    folder = run.path if near.startswith("..") else Path(near)
    pictures = sorted((folder / "samples").glob("step-*.png"))
    found = [("samples", pictures[-1])] if pictures else []
    for path in sorted((folder / "plots").glob("*.png")):
        found.append(("animation" if path.stem == "learning" else "curves", path))
    return [*found, ("history", folder / "history.csv"), ("run", folder)]


@app.command
def sample(
    run: Path,
    /,
    *,
    n: Annotated[int, Parameter(alias="-n")] = 64,
    out: Path = Path("samples.png"),
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Generate examples from a run and write them as a picture.

    Parameters
    ----------
    run:
        A run directory, or a file written by Run.save.
    n:
        How many.
    out:
        The PNG file.
    seed:
        Decides the noise.
    device:
        auto, cpu, cuda, cuda:1, cuda-sim (CUDA kernels on the processor).
    """
    from rawgan.training import pictures

    if out.suffix.lower() != ".png":
        raise rawgan.ConfigError(f"--out takes a file that ends in .png, got {out}")
    if n < 1:
        raise rawgan.ConfigError(f"-n is a whole number ≥ 1, got {n}")
    loaded = rawgan.load(run, device=device)
    examples = loaded.sample(n, seed)
    if examples.ndim == 4:
        pictures.save_grid(out, examples)
    else:
        name = loaded.config["data"]["name"]
        source = rawgan.data.load(name) if name in rawgan.data.names() else None
        real = source.batch_for(0, 2000, key=0) if source else None
        pictures.points_figure(out, real, examples, loaded.steps, getattr(source, "centres", None))
    print(out)


@app.command
def evaluate(
    run: Path,
    /,
    *,
    n: Annotated[int, Parameter(alias="-n")] = 10_000,
    seed: int = 0,
    device: str = "auto",
    classifier: str | None = None,
    data_dir: Path | None = None,
    json: Path | None = None,
    quiet: Annotated[bool, Parameter(negative="")] = False,
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


@app.command
def train_classifier(
    data: str,
    /,
    *,
    epochs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    data_dir: Path | None = None,
    quiet: Annotated[bool, Parameter(negative="")] = False,
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


@app.command
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
    quiet: Annotated[bool, Parameter(negative="")] = False,
    **settings: Annotated[str, Parameter(group=SETTINGS)],
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

    given: dict[str, Any] = {name.replace("-", "_"): _value(text) for name, text in settings.items()}
    more: dict[str, Any] = {
        "workers": workers,
        "out": out,
        "storage": storage,
        "samples": samples,
        "seed": seed,
    }
    found = tuning.tune(recipe, metric=metric, trials=trials, progress=not quiet, **more, **given)
    if quiet:
        print(found)


@app.command
def info() -> None:
    """Show versions, devices, kernels, threads and BLAS."""
    from importlib.metadata import PackageNotFoundError, version

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from rawgan import arrays, kernels

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("rawgan", rawgan.__version__)
    table.add_row("python", sys.version.split()[0])
    for package in ("numpy", "cupy-cuda12x", "cupy-cuda13x", "safetensors", "rich"):
        try:
            table.add_row(package, version(package))
        except PackageNotFoundError:
            continue
    for name, value in kernels.info().items():
        table.add_row(name.replace("_", " "), escape(str(value)))
    for device in arrays.BACKENDS:
        try:
            arrays.resolve(device)
            table.add_row(f"device {device}", "ready")
        except rawgan.DeviceError as error:
            table.add_row(f"device {device}", escape(f"not usable: {error}"))
    console = Console()
    console.print(table)
    columns = ("reference", "cpu", "cuda")
    matrix = Table("kernel", *columns, box=None, pad_edge=False)
    for kernel in kernels.KERNELS.values():
        matrix.add_row(kernel.name, *("yes" if c in kernel.implementations else "-" for c in columns))
    console.print(matrix)


app.command("rawgan.bench.commands:app", name="bench", help="Time kernels and training steps.")


if __name__ == "__main__":
    main()
