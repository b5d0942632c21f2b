"""The one command for a GPU: what fails or hangs is named and ended, and the rest goes on."""

import json
import sys
import time

import pytest

from rawgan.bench import document, gpu, gradients
from rawgan.kernels.cuda import host


@pytest.fixture
def out(monkeypatch, tmp_path):
    """DEVICE and OUT as in a rehearsal."""
    monkeypatch.setenv("DEVICE", "cuda-sim")
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    return tmp_path / "out"


PROFILES = [*(f"profile-{recipe}" for recipe in gpu.RECIPES), "sanitizer"]


def measured(what):
    row = {"name": "mlp", "part": "step", "case": "", "flops": 0.0, "bytes": 0.0, "times": {}}
    times = {"cuda-sim": {"median_ms": 1.0, "low_ms": 1.0, "high_ms": 1.0, "timings": 1}}
    return lambda *args, **more: document.make(what, [row | {"times": times}], ["cuda-sim"], "cuda-sim")


CODE = {
    "well": "print('a table'); print('3 rows')",
    "broken": "raise RuntimeError('planted')",
    "killed": "import os; print('half', flush=True); os.kill(os.getpid(), 9)",
    "hangs": "import subprocess, sys, time; print('before', flush=True)\n"
    "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])",
    "after": "print('still here')",
}


def test_what_fails_or_hangs_is_in_the_summary_and_the_rest_goes_on(out, monkeypatch, capsys):
    limits = {name: gpu.Stage(1.5 if name == "hangs" else 30, lambda: "") for name in CODE}
    monkeypatch.setattr(gpu, "stages", lambda: limits)
    monkeypatch.setattr(gpu, "_command", lambda name: [sys.executable, "-c", CODE[name]])
    start = time.perf_counter()
    assert gpu.main([]) == 3
    assert time.perf_counter() - start < 40
    (path,) = out.glob("*-cuda-sim-summary.json")
    found = json.loads(path.read_text())["parts"]
    assert {name: part["said"] for name, part in found.items()} == {
        "well": "3 rows",
        "broken": "ended with 1: RuntimeError: planted",
        "killed": "ended with -9: half",
        "hangs": "did not end within 2 s: before",
        "after": "still here",
    }
    assert [name for name, part in found.items() if part["well"]] == ["well", "after"]
    (log,) = out.glob("*-log.txt")
    assert "a table" in log.read_text()
    assert "FAILED" in capsys.readouterr().out


def test_the_whole_has_a_limit_too(out, monkeypatch):
    monkeypatch.setattr(gpu, "WHOLE", 1.0)
    monkeypatch.setattr(gpu, "stages", lambda: {"well": gpu.Stage(30, lambda: "")})
    monkeypatch.setattr(gpu, "_command", lambda name: pytest.fail("begun"))
    assert gpu.main([]) == 1
    (path,) = out.glob("*-summary.json")
    assert json.loads(path.read_text())["parts"]["well"]["said"] == "not begun: no time was left"
    assert gpu.WHOLE < 600


def test_every_measurement_is_a_stage_and_leaves_its_file(out, monkeypatch, capsys):
    monkeypatch.setattr(gpu.kernel_bench, "run", measured("kernels"))
    monkeypatch.setattr(gpu.steps, "run", measured("train-step"))
    monkeypatch.setattr(gpu.profile, "run", measured("profile"))
    monkeypatch.setenv("DEVICE", "cuda")
    steps = [f"train-step-{recipe}" for recipe in gpu.RECIPES]
    tf32 = [f"{name}-tf32" for name in (*steps, "kernels")]
    expected = ["tests", *(f"gradients-{r}" for r in gpu.RECIPES), *steps, "kernels", *tf32]
    assert list(gpu.stages()) == [*expected, *PROFILES]
    for name in ("kernels", "train-step-mlp-tf32", "profile-mlp"):
        assert gpu.main([name]) == 0
        (path,) = out.glob(f"*-cuda-{name}.json")
        assert document.read(path)["precision"] == ("TF32" if "tf32" in name else "float32")
    assert "1 rows; no time for adagrad, adam, batch_norm" in capsys.readouterr().out
    monkeypatch.setenv("DEVICE", "cuda-sim")
    assert {"tests", "gradients-mlp", "kernels-tf32", "sanitizer"} < {*gpu.stages()} < {*expected, *PROFILES}


def test_kernels_are_kept_as_they_come(out, monkeypatch):
    kept = []
    monkeypatch.setattr(gpu, "_write", lambda name, found: kept.append((name, len(found["rows"]))))
    only = gpu.kernel_bench.run(
        ["cpu"], only=["sigmoid", "tanh"], batch=1, seconds=1e-4, keep=lambda d: gpu._write("k", d)
    )
    assert kept[0][1] == sum(row["name"] == "sigmoid" for row in only["rows"])


def test_a_program_that_fails_is_an_error(capfd):
    with pytest.raises(RuntimeError, match="ended with 3: last words"):
        gpu._run([sys.executable, "-c", "print('last words'); raise SystemExit(3)"])
    said = gpu._run([sys.executable, "-c", "import os; print(os.environ['MORE'])"], MORE="given")
    assert said == "given"
    assert "last words\ngiven" in capfd.readouterr().out


def test_the_sanitizer_is_not_asked_for_in_a_rehearsal_and_has_no_pool_to_look_into(monkeypatch):
    asked = []
    monkeypatch.setattr(gpu.shutil, "which", lambda name: "/planted")
    monkeypatch.setattr(gpu, "_run", lambda command, **more: asked.append((command[2], more)) or "1 passed")
    assert gpu._sanitizer(True).startswith("not run")
    assert gpu._sanitizer(False) == "memcheck: 1 passed; racecheck: 1 passed"
    assert asked == [(check, {"RAWGAN_NO_POOL": "1"}) for check in ("memcheck", "racecheck")]


@pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")
class TestGradients:
    def test_two_devices_agree_and_the_worst_comes_first(self, capsys):
        found = gradients.run("mlp", ["cpu", "cuda-sim"], 4)
        names = [row["name"] for row in found["rows"]]
        assert {"noise", "G's output", "generator.0.weight", "discriminator.1.bias"} <= {*names}
        apart = [row["differences"]["cuda-sim"] for row in found["rows"]]
        assert apart == sorted(apart, reverse=True)
        assert 0 < apart[0] <= 1e-4
        assert gradients.worst(found).endswith(tuple("0123456789"))
        gpu.tables.show(found)
        said = capsys.readouterr().out
        assert "relative differences from cpu" in said

    @pytest.mark.parametrize(("factor", "shown"), [(1.5, "5.0e-01"), (float("nan"), "not finite")])
    def test_a_gradient_that_is_wrong_on_one_device_is_named(self, factor, shown, monkeypatch, capsys):
        taken = gradients._taken

        def wrong(recipe, batch, device, start):
            out = taken(recipe, batch, device, start)
            if device == "cuda-sim":
                part, least, value = out["discriminator.1.weight"]
                out["discriminator.1.weight"] = part, least, value * factor
            return out

        monkeypatch.setattr(gradients, "_taken", wrong)
        found = gradients.run("mlp", ["cpu", "cuda-sim"], 4)
        assert gradients.worst(found).startswith("discriminator.1.weight")
        assert found["rows"][0]["name"] == "discriminator.1.weight"
        gpu.tables.show(found)
        assert shown in capsys.readouterr().out
        assert document._fault(json.loads(json.dumps(found))) is None

    def test_one_device_or_the_textbook_is_refused(self):
        for devices, said in ((["cpu"], "name two"), (["cpu", "reference"], "it is no device")):
            with pytest.raises(gradients.ConfigError, match=said):
                gradients.run("mlp", devices, 4)
