"""`rawgan train` and `rawgan sample`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import rawgan
from rawgan.cli.options import Count, Flag, Setting, values


def train(
    recipe: str | None = None,
    /,
    *,
    data: str | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    out: Path | None = None,
    resume: Flag = False,
    device: str = "auto",
    seed: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    objective: str | None = None,
    checkpoint_every: int | None = None,
    sample_every: int | None = None,
    data_dir: Path | None = None,
    quiet: Flag = False,
    warnings: bool = True,
    **settings: Setting,
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
    given |= values(settings)
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


def sample(
    run: Path,
    /,
    *,
    n: Count = 64,
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
