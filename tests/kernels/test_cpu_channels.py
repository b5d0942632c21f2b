"""Normalisation, pooling and the rectifier over many parts, widths that no vector divides, and one thread."""

import numpy as np
import pytest

from rawgan import kernels
from rawgan.kernels.cpu.team import team

# Several blocks of rows, pixels side by side in a row, columns in several parts, and a rest of each.
MATRICES = [(300, 1100), (128, 1031), (4096, 3), (1999, 19), (16, 64, 14, 14), (3, 100, 9, 7)]
IMAGES = [(40, 19, 13, 11), (9, 64, 14, 14), (33, 3, 12, 9)]


def images(shape):
    rng = np.random.default_rng(0)
    if len(shape) == 2:
        return rng.standard_normal(shape, np.float32)
    n, c, h, w = shape
    return rng.standard_normal((n, h, w, c), np.float32).transpose(0, 3, 1, 2)


def both_ways(kernel, *arguments):
    """The kernel's results by all threads, after these were found the same by one."""
    many = kernel(*arguments)
    with team().crew(2):  # taken: the kernel finds no helpers
        one = kernel(*arguments)
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (many, one)), strict=True):
        np.testing.assert_array_equal(a, b)
    return many


def assert_near(results, wanted, tolerance=1e-5):
    for result, exact in zip(results, wanted, strict=True):
        assert np.abs(result - exact).max() <= tolerance * np.abs(exact).max()


@pytest.mark.parametrize("shape", [*MATRICES, (128, 3, 32, 32), (2, 1, 70, 70), (3, 100, 7, 12)])
def test_channel_sum_of_many_blocks(shape):
    x = images(shape)
    sums = both_ways(kernels.channel_sum, x)
    wanted = x.sum(axis=(0, *range(2, x.ndim)), dtype=np.float64)
    assert sums.dtype == np.float32
    assert np.abs(sums - wanted).max() <= 1e-6 * x.size / x.shape[1]


@pytest.mark.parametrize("shape", MATRICES)
@pytest.mark.parametrize("offset", [0, 1000])
def test_batch_norm_of_many_blocks(shape, offset):
    x, gy = images(shape) + np.float32(offset), images(shape)[::-1]
    scale, shift = np.random.default_rng(1).standard_normal((2, shape[1]), np.float32)
    y, mean, var = both_ways(kernels.batch_norm, x, scale, shift, 1e-5)
    grads = both_ways(kernels.batch_norm_grad, gy, x, scale, mean, var, 1e-5)
    wide = [a.astype(np.float64) for a in (gy, x, scale, mean, var, shift)]
    with kernels.use_kernels("reference"):
        assert_near((y, mean, var), kernels.batch_norm(*wide[1:3], wide[5], 1e-5))
        assert_near(grads, kernels.batch_norm_grad(*wide[:5], 1e-5))


def test_a_first_row_far_from_all_others():
    """The mean is found from differences to that row: it is as exact as the deviation, not as itself."""
    x = images((512, 24))
    x[0] = 1e4
    _, mean, var = kernels.batch_norm(x, *np.ones((2, 24), np.float32), 1e-5)
    exact = x.mean(0, np.float64), x.var(0, dtype=np.float64)
    assert_near((mean, var), exact)
    assert (np.abs(mean - exact[0]) / np.sqrt(exact[1])).max() <= 1e-6


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("row", [0, 200])
def test_what_is_no_number_in_any_block_spoils_its_channel_as_the_textbook_says(value, row):
    x = images((300, 20))
    x[row, 7] = value
    arguments = x, *np.ones((2, 20), np.float32), 1e-5
    results = kernels.batch_norm(*arguments)
    with kernels.use_kernels("reference"), np.errstate(invalid="ignore"):
        for result, exact in zip(results, kernels.batch_norm(*arguments), strict=True):
            np.testing.assert_allclose(result, exact, 1e-4, 1e-5)


@pytest.mark.parametrize("shape", IMAGES)
@pytest.mark.parametrize("geometry", [((2, 2), (2, 2), (0, 0)), ((3, 4), (2, 1), (1, 2))])
def test_pooling_of_many_parts(shape, geometry):
    x = np.round(images(shape) * 2)  # ties
    x[np.random.default_rng(2).random(shape) < 0.05] = np.nan
    y, indices = both_ways(kernels.max_pool2d, x, *geometry)
    gathered = both_ways(kernels.max_pool2d_gather, x, indices)
    gy = images(y.shape)
    gx = both_ways(kernels.max_pool2d_scatter, gy, indices, shape[2:])
    in_order = kernels.max_pool2d_scatter(gy, np.ascontiguousarray(indices), shape[2:])
    with kernels.use_kernels("reference"):
        for result, exact in zip((y, indices), kernels.max_pool2d(x, *geometry), strict=True):
            np.testing.assert_array_equal(result, exact)
        np.testing.assert_array_equal(gathered, y)
        assert_near((gx, in_order), [kernels.max_pool2d_scatter(gy, indices, shape[2:])] * 2, 1e-6)


@pytest.mark.parametrize("wrong", [-1, 13 * 11, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (39, 18, 1, 1), (20, 18, 0, 1)])
def test_a_wrong_index_in_any_part_is_refused(wrong, place):
    x = images((40, 19, 13, 11))
    indices = np.zeros((40, 19, 2, 2), np.int32)
    indices[place] = wrong
    with pytest.raises(kernels.errors.ShapeError, match=r"outside the plane \(13, 11\)"):
        kernels.max_pool2d_gather(x, indices)
    with pytest.raises(kernels.errors.ShapeError, match=r"outside the plane \(13, 11\)"):
        kernels.max_pool2d_scatter(np.ones(indices.shape, np.float32), indices, (13, 11))


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_the_rectifier_over_many_parts(slope):
    x = images((3, 77_777))
    y = both_ways(kernels.leaky_relu, x, slope)
    gx = both_ways(kernels.leaky_relu_grad, x[::-1], y, slope)
    with kernels.use_kernels("reference"):
        np.testing.assert_array_equal(y, kernels.leaky_relu(x, slope))
        np.testing.assert_array_equal(gx, kernels.leaky_relu_grad(x[::-1], y, slope))
