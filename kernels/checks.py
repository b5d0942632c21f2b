"""What each kernel refuses, in one place for every column.

Every function here has the name and the arguments of its kernel and runs before it, whatever
the column: a call that would crash, read beyond an array or silently compute another thing
raises ShapeError or DTypeError instead. The common case costs well under a microsecond.
"""

from typing import Any, NoReturn

import numpy as np

from .errors import ConfigError, DTypeError, ShapeError

Array = Any
Many = list[Array]
Pair = tuple[int, int]

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
FLOATS = (FLOAT32, FLOAT64)
UINT32, INT32 = np.dtype(np.uint32), np.dtype(np.int32)


def _shapes(kernel: str, takes: str, **arrays: Array) -> NoReturn:
    got = ", ".join(f"{name} {array if array is None else array.shape}" for name, array in arrays.items())
    raise ShapeError(f"{kernel}: got {got}; takes {takes}")


def _floats(kernel: str, *arrays: Array) -> None:
    """All of one dtype, float32 or float64; None stands for an argument left out."""
    dtype = arrays[0].dtype
    if dtype is FLOAT32 or dtype is FLOAT64 or dtype in FLOATS:
        for array in arrays:
            if array is not None and array.dtype is not dtype and array.dtype != dtype:
                break
        else:
            return
    got = ", ".join(str(array.dtype) for array in arrays if array is not None)
    raise DTypeError(
        f"{kernel}: got {got}; takes arrays of one dtype, float32 or float64: convert with astype"
    )


def _pairs(kernel: str, stride: Pair, padding: Pair, extra: Pair = (0, 0)) -> None:
    if not (len(stride) == len(padding) == len(extra) == 2):
        raise ShapeError(
            f"{kernel}: got stride {stride}, padding {padding}, {extra}; takes pairs (vertical, horizontal)"
        )
    if min(stride) < 1 or min(padding) < 0 or min(extra) < 0:
        raise ShapeError(
            f"{kernel}: got stride {stride}, padding {padding}, output padding {extra}; "
            "takes strides of at least 1, paddings of at least 0"
        )


def conv_output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Positions at which a kernel fits: ⌊(size + 2·padding − kernel) / stride⌋ + 1.

    >>> conv_output_size(28, 5, 2, 2)
    14
    """
    return (size + 2 * padding - kernel) // stride + 1


def conv_transpose_output_size(size: int, kernel: int, stride: int, padding: int, output_padding: int) -> int:
    """(size − 1)·stride − 2·padding + kernel + output_padding.

    >>> conv_transpose_output_size(14, 5, 2, 2, 1)
    28
    """
    return (size - 1) * stride - 2 * padding + kernel + output_padding


def matmul(a: Array, b: Array) -> None:
    _floats("matmul", a, b)
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        _shapes("matmul", "a (..., M, K) and b (..., K, N)", a=a, b=b)
    if a.ndim > 2 or b.ndim > 2:
        try:
            np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            _shapes("matmul", "leading axes that broadcast against each other", a=a, b=b)


def dense(x: Array, weight: Array, bias: Array) -> None:
    _floats("dense", x, weight, bias)
    if x.ndim != 2 or weight.ndim != 2 or x.shape[1] != weight.shape[1]:
        _shapes("dense", "x (N, I) and weight (O, I)", x=x, weight=weight)
    if bias is not None and bias.shape != weight.shape[:1]:
        _shapes("dense", "bias (O,) for weight (O, I)", weight=weight, bias=bias)


def perceptron(
    x: Array, weights: Many, biases: Many, slopes: tuple[float, ...], squashed: bool = False
) -> None:
    _floats("perceptron", x, *weights, *biases)
    into = x.shape[1:]
    for weight, bias in zip(weights, biases, strict=False):
        shape = weight.shape
        out = shape[:1]
        if len(shape) != 2 or shape[1:] != into or (bias is not None and bias.shape != out):
            takes = "x (N, I), weights (O, I) that follow each other, biases (O,)"
            _shapes("perceptron", takes, x=x, weight=weight, bias=bias)
        into = out
    if not len(weights) == len(biases) == len(slopes) > 0:
        raise ShapeError(
            f"perceptron: got {len(weights)} weights, {len(biases)} biases, {len(slopes)} slopes; takes one "
            "of each for every layer"
        )
    if squashed and slopes[-1] != 1:
        raise ConfigError(f"perceptron: got a sigmoid after a slope of {slopes[-1]}; takes one after slope 1")


def perceptron_grad(
    gy: Array,
    x: Array,
    outputs: Many,
    weights: Many,
    slopes: tuple[float, ...],
    wanted: Pair,
    squashed: bool = False,
) -> None:
    _floats("perceptron_grad", gy, x, *outputs, *weights)
    shape, fits = x.shape, len(weights) == len(outputs) == len(slopes) > 0
    for weight, y in zip(weights, outputs, strict=False):
        into, shape = shape, y.shape
        two = len(into) == len(shape) == 2
        fits = fits and two and weight.shape == (shape[1], into[1]) and shape[0] == into[0]
    fits = fits and gy.shape == shape
    if not fits or (squashed and slopes[-1] != 1):
        perceptron(x, weights, [None] * len(weights), slopes, squashed)
    if not fits:
        raise ShapeError(
            f"perceptron_grad: got gy {gy.shape}, outputs {[y.shape for y in outputs]}; takes what "
            f"`perceptron` returned for x {x.shape} and weights {[w.shape for w in weights]}"
        )
    if len(wanted) != 2:
        raise ShapeError(f"perceptron_grad: wanted is a pair (of x, of the weights), got {wanted}")


def conv2d(x: Array, weight: Array, bias: Array, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> None:
    _floats("conv2d", x, weight, bias)
    _pairs("conv2d", stride, padding)
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != weight.shape[1]:
        _shapes("conv2d", "x (N, C, H, W) and weight (O, C, kh, kw)", x=x, weight=weight)
    if bias is not None and bias.shape != weight.shape[:1]:
        _shapes("conv2d", "bias (O,) for weight (O, C, kh, kw)", weight=weight, bias=bias)
    _window("conv2d", x, weight.shape[2:], padding)


def _window(kernel: str, x: Array, kernel_size: Pair, padding: Pair) -> None:
    if min(kernel_size) < 1:
        raise ShapeError(f"{kernel}: got kernel size {tuple(kernel_size)}; takes at least (1, 1)")
    if x.shape[2] + 2 * padding[0] < kernel_size[0] or x.shape[3] + 2 * padding[1] < kernel_size[1]:
        raise ShapeError(
            f"{kernel}: got x {x.shape} with padding {padding} and a kernel {tuple(kernel_size)}; "
            "takes a kernel no larger than the padded plane"
        )


def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    output_padding: Pair = (0, 0),
) -> None:
    _floats("conv_transpose2d", x, weight, bias)
    _pairs("conv_transpose2d", stride, padding, output_padding)
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != weight.shape[0] or min(weight.shape[2:]) < 1:
        _shapes("conv_transpose2d", "x (N, I, H, W) and weight (I, O, kh, kw)", x=x, weight=weight)
    if bias is not None and bias.shape != weight.shape[1:2]:
        _shapes("conv_transpose2d", "bias (O,) for weight (I, O, kh, kw)", weight=weight, bias=bias)
    for axis in (0, 1):
        size = conv_transpose_output_size(
            x.shape[2 + axis], weight.shape[2 + axis], stride[axis], padding[axis], output_padding[axis]
        )
        if x.shape[2 + axis] < 1 or size < 1:
            raise ShapeError(
                f"conv_transpose2d: got x {x.shape}, weight {weight.shape}, stride {stride}, "
                f"padding {padding}, output_padding {output_padding}: output size {size}; takes less padding"
            )


def conv2d_weight_grad(
    x: Array, gy: Array, kernel_size: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0)
) -> None:
    _floats("conv2d_weight_grad", x, gy)
    _pairs("conv2d_weight_grad", stride, padding, kernel_size)
    if x.ndim != 4 or gy.ndim != 4 or x.shape[0] != gy.shape[0]:
        _shapes("conv2d_weight_grad", "x (N, C, H, W) and gy (N, O, P, Q)", x=x, gy=gy)
    _window("conv2d_weight_grad", x, kernel_size, padding)
    for axis in (0, 1):
        reach = stride[axis] * (gy.shape[2 + axis] - 1) + kernel_size[axis]
        if reach > x.shape[2 + axis] + 2 * padding[axis]:
            raise ShapeError(
                f"conv2d_weight_grad: got x {x.shape} and gy {gy.shape}, which with kernel "
                f"{tuple(kernel_size)}, stride {stride}, padding {padding} reaches beyond x; "
                "takes the gy of that convolution"
            )


def channel_sum(x: Array) -> None:
    _floats("channel_sum", x)
    if x.ndim not in (2, 4):
        _shapes("channel_sum", "x (N, C) or (N, C, H, W)", x=x)


def contiguous(x: Array) -> None:
    _floats("contiguous", x)


def max_pool2d(x: Array, kernel_size: Pair, stride: Pair, padding: Pair = (0, 0)) -> None:
    _floats("max_pool2d", x)
    _pairs("max_pool2d", stride, padding, kernel_size)
    if x.ndim != 4:
        _shapes("max_pool2d", "x (N, C, H, W)", x=x)
    _window("max_pool2d", x, kernel_size, padding)
    if min(x.shape[2:]) < 1 or 2 * padding[0] > kernel_size[0] or 2 * padding[1] > kernel_size[1]:
        raise ShapeError(
            f"max_pool2d: got x {x.shape}, kernel {tuple(kernel_size)} and padding {padding}; "
            "takes a padding of at most half the kernel, so that every window holds a value"
        )


def max_pool2d_scatter(gy: Array, indices: Array, shape: Pair) -> None:
    _floats("max_pool2d_scatter", gy)
    _indices("max_pool2d_scatter", indices)
    if gy.ndim != 4 or gy.shape != indices.shape:
        _shapes("max_pool2d_scatter", "gy and indices, both (N, C, P, Q)", gy=gy, indices=indices)
    if len(shape) != 2 or min(shape) < 0:
        raise ShapeError(
            f"max_pool2d_scatter: got shape {shape}; takes the plane (H, W) of max_pool2d's input"
        )


def max_pool2d_gather(x: Array, indices: Array) -> None:
    _floats("max_pool2d_gather", x)
    _indices("max_pool2d_gather", indices)
    if x.ndim != 4 or indices.ndim != 4 or x.shape[:2] != indices.shape[:2]:
        _shapes("max_pool2d_gather", "x (N, C, H, W) and indices (N, C, P, Q)", x=x, indices=indices)


def _indices(kernel: str, indices: Array) -> None:
    if indices.dtype != INT32:
        raise DTypeError(f"{kernel}: got {indices.dtype} indices; takes the int32 indices of max_pool2d")


def index_out_of_range(kernel: str, plane: Pair) -> NoReturn:
    """What a column raises when it meets an index outside the plane (only it reads them)."""
    raise ShapeError(
        f"{kernel}: an index lies outside the plane {tuple(plane)}; takes the indices of max_pool2d"
    )


def _channels(kernel: str, x: Array, **vectors: Array) -> None:
    if x.ndim not in (2, 4):
        _shapes(kernel, "x (N, C) or (N, C, H, W)", x=x)
    for vector in vectors.values():
        if vector.ndim != 1 or vector.shape[0] != x.shape[1]:
            _shapes(kernel, "one value a channel, (C,)", x=x, **vectors)


def batch_norm(x: Array, scale: Array, shift: Array, eps: float) -> None:
    _floats("batch_norm", x, scale, shift)
    _channels("batch_norm", x, scale=scale, shift=shift)
    if x.size == 0:
        _shapes("batch_norm", "at least one value a channel", x=x)


def batch_norm_grad(gy: Array, x: Array, scale: Array, mean: Array, var: Array, eps: float) -> None:
    _floats("batch_norm_grad", gy, x, scale, mean, var)
    _channels("batch_norm_grad", x, scale=scale, mean=mean, var=var)
    if x.size == 0 or gy.shape != x.shape:
        _shapes("batch_norm_grad", "gy and x of one shape, not empty", gy=gy, x=x)


def leaky_relu(x: Array, negative_slope: float) -> None:
    _floats("leaky_relu", x)


def leaky_relu_grad(gy: Array, y: Array, negative_slope: float) -> None:
    _alike("leaky_relu_grad", gy, y)
    _slope("leaky_relu_grad", negative_slope)


def _slope(kernel: str, negative_slope: float) -> None:
    if negative_slope < 0:
        raise ConfigError(
            f"{kernel}: got negative_slope {negative_slope}; takes 0 or more, for y to have the sign of x"
        )


def _share(kernel: str, p: float) -> None:
    if not 0 <= p < 1:
        raise ConfigError(f"{kernel}: got p = {p}; takes a share of at least 0 and below 1")


def _stream(kernel: str, key: int, draw: int) -> None:
    if not (0 <= key < 2**64 and 0 <= draw < 2**64):
        raise ConfigError(f"{kernel}: got key {key}, draw {draw}; takes integers from 0 to 2**64 - 1")


def dropout(
    x: Array, p: float, key: int, draw: int, channels: bool = False, negative_slope: float = 1.0
) -> None:
    _floats("dropout", x)
    _slope("dropout", negative_slope)
    _stream("dropout", key, draw)
    _share("dropout", p)
    if x.ndim < 1 + bool(channels):
        _shapes("dropout", "x (N, C, ...) for channels, (N, ...) for elements", x=x)


def dropout_grad(gy: Array, y: Array, p: float, negative_slope: float = 1.0) -> None:
    _alike("dropout_grad", gy, y)
    _slope("dropout_grad", negative_slope)
    _share("dropout_grad", p)


def sigmoid(x: Array) -> None:
    _floats("sigmoid", x)


def sigmoid_grad(gy: Array, y: Array) -> None:
    _alike("sigmoid_grad", gy, y)


def tanh(x: Array) -> None:
    _floats("tanh", x)


def tanh_grad(gy: Array, y: Array) -> None:
    _alike("tanh_grad", gy, y)


def _alike(kernel: str, gy: Array, y: Array) -> None:
    _floats(kernel, gy, y)
    if gy.shape != y.shape:
        _shapes(kernel, "two arrays of one shape", gy=gy, y=y)


def log_softmax(x: Array) -> None:
    _floats("log_softmax", x)
    _rows("log_softmax", x=x)


def log_softmax_grad(gy: Array, y: Array) -> None:
    _alike("log_softmax_grad", gy, y)
    _rows("log_softmax_grad", gy=gy)


def _rows(kernel: str, **arrays: Array) -> None:
    (x,) = arrays.values()
    if not x.ndim or not x.shape[-1]:
        _shapes(kernel, "rows of at least one number", **arrays)


def _verdicts(kernel: str, x: Array, t: Any) -> None:
    _floats(kernel, x)
    if not isinstance(t, int | float):
        _floats(kernel, x, t)
        if t.shape != x.shape:
            _shapes(kernel, "targets of the same shape, or one number", predictions=x, targets=t)
    if not x.size:
        _shapes(kernel, "at least one element", predictions=x)


def bce(p: Array, t: Any) -> None:
    _verdicts("bce", p, t)


def bce_with_logits(x: Array, t: Any) -> None:
    _verdicts("bce_with_logits", x, t)


def _filled(kernel: str, out: Array) -> None:
    if not (out.flags.c_contiguous and getattr(out.flags, "writeable", True)):
        raise ShapeError(
            f"{kernel}: got an array that is not C-contiguous and writable; takes np.empty(shape, dtype)"
        )


def philox_words(out: Array, key: int, draw: int) -> None:
    if out.dtype != UINT32:
        raise DTypeError(f"philox_words: got {out.dtype}; takes a uint32 array to fill")
    _filled("philox_words", out)
    _stream("philox_words", key, draw)


def philox_uniform(out: Array, key: int, draw: int) -> None:
    _floats("philox_uniform", out)
    _filled("philox_uniform", out)
    _stream("philox_uniform", key, draw)


def philox_normal(out: Array, key: int, draw: int) -> None:
    _floats("philox_normal", out)
    _filled("philox_normal", out)
    _stream("philox_normal", key, draw)
