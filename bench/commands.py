"""`rawgan bench`: a thin face over this folder. Loaded by `rawgan.cli` when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

app = App(
    name="bench",
    help="Time kernels and training steps, beside PyTorch and beside this machine's roofs.",
    help_format="plaintext",
)

_many = Parameter(consume_multiple=True, negative="")
Torch = Annotated[list[Literal["torch"]] | None, _many]
Names = Annotated[list[str] | None, _many]
Numbers = Annotated[list[int] | None, _many]
Rivals = Annotated[list[Literal["torch", "torch.compile"]] | None, _many]
Flag = Annotated[bool, Parameter(negative="")]


@app.command
def kernels(
    *,
    device: Names = None,
    against: Torch = None,
    only: Names = None,
    batch: int | None = None,
    threads: int | None = None,
    seconds: float = 0.3,
    json: Path | None = None,
) -> None:
    """Time every kernel and every gradient rule made of kernels.

    Parameters
    ----------
    device:
        The columns: reference (the textbook), cpu, cuda, cuda:1; by default all that can run here.
    against:
        torch adds PyTorch's column.
    only:
        Names of kernels.
    batch:
        Examples, in place of 128.
    threads:
        Of the CPU kernels, BLAS and PyTorch; by default one for each processor.
    seconds:
        For each column of each row.
    json:
        Write the results to this file, for compare and plot.
    """
    from rawgan.bench import kernels as bench
    from rawgan.bench import tables

    more = {"batch": batch, "seconds": seconds, "show": tables.following}
    _measure(lambda: bench.run(device, against or (), only or (), **more), threads, batch, seconds, json)


@app.command
def train_step(
    *,
    device: Names = None,
    against: Rivals = None,
    only: Names = None,
    batch: int | None = None,
    threads: int | None = None,
    seconds: float = 10.0,
    memory: Flag = False,
    json: Path | None = None,
) -> None:
    """Time one whole training step of every recipe.

    Parameters
    ----------
    device:
        cpu, cuda, cuda:1, reference; by default the CPU, and a GPU if there is a usable one.
    against:
        torch, torch.compile, or both.
    only:
        Names of recipes.
    batch:
        Examples, in place of the recipe's own.
    threads:
        Of the CPU kernels, BLAS and PyTorch; by default one for each processor.
    seconds:
        For each column of each recipe.
    memory:
        Measure peak resident memory too, each side in a process of its own.
    json:
        Write the results to this file, for compare and plot.
    """
    from rawgan.bench import steps, tables

    more = {"batch": batch, "seconds": seconds, "peaks": memory, "show": tables.following}
    _measure(lambda: steps.run(device, against or (), only or (), **more), threads, batch, seconds, json)


@app.command
def profile(
    recipe: str,
    /,
    *,
    device: str = "cpu",
    against: Names = None,
    batch: int | None = None,
    threads: int | None = None,
    seconds: float = 3.0,
    json: Path | None = None,
) -> None:
    """Time every kernel that a recipe's step calls, beside the roofs, and what is left for Python.

    Parameters
    ----------
    recipe:
        mlp, dcgan_mnist, dcgan_cifar10, mixture.
    device:
        cpu, cuda, cuda:1.
    against:
        torch, torch.compile: their whole step, in turns with ours.
    batch:
        Examples, in place of the recipe's own.
    threads:
        Of the CPU kernels, BLAS and PyTorch; by default one for each processor.
    seconds:
        For the steps of each column.
    json:
        Write the results to this file, for compare and plot.
    """
    from rawgan.bench import profile as bench

    rivals = against or ()
    _measure(lambda: bench.run(recipe, device, batch, seconds, rivals), threads, batch, seconds, json)


@app.command
def gradients(
    recipe: str,
    /,
    *,
    device: Names = None,
    batch: int | None = None,
    json: Path | None = None,
) -> None:
    """Compare the gradients of one step on two devices, parameter by parameter, the worst first.

    Parameters
    ----------
    recipe:
        mlp, dcgan_mnist, dcgan_cifar10, mixture.
    device:
        Two or more: cpu, cuda, cuda:1, cuda-sim; by default the CPU, and a GPU or cuda-sim.
    batch:
        Examples, in place of the recipe's own.
    json:
        Write the results to this file.
    """
    from rawgan.bench import gradients as bench

    _measure(lambda: bench.run(recipe, device, batch), None, batch, 1.0, json)


@app.command
def growth(
    recipe: str = "dcgan_mnist",
    /,
    *,
    device: str = "cpu",
    against: Torch = None,
    only: Names = None,
    threads: int | None = None,
    seconds: float = 2.0,
    json: Path | None = None,
) -> None:
    """Time a recipe's step against the batch, the channels and the size of the pictures.

    Parameters
    ----------
    recipe:
        mlp, dcgan_mnist, dcgan_cifar10, mixture.
    device:
        cpu, cuda, cuda:1.
    against:
        torch adds PyTorch's column.
    only:
        batch, width, size.
    threads:
        Of the CPU kernels, BLAS and PyTorch; by default one for each processor.
    seconds:
        For each column of each point.
    json:
        Write the results to this file, for compare and plot.
    """
    from rawgan.bench import growth as bench
    from rawgan.bench import tables

    rest = device, against or (), only or (), seconds, tables.following
    _measure(lambda: bench.run(recipe, *rest), threads, None, seconds, json)


@app.command
def tape(*, seconds: float = 0.5, json: Path | None = None) -> None:
    """Time what recording and differentiating one small operation costs.

    Parameters
    ----------
    seconds:
        For each row.
    json:
        Write the results to this file, for compare and plot.
    """
    from rawgan.bench import tape as bench

    _measure(lambda: bench.run(seconds), None, None, seconds, json)


@app.command
def ring(
    *,
    against: Torch = None,
    seeds: Numbers = None,
    pack: Numbers = None,
    only: Names = None,
    steps: int | None = None,
    threads: int | None = None,
    seconds: float = 10.0,
    json: Path | None = None,
) -> None:
    """Train the ring of 8 Gaussians by a known protocol over several seeds, and judge the samples.

    Parameters
    ----------
    against:
        torch adds PyTorch, from the same weights on the same data.
    seeds:
        By default 0 1 2 3 4.
    pack:
        How many points D judges together (PacGAN); by default 1 and 2, a row each.
    only:
        quality, speed.
    steps:
        Of training, in place of the protocol's 10,000.
    threads:
        Of the CPU kernels, BLAS and PyTorch; by default one for each processor.
    seconds:
        For each column of a row's timing.
    json:
        Write the results to this file, for compare.
    """
    from rawgan.bench import ring as bench
    from rawgan.bench import tables

    given = {"seeds": seeds, "packs": pack, "only": only, "length": steps}
    more = {key: value for key, value in given.items() if value is not None}
    more |= {"seconds": seconds, "show": tables.following}
    _measure(lambda: bench.run(against or (), **more), threads, None, seconds, json)


@app.command
def norms(
    *,
    only: Names = None,
    seeds: Numbers = None,
    steps: int | None = None,
    threads: int | None = None,
    json: Path | None = None,
) -> None:
    """Compare gradient norms with and without clipping, dropout and batch normalisation.

    Parameters
    ----------
    only:
        Of "2 hidden layers", "2, learning rate 0.01", "8 hidden layers", "8, large weights".
    seeds:
        By default 0 1 2 3 4.
    steps:
        Of each training; by default 1,200.
    threads:
        Of the CPU kernels and BLAS; by default one for each processor.
    json:
        Write the results to this file, for plot.
    """
    from rawgan.bench import norms as bench
    from rawgan.bench import tables

    given = {"only": only, "seeds": seeds, "steps": steps}
    more = {key: value for key, value in given.items() if value is not None}
    _measure(lambda: bench.run(**more, show=tables.following), threads, None, 1.0, json)


@app.command
def warnings(*, only: Names = None, seconds: float = 5.0, json: Path | None = None) -> None:
    """Time what the warnings of a training cost, beside its steps.

    Parameters
    ----------
    only:
        Names of recipes.
    seconds:
        For each column of each recipe.
    json:
        Write the results to this file, for compare.
    """
    from rawgan.bench import alarms as bench
    from rawgan.bench import tables

    _measure(lambda: bench.run(only or (), seconds, tables.following), None, None, seconds, json)


@app.command
def inspect(*, only: Names = None, seconds: float = 5.0, json: Path | None = None) -> None:
    """Time what recording a training step costs, beside its steps, and what it costs while nobody records.

    Parameters
    ----------
    only:
        Names of recipes.
    seconds:
        For each column of each recipe.
    json:
        Write the results to this file, for compare.
    """
    from rawgan.bench import inspected as bench
    from rawgan.bench import tables

    _measure(lambda: bench.run(only or (), seconds, tables.following), None, None, seconds, json)


@app.command
def compare(a: Path, b: Path, /) -> None:
    """Put two results side by side: two machines, two commits, or a CPU's file and a GPU's.

    Parameters
    ----------
    a:
        A file written by --json.
    b:
        Another of the same kind.
    """
    from rawgan.bench import compare as bench
    from rawgan.bench import document

    bench.show(document.read(a), document.read(b), (str(a), str(b)))


@app.command
def plot(results: Path, /, *, out: Path | None = None) -> None:
    """Draw a result as PNG: roofline, bars, curves of growth, a step's anatomy.

    Parameters
    ----------
    results:
        A file written by --json.
    out:
        The folder of the pictures; by default that of the file.
    """
    from rawgan.bench import document
    from rawgan.bench import plot as bench

    for path in bench.draw(document.read(results), out or results.parent, results.stem):
        print(path)


def _measure(
    run: Callable[[], dict[str, Any]],
    threads: int | None,
    batch: int | None,
    seconds: float,
    json: Path | None,
) -> None:
    """Run with so many threads, show the table, keep the file; its folder is looked for before the work."""
    from rawgan.bench import document, tables, timing
    from rawgan.kernels.errors import CheckpointError, ConfigError

    for name, value in (("threads", threads), ("batch", batch)):
        if value is not None and value < 1:
            raise ConfigError(f"--{name} is a whole number ≥ 1, got {value}")
    if not 0 < seconds < 1e6:
        raise ConfigError(f"--seconds is a number above 0, got {seconds}")
    if json and not json.parent.is_dir():
        raise CheckpointError(f"{json}: cannot be written (there is no folder {json.parent}); make it first")
    with timing.use_threads(threads):
        found = run()
    if json:
        document.write(json, found)
    tables.show(found)
