"""Killed, asked to stop, or refused its disk: a run loses nothing, and goes on bit for bit."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from tiny_runs import outcome, quick, resume, skip_plots, stop_at

import rawgan
from rawgan.cli import main

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    skip_plots(monkeypatch)


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
    resume(out)
    rawgan.train("mlp", out=whole, steps=steps, device="cpu", progress=False, **settings)
    assert outcome(out) == outcome(whole)


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
    run = quick(
        "mixture", out=tmp_path / "run", steps=9, callbacks=[signals(1)], checkpoint_every=9, progress=True
    )
    assert (run.steps, run.stopped) == (2, "interrupted")
    assert "go on with resume=True" in capsys.readouterr().out
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == old
    assert rawgan.load(tmp_path / "run", device="cpu").steps == 2
    quick("mixture", out=tmp_path / "whole", steps=9)
    resume(tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_two_interrupts_break_off(tmp_path):
    old = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        quick("mixture", out=tmp_path / "run", steps=9, callbacks=[signals(2)], checkpoint_every=1)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == old
    assert rawgan.load(tmp_path / "run", device="cpu").steps == 1
    quick("mixture", out=tmp_path / "whole", steps=9)
    resume(tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_an_ignored_interrupt_stays_ignored():
    """As in a background job, which Ctrl-C in the foreground is not meant for."""
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run = quick("mixture", steps=3, callbacks=[signals(1)])
    finally:
        signal.signal(signal.SIGINT, old)
    assert (run.steps, run.stopped) == (3, None)


def test_without_a_directory_an_interrupt_returns_the_run():
    run = quick("mixture", steps=9, callbacks=[signals(1)])
    assert (run.steps, run.stopped) == (2, "interrupted")


def test_in_another_thread_signals_are_left_alone(tmp_path):
    old = signal.getsignal(signal.SIGINT)
    seen = []
    watch = [lambda run, row: seen.append(signal.getsignal(signal.SIGINT))]
    thread = threading.Thread(target=quick, args=("mixture",), kwargs={"steps": 2, "callbacks": watch})
    thread.start()
    thread.join(60)
    assert seen == [old, old]


def test_a_full_disk_loses_nothing(small_disk, tmp_path):
    out, filler = small_disk / "run", small_disk / "filler"

    def fill(run, row):
        if row["step"] == 5:
            run._rows.flush()
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))

    with pytest.raises(rawgan.CheckpointError, match="free some space"):
        quick("mixture", out=out, steps=9, checkpoint_every=2, sample_every=99, callbacks=[fill])
    run = rawgan.load(out, device="cpu")
    assert run.steps == 4
    assert run.history["step"].tolist() == [1, 2, 3, 4]
    with pytest.raises(rawgan.CheckpointError, match="free some space"):  # it is still full
        resume(out)
    assert rawgan.load(out, device="cpu").steps == 4
    filler.unlink()
    resume(out)
    quick("mixture", out=tmp_path / "whole", steps=9)
    assert outcome(out) == outcome(tmp_path / "whole")


def test_files_that_may_not_grow_lose_nothing(file_size_limit, tmp_path, monkeypatch, capsys):
    """The same for who may not mount a disk: the history reaches the limit, the checkpoints do not."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command line replaces it
    out = tmp_path / "run"
    quick("mixture", out=out, steps=100, checkpoint_every=50, callbacks=stop_at(50))
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
    quick("mixture", out=tmp_path / "whole", steps=steps)
    assert outcome(out) == outcome(tmp_path / "whole")
