"""Learning rates that fall: the factor, its errors, and a run that goes on where it was."""

import numpy as np
import pytest
from tiny_runs import assert_same, quick, resume, stop_at

import rawgan
from rawgan import recipes, schedules
from rawgan.kernels.errors import ConfigError


@pytest.mark.parametrize("name", [n for n in schedules.NAMES if n != "constant"])
def test_it_falls_from_one_to_zero_and_stays_there(name):
    factor = schedules.make(name, 10)
    values = [float(factor(np, np.float64(t))) for t in range(15)]
    assert values[0] == 1.0
    assert abs(values[5] - 0.5) <= 1e-15
    assert all(np.diff(values) <= 0)
    assert all(abs(v) <= 1e-15 for v in values[10:])


def test_the_optimizer_moves_by_it():
    w = rawgan.tensor([0.0], requires_grad=True)
    optimizer = rawgan.optim.SGD([w], lr=1.0)
    optimizer.schedule = schedules.make("linear", 4)
    places = []
    for _ in range(6):
        w.grad = np.ones(1, np.float32)
        optimizer.step()
        places.append(float(w.data[0]))
    assert places == [-1.0, -1.75, -2.25, -2.5, -2.5, -2.5]


def test_constant_is_none():
    assert schedules.make("constant", None) is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"schedule": "linaer"}, "no schedule 'linaer'; there are: constant, linear, cosine"),
        ({"schedule": None}, "no schedule None"),
        ({"schedule": "cosine"}, "give their number"),
        ({"schedule": "cosine", "schedule_steps": 0}, "got 0"),
        ({"schedule": "linear", "schedule_steps": 2.5}, "got 2.5"),
    ],
)
def test_wrong_settings(settings, says):
    with pytest.raises(ConfigError, match=says):
        recipes.make("mixture", **settings)


def test_a_run_goes_on_at_the_rate_where_it_was(tmp_path):
    settings = {"schedule": "linear", "schedule_steps": 5, "checkpoint_every": 2, "steps": 6}
    whole = quick("mixture", **settings)
    quick("mixture", out=tmp_path / "run", callbacks=stop_at(2), **settings)
    assert_same(whole, resume(tmp_path / "run"))
    other = quick("mixture", steps=6)
    assert whole.history["d_loss"][0] == other.history["d_loss"][0]
    assert whole.history["d_loss"][5] != other.history["d_loss"][5]
