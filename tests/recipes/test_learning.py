"""The recipes learn, in a second or two, and the same measure shows where one does not."""

import numpy as np
import pytest

from rawgan import data, recipes, rng
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


# recipe -> its settings, steps, what is measured, and the share of it that must be left at most
LEARNING = {
    "mixture": (
        {"hidden": 64, "learning_rate": 1e-3, "batch_size": 128},
        500,
        distance_to_nearest_mode,
        0.55,
    ),
    "mlp": (
        {"hidden": 64, "learning_rate": 1e-3, "batch_size": 64, "objective": "non_saturating"},
        300,
        distance_of_mean_pictures,
        0.8,
    ),
}


def left(name, fault=None):
    """What is left of the distance after training, as a share of that before."""
    settings, steps, measure, _ = LEARNING[name]
    recipe = recipes.make(name, **settings)
    source = data.load(recipe.data)
    trainer = Trainer(recipe, source.shape, source, seed=0)
    if fault is not None:
        fault(trainer)
    before = measure(trainer)
    for _ in range(steps):
        trainer.step()
    return measure(trainer) / before


def zero_the_generators_gradient(trainer):
    optimizer = trainer.optimizers["generator"]
    update = optimizer.step

    def step():
        for p in optimizer.params:
            p.grad[...] = 0
        update()

    optimizer.step = step


def flip_the_discriminators_loss(trainer):
    terms = trainer.objective.discriminator_terms
    trainer.objective.discriminator_terms = lambda real, fake: {k: -v for k, v in terms(real, fake).items()}


every_learner = pytest.mark.parametrize("name", LEARNING)


@every_learner
def test_learns(name):
    assert left(name) <= LEARNING[name][3]


@every_learner
@pytest.mark.parametrize("fault", [zero_the_generators_gradient, flip_the_discriminators_loss])
def test_a_faulty_game_is_seen_not_to_learn(name, fault):
    assert left(name, fault) > 1.2 * LEARNING[name][3]
