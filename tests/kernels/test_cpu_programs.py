"""Fast algorithms as matrices, in float64: y = Dᵀ[(V w) · (U x)] is the convolution."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawgan.kernels.cpu import bilinear
from rawgan.kernels.cpu.programs import Program, toom_cook
from rawgan.kernels.reference.convolution import conv2d


@st.composite
def programs(draw):
    program = Program(draw(st.integers(1, 4)))
    coefficients = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0])
    made = list(range(program.inputs))
    for _ in range(draw(st.integers(0, 6))):
        values = draw(st.lists(st.sampled_from([None, *made]), max_size=4))
        made.append(program.add([(draw(coefficients), value) for value in values]))
    program.outputs = draw(st.lists(st.sampled_from([None, *made]), min_size=1, max_size=5))
    return program


@given(programs())
def test_transpose_is_the_transposed_matrix(program):
    np.testing.assert_array_equal(program.transpose().matrix(), program.matrix().T)


@given(st.integers(1, 5), st.integers(1, 3))
def test_toom_cook_is_a_correlation(outputs, taps):
    points = [Fraction(n, d) for n, d in ((0, 1), (1, 1), (-1, 1), (2, 1), (-2, 1), (1, 2))]
    b, g, a = toom_cook(outputs, taps, points[: outputs + taps - 2])
    for u in range(taps):
        wanted = np.eye(outputs, outputs + taps - 1, u)
        got = a.T @ (g[:, u, None] * b)
        assert np.abs(got - wanted).max() <= 1e-13


def assert_is_the_convolution(known, image, plane, kernel, stride, padding):
    """Through the matrices of its programs, on a random image and kernel."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(image), rng.standard_normal(kernel)
    terms = np.zeros((known.planes, known.tiles))
    for phase in known.phases:
        u = phase.image.matrix() @ x.ravel()[list(phase.pixels)]
        v = phase.weight.matrix() @ w.ravel()[list(phase.taps)]
        terms += u.reshape(terms.shape) * v[:, None]
    y = (known.result.matrix().T @ terms.ravel()).reshape(plane)
    # Beyond the last place of conv2d lie pixels that only a transposed convolution's output padding makes.
    wanted = conv2d(x[None, None], w[None, None], None, stride, padding)[0, 0]
    assert wanted.shape == plane
    assert np.abs(y - wanted).max() <= 1e-12 * max(1, np.abs(wanted).max())


def plane_of(image, kernel, stride, padding):
    return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(image, kernel, stride, padding, strict=True))


@st.composite
def geometries(draw):
    kernel = tuple(draw(st.integers(1, 5)) for _ in range(2))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(2))
    padding = tuple(draw(st.integers(0, 3)) for _ in range(2))
    image = tuple(max(1, k - 2 * p) + draw(st.integers(0, 7)) for k, p in zip(kernel, padding, strict=True))
    return image, plane_of(image, kernel, stride, padding), kernel, stride, padding


@settings(max_examples=60, deadline=None)
@given(geometries(), st.sampled_from(["_by_tiles", "_by_fourier"]))
def test_algorithms_are_the_convolution(geometry, make):
    image, plane, kernel, stride, padding = geometry
    lines = [bilinear._lines(*sizes) for sizes in zip(image, kernel, stride, padding, strict=True)]
    if not all(line.pixels and line.taps for axis in lines for line in axis):
        return
    known = getattr(bilinear, make)(*lines, plane, image[1], kernel[1])
    if known is not None:
        assert_is_the_convolution(known, *geometry)
        for program in (known.result, *[p for phase in known.phases for p in (phase.image, phase.weight)]):
            np.testing.assert_allclose(program.transpose().matrix(), program.matrix().T, atol=1e-12)


@pytest.mark.parametrize(
    ("image", "kernel", "stride", "padding", "name", "products"),
    [
        (7, 5, 1, 2, "Fourier 9x9", 121),
        (14, 5, 2, 2, "Fourier 8x8", 4 * 94),
        (16, 4, 2, 1, "F(4x4, 2x2)", 4 * 4 * 25),
        (8, 4, 2, 1, "F(4x4, 2x2)", 4 * 25),
    ],
)
def test_the_networks_own_layers(image, kernel, stride, padding, name, products):
    pairs = [(n, n) for n in (image, kernel, stride, padding)]
    plane = plane_of(*pairs)
    known = bilinear.algorithm(pairs[0], plane, *pairs[1:])
    assert (known.name, known.products) == (name, products)
    assert_is_the_convolution(known, pairs[0], plane, *pairs[1:])
