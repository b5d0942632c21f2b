"""The JSON file and what is made of it: tables, comparison, pictures; hostile files are refused in a line."""

import copy
import doctest
import importlib
import json
import math
from pathlib import Path

import pytest
from bench_samples import made, row, times
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import rawgan.bench
from rawgan.bench import compare, document, plot, profile, tables
from rawgan.kernels.errors import CheckpointError, DataError

KERNELS = made(
    [
        row("conv2d", "1@28 - 64@14 5x5", cpu=1.0, torch=3.0),
        row("conv2d", "1@28 - 64@14 5x5", part="x", cpu=2.0, torch=1.0),
        row("adam", "12800", cpu=0.004),
    ]
)
STEPS = made(
    [
        {
            "name": "mlp",
            "part": "step",
            "case": "batch 128",
            "flops": 1e9,
            "conv_flops": 0.0,
            "times": {"cpu": times(1.0), "cpu train": times(1.1), "torch": times(3.0)},
            "missing": {"torch.compile": "no compiler"},
            "memory_mb": {"cpu": {"peak": 170.0}, "torch": {"missing": "killed"}},
        }
    ],
    "train-step",
    ("cpu", "cpu train", "torch", "torch.compile", "bare SGEMM"),
)
GROWTH = made(
    [
        {
            "name": "mlp",
            "part": axis,
            "case": f"{axis} {n}",
            "value": n,
            "own": n == 2,
            "flops": 1e8 * n,
            "times": {"cpu": times(1.0 + n)},
        }
        for axis in ("batch", "width", "size")
        for n in (1, 2, 4)
    ],
    "growth",
    missing={"torch": "not installed"},
)
TAPE = made([row("x * y", "8 numbers", part="operation", cpu=0.004)], "tape", ("cpu",))
PROFILE = made(
    [
        row("adam", "2 calls", part="step", cpu=0.4),
        row(profile.PYTHON, "", part="step", cpu=0.1),
        row(profile.STEP, "", part="step", cpu=0.5, torch=1.0),
        row(profile.LEAST, "", part="step", cpu=0.3),
    ],
    "profile",
    ("cpu", "torch"),
)
GRADIENTS = made([row("D.0.weight", "3×4", "gradient") | {"differences": {"cuda": 1e-6}}], "gradients")
RING = made(
    [
        row("ring", f"pack {n}", "pack", cpu=1.0, torch=2.0)
        | {
            "figures": {
                "cpu": {"modes": [8, 7], "valid": [85.0, 84.0], "total_variation": [0.1, 0.2]},
                "torch": {"modes": [8, 8], "valid": [80.0, 84.0]},
                "true sampler": {"modes": [8, 8], "spread": [1.0, 1.01]},
            }
        }
        for n in (1, 2)
    ],
    "ring",
    settings={"steps": 10_000},
)
CURVE = {"x": [1.0, 2.0], "median": [0.1, 0.0], "low": [0.1, 0.0], "high": [0.2, 1.0]}
NORMS = made(
    [
        {"name": "8 hidden layers", "part": "norms", "case": case, "times": {}}
        | {"figures": {"cpu": {"d_real": [0.5], "cut": [3.0]}}}
        | {"curves": dict.fromkeys(plot.NORMS, CURVE)}
        for case in ("none", "dropout")
    ],
    "norms",
    ("cpu",),
)
WARNINGS = made(
    [{"name": "mlp", "part": "step", "case": "every 200 steps"} | {"times": {"cpu train": times(3.0)}}],
    "warnings",
    ("cpu train", "warnings"),
    "cpu train",
)
WARNINGS["rows"][0]["times"]["warnings"] = times(0.01)
ALL = {"kernels": KERNELS, "train-step": STEPS, "growth": GROWTH, "profile": PROFILE, "tape": TAPE}
ALL |= {"gradients": GRADIENTS, "ring": RING, "norms": NORMS, "warnings": WARNINGS}
every_document = pytest.mark.parametrize("what", ALL)


@every_document
def test_written_and_read_it_is_the_same(what, tmp_path):
    path = tmp_path / "a.json"
    document.write(path, ALL[what])
    assert document.read(path) == ALL[what] == json.loads(path.read_text("utf-8"))


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be written"):
        document.write(tmp_path / "no" / "a.json", TAPE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '"x"',
        "{}",
        '{"format": 2}',
        "[" * 100_000,
        "\x00",
        '{"format": 1, "what": []}',
    ],
)
def test_what_is_no_result_is_refused(text, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"a\.json: .*; it takes a file that"):
        document.read(path)


def test_what_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "bytes"):
        with pytest.raises(DataError, match=path.name):
            document.read(path)


def places(value, path=()):
    """The path of every value inside, containers included."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


HOSTILE = [None, "", "\x1b[2J", -1.0, math.nan, math.inf, 10**400, [], {}, [[]], {"a": [1]}, True, "x" * 50]


@given(
    what=st.sampled_from(sorted(ALL)), data=st.data(), value=st.sampled_from(HOSTILE), remove=st.booleans()
)
def test_a_damaged_file_is_refused_or_harmless(what, data, value, remove, tmp_path_factory):
    """One value is replaced or lost: reading says so in a line, or showing and drawing do their work."""
    damaged = copy.deepcopy(ALL[what])
    path = data.draw(st.sampled_from([p for p in places(damaged) if p]))
    inner = damaged
    for key in path[:-1]:
        inner = inner[key]
    if remove:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "a.json").write_text(json.dumps(damaged))
    refusal = fault_of(lambda: document.read(folder / "a.json"))
    if refusal is not None:
        assert refusal.isprintable()
        return
    read = document.read(folder / "a.json")
    tables.show(read)
    compare.show(read, ALL[what])
    compare.show(ALL[what], read)
    if data.draw(st.integers(0, 4)) == 0:  # a picture takes a third of a second
        assert fault_of(lambda: plot.draw(read, folder, "a")) in (
            None,
            f"plot: nothing in this file of {what} can be drawn: it has no times",
        )


def fault_of(call):
    """The message of the DataError that a call ends in, or None."""
    try:
        call()
    except DataError as error:
        return str(error)
    return None


@every_document
def test_shown_it_names_machine_rows_and_why_a_cell_is_blank(what, capsys):
    tables.show(ALL[what])
    said = capsys.readouterr().out
    for r in ALL[what]["rows"]:
        assert r["name"] in said
        assert r["case"] in said
        assert all(word in said for word in r.get("missing", {}).values())
    for column, why in ALL[what]["missing"].items():
        assert f"{column}: {why}" in said
    assert ALL[what]["machine"]["cpu"] in said
    assert ALL[what]["date"] in said
    assert "\x1b" not in said


def test_ratios_are_how_many_times_faster(capsys):
    tables.show(KERNELS)
    said = capsys.readouterr().out
    assert "3.00×" in said
    assert "0.50×" in said
    assert "∂x" in said
    assert "roofs of cpu, measured in this run: 100 Gflop/s in SGEMM, 10.0 GB/s in a triad" in said


def test_memory_and_its_absence_are_shown(capsys):
    tables.show(STEPS)
    said = capsys.readouterr().out
    assert "170" in said
    assert "memory of mlp, torch: killed" in said
    assert "no compiler" in said
    assert "bare SGEMM" not in said  # a column without a single cell


def test_names_are_no_markup(capsys):
    tables.show(made([row("[bold]x[/]", "[/nothing]", cpu=1.0)]))
    assert "[bold]x[/]" in capsys.readouterr().out


def test_compared_with_itself_nothing_is_gained(capsys):
    assert set(compare.gains(KERNELS, KERNELS).values()) == {1.0}
    compare.show(KERNELS, KERNELS)
    assert "geometric mean over the 3 rows that both have: B is 1.00 times as fast" in capsys.readouterr().out


def test_a_processor_beside_a_gpu(capsys):
    gpu = made([row("conv2d", "1@28 - 64@14 5x5", cuda=0.1, cpu=9.0)], columns=("cpu", "cuda"), main="cuda")
    found = compare.gains(KERNELS, gpu)
    assert found == {("conv2d", "value", "1@28 - 64@14 5x5"): pytest.approx(10.0)}
    compare.show(KERNELS, gpu, ("cpu.json", "gpu.json"))
    said = capsys.readouterr().out
    for word in ("A: cpu.json", "B: gpu.json", "A cpu", "B cuda", "10.00", "not in B", "A torch"):
        assert word in said


def test_files_with_nothing_in_common_are_compared_all_the_same(capsys):
    other = made([row("tanh", cpu=1.0)])
    compare.show(KERNELS, other)
    said = capsys.readouterr().out
    assert "no row has a time in both files" in said
    assert "not in A" in said
    assert "not in B" in said
    empty = made([])
    compare.show(empty, empty)


def test_gradients_have_no_picture_and_no_times_to_compare(tmp_path, capsys):
    with pytest.raises(DataError, match="nothing in this file of gradients can be drawn"):
        plot.draw(GRADIENTS, tmp_path, "stem")
    compare.show(GRADIENTS, GRADIENTS)
    assert "no row has a time in both files" in capsys.readouterr().out


def test_two_kinds_are_not_compared():
    with pytest.raises(DataError, match="A is of kernels, B of tape"):
        compare.show(KERNELS, TAPE)


@pytest.mark.parametrize("what", [what for what in ALL if plot.PICTURES[what]])
def test_pictures_open(what, tmp_path):
    paths = plot.draw(ALL[what], tmp_path, "stem")
    assert [path.name for path in paths] == [f"stem-{name}.png" for name in plot.PICTURES[what]]
    for path in paths:
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert min(picture.size) > 100


def test_without_pytorch_the_bars_are_shares_of_the_roof(tmp_path):
    alone = made([row("conv2d", cpu=1.0), row("adam", cpu=2.0)], columns=("cpu",))
    for r in alone["rows"]:
        r["times"]["cpu"] |= {"percent": 50.0, "binds": "memory"}
    assert len(plot.draw(alone, tmp_path, "a")) == 2


@every_document
def test_nothing_to_draw_is_an_error_in_a_line(what, tmp_path):
    with pytest.raises(DataError, match="nothing in this file"):
        plot.draw({**ALL[what], "rows": []}, tmp_path, "a")
    assert list(tmp_path.iterdir()) == []


NEED_TORCH = ("rivals", "twins")
MODULES = sorted(
    path.stem for path in Path(rawgan.bench.__file__).parent.glob("*.py") if path.stem != "__init__"
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    if name in NEED_TORCH:
        pytest.importorskip("torch", reason="PyTorch is not installed")
    failures, _ = doctest.testmod(importlib.import_module(f"rawgan.bench.{name}"))
    assert failures == 0, "see the output above"
