"""Losses: binary cross-entropy, the adversarial objectives, and what is added to them.

Every loss is a scalar Tensor, a mean over the batch. D's outputs are called logits; only
where `probabilities=True` have they gone through a sigmoid.

>>> from rawgan import losses
>>> losses.adversarial("hinge")
adversarial('hinge')
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from rawgan import arrays, ops, rng
from rawgan.engine import Tensor, grad, tensor
from rawgan.kernels.errors import ConfigError, ShapeError
from rawgan.ops.arithmetic import raw
from rawgan.ops.shape import as_input
from rawgan.settings import nearest, number


def _tensor(x: Any) -> Tensor:
    return x if type(x) is Tensor else tensor(x)


def bce(probabilities: Any, targets: Any) -> Tensor:
    """Mean of −t log p − (1 − t) log(1 − p); finite at p = 0 and p = 1, where log 0 counts as −100."""
    return ops.bce(_tensor(probabilities), targets)


def bce_with_logits(logits: Any, targets: Any) -> Tensor:
    """Mean cross-entropy of σ(logits) against targets in [0, 1]; exact for any finite logit."""
    return ops.bce_with_logits(_tensor(logits), targets)


class Game(NamedTuple):
    """D's loss on real and on fake outputs and G's on fake ones, means over the batch, with the formulas."""

    real: Callable
    fake: Callable
    generator: Callable
    formula: str


LOG2 = math.log(2)
_SATURATING = "D: −log D(x) − log(1 − D(G(z)));  G: log(1 − D(G(z)))"
_NON_SATURATING = "D: −log D(x) − log(1 − D(G(z)));  G: −log D(G(z))"

# name -> (its form for logits, its form for probabilities or None)
OBJECTIVES: dict[str, tuple[Game, Game | None]] = {
    "saturating": (  # Goodfellow et al. 2014, equation 1
        Game(
            lambda s: ops.bce_with_logits(s, 1.0),
            lambda s: ops.bce_with_logits(s, 0.0),
            lambda s: -ops.bce_with_logits(s, 0.0),
            _SATURATING,
        ),
        Game(lambda p: ops.bce(p, 1.0), lambda p: ops.bce(p, 0.0), lambda p: -ops.bce(p, 0.0), _SATURATING),
    ),
    "non_saturating": (  # Goodfellow et al. 2014, section 3
        Game(
            lambda s: ops.bce_with_logits(s, 1.0),
            lambda s: ops.bce_with_logits(s, 0.0),
            lambda s: ops.bce_with_logits(s, 1.0),
            _NON_SATURATING,
        ),
        Game(
            lambda p: ops.bce(p, 1.0), lambda p: ops.bce(p, 0.0), lambda p: ops.bce(p, 1.0), _NON_SATURATING
        ),
    ),
    "least_squares": (  # Mao et al. 2017, equation 9
        Game(
            lambda s: ops.mean(0.5 * (s - 1) ** 2),
            lambda s: ops.mean(0.5 * s**2),
            lambda s: ops.mean(0.5 * (s - 1) ** 2),
            "D: ½(D(x) − 1)² + ½D(G(z))²;  G: ½(D(G(z)) − 1)²",
        ),
        None,
    ),
    "hinge": (  # Lim and Ye 2017; Miyato et al. 2018
        Game(
            lambda s: ops.mean(ops.relu(1 - s)),
            lambda s: ops.mean(ops.relu(1 + s)),
            lambda s: -ops.mean(s),
            "D: max(0, 1 − D(x)) + max(0, 1 + D(G(z)));  G: −D(G(z))",
        ),
        None,
    ),
    "wasserstein": (  # Arjovsky et al. 2017, equation 2
        Game(lambda s: -ops.mean(s), ops.mean, lambda s: -ops.mean(s), "D: −D(x) + D(G(z));  G: −D(G(z))"),
        None,
    ),
}


def _pearson(v: Any) -> Tensor:
    half = 0.5 * ops.maximum(v, -2.0) + 1  # ¼t² + t = (½t + 1)² − 1
    return ops.mean(half * half) - 1


# An f-GAN's game on D's raw output v (Nowozin, Cseke and Tomioka 2016, tables 2 and 6): D's loss is the mean
# of −g(v) over real data and of f*(g(v)) over fake, G's the mean of −f*(g(v)). Of Jensen and Shannon's,
# f*(g(v)) = log(1 + e^v) − log 2. Pearson's f is of ratios of densities, which are not negative, so its f*
# stays at −1 below t = −2; the parabola of the table would there lead G away from the data.
CONJUGATES: dict[str, Game] = {
    "kl": Game(
        lambda v: -ops.mean(v),
        lambda v: ops.mean(ops.exp(v - 1)),
        lambda v: -ops.mean(ops.exp(v - 1)),
        "g(v) = v,  f*(t) = exp(t − 1)",
    ),
    "reverse_kl": Game(
        lambda v: ops.mean(ops.exp(-v)),
        lambda v: ops.mean(v - 1),
        lambda v: ops.mean(1 - v),
        "g(v) = −exp(−v),  f*(t) = −1 − log(−t)",
    ),
    "pearson": Game(
        lambda v: -ops.mean(v),
        _pearson,
        lambda v: -_pearson(v),
        "g(v) = v,  f*(t) = t²/4 + t for t ≥ −2, else −1",
    ),
    "jensen_shannon": Game(
        lambda v: ops.mean(ops.softplus(-v)) - LOG2,
        lambda v: ops.mean(ops.softplus(v)) - LOG2,
        lambda v: LOG2 - ops.mean(ops.softplus(v)),
        "g(v) = log 2 − log(1 + exp(−v)),  f*(t) = −log(2 − exp(t))",
    ),
}


def conjugate(divergence: str) -> Game:
    """The game of f-GAN whose optimum is that divergence between the data and what G makes.

    Raises ConfigError for an unknown one.

    >>> conjugate("pearson").formula
    'g(v) = v,  f*(t) = t²/4 + t for t ≥ −2, else −1'
    """
    if not isinstance(divergence, str) or divergence not in CONJUGATES:
        raise ConfigError(f"there is no divergence {divergence!r}; there are: {', '.join(CONJUGATES)}")
    return CONJUGATES[divergence]


class Objective:
    """The two players' losses of one adversarial game."""

    def __init__(self, name: str, game: Game, probabilities: bool = False):
        self.name, self.game, self.formula = name, game, game.formula
        self.probabilities = probabilities

    def __repr__(self) -> str:
        return f"adversarial({self.name!r}{', probabilities=True' if self.probabilities else ''})"

    def discriminator(self, real: Any, fake: Any) -> Tensor:
        """D's loss: the mean over the real outputs plus the mean over the fake ones."""
        terms = self.discriminator_terms(real, fake)
        return terms["real"] + terms["fake"]

    def discriminator_terms(self, real: Any, fake: Any) -> dict[str, Tensor]:
        """The two parts of D's loss by name, "real" and "fake"."""
        return {"real": self.game.real(_tensor(real)), "fake": self.game.fake(_tensor(fake))}

    def called_fake(self, outputs: Any) -> Tensor:
        """The loss of outputs that are to say "fake"."""
        return self.game.fake(_tensor(outputs))

    def generator(self, fake: Any) -> Tensor:
        """G's loss on D's outputs for fake examples."""
        return self.game.generator(_tensor(fake))

    def verdict(self, outputs: Any) -> arrays.Array:
        """D's mean answer, of no axes: a probability of being real for the cross-entropy games, else its
        raw score."""
        values = raw(outputs)
        if not self.probabilities and OBJECTIVES[self.name][1] is not None:
            values = ops.sigmoid(values)
        return values.mean()


def adversarial(name: str, probabilities: bool = False, label_smoothing: float = 0.0) -> Objective:
    """The objective of that name; `probabilities` says that D ends in a sigmoid.

    label_smoothing: D is to call the real data real with probability 1 − label_smoothing only, for the
    cross-entropy games (one-sided label smoothing: Salimans et al. 2016, section 3.4).
    Raises ConfigError for an unknown name, or for one that has no form for probabilities or no labels.
    """
    if not isinstance(name, str) or name not in OBJECTIVES:
        raise ConfigError(
            f"there is no objective {name!r}{nearest(name, OBJECTIVES)}; there are: {', '.join(OBJECTIVES)}"
        )
    logits, probability = OBJECTIVES[name]
    smoothing = number("adversarial: label_smoothing", label_smoothing, 0.0, 1.0)
    if smoothing and probability is None:
        raise ConfigError(f"the {name!r} objective has no labels to be smoothed: leave out label_smoothing")
    if not probabilities:
        return Objective(name, _smoothed(logits, ops.bce_with_logits, smoothing))
    if probability is None:
        raise ConfigError(
            f"the {name!r} objective takes D's raw output: leave out the final sigmoid of D, or use "
            "'saturating' or 'non_saturating'"
        )
    return Objective(name, _smoothed(probability, ops.bce, smoothing), True)


def _smoothed(game: Game, entropy: Callable, smoothing: float) -> Game:
    return game._replace(real=lambda s: entropy(s, 1 - smoothing)) if smoothing else game


def _slope(D: Callable, x: Tensor) -> Tensor:
    """‖∇ₓ D(x)‖² for each example, itself on the tape."""
    if not callable(D):
        raise ConfigError(f"a gradient penalty takes a network or a function as D, got {D!r}")
    (gx,) = grad(ops.sum(D(x)), [x], create_graph=True)
    return ops.sum(gx * gx, axis=tuple(range(1, len(x.shape))))


def _examples(name: str, x: Any) -> arrays.Array:
    """The plain array of a batch, in floating point."""
    array = raw(as_input(x))
    array = arrays.as_float(name, array, arrays.namespace(array).float32)
    if not array.shape:
        raise ShapeError(f"{name}: takes a batch of examples (N, ...), got one number")
    return array


def gradient_penalty(D: Callable, real: Any, fake: Any, weight: float = 10.0) -> Tensor:
    """weight · mean (‖∇D(x̂)‖ − 1)² at random points x̂ between real and fake examples.

    real, fake: (N, ...) of one shape. Source: Gulrajani et al. 2017, equation 3.
    """
    weight = number("gradient_penalty: weight", weight, 0.0)
    a, b = _examples("gradient_penalty", real), _examples("gradient_penalty", fake)
    if tuple(a.shape) != tuple(b.shape):
        raise ShapeError(f"gradient_penalty: real of shape {a.shape} and fake of shape {b.shape} differ")
    shape = (a.shape[0],) + (1,) * (len(a.shape) - 1)
    t = rng.current().uniform(shape, a.dtype, arrays.device_of(a))
    with arrays.beside(a):
        between = Tensor(t * a + (1 - t) * b, requires_grad=True)
    # The root's slope is infinite at 0; a D that is flat there still has a penalty, but no direction.
    norm = ops.sqrt(_slope(D, between) + 1e-12)
    return weight * ops.mean((norm - 1) ** 2)


def r1(D: Callable, real: Any, weight: float = 10.0) -> Tensor:
    """weight / 2 · mean ‖∇D(x)‖² on real examples (Mescheder et al. 2018, equation 9)."""
    weight = number("r1: weight", weight, 0.0)
    return (weight / 2) * ops.mean(_slope(D, Tensor(_examples("r1", real), requires_grad=True)))


def kl_to_normal(mean: Any, log_variance: Any) -> Tensor:
    """Mean over the batch of KL(N(mean, e^log_variance) ‖ N(0, 1)), summed over the features.

    mean, log_variance: (N, features). Source: Kingma and Welling 2014, appendix B.
    """
    mean, log_variance = as_input(mean), as_input(log_variance)
    shapes = tuple(mean.shape), tuple(log_variance.shape)
    if len(shapes[0]) != 2 or shapes[0] != shapes[1]:
        raise ShapeError(
            f"kl_to_normal: mean of shape {shapes[0]} and log_variance of shape {shapes[1]} are not of one "
            "shape (N, features)"
        )
    terms = ops.exp(log_variance) + mean * mean - 1 - log_variance
    return 0.5 * ops.mean(ops.sum(terms, axis=1))


def l2(parameters: Any) -> Tensor:
    """Σ θ² over all the parameters."""
    if type(parameters) is Tensor or arrays.is_array(parameters) or not isinstance(parameters, Iterable):
        raise ConfigError(f"l2: takes a list of tensors such as net.parameters(), got {parameters!r}")
    total: Any = 0.0
    for p in parameters:
        total = total + ops.sum(ops.multiply(p, p))
    return _tensor(total)
