"""Metrics: what must not change them, what bounds them, and whether their floors are where they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawgan import metrics

CENTRES = np.array([[0.0, 0], [4, 0], [0, 4]])


@st.composite
def sets(draw, least=8):
    """(real, fake), features of one width, often with ties, at times of more features than samples."""
    seed, width = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([1, 2, 5, 20]))
    random = np.random.default_rng(seed)
    real, fake = (random.normal(size=(draw(st.integers(least, 30)), width)) for _ in range(2))
    fake = fake * draw(st.sampled_from([0.0, 0.5, 1.0, 2.0])) + draw(st.sampled_from([0.0, 1.0]))
    return (real.round(), fake.round()) if draw(st.booleans()) else (real, fake)


def rotation(width, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


def four(got):
    return np.array([got.precision, got.recall, got.density, got.coverage])


def scale_of(*points):
    return 1 + max(np.square(p).sum(axis=1).max() for p in points)


@given(sets(), st.integers(0, 2**32 - 1))
def test_the_order_of_the_samples_does_not_matter(pair, seed):
    real, fake = pair
    random = np.random.default_rng(seed)
    a, b = random.permutation(real), random.permutation(fake)
    size = scale_of(real, fake)
    assert abs(metrics.frechet_distance(real, fake) - metrics.frechet_distance(a, b)) <= 1e-7 * size
    kids = [metrics.kernel_inception_distance(*each) for each in (pair, (a, b))]
    assert abs(kids[0] - kids[1]) <= 1e-11 * size**3
    for k in (1, 3):
        first, second = (metrics.precision_recall_density_coverage(*e, k=k) for e in (pair, (a, b)))
        assert np.abs(four(first) - four(second)).max() <= 1e-14
    scores = [metrics.inception_score(each) for each in (fake, b)]
    assert abs(scores[0] - scores[1]) <= 1e-12 * scores[0]
    held = metrics.memorisation(real, fake, real[::-1])
    assert metrics.memorisation(a, b, real).closer == held.closer


@given(sets(), st.floats(-3, 3))
def test_turning_and_moving_both_sets(pair, by):
    real, fake = pair
    turn = rotation(real.shape[1])
    size = scale_of(real, fake)
    turned, moved = (real @ turn, fake @ turn), (real + by, fake + by)
    frechet, kid = metrics.frechet_distance(*pair), metrics.kernel_inception_distance(*pair)
    assert abs(metrics.frechet_distance(*turned) - frechet) <= 1e-7 * size
    assert abs(metrics.frechet_distance(*moved) - frechet) <= 1e-7 * size
    assert abs(metrics.kernel_inception_distance(*turned) - kid) <= 1e-11 * size**3
    for c in (0.5, 3.0):
        assert abs(metrics.frechet_distance(c * real, c * fake) - c * c * frechet) <= 1e-6 * size


def test_moving_both_sets_changes_kid_as_its_kernel_has_a_place():
    real, fake = np.random.default_rng(0).normal(size=(2, 50, 3)) * [[[1.0]], [[1.5]]]
    kid = metrics.kernel_inception_distance(real, fake)
    assert metrics.kernel_inception_distance(real + 5, fake + 5) > 2 * kid


def test_how_a_translation_of_the_fakes_shows():
    """The Fréchet distance grows by the square of the way; precision and recall fall to 0."""
    points = np.random.default_rng(0).normal(size=(60, 4))
    by = np.array([3.0, 0, -4, 0])
    assert metrics.frechet_distance(points, points + by) == pytest.approx(25, rel=1e-9)
    assert (four(metrics.precision_recall_density_coverage(points, points + 100 * by)) == 0).all()


@given(sets(), st.integers(1, 6))
def test_bounds(pair, k):
    real, fake = pair
    assert metrics.frechet_distance(*pair) >= 0
    score = metrics.inception_score(fake)
    assert 1 <= score <= fake.shape[1] * (1 + 1e-12)
    got = metrics.precision_recall_density_coverage(*pair, k=k)
    assert (four(got) >= 0).all()
    assert four(got)[[0, 1, 3]].max() <= 1
    assert got.density <= len(real) / k
    for name, (low, high) in got.intervals.items():
        assert 0 <= low <= getattr(got, name) <= high <= 1
    if fake.shape[1] == 2:
        found = metrics.modes(fake, CENTRES, 0.5)
        assert 0 <= found.total_variation <= 1 - 1 / 3 + 1e-15
        assert 0 <= found.kl <= math.log(3) + 1e-15
        assert 0 <= found.valid_interval[0] <= found.valid <= found.valid_interval[1] <= 1
        assert found.covered + len(found.missing) == 3


@given(sets())
def test_identical_sets(pair):
    real, _ = pair
    size = scale_of(real)
    assert metrics.frechet_distance(real, real) <= 1e-10 * size * real.shape[1]
    for k in (1, 4):
        got = metrics.precision_recall_density_coverage(real, real, k=k)
        assert (got.precision, got.recall, got.coverage) == (1, 1, 1)
        assert got.density >= (k + 1) / k - 1e-15
    assert metrics.memorisation(real, real, real).closer == 0.5
    distances, _ = metrics.nearest_neighbours(real, real)
    assert (distances == 0).all()


def test_identical_sets_far_from_zero_and_of_many_features():
    """Where a distance is a small difference of large numbers, a point still lies in its own ball."""
    for width in (3, 300):
        real = np.random.default_rng(0).normal(size=(200, width)) + 1e4
        real[:50] = real[50:100]
        for k in (1, 5):
            got = metrics.precision_recall_density_coverage(real, real[::-1], k=k)
            assert (got.precision, got.recall, got.coverage) == (1, 1, 1)
        assert metrics.frechet_distance(real, real) <= 1e-6
        assert metrics.kernel_inception_distance(real[:100], real[100:]).standard_error > 0


@given(sets())
def test_float32_features_are_as_good_as_float64(pair):
    real, fake = (each.astype(np.float32) for each in pair)
    wide = real.astype(np.float64), fake.astype(np.float64)
    for metric in (metrics.frechet_distance, metrics.kernel_inception_distance):
        # Only the mean and the kernel's blocks are summed in another order.
        assert abs(metric(real, fake) - metric(*wide)) <= 1e-7 * scale_of(*wide) ** 3
    np.testing.assert_array_equal(
        four(metrics.precision_recall_density_coverage(real, fake, k=2)),
        four(metrics.precision_recall_density_coverage(*wide, k=2)),
    )


# Floors, biases and errors: what they say of repeated draws --------------------------------------


def repeated(times, *shapes, seed=0):
    random = np.random.default_rng(seed)
    return ([random.normal(size=shape) for shape in shapes] for _ in range(times))


@pytest.mark.parametrize(("n", "m"), [(300, 300), (400, 150), (200, 600)])
def test_frechets_floor_is_what_one_distribution_gives(n, m):
    got = [metrics.frechet_distance(*each) for each in repeated(60, (n, 6), (m, 6))]
    floors = [each.floor for each in got]
    assert abs(np.mean(floors) / np.mean(got) - 1) <= 0.12


@pytest.mark.parametrize("same", [True, False])
def test_kids_mean_and_standard_error(same):
    scale, by = (1.0, 0.0) if same else (1.5, 1.0)
    got = [metrics.kernel_inception_distance(x, y * scale + by) for x, y in repeated(300, (40, 3), (60, 3))]
    spread, claimed = np.std(got), np.sqrt(np.mean([each.standard_error**2 for each in got]))
    if same:
        assert abs(np.mean(got)) <= 4 * spread / math.sqrt(300)
        assert 1 <= claimed / spread <= 1.1 * math.sqrt(2)
    else:
        assert 0.85 <= claimed / spread <= 1.15


@pytest.mark.parametrize(("n", "m", "k"), [(60, 60, 5), (50, 120, 3), (120, 50, 1)])
def test_what_is_expected_of_fakes_as_good_as_real(n, m, k):
    got = [metrics.precision_recall_density_coverage(*each, k=k) for each in repeated(200, (n, 3), (m, 3))]
    for name in ("density", "coverage"):
        found = [getattr(each, name) for each in got]
        assert abs(np.mean(found) - got[0].expected[name]) <= 4 * np.std(found) / math.sqrt(200)
    if n == m:
        halves = [each.expected["precision"] for each in repeated_halves(n, k)]
        found = [each.precision for each in got]
        error = math.hypot(np.std(found), np.std(halves)) / math.sqrt(200)
        assert abs(np.mean(found) - np.mean(halves)) <= 4 * error


def repeated_halves(n, k):
    """Real sets of 2 n, so that their halves are of n."""
    for (real,) in repeated(200, (2 * n, 3), seed=1):
        yield metrics.precision_recall_density_coverage(real, real[: k + 1], k=k)


def test_the_inception_scores_bias():
    limit = metrics.inception_score(np.random.default_rng(1).normal(size=(200_000, 5)) * 2)
    got = [metrics.inception_score(logits) for (logits,) in repeated(300, (50, 5))]
    doubled = [metrics.inception_score(2 * logits) for (logits,) in repeated(300, (50, 5))]
    claimed = np.mean([each.bias for each in doubled])
    error = np.std(doubled) / math.sqrt(300)
    assert abs(np.mean(doubled) - limit - claimed) <= 4 * error + 0.1 * abs(claimed)
    assert claimed <= -4 * error  # so that the line above could fail
    assert np.mean(got) <= np.mean(doubled)


def test_total_variation_and_kl_of_a_true_sampler():
    random = np.random.default_rng(0)
    centres = np.stack([np.arange(10.0), np.zeros(10)], axis=1) * 100
    got = [metrics.modes(centres[random.integers(0, 10, 500)], centres, 0.1) for _ in range(300)]
    for name, slack in (("total_variation", 0.0), ("kl", 0.02)):
        found, expected = [getattr(each, name) for each in got], got[0].expected[name]
        assert abs(np.mean(found) - expected) <= 4 * np.std(found) / math.sqrt(300) + slack * expected


def test_memorisation_accuses_a_true_sampler_as_often_as_it_says():
    tests = [metrics.memorisation(*each) for each in repeated(400, (60, 2), (40, 2), (50, 2))]
    accused = np.mean([each.p_value <= 0.1 for each in tests])
    assert abs(accused - 0.1) <= 4 * math.sqrt(0.09 / 400)
    assert abs(np.mean([each.z for each in tests])) <= 4 / math.sqrt(400)
    assert abs(np.std([each.z for each in tests]) - 1) <= 4 / math.sqrt(800)
