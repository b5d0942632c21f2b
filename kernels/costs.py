"""What the contracts count: operations of windows that slide over images, and bytes that move."""

from typing import Any

import numpy as np

from .checks import conv_output_size, conv_transpose_output_size


def moved(*arrays: Any) -> float:
    """Bytes of some arrays; None stands for one left out."""
    return sum(a.nbytes for a in arrays if a is not None)


def out_plane(x, kernel_size, stride, padding):
    """Height and width of what a window that slides over x makes."""
    return [conv_output_size(*sizes) for sizes in zip(x.shape[2:], kernel_size, stride, padding, strict=True)]


def conv_flops(x, weight, bias, stride, padding):
    return 2 * weight.size * x.shape[0] * np.prod(out_plane(x, weight.shape[2:], stride, padding))


def conv_bytes(x, weight, bias, stride, padding):
    out = x.shape[0] * weight.shape[0] * np.prod(out_plane(x, weight.shape[2:], stride, padding))
    return moved(x, weight, bias) + out * x.itemsize


def conv_transpose_bytes(x, weight, bias, stride, padding, output_padding):
    sizes = zip(x.shape[2:], weight.shape[2:], stride, padding, output_padding, strict=True)
    out = x.shape[0] * weight.shape[1] * np.prod([conv_transpose_output_size(*s) for s in sizes])
    return moved(x, weight, bias) + out * x.itemsize


def pool_out(x, kernel_size, stride, padding):
    """How many windows."""
    return x.shape[0] * x.shape[1] * np.prod(out_plane(x, kernel_size, stride, padding))
