"""How exactly products of float32 numbers are computed where a device offers a choice."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .errors import ConfigError

PRECISIONS = ("fp32", "tf32")
_precision: ContextVar[str] = ContextVar("rawgan_precision", default="fp32")


def precision() -> str:
    """The one in use."""
    return _precision.get()


@contextmanager
def use_precision(name: str) -> Iterator[None]:
    """Within the block, products of float32 numbers in CUDA kernels are "fp32" (the default) or "tf32".

    TF32 rounds each factor to 10 binary digits after the point, for the tensor cores, and adds in float32:
    three decimal digits of a product are left. It concerns "cuda" and "cuda-sim" only, and never float64, nor
    convolutions of eight channels or more into at most four (`few_outputs`), which would leave tensor cores
    idle: those stay float32.

    Raises ConfigError for any other name.

    >>> with use_precision("tf32"):
    ...     precision()
    'tf32'
    """
    if name not in PRECISIONS:
        raise ConfigError(f"use_precision: unknown precision {name!r}; there are {', '.join(PRECISIONS)}")
    token = _precision.set(name)
    try:
        yield
    finally:
        _precision.reset(token)
