"""As `samples.py`, for what a training step does besides its networks: batches, clipping, updates."""

import numpy as np

from .samples import Arguments, Generator, _dtype, _shape, array


def gather(rng: Generator) -> Arguments:
    """Pictures or points, in a table that is longer than what is left of it."""
    shape = (int(rng.integers(1, 9)), *[(2,), (1, 3, 3), (3, 17, 20)][rng.integers(3)])
    items = array(rng, shape, np.float32)
    if rng.integers(2):
        items = (np.abs(items) * 100).astype(np.uint8, order="K")
    low, high = [(0.0, 1.0), (-1.0, 1.0), (0.25, 3.1)][rng.integers(3)]
    table = rng.integers(len(items), size=(rng.integers(1, 5), rng.integers(6)))
    return {
        "items": items,
        "table": table.astype(np.int32)[:, :: rng.choice([1, -1])],
        "row": int(rng.integers(100)),
        "low": low,
        "high": high,
    }


def sum_squares(rng: Generator) -> Arguments:
    return {"xs": [array(rng, _shape(rng), _dtype(rng)) for _ in range(rng.integers(1, 4))]}


def clip_norm(rng: Generator) -> Arguments:
    """Norms on both sides of the limit, now and then one that is not finite."""
    xs = _to_clip(rng)
    sums = np.array([np.sum(np.square(x, dtype=np.float64)) for x in xs])
    sums[0] = rng.choice([sums[0], sums[0], np.inf, np.nan])
    return {"xs": xs, "sums": sums, "limit": 10 ** float(rng.uniform(-2, 2)), "each": bool(rng.integers(2))}


def clip_value(rng: Generator) -> Arguments:
    xs = _to_clip(rng)
    for x in xs:
        x[...] = np.where(rng.integers(20, size=x.shape) == 0, rng.choice([np.nan, np.inf, -np.inf]), x)
    return {"xs": xs, "limit": 10 ** float(rng.uniform(-1, 1))}


def _to_clip(rng: Generator) -> list[np.ndarray]:
    """More than one launch takes, now and then."""
    count = 70 if rng.integers(20) == 0 else rng.integers(1, 4)
    return [np.asarray(rng.standard_normal(_shape(rng)), _dtype(rng)) for _ in range(count)]


def _lists(rng: Generator, count: int) -> list[list[np.ndarray]]:
    """Lists of as many arrays, of one dtype."""
    dtype = _dtype(rng)
    shapes = [_shape(rng) for _ in range(70 if rng.integers(20) == 0 else rng.integers(1, 4))]
    return [[np.asarray(rng.standard_normal(s), dtype) for s in shapes] for _ in range(count)]


def _rate(rng: Generator) -> float:
    return 10 ** float(rng.uniform(-4, -1))


def adam(rng: Generator) -> Arguments:
    params, grads, ms, vs = _lists(rng, 4)
    return {
        "params": params,
        "grads": grads,
        "ms": ms,
        "vs": [np.square(v, out=v) for v in vs],
        "lr": _rate(rng),
        "beta1": float(rng.choice([0, 0.5, 0.9])),
        "beta2": 0.999,
        "eps": 1e-8,
        "step": int(rng.integers(1, 50)),
    }


def sgd(rng: Generator) -> Arguments:
    params, grads, vs = _lists(rng, 3)
    momentum = float(rng.choice([0, 0.5, 0.9]))
    return {
        "params": params,
        "grads": grads,
        "vs": vs if momentum or rng.integers(2) else [],
        "lr": _rate(rng),
        "momentum": momentum,
    }


def rmsprop(rng: Generator) -> Arguments:
    params, grads, vs = _lists(rng, 3)
    rho = float(rng.choice([0.5, 0.9, 0.99]))
    vs = [np.square(v, out=v) for v in vs]
    return {"params": params, "grads": grads, "vs": vs, "lr": _rate(rng), "rho": rho, "eps": 1e-8}


def adagrad(rng: Generator) -> Arguments:
    params, grads, sums = _lists(rng, 3)
    sums = [np.square(s, out=s) for s in sums]
    return {"params": params, "grads": grads, "sums": sums, "lr": _rate(rng), "eps": 1e-10}
