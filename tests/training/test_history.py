"""History: exact numbers in a file that NumPy and pandas read, and that kills and full disks leave whole."""

import itertools
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawgan.kernels.errors import CheckpointError, ConfigError
from rawgan.training import history
from rawgan.training.history import COLUMNS, History

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

AWKWARD = [0.1, -0.0, 1e-320, 1.7976931348623157e308, np.pi, np.inf, -np.inf, np.nan, float(np.float32(0.1))]


def row(step, value=0.0):
    return dict.fromkeys(COLUMNS, value) | {"step": step}


def filled(path, steps, columns=COLUMNS):
    """A closed file of so many steps; each number tells its step and column."""
    written = History.create(path, columns)
    for step in range(1, steps + 1):
        written.append({c: step if c == "step" else step + i / 10 for i, c in enumerate(columns)})
    written.close()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.csv"


def same_bits(got, want):
    return [struct.pack("<d", x) for x in got] == [struct.pack("<d", x) for x in want]


@same_folder
@given(values=st.lists(st.floats(allow_nan=False) | st.floats(width=32).map(np.float32), min_size=1))
def test_every_number_reads_back_exactly(path, values):
    written = History.create(path, ("step", "d_loss"))
    for step, value in enumerate(values, start=1):
        written.append({"step": step, "d_loss": value})
    written.close()
    for arrays in (
        written.as_arrays(),
        history.read(path),
        History.resume(path, len(values), ("step", "d_loss")).as_arrays(),
    ):
        np.testing.assert_array_equal(arrays["step"], np.arange(1, len(values) + 1), strict=True)
        np.testing.assert_array_equal(arrays["d_loss"], np.array(values, np.float64), strict=True)


def test_numpy_reads_it(path):
    written = History.create(path)
    for step, value in enumerate(AWKWARD, start=1):
        written.append(row(step, value))
    written.close()
    table = np.genfromtxt(path, delimiter=",", names=True)
    assert table.dtype.names == COLUMNS
    assert same_bits(table["g_grad_norm"], AWKWARD)


@pytest.mark.dev
def test_pandas_reads_it(path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    written = History.create(path)
    for step, value in enumerate(AWKWARD, start=1):
        written.append(row(step, value))
    written.close()
    table = pandas.read_csv(path)
    assert tuple(table.columns) == COLUMNS
    assert table["step"].dtype == np.int64
    np.testing.assert_allclose(table["d_real"], AWKWARD, rtol=1e-15)


def test_an_empty_history_is_read(path):
    History.create(path).close()
    arrays = history.read(path)
    assert tuple(arrays) == COLUMNS
    assert all(len(values) == 0 for values in arrays.values())
    assert arrays["step"].dtype == np.int64


def test_a_run_without_a_directory_keeps_its_history_in_memory(monkeypatch):
    monkeypatch.setattr(history, "FLUSH_ROWS", 2)
    kept = History.in_memory()
    for step in range(1, 6):
        kept.append(row(step, step / 3))
    kept.sync()
    kept.close()
    np.testing.assert_array_equal(kept.as_arrays()["d_loss"], np.arange(1, 6) / 3)


@pytest.mark.parametrize(
    "bad", [row(2), row(0), {"step": 1}, row(1) | {"extra": 1.0}, {c: 0.0 for c in COLUMNS if c != "step"}]
)
def test_a_row_that_does_not_fit_is_refused_and_leaves_nothing(path, bad):
    written = History.create(path)
    with pytest.raises((ConfigError, KeyError), match="next step is 1"):
        written.append(bad)
    assert len(written.as_arrays()["step"]) == 0


@pytest.mark.parametrize(
    "columns", [(), ("d_loss", "step"), ("step", "a", "a"), ("step", "a,b"), ("step", "a b")]
)
def test_columns_that_cannot_be_a_header_are_refused(path, columns):
    with pytest.raises(ConfigError, match="columns"):
        History.create(path, columns)
    assert not path.exists()


@same_folder
@given(steps=st.integers(0, 8), at=st.integers(0, 8), tail=st.binary(max_size=20))
def test_resuming_cuts_whatever_comes_after_the_step(path, steps, at, tail):
    whole = filled(path, steps)
    at = min(at, steps)
    path.write_bytes(whole + tail)
    resumed = History.resume(path, at)
    kept = b"".join(whole.splitlines(keepends=True)[: at + 1])
    assert path.read_bytes() == kept
    assert len(resumed.as_arrays()["d_loss"]) == at
    for step in range(at + 1, steps + 1):
        resumed.append({c: step if c == "step" else step + i / 10 for i, c in enumerate(COLUMNS)})
    resumed.close()
    assert path.read_bytes() == whole


@same_folder
@given(steps=st.integers(1, 6), data=st.data())
def test_a_torn_last_line_is_no_row(path, steps, data):
    whole = filled(path, steps)
    last = len(whole.splitlines(keepends=True)[-1])
    path.write_bytes(whole[: -data.draw(st.integers(1, last), label="torn off")])
    assert len(history.read(path)["step"]) == steps - 1
    with pytest.raises(CheckpointError, match=f"ends before step {steps}"):
        History.resume(path, steps)
    History.resume(path, steps - 1).close()
    assert path.read_bytes() == whole[:-last]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (b"\n2,", b"\n3,", 3),
        (b"\n2,", b"\n", 3),
        (b"2.1", b"2.x", 3),
        (b"\n3,", b"\n\n3,", 4),
        (b"1,", b"\0,", 2),
    ],
)
def test_damage_inside_is_named_by_its_line(path, old, new, line):
    path.write_bytes(filled(path, 4).replace(old, new, 1))
    with pytest.raises(CheckpointError, match=rf"history\.csv, line {line}"):
        History.resume(path, 4)
    with pytest.raises(CheckpointError, match=rf"history\.csv, line {line}"):
        history.read(path)


@same_folder
@given(content=st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: b"step,d_loss\n" + tail))
def test_a_foreign_file_is_a_checkpoint_error_or_a_history(path, content):
    path.write_bytes(content)
    try:
        arrays = history.read(path)
    except CheckpointError as error:
        message = str(error)
    else:
        assert content.startswith(b"step,")
        assert "step" in arrays
        return
    assert str(path) in message


def test_missing_and_other_columns(path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        history.read(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        History.resume(path, 0)
    History.create(path, ("step", "loss")).close()
    with pytest.raises(CheckpointError, match="has not the columns step,d_loss"):
        History.resume(path, 0)


def test_rows_reach_the_file_by_number_and_by_time(path, monkeypatch):
    written = History.create(path)
    for step in range(1, history.FLUSH_ROWS + 1):
        written.append(row(step))
    assert len(history.read(path)["step"]) == history.FLUSH_ROWS
    written.append(row(history.FLUSH_ROWS + 1))
    assert len(history.read(path)["step"]) == history.FLUSH_ROWS
    monkeypatch.setattr(history, "FLUSH_SECONDS", 0.0)
    written.append(row(history.FLUSH_ROWS + 2))
    assert len(history.read(path)["step"]) == history.FLUSH_ROWS + 2


def append_for_ever(written):
    for step in itertools.count(1):
        written.append(row(step, np.pi))


def test_a_full_disk_loses_nothing(small_disk):
    path = small_disk / "history.csv"
    written = History.create(path)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 200_000)
    with pytest.raises(CheckpointError, match=r"history\.csv.*No space left"):
        append_for_ever(written)
    rows = len(written.as_arrays()["step"])
    assert history.FLUSH_ROWS <= len(history.read(path)["step"]) < rows
    assert path.read_bytes().endswith(b"\n")
    with pytest.raises(CheckpointError, match="No space left"):
        written.flush()
    ballast.unlink()
    written.close()
    np.testing.assert_array_equal(history.read(path)["d_loss"], np.full(rows, np.pi))


def test_a_file_size_limit_leaves_whole_rows(path, file_size_limit):
    written = History.create(path)
    for step in range(1, 101):
        written.append(row(step, np.pi))
    with file_size_limit(5000), pytest.raises(CheckpointError, match="too large"):
        written.flush()
    assert path.read_bytes() == ",".join(COLUMNS).encode() + b"\n"
    written.close()
    assert len(history.read(path)["step"]) == 100


def test_an_unwritable_place(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        History.create(tmp_path / "file" / "history.csv")


KILLED = """
import itertools, os, random, signal, sys, time
from rawgan.training import history

path, random = sys.argv[1], random.Random(1)
columns = ("step", "d_loss", "g_loss")
row = lambda step: {"step": step, "d_loss": step / 7, "g_loss": -step / 3}
history.FLUSH_ROWS = 3
history.History.create(path, columns).close()
kills = done = 0
while kills < 60 or done < 1000:
    kills += 1
    child = os.fork()
    if not child:
        go_on = history.History.resume(path, done, columns)
        for step in itertools.count(done + 1):
            go_on.append(row(step))
    time.sleep(random.uniform(0.001, 0.01))
    os.kill(child, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    arrays = history.read(path)
    steps = arrays["step"].tolist()
    assert arrays["d_loss"].tolist() == [step / 7 for step in steps]
    assert arrays["g_loss"].tolist() == [-step / 3 for step in steps]
    assert len(steps) >= done, (len(steps), done)
    done = random.randint(max(0, len(steps) - 100), len(steps))
"""


def test_what_a_killed_writer_leaves_can_be_gone_on_with(path):
    done = subprocess.run([sys.executable, "-c", KILLED, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_step_costs_microseconds(path):
    written = History.create(path)
    rows = [row(step, 0.123456789 * step) for step in range(1, 20_001)]
    began = time.perf_counter()
    for values in rows:
        written.append(values)
    written.flush()
    assert (time.perf_counter() - began) / len(rows) <= 100e-6  # 8 on a quiet machine; this one is shared
