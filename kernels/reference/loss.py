"""Binary cross-entropy: the mean over all elements, and its gradient."""

import numpy as np

LOWEST_LOG = -100.0  # as in PyTorch: log 0 counts as −100, so a certain and wrong verdict costs 100
LEAST = 1e-12  # and p or 1 − p is never taken smaller than this in the gradient


def bce(p, t):
    """mean of −t log p − (1 − t) log(1 − p), with logarithms of at least −100; its gradient in p."""
    with np.errstate(divide="ignore", invalid="ignore"):
        yes, no = np.maximum(np.log(p), LOWEST_LOG), np.maximum(np.log1p(-p), LOWEST_LOG)
    slope = (1 - t) / np.maximum(1 - p, LEAST) - t / np.maximum(p, LEAST)
    return _mean(-(t * yes + (1 - t) * no)), np.asarray(slope / p.size, p.dtype)


def bce_with_logits(x, t):
    """mean of max(x, 0) − x t + log(1 + e^−|x|); its gradient in x, (σ(x) − t) / n."""
    small = np.exp(-np.abs(x))
    probability = np.where(x >= 0, 1, small) / (1 + small)
    return _mean(np.maximum(x, 0) - x * t + np.log1p(small)), np.asarray((probability - t) / x.size, x.dtype)


def _mean(terms):
    return np.asarray(np.mean(terms, dtype=np.float64), terms.dtype)
