"""The ring's protocol: what a true sampler gets, what PyTorch's side is, and when a bound is reached."""

import math

import numpy as np
import pytest

from rawgan import data, rng
from rawgan.bench import document, ring, steps, tables
from rawgan.kernels.errors import ConfigError

RING = data.load("ring")
POINTS = RING.sample(50_000, rng.Generator(0))


def samples(sigma=0.1, modes=8, count=20_000):
    """Of a ring that is narrower, or has lost modes."""
    noise = rng.Generator(1).normal((count, 2))
    return RING.centres[np.arange(count) % modes] + np.float32(sigma) * noise


def test_a_true_sampler_has_a_spread_of_one_and_all_modes():
    found = ring.measures(POINTS, RING)
    assert found["modes"] == 8
    assert abs(found["valid"] - 98.89) <= 0.2
    assert abs(found["spread"] - 1) <= 0.01
    assert found["total_variation"] <= 0.02


def test_too_narrow_modes_are_seen_by_more_valid_samples_and_less_spread():
    found = ring.measures(samples(sigma=0.05), RING)
    assert found["valid"] > 99.99
    assert abs(found["spread"] - 0.5 / math.sqrt(1 - 4.5 * math.exp(-4.5) / (1 - math.exp(-4.5)))) <= 0.01


def test_lost_modes_are_seen():
    found = ring.measures(samples(modes=2), RING)
    assert found["modes"] == 2
    assert abs(found["total_variation"] - 0.75) <= 0.02


def test_where_nothing_is_valid_the_spread_is_0():
    assert ring.measures(np.full((100, 2), 9.0, np.float32), RING)["spread"] == 0


def test_a_run_without_pytorch_says_so(no_torch, tmp_path, capsys):
    found = ring.run(["torch"], seeds=(3,), packs=(2,), length=2, seconds=1e-3)
    (row,) = found["rows"]
    assert row["case"] == "pack 2"
    assert row["figures"].keys() == {"cpu", "true sampler"}
    assert row["times"].keys() == {"cpu", "cpu train"}
    assert all(len(values) == 1 for values in row["figures"]["cpu"].values())
    document.write(tmp_path / "a.json", found)
    assert document.read(tmp_path / "a.json") == found
    tables.show(found)
    assert "torch: not installed" in capsys.readouterr().out


def test_one_seed_gives_one_result():
    twice = [ring.run(seeds=(5,), packs=(1,), only=["quality"], length=20)["rows"] for _ in range(2)]
    assert twice[0] == twice[1]
    assert twice[0] != ring.run(seeds=(6,), packs=(1,), only=["quality"], length=20)["rows"]


@pytest.mark.parametrize("pack", [1, 2])
def test_the_plain_step_packs_as_the_trainers_own(pack):
    """From equal states, on equal noise, one step of either leaves the same weights."""
    recipe = ring.recipes.make("mixture", pack=pack, batch_size=8)
    a, b = (ring._trainer(recipe, 0) for _ in range(2))
    b.noise.set_state(rng.Generator(0).state())  # what the plain loop draws from
    steps.plain_step(a)()
    b.step()
    for p, q in zip(a.discriminator.parameters(), b.discriminator.parameters(), strict=True):
        assert np.abs(p.numpy() - q.numpy()).max() <= 1e-6


@pytest.mark.torch
@pytest.mark.parametrize("pack", [1, 2])
def test_pytorchs_side_does_the_same_step(pack, monkeypatch):
    torch = pytest.importorskip("torch")
    from rawgan.bench import twins

    recipe = ring.recipes.make("mixture", pack=pack, batch_size=8)
    ours = ring._trainer(recipe, 0)
    z = rng.Generator(ours.noise.key).normal((8, recipe.noise))
    monkeypatch.setattr(torch, "randn", lambda *shape, device: torch.from_numpy(z))
    networks = twins.players(ours)
    losses = twins.step(ours, networks=networks)()
    row = ours.step()
    assert abs(losses[0].item() - row["d_loss"]) <= 1e-5
    assert abs(losses[1].item() - row["g_loss"]) <= 1e-5
    for theirs, own in zip(networks, (ours.generator, ours.discriminator), strict=True):
        for p, q in zip(theirs.parameters(), own.parameters(), strict=True):
            assert np.abs(p.detach().numpy() - q.numpy()).max() <= 1e-5


@pytest.mark.torch
def test_beside_pytorch_every_side_is_judged_and_timed():
    pytest.importorskip("torch")
    found = ring.run(["torch"], seeds=(0, 1), packs=(1,), length=2, seconds=1e-3)
    (row,) = found["rows"]
    assert row["figures"].keys() == {"cpu", "torch", "true sampler"}
    assert row["times"].keys() == {"cpu", "cpu train", "torch"}
    assert found["settings"]["steps"] == 2
    assert "torch" in found["settings"]


def row(ours, theirs, speed=3.0):
    figures = {"cpu": {"modes": ours}, "torch": {"modes": theirs}}
    times = {"cpu": {"median_ms": 1.0}, "torch": {"median_ms": speed}}
    return {"case": "pack 1", "figures": figures, "times": times}


@pytest.mark.parametrize(
    ("ours", "theirs", "reached"),
    [
        ([8, 8], [7, 8], True),  # better
        ([7, 7], [7, 8], True),  # PyTorch's 7.5 with a standard error of 0.5: 6.5 is the least
        ([6, 7], [7, 8], True),
        ([6, 6], [7, 8], False),
        ([7, 7], [8, 8], False),  # without spread nothing may be lost
    ],
)
def test_two_standard_errors_below_pytorchs_mean_are_the_bound(ours, theirs, reached):
    line, _ = ring.verdict(row(ours, theirs))
    assert line.endswith(": reached" if reached else ": not reached")
    less = {
        "cpu": {"total_variation": [-v for v in ours]},
        "torch": {"total_variation": [-v for v in theirs]},
    }
    (line,) = ring.verdict({"case": "", "figures": less, "times": {}})  # where less is better
    assert line.endswith(": reached" if reached else ": not reached")


def test_thrice_as_fast_is_the_bound():
    assert ring.verdict(row([8], [8], 3.0))[-1].endswith(": reached")
    assert ring.verdict(row([8], [8], 2.99))[-1].endswith(": not reached")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"only": ["speeds"]}, "no part 'speeds'; did you mean 'speed'"),
        ({"seeds": (1, 1)}, "different whole numbers"),
        ({"seeds": (-1,)}, "different whole numbers"),
    ],
)
def test_what_cannot_be_done_is_told(given, message):
    with pytest.raises(ConfigError, match=message):
        ring.run(**given)
