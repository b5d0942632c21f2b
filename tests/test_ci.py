"""`.ci/run`: every group of checks has a budget, and says what it took."""

import os
import re
import shutil
import subprocess
import sys
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
    assert sum(budgets.values()) <= int(re.search(r'"all of it" .* (\d+)$', text, re.M)[1]) <= 45 * 60


def test_each_group_says_what_it_took(tmp_path):
    done = ran(tmp_path, SCRIPT.read_text())
    assert (done.returncode, done.stderr) == (0, "")
    said = re.findall(r"^-- (.+): \d+ s, the work of two processors for \d+ of \d+ s$", done.stdout, re.M)
    assert said == [*GROUPS, "all of it"]


def test_it_is_the_processors_time_that_counts(tmp_path):
    """Half of it, also of what `make` starts in its turn; waiting is free."""
    work = f"sh -c \"{sys.executable} -c 'import time\nwhile time.process_time() < 2.2: pass'\""
    for name, make, counted in (("idle", "sleep 2", ["0"] * 3), ("busy", work, ["1"] * 3)):
        done = ran(tmp_path / name, SCRIPT.read_text(), make)
        found = re.findall(r"^-- make.*: (\d+) s, .* for (\d+) of", done.stdout, re.M)
        assert [of_two for _, of_two in found] == counted
        assert all(int(wall) >= 1 for wall, _ in found)


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
