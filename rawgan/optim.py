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
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rawgan import arrays, kernels
from rawgan.arrays import Array
from rawgan.engine import Tensor
from rawgan.engine.tensor import real
from rawgan.kernels.cuda.count import Count, Varying
from rawgan.kernels.errors import CheckpointError, ConfigError, RawganError
from rawgan.schedules import Schedule
from rawgan.settings import is_number, number


def _listed(name: str, params: Iterable[Tensor]) -> list[Tensor]:
    """The parameters in a list; one tensor by itself, which would iterate over its rows, is a list of one."""
    if isinstance(params, Tensor):
        return [params]
    if hasattr(params, "parameters"):
        raise ConfigError(f"{name}: takes a list of parameters: pass module.parameters(), got {params!r}")
    listed: Any = params
    if type(params) is not list:
        listed = list(params) if isinstance(params, Iterable) and not arrays.is_array(params) else [params]
    for p in listed:
        if not isinstance(p, Tensor):
            raise ConfigError(f"{name}: takes leaf tensors such as net.parameters(), got {p!r}")
    return listed


class Optimizer:
    """Base of the optimisers: a list of parameters, and state arrays beside each of them.

    steps: how often each parameter has been moved; one without a gradient is left out of a step.
    moved: while a step is recorded for a device, how far it has moved since, an int64 array (1,) there: the
    kernels get `steps` as Counts with it.
    schedule: what lr is multiplied by (`rawgan.schedules.make`), or None.
    """

    slots: tuple[str, ...] = ()  # names of the state arrays
    moved: Any = None
    schedule: Schedule | None = None

    def __init__(self, params: Iterable[Tensor], lr: float):
        self.params = list(_listed(type(self).__name__, params))
        if not self.params:
            raise ConfigError(f"{type(self).__name__}: got no parameters")
        for p in self.params:
            if p._node is not None:
                raise ConfigError(
                    f"{type(self).__name__}: takes leaf tensors such as net.parameters(), got {p!r}"
                )
        if len(set(self.params)) < len(self.params):
            raise ConfigError(f"{type(self).__name__}: a parameter is listed twice and would be moved twice")
        self.lr = number(f"{type(self).__name__}: lr", lr, 0.0)
        self.steps = [0] * len(self.params)
        self.state: list[dict[str, Array]] = []
        for p in self.params:
            with arrays.beside(p.data):
                self.state.append({slot: arrays.namespace(p.data).zeros_like(p.data) for slot in self.slots})

    @property
    def rate(self) -> float:
        """The learning rate of the last update, as the schedule has it; before the first one, of that."""
        return float(self._rate(max(1, *self.steps)))

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        steps, params = self.steps, self.params
        chosen = [i for i, p in enumerate(params) if p.grad is not None]
        self._move(chosen)
        for i in chosen:
            steps[i] += 1
            params[i].changed()

    def _move(self, chosen: list[int]) -> None:
        """Move the parameters of these numbers."""
        alike: dict[Any, list[int]] = {}  # one call for all of one dtype and count: as a rule, for all
        for i in chosen:
            alike.setdefault((self.params[i]._data.dtype, self.steps[i] + 1), []).append(i)
        for (_, step), group in alike.items():
            params, own = [self.params[i] for i in group], [self.state[i] for i in group]
            states = [[state[slot] for state in own] for slot in self.slots]
            t = step if self.moved is None else Count(step, self.moved)
            self._update([p._data for p in params], _gradients(params), self._rate(step), t, *states)

    def _rate(self, t: int) -> float:
        """The learning rate of update t, counted from 1."""
        if self.schedule is None:
            return self.lr
        if self.moved is None:
            return self.lr * float(self.schedule(np, np.float64(t - 1)))
        xp = arrays.namespace(self.moved)
        return Varying(self.lr, self.lr * self.schedule(xp, (self.moved + (t - 1)).astype("float64")))

    def _update(
        self, params: list[Array], grads: list[Array], lr: float, t: int, *states: list[Array]
    ) -> None:
        """Move all against their gradients, in place.

        lr: a number or a Varying. t: a number or a Count, counts updates from 1. states: for each of `slots`
        its arrays.
        """
        raise TypeError(f"{type(self).__name__} does not define _update()")

    def state_dict(self) -> dict[str, np.ndarray]:
        """NumPy copies: {"steps": (parameters,), "lr": (), "m.0": ..., "v.0": ..., "m.1": ...}."""
        out = {"steps": np.array(self.steps, np.int64), "lr": np.array(self.lr)}
        for i, state in enumerate(self.state):
            for slot, value in state.items():
                out[f"{slot}.{i}"] = np.array(arrays.to_numpy(value), order="C")
        return out

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on exactly where `state_dict()` was taken; if it does not fit, CheckpointError and no change."""
        own, name = self.state_dict(), type(self).__name__
        if not isinstance(saved, Mapping):
            raise CheckpointError(f"{name}: takes what state_dict() gave, got {saved!r}")
        if own.keys() != saved.keys():
            odd = sorted(map(str, own.keys() ^ saved.keys()))
            raise CheckpointError(f"{name}: the saved state has other names: {', '.join(odd[:5])}")
        new = {}
        for key in own:
            try:
                new[key] = arrays.to_numpy(real(f"saved {key}", saved[key]))
            except RawganError as error:
                raise CheckpointError(f"{name}: {error}") from None
            if new[key].shape != own[key].shape:
                raise CheckpointError(
                    f"{name}: saved {key} has shape {new[key].shape}, expected {own[key].shape}"
                )
        steps, lr = new["steps"], float(new["lr"])
        if steps.dtype.kind not in "iu" or (steps < 0).any():
            raise CheckpointError(f"{name}: saved steps are whole numbers ≥ 0, got {steps.tolist()}")
        if not 0 <= lr < math.inf:
            raise CheckpointError(f"{name}: saved lr is a number ≥ 0, got {lr}")
        self.steps, self.lr = steps.tolist(), lr
        for i, state in enumerate(self.state):
            for slot, value in state.items():
                with arrays.beside(value):
                    value[...] = arrays.asarray(new[f"{slot}.{i}"], value.dtype, arrays.device_of(value))


class SGD(Optimizer):
    """Gradient descent: v ← momentum · v + g;  x ← x − lr · v."""

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.0):
        self.momentum = number("SGD: momentum", momentum, 0.0, 1.0)
        self.slots = ("v",) if momentum else ()
        super().__init__(params, lr)

    def _update(self, params: Any, grads: Any, lr: Any, t: Any, vs: Any = ()) -> None:
        kernels.sgd(params, grads, list(vs), lr, self.momentum)


class RMSprop(Optimizer):
    """v ← rho · v + (1 − rho) g²;  x ← x − lr · g / (√v + eps). Tieleman and Hinton 2012."""

    slots = ("v",)

    def __init__(self, params: Iterable[Tensor], lr: float, rho: float = 0.9, eps: float = 1e-8):
        self.rho, self.eps = number("RMSprop: rho", rho, 0.0, 1.0), number("RMSprop: eps", eps, 0.0)
        super().__init__(params, lr)

    def _update(self, params: Any, grads: Any, lr: Any, t: Any, vs: Any) -> None:
        kernels.rmsprop(params, grads, vs, lr, self.rho, self.eps)


class RMSpropPrinted(RMSprop):
    """x ← x − lr · g / √(v + eps);  v ← rho · v + (1 − rho) g², in the order in which an article prints it.

    A step so divides by the gradients before it alone, and the first, with v = 0, by √eps: with the default
    ten thousand times the gradient, where RMSprop's is at most lr / √(1 − rho). Here to be compared with.
    """

    def _update(self, params: Any, grads: Any, lr: Any, t: Any, vs: Any) -> None:
        for x, g, v in zip(params, grads, vs, strict=True):
            rate = lr.now.astype(x.dtype).reshape(()) if isinstance(lr, Varying) else lr
            with arrays.beside(x):
                x -= rate * g / arrays.namespace(x).sqrt(v + self.eps)
                v *= self.rho
                v += (1 - self.rho) * (g * g)


class Adagrad(Optimizer):
    """s ← s + g²;  x ← x − lr · g / (√s + eps). Duchi, Hazan and Singer 2011."""

    slots = ("s",)

    def __init__(self, params: Iterable[Tensor], lr: float, eps: float = 1e-10):
        self.eps = number("Adagrad: eps", eps, 0.0)
        super().__init__(params, lr)

    def _update(self, params: Any, grads: Any, lr: Any, t: Any, sums: Any) -> None:
        kernels.adagrad(params, grads, sums, lr, self.eps)


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
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ConfigError(f"Adam: betas are two numbers (beta1, beta2), got {betas!r}")
        self.betas = number("Adam: beta1", betas[0], 0.0, 1.0), number("Adam: beta2", betas[1], 0.0, 1.0)
        self.eps = number("Adam: eps", eps, 0.0)
        super().__init__(params, lr)

    def _update(self, params: Any, grads: Any, lr: Any, t: Any, ms: Any, vs: Any) -> None:
        kernels.adam(params, grads, ms, vs, lr, *self.betas, self.eps, t)


OPTIMIZERS = {
    "sgd": SGD,
    "rmsprop": RMSprop,
    "rmsprop_printed": RMSpropPrinted,
    "adagrad": Adagrad,
    "adam": Adam,
}


def _gradients(params: Iterable[Tensor]) -> list[Array]:
    """The gradients that there are, in C order: what a user has put there need not be."""
    found = []
    for p in params:
        grad = p.grad
        if grad is not None:
            if not grad.flags.c_contiguous:
                grad = p.grad = arrays.contiguous(grad)
            found.append(grad)
    return found


def squared_norms(params: Iterable[Tensor]) -> tuple[list[Array], Array]:
    """The gradients that there are, and Σ g² of each in float64, which stay on their device."""
    gradients = _gradients(params)
    return gradients, kernels.sum_squares(gradients)


def grad_norms(params: Iterable[Tensor]) -> list[float]:
    """The Euclidean norm of each parameter's gradient (0 where there is none), summed in float64."""
    params = _listed("grad_norms", params)
    return _norms(params, squared_norms(params)[1])


def _norms(params: list[Tensor], sums: Array) -> list[float]:
    """Of each parameter, in Python's numbers: waits for the device."""
    norms = map(math.sqrt, arrays.to_numpy(sums).tolist())
    return [0.0 if p.grad is None else next(norms) for p in params]


def _limit(name: str, value: float) -> float:
    if not is_number(value) or not value > 0:
        raise ConfigError(f"{name}: the limit is a number above 0, got {value!r}")
    return float(value)


def clip_grad_norm(params: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients by one factor so that their norm together is at most `max_norm`.

    g ← g · C / ‖g‖ where ‖g‖ > C (Pascanu et al. 2013, algorithm 1). Returns the norm before; a norm
    that is not finite changes nothing.
    """
    max_norm, params = _limit("clip_grad_norm", max_norm), _listed("clip_grad_norm", params)
    gradients, sums = squared_norms(params)
    kernels.clip_norm(gradients, sums, max_norm, False)
    return math.sqrt(sum(arrays.to_numpy(sums).tolist()))


def clip_grad_norm_each(params: Iterable[Tensor], max_norm: float) -> list[float]:
    """Scale each gradient so that its own norm is at most `max_norm`; returns the norms before."""
    max_norm, params = _limit("clip_grad_norm_each", max_norm), _listed("clip_grad_norm_each", params)
    gradients, sums = squared_norms(params)
    kernels.clip_norm(gradients, sums, max_norm, True)
    return _norms(params, sums)


def clip_grad_value(params: Iterable[Tensor], max_abs: float) -> None:
    """Cut every element of every gradient to [−max_abs, max_abs]."""
    max_abs = _limit("clip_grad_value", max_abs)
    kernels.clip_value(_gradients(_listed("clip_grad_value", params)), max_abs)
