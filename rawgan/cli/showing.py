"""`rawgan tensorboard` and `rawgan info`."""

from __future__ import annotations

import sys
from pathlib import Path

import rawgan


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
