"""Every layer of the table: shapes, dtypes, gradients, and what it does in training and after."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_table import ROWS, drawn, functional, values

import rawgan
from rawgan import nn, ops, rng
from rawgan.kernels.errors import ConfigError, ShapeError

every_layer = pytest.mark.parametrize("name", ROWS)


@every_layer
@settings(max_examples=10)
@given(data=st.data())
def test_shape_and_dtype(name, data):
    case = drawn(name, data)
    for dtype in ("float32", "float64"):
        layer = case.layer.to(dtype=dtype)
        x = rawgan.tensor(values(name, case.shape), dtype=dtype, requires_grad=True)
        before = x.data.copy()
        for flag in (True, False):
            y = layer.train(flag)(x)
            assert y.shape == case.out
            assert y.dtype == dtype
        (y * y).sum().backward()
        assert x.grad.shape == case.shape
        assert x.grad.dtype == dtype
        for p in layer.parameters():
            assert p.grad.shape == p.shape
            assert p.grad.dtype == dtype
        assert np.array_equal(x.data, before)


@every_layer
@settings(max_examples=8)
@given(data=st.data(), training=st.booleans())
def test_gradients_of_first_and_second_order(name, data, training):
    case = drawn(name, data)
    f, parameters = functional(case.layer.to(dtype="float64").train(training))
    assert rawgan.gradcheck(f, values(name, case.shape), *parameters, order=2)


def test_a_wrong_layer_is_noticed():
    """The check above sees a bias that is counted twice."""
    layer = nn.Dense(3, 2).to(dtype="float64")
    f, parameters = functional(layer)
    with pytest.raises(rawgan.GradientError, match="input 2"):
        rawgan.gradcheck(lambda x, w, b: f(x, w, b) + b.detach(), np.ones((2, 3)), *parameters)


@settings(max_examples=25)
@given(
    c=st.integers(1, 3),
    rest=st.sampled_from([(), (1, 1), (2, 3)]),
    n=st.integers(2, 5),
    momentum=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_batch_norm_keeps_running_statistics(c, rest, n, momentum, seed):
    layer = nn.BatchNorm(c, momentum=momentum).to(dtype="float64")
    random = np.random.default_rng(seed)
    mean, var = np.zeros(c), np.ones(c)
    for _ in range(3):
        x = random.normal(2, 3, (n, c, *rest))
        y = layer(rawgan.tensor(x)).data
        channels = np.moveaxis(x, 1, 0).reshape(c, -1)
        mean = (1 - momentum) * mean + momentum * channels.mean(axis=1)
        var = (1 - momentum) * var + momentum * channels.var(axis=1, ddof=1)  # the unbiased one
        own = np.moveaxis(y, 1, 0).reshape(c, -1)
        shrunk = channels.var(axis=1) / (channels.var(axis=1) + 1e-5)
        assert np.max(np.abs(own.mean(axis=1))) <= 1e-9
        assert np.max(np.abs(own.var(axis=1) - shrunk)) <= 1e-9
    assert np.max(np.abs(layer.running_mean - mean)) <= 1e-12
    assert np.max(np.abs(layer.running_var - var)) <= 1e-12 * np.max(var)
    layer.eval()
    kept = layer.state_dict()
    per_channel = (c,) + (1,) * len(rest)
    want = (x - mean.reshape(per_channel)) / np.sqrt(var.reshape(per_channel) + 1e-5)
    assert np.max(np.abs(layer(rawgan.tensor(x)).data - want)) <= 1e-9 * max(1, np.max(np.abs(want)))
    assert all(np.array_equal(v, kept[k]) for k, v in layer.state_dict().items())


def test_statistics_on_the_tape_stay_as_they_were():
    """Between a forward pass in eval mode and its backward the running statistics may move on."""
    x = np.random.default_rng(0).normal(size=(4, 2))

    def gradients(meanwhile):
        layer = nn.BatchNorm(2).to(dtype="float64").eval()
        leaf = rawgan.tensor(x, requires_grad=True)
        loss = (layer(leaf) ** 2).sum()
        meanwhile(layer)
        loss.backward()
        return leaf.grad, layer.weight.grad, layer.bias.grad

    def load(layer):
        layer.load_state_dict({k: v + 1 for k, v in layer.state_dict().items()})

    still = gradients(lambda layer: None)
    for meanwhile in (lambda layer: layer.train()(rawgan.tensor(x + 5)), load):
        assert all(np.array_equal(a, b) for a, b in zip(gradients(meanwhile), still, strict=True))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (4, 1), (4,), (4, 2, 5), (4, 3, 2, 2), (2, 2, 2, 2, 2)])
def test_batch_norm_refuses_other_shapes(shape, training):
    """Above all in eval mode, where NumPy would broadcast one channel to two."""
    with pytest.raises(ShapeError) as error:
        nn.BatchNorm(2).train(training)(np.ones(shape, np.float32))
    assert str(shape) in str(error.value)
    assert "(2,)" in str(error.value)


def test_batch_norm_refuses_what_has_no_variance():
    layer = nn.BatchNorm(2)
    with pytest.raises(ShapeError, match=r"\(1, 2\).*larger batch or call \.eval"):
        layer(np.ones((1, 2), np.float32))
    with pytest.raises(ShapeError, match=r"\(0, 2\)"):
        layer(np.ones((0, 2), np.float32))
    assert layer.eval()(np.ones((1, 2), np.float32)).shape == (1, 2)
    assert layer(np.ones((0, 2), np.float32)).shape == (0, 2)


@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d])
@settings(max_examples=10)
@given(p=st.floats(0, 0.95), seed=st.integers(0, 1000))
def test_dropout(kind, p, seed):
    layer = kind(p)
    x = np.ones((40, 30, 2, 2), np.float32)
    with rng.use_generator(rng.Generator(seed)):
        y = layer(rawgan.tensor(x)).data
    scale = np.float32(1 / (1 - p))
    assert np.all((y == 0) | (np.abs(y - scale) <= 1e-6 * scale))
    if kind is nn.Dropout2d:
        assert np.array_equal(y, np.broadcast_to(y[:, :, :1, :1], y.shape))
        y = y[:, :, 0, 0]
    n = y.size
    assert abs(np.mean(y == 0) - p) <= 6 * math.sqrt(p * (1 - p) / n)
    assert np.array_equal(layer.eval()(rawgan.tensor(x)).data, x)


def test_dropout_follows_its_p():
    layer, x = nn.Dropout(0.5), rawgan.tensor(np.ones((100, 100)))
    layer.p = 0.0
    assert np.array_equal(layer(x).data, x.data)
    layer.p = 0.9
    assert abs(np.mean(layer(x).data == 0) - 0.9) <= 0.02
    for p in (1.0, -0.1, math.nan):
        layer.p = p
        with pytest.raises(ConfigError, match="p is the share to drop"):
            layer(x)


def test_dropout_draws_a_new_mask_each_time_and_the_same_for_the_same_seed():
    layer, x = nn.Dropout(0.5), rawgan.tensor(np.ones(1000))

    def two():
        rawgan.manual_seed(7)
        return layer(x).data, layer(x).data

    (a, b), (again, _) = two(), two()
    assert np.array_equal(a, again)
    assert not np.array_equal(a, b)


def test_layers_are_the_operations():
    """A few values by the operations themselves, so that no layer quietly does something else."""
    x = rawgan.tensor(np.linspace(-2, 2, 6).reshape(2, 3), dtype="float32")
    for layer, want in [
        (nn.ReLU(), ops.relu(x)),
        (nn.LeakyReLU(), ops.leaky_relu(x, 0.2)),
        (nn.Tanh(), ops.tanh(x)),
        (nn.Sigmoid(), ops.sigmoid(x)),
        (nn.Softplus(), ops.softplus(x)),
        (nn.Maxout(3), ops.max(x, axis=1, keepdims=True)),
    ]:
        assert np.array_equal(layer(x).data, want.data)
    w, b = rawgan.tensor([[1.0, 2, 3], [4, 5, 6]]), rawgan.tensor([0.5, -0.5])
    dense = nn.Dense(3, 2)
    dense.weight, dense.bias = w, b
    assert np.max(np.abs(dense(x).data - (x.data @ w.data.T + b.data))) <= 1e-5
