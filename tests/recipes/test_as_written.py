"""Each recipe is what its article and docstring say: layers, slopes, dropout, settings."""

import pytest

from rawgan import data, nn, recipes

ADAM = {"optimizer": "adam", "betas": (0.5, 0.999), "clip_norm": None, "clip_value": None}
ALONE = ADAM | {"clip_norm_each": None, "l2": None, "average": None}
GAME = ALONE | {
    "objective": "non_saturating",
    "d_steps": 1,
    "label_smoothing": 0,
    "pack": 1,
    "weight_clip": None,
    "gradient_penalty": 0,
    "r1": 0,
    "conjugate": 0,
    "probabilities": False,
}
BLACK_IS_0, TANH = {"low": 0, "high": 1}, {"low": -1, "high": 1}
MLP_G = "dense 128, ReLU, dense 128, ReLU, dense 784, Sigmoid, Reshape"
DCGAN_G = (
    "dense 12544, BatchNorm, leaky {0}, Reshape, convT 128 5 1 2 0, BatchNorm, leaky {0}, "
    "convT 64 5 2 2 1, BatchNorm, leaky {0}, convT 1 5 2 2 1, Tanh"
)
CRITIC = "conv 64 5 2 2, leaky 0.2, conv 128 5 2 2, leaky 0.2, Flatten, dense 1"
# name -> (item shape, settings, each network's layers with the number that is easily got wrong)
WRITTEN = {
    "mlp": (
        (1, 28, 28),
        GAME
        | BLACK_IS_0
        | {"learning_rate": 2e-4, "batch_size": 128, "noise": 100, "objective": "saturating"}
        | {"clip_norm_each": {"generator": 1.0}, "data": "digits", "probabilities": True},
        MLP_G,
        "Flatten, dense 128, ReLU, dense 128, ReLU, dense 1, Sigmoid",
    ),
    "dense_conv": (
        (1, 28, 28),
        GAME | TANH | {"learning_rate": 2e-4, "batch_size": 128, "noise": 100, "data": "mnist"},
        "dense 128, BatchNorm, leaky 0.2, dense 256, BatchNorm, leaky 0.2, dense 512, BatchNorm, leaky 0.2, "
        "dense 1024, BatchNorm, leaky 0.2, dense 12544, BatchNorm, leaky 0.2, Reshape, "
        "convT 128 4 2 1 0, BatchNorm, leaky 0.2, convT 1 4 2 1 0, Tanh",
        "conv 32 4 2 1, leaky 0.2, conv 64 4 2 1, leaky 0.2, conv 128 4 2 1, leaky 0.2, Flatten, dense 1",
    ),
    "dcgan_mnist": (
        (1, 28, 28),
        GAME | TANH | {"learning_rate": 1e-4, "batch_size": 128, "noise": 100, "data": "mnist"},
        DCGAN_G.format(0.3),
        "conv 64 5 2 2, leaky 0.3, Dropout 0.3, conv 128 5 2 2, leaky 0.3, Dropout 0.3, Flatten, dense 1",
    ),
    "dcgan_cifar10": (
        (3, 32, 32),
        GAME | TANH | {"learning_rate": 2e-4, "batch_size": 128, "noise": 100, "data": "cifar10"},
        "Reshape, convT 256 4 1 0 0, BatchNorm, ReLU, convT 128 4 2 1 0, BatchNorm, ReLU, "
        "convT 64 4 2 1 0, BatchNorm, ReLU, convT 3 4 2 1 0, Tanh",
        "conv 64 4 2 1, leaky 0.2, Dropout2d 0.3, conv 128 4 2 1, leaky 0.2, Dropout2d 0.3, "
        "conv 256 4 2 1, leaky 0.2, Dropout2d 0.3, conv 1 4 1 0, Flatten",
    ),
    "encoder_gan": (
        (1, 28, 28),
        GAME
        | BLACK_IS_0
        | {"learning_rate": 2e-4, "batch_size": 128, "noise": 32, "data": "digits", "kl": 0.1}
        | {"optimizer": "rmsprop", "clip_norm": {"discriminator": 1.0}, "l2": {"discriminator": 1e-5}},
        "Flatten, dense 128, ReLU, dense 64",
        "dense 128, ReLU, dense 128, ReLU | dense 784, Sigmoid, Reshape",
        "dense 128, leaky 0.2, dense 128, leaky 0.2, dense 1",
    ),
    "gat": (
        (1, 28, 28),
        GAME
        | BLACK_IS_0
        | {"learning_rate": 2e-4, "batch_size": 128, "noise": 100, "data": "digits"}
        | {"conjugate": 0.5, "divergence": "pearson", "r1": 1.0},
        MLP_G,
        "Flatten, dense 128, ReLU, dense 128, ReLU, dense 1",
    ),
    "wgan": (
        (1, 28, 28),
        GAME
        | TANH
        | {"learning_rate": 5e-5, "batch_size": 64, "noise": 100, "data": "mnist", "optimizer": "rmsprop"}
        | {"objective": "wasserstein", "d_steps": 5, "weight_clip": 0.01},
        DCGAN_G.format(0.2),
        CRITIC,
    ),
    "wgan_gp": (
        (1, 28, 28),
        GAME
        | TANH
        | {"learning_rate": 1e-4, "batch_size": 64, "noise": 100, "data": "mnist", "betas": (0, 0.9)}
        | {"objective": "wasserstein", "d_steps": 5, "gradient_penalty": 10},
        DCGAN_G.format(0.2),
        CRITIC,
    ),
    "mixture": (
        (2,),
        GAME | {"learning_rate": 2e-4, "batch_size": 256, "noise": 16, "data": "ring", "steps": 10_000},
        "dense 128, leaky 0.2, dense 128, leaky 0.2, dense 2, Reshape",
        "Flatten, dense 128, leaky 0.2, dense 128, leaky 0.2, dense 1",
    ),
    "autoencoder": (
        (1, 28, 28),
        ALONE
        | BLACK_IS_0
        | {"learning_rate": 1e-3, "batch_size": 128, "noise": 16, "data": "digits", "betas": (0.9, 0.999)},
        "Flatten, dense 256, ReLU, dense 16",
        "dense 256, ReLU, dense 784, Sigmoid, Reshape",
    ),
    "vae": (
        (1, 28, 28),
        ALONE
        | BLACK_IS_0
        | {"learning_rate": 1e-3, "batch_size": 128, "noise": 16, "data": "digits", "betas": (0.9, 0.999)}
        | {"beta": 1.0},
        "Flatten, dense 256, ReLU, dense 32",
        "dense 256, ReLU, dense 784, Sigmoid, Reshape",
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
        case nn.Sequential() if any(isinstance(part, nn.Sequential) for part in layer):
            return " | ".join(map(written, layer))
        case nn.Sequential():
            return ", ".join(map(written, layer))
    return type(layer).__name__


@pytest.mark.parametrize("name", recipes.names())
def test_as_written(name):
    shape, settings, *layers = WRITTEN[name]
    recipe = recipes.make(name)
    for key, value in settings.items():
        assert getattr(recipe, key) == value, key
    networks = recipe.networks(shape)
    order = ["encoder", "generator", "discriminator"]
    assert list(networks) == sorted(networks, key=order.index)
    assert list(map(written, networks.values())) == layers


def test_the_ring():
    ring = data.load("ring")
    assert (len(ring.centres), ring.sigma) == (8, 0.1)
