"""Planted errors in the gradient rules and in the engine: the gradient tests' checker must notice each.

For every rule of every operation the result is scaled by 1.001, zeroed, negated, reversed and robbed of its
last element, and each of the rule's arguments in turn is replaced by another of its kind, which drops the
rule's dependence on it. The same for shared intermediates and fused rules. A mutant that changes no number
in any case is no error; each such one is listed in EQUIVALENT with its reason, and the list is checked.
"""

import inspect
from contextlib import contextmanager

import numpy as np
import pytest
from checker import check
from drawing import dice
from samples import SAMPLES

import rawgan
from rawgan import ops
from rawgan.engine import OPS, Tensor, backward
from rawgan.kernels.errors import GradientError

CASES = 40  # most errors are noticed in the first one

EQUIVALENT = {
    ("astype", "x", "other x"): "only the dtype of x is read",
    ("to_device", "x", "other x"): "only the device of x is read",
}


def raw(x):
    return x._data if isinstance(x, Tensor) else np.asarray(x)


def flipped(x):
    return ops.getitem(x, (slice(None, None, -1),) * x.ndim) if x.ndim else x


def cut(x):
    mask = np.ones(x.shape)
    mask.reshape(-1)[-1:] = 0
    return x * mask


RESULTS = {
    "times 1.001": lambda s: s * 1.001,
    "zeroed": lambda s: s * 0,
    "negated": lambda s: -s,
    "reversed": flipped,
    "last element lost": cut,
}


def another(name, value):
    """A value of the same kind, or None where there is no neighbour (an index, a dtype, a device)."""
    if isinstance(value, Tensor):
        return Tensor(np.ones_like(value._data))
    if isinstance(value, np.ndarray):
        return np.ones_like(value) if value.dtype.kind == "f" else np.zeros_like(value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, str | np.dtype | slice) or value is None or name == "index":
        return None
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 + 0.2
    return value[:-1] if name in ("axis", "axes") else value[::-1]


class Mutant:
    """A rule's function with one planted error; `changed` tells whether it ever made a difference."""

    def __init__(self, rule, label, skip, result=None, argument=None, key=None):
        self.rule, self.label, self.skip = rule, label, skip
        self.result, self.argument, self.key = result, argument, key
        self.changed = False

    def __call__(self, *args):
        right = self.rule.function(*args)
        if self.argument is not None:
            args = list(args)
            name = "gy" if self.argument < self.skip else self.rule.needs[self.argument - self.skip]
            value = another(name, args[self.argument])
            if value is None:
                return right
            args[self.argument] = value
        try:
            wrong = self.rule.function(*args)
            if self.result is not None and self.key is None:
                wrong = self.result(wrong)
            elif self.result is not None:
                wrong = wrong.copy() if isinstance(wrong, dict) else list(wrong)
                wrong[self.key] = self.result(wrong[self.key])
        except Exception:
            self.changed = True
            raise
        if not _same(right, wrong):
            self.changed = True
        return wrong


def _same(a, b):
    if isinstance(a, dict):
        return all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return a is b or np.array_equal(raw(a), raw(b))


def rules_of(op):
    """(where, rule, how to plant another function there, arguments before the saved ones)."""
    for name, rule in op.rules.items():
        yield name, rule, lambda new, name=name: op.rules.__setitem__(name, new), 1
    if op.shared:
        yield "shared", op.shared, lambda new: setattr(op, "shared", new), 0
    if op.fused:
        yield "fused", op.fused, lambda new: setattr(op, "fused", new), 2


def mutants_of(op, where, rule, skip):
    for k in range(skip + len(rule.needs)):
        if where != "fused" or k != 1:  # the second argument of a fused rule only says what is wanted
            name = "gy" if k < skip else rule.needs[k - skip]
            yield Mutant(rule, f"other {name}", skip, argument=k)
    if where == "shared":
        keys = [k for k, v in _shared_values(op).items() if hasattr(v, "shape")]
    else:
        keys = range(3 if op.variadic else len(op.inputs)) if where == "fused" else [None]
    for key in keys:
        for label, result in RESULTS.items():
            yield Mutant(rule, label if key is None else f"{label}: {key}", skip, result=result, key=key)


def _shared_values(op):
    case = SAMPLES[op.name].draw(dice(0))
    operands = [case.operands] if op.variadic else case.operands
    known = dict(zip(op.inputs, operands, strict=False)) | case.attrs
    return op.shared.function(*[known[name] for name in op.shared.needs])


@contextmanager
def planted(plant, rule, mutant):
    plant(rule._replace(function=mutant))
    try:
        yield
    finally:
        plant(rule)


def noticed(cases):
    """Whether the checker objects in any of the cases."""
    for case in cases:
        try:
            with np.errstate(all="ignore"):
                check(case)
        except Exception:
            return True
    return False


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_planted_error_is_noticed(name, record_property):
    op = OPS[name]
    cases = [SAMPLES[name].draw(dice(seed)) for seed in range(CASES)]
    assert not noticed(cases[:10])
    killed, survivors = 0, []
    equivalent = {key: reason for key, reason in EQUIVALENT.items() if key[0] == name}
    for where, rule, plant, skip in rules_of(op):
        for mutant in mutants_of(op, where, rule, skip):
            with planted(plant, rule, mutant):
                caught = noticed(cases)
            reason = equivalent.pop((name, where, mutant.label), None)
            if reason:
                assert not mutant.changed, f"{name}, {where}, {mutant.label} is not equivalent: {reason}?"
            elif caught:
                killed += 1
            else:
                survivors.append((where, mutant.label, "" if mutant.changed else "changes nothing"))
    record_property("mutations", (killed, killed + len(survivors)))
    assert not survivors
    assert not equivalent, "there is no such mutant any more"


def _check_engine():
    """Sums over paths, broadcasting, dtypes, ownership and stale values, at first and second order."""
    x, y, z = np.array([0.3, -0.7, 1.1]), np.array([[0.5], [-0.4]]), np.array([0.2, 0.9, -0.5])
    rawgan.gradcheck(lambda x, y: x * y + y, x, y, order=2)
    rawgan.gradcheck(lambda x: x * 2 + x * x + ops.tanh(x) * x + x * 3, x, order=2)

    def diamonds(x, y):
        for _ in range(3):
            x = ops.tanh(x) * x + x * y
        return x

    rawgan.gradcheck(diamonds, x, y, order=2)

    def one_array_for_two(x, z):
        early = x * 3
        return early + (x + z)

    rawgan.gradcheck(one_array_for_two, x, z, order=2)

    middle = ops.tanh(rawgan.tensor(x, requires_grad=True))
    late = middle * 2 * 3
    (slope,) = rawgan.grad(late + middle * middle, [middle], np.ones(3))
    np.testing.assert_allclose(slope.data, 6 + 2 * np.tanh(x))

    single, double = rawgan.tensor(x, dtype="float32", requires_grad=True), rawgan.tensor(x)
    (single * double).backward(np.ones(3))
    assert single.grad.dtype == np.float32
    (slope,) = rawgan.grad(ops.tanh(single) * double, [single], np.ones(3), create_graph=True)
    assert slope.dtype == np.float32
    (single * 2).backward(np.ones(3))
    np.testing.assert_allclose(single.grad, x + 2, rtol=1e-6)

    a, b = rawgan.tensor(x, requires_grad=True), rawgan.tensor(x, requires_grad=True)
    (a + b).backward(np.ones(3))
    assert not np.may_share_memory(a.grad, b.grad)

    product = a * b
    a.data -= 1.0
    try:
        product.backward(np.ones(3))
    except GradientError:
        return
    raise AssertionError("a stale value was used")


ENGINE = [
    (backward, "_walk", 'OPS["sum_to"](share, shape=like.shape)', "share"),
    (backward, "_walk", 'OPS["astype"](share, dtype=like.dtype)', "share"),
    (
        backward,
        "_walk",
        "gradients[parent] = _combined(operator.add, known, share)",
        "gradients[parent] = known",
    ),
    (
        backward,
        "_walk",
        "gradients[parent] = _combined(operator.add, known, share)",
        "gradients[parent] = share",
    ),
    (backward, "_walk", "_combined(operator.iadd, known, share)", "pass"),
    (backward, "_walk", "parent not in owned", "False"),
    (
        backward,
        "_walk",
        "heappush(heap, (-parent.sequence, parent))",
        "heappush(heap, (parent.sequence, parent))",
    ),
    (backward, "_leading_to", "useful.add(item)", "pass"),
    (backward, "_shares", "version[0] != then", "False"),
    (backward, "_with_history", "if producer is None:", "if True:"),
    (backward, "_own", "out[...] = share\n    return out", "return share"),
    (backward, "backward", "_combined(operator.iadd, share, leaf.grad)", "share"),
]


@pytest.mark.parametrize(("module", "function", "right", "wrong"), ENGINE)
def test_errors_in_the_engine_are_noticed(module, function, right, wrong, monkeypatch, record_property):
    _check_engine()
    source = inspect.getsource(getattr(module, function))
    assert source.count(right) == 1, "the engine has changed: plant this error anew"
    found = {}
    exec(source.replace(right, wrong), module.__dict__, found)
    monkeypatch.setattr(module, function, found[function])
    if function == "backward":
        monkeypatch.setattr(Tensor, "backward", found[function])
    _survives(_check_engine, record_property)


def test_an_error_in_sum_to_is_noticed(monkeypatch, record_property):
    """It drops a term: all but the first element of each summed axis."""
    monkeypatch.setattr(
        OPS["sum_to"],
        "value",
        lambda xp, x, *, shape: x[(0,) * (x.ndim - len(shape))][tuple(slice(0, n) for n in shape)],
    )
    _survives(_check_engine, record_property)


def _survives(checks, record_property):
    try:
        checks()
    except Exception:
        record_property("mutations", (1, 1))
    else:
        record_property("mutations", (0, 1))
        pytest.fail("the planted error was not noticed")
