"""Binary cross-entropy: the mean over a batch of verdicts."""

from __future__ import annotations

from typing import Any

from rawgan import arrays, kernels
from rawgan.engine import op
from rawgan.kernels.errors import ShapeError
from rawgan.kernels.reference.loss import LEAST, LOWEST_LOG
from rawgan.ops.activation import sigmoid
from rawgan.ops.arithmetic import astype, log, maximum
from rawgan.ops.reduce import broadcast_to
from rawgan.ops.shape import as_input

TINY = 1e-44  # below e^−100, so that its logarithm is cut to −100


@op("bce", keeps=("slope",))
def _bce(xp, p, t):
    """mean of −t log p − (1 − t) log(1 − p), with log 0 as −100."""
    return kernels.bce(p, t)


@_bce.rule("p", formula="p̄ = z̄ ((1 − t) / (1 − p) − t / p) / n")
def bce_p(gz, p, t):
    return gz * (((1 - t) / maximum(1 - p, LEAST) - t / maximum(p, LEAST)) / p.size)


@_bce.rule("t", formula="t̄ = z̄ (log(1 − p) − log p) / n")
def bce_t(gz, p):
    yes, no = log(maximum(p, TINY)), log(maximum(1 - p, TINY))
    return gz * ((maximum(no, LOWEST_LOG) - maximum(yes, LOWEST_LOG)) / p.size)


@_bce.fuse
def bce_fused(gz, wanted, slope, p):
    return gz * slope if wanted[0] else None, bce_t(gz, p) if wanted[1] else None


def bce(p, t):
    """Mean cross-entropy of probabilities p in [0, 1] against targets t in [0, 1].

    p, t: of one shape, or t a number. Finite at p = 0 and 1: an element costs 100 there where the verdict is
    wrong, 0 where it is right, as in PyTorch. A p outside [0, 1] gives NaN.
    """
    return _bce(*_same_shape("bce", p, t))


@op("bce_with_logits", keeps=("slope",))
def _bce_with_logits(xp, x, t):
    """mean of max(x, 0) − x t + log(1 + e^−|x|)."""
    return kernels.bce_with_logits(x, t)


@_bce_with_logits.rule("x", formula="x̄ = z̄ (σ(x) − t) / n")
def bce_with_logits_x(gz, x, t):
    return gz * ((sigmoid(x) - t) / x.size)


@_bce_with_logits.rule("t", formula="t̄ = −z̄ x / n")
def bce_with_logits_t(gz, x):
    return gz * (x / -x.size)


@_bce_with_logits.fuse
def bce_with_logits_fused(gz, wanted, slope, x):
    return gz * slope if wanted[0] else None, bce_with_logits_t(gz, x) if wanted[1] else None


def bce_with_logits(x, t):
    """Mean cross-entropy of σ(x) against targets t: exact where σ(x) would round to 0 or 1.

    x: logits of any shape; t: of the same, or a number.
    """
    return _bce_with_logits(*_same_shape("bce_with_logits", x, t))


def _same_shape(name: str, x: Any, t: Any) -> tuple[Any, Any]:
    x = as_input(x)
    if type(t) is float:
        return x, t
    shape = getattr(t, "shape", None)
    if shape is None and not isinstance(t, int | float):
        t = as_input(t)
        shape = t.shape
    if shape not in (None, ()) and tuple(shape) != tuple(x.shape):
        raise ShapeError(f"{name}: predictions of shape {x.shape} and targets of shape {shape} differ")
    if not isinstance(t, int | float):
        if t.dtype != x.dtype and arrays.is_float(x.dtype):
            t = astype(t, str(x.dtype))  # targets of another dtype do not decide the loss's
        if t.shape != x.shape:  # of no axes
            t = broadcast_to(t, x.shape)
    return x, t
