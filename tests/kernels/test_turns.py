"""Whose turn it is to be checked at length, and that those checks miss no kernel."""

from importlib import import_module

import pytest
import sanitized
import turns
from turns import FAMILIES, FOLDER, PARTS, ROOT

from rawgan.kernels.cuda import host
from rawgan.kernels.cuda.program import Program


def test_in_a_period_every_family_has_its_turn_once():
    for start in (0, 7):
        parts = [turns.next_in_turn(start + i) for i in range(PARTS)]
        assert set.union(*parts) == set(FAMILIES)
        assert sum(map(len, parts)) == len(FAMILIES)
        assert parts[0] == turns.next_in_turn(start + PARTS)


ALL = set(FAMILIES)
CONCERNED = {
    "kernels/cuda/pooling.cu": {"pooling"},
    "kernels/cuda/pooling.py": {"pooling"},
    "kernels/cuda/lists.cuh": {"update"},
    "kernels/cuda/sums.cuh": {"loss", "softmax", "update"},
    "kernels/cuda/product.cuh": {"convolution", "linear", "perceptron"},
    "kernels/cuda/linear.cu": {"convolution", "linear", "perceptron"},
    "kernels/cuda/reduction.cu": {"normalization", "reduction"},
    "kernels/cuda/device.cuh": ALL,
    "kernels/cuda/program.py": ALL,
    "kernels/cuda/a_new_header.cuh": ALL,
    "kernels/cuda/host/fibers.h": ALL,
    "kernels/samples.py": ALL,
    "tests/kernels/turns.py": ALL,
    "tests/kernels/sanitized.py": ALL,
    "tests/kernels/test_cuda_sanitizers.py": ALL,
    "kernels/cpu/pooling.py": set(),
    "rawgan/nn/layers.py": set(),
    "README.md": set(),
}


@pytest.mark.parametrize("name", CONCERNED)
def test_a_changed_file_selects_what_is_made_of_it(name):
    assert turns.concerned([ROOT / name]) == CONCERNED[name]
    assert turns.concerned([ROOT / name, ROOT / "README.md"]) == CONCERNED[name]


def test_every_file_of_the_kernels_is_somebodys():
    """One that nobody is made of would concern all of them, which is right for the launcher's alone."""
    known = set().union(*map(turns.made_of, FAMILIES))
    shared = {path.name for path in FOLDER.glob("*.*") if path not in known}
    assert shared == {f"{name}.py" for name in SHARED}


SHARED = ["__init__", "count", "cupy_module", "graph", "host", "program", "recording", "tiles"]


@pytest.fixture
def choose(monkeypatch):
    """What is chosen where these files were changed, after so many commits."""
    monkeypatch.delenv("RAWGAN_ALL_KERNELS", raising=False)

    def chosen(found):
        monkeypatch.setattr(turns, "changed", lambda: found)
        return turns.chosen.__wrapped__()

    return chosen


def test_those_that_changed_and_those_in_turn_are_chosen(choose, monkeypatch):
    changed = {FOLDER / "pooling.cu", ROOT / "README.md"}
    for number in range(PARTS):
        found = choose((changed, number))
        assert set(found) == {"pooling"} | turns.next_in_turn(number)
        assert found["pooling"] == "changed"
    assert set(choose((set(), 1))) == turns.next_in_turn(1)
    assert set(choose(None)) == ALL
    monkeypatch.setenv("RAWGAN_ALL_KERNELS", "1")
    assert set(choose((changed, 0))) == ALL


def test_others_are_skipped(choose, monkeypatch):
    monkeypatch.setattr(turns, "chosen", lambda: {"pooling": "changed"})
    turns.in_turn("pooling")
    with pytest.raises(pytest.skip.Exception, match="neither changed nor in turn"):
        turns.in_turn("linear")


@pytest.mark.parametrize("broken", ["rev-parse", "log", "diff", "ls-files", "rev-list"])
def test_what_git_cannot_say_is_everything(broken, monkeypatch):
    said = {"rev-parse": [str(ROOT.resolve()), "false"], "rev-list": ["12"], "log": ["kernels/samples.py"]}
    monkeypatch.setattr(turns, "git", lambda word, *more: said.get(word, []))
    assert turns.changed() == ({ROOT / "kernels/samples.py"}, 12)
    monkeypatch.setattr(turns, "git", lambda word, *more: None if word == broken else said.get(word, []))
    assert turns.changed() is None


@pytest.mark.parametrize("here", [["/elsewhere", "false"], [str(ROOT.resolve()), "true"]])
def test_another_checkout_or_a_part_of_the_history_is_everything(here, monkeypatch):
    monkeypatch.setattr(turns, "git", lambda word, *more: here if word == "rev-parse" else ["1"])
    assert turns.changed() is None


@pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")
def test_the_sanitizers_see_every_kernel(monkeypatch):
    launch, seen = Program.__call__, set()

    def noted(self, kernel, *given, **more):
        seen.add((self.name, kernel))
        launch(self, kernel, *given, **more)

    monkeypatch.setattr(Program, "__call__", noted)
    for family in FAMILIES:
        sanitized.everything(family)
    for path in FOLDER.glob("*.cu"):
        program = import_module(f"rawgan.kernels.cuda.{path.stem}").PROGRAM
        assert {(program.name, kernel) for kernel in program.kernels} <= seen
