"""Modules: names, state dictionaries, modes, moving and printing."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_table import ROWS, drawn, values

import rawgan
from rawgan import nn
from rawgan.kernels.errors import ConfigError, DeviceError, DTypeError, GradientError, ShapeError


def network():
    return nn.Sequential(
        nn.Dense(4, 6, bias=False),
        nn.BatchNorm(6),
        nn.Sequential(nn.ReLU(), nn.Dropout(0.5), nn.Dense(6, 2)),
    )


NAMES = ["0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var", "2.2.weight", "2.2.bias"]


def test_names_are_those_of_a_pytorch_sequential():
    net = network()
    assert list(net.state_dict()) == NAMES
    assert [n for n, _ in net.named_parameters()] == [n for n in NAMES if "running" not in n]
    assert [p for _, p in net.named_parameters()] == net.parameters()
    assert [path for path, _ in net.named_modules()] == ["", "0", "1", "2", "2.0", "2.1", "2.2"]
    assert list(nn.SpectralNorm(nn.Dense(2, 3)).state_dict()) == ["u", "layer.weight", "layer.bias"]


@pytest.mark.parametrize("name", ROWS)
@settings(max_examples=8)
@given(data=st.data())
def test_round_trip_of_every_layer(name, data):
    case = drawn(name, data)
    layer, x = case.layer, rawgan.tensor(values(name, case.shape), dtype="float32")
    layer(x)  # moves running statistics
    saved = layer.state_dict()
    other = copy.deepcopy(layer)
    for p in other.parameters():
        p.copy_(p.data + 1)
    assert other.load_state_dict(saved) is other
    assert other.state_dict().keys() == saved.keys()
    assert all(np.array_equal(v, saved[k]) for k, v in other.state_dict().items())
    assert np.array_equal(other.eval()(x).data, layer.eval()(x).data)


def test_state_is_copied_both_ways():
    net = network()
    saved = net.state_dict()
    kept = {k: v.copy() for k, v in saved.items()}
    for v in saved.values():
        v += 1
    assert all(np.array_equal(v, kept[k]) for k, v in net.state_dict().items())
    net.load_state_dict(saved)
    for v in saved.values():
        v += 1
    assert all(np.array_equal(v, kept[k] + 1) for k, v in net.state_dict().items())
    assert all(v.flags.c_contiguous for v in saved.values())


def test_loading_ignores_pytorchs_batch_counter_and_takes_what_numpy_can_read():
    net = network()
    state = {k: v.astype("float64").tolist() for k, v in net.state_dict().items()}
    state |= {"1.num_batches_tracked": np.array(7), "1.running_mean": [0.5] * 6}
    net.load_state_dict(state)
    assert net[1].running_mean.tolist() == [0.5] * 6
    assert net[1].running_mean.dtype == np.float32
    assert net[0].weight.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda s: s.pop("1.running_var"), ConfigError, ["missing: 1.running_var"]),
        (lambda s: s.update({"3.weight": np.ones(1, "f4")}), ConfigError, ["unknown: 3.weight"]),
        (lambda s: s.update({"2.2.bias": np.ones(3, "f4")}), ShapeError, ["2.2.bias", "(3,)", "(2,)"]),
        (lambda s: s.update({"1.running_var": np.ones((6, 1), "f4")}), ShapeError, ["(6, 1)", "(6,)"]),
        (lambda s: s.update({"2.2.bias": np.ones(2, int)}), DTypeError, ["2.2.bias", "int64"]),
        (lambda s: s.update({"1.running_var": np.array(["a"] * 6)}), DTypeError, ["1.running_var"]),
    ],
)
def test_a_failed_load_changes_nothing(change, error, words):
    net = network()
    before = net.state_dict()
    state = {k: v + 1 for k, v in before.items()}
    change(state)
    with pytest.raises(error) as caught:
        net.load_state_dict(state)
    assert all(word in str(caught.value) for word in words)
    assert all(np.array_equal(v, before[k]) for k, v in net.state_dict().items())


def test_loading_between_forward_and_backward_is_noticed():
    layer = nn.Dense(2, 2)
    hidden = layer(rawgan.tensor(np.ones((1, 2)), dtype="float32", requires_grad=True))
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(GradientError, match=r"dense in Dense.*in place"):
        hidden.sum().backward()


def test_a_shared_layer_is_counted_once_and_saved_under_both_names():
    shared = nn.Dense(3, 3)
    net = nn.Sequential(shared, nn.Tanh(), shared)
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "0.bias"]
    assert len(net.parameters()) == 2
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    net.load_state_dict(net.state_dict())
    net(np.ones((2, 3), np.float32)).sum().backward()
    both = shared.weight.grad
    tied = nn.Sequential(nn.Dense(3, 3), nn.Tanh(), nn.Dense(3, 3))
    tied.load_state_dict(net.state_dict())
    tied(np.ones((2, 3), np.float32)).sum().backward()
    assert np.max(np.abs(both - (tied[0].weight.grad + tied[2].weight.grad))) <= 1e-6


def test_reassigned_names():
    layer = nn.Dense(2, 3)
    layer.bias = None
    assert list(layer.state_dict()) == ["weight"]
    assert np.array_equal(layer(np.eye(2, dtype="f4")).data, layer.weight.data.T)
    layer.weight = rawgan.tensor(np.ones((3, 2)), dtype="float32", requires_grad=True)
    assert layer.parameters() == [layer.weight]
    del layer.weight
    assert layer.parameters() == []
    with pytest.raises(AttributeError, match="weight"):
        del layer.weight
    norm = nn.BatchNorm(2)
    norm.running_mean = np.array([1.0, 2.0], np.float32)
    assert norm.state_dict()["running_mean"].tolist() == [1.0, 2.0]
    assert np.max(np.abs(norm.eval()(np.array([[1, 2]], "f4")).data)) == 0


def test_a_module_that_forgets_its_base():
    class Forgetful(nn.Module):
        def __init__(self):
            self.inner = nn.Dense(1, 1)

    with pytest.raises(TypeError, match=r"Forgetful: call super\(\).__init__\(\) before setting 'inner'"):
        Forgetful()


def test_a_module_of_ones_own():
    class Residual(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.inner = nn.Dense(width, width)
            self.scale = rawgan.tensor([2.0], requires_grad=True)
            self.buffer("calls", np.zeros(1, np.float32))

        def forward(self, x):
            return x + self.scale * self.inner(x)

    net = nn.Sequential(Residual(3), nn.ReLU())
    assert list(net.state_dict()) == ["0.scale", "0.calls", "0.inner.weight", "0.inner.bias"]
    net(np.ones((2, 3), np.float32)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    with pytest.raises(TypeError, match=r"does not define forward"):
        nn.Module()(1)


def test_freezing():
    net = network()
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    net[0].requires_grad_()
    with nn.frozen(net) as inside:
        assert inside is net
        x = rawgan.tensor(np.ones((3, 4)), dtype="float32", requires_grad=True)
        (net(x) ** 2).sum().backward()
        assert x.grad is not None
        assert all(p.grad is None for p in net.parameters())
    assert [p.requires_grad for p in net.parameters()] == [True] + [False] * 4
    with pytest.raises(RuntimeError, match="inside"), nn.frozen(net):
        raise RuntimeError("inside")
    assert net[0].weight.requires_grad


def test_zero_grad():
    net = network()
    net(np.ones((3, 4), np.float32)).sum().backward()
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_train_and_eval_reach_every_layer():
    net = network()
    assert net.eval() is net
    assert not any(m.training for _, m in net.named_modules())
    net.train()
    assert all(m.training for _, m in net.named_modules())


def test_to_changes_the_dtype_of_parameters_and_buffers():
    net = network()
    before, parameters = net.state_dict(), net.parameters()
    net(np.ones((3, 4), np.float32)).sum().backward()
    assert net.to(dtype="float64") is net
    assert {str(v.dtype) for v in net.state_dict().values()} == {"float64"}
    assert all(np.array_equal(net.state_dict()[n], before[n]) for n in NAMES if "running" not in n)
    assert all(p is q and p.grad is None for p, q in zip(net.parameters(), parameters, strict=True))
    assert net[1].running_mean.dtype == np.float64
    assert net.to("cpu", "float32")[0].weight.device == "cpu"
    for wrong in ("float16", "int64", "nonsense"):
        with pytest.raises(DTypeError, match=wrong):
            net.to(dtype=wrong)
    with pytest.raises(DeviceError, match="nowhere"):
        net.to("nowhere")


def test_sequential_is_a_list_of_layers():
    net = network()
    assert len(net) == 3
    assert net[0] is net.layers[0] is next(iter(net))
    assert net[-1] is net.layers[2]
    tail = net[1:]
    assert isinstance(tail, nn.Sequential)
    assert tail.layers == net.layers[1:]
    assert next(iter(tail.state_dict())) == "0.weight"
    with pytest.raises(IndexError):
        net[3]
    x = rawgan.tensor(np.ones((2, 4)))
    assert nn.Sequential()(x) is x


def test_repr_shows_the_tree():
    net = nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1)), nn.LeakyReLU(0.3), nn.Dropout(0.5))
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Sequential(\n"
        "    (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))\n"
        "  )\n"
        "  (1): LeakyReLU(0.3)\n"
        "  (2): Dropout(p=0.5)\n"
        ")"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Dense(2, 3)",
        "Dense(2, 3, bias=False)",
        "Conv2d(1, 2, kernel_size=(3, 4), stride=(2, 1), padding=(0, 1))",
        "Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=(0, 0), bias=False)",
        "ConvTranspose2d(1, 2, kernel_size=(3, 3), stride=(1, 2), padding=(0, 0))",
        "ConvTranspose2d(1, 2, kernel_size=(3, 3), stride=(1, 2), padding=(0, 0), output_padding=(0, 1))",
        "ConvTranspose2d(2, 1, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 1), "
        "bias=False)",
    ],
)
def test_repr_of_a_layer_with_weights_makes_it_again(text):
    assert repr(eval(text, vars(nn))) == text


@pytest.mark.parametrize("name", ROWS)
@given(data=st.data())
@settings(max_examples=5)
def test_every_layer_prints_its_name(name, data):
    assert repr(drawn(name, data).layer).startswith(f"{name}(")


def test_messages_name_the_layer():
    net = network().label("generator")
    hidden = net(rawgan.tensor(np.ones((3, 4)), dtype="float32"))
    net[0].weight.copy_(net[0].weight)
    net[2][2].weight.copy_(net[2][2].weight)
    with pytest.raises(GradientError, match=r"dense in generator\.2\.2 \(Dense\)"):
        hidden.sum().backward()
    spectral = nn.SpectralNorm(nn.Dense(2, 2)).label("discriminator")
    out = spectral(rawgan.tensor(np.ones((3, 2)), dtype="float32", requires_grad=True))
    assert out._node.layer == "discriminator (SpectralNorm)"


def test_a_deep_copy_stands_alone():
    net = network()
    twin = copy.deepcopy(net)
    twin[0].weight.copy_(0 * twin[0].weight.data)
    twin(np.ones((3, 4), np.float32))
    assert math.isclose(
        float(np.abs(net[0].weight.data).sum()), float(np.abs(net.state_dict()["0.weight"]).sum())
    )
    assert float(np.abs(net[0].weight.data).sum()) > 0
    assert net[1].running_mean.tolist() == [0.0] * 6
    assert twin[1].running_var.tolist() != [1.0] * 6
    assert twin[0].weight is twin.parameters()[0]
