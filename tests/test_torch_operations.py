"""PyTorch as a witness of single operations: values and gradients, over shapes, strides and paddings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rawgan
from rawgan import ops

torch = pytest.importorskip("torch", reason="PyTorch is the witness here: pip install torch")
F = torch.nn.functional
torch.set_num_threads(1)

pytestmark = pytest.mark.torch

whole = st.integers


def compare(ours, theirs, *arrays, tolerance=2e-5):
    """Value, and gradients for a random cotangent, in float32 and float64."""
    for dtype, scale in ((np.float32, 1.0), (np.float64, 1e-8)):
        a = [rawgan.tensor(v, dtype=dtype, requires_grad=True) for v in arrays]
        b = [torch.tensor(np.asarray(v, dtype), requires_grad=True) for v in arrays]
        y, want = ours(*a), theirs(*b)
        assert y.shape == tuple(want.shape)
        u = np.random.default_rng(0).normal(size=y.shape).astype(dtype)
        found = [y, *rawgan.grad(y, a, u)]
        wanted = [want, *torch.autograd.grad(want, b, torch.from_numpy(u))]
        for f, w in zip(found, wanted, strict=True):
            w = w.detach().numpy()
            assert np.max(np.abs(f.data - w), initial=0) <= tolerance * scale * max(1, np.max(np.abs(w)))


def arrays(seed, *shapes):
    random = np.random.default_rng(seed)
    return [random.normal(size=s) for s in shapes]


@st.composite
def windows(draw):
    """(n, in, out), kernel, stride, padding, size: each pair drawn by itself."""
    two = st.tuples
    kernel = draw(two(whole(1, 4), whole(1, 4)))
    stride = draw(two(whole(1, 3), whole(1, 3)))
    padding = tuple(draw(whole(0, k // 2)) for k in kernel)
    size = tuple(draw(whole(max(1, k - 2 * p), 7)) for k, p in zip(kernel, padding, strict=True))
    return draw(two(whole(1, 3), whole(1, 4), whole(1, 4))), kernel, stride, padding, size


@settings(max_examples=25)
@given(window=windows(), bias=st.booleans(), seed=whole(0, 99))
def test_conv2d(window, bias, seed):
    (n, i, o), kernel, stride, padding, size = window
    inputs = arrays(seed, (n, i, *size), (o, i, *kernel), *([(o,)] if bias else []))
    compare(
        lambda x, w, b=None: ops.conv2d(x, w, b, stride, padding),
        lambda x, w, b=None: F.conv2d(x, w, b, stride, padding),
        *inputs,
    )


@settings(max_examples=25)
@given(data=st.data(), window=windows(), bias=st.booleans(), seed=whole(0, 99))
def test_conv_transpose2d(data, window, bias, seed):
    (n, i, o), kernel, stride, padding, size = window
    extra = tuple(data.draw(whole(0, s - 1)) for s in stride)
    size = tuple(max(m, 2) for m in size)  # so that something is left after the padding is cut off
    inputs = arrays(seed, (n, i, *size), (i, o, *kernel), *([(o,)] if bias else []))
    compare(
        lambda x, w, b=None: ops.conv_transpose2d(x, w, b, stride, padding, extra),
        lambda x, w, b=None: F.conv_transpose2d(x, w, b, stride, padding, extra),
        *inputs,
    )


@settings(max_examples=25)
@given(window=windows(), seed=whole(0, 99))
def test_max_pool2d(window, seed):
    (n, c, _), kernel, stride, padding, size = window
    compare(
        lambda x: ops.max_pool2d(x, kernel, stride, padding),
        lambda x: F.max_pool2d(x, kernel, stride, padding),
        *arrays(seed, (n, c, *size)),
    )


@settings(max_examples=20)
@given(n=whole(2, 6), c=whole(1, 4), rest=st.sampled_from([(), (1, 1), (3, 2)]), seed=whole(0, 99))
def test_batch_norm(n, c, rest, seed):
    x, w, b = arrays(seed, (n, c, *rest), (c,), (c,))
    compare(
        lambda x, w, b: ops.batch_norm(x, w, b, 1e-2),
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True, eps=1e-2),
        x, w, b, tolerance=1e-4,
    )  # fmt: skip


@settings(max_examples=20)
@given(shape=st.lists(whole(1, 4), min_size=1, max_size=4), seed=whole(0, 99), data=st.data())
def test_log_softmax(shape, seed, data):
    axis = data.draw(whole(-len(shape), len(shape) - 1))
    compare(lambda x: ops.log_softmax(x, axis), lambda x: F.log_softmax(x, axis), *arrays(seed, tuple(shape)))


@settings(max_examples=20)
@given(
    before=st.lists(whole(1, 4), max_size=3),
    i=whole(1, 9),
    o=whole(1, 9),
    bias=st.booleans(),
    seed=whole(0, 99),
)
def test_dense(before, i, o, bias, seed):
    compare(
        lambda x, w, b=None: ops.dense(x, w, b),
        lambda x, w, b=None: F.linear(x, w, b),
        *arrays(seed, (*before, i), (o, i), *([(o,)] if bias else [])),
    )


@settings(max_examples=15)
@given(shape=st.lists(whole(1, 4), min_size=1, max_size=4), seed=whole(0, 99))
def test_activations_and_losses(shape, seed):
    x, t = arrays(seed, tuple(shape), tuple(shape))
    t = 1 / (1 + np.exp(-t))
    for ours, theirs in [
        (ops.relu, F.relu),
        (lambda x: ops.leaky_relu(x, 0.3), lambda x: F.leaky_relu(x, 0.3)),
        (ops.tanh, torch.tanh),
        (ops.sigmoid, torch.sigmoid),
        (ops.softplus, F.softplus),
    ]:
        compare(ours, theirs, 3 * x)
    compare(
        ops.bce_with_logits, lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="mean"), x, t
    )
    p = 1 / (1 + np.exp(-x))
    compare(
        lambda p: ops.bce(p, 1.0),
        lambda p: F.binary_cross_entropy(p, torch.ones_like(p), reduction="mean"),
        p,
    )
