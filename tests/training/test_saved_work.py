"""What a training step leaves out: D's weight gradients in G's turn, G's backward pass in D's turn.

The kernels that a step calls are counted: a gradient that nobody needs costs a third of the step, and no
result would show it.
"""

import contextlib
from collections import Counter

import numpy as np
import pytest

from rawgan import data, kernels, nn, recipes, rng
from rawgan.engine import Tensor
from rawgan.recipes import base
from rawgan.training.step import Trainer

# Every weight has a shape of its own, so that its gradient is known by it.
CONVOLUTIONS = {
    "generator": lambda: nn.Sequential(
        nn.Dense(5, 12), nn.Reshape((3, 2, 2)), nn.BatchNorm(3), nn.ConvTranspose2d(3, 1, 2, 2), nn.Tanh()
    ),
    "discriminator": lambda: nn.Sequential(nn.Conv2d(1, 7, 3), nn.LeakyReLU(), nn.Flatten(), nn.Dense(28, 1)),
}
CHAINS = {  # layers that run as one operation
    "generator": lambda: nn.Sequential(
        nn.Dense(5, 6), nn.ReLU(), nn.Dense(6, 16), nn.Tanh(), nn.Reshape((1, 4, 4))
    ),
    "discriminator": lambda: nn.Sequential(nn.Flatten(), nn.Dense(16, 8), nn.LeakyReLU(), nn.Dense(8, 1)),
}


def trainer(networks, d_steps):
    pictures = np.random.default_rng(0).integers(0, 256, (32, 1, 4, 4), np.uint8)
    source = data.load(pictures)
    recipe = recipes.make("custom", batch_size=4, noise=5, d_steps=d_steps)
    with rng.use_generator(rng.Generator(0)):
        made = {name: make() for name, make in networks.items()}
    return Trainer(recipe, source.shape, source, networks=made)


def counted(monkeypatch, name, what, found):
    """Let `found` count the calls of a kernel by what(result, *arguments)."""
    kernel = getattr(kernels, name)

    def call(*arguments):
        result = kernel(*arguments)
        found[what(result, *arguments)] += 1
        return result

    monkeypatch.setattr(kernels, name, call)


def convolutions(monkeypatch, d_steps):
    """How often each weight's gradient, and G's batch normalisation backwards, are computed in a step."""
    made, found = trainer(CONVOLUTIONS, d_steps), Counter()
    weights = {p.shape: name for player in (made.generator, made.discriminator) for name, p in named(player)}
    for name in ("matmul", "conv2d_weight_grad"):
        counted(
            monkeypatch, name, lambda result, *_: weights.get(result.shape, "the gradient of an input"), found
        )
    counted(monkeypatch, "batch_norm_grad", lambda *_: "generator.2", found)
    made.step()
    del found["the gradient of an input"]
    return found


def named(network):
    label = "generator" if isinstance(network[0], nn.Dense) else "discriminator"
    return [(f"{label}.{name}", p) for name, p in network.named_parameters() if name.endswith("weight")]


def chains(monkeypatch, d_steps):
    """How often each network's backward pass gives (its input's gradient, its weights' gradients)."""
    made, found = trainer(CHAINS, d_steps), Counter()
    counted(
        monkeypatch,
        "perceptron_grad",
        lambda _, gy, x, outputs, weights, slopes, asked, squashed: (weights[0].shape[1], *asked),
        found,
    )
    made.step()
    return found


def expected(count, d_steps):
    """D learns from two batches a turn, G from one; nothing else is computed."""
    if count is convolutions:
        ours = {"discriminator.0.weight": 2 * d_steps, "discriminator.3.weight": 2 * d_steps}
        return ours | {"generator.0.weight": 1, "generator.2": 1, "generator.3.weight": 1}
    return {(16, False, True): 2 * d_steps, (16, True, False): 1, (5, False, True): 1}


@pytest.mark.parametrize("d_steps", [1, 3])
@pytest.mark.parametrize("count", [convolutions, chains])
def test_only_the_gradients_that_somebody_needs_are_computed(count, d_steps, monkeypatch):
    assert count(monkeypatch, d_steps) == expected(count, d_steps)


WASTE = {
    "D is not frozen in G's turn": lambda m: m.setattr(base.nn, "frozen", lambda D: contextlib.nullcontext()),
    "G's batch is not detached in D's turn": lambda m: m.setattr(Tensor, "detach", lambda x: x),
}


@pytest.mark.parametrize("waste", WASTE)
@pytest.mark.parametrize("count", [convolutions, chains])
def test_the_count_sees_waste(count, waste, monkeypatch):
    WASTE[waste](monkeypatch)
    found, needed = count(monkeypatch, 1), expected(count, 1)
    assert found.total() > sum(needed.values()) or found != needed
    assert found != needed
