"""How layers are made: initial values in PyTorch's ranges, and arguments and inputs that do not fit."""

import math

import numpy as np
import pytest

import rawgan
from rawgan import nn, rng
from rawgan.kernels.errors import ConfigError, DTypeError, ShapeError

FAN_IN = [  # PyTorch's: the product of all but the first axis of the weight, transposed or not
    (lambda: nn.Dense(50, 300), 50),
    (lambda: nn.Conv2d(5, 300, (3, 4)), 5 * 3 * 4),
    (lambda: nn.ConvTranspose2d(300, 5, (3, 4)), 5 * 3 * 4),
]


@pytest.mark.parametrize(("make", "fan_in"), FAN_IN, ids=["Dense", "Conv2d", "ConvTranspose2d"])
def test_initial_values_fill_pytorchs_range(make, fan_in):
    with rng.use_generator(rng.Generator(1)):
        layer = make()
    bound = 1 / math.sqrt(fan_in)
    w = layer.weight.data
    assert w.dtype == np.float32
    assert np.max(np.abs(w)) <= bound * (1 + 1e-6)
    assert np.max(np.abs(w)) >= 0.99 * bound
    assert abs(w.std() / (bound / math.sqrt(3)) - 1) <= 0.03
    assert abs(w.mean()) <= 5 * bound / math.sqrt(w.size)
    assert np.max(np.abs(layer.bias.data)) <= bound * (1 + 1e-6)
    assert np.max(np.abs(layer.bias.data)) >= 0.5 * bound
    assert all(p.requires_grad for p in layer.parameters())


def test_initial_values_come_from_the_current_generator():
    def weight(seed):
        rawgan.manual_seed(seed)
        return nn.Dense(4, 3).weight.data

    assert np.array_equal(weight(1), weight(1))
    assert not np.array_equal(weight(1), weight(2))


def test_batch_norm_starts_at_the_identity():
    state = nn.BatchNorm(3).state_dict()
    assert {k: v.tolist() for k, v in state.items()} == {
        "weight": [1.0] * 3,
        "bias": [0.0] * 3,
        "running_mean": [0.0] * 3,
        "running_var": [1.0] * 3,
    }


BAD = [
    lambda: nn.Dense(0, 3),
    lambda: nn.Dense(3, -1),
    lambda: nn.Dense(2.5, 3),
    lambda: nn.Dense("3", 3),
    lambda: nn.Dense(True, 3),
    lambda: nn.Conv2d(0, 1, 3),
    lambda: nn.Conv2d(1, 0, 3),
    lambda: nn.Conv2d(1, 1, 0),
    lambda: nn.Conv2d(1, 1, (3, 3, 3)),
    lambda: nn.Conv2d(1, 1, 3, stride=0),
    lambda: nn.Conv2d(1, 1, 3, padding=-1),
    lambda: nn.Conv2d(1, 1, (3, 2.5)),
    lambda: nn.ConvTranspose2d(1, 1, 3, stride=(1, 0)),
    lambda: nn.ConvTranspose2d(1, 1, 3, output_padding=-1),
    lambda: nn.BatchNorm(0),
    lambda: nn.BatchNorm(3, eps=-1e-5),
    lambda: nn.BatchNorm(3, eps=math.nan),
    lambda: nn.BatchNorm(3, momentum=1.5),
    lambda: nn.BatchNorm(3, momentum=None),
    lambda: nn.LeakyReLU(-0.1),
    lambda: nn.LeakyReLU("steep"),
    lambda: nn.LeakyReLU(math.inf),
    lambda: nn.Maxout(0),
    lambda: nn.Dropout(1.0),
    lambda: nn.Dropout(-0.1),
    lambda: nn.Dropout("half"),
    lambda: nn.Dropout2d(math.nan),
    lambda: nn.Reshape(2.5),
    lambda: nn.Reshape((2, 2.5)),
    lambda: nn.Reshape("ab"),
    lambda: nn.SpectralNorm(nn.ReLU()),
    lambda: nn.SpectralNorm(nn.SpectralNorm(nn.Dense(1, 1))),
    lambda: nn.SpectralNorm(None),
    lambda: nn.Sequential(nn.ReLU),
    lambda: nn.Sequential([nn.ReLU()]),
]


@pytest.mark.parametrize("make", BAD)
def test_bad_arguments(make):
    with pytest.raises((ConfigError, ShapeError)):
        make()


MISFITS = [  # layer, a shape it cannot take, what the message must name besides it
    (lambda: nn.Dense(3, 2), (4, 5), "(2, 3)"),
    (lambda: nn.Dense(3, 2), (), "(2, 3)"),
    (lambda: nn.Conv2d(3, 2, 4), (1, 2, 8, 8), "(2, 3, 4, 4)"),
    (lambda: nn.Conv2d(3, 2, 4), (3, 8, 8), "(2, 3, 4, 4)"),
    (lambda: nn.ConvTranspose2d(3, 2, 4), (1, 2, 8, 8), "(3, 2, 4, 4)"),
    (lambda: nn.BatchNorm(3), (4, 5), "(3,)"),
    (lambda: nn.Reshape((2, 3)), (4, 5), "(4, 2, 3)"),
    (lambda: nn.Maxout(3), (4, 5), None),
    (lambda: nn.Dropout2d(0.5), (4,), None),
    (lambda: nn.SpectralNorm(nn.Dense(3, 2)), (4, 5), "(2, 3)"),
]


@pytest.mark.parametrize(("make", "shape", "own"), MISFITS)
def test_inputs_that_do_not_fit_are_named_with_what_would(make, shape, own):
    with pytest.raises(ShapeError) as error:
        make()(np.ones(shape, np.float32))
    if own is not None:
        assert str(shape) in str(error.value)
        assert own in str(error.value)


def test_picture_smaller_than_the_kernel():
    with pytest.raises(ShapeError, match=r"\(4, 4\).*\(3, 3\)"):
        nn.Conv2d(1, 1, 4)(np.ones((1, 1, 3, 3), np.float32))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "layer",
    [nn.Dense(2, 2), nn.BatchNorm(2), nn.Sequential(nn.Flatten(), nn.Dense(2, 2))],
    ids=["Dense", "BatchNorm", "Sequential"],
)
def test_float64_never_slips_into_a_float32_layer(layer, training):
    with pytest.raises(DTypeError):
        layer.train(training)(np.ones((3, 2)))
