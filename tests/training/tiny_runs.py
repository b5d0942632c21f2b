"""Trainings that take milliseconds, for the tests of this folder, and what is compared of them."""

import hashlib

import rawgan
from rawgan.training import checkpoint, pictures

TINY = {  # of every recipe
    "mlp": {"hidden": 4},
    "dense_conv": {"data": "digits", "width": 2},
    "dcgan_mnist": {"data": "digits", "width": 2},  # with batch norm and dropout
    "dcgan_cifar10": {"data": "digits", "width": 2},
    "encoder_gan": {"hidden": 4},
    "gat": {"hidden": 4},
    "wgan": {"data": "digits", "width": 2, "d_steps": 2},
    "wgan_gp": {"data": "digits", "width": 2, "d_steps": 2},
    "mixture": {"hidden": 4},
    "autoencoder": {"hidden": 4},
    "vae": {"hidden": 4},
}
QUICK = {"steps": 3, "batch_size": 8, "noise": 4, "device": "cpu", "progress": False}


def quick(recipe="mlp", **more):
    """A recipe trained for a moment."""
    return rawgan.train(recipe, **(QUICK | TINY[recipe] | more))


def resume(out, **more):
    """The run in `out`, gone on with as it was."""
    return rawgan.train(out=out, resume=True, device="cpu", progress=False, **more)


def stop_at(*steps):
    """Callbacks that end the training after these steps."""
    return [lambda run, row: row["step"] in steps]


def skip_plots(monkeypatch):
    """Matplotlib takes half a second a figure, and is the subject of few tests."""
    for slow in ("plot_history", "points_figure", "save_animation"):
        monkeypatch.setattr(pictures, slow, lambda *arguments: None)


def weights(run):
    """Everything a trainer holds, bit for bit."""
    return {name: value.tobytes() for name, value in run.trainer.state()[0].items()}


def assert_same(a, b):
    """The same history and the same state, bit for bit."""
    assert a.history.keys() == b.history.keys()
    for name, values in a.history.items():
        assert values.tobytes() == b.history[name].tobytes(), name
    assert weights(a) == weights(b)


def outcome(out):
    """What a run directory ends with, bit for bit: the last checkpoint and the history."""
    newest = max((out / "checkpoints").glob("step-*"))
    arrays, meta = checkpoint.load(newest)
    bits = {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in arrays.items()}
    return newest.name, bits, meta, (out / "history.csv").read_bytes()


def tree(folder):
    """What a folder holds, but for who locked it last: path -> digest."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }
