"""Batch normalisation and dropout."""

from __future__ import annotations

from rawgan import arrays, kernels, rng
from rawgan.engine import op
from rawgan.kernels.errors import ConfigError, ShapeError
from rawgan.ops.activation import leaky_relu_grad
from rawgan.ops.arithmetic import raw, sqrt
from rawgan.ops.linear import same_dtype
from rawgan.ops.reduce import mean as mean_
from rawgan.ops.reduce import sum as sum_
from rawgan.ops.shape import as_input, reshape
from rawgan.settings import is_number, number


def per_channel(v, ndim):
    """A vector of channel values, shaped to stand beside (N, C, ...)."""
    return reshape(v, (1, -1) + (1,) * (ndim - 2))


def _others(ndim):
    return (0, *range(2, ndim))


@op("batch_norm", keeps=("mean", "variance"))
def _batch_norm(xp, x, scale, shift, *, eps):
    """scale ⊙ x̂ + shift with x̂ = (x − mean x) / √(var x + eps), by channel."""
    return kernels.batch_norm(x, scale, shift, eps)


@_batch_norm.share
def standardised(x, eps):
    axes = _others(len(x.shape))
    centred = x - mean_(x, axis=axes, keepdims=True)
    inverse = 1 / sqrt(mean_(centred * centred, axis=axes, keepdims=True) + eps)
    return {"xhat": centred * inverse, "inverse": inverse, "axes": axes}


@_batch_norm.rule("x", formula="x̄ = scale / σ ⊙ (ȳ − mean ȳ − x̂ ⊙ mean(ȳ ⊙ x̂))")
def batch_norm_x(gy, xhat, inverse, scale, axes):
    along = mean_(gy * xhat, axis=axes, keepdims=True)
    centred = gy - mean_(gy, axis=axes, keepdims=True) - xhat * along
    return centred * (per_channel(scale, len(gy.shape)) * inverse)


@_batch_norm.rule("scale", formula="scalē = Σ ȳ ⊙ x̂")
def batch_norm_scale(gy, xhat, axes):
    return sum_(gy * xhat, axis=axes)


@_batch_norm.rule("shift", formula="shift̄ = Σ ȳ")
def batch_norm_shift(gy, axes):
    return sum_(gy, axis=axes)


@_batch_norm.fuse
def batch_norm_all(gy, wanted, x, scale, mean, variance, eps):
    return kernels.batch_norm_grad(gy, x, scale, mean, variance, eps)


def batch_norm_with_statistics(x, scale, shift, eps=1e-5):
    """The normalised batch, and its mean and biased variance by channel (plain arrays)."""
    x, scale, shift = as_input(x), as_input(scale), as_input(shift)
    same_dtype("batch_norm", x=x, scale=scale, shift=shift)
    if len(x.shape) not in (2, 4):
        raise ShapeError(f"batch_norm: takes (N, C) or (N, C, H, W), got shape {x.shape}")
    for name, v in (("scale", scale), ("shift", shift)):
        if tuple(v.shape) != (x.shape[1],):
            raise ShapeError(f"batch_norm: {name} of shape {v.shape} does not fit {x.shape[1]} channels")
    values = x.shape[0]
    for n in x.shape[2:]:
        values *= n
    if values < 1:
        raise ShapeError(f"batch_norm: no values to normalise in shape {x.shape}")
    y, (mean, variance) = _batch_norm.apply((x, scale, shift), {"eps": eps})
    return y, mean, variance


def batch_norm(x, scale, shift, eps=1e-5):
    """Each channel of (N, C) or (N, C, H, W) to mean 0 and variance 1 over the batch.

    scale, shift: (C,), applied after. The variance is the biased one.
    Source: Ioffe and Szegedy, "Batch normalization", 2015.
    """
    return batch_norm_with_statistics(x, scale, shift, eps)[0]


def batch_norm_fixed(x, scale, shift, mean, variance, eps):
    """Batch normalisation with given statistics, as at the time of use: x (N, C, ...), the others (C,)."""
    x, scale, shift, mean, variance = map(as_input, (x, scale, shift, mean, variance))
    if len(x.shape) < 2 or {x.shape[1:2]} != {tuple(v.shape) for v in (scale, shift, mean, variance)}:
        raise ShapeError(
            f"batch_norm_fixed: takes x (N, C, ...) and the others (C,), got x of shape {x.shape}"
        )
    with arrays.beside(raw(x)):
        slope = scale / sqrt(variance + eps)
        return x * per_channel(slope, len(x.shape)) + per_channel(shift - mean * slope, len(x.shape))


@op("dropout")
def _dropout(xp, x, *, p, key, draw, negative_slope):
    """h ⊙ mask / (1 − p), h = leaky_relu(x), the mask drawn by Philox from (element, key, draw)."""
    return kernels.dropout(x, p, key, draw, False, negative_slope)


@_dropout.rule("x", formula="x̄ = ȳ ⊙ mask ⊙ (1 where y > 0, else slope) / (1 − p)")
def dropout_x(gy, y, p, negative_slope):
    return dropout_grad(gy, y=raw(y), p=p, negative_slope=negative_slope)


@op("dropout_grad")
def dropout_grad(xp, gy, *, y, p, negative_slope):
    """ȳ ⊙ mask ⊙ (1 where y > 0, else slope) / (1 − p), y = −0 where the mask is 0: its own gradient rule."""
    return kernels.dropout_grad(gy, y, p, negative_slope)


@dropout_grad.rule("gy", formula="ḡ = x̄ ⊙ mask ⊙ (1 where y > 0, else slope) / (1 − p)")
def dropout_grad_gy(gx, y, p, negative_slope):
    # In the order, and so the roundings, of a rectifier and a dropout that run one after the other.
    if negative_slope != 1:
        gx = leaky_relu_grad(gx, y=y, negative_slope=negative_slope)
    return dropout_grad(gx, y=y, p=p, negative_slope=1.0)


@op("dropout2d")
def _dropout2d(xp, x, *, p, key, draw, negative_slope):
    """h ⊙ mask / (1 − p), h = leaky_relu(x), one decision for each channel of each example."""
    return kernels.dropout(x, p, key, draw, True, negative_slope)


@_dropout2d.rule("x", formula="x̄ = ȳ ⊙ mask ⊙ (1 where y > 0, else slope) / (1 − p)")
def dropout2d_x(gy, y, p, negative_slope):
    return dropout_grad(gy, y=raw(y), p=p, negative_slope=negative_slope)


def _drop(name, operation, x, p, generator, negative_slope):
    x = as_input(x)
    same_dtype(name, x=x)
    if not is_number(p) or not 0 <= p < 1:
        raise ConfigError(f"{name}: p is the share to drop, in [0, 1), got {p!r}")
    slope = number(f"{name}: negative_slope", negative_slope, 0.0)
    key, draw = (generator or rng.current()).next()
    return operation(x, p=float(p), key=key, draw=draw, negative_slope=slope)


def dropout(x, p=0.5, generator=None, negative_slope=1.0):
    """Zero each element with probability p and divide the rest by 1 − p (Srivastava et al. 2014).

    negative_slope: of a leaky ReLU that is taken before, in the same pass; 1 for none.
    """
    return _drop("dropout", _dropout, x, p, generator, negative_slope)


def dropout2d(x, p=0.5, generator=None, negative_slope=1.0):
    """Zero whole channels (n, c) with probability p and divide the rest by 1 − p (Tompson et al. 2015).

    negative_slope: of a leaky ReLU that is taken before, in the same pass; 1 for none.
    """
    x = as_input(x)
    if len(x.shape) < 2:
        raise ShapeError(f"dropout2d: takes (N, C, ...), got shape {x.shape}")
    return _drop("dropout2d", _dropout2d, x, p, generator, negative_slope)
