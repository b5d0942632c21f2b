"""The clippings against their definitions, and a whole clipped Adam step from finite differences."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from optimizer_rules import adam

import rawgan
from rawgan import differences, losses, nn, optim
from rawgan.kernels.errors import ConfigError

CLIPS = {
    "norm": optim.clip_grad_norm,
    "each": optim.clip_grad_norm_each,
    "value": optim.clip_grad_value,
}
every_clip = pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS)


def with_gradients(*gradients, dtype="float64"):
    """Parameters with these gradients; None for none."""
    out = []
    for g in gradients:
        p = rawgan.tensor(np.zeros(1 if g is None else np.shape(g)), dtype=dtype, requires_grad=True)
        p.grad = None if g is None else np.array(g, dtype)
        out.append(p)
    return out


def exact_norm(*gradients):
    return math.sqrt(math.fsum(float(x) ** 2 for g in gradients if g is not None for x in np.ravel(g)))


lists = st.lists(
    st.one_of(st.none(), st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=5)),
    min_size=1,
    max_size=4,
)


@given(gradients=lists, limit=st.floats(1e-3, 1e3), dtype=st.sampled_from(["float32", "float64"]))
def test_clip_grad_norm_is_its_formula(gradients, limit, dtype):
    params = with_gradients(*gradients, dtype=dtype)
    norm = optim.clip_grad_norm(params, limit)
    want = exact_norm(*gradients)
    assert type(norm) is float
    assert abs(norm - want) <= 1e-14 * want
    factor = limit / want if want > limit else 1.0
    for p, g in zip(params, gradients, strict=True):
        if g is None:
            assert p.grad is None
        elif want <= limit:
            assert np.array_equal(p.grad, np.array(g, dtype))  # bit for bit
        else:
            error = np.abs(p.grad - factor * np.array(g))
            assert (
                np.max(error) <= 2 * np.finfo(dtype).eps * factor * np.max(np.abs(g)) + np.finfo(dtype).tiny
            )
    assert exact_norm(*(p.grad for p in params)) <= limit * (1 + 4 * np.finfo(dtype).eps)


@given(gradients=lists, limit=st.floats(1e-3, 1e3), dtype=st.sampled_from(["float32", "float64"]))
def test_clip_grad_norm_each_is_clip_grad_norm_one_by_one(gradients, limit, dtype):
    together, alone = (with_gradients(*gradients, dtype=dtype) for _ in range(2))
    norms = optim.clip_grad_norm_each(together, limit)
    assert norms == [optim.clip_grad_norm([p], limit) for p in alone]
    for p, q in zip(together, alone, strict=True):
        assert np.array_equal(p.grad, q.grad) if q.grad is not None else p.grad is None


@given(gradients=lists, limit=st.floats(1e-3, 1e3), dtype=st.sampled_from(["float32", "float64"]))
def test_clip_grad_value_cuts(gradients, limit, dtype):
    params = with_gradients(*gradients, dtype=dtype)
    arrays = [p.grad for p in params]
    assert optim.clip_grad_value(params, limit) is None
    bound = np.dtype(dtype).type(limit)
    for p, g, array in zip(params, gradients, arrays, strict=True):
        assert p.grad is array
        if g is not None:
            assert np.array_equal(p.grad, [min(max(x, -bound), bound) for x in np.array(g, dtype)])


@every_clip
@given(gradients=lists, limit=st.floats(1e-3, 1e3))
def test_a_second_clipping_changes_nothing_more(clip, gradients, limit):
    params = with_gradients(*gradients)
    clip(params, limit)
    once = [None if p.grad is None else p.grad.copy() for p in params]
    clip(params, limit)
    for p, g in zip(params, once, strict=True):
        assert g is None or np.max(np.abs(p.grad - g)) <= 1e-15 * np.max(np.abs(g))


@every_clip
def test_zero_gradients_stay(clip):
    params = with_gradients(np.zeros(3), None, np.zeros((2, 2)), dtype="float32")
    clip(params, 1e-3)
    assert all(p.grad is None or np.all(p.grad == 0) for p in params)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_norm_that_is_not_finite_changes_nothing(bad):
    """Scaling by C/∞ would make zeros and NaN of it: the anomaly is to be seen, not spread."""
    for clip, spoilt in ((optim.clip_grad_norm, [0, 1]), (optim.clip_grad_norm_each, [0])):
        before = [np.array([bad, 5.0]), np.array([3.0, 4.0])]
        params = with_gradients(*before)
        norms = clip(params, 1.0)
        assert not math.isfinite(norms if clip is optim.clip_grad_norm else norms[0])
        for i, (p, g) in enumerate(zip(params, before, strict=True)):
            if i in spoilt:
                assert np.array_equal(p.grad, g, equal_nan=True)
            else:
                assert np.max(np.abs(p.grad - [0.6, 0.8])) <= 1e-15
    params = with_gradients([bad, 5.0])
    optim.clip_grad_value(params, 1.0)
    assert np.array_equal(params[0].grad, [np.clip(bad, -1, 1), 1.0], equal_nan=True)


@pytest.mark.parametrize("size", [1e20, 1e-30])
def test_norms_whose_squares_float32_cannot_hold(size):
    (p,) = with_gradients([3 * size, 4 * size], dtype="float32")
    want = exact_norm(p.grad)
    assert abs(optim.clip_grad_norm([p], size) - want) <= 1e-14 * want
    assert np.max(np.abs(p.grad / np.float32(size) - [0.6, 0.8])) <= 1e-6


def test_norms_of_long_gradients_are_summed_in_float64():
    """A large element and very many small ones, which a float32 sum loses one by one or rounds away."""
    g = np.full(300_000, 1e-2, np.float32)
    g[0] = 4096
    params = with_gradients(g, np.full((100, 100), 1e-4), dtype="float32")
    want = exact_norm(*(p.grad for p in params))
    assert abs(optim.clip_grad_norm(params, 1e6) - want) <= 1e-11 * want
    assert abs(math.sqrt(float(np.sum(g * g))) - exact_norm(g)) > 1e-9 * want  # float32 would not do


@every_clip
def test_gradients_in_another_memory_order(clip):
    given = [np.random.default_rng(i).normal(size=(3, 4)) for i in range(2)]
    plain, turned = with_gradients(*given), with_gradients(*given)
    for p in turned:
        p.grad = np.asfortranarray(p.grad)
    clip(plain, 0.5)
    clip(turned, 0.5)
    assert all(np.array_equal(p.grad, q.grad) for p, q in zip(plain, turned, strict=True))


@every_clip
def test_bad_limits(clip):
    for limit in (0, -1, math.nan, math.inf, "1", None, True):
        with pytest.raises(ConfigError, match="the limit is a number above 0"):
            clip(with_gradients([1.0]), limit)


@every_clip
def test_one_tensor_or_an_iterator_will_do(clip):
    (p,) = with_gradients([[3.0, 4.0]])
    clip(p, 0.5)
    assert np.max(np.abs(p.grad)) <= 0.5
    (p,) = with_gradients([[3.0, 4.0]])
    clip(iter([p]), 0.5)
    assert np.max(np.abs(p.grad)) <= 0.5


def networks():
    yield "dense", nn.Sequential(nn.Dense(2, 3), nn.Tanh(), nn.Dense(3, 1)), (4, 2)
    yield "maps", nn.Sequential(nn.Conv2d(1, 2, 2), nn.Sigmoid(), nn.Flatten(), nn.Dense(2, 1)), (3, 1, 2, 2)
    yield (
        "norm",
        nn.Sequential(nn.Dense(2, 2, bias=False), nn.BatchNorm(2), nn.Softplus(), nn.Dense(2, 1)),
        (4, 2),
    )


NETWORKS = {name: rest for name, *rest in networks()}


def clipped(kind, gradients, limit):
    """The clippings, once more, on plain lists of numbers."""
    if kind == "value":
        return [np.minimum(np.maximum(g, -limit), limit) for g in gradients]
    norms = (
        [exact_norm(*gradients)] * len(gradients) if kind == "norm" else [exact_norm(g) for g in gradients]
    )
    if kind is None:
        return gradients
    return [g * (limit / n) if n > limit else g for g, n in zip(gradients, norms, strict=True)]


@pytest.mark.parametrize("kind", [None, *CLIPS])
@pytest.mark.parametrize("which", NETWORKS)
@settings(max_examples=5)
@given(seed=st.integers(0, 10**6), share=st.floats(0.1, 1.5), t=st.integers(1, 50))
def test_a_clipped_adam_step_from_finite_differences(which, kind, seed, share, t):
    """Adam in mid-flight, m and v not 0: only then does the size of a gradient count."""
    net, shape = NETWORKS[which]
    net.to(dtype="float64")
    random = np.random.default_rng(seed)
    x, labels = rawgan.tensor(random.normal(size=shape)), random.integers(0, 2, (shape[0], 1)).astype(float)
    params = net.parameters()
    for p in params:
        p.copy_(random.normal(size=p.shape))
    start = [p.data.copy() for p in params]

    def value(number, at):
        params[number].copy_(at)
        with rawgan.no_grad():
            loss = losses.bce_with_logits(net(x), labels).data
        params[number].copy_(start[number])
        return loss

    slopes, doubt = [], 0.0
    for number, at in enumerate(start):
        g = np.zeros(at.shape)
        for index in np.ndindex(at.shape):
            unit = np.zeros(at.shape)
            unit[index] = 1.0
            g[index], apart = differences._slope(value, number, at, unit, 1e-4, np.ones(()))
            doubt = max(doubt, apart)
        slopes.append(g)
    assume(doubt <= 1e-6)  # batch normalisation of nearly equal values has no usable differences

    opt = optim.Adam(params, lr=0.1, betas=(0.6, 0.9))
    state = {k: random.uniform(0.01, 1, v.shape) for k, v in opt.state_dict().items()}
    opt.load_state_dict(state | {"steps": np.full(len(params), t - 1), "lr": np.array(0.1)})
    limit = share * (max(np.max(np.abs(g)) for g in slopes) if kind == "value" else exact_norm(*slopes))
    want = []
    for i, (at, g) in enumerate(zip(start, clipped(kind, slopes, limit), strict=True)):
        each = zip(at.ravel(), g.ravel(), state[f"m.{i}"].ravel(), state[f"v.{i}"].ravel(), strict=True)
        want.append([adam(a, b, t, {"m": m, "v": v}, 0.1, (0.6, 0.9)) for a, b, m, v in each])

    opt.zero_grad()
    losses.bce_with_logits(net(x), labels).backward()
    if kind is not None:
        CLIPS[kind](params, limit)
    opt.step()
    for p, w in zip(params, want, strict=True):
        assert np.max(np.abs(p.data.ravel() - w)) <= 1e-9 + doubt
