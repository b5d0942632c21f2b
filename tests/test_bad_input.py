"""Wrong arguments of every kind: always an error of rawgan's own, never one from somewhere below."""

import numpy as np
import pytest

import rawgan
from rawgan import losses, nn, ops, optim

W = np.ones((2, 3), np.float32)
ONE, C = np.ones((1, 1, 1, 1), np.float32), np.ones(3, np.float32)
# What an operation takes besides its first argument.
REST = {
    "astype": ("float32",),
    "batch_norm": (C, C),
    "batch_norm_fixed": (C, C, C, C, 1e-5),
    "batch_norm_with_statistics": (C, C),
    "broadcast_to": ((2, 3),),
    "conv2d": (ONE,),
    "conv2d_weight_grad": (ONE, 1),
    "conv_transpose2d": (ONE,),
    "dense": (np.ones((1, 3), np.float32),),
    "getitem": (0,),
    "matmul": (np.ones((3, 1), np.float32),),
    "max_pool2d": (1,),
    "maxout": (1,),
    "pad": (1,),
    "perceptron": ([np.ones((1, 3), np.float32)], [None], [1.0]),
    "reshape": ((6,),),
    "to": ("cpu",),
} | dict.fromkeys(("add", "bce", "bce_with_logits", "divide", "maximum", "minimum"), (1.0,))
REST |= dict.fromkeys(("multiply", "power", "subtract"), (1.0,))
BAD = {
    "None": None,
    "text": "a",
    "texts": ["a", "b"],
    "objects": np.array([None, 1], object),
    "dict": {},
    "complex": np.ones(2, complex),
    "function": print,
    "odd whole numbers": np.ones((2, 3, 1, 2), np.int64),
}
SECOND = [
    "add",
    "astype",
    "bce",
    "bce_with_logits",
    "broadcast_to",
    "clip",
    "concatenate",
    "conv2d",
    "dense",
    "divide",
    "getitem",
    "matmul",
    "max_pool2d",
    "maximum",
    "maxout",
    "minimum",
    "multiply",
    "pad",
    "power",
    "reshape",
    "subtract",
    "sum",
    "transpose",
]


def refused(call):
    """Whether it raised an error of ours; anything else that it raises goes on."""
    try:
        call()
    except rawgan.RawganError:
        return True
    return False


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", sorted(set(ops.__all__) - {"OPS", "Op"}))
def test_the_first_argument(name, bad):
    keywords = {"shape": (2, 3)} if name == "sum_to" else {}
    was = refused(lambda: getattr(ops, name)(BAD[bad], *REST.get(name, ()), **keywords))
    assert was or bad == "odd whole numbers" or name == "to"  # which moves what it is given


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", SECOND)
def test_the_second_argument(name, bad):
    refused(lambda: getattr(ops, name)(rawgan.tensor(W, requires_grad=True), BAD[bad]))


def w():
    return rawgan.tensor(W, requires_grad=True)


CALLS = {
    "w + None": lambda: w() + None,
    "None - w": lambda: None - w(),
    "w * text": lambda: w() * "a",
    "w @ None": lambda: w() @ None,
    "w ** text": lambda: w() ** "a",
    "reshape to a text": lambda: w().reshape("a"),
    "reshape to four": lambda: w().reshape(4),
    "sum over a text": lambda: w().sum(axis="a"),
    "sum over axis 5": lambda: w().sum(axis=5),
    "sum over an array": lambda: w().sum(axis=np.arange(2)),
    "index 5": lambda: w()[5],
    "index by text": lambda: w()["a"],
    "pad by None": lambda: ops.pad(w(), None),
    "clip to an array": lambda: ops.clip(w(), np.ones(3), 1),
    "max_pool2d of an array": lambda: ops.max_pool2d(ONE, np.ones(2, np.int64)),
    "tensor of text": lambda: rawgan.tensor("a"),
    "tensor of None": lambda: rawgan.tensor(None),
    "gradient of a list": lambda: rawgan.grad([w()], [w()]),
    "gradient of None": lambda: rawgan.grad(None, [w()]),
    "gradient by None": lambda: rawgan.grad(w(), None),
    "backward from a text": lambda: w().backward("a"),
    "Adam of a module": lambda: optim.Adam(nn.Dense(1, 1)),
    "Adam of None": lambda: optim.Adam(None),
    "Adam of numbers": lambda: optim.Adam([1]),
    "clipping None": lambda: optim.clip_grad_norm(None, 1),
    "clipping by a text": lambda: optim.clip_grad_norm([w()], "a"),
    "a module's state from None": lambda: nn.Dense(1, 1).load_state_dict(None),
    "a module's state from a list": lambda: nn.Dense(1, 1).load_state_dict([1]),
    "an optimiser's state from None": lambda: optim.Adam([w()]).load_state_dict(None),
    "an optimiser's state from nothing": lambda: optim.Adam([w()]).load_state_dict({}),
    "Sequential of numbers": lambda: nn.Sequential(1),
    "Reshape to None": lambda: nn.Reshape(None),
    "leaky_relu by a text": lambda: ops.leaky_relu(w(), "a"),
    "leaky_relu by None": lambda: ops.leaky_relu(w(), None),
    "dropout of a text": lambda: ops.dropout(w(), "a"),
    "dropout after a slope of text": lambda: ops.dropout(w(), 0.5, negative_slope="a"),
    "dropout2d after a negative slope": lambda: ops.dropout2d(ONE, 0.5, negative_slope=-1),
    "Dropout of a text": lambda: nn.Dropout("a"),
    "bce of None": lambda: losses.bce(None, 1),
    "bce against None": lambda: losses.bce(w(), None),
    "no objective": lambda: losses.adversarial(None),
    "seed of a text": lambda: rawgan.manual_seed("a"),
    "fixed statistics of another size": lambda: ops.batch_norm_fixed(W, C, C, C, np.ones(2, np.float32), 0.1),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_that_are_refused(name):
    assert refused(CALLS[name])


@pytest.mark.parametrize(
    "saved", [{"lr": "a"}, {"steps": "a"}, {"m.0": np.ones(3)}, {"m.0": "a"}, {"odd": 1}]
)
def test_an_optimisers_hostile_state(saved):
    opt = optim.Adam([w()])
    with pytest.raises((rawgan.CheckpointError, rawgan.ConfigError)):
        opt.load_state_dict(opt.state_dict() | saved)


def test_an_optimisers_rate_is_saved():
    opt = optim.Adam([w()], lr=0.1)
    opt.lr = 0.025
    again = optim.Adam([w()])
    again.load_state_dict(opt.state_dict())
    assert again.lr == 0.025


MISFITS = ["add", "subtract", "multiply", "divide", "power", "maximum", "minimum"]


@pytest.mark.parametrize("name", MISFITS)
@pytest.mark.parametrize("kind", ["arrays", "tensor first", "tensor second", "tensors"])
def test_operands_that_do_not_fit_name_the_operation_and_both_shapes(name, kind):
    x, y = np.ones((2, 3), np.float32), np.ones((2, 4), np.float32)
    x = rawgan.tensor(x) if kind in ("tensor first", "tensors") else x
    y = rawgan.tensor(y) if kind in ("tensor second", "tensors") else y
    with pytest.raises(rawgan.ShapeError, match=rf"{name}: shapes \(2, 3\) and \(2, 4\)"):
        getattr(ops, name)(x, y)


def test_results_kept_as_attributes_are_no_parameters():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Dense(3, 1)
            self.scale = rawgan.tensor([2.0], requires_grad=True)

        def forward(self, x):
            self.last = self.layer(x) * self.scale
            return self.last

    net = Net()
    net(W).sum().backward()
    assert [name for name, _ in net.named_parameters()] == ["scale", "layer.weight", "layer.bias"]
    assert set(net.state_dict()) == {"scale", "layer.weight", "layer.bias"}
