"""The same networks and the same training step in PyTorch, as a careful user writes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn as tn
from torch.nn import functional as F

from rawgan import nn
from rawgan.bench import rivals, timing
from rawgan.training.step import Trainer


def twin(network: Any) -> tn.Sequential:
    """The PyTorch Sequential of a Sequential's layers and weights."""
    layers, flat = [], True  # flat: BatchNorm stands between dense layers
    for layer in network.layers:
        if isinstance(layer, nn.Dense | nn.Reshape | nn.Conv2d | nn.ConvTranspose2d):
            flat = isinstance(layer, nn.Dense)
        layers.append(_layer(layer, flat))
    out = tn.Sequential(*layers)
    out.load_state_dict({name: torch.from_numpy(value) for name, value in network.state_dict().items()})
    return out


def _layer(layer: nn.Module, flat: bool) -> tn.Module:
    match layer:
        case nn.Dense():
            into, out = layer.weight.shape[::-1]
            return tn.Linear(into, out, bias=layer.bias is not None)
        case nn.Conv2d():
            out, into, height, width = layer.weight.shape
            size = height, width
            return tn.Conv2d(into, out, size, layer.stride, layer.padding, bias=layer.bias is not None)
        case nn.ConvTranspose2d():
            into, out, height, width = layer.weight.shape
            size = height, width
            how = (layer.stride, layer.padding, layer.output_padding)
            return tn.ConvTranspose2d(into, out, size, *how, bias=layer.bias is not None)
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
    kinds = {nn.ReLU: tn.ReLU, nn.Tanh: tn.Tanh, nn.Sigmoid: tn.Sigmoid, nn.Flatten: tn.Flatten}
    return kinds[type(layer)]()


WARM = 5  # steps: of a CUDA graph the first ones compile, fill the memory pool, and record


def call(ours: Trainer, compiled: bool = False) -> timing.Call:
    """PyTorch's step as it is timed: it has run until all that follow are alike, and is waited for."""
    train = step(ours, compiled)
    graphed = compiled and ours.device != "cpu"
    for _ in range(WARM if graphed else 1):
        train()
    return timing.Call(train, None if ours.device == "cpu" else partial(torch.cuda.synchronize, ours.device))


def players(ours: Trainer) -> tuple[tn.Sequential, tn.Sequential]:
    """G and D with the weights that those of `ours` have now."""
    G, D = (twin(network).to(ours.device) for network in (ours.generator, ours.discriminator))
    return G, D


def step(
    ours: Trainer, compiled: bool = False, networks: tuple[tn.Sequential, tn.Sequential] | None = None
) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    """PyTorch's step for the networks, data and settings of `ours`; returns D's and G's loss.

    networks: G and D, by default new ones, `players(ours)`.

    D's parameters want no gradient while G is updated, so that none is computed. `compiled` puts both
    networks through torch.compile. On a GPU the data lie there, Adam is the fused one, no step waits for the
    one before, and torch.compile makes CUDA graphs: a graph's outputs are overwritten in the next step, and
    none of them outlives its own, as the losses are computed outside.
    """
    rivals.settle()
    recipe: Any = ours.recipe  # of an adversarial game
    device = ours.device
    G, D = networks or players(ours)
    rates = [recipe.for_player("learning_rate", player) or 0.0 for player in ("generator", "discriminator")]
    adams = [
        torch.optim.Adam(network.parameters(), rate, betas=recipe.betas, fused=device != "cpu" or None)
        for network, rate in zip((G, D), rates, strict=True)
    ]
    bce = F.binary_cross_entropy if recipe.probabilities else F.binary_cross_entropy_with_logits
    verdicts = recipe.batch_size // recipe.pack
    one, zero = (f(verdicts, 1, device=device) for f in (torch.ones, torch.zeros))
    saturating = recipe.objective == "saturating"
    limit, each = (recipe.for_player(key, "generator") for key in ("clip_norm", "clip_norm_each"))
    mode = "default" if device == "cpu" else "reduce-overhead"  # the latter by CUDA graphs
    if compiled:
        from torch._dynamo import config  # two seconds

        config.recompile_limit = 64  # every Sequential of a process has the same code; D is frozen or not
    make, judge = (torch.compile(network, mode=mode) if compiled else network for network in (G, D))
    batch = _batches(ours)
    number = 0

    def packed(items: torch.Tensor) -> torch.Tensor:
        """`pack` consecutive items as one, channel after channel."""
        return items.unflatten(0, (verdicts, recipe.pack)).flatten(1, 2) if recipe.pack > 1 else items

    def train() -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal number
        if compiled and device != "cpu":
            torch.compiler.cudagraph_mark_step_begin()
        real = packed(batch(number))
        number += 1
        fake = packed(make(torch.randn(recipe.batch_size, recipe.noise, device=device)))
        adams[1].zero_grad()
        d_loss = bce(judge(real), one) + bce(judge(fake.detach()), zero)
        d_loss.backward()
        adams[1].step()
        D.requires_grad_(False)
        adams[0].zero_grad()
        verdict = judge(fake)
        g_loss = -bce(verdict, zero) if saturating else bce(verdict, one)
        g_loss.backward()
        if limit is not None:
            tn.utils.clip_grad_norm_(G.parameters(), limit)
        if each is not None:
            for parameter in G.parameters():
                tn.utils.clip_grad_norm_(parameter, each)
        adams[0].step()
        D.requires_grad_(True)
        return d_loss.detach(), g_loss.detach()

    return train


def _batches(ours: Trainer) -> Callable[[int], torch.Tensor]:
    """Real batches by number; on a GPU they are picked and scaled there, if they lie anywhere."""
    recipe, source, device = ours.recipe, ours.source, ours.device
    given = recipe.batch_size, ours.data_key
    if device == "cpu" or not hasattr(source, "items"):

        def drawn(number: int) -> torch.Tensor:
            return torch.from_numpy(source.batch_for(number, *given, recipe.low, recipe.high)).to(device)

        return drawn
    items = torch.tensor(source.items, device=device)
    scale, low = (recipe.high - recipe.low) / (255 if source.items.dtype == np.uint8 else 1), recipe.low

    def batch(number: int) -> torch.Tensor:
        picked = items[torch.from_numpy(source.indices_for(number, *given)).to(device)]
        return picked * scale + low if source.kind == "images" else picked

    return batch
