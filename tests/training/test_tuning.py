"""Settings chosen by trial: what is tried, given up, lost, gone on with, and refused."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from tiny_runs import TINY, skip_plots

import rawgan
from rawgan import recipes, tuning
from rawgan.kernels.errors import ConfigError
from rawgan.tuning import work

QUICK = {"steps": 4, "noise": 4, "device": "cpu", "progress": False, "samples": 16, "looks": 2} | TINY[
    "mixture"
]
SPACE = {"learning_rate": (1e-4, 1e-2, "log"), "batch_size": [8, 16]}


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    skip_plots(monkeypatch)


def distance(run):
    """How far the learning rate is from 1e-3, as a metric that is known."""
    return abs(run.config["settings"]["learning_rate"] - 1e-3)


def tuned(out, **more):
    given = {"metric": distance, "direction": "minimize", "trials": 5, "space": SPACE, "out": out}
    return rawgan.tune("mixture", **QUICK | given | more)


def test_the_best_is_first_and_each_trial_is_a_run(tmp_path):
    found = tuned(tmp_path / "t")
    assert len(found.trials) == 5
    done = [trial for trial in found.trials if trial.state == "complete"]
    assert [t.value for t in done] == sorted(t.value for t in done)
    assert found.best == done[0].settings
    assert found.value == done[0].value
    for trial in found.trials:
        run = rawgan.load(tmp_path / "t" / f"trial-{trial.number:04d}", device="cpu")
        assert {k: run.config["settings"][k] for k in SPACE} == trial.settings
        assert 1e-4 <= trial.settings["learning_rate"] <= 1e-2
        assert trial.settings["batch_size"] in (8, 16)
        if trial.state == "complete":
            assert run.steps == 4
            assert trial.value == distance(run)
    assert (tmp_path / "t" / "trials.png").stat().st_size > 1000
    assert f"{found.value:.4g}" in str(found)
    assert "lower is better" in str(found)


def test_calling_again_goes_on(tmp_path):
    first = tuned(tmp_path / "t", trials=3)
    more = tuned(tmp_path / "t", trials=5)
    assert len(more.trials) == 5
    assert {t.number: t.settings for t in first.trials}.items() <= {
        t.number: t.settings for t in more.trials
    }.items()
    assert tuned(tmp_path / "t", trials=5) == more
    with pytest.raises(ConfigError, match=r"something else was tried there"):
        tuned(tmp_path / "t", trials=6, hidden=5)


def test_a_trial_that_does_worse_than_the_others_is_given_up(tmp_path):
    def getting_worse(run):
        return 0.0 if run.trainer.recipe.batch_size == 8 else 1.0

    found = tuned(tmp_path / "t", trials=14, metric=getting_worse)
    assert {t.state for t in found.trials if t.settings["batch_size"] == 8} == {"complete"}
    assert "pruned" in {t.state for t in found.trials if t.settings["batch_size"] == 16}
    pruned = next(t for t in found.trials if t.state == "pruned")
    assert rawgan.load(tmp_path / "t" / f"trial-{pruned.number:04d}", device="cpu").steps == 2


def test_a_trial_that_blows_up_is_a_failed_trial(tmp_path):
    found = tuned(tmp_path / "t", trials=3, space={"learning_rate": [1e38]})
    assert {t.state for t in found.trials} == {"fail"}
    assert found.best is None


def test_figures_of_evaluate_are_metrics(tmp_path):
    found = rawgan.tune(
        "mixture", **QUICK | {"steps": 2}, metric="total_variation", trials=1, space=SPACE, out=tmp_path / "t"
    )
    run = rawgan.load(tmp_path / "t" / "trial-0000", device="cpu")
    assert found.value == rawgan.evaluate(run, n=16, progress=False).figures["total_variation"].value


WORKER = """
import sys, rawgan
from test_tuning import QUICK, SPACE, slow
if __name__ == "__main__":
    rawgan.tune("mixture", **QUICK | {"steps": 2}, metric=slow, direction="minimize", trials=3, space=SPACE,
                out=sys.argv[1], workers=int(sys.argv[2]))
"""


def slow(run):
    time.sleep(0.3)
    return 1.0


def start(tmp_path, workers):
    (tmp_path / "work.py").write_text(WORKER)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    command = [sys.executable, str(tmp_path / "work.py"), str(tmp_path / "t"), str(workers)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_several_workers_try_no_number_twice(tmp_path):
    process = start(tmp_path, 2)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out.decode()
    found = tuned(tmp_path / "t", trials=3, metric=slow, steps=2)
    assert [t.state for t in found.trials] == ["complete"] * len(found.trials)
    assert sorted(t.number for t in found.trials) == list(range(len(found.trials)))
    assert len(found.trials) == 3


def test_a_killed_worker_loses_its_trial_alone(tmp_path, monkeypatch):
    process = start(tmp_path, 1)
    deadline = time.monotonic() + 60
    while not (tmp_path / "t" / "trial-0001").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    monkeypatch.setattr(work, "HEARTBEAT", 1)
    monkeypatch.setattr(work, "GRACE", 1)
    time.sleep(2)
    found = tuned(tmp_path / "t", trials=4, metric=slow, steps=2)
    states = {t.number: t.state for t in found.trials}
    assert states[0] == "complete"
    assert states[1] in ("fail", "running", "complete")  # it was killed in there, or just after
    assert sum(state == "complete" for state in states.values()) == 4  # the lost one was tried again


PLAN = {"recipe": "mixture", "direction": "minimize", "seed": 0}


def study_in(folder, plan):
    """Optuna's study of the trials in a folder, and a worker's objective for it."""
    url = f"sqlite:///{folder / 'trials.db'}"
    study = work.study_of(plan, url)
    return study, partial(work._try, plan, distance, folder, 2, [], False)


def test_who_comes_too_late_steps_back(tmp_path):
    """Two workers see one place left: here the second one, whose trial has no place by its number."""
    tuned(tmp_path / "t", trials=2)
    plan = {"space": SPACE, "settings": {}, "looks": 2, "samples": 16}
    study, objective = study_in(tmp_path / "t", PLAN | plan)
    study.optimize(objective, n_trials=1)
    assert len(study.trials) == 3
    assert len(work.counted(study)) == 2
    assert not (tmp_path / "t" / "trial-0002").exists()
    found = tuned(tmp_path / "t", trials=3)
    assert [trial.state for trial in found.trials] == ["complete"] * 3
    assert sorted(trial.number for trial in found.trials) == [0, 1, 3]


def test_a_worker_waits_for_the_trials_of_others_and_tries_lost_ones_again(tmp_path, monkeypatch):
    tuned(tmp_path / "t", trials=1)
    study, _ = study_in(tmp_path / "t", PLAN)
    with pytest.warns(UserWarning, match="Heartbeat"):
        other = study.ask()  # of a worker that gives no sign of life
    looks = []
    monkeypatch.setattr(work.time, "sleep", lambda seconds: (looks.append(seconds), other_ends()))

    def other_ends():
        if len(looks) == 3:
            study.tell(other, 1.0)

    assert not work._place_left(study, 2)
    assert looks == [work.WAIT] * 3
    with pytest.warns(UserWarning, match="Heartbeat"):
        study.ask()
    assert len(work.counted(study)) == 3
    monkeypatch.setattr(work, "GRACE", -1)  # it is long ago
    assert len(work.counted(study)) == 2
    assert work._place_left(study, 3)


@pytest.mark.parametrize(
    ("data", "metric", "message"),
    [
        ("ring", "frechet_distance", r"no figure of runs on 'ring'; there are: modes_covered, total"),
        ("digits", "modes_covered", r"no figure of runs on 'digits'; there are: inception_score, frechet"),
        ("spirals", "precision", "no figure of runs on 'spirals'"),
        (np.zeros((9, 8, 8), np.uint8), "precision", r"no figures for .*a function of a Run"),
        ("digts", "precision", "did you mean 'digits'"),
    ],
)
def test_a_metric_that_is_no_figure_of_the_data_is_refused_at_once(data, metric, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        tuned(tmp_path / "t", metric=metric, data=data)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("recipe", recipes.names())
def test_what_is_tried_where_nothing_is_said_fits_every_recipe(recipe):
    chosen = recipes.make(recipe)
    space = tuning._checked(chosen, tuning.space_of(chosen), {})
    assert {"learning_rate", "batch_size"} <= space.keys()
    assert ("clip_norm_each" in space) == (recipe == "mlp")
    assert ("gradient_penalty" in space) == (recipe == "wgan_gp")


WRONG = [
    ({"metric": "frechet"}, "no metric 'frechet'; there are: frechet_distance"),
    ({"metric": 3}, "a name or a function"),
    ({"direction": None}, "say direction='minimize' or 'maximize'"),
    ({"trials": 0}, "trials"),
    ({"workers": 0}, "workers"),
    ({"space": {}}, "nothing is left to be tried"),
    ({"space": {"learning_rate": (1e-2, 1e-4)}}, "learning_rate is tried in"),
    ({"space": {"learning_rate": (1e-4, 1e-2, "lgo")}}, "learning_rate is tried in"),
    ({"space": {"learning_rate": 3}}, "learning_rate is tried in"),
    ({"space": {"learning_rat": [1e-3]}}, "did you mean 'learning_rate'"),
    ({"space": {"learning_rate": [-1.0]}}, "learning_rate is a number above 0"),
    ({"space": {"batch_size": [8, "b"]}}, "batch_size"),
]


@pytest.mark.parametrize(("given", "says"), WRONG)
def test_what_cannot_be_tried_is_refused(given, says, tmp_path):
    with pytest.raises(ConfigError, match=says):
        tuned(tmp_path / "t", **given)


def test_without_optuna_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install rawgan\[tune\]"):
        tuned(tmp_path / "t")


def test_the_plan_is_kept_with_the_trials(tmp_path):
    import optuna

    tuned(tmp_path / "t", trials=1)
    study = optuna.load_study(study_name="mixture", storage=f"sqlite:///{tmp_path / 't' / 'trials.db'}")
    assert json.loads(study.user_attrs["plan"])["metric"] == "distance"


def test_on_the_command_line(tmp_path, capsys):
    from rawgan.cli import main

    words = ["tune", "mixture", "--metric", "total_variation", "--trials", "1", "--samples", "16", "--quiet"]
    words += [
        "--out",
        str(tmp_path / "t"),
        "--steps",
        "2",
        "--noise",
        "4",
        "--hidden",
        "4",
        "--batch-size",
        "8",
    ]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--device", "cpu"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "mixture: total_variation, lower is better" in said
    assert "batch_size" not in said  # it was given
