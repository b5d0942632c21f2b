"""What is added to a loss: gradient penalties, divergence from the normal distribution, squared weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rawgan
from rawgan import losses, nn, ops, rng
from rawgan.kernels.errors import ShapeError

few = st.integers(1, 6)


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@given(n=few, m=few, seed=st.integers(0, 99), weight=st.floats(0.1, 20))
def test_penalties_of_a_linear_discriminator(n, m, seed, weight):
    """∇D = w everywhere: the penalty is weight · (‖w‖ − 1)², R1 weight / 2 · ‖w‖²."""
    w, real, fake = draw((1, m), seed), draw((n, m), seed + 1), draw((n, m), seed + 2)
    norm = np.linalg.norm(w)

    def D(x):
        return ops.dense(x, rawgan.tensor(w)) + 3.0

    assert (
        abs(losses.gradient_penalty(D, real, fake, weight).item() - weight * (norm - 1) ** 2) <= 1e-9 * weight
    )
    assert abs(losses.r1(D, real, weight).item() - weight / 2 * norm**2) <= 1e-9 * weight * norm**2


@settings(max_examples=30)
@given(n=few, m=few, seed=st.integers(0, 99))
def test_penalties_of_a_quadratic_discriminator(n, m, seed):
    """D(x) = a/2 ‖x‖² has ∇D = a x: R1 and its slope in a are plain sums, the penalty one over mixtures."""
    real, fake = draw((n, m), seed), draw((n, m), seed + 1)
    a = rawgan.tensor(1.7, dtype="float64", requires_grad=True)

    def D(x):
        return 0.5 * a * ops.sum(x * x, axis=1, keepdims=True)

    squares = np.sum(real**2, axis=1)
    y = losses.r1(D, real, 4.0)
    assert abs(y.item() - 2 * 1.7**2 * squares.mean()) <= 1e-12 * max(1, y.item())
    (slope,) = rawgan.grad(y, [a])
    assert abs(slope.item() - 4 * 1.7 * squares.mean()) <= 1e-12 * max(1, slope.item())

    rawgan.manual_seed(seed)
    y = losses.gradient_penalty(D, rawgan.tensor(real), rawgan.tensor(fake))
    rawgan.manual_seed(seed)
    t = rng.current().uniform((n, 1), "float64")
    norms = np.linalg.norm(t * real + (1 - t) * fake, axis=1)
    assert abs(y.item() - 10 * np.mean((1.7 * norms - 1) ** 2)) <= 1e-9 * max(1, y.item())
    (slope,) = rawgan.grad(y, [a])
    want = 10 * np.mean(2 * (1.7 * norms - 1) * norms)
    assert abs(slope.item() - want) <= 1e-7 * max(1, abs(want))


def critics():
    yield "dense", nn.Sequential(nn.Dense(3, 4), nn.Tanh(), nn.Dense(4, 1)), (4, 3)
    yield (
        "conv",
        nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.Softplus(), nn.Flatten(), nn.Dense(8, 1)),
        (2, 1, 4, 4),
    )
    yield "spectral", nn.Sequential(nn.Dense(3, 4), nn.Sigmoid(), nn.SpectralNorm(nn.Dense(4, 1))), (4, 3)


@pytest.mark.parametrize(("net", "shape"), [c[1:] for c in critics()], ids=[c[0] for c in critics()])
def test_penalties_by_double_backward(net, shape):
    """Their gradients in D's parameters against finite differences of the penalties themselves."""
    net.to(dtype="float64").eval()
    places = [(m, name) for _, m in net.named_modules() for name in m._parameters]
    start = [getattr(m, name).data.copy() for m, name in places]
    for _, m in net.named_modules():
        if isinstance(m, nn.SpectralNorm):
            held = m._singular_vectors(update=False)
            m._singular_vectors = lambda update, held=held: held
    real, fake = draw(shape, 1), draw(shape, 2)

    def of(penalty):
        def f(*parameters):
            for (m, name), p in zip(places, parameters, strict=True):
                setattr(m, name, p)
            with rng.use_generator(rng.Generator(9)):
                return penalty()

        return f

    assert rawgan.gradcheck(of(lambda: losses.gradient_penalty(net, real, fake)), *start)
    assert rawgan.gradcheck(of(lambda: losses.r1(net, real)), *start)


def test_penalties_of_a_flat_discriminator_are_finite():
    net = nn.Dense(3, 1).to(dtype="float64")
    net.weight.copy_(0 * net.weight.data)
    y = losses.gradient_penalty(net, draw((4, 3)), draw((4, 3), 1))
    y.backward()
    assert abs(y.item() - 10) <= 1e-4
    assert np.all(np.isfinite(net.weight.grad))
    constant = losses.r1(lambda x: rawgan.tensor(np.ones((4, 1))), draw((4, 3)))
    assert constant.item() == 0


def test_penalties_leave_the_data_and_a_frozen_generator_alone():
    fake = nn.Dense(2, 3)(np.ones((4, 2), np.float32))
    real = rawgan.tensor(np.ones((4, 3)), dtype="float32", requires_grad=True)
    losses.gradient_penalty(nn.Dense(3, 1), real, fake).backward()
    assert real.grad is None
    with pytest.raises(ShapeError, match=r"\(4, 3\).*\(5, 3\)"):
        losses.gradient_penalty(nn.Dense(3, 1), np.ones((4, 3), "f4"), np.ones((5, 3), "f4"))


@given(n=few, m=few, seed=st.integers(0, 99))
def test_kl_to_normal(n, m, seed):
    """KL(N(μ, s²) ‖ N(0, 1)) = (s² + μ² − 1 − log s²) / 2, summed over features, 0 at μ = 0, s = 1."""
    mean, log_variance = draw((n, m), seed), draw((n, m), seed + 1)
    y = losses.kl_to_normal(rawgan.tensor(mean), rawgan.tensor(log_variance)).item()
    s2 = np.exp(log_variance)
    assert abs(y - np.mean(np.sum(s2 + mean**2 - 1 - log_variance, axis=1)) / 2) <= 1e-12 * max(1, y)
    assert y >= 0
    zero = rawgan.tensor(np.zeros((n, m)))
    assert losses.kl_to_normal(zero, zero).item() == 0
    if n * m <= 6:
        assert rawgan.gradcheck(losses.kl_to_normal, mean, log_variance, order=2)


@pytest.mark.parametrize("other", [(4,), (1, 4), (3, 1), (3, 4, 1)])
def test_kl_to_normal_of_two_shapes(other):
    with pytest.raises(ShapeError) as error:
        losses.kl_to_normal(rawgan.tensor(np.ones((3, 4))), rawgan.tensor(np.ones(other)))
    assert "(3, 4)" in str(error.value)
    assert str(other) in str(error.value)


def test_l2():
    net = nn.Sequential(nn.Dense(3, 4), nn.Dense(4, 2)).to(dtype="float64")
    y = losses.l2(net.parameters())
    assert abs(y.item() - sum(np.sum(p.data**2) for p in net.parameters())) <= 1e-12
    y.backward()
    assert all(np.max(np.abs(p.grad - 2 * p.data)) <= 1e-15 for p in net.parameters())
