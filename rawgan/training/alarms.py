"""Warnings while training: what goes wrong, why, and what helps, from numbers that are at hand anyway.

    alarms = Alarms(run)
    alarms.add(row)                        # after each step
    for alarm in alarms.look(): ...        # every `EVERY` steps: what is wrong now, each kind not too often

Nothing here changes the run: G makes some samples of noise of its own, as for a picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rawgan import arrays, rng
from rawgan.data import Mixture
from rawgan.engine import Op, Watch, switch
from rawgan.losses import OBJECTIVES

if TYPE_CHECKING:
    from rawgan.training.run import Run

EVERY = 200  # steps between two looks
WINDOW = 100  # steps whose median is looked at
PAUSE = 2000  # steps before the same is said again
SAMPLES = 64
CERTAIN = 0.01  # D is wrong with this probability: it has won
EXPLODED, VANISHED = 100.0, 1e-4  # norms, the second as a share of those of the first steps
DEAD = 0.5  # share of a layer's units
ALIKE = 0.25  # distance of a sample from the nearest other one, as a share of that of the data
SETTLED = 3000  # steps after which samples that are alike are worth a word: before, G has just begun


class Alarm(NamedTuple):
    """kind: "won", "exploding", "vanishing", "dead" or "collapse". says: what, why, and a remedy."""

    step: int
    kind: str
    says: str


class Alarms:
    """Looks at one run."""

    def __init__(self, run: Run):
        self.run = run
        self._rows: deque[Mapping[str, float]] = deque(maxlen=WINDOW)
        self._first: dict[str, float] = {}
        self._quiet_until: dict[str, int] = {}
        self._real: np.ndarray | None = None

    def add(self, row: Mapping[str, float]) -> None:
        """A step's row of the history."""
        self._rows.append(row)

    def steps_until_due(self) -> int:
        """How many steps, one or more, to the next look."""
        return EVERY - self.run.steps % EVERY

    def look(self) -> list[Alarm]:
        """What is wrong, and was not said lately."""
        if not self._rows:
            return []
        norms = [name for name in self._rows[-1] if name.endswith("grad_norm")]
        if not self._first:  # of the run, though this be a resumed one
            begun = self.run.history
            self._first = {name: float(np.median(begun[name][:WINDOW])) for name in norms}
        checks: dict[str, Callable[[], str | None]] = {
            "won": self._won,
            "exploding": lambda: self._gradients(norms, exploding=True),
            "vanishing": lambda: self._gradients(norms, exploding=False),
            "dead": self._dead,
            "collapse": self._collapse,
        }
        found = []
        for kind, check in checks.items():
            if self.run.steps >= self._quiet_until.get(kind, 0) and (says := check()):
                self._quiet_until[kind] = self.run.steps + PAUSE
                found.append(Alarm(self.run.steps, kind, says))
        return found

    def _median(self, column: str) -> float:
        return float(np.median([row[column] for row in self._rows]))

    def _won(self) -> str | None:
        objective = self.run.trainer.objective
        if objective is None or OBJECTIVES[objective.name][1] is None:  # scores are no probabilities
            return None
        real, fake = self._median("d_real"), self._median("d_fake")
        if real < 1 - CERTAIN or fake > CERTAIN:
            return None
        factor = fake if objective.name == "saturating" else 1 - fake
        return (
            f"D has won: it calls real data real with {real:.3f} and generated data with {fake:.1e}. Of G's "
            f"gradient this leaves a factor {factor:.1e} (objective {objective.name!r}) of slopes that say "
            "little. Remedies: label_smoothing=0.1, a lower learning_rate for the discriminator, dropout in D"
            + (", objective='non_saturating'" if objective.name == "saturating" else "")
        )

    def _gradients(self, norms: list[str], exploding: bool) -> str | None:
        for name in norms:
            norm, first = self._median(name), self._first[name]
            if not (norm > max(EXPLODED, 10 * first) if exploding else norm < VANISHED * first):
                continue
            recipe = self.run.trainer.recipe
            player = next(p for p in recipe.players if f"{recipe.prefix(p)}grad_norm" == name)
            layer, size = self._extreme(player, exploding)
            what = "explode" if exploding else "vanish"
            remedy = (
                "clip_norm=1.0, a lower learning_rate, batch normalisation"
                if exploding
                else "the non-saturating objective, LeakyReLU, batch normalisation, a weaker discriminator"
            )
            return (
                f"the gradients of the {player} {what}: their norm is {norm:.1e}, "
                f"{norm / max(first, 1e-300):.0e} times what it was at first, and an element of {layer}'s is "
                f"{size:.1e}. Remedies: {remedy}"
            )
        return None

    def _extreme(self, player: str, largest: bool) -> tuple[str, float]:
        """The parameter with the largest or smallest gradient, and an element's root mean square there."""
        trainer, sizes = self.run.trainer, {}
        for network in trainer.recipe.players[player]:
            for name, p in trainer.networks[network].named_parameters():
                if p.grad is not None and p.size:
                    sizes[f"{network}.{name}"] = float(np.sqrt(np.mean(arrays.to_numpy(p.grad) ** 2.0)))
        name = (max if largest else min)(sizes, key=sizes.__getitem__, default=player)
        return name, sizes.get(name, 0.0)

    def _dead(self) -> str | None:
        """Units of rectifiers that are 0 for every sample."""
        look = _Units()
        with switch(watch=look):
            self._samples()
        shares = look.dead
        worst = max(shares, key=shares.__getitem__, default=None)
        if worst is None or shares[worst] < DEAD:
            return None
        return (
            f"{shares[worst]:.0%} of the units of {worst} are 0 for all of {SAMPLES} samples: they are dead, "
            "no gradient comes through them. Remedies: LeakyReLU, a lower learning_rate, batch normalisation"
        )

    def _samples(self, count: int = SAMPLES) -> np.ndarray:
        return self.run.sample(count, seed=rng.Generator(0).spawn("alarms").key % 2**32).reshape(count, -1)

    def _collapse(self) -> str | None:
        trainer = self.run.trainer
        if trainer.steps < SETTLED:
            return None
        if isinstance(trainer.source, Mixture):
            return self._missing(trainer.source.centres, trainer.source.sigma)
        if self._real is None:
            size = min(SAMPLES, trainer.recipe.batch_size)
            batches = [trainer.source.batch_for(step, size, 0) for step in range(-(-SAMPLES // size))]
            self._real = np.concatenate(batches).astype(np.float64)[:SAMPLES].reshape(SAMPLES, -1)
        share = _apart(self._samples().astype(np.float64)) / max(_apart(self._real), 1e-300)
        if share > ALIKE:
            return None
        return (
            f"the samples are alike: the nearest to each lies {share:.0%} as far away as among real data. "
            "G has collapsed onto one or a few, or does not learn. Remedies: pack=2, a lower learning_rate, "
            "gradient_penalty or r1"
        )

    def _missing(self, centres: np.ndarray, sigma: float) -> str | None:
        near = np.linalg.norm(self._samples(1000)[:, None] - centres, axis=2) <= 3 * sigma
        missing = np.flatnonzero(near.mean(axis=0) < 0.1 / len(centres))
        if len(missing) < len(centres) / 4:
            return None
        places = ", ".join(f"({x:.1f}, {y:.1f})" for x, y in centres[missing][:4])
        more = ", ..." if len(missing) > 4 else ""
        return (
            f"{len(missing)} of {len(centres)} modes are missing: next to nothing is generated near {places}"
            f"{more}. G has collapsed onto the others. Remedies: pack=2, gradient_penalty or r1, a larger "
            "batch_size"
        )


class _Units(Watch):
    """By layer, the share of a rectifier's units that are 0 for every sample."""

    def __init__(self) -> None:
        self.dead: dict[str, float] = {}

    def value(self, op: Op, layer: str, inputs: tuple, attrs: dict[str, Any], out: Any) -> None:
        if op.name in ("relu", "leaky_relu") and out.ndim > 1:
            others = tuple(axis for axis in range(out.ndim) if axis != 1)
            self.dead[layer] = float(arrays.to_numpy((out.data == 0).all(axis=others)).mean())


def _apart(items: np.ndarray) -> float:
    """The median distance of an item, (N, d), from the nearest other: small where there are a few only.

    The mean over all pairs is not: three pictures that a generator made again and again had 0.8 times the
    data's, and 0.04 times the data's nearest neighbours.
    """
    squares = (items**2).sum(axis=1)
    apart = squares[:, None] + squares - 2 * items @ items.T
    np.fill_diagonal(apart, np.inf)
    return float(np.sqrt(max(0.0, np.median(apart.min(axis=1)))))
