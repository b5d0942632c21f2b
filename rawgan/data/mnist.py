"""MNIST (LeCun et al., 1998) and Fashion-MNIST (Xiao et al., 2017): 28x28 pictures in IDX files."""

from __future__ import annotations

import os

from rawgan.data.dataset import Dataset
from rawgan.data.fetch import Remote, Source, locate
from rawgan.data.idx import read_idx
from rawgan.kernels.errors import DataError

_S3 = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_CVDF = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_ZALANDO = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
_ZALANDO_S3 = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"  # the hash makes up for http

_PREFIX = {"train": "train", "test": "t10k"}
_FASHION = ("fashion_mnist", "fashion-mnist")
SOURCES = {
    "mnist": Source("mnist", folders=("mnist",), hosts=(_S3, _CVDF), foreign=_FASHION),
    "fashion_mnist": Source(
        "fashion_mnist", folders=_FASHION, hosts=(_ZALANDO, _ZALANDO_S3), foreign=("mnist",)
    ),
}
SHA256 = {  # of the gzipped files as their hosts have them
    "mnist": {
        "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
}


def load(name: str, split: str, data_dir: str | os.PathLike[str] | None) -> Dataset:
    """(60000, 1, 28, 28) uint8 pictures with labels; 10000 for "test".

    name: "mnist" or "fashion_mnist". Raises DataError for files that are missing or not what they
    should be.
    """
    stems = [f"{_PREFIX[split]}-images-idx3-ubyte", f"{_PREFIX[split]}-labels-idx1-ubyte"]
    wanted = [Remote(f"{stem}.gz", SHA256[name][stem], spellings=_spellings(stem)) for stem in stems]
    images_path, labels_path = locate(SOURCES[name], wanted, data_dir)
    images, labels = read_idx(images_path, ndim=3), read_idx(labels_path, ndim=1)
    if images.shape[1:] != (28, 28):
        raise DataError(
            f"{images_path}: holds pictures of {images.shape[1]}x{images.shape[2]}; {name}'s are 28x28. "
            "Read another dataset with rawgan.data.idx.read_idx and pass the array"
        )
    if len(images) != len(labels):
        raise DataError(f"{images_path} holds {len(images)} pictures, {labels_path} {len(labels)} labels")
    if labels.max() > 9:
        raise DataError(f"{labels_path}: holds the label {labels.max()}; {name}'s are 0 to 9")
    return Dataset(name, images, labels)


def _spellings(stem: str) -> tuple[str, ...]:
    """The names under which a file goes round: with a hyphen or a dot, gzipped or not."""
    dotted = stem.replace("-idx", ".idx")
    return (f"{stem}.gz", stem, f"{dotted}.gz", dotted)
