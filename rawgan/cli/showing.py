"""`rawgan inspect`, `rawgan tensorboard` and `rawgan info`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import rawgan


def inspect(
    run: Path,
    /,
    *,
    step: int,
    out: Path = Path("gradients.html"),
    devices: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    budget: int = 1024,
    seconds: float = 10.0,
    data_dir: Path | None = None,
) -> None:
    """Replay a training step and write a page with every gradient in it.

    Parameters
    ----------
    run:
        A run directory, or a file written by Run.save.
    step:
        Which step: 1 is the first.
    out:
        The page, one file that asks nothing of any host.
    devices:
        Replay the step on each of these, such as --devices cpu cuda-sim, and compare the gradients; the page
        shows the first.
    budget:
        MiB of arrays to keep; beyond them the largest are summarised.
    seconds:
        About how long to compute finite differences and derivations.
    data_dir:
        The folder with the dataset's files (or set RAWGAN_DATA).
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise rawgan.ConfigError(f"--out takes a file that ends in .html, got {out}")
    loaded = rawgan.load(run, device=devices[0] if devices else "auto")
    name = loaded.config["data"]["name"]
    data = rawgan.data.load(name, data_dir) if data_dir is not None and rawgan.data.known(name) else None
    found = loaded.inspect(step, devices, budget << 20, data=data)
    found.save_html(out, seconds)
    print(out)
    if devices:
        worst = found.worst()
        apart = max(size for name, size in worst.items() if name.startswith("relative"))
        print(f"{worst['parameter']} differs most: by {apart:.1e} of its norm")


def tensorboard(run: Path, /, *, out: Path | None = None) -> None:
    """Write a run's history, weights, pictures, settings and warnings for TensorBoard.

    It needs rawgan[tensorboard]; look at the result with tensorboard --logdir logs.

    Parameters
    ----------
    run:
        A run directory, or a file written by Run.save.
    out:
        A folder without events (default: logs/ and the name of the run).
    """
    from rawgan import tensorboard as board

    out = out or Path("logs", run.absolute().name)
    board.export(run, out)
    print(out)


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
