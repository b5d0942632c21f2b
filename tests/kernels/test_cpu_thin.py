"""Convolutions from and to images of few channels, against the textbook in float64."""

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from rawgan import kernels
from rawgan.kernels.cpu import team, thin
from rawgan.kernels.cpu.vector import LANES, VECTORS
from rawgan.kernels.reference import convolution as reference

PAIRS = st.tuples(st.integers(1, 5), st.integers(1, 5))


@settings(max_examples=80, deadline=None)
@given(
    kernel=PAIRS,
    stride=PAIRS,
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    beyond=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    sizes=st.tuples(
        st.sampled_from([0, 1, 3, 9]), st.integers(1, thin.CHANNELS), st.integers(1, 2 * VECTORS)
    ),
    biased=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@example((1, 1), (5, 5), (3, 3), (0, 0), (3, 1, VECTORS), True, 0)
def test_forced_paths_agree_with_the_textbook(kernel, stride, padding, beyond, sizes, biased, seed):
    rng = np.random.default_rng(seed)
    n, channels, vectors = sizes
    plane = [max(1, k - 2 * p) + more for k, p, more in zip(kernel, padding, beyond, strict=True)]
    x = rng.standard_normal((n, *plane, channels), np.float32)
    weight = rng.standard_normal((vectors * LANES, channels, *kernel), np.float32)
    bias = rng.standard_normal(len(weight), np.float32) if biased else None
    wide = x.transpose(0, 3, 1, 2).astype(np.float64)
    wanted = reference.conv2d(wide, weight.astype(np.float64), bias, stride, padding)
    got = thin.conv2d(x, weight, bias, wanted.shape[2:], stride, padding).transpose(0, 3, 1, 2)
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max(initial=0) <= 1e-5 * np.abs(wanted).max(initial=1)

    gy = rng.standard_normal((n, *wanted.shape[2:], len(weight)), np.float32)
    wide_gy = gy.transpose(0, 3, 1, 2).astype(np.float64)
    wanted = reference.conv2d_weight_grad(wide, wide_gy, kernel, stride, padding)
    got = thin.conv2d_weight_grad(x, gy, kernel, stride, padding)
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max(initial=1)


@settings(max_examples=80, deadline=None)
@given(
    kernel=PAIRS,
    stride=PAIRS,
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    beyond=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    plane=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    sizes=st.tuples(st.sampled_from([0, 1, 3, 9]), st.integers(1, thin.CHANNELS), st.integers(1, 40)),
    biased=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@example((5, 5), (5, 5), (0, 0), (4, 4), (2, 3), (1, 4, 7), True, 0)
@example((4, 4), (2, 2), (1, 1), (0, 0), (9, 9), (9, 3, 64), True, 0)
def test_the_way_back_agrees_with_the_textbook(kernel, stride, padding, beyond, plane, sizes, biased, seed):
    rng = np.random.default_rng(seed)
    n, channels, deep = sizes
    beyond = [min(more, s - 1) for more, s in zip(beyond, stride, strict=True)]
    axes = list(zip(plane, kernel, stride, padding, beyond, strict=True))
    image = [(p - 1) * s - 2 * pad + k + more for p, k, s, pad, more in axes]
    assume(min(image) > 0)
    x = rng.standard_normal((n, *plane, deep), np.float32)
    weight = rng.standard_normal((deep, channels, *kernel), np.float32)
    bias = rng.standard_normal(channels, np.float32) if biased else None
    wide = x.transpose(0, 3, 1, 2).astype(np.float64)
    wanted = reference.conv_transpose2d(wide, weight.astype(np.float64), bias, stride, padding, beyond)
    got = thin.conv_transpose2d(x, weight, bias, image, stride, padding).transpose(0, 3, 1, 2)
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max(initial=0) <= 1e-5 * np.abs(wanted).max(initial=1)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d", "conv2d_weight_grad"])
@pytest.mark.parametrize("layer", ["1@28 - 64@14 5x5", "3@32 - 64@16 4x4"])
def test_the_networks_own_layers_come_here(name, layer, monkeypatch):
    arguments = kernels.KERNELS[name].contract.cases[layer](np.random.default_rng(0))
    ran = []
    inner = getattr(thin, name)
    monkeypatch.setattr(thin, name, lambda *a: ran.append(name) or inner(*a))
    got = getattr(kernels, name)(**arguments)
    wide = {k: v.astype(np.float64) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    wanted = getattr(kernels, name)(**wide)
    assert ran == [name]
    assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d", "conv2d_weight_grad"])
def test_the_same_bits_from_any_team(name, monkeypatch):
    arguments = kernels.KERNELS[name].contract.cases["3@32 - 64@16 4x4"](np.random.default_rng(0))
    results = []
    for threads in (1, 2, 4):
        crew = team.Team(threads)
        monkeypatch.setattr(team, "team", lambda crew=crew: crew)
        results += [getattr(kernels, name)(**arguments) for _ in range(3)]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
