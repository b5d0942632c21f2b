"""Optimisers and gradient clipping. Both work on `.grad`, in place, outside the tape.

>>> import rawgan
>>> from rawgan import optim
>>> w = rawgan.tensor([1.0], requires_grad=True)
>>> opt = optim.SGD([w], lr=0.5)
>>> (w * w).sum().backward(); opt.step(); w
tensor([0.], requires_grad=True)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from rawgan import arrays, kernels
from rawgan.arrays import Array
from rawgan.engine import Tensor
from rawgan.kernels.errors import CheckpointError, ConfigError


def _check(name: str, **settings: tuple[float, float, float]) -> None:
    """Refuse settings outside [low, high); each is (value, low, high)."""
    for key, (value, low, high) in settings.items():
        if not isinstance(value, int | float) or not low <= value < high:
            raise ConfigError(f"{name}: {key} is a number in [{low}, {high}), got {value!r}")


class Optimizer:
    """Base of the optimisers: a list of parameters, and state arrays beside each of them."""

    slots: tuple[str, ...] = ()  # names of the state arrays

    def __init__(self, params: Iterable[Tensor], lr: float):
        self.params = list(params)
        if not self.params:
            raise ConfigError(f"{type(self).__name__}: got no parameters")
        for p in self.params:
            if type(p) is not Tensor or p._node is not None:
                raise ConfigError(
                    f"{type(self).__name__}: takes leaf tensors such as net.parameters(), got {p!r}"
                )
        _check(type(self).__name__, lr=(lr, 0.0, math.inf))
        self.lr = lr
        self.steps = 0
        self.state: list[dict[str, Array]] = [
            {slot: arrays.namespace(p.data).zeros_like(p.data) for slot in self.slots} for p in self.params
        ]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        self.steps += 1
        for p, state in zip(self.params, self.state, strict=True):
            if p.grad is not None:
                self._update(p._data, p.grad, **state)
                p.changed()

    def _update(self, x: Array, g: Array, **state: Array) -> None:
        raise TypeError(f"{type(self).__name__} does not define _update()")

    def state_dict(self) -> dict[str, np.ndarray]:
        """NumPy copies of the state: {"steps": ..., "m.0": ..., "v.0": ..., "m.1": ...}."""
        out = {"steps": np.array(self.steps, np.int64)}
        for i, state in enumerate(self.state):
            for slot, value in state.items():
                out[f"{slot}.{i}"] = np.array(arrays.to_numpy(value), order="C")
        return out

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on exactly where `state_dict()` was taken; CheckpointError if it does not fit."""
        own = self.state_dict()
        if own.keys() != saved.keys():
            odd = sorted(own.keys() ^ saved.keys())
            raise CheckpointError(
                f"{type(self).__name__}: the saved state has other names: {', '.join(odd[:5])}"
            )
        for key, value in saved.items():
            if np.shape(value) != own[key].shape:
                raise CheckpointError(
                    f"{type(self).__name__}: saved {key} has shape {np.shape(value)}, "
                    f"expected {own[key].shape}"
                )
        self.steps = int(saved["steps"])
        for i, state in enumerate(self.state):
            for slot, value in state.items():
                value[...] = arrays.asarray(saved[f"{slot}.{i}"], value.dtype, arrays.device_of(value))


class SGD(Optimizer):
    """Gradient descent: v ← momentum · v + g;  x ← x − lr · v."""

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.0):
        _check("SGD", momentum=(momentum, 0.0, 1.0))
        self.slots = ("v",) if momentum else ()
        super().__init__(params, lr)
        self.momentum = momentum

    def _update(self, x: Array, g: Array, v: Array | None = None) -> None:
        if v is None:
            x -= self.lr * g
            return
        v *= self.momentum
        v += g
        x -= self.lr * v


class RMSprop(Optimizer):
    """v ← rho · v + (1 − rho) g²;  x ← x − lr · g / (√v + eps). Tieleman and Hinton 2012."""

    slots = ("v",)

    def __init__(self, params: Iterable[Tensor], lr: float, rho: float = 0.9, eps: float = 1e-8):
        _check("RMSprop", rho=(rho, 0.0, 1.0), eps=(eps, 0.0, math.inf))
        super().__init__(params, lr)
        self.rho, self.eps = rho, eps

    def _update(self, x: Array, g: Array, v: Array) -> None:
        v *= self.rho
        v += (1 - self.rho) * (g * g)
        x -= self.lr * g / (arrays.namespace(v).sqrt(v) + self.eps)


class Adagrad(Optimizer):
    """s ← s + g²;  x ← x − lr · g / (√s + eps). Duchi, Hazan and Singer 2011."""

    slots = ("s",)

    def __init__(self, params: Iterable[Tensor], lr: float, eps: float = 1e-10):
        _check("Adagrad", eps=(eps, 0.0, math.inf))
        super().__init__(params, lr)
        self.eps = eps

    def _update(self, x: Array, g: Array, s: Array) -> None:
        s += g * g
        x -= self.lr * g / (arrays.namespace(s).sqrt(s) + self.eps)


class Adam(Optimizer):
    """m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  x ← x − lr · m̂ / (√v̂ + eps).

    m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ). Source: Kingma and Ba 2015, algorithm 1. The default
    β₁ = 0.5 is that of GANs (Radford et al. 2016).
    """

    slots = ("m", "v")

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        eps: float = 1e-8,
    ):
        beta1, beta2 = betas
        _check("Adam", beta1=(beta1, 0.0, 1.0), beta2=(beta2, 0.0, 1.0), eps=(eps, 0.0, math.inf))
        super().__init__(params, lr)
        self.betas, self.eps = (beta1, beta2), eps

    def _update(self, x: Array, g: Array, m: Array, v: Array) -> None:
        kernels.adam(x, g, m, v, self.lr, *self.betas, self.eps, self.steps)


OPTIMIZERS = {"sgd": SGD, "rmsprop": RMSprop, "adagrad": Adagrad, "adam": Adam}


# Clipping ------------------------------------------------------------------------------


def grad_norms(params: Iterable[Tensor]) -> list[float]:
    """The Euclidean norm of each parameter's gradient (0 where there is none), summed in float64."""
    return [math.sqrt(kernels.sum_squares(p.grad)) if p.grad is not None else 0.0 for p in params]


def _positive(name: str, limit: float) -> None:
    if not isinstance(limit, int | float) or not limit > 0:
        raise ConfigError(f"{name}: the limit is a number above 0, got {limit!r}")


def clip_grad_norm(params: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients by one factor so that their norm together is at most `max_norm`.

    g ← g · C / ‖g‖ where ‖g‖ > C (Pascanu et al. 2013, algorithm 1). Returns the norm before; a norm
    that is not finite changes nothing.
    """
    _positive("clip_grad_norm", max_norm)
    params = list(params)
    norm = math.sqrt(sum(n * n for n in grad_norms(params)))
    if max_norm < norm < math.inf:
        for p in params:
            if p.grad is not None:
                p.grad *= max_norm / norm
    return norm


def clip_grad_norm_each(params: Iterable[Tensor], max_norm: float) -> list[float]:
    """Scale each gradient so that its own norm is at most `max_norm`; returns the norms before."""
    _positive("clip_grad_norm_each", max_norm)
    params = list(params)
    norms = grad_norms(params)
    for p, norm in zip(params, norms, strict=True):
        if max_norm < norm < math.inf:
            p.grad *= max_norm / norm
    return norms


def clip_grad_value(params: Iterable[Tensor], max_abs: float) -> None:
    """Cut every element of every gradient to [−max_abs, max_abs]."""
    _positive("clip_grad_value", max_abs)
    for p in params:
        if p.grad is not None:
            xp = arrays.namespace(p.grad)
            p.grad = xp.clip(p.grad, -max_abs, max_abs)
