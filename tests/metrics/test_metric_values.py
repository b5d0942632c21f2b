"""Metrics: known values, slow textbook formulas beside them, and what SciPy and scikit-learn compute."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawgan import data, metrics, rng
from rawgan.metrics import pairs
from rawgan.metrics.features import ROWS


def draws(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def drawn(least, width=6, most=24):
    """A strategy: features (N, d), continuous or with many ties."""

    def make(n, d, seed, whole):
        x = np.random.default_rng(seed).normal(size=(n, d))
        return x.round() if whole else x

    return st.builds(
        make, st.integers(least, most), st.integers(1, width), st.integers(0, 2**32 - 1), st.booleans()
    )


def two(least, width=6):
    """A strategy: two such sets, of one width."""
    return st.tuples(drawn(least, width), st.integers(least, 24), st.integers(0, 2**32 - 1)).map(
        lambda t: (t[0], np.random.default_rng(t[2]).normal(0.5, 1.5, size=(t[1], t[0].shape[1])))
    )


# Known values ------------------------------------------------------------------------------------


def test_known_values():
    assert abs(metrics.inception_score([[1, 2, 3], [-1, 5, 3.1]]) - 1.24358) <= 5e-6
    corners = np.array([[0, 0], [1, 0], [0, 1]])
    assert abs(metrics.kernel_inception_distance(corners, corners + 1) - 475 / 36) <= 1e-12
    got = metrics.precision_recall_density_coverage(
        np.arange(5.0)[:, None], np.array([[0.4], [0.6], [10]]), k=1
    )
    expected = {"precision": 2 / 3, "recall": 0.8, "density": 4 / 3, "coverage": 0.4}
    for name, value in expected.items():
        assert abs(getattr(got, name) - value) <= 1e-15
    assert abs(got.expected["coverage"] - (1 - 4 / 7)) <= 1e-15
    assert got.expected["density"] == 1


def test_frechet_of_two_normal_distributions():
    d = 2048
    eye = np.eye(d)
    assert abs(metrics.frechet_from_moments(np.zeros(d), eye, np.ones(d), eye) - d) <= 1e-8


def test_frechet_where_a_formula_is_known():
    # In one dimension (m₁ − m₂)² + (s₁ − s₂)²; for matrices that commute the sum of that.
    assert metrics.frechet_from_moments([1.0], [[4.0]], [3.0], [[25.0]]) == pytest.approx(4 + 9, rel=1e-12)
    a, b = np.diag([4.0, 9.0, 0.0]), np.diag([1.0, 16.0, 25.0])
    assert metrics.frechet_from_moments(np.zeros(3), a, np.zeros(3), b) == pytest.approx(27, rel=1e-12)
    x = np.array([[0.0], [2.0]])  # mean 1, variance 2
    assert metrics.frechet_distance(x, 3 * x + 1) == pytest.approx(9 + 4 * 2, rel=1e-12)


@pytest.mark.parametrize(
    ("logits", "score"),
    [
        (1000 * np.eye(7), 7.0),  # sure of another class each time
        (np.zeros((5, 7)), 1.0),
        (np.tile([0.0, 1.0, 2.0], (9, 1)), 1.0),
        (np.eye(4)[[0, 0, 0, 1]] * 5000, math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))),
    ],
)
def test_inception_score_at_its_ends(logits, score):
    got = metrics.inception_score(logits)
    assert abs(got - score) <= 1e-12 * score
    assert got.bias <= 0


def test_splits_are_scored_one_by_one():
    logits = draws(50, 4) * 3
    got = metrics.inception_score(logits, splits=4)
    parts = [metrics.inception_score(part) for part in np.array_split(logits, 4)]
    assert got == pytest.approx(np.mean(parts), rel=1e-14)
    assert got.deviation == pytest.approx(np.std(parts, ddof=1), rel=1e-12)
    assert math.isnan(metrics.inception_score(logits).deviation)


def test_modes_of_a_drawn_set():
    centres = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10]])
    samples = np.concatenate(
        [np.tile(centres[0], (60, 1)), centres[1] + [[0.29, 0]] * 30, centres[2] + [[0.31, 0]] * 10]
    )
    got = metrics.modes(samples, centres, sigma=0.1)
    assert (got.covered, got.count, got.missing, got.samples) == (2, 4, (2, 3), 100)
    assert got.valid == 0.9
    np.testing.assert_array_equal(got.shares, [0.6, 0.3, 0.1, 0])
    assert got.total_variation == pytest.approx((0.35 + 0.05 + 0.15 + 0.25) / 2)
    shares = got.shares[:3]
    assert got.kl == pytest.approx(math.log(4) + np.sum(shares * np.log(shares)))
    assert metrics.modes(samples, centres, 0.1, least=0.31).covered == 1
    assert metrics.modes(samples, centres, 0.1, least=0.0).missing == (2, 3)  # none is not enough
    assert metrics.modes(samples + 1000, centres, 0.1).covered == 0
    alone = metrics.modes(samples, centres[:1], 0.1)
    assert (alone.total_variation, alone.kl) == (0, 0)
    assert (alone.expected["total_variation"], alone.expected["kl"]) == (0, 0)


def test_the_true_sampler_scores_what_is_expected():
    ring = data.load("ring")
    n = 40_000
    got = metrics.modes(ring.sample(n, rng.Generator(1)), ring.centres, ring.sigma)
    assert abs(got.expected["valid"] - 0.98889) <= 5e-6
    assert abs(got.valid - got.expected["valid"]) <= 5 * math.sqrt(0.0111 / n)
    assert got.valid_interval[0] <= got.expected["valid"] <= got.valid_interval[1]
    assert (got.covered, got.missing) == (8, ())


def test_memorisation_sees_copies_and_only_those():
    training, fresh, fake = draws(3, 300, 4)
    true = metrics.memorisation(training, fake, fresh)
    assert not true.copying
    assert abs(true.z) <= 3
    copies = metrics.memorisation(training, training[:200], fresh)
    assert (copies.closer, copies.copying) == (1.0, True)
    np.testing.assert_array_equal(copies.fake_distances, np.zeros(200))
    np.testing.assert_array_equal(copies.fake_neighbours, np.arange(200))
    far = metrics.memorisation(training, fake * 20, fresh)
    assert far.closer <= 0.1
    assert not far.copying


# Beside slow textbook formulas --------------------------------------------------------------------


def slow_kid(x, y):
    def k(a, b):
        return (np.dot(a, b) / len(a) + 1) ** 3

    xx = sum(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j)
    yy = sum(k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j)
    xy = sum(k(a, b) for a, b in itertools.product(x, y))
    n, m = len(x), len(y)
    return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)


@given(two(least=3, width=4))
def test_kid_and_its_jackknife_as_written_down(sets):
    x, y = (points[:9] for points in sets)
    got = metrics.kernel_inception_distance(x, y)
    size = abs(slow_kid(x, y)) + np.mean((x @ x.T / x.shape[1] + 1) ** 2) + np.mean((y @ y.T) ** 2) + 1
    assert abs(got - slow_kid(x, y)) <= 1e-11 * size**2
    without_x = [slow_kid(np.delete(x, i, 0), y) for i in range(len(x))] if len(x) > 3 else None
    without_y = [slow_kid(x, np.delete(y, i, 0)) for i in range(len(y))] if len(y) > 3 else None
    if without_x and without_y:
        variance = (len(x) - 1) * np.var(without_x) + (len(y) - 1) * np.var(without_y)
        assert abs(got.standard_error - math.sqrt(variance)) <= 1e-8 * size**2


def slow_neighbourhoods(x, y, k):
    def radii(points):
        return [sorted(np.linalg.norm(points - p, axis=1))[k] for p in points]

    apart = np.linalg.norm(x[:, None] - y[None], axis=2)
    in_real, in_fake = apart <= np.array(radii(x))[:, None], apart <= np.array(radii(y))
    return {
        "precision": in_real.any(0).mean(),
        "recall": in_fake.any(1).mean(),
        "density": in_real.sum(0).mean() / k,
        "coverage": in_real.any(1).mean(),
    }


@given(two(least=5), st.integers(1, 4))
def test_neighbourhoods_as_written_down(sets, k):
    x, y = sets
    got = metrics.precision_recall_density_coverage(x, y, k=k)
    for name, value in slow_neighbourhoods(x, y, k).items():
        assert abs(getattr(got, name) - value) <= 1e-14


@pytest.mark.parametrize("width", [3, pairs.FEW, pairs.FEW + 1, 60])
def test_blocks_fit_together(width):
    """More rows than one block holds, and widths on both sides of where the method changes."""
    x, y = draws(ROWS + 300, width), draws(2 * ROWS + 5, width, seed=1)
    apart = np.concatenate([np.linalg.norm(p - y, axis=1)[None] for p in x])
    distances, places = metrics.nearest_neighbours(x, y)
    np.testing.assert_array_equal(places, apart.argmin(1))
    assert np.abs(distances - apart.min(1)).max() <= 1e-12
    own = np.concatenate([np.sort(np.linalg.norm(p - x, axis=1))[None, :4] for p in x])
    assert np.abs(np.sqrt(pairs.kth_squared_distances(x, 3)) - own[:, 3]).max() <= 1e-10
    k = (np.concatenate([x, y]) @ np.concatenate([x, y]).T / width + 1) ** 3
    n, m = len(x), len(y)
    np.fill_diagonal(k, 0)
    kid = k[:n, :n].sum() / n / (n - 1) + k[n:, n:].sum() / m / (m - 1) - 2 * k[:n, n:].mean()
    assert abs(metrics.kernel_inception_distance(x, y) - kid) <= 1e-10
    got = metrics.frechet_distance(x, y)
    a, b = np.cov(x.T), np.cov(y.T)
    given = metrics.frechet_from_moments(x.mean(0), a, y.mean(0), b)
    assert abs(got - given) <= 1e-10 * np.trace(a + b)


# Beside other people's ------------------------------------------------------------------------------


@pytest.mark.dev
@pytest.mark.parametrize(("n", "m", "d"), [(400, 300, 5), (40, 60, 50), (40, 90, 50), (60, 60, 60)])
def test_frechet_as_scipys_square_root(n, m, d):
    linalg = pytest.importorskip("scipy.linalg", reason="SciPy is not installed")
    x, y = draws(n, d), draws(m, d, seed=1) * 1.3 + 0.2
    a, b = np.cov(x.T), np.cov(y.T)
    root = linalg.sqrtm(a @ b)
    root = getattr(root, "real", root)
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a + b - 2 * root)
    tolerance = 1e-10 if min(n, m) > d else 1e-4  # sqrtm of a singular matrix keeps half of the digits
    assert abs(metrics.frechet_distance(x, y) - expected) <= tolerance * np.trace(a + b)


@pytest.mark.dev
@pytest.mark.parametrize("width", [4, 40])
def test_neighbours_as_scikit_learn_finds_them(width):
    neighbors = pytest.importorskip("sklearn.neighbors", reason="scikit-learn is not installed")
    x, y = draws(300, width), draws(200, width, seed=1)
    expected, places = neighbors.NearestNeighbors(n_neighbors=1).fit(y).kneighbors(x)
    got, found = metrics.nearest_neighbours(x, y)
    np.testing.assert_array_equal(found, places[:, 0])
    assert np.abs(got - expected[:, 0]).max() <= 1e-12


@pytest.mark.dev
@pytest.mark.parametrize("rounding", [None, 1, 0])
def test_memorisation_as_scipys_mann_whitney(rounding):
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    training, fresh, fake = draws(3, 80, 2)
    if rounding is not None:  # ties
        training, fresh, fake = training.round(rounding), fresh.round(rounding), fake.round(rounding)
    fake = fake[:50] * 0.8
    got = metrics.memorisation(training, fake, fresh)
    peer = stats.mannwhitneyu(
        got.held_out_distances,
        got.fake_distances,
        alternative="greater",
        method="asymptotic",
        use_continuity=False,
    )
    assert abs(got.closer - peer.statistic / (50 * 80)) <= 1e-12
    assert abs(got.p_value - peer.pvalue) <= 1e-10


@pytest.mark.dev
def test_shares_as_scipy_has_them():
    stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
    from rawgan.metrics.mixtures import _mean_deviation, within
    from rawgan.metrics.shares import interval

    for d in (1, 2, 3, 4, 7, 10, 33, 200):
        assert abs(within(d) - stats.chi2.cdf(9, d)) <= 1e-14
    for n, p in [(100, 0.125), (10_000, 0.04), (7, 0.5), (3, 0.3)]:
        counts = np.arange(n + 1)
        exact = np.sum(np.abs(counts - n * p) * stats.binom.pmf(counts, n, p))
        assert abs(_mean_deviation(n, p) - exact) <= 1e-9 * exact
    for count, of in [(0, 5), (5, 5), (3, 10), (9889, 10_000)]:
        peer = stats.binomtest(count, of).proportion_ci(method="wilson")
        assert np.abs(np.subtract(interval(count, of), (peer.low, peer.high))).max() <= 1e-12


@pytest.mark.torch
def test_inception_score_as_pytorch_would_say_it():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    logits = draws(200, 10) * 4
    p = torch.log_softmax(torch.tensor(logits), 1)
    divergence = torch.nn.functional.kl_div(
        p.exp().mean(0).log().expand_as(p), p, reduction="batchmean", log_target=True
    )
    assert metrics.inception_score(logits) == pytest.approx(divergence.exp().item(), rel=1e-12)
