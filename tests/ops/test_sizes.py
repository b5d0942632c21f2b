"""The sizes that convolutions give are the ones that their checks go by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawgan import ops
from rawgan.kernels.errors import ShapeError

kernels, strides, paddings = (
    st.tuples(*[st.integers(low, high)] * 2) for low, high in ((1, 4), (1, 3), (0, 3))
)
sides = st.tuples(*[st.integers(4, 7)] * 2)


@given(side=sides, kernel=kernels, stride=strides, padding=paddings, axis=st.sampled_from([2, 3]))
def test_weight_grad_takes_what_conv2d_gives_and_nothing_else(side, kernel, stride, padding, axis):
    x, w = np.ones((1, 2, *side), np.float32), np.ones((3, 2, *kernel), np.float32)
    gy = ops.conv2d(x, w, None, stride, padding)
    assert ops.conv2d_weight_grad(x, gy, kernel, stride, padding).shape == w.shape
    for wrong in (np.repeat(gy, 2, axis), np.delete(gy, 0, axis)):
        with pytest.raises(ShapeError, match=r"conv2d_weight_grad: gy of shape .* is not what conv2d gives"):
            ops.conv2d_weight_grad(x, wrong, kernel, stride, padding)


@given(side=kernels, kernel=kernels, stride=strides, padding=paddings, extra=strides)
def test_conv_transpose2d_refuses_what_would_be_empty(side, kernel, stride, padding, extra):
    extra = tuple(min(e, s) - 1 for e, s in zip(extra, stride, strict=True))
    size = tuple(
        (n - 1) * s - 2 * p + k + e
        for n, k, s, p, e in zip(side, kernel, stride, padding, extra, strict=True)
    )
    x, w = np.ones((1, 2, *side), np.float32), np.ones((2, 3, *kernel), np.float32)
    if min(size) >= 1:
        assert ops.conv_transpose2d(x, w, None, stride, padding, extra).shape == (1, 3, *size)
    else:
        with pytest.raises(ShapeError) as refused:
            ops.conv_transpose2d(x, w, None, stride, padding, extra)
        assert f"would become {size} with padding {padding}" in str(refused.value)
