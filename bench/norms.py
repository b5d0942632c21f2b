"""Gradient norms with and without clipping, dropout and batch normalisation, where they vanish or explode.

    rawgan bench norms --json norms.json && rawgan bench plot norms.json

Introductory articles recommend all three against both. Here each is tried alone, in both players, where
gradients do vanish or explode: in the recipe `mlp` (two hidden layers, the saturating loss on probabilities),
at a learning rate 50 times as high, with 8 hidden layers, whose default weights make everything smaller from
layer to layer, and with 8 layers of weights so large that it grows. Beside them stands what is made against
the vanishing that is an adversarial game's own: the non-saturating loss.

Norms are taken after the backward pass, before any clipping: what is looked at is what a method does to the
gradients that follow, not that it cuts the one at hand. All start from one seed's weights, see the same
batches of the 8x8 digits, and are tried with several seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rawgan import arrays, data, metrics, nn, recipes, rng
from rawgan.bench import document
from rawgan.kernels.errors import ConfigError
from rawgan.recipes.mlp import Mlp
from rawgan.settings import number, whole_number
from rawgan.training.game import Game
from rawgan.training.step import Trainer

PLAYERS = ("generator", "discriminator")
WINDOWS = 60  # of steps, whose median is a point of a curve
FIRST, LAST = 20, 200  # steps at the beginning, when the weights are as they were drawn, and at the end
SAMPLES = 2000
SETTINGS: dict[str, dict[str, Any]] = {
    "2 hidden layers": {},
    "2, learning rate 0.01": {"learning_rate": 1e-2},
    "8 hidden layers": {"layers": 8},
    "8, large weights": {"layers": 8, "gain": 1.5},
}
METHODS: dict[str, dict[str, Any]] = {
    "none": {},
    "clipping": {"clip_norm_each": 1.0},
    "dropout": {"dropout": 0.3},
    "batch normalisation": {"normalise": True},
    "non-saturating loss": {"objective": "non_saturating"},
}
MEASURES = {  # of each seed, at the end
    "d_real": ("D(x)", "{:.3f}"),
    "d_fake": ("D(G(z))", "{:.2g}"),
    "cut": ("cut, %", "{:.0f}"),
    "distance": ("distance", "{:.1f}"),
}


@dataclass(frozen=True, kw_only=True)
class Perceptrons(Mlp):
    """The recipe `mlp` with any number of layers.

    layers: hidden ones of each network. gain: weights are drawn from N(0, gain² 2/inputs), 1 keeps the size
    of what passes a rectifier (He et al. 2015); None: as the layer draws them. dropout: after each rectifier.
    normalise: batch normalisation before each, but in D's first layer.
    """

    name: ClassVar[str] = "perceptrons"

    clip_norm_each: Any = None
    layers: int = 2
    gain: float | None = None
    dropout: float = 0.0
    normalise: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(f"{self.name}: layers", self.layers)
        number(f"{self.name}: dropout", self.dropout, 0.0, 1.0)

    def networks(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        pixels, hidden = math.prod(shape), [self.hidden] * self.layers
        generator = [*self._path(self.noise, *hidden), nn.Dense(hidden[-1], pixels)]
        discriminator = [*self._path(pixels, *hidden, normalise_first=False), nn.Dense(hidden[-1], 1)]
        for layer in (*generator, *discriminator):
            if self.gain is not None and isinstance(layer, nn.Dense):
                scale = self.gain * math.sqrt(2 / layer.weight.shape[1])
                layer.weight.copy_(scale * rng.current().normal(layer.weight.shape))
        return {
            "generator": nn.Sequential(*generator, nn.Sigmoid(), nn.Reshape(shape)),
            "discriminator": nn.Sequential(nn.Flatten(), *discriminator, nn.Sigmoid()),
        }

    def _path(self, *widths: int, normalise_first: bool = True) -> list[nn.Module]:
        path: list[nn.Module] = []
        for place, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            path.append(nn.Dense(inputs, outputs))
            if self.normalise and (place or normalise_first):
                path.append(nn.BatchNorm(outputs))
            path.append(nn.ReLU())
            if self.dropout:
                path.append(nn.Dropout(self.dropout))
        return path


class Watched:
    """A training of which every norm is kept.

    norms: by player, (steps,), of all its gradients together. layers: (steps, layers), the root mean square
    of an element of each weight's gradient, from the input on. cut: (steps,), the share of the parameters
    whose own norm is 1 or more, which clipping would cut. answers: (steps, 2), D's mean for real and fake.
    Where numbers are no longer finite it ends, and there are fewer steps.
    """

    def __init__(self, trainer: Trainer, steps: int):
        self.trainer = trainer
        self.norms: dict[str, Any] = {player: [] for player in PLAYERS}
        self.layers: dict[str, Any] = {player: [] for player in PLAYERS}
        self.cut: Any = []
        self.answers: Any = []
        self._finite = True
        while trainer.steps < steps and self._finite:
            trainer.play(Game(trainer, self._batch, self._report))
            trainer.steps += 1
        for kept in (self.norms, self.layers):
            kept.update({player: np.array(values) for player, values in kept.items()})
        self.cut, self.answers = np.array(self.cut), np.array(self.answers)

    def _batch(self, turn: int) -> arrays.Array:
        return self.trainer.real_batch(self.trainer.steps)  # a step takes one

    def _report(self, turn: int, player: str, values: Mapping[str, Any]) -> None:
        squares = [
            (np.sum(arrays.to_numpy(p.grad).astype(np.float64) ** 2), p.size, p.ndim)
            for p in self.trainer.networks[player].parameters()
        ]
        norms = np.sqrt([square for square, _, _ in squares])
        if not np.isfinite(norms).all():
            self._finite = False
            return
        self.norms[player].append(math.sqrt(np.sum(norms**2)))
        self.layers[player].append([math.sqrt(square / size) for square, size, n in squares if n > 1])
        if player == "generator":
            self.cut.append(np.mean(norms >= 1))
        else:
            self.answers.append([float(values[name]) for name in ("d_real", "d_fake")])


def run(
    only: Sequence[str] = (),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    steps: int = 1200,
    show: Callable[[list], Any] = iter,
) -> dict[str, Any]:
    """The document: a row for each setting and method. only: names of settings."""
    for name in only:
        if name not in SETTINGS:
            raise ConfigError(f"bench: norms has no setting {name!r}{recipes.nearest(name, SETTINGS)}")
    if steps < FIRST + WINDOWS:
        raise ConfigError(f"bench: norms takes at least {FIRST + WINDOWS} steps, got {steps}")
    source: Any = data.load("digits")
    rows = {(name, method): _row(name, method) for name in only or SETTINGS for method in METHODS}
    taken: dict[tuple[str, str], list[Watched]] = {key: [] for key in rows}
    for name, method, seed in show([(*key, seed) for seed in seeds for key in rows]):
        recipe = Perceptrons(**SETTINGS[name], **METHODS[method])
        taken[name, method].append(Watched(Trainer(recipe, source.shape, source, seed), steps))
    real = source.items.reshape(len(source), -1) / 255
    for key, row in rows.items():
        found = taken[key]
        row["figures"] = {"cpu": _figures(found, real)}
        for player in PLAYERS:
            row["curves"][player] = over_steps([w.norms[player] for w in found], steps)
            row["curves"][f"{player}, by layer, first"] = _by_layer([w.layers[player][:FIRST] for w in found])
            row["curves"][f"{player}, by layer, last"] = _by_layer([w.layers[player][-LAST:] for w in found])
    settings = {"seeds": list(seeds), "steps": steps, "samples": SAMPLES, "data": "digits"}
    settings |= {"settings": SETTINGS, "methods": METHODS}
    return document.make("norms", list(rows.values()), ["cpu"], "cpu", settings=settings)


def _row(name: str, method: str) -> dict[str, Any]:
    return {"name": name, "part": "norms", "case": method, "times": {}, "figures": {}, "curves": {}}


def _figures(found: Sequence[Watched], real: np.ndarray) -> dict[str, list[float]]:
    """By the names of `MEASURES`, a value for each seed.

    cut: the share in percent of G's parameters and steps with a norm of 1 or more. distance: Fréchet's, of
    the pixels of G's samples from those of all digits.
    """
    out: dict[str, list[float]] = {name: [] for name in MEASURES}
    for watched in found:
        trainer = watched.trainer
        z = rng.Generator(0).spawn("samples").normal((SAMPLES, trainer.recipe.noise))
        fake = trainer.generate(z).reshape(SAMPLES, -1)
        real_answer, fake_answer = np.median(watched.answers[-LAST:], axis=0)
        out["d_real"].append(float(real_answer))
        out["d_fake"].append(float(fake_answer))
        out["cut"].append(100 * float(np.mean(watched.cut)))
        out["distance"].append(float(metrics.frechet_distance(real, fake)))
    return out


def over_steps(norms: Sequence[np.ndarray], steps: int) -> dict[str, list[float]]:
    """A curve of the median in windows of steps: of the seeds the median, the lowest and the highest.

    A window that a seed has not reached is the others' alone.
    """
    edges = np.linspace(0, steps, WINDOWS + 1).astype(int)
    windows = [slice(low, high) for low, high in itertools.pairwise(edges)]
    points = [[np.median(n[w]) if len(n[w]) else np.nan for w in windows] for n in norms]
    reached = ~np.isnan(points).all(axis=0)
    middles = [(w.start + w.stop + 1) / 2 for w in windows]
    return _curve(np.array(middles)[reached], np.array(points)[:, reached])


def _by_layer(sizes: Sequence[np.ndarray]) -> dict[str, list[float]]:
    points = np.array([np.median(of_seed, axis=0) for of_seed in sizes])
    return _curve(np.arange(1, points.shape[1] + 1), points)


def _curve(x: np.ndarray, points: np.ndarray) -> dict[str, list[float]]:
    """points: (seeds, x)."""
    kept = (np.nanmedian(points, axis=0), np.nanmin(points, axis=0), np.nanmax(points, axis=0))
    return {name: np.asarray(v, float).tolist() for name, v in zip(document.CURVE, (x, *kept), strict=True)}


def table(found: dict[str, Any]) -> Any:
    """A line for each setting and method: norms at first and at last, and what had become of the game."""
    from rich.markup import escape
    from rich.table import Table

    out = Table(box=None, pad_edge=False, header_style="bold")
    out.add_column("networks", no_wrap=True)
    out.add_column("method", no_wrap=True)
    titles = [f"{'GD'[n]}'s norm, {when}" for n in range(2) for when in ("first", "last")]
    for title in (*titles, "layer 1 / last, at first", *(title for title, _ in MEASURES.values())):
        out.add_column(title, justify="right")
    before = None
    for row in found["rows"]:
        if before not in (None, row["name"]):
            out.add_section()
        label, before = "" if row["name"] == before else row["name"], row["name"]
        curves = row.get("curves", {})
        cells = [_end(curves.get(player), place) for player in PLAYERS for place in (0, -1)]
        cells.append(_depth(curves.get("generator, by layer, first")))
        kept = row.get("figures", {}).get("cpu", {})
        cells += [
            form.format(np.median(kept[name])) if kept.get(name) else ""
            for name, (_, form) in MEASURES.items()
        ]
        out.add_row(*map(escape, (label, row["case"], *cells)))
    return out


def _end(curve: Mapping[str, list[float]] | None, place: int) -> str:
    """A curve's first or last median."""
    if not curve or not curve["median"]:
        return ""
    return f"{curve['median'][place]:.1e}"


def _depth(curve: Mapping[str, list[float]] | None) -> str:
    """What is left of the last layer's gradient in the first layer."""
    if not curve or not curve["median"] or not curve["median"][-1]:
        return ""
    return f"{curve['median'][0] / curve['median'][-1]:.1g}"


def notes(found: dict[str, Any]) -> list[str]:
    """How to read the table."""
    return [
        *(f"{column}: {why}" for column, why in found["missing"].items()),
        "norms: of all of a player's gradients together before clipping, the median of a sixtieth of "
        "the steps and of the seeds",
        "layer 1 / last: an element's root mean square in G's first weights, over that in its last, in the "
        f"first {FIRST} steps",
        f"D(x), D(G(z)): D's answers in the last {LAST} steps. cut: of G's parameters and steps those with a "
        "norm of 1 or more, which clipping would cut, or did. distance: Fréchet's, of pixels, the less the "
        "better",
    ]
