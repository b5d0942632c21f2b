"""The ring and the grid: the right distribution, a function of step and key alone."""

import numpy as np
import pytest

from rawgan import ConfigError, data, rng


@pytest.mark.parametrize(("name", "modes"), [("ring", 8), ("grid", 25)])
def test_statistics(name, modes):
    source = data.load(name)
    n = 100_000
    points = source.sample(n, rng.Generator(3))
    assert points.shape == (n, 2)
    assert points.dtype == np.float32
    away = points[:, None] - source.centres[None]
    distance = np.linalg.norm(away, axis=2)
    nearest = distance.argmin(axis=1)
    # Each bound is five standard errors of the figure that it holds.
    share = np.bincount(nearest, minlength=modes) / n
    assert np.abs(share - 1 / modes).max() <= 5 * np.sqrt(1 / modes / n)
    within = (distance.min(axis=1) <= 3 * source.sigma).mean()
    assert abs(within - (1 - np.exp(-4.5))) <= 5 * np.sqrt(0.0111 / n)
    noise = away[np.arange(n), nearest] / source.sigma
    assert np.abs(noise.mean(axis=0)).max() <= 5 / np.sqrt(n)
    covariance = np.cov(noise.T)
    assert np.abs(covariance - np.eye(2)).max() <= 5 * np.sqrt(2 / n)


def test_centres():
    ring, grid = data.load("ring"), data.load("grid")
    assert np.abs(np.linalg.norm(ring.centres, axis=1) - 2).max() <= 1e-6
    assert sorted(map(tuple, grid.centres.tolist())) == [
        (x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)
    ]


def test_batches_depend_on_step_and_key_alone():
    source, other = data.load("ring"), data.load("ring")
    assert source.steps_per_epoch(256) is None
    batches = {step: source.batch_for(step, 64, key=9) for step in (5, 0, 3)}
    for step in (0, 3, 5):
        np.testing.assert_array_equal(other.batch_for(step, 64, 9, low=-1.0, high=1.0), batches[step])
    assert (batches[0] != batches[3]).any()
    assert (batches[0] != source.batch_for(0, 64, key=10)).any()
    with pytest.raises(ConfigError, match="batch_size"):
        source.batch_for(0, 0, key=9)


def test_same_questions_as_a_dataset():
    digits, ring = data.load("digits"), data.load("ring")
    for question in ("name", "kind", "shape", "fingerprint", "steps_per_epoch", "batch_for"):
        assert hasattr(digits, question)
        assert hasattr(ring, question)
    assert ring.fingerprint != data.load("grid").fingerprint
