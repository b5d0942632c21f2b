"""The tape: what it keeps, what it frees, what it refuses, and gradients of any order."""

import gc
import sys
import threading
import weakref

import numpy as np
import pytest

import rawgan
from rawgan import kernels, ops
from rawgan.engine import MODE, switch
from rawgan.kernels.errors import GradientError, ShapeError


def leaf(value, dtype="float64"):
    return rawgan.tensor(value, dtype=dtype, requires_grad=True)


def test_a_chain_of_a_hundred_thousand_operations():
    limit = sys.getrecursionlimit()
    x = leaf([1.0, 2.0])
    y = x
    for _ in range(100_000):
        y = y + 1e-5
    (g,) = rawgan.grad(y.sum(), [x])
    y.sum().backward()
    assert g.tolist() == x.grad.tolist() == [1, 1]
    del y  # frees 100,000 nodes, each held by the next
    z = leaf(1.0)
    chain = z
    for _ in range(20_000):
        chain = chain * 1.0
    rawgan.grad(chain, [z], create_graph=True)
    assert sys.getrecursionlimit() == limit


def test_memory_goes_with_the_last_tensor():
    """No reference cycles: without the garbage collector, everything dies at once."""

    def step():
        x, w = leaf(np.ones((3, 4))), leaf(np.ones((2, 4)))
        h = ops.tanh(ops.dense(x, w))
        y = ops.log_softmax(ops.leaky_relu(h) * h).sum()
        (g,) = rawgan.grad(y, [x], create_graph=True)
        z = (g * g).sum()
        z.backward()
        return [weakref.ref(v) for v in (x, w, h, y, g, z, x.data, w.data, h.data, x.grad)]

    step()  # kernels are imported and compiled on their first call
    gc.collect()
    gc.disable()
    try:
        assert [r() for r in step()] == [None] * 10
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_node_keeps_exactly_what_its_wanted_rules_need():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    assert set((x * y)._node.saved) == {"x", "y"}
    assert set((x * y.detach())._node.saved) == {"y"}
    assert set(ops.tanh(x)._node.saved) == {"y"}
    assert (x + y)._node.saved == {}
    assert set(x.sum()._node.saved) == {"axis", "keepdims", "x_shape"}


def test_frozen_weights_cost_nothing(monkeypatch):
    """The generator's step through a frozen discriminator: no weight gradient is computed or prepared for."""
    rng = np.random.default_rng(0)
    x = leaf(rng.normal(size=(2, 3, 6, 6)))
    w, b, v = (rawgan.tensor(rng.normal(size=s)) for s in [(4, 3, 3, 3), (4,), (1, 64)])
    calls = []
    original = kernels.Kernel.__call__
    monkeypatch.setattr(
        kernels.Kernel, "__call__", lambda self, *a, **k: calls.append(self.name) or original(self, *a, **k)
    )

    def step():
        h = ops.conv2d(x, w, b)
        ops.dense(ops.reshape(h, (2, 64)), v).sum().backward()
        return h._node.saved

    saved = step()
    assert calls == ["conv2d", "contiguous", "dense", "matmul", "conv_transpose2d"]
    assert "x" not in saved
    calls.clear()
    w.requires_grad = True
    saved = step()
    assert "conv2d_weight_grad" in calls
    assert saved["x"] is x.data
    calls.clear()
    h = ops.conv2d(x, w, b)
    rawgan.grad(h.sum(), [x])  # the same for weights that nobody asks about this time
    assert calls == ["conv2d", "conv_transpose2d"]


def test_no_work_below_what_is_asked_for(monkeypatch):
    calls = []
    original = kernels.Kernel.__call__
    monkeypatch.setattr(
        kernels.Kernel, "__call__", lambda self, *a, **k: calls.append(self.name) or original(self, *a, **k)
    )
    x, one = leaf(np.ones((4, 2))), leaf(np.ones(2))
    y = ops.batch_norm(x * x, one, one)
    calls.clear()
    rawgan.grad((y * y).sum(), [y])
    assert calls == []


CHANGES = {
    "x.data -= ...": lambda x: setattr(x, "data", x.data.__isub__(1.0)),
    "copy_": lambda x: x.copy_(np.zeros(x.shape)),
    "changed()": lambda x: (np.subtract(x.data, 1.0, out=x.data), x.changed()),
    "through detach()": lambda x: x.detach().copy_(np.zeros(x.shape)),
    "through a view": lambda x: x.reshape(-1).copy_(np.zeros(x.size)),
    "through a row": lambda x: x[0].copy_(np.zeros(x.shape[1:])),
    "through a view of a view": lambda x: x.detach().transpose()[0].copy_(np.zeros(x.shape[0])),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_stale_value_is_an_error_that_names_operation_and_layer(change, create_graph):
    x, y = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([[1.0, 1.0], [1.0, 1.0]])
    with switch(layer="0 (Dense)"):
        z = (x * y).sum()
    CHANGES[change](x)
    with pytest.raises(GradientError, match=r"multiply in 0 \(Dense\): its saved 'x' was changed in place"):
        rawgan.grad(z, [y], create_graph=create_graph)


def test_changes_that_no_rule_cares_about():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    z = ((x + y) * 2.0).sum()
    x.data -= 1.0  # a sum keeps neither of its terms
    z.backward()
    assert x.grad.tolist() == [2, 2]
    h = x * y
    z = (h * h).sum()
    x.data -= 1.0
    assert rawgan.grad(z, [h])[0].tolist() == (2 * h.data).tolist()  # does not go back as far as x


def test_an_output_changed_in_place():
    x = leaf([1.0, 2.0])
    y = ops.exp(x)
    y.data += 1.0
    with pytest.raises(GradientError, match="exp: its saved 'y' was changed"):
        y.sum().backward()


def test_replaced_data():
    """The old array still serves a first-order pass; a second-order one could not reach the leaf."""
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    x.data = np.array([5.0, 6.0])
    assert rawgan.grad(y, [x])[0].tolist() == [2, 4]
    with pytest.raises(GradientError, match=r"multiply: the data of its leaf .* was replaced"):
        rawgan.grad(y, [x], create_graph=True)
    with pytest.raises(ShapeError, match=r"\(3,\) does not fit a tensor of shape \(2,\)"):
        x.data = np.zeros(3)
    with pytest.raises(ShapeError, match=r"copy_: values of shape \(3,\)"):
        x.copy_(np.zeros(3))


def test_third_order_against_closed_forms():
    point = np.array([0.3, -0.7, 1.2])
    t = np.tanh(point)
    closed = {
        ops.tanh: (1 - t**2, -2 * t * (1 - t**2), (1 - t**2) * (6 * t**2 - 2)),
        ops.exp: (np.exp(point),) * 3,
        (lambda x: x**5): (5 * point**4, 20 * point**3, 60 * point**2),
        (lambda x: x * x * x): (3 * point**2, 6 * point, np.full(3, 6.0)),
    }
    for f, derivatives in closed.items():
        x = leaf(point)
        y = f(x)
        for expected in derivatives:
            (y,) = rawgan.grad(y.sum(), [x], create_graph=True)
            np.testing.assert_allclose(y.data, expected, rtol=1e-12)


def test_gradients_of_the_second_order_reach_leaves():
    """The shape of a gradient penalty: backward() of a function of a gradient."""
    x, w = leaf([1.0, 2.0]), leaf([3.0, -1.0])
    (g,) = rawgan.grad((ops.tanh(x) * w).sum(), [x], create_graph=True)
    (g * g).sum().backward()
    s = 1 - np.tanh(x.data) ** 2
    np.testing.assert_allclose(w.grad, 2 * w.data * s**2, rtol=1e-12)
    np.testing.assert_allclose(x.grad, 2 * w.data**2 * s * -2 * np.tanh(x.data) * s, rtol=1e-12)


def test_zeros_for_what_the_output_does_not_depend_on():
    x, z, constant = leaf([1.0, 2.0]), leaf([[3.0]], "float32"), rawgan.tensor([1.0])
    gx, gz, gc = rawgan.grad((x * x).sum(), [x, z, constant])
    assert gx.tolist() == [2, 4]
    assert (gz.tolist(), gz.dtype, gc.tolist()) == ([[0]], np.float32, [0])
    for create_graph in (False, True):
        (gx,) = rawgan.grad(constant, [x], create_graph=create_graph)  # depends on nothing at all
        assert gx.tolist() == [0, 0]


def test_with_respect_to_intermediate_tensors_and_itself():
    x = leaf([1.0, 2.0])
    h = x * 3
    y = (h * h + x).sum()
    gh, gx, gy = rawgan.grad(y, [h, x, y])
    assert (gh.tolist(), gx.tolist(), gy.tolist()) == ([6, 12], [19, 37], 1)
    assert rawgan.grad(x, [x], [5.0, 6.0])[0].tolist() == [5, 6]
    u = np.array([1.0, 2.0])
    (g,) = rawgan.grad(h, [h], u)
    assert not np.may_share_memory(g.data, u)
    assert x.grad is None


def test_the_same_tensor_twice_and_diamonds():
    x = leaf([2.0, 3.0])
    assert rawgan.grad((x * x).sum(), [x])[0].tolist() == [4, 6]
    assert rawgan.grad((x - x).sum(), [x])[0].tolist() == [0, 0]
    assert rawgan.grad(ops.concatenate([x, x]), [x], [1.0, 2.0, 3.0, 4.0])[0].tolist() == [4, 6]
    assert rawgan.grad(x.sum(), [x, x])[1].tolist() == [1, 1]
    y = x
    for _ in range(50):  # 2⁵⁰ paths
        y = (y + y) * 0.5
    assert rawgan.grad(y.sum(), [x])[0].tolist() == [1, 1]


def test_backward_adds_up_and_leaves_old_gradients_alone():
    x = leaf([1.0, 2.0], "float32")
    (x * 2).sum().backward()
    first = x.grad
    assert type(first) is np.ndarray
    assert first.dtype == np.float32
    (x * x).sum().backward()
    assert first.tolist() == [2, 2]
    assert x.grad.tolist() == [4, 6]
    x.grad = None
    y = (x * 3).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [6, 6]
    leaf(1.0).backward()
    x.backward(np.array([1.0, 1.0]))
    assert x.grad.tolist() == [7, 7]


def test_a_starting_gradient():
    x = leaf([1.0, 2.0], "float32")
    u = np.array([1.0, 10.0], np.float32)
    for given in (u, u.astype(np.float64), [1.0, 10.0], rawgan.tensor(u), rawgan.tensor(u, dtype="float64")):
        (g,) = rawgan.grad(x * x, [x], given)
        assert g.tolist() == [2, 40]
        assert g.dtype == np.float32
    for dtype in ("float32", "float64"):
        weight = leaf([1.0, 10.0], dtype)  # a starting gradient may itself be on the tape
        (g,) = rawgan.grad(leaf([3.0, 4.0], "float32") * x, [x], weight, create_graph=True)
        assert g.dtype == np.float32
        assert rawgan.grad(g.sum(), [weight])[0].tolist() == [3, 4]


def test_messages():
    x = leaf([1.0, 2.0])
    with pytest.raises(GradientError, match=r"shape \(2,\) needs a starting value.*\.sum\(\)"):
        (x * 2).backward()
    with pytest.raises(GradientError, match="computed from nothing that requires a gradient"):
        rawgan.tensor(1.0).backward()
    with pytest.raises(ShapeError, match=r"starting gradient has shape \(3,\), the tensor \(2,\)"):
        (x * 2).backward([1.0, 2.0, 3.0])
    with pytest.raises(GradientError, match=r"write grad\(y, \[x\]\)"):
        rawgan.grad(x.sum(), x)
    with pytest.raises(GradientError, match="inputs are tensors, got ndarray"):
        rawgan.grad(x.sum(), [np.ones(2)])
    with pytest.raises(GradientError, match=r"on leaves only; use x.detach\(\)"):
        (x * 2).requires_grad = False
    with pytest.raises(GradientError, match=r"x.detach\(\).numpy\(\)"):
        np.asarray(x)
    with pytest.raises(ShapeError, match=r"one element, got shape \(2,\)"):
        x.item()


def test_no_grad():
    x = leaf(1.0)
    with rawgan.no_grad():
        y = x * 2
        assert not y.requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(GradientError):
        y.backward()
    with pytest.raises(KeyError), rawgan.no_grad():
        raise KeyError
    assert MODE.get().grad
    with rawgan.no_grad(), switch(layer="a"), switch(grad=True):
        assert MODE.get()[:2] == (True, "a")
    assert MODE.get() == type(MODE.get())()


def test_switches_belong_to_their_thread():
    x, seen = leaf(1.0), []
    with rawgan.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
        assert not (x * 2).requires_grad
    assert seen == [True]


def test_two_backward_passes_into_one_number():
    """A 0-d gradient stays an array, so that clipping can scale it."""
    x = rawgan.tensor(3.0, requires_grad=True)
    (x * x).backward()
    first = x.grad
    (x * x).backward()
    assert type(x.grad) is np.ndarray
    assert x.grad == 12
    assert first == 6
    rawgan.optim.clip_grad_norm([x], 6.0)
    assert x.grad == 6


def test_what_a_fused_rule_made_is_taken_as_it_is_and_nobody_elses_memory():
    """Gradients of two passes are added in place, and neither saved values nor other gradients change."""
    rng = np.random.default_rng(0)
    w, b, v, c = (leaf(rng.normal(size=s)) for s in [(4, 3), (4,), (2, 4), (2,)])
    batches = [leaf(rng.normal(size=(5, 3))) for _ in range(3)]

    def passes():
        return sum((ops.perceptron(x, [w, v], [b, c], [0.2, 1.0]) ** 2).sum() for x in batches)

    passes().backward()
    whole = {p: p.grad.copy() for p in (w, b, v, c)}
    parts = [np.zeros_like(whole[p]) for p in whole]
    for x in batches:
        for part, g in zip(
            parts,
            rawgan.grad((ops.perceptron(x, [w, v], [b, c], [0.2, 1.0]) ** 2).sum(), list(whole)),
            strict=True,
        ):
            part += g.data
    for p, part in zip(whole, parts, strict=True):
        np.testing.assert_allclose(whole[p], part, rtol=1e-12)
    kept = w.grad
    passes().backward()  # into a new array: whoever holds the old one sees no change
    np.testing.assert_array_equal(kept, whole[w])
    np.testing.assert_allclose(w.grad, 2 * whole[w], rtol=1e-12)
    arrays = [p.grad for p in (w, b, v, c, *batches)]
    assert not any(np.shares_memory(a, z) for i, a in enumerate(arrays) for z in arrays[:i])
