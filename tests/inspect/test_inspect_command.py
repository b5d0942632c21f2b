"""`rawgan inspect`: a page out of a run directory, and how it ends."""

import re

import pytest
from reports import TINY, embedded

import rawgan
from rawgan import cli
from rawgan.training import pictures


@pytest.fixture
def run(tmp_path, monkeypatch):
    for slow in ("plot_history", "points_figure", "save_animation"):
        monkeypatch.setattr(pictures, slow, lambda *arguments: None)
    monkeypatch.chdir(tmp_path)
    rawgan.train("mixture", steps=3, out="run", **TINY)
    return "run"


def says(capfd, *arguments):
    with pytest.raises(SystemExit) as end:
        cli.main(["inspect", *map(str, arguments)])
    return end.value.code, *capfd.readouterr()


def test_a_step_of_a_run_directory_becomes_a_page(run, tmp_path, capfd):
    code, out, _ = says(capfd, run, "--step", 2, "--seconds", 1)
    assert (code, out) == (0, "gradients.html\n")
    data = embedded((tmp_path / "gradients.html").read_text("utf-8"))
    assert data["about"]["step"] == 2
    assert data["about"]["as_trained"] is True
    assert data["comparison"] is None


def test_devices_and_budget(run, tmp_path, capfd):
    options = ("--devices", "cpu", "cuda-sim", "--budget", 0, "--seconds", 0, "--out", "two.html")
    code, out, _ = says(capfd, run, "--step", 3, *options)
    assert code == 0
    assert re.fullmatch(r"two\.html\n\w+\.\d\.\w+ differs most: by \d\.\de-\d+ of its norm\n", out)
    data = embedded((tmp_path / "two.html").read_text("utf-8"))
    assert data["comparison"]["devices"] == ["cpu", "cuda-sim"]
    assert data["about"]["dropped"] > 0
    worst = max(row["relative on cuda-sim"] for row in data["comparison"]["rows"])
    assert worst <= 1e-4


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("run",), 2, "--step"),
        (("run", "--step", 9), 2, "lies ahead"),
        (("run", "--step", 1, "--out", "page.png"), 2, "ends in .html"),
        (("run", "--step", 1, "--budget", -1), 2, "budget"),
        (("nothing", "--step", 1), 1, "nothing"),
        (("run", "--step", 1, "--out", "no/folder/page.html", "--seconds", 0), 1, "cannot be written"),
    ],
)
def test_how_it_fails(run, capfd, options, code, message):
    status, _, error = says(capfd, *options)
    assert status == code
    assert message in error
    assert "Traceback" not in error
