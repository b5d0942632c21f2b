"""How a network is built, as JSON: so that a saved run can be loaded without its program.

>>> from rawgan import nn
>>> describe(nn.Sequential(nn.Dense(2, 1), nn.Tanh()))["args"][0]
{'layer': 'Dense', 'args': [2, 1]}
>>> rebuild(describe(nn.Dense(2, 1)))
Dense(2, 1)
"""

from __future__ import annotations

from typing import Any

import numpy as np

import rawgan.nn as nn
from rawgan.kernels.errors import ConfigError
from rawgan.nn.module import Module


def describe(module: Module) -> dict[str, Any]:
    """The layer classes and the arguments they were made with.

    A class that is not from `rawgan.nn` is described by its name and its parameters' shapes, which
    serves to compare it, but not to build it.
    """
    kind = type(module)
    if getattr(nn, kind.__name__, None) is not kind:
        shapes = {name: list(p.shape) for name, p in module.named_parameters()}
        return {"class": f"{kind.__module__}.{kind.__qualname__}", "parameters": shapes}
    args, keywords = module._made_with
    out: dict[str, Any] = {"layer": kind.__name__, "args": [_plain(a) for a in args]}
    return out | ({"keywords": {k: _plain(v) for k, v in keywords.items()}} if keywords else {})


def _plain(value: Any) -> Any:
    if isinstance(value, Module):
        return describe(value)
    if isinstance(value, np.generic):
        return value.item()
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


def rebuild(description: dict[str, Any]) -> Module:
    """The network that `describe` described, with new initial values; ConfigError if it cannot be built."""
    if not isinstance(description, dict):
        raise ConfigError(f"a network's description names its layer and arguments, got {description!r}")
    if "class" in description:
        raise ConfigError(
            f"the network's class {description['class']} is not part of rawgan: make it yourself and "
            "give it as generator= or discriminator="
        )
    kind = getattr(nn, str(description.get("layer")), None)
    if not (isinstance(kind, type) and issubclass(kind, Module)):
        raise ConfigError(f"there is no layer {description.get('layer')!r} in rawgan.nn")
    args, keywords = description.get("args", []), description.get("keywords", {})
    if not isinstance(args, list) or not isinstance(keywords, dict):
        raise ConfigError(f"{kind.__name__}: its arguments are a list and a dict, got {args!r}, {keywords!r}")
    if odd := description.keys() - {"layer", "args", "keywords"}:
        raise ConfigError(f"{kind.__name__}: a layer's description has no {min(odd)!r}")
    try:
        return kind(*map(_layer, args), **{k: _layer(v) for k, v in keywords.items()})
    except TypeError as error:  # too many, too few, or of other names
        raise ConfigError(f"{kind.__name__} does not take the saved arguments: {error}") from None


def _layer(value: Any) -> Any:
    if isinstance(value, dict):
        return rebuild(value)
    return tuple(_layer(v) for v in value) if isinstance(value, list) else value
