"""Spectral normalisation: a layer whose weight never stretches by more than 1.

Source: Miyato et al., "Spectral normalization for generative adversarial networks", 2018.
"""

from __future__ import annotations

from typing import Any

from rawgan import arrays, ops, rng
from rawgan.kernels.errors import ConfigError
from rawgan.nn.layers import ConvTranspose2d, Weighted
from rawgan.nn.module import Module


class SpectralNorm(Module):
    """`layer` with its weight divided by its largest singular value σ.

    σ = uᵀ W v, where u and v follow the weight by one step of the power method in each
    training call. W is the weight with the output channels as rows; the gradient
    flows through W, with u and v taken as constants (Miyato et al., algorithm 1).
    """

    def __init__(self, layer: Weighted):
        super().__init__()
        if not isinstance(layer, Weighted):
            raise ConfigError(f"SpectralNorm takes a layer with a weight, got {type(layer).__name__}")
        self.layer = layer
        rows = layer.weight.shape[1 if isinstance(layer, ConvTranspose2d) else 0]
        u = rng.current().normal(rows)
        with arrays.beside(u):
            self.buffer("u", u / float((u * u).sum()) ** 0.5)
            for _ in range(5):  # a start near the singular vector, so that the first σ is not far off
                self._singular_vectors(update=True)

    def _matrix(self) -> Any:
        weight = self.layer.weight
        if isinstance(self.layer, ConvTranspose2d):
            weight = ops.transpose(weight, (1, 0, 2, 3))
        return ops.reshape(weight, (weight.shape[0], -1))

    def _singular_vectors(self, update: bool) -> tuple[arrays.Array, arrays.Array]:
        matrix = self._matrix().detach().data
        u = self._buffers["u"]
        v = _unit(ops.matmul(u, matrix))
        if update:
            u = _unit(ops.matmul(matrix, v))
            self.buffer("u", u)
        return u, v

    def forward(self, x: Any) -> Any:
        with arrays.beside(self._buffers["u"]):
            u, v = self._singular_vectors(self.training)
            sigma = ops.sum(self._matrix() * (u[:, None] * v))
        return self.layer.affine(x, self.layer.weight / sigma)


def _unit(vector: arrays.Array) -> arrays.Array:
    return vector / ((vector * vector).sum() ** 0.5 + 1e-12)
