"""Training that blows up stops, names the first operation at fault, and keeps what was good."""

import re
import warnings

import numpy as np
import pytest

import rawgan
from rawgan import nn, ops
from rawgan.cli import main
from rawgan.training import checkpoint, pictures

QUICK = {"batch_size": 8, "noise": 4, "device": "cpu", "progress": False}
POINTS = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """Matplotlib takes half a second a figure, and is not the subject here."""
    for slow in ("plot_history", "points_figure"):
        monkeypatch.setattr(pictures, slow, lambda *arguments: None)


@pytest.fixture(autouse=True)
def no_warnings():
    """The error says all; NumPy's "overflow encountered in matmul" would only stand in the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class Fault(nn.Module):
    """x, but from call number `at` on f(x)."""

    def __init__(self, f, at=0):
        super().__init__()
        self.f, self.at, self.calls = f, at, 0

    def forward(self, x):
        self.calls += 1
        return self.f(x) if self.calls > self.at else x


def weights(run):
    return {name: value.tobytes() for name, value in run.trainer.state()[0].items()}


def of(player, state):
    return {name: value for name, value in state.items() if player in name}


def own(generator_fault=None, discriminator_fault=None):
    rawgan.manual_seed(0)
    faults = [[fault] if fault else [] for fault in (generator_fault, discriminator_fault)]
    G = nn.Sequential(nn.Dense(4, 8), *faults[0], nn.Dense(8, 2))
    D = nn.Sequential(nn.Dense(2, 8), *faults[1], nn.Dense(8, 1))
    return {"generator": G, "discriminator": D, "data": POINTS}


INFINITE_SLOPE = {  # finite everywhere, but with a slope at 0 that is not
    "sqrt": lambda x: ops.sqrt(ops.relu(x)),
    "power": lambda x: ops.relu(x) ** 0.5,
}
OVERFLOW = {
    "exp": lambda x: ops.exp(1000 * x),
    "multiply": lambda x: x * 3e38 * 3e38,
    "divide": lambda x: x / (0 * x),
    "log": lambda x: ops.log(ops.relu(x)),
}


@pytest.mark.parametrize("player", ["generator", "discriminator"])
@pytest.mark.parametrize("name", INFINITE_SLOPE)
def test_a_gradient_is_named_while_the_loss_is_finite(name, player):
    fault = {f"{player}_fault": Fault(INFINITE_SLOPE[name])}
    said = rf"step 1: {player[0]} grad norm of the {player}'s turn is (nan|inf); the first value that is not "
    said += rf"finite is the gradient of x of {name} in {player}\.1 \(Fault\)\. "
    with pytest.raises(rawgan.NonFiniteError, match=said):
        rawgan.train(**own(**fault), steps=3, **QUICK)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
@pytest.mark.parametrize("name", OVERFLOW)
def test_a_value_is_named(name, player):
    networks = own(**{f"{player}_fault": Fault(OVERFLOW[name])})
    said = rf"the first value that is not finite is the value of {name} in {player}\.1 \(Fault\)\. "
    with pytest.raises(rawgan.NonFiniteError, match=said):
        rawgan.train(**networks, steps=3, objective="wasserstein", **QUICK)


def test_a_gradient_rule_is_named_and_not_the_operations_that_it_calls():
    """Conv2d's gradient of x is itself a conv_transpose2d of gradients: 1e10 · 1e30 there."""
    G = nn.Sequential(nn.Dense(4, 9), nn.Reshape((1, 3, 3)))
    conv = nn.Conv2d(1, 1, 1)
    conv.weight.copy_(0 * conv.weight.data + 1e30)
    D = nn.Sequential(
        Fault(lambda x: x * 1e-30), conv, Fault(lambda x: x * 1e10), nn.Flatten(), nn.Dense(9, 1)
    )
    with pytest.raises(
        rawgan.NonFiniteError, match=r"is the gradient of x of conv2d in discriminator\.1 \(Conv"
    ):
        rawgan.train(
            generator=G,
            discriminator=D,
            data=np.zeros((9, 3, 3)),
            objective="wasserstein",
            optimizer="sgd",
            learning_rate=1e-30,
            steps=1,
            **QUICK,
        )


def test_the_search_repeats_the_step_with_the_same_dropout():
    seen = []

    def look(x):
        seen.append(ops.arithmetic.raw(x).copy())
        return x

    rawgan.manual_seed(0)
    G = nn.Sequential(nn.Dense(4, 8), nn.Dropout(0.5), Fault(look), nn.Dense(8, 2))
    D = nn.Sequential(
        nn.Dense(2, 8), nn.Dropout(0.5), Fault(look), Fault(OVERFLOW["multiply"], at=2), nn.Dense(8, 1)
    )
    with pytest.raises(rawgan.NonFiniteError, match=r"generator's turn .* multiply in discriminator\.3"):
        rawgan.train(generator=G, discriminator=D, data=POINTS, steps=1, objective="wasserstein", **QUICK)
    # G's; D's on real, on generated, and in G's turn; and all again in the search
    assert len(seen) == 8
    assert seen[4].tobytes() == seen[0].tobytes()
    assert seen[7].tobytes() == seen[3].tobytes()


@pytest.mark.parametrize(
    ("recipe", "place", "operation"),
    [
        ("mlp", "generator.0.weight", "the value of dense in generator.0 (Dense)"),
        ("mlp", "generator.4.bias", "the value of dense in generator.4 (Dense)"),
        ("mlp", "discriminator.3.weight", "the value of dense in discriminator.3 (Dense)"),
        ("dcgan_mnist", "generator.1.weight", "the value of batch_norm in generator.1 (BatchNorm)"),
        (
            "dcgan_mnist",
            "generator.4.weight",
            "the value of conv_transpose2d in generator.4 (ConvTranspose2d)",
        ),
        ("dcgan_mnist", "discriminator.3.bias", "the value of conv2d in discriminator.3 (Conv2d)"),
    ],
)
def test_a_weight_that_is_not_a_number_is_found(recipe, place, operation):
    runs, states = [], []

    def plant(run, row):
        if row["step"] == 2:
            player, _, name = place.partition(".")
            dict(getattr(run, player).named_parameters())[name].data.flat[0] = np.nan
            runs.append(run)
            states.append(weights(run))

    tiny = {"hidden": 4} if recipe == "mlp" else {"width": 2, "dropout": 0.2}
    with pytest.raises(rawgan.NonFiniteError, match=re.escape(operation)) as error:
        rawgan.train(recipe, data="digits", steps=5, callbacks=[plant], **QUICK, **tiny)
    assert str(error.value).startswith("step 3: d ")
    assert runs[0].steps == 2
    assert runs[0].history["step"].tolist() == [1, 2]
    after = weights(runs[0])
    for name, value in states[0].items():
        assert after[name] == value, name


def test_a_fault_that_comes_later_is_found_in_its_step():
    networks = own(generator_fault=Fault(OVERFLOW["exp"], at=3))
    rows = []
    with pytest.raises(rawgan.NonFiniteError, match=r"step 4: .* exp in generator\.1 \(Fault\)"):
        rawgan.train(**networks, steps=9, callbacks=[lambda run, row: rows.append(row)], **QUICK)
    assert [row["step"] for row in rows] == [1, 2, 3]


def test_a_sum_too_large_is_said_to_be_one():
    class Often(nn.Module):
        def __init__(self):
            super().__init__()
            self.p = rawgan.tensor(0.0, requires_grad=True)

        def forward(self, x):
            for _ in range(99):
                x = x + self.p * 3e38
            return x

    networks = own() | {"generator": nn.Sequential(nn.Dense(4, 2), Often())}
    with pytest.raises(rawgan.NonFiniteError, match=r"every single result is finite, .* grown too large"):
        rawgan.train(**networks, steps=2, objective="wasserstein", learning_rate=1e-9, **QUICK)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_the_player_at_fault_is_not_updated(player):
    runs, states = [], []

    def remember(run, row):
        runs.append(run)
        states.append(weights(run))

    networks = own(**{f"{player}_fault": Fault(INFINITE_SLOPE["sqrt"], at=6)})
    with pytest.raises(rawgan.NonFiniteError, match=f"of the {player}'s turn"):
        rawgan.train(**networks, steps=9, callbacks=[remember], **QUICK)
    assert of(player, weights(runs[-1])) == of(player, states[-1])
    if player == "discriminator":  # whose turn comes first
        assert weights(runs[-1]) == states[-1]


@pytest.mark.parametrize(
    "settings",
    [
        {"recipe": "mlp", "hidden": 4, "learning_rate": 1e38},
        {"recipe": "mixture", "hidden": 4, "learning_rate": 1e37, "objective": "saturating"},
        {"recipe": "mixture", "objective": "least_squares", "optimizer": "sgd", "learning_rate": 8.0},
        {"recipe": "mixture", "objective": "wasserstein", "optimizer": "sgd", "learning_rate": 30.0},
        {"recipe": "mixture", "objective": "wasserstein", "optimizer": "rmsprop", "learning_rate": 1e5},
    ],
)
def test_a_learning_rate_far_too_large(settings, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(rawgan.NonFiniteError) as error:
        rawgan.train(**settings, steps=300, checkpoint_every=1, sample_every=999, out=out, **QUICK)
    said = re.fullmatch(
        r"step (\d+): \w .* of the \w+'s turn is \S+; the first value that is not finite is the "
        r"(value|gradient of \w+) of \w+( in (generator|discriminator)\.\d+ \(\w+\))?\. "
        r"The networks stand as after the last good update\. Remedies: a lower learning_rate, "
        r"clip_norm=1.0, or an objective on logits\. The checkpoint of step (\d+) is kept in "
        + re.escape(f"{out}."),
        str(error.value),
    )
    assert said, str(error.value)
    step = int(said[1])
    assert int(said[5]) == step - 1
    run = rawgan.load(out, device="cpu")
    assert run.steps == step - 1
    assert len(run.history["step"]) == step - 1
    arrays, _ = checkpoint.load(out / "checkpoints" / f"step-{step - 1:08d}.safetensors")
    assert all(np.isfinite(value).all() for value in arrays.values())
    with pytest.raises(rawgan.NonFiniteError) as again:
        rawgan.train(out=out, resume=True, device="cpu", progress=False)
    assert str(again.value) == str(error.value)
    history = (out / "history.csv").read_text().splitlines()
    assert len(history) == step


def test_an_update_that_overflows_is_never_a_checkpoint(tmp_path):
    out = tmp_path / "run"

    def plant(run, row):
        if row["step"] == 4:
            run.generator[2].weight.data[0, 0] = np.inf

    said = r"after step 4 generator\.2\.weight is not finite.*The checkpoint of step 2 is kept"
    with pytest.raises(rawgan.NonFiniteError, match=said):
        rawgan.train("mixture", hidden=4, steps=6, checkpoint_every=2, out=out, callbacks=[plant], **QUICK)
    assert rawgan.load(out, device="cpu").steps == 2
    assert rawgan.train(out=out, resume=True, device="cpu", progress=False).steps == 6


def test_on_the_command_line_it_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command line replaces it
    options = ["train", "mixture", "--learning-rate", "1e37", "--device", "cpu", "--quiet", "--out"]
    with pytest.raises(SystemExit) as end:
        main([*options, str(tmp_path / "run")])
    assert end.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"rawgan: step 1: .* The checkpoint of step 0 is kept in .*/run\.\n", err)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_data_that_is_not_finite_never_gets_so_far(bad, tmp_path):
    points = POINTS.copy()
    points[7, 1] = bad
    with pytest.raises(rawgan.DataError, match=r"value (nan|-?inf) at \(7, 1\)"):
        rawgan.train("mixture", data=points, out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()
