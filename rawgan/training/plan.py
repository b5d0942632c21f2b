"""From the keywords of `rawgan.train` to what is trained, on what, and for how long."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from rawgan import data, nn, recipes
from rawgan.kernels.errors import ConfigError
from rawgan.nn.structure import describe
from rawgan.settings import near, nearest
from rawgan.training.config import ELSEWHERE, check
from rawgan.training.rundir import RunDirectory
from rawgan.training.step import Trainer


def refuse_unknown(recipe: Any, settings: Mapping[str, Any], keywords: Collection[str]) -> None:
    """Name the nearest right keyword, be it the recipe's or `train`'s own."""
    known = recipe in recipes.names()
    kinds = [recipes.RECIPES[recipe]] if known else [*recipes.RECIPES.values(), recipes.Custom]
    fields = list(dict.fromkeys(f.name for kind in kinds for f in dataclasses.fields(kind)))
    for key in settings:
        if key not in fields:
            hint = nearest(key, [*fields, *keywords]) or _elsewhere(key)
            raise ConfigError(
                f"{recipe if known else 'train'}: there is no setting {key!r}{hint}; there are: "
                f"{', '.join(fields)}"
            )


def _elsewhere(key: str) -> str:
    """Which recipes have a setting that this one has not."""
    having: dict[str, list[str]] = {}
    for name, kind in recipes.RECIPES.items():
        for field in dataclasses.fields(kind):
            having.setdefault(field.name, []).append(name)
    meant = near(key, having)
    return f"; {meant!r} is one of {', '.join(having[meant])}" if meant else ""


def saved_config(out: Any) -> dict[str, Any] | None:
    """What the run in `out` was started with; None where no run has begun."""
    if not RunDirectory.exists(out):
        return None
    directory = RunDirectory.open(out)
    check(directory.config, directory.config_path)
    return directory.config


def recipe_for(
    recipe: Any, generator: Any, discriminator: Any, settings: dict, saved: dict | None
) -> recipes.Recipe:
    """The recipe with its settings; where they are not given, those of the saved run."""
    own = generator is not None or discriminator is not None
    if recipe is not None and not isinstance(recipe, str):
        raise ConfigError(
            f"recipe= takes a name, one of {', '.join(recipes.names())}, got {recipe!r}; give its settings "
            "as keywords of train()"
        )
    if own:
        if recipe is not None:
            raise ConfigError(f"give the recipe {recipe!r} or your own networks, not both")
        for name, network in (("generator", generator), ("discriminator", discriminator)):
            if not isinstance(network, nn.Module):
                raise ConfigError(f"{name}= takes a network such as nn.Sequential(...), got {network!r}")
        recipe = "custom"
    if recipe is None:
        if saved is None:
            raise ConfigError(
                f"give a recipe ({', '.join(recipes.names())}) or your own generator and discriminator"
            )
        recipe = saved["recipe"]
    if recipe == "custom" and not own:
        if saved is None:
            raise ConfigError("for networks of your own give generator= and discriminator=")
        raise ConfigError(
            "this run trains networks of your own: give them again as generator= and discriminator="
        )
    if saved is not None and saved["recipe"] == recipe:
        settings = saved["settings"] | settings
    elif saved is not None:
        raise ConfigError(f"resuming with a changed recipe: it was {saved['recipe']!r}, now {recipe!r}")
    return recipes.make(recipe, **settings)


def source_for(given: Any, data_dir: Any, plan: recipes.Recipe, saved: dict | None) -> Any:
    if given is None:
        given = saved["data"]["name"] if saved else plan.data
        if saved and not data.known(given):
            raise ConfigError(f"this run trains on data of your own ({given!r}): give it again as data=")
    return data.load(given, data_dir=data_dir)


def own_networks(generator: nn.Module | None, discriminator: nn.Module | None) -> dict[str, nn.Module] | None:
    """Those given to `train`, by name."""
    if generator is None or discriminator is None:
        return None
    return {"generator": generator, "discriminator": discriminator}


def config_of(plan: recipes.Recipe, source: Any, seed: int, trainer: Trainer) -> dict[str, Any]:
    """Everything that decides the result."""
    settings = {f.name: getattr(plan, f.name) for f in dataclasses.fields(plan) if f.name not in ELSEWHERE}
    config = {
        "recipe": plan.name,
        "settings": settings,
        "data": {"name": source.name, "shape": list(source.shape), "fingerprint": source.fingerprint},
        "seed": seed,
        "networks": {name: describe(network) for name, network in trainer.networks.items()},
    }
    return as_json(config)


def as_json(config: dict[str, Any]) -> dict[str, Any]:
    """The same as JSON gives it back: NumPy's numbers as Python's, tuples as lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.generic | np.ndarray):
            return value.tolist()
        if isinstance(value, Mapping):
            return dict(value)
        raise ConfigError(f"{value!r} cannot be written to a configuration; give numbers and strings")

    return json.loads(json.dumps(config, default=plain))


def length(plan: recipes.Recipe, source: Any, epochs: int | None, steps: int | None) -> tuple[int, Any, Any]:
    """(total steps, epochs or None, steps or None)."""
    if epochs is None and steps is None:
        epochs, steps = plan.epochs, plan.steps
        if epochs is None and steps is None:
            raise ConfigError("how long? give epochs= or steps=")
    per_epoch = source.steps_per_epoch(plan.batch_size)  # refuses a batch larger than the data
    if steps is not None:
        return steps, None, steps
    if per_epoch is None:
        raise ConfigError(f"the data {source.name!r} has no end, so no epochs: give steps=")
    return max(1, epochs * per_epoch // plan.batches()), epochs, None
