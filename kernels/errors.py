"""Every error that rawgan raises on purpose.

Each class derives from `RawganError` and from the built-in that a Python user would
catch, so `except ValueError` and `except rawgan.ShapeError` both work. A message names
the operation or file, what it got, what it takes, and what to do.

>>> issubclass(ShapeError, ValueError) and issubclass(ShapeError, RawganError)
True
"""


class RawganError(Exception):
    """Base of every error that rawgan raises on purpose."""


class ShapeError(RawganError, ValueError):
    """Arrays whose shapes do not fit each other or the operation."""


class DTypeError(RawganError, TypeError):
    """Arrays whose number types do not fit each other or the operation."""


class DeviceError(RawganError, RuntimeError):
    """A device, or a kernel for it, that is not there."""


class DataError(RawganError, ValueError):
    """Data that is missing, damaged, empty, or not what it says it is."""


class CheckpointError(RawganError, OSError):
    """A checkpoint or run directory that cannot be written, read or trusted."""


class ConfigError(RawganError, ValueError):
    """An unknown name or a setting outside its range."""


class NonFiniteError(RawganError, ArithmeticError):
    """A loss or gradient became infinite or not a number."""


class GradientError(RawganError, RuntimeError):
    """A gradient that cannot be computed: no graph, a freed graph, or a stale value."""
