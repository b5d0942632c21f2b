"""What goes wrong around a step: answers of the wrong shape or range, settings that change, a full disk."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_runs import QUICK, assert_same, quick

import rawgan
from rawgan import kernels, nn, ops, recipes
from rawgan.training import checkpoint, keeper, pictures
from rawgan.training.rundir import RunDirectory
from rawgan.training.step import Trainer

POINTS = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)


def two(out=2, verdict=1, last=()):
    rawgan.manual_seed(0)
    G = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, out))
    D = nn.Sequential(nn.Dense(out, 8), nn.LeakyReLU(), nn.Dropout(0.1), nn.Dense(8, verdict), *last)
    return {"generator": G, "discriminator": D}


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (two(verdict=3), r"the discriminator makes \(8, 3\) of \(8, 2\), not one number .* \(8, 1\)"),
        (two(last=[nn.Reshape(())]), r"the discriminator makes \(8,\) of \(8, 2\)"),
        (two(out=3), r"the generator makes \(8, 3\) of noise \(8, 4\), the data is \(8, 2\)"),
    ],
)
def test_networks_that_make_other_shapes(networks, message):
    with pytest.raises(rawgan.ShapeError, match=message):
        rawgan.train(**networks, data=POINTS, **QUICK)


class OffTo(nn.Module):
    """Shifts the verdicts of real batches, of fake ones or of both; D judges them in turn."""

    def __init__(self, batches):
        super().__init__()
        self.batches, self.seen = batches, 0

    def forward(self, x):
        self.seen += 1
        which = "real" if self.seen % 2 else "fake"
        return ops.sigmoid(x) - 2 * (self.batches in (which, "both"))


@pytest.mark.parametrize("batches", ["real", "fake", "both"])
def test_answers_that_are_no_probabilities(batches):
    networks = two(last=[OffTo(batches)])
    said = r"D gives values outside \[0, 1\].*end it with nn.Sigmoid\(\) or set d_probabilities=False"
    with pytest.raises(rawgan.NonFiniteError, match=said):
        rawgan.train(**networks, data=POINTS, d_probabilities=True, objective="saturating", **QUICK)


def changing(run, row):
    """A callback that lets the rate and the share dropped fall with the step."""
    run.trainer.optimizers["generator"].lr = 1e-3 / row["step"]
    run.discriminator[2].p = 0.5 / row["step"]


def test_what_callbacks_change_is_saved(tmp_path):
    settings = QUICK | {"steps": 6, "checkpoint_every": 3, "callbacks": [changing]}
    whole = rawgan.train(**two(), data=POINTS, out=tmp_path / "whole", **settings)
    rawgan.train(**two(), data=POINTS, out=tmp_path / "part", **settings | {"steps": 3})
    again = rawgan.train(**two(), data=POINTS, out=tmp_path / "part", resume=True, **settings)
    assert_same(whole, again)
    assert whole.discriminator[2].p == again.discriminator[2].p == 0.5 / 6


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ([], {"recip": "mlp"}, "did you mean 'recipe'"),
        ([], {"genrator": nn.Dense(1, 1)}, "did you mean 'generator'"),
        (["mlp"], {"bach_size": 3, "epochs": "x"}, "did you mean 'batch_size'"),
        ([recipes.make("mlp")], {}, "recipe= takes a name, one of mlp"),
        (["mlp"], {"callbacks": print}, "callbacks= takes a list of functions"),
        (["mlp"], {"callbacks": [3]}, "callbacks= takes a list of functions"),
        (["mlp"], {"callbacks": None}, "callbacks= takes a list of functions"),
    ],
)
def test_wrong_words_come_first(arguments, keywords, message):
    with pytest.raises(rawgan.ConfigError, match=message):
        rawgan.train(*arguments, **keywords)


def full(*anything, **more):
    raise rawgan.CheckpointError("no space left on device")


def test_pictures_that_cannot_be_written_do_not_end_a_run(tmp_path, monkeypatch):
    for name in ("save_grid", "plot_history", "save_animation"):
        monkeypatch.setattr(pictures, name, full)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run = quick(out=tmp_path / "run", steps=4, sample_every=1)
    assert run.steps == 4
    said = [w for w in said if "no space left" in str(w.message)]
    messages = sorted(str(w.message) for w in said)
    assert messages == ["no picture: no space left on device", "no plot: no space left on device"]
    assert {w.filename for w in said} == {quick.__code__.co_filename}  # where rawgan.train was called


def test_a_checkpoint_that_cannot_be_written_names_the_one_that_is_kept(tmp_path, monkeypatch):
    original, calls = checkpoint.save, []

    def save(*arguments):
        calls.append(1)
        return original(*arguments) if len(calls) < 3 else full()

    monkeypatch.setattr(checkpoint, "save", save)
    with pytest.raises(
        rawgan.CheckpointError, match=r"no space left on device\. The checkpoint of step 1 is kept"
    ):
        quick(out=tmp_path / "run", steps=4, checkpoint_every=1)
    calls.extend([1, 1])
    with pytest.raises(rawgan.CheckpointError, match="There is no whole checkpoint in"):
        quick(out=tmp_path / "other", steps=4, checkpoint_every=1)


def test_a_checkpoint_that_was_cut_short_is_not_said_to_be_kept(tmp_path):
    """Neither where training breaks down nor where the next one cannot be written."""
    out, promise = tmp_path / "run", r"step-00000002.* cut short .*\. The checkpoint of step 1 is kept in "

    def cut(step):
        path = out / "checkpoints" / f"step-{step:08d}.safetensors"
        path.write_bytes(path.read_bytes()[:-1])

    def spoil(run, row):
        if row["step"] == 3:
            cut(2)
            run.generator[2].bias.data[0] = np.inf

    with pytest.raises(rawgan.NonFiniteError, match=r"after step 3 .* is not finite.*" + promise):
        quick("mixture", out=out, steps=4, checkpoint_every=1, callbacks=[spoil])
    with RunDirectory.open(out, writing=True) as run:
        with pytest.raises(rawgan.CheckpointError, match=promise):
            run.save_checkpoint(3, {"w": np.array([None])}, {})
        cut(1)
        cut(0)
        with pytest.raises(rawgan.CheckpointError, match=r"step-00000000.*There is no whole checkpoint in "):
            run.save_checkpoint(3, {"w": np.array([None])}, {})


def test_networks_that_are_bad_from_the_start_promise_no_checkpoint(tmp_path):
    generator, discriminator = two().values()
    generator[0].bias.data[0] = np.nan
    with pytest.raises(rawgan.NonFiniteError, match=r"after step 0 .*There is no whole checkpoint in"):
        rawgan.train(
            generator=generator, discriminator=discriminator, data=POINTS, out=tmp_path / "run", **QUICK
        )


def test_a_runs_path_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = quick(out="here")
    assert run.path == Path(tmp_path, "here").resolve()
    assert rawgan.load("here").path == run.path


def test_viewers_without_animation_show_the_last_frame(tmp_path):
    frames = {}
    for step in (0, 5, 9):
        frames[step] = tmp_path / f"{step}.png"
        Image.new("L", (200, 40), 20 * step).save(frames[step])
    pictures.save_animation(tmp_path / "all.png", frames)
    with Image.open(tmp_path / "all.png") as picture:
        assert picture.default_image
        assert picture.n_frames == 4  # Pillow counts the default image
        shown = [np.asarray(picture.convert("L"))[5, 5] for i in range(4) if not picture.seek(i)]
    assert shown == [180, 0, 100, 180]


def counted_step(change=None):
    """(kernel, weight gradients wanted) of each gradient kernel in one step of a small GAN."""
    recipe = recipes.make("dcgan_cifar10", batch_size=2)
    source = rawgan.data.load(np.zeros((4, 3, 32, 32), np.uint8))
    trainer = Trainer(recipe, source.shape, source)
    calls = []
    original = kernels.Kernel.__call__
    kernels.Kernel.__call__ = lambda self, *a, **k: calls.append(self.name) or original(self, *a, **k)
    try:
        trainer.step()
    finally:
        kernels.Kernel.__call__ = original
    return calls


def test_a_step_computes_no_gradient_that_nobody_reads(monkeypatch):
    """D's on real and on fake images, G's once; none of D's in G's turn, none of G's in D's."""
    lean = counted_step().count("conv2d_weight_grad")
    assert lean == 4 + 4 + 4  # D has 4 convolutions, G 4 transposed ones
    monkeypatch.setattr(nn, "frozen", lambda module: warnings.catch_warnings())
    assert counted_step().count("conv2d_weight_grad") == lean + 4
    monkeypatch.undo()
    monkeypatch.setattr(rawgan.engine.Tensor, "detach", lambda self: self)
    assert counted_step().count("conv2d_weight_grad") == lean + 4


def test_the_keeper_has_no_other_errors_to_forgive():
    with pytest.raises(ZeroDivisionError), keeper.Keeper._dispensable(None, "picture"):
        raise ZeroDivisionError
