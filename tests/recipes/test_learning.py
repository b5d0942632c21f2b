"""Every recipe learns, in a second or two, and the same measure shows where one does not."""

import numpy as np
import pytest

from rawgan import data, recipes, rng
from rawgan.engine import no_grad
from rawgan.training.game import Game
from rawgan.training.step import Trainer


def samples(trainer):
    return trainer.generate(rng.Generator(99).normal((512, trainer.recipe.noise)))


def distance_to_nearest_mode(trainer):
    """Mean distance of the samples to the nearest of the ring's centres, which lie 2 from the middle."""
    apart = np.linalg.norm(samples(trainer)[:, None] - trainer.source.centres, axis=2)
    return apart.min(axis=1).mean()


def distance_of_mean_pictures(trainer):
    """Root mean square, over the pixels, between the mean sample and the mean digit; grey is 0.32 away."""
    real = trainer.source.items / 255
    return np.sqrt(np.mean((samples(trainer).mean(axis=0) - real.mean(axis=0)) ** 2))


def reconstruction_error(trainer):
    """Mean square between digits that were held out and what is made of their codes."""
    x = (data.load("digits").items[1500:] / 255).astype(np.float32)
    encoder, generator = trainer.networks["encoder"], trainer.networks["generator"]
    with no_grad():
        code = encoder(x)[:, : trainer.recipe.noise]
        return float(np.mean((generator(code).data - x) ** 2))


SMALL = {"batch_size": 16, "noise": 8, "width": 8}
QUICK = {"hidden": 64, "learning_rate": 1e-3, "batch_size": 64}
# recipe -> its settings, steps, what is measured, and the share of it that must be left at most
LEARNING = {
    "mixture": (QUICK | {"batch_size": 128}, 500, distance_to_nearest_mode, 0.55),
    "mlp": (QUICK | {"objective": "non_saturating"}, 300, distance_of_mean_pictures, 0.8),
    "gat": (QUICK, 300, distance_of_mean_pictures, 0.7),
    "encoder_gan": (QUICK, 150, distance_of_mean_pictures, 0.4),
    "dense_conv": (SMALL | {"batch_size": 32, "learning_rate": 5e-4}, 300, distance_of_mean_pictures, 0.7),
    "dcgan_mnist": (SMALL | {"learning_rate": 1e-3}, 250, distance_of_mean_pictures, 0.7),
    "dcgan_cifar10": (SMALL | {"width": 4, "learning_rate": 2e-3}, 100, distance_of_mean_pictures, 0.7),
    "wgan": (
        SMALL | {"learning_rate": 1e-3, "weight_clip": 0.1, "d_steps": 2},
        150,
        distance_of_mean_pictures,
        0.7,
    ),
    "wgan_gp": (SMALL | {"learning_rate": 1e-3, "d_steps": 2}, 150, distance_of_mean_pictures, 0.7),
    "autoencoder": (QUICK, 200, reconstruction_error, 0.4),
    "vae": (QUICK, 200, reconstruction_error, 0.5),
}
assert set(LEARNING) == set(recipes.RECIPES)


def left(name):
    """What is left of the measure after training, as a share of that before."""
    settings, steps, measure, _ = LEARNING[name]
    recipe = recipes.make(name, **settings)
    source = data.load("ring" if name == "mixture" else "digits")
    if measure is reconstruction_error:
        source = data.Dataset("most digits", source.items[:1500])
    if name == "dcgan_cifar10":
        source = recipe.prepare(source)  # the others' networks take 8x8 as it is
    trainer = Trainer(recipe, source.shape, source, seed=0)
    before = measure(trainer)
    for _ in range(steps):
        trainer.step()
    return measure(trainer) / before


def zero_gradients(optimizer):
    for p in optimizer.params:
        p.grad[...] = 0


def no_gradient_for_the_generator(monkeypatch):
    """Nor for who makes the pictures in a recipe without an adversary."""
    turn = Game.update

    def update(self, player, terms):
        optimizer = self.trainer.optimizers[player]
        if player != "discriminator":
            own = optimizer.step
            optimizer.step = lambda: (zero_gradients(optimizer), own())
            turn(self, player, terms)
            optimizer.step = own
        else:
            turn(self, player, terms)

    monkeypatch.setattr(Game, "update", update)


def the_wrong_sign_for_the_discriminator(monkeypatch):
    """Or for the one player."""
    turn = Game.update

    def update(self, player, terms):
        wrong = player != "generator"
        turn(self, player, {name: -term for name, term in terms.items()} if wrong else terms)

    monkeypatch.setattr(Game, "update", update)


every_recipe = pytest.mark.parametrize("name", LEARNING)


@every_recipe
def test_learns(name):
    assert left(name) <= LEARNING[name][3]


@every_recipe
@pytest.mark.parametrize("fault", [no_gradient_for_the_generator, the_wrong_sign_for_the_discriminator])
def test_a_faulty_game_is_seen_not_to_learn(name, fault, monkeypatch):
    fault(monkeypatch)
    assert not left(name) <= 1.2 * LEARNING[name][3]
