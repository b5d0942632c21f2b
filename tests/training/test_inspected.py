"""A past step is replayed bit for bit, with phases, terms and updates."""

import numpy as np
import pytest
from tiny_runs import QUICK, TINY, quick

import rawgan
from rawgan import inspect, nn, recipes
from rawgan.inspect.ledger import norm
from rawgan.kernels.cuda import host
from rawgan.kernels.errors import CheckpointError, ConfigError


@pytest.mark.parametrize("recipe", recipes.names())
def test_every_recipes_step_is_recorded_as_it_was_trained(recipe):
    """The row of the history, and the weights after the step; gradients add up by terms."""
    run = quick(recipe, steps=2)
    tape = run.inspect(step=3)
    more = quick(recipe, steps=3)
    row = {name: float(values[-1]) for name, values in more.history.items()}
    assert {name: tape.about["row"][name] for name in row} == row
    state = more.trainer.state()[0]
    updated = {name: update for turn in tape.turns for name, update in turn.parameters.items()}
    for name, update in updated.items():
        assert update.after.tobytes() == state[name].tobytes(), name
        found = tape.ledger(update.node)
        assert found.rest <= 2e-5, (name, found)
        assert len(found.parts) >= 1
    assert run.steps == 2, "the run itself is left alone"


@pytest.mark.parametrize("more", [{"dropout": 0.3}, {"d_steps": 3}])
def test_a_penalty_behind_dropout_has_the_bits_of_the_training(more):
    run = quick("wgan_gp", steps=2, **more)
    whole = quick("wgan_gp", steps=3, **more)
    tape = run.inspect(step=3)
    assert {**tape.about["row"]} == {name: float(values[-1]) for name, values in whole.history.items()}
    assert {"real", "fake", "gradient_penalty"} == tape.turns[0].terms.keys()
    assert [turn.player for turn in tape.turns] == ["discriminator"] * more.get("d_steps", 2) + ["generator"]


def test_past_steps_from_checkpoints_and_from_the_beginning(tmp_path):
    run = quick("mixture", steps=9, out=tmp_path / "run", checkpoint_every=4)
    kept = sorted(int(path.stem[5:]) for path in (tmp_path / "run/checkpoints").iterdir())
    assert kept == [4, 8, 9]
    for loaded in (run, rawgan.load(tmp_path / "run", device="cpu")):
        for step in (1, 4, 5, 9, 10):
            tape = loaded.inspect(step=step)
            assert tape.about["step"] == step
            assert tape.about["as_trained"] is (True if step <= 9 else None)
            if step <= 9:
                row = {name: values[step - 1] for name, values in run.history.items()}
                assert {name: tape.about["row"][name] for name in row} == row
    files = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    rawgan.load(tmp_path / "run", device="cpu").inspect(step=3)
    assert files == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_what_callbacks_changed_is_noticed():
    def meddle(run, row):
        if row["step"] == 2:
            run.trainer.optimizers["discriminator"].lr *= 10

    run = quick("mlp", steps=5, callbacks=[meddle])
    with pytest.warns(RuntimeWarning, match=r"step \d is not as the run's history has it: callbacks"):
        tape = run.inspect(step=5)
    assert tape.about["as_trained"] is False


def own(seed=0):
    rawgan.manual_seed(seed)
    G = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 2)).label("generator")
    D = nn.Sequential(nn.Dense(2, 8), nn.ReLU(), nn.Dense(8, 1)).label("discriminator")
    return {"generator": G, "discriminator": D}


def test_networks_and_data_of_ones_own(tmp_path):
    points = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    how = QUICK | {"steps": 6, "data": points, "out": tmp_path / "run", "checkpoint_every": 3}
    run = rawgan.train(**own(), **how)
    assert run.inspect(step=4).about["as_trained"] is True
    loaded = rawgan.load(tmp_path / "run", device="cpu")
    assert loaded.inspect(step=4, data=points).about["as_trained"] is True
    with pytest.raises(ConfigError, match="give it as data="):
        loaded.inspect(step=4)
    with pytest.raises(ConfigError, match="trained on other data"):
        loaded.inspect(step=4, data=points + 1)
    loose = rawgan.train(**own(), **(how | {"out": None}))
    assert loose.inspect(step=7).about["step"] == 7
    with pytest.raises(CheckpointError, match="how your own networks began is not known; there are: none"):
        loose.inspect(step=4)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"step": 0}, "step"),
        ({"step": 2.5}, "step"),
        ({"step": 9}, "step 9 lies ahead; the run has 3 steps, the next is 4"),
        ({"step": 2, "devices": "cpu"}, "devices is a list"),
        ({"step": 2, "devices": ()}, "devices is a list"),
        ({"step": 2, "devices": 5}, "devices is a list"),
        ({"step": 2, "ops": 5}, "ops is a list"),
        ({"step": 2, "devices": ["tpu"]}, "tpu"),
        ({"step": 2, "layers": "x"}, "layers is a list"),
        ({"step": 2, "budget": -1}, "budget"),
    ],
)
def test_wrong_arguments(wrong, match):
    with pytest.raises(rawgan.RawganError, match=match):
        quick().inspect(**wrong)


@pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")
def test_two_devices_differ_by_rounding_alone():
    found = quick("mlp").inspect(step=2, devices=("cpu", "cuda-sim"))
    rows = found.rows()
    assert len(rows) == 12
    assert max(row["relative on cuda-sim"] for row in rows) <= 1e-4
    worst = found.worst()
    assert worst["relative on cuda-sim"] == max(row["relative on cuda-sim"] for row in rows)
    assert f"{worst['parameter']} differs most" in repr(found)
    assert found.tapes["cuda-sim"].check("generator.0.weight", (0, 0)).ok
    assert "<table>" in found._repr_html_()


@pytest.mark.parametrize("objective", ["saturating", "non_saturating"])
@pytest.mark.parametrize("recipe", ["mlp", "mixture"])
def test_what_each_example_is_told(recipe, objective):
    """−σ(s) or −(1 − σ(s)); its own gradient is by the chain rule D's at the example times that."""
    tape = quick(recipe, objective=objective).inspect(step=2)
    found = tape.samples()
    count = QUICK["batch_size"]
    assert found.items.shape == found.gradients.shape == (count, *tape.about["shape"])
    assert found.formula == {"saturating": "−σ(s)", "non_saturating": "−(1 − σ(s))"}[objective]
    p = 1 / (1 + np.exp(-found.outputs.astype(float)))
    np.testing.assert_allclose(found.factors, -p if objective == "saturating" else p - 1, rtol=1e-4)
    loss = tape.turns[-1].backward.root.value
    for i in range(3):
        direction = found.gradients[i] / found.norms[i]
        node, h = tape.turns[-1].judged[0], 1e-3
        moved = tape.replay().value(node).data.copy()
        moved[i] += h * direction
        end = tape.replay().along({node: rawgan.tensor(moved)}, [tape.turns[-1].backward.root])
        slope = count * (end[tape.turns[-1].backward.root].item() - float(loss)) / h
        assert abs(slope - found.norms[i]) <= 0.05 * found.norms[i] + 2e-3
    assert "∂L/∂s" not in repr(found)


def test_examples_of_a_recipe_without_an_adversary():
    with pytest.raises(rawgan.GradientError, match="no examples were generated and judged"):
        quick("vae").inspect(step=1).samples()


def test_the_ledger_before_and_after_clipping():
    tape = quick("mlp", clip_norm={"generator": 1e-4}).inspect(step=2)
    turn = tape.turns[-1]
    assert np.isclose(np.sqrt(sum(norm(u.clipped) ** 2 for u in turn.parameters.values())), 1e-4, rtol=1e-3)
    assert np.isclose(turn.clipping["after"], 1e-4, rtol=1e-3)
    assert turn.clipping["before"] > 1e-3
    assert np.isclose(turn.clipping["cosine"], 1)
    found = tape.ledger("generator.0.weight")
    factor = norm(found.clipped) / norm(found.whole)
    np.testing.assert_allclose(found.clipped, factor * found.whole, rtol=1e-5)
    assert [row["source"] for row in found.rows()] == ["adversarial", "sum", "after clipping"]
    row = next(r for r in tape.summary().rows if r["layer"].startswith("generator.0"))
    assert row["clipped"] < 1


@pytest.mark.parametrize(
    ("recipe", "more", "terms"),
    [
        ("dcgan_mnist", {}, [{"real", "fake"}, {"adversarial"}]),
        ("mlp", {"l2": {"discriminator": 0.1}}, [{"real", "fake", "l2"}, {"adversarial"}]),
        ("gat", {}, [{"real", "fake", "conjugate", "r1"}, {"adversarial", "conjugate"}]),
        ("encoder_gan", {}, [{"real", "fake", "l2"}, {"adversarial", "encoder", "kl", "cross_entropy"}]),
        ("vae", {}, [{"kl", "reconstruction"}]),
    ],
)
def test_every_source_of_a_gradient_has_its_line(recipe, more, terms):
    tape = quick(recipe, **more).inspect(step=2)
    assert [turn.terms.keys() for turn in tape.turns] == terms
    for turn in tape.turns:
        update = next(iter(turn.parameters.values()))
        assert tape.ledger(update.node).parts.keys() == turn.terms.keys()


def test_the_story_of_a_step():
    run = quick("mlp")
    events = list(inspect.steps(run, step=2))
    phases = [event.phase for event in events if event.kind == "phase"]
    assert phases == [
        *("G makes examples", "D on real", "D on fake", "D: loss", "D: update"),
        *("D on G's examples", "G: loss", "G: update"),
    ]
    kinds = [event.kind for event in events]
    assert kinds.count("update") == kinds.count("pass") == 2
    forward = [event.node for event in events if event.kind == "forward"]
    assert [node.number for node in forward] == sorted(node.number for node in forward)
    for backward in {event.backward for event in events if event.kind == "backward"}:
        visited = [e.node.number for e in events if e.kind == "backward" and e.backward is backward]
        assert visited == sorted(visited, reverse=True)
    loss = next(event for event in events if event.kind == "forward" and event.node.op == "bce")
    assert loss.phase == "D: loss"
    for event in events:
        assert event.says == repr(event)
        assert event.says.strip()


def test_the_summary():
    tape = quick("dcgan_mnist", batch_size=16).inspect(step=2)
    rows = tape.summary().rows
    normed = next(r for r in rows if "BatchNorm" in r["layer"])
    assert normed["variance"] > 0
    layer = next(r for r in rows if r["layer"] == "generator.0 (Dense)")
    update = tape.turns[-1].parameters["generator.0.weight"]
    assert np.isclose(layer["weight norm"], norm(update.before))
    assert np.isclose(layer["update norm"], norm(update.after.astype(float) - update.before))
    assert 0 < layer["effective step"] <= 1.5
    for r in rows:
        for share in ("dead", "saturated"):
            assert r[share] is None or 0 <= r[share] <= 1
    text = repr(tape.summary())
    assert "discriminator.0 (Conv2d)" in text
    assert "<table>" in tape.summary()._repr_html_()
    frame = pytest.importorskip("pandas") and tape.summary().to_dataframe()
    assert len(frame) == len(rows)


def test_dead_and_saturated_units_are_counted():
    x = np.ones((4, 3), np.float32)
    net = nn.Sequential(nn.Dense(3, 4), nn.ReLU(), nn.Dense(4, 2), nn.Sigmoid()).label("net")
    net[0].weight.copy_(np.zeros((4, 3)))
    net[0].bias.copy_([1, 1, 1, -1])
    net[2].weight.copy_(np.zeros((2, 4)))
    net[2].bias.copy_([9.0, 0.0])
    with inspect.record() as tape:
        net(x)
    by_layer = {row["layer"]: row for row in tape.summary().rows}
    assert by_layer["net.1 (ReLU)"]["dead"] == 0.25
    assert by_layer["net.3 (Sigmoid)"]["saturated"] == 0.5


def test_tiny_names_every_recipe():
    assert TINY.keys() == set(recipes.names())
