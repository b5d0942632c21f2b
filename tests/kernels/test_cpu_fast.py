"""The fast convolutions, forced, against the textbook in float64; and the rule that chooses them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawgan import kernels
from rawgan.kernels.checks import conv_transpose_output_size
from rawgan.kernels.cpu import bilinear, fast
from rawgan.kernels.cpu.fast import Fast, Shape
from rawgan.kernels.cpu.transform import HALF
from rawgan.kernels.cpu.vector import LANES
from rawgan.kernels.reference import convolution as reference

TOLERANCE = 1e-5  # of the largest output, the contract's


@st.composite
def shapes(draw):
    kernel = tuple(draw(st.integers(1, 5)) for _ in range(2))
    stride = tuple(draw(st.integers(1, min(3, k))) for k in kernel)
    padding = tuple(draw(st.integers(0, 2)) for _ in range(2))
    image = tuple(
        max(s, k - 2 * p) + draw(st.integers(0, 6)) for k, s, p in zip(kernel, stride, padding, strict=True)
    )
    plane = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(image, kernel, stride, padding, strict=True))
    into, out = (HALF + LANES * draw(st.integers(0, 7)) for _ in range(2))
    images = draw(st.integers(1, 5) | st.integers(fast.GROUPS, 2 * fast.GROUPS + 1))
    return Shape(images, into, out, image, plane, kernel, stride, padding)


def channels_last(rng, n, plane, channels):
    return rng.standard_normal((n, *plane, channels), np.float32)


def assert_near(got, wanted):
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= TOLERANCE * max(1, np.abs(wanted).max())


@settings(max_examples=40, deadline=None)
@given(shapes(), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_forced_paths_agree_with_the_textbook(shape, seed, biased, by_image):
    known = bilinear.algorithm(shape.image, shape.plane, shape.kernel, shape.stride, shape.padding)
    if known is None:
        return
    rng = np.random.default_rng(seed)
    path = Fast(shape, known)
    x = channels_last(rng, shape.images, shape.image, shape.into)
    y = channels_last(rng, shape.images, shape.plane, shape.out)
    weight = rng.standard_normal((shape.out, shape.into, *shape.kernel), np.float32)
    wide = [a.transpose(0, 3, 1, 2).astype(np.float64) for a in (x, y)]
    double = weight.astype(np.float64)
    bias = rng.standard_normal(max(shape.into, shape.out), np.float32) if biased else None
    before, behind = (None if bias is None else bias[:n] for n in (shape.into, shape.out))
    extra = tuple(
        n - conv_transpose_output_size(m, k, s, p, 0)
        for n, m, k, s, p in zip(
            shape.image, shape.plane, shape.kernel, shape.stride, shape.padding, strict=True
        )
    )
    steps = shape.stride, shape.padding
    wanted = reference.conv2d(wide[0], double, behind, *steps)
    assert_near(path.conv2d(x, weight, behind).transpose(0, 3, 1, 2), wanted)
    wanted = reference.conv_transpose2d(wide[1], double, before, *steps, extra)
    assert_near(path.conv_transpose2d(y, weight, before).transpose(0, 3, 1, 2), wanted)
    wanted = reference.conv2d_weight_grad(*wide, shape.kernel, *steps)
    path.by_image = by_image and shape.images >= fast.GROUPS
    got = path.conv2d_weight_grad(x, y).reshape(shape.out, *shape.kernel, shape.into)
    assert_near(got.transpose(0, 3, 1, 2), wanted)


LAYERS = ("64@14 - 128@7 5x5", "128@7 - 256@7 5x5", "64@16 - 128@8 4x4", "128@8 - 256@4 4x4")


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d", "conv2d_weight_grad"])
def test_the_networks_own_layers_take_the_fast_path(layer, name, monkeypatch):
    arguments = kernels.KERNELS[name].contract.cases[layer](np.random.default_rng(0))
    ran = []
    inner = getattr(Fast, name)
    monkeypatch.setattr(Fast, name, lambda self, *a: ran.append(self.known.name) or inner(self, *a))
    got = getattr(kernels, name)(**arguments)
    assert len(ran) == 1
    wide = {k: v.astype(np.float64) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    assert_near(got, getattr(kernels, name)(**wide))
    assert len(ran) == 1, "float64 took the fast path"


def shape(**changes):
    given = {"images": 128, "into": 64, "out": 128, "image": (16, 16), "plane": (8, 8)}
    return Shape(**given | {"kernel": (4, 4), "stride": (2, 2), "padding": (1, 1)} | changes)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "F(4x4, 2x2)"),
        ({"images": 1}, None),
        ({"into": 3}, None),
        ({"out": 101}, None),
        ({"image": (4, 4), "plane": (1, 1), "stride": (1, 1), "padding": (0, 0)}, None),
        ({"image": (9, 9), "plane": (9, 9), "kernel": (1, 1), "stride": (1, 1), "padding": (0, 0)}, None),
    ],
)
def test_the_rule(changes, name):
    found = fast.fast(shape(**changes))
    assert (found and found.known.name) == name
