"""Small awkward arguments to try each kernel with.

A sample function has its kernel's name, takes a NumPy generator and returns the arguments by name. Sizes of
one, ragged edges, empty batches, Fortran order, negative strides and channels-last memory all occur.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from .checks import conv_output_size, conv_transpose_output_size

Arguments = dict[str, Any]
Generator = np.random.Generator

DTYPES = (np.float32, np.float64)


def array(rng: Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Standard normal values of that shape in one of the memory orders that kernels meet."""
    x = np.asarray(rng.standard_normal(shape), dtype)
    order = rng.integers(6)
    if order == 1 and x.ndim:
        return np.asfortranarray(x)
    if order == 2 and x.ndim:
        return x[::-1]
    if order == 3 and x.ndim:
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if order == 4 and x.ndim == 4:
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return x


def _dtype(rng: Generator) -> Any:
    return DTYPES[rng.integers(2)]


def _batch(rng: Generator) -> int:
    return int(rng.choice([0, 1, 2, 3, 7]))


def _key(rng: Generator) -> Arguments:
    return {
        "key": int(rng.integers(2**64, dtype=np.uint64)),
        "draw": int(rng.integers(2**64, dtype=np.uint64)),
    }


def _shape(rng: Generator, least: int = 0) -> tuple[int, ...]:
    return tuple(
        int(n)
        for n in rng.choice([0, 1, 2, 3, 5, 8], rng.integers(least, 6), p=[0.04, 0.2, 0.2, 0.2, 0.2, 0.16])
    )


def matmul(rng: Generator) -> Arguments:
    m, k, n = (int(v) for v in rng.choice([1, 2, 3, 8, 17, 40], 3))
    batch = (), (1,), (3,), (2, 3)
    dtype = _dtype(rng)
    a = array(rng, (*batch[rng.integers(4)], m, k), dtype)
    b = array(rng, (*batch[rng.integers(4)], k, n), dtype)
    if rng.integers(2):
        b = array(rng, (*b.shape[:-2], n, k), dtype).swapaxes(-1, -2)
    return {"a": a, "b": b}


def dense(rng: Generator) -> Arguments:
    i, o = (int(v) for v in rng.choice([1, 2, 5, 16, 33], 2))
    dtype = _dtype(rng)
    bias = array(rng, (o,), dtype) if rng.integers(3) else None
    return {"x": array(rng, (_batch(rng), i), dtype), "weight": array(rng, (o, i), dtype), "bias": bias}


def perceptron(rng: Generator) -> Arguments:
    sizes = [int(v) for v in rng.choice([1, 2, 5, 16, 33], rng.integers(2, 5))]
    dtype = _dtype(rng)
    return {
        "x": array(rng, (int(rng.choice([0, 1, 2, 7, 50])), sizes[0]), dtype),
        "weights": [array(rng, (o, i), dtype) for i, o in pairwise(sizes)],
        "biases": [array(rng, (o,), dtype) if rng.integers(3) else None for o in sizes[1:]],
        **_ends(rng, len(sizes) - 1),
    }


def _ends(rng: Generator, layers: int) -> Arguments:
    """The layers' slopes, and whether a sigmoid follows."""
    slopes = [float(v) for v in rng.choice([0.0, 0.2, 1.0], layers)]
    squashed = bool(rng.integers(2))
    return {"slopes": (*slopes[:-1], 1.0 if squashed else slopes[-1]), "squashed": squashed}


def perceptron_grad(rng: Generator) -> Arguments:
    x, weights, _, slopes, squashed = perceptron(rng).values()
    outputs = [array(rng, (len(x), len(w)), x.dtype) for w in weights]
    wanted = [(True, True), (True, False), (False, True)][rng.integers(3)]
    gy = array(rng, outputs[-1].shape, x.dtype)
    rest = {"weights": weights, "slopes": slopes, "wanted": wanted, "squashed": squashed}
    return {"gy": gy, "x": x, "outputs": outputs, **rest}


def _geometry(rng: Generator) -> tuple[list[tuple[int, ...]], list[int]]:
    """Kernel, stride, padding as pairs that usually differ between the axes, and a plane they fit."""
    kernel = tuple(int(v) for v in rng.integers(1, 6, 2))
    stride = tuple(int(v) for v in rng.integers(1, 4, 2))
    padding = tuple(int(v) for v in rng.integers(0, 4, 2))
    plane = [max(1, k - 2 * p) + int(rng.integers(0, 7)) for k, p in zip(kernel, padding, strict=True)]
    return [kernel, stride, padding], plane


def _channels(rng: Generator) -> list[int]:
    return [int(v) for v in rng.choice([1, 2, 3, 4, 8, 11], 2)]


def conv2d(rng: Generator) -> Arguments:
    (kernel, stride, padding), plane = _geometry(rng)
    c, o = _channels(rng)
    dtype = _dtype(rng)
    return {
        "x": array(rng, (_batch(rng), c, *plane), dtype),
        "weight": array(rng, (o, c, *kernel), dtype),
        "bias": array(rng, (o,), dtype) if rng.integers(3) else None,
        "stride": stride,
        "padding": padding,
    }


def conv_transpose2d(rng: Generator) -> Arguments:
    (kernel, stride, padding), _ = _geometry(rng)
    c, o = _channels(rng)
    dtype = _dtype(rng)
    extra = tuple(int(rng.integers(0, s)) for s in stride)
    plane = [
        next(n for n in range(1, 99) if conv_transpose_output_size(n, *sizes) > 0) + int(rng.integers(0, 5))
        for sizes in zip(kernel, stride, padding, extra, strict=True)
    ]
    return {
        "x": array(rng, (_batch(rng), c, *plane), dtype),
        "weight": array(rng, (c, o, *kernel), dtype),
        "bias": array(rng, (o,), dtype) if rng.integers(3) else None,
        "stride": stride,
        "padding": padding,
        "output_padding": extra,
    }


def conv2d_weight_grad(rng: Generator) -> Arguments:
    (kernel, stride, padding), plane = _geometry(rng)
    c, o = _channels(rng)
    dtype, batch = _dtype(rng), _batch(rng)
    out = [conv_output_size(*sizes) for sizes in zip(plane, kernel, stride, padding, strict=True)]
    return {
        "x": array(rng, (batch, c, *plane), dtype),
        "gy": array(rng, (batch, o, *out), dtype),
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
    }


def channel_sum(rng: Generator) -> Arguments:
    n, c, h, w = (
        int(size) for size in rng.choice([0, 1, 2, 3, 5, 40], 4, p=[0.04, 0.2, 0.2, 0.2, 0.2, 0.16])
    )
    return {"x": array(rng, (n, c, h, w) if rng.integers(2) else (n, c), _dtype(rng))}


def contiguous(rng: Generator) -> Arguments:
    shape = _shape(rng) if rng.integers(2) else tuple(int(n) for n in rng.choice([1, 3, 8, 17], 4))
    return {"x": array(rng, shape, _dtype(rng))}


def max_pool2d(rng: Generator) -> Arguments:
    kernel = tuple(int(v) for v in rng.integers(1, 5, 2))
    stride = tuple(int(v) for v in rng.integers(1, 5, 2))
    padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
    plane = [max(1, k - 2 * p) + int(rng.integers(0, 7)) for k, p in zip(kernel, padding, strict=True)]
    x = array(rng, (_batch(rng), int(rng.choice([1, 3, 8])), *plane), _dtype(rng))
    if rng.integers(2):  # few distinct values, so that ties are common, and some NaN and −∞
        x = np.round(x)
        x[rng.random(x.shape) < 0.1] = rng.choice([np.nan, -np.inf])
    return {"x": x, "kernel_size": kernel, "stride": stride, "padding": padding}


def _pooled(rng: Generator) -> tuple[tuple[int, ...], tuple[int, int], np.ndarray, Any]:
    n, c, h, w, p, q = _batch(rng), *(int(v) for v in rng.integers(1, 7, 5))
    indices = rng.integers(0, h * w, (n, c, p, q)).astype(np.int32)
    return (n, c), (h, w), indices if rng.integers(2) else np.asfortranarray(indices), _dtype(rng)


def max_pool2d_scatter(rng: Generator) -> Arguments:
    _, plane, indices, dtype = _pooled(rng)
    return {"gy": array(rng, indices.shape, dtype), "indices": indices, "shape": plane}


def max_pool2d_gather(rng: Generator) -> Arguments:
    batch, plane, indices, dtype = _pooled(rng)
    return {"x": array(rng, (*batch, *plane), dtype), "indices": indices}


def _normalised(rng: Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    shape = (int(rng.integers(1, 9)), int(rng.choice([1, 3, 8, 19])))
    if rng.integers(2):
        shape += tuple(int(v) for v in rng.integers(1, 6, 2))
    dtype = _dtype(rng)
    return array(rng, shape, dtype), [array(rng, shape[1:2], dtype) for _ in range(3)]


def batch_norm(rng: Generator) -> Arguments:
    x, (scale, shift, _) = _normalised(rng)
    return {"x": x, "scale": scale, "shift": shift, "eps": 1e-5}


def batch_norm_grad(rng: Generator) -> Arguments:
    x, (scale, mean, var) = _normalised(rng)
    return {
        "gy": array(rng, x.shape, x.dtype),
        "x": x,
        "scale": scale,
        "mean": mean,
        "var": var * var + var.dtype.type(0.1),
        "eps": 1e-5,
    }


def leaky_relu(rng: Generator) -> Arguments:
    return {"x": array(rng, _shape(rng), _dtype(rng)), "negative_slope": float(rng.choice([0, 0.2, 1, -0.5]))}


def leaky_relu_grad(rng: Generator) -> Arguments:
    shape, dtype = _shape(rng), _dtype(rng)
    return {
        "gy": array(rng, shape, dtype),
        "y": array(rng, shape, dtype),
        "negative_slope": float(rng.choice([0, 0.2])),
    }


def dropout(rng: Generator) -> Arguments:
    channels = bool(rng.integers(2))
    x = array(rng, _shape(rng, 2 if channels else 1), _dtype(rng))
    return {
        "x": x,
        "p": float(rng.choice([0, 0.3, 0.5, 0.999])),
        **_key(rng),
        "channels": channels,
        **_slope(rng),
    }


def _slope(rng: Generator) -> Arguments:
    return {"negative_slope": float(rng.choice([0, 0.2, 1]))}


def dropout_grad(rng: Generator) -> Arguments:
    shape, dtype = _shape(rng), _dtype(rng)
    y = array(rng, shape, dtype)
    y = np.where(rng.integers(3, size=shape) == 0, -np.zeros((), dtype), y)
    y = np.where(rng.integers(5, size=shape) == 0, np.zeros((), dtype), y)
    return {
        "gy": array(rng, shape, dtype),
        "y": y,
        "p": float(rng.choice([0, 0.3, 0.5, 0.999])),
        **_slope(rng),
    }


def sigmoid(rng: Generator) -> Arguments:
    x = array(rng, _shape(rng), _dtype(rng))
    x *= x.dtype.type(10.0 ** rng.integers(-2, 4))
    return {"x": x}


def sigmoid_grad(rng: Generator) -> Arguments:
    shape, dtype = _shape(rng), _dtype(rng)
    return {"gy": array(rng, shape, dtype), "y": array(rng, shape, dtype)}


tanh, tanh_grad = sigmoid, sigmoid_grad


def _targets(rng: Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    return float(rng.choice([0, 0.25, 1])) if rng.integers(2) else np.asarray(array(rng, shape, dtype) % 1)


def bce(rng: Generator) -> Arguments:
    shape, dtype = tuple(n or 1 for n in _shape(rng)), _dtype(rng)
    p = array(rng, shape, dtype)
    p %= 1
    p[rng.integers(4, size=shape) == 0] = rng.integers(2)  # certain verdicts
    return {"p": p, "t": _targets(rng, shape, dtype)}


def bce_with_logits(rng: Generator) -> Arguments:
    shape, dtype = tuple(n or 1 for n in _shape(rng)), _dtype(rng)
    x = array(rng, shape, dtype)
    x *= dtype(10.0 ** rng.integers(-2, 4))
    return {"x": x, "t": _targets(rng, shape, dtype)}


def log_softmax(rng: Generator) -> Arguments:
    """Short rows and long ones; numbers far apart; now and then one that is not finite."""
    x = array(rng, (*_shape(rng)[:3], int(rng.choice([1, 2, 10, 33, 300]))), _dtype(rng))
    x *= x.dtype.type(10.0 ** rng.integers(-1, 3))
    if x.size and rng.integers(5) == 0:
        x.flat[rng.integers(x.size)] = rng.choice([np.nan, np.inf, -np.inf])
    return {"x": x}


def log_softmax_grad(rng: Generator) -> Arguments:
    x = np.nan_to_num(log_softmax(rng)["x"], posinf=0, neginf=0)
    x = x - x.max(axis=-1, keepdims=True)
    y = x - np.log(np.sum(np.exp(x), axis=-1, keepdims=True))
    return {"gy": array(rng, y.shape, y.dtype), "y": y[::-1] if rng.integers(2) and y.ndim > 1 else y}


def philox_words(rng: Generator) -> Arguments:
    return {"out": np.zeros(_shape(rng), np.uint32), **_key(rng)}


def philox_uniform(rng: Generator) -> Arguments:
    return {"out": np.zeros(_shape(rng), _dtype(rng)), **_key(rng)}


philox_normal = philox_uniform
