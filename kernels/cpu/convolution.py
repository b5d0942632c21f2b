"""Served by the textbook for now."""

from ..reference.convolution import conv2d, conv2d_weight_grad, conv_transpose2d  # noqa: F401
