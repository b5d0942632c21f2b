"""A step on points in the plane: what D says everywhere, what the best D would say, and where G is pulled.

For real density p and G's density q the best D of the original game says D* = p / (p + q) (Goodfellow et al.
2014, proposition 1). p is known for mixtures of Gaussians; q, and p of other data, is estimated from samples
by a Gaussian kernel. Its bandwidth is Scott's, n^(−1/6) times the standard deviation of each axis (Scott
1992), times the one of `FACTORS` under which points that were left out are likeliest (Silverman 1986, 3.4.4):
Scott's own is for one Gaussian, and much too wide for many.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rawgan import arrays, rng
from rawgan.engine import no_grad
from rawgan.inspect.views import encode

POINTS = 4000  # for the kernel density estimates
FACTORS = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16)
LEFT_OUT = 500  # by which the bandwidth is chosen
CELLS = 96  # of the plane's grid, along each side
LINES = 21  # of G's warped grid, each way
FINE = 61  # points along each line
REACH = 2.0  # of the slice of noise, in standard deviations


def plane(tape: Any) -> dict[str, Any] | None:
    """The plane's picture of a recorded step; None where its examples are no points in the plane."""
    networks, settings = tape.about.get("networks"), tape.about.get("settings")
    if networks is None or tuple(tape.about.get("shape", ())) != (2,) or "discriminator" not in networks:
        return None
    fake = tape.samples()
    real = next(n for n in tape.nodes if n.phase == "D on real" and n.op == "input" and n.shape)
    reals = arrays.to_numpy(real.value).reshape(-1, 2).astype(np.float64)
    source, pack = tape.about["source"], getattr(settings, "pack", 1)
    made = _generated(networks["generator"], tape.about["noise"], POINTS)
    sure = [reals, fake.items.reshape(-1, 2)]
    if hasattr(source, "centres"):
        sure += [source.centres + 3 * source.sigma, source.centres - 3 * source.sigma]
    box = _box(np.concatenate(sure), made)
    centres = _centres(box)
    D = _judged(networks["discriminator"], centres, pack)
    p, p_says = _real_density(source, centres)
    q, bandwidth = kernel_density(made, centres)
    area = (box[2] - box[0]) * (box[3] - box[1]) / CELLS**2
    return {
        "box": box, "cells": CELLS,
        "real": encode(reals), "fake": encode(fake.items.reshape(-1, 2)),
        "gradients": encode(fake.gradients.reshape(-1, 2)), "norms": fake.norms.tolist(),
        "raw": encode(D), "p": encode(p), "q": encode(q),
        "best": _best(settings), "smoothing": getattr(settings, "label_smoothing", 0.0),
        "probabilities": bool(getattr(settings, "probabilities", False)), "pack": pack,
        "p says": p_says,
        "q says": f"{POINTS:,} points from G as it was in its turn; Gaussian kernel, bandwidth "
        f"{bandwidth[0]:.3g} across and {bandwidth[1]:.3g} down",
        "divergence": jensen_shannon(p, q, area),
        "grid": encode(_warped(networks["generator"], tape.about["noise"])), "lines": LINES, "fine": FINE,
        "slice": _slice_says(tape.about["noise"]), "points": POINTS,
    }  # fmt: skip


def kernel_density(points: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M,) densities at (M, 2) places of (N, 2) points, and the bandwidth along each axis.

    >>> corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> density, bandwidth = kernel_density(corners, np.array([[0.5, 0.5], [9.0, 9.0]]))
    >>> bool(density[0] > density[1]), bandwidth.round(3).tolist()
    (True, [0.397, 0.397])
    """
    scott = np.maximum(points.std(axis=0) * len(points) ** (-1 / 6), 1e-6)
    out, rest = points[:LEFT_OUT], points[LEFT_OUT:]
    if len(rest) < LEFT_OUT:
        return _density(points, at, scott), scott
    likely = [float(np.log(_density(rest, out, f * scott) + 1e-300).mean()) for f in FACTORS]
    h = FACTORS[int(np.argmax(likely))] * scott
    return _density(points, at, h), h


def _density(points: np.ndarray, at: np.ndarray, h: np.ndarray) -> np.ndarray:
    out = np.empty(len(at))
    scaled = (points / h).astype(np.float32)
    for begin in range(0, len(at), 512):
        some = (at[begin : begin + 512] / h).astype(np.float32)
        squared = sum((some[:, None, k] - scaled[None, :, k]) ** 2 for k in range(2))
        out[begin : begin + 512] = np.exp(-0.5 * squared).mean(axis=1)
    return out / (2 * np.pi * h.prod())


def jensen_shannon(p: np.ndarray, q: np.ndarray, area: float) -> float:
    """The divergence of two densities on cells of an area, in nats, each made to sum to 1 first."""
    p, q = p / max(p.sum(), 1e-300), q / max(q.sum(), 1e-300)
    m = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(x > 0, x * np.log(x / m), 0.0).sum() for x in (p, q)]
    return float(sum(parts) / 2)


def _best(settings: Any) -> str:
    """The objective, where its best D is known."""
    return getattr(settings, "objective", "")


def _box(points: np.ndarray, made: np.ndarray) -> list[float]:
    """(left, bottom, right, top), square, around all points and nearly all of those that G makes."""
    low = np.minimum(points.min(axis=0), np.quantile(made, 0.005, axis=0))
    high = np.maximum(points.max(axis=0), np.quantile(made, 0.995, axis=0))
    middle, half = (low + high) / 2, 0.53 * float(max(high - low)) or 1.0
    return [*(middle - half).tolist(), *(middle + half).tolist()]


def _centres(box: list[float]) -> np.ndarray:
    """The middles of the cells, (CELLS², 2), row by row from the top."""
    across = np.linspace(box[0], box[2], 2 * CELLS + 1)[1::2]
    down = np.linspace(box[3], box[1], 2 * CELLS + 1)[1::2]
    x, y = np.meshgrid(across, down)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _run(network: Any, x: np.ndarray) -> np.ndarray:
    """A network's output, as in evaluation."""
    device = next((p.device for p in network.parameters()), arrays.resolve("cpu"))
    training = network.training
    try:
        with no_grad(), arrays.use_device(device):
            network.eval()
            return arrays.to_numpy(network(arrays.asarray(x, "float32")).data)
    finally:
        network.train(training)


def _generated(generator: Any, noise: int, count: int) -> np.ndarray:
    z = rng.Generator(0).spawn("density of the generator").normal((count, noise), device="cpu")
    return _run(generator, z).reshape(-1, 2).astype(np.float64)


def _judged(discriminator: Any, places: np.ndarray, pack: int) -> np.ndarray:
    return _run(discriminator, np.tile(places, (1, pack))).reshape(-1)


def _real_density(source: Any, at: np.ndarray) -> tuple[np.ndarray, str]:
    if hasattr(source, "centres") and hasattr(source, "sigma"):
        centres, sigma = np.asarray(source.centres, np.float64), float(source.sigma)
        squared = ((at[:, None] - centres[None]) ** 2).sum(axis=2) / sigma**2
        p = np.exp(-0.5 * squared).mean(axis=1) / (2 * np.pi * sigma**2)
        return p, f"known: {len(centres)} Gaussians, σ = {sigma:g}"
    if hasattr(source, "items"):
        points = np.asarray(source.items[:POINTS], np.float64)
    else:
        points = np.asarray(source.sample(POINTS, rng.Generator(0).spawn("density of the data")), np.float64)
    p, h = kernel_density(points, at)
    return p, f"{len(points):,} points; Gaussian kernel, bandwidth {h[0]:.3g} across and {h[1]:.3g} down"


def _warped(generator: Any, noise: int) -> np.ndarray:
    """(2, LINES, FINE, 2): where G sends the lines of a square grid in a slice of the noise."""
    steps, along = np.linspace(-REACH, REACH, LINES), np.linspace(-REACH, REACH, FINE)
    z = np.zeros((2, LINES, FINE, noise), np.float32)
    z[0, :, :, 0], z[0, :, :, -1 if noise == 1 else 1] = steps[:, None], along[None, :]
    z[1, :, :, 0], z[1, :, :, -1 if noise == 1 else 1] = along[None, :], steps[:, None]
    return _run(generator, z.reshape(-1, noise)).reshape(2, LINES, FINE, 2)


def _slice_says(noise: int) -> str:
    rest = f", the other {noise - 2} stay 0" if noise > 2 else ""
    return f"z₁ and z₂ from −{REACH:g} to {REACH:g}{rest}"
