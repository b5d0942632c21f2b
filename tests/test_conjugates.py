"""The games of f-GAN: each divergence is what its best D reaches, and G always goes to what D calls real."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rawgan
from rawgan import losses
from rawgan.kernels.errors import ConfigError

# By their definitions, for probabilities p of the data and q of what G makes
DIVERGENCES = {
    "kl": lambda p, q: np.sum(p * np.log(p / q)),
    "reverse_kl": lambda p, q: np.sum(q * np.log(q / p)),
    "pearson": lambda p, q: np.sum((p - q) ** 2 / q),
    "jensen_shannon": lambda p, q: np.sum(p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))),
}
SLOPES = {  # f′, at which g of the best v lies
    "kl": lambda r: math.log(r) + 1,
    "reverse_kl": lambda r: -1 / r,
    "pearson": lambda r: 2 * (r - 1),
    "jensen_shannon": lambda r: math.log(2 * r / (1 + r)),
}
ACTIVATIONS = {  # g
    "kl": lambda v: v,
    "reverse_kl": lambda v: -math.exp(-v),
    "pearson": lambda v: v,
    "jensen_shannon": lambda v: math.log(2) - math.log1p(math.exp(-v)),
}
assert set(DIVERGENCES) == set(losses.CONJUGATES)

every_divergence = pytest.mark.parametrize("name", losses.CONJUGATES)
shares = st.lists(st.floats(0.1, 1), min_size=2, max_size=4)


def value(loss, v):
    return loss(rawgan.tensor([[v]], dtype="float64")).item()


def slope(loss, v):
    v = rawgan.tensor([[v]], dtype="float64", requires_grad=True)
    loss(v).backward()
    return v.grad.item()


def best(game, p, q):
    """D's best output at a point, by halving: its loss falls before it and rises after it."""
    low, high = -40.0, 40.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        falls = p * slope(game.real, middle) + q * slope(game.fake, middle) < 0
        low, high = (middle, high) if falls else (low, middle)
    return (low + high) / 2


@every_divergence
@settings(max_examples=10, deadline=None)
@given(a=shares, b=shares)
def test_the_best_d_reaches_the_divergence(name, a, b):
    """sup over v of E_p[g(v)] − E_q[f*(g(v))], D's loss with its sign turned, point by point."""
    game = losses.conjugate(name)
    n = min(len(a), len(b))
    p, q = (np.array(x[:n]) / sum(x[:n]) for x in (a, b))
    reached = 0.0
    for pi, qi in zip(p, q, strict=True):
        v = best(game, pi, qi)
        assert abs(ACTIVATIONS[name](v) - SLOPES[name](pi / qi)) <= 1e-6 * max(1, pi / qi, qi / pi)
        reached -= pi * value(game.real, v) + qi * value(game.fake, v)
    assert abs(reached - DIVERGENCES[name](p, q)) <= 1e-9


@every_divergence
@given(v=st.floats(-15, 15), shift=st.floats(-5, 5))
def test_no_d_goes_beyond_it(name, v, shift):
    game = losses.conjugate(name)
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    outputs = [v, v + shift, shift]
    found = -sum(
        a * value(game.real, x) + b * value(game.fake, x) for a, b, x in zip(p, q, outputs, strict=True)
    )
    assert found <= DIVERGENCES[name](p, q) + 1e-9


@every_divergence
@given(v=st.floats(-20, 20))
def test_g_goes_to_what_d_calls_real(name, v):
    """G lowers its loss by a higher v only: −f*(g(v)) falls with v, as D's answer for real data does."""
    game = losses.conjugate(name)
    assert slope(game.generator, v) <= 0
    assert slope(game.real, v) < 0
    assert abs(value(game.generator, v) + value(game.fake, v)) <= 1e-12 * max(1, abs(value(game.fake, v)))


@every_divergence
@settings(max_examples=15)
@given(n=st.integers(1, 5), seed=st.integers(0, 99))
def test_gradients(name, n, seed):
    v = np.random.default_rng(seed).normal(0, 1.5, (n, 1))
    v = np.where(np.abs(v + 2) < 0.1, v + 0.3, v)  # Pearson's conjugate bends at −2
    for loss in losses.conjugate(name)[:3]:
        assert rawgan.gradcheck(loss, v, order=2)


@given(real=st.floats(-15, 15), fake=st.floats(-15, 15))
def test_jensen_and_shannons_is_the_saturating_gan_but_for_log_4(real, fake):
    f, gan = losses.conjugate("jensen_shannon"), losses.adversarial("saturating")
    of_d = value(f.real, real) + value(f.fake, fake)
    assert abs(of_d + math.log(4) - gan.discriminator([[real]], [[fake]]).item()) <= 1e-5
    assert abs(slope(f.generator, fake) - slope(gan.generator, fake)) <= 1e-15
    assert abs(value(f.generator, fake) - value(gan.generator, fake) - math.log(2)) <= 1e-14 * 30


def test_means_over_the_batch():
    v = np.array([[0.5], [-1.0], [3.0]])
    for game in losses.CONJUGATES.values():
        for loss in game[:3]:
            each = [value(loss, x) for x in v[:, 0]]
            assert abs(loss(rawgan.tensor(v)).item() - np.mean(each)) <= 1e-12 * max(1, np.max(np.abs(each)))


def test_unknown_divergences():
    for wrong in ("js", None, ["kl"], 1):
        with pytest.raises(
            ConfigError, match=r"no divergence .*there are: kl, reverse_kl, pearson, jensen_shannon"
        ):
            losses.conjugate(wrong)
    assert all(game.formula.startswith("g(v) = ") for game in losses.CONJUGATES.values())
