"""Whose turn it is: the families of CUDA kernels that the long checks, `make cuda`, take in this run.

    @pytest.mark.parametrize("family", FAMILIES)
    def test_...(family):
        in_turn(family)                     # skips the others

Those whose files have changed in the last RECENT commits, on this branch, or since; and of all families one
of every PARTS, another one after each commit. Whatever git cannot say, or RAWGAN_ALL_KERNELS=1, means all.
As a program it says which they are.
"""

import ast
import os
import subprocess
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import rawgan
from rawgan import kernels
from rawgan.kernels.cuda.program import FOLDER, Program

HERE = Path(__file__).parent
ROOT = Path(rawgan.__file__).parents[1]
RECENT, PARTS = 20, 3
FAMILIES = sorted({p.stem for p in FOLDER.glob("*.cu")} | {k.family for k in kernels.CONTRACTS.values()})
# Changes of other files of kernels/, such as the launcher, the table and its samples, concern every family;
# and so do those of the checks.
CHECKS = [FOLDER.parent, *HERE.glob("test_cuda_*.py"), HERE / "sanitized.py", HERE / "turns.py"]
ELSEWHERE = [FOLDER.parent / "cpu", FOLDER.parent / "reference"]


@cache
def made_of(family):
    """The files of a family: its own two, the headers of its programs, those of families that it calls."""
    path = FOLDER / f"{family}.py"
    module = vars(import_module(f"rawgan.kernels.cuda.{family}"))
    programs = [value for value in module.values() if isinstance(value, Program)]
    found = {path, *(part for program in programs for part in program.paths)}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module in FAMILIES:
            found |= made_of(node.module)
    return found


def concerned(paths):
    """The families that a change of these files concerns."""
    found = set()
    for path in paths:
        families = {family for family in FAMILIES if path in made_of(family)}
        if not families and any(map(path.is_relative_to, CHECKS)):
            families = set() if any(map(path.is_relative_to, ELSEWHERE)) else set(FAMILIES)
        found |= families
    return found


def next_in_turn(number):
    """One family of every PARTS; after PARTS numbers each has been among them."""
    return set(FAMILIES[number % PARTS :: PARTS])


def git(*words):
    """What git prints, line by line; None where it fails or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.splitlines()


def changed():
    """(files that changed lately, commits so far); None where git does not know."""
    here = git("rev-parse", "--show-toplevel", "--is-shallow-repository")
    if here is None or here[1:] != ["false"] or Path(here[0]) != ROOT.resolve():
        return None
    asked = [
        ("log", "--first-parent", "-m", "--format=", "--name-only", f"-{RECENT}"),
        ("diff", "--name-only", "HEAD"),
        ("ls-files", "--others", "--exclude-standard"),
    ]
    if main := git("rev-parse", "--verify", "--quiet", "main") or git("rev-parse", "--quiet", "origin/main"):
        asked.append(("log", "--format=", "--name-only", f"{main[0]}..HEAD"))
    said = [git(*words) for words in asked]
    count = git("rev-list", "--count", "HEAD")
    if count is None or None in said:
        return None
    return {ROOT / name for lines in said for name in lines}, int(count[0])


@cache
def chosen():
    """Family -> why it is checked in this run."""
    if os.environ.get("RAWGAN_ALL_KERNELS", "0") != "0":
        return dict.fromkeys(FAMILIES, "asked for")
    found = changed()
    if found is None:
        return dict.fromkeys(FAMILIES, "git cannot say what changed")
    paths, number = found
    turn = dict.fromkeys(next_in_turn(number), f"part {number % PARTS + 1} of {PARTS}")
    return turn | dict.fromkeys(concerned(paths), "changed")


def in_turn(family):
    """Skip the test unless the family is checked in this run."""
    if family not in chosen():
        pytest.skip("neither changed nor in turn; RAWGAN_ALL_KERNELS=1 takes all")


if __name__ == "__main__":
    why = chosen()
    for reason in sorted(set(why.values())):
        print(f"{reason}: {', '.join(family for family in FAMILIES if why.get(family) == reason)}")
    print(f"not in this run: {', '.join(family for family in FAMILIES if family not in why) or 'none'}")
