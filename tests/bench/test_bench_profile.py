"""Where a step's time goes: every kernel's share, counted by the contracts, and Python's."""

import pytest

from rawgan import kernels
from rawgan.bench import document, plot, profile, steps, tables, timing
from rawgan.kernels.errors import ConfigError


def test_shares_add_up_to_the_step():
    found = profile.run("mixture", "reference", batch=8, seconds=1e-3)
    rows = {row["name"]: row for row in found["rows"]}
    assert {"perceptron", "perceptron_grad", "adam", "bce_with_logits"} < rows.keys()
    assert rows["perceptron"]["case"] == "4 calls"
    assert rows["adam"]["flops"] > 0
    assert list(rows)[-3:] == [profile.PYTHON, profile.STEP, profile.LEAST]
    text = tables.table(found)
    assert text.row_count == len(rows)


def test_a_timed_step_is_its_kernels_and_the_rest():
    sums = profile.timed(steps.plain_step(steps.trainer("mixture", 8)), lambda: None)
    parts = [seconds for name, seconds in sums.items() if name != profile.STEP]
    assert min(parts) > 0
    assert abs(sum(parts) - sums[profile.STEP]) <= 1e-9


def test_every_call_of_a_step_is_counted():
    """G forward and backward, D forward on real, fake and for G, and backward as often: 2 · 4 chains."""
    work = profile.counted(steps.plain_step(steps.trainer("mixture", 8)))
    assert (len(work["perceptron"]), len(work["perceptron_grad"]), len(work["adam"])) == (4, 4, 2)
    direct = steps.direct(steps.trainer("mixture", 8))["dense"]
    counted = sum(flops for name in ("perceptron", "perceptron_grad") for flops, _ in work[name])
    assert counted == direct


def test_kernels_are_left_as_they_were():
    plain = kernels.Kernel.__call__

    def fails():
        raise ZeroDivisionError

    for measure in (profile.counted, lambda step: profile.timed(step, lambda: None)):
        with pytest.raises(ZeroDivisionError):
            measure(fails)
        assert kernels.Kernel.__call__ is plain


def test_wrong_names_are_refused():
    with pytest.raises(ConfigError, match="no recipe 'ml'"):
        profile.run("ml")
    with pytest.raises(ConfigError, match="no device 'gpu'"):
        profile.run("mlp", "gpu")


def test_a_rivals_step_stands_beside_it(monkeypatch):
    monkeypatch.setattr(steps, "rival_step", lambda ours, compiled: timing.Call(lambda: None))
    monkeypatch.setattr(document, "why_no_torch", lambda device: None)
    monkeypatch.setattr(document, "of_torch", lambda sides: {})
    found = profile.run("mixture", batch=8, seconds=1e-3, against=["torch"])
    whole = next(row for row in found["rows"] if row["name"] == profile.STEP)
    assert whole["times"].keys() == {"cpu", "torch"}
    assert plot.anatomy(found).axes[0].get_yticklabels()[-1].get_text() == plot.RIVALS["torch"][0]


def test_a_rival_that_is_not_there_is_a_word_why(monkeypatch):
    monkeypatch.setattr(document, "why_no_torch", lambda device: "not installed")
    found = profile.run("mixture", batch=8, seconds=1e-3, against=["torch"])
    assert found["missing"] == {"torch": "not installed"}
    assert plot.anatomy(found) is not None
