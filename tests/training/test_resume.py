"""A run that is stopped, killed, damaged or refused its disk goes on as if nothing had been."""

import contextlib
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import rawgan
from rawgan import nn, recipes
from rawgan.cli import main
from rawgan.training import checkpoint, pictures

HERE = Path(__file__).parent
SLOW = ("plot_history", "points_figure", "save_animation")
TINY = {
    "mlp": {"hidden": 4, "data": "digits"},
    "mixture": {"hidden": 4},
    "dcgan_mnist": {"data": "digits", "width": 2},  # with batch norm and dropout
    "dcgan_cifar10": {"data": "digits", "width": 2},
}
QUICK = {"batch_size": 8, "noise": 4, "seed": 3, "device": "cpu", "progress": False}


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """Matplotlib takes half a second a figure, and is not the subject here."""
    for slow in SLOW:
        monkeypatch.setattr(pictures, slow, lambda *arguments: None)


def quick(recipe, out, steps, **more):
    return rawgan.train(recipe, out=out, steps=steps, **(QUICK | TINY[recipe] | more))


def stop_at(*steps):
    return [lambda run, row: row["step"] in steps]


def outcome(out):
    """The last checkpoint and the history, bit for bit."""
    newest = max((out / "checkpoints").glob("step-*"))
    arrays, meta = checkpoint.load(newest)
    bits = {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}
    return newest.name, bits, meta, (out / "history.csv").read_bytes()


def tree(folder):
    """What a folder holds: path -> digest."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


# Stopped ------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", recipes.names())
def test_stopped_and_resumed_is_never_stopped(recipe, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    quick(recipe, whole, 7)
    first = quick(recipe, parts, 7, callbacks=stop_at(1, 4))
    assert (first.steps, first.stopped) == (1, "callback")
    second = rawgan.train(out=parts, resume=True, device="cpu", progress=False, callbacks=stop_at(1, 4))
    assert second.steps == 4
    assert second.history["step"].tolist() == [1, 2, 3, 4]
    last = rawgan.train(out=parts, resume=True, device="cpu", progress=False)
    assert (last.steps, last.stopped) == (7, None)
    assert outcome(parts) == outcome(whole)
    assert (parts / "config.json").read_bytes() == (whole / "config.json").read_bytes()


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adagrad"])
def test_every_optimiser_resumes(optimizer, tmp_path):
    quick("mixture", tmp_path / "whole", 6, optimizer=optimizer, d_steps=2)
    quick("mixture", tmp_path / "parts", 6, optimizer=optimizer, d_steps=2, callbacks=stop_at(2))
    rawgan.train(out=tmp_path / "parts", resume=True, device="cpu", progress=False)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_own_networks_resume(tmp_path):
    points = np.random.default_rng(0).normal(size=(50, 2))

    def go(out, **more):
        G, D = nn.Sequential(nn.Dense(4, 2)), nn.Sequential(nn.SpectralNorm(nn.Dense(2, 1)))
        return rawgan.train(generator=G, discriminator=D, data=points, steps=6, out=out, **QUICK, **more)

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
    quick("mlp", out, 4)
    before = tree(out)
    run = rawgan.train(out=out, resume=True, device="cpu", progress=False, callbacks=[pytest.fail])
    assert run.steps == 4
    assert len(run.history["step"]) == 4
    assert {name: digest for name, digest in tree(out).items() if name != ".lock"} == {
        name: digest for name, digest in before.items() if name != ".lock"
    }


def test_a_longer_run_is_the_same_run(tmp_path):
    quick("mixture", tmp_path / "whole", 9, checkpoint_every=2)
    quick("mixture", tmp_path / "parts", 4, checkpoint_every=3, sample_every=2)
    quick("mixture", tmp_path / "parts", 9, checkpoint_every=2, sample_every=4, resume=True)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    config = rawgan.load(tmp_path / "parts", device="cpu").config
    assert (config["steps"], config["checkpoint_every"], config["sample_every"]) == (9, 2, 4)


def test_steps_may_become_epochs(tmp_path):
    quick("mlp", tmp_path / "run", 2, batch_size=800)
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
    assert quick("mixture", out, 3, resume=True).steps == 3
    quick("mixture", tmp_path / "other", 3)
    assert outcome(out) == outcome(tmp_path / "other")
    with pytest.raises(rawgan.ConfigError, match="give a recipe"):
        rawgan.train(out=tmp_path / "third", resume=True)
    assert not (tmp_path / "third").exists()


# Refused ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mlp_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "mlp"
    with pytest.MonkeyPatch.context() as patch:
        for slow in SLOW:
            patch.setattr(pictures, slow, lambda *arguments: None)
        quick("mlp", out, 2)
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
        ({"seed": 4}, r"seed was 3, now 4"),
        (
            {"data": np.zeros((9, 8, 8))},
            r'data.fingerprint was "\w+", now "\w+"; data.name was "digits", now',
        ),
        ({"hidden": 5}, r"networks.generator.args was .*, now .*; settings.hidden was 4, now 5"),
        ({"recipe": "mixture"}, r"changed recipe: it was 'mlp', now 'mixture'"),
        ({"noise": 5, "seed": 5}, r"seed was 3, now 5; settings.noise was 4, now 5"),
    ],
)
def test_resuming_with_something_changed_is_refused_by_name(changed, message, mlp_run):
    before = tree(mlp_run)
    with pytest.raises(rawgan.ConfigError, match=message):
        rawgan.train(**({"recipe": "mlp"} | QUICK | changed), out=mlp_run, steps=4, resume=True)
    assert tree(mlp_run) == before


def test_resuming_with_the_same_again_is_fine(mlp_run):
    again = QUICK | TINY["mlp"] | {"betas": [0.5, 0.999], "learning_rate": np.float64(2e-4)}
    assert rawgan.train("mlp", out=mlp_run, steps=2, resume=True, **again).steps == 2


def test_other_networks_of_ones_own_are_refused(tmp_path):
    points = np.random.default_rng(0).normal(size=(50, 2))

    def go(width, **more):
        G, D = nn.Sequential(nn.Dense(4, 2)), nn.Sequential(nn.Dense(2, width), nn.Dense(width, 1))
        rawgan.train(
            generator=G, discriminator=D, data=points, steps=2, out=tmp_path / "run", **QUICK, **more
        )

    go(3)
    with pytest.raises(rawgan.ConfigError, match=r"networks.discriminator.args was .*2, 3.*, now .*2, 4"):
        go(4, resume=True)


def test_a_run_that_is_there_is_not_trained_over(mlp_run, tmp_path):
    before = tree(mlp_run)
    with pytest.raises(rawgan.CheckpointError, match="already holds a run; pass resume=True"):
        quick("mlp", mlp_run, 2)
    assert tree(mlp_run) == before
    (tmp_path / "letter").write_text("mine")
    for resume in (False, True):
        with pytest.raises(rawgan.CheckpointError, match=r"not empty \(it holds 'letter'\)"):
            quick("mlp", tmp_path, 2, resume=resume)
    assert os.listdir(tmp_path) == ["letter"]
    with pytest.raises(rawgan.CheckpointError, match="letter"):
        quick("mlp", tmp_path / "letter", 2)


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

    run = quick("mixture", out, 3, callbacks=[elsewhere])
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


# Damaged ------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_a_damaged_checkpoint_is_passed_over(damage, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "run"
    quick("dcgan_mnist", whole, 6, checkpoint_every=2)
    quick("dcgan_mnist", out, 6, checkpoint_every=2, callbacks=stop_at(5))
    newest = out / "checkpoints" / "step-00000005.safetensors"
    content = bytearray(newest.read_bytes())
    if damage == "flipped":
        content[-100] ^= 1
    newest.write_bytes({"cut": content[:-9], "flipped": content, "emptied": b""}[damage])
    with pytest.warns(RuntimeWarning, match=r"step-00000005.safetensors.*going on from step 4"):
        rawgan.train(out=out, resume=True, device="cpu", progress=False)
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


# Killed -------------------------------------------------------------------------------------


STAGES = """
before mkdir
before mkdir /checkpoints
before open /.rawgan
half-way through write 1 to /.rawgan
before replace /.rawgan
before write 1 to /history.csv
half-way through write 1 to /history.csv
before fsync after opening /history.csv
before open /checkpoints/.rawgan
before write 1 to /checkpoints/.rawgan
half-way through write 1 to /checkpoints/.rawgan
before fsync after opening /checkpoints/.rawgan
before replace /checkpoints/.rawgan
before fsync after opening /checkpoints
before unlink /checkpoints/step-
before unlink /checkpoints/.rawgan
before replace /samples/.rawgan
"""
forks = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="what is killed are forks, and this system has none"
)


def kill_and_compare(how, folder):
    """How often it was killed, how often inside the writing of a checkpoint, and all that it said."""
    command = [sys.executable, HERE / "killed_trainer.py", folder, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    found = re.search(r"killed (\d+) times, (\d+) of them inside the writing of a checkpoint", done.stdout)
    return int(found[1]), int(found[2]), done.stdout


@forks
def test_killed_at_any_instant_of_the_writing_and_resumed_is_never_killed(tmp_path):
    kills, inside, said = kill_and_compare("instants", tmp_path)
    assert kills >= 80
    assert inside >= 40
    for stage in STAGES.strip().splitlines():
        assert f"\n{stage}" in f"\n{said}", stage


@forks
def test_killed_at_random_and_resumed_is_never_killed(tmp_path):
    kills, inside, _ = kill_and_compare("random", tmp_path)
    assert kills >= 50
    assert inside >= 1


def cli(*arguments, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "rawgan", "train", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def wait_for(condition, process):
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_process_of_the_command_line_may_be_killed_too(tmp_path):
    """As a user's process would be: all its threads, the fast kernels, its own start each time."""
    dice = random.Random(4)
    settings = {"hidden": 8, "batch_size": 8, "noise": 4, "checkpoint_every": 3, "sample_every": 1000}
    options = [f"--{key}={value}" for key, value in settings.items()]
    whole, out = tmp_path / "whole", tmp_path / "run"
    steps = 120
    for kill in range(3):
        process = cli("mlp", "--steps", steps, "--out", out, "--resume", "--quiet", *options)
        try:
            step = 30 * kill
            wait_for(
                lambda step=step: any(int(p.stem[5:]) >= step for p in out.glob("checkpoints/step-*")),
                process,
            )
            time.sleep(dice.uniform(0, 0.05))
        finally:
            process.kill()
        assert process.wait() == -signal.SIGKILL
        process.communicate()
    rawgan.train(out=out, resume=True, device="cpu", progress=False)
    rawgan.train("mlp", out=whole, steps=steps, device="cpu", progress=False, **settings)
    assert outcome(out) == outcome(whole)


# Asked to stop ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_exits(number, tmp_path):
    out = tmp_path / "run"
    options = ("--steps", 10**6, "--hidden", 4, "--batch-size", 8, "--checkpoint-every", 10**6)
    process = cli("mlp", *options, "--sample-every", 10**6, "--out", out, "--device", "cpu", "--quiet")
    wait_for(lambda: (out / "history.csv").exists() and (out / "history.csv").stat().st_size > 500, process)
    process.send_signal(number)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    step = int(re.search(r"stopped at step (\d+); go on with: rawgan train --resume --out", said)[1])
    assert errors == ""
    run = rawgan.load(out, device="cpu")
    assert run.steps == step
    assert run.history["step"].tolist() == list(range(1, step + 1))
    assert rawgan.train(out=out, resume=True, steps=step + 2, device="cpu", progress=False).steps == step + 2


def signals(times):
    def send(run, row):
        if row["step"] == 2:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    return send


def test_one_interrupt_stops_after_the_step(tmp_path, capsys):
    old = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    run = quick("mixture", tmp_path / "run", 9, callbacks=[signals(1)], checkpoint_every=9, progress=True)
    assert (run.steps, run.stopped) == (2, "interrupted")
    assert "go on with resume=True" in capsys.readouterr().out
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == old
    assert rawgan.load(tmp_path / "run", device="cpu").steps == 2
    quick("mixture", tmp_path / "whole", 9)
    rawgan.train(out=tmp_path / "run", resume=True, device="cpu", progress=False)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_two_interrupts_break_off(tmp_path):
    old = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        quick("mixture", tmp_path / "run", 9, callbacks=[signals(2)], checkpoint_every=1)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == old
    assert rawgan.load(tmp_path / "run", device="cpu").steps == 1
    quick("mixture", tmp_path / "whole", 9)
    rawgan.train(out=tmp_path / "run", resume=True, device="cpu", progress=False)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_without_a_directory_an_interrupt_returns_the_run():
    run = rawgan.train("mixture", steps=9, callbacks=[signals(1)], **QUICK, **TINY["mixture"])
    assert (run.steps, run.stopped) == (2, "interrupted")


def test_in_another_thread_signals_are_left_alone(tmp_path):
    old = signal.getsignal(signal.SIGINT)
    seen = []
    watch = [lambda run, row: seen.append(signal.getsignal(signal.SIGINT))]
    thread = threading.Thread(target=quick, args=("mixture", None, 2), kwargs={"callbacks": watch})
    thread.start()
    thread.join(60)
    assert seen == [old, old]


# A full disk --------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing(small_disk, tmp_path):
    out, filler = small_disk / "run", small_disk / "filler"

    def fill(run, row):
        if row["step"] == 5:
            run._rows.flush()
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))

    with pytest.raises(rawgan.CheckpointError, match="free some space"):
        quick("mixture", out, 9, checkpoint_every=2, sample_every=99, callbacks=[fill])
    run = rawgan.load(out, device="cpu")
    assert run.steps == 4
    assert run.history["step"].tolist() == [1, 2, 3, 4]
    with pytest.raises(rawgan.CheckpointError, match="free some space"):  # it is still full
        rawgan.train(out=out, resume=True, device="cpu", progress=False)
    assert rawgan.load(out, device="cpu").steps == 4
    filler.unlink()
    rawgan.train(out=out, resume=True, device="cpu", progress=False)
    quick("mixture", tmp_path / "whole", 9)
    assert outcome(out) == outcome(tmp_path / "whole")


def test_files_that_may_not_grow_lose_nothing(file_size_limit, tmp_path, monkeypatch, capsys):
    """The same for who may not mount a disk: the history reaches the limit, the checkpoints do not."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command line replaces it
    out = tmp_path / "run"
    quick("mixture", out, 100, checkpoint_every=50, callbacks=stop_at(50))
    size = (out / "history.csv").stat().st_size
    room = max(size + 500, max(p.stat().st_size for p in (out / "checkpoints").iterdir()) + 500)
    steps = room // 20
    with file_size_limit(room), pytest.raises(SystemExit) as end:
        main(["train", "--resume", "--quiet", f"--out={out}", f"--steps={steps}", "--device=cpu"])
    assert end.value.code == 1
    said, errors = capsys.readouterr()
    assert said == ""
    assert re.fullmatch(
        r"rawgan: .*history.csv: cannot be written \(File too large\); .*ulimit -f.*\n", errors
    )
    kept = rawgan.load(out, device="cpu").steps
    assert kept >= 50
    assert len((out / "history.csv").read_bytes().splitlines()) > kept
    rawgan.train(out=out, resume=True, steps=steps, device="cpu", progress=False)
    quick("mixture", tmp_path / "whole", steps)
    assert outcome(out) == outcome(tmp_path / "whole")
