"""What rawgan.tensor takes and refuses, and how a Tensor behaves beside arrays."""

import numpy as np
import pytest

import rawgan
from rawgan.engine import Tensor
from rawgan.kernels.errors import DTypeError, ShapeError


def leaf(value, dtype="float64"):
    return rawgan.tensor(value, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1, "float32"),
        (1.5, "float32"),
        (True, "float32"),
        ([True, False], "float32"),
        ([[1, 2]], "float32"),
        ([[1.5], [2.5]], "float32"),
        ([], "float32"),
        (np.arange(3), "float32"),
        (np.arange(3, dtype=np.uint8), "float32"),
        (np.ones(2, np.float16), "float32"),
        (np.float64(1.5), "float32"),
        (np.array([1.5, 2.5]), "float64"),
        (np.array(1.5), "float64"),
        (np.array([1.5], np.float32), "float32"),
    ],
)
def test_what_tensor_takes(value, dtype):
    x = rawgan.tensor(value)
    assert x.dtype == dtype
    np.testing.assert_array_equal(x.data, np.asarray(value, dtype))
    assert type(x.data) is np.ndarray
    assert rawgan.tensor(value, dtype="float64").dtype == np.float64
    assert rawgan.tensor(rawgan.tensor(value)).dtype == dtype


def test_tensor_copies():
    array = np.ones((2, 3), np.float32)
    x = rawgan.tensor(array)
    array[0] = 5
    assert x.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert rawgan.tensor(array.T).data.flags.c_contiguous
    y = rawgan.tensor(x)
    y.data[...] = 0
    assert x.tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([[1], [1, 2]], ShapeError, "rows of different lengths"),
        (1j, DTypeError, "takes real numbers, got an array of dtype complex128"),
        (np.ones(2, complex), DTypeError, "takes real numbers"),
        ("text", DTypeError, "takes real numbers"),
        (["a", "b"], DTypeError, "takes real numbers"),
        (None, DTypeError, "takes real numbers, got an array of dtype object"),
        (object(), DTypeError, "takes real numbers"),
    ],
)
def test_what_tensor_refuses(value, error, message):
    with pytest.raises(error, match=message):
        rawgan.tensor(value)


@pytest.mark.parametrize("dtype", ["int32", "float16", "complex64", "nonsense", int, np.int8])
def test_tensors_are_float32_or_float64(dtype):
    with pytest.raises(DTypeError, match="tensors are float32 or float64"):
        rawgan.tensor([1.0], dtype=dtype)


def test_a_tensor_behaves_like_an_array():
    x = rawgan.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert (x.shape, x.ndim, x.size, len(x), x.device, x.dtype) == ((2, 2), 2, 4, 2, "cpu", np.float32)
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    assert np.asarray(x).tolist() == x.numpy().tolist() == x.data.tolist()
    assert float(x[0, 0]) == x[0, 0].item() == 1
    assert bool(x[0, 0])
    assert repr(x) == "tensor([[1., 2.],\n        [3., 4.]])"
    assert repr(leaf(1.0)) == "tensor(1., dtype=float64, requires_grad=True)"
    assert repr(leaf([1.0], "float32") * 2) == "tensor([2.], op=multiply)"
    for refused in (lambda: len(rawgan.tensor(1.0)), lambda: list(rawgan.tensor(1.0))):
        with pytest.raises(TypeError, match="0-d tensor"):
            refused()
    assert np.shares_memory(x.detach().data, x.data)
    assert not leaf(1.0).detach().requires_grad
    assert x.T.tolist() == x.transpose().tolist() == x.transpose(1, 0).tolist() == [[1, 3], [2, 4]]
    assert x.reshape(4).tolist() == x.reshape(-1).tolist() == x.reshape((4,)).tolist() == [1, 2, 3, 4]
    assert (x @ x).tolist() == (x.data @ x.data).tolist()
    assert (2 ** -abs(-x)).tolist() == [[0.5, 0.25], [0.125, 0.0625]]
    assert x.to("cpu") is x
    assert x.astype("float64").dtype == np.float64
    assert type(x) is Tensor


def test_given_data_is_kept_in_c_order():
    """Kernels that update parameters in place count on it."""
    x = rawgan.tensor(np.zeros((2, 3)), requires_grad=True)
    x.data = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert x.data.flags.c_contiguous
    assert x.data[1, 2] == 5


def test_comparisons_are_plain_boolean_arrays():
    x = rawgan.tensor([1.0, 2.0, 3.0], requires_grad=True)
    for got, want in (
        (x > 2, [False, False, True]),
        (x >= 2, [False, True, True]),
        (x < 2, [True, False, False]),
        (x <= rawgan.tensor([0.0, 2.0, 4.0]), [False, True, True]),
    ):
        assert type(got) is np.ndarray
        assert got.tolist() == want
    assert x[x > 1].tolist() == [2, 3]
