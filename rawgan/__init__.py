"""rawgan: generative adversarial networks on an engine in which nothing is hidden.

>>> import rawgan
>>> x = rawgan.tensor([[1.0, 2.0]], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
array([[2., 4.]], dtype=float32)

Names are loaded when first used, so that `rawgan --help` and `import rawgan` are instant.
"""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import Any as _Any

# In a checkout `kernels/` lies beside this package, in an installed wheel inside it.
if not (_Path(__file__).parent / "kernels").is_dir():
    __path__.append(str(_Path(__file__).parents[1]))

__version__ = "0.1.0"

_HOME = {  # public name -> the module that defines it
    "tensor": "engine",
    "Tensor": "engine",
    "grad": "engine",
    "no_grad": "engine",
    "manual_seed": "rng",
    "use_device": "arrays",
    "use_kernels": "kernels",
    "use_precision": "kernels",
    "gradcheck": "differences",
    "evaluate": "evaluation",
    "tune": "tuning",
    "train": "training",
    "load": "training",
    "Run": "training",
}
_MODULES = (
    "arrays",
    "data",
    "engine",
    "inspect",
    "kernels",
    "losses",
    "metrics",
    "nn",
    "ops",
    "optim",
    "rating",
    "recipes",
    "rng",
    "tensorboard",
    "training",
)
_ERRORS = (
    "RawganError",
    "ShapeError",
    "DTypeError",
    "DeviceError",
    "DataError",
    "CheckpointError",
    "ConfigError",
    "NonFiniteError",
    "GradientError",
)
__all__ = sorted({*_HOME, *_MODULES, *_ERRORS})


def __getattr__(name: str) -> _Any:
    if name in _ERRORS:
        value = getattr(_import_module("rawgan.kernels.errors"), name)
    elif name in _HOME:
        _import_module("rawgan.ops")  # gives Tensor its operators
        value = getattr(_import_module(f"rawgan.{_HOME[name]}"), name)
    elif name in _MODULES:
        return _import_module(f"rawgan.{name}")
    else:
        raise AttributeError(f"module 'rawgan' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
