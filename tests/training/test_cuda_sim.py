"""Training with the CUDA kernels on the processor: the run of the CPU's, and runs that change device."""

import numpy as np
import pytest
from tiny_runs import assert_same, quick

import rawgan
from rawgan import recipes
from rawgan.kernels.cuda import host

pytestmark = pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")


@pytest.mark.parametrize("recipe", recipes.names())
def test_every_recipe_is_the_run_of_the_cpu(recipe):
    """Three steps from one seed: the same noise and batches, and losses and norms but for rounding."""
    there, here = quick(recipe, device="cuda-sim"), quick(recipe)
    for name, values in here.history.items():
        np.testing.assert_allclose(there.history[name], values, rtol=2e-5, atol=2e-6, err_msg=name)
    state, wanted = there.trainer.state()[0], here.trainer.state()[0]
    for name, value in wanted.items():
        assert np.abs(state[name] - value).max() <= 1e-4 * (1 + np.abs(value).max()), name
    np.testing.assert_allclose(there.sample(4), here.sample(4), atol=1e-4)


def test_the_same_run_twice_is_the_same_in_every_bit():
    assert_same(quick("dcgan_mnist", device="cuda-sim"), quick("dcgan_mnist", device="cuda-sim"))


def test_a_run_is_resumed_bit_for_bit(tmp_path):
    whole = quick("dcgan_mnist", device="cuda-sim", steps=4, out=tmp_path / "whole", checkpoint_every=2)
    out = tmp_path / "parts"
    quick(
        "dcgan_mnist",
        device="cuda-sim",
        steps=4,
        out=out,
        checkpoint_every=2,
        callbacks=[lambda run, row: row["step"] == 2],
    )
    assert_same(rawgan.train(out=out, resume=True, device="cuda-sim", progress=False), whole)


@pytest.mark.parametrize(("first", "second"), [("cpu", "cuda-sim"), ("cuda-sim", "cpu")])
def test_a_run_goes_on_on_another_device(first, second, tmp_path):
    out, stop = tmp_path / "run", [lambda run, row: row["step"] == 2]
    quick("mlp", device=first, steps=4, out=out, checkpoint_every=2, callbacks=stop)
    gone_on = rawgan.train(out=out, resume=True, device=second, progress=False)
    assert gone_on.history["step"].tolist() == [1, 2, 3, 4]
    alone = quick("mlp", steps=4)
    for name, values in alone.history.items():
        np.testing.assert_allclose(gone_on.history[name], values, rtol=2e-5, atol=2e-6, err_msg=name)


def test_networks_move_between_devices():
    net = rawgan.nn.Sequential(rawgan.nn.Dense(3, 4), rawgan.nn.BatchNorm(4), rawgan.nn.ReLU())
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    here = net(rawgan.tensor(x))
    net.to("cuda-sim")
    with rawgan.use_device("cuda-sim"):
        there = net(rawgan.tensor(x))
    assert there.device == "cuda-sim"
    assert all(p.device == "cuda-sim" for p in net.parameters())
    np.testing.assert_allclose(there.numpy(), here.numpy(), atol=1e-5)
    assert net.to("cpu").parameters()[0].device == "cpu"


def test_no_compiler_is_a_device_error_that_names_a_package(monkeypatch):
    monkeypatch.setattr(host.shutil, "which", lambda name: None)
    host.compiler.cache_clear()
    try:
        with pytest.raises(rawgan.DeviceError, match=r"finds no C\+\+ compiler; install g\+\+"):
            quick("mlp", device="cuda-sim")
    finally:
        host.compiler.cache_clear()
