"""Disks that refuse: a small one that fills up, and one that may only be read."""

import resource
import subprocess
from contextlib import contextmanager

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of its own with room for 256 KiB. Mounting one takes root on Linux."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], capture_output=True, text=True
        )
    except FileNotFoundError:
        pytest.skip("no mount command here, and a full disk takes a small file system")
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def read_only_disk(small_disk):
    """A function that lets nothing more be written to the folder that it returns."""

    def freeze():
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        return small_disk

    return freeze


@pytest.fixture
def file_size_limit():
    """A context in which no file of this process may grow beyond so many bytes: a full disk for anyone."""

    @contextmanager
    def limited(size):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited
