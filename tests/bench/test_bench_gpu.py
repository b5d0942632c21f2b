"""The one command for a GPU: what fails is named, and the rest goes on."""

import json

import pytest

from rawgan.bench import document, gpu
from rawgan.kernels.cuda import host


@pytest.fixture
def parts(monkeypatch, tmp_path):
    """What stands for the measurements; DEVICE and OUT as in a rehearsal."""
    row = {"name": "mlp", "part": "step", "case": "", "flops": 0.0, "bytes": 0.0, "times": {}}
    times = {"cuda-sim": {"median_ms": 1.0, "low_ms": 1.0, "high_ms": 1.0, "timings": 1}}

    def measured(what):
        return lambda *args, **more: document.make(what, [row | {"times": times}], ["cuda-sim"], "cuda-sim")

    def broken(*args, **more):
        raise RuntimeError("planted")

    monkeypatch.setattr(gpu, "_run", lambda command, limit: "1 passed")
    monkeypatch.setattr(gpu.kernel_bench, "run", measured("kernels"))
    monkeypatch.setattr(gpu.steps, "run", broken)
    monkeypatch.setattr(gpu.profile, "run", measured("profile"))
    monkeypatch.setenv("DEVICE", "cuda-sim")
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    return tmp_path / "out"


def test_every_part_is_in_the_summary_and_a_failing_one_is_counted(parts, capsys):
    assert gpu.main() == 2
    (path,) = parts.glob("*-cuda-sim-summary.json")
    found = json.loads(path.read_text())["parts"]
    measured = ["kernels", "train-step", "kernels-tf32", "train-step-tf32"]
    assert list(found) == ["tests", "sanitizer", *measured, *(f"profile-{r}" for r in gpu.RECIPES)]
    assert [name for name, part in found.items() if not part["well"]] == ["train-step", "train-step-tf32"]
    assert "planted" in found["train-step"]["said"]
    assert found["kernels"]["said"].startswith("1 rows; no time for adagrad, adam")
    assert "FAILED" in capsys.readouterr().out
    assert len(list(parts.glob("*.json"))) == 6
    (tf32,) = parts.glob("*-kernels-tf32.json")
    assert document.read(tf32)["precision"] == "TF32"


def test_a_program_that_fails_is_an_error():
    with pytest.raises(RuntimeError, match="ended with 3: last words"):
        gpu._run([gpu.sys.executable, "-c", "print('last words'); raise SystemExit(3)"], 60)


@pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")
def test_a_gpu_is_not_asked_for_in_a_rehearsal(parts, monkeypatch):
    monkeypatch.setattr(gpu.shutil, "which", lambda name: "/planted")
    assert gpu._sanitizer(True).startswith("not run")
    assert gpu._sanitizer(False) == "memcheck: 1 passed; racecheck: 1 passed"
