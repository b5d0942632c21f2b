"""Every differentiable operation, and the operators and methods of Tensor.

`OPS` is the table of all of them: name -> operation, with its value rule, one gradient rule per
input and that rule's formula. Operations take Tensors, arrays or numbers; with a Tensor
among the inputs they return a Tensor, with arrays only an array.

>>> from rawgan import ops
>>> ops.OPS["tanh"].rules["x"].formula
'x̄ = ȳ ⊙ (1 − y²)'
"""

from __future__ import annotations

from typing import Any

from rawgan.engine import OPS, Op, Tensor
from rawgan.ops.activation import leaky_relu, log_softmax, maxout, relu, sigmoid, softplus, tanh
from rawgan.ops.arithmetic import (
    abs,
    add,
    astype,
    clip,
    divide,
    exp,
    log,
    maximum,
    minimum,
    multiply,
    negate,
    power,
    raw,
    sqrt,
    subtract,
)
from rawgan.ops.conv import conv2d, conv2d_weight_grad, conv_transpose2d, max_pool2d
from rawgan.ops.linear import dense, matmul
from rawgan.ops.loss import bce, bce_with_logits
from rawgan.ops.normalize import batch_norm, batch_norm_fixed, batch_norm_with_statistics, dropout, dropout2d
from rawgan.ops.perceptron import perceptron
from rawgan.ops.reduce import broadcast_to, max, mean, sum, sum_to, var
from rawgan.ops.shape import concatenate, getitem, pad, reshape, to, transpose

__all__ = [
    "OPS",
    "Op",
    "abs",
    "add",
    "astype",
    "batch_norm",
    "batch_norm_fixed",
    "batch_norm_with_statistics",
    "bce",
    "bce_with_logits",
    "broadcast_to",
    "clip",
    "concatenate",
    "conv2d",
    "conv2d_weight_grad",
    "conv_transpose2d",
    "dense",
    "divide",
    "dropout",
    "dropout2d",
    "exp",
    "getitem",
    "leaky_relu",
    "log",
    "log_softmax",
    "matmul",
    "max",
    "max_pool2d",
    "maximum",
    "maxout",
    "mean",
    "minimum",
    "multiply",
    "negate",
    "pad",
    "perceptron",
    "power",
    "relu",
    "reshape",
    "sigmoid",
    "softplus",
    "sqrt",
    "subtract",
    "sum",
    "sum_to",
    "tanh",
    "to",
    "transpose",
    "var",
]


def _attach() -> None:
    """Give Tensor its operators and methods."""
    T: Any = Tensor
    T.__add__ = T.__radd__ = lambda x, y: add(x, y)
    T.__sub__ = lambda x, y: subtract(x, y)
    T.__rsub__ = lambda x, y: subtract(y, x)
    T.__mul__ = T.__rmul__ = lambda x, y: multiply(x, y)
    T.__truediv__ = lambda x, y: divide(x, y)
    T.__rtruediv__ = lambda x, y: divide(y, x)
    T.__pow__ = lambda x, y: power(x, y)
    T.__rpow__ = lambda x, y: power(y, x)
    T.__neg__ = lambda x: negate(x)
    T.__abs__ = lambda x: abs(x)
    T.__matmul__ = lambda x, y: matmul(x, y)
    T.__rmatmul__ = lambda x, y: matmul(y, x)
    T.__getitem__ = getitem
    # Comparisons have no gradient: they give plain boolean arrays. `==` stays identity, as Tensors are keys.
    T.__lt__ = lambda x, y: raw(x) < raw(y)
    T.__le__ = lambda x, y: raw(x) <= raw(y)
    T.__gt__ = lambda x, y: raw(x) > raw(y)
    T.__ge__ = lambda x, y: raw(x) >= raw(y)
    T.__iter__ = lambda x: (x[i] for i in range(len(x)))
    for method in (sum, mean, var, max, clip, exp, log, sqrt, tanh, sigmoid, abs, astype, to, matmul):
        setattr(T, method.__name__, _method(method))
    T.reshape = lambda x, *shape: reshape(x, shape[0] if len(shape) == 1 else shape)
    T.transpose = lambda x, *axes: transpose(x, (axes[0] if len(axes) == 1 else axes) or None)
    T.T = property(lambda x: transpose(x))


def _method(function):
    def method(self, *args, **keywords):
        return function(self, *args, **keywords)

    method.__name__, method.__doc__ = function.__name__, function.__doc__
    return method


_attach()
