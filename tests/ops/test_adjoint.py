"""Bilinear operations: ⟨f(x, w), y⟩ = ⟨x, f_x*(y, w)⟩ = ⟨w, f_w*(x, y)⟩, at any size and in float32 too.

These identities need no small step, so they hold at the sizes that networks have, up to the rounding of sums.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rawgan
from rawgan import kernels, ops

ROUNDING = {"float32": 2e-6, "float64": 1e-14}


def agree(dtype, *pairs):
    """The inner products ⟨a, b⟩ are one number, judged against √(Σ (a·b)²), what random signs leave of it."""
    terms = [np.asarray(a, np.float64) * np.asarray(b, np.float64) for a, b in pairs]
    scale = max(np.sqrt(np.sum(t * t)) for t in terms)
    products = [np.sum(t) for t in terms]
    size = max(t.size for t in terms)
    for p in products[1:]:
        assert abs(p - products[0]) <= ROUNDING[dtype] * (10 * scale + 1e-3 * np.sqrt(size)), products


def random(rng, dtype, *shape):
    return rng.normal(size=shape).astype(dtype)


def conv_triple(x, w, y, stride, padding):
    """The three maps of the trilinear form, each against the argument left open."""
    spare = tuple(
        (n + 2 * p - k) % s for n, k, s, p in zip(x.shape[2:], w.shape[2:], stride, padding, strict=True)
    )
    return (
        (ops.conv2d(x, w, None, stride, padding), y),
        (ops.conv_transpose2d(y, w, None, stride, padding, spare), x),
        (ops.conv2d_weight_grad(x, y, w.shape[2:], stride, padding), w),
    )


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.integers(1, 5)] * 2),
    st.tuples(*[st.integers(1, 4)] * 2),
    st.tuples(*[st.integers(0, 3)] * 2),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(kernels.CHOICES),
)
def test_convolutions(seed, kernel, stride, padding, dtype, column):
    rng = np.random.default_rng(seed)
    n, c, o = rng.integers(1, 5, 3)
    size = [int(rng.integers(max(1, k - 2 * p), 12)) for k, p in zip(kernel, padding, strict=True)]
    x, w = random(rng, dtype, n, c, *size), random(rng, dtype, o, c, *kernel)
    with kernels.use_kernels(column):
        y = random(rng, dtype, *ops.conv2d(x, w, None, stride, padding).shape)
        agree(dtype, *conv_triple(x, w, y, stride, padding))


REAL = {  # x, w, stride, padding: the layers of the MNIST and CIFAR networks
    "1-64 5x5": ((16, 1, 28, 28), (64, 1, 5, 5), (2, 2), (2, 2)),
    "64-128 5x5": ((16, 64, 14, 14), (128, 64, 5, 5), (2, 2), (2, 2)),
    "128-256 5x5": ((16, 128, 7, 7), (256, 128, 5, 5), (1, 1), (2, 2)),
    "64-128 4x4": ((8, 64, 16, 16), (128, 64, 4, 4), (2, 2), (1, 1)),
    "3-64 4x4": ((8, 3, 32, 32), (64, 3, 4, 4), (2, 2), (1, 1)),
}


@pytest.mark.parametrize("column", kernels.CHOICES)
@pytest.mark.parametrize("layer", sorted(REAL))
def test_convolutions_at_real_sizes(layer, column):
    rng = np.random.default_rng(1)
    x_shape, w_shape, stride, padding = REAL[layer]
    x, w = random(rng, "float32", *x_shape), random(rng, "float32", *w_shape)
    with kernels.use_kernels(column):
        first = ops.conv2d(x, w, None, stride, padding)
        agree("float32", *conv_triple(x, w, random(rng, "float32", *first.shape), stride, padding))


@pytest.mark.parametrize("column", kernels.CHOICES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (128, 784, 128), (3, 50, 2), (256, 128, 1)])
def test_matmul_and_dense(sizes, dtype, column):
    rng = np.random.default_rng(2)
    m, k, n = sizes
    a, b, y = random(rng, dtype, m, k), random(rng, dtype, k, n), random(rng, dtype, m, n)
    with kernels.use_kernels(column):
        agree(dtype, (ops.matmul(a, b), y), (a, ops.matmul(y, b.T)), (b, ops.matmul(a.T, y)))
        agree(dtype, (ops.dense(a, b.T.copy()), y), (a, ops.dense(y, b)))


@pytest.mark.parametrize("column", kernels.CHOICES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding"), [((2, 3, 7, 9), 3, 2, 1), ((16, 32, 28, 28), 2, 2, 0)]
)
def test_pooling_gathers_what_it_scatters(shape, kernel, stride, padding, dtype, column):
    rng = np.random.default_rng(3)
    x, other = random(rng, dtype, *shape), random(rng, dtype, *shape)
    with kernels.use_kernels(column):
        _, indices = kernels.max_pool2d(x, (kernel, kernel), (stride, stride), (padding, padding))
        y = random(rng, dtype, *indices.shape)
        gathered = ops.OPS["max_pool2d_gather"](other, indices=indices)
        scattered = ops.OPS["max_pool2d_scatter"](y, indices=indices, shape=shape[2:])
        agree(dtype, (gathered, y), (other, scattered))


@settings(max_examples=30)
@given(st.data())
def test_indexing_gathers_what_it_scatters(data):
    from drawing import drawn
    from samples import SAMPLES

    case = SAMPLES["getitem"].draw(drawn(data))
    (x,), index = case.inputs, case.attrs["index"]
    part = case.raw(x)
    y = np.asarray(np.random.default_rng(0).normal(size=part.shape))
    agree("float64", (part, y), (x, ops.OPS["scatter_add"](y, index=index, shape=x.shape)))


def test_a_bias_gradient_over_many_channels_last_pictures_keeps_its_digits():
    """As convolutions return them; one float32 sum over 100,000 values in memory order would lose three."""
    random = np.random.default_rng(0)
    gy = random.normal(size=(128, 28, 28, 4)).astype(np.float32).transpose(0, 3, 1, 2)
    x = rawgan.tensor(random.normal(size=(128, 1, 28, 28)), dtype="float32")
    bias = rawgan.tensor(np.zeros(4), dtype="float32", requires_grad=True)
    ops.conv2d(x, random.normal(size=(4, 1, 1, 1)).astype(np.float32), bias).backward(gy)
    want = gy.sum(axis=(0, 2, 3), dtype=np.float64)
    assert np.abs(bias.grad - want).max() <= 1e-3
