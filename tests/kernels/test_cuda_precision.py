"""TF32: products of factors cut to ten binary digits, added in float32; and only where it was asked for."""

import numpy as np
import pytest

import rawgan
from rawgan import kernels
from rawgan.kernels.cuda import host
from rawgan.kernels.errors import ConfigError

pytestmark = pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")

CASES = {
    "matmul": [((70, 33), (33, 130)), ((2, 5, 300), (2, 300, 9)), ((1, 1), (1, 1))],
    "conv2d": [
        ((2, 5, 9, 9), (7, 5, 3, 3), None, (2, 2), (1, 1)),
        ((1, 16, 8, 8), (70, 16, 4, 4), None, (2, 2), (1, 1)),
    ],
    "conv_transpose2d": [((2, 12, 5, 5), (12, 9, 4, 4), None, (2, 2), (1, 1), (0, 0))],
    "conv2d_weight_grad": [((3, 6, 9, 9), (3, 20, 5, 5), (3, 3), (2, 2), (1, 1))],
}  # fmt: skip


def cut(x):
    """To TF32: the nearest, ties away from zero."""
    bits = x.view(np.uint32) + np.uint32(0x1000)
    return (bits & np.uint32(0xFFFFE000)).view(np.float32)


def drawn(shapes):
    rng = np.random.default_rng(0)
    return [
        rng.standard_normal(shape).astype(np.float32) if i < 2 else shape for i, shape in enumerate(shapes)
    ]


@pytest.mark.parametrize("order", [0, 3])
@pytest.mark.parametrize("name", CASES)
def test_products_are_those_of_cut_factors(name, order):
    kernel = kernels.KERNELS[name]
    for shapes in CASES[name]:
        a, b, *rest = drawn(shapes)
        wanted = kernel.implementation("reference")(*(cut(x).astype(np.float64) for x in (a, b)), *rest)
        with rawgan.use_precision("tf32"), host.use_seed(order):
            found = np.asarray(kernel(host.on_device(a), host.on_device(b), *rest))
        exact = np.asarray(kernel(host.on_device(a), host.on_device(b), *rest))
        largest = np.abs(wanted).max()
        assert np.abs(found - wanted).max() <= 3e-6 * largest
        if largest > 2:  # of a single product the cut may change nothing
            assert np.abs(exact - wanted).max() > 1e-5 * largest


@pytest.mark.parametrize("name", CASES)
def test_float64_is_never_cut(name):
    kernel = kernels.KERNELS[name]
    a, b, *rest = drawn(CASES[name][0])
    a, b = host.on_device(a.astype(np.float64)), host.on_device(b.astype(np.float64))
    with rawgan.use_precision("tf32"):
        found = kernel(a, b, *rest)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(kernel(a, b, *rest)))


def test_the_cpu_does_not_cut_and_other_words_are_refused():
    a, b = drawn(CASES["matmul"][0])
    with rawgan.use_precision("tf32"):
        found = kernels.matmul(a, b)
        with rawgan.use_precision("fp32"):
            assert kernels.precision.precision() == "fp32"
        assert kernels.precision.precision() == "tf32"
    np.testing.assert_array_equal(found, kernels.matmul(a, b))
    with (
        pytest.raises(ConfigError, match="unknown precision 'half'; there are fp32, tf32"),
        rawgan.use_precision("half"),
    ):
        pass


def test_training_in_tf32_stays_near():
    settings = {
        "steps": 3,
        "batch_size": 8,
        "data": "digits",
        "device": "cuda-sim",
        "progress": False,
        "out": None,
    }
    exact = rawgan.train("dcgan_mnist", width=2, **settings)
    with rawgan.use_precision("tf32"):
        near = rawgan.train("dcgan_mnist", width=2, **settings)
    for name in ("d_loss", "g_loss"):
        difference = np.abs(near.history[name] - exact.history[name])
        assert 0 < difference.max() <= 1e-2
