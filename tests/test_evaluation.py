"""`rawgan.evaluate`: what it says of good, bad, copied and collapsed samples, and what it refuses."""

import json
import re
import warnings

import numpy as np
import pytest

import rawgan
from rawgan import CheckpointError, ConfigError, DataError, cli, data, metrics, rng
from rawgan.data import Dataset, Entry
from rawgan.evaluation import OF_PICTURES, OF_POINTS, Evaluation, Figure, figures_for
from rawgan.metrics import classifiers
from rawgan.training import Run, pictures

QUICK = {"steps": 2, "batch_size": 8, "noise": 4, "device": "cpu", "progress": False}
SILENT = {"device": "cpu", "progress": False}


def parts():
    """The digits at 28x28 as if they came in a training and a test part, and a third that nobody has."""
    whole = data.load("digits").resized(28)
    order = np.random.default_rng(0).permutation(len(whole))
    return [Dataset("mnist", whole.items[i], whole.labels[i]) for i in np.array_split(order, 3)]


@pytest.fixture(scope="module")
def little_mnist():
    """Those parts, and a classifier trained on the first for a moment."""
    with pytest.MonkeyPatch.context() as patch:
        training, test, fresh = parts()
        patch.setitem(
            data.DATASETS,
            "mnist",
            Entry(lambda split, _: training if split == "train" else test, ("train", "test")),
        )
        plan = classifiers.Plan((1, 28, 28), epochs=10, batch_size=50, width=8)
        patch.setitem(classifiers.CLASSIFIERS, "mnist", plan)
        judge = metrics.train_classifier("mnist", save=False, **SILENT)
    return training, test, fresh, judge


@pytest.fixture(autouse=True)
def surroundings(little_mnist, tmp_path, monkeypatch):
    """An empty cache, the little MNIST for the real one, and no plots."""
    training, test, *_ = little_mnist
    monkeypatch.setattr(classifiers, "user_cache", lambda: tmp_path / "cache")
    row = Entry(lambda split, _: training if split == "train" else test, ("train", "test"))
    monkeypatch.setitem(data.DATASETS, "mnist", row)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command line replaces it
    for slow in ("plot_history", "points_figure", "save_animation"):
        monkeypatch.setattr(pictures, slow, lambda *arguments: None)


@pytest.fixture
def dcgan():
    return rawgan.train("dcgan_mnist", width=2, **QUICK)


@pytest.fixture
def judged(dcgan, little_mnist, monkeypatch):
    """A function that evaluates a generator that makes the given pictures."""

    def evaluate(images, **more):
        images = images.astype(np.float32) / 255
        monkeypatch.setattr(Run, "sample", lambda self, n, seed: images[:n])
        return rawgan.evaluate(dcgan, len(images), classifier=little_mnist[-1], progress=False, **more)

    return evaluate


def test_pictures_as_good_as_real(judged, little_mnist):
    training, test, fresh, judge = little_mnist
    found = judged(fresh.items)
    rows = found.figures
    assert rows["frechet_distance"].value <= 2 * rows["frechet_distance"].real
    assert rows["inception_score"].value >= 0.95 * rows["inception_score"].real
    assert abs(rows["kernel_inception_distance"].value) <= 0.05
    for name in ("precision", "recall", "density", "coverage"):
        assert abs(rows[name].value - rows[name].real) <= 0.15, name
    assert (rows["classes_covered"].value, rows["classes_covered"].real) == (10, 10)
    memory = found.results["memorisation"]
    assert abs(rows["closer_to_training"].value - 0.5) <= 5 * memory.standard_error
    assert rows["closer_to_training"].value == memory.closer
    assert memory.n_training == len(training)
    assert found.class_shares.keys() == set(map(str, range(10)))
    assert abs(sum(found.class_shares.values()) - 1) <= 1e-9
    again = metrics.frechet_distance(judge.features(test.items), judge.features(fresh.items))
    assert rows["frechet_distance"].value == pytest.approx(float(again), rel=1e-3)


def test_copies_are_found_out(judged, little_mnist):
    training = little_mnist[0]
    found = judged(training.items)
    row = found.figures["closer_to_training"]
    assert row.value >= 0.99
    assert "; copying" in row.note
    assert found.figures["precision"].value >= 0.8


def test_one_class_only(judged, little_mnist):
    fresh = little_mnist[2]
    found = judged(fresh.items[fresh.labels == 3])
    row = found.figures["classes_covered"]
    assert row.value <= 4
    assert row.note.startswith("of 10, with at least 1% of the samples; missing: 0")
    assert found.class_shares["3"] >= 0.8
    assert found.figures["recall"].value <= 0.5
    assert found.figures["inception_score"].value <= 3
    assert found.figures["frechet_distance"].value >= 5 * found.figures["frechet_distance"].real


def test_an_untrained_generator_is_no_good(dcgan, little_mnist):
    found = rawgan.evaluate(dcgan, 100, classifier=little_mnist[-1], progress=False)
    rows = found.figures
    assert rows["frechet_distance"].value >= 10 * rows["frechet_distance"].real
    assert rows["recall"].value <= 0.1
    assert rows["seconds"].value > 0
    assert (found.recipe, found.data, found.steps, found.samples) == ("dcgan_mnist", "mnist", 2, 100)


def test_of_a_directory_a_file_and_a_run_the_same(tmp_path):
    run = rawgan.train("mlp", hidden=4, out=tmp_path / "run", **QUICK)
    run.save(tmp_path / "one.safetensors")
    metrics.train_classifier("digits", epochs=1, **SILENT)
    found = [
        rawgan.evaluate(each, 50, seed=1, **SILENT)
        for each in (run, tmp_path / "run", str(tmp_path / "one.safetensors"))
    ]
    for each in found:
        each.figures.pop("seconds")
    assert found[0] == found[1] == found[2]
    other = rawgan.evaluate(run, 50, seed=2, **SILENT)
    assert other.figures["frechet_distance"] != found[0].figures["frechet_distance"]
    assert "no test part" in found[0].remarks[0]
    assert "closer_to_training" not in found[0].figures
    assert found[0].figures["density"].real == 1


def test_a_classifier_that_is_not_cached_is_trained(tmp_path, monkeypatch, capsys):
    plan = classifiers.CLASSIFIERS["digits"]._replace(epochs=1)
    monkeypatch.setitem(classifiers.CLASSIFIERS, "digits", plan)
    run = rawgan.train("mlp", hidden=4, **QUICK)
    found = rawgan.evaluate(run, 10)
    assert capsys.readouterr().out.startswith("training the classifier of digits")
    assert found.judge.startswith("judged by the classifier of digits: ")
    assert rawgan.evaluate(run, 10).judge == found.judge
    assert capsys.readouterr().out == ""


def test_pictures_of_another_size_than_the_classifiers(little_mnist):
    run = rawgan.train("dcgan_cifar10", data="mnist", width=2, **QUICK)
    found = rawgan.evaluate(run, 10, classifier=little_mnist[-1], progress=False)
    said = re.search(r"of shape \(1, 32, 32\), .*tells (\d+\.\d\d)% right", found.remarks[0])
    assert 60 <= float(said[1]) <= 100


def test_the_figures_are_known_beforehand(mixture):
    metrics.train_classifier("digits", epochs=1, **SILENT)
    for run, names in ((rawgan.train("mlp", hidden=4, **QUICK), OF_PICTURES), (mixture, OF_POINTS)):
        assert tuple(rawgan.evaluate(run, 20, **SILENT).figures) == names
        assert figures_for(run.config["data"]["name"]) == names
    with pytest.raises(ConfigError, match=r"no figures for .* without being told more"):
        figures_for(data.function(lambda n, generator: generator.normal((n, 2)), "cloud"))


def test_data_of_ones_own_and_a_classifier_by_name():
    metrics.train_classifier("digits", epochs=1, **SILENT)
    own = data.load("digits").items[:200]
    run = rawgan.train("mlp", data=own, hidden=4, **QUICK)
    with pytest.raises(ConfigError, match=r"'array'.*give it again as data="):
        rawgan.evaluate(run, 10, **SILENT)
    with pytest.raises(ConfigError, match=r"no classifier for 'array'.*classifier=: digits, mnist"):
        rawgan.evaluate(run, 10, data=own, **SILENT)
    with pytest.raises(DataError, match="is not what the run was trained on"):
        rawgan.evaluate(run, 10, data=own[1:], **SILENT)
    found = rawgan.evaluate(run, 10, data=own, classifier="digits", **SILENT)
    assert found.data == "array"


@pytest.fixture
def mixture():
    return rawgan.train("mixture", hidden=4, **QUICK)


def test_a_true_sampler_of_a_mixture(mixture, monkeypatch):
    ring = data.load("ring")
    monkeypatch.setattr(Run, "sample", lambda self, n, seed: ring.sample(n, rng.Generator(seed)))
    found = rawgan.evaluate(mixture, 10_000, **SILENT)
    rows = found.figures
    assert (rows["modes_covered"].value, rows["modes_covered"].real) == (8, 8)
    assert abs(rows["valid"].value - 0.9889) <= 0.005
    assert abs(rows["valid"].real - 0.9889) <= 1e-4
    assert rows["total_variation"].value <= 2 * rows["total_variation"].real
    assert rows["kl"].value <= 4 * rows["kl"].real
    assert found.judge is None
    assert found.results["modes"].covered == 8


def test_a_collapsed_mixture(mixture, monkeypatch):
    centres = data.load("ring").centres
    monkeypatch.setattr(Run, "sample", lambda self, n, seed: np.repeat(centres[[1, 5]], n // 2, axis=0))
    rows = rawgan.evaluate(mixture, 1000, **SILENT).figures
    assert rows["modes_covered"].value == 2
    assert rows["modes_covered"].note.endswith("missing: 0, 2, 3, 4, 6, 7")
    assert rows["valid"].value == 1
    assert rows["total_variation"].value == pytest.approx(0.75)
    assert rows["kl"].value == pytest.approx(np.log(4))


@pytest.mark.parametrize("name", ["ring", "grid", "spirals"])
def test_every_mixture_can_be_judged(name, monkeypatch):
    source = data.load(name)
    run = rawgan.train("mixture", data=name, hidden=4, **QUICK)
    monkeypatch.setattr(Run, "sample", lambda self, n, seed: source.sample(n, rng.Generator(seed)))
    row = rawgan.evaluate(run, 5000, **SILENT).figures["modes_covered"]
    assert row.value == row.real == len(source.centres)


def test_what_cannot_be_judged(mixture, dcgan, tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match="no such file"):
        rawgan.evaluate(tmp_path / "nowhere", **SILENT)
    with pytest.raises(ConfigError, match="evaluate: n is a whole number ≥ 8, got 7"):
        rawgan.evaluate(mixture, 7)
    with pytest.raises(ConfigError, match="no classifier for 'mnits'"):
        rawgan.evaluate(dcgan, 10, classifier="mnits", **SILENT)
    source = data.function(lambda n, generator: generator.normal((n, 2), device="cpu"), "cloud")
    run = rawgan.train("mixture", data=source, hidden=4, **QUICK)
    with pytest.raises(ConfigError, match="no known modes"):
        rawgan.evaluate(run, 10, data=source, **SILENT)
    own = np.random.default_rng(0).random((20, 3, 8, 8))
    colour = rawgan.train("mlp", data=own, hidden=4, **QUICK)
    metrics.train_classifier("digits", epochs=1, **SILENT)
    with pytest.raises(DataError, match="1 channel"):
        rawgan.evaluate(colour, 10, data=own, classifier="digits", **SILENT)
    monkeypatch.setattr(Run, "sample", lambda self, n, seed: np.full((n, 2), np.nan))
    with pytest.raises(DataError, match="samples has nan"):
        rawgan.evaluate(mixture, 10, **SILENT)


def test_a_classifier_of_other_data_by_that_name_is_refused(dcgan, little_mnist):
    judge = little_mnist[-1]
    other = judge.facts | {"fingerprint": "0" * 16}
    plan = classifiers.CLASSIFIERS["mnist"]
    fresh = metrics.Classifier(
        "mnist", classifiers._network(plan, 0, "cpu"), "cpu", other | {"network": None}
    )
    fresh.facts["network"] = json.loads(json.dumps(classifiers.as_json(classifiers.describe(fresh.network))))
    fresh.save(classifiers.cache_path("mnist"))
    with pytest.raises(CheckpointError, match=r"other data of that name.*rawgan train-classifier mnist"):
        rawgan.evaluate(dcgan, 10, **SILENT)


def test_what_it_looks_like():
    rows = {
        "frechet_distance": Figure(1.25, float("nan"), "[odd] note"),
        "modes_covered": Figure(7, 8, "of 8"),
    }
    found = Evaluation("mlp", "digits", 1200, 5000, 0, rows, "judged by [somebody]", ("a remark",))
    text = str(found)
    for words in (
        "mlp on digits after 1,200 steps, 5,000 samples",
        "[odd] note",
        "judged by [somebody]",
        "7",
    ):
        assert words in text
    assert re.search(r"frechet distance +1\.25 ", text)
    document = json.loads(found.as_json())
    assert document["figures"]["frechet_distance"] == {"value": 1.25, "real": None, "note": "[odd] note"}
    assert document["recipe"] == "mlp"


@pytest.fixture
def rawgan_says(capfd, tmp_path, monkeypatch):
    """A function that runs a command in an empty folder and returns its exit status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        return end.value.code, *capfd.readouterr()

    return run


def test_the_commands(rawgan_says, tmp_path):
    status, out, err = rawgan_says("train-classifier", "digits", "--epochs", 2, "--device", "cpu")
    assert (status, err) == (0, "")
    *_, accuracy, path = out.splitlines()
    assert re.fullmatch(
        r"digits: \d\d\.\d\d% right \(95%: .*\) on 297 pictures that it was not trained on", accuracy
    )
    assert path == str(classifiers.cache_path("digits"))
    assert "step 60/60 (100%)" in out
    rawgan.train("mlp", hidden=4, out=tmp_path / "run", **QUICK)
    status, out, err = rawgan_says("evaluate", "run", "-n", 20, "--device", "cpu", "--json", "out.json")
    assert (status, err) == (0, "")
    assert "mlp on digits after 2 steps, 20 samples" in out
    assert json.loads((tmp_path / "out.json").read_text())["samples"] == 20


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("evaluate", 2, "requires an argument"),
        ("evaluate nowhere -n 3", 2, "n is a whole number ≥ 8"),
        ("evaluate nowhere", 1, "there is no such file"),
        ("evaluate .", 1, "not the folder of a run"),
        ("train-classifier", 2, "requires an argument"),
        ("train-classifier cifar10", 2, "no classifier for 'cifar10'"),
        ("train-classifier digits --epochs 0", 2, "epochs is a whole number ≥ 1"),
        ("train-classifier fashion_mnist --data-dir .", 1, "fashion_mnist: found no"),
    ],
)
def test_bad_commands_are_one_line(command, status, message, rawgan_says):
    code, out, err = rawgan_says(*command.split())
    assert (code, out) == (status, "")
    assert re.fullmatch(rf"rawgan: .*{message}.*\n", err), err


def test_the_help_names_every_classifier(rawgan_says):
    for command in ("evaluate", "train-classifier"):
        help_text = " ".join(rawgan_says(command, "--help")[1].replace("│", " ").split())
        assert ", ".join(metrics.CLASSIFIERS) in help_text.replace(" (bundled)", "")
