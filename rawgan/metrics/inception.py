"""The Inception Score: are single samples clear, and all together varied, to a classifier?

>>> inception_score([[1, 2, 3], [-1, 5, 3.1]])
InceptionScore 1.24 of at most 3; 2 samples (1 split) lower it by about 0.247
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rawgan.kernels.errors import ConfigError
from rawgan.metrics.features import features
from rawgan.metrics.shares import Score
from rawgan.settings import whole_number


class InceptionScore(Score):
    """From 1 (all samples look alike, or like nothing) to the number of classes.

    bias: how far the expected score lies from that of endless samples; below 0, as a mean over few samples
    looks like those samples. Its first order in 1/N. deviation: between the splits, NaN for one.
    """

    bias: float
    deviation: float
    samples: int
    classes: int
    splits: int

    def __repr__(self) -> str:
        spread = "" if self.splits == 1 else f" ± {self.deviation:.3g}"
        splits = "1 split" if self.splits == 1 else f"{self.splits} splits"
        return (
            f"InceptionScore {self:.3g}{spread} of at most {self.classes}; {self.samples} samples ({splits}) "
            f"lower it by about {-self.bias:.3g}"
        )


def inception_score(logits: Any, splits: int = 1) -> InceptionScore:
    """exp E_x KL(p(y|x) ‖ p(y)), with p(y|x) = softmax(logits) (Salimans et al. 2016, section 4).

    logits: (N, classes), a classifier's outputs before the softmax, of generated samples.
    splits: the mean of the scores of so many parts of about equal size, in the given order.

    The bias: with p̂(y) a mean over n samples, the entropy of p̂ falls short by ½ Σ_y Var p(y|x) / (n p(y))
    (G. Miller, 1955, for entropies of counts), and with it the logarithm of the score.

    Raises ShapeError, DTypeError, DataError for logits that are not so, ConfigError for splits.
    """
    whole_number("inception_score: splits", splits)
    array = features("inception_score", "logits", logits, least=2, why="or there is no variety to see")
    if splits > len(array) // 2:
        raise ConfigError(
            f"inception_score: {splits} splits of {len(array)} samples leave fewer than 2 in each; "
            f"take at most {len(array) // 2}"
        )
    scores, biases = zip(*(_of_one(part) for part in np.array_split(array, splits)), strict=True)
    return InceptionScore(
        float(np.mean(scores)),
        bias=float(np.mean(biases)),
        deviation=float(np.std(scores, ddof=1)) if splits > 1 else float("nan"),
        samples=len(array),
        classes=array.shape[1],
        splits=splits,
    )


def _of_one(logits: np.ndarray) -> tuple[float, float]:
    log_p = logits.astype(np.float64)
    log_p -= log_p.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    marginal = p.mean(axis=0)
    seen = marginal > 0  # a class that underflows everywhere adds p log p = 0
    p, log_p = p[:, seen], log_p[:, seen]
    divergence = np.sum(p * (log_p - np.log(marginal[seen]))) / len(p)
    score = float(np.exp(max(divergence, 0.0)))  # rounding alone takes it below 0
    shortfall = 0.5 * np.sum(p.var(axis=0, ddof=1) / marginal[seen]) / len(p)
    return score, -score * float(shortfall)
