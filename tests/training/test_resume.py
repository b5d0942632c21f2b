"""A run that is stopped or damaged goes on as if nothing had been; one that is changed does not."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tiny_runs import QUICK, TINY, outcome, quick, resume, skip_plots, stop_at, tree

import rawgan
from rawgan import nn, recipes
from rawgan.kernels.errors import CheckpointError


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    skip_plots(monkeypatch)


@pytest.mark.parametrize("recipe", recipes.names())
def test_stopped_and_resumed_is_never_stopped(recipe, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    quick(recipe, out=whole, steps=7)
    first = quick(recipe, out=parts, steps=7, callbacks=stop_at(1, 4))
    assert (first.steps, first.stopped) == (1, "callback")
    second = resume(parts, callbacks=stop_at(1, 4))
    assert second.steps == 4
    assert second.history["step"].tolist() == [1, 2, 3, 4]
    last = resume(parts)
    assert (last.steps, last.stopped) == (7, None)
    assert outcome(parts) == outcome(whole)
    assert (parts / "config.json").read_bytes() == (whole / "config.json").read_bytes()


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adagrad"])
def test_every_optimiser_resumes(optimizer, tmp_path):
    quick("mixture", out=tmp_path / "whole", steps=6, optimizer=optimizer, d_steps=2)
    quick("mixture", out=tmp_path / "parts", steps=6, optimizer=optimizer, d_steps=2, callbacks=stop_at(2))
    resume(tmp_path / "parts")
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_own_networks_resume(tmp_path):
    points = np.random.default_rng(0).normal(size=(50, 2))

    def go(out, **more):
        G, D = nn.Sequential(nn.Dense(4, 2)), nn.Sequential(nn.SpectralNorm(nn.Dense(2, 1)))
        return rawgan.train(
            generator=G, discriminator=D, data=points, out=out, **(QUICK | {"steps": 6} | more)
        )

    rawgan.manual_seed(0)
    go(tmp_path / "whole")
    rawgan.manual_seed(0)
    go(tmp_path / "parts", callbacks=stop_at(3))
    go(tmp_path / "parts", resume=True)  # its new networks have other values at first
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    for missing, message in (({"data": points}, "networks of your own"), ({}, "networks of your own")):
        with pytest.raises(rawgan.ConfigError, match=message):
            rawgan.train(out=tmp_path / "parts", resume=True, device="cpu", **missing)
    with pytest.raises(rawgan.ConfigError, match="data of your own"):
        rawgan.train(
            generator=nn.Dense(4, 2), discriminator=nn.Dense(2, 1), out=tmp_path / "parts", resume=True
        )


def test_a_finished_run_stays_as_it_is(tmp_path):
    out = tmp_path / "run"
    quick("mlp", out=out, steps=4)
    before = tree(out)
    run = resume(out, callbacks=[pytest.fail])
    assert run.steps == 4
    assert len(run.history["step"]) == 4
    assert {name: digest for name, digest in tree(out).items() if name != ".lock"} == {
        name: digest for name, digest in before.items() if name != ".lock"
    }


def test_a_longer_run_is_the_same_run(tmp_path):
    quick("mixture", out=tmp_path / "whole", steps=9, checkpoint_every=2)
    quick("mixture", out=tmp_path / "parts", steps=4, checkpoint_every=3, sample_every=2)
    quick("mixture", out=tmp_path / "parts", steps=9, checkpoint_every=2, sample_every=4, resume=True)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    config = rawgan.load(tmp_path / "parts", device="cpu").config
    assert (config["steps"], config["checkpoint_every"], config["sample_every"]) == (9, 2, 4)


def test_steps_may_become_epochs(tmp_path):
    quick("mlp", out=tmp_path / "run", steps=2, batch_size=800)
    more = {"resume": True, "device": "cpu", "progress": False, "out": tmp_path / "run"}
    assert rawgan.train(epochs=2, **more).steps == 4
    assert rawgan.train(**more).steps == 4


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "a lock alone"])
def test_resuming_where_no_run_has_begun_starts_one(there, tmp_path):
    out = tmp_path / "run"
    if there != "nothing":
        out.mkdir()
    if there == "a lock alone":
        (out / ".lock").write_text("process 1 on nowhere")
    assert quick("mixture", out=out, steps=3, resume=True).steps == 3
    quick("mixture", out=tmp_path / "other", steps=3)
    assert outcome(out) == outcome(tmp_path / "other")
    with pytest.raises(rawgan.ConfigError, match="give a recipe"):
        rawgan.train(out=tmp_path / "third", resume=True)
    assert not (tmp_path / "third").exists()


@pytest.fixture(scope="module")
def mlp_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "mlp"
    with pytest.MonkeyPatch.context() as patch:
        skip_plots(patch)
        quick("mlp", out=out, steps=2)
    return out


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"learning_rate": 1e-3}, r"settings.learning_rate was 0.0002, now 0.001"),
        ({"learning_rate": {"generator": 1e-4, "discriminator": 2e-4}}, r"learning_rate was 0.0002, now"),
        ({"batch_size": 9}, r"settings.batch_size was 8, now 9"),
        ({"betas": (0.9, 0.999)}, r"settings.betas was \[0.5, 0.999\], now \[0.9, 0.999\]"),
        ({"optimizer": "sgd"}, r'settings.optimizer was "adam", now "sgd"'),
        ({"objective": "non_saturating"}, r'settings.objective was "saturating", now "non_saturating"'),
        ({"d_steps": 2}, r"settings.d_steps was 1, now 2"),
        ({"clip_norm": 1.0}, r"settings.clip_norm was null, now 1.0"),
        ({"clip_norm_each": {"generator": 2.0}}, r"settings.clip_norm_each.generator was 1.0, now 2.0"),
        ({"seed": 4}, r"seed was 0, now 4"),
        (
            {"data": np.zeros((9, 8, 8))},
            r'data.fingerprint was "\w+", now "\w+"; data.name was "digits", now',
        ),
        ({"hidden": 5}, r"settings: settings.hidden was 4, now 5;"),
        ({"recipe": "mixture"}, r"changed recipe: it was 'mlp', now 'mixture'"),
        ({"noise": 5, "seed": 5}, r"seed was 0, now 5; settings.noise was 4, now 5"),
    ],
)
def test_resuming_with_something_changed_is_refused_by_name(changed, message, mlp_run):
    before = tree(mlp_run)
    with pytest.raises(rawgan.ConfigError, match=message):
        rawgan.train(**({"recipe": "mlp"} | QUICK | {"steps": 4} | changed), out=mlp_run, resume=True)
    assert tree(mlp_run) == before


def test_resuming_with_the_same_again_is_fine(mlp_run):
    again = QUICK | TINY["mlp"] | {"betas": [0.5, 0.999], "learning_rate": np.float64(2e-4)}
    assert rawgan.train("mlp", out=mlp_run, resume=True, **(again | {"steps": 2})).steps == 2


def test_other_networks_of_ones_own_are_refused(tmp_path):
    points = np.random.default_rng(0).normal(size=(50, 2))

    def go(width, **more):
        G, D = nn.Sequential(nn.Dense(4, 2)), nn.Sequential(nn.Dense(2, width), nn.Dense(width, 1))
        rawgan.train(generator=G, discriminator=D, data=points, out=tmp_path / "run", **QUICK, **more)

    go(3)
    with pytest.raises(rawgan.ConfigError, match=r"networks.discriminator.args was .*2, 3.*, now .*2, 4"):
        go(4, resume=True)


def test_a_run_that_is_there_is_not_trained_over(mlp_run, tmp_path):
    before = tree(mlp_run)
    with pytest.raises(rawgan.CheckpointError, match="already holds a run; pass resume=True"):
        quick("mlp", out=mlp_run, steps=2)
    assert tree(mlp_run) == before
    (tmp_path / "letter").write_text("mine")
    for again in (False, True):
        with pytest.raises(rawgan.CheckpointError, match=r"not empty \(it holds 'letter'\)"):
            quick("mlp", out=tmp_path, steps=2, resume=again)
    assert os.listdir(tmp_path) == ["letter"]
    with pytest.raises(rawgan.CheckpointError, match="letter"):
        quick("mlp", out=tmp_path / "letter", steps=2)


def test_one_run_is_trained_by_one_process(tmp_path):
    out = tmp_path / "run"
    also = (
        f"import rawgan; rawgan.train(out={str(out)!r}, resume=True, device='cpu', progress=False)",
        f"import rawgan; rawgan.train('mlp', out={str(out)!r}, steps=1, device='cpu', progress=False)",
    )
    said = []

    def elsewhere(run, row):
        for code in also if row["step"] == 1 else ():
            said.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True))

    run = quick("mixture", out=out, steps=3, callbacks=[elsewhere])
    assert run.steps == 3
    assert f"CheckpointError: {out} is being trained into by process {os.getpid()}" in said[0].stderr
    assert "CheckpointError" in said[1].stderr
    assert [done.returncode for done in said] == [1, 1]


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "{",
        '{"recipe": "mlp"}',
        '{"recipe": 1, "settings": {}, "data": {}, "networks": {}, "seed": 0}',
    ],
)
def test_a_config_that_is_no_runs_is_a_checkpoint_error(text, mlp_run, tmp_path):
    shutil.copytree(mlp_run, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(text)
    with pytest.raises(rawgan.CheckpointError, match="restore it"):
        rawgan.train(out=tmp_path / "run", resume=True)


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_a_damaged_checkpoint_is_passed_over(damage, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "run"
    quick("dcgan_mnist", out=whole, steps=6, checkpoint_every=2)
    quick("dcgan_mnist", out=out, steps=6, checkpoint_every=2, callbacks=stop_at(5))
    newest = out / "checkpoints" / "step-00000005.safetensors"
    content = bytearray(newest.read_bytes())
    if damage == "flipped":
        content[-100] ^= 1
    newest.write_bytes({"cut": content[:-9], "flipped": content, "emptied": b""}[damage])
    with pytest.warns(RuntimeWarning, match=r"step-00000005.safetensors.*going on from step 4"):
        resume(out)
    assert outcome(out) == outcome(whole)


def test_where_every_checkpoint_is_damaged_nothing_is_changed(mlp_run, tmp_path):
    shutil.copytree(mlp_run, tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:99])
    before = tree(tmp_path / "run")
    with pytest.raises(rawgan.CheckpointError, match="no checkpoint is whole"):
        rawgan.train(out=tmp_path / "run", resume=True, device="cpu")
    after = tree(tmp_path / "run")
    assert {**after, ".lock": ""} == {**before, ".lock": ""}  # the lock says who looked last


def test_a_history_without_checkpoints_is_not_overwritten(tmp_path):
    out = tmp_path / "run"
    quick("mixture", out=out, steps=3)
    for path in (out / "checkpoints").iterdir():
        path.unlink()
    before = (out / "history.csv").read_bytes()
    with pytest.raises(CheckpointError, match="has a history but no checkpoint"):
        resume(out, steps=5)
    assert (out / "history.csv").read_bytes() == before
