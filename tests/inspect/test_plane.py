"""The plane of a report: densities are densities, and the surface is D's."""

import numpy as np
import pytest
from reports import TINY, decoded

import rawgan
from rawgan.inspect import plane


def centres(box, n):
    across = np.linspace(box[0], box[2], 2 * n + 1)[1::2]
    return np.stack([a.ravel() for a in np.meshgrid(across, across)], axis=1)


@pytest.mark.parametrize("modes", [1, 8])
def test_a_kernel_density_adds_up_to_1_and_finds_narrow_modes(modes):
    rng = np.random.default_rng(0)
    means = rng.uniform(-3, 3, (modes, 2))
    points = means[rng.integers(modes, size=4000)] + 0.2 * rng.normal(size=(4000, 2))
    at = centres([-5, -5, 5, 5], 120)
    density, h = plane.kernel_density(points, at)
    assert abs(density.sum() * (10 / 120) ** 2 - 1) <= 0.01
    assert (density >= 0).all()
    assert (h < 0.25).all()  # not smeared over all modes together


def test_divergences_are_0_of_the_same_and_log_2_of_what_is_apart():
    p, q = np.array([1.0, 2.0, 0.0, 0.0]), np.array([0.0, 0.0, 3.0, 1.0])
    assert abs(plane.jensen_shannon(p, p, 1.0)) <= 1e-12
    assert abs(plane.jensen_shannon(p, q, 1.0) - np.log(2)) <= 1e-12


def test_the_surface_is_what_d_says_and_the_arrows_are_the_samples():
    tape = rawgan.train("mixture", steps=4, **TINY).inspect(step=4)
    found = plane.plane(tape)
    D = tape.about["networks"]["discriminator"]
    at = plane._centres(found["box"])[[0, 17, 4000]]
    with rawgan.no_grad():
        expected = D(rawgan.tensor(at.astype(np.float32))).numpy().reshape(-1)
    assert decoded(found, "raw")[[0, 17, 4000]] == pytest.approx(expected, rel=1e-5)
    samples = tape.samples()
    assert decoded(found, "gradients").tobytes() == samples.gradients.tobytes()
    assert decoded(found, "fake").tobytes() == samples.items.tobytes()
    area = (found["box"][2] - found["box"][0]) ** 2 / found["cells"] ** 2
    assert 0.5 <= decoded(found, "p").sum() * area <= 1.05  # some of it lies outside the box
    assert 0 <= found["divergence"] <= np.log(2)
    assert found["box"][0] < found["box"][2]


@pytest.mark.parametrize(
    "more",
    [{"pack": 2}, {"objective": "wasserstein"}, {"data": np.random.default_rng(0).normal(size=(64, 2))}],
    ids=["pack", "wasserstein", "points"],
)
def test_other_games(more):
    found = plane.plane(rawgan.train("mixture", steps=2, **(TINY | more)).inspect(step=2))
    assert np.isfinite(decoded(found, "raw")).all()
    assert len(decoded(found, "real")) == 16
    assert found["best"] == more.get("objective", "non_saturating")


def test_what_is_judged_together_has_one_answer():
    tape = rawgan.train("mixture", steps=2, pack=2, **TINY).inspect(step=2)
    samples = tape.samples()
    assert (len(samples.items), len(samples.outputs), len(samples.rows())) == (8, 8, 8)
    assert samples.outputs[::2].tolist() == samples.outputs[1::2].tolist()
    assert samples.formula == "−(1 − σ(s))"
    assert np.allclose(samples.gradients, 4 * tape.turns[-1].judged[0].grad)


def test_pictures_have_no_plane():
    assert plane.plane(rawgan.train("mlp", steps=1, **TINY).inspect(step=1)) is None
