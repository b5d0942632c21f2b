"""Sequential computes chains of dense layers as one operation, and nobody can tell but by the clock."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rawgan
from rawgan import kernels, nn, ops, rng
from rawgan.engine import Tensor, grad
from rawgan.engine.mode import Watch, switch
from rawgan.kernels.errors import ShapeError

ACTIVATIONS = {
    "none": list,
    "relu": lambda: [nn.ReLU()],
    "leaky": lambda: [nn.LeakyReLU(0.3)],
    "tanh": lambda: [nn.Tanh()],
    "dropout": lambda: [nn.LeakyReLU(0.1), nn.Dropout(0.4)],
    "norm": lambda: [nn.BatchNorm(5), nn.ReLU()],
}


def network(names, bias, width=5):
    layers = [nn.Flatten()]
    for name in names:
        layers += [nn.Dense(width, 5, bias=bias), *ACTIVATIONS[name]()]
        width = 5
    return nn.Sequential(*layers, nn.Dense(5, 2), nn.Sigmoid())


def one_by_one(net, x):
    for layer in net.layers:
        x = layer(x)
    return x


def everything(net, x, forward, dtype):
    """Output and all gradients, to the second order."""
    leaf = Tensor(x.astype(dtype), requires_grad=True)
    with rng.use_generator(rng.Generator(3)):
        y = forward(net, leaf)
    inputs = [leaf, *net.parameters()]
    (gx,) = grad(ops.sum(y * y), [leaf], create_graph=True)
    second = grad(ops.sum(gx * gx), inputs)
    return [y.data, *(g.data for g in grad(ops.sum(y * y), inputs)), *(g.data for g in second)]


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(ACTIVATIONS)), max_size=4),
    bias=st.booleans(),
    rows=st.sampled_from([2, 3, 30]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_the_same_as_layer_by_layer(names, bias, rows, dtype):
    with rng.use_generator(rng.Generator(1)):
        net = network(names, bias).to(dtype=dtype)
    x = np.random.default_rng(2).standard_normal((rows, 5))
    fused = everything(net, x, lambda net, x: net(x), dtype)
    plain = everything(net, x, one_by_one, dtype)
    tolerance = {"float32": 2e-5, "float64": 1e-13}[dtype]
    for a, b in zip(fused, plain, strict=True):
        assert a.dtype == b.dtype == dtype
        assert np.abs(a - b).max() <= tolerance * max(1, np.abs(b).max())


def calls(net, x, monkeypatch):
    seen = []
    original = kernels.Kernel.__call__
    monkeypatch.setattr(
        kernels.Kernel, "__call__", lambda self, *a, **k: seen.append(self.name) or original(self, *a, **k)
    )
    y = net(x)
    monkeypatch.setattr(kernels.Kernel, "__call__", original)
    return seen, y


def test_a_chain_is_one_kernel_both_ways(monkeypatch):
    net = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 8), nn.Dense(8, 1), nn.LeakyReLU(), nn.Tanh())
    x = np.ones((3, 4), np.float32)
    seen, y = calls(net, x, monkeypatch)
    assert seen == ["perceptron", "tanh"]
    seen, _ = calls(lambda _: ops.sum(y).backward(), x, monkeypatch)
    assert seen == ["tanh_grad", "perceptron_grad"]


def test_a_sigmoid_at_the_end_of_a_chain_is_a_part_of_it(monkeypatch):
    net = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 1), nn.Sigmoid(), nn.Sigmoid())
    x = np.ones((3, 4), np.float32)
    seen, y = calls(net, x, monkeypatch)
    assert seen == ["perceptron", "sigmoid"]
    seen, _ = calls(lambda _: ops.sum(y).backward(), x, monkeypatch)
    assert seen == ["sigmoid_grad", "perceptron_grad"]
    rectified = nn.Sequential(nn.Dense(4, 8), nn.Dense(8, 1), nn.ReLU(), nn.Sigmoid())
    assert calls(rectified, x, monkeypatch)[0] == ["perceptron", "sigmoid"]


def test_a_frozen_chain_costs_no_weight_gradients(monkeypatch):
    net = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 1))
    x = rawgan.tensor(np.ones((3, 4), np.float32), requires_grad=True)
    wanted = []
    original = kernels.KERNELS["perceptron_grad"]
    monkeypatch.setattr(kernels, "perceptron_grad", lambda *a: wanted.append(a[5]) or original(*a))
    with nn.frozen(net):
        ops.sum(net(x)).backward()
    ops.sum(net(x.detach())).backward()
    assert wanted == [(True, False), (False, True)]


@pytest.mark.parametrize("case", ["watched", "replaced", "one layer", "subclass"])
def test_layers_run_by_themselves_where_somebody_looks(case, monkeypatch):
    class Mine(nn.Dense):
        pass

    net = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), (Mine if case == "subclass" else nn.Dense)(8, 1))
    seen, looked = [], []
    if case == "replaced":
        inner = net[0].forward
        net[0].forward = lambda x: looked.append(x.shape) or inner(x)
    if case == "one layer":
        net = net[:2]

    class Looking(Watch):
        def value(self, op, *rest):
            looked.append(op.name)

    with switch(watch=Looking()) if case == "watched" else switch():
        seen, _ = calls(net, np.ones((3, 4), np.float32), monkeypatch)
    assert "perceptron" not in seen
    assert looked == {"watched": ["dense", "relu", "dense"], "replaced": [(3, 4)]}.get(case, [])


def test_what_is_changed_between_two_calls_counts(monkeypatch):
    net = nn.Sequential(nn.Dense(4, 8), nn.LeakyReLU(0.3), nn.Dense(8, 3), nn.ReLU(), nn.Dense(3, 2))
    x = np.random.default_rng(0).standard_normal((3, 4), np.float32)

    def same(*kernels_seen):
        seen, y = calls(net, x, monkeypatch)
        assert seen == list(kernels_seen)
        assert np.abs(y.data - one_by_one(net, x).data).max() <= 1e-6

    same("perceptron")
    net[1].negative_slope = 0.7
    same("perceptron")
    net[2].bias = None
    same("perceptron")
    setattr(net, "2", nn.Dense(8, 3))
    same("perceptron")
    net[0].forward = lambda x: ops.dense(x, -net[0].weight)
    same("dense", "leaky_relu", "perceptron")
    del net[0].forward
    same("perceptron")
    setattr(net, "1", nn.Sigmoid())
    same("dense", "sigmoid", "perceptron")
    net[2].__class__ = type("Mine", (nn.Dense,), {})
    same("dense", "sigmoid", "dense", "leaky_relu", "dense")
    setattr(net, "1", nn.Dropout(0.0))
    setattr(net, "2", nn.Dense(8, 3))
    setattr(net, "3", nn.Tanh())
    same("dense", "dense", "tanh", "dense")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_plan_for_themselves(copied):
    """Also where what was planned holds no more, and where the copy is changed and not the first."""
    x = np.random.default_rng(0).standard_normal((3, 4), np.float32)
    net = nn.Sequential(nn.Dense(4, 8), nn.LeakyReLU(0.3), nn.Dense(8, 3))
    net(x)
    net[1].negative_slope = 0.7
    other = copied(net)
    assert np.array_equal(other(x).data, net(x).data)
    other[0].weight = Tensor(-net[0].weight.data, requires_grad=True)
    for one in (other, net):
        assert np.abs(one(x).data - one_by_one(one, x).data).max() <= 1e-6


def test_a_misfit_names_the_layer():
    net = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(9, 1)).label("net")
    with pytest.raises(ShapeError, match=r"dense: x of shape \(3, 8\) .* weight of shape \(1, 9\)"):
        net(np.ones((3, 4), np.float32))


def test_changed_weights_are_noticed():
    net = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 1))
    y = ops.sum(net(rawgan.tensor(np.ones((3, 4), np.float32))))
    net[2].weight.data -= 1.0
    with pytest.raises(rawgan.GradientError, match=r"inputs.*was changed"):
        y.backward()


@pytest.mark.parametrize("drop", [nn.Dropout, nn.Dropout2d])
@pytest.mark.parametrize("rectifier", [nn.ReLU, nn.LeakyReLU])
def test_a_rectifier_and_a_dropout_are_one_kernel_both_ways(rectifier, drop, monkeypatch):
    net = nn.Sequential(rectifier(), drop(0.5))
    x = Tensor(np.random.default_rng(0).standard_normal((3, 4, 2, 2), np.float32), requires_grad=True)
    names, y = calls(net, x, monkeypatch)
    assert names == ["dropout"]
    assert calls(net, x, monkeypatch)[1].data.tolist() != y.data.tolist()  # another mask
    assert calls(net.eval(), x, monkeypatch)[0] == ["leaky_relu"]
    replaced = nn.Sequential(rectifier(), drop(0.5)).train()
    replaced[1].forward = lambda x: x
    assert calls(replaced, x, monkeypatch)[0] == ["leaky_relu"]
