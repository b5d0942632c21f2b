"""Each recipe is what its article and docstring say: layers, slopes, dropout, settings."""

import pytest

from rawgan import data, nn, recipes

ADAM = {"optimizer": "adam", "betas": (0.5, 0.999), "d_steps": 1, "clip_norm": None, "clip_value": None}
# name -> (item shape, settings, G's and D's layers with the number that is easily got wrong)
WRITTEN = {
    "mlp": (
        (1, 28, 28),
        {"learning_rate": 2e-4, "batch_size": 128, "noise": 100, "objective": "saturating"}
        | {
            "clip_norm_each": {"generator": 1.0},
            "data": "digits",
            "low": 0,
            "high": 1,
            "probabilities": True,
        },
        "dense 128, ReLU, dense 128, ReLU, dense 784, Sigmoid, Reshape",
        "Flatten, dense 128, ReLU, dense 128, ReLU, dense 1, Sigmoid",
    ),
    "dcgan_mnist": (
        (1, 28, 28),
        {"learning_rate": 1e-4, "batch_size": 128, "noise": 100, "objective": "non_saturating"}
        | {"clip_norm_each": None, "data": "mnist", "low": -1, "high": 1, "probabilities": False},
        "dense 12544, BatchNorm, leaky 0.3, Reshape, convT 128 5 1 2 0, BatchNorm, leaky 0.3, "
        "convT 64 5 2 2 1, BatchNorm, leaky 0.3, convT 1 5 2 2 1, Tanh",
        "conv 64 5 2 2, leaky 0.3, Dropout 0.3, conv 128 5 2 2, leaky 0.3, Dropout 0.3, Flatten, dense 1",
    ),
    "dcgan_cifar10": (
        (3, 32, 32),
        {"learning_rate": 2e-4, "batch_size": 128, "noise": 100, "objective": "non_saturating"}
        | {"clip_norm_each": None, "data": "cifar10", "low": -1, "high": 1, "probabilities": False},
        "Reshape, convT 256 4 1 0 0, BatchNorm, ReLU, convT 128 4 2 1 0, BatchNorm, ReLU, "
        "convT 64 4 2 1 0, BatchNorm, ReLU, convT 3 4 2 1 0, Tanh",
        "conv 64 4 2 1, leaky 0.2, Dropout2d 0.3, conv 128 4 2 1, leaky 0.2, Dropout2d 0.3, "
        "conv 256 4 2 1, leaky 0.2, Dropout2d 0.3, conv 1 4 1 0, Flatten",
    ),
    "mixture": (
        (2,),
        {"learning_rate": 2e-4, "batch_size": 256, "noise": 16, "objective": "non_saturating"}
        | {"clip_norm_each": None, "data": "ring", "steps": 10_000, "probabilities": False},
        "dense 128, leaky 0.2, dense 128, leaky 0.2, dense 2, Reshape",
        "Flatten, dense 128, leaky 0.2, dense 128, leaky 0.2, dense 1",
    ),
}


def written(layer):
    match layer:
        case nn.Dense():
            return f"dense {layer.weight.shape[0]}"
        case nn.Conv2d():
            return (
                f"conv {layer.weight.shape[0]} {layer.weight.shape[2]} {layer.stride[0]} {layer.padding[0]}"
            )
        case nn.ConvTranspose2d():
            sizes = layer.weight.shape[1], layer.weight.shape[2]
            return (
                f"convT {sizes[0]} {sizes[1]} {layer.stride[0]} {layer.padding[0]} {layer.output_padding[0]}"
            )
        case nn.LeakyReLU():
            return f"leaky {layer.negative_slope}"
        case nn.Dropout():
            return f"{type(layer).__name__} {layer.p}"
    return type(layer).__name__


@pytest.mark.parametrize("name", recipes.names())
def test_as_written(name):
    shape, settings, generator, discriminator = WRITTEN[name]
    recipe = recipes.make(name)
    for key, value in (ADAM | settings).items():
        assert getattr(recipe, key) == value, key
    networks = recipe.networks(shape).values()
    assert [", ".join(map(written, network)) for network in networks] == [generator, discriminator]


def test_the_ring():
    ring = data.load("ring")
    assert (len(ring.centres), ring.sigma) == (8, 0.1)
