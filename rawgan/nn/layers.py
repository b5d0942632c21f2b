"""The layers. Default initial values are PyTorch's, drawn from the current generator."""

from __future__ import annotations

import math
import operator
from typing import Any

from rawgan import arrays, ops, rng
from rawgan.engine import Tensor
from rawgan.kernels.errors import ConfigError, ShapeError
from rawgan.nn.module import Module
from rawgan.ops.conv import pair
from rawgan.ops.linear import same_dtype
from rawgan.settings import is_number, number, whole_number


def uniform_parameter(shape: tuple[int, ...], bound: float) -> Tensor:
    """A float32 parameter drawn from U(−bound, bound) on the current device."""
    values = rng.current().uniform(shape)
    return Tensor((2 * values - 1) * bound, requires_grad=True)


def constant_parameter(shape: tuple[int, ...], value: float) -> Tensor:
    """A float32 parameter with one value everywhere, on the current device."""
    return Tensor(constant(shape, value), requires_grad=True)


def constant(shape: tuple[int, ...], value: float) -> arrays.Array:
    zero = arrays.asarray(0.0, "float32")
    return arrays.namespace(zero).full(shape, value, dtype=zero.dtype)


def counts(layer: str, **sizes: Any) -> None:
    """Refuse sizes that are not positive whole numbers."""
    for name, n in sizes.items():
        whole_number(f"{layer}: {name}", n)


class Weighted(Module):
    """A layer y = f(x, weight) + bias; U(±1/√fan_in) for both, as PyTorch draws them."""

    weight: Tensor
    bias: Tensor | None

    def _init(self, shape: tuple[int, ...], fan_in: int, out: int, bias: bool) -> None:
        bound = 1 / math.sqrt(fan_in)
        self.weight = uniform_parameter(shape, bound)
        self.bias = uniform_parameter((out,), bound) if bias else None

    def affine(self, x: Any, weight: Any) -> Any:
        """The layer's map with a given weight in place of its own."""
        raise TypeError(f"{type(self).__name__} does not define affine()")

    def _without_bias(self) -> str:
        """How `describe` ends: nothing where there is a bias, as by default."""
        return ", bias=False" if self.bias is None else ""

    def forward(self, x: Any) -> Any:
        return self.affine(x, self.weight)


class Dense(Weighted):
    """Fully connected: y = x Wᵀ + b. Shapes (..., in_features) -> (..., out_features)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True):
        super().__init__()
        counts("Dense", in_features=in_features, out_features=out_features)
        self._init((out_features, in_features), in_features, out_features, bias)

    def affine(self, x: Any, weight: Any) -> Any:
        return ops.dense(x, weight, self.bias)

    def describe(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}{self._without_bias()}"


class Conv2d(Weighted):
    """Convolution of (N, in_channels, H, W); stride and padding are numbers or pairs."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        bias: bool = True,
    ):
        super().__init__()
        counts("Conv2d", in_channels=in_channels, out_channels=out_channels)
        kh, kw = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride, self.padding = (
            pair("Conv2d", "stride", stride, 1),
            pair("Conv2d", "padding", padding, 0),
        )
        self._init((out_channels, in_channels, kh, kw), in_channels * kh * kw, out_channels, bias)

    def affine(self, x: Any, weight: Any) -> Any:
        return ops.conv2d(x, weight, self.bias, self.stride, self.padding)

    def describe(self) -> str:
        out, into, kh, kw = self.weight.shape
        window = f"kernel_size=({kh}, {kw}), stride={self.stride}, padding={self.padding}"
        return f"{into}, {out}, {window}{self._without_bias()}"


class ConvTranspose2d(Weighted):
    """Transposed convolution: (H, W) grows to (H − 1)·stride − 2·padding + kernel + output_padding."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        output_padding: int | tuple[int, int] = 0,
        bias: bool = True,
    ):
        super().__init__()
        name = "ConvTranspose2d"
        counts(name, in_channels=in_channels, out_channels=out_channels)
        kh, kw = pair(name, "kernel_size", kernel_size, 1)
        self.stride, self.padding = pair(name, "stride", stride, 1), pair(name, "padding", padding, 0)
        self.output_padding = pair(name, "output_padding", output_padding, 0)
        # PyTorch takes the fan-in of the (in, out, kh, kw) array as if it were a convolution's.
        self._init((in_channels, out_channels, kh, kw), out_channels * kh * kw, out_channels, bias)

    def affine(self, x: Any, weight: Any) -> Any:
        return ops.conv_transpose2d(x, weight, self.bias, self.stride, self.padding, self.output_padding)

    def describe(self) -> str:
        into, out, kh, kw = self.weight.shape
        window = f"kernel_size=({kh}, {kw}), stride={self.stride}, padding={self.padding}"
        extra = f", output_padding={self.output_padding}" if any(self.output_padding) else ""
        return f"{into}, {out}, {window}{extra}{self._without_bias()}"


class BatchNorm(Module):
    """Batch normalisation of (N, C) or (N, C, H, W), with running statistics for use after training.

    weight and bias are the scale and shift by channel. The running variance is the unbiased one;
    running ← (1 − momentum) · running + momentum · batch, as in PyTorch.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        counts("BatchNorm", num_features=num_features)
        self.eps = number("BatchNorm: eps", eps, 0.0)
        if not is_number(momentum) or not 0 <= momentum <= 1:
            raise ConfigError(f"BatchNorm: momentum is a number in [0, 1], got {momentum!r}")
        self.momentum = float(momentum)
        self.weight = constant_parameter((num_features,), 1.0)
        self.bias = constant_parameter((num_features,), 0.0)
        self.buffer("running_mean", constant((num_features,), 0.0))
        self.buffer("running_var", constant((num_features,), 1.0))

    def forward(self, x: Any) -> Any:
        features = self.weight.shape[0]
        if len(x.shape) not in (2, 4) or x.shape[1] != features:
            raise ShapeError(
                f"BatchNorm: takes (N, {features}) or (N, {features}, H, W), as its weight is of shape "
                f"{self.weight.shape}; got shape {tuple(x.shape)}"
            )
        same_dtype("BatchNorm", x=x, weight=self.weight)
        if not self.training:
            statistics = self._buffers["running_mean"], self._buffers["running_var"]
            return ops.batch_norm_fixed(x, self.weight, self.bias, *statistics, self.eps)
        n = math.prod(x.shape) // features
        if n == 1:
            raise ShapeError(
                f"BatchNorm: one value per channel in a batch of shape {x.shape} has no variance; "
                "train with a larger batch or call .eval()"
            )
        y, mean, variance = ops.batch_norm_with_statistics(x, self.weight, self.bias, self.eps)
        with arrays.beside(mean):
            for name, batch in (("running_mean", mean), ("running_var", variance * (n / (n - 1)))):
                self.buffer(name, (1 - self.momentum) * self._buffers[name] + self.momentum * batch)
        return y

    def describe(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}, momentum={self.momentum}"


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Any) -> Any:
        return ops.relu(x)


class LeakyReLU(Module):
    """x where x > 0, else negative_slope · x."""

    def __init__(self, negative_slope: float = 0.2):
        super().__init__()
        self.negative_slope = number("LeakyReLU: negative_slope", negative_slope, 0.0)

    def forward(self, x: Any) -> Any:
        return ops.leaky_relu(x, self.negative_slope)

    def describe(self) -> str:
        return f"{self.negative_slope}"


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, x: Any) -> Any:
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + e^−x)."""

    def forward(self, x: Any) -> Any:
        return ops.sigmoid(x)


class Softplus(Module):
    """log(1 + e^x)."""

    def forward(self, x: Any) -> Any:
        return ops.softplus(x)


class Maxout(Module):
    """The largest of each group of `pieces` neighbouring features (axis 1)."""

    def __init__(self, pieces: int = 2):
        super().__init__()
        counts("Maxout", pieces=pieces)
        self.pieces = pieces

    def forward(self, x: Any) -> Any:
        return ops.maxout(x, self.pieces)

    def describe(self) -> str:
        return f"{self.pieces}"


class Dropout(Module):
    """Zeroes each element with probability p while training; p may be changed."""

    _drop = staticmethod(ops.dropout)

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = number(f"{type(self).__name__}: p, the share to drop,", p, 0.0, 1.0)

    def forward(self, x: Any) -> Any:
        return self.after_relu(x, 1.0)

    def after_relu(self, x: Any, negative_slope: float) -> Any:
        """What becomes of a leaky ReLU's result, the ReLU's part done too; slope 1 for none."""
        if self.training and self.p != 0:
            return self._drop(x, self.p, negative_slope=negative_slope)
        return x if negative_slope == 1 else ops.leaky_relu(x, negative_slope)

    def describe(self) -> str:
        return f"p={self.p}"


class Dropout2d(Dropout):
    """Zeroes whole channels of each example with probability p while training."""

    _drop = staticmethod(ops.dropout2d)


class Flatten(Module):
    """(N, ...) to (N, everything else)."""

    def forward(self, x: Any) -> Any:
        shape = x.shape
        return x if len(shape) == 2 else ops.reshape(x, (shape[0], math.prod(shape[1:])))


class Reshape(Module):
    """(N, ...) to (N, *shape); the shape excludes the batch."""

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        try:
            self.shape = tuple(map(operator.index, shape if isinstance(shape, tuple | list) else (shape,)))
        except TypeError:
            raise ConfigError(f"Reshape: the shape is whole numbers, got {shape!r}") from None

    def forward(self, x: Any) -> Any:
        shape = (x.shape[0], *self.shape)
        return x if x.shape == shape else ops.reshape(x, shape)

    def describe(self) -> str:
        return f"{self.shape}"
