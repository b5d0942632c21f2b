"""Gradient norms of trainings, with and without: what is kept, and that it is taken before any clipping."""

import numpy as np
import pytest

from rawgan import data, nn
from rawgan.bench import document, norms, plot, tables
from rawgan.kernels.errors import ConfigError
from rawgan.training.step import Trainer

DIGITS = data.load("digits")


def trainer(seed=0, **settings):
    settings = {"batch_size": 16, "hidden": 8} | settings
    return Trainer(norms.Perceptrons(**settings), DIGITS.shape, DIGITS, seed)


def test_the_plain_setting_is_the_recipe_mlp():
    plain = Trainer(norms.recipes.make("mlp", batch_size=16), DIGITS.shape, DIGITS, 0)
    own = trainer(hidden=128, clip_norm_each={"generator": 1.0})
    assert [plain.step() for _ in range(3)] == [own.step() for _ in range(3)]


@pytest.mark.parametrize("method", norms.METHODS)
def test_methods_change_the_networks_and_nothing_else(method):
    """What every method starts from are the same weights of the same layers."""
    plain, own = trainer(layers=3), trainer(layers=3, **norms.METHODS[method])
    for player in norms.PLAYERS:
        pairs = [
            [layer.weight.numpy() for layer in t.networks[player] if isinstance(layer, nn.Dense)]
            for t in (plain, own)
        ]
        for a, b in zip(*pairs, strict=True):
            np.testing.assert_array_equal(a, b)
    kinds = {type(layer).__name__ for player in norms.PLAYERS for layer in own.networks[player]}
    assert ("Dropout" in kinds) == (method == "dropout")
    assert ("BatchNorm" in kinds) == (method == "batch normalisation")
    first = next(layer for layer in own.discriminator.layers if isinstance(layer, nn.BatchNorm | nn.ReLU))
    assert isinstance(first, nn.ReLU)  # none where D sees the data


def test_norms_are_those_of_the_history_before_clipping():
    own, watched = trainer(clip_norm_each=1e-3), norms.Watched(trainer(clip_norm_each=1e-3), 5)
    rows = [own.step() for _ in range(5)]
    for player in norms.PLAYERS:
        wanted = [row[f"{player[0]}_grad_norm"] for row in rows]
        np.testing.assert_allclose(watched.norms[player], wanted, rtol=1e-5)
        assert watched.layers[player].shape == (5, 3)
        assert (watched.norms[player] > 0.005).all()  # of six parameters of 0.001 each: 0.0025
    np.testing.assert_allclose(watched.answers[:, 0], [row["d_real"] for row in rows], rtol=1e-6)


def test_clipping_is_counted_in_parameters_and_steps():
    assert not norms.Watched(trainer(), 3).cut.any()
    assert norms.Watched(trainer(gain=1.5, layers=8, hidden=128), 3).cut.any()


def test_default_weights_of_many_layers_make_gradients_vanish_and_batch_normalisation_does_not():
    """The premise of the experiment: layer 1 has a hundredth of the last layer's, or as much."""
    plain, normal = (norms.Watched(trainer(layers=8, hidden=32, normalise=n), 3) for n in (False, True))
    depth = [np.median(w.layers["generator"][:, 0] / w.layers["generator"][:, -1]) for w in (plain, normal)]
    assert depth[0] < 0.05
    assert depth[1] > 0.5


def test_what_is_no_longer_finite_ends_the_training():
    watched = norms.Watched(trainer(gain=1e30, layers=4), 20)
    assert len(watched.norms["generator"]) < 20


def test_a_curve_goes_on_with_the_seeds_that_do():
    curve = norms.over_steps([np.full(600, 1.0), np.full(300, 3.0)], 600)
    assert len(curve["x"]) == norms.WINDOWS
    assert curve["x"][0] == 5.5
    assert (curve["median"][0], curve["low"][0], curve["high"][0]) == (2.0, 1.0, 3.0)
    assert (curve["median"][-1], curve["low"][-1], curve["high"][-1]) == (1.0, 1.0, 1.0)
    assert len(norms.over_steps([np.full(300, 3.0)], 600)["x"]) == norms.WINDOWS // 2


def test_from_a_run_to_the_file_the_table_and_the_picture(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(norms, "METHODS", {name: norms.METHODS[name] for name in ("none", "dropout")})
    monkeypatch.setattr(norms, "SAMPLES", 100)
    found = norms.run(["8 hidden layers"], seeds=(0, 1), steps=80)
    assert [row["case"] for row in found["rows"]] == ["none", "dropout"]
    for row in found["rows"]:
        assert {len(values) for values in row["figures"]["cpu"].values()} == {2}
        assert len(row["curves"]["generator, by layer, first"]["x"]) == 9
        assert set(plot.NORMS) <= row["curves"].keys()
    document.write(tmp_path / "a.json", found)
    assert document.read(tmp_path / "a.json") == found
    tables.show(found)
    assert "8 hidden layers" in capsys.readouterr().out
    (path,) = plot.draw(found, tmp_path, "a")
    assert path.name == "a-curves.png"


def test_what_cannot_be_done_is_told():
    with pytest.raises(ConfigError, match="no setting '8 layers'"):
        norms.run(["8 layers"])
    with pytest.raises(ConfigError, match="at least 80 steps"):
        norms.run(steps=79)
