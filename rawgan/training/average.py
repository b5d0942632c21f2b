"""An exponential moving average of weights, as samples are best made with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from rawgan import arrays
from rawgan.engine import Tensor
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
