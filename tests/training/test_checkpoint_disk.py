"""Saving a checkpoint on disks that are full or read-only, and by a process that is killed."""

import os
import subprocess
import sys

import numpy as np
import pytest

from rawgan.kernels.errors import CheckpointError
from rawgan.training import checkpoint
from rawgan.training.files import PREFIX, remove_leftovers


def assert_refused_and_old_intact(path, message):
    """Saving something large to `path`, where a small checkpoint lies, fails and leaves that as it was."""
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoint.save(path, {"w": np.zeros(60_000)}, {"step": 2})
    assert str(path) in str(caught.value)
    assert checkpoint.load(path)[1] == {"step": 1}
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_leaves_the_old_file(small_disk):
    path = small_disk / "c"
    checkpoint.save(path, {"w": np.zeros(10_000)}, {"step": 1})
    assert_refused_and_old_intact(path, "No space left.*free some space")


def test_a_file_size_limit_leaves_the_old_file(tmp_path, file_size_limit):
    path = tmp_path / "c"
    checkpoint.save(path, {"w": np.zeros(10_000)}, {"step": 1})
    with file_size_limit(100_000):
        assert_refused_and_old_intact(path, "too large")


def test_a_read_only_disk(small_disk, read_only_disk):
    path = small_disk / "c"
    checkpoint.save(path, {"w": np.zeros(10)}, {"step": 1})
    read_only_disk()
    assert_refused_and_old_intact(path, "Read-only.*another folder")


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(CheckpointError, match="a file stands where a folder is needed"):
        checkpoint.save(tmp_path / "runs" / "c", {}, {})


def test_a_folder_where_the_file_should_be(tmp_path):
    (tmp_path / "c").mkdir()
    with pytest.raises(CheckpointError, match="a folder of that name"):
        checkpoint.save(tmp_path / "c", {}, {})
    assert os.listdir(tmp_path) == ["c"]


KILLED = """
import os, random, signal, sys, time
import numpy as np
from rawgan.training import checkpoint

path, kills, random = sys.argv[1], int(sys.argv[2]), random.Random(3)
checkpoint.save(path, {"w": np.zeros(50_000)}, {"n": 0})
for _ in range(kills):
    child = os.fork()
    if not child:
        n = 0
        while True:
            n += 1
            checkpoint.save(path, {"w": np.full(50_000, n)}, {"n": n})
    time.sleep(random.uniform(0.005, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    arrays, meta = checkpoint.load(path)  # whole, or this raises
    assert (arrays["w"] == meta["n"]).all()
"""


def test_what_a_killed_writer_leaves_is_whole(tmp_path):
    path = tmp_path / "c"
    done = subprocess.run([sys.executable, "-c", KILLED, path, "60"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    leftovers = list(tmp_path.glob(f"{PREFIX}*"))
    assert len(leftovers) >= 5  # at least that many were killed inside the writing
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["c"]
