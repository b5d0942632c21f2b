"""The one check of gradient rules: the gradient tests require it, the mutation tests must not get past it."""

from __future__ import annotations

import numpy as np
from drawing import Case

import rawgan
from rawgan import arrays
from rawgan.engine import Tensor, grad


def cotangent(like: np.ndarray) -> np.ndarray:
    """A random one; all ones would hide wrong rules."""
    drawn = np.random.default_rng(like.size).normal(size=like.shape).astype(like.dtype)
    return arrays.asarray(drawn, device=arrays.device_of(like))


def check(case: Case, call=None) -> None:
    """First and second order against differences; the plain backward pass against the differentiable one."""
    call = call or case.call
    rawgan.gradcheck(call, *case.inputs, order=2)
    plain, composed = gradients(case, call, False), gradients(case, call, True)
    for i, (g, h) in enumerate(zip(plain, composed, strict=True)):
        error = np.max(np.abs(g - h), initial=0.0)
        assert error <= 1e-9 * (1 + np.max(np.abs(g), initial=0.0)), (
            f"{case.name}: the gradients of input {i} with and without create_graph differ by {error}"
        )


def gradients(case: Case, call, create_graph: bool) -> list[np.ndarray]:
    leaves = [Tensor(x, requires_grad=True) for x in case.inputs]
    y = call(*leaves)
    return [g.data for g in grad(y, leaves, cotangent(y.data), create_graph)]
