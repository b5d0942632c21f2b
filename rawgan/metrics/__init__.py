"""How good samples are, each figure with what it would be if nothing were wrong.

Every metric takes features, (N, d), of any extractor, such as a `classifier` that this engine trains: NumPy
or CuPy arrays, Tensors, lists. It computes in float64, and pairs of points are met block by block, so that
10,000 x 2,048 features fit. What comes back carries its bias, floor or error at the sample sizes used.

>>> import numpy as np
>>> real, fake = np.random.default_rng(0).normal(size=(2, 500, 3))
>>> frechet_distance(real, fake)
FrechetDistance 0.0201: 500 real, 500 fake; two samples of one distribution would give about 0.0231
>>> precision_recall_density_coverage(real, fake).coverage
0.954
"""

from rawgan.metrics.classifiers import CLASSIFIERS, Classifier, Outputs, classifier, train_classifier
from rawgan.metrics.frechet import FrechetDistance, frechet_distance, frechet_from_moments
from rawgan.metrics.inception import InceptionScore, inception_score
from rawgan.metrics.kernel import KernelInceptionDistance, kernel_inception_distance
from rawgan.metrics.manifolds import Neighbourhoods, precision_recall_density_coverage
from rawgan.metrics.memory import Memorisation, memorisation, nearest_neighbours
from rawgan.metrics.mixtures import Modes, modes

__all__ = [
    "CLASSIFIERS",
    "Classifier",
    "FrechetDistance",
    "InceptionScore",
    "KernelInceptionDistance",
    "Memorisation",
    "Modes",
    "Neighbourhoods",
    "Outputs",
    "classifier",
    "frechet_distance",
    "frechet_from_moments",
    "inception_score",
    "kernel_inception_distance",
    "memorisation",
    "modes",
    "nearest_neighbours",
    "precision_recall_density_coverage",
    "train_classifier",
]
