"""The moving average of G's weights: the textbook recursion, and what samples are made with."""

import numpy as np
import pytest
from tiny_runs import assert_same, outcome, quick, resume, skip_plots, stop_at

import rawgan
from rawgan import data, nn, no_grad, recipes, rng
from rawgan.kernels.errors import CheckpointError
from rawgan.training.average import Average, standing_statistics
from rawgan.training.step import Trainer


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    skip_plots(monkeypatch)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_recursion(decay):
    """Once for each update of G, however many D has; as a sum, a_n = dⁿ θ₀ + (1 − d) Σ dⁿ⁻ⁱ θᵢ."""
    recipe = recipes.make("mixture", hidden=4, batch_size=8, average=decay, d_steps=2, learning_rate=0.01)
    trainer = Trainer(recipe, (2,), data.load("ring"), seed=3)
    weights = [[p.data.astype(np.float64) for p in trainer.generator.parameters()]]
    for _ in range(6):
        trainer.step()
        weights.append([p.data.astype(np.float64) for p in trainer.generator.parameters()])
    shares = [decay**6, *((1 - decay) * decay ** (6 - i) for i in range(1, 7))]
    assert abs(sum(shares) - 1) <= 1e-12
    for i, value in enumerate(trainer.average.values):
        wanted = sum(share * w[i] for share, w in zip(shares, weights, strict=True))
        assert value.dtype == np.float32
        assert np.max(np.abs(value - wanted)) <= 1e-6
        assert decay == 0.0 or np.max(np.abs(value - weights[-1][i])) > 1e-4


@pytest.mark.parametrize("recipe", ["mixture", "dcgan_mnist", "vae"])
def test_samples_are_made_with_it(recipe):
    run = quick(recipe, average=0.8, steps=5)
    G, values = run.generator, run.trainer.average.values
    own = [p.data for p in G.parameters()]
    z = rng.Generator(4).normal((10, 4))
    found = run.trainer.generate(z)
    assert all(p.data is before for p, before in zip(G.parameters(), own, strict=True))
    raw = quick(recipe, steps=5)
    assert_same_but_for_the_average(run, raw)
    assert np.max(np.abs(found - raw.trainer.generate(z))) > 1e-6
    for p, value in zip(raw.generator.parameters(), values, strict=True):
        p.copy_(value)
    with standing_statistics(raw.generator.eval(), 4):
        np.testing.assert_array_equal(found, raw.trainer.generate(z))
    sampled = run.sample(8)
    run.trainer.average = None
    assert not np.array_equal(sampled, run.sample(8))


def test_statistics_are_those_of_the_averaged_weights(monkeypatch):
    """The mean over batches of each one's mean and unbiased variance, and gone when the samples are made."""
    dense, norm = nn.Dense(3, 5), nn.BatchNorm(5, momentum=0.3)
    network = nn.Sequential(dense, nn.Dropout(0.5), norm, nn.ReLU()).eval()
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, x: 1 / 0 if self.training else x)
    mean, variance = norm.running_mean, norm.running_var
    stream = rng.Generator(0).spawn("standing statistics")
    batches = [dense(stream.normal((64, 3))).numpy().astype(np.float64) for _ in range(5)]
    with standing_statistics(network, 3, batches=5, size=64):
        assert not norm.training
        assert np.max(np.abs(norm.running_mean - np.mean([b.mean(axis=0) for b in batches], axis=0))) <= 1e-6
        expected = np.mean([b.var(axis=0, ddof=1) for b in batches], axis=0)
        assert np.max(np.abs(norm.running_var - expected)) <= 1e-6
    assert norm.running_mean is mean
    assert norm.running_var is variance
    assert (norm.momentum, norm.training) == (0.3, False)


def test_samples_of_averaged_weights_are_normalised(tmp_path):
    """After a few steps the running statistics are still far from the activations'; the samples are not."""
    run = quick("dcgan_mnist", average=0.999, steps=3, out=tmp_path / "run")
    z = rng.Generator(4).normal((256, 4))
    found = run.trainer.generate(z)
    G = run.generator
    with run.trainer.average.in_use(), no_grad():
        fitting = (G.train()(z).numpy() + 1) / 2  # by the batch's own statistics
        stale = (G.eval()(z).numpy() + 1) / 2
    assert np.abs(found - fitting).mean() <= 0.2 * np.abs(stale - fitting).mean()
    again = rawgan.load(tmp_path / "run", device="cpu")
    np.testing.assert_array_equal(found, again.trainer.generate(z))


def assert_same_but_for_the_average(run, raw):
    with_it, without = run.trainer.state()[0], raw.trainer.state()[0]
    assert {name for name in with_it if name not in without} == {
        f"average.{i}" for i in range(len(run.trainer.average.values))
    }
    for name, value in without.items():
        np.testing.assert_array_equal(value, with_it[name])


def test_it_is_saved_and_loaded_bit_for_bit(tmp_path):
    run = quick("mixture", average=0.9, steps=4)
    run.save(tmp_path / "saved.safetensors")
    again = rawgan.load(tmp_path / "saved.safetensors", device="cpu")
    for a, b in zip(run.trainer.average.values, again.trainer.average.values, strict=True):
        assert a.tobytes() == b.tobytes()
    np.testing.assert_array_equal(run.sample(16), again.sample(16))


def test_a_run_with_it_resumes_bit_for_bit(tmp_path):
    whole = quick("mlp", average=0.9, steps=6, out=tmp_path / "whole")
    quick("mlp", average=0.9, steps=6, out=tmp_path / "parts", callbacks=stop_at(1, 4))
    resume(tmp_path / "parts", callbacks=stop_at(1, 4))
    assert_same(whole, resume(tmp_path / "parts"))
    assert outcome(tmp_path / "whole") == outcome(tmp_path / "parts")


def test_a_state_of_other_weights_changes_nothing():
    w = rawgan.tensor([1.0, 2.0], requires_grad=True)
    average = Average([w], 0.5)
    for wrong in ({}, {"0": np.zeros(3)}, {"0": np.zeros(2), "1": np.zeros(2)}):
        with pytest.raises(CheckpointError, match=r"average has arrays of shapes \{'0': \(2,\)\}"):
            average.load_state_dict(wrong)
    assert average.values[0].tolist() == [1.0, 2.0]
    average.load_state_dict({"0": np.array([5.0, 6.0], np.float32)})
    assert average.values[0].tolist() == [5.0, 6.0]
