"""Optimisers against the same rules in plain Python, and the clippings against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizer_rules import adagrad, adam, rmsprop, rmsprop_printed, sgd

import rawgan
from rawgan import ops, optim
from rawgan.kernels.errors import CheckpointError, ConfigError, GradientError

# name -> the rule above, settings to try besides the defaults, the settings' names in PyTorch
RULES = {
    "sgd": (sgd, [{"lr": 0.1}, {"lr": 0.05, "momentum": 0.9}], {}),
    "rmsprop": (rmsprop, [{"lr": 0.01}, {"lr": 0.01, "rho": 0.5, "eps": 0.1}], {"rho": "alpha"}),
    "rmsprop_printed": (rmsprop_printed, [{"lr": 0.01}, {"lr": 0.01, "rho": 0.5, "eps": 0.1}], {}),
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
@pytest.mark.parametrize(("name", "chosen"), [case for case in CASES if case[0] != "rmsprop_printed"])
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
def test_a_gradient_in_another_memory_order(name):
    """What a user puts there may be a transposed view, or may not be written."""
    found = []
    for turn in (np.ascontiguousarray, np.asfortranarray):
        (w,) = params = parameters(shapes=[(3, 4)])
        w.grad = turn(np.random.default_rng(0).normal(size=(3, 4)))
        w.grad.flags.writeable = False
        made(name, params).step()
        found.append(w.data)
    np.testing.assert_array_equal(*found)


@every_optimizer
def test_an_update_makes_the_tape_stale(name):
    (w,) = params = parameters(shapes=[(3,)])
    opt = made(name, params)
    first, second = (w * w).sum(), (w * w).sum()
    first.backward()
    opt.step()
    with pytest.raises(GradientError, match=r"multiply.*changed in place"):
        second.backward()


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
