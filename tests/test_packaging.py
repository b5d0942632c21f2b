"""The wheel: it is built offline, holds what a run needs, and runs away from the checkout."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import rawgan

ROOT = Path(rawgan.__file__).parents[1]
pytestmark = [
    pytest.mark.skipif(
        not (ROOT / "pyproject.toml").is_file(),
        reason="a wheel is built from a checkout, and rawgan is installed",
    ),
]
builds = pytest.mark.skipif(
    not (find_spec("build") and find_spec("setuptools")),
    reason="building offline takes the packages build and setuptools, which are development extras",
)
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "runs", "results")

WHERE = (
    "import json, sys, importlib; import rawgan.kernels, rawgan.data.digits, rawgan.training;"
    "print(json.dumps([m.__file__ for n, m in sys.modules.items() if n.startswith('rawgan')]))"
)


def python(*arguments, path=None, cwd=None):
    """Run Python with `path` and nothing of this checkout; fails loudly."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"PYTHONPATH": str(path)} if path else {}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(what, source, out):
    """One wheel or sdist of a source tree, without asking anyone for anything."""
    python("-m", "build", f"--{what}", "--no-isolation", "--outdir", out, source)
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the checkout, so that building leaves nothing in it."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("source") / "rawgan-source", ignore=NOT_SOURCE)


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


def sources():
    """What of the tree belongs into the wheel, by its name there."""
    return {
        str(Path(package, path.relative_to(ROOT / folder)))
        for folder, package in (
            ("rawgan", "rawgan"),
            ("kernels", "rawgan/kernels"),
            ("bench", "rawgan/bench"),
        )
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and not {"__pycache__", "results"} & {*path.parts}
        and path.suffix not in (".nbi", ".nbc", ".pyc", ".sh")
    }


@pytest.mark.dev
@builds
def test_the_wheel_holds_exactly_the_sources(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    packed = {name for name in names if not name.startswith("rawgan-")}
    assert packed == sources()
    assert "rawgan/py.typed" in packed
    assert "rawgan/kernels/cpu/linear.py" in packed
    assert "rawgan/data/files/digits-images-idx3-ubyte.gz" in packed
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.dev
@builds
def test_the_wheel_runs_from_another_folder(wheel, tmp_path):
    away = tmp_path / "away"
    zipfile.ZipFile(wheel).extractall(away)
    files = json.loads(python("-c", WHERE, path=away, cwd=tmp_path))
    assert {Path(file).is_relative_to(away) for file in files} == {True}
    assert str(away / "rawgan" / "kernels" / "__init__.py") in files
    options = ("--steps=3", "--device=cpu", "--quiet", "--out=run")
    said = python("-m", "rawgan", "train", "mlp", *options, path=away, cwd=tmp_path)
    assert "run/history.csv" in said
    assert "x * y recorded" in python(
        "-m", "rawgan", "bench", "tape", "--seconds=0.01", path=away, cwd=tmp_path
    )
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 4


@pytest.mark.dev
@builds
def test_the_command_of_the_wheel_is_the_command_line(wheel):
    archive = zipfile.ZipFile(wheel)
    (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "rawgan = rawgan.cli:main" in archive.read(entry_points).decode()
    (metadata,) = (name for name in archive.namelist() if name.endswith("METADATA"))
    assert f"Version: {rawgan.__version__}\n" in archive.read(metadata).decode()


@pytest.mark.dev
@builds
def test_the_sdist_builds_the_same_wheel(source, wheel, tmp_path):
    sdist = build("sdist", source, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = zipfile.ZipFile(build("wheel", unpacked, tmp_path / "wheel"))
    first = zipfile.ZipFile(wheel)
    assert sorted(again.namelist()) == sorted(first.namelist())
    for name in first.namelist():
        assert name.endswith("RECORD") or again.read(name) == first.read(name), name


def test_a_bare_checkout_works(tmp_path):
    files = json.loads(python("-c", WHERE, path=ROOT, cwd=tmp_path))
    assert str(ROOT / "kernels" / "__init__.py") in files
    assert {Path(file).is_relative_to(ROOT) for file in files} == {True}


def test_kernels_are_never_imported_by_themselves():
    done = subprocess.run([sys.executable, "-c", "import kernels"], capture_output=True, text=True, cwd=ROOT)
    assert "write `import rawgan.kernels`" in done.stderr
