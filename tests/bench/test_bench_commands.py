"""`rawgan bench` on the command line, end to end on small cases."""

import json
import re
import subprocess
import sys
import warnings

import pytest
from PIL import Image

import rawgan
from rawgan import cli
from rawgan.bench import document, growth, steps, tape


@pytest.fixture
def bench_says(capfd, tmp_path, monkeypatch):
    """A function that runs `rawgan bench ...` in an empty folder: exit status, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command line replaces it

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main(["bench", *map(str, arguments)])
        return end.value.code, *capfd.readouterr()

    return run


KERNELS = ("kernels", "--device", "reference", "cpu", "--only", "sum_squares", "leaky_relu", "--seconds=1e-4")


def test_kernels_to_json_to_table_to_pictures_to_comparison(bench_says, tiny_cases, no_torch, tmp_path):
    for name in ("a.json", "b.json"):
        status, out, err = bench_says(*KERNELS, "--against", "torch", "--threads=1", "--json", name)
        assert (status, err) == (0, "")
        assert "torch: not installed" in out
        assert "1 threads" in out
    found = document.read(tmp_path / "a.json")
    assert found["columns"] == ["reference", "cpu", "torch"]
    assert found["threads"] == 1
    assert {r["name"] for r in found["rows"]} == {"sum_squares", "leaky_relu"}

    status, out, err = bench_says("compare", "a.json", "b.json")
    assert (status, err) == (0, "")
    assert "A: a.json" in out
    assert "geometric mean" in out

    status, out, err = bench_says("plot", "a.json")
    assert (status, err) == (0, "")
    assert out.split() == ["a-roofline.png", "a-bars.png"]
    for name in out.split():
        with Image.open(tmp_path / name) as picture:
            picture.load()
    (tmp_path / "pictures").mkdir()
    assert bench_says("plot", "a.json", "--out=pictures")[1].split()[0] == "pictures/a-roofline.png"


def test_steps_growth_and_tape_end_to_end(bench_says, no_torch, monkeypatch, tmp_path):
    monkeypatch.setattr(growth, "AXES", {"batch": (2, 4)})
    monkeypatch.setattr(steps.memory, "peaks", lambda name, batch, sides: {s: {"peak": 5.0} for s in sides})
    quick = ("--against", "torch", "--seconds=1e-3")
    reference = ("--device", "reference")
    commands = {
        "steps": ("train-step", *reference, *quick, "--only", "mixture", "--batch=4", "--memory"),
        "growth": ("growth", "mixture", *reference, *quick),
        "profile": ("profile", "mixture", "--device=reference", "--batch=4", "--seconds=1e-3"),
        "tape": ("tape", "--seconds=1e-3"),
        "warnings": ("warnings", "--only", "mixture", "--seconds=1e-3"),
    }
    for name, command in commands.items():
        status, out, err = bench_says(*command, f"--json={name}.json")
        assert (status, err) == (0, "")
        assert document.read(tmp_path / f"{name}.json")["rows"]
        status, out, err = bench_says("plot", f"{name}.json")
        if name == "warnings":
            assert (status, out) == (1, "")
            assert "can be drawn" in err
            continue
        assert (status, err) == (0, "")
        assert (tmp_path / out.strip()).is_file()


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("kernels --only conv2", 2, "no kernel 'conv2'; did you mean 'conv2d'"),
        ("kernels --device gpu", 2, "no device 'gpu'"),
        ("kernels --threads 0", 2, "--threads is a whole number ≥ 1, got 0"),
        ("kernels --batch -1", 2, "--batch is a whole number ≥ 1, got -1"),
        ("kernels --seconds 0", 2, "--seconds is a number above 0"),
        ("kernels --seconds nan", 2, "--seconds is a number above 0"),
        ("kernels --against tensorflow", 2, "tensorflow"),
        ("kernels --json no/such/folder.json", 1, "cannot be written"),
        ("gradients mlp --device cpu", 2, "name two"),
        ("train-step --only dcgan", 2, "no recipe 'dcgan'"),
        ("ring --only speeds", 2, "no part 'speeds'"),
        ("ring --steps 0", 2, "steps is a whole number ≥ 1, got 0"),
        ("ring --pack 3", 2, "pack"),
        ("norms --steps 10", 2, "at least 80 steps"),
        ("growth mlp --only height", 2, "no axis 'height'"),
        ("compare nowhere.json nowhere.json", 1, "nowhere.json: cannot be read"),
        ("plot .", 1, "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_line(command, status, message, bench_says, tmp_path):
    found, out, err = bench_says(*command.split())
    assert (found, out) == (status, "")
    assert re.fullmatch(rf"rawgan: .*{message}.*\n", err), err
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_commands_and_loads_nothing_heavy():
    code = (
        "import sys\nfrom rawgan.cli import main\n"
        "try:\n    main(['bench', '--help'])\n"
        "finally:\n    print([m for m in ('numpy', 'numba', 'matplotlib') if m in sys.modules],"
        " file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    commands = "kernels train-step profile growth tape gradients ring norms warnings inspect compare plot"
    for command in commands.split():
        assert re.search(rf"\b{command}\b", done.stdout)


def test_the_folder_is_not_imported_by_itself():
    root = rawgan.__path__[-1]
    done = subprocess.run([sys.executable, "-c", "import bench"], capture_output=True, text=True, cwd=root)
    assert "a part of rawgan" in done.stderr


def test_a_result_is_dated_and_says_what_ran(bench_says, tmp_path):
    assert bench_says("tape", "--seconds=1e-3", "--json=t.json")[0] == 0
    found = json.loads((tmp_path / "t.json").read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found["date"])
    assert found["commit"] is None or re.fullmatch(r"[0-9a-f]{10}\+?", found["commit"])
    assert found["versions"]["rawgan"] == rawgan.__version__
    assert found["what"] == "tape"
    assert tape.CHAIN > 1
