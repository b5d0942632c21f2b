"""What every operation keeps, whatever it computes: dtypes, its inputs, its own memory."""

import numpy as np
import pytest
from checker import cotangent
from drawing import dice, drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES

import rawgan
from rawgan import ops
from rawgan.engine import OPS, Tensor, grad
from rawgan.kernels.errors import DTypeError

EVERY = sorted(SAMPLES)
EMPTY = sorted(name for name, s in SAMPLES.items() if s.empty)


def leaves_of(case):
    return [Tensor(x, requires_grad=True) for x in case.inputs]


def saved_arrays(tensor):
    """Every array that the graph behind a tensor keeps."""
    nodes, out = [tensor._node], []
    while nodes:
        node = nodes.pop()
        out += [v for v in node.saved.values() if isinstance(v, np.ndarray)]
        nodes += [p for p in node.parents if p is not None and not isinstance(p, Tensor)]
    return out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=15)
@given(data=st.data())
def test_values_and_gradients_keep_the_dtype(name, dtype, data):
    case = SAMPLES[name].draw(drawn(data)).astype(dtype)
    for call in case.calls:
        plain = call(*case.inputs)
        assert isinstance(plain, np.ndarray)
        leaves = leaves_of(case)
        y = call(*leaves)
        assert type(y) is Tensor
        assert y.dtype == plain.dtype == dtype
        np.testing.assert_array_equal(y.data, plain)
        u = cotangent(y.data)
        for create_graph in (False, True):
            for g, x in zip(grad(y, leaves, u, create_graph), leaves, strict=True):
                assert type(g) is Tensor
                assert g.dtype == dtype
                assert g.shape == x.shape


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=15)
@given(data=st.data())
def test_inputs_are_not_written_to_and_gradients_have_memory_of_their_own(name, data):
    case = SAMPLES[name].draw(drawn(data))
    case = case.converted(lambda a: a.copy(order="K"))
    before = [x.copy() for x in case.inputs]
    leaves = leaves_of(case)
    y = case.call(*leaves)
    u = cotangent(y.data)
    start = u.copy()
    for create_graph in (False, True):
        grad(y, leaves, u, create_graph)
    kept = [*case.inputs, u, y.data, *saved_arrays(y)]
    values = [array.copy() for array in kept]
    results = [g.data for g in grad(y, leaves, u)]
    y.backward(u)
    results += [x.grad for x in leaves]
    for x, b in zip([*case.inputs, u], [*before, start], strict=True):
        np.testing.assert_array_equal(x, b)
    for array, value in zip(kept, values, strict=True):
        np.testing.assert_array_equal(array, value)
    for i, g in enumerate(results):
        assert type(g) is np.ndarray
        assert g.flags.writeable
        assert not any(np.may_share_memory(g, other) for other in (*kept, *results[:i]))


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_without_elements(name, dtype):
    cases = [SAMPLES[name].draw(dice(seed, empty=True)).astype(dtype) for seed in range(6)]
    assert any(x.size == 0 for case in cases for x in case.inputs)
    for case in cases:
        for call in case.calls:
            leaves = leaves_of(case)
            y = call(*leaves)
            assert y.dtype == dtype
            for create_graph in (False, True):
                for g, x in zip(grad(y, leaves, cotangent(y.data), create_graph), leaves, strict=True):
                    assert (g.shape, g.dtype) == (x.shape, dtype)
                    assert np.isfinite(g.data).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.mean(np.ones((2, 0)), axis=1),
        lambda: ops.max(np.ones((0, 3))),
        lambda: ops.var(np.ones((2, 0))),
        lambda: ops.var(np.ones((2, 1)), axis=1, ddof=1),
        lambda: ops.batch_norm(np.ones((0, 3)), np.ones(3), np.ones(3)),
        lambda: ops.log_softmax(np.ones((2, 0))),
        lambda: ops.bce(np.ones((2, 0)), 1.0),
        lambda: ops.bce_with_logits(np.ones((2, 0)), np.ones((2, 0))),
    ],
)
def test_nothing_to_reduce(call):
    with pytest.raises(rawgan.ShapeError):
        call()


def test_every_row_that_takes_no_empty_array_is_refused_above():
    assert sorted(set(EVERY) - set(EMPTY)) == ["batch_norm", "bce", "bce_with_logits", "max", "mean", "var"]


NUMBERS = [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(2), np.array(2.5), np.array(2)]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{type(n).__name__}-{getattr(n, 'dtype', '')}")
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power", "maximum", "minimum"])
def test_numbers_do_not_widen(name, number):
    for dtype in ("float32", "float64"):
        x = rawgan.tensor([0.5, 1.5], dtype=dtype, requires_grad=True)
        for operands in ((x, number), (number, x)):
            y = OPS[name](*operands)
            assert y.dtype == dtype
            expected = getattr(np, name)(*[v.data if v is x else float(v) for v in operands])
            np.testing.assert_array_equal(y.data, expected.astype(dtype))
            for create_graph in (False, True):
                assert grad(y, [x], np.ones(2), create_graph)[0].dtype == dtype
            plain = OPS[name](*[v.data if v is x else v for v in operands])
            assert plain.dtype == dtype


@pytest.mark.parametrize(
    "labels", [np.array([0, 1]), np.array([False, True]), np.array([0, 1], np.uint8), [0, 1]]
)
def test_whole_numbers_do_not_widen(labels):
    x = rawgan.tensor([0.5, 0.25], requires_grad=True)
    for y in (
        x * labels,
        labels * x,
        ops.bce(x, labels),
        ops.bce_with_logits(x, labels),
        ops.maximum(x, labels),
    ):
        assert y.dtype == np.float32
        assert grad(y, [x], np.ones(y.shape))[0].dtype == np.float32


def test_operators_with_numpy_on_the_left():
    x = rawgan.tensor([1.0, 2.0], requires_grad=True)
    for left in (np.array([3.0, 4.0], np.float32), np.float64(3.0)):
        for y in (left + x, left - x, left * x, left / x, left**x):
            assert type(y) is Tensor
            assert y.dtype == np.float32
            assert y.requires_grad
    assert (np.ones((1, 2), np.float32) @ x).shape == (1,)


@pytest.mark.parametrize("wrong", [np.array([1j, 2j]), np.array(["a", "b"]), np.array([1, 2], np.float16)])
def test_other_dtypes_are_refused(wrong):
    with pytest.raises(rawgan.DTypeError, match="multiply: takes float32 or float64"):
        rawgan.tensor([1.0, 2.0]) * wrong


@pytest.mark.parametrize("wrong", ["abc", object(), {1: 2}])
def test_what_is_no_array_is_refused(wrong):
    with pytest.raises(rawgan.DTypeError, match="is not an array that rawgan can compute with"):
        rawgan.tensor([1.0, 2.0]) * wrong


def test_a_cast_is_undone_in_the_gradient():
    x = rawgan.tensor([1.0, 2.0], requires_grad=True)
    y = ops.astype(x, dtype="float64") * np.array([1 / 3, 2.0])
    assert y.dtype == np.float64
    (g,) = grad(y, [x], np.ones(2))
    assert g.dtype == np.float32
    np.testing.assert_array_equal(g.data, np.float32([1 / 3, 2.0]))


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"getitem"}))  # x[index] is for arrays
def test_lists_are_taken_as_float32(name):
    for seed in range(8):
        case = SAMPLES[name].draw(dice(seed)).astype("float32")
        if case.public is not None and all(x.size for x in case.inputs):
            y = case.public(*[x.tolist() for x in case.inputs])
            assert isinstance(y, np.ndarray)
            np.testing.assert_allclose(y, case.public(*case.inputs), rtol=1e-5, atol=1e-6, strict=True)


@pytest.mark.parametrize(
    ("value", "error"),
    [([[1.0], [1.0, 2.0]], rawgan.ShapeError), (["a"], rawgan.DTypeError), ([1j], rawgan.DTypeError)],
)
def test_lists_that_are_no_arrays(value, error):
    for call in (
        ops.exp,
        ops.sum,
        ops.relu,
        ops.mean,
        lambda v: ops.reshape(v, -1),
        lambda v: ops.matmul(v, v),
    ):
        with pytest.raises(error, match=r"tensor\(\)"):
            call(value)


def test_numpy_numbers_as_attributes():
    """Limits, slopes and sizes may come out of NumPy; they change no dtype."""
    x = rawgan.tensor(np.random.default_rng(0).normal(size=(2, 4, 4, 4)), dtype="float32", requires_grad=True)
    two, half, one = np.int64(2), np.float64(0.5), np.ones(4, np.float32)
    for f in (
        lambda x: ops.clip(x, -half, half),
        lambda x: ops.leaky_relu(x, half),
        lambda x: ops.max_pool2d(x, two, stride=(two, two)),
        lambda x: ops.mean(x, axis=(two, np.int32(0))),
        lambda x: ops.maxout(x, two),
        lambda x: ops.batch_norm(x, one, one, eps=half),
        lambda x: ops.dropout(x, half),
        lambda x: ops.reshape(x, (two, -1)),
        lambda x: x[two - 1],
        lambda x: x**two,
    ):
        y = f(x)
        for create_graph in (False, True):
            (g,) = grad(y, [x], cotangent(y.data), create_graph)
            assert y.dtype == g.dtype == np.float32


def test_tables_and_formulas_are_complete():
    for op in OPS.values():
        assert set(op.rules) == set(op.inputs), f"{op.name} lacks a rule"
        assert op.__doc__
        for rule in op.rules.values():
            assert rule.formula


def test_plain_arrays_of_whole_numbers_are_taken_as_float32():
    """Arithmetic in uint8 would wrap round."""
    one, two = np.array([1], np.uint8), np.array([2], np.uint8)
    assert ops.subtract(one, two).tolist() == [-1]
    assert ops.negate(two).tolist() == [-2]
    assert ops.tanh(one).dtype == np.float32
    with pytest.raises(DTypeError, match="tanh: takes float32 or float64, got an array of dtype float16"):
        ops.tanh(np.ones(2, np.float16))
    with pytest.raises(DTypeError, match="int32"):
        ops.astype(one, "int32")
