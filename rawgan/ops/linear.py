"""Matrix products."""

from __future__ import annotations

from rawgan import arrays, kernels
from rawgan.engine import op
from rawgan.kernels.errors import DTypeError, ShapeError
from rawgan.ops.reduce import channel_sum
from rawgan.ops.shape import as_input, reshape, transpose


def same_dtype(name, **inputs):
    """Refuse float32 beside float64 where NumPy would silently compute in float64."""
    found = {x.dtype for x in inputs.values() if x is not None}
    if len(found) == 1 and arrays.is_float(*found):
        return
    dtypes = {k: str(x.dtype) for k, x in inputs.items() if x is not None}
    if len(found) > 1:
        listed = ", ".join(f"{k} is {d}" for k, d in dtypes.items())
        raise DTypeError(f"{name}: {listed}; convert one with ops.astype(x, dtype=...)")
    raise DTypeError(f"{name}: takes float32 or float64, got {dtypes}")


def swapped(x):
    """x with its last two axes exchanged."""
    n = len(x.shape)
    return transpose(x, (*range(n - 2), n - 1, n - 2))


@op("matmul")
def _matmul(xp, a, b):
    """The matrix product of the last two axes."""
    return kernels.matmul(a, b)


@_matmul.rule("a", formula="ā = ȳ bᵀ")
def matmul_a(gy, b):
    return _matmul(gy, swapped(b))


@_matmul.rule("b", formula="b̄ = aᵀ ȳ")
def matmul_b(gy, a):
    return _matmul(swapped(a), gy)


def matmul(a, b):
    """Matrix product as numpy.matmul: (..., M, K) with (..., K, N); vectors count as rows and columns.

    >>> matmul([[1.0, 2.0]], [3.0, 4.0])
    array([11.], dtype=float32)
    """
    a, b = as_input(a), as_input(b)
    if not a.shape or not b.shape:
        raise ShapeError(f"matmul: takes vectors and matrices, got shapes {a.shape} and {b.shape}")
    same_dtype("matmul", a=a, b=b)
    row, column = len(a.shape) == 1, len(b.shape) == 1
    inner = a.shape[-1], b.shape[0 if column else -2]
    if inner[0] != inner[1]:
        raise ShapeError(f"matmul: shapes {a.shape} and {b.shape} do not fit: {inner[0]} ≠ {inner[1]}")
    for m, n in zip(a.shape[-3::-1], b.shape[-3::-1], strict=False):
        if m != n and 1 not in (m, n):
            raise ShapeError(f"matmul: the leading axes of {a.shape} and {b.shape} do not broadcast")
    y = _matmul(reshape(a, (1, -1)) if row else a, reshape(b, (-1, 1)) if column else b)
    if row or column:
        y = reshape(y, (*y.shape[:-2], *y.shape[-2:-1][row:], *y.shape[-1:][column:]))
    return y


@op("dense")
def _dense(xp, x, weight, bias=None):
    """x Wᵀ + b."""
    return kernels.dense(x, weight, bias)


@_dense.rule("x", formula="x̄ = ȳ W")
def dense_x(gy, weight):
    return _matmul(gy, weight)


@_dense.rule("weight", formula="W̄ = ȳᵀ x", new=True)
def dense_weight(gy, x):
    return _matmul(swapped(gy), x)


@_dense.rule("bias", formula="b̄ = Σₙ ȳ")
def dense_bias(gy):
    return channel_sum(gy)


def dense(x, weight, bias=None):
    """A fully connected layer: x (..., I), weight (O, I), bias (O,) or None -> (..., O)."""
    x, weight, bias = as_input(x), as_input(weight), as_input(bias, True)
    same_dtype("dense", x=x, weight=weight, bias=bias)
    if len(weight.shape) != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"dense: x of shape {x.shape} does not fit a weight of shape {weight.shape}: "
            "x takes (..., I), the weight (O, I)"
        )
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise ShapeError(f"dense: bias of shape {bias.shape} does not fit a weight of shape {weight.shape}")
    if len(x.shape) == 2:
        return _dense(x, weight, bias)
    y = _dense(reshape(x, (-1, x.shape[-1])) if weight.shape[1] else x, weight, bias)
    return reshape(y, (*x.shape[:-1], weight.shape[0]))
