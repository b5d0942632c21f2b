"""What `bench/gpu.sh` runs: every part goes on when another fails, and says in the summary what became of it.

It imports neither the command line nor anything that draws, so that it runs where only NumPy, CuPy, Numba,
pytest, Hypothesis, PyTorch and rich are installed. DEVICE is "cuda" by default; "cuda-sim" is the rehearsal.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rawgan import kernels
from rawgan.bench import document, profile, steps, tables
from rawgan.bench import kernels as kernel_bench
from rawgan.training.files import write_whole

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ("mlp", "dcgan_mnist", "dcgan_cifar10")
SMALL = "tests/kernels/test_cuda_device.py::test_agrees_with_the_textbook"


def main() -> int:
    """The number of parts that failed, which are named last."""
    device = os.environ.get("DEVICE", "cuda")
    rehearsal = device == "cuda-sim"
    out = Path(os.environ.get("OUT") or ROOT / "bench" / "results")
    out.mkdir(parents=True, exist_ok=True)
    day = datetime.date.today().isoformat()
    torch = () if rehearsal else ("torch",)
    compiled = () if rehearsal else ("torch", "torch.compile")
    batch, seconds = (1, 0.001) if rehearsal else (None, 0.02)
    long = 0.05 if rehearsal else 5.0

    def keep(name: str, measure: Callable[[], dict[str, Any]], precision: str = "fp32") -> str:
        with kernels.use_precision(precision):
            found = measure()
        document.write(out / f"{day}-{device}-{name}.json", found)
        tables.show(found)
        return _missing(found, device, [*torch, *compiled])

    parts: dict[str, Callable[[], str]] = {
        "tests": lambda: _tests("gpu", rehearsal),
        "sanitizer": lambda: _sanitizer(rehearsal),
    }
    for precision in kernels.precision.PRECISIONS:
        for name, measure in {
            "kernels": lambda: kernel_bench.run([device], torch, batch=batch, seconds=seconds),
            "train-step": lambda: steps.run([device], compiled, RECIPES, batch=batch and 4, seconds=long),
        }.items():
            named = name if precision == "fp32" else f"{name}-{precision}"
            parts[named] = lambda named=named, measure=measure, p=precision: keep(named, measure, p)
    for recipe in RECIPES:
        parts[f"profile-{recipe}"] = lambda recipe=recipe: keep(
            f"profile-{recipe}", lambda: profile.run(recipe, device, batch and 4, min(long, 2.0))
        )
    summary = {"device": device, "day": day, "commit": document.commit(), "parts": {}}
    for name, part in parts.items():
        print(f"\n== {name}", flush=True)
        start = time.perf_counter()
        try:
            said, well = part(), True
        except BaseException as error:  # the next part is worth having all the same
            traceback.print_exc()
            said, well = document.words(error), False
            if isinstance(error, KeyboardInterrupt):
                raise
        taken = round(time.perf_counter() - start, 1)
        summary["parts"][name] = {"well": well, "seconds": taken, "said": said}
        text = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
        write_whole(out / f"{day}-{device}-summary.json", [text.encode()])
    print()
    for name, part in summary["parts"].items():
        print(f"{'ok    ' if part['well'] else 'FAILED'} {part['seconds']:6.1f} s  {name}: {part['said']}")
    return sum(not part["well"] for part in summary["parts"].values())


def _missing(found: dict[str, Any], device: str, rivals: list[str]) -> str:
    """Which expected rows and columns have no time."""
    rows = found["rows"]
    expected = set(kernels.KERNELS) if found["what"] == "kernels" else {*RECIPES} & {r["name"] for r in rows}
    lacking = sorted(expected - {r["name"] for r in rows if device in r["times"]})
    blank = {side: sum(side not in r["times"] for r in rows) for side in rivals if side in found["columns"]}
    said = [f"{len(rows)} rows"]
    said += [f"no time for {', '.join(lacking)}"] if lacking else []
    said += [f"{side} blank in {count}" for side, count in blank.items() if count]
    return "; ".join(said)


def _run(command: list[str], limit: float) -> str:
    """The last line that a program printed; an error where it failed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit)
    print((done.stdout + done.stderr)[-6000:])
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {last}")
    return last


def _tests(marker: str, rehearsal: bool) -> str:
    files = ["tests/kernels/test_cuda_table.py", "-k", "sigmoid"] if rehearsal else ["tests", "-m", marker]
    return _run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files], 240)


def _sanitizer(rehearsal: bool) -> str:
    tool = shutil.which("compute-sanitizer")
    if rehearsal or tool is None:
        return "not run: there is no compute-sanitizer here"
    said = []
    for check in ("memcheck", "racecheck"):
        command = [tool, "--tool", check, "--error-exitcode", "9", sys.executable, "-m", "pytest", "-q", "-x"]
        chosen = [
            SMALL,
            "-m",
            "gpu",
            "-p",
            "no:cacheprovider",
            "-k",
            "leaky_relu or dense or norm or conv or pool",
        ]
        said.append(f"{check}: {_run([*command, *chosen], 120)}")
    return "; ".join(said)


if __name__ == "__main__":
    sys.exit(main())
