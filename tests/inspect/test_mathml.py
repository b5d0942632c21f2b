"""Formulas as MathML: every one of the table is well-formed, and the signs of the line are all there."""

import re
import unicodedata
from xml.etree import ElementTree

import pytest

from rawgan.engine import OPS
from rawgan.inspect import mathml

FORMULAS = sorted(
    {(op.name, rule.formula) for op in OPS.values() for rule in op.rules.values()}
    | {(op.name, (op.__doc__ or "").strip().splitlines()[0]) for op in OPS.values()}
)


def letters(text):
    """Those that stand in the line."""
    return [c for c in text if c.isalpha() and c not in mathml.RAISED and c not in mathml.LOWERED]


@pytest.mark.parametrize(("op", "formula"), FORMULAS)
def test_it_is_well_formed_and_loses_no_letter(op, formula):
    made = mathml.html(formula, (*OPS[op].inputs, *OPS[op].attrs))
    tree = ElementTree.fromstring(f"<p>{made}</p>")
    decomposed = unicodedata.normalize("NFD", formula)
    assert len(tree.findall(".//mover")) == len(re.findall("[\u0304\u0302]", decomposed))
    said = "".join(tree.itertext())
    hung = [mathml.RAISED.get(c) or mathml.LOWERED.get(c) for c in decomposed]
    assert sorted(letters(said)) == sorted(letters(decomposed) + [c for c in hung if c and c.isalpha()])


def parts(formula):
    """The MathML without its frame."""
    (inner,) = re.findall(r'<math displaystyle="true"><mrow>(.*)</mrow></math>', mathml.html(formula))
    return inner


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("x^y", "<msup><mi>x</mi><mrow><mi>y</mi></mrow></msup>"),
        ("e^−x", "<msup><mi>e</mi><mrow><mrow><mo>−</mo><mi>x</mi></mrow></mrow></msup>"),
        ("x / (2y)", "<mfrac><mrow><mi>x</mi></mrow><mrow><mn>2</mn><mi>y</mi></mrow></mfrac>"),
        ("√(x)", "<msqrt><mi>x</mi></msqrt>"),
        ("bᵀ", '<msup><mi>b</mi><mrow><mi mathvariant="normal">T</mi></mrow></msup>'),
        ("y[n,c]", "<msub><mi>y</mi><mrow><mi>n</mi><mo>,</mo><mi>c</mi></mrow></msub>"),
        ("hᵢ₋₁", "<msub><mi>h</mi><mrow><mi>i</mi><mo>−</mo><mn>1</mn></mrow></msub>"),
        ("x̄", '<mover accent="true"><mi>x</mi><mo stretchy="false">¯</mo></mover>'),
    ],
)
def test_the_forms(formula, expected):
    assert parts(formula) == expected


def test_words_stay_words_and_html_is_escaped():
    assert mathml.html("a <b>bold</b> word").count("<b>") == 0
    assert mathml.html("The values under another shape") == "The values under another shape"
    assert "where" in mathml.html("x where x > 0").replace("</math>", "").split("<math", 2)[1]
    assert mathml.is_formula("x + y")
    assert not mathml.is_formula("Natural logarithm")
