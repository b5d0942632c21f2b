"""What a run's config.json holds, and the refusal of one that was changed by hand.

Whoever goes on with a saved configuration asks `check(config, path)` first; after that every key is there
and the recipe can be made from it. Whether the networks can be built is seen when they are.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

from rawgan import recipes
from rawgan.kernels.errors import CheckpointError, ConfigError
from rawgan.kernels.precision import PRECISIONS

KINDS = recipes.RECIPES | {recipes.Custom.name: recipes.Custom}
ELSEWHERE = ("data", "epochs", "steps")  # fields of a recipe that are kept beside its settings


def _counts(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: type(value) is kind


# Key -> (what it takes, whether a value fits). The keys of "settings" are the recipe's fields.
KEYS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "recipe": (f"one of {', '.join(KINDS)}", lambda v: type(v) is str and v in KINDS),
    "settings": ("an object", _is(dict)),
    "data": ("an object", _is(dict)),
    "data.name": ("a name", _is(str)),
    "data.shape": ("a list of sizes", lambda v: type(v) is list and v != [] and all(map(_counts, v))),
    "data.fingerprint": ("a text", _is(str)),
    "networks": ("an object", _is(dict)),
    "seed": ("a whole number in [0, 2**64)", lambda v: isinstance(v, int) and 0 <= v < 2**64),
    "epochs": ("a whole number from 1 on, or null", lambda v: v is None or _counts(v)),
    "steps": ("a whole number from 1 on, or null", lambda v: v is None or _counts(v)),
    "checkpoint_every": ("a whole number from 1 on", _counts),
    "sample_every": ("a whole number from 1 on", _counts),
    "device": ("a text, where it was trained last", _is(str)),
    "precision": (f"one of {', '.join(PRECISIONS)}, of products on a GPU", lambda v: v in PRECISIONS),
}


def check(config: Any, path: str | os.PathLike) -> None:
    """Raise a CheckpointError that names `path` and the first key that no run has written so.

    >>> check({"recipe": "mpl"}, "config.json")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    rawgan.kernels.errors.CheckpointError: config.json: recipe takes one of mlp, ..., got 'mpl'; restore it
    """
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: a run's configuration is an object, got {config!r}; restore it")
    found = _by_path(config)
    for key, (takes, fits) in KEYS.items():
        if key not in found:
            raise CheckpointError(f"{path}: {key} is missing, which takes {takes}; restore it")
        if not fits(found[key]):
            raise CheckpointError(f"{path}: {key} takes {takes}, got {found[key]!r}; restore it")
    kind = KINDS[config["recipe"]]
    networks = [f"networks.{name}" for name in kind.members()]
    for key in networks:
        if key not in found:
            raise CheckpointError(f"{path}: {key} is missing, which takes an object; restore it")
        if type(found[key]) is not dict:
            raise CheckpointError(f"{path}: {key} takes an object, got {found[key]!r}; restore it")
    settings = [f"settings.{f.name}" for f in dataclasses.fields(kind) if f.name not in ELSEWHERE]
    for key in found:
        if key not in KEYS and key not in settings and key not in networks:
            raise CheckpointError(f"{path}: a run of {kind.name!r} has no {key!r}; remove it")
    for key in settings:
        if key not in found:
            raise CheckpointError(f"{path}: {key} is missing; restore it")
    epochs, steps = config["epochs"], config["steps"]
    if (epochs is None) == (steps is None):
        raise CheckpointError(
            f"{path}: one of epochs and steps takes a number, the other null, got {epochs} and {steps}; "
            "restore it"
        )
    try:
        recipes.make(config["recipe"], **config["settings"])
    except ConfigError as error:
        raise CheckpointError(f"{path}: settings: {error}; restore it") from error


def _by_path(config: dict[str, Any]) -> dict[str, Any]:
    """{"data": {"name": 1}} as {"data": {"name": 1}, "data.name": 1}."""
    inner = {
        f"{key}.{name}": config[key][name]
        for key in ("settings", "data", "networks")
        if isinstance(config.get(key), dict)
        for name in config[key]
    }
    return config | inner
