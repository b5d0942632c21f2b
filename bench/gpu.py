"""What `bench/gpu.sh` runs: stages, each in a process of its own that is ended when its time is up.

    python -m rawgan.bench.gpu              all of them, in under ten minutes whatever hangs
    python -m rawgan.bench.gpu STAGE        one, here

A stage that fails or hangs is named in the summary and the next one begins. Results are written to $OUT (or
bench/results) as they come: a JSON file for each measurement, the summary, and a log of all that was printed.
DEVICE is "cuda" by default; "cuda-sim" is the rehearsal. Neither the command line nor anything that draws is
imported, so it runs where only NumPy, CuPy, Numba, pytest, Hypothesis, PyTorch and rich are installed.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rawgan import kernels
from rawgan.bench import document, gradients, profile, steps, tables
from rawgan.bench import kernels as kernel_bench
from rawgan.training.files import write_whole

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ("mlp", "dcgan_mnist", "dcgan_cifar10")
SMALL = "tests/kernels/test_cuda_device.py::test_agrees_with_the_textbook"
WHOLE = 570.0  # seconds for everything
PYTEST = [sys.executable, "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider"]


class Stage(NamedTuple):
    """seconds: after so many it is ended. run: does it, and returns a word about it."""

    seconds: float
    run: Callable[[], str]


def stages() -> dict[str, Stage]:
    """What is done, the most important first."""
    device = _device()
    rehearsal = device == "cuda-sim"
    torch, compiled = ((), ()) if rehearsal else (("torch",), ("torch", "torch.compile"))
    batch, seconds, long = (1, 0.001, 0.05) if rehearsal else (None, 0.02, 2.0)
    small = batch and 4
    out = {"tests": Stage(100, lambda: _tests(rehearsal))}
    for recipe in RECIPES:
        out[f"gradients-{recipe}"] = Stage(
            20,
            lambda r=recipe: _kept(f"gradients-{r}", lambda: gradients.run(r, ["cpu", device], small or 16)),
        )
    for p in kernels.precision.PRECISIONS:
        end = "" if p == "fp32" else f"-{p}"
        few = rehearsal and p == "tf32"  # tensor cores are slow work for a processor
        for recipe in RECIPES[:1] if few else RECIPES:
            out[f"train-step-{recipe}{end}"] = Stage(
                45,
                lambda r=recipe, p=p, name=f"train-step-{recipe}{end}": _kept(
                    name, lambda: steps.run([device], compiled, [r], batch=small, seconds=long), p
                ),
            )
        out[f"kernels{end}"] = Stage(
            50,
            lambda p=p, name=f"kernels{end}", only=["sigmoid"] if few else (): _kept(
                name,
                lambda: kernel_bench.run(
                    [device], torch, only, batch, seconds, keep=lambda found: _write(name, found)
                ),
                p,
            ),
        )
    for recipe in RECIPES[:1] if rehearsal else RECIPES:
        out[f"profile-{recipe}"] = Stage(
            15, lambda r=recipe: _kept(f"profile-{r}", lambda: profile.run(r, device, small, long))
        )
    out["sanitizer"] = Stage(90, lambda: _sanitizer(rehearsal))
    return out


def _device() -> str:
    return os.environ.get("DEVICE", "cuda")


def _path(name: str) -> Path:
    folder = Path(os.environ.get("OUT") or ROOT / "bench" / "results")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{datetime.date.today().isoformat()}-{_device()}-{name}"


def _write(name: str, found: dict[str, Any]) -> None:
    document.write(_path(f"{name}.json"), found)


def _kept(name: str, measure: Callable[[], dict[str, Any]], precision: str = "fp32") -> str:
    """Measure, write the file, show the table."""
    with kernels.use_precision(precision):
        found = measure()
    _write(name, found)
    tables.show(found)
    return gradients.worst(found) if found["what"] == "gradients" else _missing(found)


def _missing(found: dict[str, Any]) -> str:
    """Which expected rows and columns have no time."""
    rows, main = found["rows"], found["main"]
    expected = set(kernels.KERNELS) if found["what"] == "kernels" else {*RECIPES} & {r["name"] for r in rows}
    lacking = sorted(expected - {r["name"] for r in rows if main in r["times"]})
    rivals = [side for side in document.RIVALS if side in found["columns"]]
    blank = {side: sum(side not in r["times"] for r in rows) for side in rivals}
    said = [f"{len(rows)} rows"]
    said += [f"no time for {', '.join(lacking)}"] if lacking else []
    said += [f"{side} blank in {count}" for side, count in blank.items() if count]
    return "; ".join(said)


def _tests(rehearsal: bool) -> str:
    marked = [
        path for path in (ROOT / "tests").rglob("test_*.py") if "pytest.mark.gpu" in path.read_text("utf-8")
    ]
    chosen = ["tests/kernels/test_cuda_table.py", "-k", "sigmoid"] if rehearsal else [*marked, "-m", "gpu"]
    return _run(
        [*PYTEST, "--maxfail=30", "--durations=10", *map(str, chosen)]
    )  # no other file: less to import


def _sanitizer(rehearsal: bool) -> str:
    """NVIDIA's tool over small launches; without CuPy's pool, which hides what lies beyond an array."""
    tool = shutil.which("compute-sanitizer")
    if rehearsal or tool is None:
        return "not run: there is no compute-sanitizer here"
    chosen = [*PYTEST, "-x", SMALL, "-m", "gpu", "-k", "leaky_relu or dense or norm or conv or pool"]
    said = []
    for check in ("memcheck", "racecheck"):
        command = [tool, "--tool", check, "--error-exitcode", "9", *chosen]
        said.append(f"{check}: {_run(command, RAWGAN_NO_POOL='1')}")
    return "; ".join(said)


def _run(command: list[str], **more: str) -> str:
    """The last line that a program printed, which is shown as it comes; an error where it failed."""
    last = ""
    environment = {**os.environ, **more}
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as program:
        for line in program.stdout or ():
            print(line, end="", flush=True)
            last = line.strip() or last
    if program.returncode:
        raise RuntimeError(f"{Path(command[0]).name} ended with {program.returncode}: {last}")
    return last


def _apart(name: str, limit: float, log: Path) -> tuple[str, bool]:
    """A stage in a process of its own: what it says, and whether it went well."""
    start = log.stat().st_size if log.exists() else 0
    with log.open("ab") as file:
        program = subprocess.Popen(
            _command(name),
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        try:
            program.wait(limit)
            ended = f"ended with {program.returncode}"
        except subprocess.TimeoutExpired:
            ended = f"did not end within {limit:.0f} s"
        finally:  # a broken-off run (Ctrl-C) leaves nothing behind either
            if program.poll() is None:
                os.killpg(program.pid, signal.SIGKILL)  # with all that it has started
    with log.open("rb") as file:
        file.seek(start)
        text = file.read().decode("utf-8", "replace")
    print(text[-6000:], end="", flush=True)
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "")[:300]
    return (last, True) if ended == "ended with 0" else (f"{ended}: {last}", False)


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "rawgan.bench.gpu", name]


def main(names: list[str]) -> int:
    """One stage here; or all, each apart, and then how many failed."""
    if names:
        print(stages()[names[0]].run())
        return 0
    summary = {"device": _device(), "commit": document.commit(), "parts": {}}
    log, begun = _path("log.txt"), time.perf_counter()
    log.unlink(missing_ok=True)

    def write() -> None:
        text = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
        write_whole(_path("summary.json"), [text.encode()])

    for name, stage in stages().items():
        start = time.perf_counter()
        limit = min(stage.seconds, WHOLE - (start - begun))
        part = summary["parts"][name] = {"well": False, "seconds": 0.0, "limit": limit, "said": "under way"}
        write()
        print(f"\n== {name}", flush=True)
        said = _apart(name, limit, log) if limit > 1 else ("not begun: no time was left", False)
        part |= {"well": said[1], "seconds": round(time.perf_counter() - start, 1), "said": said[0]}
        write()
    print()
    for name, part in summary["parts"].items():
        print(f"{'ok    ' if part['well'] else 'FAILED'} {part['seconds']:6.1f} s  {name}: {part['said']}")
    return sum(not part["well"] for part in summary["parts"].values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
