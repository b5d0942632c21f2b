"""Metrics: what they take and refuse, how little memory they need, and how results read."""

import json
import pickle
import re
import tracemalloc

import numpy as np
import pytest

import rawgan
from rawgan import ConfigError, DataError, DTypeError, RawganError, ShapeError, metrics
from rawgan.kernels.cuda import host

GOOD = np.random.default_rng(0).normal(size=(12, 3))
CENTRES = GOOD[:4]
# Each metric as a function of one argument, the others being good; by the argument's name in messages.
CALLS = {
    ("inception_score", "logits"): metrics.inception_score,
    ("frechet_distance", "real"): lambda x: metrics.frechet_distance(x, GOOD),
    ("frechet_distance", "fake"): lambda x: metrics.frechet_distance(GOOD, x),
    ("kernel_inception_distance", "real"): lambda x: metrics.kernel_inception_distance(x, GOOD),
    ("kernel_inception_distance", "fake"): lambda x: metrics.kernel_inception_distance(GOOD, x),
    ("precision_recall_density_coverage", "real"): lambda x: metrics.precision_recall_density_coverage(
        x, GOOD
    ),
    ("precision_recall_density_coverage", "fake"): lambda x: metrics.precision_recall_density_coverage(
        GOOD, x
    ),
    ("modes", "samples"): lambda x: metrics.modes(x, CENTRES, 0.1),
    ("modes", "centres"): lambda x: metrics.modes(GOOD, x, 0.1),
    ("nearest_neighbours", "samples"): lambda x: metrics.nearest_neighbours(x, GOOD),
    ("nearest_neighbours", "training"): lambda x: metrics.nearest_neighbours(GOOD, x),
    ("memorisation", "training"): lambda x: metrics.memorisation(x, GOOD, GOOD),
    ("memorisation", "fake"): lambda x: metrics.memorisation(GOOD, x, GOOD),
    ("memorisation", "held_out"): lambda x: metrics.memorisation(GOOD, GOOD, x),
}
IDS = [" ".join(key) for key in CALLS]


def with_value(value):
    array = GOOD.copy()
    array[5, 2] = value
    return array


BAD = {
    "NaN": (with_value(np.nan), DataError, "nan in sample 5, feature 2"),
    "float16 infinite": (with_value(np.inf).astype(np.float16), DataError, "inf in sample 5"),
    "infinite": (with_value(-np.inf), DataError, "-inf in sample 5, feature 2"),
    "huge": (with_value(1e39), DataError, "at most 3.4e\\+38"),
    "pictures": (np.zeros((12, 1, 2, 2)), ShapeError, r"\(12, 1, 2, 2\).*reshape\(len\(x\), -1\)"),
    "one feature": (np.zeros(12), ShapeError, r"\(12,\).*reshape\(-1, 1\)"),
    "a number": (1.0, ShapeError, r"\(\)"),
    "no features": (np.zeros((12, 0)), ShapeError, r"\(12, 0\)"),
    "no samples": (np.zeros((0, 3)), DataError, "0 samples; it takes at least"),
    "complex": (GOOD * 1j, DTypeError, "complex128"),
    "truth values": (GOOD > 0, DTypeError, "bool"),
    "texts": (np.full((12, 3), "a"), DTypeError, "U1"),
    "objects": (np.full((12, 3), None), DTypeError, "object"),
    "None": (None, DTypeError, "object"),
    "ragged": ([[1.0, 2.0], [3.0]], DTypeError, "no array"),
    "masked": (np.ma.masked_less(GOOD, 0), DTypeError, "masked"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("call", CALLS, ids=IDS)
def test_bad_arrays(call, bad):
    value, error, message = BAD[bad]
    with pytest.raises(error, match=rf"(?s)^{call[0]}: {call[1]} .*({message})"):
        CALLS[call](value)


@pytest.mark.parametrize("call", [key for key in CALLS if key[0] != "inception_score"], ids=IDS[1:])
def test_other_widths(call):
    with pytest.raises(ShapeError, match=rf"(?s)^{call[0]}: .*3 .*2|{call[0]}: .*2.*3.*same extractor"):
        CALLS[call](GOOD[:, :2])


@pytest.mark.parametrize(
    ("call", "least", "word"),
    [
        (metrics.inception_score, 2, "variety"),
        (lambda x: metrics.frechet_distance(x, GOOD), 2, "covariance"),
        (lambda x: metrics.frechet_distance(GOOD, x), 2, "covariance"),
        (lambda x: metrics.kernel_inception_distance(x, GOOD), 3, "standard error"),
        (lambda x: metrics.precision_recall_density_coverage(x, GOOD), 6, "k=5"),
        (lambda x: metrics.precision_recall_density_coverage(GOOD, x, k=2), 3, "k=2"),
        (lambda x: metrics.memorisation(GOOD, x, GOOD), 8, "normal"),
        (lambda x: metrics.modes(x, CENTRES, 0.1), 1, ""),
        (lambda x: metrics.modes(GOOD, x, 0.1), 1, ""),
    ],
)
def test_how_few_are_enough(call, least, word):
    call(GOOD[:least])
    with pytest.raises(DataError, match=f"has {least - 1} samples; it takes at least {least}.*{word}"):
        call(GOOD[: least - 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.inception_score(GOOD, splits=0), "splits is a whole number ≥ 1, got 0"),
        (lambda: metrics.inception_score(GOOD, splits=1.0), "splits is a whole number"),
        (lambda: metrics.inception_score(GOOD, splits=7), "7 splits of 12 samples.*at most 6"),
        (lambda: metrics.precision_recall_density_coverage(GOOD, GOOD, k=0), "k is a whole number"),
        (lambda: metrics.modes(GOOD, CENTRES, -1), "sigma"),
        (lambda: metrics.modes(GOOD, CENTRES, np.nan), "sigma"),
        (lambda: metrics.modes(GOOD, CENTRES, [0.1]), "sigma"),
        (lambda: metrics.modes(GOOD, CENTRES, 0.1, least=1.0), "least"),
    ],
)
def test_settings(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_moments_that_are_none():
    zero, eye = np.zeros(3), np.eye(3)
    skew = eye + np.eye(3, k=1)
    for mean, covariance, error, message in [
        (np.zeros((3, 1)), eye, ShapeError, r"real_mean has shape \(3, 1\)"),
        (zero, np.eye(4), ShapeError, r"real_covariance has shape \(4, 4\)"),
        (zero, zero, ShapeError, "real_covariance"),
        (np.zeros(2), np.eye(2), ShapeError, "real has 2 features, fake 3"),
        (zero, skew, DataError, "not symmetric"),
        (zero, eye - 2, DataError, "eigenvalue"),
        (zero + np.nan, eye, DataError, "real_mean has nan"),
        (zero, eye + np.inf, DataError, "real_covariance has inf"),
        ("a", eye, DTypeError, "real_mean"),
    ]:
        with pytest.raises(error, match=f"frechet_from_moments: .*{message}"):
            metrics.frechet_from_moments(mean, covariance, zero, eye)


def test_every_way_to_give_an_array():
    real, fake = GOOD.astype(np.float32), GOOD[::-1].astype(np.float32) * 2
    plain = metrics.frechet_distance(real, fake)
    for x, y in [
        (rawgan.tensor(real), rawgan.tensor(fake, requires_grad=True)),
        (real.tolist(), fake),
        (np.asfortranarray(real), fake[::-1][::-1]),
        (real.astype(">f8"), fake),
    ]:
        assert abs(metrics.frechet_distance(x, y) - plain) <= 1e-12
    whole = np.round(GOOD * 3)
    for dtype in (np.int8, np.int64, np.float16):
        expected = metrics.kernel_inception_distance(whole, whole + 1)
        assert metrics.kernel_inception_distance(whole.astype(dtype), whole + 1) == expected


@pytest.mark.skipif(not host.has_compiler(), reason="cuda-sim needs a C++ compiler")
def test_arrays_of_another_device():
    real = GOOD.astype(np.float32)
    there = rawgan.tensor(real, device="cuda-sim")
    for given in (there, there.data):
        assert metrics.inception_score(given) == metrics.inception_score(real)


@pytest.mark.parametrize("k", [1, 5])
def test_halves_need_as_many_as_the_whole(k):
    for count, known in [(2 * k + 1, False), (2 * k + 2, True)]:
        got = metrics.precision_recall_density_coverage(GOOD[:count], GOOD, k=k).expected
        assert (got["precision"] is not None, got["recall"] is not None) == (known, known)
    assert np.isnan(metrics.frechet_distance(GOOD[:3], GOOD).floor)
    assert metrics.frechet_distance(GOOD[:4], GOOD).floor > 0


def test_inputs_are_left_alone():
    before = GOOD.copy()
    for call in CALLS.values():
        call(GOOD)
    np.testing.assert_array_equal(GOOD, before)


def test_10_000_samples_of_2_048_features_need_few_bytes():
    """In proportion: about a thirteenth of the samples and features, and of the rows of a block."""
    from rawgan.metrics import features

    real, fake = np.random.default_rng(0).normal(size=(2, 800, 128)).astype(np.float32)
    original, features.ROWS = features.ROWS, 64
    tracemalloc.start()
    try:
        metrics.precision_recall_density_coverage(real, fake)
        metrics.kernel_inception_distance(real, fake)
        metrics.memorisation(real, fake, fake)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.clear_traces()
        tracemalloc.reset_peak()
        metrics.frechet_distance(real, fake)
        _, peak_of_frechet = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        features.ROWS = original
    assert peak <= 2.5 * real.nbytes  # all pairs at once would be 12 times that
    assert peak_of_frechet <= 12 * 128 * 128 * 8  # matrices of the features' width


def test_results_read_well():
    fake = GOOD * 2
    for got, words in [
        (
            metrics.inception_score(GOOD, splits=2),
            r"InceptionScore 1\.\d+ ± .* of at most 3; 12 samples \(2 sp",
        ),
        (metrics.frechet_distance(GOOD, fake), r"FrechetDistance \d.* 12 real, 12 fake; two samples of one"),
        (metrics.kernel_inception_distance(GOOD, fake), r"KernelInceptionDistance .* ± .* 0 is expected"),
        (metrics.precision_recall_density_coverage(GOOD, fake), r"recall [\d.]+ \[.*\] of .*density .*k=5"),
        (metrics.precision_recall_density_coverage(GOOD[:6], fake), r"precision [\d.]+ \[.*\] of \?"),
        (metrics.modes(GOOD, CENTRES, 0.1), r"\d of 4 covered, valid .*% \[.*\] of 97.07%"),
        (metrics.memorisation(GOOD, fake, GOOD), r"closer [\d.]+: 0.5 ± .*12 fake"),
    ]:
        assert re.search(words, repr(got)), repr(got)
        if isinstance(got, float):
            assert float(str(got)) == got == json.loads(json.dumps(got))
            again = pickle.loads(pickle.dumps(got))
            assert repr(again) == repr(got)
            assert f"{got:.3f}" == f"{float(got):.3f}"


def test_errors_are_ours():
    for value, error, _ in BAD.values():
        assert issubclass(error, RawganError), value
