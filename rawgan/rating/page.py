"""The page on which a person judges: pictures chosen, put into random order, and laid into page.html.

Which place holds a real picture follows from the seed and the number alone (`is_real`), so that a file of
verdicts needs to hold no truth that could be tampered with. The page carries the truth added to the numbers
of a generator, which hides it from the eye and from a search, not from somebody who wants to cheat.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from rawgan import rng
from rawgan.data import Dataset
from rawgan.evaluation import busy, data_of
from rawgan.kernels.errors import ConfigError, DataError
from rawgan.settings import whole_number
from rawgan.training import Run, load
from rawgan.training.files import write_whole

MOST = 1000  # pictures of each kind: an hour or two of somebody's time
FORMAT = "rawgan verdicts 1"


def write_page(
    run: Run | str | os.PathLike,
    path: str | os.PathLike = "rate.html",
    n: int = 50,
    seed: int = 0,
    device: str = "auto",
    data: Any = None,
    data_dir: str | os.PathLike | None = None,
    progress: bool = True,
) -> str:
    """Write a self-contained page that shows n real and n generated pictures in random order.

    run: a Run, or the path of a run directory or of a file of `Run.save`; one that makes pictures.
    path: of the page. n: from 1 to 1,000; by default it takes some five minutes to judge them.
    seed: decides the noise, which real pictures are taken, and the order.
    device, data, data_dir: as for `rawgan.evaluate`.

    The real pictures are out of the test part of the run's data, which its generator was not trained on;
    where there is no test part, out of the training data. Returns a sentence that says which.

    Raises ConfigError for a run that makes points and for data that is not to be found, DataError for too few
    real pictures and for generated ones that are not finite, CheckpointError where there is no run or the
    page cannot be written.
    """
    whole_number("rate: n", n)
    if n > MOST:
        raise ConfigError(f"rate: n is at most {MOST:,}, got {n:,}; nobody judges more")
    if not isinstance(run, Run):
        run = load(run, device=device)
    refuse_points(run)
    _, training, held_out = data_of(run, data, data_dir, "rate")
    source = training if held_out is None else held_out
    if n > len(source):
        raise DataError(f"rate: {source.name} has {len(source):,} real pictures to show, not {n:,}")
    with busy(f"generating {n:,} samples", progress):
        fake = run.sample(n, seed)
    if not np.isfinite(fake).all():
        raise DataError(f"rate: the generator's pictures after {run.steps:,} steps are not finite numbers")
    chosen = rng.Generator(seed).spawn("rated real pictures").permutation(len(source))[:n]
    items = np.concatenate([source.batch(chosen), fake])[_order(n, seed)]
    document = {
        "format": FORMAT,
        "page": about(run, n, seed),
        "pictures": [_png(item) for item in items],
        "size": list(training.shape[1:]),
        "called": _called(training),
        "sealed": _sealed(is_real(n, seed), seed),
    }
    write_whole(path, [_filled(document).encode()])
    name = _called(training)
    if held_out is not None:
        return f"the real pictures are of {name}'s test part, which the generator was not trained on"
    return f"the real pictures are among those that the generator was trained on: {name} has no test part"


def is_real(n: int, seed: int) -> np.ndarray:
    """(2n,) bool: which places of a page hold a real picture.

    >>> int(is_real(5, seed=0).sum())
    5
    """
    return _order(n, seed) < n


def about(run: Run, n: int, seed: int) -> dict[str, Any]:
    """What a page and the verdicts on it are of; everything that decides its pictures.

    "run" is a fingerprint of what was trained on what, not of where and for how long; "weights" one of the
    generator as it was.
    """
    config = {key: run.config[key] for key in ("recipe", "settings", "data", "networks", "seed")}
    config["data"] = {key: value for key, value in config["data"].items() if key != "name"}
    values = run.trainer.state()[0]
    weights = hashlib.sha256()
    for name in sorted(values):
        if name.startswith(("generator.", "average.")):
            weights.update(f"{name}{values[name].shape}".encode())
            weights.update(np.ascontiguousarray(values[name]).data)
    return {
        "recipe": run.config["recipe"],
        "steps": run.steps,
        "run": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16],
        "weights": weights.hexdigest()[:16],
        "n": n,
        "seed": str(seed),  # up to 2⁶⁴, more than a number of JavaScript holds
    }


def refuse_points(run: Run) -> None:
    """ConfigError for a run whose samples are no pictures."""
    if len(run.config["data"]["shape"]) != 3:
        raise ConfigError(
            f"rate: this run of {run.config['recipe']!r} makes points, and people judge pictures; "
            "`rawgan evaluate` counts the modes that they cover"
        )


def _order(n: int, seed: int) -> np.ndarray:
    """(2n,): what each place shows; real pictures are 0 to n - 1, generated ones n to 2n - 1."""
    return rng.Generator(seed).spawn("rating").permutation(2 * n)


def _called(data: Dataset) -> str:
    """The name of the data, for a page that others see: of a folder without where it lies."""
    return Path(data.name).name


def _png(item: np.ndarray) -> str:
    """A picture, (C, H, W) in [0, 1], as a PNG in base64; real and generated ones take the same way."""
    from PIL import Image

    pixels = (np.clip(item, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    png = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(png, "PNG", optimize=True)
    return base64.b64encode(png.getvalue()).decode()


def _sealed(truth: np.ndarray, seed: int) -> dict[str, Any]:
    key = int(rng.Generator(seed).spawn("seal").integers(1 << 32))
    stream = _bytes_of(key)
    sealed = bytes(next(stream) ^ int(real) for real in truth)
    return {"key": key, "truth": base64.b64encode(sealed).decode()}


def _bytes_of(key: int) -> Iterator[int]:
    """The second-highest bytes of a linear congruential generator (Numerical Recipes, 2nd ed., 7.1)."""
    while True:
        key = (key * 1664525 + 1013904223) % (1 << 32)
        yield key >> 16 & 255


def _filled(document: dict[str, Any]) -> str:
    """The page with its data, as JSON that cannot end the element that it stands in."""
    template = resources.files("rawgan.rating").joinpath("page.html").read_text("utf-8")
    text = json.dumps(document).replace("<", "\\u003c")
    before, mark, after = template.partition("{{data}}")
    assert mark, "page.html has no place for the data"
    return before + text + after
