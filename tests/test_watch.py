"""Whoever watches the tape is told of all that it does, and nothing is done differently."""

import numpy as np
import pytest

import rawgan
from rawgan import ops
from rawgan.engine import Watch, switch


def leaf(value):
    return rawgan.tensor(value, dtype="float64", requires_grad=True)


def test_watching_sees_every_value_and_gradient():
    events = []

    class Telling(Watch):
        def value(self, op, layer, inputs, attrs, out):
            events.append((op.name, layer, inputs, out.tolist()))

        def backward(self, output, grad, create_graph):
            events.append(("backward", output, grad.tolist(), create_graph))

        def node(self, node, grad):
            events.append((node.op.name, grad.tolist()))

        def share(self, node, i, share):
            events.append((node.op.name, i, share.tolist()))

        def done(self):
            events.append("done")

    x = leaf([1.0, 2.0])
    with switch(watch=Telling()):
        with switch(layer="L"):
            y = x * 3.0
        y.backward([1.0, 1.0])
        with pytest.raises(RuntimeError, match="stop"), switch(watch=Refusing()):
            y.backward([1.0, 1.0])
    assert events == [
        ("multiply", "L", (x, 3.0), [3, 6]),
        ("backward", y, [1, 1], False),
        ("multiply", [1, 1]),
        ("multiply", 0, [3, 3]),
        "done",
    ]
    assert Refusing.ended


class Refusing(Watch):
    """Breaks a backward pass off, and is told of its end all the same."""

    ended = False

    def node(self, node, grad):
        raise RuntimeError("stop")

    def done(self):
        Refusing.ended = True


def test_gradients_that_somebody_watches_are_not_added_to():
    w, x = leaf(np.ones((2, 2))), leaf(np.ones((3, 2)))
    seen = []

    class Keeping(Watch):
        def value(self, op, layer, inputs, attrs, out):
            seen.append((out.data, np.array(out.data)))

        def share(self, node, i, share):
            seen.append((share, share.copy()))

    with switch(watch=Keeping()):
        y = ops.perceptron(x, [w], [None], [1.0]) + ops.perceptron(2 * x, [w], [None], [1.0])
        y.sum().backward()
    assert len(seen) > 4
    for value, then in seen:
        np.testing.assert_array_equal(value, then)
