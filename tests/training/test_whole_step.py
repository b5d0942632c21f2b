"""Whole training steps at the recipes' sizes: fast kernels against the textbook's, any number of threads."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from rawgan import data, kernels, recipes
from rawgan.training.step import Trainer

SHAPES = {"mlp": (1, 28, 28), "dcgan_mnist": (1, 28, 28), "dcgan_cifar10": (3, 32, 32), "mixture": (2,)}


def trainer(name, batch):
    shape = SHAPES[name]
    rng = np.random.default_rng(0)
    source = "ring" if len(shape) == 1 else rng.integers(0, 256, (4 * batch, *shape), np.uint8)
    source = data.load(source)
    return Trainer(recipes.make(name, batch_size=batch), source.shape, source, seed=1)


def gradients(name, column):
    """Both players' gradients of one step from the recipe's first weights, before any update."""
    with kernels.use_kernels(column):
        made = trainer(name, 16)
        for optimizer in made.optimizers.values():
            optimizer.lr = 0.0
        made.step()
    return {
        f"{player}.{key}": tensor.grad.astype(np.float64)
        for player, network in made.networks.items()
        for key, tensor in network.named_parameters()
    }


@pytest.mark.parametrize("name", SHAPES)
def test_gradients_agree_with_the_textbook(name):
    fast, wanted = gradients(name, "fast"), gradients(name, "reference")
    assert fast.keys() == wanted.keys()
    for key, g in wanted.items():
        assert np.linalg.norm(fast[key] - g) <= 1e-4 * np.linalg.norm(g), key


def digest(name):
    """Of all that two steps leave, as hexadecimal digits."""
    made = trainer(name, 16)
    made.step(), made.step()
    state = made.state()[0]
    return hashlib.sha256(b"".join(state[key].tobytes() for key in sorted(state))).hexdigest()


@pytest.mark.parametrize("name", SHAPES)
def test_the_same_bits_with_any_number_of_threads(name):
    code = f"from test_whole_step import digest; print(digest({name!r}))"
    found = set()
    for threads in ("1", "2", "3"):
        environment = os.environ | {"RAWGAN_NUM_THREADS": threads, "PYTHONPATH": os.path.dirname(__file__)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1
