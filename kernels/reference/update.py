"""What an optimiser does to the arrays of its parameters."""

import numpy as np


def sum_squares(xs):
    """Σ x² of each array, in float64."""
    return np.array([np.sum(np.square(x.astype(np.float64))) for x in xs], np.float64)


def clip_norm(xs, sums, limit, each):
    """Pascanu et al. (2013), algorithm 1, in place: x ← x · limit / ‖x‖ where ‖x‖ > limit."""
    for x, own in zip(xs, sums, strict=True):
        norm = np.sqrt(own if each else np.sum(sums))
        if limit < norm < np.inf:
            x *= x.dtype.type(limit / norm)


def clip_value(xs, limit):
    """x ← min(max(x, −limit), limit), in place."""
    for x in xs:
        np.clip(x, -limit, limit, out=x)


def adam(params, grads, ms, vs, lr, beta1, beta2, eps, step):
    """Adam (Kingma and Ba, 2015, algorithm 1), in place; `step` is t, counted from 1.

    m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²,   θ ← θ − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) +
    eps).
    """
    for param, grad, m, v in zip(params, grads, ms, vs, strict=True):
        m[...] = beta1 * m + (1 - beta1) * grad
        v[...] = beta2 * v + (1 - beta2) * grad**2
        m_hat = m / (1 - beta1**step)
        v_hat = v / (1 - beta2**step)
        param -= lr * m_hat / (np.sqrt(v_hat) + eps)


def sgd(params, grads, vs, lr, momentum):
    """Gradient descent, in place: v ← momentum · v + g,   θ ← θ − lr · v."""
    for param, grad, v in zip(params, grads, vs or grads, strict=True):
        if vs:
            v[...] = momentum * v + grad
        param -= lr * v


def rmsprop(params, grads, vs, lr, rho, eps):
    """RMSprop (Tieleman and Hinton, 2012), in place: v ← ρ v + (1 − ρ) g²,   θ ← θ − lr · g / (√v + eps)."""
    for param, grad, v in zip(params, grads, vs, strict=True):
        v[...] = rho * v + (1 - rho) * grad**2
        param -= lr * grad / (np.sqrt(v) + eps)


def adagrad(params, grads, sums, lr, eps):
    """Adagrad (Duchi, Hazan and Singer, 2011), in place: s ← s + g²,   θ ← θ − lr · g / (√s + eps)."""
    for param, grad, s in zip(params, grads, sums, strict=True):
        s += grad**2
        param -= lr * grad / (np.sqrt(s) + eps)
