"""`rawgan.train` with data, networks and callbacks of one's own, and what it refuses."""

import numpy as np
import pytest
from tiny_runs import QUICK, assert_same, quick

import rawgan
from rawgan import data, nn
from rawgan.training import history

POINTS = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)


def own_networks(seed=0, last=None):
    rawgan.manual_seed(seed)
    G = nn.Sequential(nn.Dense(4, 8), nn.LeakyReLU(), nn.Dense(8, 2))
    D = nn.Sequential(nn.Dense(2, 8), nn.LeakyReLU(), nn.Dense(8, 1), *([last] if last else []))
    return {"generator": G, "discriminator": D}


def test_arrays_and_datasets_are_data():
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 5), dtype=np.uint8)
    given = [images, images[:, None], data.Dataset("array", images), (images / 255)]
    runs = [quick(data=value) for value in given]
    assert all(run.sample(2).shape == (2, 1, 6, 5) for run in runs)
    for run in runs[1:3]:
        assert_same(runs[0], run)
    assert quick("mixture", data=POINTS).sample(3).shape == (3, 2)
    with pytest.raises(rawgan.DataError, match="shape"):
        quick(data=np.zeros((4, 4)))
    with pytest.raises(rawgan.DataError, match=r"batch_size 8 is more than the 7"):
        quick(data=images[:7])


def test_own_networks():
    run = rawgan.train(**own_networks(), data=POINTS, objective="hinge", **QUICK)
    assert run.sample(6).shape == (6, 2)
    assert run.config["recipe"] == "custom"
    assert_same(run, rawgan.train(**own_networks(), data=POINTS, objective="hinge", **QUICK))
    least = rawgan.train(**own_networks(), data=POINTS, objective="least_squares", **QUICK)
    assert least.history["d_loss"][0] != run.history["d_loss"][0]


def test_own_networks_are_trained_in_place():
    networks = own_networks()
    before = networks["generator"].state_dict()
    run = rawgan.train(**networks, data=POINTS, **QUICK)
    assert run.generator is networks["generator"]
    assert run.discriminator is networks["discriminator"]
    assert (run.generator.state_dict()["0.weight"] != before["0.weight"]).any()


def test_a_discriminator_of_ones_own_may_give_probabilities():
    networks = own_networks(last=nn.Sigmoid())
    run = rawgan.train(**networks, data=POINTS, d_probabilities=True, objective="saturating", **QUICK)
    logits = rawgan.train(**own_networks(), data=POINTS, objective="saturating", **QUICK)
    for name in history.COLUMNS:  # the same game, but for rounding
        assert np.abs(run.history[name] - logits.history[name]).max() <= 1e-5
    with pytest.raises(rawgan.ConfigError, match="leave out the final sigmoid"):
        rawgan.train(**networks, data=POINTS, d_probabilities=True, objective="hinge", **QUICK)


@pytest.mark.parametrize("ends", [(-1.0, 1.0), (0.0, 1.0), (-3.0, 5.0)])
def test_value_range_is_what_black_and_white_are_to_the_networks(ends):
    black_and_white = np.stack([np.zeros((8, 4, 4)), np.ones((8, 4, 4))], 1).reshape(16, 4, 4)
    seen = []

    class Look(nn.Module):
        def forward(self, x):
            seen.append(rawgan.ops.arithmetic.raw(x).copy())
            return x

    rawgan.manual_seed(0)
    G = nn.Sequential(nn.Dense(4, 16), nn.Reshape((1, 4, 4)))
    D = nn.Sequential(Look(), nn.Flatten(), nn.Dense(16, 1))
    run = rawgan.train(
        generator=G, discriminator=D, data=black_and_white, value_range=ends, **(QUICK | {"batch_size": 16})
    )
    assert set(np.unique(seen[0])) == set(np.float32(ends))
    raw, low, high = G(rawgan.rng.Generator(3).spawn("samples").normal((9, 4))).numpy(), *ends
    assert np.abs(run.sample(9, seed=3) - ((raw - low) / (high - low)).clip(0, 1)).max() <= 1e-6


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"recipe": "mlp", "generator": nn.ReLU()}, "give the recipe 'mlp' or your own networks, not both"),
        ({"generator": nn.ReLU()}, "discriminator= takes a network such as nn.Sequential"),
        ({"generator": nn.ReLU, "discriminator": nn.ReLU()}, "generator= takes a network"),
        ({}, r"give a recipe \(mlp, .*\) or your own"),
        ({"recipe": "custom"}, "give generator= and discriminator="),
        ({"recipe": "mlpp"}, "there is no recipe 'mlpp'; did you mean 'mlp'"),
        ({"recipe": "mlp", "lerning_rate": 1}, "no setting 'lerning_rate'; did you mean 'learning_rate'"),
        ({"recipe": "mlp", "devise": "cpu"}, "no setting 'devise'; did you mean 'device'"),
        ({"recipe": "mlp", "name": "x"}, "no setting 'name'"),
        ({"recipe": "mlp", "data": "digit"}, "unknown data 'digit': did you mean 'digits'"),
        ({"recipe": "mlp", "objective": "hing"}, "no objective 'hing'; did you mean 'hinge'"),
        ({"recipe": "mlp", "epochs": 1, "steps": 1}, "epochs or steps, not both"),
        ({"recipe": "mlp", "steps": 0}, "steps is a whole number ≥ 1, got 0"),
        ({"recipe": "mlp", "epochs": 1.5}, "epochs is a whole number ≥ 1, got 1.5"),
        ({"recipe": "mlp", "checkpoint_every": 0}, "checkpoint_every is a whole number ≥ 1, got 0"),
        ({"recipe": "mlp", "sample_every": -1}, "sample_every is a whole number ≥ 1, got -1"),
        ({"recipe": "mlp", "seed": -1}, "seed is a whole number"),
        ({"recipe": "mlp", "seed": 0.5}, "seed is a whole number"),
        ({"recipe": "mlp", "data": "ring"}, "no end, so no epochs: give steps="),
        ({"recipe": "mlp", "resume": True}, "give its path as out="),
        ({"generator": nn.ReLU(), "discriminator": nn.ReLU(), "steps": 1}, "no parameters"),
    ],
)
def test_what_cannot_be_is_refused(keywords, message):
    with pytest.raises(rawgan.ConfigError, match=message):
        rawgan.train(**({"device": "cpu", "progress": False} | keywords))


def test_custom_networks_without_a_length_are_asked_for_one():
    with pytest.raises(rawgan.ConfigError, match="how long"):
        rawgan.train(**own_networks(), data=POINTS, noise=4, batch_size=8, device="cpu")


@pytest.mark.parametrize("key", ["clip_norm", "clip_norm_each", "clip_value"])
def test_clipping_is_for_the_player_named(key):
    rate, limit = 1.0, 1e-4

    def moves(**settings):
        networks = own_networks()
        start = {p: net.state_dict() for p, net in networks.items()}
        run = rawgan.train(
            **networks, data=POINTS, learning_rate=rate, optimizer="sgd", **(QUICK | {"steps": 1}), **settings
        )
        ends = {"generator": run.generator.state_dict(), "discriminator": run.discriminator.state_dict()}
        return run, {
            player: [np.float64(ends[player][name]) - start[player][name] for name in ends[player]]
            for player in ends
        }

    free, _ = moves()
    run, moved = moves(**{key: {"generator": limit}})
    each = [np.linalg.norm(move) for move in moved["generator"]]
    size = {
        "clip_norm": np.linalg.norm(each),
        "clip_norm_each": max(each),
        "clip_value": max(np.abs(move).max() for move in moved["generator"]),
    }[key]
    assert abs(size - limit) <= 0.01 * limit  # rounding of weights near 1
    for name in history.COLUMNS:  # D is not clipped, and norms are told before clipping
        assert run.history[name].tobytes() == free.history[name].tobytes()
    assert max(np.abs(move).max() for move in moved["discriminator"]) > 10 * limit
