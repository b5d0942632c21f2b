"""The examples in the docstrings are run, in every module of the package."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [*(ROOT / "rawgan").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = ("rawgan", *parts) if parts[0] == "kernels" else parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = sorted(module_name(path) for path in FILES if path.name != "__main__.py")


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failures, _ = doctest.testmod(importlib.import_module(name))
    assert failures == 0, "see the output above"


def test_there_are_examples_at_all():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [t for name in MODULES for t in finder.find(importlib.import_module(name), name) if t.examples]
    assert len(examples) >= 40
