"""Exact answers and hard inputs of pooling, normalisation, activation, Adam and sums."""

import numpy as np
import pytest

from rawgan import kernels
from rawgan.kernels.cpu.activation import rectify
from rawgan.kernels.cpu.jit import jit
from rawgan.kernels.cpu.memory import location, scratch
from rawgan.kernels.cpu.vector import LANES
from rawgan.kernels.reference import activation as reference

both_choices = pytest.mark.parametrize("choice", kernels.CHOICES)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(params=kernels.CHOICES)
def choice(request):
    with kernels.use_kernels(request.param):
        yield request.param


def pool(plane, kernel_size=(2, 2), stride=(2, 2), padding=(0, 0)):
    y, indices = kernels.max_pool2d(np.array(plane, np.float32)[None, None], kernel_size, stride, padding)
    return y[0, 0].tolist(), indices[0, 0].tolist()


def test_first_maximum_wins_a_tie(choice):
    assert pool([[1, 1], [1, 1]]) == ([[1]], [[0]])
    assert pool([[0, 2], [2, 2]]) == ([[2]], [[1]])


def test_first_nan_wins(choice):
    y, indices = pool([[9, np.nan], [np.nan, np.inf]])
    assert np.isnan(y[0][0])
    assert indices == [[1]]


def test_padding_never_wins(choice):
    low = -np.inf
    assert pool([[low, low], [low, low]], (2, 2), (2, 2), (1, 1)) == (
        [[low, low], [low, low]],
        [[0, 1], [2, 3]],
    )


def test_overlapping_windows_add_up(choice):
    x = np.zeros((1, 1, 3, 3), np.float64)
    x[0, 0, 1, 1] = 1
    y, indices = kernels.max_pool2d(x, (2, 2), (1, 1), (0, 0))
    assert (indices == 4).all()
    gx = kernels.max_pool2d_scatter(np.arange(1.0, 5.0).reshape(1, 1, 2, 2), indices, (3, 3))
    assert gx[0, 0].tolist() == [[0, 0, 0], [0, 10, 0], [0, 0, 0]]
    assert (kernels.max_pool2d_gather(x, indices) == y).all()


@pytest.mark.parametrize("index", [-1, 12])
def test_an_index_outside_the_plane_is_refused(choice, index):
    indices = np.zeros((2, 3, 2, 2), np.int32)
    indices[1, 2, 1, 1] = index
    with pytest.raises(kernels.errors.ShapeError, match=r"outside the plane \(3, 4\)"):
        kernels.max_pool2d_scatter(np.ones(indices.shape), indices, (3, 4))
    with pytest.raises(kernels.errors.ShapeError, match=r"outside the plane \(3, 4\)"):
        kernels.max_pool2d_gather(np.ones((2, 3, 3, 4)), indices)


@both_dtypes
@pytest.mark.parametrize("shape", [(4096, 3), (64, 3, 20, 31), (300, 1100)])
def test_batch_norm_far_from_zero(choice, dtype, shape):
    """Mean 1000, deviation 1: the sum of squares in float32 would have no digit left for the variance."""
    x = (1000 + np.random.default_rng(0).standard_normal(shape)).astype(dtype)
    c = shape[1]
    y, mean, var = kernels.batch_norm(x, np.ones(c, dtype), np.zeros(c, dtype), 0.0)
    wide = x.astype(np.longdouble)
    axes = tuple(i for i in range(x.ndim) if i != 1)
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    assert np.abs(mean / wide.mean(axes) - 1).max() <= tolerance
    assert np.abs(var / wide.var(axes) - 1).max() <= tolerance
    assert np.abs(y.mean(axes, np.float64)).max() <= 1e-5
    assert np.abs(y.std(axes, dtype=np.float64) - 1).max() <= 1e-5


def test_batch_norm_grad_is_orthogonal_to_what_normalisation_removes(choice):
    """gx sums to 0 and is orthogonal to x − mean (up to eps): shifts and scalings of x do not change y."""
    rng = np.random.default_rng(0)
    x, gy = rng.standard_normal((2, 7, 5, 4, 3))
    scale = rng.standard_normal(5)
    _, mean, var = kernels.batch_norm(x, scale, scale, 1e-12)
    gx, _, _ = kernels.batch_norm_grad(gy, x, scale, mean, var, 1e-12)
    assert np.abs(gx.sum((0, 2, 3))).max() <= 1e-9
    assert np.abs((gx * (x - mean[:, None, None])).sum((0, 2, 3))).max() <= 1e-9
    assert np.abs(gx).max() >= 0.1


def test_batch_norm_of_nan_spoils_its_channel_only(choice):
    x = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    x[2, 1] = np.nan
    y, mean, var = kernels.batch_norm(x, np.ones(3, np.float32), np.zeros(3, np.float32), 1e-5)
    for a in (y[0], mean, var):
        assert np.isnan(a).tolist() == [False, True, False]


@both_dtypes
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 2, 3, 4, 5)])
def test_leaky_relu_of_any_shape(choice, dtype, shape):
    x = np.asarray(np.random.default_rng(0).standard_normal(shape), dtype)
    y = kernels.leaky_relu(x, 0.25)
    gx = kernels.leaky_relu_grad(x, y, 0.25)
    assert isinstance(y, np.ndarray)
    assert isinstance(gx, np.ndarray)
    np.testing.assert_array_equal(y, np.maximum(x, x * dtype(0.25)))
    np.testing.assert_array_equal(gx, y)  # gy = x has the sign of y


def test_leaky_relu_at_the_kink_and_beyond_numbers(choice):
    x = np.array([-np.inf, -2, -0.0, 0.0, 2, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(
        kernels.leaky_relu(x, 0.5), np.array([-np.inf, -1, 0, 0, 2, np.inf, np.nan])
    )
    y = kernels.leaky_relu(x, 0.0)  # ReLU of −∞ is 0, not 0 · −∞, and of −2 is 0, not −0
    np.testing.assert_array_equal(y, np.array([0, 0, 0, 0, 2, np.inf, np.nan]))
    assert not np.signbit(y[1])
    gx = kernels.leaky_relu_grad(np.full(4, 3.0), np.array([-1.0, 0.0, 1.0, np.nan]), 0.5)
    np.testing.assert_array_equal(gx, [1.5, 1.5, 3, 1.5])


@jit
def _rectify(source, signs, target, size, slope, flat, streamed):
    rectify(source, signs, target, size, slope, flat, streamed)


@pytest.mark.parametrize("size", [1, LANES - 1, LANES, 5 * LANES + 3])
def test_rectify_in_place_and_beside(size):
    """Whole vectors and the rest of them, over one array and over three; past the caches from a line on."""
    rng = np.random.default_rng(size)
    source, signs = rng.standard_normal((2, size)).astype(np.float32)
    for slope in (0.0, 0.25):
        for streamed in (False, True):
            target = scratch("test", source.shape, source.dtype)  # begins with a line
            addresses = (location(a) for a in (source, signs, target))
            _rectify(*addresses, size, np.float32(slope), False, streamed)
            np.testing.assert_array_equal(target, reference.leaky_relu_grad(source, signs, slope))
        x = source.copy()
        _rectify(location(x), location(x), location(x), size, np.float32(slope), slope == 0, False)
        np.testing.assert_array_equal(x, reference.leaky_relu(source, slope))


def test_adam_first_step_is_the_sign_of_the_gradient(choice):
    """m̂ = g and v̂ = g² at t = 1, so the step is lr · g / (|g| + eps)."""
    g = np.array([3.0, -0.5, 0.0])
    param, m, v = np.zeros((3, 3))
    assert kernels.adam([param], [g], [m], [v], 0.1, 0.9, 0.999, 1e-8, 1) is None
    np.testing.assert_allclose(param, [-0.1, 0.1, 0], rtol=1e-7)
    np.testing.assert_allclose(m, 0.1 * g, rtol=1e-15)
    np.testing.assert_allclose(v, 0.001 * g**2, rtol=1e-12)


@pytest.mark.torch
@both_dtypes
def test_adam_is_pytorchs(dtype):
    torch = pytest.importorskip("torch", reason="the witness, PyTorch, is not installed")
    rng = np.random.default_rng(0)
    param = rng.standard_normal(1000).astype(dtype)
    m, v = np.zeros((2, 1000), dtype)
    witness = torch.from_numpy(param.copy()).requires_grad_()
    optimiser = torch.optim.Adam([witness], lr=1e-2, betas=(0.5, 0.999), eps=1e-6)
    for step in range(1, 30):
        grad = rng.standard_normal(1000).astype(dtype)
        witness.grad = torch.from_numpy(grad.copy())
        optimiser.step()
        kernels.adam([param], [grad], [m], [v], 1e-2, 0.5, 0.999, 1e-6, step)
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    assert np.abs(param - witness.detach().numpy()).max() <= tolerance


def test_sum_squares_accumulates_in_float64(choice):
    x = np.full(1 << 20, 1e-3, np.float32)
    x[0] = 1e4
    wanted = 1e8 + ((1 << 20) - 1) * float(np.float32(1e-3)) ** 2
    found = kernels.sum_squares(
        [x, np.array(3.0), x[::3], np.array([1, np.nan]), np.full(3, np.float32(1e30)), x[:0]]
    )
    assert abs(found[0] / wanted - 1) <= 1e-12
    assert found[1] == 9
    assert (found.shape, found.dtype) == ((6,), np.float64)
    assert np.isnan(found[3])
    assert found[4] > 1e60
    assert found[5] == 0
    assert kernels.sum_squares([]).shape == (0,)


def test_sum_squares_makes_no_copy():
    import tracemalloc

    x = np.ones((1000, 2000), np.float32)
    kernels.sum_squares([x[:, ::2], x.T])
    tracemalloc.start()
    kernels.sum_squares([x[:, ::2], x.T])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= 1 << 20


@pytest.mark.parametrize("shape", [(6, 1300), (128, 12544), (3, 1100, 2, 2), (70, 600, 5, 5)])
def test_batch_norm_over_many_blocks(shape):
    """More channels and rows than a block has; gradients far below 1, of a channel much alike."""
    rng = np.random.default_rng(0)
    x = (2 + 0.2 * rng.standard_normal(shape)).astype(np.float32)
    gy = (1e-5 * (3 + rng.standard_normal(shape))).astype(np.float32)
    scale, shift = rng.standard_normal((2, shape[1])).astype(np.float32)
    y, mean, var = kernels.batch_norm(x, scale, shift, 1e-5)
    found = y, mean, var, *kernels.batch_norm_grad(gy, x, scale, mean, var, 1e-5)
    wide = [a.astype(np.float64) for a in (gy, x, scale, shift, mean, var)]
    with kernels.use_kernels("reference"):
        wanted = kernels.batch_norm(*wide[1:4], 1e-5)
        wanted += kernels.batch_norm_grad(*wide[:3], *wide[4:], 1e-5)
    for got, exact in zip(found, wanted, strict=True):
        assert np.linalg.norm(got - exact) <= 2e-5 * np.linalg.norm(exact)
