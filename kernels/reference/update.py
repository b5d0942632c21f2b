"""What an optimiser does to the arrays of its parameters."""

import numpy as np


def sum_squares(xs):
    """Σ x² of each array, in float64, as Python floats."""
    return tuple(float(np.sum(np.square(x.astype(np.float64)))) for x in xs)


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
