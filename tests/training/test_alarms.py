"""What goes wrong while training is said, with its cause and a remedy; what goes well is left in peace."""

import numpy as np
import pytest
from tiny_runs import assert_same, quick, resume, skip_plots

import rawgan
from rawgan import nn
from rawgan.training import alarms
from rawgan.training.alarms import Alarms

POINTS = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    skip_plots(monkeypatch)


def looking_at(run, **row):
    """Alarms of a run that has seen a hundred such rows."""
    made = Alarms(run)
    healthy = {"d_real": 0.6, "d_fake": 0.4, "d_grad_norm": 0.5, "g_grad_norm": 0.5}
    made._first = {name: healthy[name] for name in ("d_grad_norm", "g_grad_norm")}
    for _ in range(alarms.WINDOW):
        made.add(healthy | row)
    return made


def kinds(found):
    return [alarm.kind for alarm in found]


@pytest.fixture(scope="module")
def run():
    return quick("mlp", steps=2, hidden=32, batch_size=64)


def test_a_healthy_run_is_left_in_peace():
    """Of the default settings, some hundred steps."""
    for recipe in ("mlp", "mixture"):
        run = rawgan.train(recipe, steps=600, device="cpu", progress=False, hidden=32)
        assert run.warnings == []


def test_a_discriminator_that_has_won(run):
    (found,) = looking_at(run, d_real=0.998, d_fake=0.002).look()
    assert found.kind == "won"
    assert "real with 0.998 and generated data with 2.0e-03" in found.says
    assert "factor 2.0e-03 (objective 'saturating')" in found.says
    assert "objective='non_saturating'" in found.says
    assert not looking_at(run, d_real=0.98, d_fake=0.002).look()


def test_scores_are_no_probabilities():
    run = quick("mixture", objective="hinge")
    assert not looking_at(run, d_real=5.0, d_fake=-3.0).look()


@pytest.mark.parametrize(("norm", "kind"), [(2e4, "exploding"), (1e-7, "vanishing")])
@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_gradients_out_of_all_proportion(norm, kind, player, run):
    (found,) = looking_at(run, **{f"{player[0]}_grad_norm": norm}).look()
    assert found.kind == kind
    assert f"the gradients of the {player}" in found.says
    assert f"{norm:.1e}" in found.says
    assert f"an element of {player}." in found.says


def test_the_layer_that_is_named_has_the_largest_gradient(run):
    made = looking_at(run, g_grad_norm=1e6)
    for p in run.generator.parameters():
        p.grad = np.zeros_like(p.data)
    run.generator[2].bias.grad[...] = 7.0
    (found,) = made.look()
    assert "an element of generator.2.bias's is 7.0e+00" in found.says


def test_units_that_are_dead():
    run = quick("mlp", hidden=32)
    assert not looking_at(run).look()
    run.generator[2].bias.copy_(np.full(32, -100.0))
    found = looking_at(run).look()
    assert "100% of the units of generator.3 (ReLU) are 0 for all of 64 samples" in found[0].says
    assert kinds(found) == ["dead"]


def test_samples_that_are_alike(run):
    last = run.generator[4]
    before = last.weight.data.copy()
    last.weight.copy_(0 * before)
    assert not looking_at(run).look()  # not at the very beginning
    run.trainer.steps = alarms.SETTLED
    assert kinds(looking_at(run).look()) == ["collapse"]
    last.weight.copy_(before)
    run.trainer.steps = 2


@pytest.mark.parametrize(("pictures", "found"), [(3, ["collapse"]), (64, [])])
def test_a_few_pictures_again_and_again_are_alike(run, monkeypatch, pictures, found):
    """However far from each other they are: those of the data itself."""
    items = run.trainer.source.batch_for(9, 64, 1).reshape(64, -1)
    noise = np.random.default_rng(0).normal(size=items.shape)
    made = looking_at(run)
    monkeypatch.setattr(made, "_samples", lambda: items[np.arange(64) % pictures] + 0.01 * noise)
    monkeypatch.setattr(run.trainer, "steps", alarms.SETTLED)
    assert kinds([alarm for alarm in made.look() if alarm.kind == "collapse"]) == found


def test_modes_that_are_missing():
    run = quick("mixture", hidden=8)
    last = run.generator[4]
    last.weight.copy_(0 * last.weight.data)
    last.bias.copy_(run.trainer.source.centres[2])
    run.trainer.steps = alarms.SETTLED
    (found,) = looking_at(run).look()
    assert "7 of 8 modes are missing: next to nothing is generated near (2.0, 0.0), (1.4, 1.4)" in found.says
    last.bias.copy_([50.0, 50.0])
    assert "8 of 8 modes are missing" in looking_at(run).look()[0].says


def test_the_same_is_not_said_again_at_once(run):
    made = looking_at(run, d_real=0.998, d_fake=0.002)
    assert kinds(made.look()) == ["won"]
    assert made.look() == []
    run.trainer.steps += alarms.PAUSE
    assert "won" in kinds(made.look())
    run.trainer.steps -= alarms.PAUSE


def badly(**more):
    """D learns, G does not, and the real data are easily told apart."""
    rawgan.manual_seed(0)
    G = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 2))
    D = nn.Sequential(nn.Dense(2, 16), nn.LeakyReLU(), nn.Dense(16, 1))
    settings = {"batch_size": 16, "noise": 4, "steps": 400, "device": "cpu", "progress": False}
    rates = {"generator": 1e-9, "discriminator": 0.02}
    return rawgan.train(
        generator=G, discriminator=D, data=POINTS + 50, learning_rate=rates, **settings | more
    )


def test_a_run_that_goes_wrong_says_so_everywhere(tmp_path, capsys):
    run = badly(out=tmp_path / "run", progress=True)
    assert "won" in kinds(run.warnings)
    won = next(alarm for alarm in run.warnings if alarm.kind == "won")
    assert f"step {won.step}: D has won" in capsys.readouterr().out
    lines = (tmp_path / "run" / "warnings.txt").read_text().splitlines()
    assert lines == [f"{a.step}: {a.kind}: {a.says}" for a in run.warnings]


def test_they_can_be_switched_off_and_change_nothing(tmp_path):
    quiet = badly(warnings=False, out=tmp_path / "run")
    assert quiet.warnings == []
    assert not (tmp_path / "run" / "warnings.txt").exists()
    assert_same(quiet, badly())


def test_a_run_that_goes_on_keeps_the_warnings_before(tmp_path):
    file = tmp_path / "run" / "warnings.txt"
    badly(out=tmp_path / "run", checkpoint_every=100)
    first = file.read_text()
    file.write_text("note of mine\n" + first + "9999: of a step that was lost\n")
    networks = badly(steps=1)
    rawgan.train(
        generator=networks.generator,
        discriminator=networks.discriminator,
        data=POINTS + 50,
        out=tmp_path / "run",
        resume=True,
        steps=3000,
        device="cpu",
        progress=False,
    )
    lines = file.read_text().splitlines()
    assert lines[0] == "note of mine"
    assert lines[1 : 1 + len(first.splitlines())] == first.splitlines()
    assert not any(line.startswith("9999") for line in lines)


def test_the_first_steps_are_those_of_the_run_though_it_be_resumed(tmp_path):
    quick("mlp", steps=4, out=tmp_path / "run", callbacks=[lambda run, row: row["step"] == 2])
    made = Alarms(resume(tmp_path / "run"))
    made.add({"d_real": 0.6, "d_fake": 0.4, "d_grad_norm": 0.5, "g_grad_norm": 0.5})
    made.look()
    assert made._first["g_grad_norm"] == np.median(made.run.history["g_grad_norm"])
