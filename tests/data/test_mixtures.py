"""Mixtures and functions: the right distribution, a function of step and key alone."""

import numpy as np
import pytest

import rawgan
from rawgan import ConfigError, DataError, data, rng


@pytest.mark.parametrize(("name", "modes"), [("ring", 8), ("grid", 25), ("spirals", 40)])
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
    ring, grid, spirals = (data.load(name) for name in ("ring", "grid", "spirals"))
    assert np.abs(np.linalg.norm(ring.centres, axis=1) - 2).max() <= 1e-6
    assert sorted(map(tuple, grid.centres.tolist())) == [
        (x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)
    ]
    arms = spirals.centres.reshape(2, 20, 2)
    assert np.abs(arms[0] + arms[1]).max() <= 1e-6  # half a turn apart
    radius = np.linalg.norm(arms[0], axis=1)
    assert (np.diff(radius) > 0).all()
    angle = np.unwrap(np.arctan2(arms[0, :, 1], arms[0, :, 0]))
    assert np.abs(radius - (0.5 + 3.5 * angle / (2.5 * np.pi))).max() <= 2e-4
    steps = np.linalg.norm(np.diff(arms[0], axis=0), axis=1)  # chords are shorter than arcs, most within
    assert steps[1:].min() / steps.max() >= 0.97
    assert steps.min() >= 6 * spirals.sigma


@pytest.mark.parametrize(
    ("made", "usual", "modes", "name"),
    [
        (lambda: data.ring(modes=12, radius=3.0), "ring", 12, "ring(12, 3, 0.1)"),
        (lambda: data.ring(sigma=0.02), "ring", 8, "ring(8, 2, 0.02)"),
        (lambda: data.grid(side=10, spacing=1), "grid", 100, "grid(10, 1, 0.05)"),
        (lambda: data.grid(side=1), "grid", 1, "grid(1, 2, 0.05)"),
        (lambda: data.spirals(arms=3, modes=5, sigma=0.5), "spirals", 15, "spirals(3, 5, 0.5)"),
    ],
)
def test_other_sizes(made, usual, modes, name):
    mixture = made()
    assert (mixture.name, len(mixture.centres)) == (name, modes)
    assert mixture.name not in data.names()  # so that a resumed run does not take the usual one for it
    assert mixture.fingerprint != data.load(usual).fingerprint
    assert np.abs(mixture.centres.mean(axis=0)).max() <= 1e-4
    assert data.load(mixture) is mixture


@pytest.mark.parametrize(
    "call",
    [
        lambda: data.ring(modes=0),
        lambda: data.ring(radius=-1),
        lambda: data.ring(sigma=np.nan),
        lambda: data.grid(side=2.5),
        lambda: data.grid(spacing="wide"),
        lambda: data.grid(sigma=-0.1),
        lambda: data.spirals(arms=0),
        lambda: data.spirals(modes=1),
        lambda: data.spirals(sigma=None),
    ],
)
def test_settings_that_cannot_be(call):
    with pytest.raises(
        ConfigError, match=r"(ring|grid|spirals): (modes|radius|sigma|side|spacing|arms) is a"
    ):
        call()


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
        for source in (digits, ring, data.function(circle, "circle")):
            assert hasattr(source, question)
    assert ring.fingerprint != data.load("grid").fingerprint


def circle(n, generator):
    angle = 2 * np.pi * generator.uniform(n, "float64", "cpu")
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def test_a_function_of_your_own():
    source = data.load(data.function(circle, "circle"))
    points = source.batch_for(5, 64, key=3)
    assert (points.shape, points.dtype, source.name) == ((64, 2), np.float32, "circle")
    assert np.abs(np.linalg.norm(points, axis=1) - 1).max() <= 1e-6
    np.testing.assert_array_equal(data.function(circle, "again").batch_for(5, 64, key=3), points)
    assert (source.batch_for(6, 64, key=3) != points).any()
    assert data.function(circle, "other").fingerprint == source.fingerprint
    wider = data.function(lambda n, generator: 2 * circle(n, generator), "wider")
    assert wider.fingerprint != source.fingerprint
    assert source.steps_per_epoch(64) is None


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda n, g: circle(n, g)[:, :1], DataError, r"\(3, 1\)"),
        (lambda n, g: circle(64, g), DataError, r"f\(3, generator\) gave shape \(64, 2\)"),
        (lambda n, g: circle(n, g) * np.nan, DataError, "nan"),
        (lambda n, g: np.zeros((n, 2), int), DataError, "int64"),
        (lambda n, g: None, DataError, "shape"),
        (lambda n, g: np.random.default_rng().normal(size=(n, 2)), ConfigError, "other points from the same"),
        (lambda n, g: np.random.default_rng(0).normal(size=(n, 2)), ConfigError, "same points from another"),
        ("circle", ConfigError, "f is a function"),
    ],
)
def test_functions_that_are_refused(f, error, message):
    with pytest.raises(error, match=f"mine: .*{message}"):
        data.function(f, "mine")


def test_a_function_that_goes_wrong_later_is_named():
    source = data.function(lambda n, g: circle(n, g) * (np.inf if n == 100 else 1), "mine")
    with pytest.raises(DataError, match=r"mine: .*inf"):
        source.batch_for(0, 100, key=1)
    with pytest.raises(ConfigError, match="name is a text"):
        data.function(circle, None)


@pytest.mark.parametrize("source", ["spirals", data.grid(side=2), data.function(circle, "circle")], ids=repr)
def test_runs_on_them_resume_bit_for_bit(source, tmp_path):
    options = {"batch_size": 8, "progress": False, "device": "cpu", "hidden": 8}
    whole = rawgan.train("mixture", data=source, steps=6, **options)
    rawgan.train("mixture", data=source, steps=3, out=tmp_path, **options)
    rest = rawgan.train(data=source, steps=6, out=tmp_path, resume=True, progress=False, device="cpu")
    np.testing.assert_array_equal(rest.sample(8), whole.sample(8))
