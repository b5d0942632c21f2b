"""`.ci/run`: every group of checks has a budget, and says what it took."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import rawgan

SCRIPT = Path(rawgan.__file__).parents[1] / ".ci" / "run"
pytestmark = [
    pytest.mark.skipif(not SCRIPT.is_file(), reason="these are tests of a checkout, and rawgan is installed"),
    pytest.mark.skipif(not shutil.which("bash"), reason="needs bash"),
]
GROUPS = ["make test", "make check", "make cuda"]


def ran(folder, text, make="true"):
    """The finished process of such a script, where `make` is the command given."""
    (folder / ".ci").mkdir(parents=True)
    (folder / ".ci" / "run").write_text(text)
    tools = folder / "tools"
    tools.mkdir()
    for name, line in {"make": make, "c++": "true", "chromium": "true"}.items():
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
    command = ["bash", str(folder / ".ci" / "run")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_budgets_are_within_what_was_promised():
    text = SCRIPT.read_text()
    budgets = {group: int(n) for n, group in re.findall(r"^within (\d+) (.+)$", text, re.M)}
    assert list(budgets) == GROUPS
    assert budgets["make test"] <= 10 * 60
    assert sum(budgets.values()) <= int(re.search(r'"\$SECONDS" (\d+)', text)[1]) <= 45 * 60


def test_each_group_says_what_it_took(tmp_path):
    done = ran(tmp_path, SCRIPT.read_text())
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"^-- (.+): \d+ s of \d+ s$", done.stdout, re.M) == [*GROUPS, "all of it"]


def test_what_takes_too_long_fails_after_the_rest_was_run(tmp_path):
    done = ran(tmp_path, SCRIPT.read_text().replace("within 900 make check", "within -1 make check"))
    assert done.returncode == 1
    assert re.fullmatch(r"-- make check: longer than its budget in \.ci/run; .*\n", done.stderr)
    assert "-- make cuda: " in done.stdout


def test_the_whole_has_a_budget_too(tmp_path):
    done = ran(tmp_path, SCRIPT.read_text().replace("2700", "-1"))
    assert (done.returncode, done.stderr.count("all of it: longer")) == (1, 1)


def test_a_group_that_fails_ends_it(tmp_path):
    done = ran(tmp_path, SCRIPT.read_text(), make='test "$1" != check')
    assert done.returncode == 1
    assert "-- make test: " in done.stdout
    assert "-- make c" not in done.stdout
