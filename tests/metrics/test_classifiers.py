"""Classifiers: that they learn, repeat, take pictures of any size, and that no odd file passes for one."""

import os
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

import rawgan
from rawgan import CheckpointError, ConfigError, DataError, data, metrics
from rawgan.kernels.cuda import host
from rawgan.metrics import classifiers
from rawgan.training import checkpoint

QUICK = {"device": "cpu", "progress": False}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of the cache: no test reaches the user's own."""
    monkeypatch.setattr(classifiers, "user_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "classifiers"


@pytest.fixture(scope="module")
def judge():
    """A classifier of the digits, trained for a second."""
    return metrics.train_classifier("digits", epochs=8, save=False, **QUICK)


@pytest.fixture(scope="module")
def held_out():
    digits = data.load("digits")
    return digits.items[-297:], digits.labels[-297:]


def test_it_tells_digits_apart_that_it_has_not_seen(judge, held_out):
    images, labels = held_out
    found = (judge.logits(images).argmax(axis=1) == labels).mean()
    assert found >= 0.94  # 96.6% when this was written
    assert judge.facts["accuracy"] == found
    assert (judge.facts["tested"], judge.facts["trained"]) == (297, 1500)
    assert judge.facts["fingerprint"] == data.load("digits").fingerprint
    assert f"{found:.2%} right" in repr(judge)


def test_before_training_it_knows_nothing(held_out):
    images, labels = held_out
    network = classifiers._network(classifiers.CLASSIFIERS["digits"], 0, "cpu")
    fresh = metrics.Classifier("digits", network, "cpu", {})
    assert (fresh.logits(images).argmax(axis=1) == labels).mean() <= 0.4


def test_one_seed_one_result():
    first, again, other = (
        metrics.train_classifier("digits", epochs=1, seed=seed, save=False, **QUICK) for seed in (3, 3, 4)
    )
    for name, value in first.network.state_dict().items():
        assert value.tobytes() == again.network.state_dict()[name].tobytes(), name
    assert first.facts == again.facts
    assert any((v != other.network.state_dict()[k]).any() for k, v in first.network.state_dict().items())


def test_features_and_logits_belong_together(judge, held_out, monkeypatch):
    images = held_out[0][:50]
    features, logits = judge.outputs(images)
    assert (features.shape, logits.shape) == ((50, 128), (50, 10))
    assert features.dtype == logits.dtype == np.float32
    head = judge.network[-1]
    assert np.allclose(logits, features @ head.weight.numpy().T + head.bias.numpy(), rtol=1e-4, atol=1e-4)
    assert features.tobytes() == judge.features(images).tobytes()
    monkeypatch.setattr(classifiers, "AT_ONCE", 7)
    assert np.allclose(judge.features(images), features, rtol=1e-4, atol=1e-4)  # whatever the batches
    assert not judge.network.training


def test_pictures_of_any_size_and_kind_are_the_same_pictures(judge, held_out):
    small = held_out[0][:20]
    expected = judge.features(small)
    large = data.resize_images(small, 28)
    floats = large.astype(np.float32) / 255
    for same in (small[:, 0], large, floats, floats.astype(np.float64), rawgan.tensor(floats)):
        assert np.allclose(judge.features(same), expected, rtol=1e-4, atol=1e-4)
    assert judge.features(data.resize_images(large, 56)).shape == (20, 128)  # shrunk


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3, 28, 28), np.uint8), "1 channel"),
        (np.zeros((5, 2)), "1 channel"),
        (np.zeros((0, 28, 28), np.uint8), "empty"),
        (np.full((2, 28, 28), np.nan), "finite"),
        (np.full((2, 28, 28), -1.0), r"lie in \[0, 1\]"),
        (np.zeros((2, 28, 28), np.int64), "uint8"),
        (np.zeros(28), "shape"),
        ("digits", "shape"),
    ],
)
def test_what_is_no_picture_is_refused(images, message, judge):
    with pytest.raises(DataError, match=f"classifier of digits: .*{message}"):
        judge.features(images)


def test_the_cache(cache, monkeypatch, capsys):
    plan = classifiers.CLASSIFIERS["digits"]._replace(epochs=1)
    monkeypatch.setitem(classifiers.CLASSIFIERS, "digits", plan)
    with pytest.raises(CheckpointError, match="rawgan train-classifier digits"):
        metrics.classifier("digits", train=False)
    made = metrics.classifier("digits", device="cpu")
    assert capsys.readouterr().out.startswith("training the classifier of digits")
    assert [path.name for path in cache.iterdir()] == ["digits.safetensors"]
    again = metrics.classifier("digits", train=False, device="cpu")
    assert capsys.readouterr().out == ""
    assert again.facts == made.facts
    images = data.load("digits").items[:9]
    assert again.logits(images).tobytes() == made.logits(images).tobytes()


def test_one_that_is_worse_than_it_should_be_is_told_of(monkeypatch):
    plan = classifiers.CLASSIFIERS["digits"]._replace(least=0.999)
    monkeypatch.setitem(classifiers.CLASSIFIERS, "digits", plan)
    with pytest.warns(UserWarning, match=r"% right .*99\.9% can be had"):
        metrics.train_classifier("digits", epochs=1, save=False, **QUICK)


def changed(judge, path, **facts):
    checkpoint.save(path, judge.network.state_dict(), judge.facts | facts)


SPOILT = {
    "empty": (lambda judge, path: path.write_bytes(b""), "is empty"),
    "text": (lambda judge, path: path.write_text("{}" * 50), "damaged"),
    "pickle": (lambda judge, path: path.write_bytes(b"\x80\x04\x95" + b"x" * 99), "pickle"),
    "folder": (lambda judge, path: path.mkdir(), "is a folder"),
    "foreign": (lambda judge, path: save_file({"w": np.zeros(3)}, path), "not a rawgan checkpoint"),
    "a run": (lambda judge, path: checkpoint.save(path, {}, {"step": 3}), "no classifier's file"),
    "no facts": (lambda judge, path: checkpoint.save(path, {}, [1]), "no classifier's file"),
    "other data": (lambda judge, path: changed(judge, path, data="mnist"), "'mnist' apart, not 'digits'"),
    "other version": (lambda judge, path: changed(judge, path, version=0), "made otherwise"),
    "other network": (lambda judge, path: changed(judge, path, network={"layer": "Dense"}), "made otherwise"),
    "accuracy": (lambda judge, path: changed(judge, path, accuracy="all"), "accuracy is 'all'"),
    "accuracy 2": (lambda judge, path: changed(judge, path, accuracy=2.0), "accuracy is 2.0"),
    "tested": (lambda judge, path: changed(judge, path, tested=0), "tested is 0"),
    "fingerprint": (lambda judge, path: changed(judge, path, fingerprint=None), "fingerprint is None"),
    "no weights": (lambda judge, path: checkpoint.save(path, {}, judge.facts), "missing: 0.weight"),
    "shapes": (
        lambda judge, path: checkpoint.save(
            path, judge.network.state_dict() | {"10.bias": np.zeros(3, np.float32)}, judge.facts
        ),
        "10.bias has shape",
    ),
    "not finite": (
        lambda judge, path: checkpoint.save(
            path, judge.network.state_dict() | {"10.bias": np.full(10, np.nan, np.float32)}, judge.facts
        ),
        "not finite",
    ),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_an_odd_file_in_the_cache_is_an_error(spoil, judge, cache):
    make, message = SPOILT[spoil]
    cache.mkdir(parents=True)
    path = cache / "digits.safetensors"
    make(judge, path)
    with pytest.raises(CheckpointError, match=re.escape(message)) as error:
        metrics.classifier("digits", **QUICK)
    assert str(path) in str(error.value)


def test_a_file_cut_short_or_with_a_changed_byte_is_an_error(judge, cache):
    path = cache / "digits.safetensors"
    judge.save(path)
    whole = path.read_bytes()
    for size in (1, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"digits\.safetensors"):
            metrics.classifier("digits", **QUICK)
    for place in (3, 50, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :])
        with pytest.raises(CheckpointError, match=r"digits\.safetensors"):
            metrics.classifier("digits", **QUICK)
    path.write_bytes(whole)
    assert metrics.classifier("digits", **QUICK).facts == judge.facts


def test_a_cache_that_cannot_be_written(judge, cache):
    cache.parent.write_text("a file")
    with pytest.raises(CheckpointError, match="write to another folder"):
        judge.save(cache / "digits.safetensors")


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="no classifier for 'cifar10'; there are: digits, mnist"):
        metrics.classifier("cifar10")
    with pytest.raises(ConfigError, match="no classifier for 3"):
        metrics.train_classifier(3)
    with pytest.raises(ConfigError, match="epochs is a whole number ≥ 1, got 0"):
        metrics.train_classifier("digits", epochs=0)
    with pytest.raises(DataError, match="mnist"):
        metrics.train_classifier("mnist", data_dir=os.path.dirname(__file__))


@pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")
def test_the_cuda_kernels_see_the_same(judge, held_out, cache, monkeypatch):
    path = cache / "digits.safetensors"
    judge.save(path)
    there = metrics.classifier("digits", train=False, device="cuda-sim")
    for wanted, found in zip(judge.outputs(held_out[0][:6]), there.outputs(held_out[0][:6]), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    plan = classifiers.CLASSIFIERS["digits"]._replace(held_out=1797 - 16, batch_size=8)
    monkeypatch.setitem(classifiers.CLASSIFIERS, "digits", plan)
    monkeypatch.setattr(metrics.Classifier, "logits", lambda self, images: np.zeros((len(images), 10)))
    made = [
        metrics.train_classifier("digits", epochs=1, device=device, progress=False, save=False)
        for device in ("cpu", "cuda-sim")
    ]
    states = [each.network.state_dict() for each in made]
    for name, value in states[0].items():
        assert np.abs(states[1][name] - value).max() <= 1e-3 * (1 + np.abs(value).max()), name


@pytest.mark.slow
def test_mnist_is_told_apart_at_99_percent():
    folder = os.environ.get("RAWGAN_DATA")
    if not folder or not os.path.isdir(os.path.join(folder, "mnist")):
        pytest.skip("RAWGAN_DATA names no folder with MNIST")
    judge = metrics.train_classifier("mnist", save=False, **QUICK)
    assert judge.facts["tested"] == 10_000
    assert judge.facts["accuracy"] >= 0.99
