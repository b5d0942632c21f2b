"""A recording has every value and gradient as it was, says who gave what, and changes nothing."""

import gc
import weakref

import numpy as np
import pytest

import rawgan
from rawgan import inspect, losses, nn, ops
from rawgan.engine import MODE
from rawgan.inspect.nodes import added
from rawgan.kernels.errors import ConfigError, GradientError


def leaf(*shape, seed=0, dtype="float32"):
    return rawgan.tensor(np.random.default_rng(seed).normal(size=shape), dtype=dtype, requires_grad=True)


def networks():
    rawgan.manual_seed(0)
    G = nn.Sequential(nn.Dense(3, 8), nn.ReLU(), nn.Dense(8, 4), nn.Tanh()).label("G")
    D = nn.Sequential(nn.Dense(4, 8), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Dense(8, 1)).label("D")
    return G, D


def d_step(G, D, rows=6):
    rng = np.random.default_rng(1)
    z, x = (rng.normal(size=(rows, n)).astype(np.float32) for n in (3, 4))
    fake = G(z)
    terms = {
        "real": losses.bce_with_logits(D(x), 1.0),
        "fake": losses.bce_with_logits(D(fake.detach()), 0.0),
        "penalty": losses.gradient_penalty(D, x, fake.detach(), 10.0),
    }
    loss = terms["real"] + terms["fake"] + terms["penalty"]
    loss.backward()
    return loss, terms, fake


def test_shares_of_every_node_are_its_gradient():
    with inspect.record() as tape:
        d_step(*networks())
    several = 0
    for node in tape.nodes:
        for received in node.received:
            total = added([share.value for share in received.shares])
            wanted = received.whole[0].value if received.whole else total
            np.testing.assert_array_equal(total, wanted)
            several += len(received.shares) > 1
    assert several > 3


def test_what_a_node_tells():
    _, D = networks()
    x = np.ones((2, 4), np.float32)
    with inspect.record() as tape:
        D(x).sum().backward()
    weight, dense, rectifier, dropout = (tape.find(name) for name in ("D.0.weight", "D.0", "D.1", "D.2"))
    assert (weight.op, weight.layer, weight.shape) == ("parameter", "D.0 (Dense)", (8, 4))
    assert dense.inputs[1] is weight
    assert dense.inputs[0].name == "x of D.0"
    assert dense.flows == (False, True, True)
    assert dense.formulas == {"y": "x Wᵀ + b", "x": "x̄ = ȳ W", "weight": "W̄ = ȳᵀ x", "bias": "b̄ = Σₙ ȳ"}
    assert dense.source.startswith("tests/inspect/test_record.py:")
    assert [share.consumer for share in weight.shares] == [dense]
    assert weight.shares[0].name == "weight"
    assert rectifier.attrs == {"negative_slope": 0.2}
    assert dropout.attrs["p"] == 0.3
    assert [node.number for node in tape] == list(range(len(tape)))
    assert tape.passes[0].visits[0] is tape.passes[0].root
    assert tape.passes[0].root.shares[0].consumer is None
    assert "D.0.weight, 8×4" in repr(weight)
    assert "<table>" in weight._repr_html_() + tape._repr_html_()


def test_a_gradient_of_a_gradient_is_recorded_as_any_other():
    x = leaf(5, dtype="float64")
    with inspect.record() as tape:
        (g,) = rawgan.grad((x * x * x).sum(), [x], create_graph=True)
        (g * g).sum().backward()
    assert [p.create_graph for p in tape.passes] == [True, False]
    assert any(node.within is tape.passes[0] for node in tape)
    np.testing.assert_allclose(tape.find(x).grad, 36 * x.data**3, rtol=1e-12)
    assert tape.check(x, 2).ok
    assert abs(tape.explain(x, 2).total - 36 * x.data[2] ** 3) <= 1e-9


def test_a_leaf_keeps_the_value_that_was_used():
    x = leaf(3)
    before = x.numpy().copy()
    with inspect.record() as tape:
        (x * 2).sum().backward()
        x.data -= 1.0
        (x * 3).sum().backward()
    first, second = (node for node in tape if node.op == "parameter")
    np.testing.assert_array_equal(first.value, before)
    np.testing.assert_array_equal(second.value, x.data)
    assert first.grad.tolist() == [2, 2, 2]
    assert second.grad.tolist() == [3, 3, 3]
    assert tape.find(x) is second


def test_several_passes_each_bring_a_gradient():
    x = leaf(2)
    with inspect.record() as tape:
        y = x * x
        y.sum().backward()
        (5.0 * y).sum().backward()
    one, two = tape.find(x).received
    np.testing.assert_array_equal(inspect.nodes.gradient(two), 5 * inspect.nodes.gradient(one))
    assert tape.find(y).brought_by(tape.passes[0]).shares != tape.find(y).shares
    assert len(tape.find(x).shares) == 2


def test_the_way_through_detach_and_no_grad_is_seen_but_no_gradient_flows():
    x = leaf(3)
    with inspect.record() as tape:
        y = x * 2
        with rawgan.no_grad():
            z = x * 3
        (y.detach() * x + z).sum().backward()
    last = next(node for node in tape if node.op == "multiply" and node.received)
    assert last.inputs == (tape.find(y), tape.find(x))
    assert last.flows == (False, True)
    assert tape.find(y).received == []
    np.testing.assert_array_equal(tape.find(x).grad, 2 * x.data)
    assert tape.check(x, 0).ok  # what was cut off does not move


def test_what_was_before_the_recording():
    x = leaf(3)
    y = ops.tanh(x)
    loss = (y * y).sum()
    with inspect.record() as tape:
        loss.backward()
    np.testing.assert_array_equal(tape.find(x).grad, x.grad)
    assert "before the recording" in repr(tape.passes[0].root)
    with pytest.raises(GradientError, match="record from the start"):
        tape.check(x, 0)


def test_a_value_that_was_changed_in_place_is_not_shown():
    x = leaf(3)
    with inspect.record() as tape:
        y = x * 2
        node = tape.find(y)
        y.data += 1.0
    with pytest.raises(GradientError, match="changed in place after it was recorded"):
        _ = node.value


@pytest.mark.parametrize("budget", [0, 1000])
def test_over_the_budget_the_largest_become_figures(budget):
    G, D = networks()
    rawgan.manual_seed(1)
    with inspect.record() as whole:
        d_step(G, D)
    rawgan.manual_seed(1)
    with inspect.record(budget=budget) as tape:
        d_step(G, D)
    sizes = [node.value.nbytes for node in tape if not node.leaf and isinstance(node.value, np.ndarray)]
    assert sum(sizes) <= budget
    gone = [node for node in tape if isinstance(node.value, inspect.Digest)]
    assert gone
    for node in gone:
        exact = whole[node.number].value
        assert node.shape == exact.shape
        assert node.value.maximum == exact.max()
        assert abs(node.value.norm - np.linalg.norm(exact)) <= 1e-5 * np.linalg.norm(exact)
        assert sum(node.value.counts) == exact.size
        assert "over the budget" in repr(node.value)
        assert max(sizes, default=0) <= max(node.value.nbytes for node in gone)
    assert "summarised" in repr(tape)
    weight = whole.find("D.0.weight")
    assert np.isclose(tape.check("D.0.weight", (1, 2)).exact, weight.grad[1, 2], rtol=1e-4)  # from the leaves


def test_filters_keep_some_layers_and_operations():
    G, D = networks()
    with inspect.record(layers=["D.*"], ops=["dense", "leaky*", "parameter"]) as tape:
        d_step(G, D)
    kept = {(node.op, node.layer) for node in tape if not node.leaf and isinstance(node.value, np.ndarray)}
    assert kept == {("dense", "D.0 (Dense)"), ("leaky_relu", "D.1 (LeakyReLU)"), ("dense", "D.3 (Dense)")}
    assert isinstance(tape.find("D.0.weight").grad, np.ndarray)
    assert "filtered out" in repr(tape.find("G.0").value)


def test_nothing_is_left_behind():
    gc.disable()
    try:
        with inspect.record() as tape:
            loss, terms, fake = d_step(*networks())
        assert MODE.get().watch is None
        arrays = [weakref.ref(node.value) for node in tape if not node.leaf]
        gone = weakref.ref(tape)
        del loss, terms, fake, tape
        gc.collect()
        assert gone() is None
        assert not [ref for ref in arrays if ref() is not None]
    finally:
        gc.enable()
    with pytest.raises(ZeroDivisionError), inspect.record():
        _ = 1 / 0
    assert MODE.get().watch is None


def test_the_graph_is_not_kept_alive_by_its_recording():
    with inspect.record() as tape:
        loss, _, _ = d_step(*networks())
        node = weakref.ref(loss._node)
        del loss, _
        gc.collect()
        assert node() is None
    assert len(tape) > 20


def test_recording_changes_no_bit():
    def gradients(recording):
        G, D = networks()
        with inspect.record() if recording else rawgan.use_kernels("fast"):
            loss, _, _ = d_step(G, D, rows=128)
        return [loss.data.tobytes(), *(p.grad.tobytes() for p in D.parameters())]

    assert gradients(True) == gradients(False)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"budget": -1}, "budget"),
        ({"budget": 1.5}, "budget"),
        ({"layers": "D"}, "layers is a list of patterns"),
        ({"ops": [1]}, "ops is a list of patterns"),
    ],
)
def test_wrong_arguments(wrong, match):
    with pytest.raises(ConfigError, match=match), inspect.record(**wrong):
        pass


def test_recordings_do_not_nest():
    with inspect.record(), pytest.raises(ConfigError, match="do not nest"), inspect.record():
        pass


def test_finding():
    G, D = networks()
    with inspect.record() as tape:
        loss, _, fake = d_step(G, D)
    assert tape.find(loss) is tape.passes[-1].root
    assert tape.find(fake).op == "tanh"
    assert tape.find(3) is tape[3]
    assert tape.find(tape[3]) is tape[3]
    assert tape.find("D.3 (Dense)").op == "dense"
    with inspect.record() as other:
        pass
    wrong = {
        "D.9.weight": "there is no node 'D.9.weight'; parameters: G.0.weight",
        1000: "there is no node 1000",
        leaf(2): "this tensor was not recorded",
    }
    for what, match in wrong.items():
        with pytest.raises(GradientError, match=match):
            tape.find(what)
    with pytest.raises(GradientError, match="of another tape"):
        other.find(tape[0])
    for what in (-1, None, 1.5):
        with pytest.raises(ConfigError):
            tape.find(what)
