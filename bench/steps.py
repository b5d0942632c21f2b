"""Times one whole training step of each recipe: ours, PyTorch's, and PyTorch's under torch.compile.

All sides start from the same weights, see the same batches and use the same number of threads. A step is one
update of D on separate real and fake batches and one of G, with D frozen meanwhile, both by Adam, G's
gradient clipped by its norm; the fake batch serves both players. The column of a device ("cpu") is the step
as a user writes it with `nn.Sequential` and plain calls; "cpu train" is the one inside `rawgan.train`, which
also keeps a history and looks for numbers that are not finite, and on a GPU replays a recorded step.

"bare SGEMM" is the time that the convolutions' multiply-adds, counted by the definition, would take as one
large np.matmul, whose rate is measured in the same turns.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rawgan import arrays, data, losses, nn, ops, optim, recipes, rng
from rawgan.bench import document, memory, roofs, timing
from rawgan.bench.columns import Column, find
from rawgan.kernels.checks import conv_output_size, conv_transpose_output_size
from rawgan.kernels.errors import ConfigError
from rawgan.training.replays import WARM, Replays
from rawgan.training.step import Trainer

PICTURES = {"dcgan_cifar10": (3, 32, 32), "mixture": (2,)}  # what an item is; (1, 28, 28) otherwise
TIMED = ("mlp", "dcgan_mnist", "dcgan_cifar10", "mixture")  # plain games, of which PyTorch's twin is known
SGEMM = "bare SGEMM"
TOGETHER = 20  # replays of a GPU


def run(
    devices: Sequence[str] | None = None,
    against: Sequence[str] = (),
    only: Sequence[str] = (),
    batch: int | None = None,
    seconds: float = 10.0,
    peaks: bool = False,
    show: Callable[[list], Any] = iter,
) -> dict[str, Any]:
    """The document of the recipes `TIMED`, or of `only` these.

    against: of "torch" and "torch.compile". seconds: for each column of each recipe. peaks: measure peak
    memory too, each side in a process of its own. The rest as for `rawgan.bench.kernels.run`.
    """
    for name in only:
        recipes.make(name)  # refuses an unknown one
    columns = [c for c in find(devices) if c.name != "reference" or devices]
    main = next((c for c in reversed(columns) if c.missing is None), None)
    if main is None:
        raise ConfigError(f"bench: nothing to time: {columns[0].name}: {columns[0].missing}")
    rival = main.device if main.kind == "cuda" else "cpu"
    missing = {c.name: c.missing for c in columns if c.missing}
    if against and (why := document.why_no_torch(rival)):
        missing |= dict.fromkeys(against, why)
    sides = [side for side in against if side not in missing]
    rows = []
    for name in show(list(only or TIMED)):
        calls, blank = {}, {}
        for column in columns:
            if column.missing is None:
                plain = plain_step(trainer(name, batch, device=column.device))
                calls[column.name] = timing.Call(column.bound(plain), column.wait())
        ours = trainer(name, batch, device=main.device)
        calls[f"{main.name} train"] = training(ours, main)
        for side in sides:
            try:
                calls[side] = rival_step(trainer(name, batch, device=rival), side == "torch.compile")
            except Exception as error:  # torch.compile wants a C++ compiler, and fails in many ways
                blank[side] = document.words(error)
        flops = direct(ours)
        if flops["convolutions"] and main.kind != "cuda":  # np.matmul is no GPU's
            calls[SGEMM] = timing.Call(roofs.sgemm())
        times = {side: timing.summary(t) for side, t in timing.alternate(calls, seconds).items()}
        if SGEMM in times:
            scale = flops["convolutions"] / (2 * roofs.SIZE**3)
            times[SGEMM] = {k: v * scale if k.endswith("_ms") else v for k, v in times[SGEMM].items()}
        row = {"name": name, "part": "step", "case": f"batch {ours.recipe.batch_size}"}
        row |= {"flops": sum(flops.values()), "conv_flops": flops["convolutions"], "times": times}
        if peaks:
            row["memory_mb"] = memory.peaks(name, batch, [main.device, *sides])
        rows.append(row | {"missing": blank})
    names = [*(c.name for c in columns), f"{main.name} train", *against, SGEMM]
    settings = {"batch": batch, "seconds": seconds, **document.of_torch(sides)}
    more = {"missing": missing, "settings": settings}
    return document.make("train-step", rows, names, main.name, **more)


def training(ours: Trainer, column: Column) -> timing.Call:
    """The step inside `rawgan.train`: where that replays a recording, as many as it takes together."""
    if not column.kind.startswith("cuda"):
        return timing.Call(column.bound(ours.step), column.wait())
    replays, together = Replays(ours), TOGETHER if column.kind == "cuda" else 1

    def steps() -> None:
        done = 0
        while done < together:
            done += len(list(replays.rows(together - done)))

    for _ in range(WARM + 1):  # so that all that are timed are replays
        steps()
    return timing.Call(steps, column.wait(), together)


def rival_step(ours: Trainer, compiled: bool) -> timing.Call:
    """PyTorch's step, which has run: what cannot be compiled fails here."""
    from rawgan.bench import twins

    return twins.call(ours, compiled)


def trainer(
    name: str,
    batch: int | None = None,
    size: int | None = None,
    width: float = 1,
    device: str = "cpu",
) -> Trainer:
    """The recipe on random items of the shape that it was made for, or pictures of another size.

    width: multiplies the recipe's own number of channels or hidden units. G's gradient is clipped by its
    norm, as the recipe says or at 1. ConfigError where the recipe cannot be so.
    """
    recipe = recipes.make(name)
    changes: dict[str, Any] = {"batch_size": batch} if batch else {}
    if "generator" in recipe.players and recipe.for_player("clip_norm_each", "generator") is None:
        changes["clip_norm"] = {"generator": 1.0}
    if width != 1:
        field = next(f.name for f in dataclasses.fields(recipe) if f.name in ("width", "hidden"))
        changes[field] = max(1, round(getattr(recipe, field) * width))
    recipe = recipes.make(name, **changes)
    shape = PICTURES.get(name, (1, 28, 28))
    if size:
        if len(shape) != 3:
            raise ConfigError(f"{name}: its data are points, which have no size")
        shape = (shape[0], size, size)
    noise = np.random.default_rng(0)
    if len(shape) == 1:
        source: Any = data.load("ring")
    else:
        items = noise.integers(0, 256, (max(4096, recipe.batch_size), *shape), np.uint8)
        source = data.load(items)
    return Trainer(recipe, shape, source, device=device)


def plain_step(ours: Trainer) -> Callable[[], tuple[float, float]]:
    """The step as a user writes it; returns D's and G's loss."""
    recipe: Any = ours.recipe  # of an adversarial game
    G, D = ours.generator, ours.discriminator
    g_adam, d_adam = (ours.optimizers[player] for player in ("generator", "discriminator"))
    objective = losses.adversarial(recipe.objective, recipe.probabilities)
    limit, each = (recipe.for_player(key, "generator") for key in ("clip_norm", "clip_norm_each"))
    noise = rng.Generator(0)
    number = 0

    def packed(items: Any) -> Any:
        """`pack` consecutive items as one, channel after channel."""
        pack, shape = recipe.pack, items.shape
        if pack == 1:
            return items
        return ops.reshape(items, (shape[0] // pack, pack * shape[1], *shape[2:]))

    def step() -> tuple[float, float]:
        nonlocal number
        with arrays.use_device(ours.device):
            real = packed(ours.real_batch(number))
            number += 1
            fake = packed(G(noise.normal((recipe.batch_size, recipe.noise))))
            d_adam.zero_grad()
            d_loss = objective.discriminator(D(real), D(fake.detach()))
            d_loss.backward()
            d_adam.step()
            with nn.frozen(D):
                g_adam.zero_grad()
                g_loss = objective.generator(D(fake))
                g_loss.backward()
            if limit is not None:
                optim.clip_grad_norm(g_adam.params, limit)
            if each is not None:
                optim.clip_grad_norm_each(g_adam.params, each)
            g_adam.step()
            return d_loss.item(), g_loss.item()

    return step


def direct(ours: Trainer) -> dict[str, float]:
    """Operations of one step by the definition, 2 for a multiply-add, in convolutions and in dense layers.

    A layer costs the same forward, for its input's gradient and for its weight's. G does each once; D does
    all three for the real and for the fake batch, and the first two once more for G. The gradient of
    z, and of the pictures in D's own update, nobody wants.
    """
    total = {"convolutions": 0.0, "dense": 0.0}
    for network, shape, times, first in (
        (ours.generator, (ours.recipe.noise,), 3, 2),
        (ours.discriminator, ours.shape, 8, 6),
    ):
        for number, (kind, multiplications) in enumerate(_layers(network, shape)):
            count = times if number else first
            total[kind] += 2 * multiplications * ours.recipe.batch_size * count
    return total


def _layers(network: Any, shape: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    """The kind and the multiplications of each layer that has a weight, for one example."""
    plane = shape[1:]
    for layer in network.layers:
        if isinstance(layer, nn.Dense):
            yield "dense", layer.weight.size
        elif isinstance(layer, nn.Reshape):
            plane = layer.shape[1:]
        elif isinstance(layer, nn.Conv2d):
            how = zip(plane, layer.weight.shape[2:], layer.stride, layer.padding, strict=True)
            plane = tuple(conv_output_size(*sizes) for sizes in how)
            yield "convolutions", layer.weight.size * math.prod(plane)
        elif isinstance(layer, nn.ConvTranspose2d):
            yield "convolutions", layer.weight.size * math.prod(plane)
            how = (layer.weight.shape[2:], layer.stride, layer.padding, layer.output_padding)
            plane = tuple(conv_transpose_output_size(*sizes) for sizes in zip(plane, *how, strict=True))
