"""Elementwise arithmetic: each operation's value rule with its gradient rules beside it.

z̄ stands for the gradient of the loss with respect to z, ⊙ for the elementwise product.
Inputs broadcast as in NumPy; the engine sums the gradients back.
"""

from __future__ import annotations

from numbers import Real

from rawgan import arrays
from rawgan.engine import Tensor, op
from rawgan.kernels.errors import DTypeError, ShapeError


def raw(x):
    """The plain array or number behind an input, for what is not to be differentiated."""
    return x._data if type(x) is Tensor else x


def indicator(condition, like):
    """1 where `condition` holds and 0 elsewhere, in the dtype of `like`: a constant of the gradient."""
    array = raw(like)
    xp = arrays.namespace(array)
    return xp.astype(xp.asarray(condition), array.dtype)


@op("add")
def add(xp, x, y):
    """x + y."""
    return x + y


@add.rule("x", formula="x̄ = z̄")
def add_x(gz):
    return gz


@add.rule("y", formula="ȳ = z̄")
def add_y(gz):
    return gz


@op("subtract")
def subtract(xp, x, y):
    """x − y."""
    return x - y


@subtract.rule("x", formula="x̄ = z̄")
def subtract_x(gz):
    return gz


@subtract.rule("y", formula="ȳ = −z̄")
def subtract_y(gz):
    return -gz


@op("multiply")
def multiply(xp, x, y):
    """x ⊙ y."""
    return x * y


@multiply.rule("x", formula="x̄ = z̄ ⊙ y")
def multiply_x(gz, y):
    return gz * y


@multiply.rule("y", formula="ȳ = z̄ ⊙ x")
def multiply_y(gz, x):
    return gz * x


@op("divide")
def divide(xp, x, y):
    """x / y."""
    return x / y


@divide.rule("x", formula="x̄ = z̄ / y")
def divide_x(gz, y):
    return gz / y


@divide.rule("y", formula="ȳ = −z̄ ⊙ x / y²")
def divide_y(gz, x, y):
    return -gz * x / (y * y)


@op("negate")
def negate(xp, x):
    """−x."""
    return -x


@negate.rule("x", formula="x̄ = −ȳ")
def negate_x(gy):
    return -gy


@op("power")
def power(xp, x, y):
    """x to the power y. A negative x takes whole y only; the gradient for y takes x ≥ 0."""
    return x**y


@power.rule("x", formula="x̄ = z̄ ⊙ y ⊙ x^(y−1)")
def power_x(gz, x, y):
    if hasattr(y, "dtype"):
        constant = indicator((raw(y) == 0) & (raw(x) == 0), gz)  # x⁰ = 1 at 0 too: no slope, not 0·∞
        return gz * y * x ** (y - 1 + constant)
    if y == 0:
        return gz * 0
    return gz * y * (x if y == 2 else x ** (y - 1))


@power.rule("y", formula="ȳ = z̄ ⊙ x^y ⊙ log x")
def power_y(gz, x, y):
    zero = raw(x) == 0  # 0^y is flat in y for y > 0
    if not hasattr(x, "dtype"):
        return gz * (0.0 if zero else x**y * log(raw(gz) * 0 + x))
    zero = indicator(zero, gz)
    return gz * x**y * log(x + zero)


@op("exp")
def exp(xp, x):
    """e to the power x."""
    return xp.exp(x)


@exp.rule("x", formula="x̄ = ȳ ⊙ y")
def exp_x(gy, y):
    return gy * y


@op("log")
def log(xp, x):
    """Natural logarithm."""
    return xp.log(x)


@log.rule("x", formula="x̄ = ȳ / x")
def log_x(gy, x):
    return gy / x


@op("sqrt")
def sqrt(xp, x):
    """Square root; its slope at 0 is infinite."""
    return xp.sqrt(x)


@sqrt.rule("x", formula="x̄ = ȳ / (2y)")
def sqrt_x(gy, y):
    return gy / (2 * y)


@op("abs")
def abs(xp, x):  # the name that NumPy has
    """|x|; its slope at 0 is taken as 0."""
    return xp.abs(x)


@abs.rule("x", formula="x̄ = ȳ ⊙ sign x")
def abs_x(gy, x):
    array = raw(x)
    return gy * arrays.namespace(array).sign(array)


@op("maximum")
def maximum(xp, x, y):
    """The larger of x and y; where they are equal each gets half of the gradient."""
    return xp.maximum(x, y)  # a Python number takes the dtype of the array beside it


@op("minimum")
def minimum(xp, x, y):
    """The smaller of x and y; where they are equal each gets half of the gradient."""
    return xp.minimum(x, y)


def _winner(x, y, gz):
    """1 where x > y, ½ where they are equal."""
    x, y = raw(x), raw(y)
    return indicator(x > y, gz) + 0.5 * indicator(x == y, gz)


@maximum.rule("x", formula="x̄ = z̄ ⊙ ([x > y] + ½[x = y])")
def maximum_x(gz, x, y):
    return gz * _winner(x, y, gz)


@maximum.rule("y", formula="ȳ = z̄ ⊙ ([y > x] + ½[x = y])")
def maximum_y(gz, x, y):
    return gz * _winner(y, x, gz)


@minimum.rule("x", formula="x̄ = z̄ ⊙ ([x < y] + ½[x = y])")
def minimum_x(gz, x, y):
    return gz * _winner(y, x, gz)


@minimum.rule("y", formula="ȳ = z̄ ⊙ ([y < x] + ½[x = y])")
def minimum_y(gz, x, y):
    return gz * _winner(x, y, gz)


@op("clip")
def _clip(xp, x, *, low, high):
    """x limited to [low, high]."""
    return xp.clip(x, low, high)


@_clip.rule("x", formula="x̄ = ȳ ⊙ [low ≤ x ≤ high]")
def clip_x(gy, x, low, high):
    array = raw(x)
    inside = array == array
    if low is not None:
        inside = inside & (array >= low)
    if high is not None:
        inside = inside & (array <= high)
    return gy * indicator(inside, gy)


def clip(x, low=None, high=None):
    """x limited to [low, high], numbers or None; the slope at the limits themselves is 1.

    >>> clip([-2.0, 0.5, 2.0], -1, 1)
    array([-1. ,  0.5,  1. ], dtype=float32)
    """
    for limit in (low, high):
        if limit is not None and not isinstance(limit, Real):
            raise DTypeError(f"clip: the limits are numbers or None, got {low!r} and {high!r}")
    low, high = (v if v is None else float(v) for v in (low, high))
    if low is not None and high is not None and low > high:
        raise ShapeError(f"clip: low = {low} is above high = {high}")
    return _clip(x, low=low, high=high)


@op("astype")
def _astype(xp, x, *, dtype):
    """The same values as float32 or float64."""
    return xp.astype(x, dtype)


@_astype.rule("x", formula="x̄ = ȳ")
def astype_x(gy, x):
    return _astype(gy, dtype=raw(x).dtype)


def astype(x, dtype):
    """The same values as "float32" or "float64"; DTypeError for any other dtype."""
    return _astype(x, dtype=arrays.float_dtype(dtype))


@op("to_device")
def to_device(xp, x, *, device):
    """The same values on another device."""
    return arrays.asarray(x, None, device)


@to_device.rule("x", formula="x̄ = ȳ")
def to_device_x(gy, x):
    return to_device(gy, device=arrays.device_of(raw(x)))
