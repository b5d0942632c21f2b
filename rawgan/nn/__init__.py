"""Layers with parameters, and the containers that hold them.

>>> from rawgan import nn
>>> net = nn.Sequential(nn.Dense(2, 3), nn.ReLU(), nn.Dense(3, 1))
>>> [name for name, _ in net.named_parameters()]
['0.weight', '0.bias', '2.weight', '2.bias']
"""

from rawgan.nn.layers import (
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Dropout2d,
    Flatten,
    LeakyReLU,
    Maxout,
    ReLU,
    Reshape,
    Sigmoid,
    Softplus,
    Tanh,
)
from rawgan.nn.module import Module, frozen
from rawgan.nn.sequential import Sequential
from rawgan.nn.spectral import SpectralNorm

__all__ = [
    "BatchNorm",
    "Conv2d",
    "ConvTranspose2d",
    "Dense",
    "Dropout",
    "Dropout2d",
    "Flatten",
    "LeakyReLU",
    "Maxout",
    "Module",
    "ReLU",
    "Reshape",
    "Sequential",
    "Sigmoid",
    "Softplus",
    "SpectralNorm",
    "Tanh",
    "frozen",
]
