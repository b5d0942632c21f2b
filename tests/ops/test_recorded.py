"""A recording of every operation: what it says of values, gradients, shares, differences and derivatives."""

import numpy as np
import pytest
from checker import cotangent
from drawing import drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES

from rawgan import inspect
from rawgan.engine import Tensor
from rawgan.inspect.nodes import added


@pytest.mark.parametrize("name", sorted(SAMPLES))
@settings(max_examples=8)
@given(data=st.data())
def test_every_operation(name, data):
    case = SAMPLES[name].draw(drawn(data))
    leaves = [Tensor(x, requires_grad=True) for x in case.inputs]
    call = data.draw(st.sampled_from(case.calls))
    with inspect.record() as tape:
        y = call(*leaves)
        (y * cotangent(y.data)).sum().backward()
    np.testing.assert_array_equal(tape.find(y).value, y.data)
    assert name in {node.op for node in tape.nodes}
    for x in leaves:
        node = tape.find(x)
        np.testing.assert_array_equal(node.grad, x.grad)
        np.testing.assert_array_equal(added([share.value for share in node.shares]), x.grad)
        if not x.size:
            continue
        found = tape.check(x)
        assert found.ok or found.crossings, found
        index = tuple(data.draw(st.integers(0, n - 1)) for n in x.shape)
        told = tape.explain(x, index)
        assert abs(told.total - x.grad[index]) <= 1e-9 * (1 + np.abs(x.grad).max())
