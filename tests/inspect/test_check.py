"""The proofs: a right gradient passes, a wrong one does not, and corners are said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rawgan
from rawgan import inspect, losses, nn, ops
from rawgan.engine import OPS
from rawgan.kernels.errors import ConfigError, GradientError


def leaf(values, dtype="float64"):
    return rawgan.tensor(values, dtype=dtype, requires_grad=True)


def network(layers=("relu",), seed=0):
    rawgan.manual_seed(seed)
    kinds = {"relu": nn.ReLU, "leaky": lambda: nn.LeakyReLU(0.2), "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
    chain = [nn.Dense(3, 5), *[part for k in layers for part in (kinds[k](), nn.Dense(5, 5))], nn.Dense(5, 1)]
    return nn.Sequential(*chain).label("net")


@settings(max_examples=25)
@given(
    layers=st.lists(st.sampled_from(["relu", "leaky", "tanh", "sigmoid"]), min_size=1, max_size=3),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
def test_any_gradient_of_a_network(layers, seed, data):
    """One element: recorded, exact, numeric; explained, the parts add up."""
    net, x = network(layers, seed), np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)
    with inspect.record() as tape:
        losses.bce_with_logits(net(x), 1.0).backward()
    node = data.draw(st.sampled_from([n for n in tape if n.received]))
    index = tuple(data.draw(st.integers(0, n - 1)) for n in node.shape)
    found = tape.check(node, index)
    assert found.ok or found.crossings, found
    assert found.recorded == node.grad[index]
    told = tape.explain(node, index, most=data.draw(st.integers(1, 5)))
    while told is not None:
        exact = abs(told.value) + sum(abs(path.part) for path in told.paths) + abs(told.other)
        assert abs(told.total - told.value) <= 1e-5 * exact + 1e-9
        sizes = [abs(path.part) for path in told.paths]
        assert sizes == sorted(sizes, reverse=True)
        last, told = told, told.paths[0].below if told.paths else None
    assert not last.paths or last.paths[0].consumer is None, "followed to the loss"


@pytest.mark.parametrize("factor", [1.01, -1.0, 0.0])
def test_a_wrong_rule_is_found(factor, monkeypatch):
    """While it is recorded, and so in the float64 rules too: the difference knows better."""
    rule = OPS["exp"].rules["x"]
    wrong = rule._replace(function=lambda gy, y: factor * rule.function(gy, y))
    monkeypatch.setitem(OPS["exp"].rules, "x", wrong)
    x = leaf([0.3, -0.7])
    with inspect.record() as tape:
        ops.exp(x).sum().backward()
    found = tape.check(x, 0)
    assert not found.ok
    assert "THEY DO NOT AGREE" in repr(found)
    assert not tape.check(x).ok


def test_a_wrong_recorded_number_is_found():
    x = leaf([0.3, -0.7], "float32")
    with inspect.record() as tape:
        ops.tanh(x).sum().backward()
    assert tape.check(x, 0).ok
    tape.find(x).shares[0].held.array[0] *= 1.01
    found = tape.check(x, 0)
    assert found.error <= found.tolerance
    assert not found.ok


@pytest.mark.parametrize(
    ("f", "at"),
    [
        (ops.relu, 0.0),
        (lambda x: ops.leaky_relu(x, 0.2), 0.0),
        (ops.abs, 0.0),
        (lambda x: ops.clip(x, -1, 1), 1.0),
        (lambda x: ops.maximum(x, 2.0), 2.0),
        (lambda x: ops.minimum(2.0, x), 2.0),
        (lambda x: ops.max(ops.reshape(x, (1, 2)), axis=1), 5.0),
        (lambda x: ops.max(x, axis=0, keepdims=True), 5.0),
        (lambda x: ops.maxout(ops.reshape(x, (1, 2)), 2), 5.0),
        (lambda x: ops.max_pool2d(ops.reshape(x, (1, 1, 1, 2)), (1, 2)), 5.0),
        (lambda x: ops.dropout(x, 0.0, negative_slope=0.5), 0.0),
        (lambda x: ops.perceptron(ops.reshape(x, (2, 1)), [np.ones((1, 1))], [None], [0.0]), 0.0),
    ],
)
def test_corners_are_said(f, at):
    def checked(value):
        x = leaf([value, 5.0])
        with inspect.record() as tape:
            f(x).sum().backward()
        return tape.check(x, 0)

    corner = checked(at)
    assert corner.crossings
    assert "a corner: 1 of the" in repr(corner) or "a corner: 2 of the" in repr(corner)
    beside = checked(at + 1e-5)  # a step that is small enough finds no corner
    assert not beside.crossings
    assert beside.ok
    assert beside.step <= 1e-5 * max(1, at) * 1.1


def test_a_sum_that_hides_a_wrong_rule_does_not_hide_it_along_a_direction():
    """The gradient of log-softmax, summed, is 0 whatever the rule; a random direction's weights are not."""
    x = leaf([[0.1, 0.5, -0.3]])
    with inspect.record() as tape:
        (ops.log_softmax(x) * np.array([[1.0, 2.0, 3.0]])).sum().backward()
    for seed in range(3):
        found = tape.check(x, seed=seed)
        assert found.ok
        assert found.what == f" along a random direction (seed {seed})"
    assert tape.check(x, seed=1).exact != tape.check(x, seed=2).exact


@pytest.mark.parametrize("index", [(0,), (0, 0, 0), (2, 0), (0, -4), 0, "a", (0.0, 1), None])
def test_there_is_no_such_element(index):
    x = leaf(np.ones((2, 3)))
    with inspect.record() as tape:
        (x * x).sum().backward()
    with pytest.raises(GradientError, match=r"there is no element|no backward"):
        tape.explain(x, index)
    assert tape.check(x, (-1, -1)).what == "[1, 2]"


def test_where_no_gradient_came():
    x, y = leaf([1.0]), leaf([2.0])
    with inspect.record() as tape:
        (x * y.detach()).sum().backward()
    for ask in (tape.check, tape.explain, tape.ledger):
        with pytest.raises(GradientError, match="no backward pass brought a gradient here"):
            ask(next(n for n in tape if n.op == "input"), 0) if ask != tape.ledger else ask(
                next(n for n in tape if n.op == "input")
            )


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), weights=st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_the_parts_of_a_ledger_add_up(seed, weights):
    """In float64 to its rounding, whatever the terms weigh in the loss."""
    rng = np.random.default_rng(seed)
    w, v = leaf(rng.normal(size=(3, 4))), leaf(rng.normal(size=4))
    with inspect.record() as tape:
        h = ops.tanh(ops.matmul(w, v))
        terms = {"a": (h * h).sum(), "b": losses.l2([w]), "c": ops.mean(ops.abs(h))}
        loss = weights[0] * terms["a"] + weights[1] * terms["b"] + weights[2] * terms["c"]
        loss.backward()
    for node in (w, v, h):
        found = tape.ledger(node, terms)
        whole = tape.find(node).grad
        assert np.abs(found.sum - whole).max() <= 1e-12 * (1 + sum(found.norms.values()))
        assert found.norms["b"] == 0 or node is w
        for value in found.cosines.values():
            assert abs(value) <= 1 + 1e-12
    by_line = tape.ledger(w)
    assert len(by_line.parts) == 3
    assert np.abs(by_line.sum - w.grad).max() <= 1e-12 * (1 + sum(by_line.norms.values()))
    for name in ("source", "norm", "cosine of a and b"):
        assert name in repr(tape.ledger(w, terms))


def test_the_ledger_of_one_term_is_the_whole():
    x = leaf([1.0, 2.0])
    with inspect.record() as tape:
        (x * x).sum().backward()
    found = tape.ledger(x)
    assert list(found.norms.values()) == [np.linalg.norm(x.grad)]
    assert found.clipped is None
    assert found.rest == 0
    assert "<table>" in found._repr_html_()
    with pytest.raises(GradientError, match="this tensor was not recorded"):
        tape.ledger(x, {"other": leaf([1.0])})


def test_explain_lists_so_many_paths():
    x = leaf([2.0])
    with inspect.record() as tape:
        (x * np.arange(1.0, 6.0)).sum().backward()
    found = tape.explain(x, 0, most=2)
    assert [(p.index, p.gradient, p.slope) for p in found.paths] == [((4,), 1.0, 5.0), ((3,), 1.0, 4.0)]
    assert (found.other, found.count, found.total, found.value) == (6.0, 3, 15.0, 15.0)
    assert "other: 3 paths" in repr(found)
    assert tape.explain(x, 0, depth=1).paths[0].below is None
    with pytest.raises(ConfigError, match="most"):
        tape.explain(x, 0, most=0)
