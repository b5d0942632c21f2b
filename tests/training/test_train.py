"""`rawgan.train`: every recipe, how long and how often, and nothing that disturbs the result."""

import threading

import numpy as np
import pytest
from PIL import Image
from tiny_runs import TINY, assert_same, quick, skip_plots, weights

import rawgan
from rawgan import data, recipes
from rawgan.training import checkpoint, history

POINTS = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)


@pytest.fixture
def no_plots(monkeypatch):
    skip_plots(monkeypatch)


@pytest.mark.parametrize("recipe", recipes.names())
def test_every_recipe_trains_in_memory(recipe):
    run = quick(recipe)
    assert run.steps == 3
    assert run.path is None
    assert run.stopped is None
    assert tuple(run.history) == run.trainer.recipe.columns()
    assert all(column.shape == (3,) for column in run.history.values())
    assert run.history["step"].tolist() == [1, 2, 3]
    assert all(np.isfinite(column).all() for column in run.history.values())
    chosen = recipes.make(recipe)
    source = chosen.prepare(data.load(TINY[recipe].get("data", chosen.data)))
    assert run.sample(5).shape == (5, *source.shape)


def test_the_table_of_this_file_has_every_recipe():
    assert list(TINY) == recipes.names()


@pytest.mark.parametrize("recipe", recipes.names())
def test_every_recipe_fills_a_run_directory(recipe, tmp_path):
    out = tmp_path / "deep" / "run"
    run = quick(recipe, out=out, sample_every=2, checkpoint_every=2)
    assert run.path == out
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert files == [
        ".lock",
        *(f"checkpoints/step-0000000{step}.safetensors" for step in (0, 2, 3)),
        "config.json",
        "history.csv",
        *(f"plots/{name}.png" for name in ("gradient_norms", "learning", "losses")),
        *(f"samples/step-0000000{step}.png" for step in (2, 3)),
    ]
    for picture in out.rglob("*.png"):
        with Image.open(picture) as image:
            assert min(image.size) >= 48
            image.verify()
    table = np.genfromtxt(out / "history.csv", delimiter=",", names=True)
    for name, values in run.history.items():
        assert table[name].tobytes() == values.astype(float).tobytes()
    arrays, meta = checkpoint.load(out / "checkpoints" / "step-00000003.safetensors")
    assert {name: value.tobytes() for name, value in arrays.items()} == weights(run)
    assert meta["step"] == 3
    assert_same(run, quick(recipe))  # a directory changes nothing


@pytest.mark.dev
def test_pandas_reads_the_history(tmp_path, no_plots):
    pandas = pytest.importorskip("pandas", reason="pandas is one of the development extras")
    run = quick(out=tmp_path / "run")
    frame = pandas.read_csv(tmp_path / "run" / "history.csv")
    assert tuple(frame.columns) == history.COLUMNS
    for name, values in run.history.items():  # older versions round the last digit
        assert np.abs(frame[name] / values - 1).max() <= 1e-15


def test_writing_pictures_and_checkpoints_changes_nothing(tmp_path, no_plots):
    settings = {"data": "digits", "steps": 6}
    often = quick("dcgan_mnist", out=tmp_path / "often", sample_every=1, checkpoint_every=1, **settings)
    never = quick("dcgan_mnist", out=tmp_path / "never", sample_every=99, checkpoint_every=99, **settings)
    assert len(list((tmp_path / "often" / "samples").iterdir())) == 6
    assert len(list((tmp_path / "never" / "samples").iterdir())) == 1
    assert_same(often, never)


def test_sampling_in_a_callback_changes_nothing():
    def look(run, row):
        run.sample(3, seed=int(row["step"]))
        rawgan.rng.current().normal(4)

    assert_same(quick("dcgan_mnist", callbacks=[look]), quick("dcgan_mnist"))


@pytest.mark.parametrize("recipe", recipes.names())
def test_the_seed_decides_everything(recipe):
    rawgan.manual_seed(1)
    first = quick(recipe, seed=7)
    rawgan.manual_seed(2)  # the caller's own stream has no part in it
    again, other = quick(recipe, seed=7), quick(recipe, seed=8)
    assert_same(first, again)
    assert first.sample(4).tobytes() == again.sample(4).tobytes()
    for name, column in first.history.items():
        assert name in ("step", "g_grad_norm") or (column != other.history[name]).all(), name
    assert (first.sample(4) != other.sample(4)).any()


def test_the_callers_random_stream_is_left_alone():
    rawgan.manual_seed(5)
    expected = rawgan.rng.current().normal(3)
    rawgan.manual_seed(5)
    quick("dcgan_mnist")
    assert rawgan.rng.current().normal(3).tobytes() == expected.tobytes()


def test_epochs_are_passes_over_the_data():
    images = np.random.default_rng(0).random((26, 3, 3))
    assert quick(data=images, steps=None, epochs=2).steps == 2 * (26 // 8)
    assert quick(data=images, steps=None, epochs=2, d_steps=2).steps == 26 // 8
    assert quick(data=images, steps=None, epochs=1, d_steps=5).steps == 1  # at least one
    with pytest.raises(rawgan.ConfigError, match="give steps="):
        quick("mixture", steps=None, epochs=1)


def test_the_recipes_own_length_is_the_default():
    images = np.random.default_rng(0).random((8, 2, 2))
    assert quick(data=images, steps=None, hidden=1).steps == recipes.make("mlp").epochs


def test_two_discriminator_steps_see_two_batches():
    seen = []

    class Watched(data.Dataset):
        def batch_for(self, step, *rest, **more):
            seen.append(step)
            return super().batch_for(step, *rest, **more)

    run = quick("mixture", data=Watched("mine", POINTS), d_steps=2)
    assert seen == [0, 1, 2, 3, 4, 5]
    assert np.max(run.trainer.optimizers["discriminator"].steps) == 6
    assert np.max(run.trainer.optimizers["generator"].steps) == 3


def test_each_player_has_its_own_learning_rate():
    both = quick(learning_rate=0.01, optimizer="sgd", steps=1)
    slow = quick(learning_rate={"generator": 0.01, "discriminator": 1e-30}, optimizer="sgd", steps=1)
    start = slow.discriminator.state_dict()
    assert (both.discriminator.state_dict()["1.weight"] != start["1.weight"]).any()
    assert slow.trainer.optimizers["generator"].lr == 0.01
    assert slow.trainer.optimizers["discriminator"].lr == 1e-30
    with pytest.raises(rawgan.ConfigError, match="says nothing for the discriminator"):
        quick(learning_rate={"generator": 0.01})


def test_numpy_numbers_are_numbers(tmp_path, no_plots):
    plain = quick(out=tmp_path / "a", learning_rate=0.5, seed=3)
    settings = {"steps": np.int64(3), "batch_size": np.int32(8), "noise": np.int64(4), "seed": np.uint8(3)}
    run = quick(out=tmp_path / "b", learning_rate=np.float64(0.5), **settings)
    assert_same(plain, run)
    assert (tmp_path / "a" / "config.json").read_bytes() == (tmp_path / "b" / "config.json").read_bytes()


def test_callbacks_are_called_after_each_step_with_the_run_and_the_row():
    seen = []

    def watch(run, row):
        assert run.history["d_loss"][-1] == row["d_loss"]
        seen.append((run.steps, row))

    also = []
    run = quick(callbacks=[watch, lambda *both: also.append(both)])
    assert [steps for steps, _ in seen] == [1, 2, 3]
    assert len(also) == 3
    for steps, row in seen:
        assert row == {name: run.history[name][steps - 1] for name in history.COLUMNS}


@pytest.mark.parametrize("answer", [True, np.True_])
def test_a_callback_that_returns_true_ends_the_training(answer):
    run = quick(steps=9, callbacks=[lambda run, row: answer if row["step"] == 2 else 1])
    assert run.steps == 2
    assert run.stopped == "callback"
    assert len(run.history["step"]) == 2


def test_what_a_callback_raises_comes_out_and_the_checkpoint_stays(tmp_path, no_plots):
    class Mine(Exception):
        pass

    def fail(run, row):
        if row["step"] == 3:
            raise Mine

    with pytest.raises(Mine):
        quick(out=tmp_path / "run", steps=5, checkpoint_every=2, callbacks=[fail])
    run = rawgan.load(tmp_path / "run", device="cpu")
    assert run.steps == 2
    assert_same(quick(out=tmp_path / "run", steps=5, resume=True), quick(steps=5))


def test_what_a_callback_changes_is_saved_with_the_step(tmp_path, no_plots):
    def clip(run, row):
        for p in run.discriminator.parameters():
            p.copy_(p.data.clip(-0.1, 0.1))

    whole = quick(callbacks=[clip], steps=5)
    quick(out=tmp_path / "run", callbacks=[clip], steps=2)
    assert_same(whole, quick(out=tmp_path / "run", resume=True, callbacks=[clip], steps=5))


@pytest.mark.parametrize("recipe", recipes.names())
def test_samples(recipe):
    run = quick(recipe)
    assert run.sample().shape[0] == 64
    assert run.sample(0).shape == (0, *run.trainer.shape)
    many = run.sample(300, seed=1)  # more than are generated at once
    assert many.shape == (300, *run.trainer.shape)
    assert many.dtype == np.float32
    assert many.tobytes() == run.sample(300, seed=1).tobytes()
    assert (many != run.sample(300, seed=2)).any()
    assert len(np.unique(many.reshape(300, -1), axis=0)) > 250  # a tiny net may be flat somewhere
    if many.ndim == 4:
        assert many.min() >= 0
        assert many.max() <= 1
    assert run.generator.training
    for wrong in (-1, 1.5, None):
        with pytest.raises(rawgan.ConfigError, match="whole number"):
            run.sample(wrong)


def test_progress_is_printed_or_not(capfd):
    quick()
    assert capfd.readouterr() == ("", "")
    quick(progress=True)
    out, err = capfd.readouterr()
    assert "step 3/3 (100%)" in out
    assert err == ""


def test_a_device_that_is_not_there_says_so():
    with pytest.raises(rawgan.DeviceError, match="there is no device 'gpu'"):
        quick(device="gpu")
    try:
        rawgan.arrays.resolve("cuda")
    except rawgan.DeviceError:
        with pytest.raises(rawgan.DeviceError, match=r"CuPy|CUDA"):
            quick(device="cuda")


def test_training_works_in_another_thread():
    runs = []
    thread = threading.Thread(target=lambda: runs.append(quick("dcgan_mnist")))
    thread.start()
    thread.join(60)
    assert_same(runs[0], quick("dcgan_mnist"))


def test_the_configuration_says_where_and_how_precisely(tmp_path):
    """Both may be others when the run goes on."""
    with rawgan.use_precision("tf32"):
        run = quick(out=tmp_path / "run")
    assert (run.config["device"], run.config["precision"]) == ("cpu", "tf32")
    rawgan.train(out=tmp_path / "run", resume=True, steps=4, device="cpu", progress=False)
    assert rawgan.load(tmp_path / "run", device="cpu").config["precision"] == "fp32"
