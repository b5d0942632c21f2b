"""Every recipe of the table: its settings and their errors, its networks, and one seed, one result."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from rawgan import data, nn, ops, recipes, rng
from rawgan.kernels.errors import ConfigError, RawganError
from rawgan.training.step import Trainer


@dataclasses.dataclass(frozen=True)
class Row:
    """What the recipe says of itself.

    shape: of its own data, as its networks take it. others: shapes it takes besides. refused: shapes it
    does not take. counts: each network's parameters at the shape. ends: G's last activation, where black and
    white are. small: settings that make it quick.
    """

    shape: tuple
    others: list
    refused: list
    counts: dict
    ends: tuple
    small: dict


def dense(*widths):
    """Parameters of dense layers one after another."""
    return sum(a * b + b for a, b in itertools.pairwise(widths))


SIGMOID, TANH = (nn.Sigmoid, 0.0, 1.0), (nn.Tanh, -1.0, 1.0)
DCGAN_G = 100 * 12544 + 2 * 12544 + 25 * 256 * 128 + 2 * 128 + 25 * 128 * 64 + 2 * 64 + 25 * 64
DCGAN_D = 25 * 64 + 64 + 25 * 64 * 128 + 128 + 6272 + 1
AUTOENCODER_G = dense(16, 256, 784)
ROWS = {
    "mlp": Row(
        (1, 28, 28),
        [(1, 8, 8), (3, 5, 7)],
        [],
        {"generator": dense(100, 128, 128, 784), "discriminator": dense(784, 128, 128, 1)},
        SIGMOID,
        {"hidden": 8},
    ),
    "dense_conv": Row(
        (1, 28, 28),
        [(3, 8, 12)],
        [(1, 27, 28), (1, 28, 30), (2,)],
        {
            "generator": 100 * 128
            + 128 * 256
            + 256 * 512
            + 512 * 1024
            + 1024 * 12544
            + (2 * (128 + 256 + 512 + 1024 + 12544 + 128) + 16 * 256 * 128 + 16 * 128 + 1),
            "discriminator": 16 * (32 + 32 * 64 + 64 * 128) + 32 + 64 + 128 + dense(128 * 3 * 3, 1),
        },
        TANH,
        {"width": 2},
    ),
    "dcgan_mnist": Row(
        (1, 28, 28),
        [(3, 8, 12)],
        [(1, 27, 28), (1, 28, 30), (2,)],
        {"generator": DCGAN_G, "discriminator": DCGAN_D},
        TANH,
        {"width": 2},
    ),
    "dcgan_cifar10": Row(
        (3, 32, 32),
        [(1, 32, 32)],
        [(3, 28, 28), (3, 32, 16), (2,)],
        {
            "generator": 16 * (100 * 256 + 256 * 128 + 128 * 64 + 64 * 3) + 2 * (256 + 128 + 64) + 3,
            "discriminator": 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256) + 64 + 128 + 256 + 1,
        },
        TANH,
        {"width": 2},
    ),
    "encoder_gan": Row(
        (1, 28, 28),
        [(1, 8, 8), (3, 5, 7)],
        [(2,)],
        {
            "encoder": dense(784, 128, 64),
            "generator": dense(32, 128, 128, 784),
            "discriminator": dense(32 + 128, 128, 128, 1),
        },
        SIGMOID,
        {"hidden": 8},
    ),
    "gat": Row(
        (1, 28, 28),
        [(1, 8, 8), (3, 5, 7)],
        [],
        {"generator": dense(100, 128, 128, 784), "discriminator": dense(784, 128, 128, 1)},
        SIGMOID,
        {"hidden": 8},
    ),
    "wgan": Row(
        (1, 28, 28),
        [(3, 8, 12)],
        [(1, 27, 28), (1, 28, 30), (2,)],
        {"generator": DCGAN_G, "discriminator": DCGAN_D},
        TANH,
        {"width": 2},
    ),
    "wgan_gp": Row(
        (1, 28, 28),
        [(3, 8, 12)],
        [(1, 27, 28), (1, 28, 30), (2,)],
        {"generator": DCGAN_G, "discriminator": DCGAN_D},
        TANH,
        {"width": 2},
    ),
    "mixture": Row(
        (2,),
        [(5,), (1, 4, 4)],
        [],
        {"generator": dense(16, 128, 128, 2), "discriminator": dense(2, 128, 128, 1)},
        (nn.Dense, -1.0, 1.0),
        {"hidden": 8},
    ),
    "autoencoder": Row(
        (1, 28, 28),
        [(1, 8, 8), (3, 5, 7)],
        [],
        {"encoder": dense(784, 256, 16), "generator": AUTOENCODER_G},
        SIGMOID,
        {"hidden": 8},
    ),
    "vae": Row(
        (1, 28, 28),
        [(1, 8, 8), (3, 5, 7)],
        [(2,)],
        {"encoder": dense(784, 256, 32), "generator": AUTOENCODER_G},
        SIGMOID,
        {"hidden": 8},
    ),
}
assert set(ROWS) == set(recipes.RECIPES)
assert [ROWS[n].counts["generator"] for n in ("mlp", "dcgan_mnist", "mixture")] == [
    130_576,
    2_305_472,
    18_946,
]
PERCEPTRONS = ("mlp", "encoder_gan", "gat", "mixture", "autoencoder", "vae")  # take pictures of any size

every_recipe = pytest.mark.parametrize("name", ROWS)


def small(name, **fields):
    return recipes.make(name, **({"batch_size": 4, "noise": 6} | ROWS[name].small | fields))


def flat(network):
    """Its layers, where some are Sequential themselves."""
    return [
        part for layer in network for part in (flat(layer) if isinstance(layer, nn.Sequential) else [layer])
    ]


@every_recipe
def test_shapes_of_the_networks(name):
    row = ROWS[name]
    for shape in (row.shape, *row.others):
        recipe = small(name)
        networks = recipe.networks(shape)
        assert set(networks) == set(recipe.members()) == set(row.counts)
        G, E, D = (networks.get(part) for part in ("generator", "encoder", "discriminator"))
        z = np.random.default_rng(0).normal(size=(3, recipe.noise)).astype(np.float32)
        fake = G(z)
        assert fake.shape == (3, *shape)
        assert fake.dtype == np.float32
        last, low, high = row.ends
        assert [type(layer) for layer in flat(G) if not isinstance(layer, nn.Reshape)][-1] is last
        assert (recipe.low, recipe.high) == (low, high)
        if last is not nn.Dense:
            assert low <= fake.data.min() <= fake.data.max() <= high
        judged = fake
        if E is not None:
            code = E(fake)
            assert code.shape == (3, recipe.noise * (1 if name == "autoencoder" else 2))
            judged = ops.concatenate([code[:, : recipe.noise], G[0](z)], axis=1) if D else code
        verdict = D(judged) if D else judged
        if D is not None:
            assert verdict.shape == (3, 1)
            assert isinstance(D[-1], nn.Sigmoid) == recipe.probabilities
        verdict.sum().backward()
        assert all(p.grad is not None for network in networks.values() for p in network.parameters())


@every_recipe
def test_shapes_that_are_refused(name):
    for shape in ROWS[name].refused:
        with pytest.raises(ConfigError) as error:
            small(name).networks(shape)
        assert name in str(error.value)
        assert str(shape) in str(error.value)


@every_recipe
def test_counts_of_parameters(name):
    networks = recipes.make(name).networks(ROWS[name].shape)
    assert {part: sum(p.size for p in net.parameters()) for part, net in networks.items()} == ROWS[
        name
    ].counts


@pytest.mark.parametrize("name", ["dcgan_mnist", "dcgan_cifar10", "wgan", "wgan_gp"])
def test_initial_weights_of_the_dcgans(name):
    """N(0, 0.02²) for weights, N(1, 0.02²) for BatchNorm's scales, 0 for what is added."""
    with rng.use_generator(rng.Generator(3)):
        networks = list(recipes.make(name).networks(ROWS[name].shape).values())
    scales = 0
    for net in networks:
        for _, module in net.named_modules():
            centre = 1.0 if isinstance(module, nn.BatchNorm) else 0.0
            scales += centre == 1
            weight = getattr(module, "weight", None)
            if weight is None:
                continue
            n = weight.size
            assert abs(weight.data.mean() - centre) <= 5 * 0.02 / math.sqrt(n)
            assert abs(weight.data.std() / 0.02 - 1) <= 5 / math.sqrt(2 * n)
            assert np.max(np.abs(weight.data - centre)) <= 0.02 * 7
            assert module.bias is None or np.all(module.bias.data == 0)
    assert scales == 3
    assert not isinstance(networks[1][0], nn.BatchNorm)


@every_recipe
def test_weights_follow_from_the_generator(name):
    def drawn(seed):
        with rng.use_generator(rng.Generator(seed)):
            networks = small(name).networks(ROWS[name].shape).values()
            return [p.data for net in networks for p in net.parameters()]

    assert all(np.array_equal(a, b) for a, b in zip(drawn(1), drawn(1), strict=True))
    assert not np.array_equal(drawn(1)[0], drawn(2)[0])


def trained(name, source, seed, steps=2, **fields):
    recipe = small(name, **fields)
    source = recipe.prepare(source)
    trainer = Trainer(recipe, source.shape, source, seed)
    rows = [trainer.step() for _ in range(steps)]
    return trainer, rows


def own_data(name):
    """A few items like those of the recipe's own dataset; nothing is downloaded."""
    if name == "mixture":
        return data.load("ring")
    return data.Dataset("noise", np.random.default_rng(0).integers(0, 256, (12, *ROWS[name].shape), np.uint8))


@every_recipe
def test_one_seed_one_result(name):
    (a, rows), (b, again), (c, _) = (trained(name, own_data(name), seed) for seed in (5, 5, 6))
    assert rows == again
    states = [t.state()[0] for t in (a, b, c)]
    assert all(np.array_equal(v, states[1][k]) for k, v in states[0].items())
    first = next(key for key in states[0] if key.startswith("generator."))
    assert not np.array_equal(states[0][first], states[2][first])
    fresh = Trainer(a.recipe, a.shape, a.source, 5).state()[0]
    for key, value in states[0].items():
        assert np.all(np.isfinite(value)), key
        if key.endswith("weight"):
            assert not np.array_equal(value, fresh[key]), f"{key} has not moved"


@pytest.mark.parametrize("name", [n for n in ROWS if n != "mixture"])
def test_digits_with_every_picture_recipe(name):
    """8x8 in the dataset, brought to the size that the networks need."""
    trainer, _ = trained(name, data.load("digits"), 0, steps=1)
    want = 8 if name in PERCEPTRONS else 32 if name == "dcgan_cifar10" else 28
    assert trainer.shape == (1, want, want)
    pictures = trainer.generate(rng.Generator(1).normal((3, trainer.recipe.noise)))
    assert pictures.shape == (3, 1, want, want)
    assert 0 <= pictures.min() <= pictures.max() <= 1


@every_recipe
def test_points_go_to_the_recipes_that_take_them(name):
    if name in PERCEPTRONS and name not in ("encoder_gan", "vae"):
        assert trained(name, data.load("ring"), 0, steps=1)[0].shape == (2,)
    else:
        with pytest.raises(RawganError, match=name):
            trained(name, data.load("ring"), 0)


@pytest.mark.parametrize("d_steps", [1, 3])
def test_clipping_and_d_steps_reach_the_optimizers(d_steps):
    seen = []
    recipe = small("mixture", d_steps=d_steps, clip_value=1e-3, clip_norm={"discriminator": 1e-4})
    trainer = Trainer(recipe, (2,), data.load("ring"), 0)
    for player, optimizer in trainer.optimizers.items():

        def step(player=player, optimizer=optimizer, before=optimizer.step):
            norm = math.sqrt(sum(float(np.sum(p.grad**2)) for p in optimizer.params))
            seen.append((player, norm, max(np.max(np.abs(p.grad)) for p in optimizer.params)))
            before()

        optimizer.step = step
    trainer.step()
    assert [player for player, *_ in seen] == ["discriminator"] * d_steps + ["generator"]
    for player, norm, largest in seen:
        assert 0 < largest <= 1e-3 * (1 + 1e-6)
        assert player == "generator" or norm <= 1e-4 * (1 + 1e-5)
