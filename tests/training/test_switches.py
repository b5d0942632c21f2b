"""The switches of a game: what each adds to the losses or does to the weights; any recipe; resumed."""

import functools

import numpy as np
import pytest
from tiny_runs import assert_same, outcome, quick, resume, skip_plots, stop_at

import rawgan
from rawgan import nn, recipes
from rawgan.kernels.cuda import host
from rawgan.training import recorded, replays
from rawgan.training.game import Game
from rawgan.training.step import Trainer

SWITCHES = {
    "label smoothing": {"label_smoothing": 0.1},
    "pack": {"pack": 2},
    "weight clip": {"weight_clip": 0.01},
    "gradient penalty": {"gradient_penalty": 10.0},
    "packed gradient penalty": {"pack": 2, "gradient_penalty": 10.0, "r1": 1.0},
    "r1": {"r1": 1.0},
    "l2": {"l2": {"generator": 1e-3, "discriminator": 1e-2}},
    "average": {"average": 0.9},
    **{f: {"conjugate": 0.5, "divergence": f} for f in ("kl", "reverse_kl", "pearson", "jensen_shannon")},
    "all": {"label_smoothing": 0.1, "pack": 2, "weight_clip": 0.1, "gradient_penalty": 1.0, "r1": 1.0}
    | {"l2": 1e-3, "average": 0.9, "conjugate": 0.5, "d_steps": 2},
}
GAMES = [name for name, kind in recipes.RECIPES.items() if issubclass(kind, recipes.Adversarial)]


def fits(recipe, settings):
    """D of encoder_gan judges codes, mlp's ends in a sigmoid, and a Wasserstein game has no labels."""
    return not (
        ("pack" in settings and recipe == "encoder_gan")
        or ("conjugate" in settings and recipe == "mlp")
        or ("label_smoothing" in settings and recipe in ("wgan", "wgan_gp"))
    )


@functools.cache
def without(recipe):
    """The history without any of them."""
    return quick(recipe).history


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    skip_plots(monkeypatch)


@pytest.mark.parametrize(
    ("recipe", "switch"), [(r, s) for r in GAMES for s in SWITCHES if fits(r, SWITCHES[s])]
)
def test_with_every_game(recipe, switch):
    run = quick(recipe, **SWITCHES[switch])
    assert tuple(run.history) == run.trainer.recipe.columns()
    assert all(len(values) == 3 for values in run.history.values())
    assert all(np.isfinite(values).all() for values in run.history.values())
    plain, other = recipes.make(recipe), run.trainer.recipe
    changed = any(getattr(plain, key) != getattr(other, key) for key in SWITCHES[switch] if key != "average")
    history = without(recipe)
    assert changed != all(np.array_equal(history[k], run.history[k]) for k in history)


needs_compiler = pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")
ON_A_DEVICE = [("mixture", switch) for switch in SWITCHES]
ON_A_DEVICE += [
    ("dcgan_mnist", "all"),
    ("vae", "average"),
    ("encoder_gan", "gradient penalty"),
    ("gat", "all"),
]


@needs_compiler
@pytest.mark.parametrize(("recipe", "switch"), ON_A_DEVICE)
def test_replays_are_the_run_without_them(recipe, switch, monkeypatch):
    made, make = [], recorded.Recorded.__init__
    monkeypatch.setattr(
        recorded.Recorded, "__init__", lambda self, *a: (make(self, *a), made.append(self))[0]
    )
    settings = {"device": "cuda-sim", "steps": 6} | SWITCHES[switch]
    run = quick(recipe, **settings)
    assert [r.done for r in made] == [4]
    monkeypatch.setattr(replays, "WARM", 1000)
    assert_same(run, quick(recipe, **settings))


@pytest.mark.parametrize(
    ("recipe", "switch"),
    [("mixture", s) for s in SWITCHES] + [("dcgan_mnist", "all"), ("wgan_gp", "average")],
)
def test_stopped_and_resumed_is_never_stopped(recipe, switch, tmp_path):
    settings = SWITCHES[switch] | {"steps": 5}
    quick(recipe, out=tmp_path / "whole", **settings)
    quick(recipe, out=tmp_path / "parts", callbacks=stop_at(2), **settings)
    run = resume(tmp_path / "parts")
    assert run.steps == 5
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def linear(shape=(2,), seed=0, **settings):
    """A trainer whose D is one dense layer."""
    recipe = recipes.make("custom", **({"batch_size": 8, "noise": 4} | settings))
    rng = np.random.default_rng(seed)
    rawgan.manual_seed(seed)
    size = int(np.prod(shape))
    networks = {
        "generator": nn.Sequential(nn.Dense(4, size), nn.Reshape(shape)),
        "discriminator": nn.Sequential(nn.Flatten(), nn.Dense(recipe.pack * size, 1)),
    }
    return Trainer(
        recipe, shape, Numbers(rng.normal(size=(8, *shape)).astype(np.float32)), 1, "cpu", networks
    )


class Numbers:
    """The same batch each time."""

    def __init__(self, items):
        self.items = items

    def batch_for(self, *_):
        return self.items


def first_step(monkeypatch, **settings):
    """D's parameters before the first step; what it gave for real, fake, and fake for G; the row."""
    given, judge = [], Game.judge

    def noted(self, *what):
        given.append(judge(self, *what))
        return given[-1]

    monkeypatch.setattr(Game, "judge", noted)
    trainer = linear(**settings)
    before = [p.data.astype(np.float64) for p in trainer.discriminator.parameters()]
    row = trainer.step()
    return before, [g.data.astype(np.float64) for g in given], row


def softplus(v):
    return np.logaddexp(0, v)


def close(found, wanted):
    return abs(found - wanted) <= 1e-5 * max(1, abs(wanted))


@pytest.mark.parametrize("pack", [1, 2])
def test_penalties_are_of_what_d_judges_at_once(pack, monkeypatch):
    """∇D is the weight everywhere, of all the items of a pack together."""
    settings = {"gradient_penalty": 3.0, "r1": 5.0, "pack": pack, "objective": "wasserstein"}
    (weight, _), (real, fake, _), row = first_step(monkeypatch, **settings)
    norm = np.linalg.norm(weight)
    assert weight.size == 2 * pack
    assert close(row["d_gradient_penalty"], 3 * (norm - 1) ** 2)
    assert close(row["d_r1"], 2.5 * norm**2)
    assert close(row["d_loss"], fake.mean() - real.mean() + row["d_gradient_penalty"] + row["d_r1"])


def test_l2_is_of_each_players_parameters(monkeypatch):
    settings = {"l2": {"discriminator": 0.25}, "objective": "wasserstein"}
    before, (real, fake, again), row = first_step(monkeypatch, **settings)
    assert close(row["d_l2"], 0.25 * sum(np.sum(p**2) for p in before))
    assert close(row["d_loss"], fake.mean() - real.mean() + row["d_l2"])
    assert close(row["g_loss"], -again.mean())
    assert "g_l2" not in row
    assert set(row) == set(recipes.make("custom", **settings).columns())


def test_smoothed_labels_are_of_the_real_data_alone(monkeypatch):
    _, (real, fake, again), row = first_step(monkeypatch, label_smoothing=0.2)
    assert close(row["d_loss"], np.mean(softplus(real) - 0.8 * real) + np.mean(softplus(fake)))
    assert close(row["g_loss"], np.mean(softplus(-again)))


CONJUGATES = {  # g(v), f*(g(v))
    "kl": (lambda v: v, lambda v: np.exp(v - 1)),
    "reverse_kl": (lambda v: -np.exp(-v), lambda v: v - 1),
    "pearson": (lambda v: v, lambda v: np.maximum(v, -2) ** 2 / 4 + np.maximum(v, -2)),
    "jensen_shannon": (
        lambda v: np.log(2) - softplus(-v),
        lambda v: -np.log(2 - np.exp(np.log(2) - softplus(-v))),
    ),
}


@pytest.mark.parametrize("divergence", CONJUGATES)
def test_the_second_game_is_of_both_players(divergence, monkeypatch):
    g, conjugate = CONJUGATES[divergence]
    _, (real, fake, again), row = first_step(monkeypatch, conjugate=0.5, divergence=divergence)
    assert close(row["d_conjugate"], -0.5 * (g(real).mean() - conjugate(fake).mean()))
    assert close(row["g_conjugate"], -0.5 * conjugate(again).mean())
    assert close(row["d_loss"], softplus(-real).mean() + softplus(fake).mean() + row["d_conjugate"])
    assert close(row["g_loss"], softplus(-again).mean() + row["g_conjugate"])


@pytest.mark.parametrize("shape", [(3,), (2, 4, 5)])
def test_a_pack_is_of_consecutive_items_channel_after_channel(shape, monkeypatch):
    judged, forward = [], nn.Flatten.forward

    def noted(self, x):
        judged.append(np.asarray(getattr(x, "data", x)))
        return forward(self, x)

    monkeypatch.setattr(nn.Flatten, "forward", noted)
    trainer = linear(shape, pack=4)
    items = trainer.source.items
    trainer.step()
    assert [x.shape for x in judged] == [(2, 4 * shape[0], *shape[1:])] * 3
    for pack in range(2):
        np.testing.assert_array_equal(judged[0][pack], np.concatenate(items[4 * pack : 4 * pack + 4]))


@pytest.mark.parametrize("recipe", [name for name in GAMES if name != "encoder_gan"])
def test_d_is_built_for_a_pack(recipe):
    def first(**settings):
        shape = (2,) if recipe == "mixture" else (3, 32, 32)
        network = recipes.make(recipe, **settings).networks(shape)["discriminator"]
        return next(layer.weight.shape[1] for layer in network if hasattr(layer, "weight"))

    assert first(pack=4) == 4 * first()


def test_weights_are_cut_after_ds_updates_alone():
    trainer = linear(weight_clip=0.05, learning_rate=0.5)
    seen = []
    for player, optimizer in trainer.optimizers.items():
        own = optimizer.step

        def step(player=player, own=own):
            own()
            seen.append((player, max(np.abs(p.data).max() for p in trainer.discriminator.parameters())))

        optimizer.step = step
    for _ in range(3):
        trainer.step()
    assert [s[0] for s in seen] == ["discriminator", "generator"] * 3
    for player, largest in seen:  # D's update goes out of the bounds, and at G's turn it is back
        assert (largest > 0.06) == (player == "discriminator")
        assert player == "discriminator" or largest <= np.float32(0.05)
    assert max(np.abs(p.data).max() for p in trainer.generator.parameters()) > 0.5
