"""Classifiers that this engine trains, and in whose features the metrics compare pictures.

    rawgan train-classifier mnist              # minutes, once; kept in the user's cache

    judge = metrics.classifier("mnist")        # from the cache; trains it if it is not there
    metrics.frechet_distance(judge.features(real), judge.features(fake))

A further dataset is a new row of `CLASSIFIERS`.

>>> judge = train_classifier("digits", epochs=1, save=False, device="cpu", progress=False)
>>> judge.features(np.zeros((3, 28, 28), np.uint8)).shape
(3, 128)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rawgan import arrays, data, nn, ops, optim, rng, schedules
from rawgan.data.checks import as_items
from rawgan.data.fetch import user_cache
from rawgan.engine import Tensor, no_grad, tensor
from rawgan.kernels.errors import CheckpointError, ConfigError, DataError, NonFiniteError, RawganError
from rawgan.metrics.shares import interval
from rawgan.nn.structure import describe
from rawgan.notice import warn
from rawgan.settings import whole_number
from rawgan.training import checkpoint
from rawgan.training.files import unwritable
from rawgan.training.plan import as_json
from rawgan.training.progress import Progress

FEATURES = 128
SHIFT = 2  # pixels by which training pictures are moved at most, in each direction
RATE = 3e-3
AT_ONCE = 500  # pictures judged together
KIND, VERSION = "classifier", 1  # what such a file says it is, and of how it was trained: others are refused


class Plan(NamedTuple):
    """How a dataset's classifier is trained.

    shape: of the pictures that it takes; others are resized to it. least: the accuracy below which it should
    judge nobody, or None where nobody has said what to expect. held_out: how many of the last pictures are
    kept for testing, where the dataset has no test part.
    """

    shape: tuple[int, int, int]
    epochs: int
    batch_size: int
    width: int
    least: float | None = None
    held_out: int = 0


CLASSIFIERS = {
    "digits": Plan((1, 28, 28), epochs=20, batch_size=50, width=8, held_out=297),
    "mnist": Plan((1, 28, 28), epochs=6, batch_size=128, width=16, least=0.99),  # 99.38% with seed 0
    "fashion_mnist": Plan((1, 28, 28), epochs=10, batch_size=128, width=32),
}


class Outputs(NamedTuple):
    """features: (N, 128), what the last layer sees. logits: (N, classes), what it makes of them."""

    features: np.ndarray
    logits: np.ndarray


class Classifier:
    """A trained network that tells a dataset's classes apart.

    name: the dataset's. network: the layers. device: where it computes. facts: what its file says of it,
    such as "accuracy" on "tested" pictures that it was not trained on, and the dataset's "fingerprint".

    Every method takes pictures, (N, H, W) or (N, C, H, W), uint8 or floats in [0, 1], in an array of any
    device or a Tensor; other sizes are resized as `data.resize_images` does. DataError for anything else.
    """

    def __init__(self, name: str, network: nn.Sequential, device: str, facts: dict[str, Any]):
        self.name, self.network, self.device, self.facts = name, network, device, facts
        network.eval()

    def __repr__(self) -> str:
        return f"<Classifier of {self.name}, {describe_accuracy(self.facts)}>"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the pictures that the network takes."""
        return _plan(self.name).shape

    def outputs(self, images: Any) -> Outputs:
        """Features and logits of the same pictures, float32, in one pass."""
        pictures = self._fit(images)
        parts = []
        with arrays.use_device(self.device), no_grad():
            for start in range(0, len(pictures), AT_ONCE):
                x = tensor(_scaled(pictures[start : start + AT_ONCE]))
                features = self.network[:-1](x)
                parts.append((features.numpy(), self.network[-1](features).numpy()))
        return Outputs(*map(np.concatenate, zip(*parts, strict=True)))

    def features(self, images: Any) -> np.ndarray:
        """(N, 128) float32."""
        return self.outputs(images).features

    def logits(self, images: Any) -> np.ndarray:
        """(N, classes) float32, before the softmax."""
        return self.outputs(images).logits

    def save(self, path: str | os.PathLike) -> None:
        """Write it to one file, whole or not at all; CheckpointError if that cannot be done."""
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path, error) from error
        checkpoint.save(path, self.network.state_dict(), self.facts)

    @classmethod
    def load(cls, path: str | os.PathLike, name: str, device: str = "auto") -> Classifier:
        """The classifier of a dataset from a file; CheckpointError for any other file."""
        values, facts = checkpoint.load(path)
        again = f"; train it again: rawgan train-classifier {name}"
        if not isinstance(facts, dict) or facts.get("kind") != KIND:
            raise CheckpointError(f"{path}: is no classifier's file{again}")
        if facts.get("data") != name:
            raise CheckpointError(f"{path}: tells {facts.get('data')!r} apart, not {name!r}{again}")
        device = arrays.resolve(device)
        network = _network(_plan(name), 0, device)
        if facts.get("version") != VERSION or facts.get("network") != as_json(describe(network)):
            raise CheckpointError(
                f"{path}: was made otherwise than this rawgan makes it (version {facts.get('version')!r}, "
                f"here {VERSION}){again}"
            )
        for key, fits in FACTS.items():
            if not fits(facts.get(key)):
                raise CheckpointError(f"{path}: {key} is {facts.get(key)!r}{again}")
        try:
            network.load_state_dict(values)
        except RawganError as error:
            raise CheckpointError(f"{path}: {error}{again}") from error
        if not all(np.isfinite(value).all() for value in values.values()):
            raise CheckpointError(f"{path}: holds weights that are not finite{again}")
        return cls(name, network, device, facts)

    def _fit(self, images: Any) -> np.ndarray:
        """As checked pictures of the network's size."""
        if isinstance(images, Tensor):
            images = images.numpy()
        elif arrays.is_array(images):
            images = arrays.to_numpy(images)
        what = f"classifier of {self.name}"
        items = as_items(what, images)
        channels, size, _ = self.shape
        if items.ndim != 4 or items.shape[1] != channels:
            raise DataError(f"{what}: takes pictures with {channels} channel(s), got shape {items.shape}")
        return items if items.shape[2:] == (size, size) else data.resize_images(items, size)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 1


FACTS = {  # what a classifier's file says besides, and what that takes
    "accuracy": lambda v: type(v) in (int, float) and 0 <= v <= 1,
    "tested": _count,
    "trained": _count,
    "fingerprint": lambda v: type(v) is str,
}


def describe_accuracy(facts: dict[str, Any]) -> str:
    """Its accuracy in words.

    >>> describe_accuracy({"accuracy": 0.99, "tested": 10_000})
    '99.00% right (95%: 98.79% to 99.18%) on 10,000 pictures that it was not trained on'
    """
    accuracy, tested = facts["accuracy"], facts["tested"]
    low, high = interval(round(accuracy * tested), tested)
    chance = f"(95%: {low:.2%} to {high:.2%})"
    return f"{accuracy:.2%} right {chance} on {tested:,} pictures that it was not trained on"


def cache_path(name: str) -> Path:
    """Where the classifier of a dataset is kept."""
    return user_cache() / "classifiers" / f"{name}.safetensors"


def classifier(
    name: str,
    train: bool = True,
    device: str = "auto",
    data_dir: str | os.PathLike | None = None,
    progress: bool = True,
) -> Classifier:
    """The classifier of a dataset, from the user's cache.

    name: one of "digits", "mnist", "fashion_mnist". train: train it where it is not cached, which takes
    minutes; otherwise that is a CheckpointError. data_dir, progress: for that training.

    Raises ConfigError for an unknown name, CheckpointError for a file in the cache that is damaged or was
    made otherwise.
    """
    _plan(name)
    path = cache_path(name)
    if path.exists():
        return Classifier.load(path, name, device)
    if not train:
        raise CheckpointError(f"{path}: there is no such file; make it: rawgan train-classifier {name}")
    if progress:
        print(f"training the classifier of {name}, which is then kept as {path}", flush=True)
    return train_classifier(name, device=device, data_dir=data_dir, progress=progress)


def train_classifier(
    name: str,
    epochs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    data_dir: str | os.PathLike | None = None,
    progress: bool = True,
    save: bool = True,
) -> Classifier:
    """Train the classifier of a dataset; one seed, one result.

    epochs: passes over the training data, by default the plan's. save: keep it in the user's cache, in place
    of the one there. Otherwise as `classifier`.

    Cross-entropy, Adam at 3e-3 with a cosine schedule, pictures moved by up to 2 pixels at random.

    Raises ConfigError for settings, DataError where the data is missing, CheckpointError where it cannot be
    saved, NonFiniteError.
    """
    plan = _plan(name)
    epochs = plan.epochs if epochs is None else epochs
    whole_number("train_classifier: epochs", epochs)
    whole, training, held_out = _parts(name, plan, data_dir)
    device = arrays.resolve(device)
    network = _network(plan, seed, device)
    _fit_to(network, training, plan.batch_size, epochs, seed, device, progress)
    facts = {
        "kind": KIND,
        "version": VERSION,
        "data": name,
        "fingerprint": whole.fingerprint,
        "network": as_json(describe(network)),
        "trained": len(training),
        "tested": len(held_out),
        "epochs": epochs,
        "seed": seed,
    }
    made = Classifier(name, network, device, facts)
    right = made.logits(held_out.items).argmax(axis=1) == held_out.labels
    facts["accuracy"] = float(right.mean())
    if plan.least is not None and facts["accuracy"] < plan.least:
        said = describe_accuracy(facts)
        warn(f"the classifier of {name} is {said}; {plan.least:.1%} can be had: train longer")
    if save:
        made.save(cache_path(name))
    return made


def _plan(name: str) -> Plan:
    if not isinstance(name, str) or name not in CLASSIFIERS:
        raise ConfigError(f"there is no classifier for {name!r}; there are: {', '.join(CLASSIFIERS)}")
    return CLASSIFIERS[name]


def _parts(name: str, plan: Plan, data_dir: Any) -> tuple[data.Dataset, data.Dataset, data.Dataset]:
    """The training part as it comes; and in the plan's size, what is trained on and what is held out."""
    whole: Any = data.load(name, data_dir=data_dir)
    training = whole.resized(plan.shape[1])
    if not plan.held_out:
        test: Any = data.load(name, split="test", data_dir=data_dir)
        return whole, training, test.resized(plan.shape[1])
    cut = len(whole) - plan.held_out
    first = data.Dataset(name, training.items[:cut], training.labels[:cut])
    return whole, first, data.Dataset(name, training.items[cut:], training.labels[cut:])


def _network(plan: Plan, seed: int, device: str) -> nn.Sequential:
    channels, height, width = plan.shape
    w = plan.width
    with arrays.use_device(device), rng.use_generator(rng.Generator(seed).spawn("weights")):
        return nn.Sequential(
            nn.Conv2d(channels, w, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm(w),
            nn.LeakyReLU(0.1),
            nn.Conv2d(w, 2 * w, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm(2 * w),
            nn.LeakyReLU(0.1),
            nn.Flatten(),
            nn.Dense(2 * w * (height // 4) * (width // 4), FEATURES, bias=False),
            nn.BatchNorm(FEATURES),
            nn.LeakyReLU(0.1),
            nn.Dense(FEATURES, 10),
        ).label("classifier")


def _fit_to(
    network: nn.Sequential,
    training: data.Dataset,
    batch_size: int,
    epochs: int,
    seed: int,
    device: str,
    progress: bool,
) -> None:
    """Train the network in place."""
    root = rng.Generator(seed)
    key, moves = root.spawn("data").key, root.spawn("moves")
    total = epochs * training.steps_per_epoch(batch_size)
    optimizer = optim.Adam(network.parameters(), RATE, (0.9, 0.999))
    optimizer.schedule = schedules.make("cosine", total)
    size = training.shape[1]
    around = ((0, 0), (0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT))
    moved = np.lib.stride_tricks.sliding_window_view(np.pad(training.items, around), (size, size), (2, 3))
    targets = np.eye(10, dtype=np.float32)[training.labels]
    network.train()
    with Progress(total, enabled=progress) as bar, arrays.use_device(device):
        for step in range(total):
            chosen = training.indices_for(step, batch_size, key)
            down, right = moves.integers(2 * SHIFT + 1, (2, batch_size))
            x = tensor(_scaled(moved[chosen, :, down, right]))
            loss = (ops.log_softmax(network(x)) * tensor(targets[chosen])).sum() / -batch_size
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            value = loss.item()
            if not np.isfinite(value):
                raise NonFiniteError(
                    f"the loss of {training.name}'s classifier is {value} at step {step + 1}"
                )
            bar.update({"step": step + 1, "loss": value})


def _scaled(pictures: np.ndarray) -> np.ndarray:
    """float32 in [0, 1]."""
    if pictures.dtype != np.uint8:
        return pictures
    return np.divide(pictures, np.float32(255), dtype=np.float32)
