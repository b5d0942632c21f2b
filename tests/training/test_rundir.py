"""Run directories: one writer, nothing overwritten, the newest whole checkpoint, no setting changed."""

import errno
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawgan.kernels.errors import CheckpointError, ConfigError
from rawgan.training.files import PREFIX
from rawgan.training.rundir import RunDirectory, compare_config

CONFIG = {"recipe": "mlp", "learning_rate": 2e-4, "betas": (0.5, 0.999), "generator": {"clip_norm": 1.0}}


def state(step):
    return {"w": np.full(8, step, np.float32)}


@pytest.fixture
def run(tmp_path):
    with RunDirectory.create(tmp_path / "runs" / "first", CONFIG) as run:
        yield run


def save(run, *steps, **keep):
    for step in steps:
        run.save_checkpoint(step, state(step), {"epoch": step // 100}, **keep)


def damage(run, step):
    path = run.checkpoint_paths()[step]
    path.write_bytes(path.read_bytes()[:-3])


def test_configuration_is_there_sorted_and_readable(run):
    text = (run.path / "config.json").read_text()
    assert list(json.loads(text)) == sorted(CONFIG)
    assert len(text.splitlines()) > len(CONFIG)
    assert run.config == RunDirectory.open(run.path).config == {**CONFIG, "betas": [0.5, 0.999]}


def test_a_folder_with_something_in_it_is_refused_and_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"is not empty \(it holds 'thesis.tex'\).*another `out`"):
        RunDirectory.create(tmp_path, CONFIG)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_run_that_exists_is_refused_with_the_way_on(run):
    run.close()
    with pytest.raises(CheckpointError, match=r"already holds a run; pass resume=True.*another `out`"):
        RunDirectory.create(run.path, CONFIG)


def test_a_run_killed_before_its_configuration_starts_afresh(tmp_path):
    (tmp_path / ".lock").write_text("process 1 on elsewhere")
    (tmp_path / f"{PREFIX}123").write_bytes(b"half a config")
    assert not RunDirectory.exists(tmp_path)
    with RunDirectory.create(tmp_path, CONFIG) as run:
        assert sorted(os.listdir(run.path)) == [".lock", "config.json"]


def test_a_configuration_that_is_not_json_leaves_no_folder(tmp_path):
    with pytest.raises(ConfigError, match="not JSON"):
        RunDirectory.create(tmp_path / "new", {"data": np.zeros(3)})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("where", ["file", "file/inside"])
def test_a_file_where_the_folder_should_be(tmp_path, where):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        RunDirectory.create(tmp_path / where, CONFIG)
    with pytest.raises(CheckpointError, match="is not a folder"):
        RunDirectory.open(tmp_path / where)


def test_a_read_only_disk(read_only_disk):
    with pytest.raises(CheckpointError, match="read-only"):
        RunDirectory.create(read_only_disk() / "run", CONFIG)


def test_what_is_not_a_run(tmp_path):
    with pytest.raises(CheckpointError, match="is not the folder of a run"):
        RunDirectory.open(tmp_path)
    for text in ["", "{", "[1]", "[" * 99_999, "\udcff"]:
        (tmp_path / "config.json").write_text(text, errors="surrogateescape")
        with pytest.raises(CheckpointError, match=r"config\.json: cannot be read"):
            RunDirectory.open(tmp_path)


def test_checkpoints_come_back_and_the_newest_are_kept(run):
    assert run.latest_checkpoint() is None
    save(run, 100, 200, 300, 400, 500)
    assert list(run.checkpoint_paths()) == [300, 400, 500]
    step, arrays, meta = run.latest_checkpoint()
    assert (step, meta) == (500, {"epoch": 5, "step": 500})
    np.testing.assert_array_equal(arrays["w"], state(500)["w"], strict=True)
    save(run, 600, keep=1)
    assert list(run.checkpoint_paths()) == [600]


def test_at_or_before(run):
    save(run, 100, 200, 300)
    found = {step: run.checkpoint_at_or_before(step) for step in (99, 100, 250, 300, 999)}
    assert {step: at and at.step for step, at in found.items()} == {
        99: None,
        100: 100,
        250: 200,
        300: 300,
        999: 300,
    }


def test_a_damaged_newest_falls_back_and_says_so(run):
    save(run, 100, 200, 300)
    damage(run, 300)
    with pytest.warns(RuntimeWarning, match=r"step-00000300.*going on from step 200"):
        assert run.latest_checkpoint().step == 200
    save(run, 250)  # the damaged one is not counted among the three that are kept
    assert list(run.checkpoint_paths()) == [100, 200, 250, 300]


def test_no_whole_checkpoint_is_an_error_that_names_each(run):
    save(run, 100, 200)
    damage(run, 100)
    damage(run, 200)
    with pytest.raises(CheckpointError, match=r"no checkpoint is whole.*00000200.*00000100"):
        run.latest_checkpoint()


def test_a_renamed_checkpoint_is_not_trusted(run):
    save(run, 100, 200)
    path = run.checkpoint_paths()[200]
    path.rename(path.with_name("step-00000300.safetensors"))
    with pytest.warns(RuntimeWarning, match="holds step 200, not the one in its name"):
        assert run.latest_checkpoint().step == 100


def test_a_full_disk_loses_no_checkpoint(small_disk):
    with RunDirectory.create(small_disk / "run", CONFIG) as run:
        for step in (100, 200, 300):
            run.save_checkpoint(step, {"w": np.zeros(1000)}, {})
        before = {path: path.read_bytes() for path in run.checkpoint_paths().values()}
        with pytest.raises(CheckpointError, match="No space left"):
            run.save_checkpoint(400, {"w": np.zeros(50_000)}, {})
        assert {path: path.read_bytes() for path in run.checkpoint_paths().values()} == before
        assert run.latest_checkpoint().step == 300


def test_leftovers_of_a_killed_writer_are_cleared_by_the_next_writer_only(run):
    save(run, 100)
    run.close()
    leftover = run.path / "checkpoints" / f"{PREFIX}1-abc"
    leftover.write_bytes(b"half")
    RunDirectory.open(run.path)
    assert leftover.exists()  # its writer may be alive
    with RunDirectory.open(run.path, writing=True) as resumed:
        assert not leftover.exists()
        assert resumed.latest_checkpoint().step == 100


def test_only_who_writes_may_save(run):
    with pytest.raises(CheckpointError, match="writing=True"):
        save(RunDirectory.open(run.path), 100)


def test_two_writers_are_refused_and_readers_are_not(run):
    with pytest.raises(CheckpointError, match=rf"being trained into by process {os.getpid()} on \S+; wait"):
        RunDirectory.open(run.path, writing=True)
    RunDirectory.open(run.path)
    run.close()
    RunDirectory.open(run.path, writing=True).close()


HOLDER = """
import sys, time
from rawgan.training.rundir import RunDirectory
run = RunDirectory.open(sys.argv[1], writing=True)
print("held", flush=True)
time.sleep(60)
"""


def test_a_process_killed_with_the_lock_does_not_block_the_next(run):
    run.close()
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, run.path], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CheckpointError, match=f"by process {holder.pid} on"):
            RunDirectory.open(run.path, writing=True)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    RunDirectory.open(run.path, writing=True).close()


TRAINER = """
import os, random, signal, sys, time
import numpy as np
import safetensors.numpy  # here, or every child would spend most of its life on this import
from rawgan.training.rundir import RunDirectory

path, random = sys.argv[1], random.Random(5)

def train():
    if RunDirectory.exists(path):
        run = RunDirectory.open(path, writing=True)
    else:
        run = RunDirectory.create(path, {"a": 1})
    found = run.latest_checkpoint()
    step = found.step if found else 0
    assert not found or (found.arrays["w"] == step).all()
    while True:
        step += 1
        run.save_checkpoint(step, {"w": np.full(20_000, step)}, {})

def newest():
    found = RunDirectory.exists(path) and RunDirectory.open(path).latest_checkpoint()
    return found.step if found else 0

kills = 0
while kills < 60 or newest() < 60:
    kills += 1
    child = os.fork()
    if not child:
        import warnings
        warnings.simplefilter("error")
        try:
            train()
        finally:
            os._exit(1)  # anything but the kill is a failure
    time.sleep(random.uniform(0.001, 0.03))
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WTERMSIG(status) == signal.SIGKILL, status
"""


def test_killed_at_any_instant_the_next_goes_on(tmp_path):
    path = tmp_path / "run"
    done = subprocess.run([sys.executable, "-c", TRAINER, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    with RunDirectory.open(path, writing=True) as run:
        step = run.latest_checkpoint().step + 1
        run.save_checkpoint(step, {}, {})
        # Each one killed between a save and the clearing of the oldest left one too many, until now.
        assert list(run.checkpoint_paths()) == [step - 2, step - 1, step]


settings_ = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=3)
        | st.tuples(st.integers()),
        lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=3,
    ),
    max_size=4,
)


@given(settings_)
def test_a_configuration_equals_itself_after_json(config):
    compare_config(json.loads(json.dumps(config)), config)


@given(settings_, st.text(max_size=3), st.integers())
def test_any_change_is_named_unless_it_is_free(config, name, value):
    if json.dumps(config.get(name, "absent")) in (str(value), "true", "false", f"{value}.0"):
        value = "changed"
    changed = {**config, name: value}
    compare_config(config, changed, free={name})
    with pytest.raises(ConfigError) as caught:
        compare_config(config, changed)
    assert f"{name}" in str(caught.value)
    assert json.dumps(value) in str(caught.value)


def test_every_change_is_named_with_both_values():
    wanted = {
        "recipe": "mlp",
        "learning_rate": 1e-3,
        "betas": [0.5, 0.999],
        "generator": {"clip_norm": None},
        "new": 1,
    }
    with pytest.raises(ConfigError) as caught:
        compare_config(CONFIG, wanted)
    assert str(caught.value) == (
        "resuming with changed settings: generator.clip_norm was 1.0, now null; "
        "learning_rate was 0.0002, now 0.001; new was absent, now 1; "
        "leave them as they were, or start a new run in another `out`"
    )


def test_numbers_that_are_equal_are_no_change():
    compare_config({"learning_rate": 1}, {"learning_rate": 1.0})


def test_samples_and_plots_have_their_places(run):
    for step in (200, 100):
        run.sample_path(step).write_bytes(b"")
    assert list(run.sample_paths()) == [100, 200]
    assert run.sample_path(100).relative_to(run.path).as_posix() == "samples/step-00000100.png"
    assert run.plots_folder().is_dir()
    assert run.history_path.parent == run.path


def test_a_file_system_without_locks_is_said_on_the_line_that_opens(run, monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="no locks on this system")

    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    run.close()
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match=r"cannot be locked .*No locks available") as seen:
        RunDirectory.open(run.path, writing=True).close()
    assert [w.filename for w in seen] == [__file__]
