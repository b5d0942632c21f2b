"""Where a function has no slope, a convention gives one; here is each, exactly."""

import numpy as np
import pytest

import rawgan
from rawgan import kernels, ops


def slope(f, *values):
    """The gradients of Σ f at the values, as lists."""
    xs = [rawgan.tensor(np.array(v, np.float64), requires_grad=True) for v in values]
    grads = rawgan.grad(f(*xs).sum(), xs)
    return grads[0].tolist() if len(xs) == 1 else [g.tolist() for g in grads]


@pytest.mark.parametrize("column", kernels.CHOICES)
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_relu_at_0(zero, column):
    with kernels.use_kernels(column):
        assert slope(ops.relu, [zero, 1.0, -1.0]) == [0, 1, 0]
        assert slope(lambda x: ops.leaky_relu(x, 0.25), [zero, 1.0, -1.0]) == [0.25, 1, 0.25]
        assert slope(lambda x: ops.leaky_relu(x, 0.0), [zero]) == [0]


def test_abs_at_0():
    assert slope(ops.abs, [0.0, -0.0, 2.0, -2.0]) == [0, 0, 1, -1]


def test_clip_at_its_limits():
    assert slope(lambda x: ops.clip(x, -1, 2), [-1.5, -1.0, 0.0, 2.0, 2.5]) == [0, 1, 1, 1, 0]
    assert slope(lambda x: ops.clip(x, high=2), [-9.0, 2.0, 2.5]) == [1, 1, 0]
    assert slope(lambda x: ops.clip(x), [-9.0, 9.0]) == [1, 1]


def test_ties_are_shared():
    assert slope(ops.maximum, [1.0, 2.0, 3.0], [1.0, 3.0, 2.0]) == [[0.5, 0, 1], [0.5, 1, 0]]
    assert slope(ops.minimum, [1.0, 2.0, 3.0], [1.0, 3.0, 2.0]) == [[0.5, 1, 0], [0.5, 0, 1]]
    assert slope(lambda x: ops.maximum(x, 1.0), [1.0, 2.0]) == [0.5, 1]
    assert slope(ops.max, [[1.0, 3.0], [3.0, 2.0]]) == [[0, 0.5], [0.5, 0]]
    assert slope(lambda x: ops.max(x, axis=1), [[2.0, 2.0], [3.0, 2.0]]) == [[0.5, 0.5], [1, 0]]
    assert slope(lambda x: ops.maxout(x, 2), [[2.0, 2.0, 3.0, 4.0]]) == [[0.5, 0.5, 0, 1]]


@pytest.mark.parametrize("column", kernels.CHOICES)
def test_the_first_of_equal_ones_wins_in_max_pool2d(column):
    with kernels.use_kernels(column):
        assert slope(lambda x: ops.max_pool2d(x, 2), [[[[1.0, 1.0], [0.0, 1.0]]]]) == [[[[1, 0], [0, 0]]]]
        assert slope(lambda x: ops.max_pool2d(x, (1, 2), stride=1), [[[[1.0, 1.0, 1.0]]]]) == [[[[1, 1, 0]]]]


def test_power_at_0():
    assert slope(lambda x: x**2, [0.0, -3.0]) == [0, -6]
    assert slope(lambda x: x**1, [0.0]) == [1]
    assert slope(lambda x: x**0, [0.0, 2.0]) == [0, 0]
    assert slope(ops.power, [0.0, 0.0, 2.0], [0.0, 2.0, 0.0]) == [[0, 0, 0], [0, 0, np.log(2)]]
    assert slope(lambda y: 0.0**y, [2.0]) == [0]


def test_power_at_exponent_0_has_its_second_derivative():
    x, y = (rawgan.tensor(v, dtype="float64", requires_grad=True) for v in (2.0, 0.0))
    (gx,) = rawgan.grad(x**y, [x], create_graph=True)
    assert gx.item() == 0
    assert rawgan.grad(gx, [y])[0].item() == 0.5  # ∂/∂y (y·x^(y−1)) = 1/x there


@pytest.mark.parametrize("f", [ops.sqrt, lambda x: x**0.5])
def test_the_root_is_infinitely_steep_at_0(f):
    with np.errstate(divide="ignore"):
        assert slope(f, [0.0]) == [np.inf]


def test_sigmoid_and_softplus_at_0():
    assert slope(ops.sigmoid, [0.0]) == [0.25]
    assert slope(ops.softplus, [0.0]) == [0.5]
    assert slope(lambda x: ops.bce_with_logits(x, 0.25), [0.0]) == [0.25]


def test_far_from_0_nothing_overflows():
    big = np.array([-1e4, -800.0, 800.0, 1e4], np.float32)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for f in (
            ops.sigmoid,
            ops.softplus,
            ops.tanh,
            lambda x: ops.bce_with_logits(x, 1.0),
            ops.log_softmax,
        ):
            x = rawgan.tensor(big, requires_grad=True)
            y = f(x)
            (g,) = rawgan.grad(y.sum(), [x])
            assert np.isfinite(y.data).all()
            assert np.isfinite(g.data).all()


def test_bce_of_certain_verdicts():
    """Right ones cost nothing, wrong ones 100; beside 0 and 1 the gradient is the formula's."""
    with np.errstate(all="raise"):
        for p, t, cost in [(0.0, 0.0, 0), (1.0, 1.0, 0), (0.0, 1.0, 100), (1.0, 0.0, 100)]:
            assert ops.bce(np.array([p]), np.array([t])) == cost
        wrong, right = slope(lambda p: ops.bce(p, 1.0), [0.0, 1.0])
        assert (wrong, right) == (-1e12 / 2, -1 / 2)
        assert slope(lambda p: ops.bce(p, 0.0), [0.0, 1.0]) == [1 / 2, 1e12 / 2]
    for p in (1e-7, 1e-13):
        assert slope(lambda p: ops.bce(p, 1.0), [p])[0] == pytest.approx(-1 / max(p, 1e-12), rel=1e-12)
        assert slope(lambda p: ops.bce(p, 0.0), [p])[0] == pytest.approx(1, rel=1e-6)
        assert slope(lambda p: ops.bce(p, 1.0), [1 - p])[0] == pytest.approx(-1, rel=1e-6)
    assert slope(lambda p: ops.bce(p, 0.0), [1 - 1e-7])[0] == pytest.approx(1e7, rel=1e-8)


def test_max_pool2d_moves_by_its_kernel_where_no_stride_is_given():
    x = np.arange(36.0, dtype=np.float32).reshape(1, 1, 6, 6)
    assert ops.max_pool2d(x, (2, 3)).tolist() == [[[[8, 11], [20, 23], [32, 35]]]]
