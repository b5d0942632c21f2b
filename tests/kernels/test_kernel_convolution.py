"""Convolutions against their formulas summed term by term, against PyTorch, and against each other."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawgan import kernels
from rawgan.kernels.checks import conv_transpose_output_size

SEEDS = st.integers(0, 2**32 - 1)
TRIPLE = ("conv2d", "conv_transpose2d", "conv2d_weight_grad")


def naive_conv2d(x, weight, bias, stride, padding):
    n, c, h, w = x.shape
    o, _, kh, kw = weight.shape
    p_size = (h + 2 * padding[0] - kh) // stride[0] + 1
    q_size = (w + 2 * padding[1] - kw) // stride[1] + 1
    y = np.zeros((n, o, p_size, q_size))
    for b, k, p, q in product(range(n), range(o), range(p_size), range(q_size)):
        y[b, k, p, q] = 0 if bias is None else bias[k]
        for i, a, e in product(range(c), range(kh), range(kw)):
            row, column = stride[0] * p + a - padding[0], stride[1] * q + e - padding[1]
            if 0 <= row < h and 0 <= column < w:
                y[b, k, p, q] += float(x[b, i, row, column]) * float(weight[k, i, a, e])
    return y


def naive_conv_transpose2d(x, weight, bias, stride, padding, output_padding):
    n, c, h, w = x.shape
    _, o, kh, kw = weight.shape
    p_size = (h - 1) * stride[0] - 2 * padding[0] + kh + output_padding[0]
    q_size = (w - 1) * stride[1] - 2 * padding[1] + kw + output_padding[1]
    y = np.zeros((n, o, p_size, q_size))
    if bias is not None:
        y += bias[:, None, None]
    for b, i, p, q, k, a, e in product(*map(range, (n, c, h, w, o, kh, kw))):
        row, column = stride[0] * p + a - padding[0], stride[1] * q + e - padding[1]
        if 0 <= row < p_size and 0 <= column < q_size:
            y[b, k, row, column] += float(x[b, i, p, q]) * float(weight[i, k, a, e])
    return y


def naive_conv2d_weight_grad(x, gy, kernel_size, stride, padding):
    n, c, h, w = x.shape
    o, p_size, q_size = gy.shape[1:]
    gw = np.zeros((o, c, *kernel_size))
    for b, k, p, q, i, a, e in product(*map(range, (n, o, p_size, q_size, c, *kernel_size))):
        row, column = stride[0] * p + a - padding[0], stride[1] * q + e - padding[1]
        if 0 <= row < h and 0 <= column < w:
            gw[k, i, a, e] += float(x[b, i, row, column]) * float(gy[b, k, p, q])
    return gw


NAIVE = {
    "conv2d": naive_conv2d,
    "conv_transpose2d": naive_conv_transpose2d,
    "conv2d_weight_grad": naive_conv2d_weight_grad,
}


def assert_close(got, wanted, dtype):
    assert got.shape == wanted.shape
    if wanted.size:
        tolerance = 1e-5 if dtype == np.float32 else 1e-12
        error = np.abs(got - wanted).max()
        assert error <= tolerance * max(1, np.abs(wanted).max())


@pytest.mark.parametrize("name", TRIPLE)
def test_textbook_is_the_formula(name):
    kernel = kernels.KERNELS[name]
    tried = 0
    for seed in range(400):
        arguments = kernel.contract.sample(np.random.default_rng(seed))
        if kernel.contract.flops(*arguments.values()) <= 10_000:
            got = kernel.implementation("reference")(**arguments)
            assert_close(got, NAIVE[name](**arguments), got.dtype)
            tried += 1
    assert tried >= 60


@pytest.mark.torch
@pytest.mark.parametrize("name", TRIPLE)
def test_pytorch_agrees(name):
    torch = pytest.importorskip("torch", reason="the witness, PyTorch, is not installed")
    kernel = kernels.KERNELS[name]
    for seed in range(60):
        arguments = kernel.contract.sample(np.random.default_rng(seed))
        if arguments["x"].size == 0:
            continue
        tensors = {
            key: torch.from_numpy(value.copy(order="C")) if isinstance(value, np.ndarray) else value
            for key, value in arguments.items()
        }
        if name == "conv2d_weight_grad":
            size = (tensors["gy"].shape[1], tensors["x"].shape[1], *tensors["kernel_size"])
            grad = torch.nn.grad.conv2d_weight
            wanted = grad(tensors["x"], size, tensors["gy"], tensors["stride"], tensors["padding"])
        else:
            tensors["input"] = tensors.pop("x")
            wanted = getattr(torch.nn.functional, name)(**tensors)
        got = kernel(**arguments)
        assert_close(got, wanted.numpy(), got.dtype)


def inner(a, b):
    return float(np.sum(a.astype(np.float64) * b.astype(np.float64)))


@settings(max_examples=80, deadline=None)
@given(seed=SEEDS)
def test_the_three_are_adjoint(seed):
    """⟨conv(x, w), y⟩ = ⟨x, convT(y, w)⟩ = ⟨w, gradW(x, y)⟩, float32 included."""
    rng = np.random.default_rng(seed)
    arguments = kernels.conv2d.contract.sample(rng) | {"bias": None}
    x, weight, stride, padding = (arguments[key] for key in ("x", "weight", "stride", "padding"))
    y = kernels.conv2d(**arguments)
    gy = rng.standard_normal(y.shape).astype(y.dtype)
    extra = tuple(
        x.shape[2 + i]
        - conv_transpose_output_size(y.shape[2 + i], weight.shape[2 + i], stride[i], padding[i], 0)
        for i in (0, 1)
    )
    gx = kernels.conv_transpose2d(gy, weight, None, stride, padding, extra)
    gw = kernels.conv2d_weight_grad(x, gy, weight.shape[2:], stride, padding)
    assert gx.shape == x.shape
    assert gw.shape == weight.shape
    tolerance = 1e-5 if x.dtype == np.float32 else 1e-12
    scale = max(1.0, np.linalg.norm(y) * np.linalg.norm(gy))
    assert abs(inner(y, gy) - inner(x, gx)) <= tolerance * scale
    assert abs(inner(y, gy) - inner(weight, gw)) <= tolerance * scale


@pytest.mark.parametrize("layer", kernels.conv2d.contract.cases)
def test_the_networks_own_layers_are_adjoint(layer):
    rng = np.random.default_rng(0)
    forward = kernels.conv2d.contract.cases[layer](rng)
    back = kernels.conv_transpose2d.contract.cases[layer](rng)
    y = kernels.conv2d(**forward)
    gx = kernels.conv_transpose2d(**back | {"weight": forward["weight"]})
    gw = kernels.conv2d_weight_grad(
        forward["x"], back["x"], forward["weight"].shape[2:], forward["stride"], forward["padding"]
    )
    scale = np.linalg.norm(y) * np.linalg.norm(back["x"])
    assert abs(inner(y, back["x"]) - inner(forward["x"], gx)) <= 1e-6 * scale
    assert abs(inner(y, back["x"]) - inner(forward["weight"], gw)) <= 1e-6 * scale


def test_nan_reaches_the_places_that_see_it_and_no_others():
    x = np.zeros((1, 2, 5, 5), np.float32)
    x[0, 1, 2, 2] = np.nan
    y = kernels.conv2d(x, np.ones((3, 2, 3, 3), np.float32), None, (1, 1), (0, 0))
    assert np.isnan(y).all()
    y = kernels.conv2d(x, np.ones((3, 2, 1, 1), np.float32), None, (1, 1), (0, 0))
    assert np.isnan(y).sum() == 3
    y = kernels.conv_transpose2d(x, np.ones((2, 3, 2, 2), np.float32), None, (2, 2), (0, 0), (0, 0))
    assert np.isnan(y).sum() == 3 * 4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("case", kernels.conv2d.contract.cases)
@pytest.mark.parametrize(("name", "spoiled"), [*product(TRIPLE, "x"), ("conv2d_weight_grad", "gy")])
def test_what_is_not_finite_stays_in_its_image_or_channel(name, spoiled, case, bad):
    """It is where the formula has it; how far it spreads from there is the contract's last sentence."""
    kernel, rng = kernels.KERNELS[name], np.random.default_rng(7)
    arguments = kernel.contract.cases[case](rng)
    arguments |= {key: arguments[key][:4].copy() for key in ("x", "gy") if key in arguments}
    whole = kernel(**arguments)
    place = tuple(int(rng.integers(n)) for n in arguments[spoiled].shape)
    arguments[spoiled][place] = bad
    with np.errstate(invalid="ignore"):
        got = kernel(**arguments)
        with kernels.use_kernels("reference"):
            needed = ~np.isfinite(kernel(**arguments))
    assert not np.isfinite(got[needed]).any()
    own = (slice(place[0], place[0] + 1), slice(None))
    if name == "conv2d_weight_grad":
        channel = slice(place[1], place[1] + 1)
        own = (slice(None), channel) if spoiled == "x" else (channel, slice(None))
    others = np.ones(got.shape, bool)
    others[own] = False
    assert np.array_equal(got[others], whole[others])


@pytest.mark.parametrize("name", TRIPLE)
def test_empty_batch(name):
    kernel = kernels.KERNELS[name]
    arguments = kernel.contract.cases["64@16 - 128@8 4x4"](np.random.default_rng(0))
    whole = kernel(**arguments)
    empty = kernel(**{key: v[:0] if key in ("x", "gy") else v for key, v in arguments.items()})
    if name == "conv2d_weight_grad":
        assert empty.shape == whole.shape
        assert not empty.any()
    else:
        assert empty.shape == (0, *whole.shape[1:])
