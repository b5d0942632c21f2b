"""Binary cross-entropy, element by element."""

from __future__ import annotations

from typing import Any

from rawgan import arrays
from rawgan.engine import op
from rawgan.kernels.errors import ShapeError
from rawgan.ops.activation import sigmoid
from rawgan.ops.arithmetic import astype, log, maximum
from rawgan.ops.shape import as_input

LOWEST_LOG = -100.0  # as in PyTorch: log 0 counts as −100, so a certain and wrong verdict costs 100
TINY = 1e-44  # below e^−100, so that its logarithm is cut to −100
LEAST = 1e-12  # and p or 1 − p is never taken smaller than this in the gradient


@op("bce")
def _bce(xp, p, t):
    """−t log p − (1 − t) log(1 − p), with log 0 as −100."""
    one, floor = xp.ones_like(p), xp.full_like(p, LOWEST_LOG)
    yes = xp.where(p == 0, floor, xp.log(xp.where(p == 0, one, p)))
    no = xp.where(p == 1, floor, xp.log1p(-xp.where(p == 1, 0 * one, p)))
    return -(t * xp.maximum(yes, floor) + (1 - t) * xp.maximum(no, floor))


@_bce.rule("p", formula="p̄ = z̄ ⊙ ((1 − t) / (1 − p) − t / p)")
def bce_p(gz, p, t):
    return gz * ((1 - t) / maximum(1 - p, LEAST) - t / maximum(p, LEAST))


@_bce.rule("t", formula="t̄ = z̄ ⊙ (log(1 − p) − log p)")
def bce_t(gz, p):
    yes, no = log(maximum(p, TINY)), log(maximum(1 - p, TINY))
    return gz * (maximum(no, LOWEST_LOG) - maximum(yes, LOWEST_LOG))


def bce(p, t):
    """Cross-entropy of probabilities p in [0, 1] against targets t in [0, 1], element by element.

    Finite at p = 0 and 1: the loss there is 100 where the verdict is wrong, 0 where it is right, as in
    PyTorch. A p outside [0, 1] gives NaN.
    """
    p, t = _same_shape("bce", p, t)
    return _bce(p, t)


@op("bce_with_logits")
def _bce_with_logits(xp, x, t):
    """max(x, 0) − x t + log(1 + e^−|x|)."""
    return xp.maximum(x, xp.zeros_like(x)) - x * t + xp.log1p(xp.exp(-xp.abs(x)))


@_bce_with_logits.rule("x", formula="x̄ = z̄ ⊙ (σ(x) − t)")
def bce_with_logits_x(gz, x, t):
    return gz * (sigmoid(x) - t)


@_bce_with_logits.rule("t", formula="t̄ = −z̄ ⊙ x")
def bce_with_logits_t(gz, x):
    return -gz * x


def bce_with_logits(x, t):
    """Cross-entropy of σ(x) against targets t, from the logits x: exact where σ(x) would round to 0 or 1."""
    x, t = _same_shape("bce_with_logits", x, t)
    return _bce_with_logits(x, t)


def _same_shape(name: str, x: Any, t: Any) -> tuple[Any, Any]:
    x = as_input(x)
    shape = getattr(t, "shape", None)
    if shape is None and not isinstance(t, int | float):
        t = as_input(t)
        shape = t.shape
    if shape not in (None, ()) and tuple(shape) != tuple(x.shape):
        raise ShapeError(f"{name}: predictions of shape {x.shape} and targets of shape {shape} differ")
    if not isinstance(t, int | float) and t.dtype != x.dtype and arrays.is_float(x.dtype):
        t = astype(t, str(x.dtype))  # targets of another dtype do not decide the loss's
    return x, t
