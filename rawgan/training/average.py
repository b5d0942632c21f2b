"""An exponential moving average of weights, as samples are best made with, and statistics that fit them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from rawgan import arrays, nn, rng
from rawgan.engine import Tensor, no_grad
from rawgan.kernels.errors import CheckpointError


class Average:
    """a ← decay · a + (1 − decay) · θ after every update, beginning at the first weights.

    Source: Yazıcı et al., "The unusual effectiveness of averaging in GAN training", 2019.

    >>> import rawgan
    >>> w = rawgan.tensor([1.0], requires_grad=True); average = Average([w], 0.75)
    >>> _ = w.copy_([3.0]); average.update()
    >>> with average.in_use(): print(w.tolist())
    [1.5]
    """

    def __init__(self, params: list[Tensor], decay: float):
        self.params, self.decay = list(params), decay
        self.values = [p.data.copy() for p in self.params]

    def update(self) -> None:
        """Take the weights as they are now into the average, in place."""
        for value, p in zip(self.values, self.params, strict=True):
            value *= self.decay
            value += (1 - self.decay) * p.data

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """The parameters are the average inside the block."""
        own = [p.data for p in self.params]
        for value, p in zip(self.values, self.params, strict=True):
            p.data = value
        try:
            yield
        finally:
            for value, p in zip(own, self.params, strict=True):
                p.data = value

    def state_dict(self) -> dict[str, np.ndarray]:
        """NumPy copies: {"0": ..., "1": ...}."""
        return {str(i): np.array(arrays.to_numpy(value), order="C") for i, value in enumerate(self.values)}

    def load_state_dict(self, saved: Mapping[str, np.ndarray]) -> None:
        """Put back what `state_dict()` gave; CheckpointError, and no change, if it does not fit."""
        wanted = {str(i): value.shape for i, value in enumerate(self.values)}
        found = {name: value.shape for name, value in saved.items()}
        if found != wanted:
            raise CheckpointError(f"the average has arrays of shapes {wanted}, those saved are {found}")
        for i, value in enumerate(self.values):
            value[...] = arrays.asarray(saved[str(i)], value.dtype, arrays.device_of(value))


@contextmanager
def standing_statistics(network: nn.Module, noise: int, batches: int = 8, size: int = 256) -> Iterator[None]:
    """Inside the block batch normalisation has statistics of the network as it is, on normal noise.

    The running statistics of training belong to the last weights and not to averaged ones: with a decay of
    0.999 they can be off by more than they are large. So they are taken anew, as the mean over some batches,
    always the same ones: the "standing statistics" of Brock et al., "Large scale GAN training for high
    fidelity natural image synthesis", 2019, and PyTorch's `swa_utils.update_bn`. For a network in eval mode;
    after the block everything is as it was.
    """
    layers = [module for _, module in network.named_modules() if isinstance(module, nn.BatchNorm)]
    before = [(layer, layer.momentum, layer.training, dict(layer._buffers)) for layer in layers]
    stream = rng.Generator(0).spawn("standing statistics")
    try:
        for layer in layers:
            layer.train()
        for count in range(1, batches + 1 if layers else 1):
            for layer in layers:
                layer.momentum = 1 / count  # the mean over the batches so far
            with no_grad():
                network(stream.normal((size, noise)))
        for layer in layers:
            layer.eval()
        yield
    finally:
        for layer, momentum, training, buffers in before:
            layer.momentum = momentum
            layer.train(training)
            for name, value in buffers.items():
                layer.buffer(name, value)
