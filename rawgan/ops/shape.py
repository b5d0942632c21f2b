"""Operations that move values without changing them."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from rawgan import arrays, kernels
from rawgan.engine import Tensor, op, tensor
from rawgan.kernels.errors import DTypeError, ShapeError
from rawgan.ops.arithmetic import raw


def as_input(x: Any, optional: bool = False) -> Any:
    """Numbers and lists become float32 arrays; what has a shape stays, and None where it is optional."""
    if type(x) is Tensor:
        return x
    if x is None and not optional:
        raise DTypeError("operations take arrays, tensors and numbers, got None")
    return x if x is None or hasattr(x, "shape") else tensor(x).data


def whole_numbers(name: str, what: str, values: Any) -> tuple[int, ...]:
    """The values as whole numbers, or a ShapeError that says what they are of."""
    try:
        return tuple(map(operator.index, values))
    except TypeError:
        raise ShapeError(f"{name}: {what} takes whole numbers, got {values!r}") from None


@op("reshape", view=True)
def _reshape(xp, x, *, shape):
    """The values in row-major order under another shape."""
    if x.ndim == 4 and hasattr(x, "flags") and not x.flags.c_contiguous:
        x = kernels.contiguous(x)  # pictures lie channels-last: NumPy would copy them number by number
    return xp.reshape(x, shape)


@_reshape.rule("x", formula="x̄ = ȳ, reshaped")
def reshape_x(gy, x_shape):
    return reshape(gy, x_shape)


def reshape(x, shape):
    """The same values under another shape; one -1 is worked out.

    >>> reshape([[1.0, 2.0], [3.0, 4.0]], (-1,)).shape
    (4,)
    """
    x = as_input(x)
    shape = whole_numbers("reshape", "the shape", (shape,) if isinstance(shape, int | np.integer) else shape)
    if shape == x.shape:
        return x
    size = math.prod(x.shape)
    if min(shape, default=0) < 0:
        known = math.prod(n for n in shape if n != -1)
        if shape.count(-1) > 1 or min(shape) < -1:
            raise ShapeError(f"reshape: {shape} is not a shape")
        if known and size % known == 0:
            shape = tuple(size // known if n == -1 else n for n in shape)
    if -1 in shape or math.prod(shape) != size:
        raise ShapeError(f"reshape: {size} values of shape {x.shape} do not fit the shape {shape}")
    return _reshape(x, shape=shape)


@op("transpose", view=True)
def _transpose(xp, x, *, axes):
    """The axes in another order."""
    return xp.permute_dims(x, axes)


@_transpose.rule("x", formula="x̄ = ȳ, axes put back")
def transpose_x(gy, axes):
    inverse = [0] * len(axes)
    for position, axis in enumerate(axes):
        inverse[axis] = position
    return _transpose(gy, axes=tuple(inverse))


def transpose(x, axes=None):
    """Axes in the order `axes`, or reversed."""
    x = as_input(x)
    ndim = len(x.shape)
    axes = tuple(range(ndim))[::-1] if axes is None else whole_numbers("transpose", "axes", axes)
    if sorted(a + ndim if a < 0 else a for a in axes) != list(range(ndim)):
        raise ShapeError(f"transpose: axes {axes} are not an order of the {ndim} axes of shape {x.shape}")
    return _transpose(x, axes=tuple(a % ndim for a in axes))


@op("concatenate")
def _concatenate(xp, *xs, axis):
    """Arrays laid end to end along an axis."""
    return xp.concat(xs, axis=axis)


@_concatenate.rule("xs", formula="x̄ᵢ = the part of ȳ where xᵢ lies")
def concatenate_xs(gy, position, shapes, axis):
    start = sum(shape[axis] for shape in shapes[:position])
    index = (*(slice(None),) * axis, slice(start, start + shapes[position][axis]), ...)
    return _getitem(gy, index=index)


def concatenate(xs, axis=0):
    """Arrays laid end to end along `axis`; the other lengths must agree.

    >>> concatenate([[1.0], [2.0, 3.0]])
    array([1., 2., 3.], dtype=float32)
    """
    if not isinstance(xs, list | tuple):
        raise ShapeError(f"concatenate: takes a list of arrays, got {type(xs).__name__}")
    xs = [as_input(x) for x in xs]
    (axis,) = whole_numbers("concatenate", "the axis", (axis,))
    if not xs:
        raise ShapeError("concatenate: needs at least one array")
    shapes = [tuple(x.shape) for x in xs]
    ndim = len(shapes[0])
    if not -ndim <= axis < ndim:
        raise ShapeError(f"concatenate: axis {axis} does not exist in arrays of shape {shapes[0]}")
    axis %= ndim
    if len({s[:axis] + s[axis + 1 :] for s in shapes}) > 1 or len({len(s) for s in shapes}) > 1:
        raise ShapeError(f"concatenate: shapes {shapes} differ outside axis {axis}")
    return _concatenate(*xs, axis=axis)


@op("pad")
def _pad(xp, x, *, pad_width):
    """x with zeros around it."""
    shape = tuple(n + before + after for n, (before, after) in zip(x.shape, pad_width, strict=True))
    out = xp.zeros(shape, dtype=x.dtype)
    out[_inner(x.shape, pad_width)] = x
    return out


def _inner(shape, pad_width):
    return tuple(slice(before, before + n) for n, (before, _) in zip(shape, pad_width, strict=True))


@_pad.rule("x", formula="x̄ = the inner part of ȳ")
def pad_x(gy, x_shape, pad_width):
    return _getitem(gy, index=_inner(x_shape, pad_width))


def pad(x, pad_width):
    """x with zeros around it; `pad_width` as in numpy.pad: n, (before, after), or one pair per axis."""
    x = as_input(x)
    ndim = len(x.shape)
    try:
        if isinstance(pad_width, int | np.integer):
            pairs = ((int(pad_width),) * 2,) * ndim
        elif len(pad_width) == 2 and all(isinstance(n, int | np.integer) for n in pad_width):
            pairs = (tuple(map(int, pad_width)),) * ndim
        else:
            pairs = tuple((operator.index(before), operator.index(after)) for before, after in pad_width)
    except (TypeError, ValueError):
        raise ShapeError(
            f"pad: pad_width is a number, a pair, or a pair for each axis, got {pad_width!r}"
        ) from None
    if len(pairs) != ndim or any(n < 0 for pair in pairs for n in pair):
        raise ShapeError(f"pad: pad_width {pad_width} does not fit an array of shape {x.shape}")
    return _pad(x, pad_width=pairs)


@op("getitem", view=True)
def _getitem(xp, x, *, index):
    """The part of x that an index names."""
    return x[index]


@_getitem.rule("x", formula="x̄ = zeros, with ȳ added at the index")
def getitem_x(gy, x_shape, index):
    return scatter_add(gy, index=index, shape=x_shape)


def getitem(x, index):
    """x[index]: numbers, slices, None, Ellipsis, whole-number or boolean arrays, as in NumPy.

    A place that x has not is a ShapeError on every device. CuPy would wrap it around, so on a GPU arrays of
    places are looked at first: NumPy's and lists before they are moved there; those that are there already
    are read back, which waits for the GPU.
    """
    x = as_input(x)
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, Tensor) for part in parts):
        raise ShapeError("an index holds whole numbers; give NumPy integers or booleans, not a Tensor")
    try:
        if not isinstance(raw(x), np.ndarray) and any(_is_array(part) for part in parts):
            parts = _checked(raw(x), parts)
            index = parts if isinstance(index, tuple) else parts[0]
        return _getitem(x, index=index)
    except IndexError as error:
        raise ShapeError(f"index {index} does not fit an array of shape {x.shape}: {error}") from None


def _is_array(part):
    return isinstance(part, list) or arrays.is_array(part)


def _checked(x, parts):
    """The parts of an index with its arrays on x's device; IndexError for places that x has not."""
    found, axis = [], 0
    hosts = [_host(part) if _is_array(part) else part for part in parts]
    for part, host in zip(parts, hosts, strict=True):
        if host is Ellipsis:
            axis += len(x.shape) - sum(_axes(other) for other in hosts)
        elif isinstance(host, np.ndarray) and host.dtype.kind in "iu" and host.size:
            if axis >= len(x.shape):
                raise IndexError("too many indices")
            size, low, high = x.shape[axis], int(host.min()), int(host.max())
            if low < -size or high >= size:
                place = high if high >= size else low
                raise IndexError(f"index {place} is out of bounds for axis {axis} with size {size}")
        axis += _axes(host)
        on_host = isinstance(part, list | np.ndarray | np.generic)
        found.append(arrays.asarray(host, None, arrays.device_of(x)) if on_host else part)
    return tuple(found)


def _host(part):
    """An array of places as NumPy's."""
    values = arrays.to_numpy(part) if arrays.is_array(part) else np.asarray(part)
    return values if values.size else values.astype(np.int64)  # an empty list is one of floats


def _axes(part):
    """How many axes a part of an index stands for."""
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype.kind == "b" else 1


@op("scatter_add")
def scatter_add(xp, x, *, index, shape):
    """Zeros of `shape`, with x added at the index: the opposite of getitem."""
    return arrays.scatter_add(shape, index, x)


@scatter_add.rule("x", formula="x̄ = ȳ[index]")
def scatter_add_x(gy, index):
    return _getitem(gy, index=index)


def to(x, device):
    """x on another device, on the tape; x itself if it is there already."""
    from rawgan.ops.arithmetic import to_device

    name = arrays.resolve(device)
    return x if arrays.device_of(raw(x)) == name else to_device(x, device=name)
