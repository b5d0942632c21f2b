"""The command line: what it does, what it says where, and how it ends."""

import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

import rawgan
from rawgan import cli, data, losses, recipes
from rawgan.cli import making
from rawgan.training import pictures

QUICK = ("--steps=3", "--batch-size=8", "--hidden=4", "--noise=4", "--device=cpu", "--quiet")


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command line replaces it
    monkeypatch.setattr(pictures, "plot_history", lambda *arguments: None)  # half a second a figure


@pytest.fixture
def rawgan_says(capfd, tmp_path, monkeypatch):
    """A function that runs a command in an empty folder and returns its exit status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        return end.value.code, *capfd.readouterr()

    return run


def python(*arguments, **more):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **more)


def test_help_is_instant_because_it_imports_nothing_heavy():
    code = (
        "import sys\nfrom rawgan.cli import main\n"
        "try:\n    main(['--help'])\n"
        "finally:\n    print([m for m in ('numpy', 'numba', 'matplotlib', 'PIL') if m in sys.modules],"
        " file=sys.stderr)"
    )
    done = python("-c", code)
    assert done.returncode == 0
    assert done.stderr == "[]\n"
    for command in ("train", "sample", "info"):
        assert re.search(rf"\b{command}\b", done.stdout)


def test_as_a_module_and_with_a_reader_that_has_gone_away(tmp_path):
    """One training in a process of its own: status, streams, and no traceback where the pipe is closed."""
    settings = [setting for setting in QUICK if setting != "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rawgan", "train", "mlp", *settings, "--out", tmp_path / "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().startswith("step 1/3 (33%)")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 1
    assert rawgan.load(tmp_path / "run", device="cpu").steps == 3


@pytest.mark.parametrize("command", [(), ("train",), ("sample",), ("rate",), ("info",)])
def test_every_command_has_help(command, rawgan_says):
    status, out, err = rawgan_says(*command, "--help")
    assert (status, err) == (0, "")
    assert f"Usage: rawgan {' '.join(command)}".strip() in out


def test_the_help_names_what_there_is(rawgan_says):
    help_text = " ".join(rawgan_says("train", "--help")[1].replace("│", " ").split())
    for table in (recipes.names(), data.names(), losses.OBJECTIVES):
        listed = re.sub(r" \(bundled\)", "", help_text)
        assert ", ".join(table) in listed


def test_version(rawgan_says):
    assert rawgan_says("--version") == (0, f"{rawgan.__version__}\n", "")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("frob", 'Unknown command "frob"'),
        ("train mlp --steps x", r"Invalid value for --steps: unable to convert \"x\" into int"),
        ("train mlp --noise", "--noise requires an argument"),
        ("train mlp more", "more"),
        ("train", "give a recipe"),
        ("train mpl", "there is no recipe 'mpl'; did you mean 'mlp'"),
        ("train mlp --data digts --steps 1", "unknown data 'digts': did you mean 'digits'"),
        ("train mlp --hiden 4", "no setting 'hiden'; did you mean 'hidden'"),
        ("train mlp --d-step 4", "no setting 'd_step'; did you mean 'd_steps'"),
        ("train mlp --devise cpu", "no setting 'devise'; did you mean 'device'"),
        ("train mlp --name x", "no setting 'name'"),
        ("train mlp --objective hing", "no objective 'hing'; did you mean 'hinge'"),
        ("train mlp --epochs 1 --steps 1", "give epochs or steps, not both"),
        ("train mlp --epochs 0", "epochs is a whole number ≥ 1, got 0"),
        ("train mlp --checkpoint-every 0", "checkpoint_every is a whole number ≥ 1, got 0"),
        ("train mlp --betas {[]:1}", "betas"),
        ("train mlp --callbacks 3", "callbacks is a keyword of rawgan.train in Python"),
        ("train mlp --progress 1", "progress is a keyword of rawgan.train in Python"),
        ("train mlp --generator g", "generator is a keyword of rawgan.train in Python"),
        ("train mlp --recipe mlp", "recipe is a keyword of rawgan.train in Python"),
        ("train mlp --resume", "give its path as out="),
        ("train --resume --out nowhere", "give a recipe"),
        ("sample", "requires an argument"),
        ("sample nowhere -n 0", "-n is a whole number ≥ 1, got 0"),
    ],
)
def test_a_usage_error_is_one_line_and_status_2(command, message, rawgan_says, tmp_path):
    status, out, err = rawgan_says(*command.split())
    assert (status, out) == (2, "")
    assert re.fullmatch(rf"rawgan: .*{message}.*\n", err), err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train mlp --device gpu", "there is no device 'gpu'"),
        (
            "train mlp --device cpu --batch-size 9999",
            "batch_size 9999 is more than the 1797 images there are",
        ),
        ("train mlp --data mnist --data-dir .", "mnist"),
        ("sample nowhere", "there is no such file"),
        ("sample .", "not the folder of a run"),
    ],
)
def test_a_failure_is_one_line_and_status_1(command, message, rawgan_says, tmp_path):
    status, out, err = rawgan_says(*command.split())
    assert (status, out) == (1, "")
    assert re.fullmatch(rf"rawgan: .*{message}.*\n", err), err
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_program_itself_is_not_hidden(rawgan_says, monkeypatch):
    monkeypatch.setattr(making, "_free_folder", lambda name: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["train", "mlp"])


def test_two_interrupts_are_status_130(rawgan_says, monkeypatch):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "_free_folder", interrupted)
    assert rawgan_says("train", "mlp") == (130, "", "rawgan: broken off; what was saved is kept\n")


def test_train_sample_and_resume_pictures(rawgan_says, tmp_path):
    status, out, err = rawgan_says("train", "mlp", *QUICK)
    assert (status, err) == (0, "")
    found = dict(line.split() for line in out.splitlines())
    assert found["run"] == "runs/mlp-1"
    assert found["history"] == "runs/mlp-1/history.csv"
    assert found["samples"] == "runs/mlp-1/samples/step-00000003.png"
    assert all((tmp_path / path).exists() for path in found.values())

    assert rawgan_says("train", "mlp", *QUICK)[0] == 0  # the next free number
    assert (tmp_path / "runs" / "mlp-2" / "config.json").exists()

    status, out, err = rawgan_says("sample", "runs/mlp-1", "-n", 9, "--out", "grid.png", "--device=cpu")
    assert (status, out, err) == (0, "grid.png\n", "")
    run = rawgan.load("runs/mlp-1", device="cpu")
    with Image.open(tmp_path / "grid.png") as picture:
        assert (np.asarray(picture) == pictures.image_grid(run.sample(9))).all()
    assert rawgan_says("sample", "runs/mlp-1", "--seed", 3, "--device=cpu")[:2] == (0, "samples.png\n")
    with Image.open(tmp_path / "samples.png") as picture:
        assert (np.asarray(picture) == pictures.image_grid(run.sample(64, seed=3))).all()

    status, out, err = rawgan_says("train", "--resume", "--out=runs/mlp-1", "--steps=5", "--device=cpu")
    assert (status, err) == (0, "")
    assert "step 5/5 (100%)" in out
    assert rawgan.load("runs/mlp-1", device="cpu").steps == 5

    status, out, err = rawgan_says("train", "mlp", *QUICK, "--out=runs/mlp-1")
    assert (status, out) == (1, "")
    assert re.fullmatch(r"rawgan: .*runs/mlp-1 already holds a run; .*\n", err)
    status, out, err = rawgan_says("train", "--resume", "--out=runs/mlp-1", "--learning-rate=1")
    assert (status, out) == (2, "")
    assert "settings.learning_rate was 0.0002, now 1.0" in err
    status, out, err = rawgan_says("sample", "runs/mlp-1", "--out=no/such/folder.png", "--device=cpu")
    assert (status, out) == (1, "")
    assert re.fullmatch(r"rawgan: no/such/folder.png: cannot be written .*\n", err)


def test_train_and_sample_points(rawgan_says, tmp_path):
    settings = ("--betas=(0.4, 0.9)", "--clip-norm={'generator': 1.5}", "--optimizer=rmsprop", "--seed=4")
    assert rawgan_says("train", "mixture", *QUICK, *settings, "--out=here")[0] == 0
    run = rawgan.load("here", device="cpu")
    assert run.trainer.recipe.betas == (0.4, 0.9)
    assert run.trainer.recipe.clip_norm == {"generator": 1.5}
    assert run.trainer.recipe.optimizer == "rmsprop"
    assert run.config["seed"] == 4
    for n in (1, 300):
        assert rawgan_says("sample", "here", "-n", n, f"--out={n}.png", "--device=cpu") == (
            0,
            f"{n}.png\n",
            "",
        )
        with Image.open(f"{n}.png") as picture:
            assert min(picture.size) > 300
    run.save("file")
    assert rawgan_says("sample", "file", "--out=file.png", "--device=cpu") == (0, "file.png\n", "")


def test_auto_says_once_that_it_takes_the_cpu(rawgan_says):
    try:
        rawgan.arrays.resolve("cuda")
    except rawgan.DeviceError:
        rawgan.arrays._said_why.clear()
        settings = [setting for setting in QUICK if setting != "--device=cpu"]
        status, _, err = rawgan_says("train", "mlp", *settings)
        assert status == 0
        assert re.fullmatch(r"rawgan: .*auto.*\n", err)


def test_info_names_versions_devices_kernels_threads_and_blas(rawgan_says):
    status, out, err = rawgan_says("info")
    assert (status, err) == (0, "")
    for word in (rawgan.__version__, np.__version__, "numba", "threads", "blas", "device cpu", "conv2d"):
        assert word in out.lower()
    for kernel in rawgan.kernels.KERNELS:
        assert kernel in out
