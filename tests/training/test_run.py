"""What is saved is what is loaded; what is no run is a CheckpointError."""

import contextlib
import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_runs import TINY

import rawgan
from rawgan import nn, recipes
from rawgan.training import checkpoint, pictures

TINY = TINY | {"mixture": {"hidden": 4, "learning_rate": {"generator": 1e-3, "discriminator": 2e-3}}}
QUICK = {"steps": 3, "batch_size": 8, "noise": 4, "device": "cpu", "progress": False}


class Shift(nn.Module):
    """A layer that rawgan does not know."""

    def __init__(self):
        super().__init__()
        self.by = rawgan.tensor([0.5], requires_grad=True)

    def forward(self, x):
        return x + self.by


def own_networks(width=3):
    G = nn.Sequential(nn.Dense(4, width), Shift(), nn.Dense(width, 2))
    return {"generator": G, "discriminator": nn.Sequential(nn.Dense(2, 1))}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run of each recipe, and one of networks of one's own: name -> (run, its directory)."""
    made = {}
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        for slow in ("plot_history", "points_figure"):
            patch.setattr(pictures, slow, lambda *arguments: None)
        for name in recipes.names():
            made[name] = rawgan.train(name, out=folder / name, **QUICK, **TINY[name]), folder / name
        points = np.random.default_rng(0).normal(size=(50, 2))
        out = folder / "custom"
        made["custom"] = rawgan.train(**own_networks(), data=points, out=out, **QUICK), out
    return made


def tree(folder):
    """What a folder holds: path -> digest and time of the last change."""
    return {
        str(path.relative_to(folder)): (
            path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in [folder, *folder.rglob("*")]
    }


def assert_same(a, b):
    assert a.steps == b.steps
    assert a.config == b.config
    assert list(a.history) == list(b.history) == list(a.trainer.recipe.columns())
    for name, values in a.history.items():
        assert values.dtype == b.history[name].dtype
        assert values.tobytes() == b.history[name].tobytes()
    assert a.sample(7, seed=5).tobytes() == b.sample(7, seed=5).tobytes()
    old, new = a.trainer.state(), b.trainer.state()
    assert {k: v.tobytes() for k, v in old[0].items()} == {k: v.tobytes() for k, v in new[0].items()}
    assert old[1] == new[1]


@pytest.mark.parametrize("name", recipes.names())
def test_a_directory_is_loaded_as_it_was_and_left_so(name, runs):
    run, out = runs[name]
    before = tree(out)
    loaded = rawgan.load(out, device="cpu")
    assert loaded.path == out
    assert_same(run, loaded)
    assert_same(run, rawgan.load(str(out), device="cpu"))
    assert tree(out) == before


@pytest.mark.parametrize("name", recipes.names())
def test_a_file_is_loaded_as_it_was_saved(name, runs, tmp_path):
    run, _ = runs[name]
    run.save(tmp_path / "one.safetensors")
    loaded = rawgan.load(tmp_path / "one.safetensors", device="cpu")
    assert loaded.path is None
    assert_same(run, loaded)
    loaded.save(tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["one.safetensors", "two.safetensors"]


def test_a_run_of_memory_alone_is_saved_too(tmp_path):
    run = rawgan.train("mixture", **QUICK, **TINY["mixture"])
    run.save(tmp_path / "run")
    assert_same(run, rawgan.load(tmp_path / "run", device="cpu"))


def test_a_half_trained_run_is_loaded_while_it_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "points_figure", lambda *arguments: None)
    monkeypatch.setattr(pictures, "plot_history", lambda *arguments: None)
    seen = []

    def look(run, row):
        seen.append(rawgan.load(tmp_path / "run", device="cpu").steps)
        run.save(tmp_path / f"{row['step']}")

    rawgan.train("mixture", out=tmp_path / "run", checkpoint_every=1, callbacks=[look], **QUICK)
    assert seen == [0, 1, 2]
    assert rawgan.load(tmp_path / "2", device="cpu").steps == 2


def test_networks_of_ones_own_are_given_again(runs, tmp_path):
    run, out = runs["custom"]
    run.save(tmp_path / "file")
    for path in (out, tmp_path / "file"):
        with pytest.raises(rawgan.CheckpointError, match=r"test_run\.Shift.*give it as generator="):
            rawgan.load(path, device="cpu")
        networks = own_networks()
        loaded = rawgan.load(path, generator=networks["generator"], device="cpu")  # D's layers are rawgan's
        assert loaded.generator is networks["generator"]
        assert_same(run, loaded)
        assert_same(run, rawgan.load(path, **own_networks(), device="cpu"))
        with pytest.raises(rawgan.CheckpointError, match=r"does not fit.*0.weight has shape"):
            rawgan.load(path, **own_networks(width=5), device="cpu")
        with pytest.raises(rawgan.CheckpointError, match=r"does not fit.*unknown: 1\.by"):
            rawgan.load(path, generator=nn.Sequential(nn.Dense(4, 2)), device="cpu")
        with pytest.raises(rawgan.ConfigError, match="generator= takes a network"):
            rawgan.load(path, generator=nn.Sequential, device="cpu")


def test_loading_leaves_the_callers_random_stream_alone(runs):
    rawgan.manual_seed(9)
    expected = rawgan.rng.current().normal(3)
    rawgan.manual_seed(9)
    rawgan.load(runs["mlp"][1], device="cpu")
    assert rawgan.rng.current().normal(3).tobytes() == expected.tobytes()


def test_a_device_that_is_not_there_is_no_fault_of_the_file(runs):
    with pytest.raises(rawgan.DeviceError, match="there is no device 'gpu'"):
        rawgan.load(runs["mlp"][1], device="gpu")


def test_a_run_says_what_it_is(runs):
    run, out = runs["mlp"]
    assert repr(run) == f"<Run mlp on digits, 3 steps, path={str(out)!r}>"


def test_what_cannot_be_written_is_a_checkpoint_error(runs, tmp_path):
    for path in (tmp_path, tmp_path / "no" / "folder"):
        with pytest.raises(rawgan.CheckpointError, match="cannot be written"):
            runs["mlp"][0].save(path)
    assert os.listdir(tmp_path) == []


def test_what_is_no_run_is_a_checkpoint_error(runs, tmp_path):
    _, out = runs["mlp"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello")
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    checkpoint.save(tmp_path / "plain", {"a": np.zeros(3)}, {"step": 1})
    checkpoint.save(tmp_path / "null", {}, {"step": 1, "config": None})
    checkpoint.save(tmp_path / "list", {}, {"step": 1, "config": [1]})
    expected = {
        tmp_path / "missing": "there is no such file",
        tmp_path / "empty": "not the folder of a run",
        tmp_path / "text": "cut short or not a",
        tmp_path / "arrays.npz": "PyTorch or pickle|not a",
        tmp_path / "plain": "without its configuration; give the run directory",
        tmp_path / "null": "configuration is an object, got None",
        tmp_path / "list": r"configuration is an object, got \[1\]",
        out / "history.csv": "cut short or not a",
        out / "checkpoints": "not the folder of a run",
        out / "checkpoints" / "step-00000003.safetensors": "give the run directory that it is from",
    }
    for path, message in expected.items():
        with pytest.raises(rawgan.CheckpointError, match=message):
            rawgan.load(path, device="cpu")


def copied(out, folder):
    shutil.copytree(out, folder)
    return folder


def test_a_run_before_its_first_checkpoint(runs, tmp_path):
    out = copied(runs["mlp"][1], tmp_path / "run")
    shutil.rmtree(out / "checkpoints")
    with pytest.raises(rawgan.CheckpointError, match="no checkpoint yet"):
        rawgan.load(out, device="cpu")


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(runs, tmp_path):
    out = copied(runs["mlp"][1], tmp_path / "run")
    newest = out / "checkpoints" / "step-00000003.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    before = tree(out)
    with pytest.warns(RuntimeWarning, match="going on from step 2") as seen:
        loaded = rawgan.load(out, device="cpu")
    assert [w.filename for w in seen] == [__file__]
    assert loaded.steps == 2
    assert loaded.history["step"].tolist() == [1, 2]
    assert tree(out) == before


def test_a_missing_history_is_a_checkpoint_error(runs, tmp_path):
    out = copied(runs["mlp"][1], tmp_path / "run")
    (out / "history.csv").unlink()
    with pytest.raises(rawgan.CheckpointError, match=r"history\.csv"):
        rawgan.load(out, device="cpu")


GONE = object()
BY_HAND = [  # of a run of mlp: what is edited, to what, and what is said of it
    ("seed", -1, r"seed takes a whole number in \[0, 2\*\*64\), got -1"),
    ("seed", 2**64, "seed takes .*, got 18446744073709551616"),
    ("seed", GONE, "seed is missing"),
    ("recipe", "mpl", "recipe takes one of mlp, .*, got 'mpl'"),
    ("recipe", "custom", "a run of 'custom' has no 'settings.hidden'"),
    ("settings", [], r"settings takes an object, got \[\]"),
    ("settings.hidden", "x", "settings: mlp: hidden is a whole number ≥ 1, got 'x'"),
    ("settings.hidden", GONE, "settings.hidden is missing"),
    ("settings.hiden", 4, "a run of 'mlp' has no 'settings.hiden'"),
    ("data", {}, "data.name is missing"),
    ("data.shape", ["a"], r"data.shape takes a list of sizes, got \['a'\]"),
    ("data.shape", "x", "data.shape takes a list of sizes, got 'x'"),
    ("data.name", GONE, "data.name is missing"),
    ("data.path", "x", "a run of 'mlp' has no 'data.path'"),
    ("networks", [], r"networks takes an object, got \[\]"),
    ("networks.generator", GONE, "networks.generator is missing"),
    ("networks.encoder", {}, "a run of 'mlp' has no 'networks.encoder'"),
    ("steps", "a", "steps takes a whole number from 1 on, or null, got 'a'"),
    ("epochs", 0, "epochs takes a whole number from 1 on, or null, got 0"),
    ("checkpoint_every", "a", "checkpoint_every takes a whole number from 1 on, got 'a'"),
    ("steps", GONE, "steps is missing"),
    ("steps", None, "one of epochs and steps takes a number, the other null, got None and None"),
    ("epochs", 2, "one of epochs and steps takes a number, the other null, got 2 and 3"),
    ("sample_every", 0, "sample_every takes a whole number from 1 on, got 0"),
    ("note", "mine", "a run of 'mlp' has no 'note'; remove it"),
]


@pytest.mark.parametrize(("key", "value", "message"), BY_HAND)
def test_a_config_changed_by_hand_is_refused_alike_by_load_and_resume(key, value, message, runs, tmp_path):
    out = copied(runs["mlp"][1], tmp_path / "run")
    config = json.loads((out / "config.json").read_text())
    *way, last = key.split(".")
    inner = config[way[0]] if way else config
    if value is GONE:
        del inner[last]
    else:
        inner[last] = value
    (out / "config.json").write_text(json.dumps(config))
    with pytest.raises(rawgan.CheckpointError, match=rf"run/config\.json: {message}") as loading:
        rawgan.load(out, device="cpu")
    with pytest.raises(rawgan.CheckpointError) as resuming:
        rawgan.train(out=out, resume=True, device="cpu", progress=False)
    assert str(resuming.value) == str(loading.value)


def test_a_description_changed_by_hand_is_named(runs, tmp_path):
    out = copied(runs["mlp"][1], tmp_path / "run")
    text = (out / "config.json").read_text()
    (out / "config.json").write_text(text.replace("Flatten", "Flaten"))
    with pytest.raises(rawgan.CheckpointError, match=r"config\.json: networks\.discriminator: .* 'Flaten'"):
        rawgan.load(out, device="cpu")


def places(value, path=()):
    """Every place inside a JSON document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_a_config_changed_by_hand_loads_or_is_a_checkpoint_error(draw, runs):
    """Anything at any place of the configuration: nothing but CheckpointError comes out."""
    _, out = runs["mixture"]
    path = out / "config.json"
    whole = path.read_text()
    config = json.loads(whole)
    *way, last = draw.draw(st.sampled_from([p for p in places(config) if p]))
    inner = config
    for key in way:
        inner = inner[key]
    junk = st.none() | st.booleans() | st.integers(-3, 40) | st.floats() | st.text(max_size=3)
    junk |= st.lists(st.integers(-2, 9), max_size=3) | st.dictionaries(st.text(max_size=3), st.integers())
    if draw.draw(st.booleans()):
        del inner[last]
    else:
        inner[last] = draw.draw(junk)
    try:
        path.write_text(json.dumps(config))
        with contextlib.suppress(rawgan.CheckpointError):
            rawgan.load(out, device="cpu")
    finally:
        path.write_text(whole)
