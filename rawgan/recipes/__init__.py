"""Whole GANs by name: the two networks, the objective and the settings that go with them.

A recipe is a frozen dataclass; its fields are what a user may change by keyword.

>>> from rawgan import recipes
>>> recipes.names()[:4]
['mlp', 'dense_conv', 'dcgan_mnist', 'dcgan_cifar10']
>>> recipes.make("mlp", batch_size=64).batch_size
64
"""

from __future__ import annotations

import dataclasses
from typing import Any

from rawgan.kernels.errors import ConfigError
from rawgan.recipes.adversarial import Adversarial, Custom
from rawgan.recipes.autoencoder import Autoencoder
from rawgan.recipes.base import Recipe
from rawgan.recipes.dcgan_cifar10 import DcganCifar10
from rawgan.recipes.dcgan_mnist import DcganMnist
from rawgan.recipes.dense_conv import DenseConv
from rawgan.recipes.encoder_gan import EncoderGan
from rawgan.recipes.gat import Gat
from rawgan.recipes.mixture import Mixture
from rawgan.recipes.mlp import Mlp
from rawgan.recipes.vae import Vae
from rawgan.recipes.wgan import Wgan
from rawgan.recipes.wgan_gp import WganGp
from rawgan.settings import nearest

__all__ = ["RECIPES", "Adversarial", "Custom", "Recipe", "make", "names", "nearest"]

RECIPES: dict[str, type[Recipe]] = {
    kind.name: kind
    for kind in (
        Mlp,
        DenseConv,
        DcganMnist,
        DcganCifar10,
        EncoderGan,
        Gat,
        Wgan,
        WganGp,
        Mixture,
        Autoencoder,
        Vae,
    )
}


def names() -> list[str]:
    """The recipes there are."""
    return list(RECIPES)


def make(name: str, /, **fields: Any) -> Recipe:
    """The recipe of that name with some fields changed; ConfigError names the nearest right one."""
    kinds = RECIPES | {Custom.name: Custom}
    if name not in kinds:
        raise ConfigError(
            f"there is no recipe {name!r}{nearest(name, RECIPES)}; there are: {', '.join(RECIPES)}"
        )
    return build(kinds[name], fields)


def build(kind: type[Recipe], fields: dict[str, Any]) -> Recipe:
    """A recipe of a class from keywords, each checked."""
    known = [f.name for f in dataclasses.fields(kind)]
    for key in fields:
        if key not in known:
            raise ConfigError(
                f"the recipe {kind.name!r} has no setting {key!r}{nearest(key, known)}; "
                f"it has: {', '.join(known)}"
            )
    return kind(**fields)
