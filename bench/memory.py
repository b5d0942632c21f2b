"""Peak resident memory of a training step, each side in a fresh process that does nothing else.

    python -m rawgan.bench.memory mlp torch 128 30

prints {"before": ..., "peak": ..., "growth": ...} in MB: resident before the steps, the most while they ran
after three to warm up, and how much more was resident at the end than a third of the way in.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rawgan

STEPS = 30


def peaks(name: str, batch: int | None, sides: Sequence[str], steps: int = STEPS) -> dict[str, Any]:
    """What the module prints, for each side: a device, "torch", or "torch.compile"; {"missing": why} if none.

    Twice for the first of them, and the second time counts: the first may have to compile.
    """
    found: dict[str, Any] = {}
    for side in (sides[0], *sides):
        command = [sys.executable, "-m", "rawgan.bench.memory", name, side, str(batch or 0), str(steps)]
        root = str(Path(rawgan.__file__).parents[1])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
        try:
            found[side] = json.loads(done.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            found[side] = {"missing": said[-1][:200]}
    return found


def measure(name: str, side: str, batch: int | None, steps: int) -> dict[str, float]:
    """The figures of this process, in MB."""
    from rawgan import kernels
    from rawgan.bench import steps as bench_steps

    if side.startswith("torch"):
        from rawgan.bench import twins

        # The textbook kernels draw its weights: PyTorch's process is not to carry our compiler.
        with kernels.use_kernels("reference"):
            ours = bench_steps.trainer(name, batch)
            plain = twins.step(ours, side == "torch.compile")
            del ours.networks, ours.optimizers  # PyTorch has its own

        def step() -> Any:
            with kernels.use_kernels("reference"):  # for the order of the batches
                return plain()
    else:
        step = bench_steps.plain_step(bench_steps.trainer(name, batch, device=side))

    for _ in range(3):
        step()
    gc.collect()
    _reset_peak()
    before = third = status("VmRSS")
    for number in range(steps):
        step()
        if number == steps // 3:
            third = status("VmRSS")
    return {"before": before, "peak": status("VmHWM"), "growth": status("VmRSS") - third}


def status(field: str) -> float:
    """A size out of /proc/self/status in MB; where there is none, the peak of the process so far."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    (line,) = (line for line in lines if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024 / 1e6


def _reset_peak() -> None:
    """Lets VmHWM start again from what is resident now; where that cannot be, it includes the warm-up."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


if __name__ == "__main__":
    name, side, batch, steps = sys.argv[1:]
    print(json.dumps(measure(name, side, int(batch) or None, int(steps))))
