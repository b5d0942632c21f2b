"""The plan of the house, held by a test: who may import whom, what is packaged, how large a file may grow."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rawgan

ROOT = Path(rawgan.__file__).parents[1]
pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="these are tests of a checkout, and rawgan is installed"
)

# From the ground up; each room imports only rooms before it. `differences` is rawgan.gradcheck.
ROOMS = [
    "kernels",
    "notice",
    "settings",
    "schedules",
    "arrays",
    "rng",
    "engine",
    "ops",
    "differences",
    "nn",
    "losses",
    "optim",
    "recipes",
    "data",
    "inspect",
    "training",
    "tensorboard",
    "metrics",
    "evaluation",
    "rating",
    "tuning",
    "bench",
    "cli",
    "__main__",
]
PACKAGE = sorted((ROOT / "rawgan").rglob("*.py"))
KERNELS = sorted((ROOT / "kernels").rglob("*.py"))
BENCH = sorted((ROOT / "bench").rglob("*.py"))
SOURCES = PACKAGE + KERNELS + BENCH


def name_of(path):
    """rawgan.ops.conv for rawgan/ops/conv.py, rawgan.kernels.cpu for kernels/cpu/__init__.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts if parts[0] == "rawgan" else ("rawgan", *parts))


def imports_of(path):
    """Every module that a file imports, at the top or inside a function, by its full name."""
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def room_of(module):
    """The room of a module's full name; None for what is not rawgan's, "" for rawgan itself."""
    parts = module.split(".")
    if parts[0] != "rawgan":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else ""


def test_every_room_is_on_the_plan():
    rooms = {p.relative_to(ROOT / "rawgan").parts[0].removesuffix(".py") for p in PACKAGE}
    assert rooms - {"__init__"} <= set(ROOMS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_toward_the_ground(path):
    own = room_of(name_of(path))
    for module, line in imports_of(path):
        room = room_of(module)
        if room is None or own in ("", "cli", "__main__"):  # rawgan itself loads every room, when asked
            continue
        if room == "":
            assert own == "bench", f"{path}:{line} imports rawgan itself, and so any room: {module}"
            continue
        assert ROOMS.index(room) <= ROOMS.index(own), (
            f"{path}:{line}: {own} imports {module}, which is above it"
        )


@pytest.mark.parametrize("path", KERNELS, ids=lambda p: str(p.relative_to(ROOT)))
def test_kernels_know_nothing_of_rawgan(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            depth = len(path.relative_to(ROOT / "kernels").parts)
            assert node.level <= depth, f"{path}:{node.lineno} reaches out of kernels/"
        assert not any(n.split(".")[0] in ("rawgan", "kernels") for n in names), f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", PACKAGE, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_switch_compares_devices(path):
    if path == ROOT / "rawgan" / "arrays.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        compared = []
        if isinstance(node, ast.Compare):
            compared = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            compared = [node.value]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "startswith":
            compared = node.args
        for value in compared:
            for leaf in ast.walk(value):
                named = isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
                assert not (named and re.match(r"(cpu|cuda)\b", leaf.value)), (
                    f"{path}:{leaf.lineno} decides by device; that is for arrays.py and kernels/"
                )


def test_the_packages_are_those_of_the_tree():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {name_of(p) for p in SOURCES if p.name == "__init__.py"}
    listed = set(settings["packages"])
    assert not found - listed, "not listed, so missing from the wheel"
    assert not listed - found, "listed but not there, so the wheel cannot be built"


def test_every_public_name_resolves():
    for name in rawgan.__all__:
        assert getattr(rawgan, name) is not None
    assert callable(rawgan.gradcheck)
    assert set(rawgan.__all__) <= set(dir(rawgan))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = rawgan.nonsense


def test_import_is_instant():
    """Importing rawgan loads nothing heavy; asking for a tensor loads NumPy, but still no compiler."""
    code = (
        "import json, sys, rawgan; first = sorted(sys.modules);"
        "rawgan.tensor([1.0]) + 1.0; print(json.dumps([first, sorted(sys.modules)]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    first, second = json.loads(run.stdout)
    heavy = {"numba", "matplotlib", "rich", "safetensors", "pooch", "PIL", "torch", "cyclopts", "llvmlite"}
    assert not heavy & set(second)
    assert "numpy" not in first


@pytest.mark.parametrize(
    "path", [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))], ids=lambda p: str(p.relative_to(ROOT))
)
def test_a_file_fits_in_the_head(path):
    assert len(path.read_text().splitlines()) <= 400
    if path in SOURCES:
        assert ast.get_docstring(ast.parse(path.read_text())), "a module says what it is for"


@pytest.mark.parametrize("name", ["README.md", "pyproject.toml", "Makefile"])
def test_no_package_registry_is_named(name):
    """Where packages come from is the business of whoever installs."""
    path = ROOT / name
    if path.is_file():
        assert not re.search(
            r"index-url|find-links|trusted-host|pypi\.org/simple|files\.pythonhosted", path.read_text()
        )
