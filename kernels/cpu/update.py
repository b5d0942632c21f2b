"""What an optimiser does to the arrays of a parameter, in one pass over memory."""

import numpy as np

from .jit import jit
from .layout import flat
from .pool import BLOCK, run_blocks


@jit
def _sum_squares(x, start, stop):
    """Σ x² in float64 over eight running sums, which the processor adds side by side."""
    xs = x[start:stop]
    sums = np.zeros(8)
    whole = xs.size // 8 * 8
    for i in range(0, whole, 8):
        for j in range(8):
            value = np.float64(xs[i + j])
            sums[j] += value * value
    total = 0.0
    for j in range(8):
        total += sums[j]
    for i in range(whole, xs.size):
        total += np.float64(xs[i]) ** 2
    return total


@jit
def _adam(param, grad, m, v, lr, beta1, beta2, eps, step, start, stop):
    ps, gs, ms, vs = param[start:stop], grad[start:stop], m[start:stop], v[start:stop]
    number = param.dtype.type
    rate1, rate2 = number(lr / (1 - beta1**step)), number(1 / (1 - beta2**step))
    old1, new1, old2, new2 = number(beta1), number(1 - beta1), number(beta2), number(1 - beta2)
    eps = number(eps)
    for i in range(ps.size):
        g = gs[i]
        ms[i] = old1 * ms[i] + new1 * g
        vs[i] = old2 * vs[i] + new2 * (g * g)
        ps[i] -= rate1 * ms[i] / (np.sqrt(vs[i] * rate2) + eps)


def sum_squares(x):
    """See CONTRACTS["sum_squares"]."""
    values = flat(x)
    if values is None:
        pieces = np.nditer(x, ["external_loop", "buffered", "zerosize_ok"], order="K")
        return float(sum(_sum_squares(piece, 0, piece.size) for piece in map(np.ascontiguousarray, pieces)))
    if values.size <= BLOCK:
        return float(_sum_squares(values, 0, values.size))
    partial = np.zeros(-(-values.size // BLOCK))

    def task(start, stop):
        partial[start // BLOCK] = _sum_squares(values, start, stop)

    run_blocks(task, values.size)
    return float(partial.sum())


def adam(param, grad, m, v, lr, beta1, beta2, eps, step):
    """See CONTRACTS["adam"]."""
    arrays = [array.reshape(-1) for array in (param, grad, m, v)]
    rates = float(lr), float(beta1), float(beta2), float(eps), float(step)
    if param.size <= BLOCK:  # no need of a pool
        _adam(*arrays, *rates, 0, param.size)
    else:
        run_blocks(lambda start, stop: _adam(*arrays, *rates, start, stop), param.size)
