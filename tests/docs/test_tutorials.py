"""The tutorials: committed with what their cells print and draw, and the same when they are run again.

What a cell prints is compared number by number. In cells tagged "trained" numbers come from long training,
which makes much of the last digits, in which processors differ; of those the cells' own assertions speak.
"""

import json
import math
import re

import pytest
from tutorials import ROOT, TUTORIALS, executed

if not TUTORIALS:
    pytest.skip("these are tests of a checkout, and rawgan is installed", allow_module_level=True)

each = pytest.mark.parametrize("path", TUTORIALS, ids=lambda p: p.stem)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?")


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def text_of(output):
    """What an output says, or the table that it shows."""
    if output["output_type"] == "stream":
        return "".join(output["text"])
    data = output["data"]
    return "".join(data.get("text/html") or data.get("text/plain", ""))


def kinds(cell):
    """What a cell puts out: text, figures, tables."""
    return [(output["output_type"], *sorted(output.get("data", {}))) for output in cell["outputs"]]


def unit(number):
    """One in the last digit that is printed; 0 of whole numbers."""
    digits, _, power = number.partition("e")
    _, point, decimals = digits.partition(".")
    return 10.0 ** (int(power or 0) - len(decimals)) if point or power else 0.0


def agree(a, b):
    """Whether two texts say the same, but for the last digit of numbers, or for numbers near 0."""
    if "".join(NUMBER.sub("#", a).split()) != "".join(NUMBER.sub("#", b).split()):
        return False
    pairs = zip(NUMBER.findall(a), NUMBER.findall(b), strict=True)
    return all(
        math.isclose(float(x), float(y), rel_tol=1e-5, abs_tol=1.01 * max(unit(x), unit(y)) + 2e-6)
        for x, y in pairs
    )


def test_texts_agree_within_rounding():
    assert agree("loss 0.6534, off by 1.1e-07", "loss  0.6533, off by 9e-08")
    assert agree("[ 0.25  -0.074024]", "[0.25 -0.074023]")
    assert not agree("loss 0.6534", "loss 0.6524")
    assert not agree("node 14", "node 15")
    assert not agree("they agree", "THEY DO NOT AGREE")


@each
def test_committed_as_executed(path):
    """Run from top to bottom, quietly: no error, no warning, nothing of the machine that it ran on."""
    assert path.stat().st_size < 1_500_000
    cells = code_cells(json.loads(path.read_text()))
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
    assert not re.search(r"/(tmp|home|root|work|usr)/|ipykernel|Warning", "".join(map(text_of, outputs)))


@each
def test_every_figure_is_spoken_of(path):
    """The first text after a figure says what to see in it."""
    cells = json.loads(path.read_text())["cells"]
    figures = 0
    for i, cell in enumerate(cells):
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            text = next(later for later in cells[i + 1 :] if later["cell_type"] == "markdown")
            assert "".join(text["source"]).startswith("*What to see:*"), cell["source"]
            figures += 1
    assert figures >= 4


@each
def test_listed(path):
    assert f"({path.name})" in (ROOT / "docs" / "README.md").read_text()


@pytest.mark.dev
@each
def test_comes_out_the_same(path):
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    committed = nbformat.read(path, as_version=4)
    again = executed(committed)
    for before, now in zip(code_cells(committed), code_cells(again), strict=True):
        assert kinds(before) == kinds(now), before.source
        if "trained" not in before.metadata.get("tags", []):
            for old, new in zip(before.outputs, now.outputs, strict=True):
                assert agree(text_of(old), text_of(new)), (text_of(old), text_of(new))
