"""Optimisers against the same rules in plain Python, and the clippings against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import rawgan
from rawgan import differences, losses, nn, ops, optim
from rawgan.kernels.errors import CheckpointError, ConfigError, GradientError

# One element's update, as the papers print it: (x, g, t, state, ...) -> x; `state` starts at 0.


def sgd(x, g, t, state, lr, momentum=0.0):
    state["v"] = momentum * state.get("v", 0.0) + g
    return x - lr * state["v"]


def rmsprop(x, g, t, state, lr, rho=0.9, eps=1e-8):
    state["v"] = rho * state.get("v", 0.0) + (1 - rho) * g * g
    return x - lr * g / (math.sqrt(state["v"]) + eps)


def adagrad(x, g, t, state, lr, eps=1e-10):
    state["s"] = state.get("s", 0.0) + g * g
    return x - lr * g / (math.sqrt(state["s"]) + eps)


def adam(x, g, t, state, lr=2e-4, betas=(0.5, 0.999), eps=1e-8):
    b1, b2 = betas
    state["m"] = b1 * state.get("m", 0.0) + (1 - b1) * g
    state["v"] = b2 * state.get("v", 0.0) + (1 - b2) * g * g
    return x - lr * (state["m"] / (1 - b1**t)) / (math.sqrt(state["v"] / (1 - b2**t)) + eps)


# name -> the rule above, settings to try besides the defaults, the settings' names in PyTorch
RULES = {
    "sgd": (sgd, [{"lr": 0.1}, {"lr": 0.05, "momentum": 0.9}], {}),
    "rmsprop": (rmsprop, [{"lr": 0.01}, {"lr": 0.01, "rho": 0.5, "eps": 0.1}], {"rho": "alpha"}),
    "adagrad": (adagrad, [{"lr": 0.1}, {"lr": 0.1, "eps": 0.5}], {}),
    "adam": (adam, [{}, {"lr": 0.01, "betas": (0.9, 0.99), "eps": 0.1}, {"betas": (0.0, 0.9)}], {}),
}
assert set(RULES) == set(optim.OPTIMIZERS)
CASES = [(name, chosen) for name, (_, several, _) in RULES.items() for chosen in several]
every_case = pytest.mark.parametrize(("name", "chosen"), CASES)
every_optimizer = pytest.mark.parametrize("name", RULES)

SHAPES = [(3,), (2, 2), (1, 2, 1, 3)]


def parameters(seed=0, dtype="float64", shapes=SHAPES):
    random = np.random.default_rng(seed)
    return [rawgan.tensor(random.normal(size=s), dtype=dtype, requires_grad=True) for s in shapes]


def give_gradients(params, random):
    """New random gradients, of sizes from a thousandth to a thousand."""
    for p in params:
        p.grad = (random.normal(size=p.shape) * 10 ** random.uniform(-3, 3, p.shape)).astype(p.dtype)


def made(name, params, **chosen):
    return optim.OPTIMIZERS[name](params, **({"lr": 0.01} | chosen if name != "adam" else chosen))


@every_case
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-6)])
@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 8))
def test_the_rule_in_plain_python(name, chosen, dtype, tolerance, seed, steps):
    params, random = parameters(seed, dtype), np.random.default_rng(seed + 1)
    opt = made(name, params, **chosen)
    want = [[float(x) for x in p.data.ravel()] for p in params]
    states = [[{} for _ in xs] for xs in want]
    moved = 0.0
    for t in range(1, steps + 1):
        give_gradients(params, random)
        for xs, each, p in zip(want, states, params, strict=True):
            for i, g in enumerate(p.grad.ravel()):
                before = xs[i]
                xs[i] = RULES[name][0](xs[i], float(g), t, each[i], **chosen)
                moved = max(moved, abs(xs[i] - before))
        kept = [p.grad.copy() for p in params]
        opt.step()
        assert all(np.array_equal(p.grad, g) for p, g in zip(params, kept, strict=True))
    for xs, p in zip(want, params, strict=True):
        assert p.dtype == dtype
        error = np.max(np.abs(p.data.ravel() - xs))
        assert error <= tolerance * steps * max(1, moved)


@pytest.mark.torch
@every_case
def test_the_rule_in_pytorch(name, chosen):
    torch = pytest.importorskip("torch", reason="PyTorch is the witness here")
    params, random = parameters(), np.random.default_rng(1)
    theirs = [torch.tensor(p.data, requires_grad=True) for p in params]
    words = RULES[name][2]
    defaults = {"adam": {"lr": 2e-4, "betas": (0.5, 0.999)}, "rmsprop": {"alpha": 0.9}}.get(name, {})
    kind = {"sgd": "SGD", "rmsprop": "RMSprop", "adagrad": "Adagrad", "adam": "Adam"}[name]
    witness = getattr(torch.optim, kind)(theirs, **defaults | {words.get(k, k): v for k, v in chosen.items()})
    opt = made(name, params, **chosen)
    for step in range(30):
        give_gradients(params, random)
        for p, q in zip(params, theirs, strict=True):
            if step % 3 == 1 and p is params[1]:  # each parameter counts its own updates
                p.grad = None
            q.grad = None if p.grad is None else torch.tensor(p.grad)
        opt.step()
        witness.step()
        for p, q in zip(params, theirs, strict=True):
            assert np.max(np.abs(p.data - q.detach().numpy())) <= 1e-12 * max(1, np.max(np.abs(p.data)))


# State ---------------------------------------------------------------------------------


@every_case
@settings(max_examples=8)
@given(before=st.integers(0, 4), after=st.integers(1, 4))
def test_a_restored_optimizer_goes_on_bit_for_bit(name, chosen, before, after):
    def run(random, params, opt, steps):
        for _ in range(steps):
            give_gradients(params, random)
            params[0].grad = params[0].grad if random.uniform() < 0.7 else None
            opt.step()

    params, random = parameters(dtype="float32"), np.random.default_rng(1)
    opt = made(name, params, **chosen)
    run(random, params, opt, before)
    saved, weights = opt.state_dict(), [p.data.copy() for p in params]
    kept = {k: v.copy() for k, v in saved.items()}
    run(random, params, opt, after)
    assert all(np.array_equal(v, kept[k]) for k, v in saved.items())  # copies, not views

    twins = [rawgan.tensor(w, requires_grad=True) for w in weights]
    twin, random = made(name, twins, **chosen), np.random.default_rng(1)
    run(random, parameters(dtype="float32"), made(name, parameters(dtype="float32"), **chosen), before)
    twin.load_state_dict(saved)
    for v in saved.values():
        v += 1  # the loaded state does not share memory with what it was loaded from
    run(random, twins, twin, after)
    assert all(np.array_equal(p.data, q.data) for p, q in zip(params, twins, strict=True))
    assert all(np.array_equal(v, twin.state_dict()[k]) for k, v in opt.state_dict().items())


@every_optimizer
def test_state_that_does_not_fit(name):
    opt = made(name, parameters())
    opt_state = opt.state_dict()
    for change, words in [
        (lambda s: s.pop("steps"), "steps"),
        (lambda s: s.update(extra=np.ones(1)), "extra"),
        (lambda s: s.update(steps=np.ones(7, np.int64)), r"\(7,\).*\(3,\)"),
    ]:
        state = dict(opt_state)
        change(state)
        with pytest.raises(CheckpointError, match=words):
            opt.load_state_dict(state)
    other = made(name, parameters(shapes=[(2, 2), (2, 2), (3,)]))
    if opt.slots:
        with pytest.raises(CheckpointError, match=r"\(3,\).*\(2, 2\)"):
            other.load_state_dict(opt_state)


def test_states_of_other_optimizers_are_refused():
    params = parameters()
    with pytest.raises(CheckpointError, match="SGD: the saved state has other names"):
        optim.SGD(params, 0.1).load_state_dict(optim.Adam(params).state_dict())
    with pytest.raises(CheckpointError, match="other names"):
        optim.SGD(params, 0.1).load_state_dict(optim.SGD(params, 0.1, momentum=0.9).state_dict())


# What is left alone ------------------------------------------------------------------------


@every_optimizer
def test_what_has_no_gradient_is_left_alone(name):
    params = parameters()
    before = [p.data.copy() for p in params]
    opt = made(name, params)
    params[1].requires_grad = False  # frozen: backward gives it nothing
    sum((p * p).sum() for p in params).backward()
    assert params[1].grad is None
    opt.step()
    assert [np.array_equal(p.data, b) for p, b in zip(params, before, strict=True)] == [False, True, False]
    assert opt.steps == [1, 0, 1]
    assert all(np.all(v == 0) for v in opt.state[1].values())
    opt.zero_grad()
    assert all(p.grad is None for p in params)
    opt.step()
    assert opt.steps == [1, 0, 1]


@every_optimizer
def test_a_parameter_that_joins_late_starts_as_at_step_one(name):
    early, late = (rawgan.tensor([1.0, -2.0], dtype="float64", requires_grad=True) for _ in range(2))
    opt = made(name, [early, late])
    random = np.random.default_rng(0)
    gradients = random.normal(size=(4, 2))
    for g in gradients:
        early.grad, late.grad = g.copy(), None
        opt.step()
    for g in gradients:
        early.grad, late.grad = None, g.copy()
        opt.step()
    assert np.array_equal(early.data, late.data)


@every_optimizer
def test_an_update_makes_the_tape_stale(name):
    (w,) = params = parameters(shapes=[(3,)])
    opt = made(name, params)
    first, second = (w * w).sum(), (w * w).sum()
    first.backward()
    opt.step()
    with pytest.raises(GradientError, match=r"multiply.*changed in place"):
        second.backward()


# Bad settings ------------------------------------------------------------------------------


@every_optimizer
def test_bad_parameters(name):
    (w,) = parameters(shapes=[(3,)])
    with pytest.raises(ConfigError, match="got no parameters"):
        made(name, [])
    with pytest.raises(ConfigError, match=r"leaf tensors such as net\.parameters"):
        made(name, [w * 2])
    with pytest.raises(ConfigError, match="leaf tensors"):
        made(name, [w.data])
    with pytest.raises(ConfigError, match="listed twice"):
        made(name, [w, w])
    assert made(name, iter([w])).params == made(name, w).params == [w]


@pytest.mark.parametrize(
    ("name", "chosen", "words"),
    [
        (n, {"lr": lr}, "lr is a number in")
        for n in RULES
        for lr in (-1, math.nan, math.inf, "fast", None, True)
    ]
    + [("sgd", {"momentum": m}, "momentum") for m in (-0.1, 1.0, "a")]
    + [("rmsprop", {"rho": 1.0}, "rho"), ("rmsprop", {"eps": -1}, "eps"), ("adagrad", {"eps": None}, "eps")]
    + [("adam", {"betas": b}, "beta") for b in (0.5, (0.5,), (0.5, 1.0), (-0.1, 0.9), ("a", "b"), None)]
    + [("adam", {"eps": -1e-8}, "eps")],
)
def test_bad_settings(name, chosen, words):
    with pytest.raises(ConfigError, match=words):
        made(name, parameters(), **chosen)


@every_optimizer
def test_numpy_numbers_do_not_widen_the_update(name):
    """A float64 learning rate would compute float32 parameters in float64: another result."""
    results = []
    for lr in (0.1, np.float64(0.1)):
        params, random = parameters(dtype="float32"), np.random.default_rng(0)
        opt = made(name, params, lr=lr)
        for _ in range(3):
            give_gradients(params, random)
            opt.step()
        results.append(params)
    assert all(np.array_equal(p.data, q.data) for p, q in zip(*results, strict=True))


# Clipping ------------------------------------------------------------------------------------

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


# A whole clipped step from finite differences ------------------------------------------------


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
    opt.load_state_dict(state | {"steps": np.full(len(params), t - 1)})
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


def test_training_works():
    """Every optimiser goes down a bowl."""
    for name, lr in [("sgd", 0.1), ("rmsprop", 0.05), ("adagrad", 0.5), ("adam", 0.05)]:
        w = rawgan.tensor([3.0, -2.0], requires_grad=True)
        opt = made(name, [w], lr=lr)
        for _ in range(200):
            opt.zero_grad()
            ops.sum((w - 1) ** 2).backward()
            opt.step()
        assert np.max(np.abs(w.data - 1)) <= 0.05
