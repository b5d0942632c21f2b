"""The checker itself: it accepts what is right, and names what is wrong and where."""

import numpy as np
import pytest

import rawgan
from rawgan import ops
from rawgan.engine import OPS, op
from rawgan.kernels.errors import ConfigError, GradientError, RawganError


@pytest.fixture
def wrong():
    """A function with a rule of our choice: wrong(value, rule) -> function of a Tensor."""

    def make(value, rule):
        made = op("test_only")(lambda xp, x: value(x))
        made.rule("x", formula="x̄ = wrong")(rule)
        return made

    yield make
    OPS.pop("test_only", None)


def test_accepts_right_gradients():
    rng = np.random.default_rng(0)
    assert rawgan.gradcheck(
        lambda x, y: ops.tanh(x) @ y, rng.normal(size=(3, 4)), rng.normal(size=(4, 2)), order=2
    )
    assert rawgan.gradcheck(
        lambda x: (x * x).mean(), rawgan.tensor([1.0, 2.0])
    )  # float32 is taken as float64
    assert rawgan.gradcheck(ops.exp, 0.5)
    assert rawgan.gradcheck(ops.exp, np.zeros((0, 3)), order=2)
    assert rawgan.gradcheck(lambda x: rawgan.tensor([1.0, 2.0], dtype="float64"), [1.0])  # constant
    assert rawgan.gradcheck(lambda x: 3.0 * x, [1.0], order=2)  # linear


def test_large_inputs_are_tried_in_random_directions():
    calls = []

    def f(x):
        calls.append(1)
        return ops.sigmoid(x) * x

    assert rawgan.gradcheck(f, np.random.default_rng(0).normal(size=(40, 50)))
    assert len(calls) < 30


@pytest.mark.parametrize("factor", [1.001, 1 - 1e-4, 0.0, -1.0])
@pytest.mark.parametrize("size", [5, 500])
def test_names_what_is_wrong(wrong, factor, size):
    f = wrong(lambda x: x * x * x, lambda gy, x: gy * x * x * (3 * factor))
    with pytest.raises(GradientError) as caught:
        rawgan.gradcheck(lambda y, x: y.sum() + f(x), 1.0, np.linspace(0.5, 1, size))
    message = str(caught.value)
    for part in (
        "the gradient of input 1",
        "element (",
        "rules give",
        "differences",
        "error",
        "tolerance",
        "h ",
    ):
        assert part in message
    assert isinstance(caught.value, RawganError)


def test_finds_the_one_wrong_element(wrong):
    def rule(gy, x):
        out = gy * 2.0
        return ops.concatenate([out[:2], out[2:] * 1.001])

    f = wrong(lambda x: 2.0 * x, rule)
    with pytest.raises(GradientError, match=r"input 0 is wrong at element \(2,\)"):
        rawgan.gradcheck(f, [1.0, 2.0, 3.0])


def test_second_order_finds_what_the_first_cannot(wrong):
    """The rule's value is right, but not what it depends on."""
    f = wrong(
        lambda x: x * x,
        lambda gy, x: gy * 2.0 * getattr(x, "data", x) if hasattr(x, "_data") else gy * 2.0 * x,
    )
    x = [1.0, 2.0]
    assert rawgan.gradcheck(f, x)
    with pytest.raises(GradientError, match="the gradient of the gradient of input 0"):
        rawgan.gradcheck(f, x, order=2)


def test_a_rule_that_all_ones_would_hide(wrong):
    """The gradient of Σ softmax is 0; with u = 1 the rule x̄ = 0 would pass."""

    def softmax(x):
        e = np.exp(x - x.max())
        return e / e.sum()

    f = wrong(softmax, lambda gy, x: gy * 0.0 * x)
    with pytest.raises(GradientError):
        rawgan.gradcheck(f, [0.1, 0.5, -0.3])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_fails(wrong, bad):
    with np.errstate(invalid="ignore"):
        with pytest.raises(GradientError, match=r"rules give nan|rules give -?inf"):
            rawgan.gradcheck(wrong(lambda x: x, lambda gy: gy * bad), [1.0, 2.0])
        with pytest.raises(GradientError):
            rawgan.gradcheck(wrong(lambda x: x * bad, lambda gy: gy), [1.0, 2.0])


def test_an_unused_input_must_have_no_gradient(wrong):
    with pytest.raises(GradientError):
        rawgan.gradcheck(wrong(lambda x: 0.0 * x, lambda gy: gy * 1e-3), [1.0])


def test_is_repeatable():
    """The cotangent does not depend on the global seed, nor does a check disturb it."""
    messages = set()
    for seed in (1, 2):
        rawgan.manual_seed(seed)
        before = rawgan.rng.current().state()
        with pytest.raises(GradientError) as caught:
            rawgan.gradcheck(lambda x: x * x.detach(), [[1.0, 2.0]])
        messages.add(str(caught.value))
        assert rawgan.rng.current().state() == before
    assert len(messages) == 1


def test_bad_calls():
    with pytest.raises(ConfigError, match="order is 1 or 2, got 3"):
        rawgan.gradcheck(ops.exp, [1.0], order=3)
    with pytest.raises(ConfigError, match="at least one tensor"):
        rawgan.gradcheck(ops.exp)
    with pytest.raises(GradientError, match="f returns a Tensor, got float"):
        rawgan.gradcheck(lambda x: 1.0, [1.0])
    with pytest.raises(GradientError, match="gave float32; something in f is not float64"):
        rawgan.gradcheck(lambda x: ops.astype(x, dtype="float32"), [1.0])
