"""Steps captured on a GPU that is not the current one, by a stand-in for CuPy that is as strict as CuPy."""

import sys

import fake_cupy
import numpy as np
import pytest
from tiny_runs import assert_same, quick, stop_at

import rawgan
from rawgan import nn, ops, recipes
from rawgan.kernels.cuda import host
from rawgan.training import recorded

pytestmark = [
    pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler"),
    pytest.mark.filterwarnings("error"),  # of a step that cannot be captured
]


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy.make(2))
    yield
    assert fake_cupy.STATE.current == 0


@pytest.fixture
def made(monkeypatch):
    """The recordings that are made."""
    found, make = [], recorded.Recorded.__init__

    def note(self, *given):
        make(self, *given)
        found.append(self)

    monkeypatch.setattr(recorded.Recorded, "__init__", note)
    return found


@pytest.mark.parametrize("recipe", recipes.names())
def test_every_recipe_is_captured_and_is_the_run_of_cuda_sim(recipe, made):
    run = quick(recipe, device="cuda:1", steps=6)
    assert [r.done for r in made] == [4]
    assert_same(run, quick(recipe, device="cuda-sim", steps=6))


@pytest.mark.parametrize("divergence", rawgan.losses.CONJUGATES)
def test_games_of_two_objectives_are_captured(divergence, made):
    settings = {"conjugate": 0.5, "divergence": divergence, "r1": 0.1, "steps": 6}
    run = quick("mixture", device="cuda:1", **settings)
    assert [r.done for r in made] == [4]
    assert_same(run, quick("mixture", device="cuda-sim", **settings))


@pytest.mark.parametrize(
    ("first", "second"), [("cpu", "cuda:1"), ("cuda:1", "cpu"), ("cuda", "cuda:1"), ("cuda:1", "cuda-sim")]
)
def test_a_run_goes_on_on_another_device(first, second, tmp_path):
    out = tmp_path / "run"
    quick(device=first, steps=8, out=out, checkpoint_every=4, callbacks=stop_at(4))
    gone_on = rawgan.train(out=out, resume=True, device=second, progress=False)
    alone = quick(steps=8)
    for name, values in alone.history.items():
        np.testing.assert_allclose(gone_on.history[name], values, rtol=2e-5, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("change", ["learning rate", "data"])
def test_the_next_recording_finds_the_data_on_the_device(change, made):
    def callback(run, row):
        if row["step"] == 5 and change == "data":
            run.trainer.source = rawgan.data.load(np.zeros((50, 1, 8, 8), np.uint8))
        elif row["step"] == 5:
            run.trainer.optimizers["generator"].lr = 0.1

    runs = [quick(device=device, steps=12, callbacks=[callback]) for device in ("cuda:1", "cuda-sim", "cpu")]
    assert [r.done for r in made] == [3, 3] * 2
    assert (made[0]._stage._items is made[1]._stage._items) == (change == "learning rate")
    assert_same(*runs[:2])
    for name, values in runs[2].history.items():
        np.testing.assert_allclose(runs[0].history[name], values, rtol=2e-5, atol=2e-6, err_msg=name)


class Growing(nn.Module):
    def forward(self, x):
        return ops.exp(ops.exp(x))


class Asking(nn.Module):
    """Sends a number of the host's in every step."""

    def forward(self, x):
        return x * rawgan.tensor(2.0)


def own(device, layer):
    rawgan.manual_seed(0)
    G = nn.Sequential(nn.Dense(4, 8), layer, nn.Dense(8, 2))
    D = nn.Sequential(nn.Dense(2, 8), nn.LeakyReLU(), nn.Dense(8, 1))
    points = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    settings = {"batch_size": 8, "noise": 4, "steps": 30, "learning_rate": 0.5, "progress": False}
    return rawgan.train(generator=G, discriminator=D, data=points, device=device, **settings)


def test_a_number_that_is_not_finite_is_named_as_on_cuda_sim(made):
    said = []
    for device in ("cuda:1", "cuda-sim"):
        with pytest.raises(rawgan.NonFiniteError, match="exp") as error:
            own(device, Growing())
        said.append(str(error.value))
    assert said[0] == said[1]
    assert len(made) == 2


def test_what_cannot_be_captured_is_done_step_by_step(made):
    runs = []
    for device in ("cuda:1", "cuda-sim"):
        with pytest.warns(UserWarning, match="operation by operation, as its steps cannot be replayed"):
            runs.append(own(device, Asking()))
    assert not made
    assert_same(*runs)
