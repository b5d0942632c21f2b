"""The inputs that benchmarks time: the shapes of the networks that this project trains, at batch 128.

`CASES[kernel]` maps a case's name to a function of a NumPy generator that returns the kernel's arguments by
name.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from .checks import conv_transpose_output_size

Arguments = dict[str, Any]
Generator = np.random.Generator

# Every convolution of the DCGANs (dcgan_mnist, dcgan_cifar10) is one of these pairs of a large and a small
# plane: large channels, large size, small channels, small size, kernel, stride, padding. conv2d goes from
# large to small, conv_transpose2d back, and each is the other's input gradient.
LAYERS = {
    "1@28 - 64@14 5x5": (1, 28, 64, 14, 5, 2, 2),
    "64@14 - 128@7 5x5": (64, 14, 128, 7, 5, 2, 2),
    "128@7 - 256@7 5x5": (128, 7, 256, 7, 5, 1, 2),
    "3@32 - 64@16 4x4": (3, 32, 64, 16, 4, 2, 1),
    "64@16 - 128@8 4x4": (64, 16, 128, 8, 4, 2, 1),
    "128@8 - 256@4 4x4": (128, 8, 256, 4, 4, 2, 1),
    "256@4 - 100@1 4x4": (256, 4, 100, 1, 4, 1, 0),
    "256@4 - 1@1 4x4": (256, 4, 1, 1, 4, 1, 0),
    # and of other networks: three colours, strides 1 to 3, channels that fill no vector, 1x1, 3x3 and 7x7
    "3@32 - 32@32 7x7": (3, 32, 32, 32, 7, 1, 3),
    "3@33 - 48@11 5x5": (3, 33, 48, 11, 5, 3, 1),
    "48@15 - 96@15 3x3": (48, 15, 96, 15, 3, 1, 1),
    "96@15 - 40@5 3x3": (96, 15, 40, 5, 3, 3, 0),
    "17@13 - 29@7 5x5": (17, 13, 29, 7, 5, 2, 2),
    "64@14 - 64@14 1x1": (64, 14, 64, 14, 1, 1, 0),
}
PLANES = {"64@14": (128, 64, 14, 14), "128@7": (128, 128, 7, 7), "12544": (128, 12544)}
BATCH = 128


def _images(rng: Generator, *shape: int) -> np.ndarray:
    """float32 in channels-last memory, as the layers before leave them."""
    n, c, h, w = shape
    return rng.standard_normal((n, h, w, c), np.float32).transpose(0, 3, 1, 2)


def _layer(kernel: str, layer: str, rng: Generator) -> Arguments:
    large, size, small, out, k, s, p = LAYERS[layer]
    stride, padding = (s, s), (p, p)
    weight = rng.standard_normal((small, large, k, k), np.float32)
    if kernel == "conv2d":
        x = _images(rng, BATCH, large, size, size)
        return {"x": x, "weight": weight, "bias": None, "stride": stride, "padding": padding}
    y = _images(rng, BATCH, small, out, out)
    if kernel == "conv_transpose2d":
        extra = size - conv_transpose_output_size(out, k, s, p, 0)
        return {
            "x": y,
            "weight": weight,
            "bias": None,
            "stride": stride,
            "padding": padding,
            "output_padding": (extra, extra),
        }
    x = _images(rng, BATCH, large, size, size)
    return {"x": x, "gy": y, "kernel_size": (k, k), "stride": stride, "padding": padding}


def _matmul(shape: tuple[int, int, int], rng: Generator) -> Arguments:
    m, k, n = shape
    return {"a": rng.standard_normal((m, k), np.float32), "b": rng.standard_normal((k, n), np.float32)}


def _dense(shape: tuple[int, int, int], rng: Generator) -> Arguments:
    n, i, o = shape
    x, weight = rng.standard_normal((n, i), np.float32), rng.standard_normal((o, i), np.float32)
    return {"x": x, "weight": weight, "bias": np.zeros(o, np.float32)}


def _perceptron(sizes: tuple[int, ...], rng: Generator) -> Arguments:
    n, *widths = sizes
    weights = [rng.standard_normal((o, i), np.float32) / np.float32(i**0.5) for i, o in pairwise(widths)]
    biases = [np.zeros(len(w), np.float32) for w in weights]
    slopes = (0.2,) * (len(weights) - 1) + (1.0,)
    return {
        "x": rng.standard_normal((n, widths[0]), np.float32),
        "weights": weights,
        "biases": biases,
        "slopes": slopes,
        "squashed": 784 in widths,  # as in `mlp`
    }


def _perceptron_grad(sizes: tuple[int, ...], rng: Generator) -> Arguments:
    x, weights, _, slopes, squashed = _perceptron(sizes, rng).values()
    outputs = [rng.standard_normal((len(x), len(w)), np.float32) for w in weights]
    rest = {"x": x, "outputs": outputs, "weights": weights, "slopes": slopes, "wanted": (True, True)}
    rest["squashed"] = squashed
    return {"gy": rng.standard_normal(outputs[-1].shape, np.float32), **rest}


def _activations(plane: str, rng: Generator) -> np.ndarray:
    shape = PLANES[plane]
    return _images(rng, *shape) if len(shape) == 4 else rng.standard_normal(shape, np.float32)


def _leaky_relu(plane: str, rng: Generator) -> Arguments:
    return {"x": _activations(plane, rng), "negative_slope": 0.2}


def _leaky_relu_grad(plane: str, rng: Generator) -> Arguments:
    return {"gy": _activations(plane, rng), "y": _activations(plane, rng), "negative_slope": 0.2}


def _dropout(plane: str, rng: Generator) -> Arguments:
    return {
        "x": _activations(plane, rng),
        "p": 0.3,
        "key": 1,
        "draw": 2,
        "channels": False,
        "negative_slope": 0.2,
    }


def _dropout_grad(plane: str, rng: Generator) -> Arguments:
    y = _activations(plane, rng)
    return {
        "gy": _activations(plane, rng),
        "y": np.where(y < -0.5, np.float32(-0.0), y),
        "p": 0.3,
        "negative_slope": 0.2,
    }


def _batch_norm(plane: str, rng: Generator) -> Arguments:
    x = _activations(plane, rng)
    ones = np.ones(x.shape[1], np.float32)
    return {"x": x, "scale": ones, "shift": ones, "eps": 1e-5}


def _batch_norm_grad(plane: str, rng: Generator) -> Arguments:
    x = _activations(plane, rng)
    ones = np.ones(x.shape[1], np.float32)
    return {"gy": _activations(plane, rng), "x": x, "scale": ones, "mean": ones, "var": ones, "eps": 1e-5}


def _pictures(plane: str, rng: Generator) -> Arguments:
    return {"x": _activations(plane, rng)}


def _max_pool2d(plane: str, rng: Generator) -> Arguments:
    return {"x": _activations(plane, rng), "kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)}


def _pooled_indices() -> np.ndarray:
    """In channels-last memory, as max_pool2d leaves them."""
    corner = 2 * np.arange(7, dtype=np.int32)
    places = (corner[:, None] * 14 + corner)[:, :, None]
    return np.broadcast_to(places, (BATCH, 7, 7, 64)).copy().transpose(0, 3, 1, 2)


def _scatter(rng: Generator) -> Arguments:
    return {"gy": _images(rng, BATCH, 64, 7, 7), "indices": _pooled_indices(), "shape": (14, 14)}


def _gather(rng: Generator) -> Arguments:
    return {"x": _images(rng, BATCH, 64, 14, 14), "indices": _pooled_indices()}


def _smooth(shape: tuple[int, ...], rng: Generator) -> Arguments:
    return {"x": rng.standard_normal(shape, np.float32)}


def _smooth_grad(shape: tuple[int, ...], rng: Generator) -> Arguments:
    return {"gy": rng.standard_normal(shape, np.float32), "y": rng.random(shape, np.float32)}


def _bce(shape: tuple[int, ...], rng: Generator) -> Arguments:
    return {"p": rng.random(shape, np.float32), "t": 1.0}


def _bce_with_logits(shape: tuple[int, ...], rng: Generator) -> Arguments:
    return {"x": rng.standard_normal(shape, np.float32), "t": 1.0}


def _rows(shape: tuple[int, ...], rng: Generator) -> Arguments:
    return {"x": rng.standard_normal(shape, np.float32)}


def _rows_grad(shape: tuple[int, ...], rng: Generator) -> Arguments:
    x = rng.standard_normal(shape, np.float32)
    y = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
    return {"gy": rng.standard_normal(shape, np.float32), "y": y}


def _philox(dtype: Any, size: int, rng: Generator) -> Arguments:
    return {"out": np.empty(size, dtype), "key": 1, "draw": 2}


def _arrays(sizes: str, rng: Generator) -> list[np.ndarray]:
    return [rng.standard_normal(size, np.float32) for size in PARAMETERS[sizes]]


def _of_items(shape: tuple[int, ...], rng: Generator) -> Arguments:
    items = rng.integers(256, size=shape, dtype=np.uint8)
    table = rng.integers(len(items), size=(50, BATCH)).astype(np.int32)
    return {"items": items, "table": table, "row": 7, "low": -1.0, "high": 1.0}


def _sum_squares(sizes: str, rng: Generator) -> Arguments:
    return {"xs": _arrays(sizes, rng)}


def _clip_norm(sizes: str, rng: Generator) -> Arguments:
    xs = _arrays(sizes, rng)
    return {"xs": xs, "sums": np.array([x @ x for x in xs], np.float64), "limit": 1.0, "each": False}


def _clip_value(sizes: str, rng: Generator) -> Arguments:
    return {"xs": _arrays(sizes, rng), "limit": 1.0}


def _adam(sizes: str, rng: Generator) -> Arguments:
    params, grads, ms = (_arrays(sizes, rng) for _ in range(3))
    rates = {"lr": 2e-4, "beta1": 0.5, "beta2": 0.999, "eps": 1e-8, "step": 10}
    return {"params": params, "grads": grads, "ms": ms, "vs": [m * m for m in ms], **rates}


def _sgd(sizes: str, rng: Generator) -> Arguments:
    params, grads, vs = (_arrays(sizes, rng) for _ in range(3))
    return {"params": params, "grads": grads, "vs": vs, "lr": 1e-3, "momentum": 0.9}


def _rmsprop(sizes: str, rng: Generator) -> Arguments:
    params, grads, vs = (_arrays(sizes, rng) for _ in range(3))
    rates = {"lr": 1e-3, "rho": 0.9, "eps": 1e-8}
    return {"params": params, "grads": grads, "vs": [v * v for v in vs], **rates}


def _adagrad(sizes: str, rng: Generator) -> Arguments:
    params, grads, sums = (_arrays(sizes, rng) for _ in range(3))
    return {"params": params, "grads": grads, "sums": [s * s for s in sums], "lr": 1e-2, "eps": 1e-10}


def _over(make: Callable[..., Arguments], names: Any) -> dict[str, Callable[[Generator], Arguments]]:
    return {str(name): partial(make, name) for name in names}


# N, I, O of the dense layers: the MLP pair, the ring pair (batch 256), the DCGAN's first and last.
DENSE = [
    (128, 100, 128),
    (128, 128, 784),
    (128, 784, 128),
    (128, 128, 1),
    (256, 128, 128),
    (128, 100, 12544),
    (128, 6272, 1),
]
# N, then the widths of the MLP pair and of the ring pair.
CHAINS = [(128, 100, 128, 128, 784), (128, 784, 128, 128, 1), (256, 16, 128, 128, 2), (256, 2, 128, 128, 1)]
VERDICTS = [(128, 1), (128, 784)]  # and generated pictures
ROWS = [(BATCH, 10), (1024, 1000)]  # classes
SIZES = (12_800, 1_000_000)
# Sizes of a player's parameters: the ring's generator, the MNIST DCGAN's.
PARAMETERS = {
    "ring": (2048, 128, 16384, 128, 256, 2),
    "dcgan": (1_254_400, 12544, 12544, 819_200, 128, 128, 204_800, 64, 64, 1600, 1),
}

CASES: dict[str, dict[str, Callable[[Generator], Arguments]]] = {
    "matmul": _over(_matmul, [(12544, 128, 100), (1024, 1024, 1024)]),
    "dense": _over(_dense, DENSE),
    "perceptron": _over(_perceptron, CHAINS),
    "perceptron_grad": _over(_perceptron_grad, CHAINS),
    "conv2d": _over(partial(_layer, "conv2d"), LAYERS),
    "conv_transpose2d": _over(partial(_layer, "conv_transpose2d"), LAYERS),
    "conv2d_weight_grad": _over(partial(_layer, "conv2d_weight_grad"), LAYERS),
    "channel_sum": _over(_pictures, PLANES),
    "contiguous": _over(_pictures, ["64@14", "128@7"]),
    "max_pool2d": _over(_max_pool2d, ["64@14"]),
    "max_pool2d_scatter": {"64@14": _scatter},
    "max_pool2d_gather": {"64@14": _gather},
    "batch_norm": _over(_batch_norm, PLANES),
    "batch_norm_grad": _over(_batch_norm_grad, PLANES),
    "leaky_relu": _over(_leaky_relu, PLANES),
    "leaky_relu_grad": _over(_leaky_relu_grad, PLANES),
    "dropout": _over(_dropout, PLANES),
    "dropout_grad": _over(_dropout_grad, PLANES),
    "sigmoid": _over(_smooth, VERDICTS),
    "sigmoid_grad": _over(_smooth_grad, VERDICTS),
    "tanh": _over(_smooth, VERDICTS),
    "tanh_grad": _over(_smooth_grad, VERDICTS),
    "bce": _over(_bce, VERDICTS),
    "bce_with_logits": _over(_bce_with_logits, VERDICTS),
    "log_softmax": _over(_rows, ROWS),
    "log_softmax_grad": _over(_rows_grad, ROWS),
    "philox_words": _over(partial(_philox, np.uint32), SIZES),
    "philox_uniform": _over(partial(_philox, np.float32), SIZES),
    "philox_normal": _over(partial(_philox, np.float32), SIZES),
    "gather": _over(_of_items, [(10_000, 1, 28, 28), (10_000, 3, 32, 32)]),
    "sum_squares": _over(_sum_squares, PARAMETERS),
    "clip_norm": _over(_clip_norm, PARAMETERS),
    "clip_value": _over(_clip_value, PARAMETERS),
    "adam": _over(_adam, PARAMETERS),
    "sgd": _over(_sgd, PARAMETERS),
    "rmsprop": _over(_rmsprop, PARAMETERS),
    "adagrad": _over(_adagrad, PARAMETERS),
}
