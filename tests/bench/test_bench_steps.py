"""Whole steps: the same networks, the same work, counted and blank where something is missing."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from rawgan import kernels
from rawgan.bench import document, growth, memory, steps, tape
from rawgan.bench import plot as pictures
from rawgan.kernels.errors import ConfigError

every_recipe = pytest.mark.parametrize("name", steps.TIMED)


@every_recipe
def test_every_recipe_can_be_set_up(name):
    with kernels.use_kernels("reference"):
        ours = steps.trainer(name, batch=4)
    assert ours.recipe.batch_size == 4
    clips = [ours.recipe.for_player(key, "generator") for key in ("clip_norm", "clip_norm_each")]
    assert sum(clip is not None for clip in clips) == 1
    assert ours.real_batch(0).shape == (4, *ours.shape)


def test_the_operations_of_a_step_are_counted_by_hand():
    """G 16-128-128-2, D 2-128-128-1: each layer thrice in G, 8 times in D, fewer for what nobody wants."""
    ours = steps.trainer("mixture", batch=10)
    g, d = [16 * 128, 128 * 128, 128 * 2], [2 * 128, 128 * 128, 128]
    count = 2 * g[0] + 3 * (g[1] + g[2]) + 6 * d[0] + 8 * (d[1] + d[2])
    assert steps.direct(ours) == {"convolutions": 0.0, "dense": 2 * 10 * count}


def test_the_convolutions_of_a_step_are_counted_by_hand():
    with kernels.use_kernels("reference"):
        ours = steps.trainer("dcgan_mnist", batch=2, width=1 / 16)
    assert ours.recipe.width == 4
    g = [16 * 8 * 25 * 49, 8 * 4 * 25 * 49, 4 * 1 * 25 * 196]  # inputs times outputs times taps times places
    d = [1 * 4 * 25 * 196, 4 * 8 * 25 * 49]
    dense = 2 * 100 * 16 * 49 + 8 * 8 * 49
    expected = 3 * sum(g) + 6 * d[0] + 8 * d[1]
    assert steps.direct(ours) == {"convolutions": 2 * 2 * expected, "dense": 2 * 2 * dense}


@pytest.mark.parametrize("kind", ["plain", "train"])
def test_a_step_changes_both_players(kind):
    with kernels.use_kernels("reference"):
        ours = steps.trainer("mixture", batch=8)
        before = [p.numpy().copy() for n in (ours.generator, ours.discriminator) for p in n.parameters()]
        losses = steps.plain_step(ours)() if kind == "plain" else ours.step()
    after = [p.numpy() for n in (ours.generator, ours.discriminator) for p in n.parameters()]
    assert all((a != b).any() for a, b in zip(before, after, strict=True))
    values = losses if kind == "plain" else losses.values()
    assert all(np.isfinite(v) for v in values)
    assert all(p.requires_grad for p in ours.discriminator.parameters())


def test_all_recipes_in_one_document(no_torch):
    found = steps.run(
        ["reference"], ["torch", "torch.compile"], only=["mixture", "mlp"], batch=4, seconds=1e-3
    )
    assert [r["name"] for r in found["rows"]] == ["mixture", "mlp"]
    assert found["missing"] == {"torch": "not installed", "torch.compile": "not installed"}
    for r in found["rows"]:
        assert set(r["times"]) == {"reference", "reference train"}
        assert r["case"] == "batch 4"
        assert r["flops"] > 0
    assert document._fault(json.loads(json.dumps(found))) is None


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="no recipe 'dcgan_minst'; did you mean 'dcgan_mnist'"):
        steps.run(only=["dcgan_minst"])
    with pytest.raises(ConfigError, match="no axis 'widht'; did you mean 'width'"):
        growth.run("mlp", only=["widht"])
    with pytest.raises(ConfigError, match="no recipe 'ml'"):
        growth.run("ml")


def test_growth_walks_the_axes_that_a_recipe_has(monkeypatch, tmp_path):
    monkeypatch.setattr(growth, "AXES", {"batch": (2, 256), "width": (0.25, 1), "size": (28, 32)})
    with kernels.use_kernels("reference"):
        found = growth.run("mixture", "reference", seconds=1e-3)
    assert [(r["part"], r["value"], r["own"]) for r in found["rows"]] == [
        ("batch", 2, False),
        ("batch", 256, True),
        ("width", 0.25, False),
        ("width", 1, True),
    ]
    flops = {r["case"]: r["flops"] for r in found["rows"]}
    assert flops["batch 256"] == 128 * flops["batch 2"] == flops["width 1"]
    assert document._fault(json.loads(json.dumps(found))) is None
    assert pictures.draw(found, tmp_path, "g") == [tmp_path / "g-curves.png"]


def test_pictures_grow_where_the_recipe_takes_them_of_any_size():
    with kernels.use_kernels("reference"):
        assert steps.trainer("dcgan_mnist", batch=2, width=1 / 64, size=32).shape == (1, 32, 32)
        with pytest.raises(ConfigError, match="takes 32x32 pictures"):
            steps.trainer("dcgan_cifar10", batch=2, size=28)


def test_the_tape_has_a_price():
    found = tape.run(seconds=1e-3)
    assert found["what"] == "tape"
    assert len(found["rows"]) == 5
    assert document._fault(json.loads(json.dumps(found))) is None


def test_memory_is_measured_in_a_process_of_its_own():
    found = memory.peaks("mixture", 4, ["cpu"], steps=6)
    assert set(found) == {"cpu"}
    assert 0 < found["cpu"]["before"] <= found["cpu"]["peak"] + 1
    assert set(found["cpu"]) == {"before", "peak", "growth"}


def test_a_side_without_a_result_says_why(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nMemoryError: no more")
    monkeypatch.setattr(memory.subprocess, "run", lambda *a, **k: failed)
    assert memory.peaks("mlp", None, ["cpu"]) == {"cpu": {"missing": "MemoryError: no more"}}


def test_the_size_of_this_process_is_known():
    assert memory.status("VmHWM") >= memory.status("VmRSS") > 10


@pytest.mark.torch
@every_recipe
def test_the_twin_computes_the_same(name):
    torch = pytest.importorskip("torch")
    from rawgan.bench import twins

    with kernels.use_kernels("reference"):
        ours = steps.trainer(name, batch=3, width=1 / 16)
        rng = np.random.default_rng(0)
        z = rng.standard_normal((3, ours.recipe.noise)).astype(np.float32)
        for network, x in ((ours.generator.eval(), z), (ours.discriminator.eval(), ours.real_batch(0))):
            twin = twins.twin(network).eval()
            with torch.no_grad():
                theirs = twin(torch.from_numpy(np.ascontiguousarray(x))).numpy()
            mine = network(x)
            mine = mine if isinstance(mine, np.ndarray) else mine.numpy()
            assert np.abs(mine - theirs).max() <= 1e-5 * max(1.0, np.abs(mine).max())
            names = [key for key in twin.state_dict() if not key.endswith("num_batches_tracked")]
            assert names == [*network.state_dict()]


@pytest.mark.torch
def test_the_twin_takes_the_same_step(monkeypatch):
    """From the same weights, batches and noise, G's and D's losses stay together for some steps."""
    torch = pytest.importorskip("torch")
    from rawgan.bench import twins

    with kernels.use_kernels("reference"):
        ours, other = (steps.trainer("mixture", batch=32) for _ in range(2))
        noise = [np.random.default_rng(i).standard_normal((32, 16)).astype(np.float32) for i in range(5)]
        mine, z = steps.plain_step(ours), iter(noise)
        draw = steps.rng.Generator.normal

        def normal(self, shape, **more):
            return next(z) if shape == (32, 16) else draw(self, shape, **more)

        monkeypatch.setattr(steps.rng.Generator, "normal", normal)
        losses = [mine() for _ in noise]
        z_too = iter(noise)
        monkeypatch.setattr(torch, "randn", lambda *shape, device: torch.from_numpy(next(z_too)))
        theirs = twins.step(other)
        assert np.abs(np.array([theirs() for _ in noise]) - losses).max() <= 1e-4


@pytest.mark.torch
def test_a_compiler_that_fails_is_a_blank_cell_with_a_word_why(monkeypatch):
    torch = pytest.importorskip("torch")

    def broken(network, mode):
        raise RuntimeError("no C++ compiler\nwas found")

    monkeypatch.setattr(torch, "compile", broken)
    found = steps.run(["reference"], ["torch", "torch.compile"], only=["mixture"], batch=4, seconds=1e-3)
    (r,) = found["rows"]
    assert r["missing"] == {"torch.compile": "RuntimeError: no C++ compiler was found"}
    assert set(r["times"]) == {"reference", "reference train", "torch"}


@pytest.mark.torch
def test_pytorchs_process_does_not_carry_our_compiler():
    pytest.importorskip("torch")
    code = (
        "import sys; from rawgan.bench import memory; memory.measure('mixture', 'torch', 4, 2);"
        "print('numba' in sys.modules)"
    )
    environment = {**os.environ, "RAWGAN_NUM_THREADS": "1"}  # PyTorch's threads wait long on a busy machine
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "False\n", done.stderr
