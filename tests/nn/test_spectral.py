"""Spectral normalisation against the singular value decomposition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_table import functional

import rawgan
from rawgan import nn, ops, rng

LAYERS = {
    "Dense": lambda: nn.Dense(5, 7),
    "Conv2d": lambda: nn.Conv2d(3, 4, (2, 3)),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(3, 4, (2, 3), stride=2),
}
INPUTS = {"Dense": (2, 5), "Conv2d": (2, 3, 3, 3), "ConvTranspose2d": (2, 3, 2, 2)}


def matrix(layer):
    w = layer.weight.data
    if isinstance(layer, nn.ConvTranspose2d):
        w = w.swapaxes(0, 1)
    return w.reshape(w.shape[0], -1)


def made(name, seed):
    with rng.use_generator(rng.Generator(seed)):
        return nn.SpectralNorm(LAYERS[name]()).to(dtype="float64")


def effective(spectral):
    """The weight that the layer really uses."""
    used = []
    layer = spectral.layer
    layer.affine, before = lambda x, weight: used.append(weight.data) or before(x, weight), layer.affine
    spectral(np.zeros(INPUTS[type(layer).__name__]))
    layer.affine = before
    return used[0]


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=6)
@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
def test_the_largest_singular_value_becomes_one(name, seed, scale):
    spectral = made(name, seed)
    layer = spectral.layer
    layer.weight.copy_(scale * np.random.default_rng(seed).normal(size=layer.weight.shape))
    largest = np.linalg.svd(matrix(layer), compute_uv=False)[0]
    x = np.random.default_rng(0).normal(size=INPUTS[name])
    for _ in range(300):  # each training call is one step of the power method
        spectral(x)
    used = effective(spectral.eval())
    assert np.max(np.abs(used * largest - layer.weight.data)) <= 1e-4 * np.max(np.abs(layer.weight.data))
    assert abs(np.linalg.svd(matrix(layer) / largest, compute_uv=False)[0] - 1) <= 1e-12


@pytest.mark.parametrize("name", LAYERS)
def test_the_first_estimate_is_near(name):
    for seed in range(20):
        spectral = made(name, seed)
        largest = np.linalg.svd(matrix(spectral.layer), compute_uv=False)[0]
        ratio = np.max(np.abs(spectral.layer.weight.data)) / np.max(np.abs(effective(spectral)))
        assert 0.8 * largest <= ratio <= largest * (1 + 1e-6)  # uᵀWv never exceeds the singular value


@pytest.mark.parametrize("name", LAYERS)
def test_gradient_with_the_singular_vectors_held(name):
    spectral = made(name, 3)
    f, parameters = functional(spectral)
    x = np.random.default_rng(1).normal(size=INPUTS[name])
    assert rawgan.gradcheck(f, x, *parameters, order=2)


def test_gradient_by_the_formula():
    """Miyato et al., equation 12: for L(W/σ) with G = ∂L/∂(W/σ), ∂L/∂W = (G − ⟨G, W/σ⟩ u vᵀ) / σ."""
    spectral = made("Dense", 4)
    w = spectral.layer.weight.data
    G = np.random.default_rng(2).normal(size=w.shape)
    v = w.T @ spectral.u
    v = v / np.linalg.norm(v)
    (spectral(rawgan.tensor(np.eye(5))) * G.T).sum().backward()
    sigma = spectral.u @ w @ v
    want = (G - np.sum(G * w / sigma) * np.outer(spectral.u, v)) / sigma
    assert np.max(np.abs(spectral.layer.weight.grad - want)) <= 1e-9


def test_eval_leaves_the_state_alone_and_training_moves_it():
    spectral = made("Dense", 1)
    before = spectral.state_dict()["u"]
    spectral.eval()(np.ones((1, 5)))
    assert np.array_equal(spectral.state_dict()["u"], before)
    spectral.train()(np.ones((1, 5)))
    assert not np.array_equal(spectral.state_dict()["u"], before)
    assert abs(np.linalg.norm(spectral.u) - 1) <= 1e-9


def test_frozen_layer_costs_no_weight_gradient():
    spectral = made("Dense", 1)
    x = rawgan.tensor(np.ones((1, 5)), requires_grad=True)
    with nn.frozen(spectral):
        ops.sum(spectral(x)).backward()
    assert spectral.layer.weight.grad is None
    assert x.grad is not None
