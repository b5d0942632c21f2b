"""Times one whole training step of each recipe, beside the same step in PyTorch.

    python bench/train_step.py                              # every recipe, with PyTorch if it is installed
    python bench/train_step.py mlp --batch 64 --json out.json

Both sides start from the same weights, see the same batches and use the same number of threads. A step is one
update of D on separate real and fake batches and one of G, with D frozen meanwhile, through Adam, G's
gradient clipped as the recipe says; the fake batch serves both players. The two take turns in short bursts
(A A A, B B B, ...), and the first step of a burst is not counted: after a step, PyTorch's threads keep
spinning for some milliseconds and would take a processor from whoever comes next. `ratio` is this
project's median time over PyTorch's: below 1 is faster.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import rawgan
from rawgan import data, kernels, nn, recipes
from rawgan.training.step import Trainer


def trainer(name: str, batch: int | None) -> Trainer:
    """The recipe on random items of the shape it was made for."""
    settings = {"batch_size": batch} if batch else {}
    recipe = recipes.make(name, **settings)
    noise = np.random.default_rng(0)
    shape = {"dcgan_cifar10": (3, 32, 32)}.get(name, (1, 28, 28))
    source = (
        data.load("ring")
        if name == "mixture"
        else data.load(noise.integers(0, 256, (4096, *shape), np.uint8))
    )
    return Trainer(recipe, source.shape, source, device="cpu")


def torch_twin(network: nn.Module) -> Any:
    """The PyTorch Sequential of the same layers and weights."""
    import torch
    from torch import nn as tn

    def twin(layer: nn.Module) -> Any:
        match layer:
            case nn.Dense():
                return tn.Linear(*layer.weight.shape[::-1], bias=layer.bias is not None)
            case nn.Conv2d():
                out, into, *size = layer.weight.shape
                return tn.Conv2d(into, out, size, layer.stride, layer.padding, bias=layer.bias is not None)
            case nn.ConvTranspose2d():
                into, out, *size = layer.weight.shape
                return tn.ConvTranspose2d(
                    into,
                    out,
                    size,
                    layer.stride,
                    layer.padding,
                    layer.output_padding,
                    bias=layer.bias is not None,
                )
            case nn.BatchNorm():
                kind = tn.BatchNorm1d if flat else tn.BatchNorm2d
                return kind(layer.weight.shape[0], layer.eps, layer.momentum)
            case nn.Dropout2d():
                return tn.Dropout2d(layer.p)
            case nn.Dropout():
                return tn.Dropout(layer.p)
            case nn.LeakyReLU():
                return tn.LeakyReLU(layer.negative_slope)
            case nn.Reshape():
                return tn.Unflatten(1, layer.shape)
        return {nn.ReLU: tn.ReLU, nn.Tanh: tn.Tanh, nn.Sigmoid: tn.Sigmoid, nn.Flatten: tn.Flatten}[
            type(layer)
        ]()

    layers, flat = [], True
    for layer in network.layers:
        flat = isinstance(layer, nn.Dense) or (flat and not isinstance(layer, nn.Reshape | nn.Conv2d))
        layers.append(twin(layer))
    out = tn.Sequential(*layers)
    out.load_state_dict({k: torch.from_numpy(v) for k, v in network.state_dict().items()})
    return out


def torch_step(ours: Trainer) -> Callable[[], None]:
    """The same step as `ours.step`, as a careful user of PyTorch writes it."""
    import torch
    from torch.nn import functional as F

    recipe = ours.recipe
    torch.set_num_threads(kernels.info()["threads"])
    G, D = torch_twin(ours.generator), torch_twin(ours.discriminator)
    rates = [recipe.for_player("learning_rate", p) for p in ("generator", "discriminator")]
    g_adam, d_adam = (
        torch.optim.Adam(net.parameters(), rate, betas=recipe.betas)
        for net, rate in zip((G, D), rates, strict=True)
    )
    loss = F.binary_cross_entropy if recipe.probabilities else F.binary_cross_entropy_with_logits
    one, zero = torch.ones(recipe.batch_size, 1), torch.zeros(recipe.batch_size, 1)
    limit = recipe.for_player("clip_norm_each", "generator")
    number = 0

    def step() -> None:
        nonlocal number
        real = torch.from_numpy(np.asarray(ours.real_batch(number)))
        number += 1
        fake = G(torch.randn(recipe.batch_size, recipe.noise))
        d_adam.zero_grad()
        d_loss = loss(D(real), one) + loss(D(fake.detach()), zero)
        d_loss.backward()
        d_adam.step()
        D.requires_grad_(False)
        g_adam.zero_grad()
        out = D(fake)
        g_loss = -loss(out, zero) if recipe.objective == "saturating" else loss(out, one)
        g_loss.backward()
        if limit is not None:
            for p in G.parameters():
                torch.nn.utils.clip_grad_norm_(p, limit)
        g_adam.step()
        D.requires_grad_(True)
        d_loss.item(), g_loss.item()

    return step


def bursts(steps: dict[str, Callable[[], Any]], seconds: float, burst: int = 4) -> dict[str, list[float]]:
    """Times in seconds of each step, taken in turns for about `seconds` after two warm-up rounds."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step(), step()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < 6:
        for name, step in steps.items():
            step()
            for _ in range(burst):
                start = time.perf_counter()
                step()
                times[name].append(time.perf_counter() - start)
    return times


def measure(name: str, batch: int | None, seconds: float, rival: bool) -> dict[str, Any]:
    ours = trainer(name, batch)
    steps: dict[str, Callable[[], Any]] = {"rawgan": ours.step}
    if rival:
        steps["torch"] = torch_step(ours)
    times = bursts(steps, seconds, burst=4 if name.startswith("dcgan") else 20)
    row: dict[str, Any] = {"recipe": name, "batch": ours.recipe.batch_size}
    for side, taken in times.items():
        quartiles = statistics.quantiles(taken, n=4)
        row[side] = {
            "median_ms": 1e3 * quartiles[1],
            "low_ms": 1e3 * quartiles[0],
            "high_ms": 1e3 * quartiles[2],
        }
    if rival:
        row["ratio"] = row["rawgan"]["median_ms"] / row["torch"]["median_ms"]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", default=recipes.names(), help="default: all")
    parser.add_argument("--batch", type=int, help="instead of the recipe's own")
    parser.add_argument("--seconds", type=float, default=15, help="for each recipe")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    try:
        import torch

        rival, why = True, torch.__version__
    except ImportError as error:
        rival, why = False, f"not installed ({error})"
    print(f"{kernels.info()['cpu']}, {kernels.info()['threads']} threads, PyTorch {why}")
    print(f"{'recipe':16}{'batch':>6}{'rawgan ms':>12}{'torch ms':>12}{'ratio':>8}")
    rows = []
    for name in options.recipes:
        row = measure(name, options.batch, options.seconds, rival)
        rows.append(row)
        theirs = f"{row['torch']['median_ms']:12.2f}{row['ratio']:8.2f}" if rival else f"{'-':>12}{'-':>8}"
        print(f"{name:16}{row['batch']:6}{row['rawgan']['median_ms']:12.2f}{theirs}", flush=True)
    if options.json:
        document = {
            "what": "one training step",
            "date": datetime.date.today().isoformat(),
            "machine": kernels.info() | {"system": platform.system()},
            "versions": {"rawgan": rawgan.__version__, "numpy": np.__version__, "torch": why},
            "precision": "float32",
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "rows": rows,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
