"""Losses against the formulas they are named after, in value and gradient."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rawgan
from rawgan import losses, ops
from rawgan.kernels.errors import ConfigError, ShapeError

reals = st.floats(-8, 8)
few = st.integers(1, 6)


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def gradient(f, x, dtype="float64"):
    x = rawgan.tensor(x, dtype=dtype, requires_grad=True)
    f(x).backward()
    return x.grad


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def sigma(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


@given(p=st.floats(1e-9, 1 - 1e-9), t=st.floats(0, 1))
def test_bce_is_the_formula(p, t):
    value = losses.bce(rawgan.tensor([p], dtype="float64"), [t] if t in (0.0, 1.0) else np.array([t])).item()
    t = float(np.float32(t)) if t in (0.0, 1.0) else t
    want = -t * math.log(p) - (1 - t) * math.log1p(-p)
    assert abs(value - want) <= 1e-12 * max(1, want)
    found = gradient(lambda x: losses.bce(x, np.array([t])), [p])[0]
    want = (1 - t) / (1 - p) - t / p
    scale = (1 - t) / (1 - p) + t / p
    assert abs(found - want) <= 1e-6 * scale


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("p", "t", "loss", "slope"),
    # A right and certain verdict costs nothing and pulls at most by 1, as right ones beside it do; a wrong
    # one costs 100 (log 0 counts as −100) and pulls hard.
    [(0.0, 0.0, 0, None), (1.0, 1.0, 0, None), (0.0, 1.0, 100, -1e12), (1.0, 0.0, 100, 1e12)],
)
def test_bce_at_the_ends(p, t, loss, slope, dtype):
    assert abs(losses.bce(rawgan.tensor([p], dtype=dtype), t).item() - loss) <= 1e-6
    found = gradient(lambda x: losses.bce(x, t), [p], dtype)[0]
    assert abs(found) <= 1 if slope is None else abs(found - slope) <= 1e-6 * abs(slope)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("t", [0.0, 1.0])
def test_bce_beside_the_ends(t, dtype):
    """As near to 1 as float32 comes, and as near to 0."""
    eps = np.finfo(dtype).eps
    for p in (1 - 2**-23, 1 - 2**-20, 1e-6, 1e-9):
        p = float(np.dtype(dtype).type(p))
        found = gradient(lambda x: losses.bce(x, t), [p], dtype)[0]
        want = 1 / (1 - p) if t == 0 else -1 / p
        assert abs(found - want) <= 4 * eps * abs(want)
        want = -math.log1p(-p) if t == 0 else -math.log(p)
        value = losses.bce(rawgan.tensor([p], dtype=dtype), t).item()
        assert abs(value - want) <= 4 * eps * abs(want)


@given(x=st.floats(-1e4, 1e4), t=st.floats(0, 1))
def test_bce_with_logits_is_the_formula(x, t):
    want = softplus(x) - t * x if abs(x) < 30 else max(x, 0) - t * x  # e^−30 is below what is asked for
    value = losses.bce_with_logits(rawgan.tensor([x], dtype="float64"), np.array([t])).item()
    assert abs(value - want) <= 1e-12 * max(1, abs(x))
    found = gradient(lambda s: losses.bce_with_logits(s, np.array([t])), [x])[0]
    assert abs(found - (sigma(x) - t)) <= 1e-14


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("x", [-1e4, -100.0, -20.0, 20.0, 100.0, 1e4])
def test_bce_with_logits_far_out(x, dtype):
    """−log σ(x) is −x far to the left, e^−x far to the right: kept to the last digits, in both directions."""
    eps = np.finfo(dtype).eps
    for t in (0.0, 1.0):
        with np.errstate(over="raise", invalid="raise"):
            value = losses.bce_with_logits(rawgan.tensor([x], dtype=dtype), t).item()
            slope = gradient(lambda s: losses.bce_with_logits(s, t), [x], dtype)[0]  # noqa: B023
        away = x if t == 0 else -x
        want = softplus(away)
        assert abs(value - want) <= 4 * eps * want + np.finfo(dtype).tiny
        assert abs(slope - (sigma(x) - t)) <= 4 * eps


@settings(max_examples=20)
@given(n=few, m=few, seed=st.integers(0, 99))
def test_losses_are_means_and_agree_through_a_sigmoid(n, m, seed):
    random = np.random.default_rng(seed)
    x, t = random.normal(0, 2, (n, m)), random.uniform(size=(n, m))
    p = ops.sigmoid(rawgan.tensor(x))
    from_logits, from_p = losses.bce_with_logits(rawgan.tensor(x), t), losses.bce(p, t)
    assert abs(from_logits.item() - from_p.item()) <= 1e-12
    each = [[softplus(a) - b * a for a, b in zip(*rows, strict=True)] for rows in zip(x, t, strict=True)]
    assert abs(from_logits.item() - np.mean(each)) <= 1e-12
    assert rawgan.gradcheck(losses.bce_with_logits, x, t, order=2)
    assert rawgan.gradcheck(losses.bce, random.uniform(0.1, 0.9, (n, m)), t, order=2)


@pytest.mark.parametrize("loss", [losses.bce, losses.bce_with_logits])
def test_targets_of_another_shape(loss):
    for shape in [(3,), (3, 2), (1, 3)]:
        with pytest.raises(ShapeError) as error:
            loss(rawgan.tensor(np.full((3, 1), 0.5)), np.ones(shape))
        assert "(3, 1)" in str(error.value)
        assert str(shape) in str(error.value)


# name -> for one output s: D's loss on a real, D's loss on a fake, G's loss
FORMULAS = {
    "saturating": (lambda s: softplus(-s), softplus, lambda s: -softplus(s)),
    "non_saturating": (lambda s: softplus(-s), softplus, lambda s: softplus(-s)),
    "least_squares": (
        lambda s: (s - 1) ** 2 / 2,
        lambda s: s**2 / 2,
        lambda s: (s - 1) ** 2 / 2,
    ),
    "hinge": (lambda s: max(0, 1 - s), lambda s: max(0, 1 + s), lambda s: -s),
    "wasserstein": (lambda s: -s, lambda s: s, lambda s: -s),
}
KINKS = {"hinge": (-1.0, 1.0)}
assert set(FORMULAS) == set(losses.OBJECTIVES)

every_objective = pytest.mark.parametrize("name", losses.OBJECTIVES)


def away_from(kinks, values):
    for kink in kinks:
        values = np.where(np.abs(values - kink) < 0.1, values + 0.2, values)
    return values


@every_objective
@given(real=st.lists(reals, min_size=1, max_size=5), fake=st.lists(reals, min_size=1, max_size=5))
def test_objectives_are_their_formulas(name, real, fake):
    objective = losses.adversarial(name)
    on_real, on_fake, generator = FORMULAS[name]
    r, f = (rawgan.tensor(np.array(v)[:, None]) for v in (real, fake))
    want = np.mean([on_real(s) for s in real]) + np.mean([on_fake(s) for s in fake])
    assert abs(objective.discriminator(r, f).item() - want) <= 1e-12 * max(1, abs(want))
    want = np.mean([generator(s) for s in fake])
    assert abs(objective.generator(f).item() - want) <= 1e-12 * max(1, abs(want))


@every_objective
@settings(max_examples=15)
@given(n=few, m=few, seed=st.integers(0, 99))
def test_objectives_have_the_gradients_of_their_values(name, n, m, seed):
    objective = losses.adversarial(name)
    real = away_from(KINKS.get(name, ()), draw((n, 1), seed))
    fake = away_from(KINKS.get(name, ()), draw((m, 1), seed + 100))
    assert rawgan.gradcheck(objective.discriminator, real, fake, order=2)
    assert rawgan.gradcheck(objective.generator, fake, order=2)


@given(s=st.floats(-40, 40))
def test_what_saturates(s):
    """G's gradient is −σ(s) for the saturating loss, −(1 − σ(s)) for the other: where D wins, s ≪ 0."""
    saturating = gradient(losses.adversarial("saturating").generator, [[s]])[0, 0]
    other = gradient(losses.adversarial("non_saturating").generator, [[s]])[0, 0]
    assert abs(saturating - -sigma(s)) <= 1e-15
    assert abs(other - -sigma(-s)) <= 2e-16 + 1e-14 * sigma(-s)


@pytest.mark.parametrize("name", [n for n, (_, p) in losses.OBJECTIVES.items() if p is not None])
@settings(max_examples=30)
@given(n=few, seed=st.integers(0, 99))
def test_probability_forms_agree_with_logit_forms(name, n, seed):
    on_logits, on_p = losses.adversarial(name), losses.adversarial(name, probabilities=True)
    real, fake = draw((n, 1), seed), draw((n, 1), seed + 100)
    for a, b in [
        (on_logits.discriminator, lambda r, f: on_p.discriminator(ops.sigmoid(r), ops.sigmoid(f))),
        (lambda r, f: on_logits.generator(f), lambda r, f: on_p.generator(ops.sigmoid(f))),
    ]:
        results = []
        for loss in (a, b):
            r, f = (rawgan.tensor(v, requires_grad=True) for v in (real, fake))
            y = loss(r, f)
            results.append((y.item(), *(g.data for g in rawgan.grad(y, [r, f]))))
        assert all(np.max(np.abs(u - v)) <= 1e-12 for u, v in zip(*results, strict=True))
    p = rawgan.tensor(1 / (1 + np.exp(-fake)))
    assert rawgan.gradcheck(on_p.generator, p, order=2)
    assert abs(on_p.verdict(p) - on_logits.verdict(rawgan.tensor(fake))) <= 1e-12


def test_verdicts():
    """A probability for the cross-entropy games, the raw score for the others."""
    s = rawgan.tensor([[0.0], [2.0]], dtype="float64")
    for name in losses.OBJECTIVES:
        want = (0.5 + sigma(2)) / 2 if "saturating" in name else 1.0
        assert abs(losses.adversarial(name).verdict(s) - want) <= 1e-12


def test_unknown_objectives():
    with pytest.raises(ConfigError, match=r"did you mean 'non_saturating'.*there are: saturating, non_"):
        losses.adversarial("non-saturating")
    with pytest.raises(ConfigError, match="did you mean 'wasserstein'"):
        losses.adversarial("waserstein")
    for other in ("zzz", None, ["hinge"]):
        with pytest.raises(ConfigError, match="there is no objective"):
            losses.adversarial(other)
    for name, (_, probability) in losses.OBJECTIVES.items():
        assert repr(losses.adversarial(name)) == f"adversarial({name!r})"
        assert losses.adversarial(name).formula.startswith("D: ")
        if probability is None:
            with pytest.raises(ConfigError, match="leave out the final sigmoid"):
                losses.adversarial(name, probabilities=True)


@pytest.mark.parametrize("loss", [losses.bce, losses.bce_with_logits])
def test_a_loss_is_a_tensor_of_its_predictions_dtype(loss):
    assert type(loss([0.25, 0.5], [0, 1])) is rawgan.Tensor
    p = rawgan.tensor([[0.5]], requires_grad=True)
    assert loss(p, np.ones((1, 1))).dtype == np.float32
    assert loss(p, rawgan.tensor(np.ones((1, 1)))).dtype == np.float32
    assert type(losses.adversarial("hinge").generator(np.ones((2, 1)))) is rawgan.Tensor


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("name", ["saturating", "non_saturating"])
@given(s=st.lists(reals, min_size=1, max_size=5), smoothing=st.floats(0.01, 0.9))
def test_smoothed_labels(name, probabilities, s, smoothing):
    """D is to give 1 − smoothing for real data, where its loss has its minimum; nothing else changes."""
    plain = losses.adversarial(name, probabilities)
    smoothed = losses.adversarial(name, probabilities, smoothing)
    outputs = rawgan.tensor(np.array(s)[:, None])
    outputs = ops.sigmoid(outputs) if probabilities else outputs
    want = np.mean([softplus(-x) + smoothing * x for x in s])
    terms = smoothed.discriminator_terms(outputs, outputs)
    assert abs(terms["real"].item() - want) <= 1e-11 * max(1, abs(want))
    assert terms["fake"].item() == plain.called_fake(outputs).item() == smoothed.called_fake(outputs).item()
    assert smoothed.generator(outputs).item() == plain.generator(outputs).item()
    best = 1 - smoothing if probabilities else math.log((1 - smoothing) / smoothing)
    slope = gradient(lambda v: smoothed.discriminator_terms(v, [[0.5]])["real"], [[best]])
    assert abs(slope[0, 0]) <= 1e-12


def test_labels_that_cannot_be_smoothed():
    for name, (_, probability) in losses.OBJECTIVES.items():
        if probability is None:
            with pytest.raises(ConfigError, match="no labels to be smoothed"):
                losses.adversarial(name, label_smoothing=0.1)
            losses.adversarial(name, label_smoothing=0)
    for wrong in (1.0, -0.1, math.nan, "0.1", None, True):
        with pytest.raises(ConfigError, match="label_smoothing"):
            losses.adversarial("non_saturating", label_smoothing=wrong)
