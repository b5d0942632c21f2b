"""The settings of the recipes: defaults, and the errors for what does not fit."""

import dataclasses
import json
import math

import numpy as np
import pytest

import rawgan
from rawgan import data, nn, recipes
from rawgan.kernels.errors import ConfigError
from rawgan.losses import OBJECTIVES
from rawgan.recipes import Adversarial, Custom, Recipe

GAMES = [name for name, kind in recipes.RECIPES.items() if issubclass(kind, Adversarial)]
OTHERS = [name for name in recipes.RECIPES if name not in GAMES]
PICTURES = ("dense_conv", "dcgan_mnist", "dcgan_cifar10", "wgan", "wgan_gp")

every_recipe = pytest.mark.parametrize("name", recipes.RECIPES)
every_game = pytest.mark.parametrize("name", GAMES)


def test_names():
    assert recipes.names() == list(recipes.RECIPES)
    for name, kind in recipes.RECIPES.items():
        assert kind.name == name
        assert kind.__module__ == f"rawgan.recipes.{name}"
        made = recipes.make(name)
        assert (made.epochs is None) != (made.steps is None)
        assert made.data in data.names()
        with pytest.raises(dataclasses.FrozenInstanceError):
            made.noise = 3


@pytest.mark.parametrize(
    ("wrong", "right"), [("mpl", "mlp"), ("dcgan-mnist", "dcgan_mnist"), ("mixtures", "mixture")]
)
def test_misspelt_recipes(wrong, right):
    with pytest.raises(ConfigError, match=f"no recipe '{wrong}'; did you mean '{right}'"):
        recipes.make(wrong)


@every_recipe
def test_misspelt_settings(name):
    fields = [f.name for f in dataclasses.fields(recipes.RECIPES[name])]
    for field in (f for f in fields if len(f) > 2):
        wrong = field[:-1] + "_"
        with pytest.raises(ConfigError) as error:
            recipes.make(name, **{wrong: 1})
        assert f"{name!r} has no setting {wrong!r}" in str(error.value)
        near = str(error.value).partition("did you mean ")[2].partition("?")[0].strip("'")
        assert near in fields
        assert ", ".join(fields) in str(error.value)
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        recipes.make(name, learning_rat=1)


def test_recipes_without_an_adversary_have_no_settings_of_a_game():
    assert OTHERS == ["autoencoder", "vae"]
    of_a_game = {f.name for f in dataclasses.fields(Adversarial)} - {
        f.name for f in dataclasses.fields(Recipe)
    }
    assert {"objective", "d_steps", "pack", "weight_clip", "conjugate", "divergence"} <= of_a_game
    for name in OTHERS:
        assert list(recipes.RECIPES[name].players) == ["autoencoder"]
        assert recipes.make(name).make_objective() is None
        for key in of_a_game:
            with pytest.raises(ConfigError, match=f"{name!r} has no setting {key!r}"):
                recipes.make(name, **{key: 1})


WRONG = [  # setting, value, what the message says besides the setting's name
    ("noise", 0, "≥ 1, got 0"),
    ("noise", 1.5, "got 1.5"),
    ("batch_size", "64", "got '64'"),
    ("batch_size", -1, "got -1"),
    ("epochs", 0, "got 0"),
    ("steps", 2.5, "got 2.5"),
    ("learning_rate", 0, "got 0"),
    ("learning_rate", -1e-4, "got -0.0001"),
    ("learning_rate", math.nan, "got nan"),
    ("learning_rate", "fast", "got 'fast'"),
    ("learning_rate", True, "got True"),
    ("clip_norm", 0, "got 0"),
    ("clip_norm_each", {3: 1.0, "a": 2.0}, "not 3"),
    ("clip_value", "1", "got '1'"),
    ("clip_value", math.inf, "got inf"),
    ("betas", 0.5, "two numbers"),
    ("betas", None, "two numbers"),
    ("betas", (0.5,), "two numbers"),
    ("betas", (0.5, 1.0), "got 1.0"),
    ("betas", ("a", 0.9), "got 'a'"),
    ("optimizer", "adamw", "there are: sgd, rmsprop, rmsprop_printed, adagrad, adam"),
    ("optimizer", ["adam"], "['adam']"),
    ("learning_rate", {"critic": 1e-4}, "not 'critic'"),
    ("l2", 0, "got 0"),
    ("l2", -1.0, "got -1.0"),
    ("l2", "a", "got 'a'"),
    ("l2", {"painter": 1.0}, "not 'painter'"),
    ("average", 1.0, "got 1.0"),
    ("average", -0.1, "got -0.1"),
    ("average", "0.9", "got '0.9'"),
    ("average", math.nan, "got nan"),
    ("average", True, "got True"),
]
WRONG_IN_GAMES = [
    ("d_steps", 0, "got 0"),
    ("d_steps", True, "got True"),
    ("learning_rate", None, "says nothing for the generator"),
    ("learning_rate", {"generator": 1e-4}, "says nothing for the discriminator"),
    ("learning_rate", {"generator": 1e-4, "discriminator": None}, "says nothing for the discriminator"),
    ("learning_rate", {"generator": 1e-4, "critic": 1e-4}, "'generator' and 'discriminator', not 'critic'"),
    ("clip_norm", {"generator": -1}, "got -1"),
    ("clip_norm_each", {"G": 1.0}, "not 'G'"),
    ("objective", "non-saturating", "did you mean 'non_saturating'?"),
    ("objective", None, "no objective None"),
    ("l2", {"generator": 0.0}, "got 0.0"),
    ("pack", 0, "got 0"),
    ("pack", 1.5, "got 1.5"),
    ("label_smoothing", 1.0, "got 1.0"),
    ("label_smoothing", -0.1, "got -0.1"),
    ("label_smoothing", None, "got None"),
    ("weight_clip", 0, "got 0"),
    ("weight_clip", -0.01, "got -0.01"),
    ("weight_clip", "1", "got '1'"),
    ("weight_clip", math.inf, "got inf"),
    ("gradient_penalty", -1, "got -1"),
    ("gradient_penalty", None, "got None"),
    ("r1", math.nan, "got nan"),
    ("r1", "1", "got '1'"),
    ("conjugate", -0.5, "got -0.5"),
    ("conjugate", True, "got True"),
    ("divergence", "js", "there are: kl, reverse_kl, pearson, jensen_shannon"),
    ("divergence", None, "no divergence None"),
]


@every_recipe
@pytest.mark.parametrize(("key", "value", "says"), WRONG)
def test_wrong_settings(name, key, value, says):
    with pytest.raises(ConfigError) as error:
        recipes.make(name, **{key: value})
    assert key in str(error.value)
    assert says in str(error.value)


@every_game
@pytest.mark.parametrize(("key", "value", "says"), WRONG_IN_GAMES)
def test_wrong_settings_of_a_game(name, key, value, says):
    with pytest.raises(ConfigError) as error:
        recipes.make(name, **{key: value})
    assert key in str(error.value)
    assert says in str(error.value)


def test_settings_that_do_not_go_together():
    with pytest.raises(
        ConfigError, match=r"judges 3 items together \(pack\), and batch_size 64 is no multiple"
    ):
        recipes.make("mixture", pack=3, batch_size=64)
    with pytest.raises(ConfigError, match="D judges codes, not pictures: pack is 1, got 2"):
        recipes.make("encoder_gan", pack=2)
    with pytest.raises(ConfigError, match=r"conjugate takes D's raw output.*use the recipe 'gat'"):
        recipes.make("mlp", conjugate=0.5)
    for objective in ("least_squares", "hinge", "wasserstein"):
        with pytest.raises(ConfigError, match=f"{objective!r} objective has no labels.*label_smoothing"):
            recipes.make("mixture", objective=objective, label_smoothing=0.1)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [(n, "hidden", v) for n in recipes.RECIPES if n not in PICTURES for v in (0, "128")]
    + [(n, "width", v) for n in PICTURES for v in (0, 2.5)]
    + [(n, "dropout", v) for n in ("dcgan_mnist", "dcgan_cifar10") for v in (1.0, -0.1, "a")]
    + [("dcgan_mnist", "slope", -0.3), ("encoder_gan", "kl", -1), ("encoder_gan", "kl", "a")]
    + [("encoder_gan", "cross_entropy", v) for v in (-1, None)]
    + [("vae", "beta", -1), ("vae", "beta", None)],
)
def test_wrong_settings_of_single_recipes(name, key, value):
    with pytest.raises(ConfigError, match=f"{name}: {key}"):
        recipes.make(name, **{key: value})


@pytest.mark.parametrize("name", ["dcgan_mnist", "dcgan_cifar10", "wgan", "wgan_gp"])
def test_dropout_is_the_discriminators(name):
    shape = (3, 32, 32) if name == "dcgan_cifar10" else (1, 28, 28)
    judge = recipes.make(name, dropout=0.25, width=2).networks(shape)["discriminator"]
    shares = [layer.p for layer in judge if isinstance(layer, nn.Dropout)]
    assert len(shares) >= 2
    assert set(shares) == {0.25}


def test_settings_by_player():
    made = recipes.make("mlp", learning_rate={"generator": 1e-3, "discriminator": 1e-4}, clip_norm=2.0)
    assert [made.for_player("learning_rate", p) for p in ("generator", "discriminator")] == [1e-3, 1e-4]
    assert [made.for_player("clip_norm", p) for p in ("generator", "discriminator")] == [2.0, 2.0]
    assert [made.for_player("clip_norm_each", p) for p in ("generator", "discriminator")] == [1.0, None]
    off = recipes.make("mlp", clip_norm_each={})
    assert off.for_player("clip_norm_each", "generator") is None


@every_recipe
def test_numpy_numbers_are_plain_settings(name):
    made = recipes.make(name, noise=np.int64(7), learning_rate=np.float32(0.5), betas=[np.float64(0.5), 0.9])
    assert json.loads(json.dumps(dataclasses.asdict(made)))["learning_rate"] == 0.5
    assert made.betas == (0.5, 0.9)
    optimizer = made.make_optimizer(next(iter(made.players)), [rawgan.tensor([1.0], requires_grad=True)])
    assert type(optimizer.lr) is float


@every_recipe
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "rmsprop_printed", "adagrad", "sgd"])
def test_optimizers(name, optimizer):
    made = recipes.make(name, optimizer=optimizer, learning_rate=0.25, betas=(0.1, 0.2))
    opt = made.make_optimizer(next(iter(made.players)), [rawgan.tensor([1.0], requires_grad=True)])
    assert type(opt).__name__.lower() == optimizer.replace("_", "")
    assert opt.lr == 0.25
    assert getattr(opt, "betas", (0.1, 0.2)) == (0.1, 0.2)


@every_game
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objectives(name, objective):
    """Where D ends in a sigmoid only the cross-entropy games will do."""
    if recipes.RECIPES[name].probabilities and OBJECTIVES[objective][1] is None:
        with pytest.raises(ConfigError, match="takes D's raw output"):
            recipes.make(name, objective=objective)
    else:
        assert recipes.make(name, objective=objective).objective == objective


def test_networks_of_ones_own():
    made = recipes.make("custom", value_range=(0, 1), d_probabilities=True)
    assert isinstance(made, Custom)
    assert (made.low, made.high, made.probabilities) == (0.0, 1.0, True)
    assert "custom" not in recipes.names()
    for ends in (5, (0,), (1, 0), (0, math.inf), ("a", "b"), None):
        with pytest.raises(ConfigError, match="value_range"):
            recipes.make("custom", value_range=ends)
    with pytest.raises(TypeError, match="networks"):
        made.networks((2,))
