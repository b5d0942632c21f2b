"""Times every kernel on the shapes of this project's networks, beside PyTorch where it is installed.

    python bench/kernels.py                          # the CPU column, and PyTorch's
    python bench/kernels.py conv2d dense --reference --json out.json

Each case runs in bursts that alternate between the columns (A A A, B B B, A A A, ...), and the first call of
a burst is not counted: after a call, PyTorch's OpenMP threads keep spinning for some milliseconds and would
take a processor from whoever comes next. The figure is the median over all counted calls. `ratio` is this
project's time divided by PyTorch's; `Gflop/s` counts the useful operations of the direct method.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from rawgan import kernels

BURST = 4


def _torch_calls() -> dict[str, Callable[..., Callable[[], Any]]]:
    """Kernel name -> a function of its arguments that returns PyTorch's call for the same result."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(kernels.info()["threads"])
    torch.set_grad_enabled(False)

    def host(*arrays):
        return [None if a is None else torch.from_numpy(a.copy(order="K")) for a in arrays]

    def matmul(a, b):
        a, b = host(a, b)
        return lambda: torch.matmul(a, b)

    def dense(x, weight, bias):
        x, weight, bias = host(x, weight, bias)
        return lambda: F.linear(x, weight, bias)

    # Convolutions get contiguous tensors: PyTorch's own choice of layout, and its users'.
    def conv2d(x, weight, bias, stride, padding):
        x, weight = (t.contiguous() for t in host(x, weight))
        return lambda: F.conv2d(x, weight, None, stride, padding)

    def conv_transpose2d(x, weight, bias, stride, padding, output_padding):
        x, weight = (t.contiguous() for t in host(x, weight))
        return lambda: F.conv_transpose2d(x, weight, None, stride, padding, output_padding)

    def conv2d_weight_grad(x, gy, kernel_size, stride, padding):
        x, gy = (t.contiguous() for t in host(x, gy))
        weight = torch.empty(gy.shape[1], x.shape[1], *kernel_size)
        wanted = [False, True, False]
        backward = torch.ops.aten.convolution_backward
        return lambda: backward(gy, x, weight, None, stride, padding, (1, 1), False, (0, 0), 1, wanted)

    def max_pool2d(x, kernel_size, stride, padding):
        (x,) = host(x)
        return lambda: F.max_pool2d(x, kernel_size, stride, padding, return_indices=True)

    def batch_norm(x, scale, shift, eps):
        x, scale, shift = host(x, scale, shift)
        return lambda: F.batch_norm(x, None, None, scale, shift, True, 0.1, eps)

    def leaky_relu(x, negative_slope):
        (x,) = host(x)
        return lambda: F.leaky_relu(x, negative_slope)

    def dropout(x, p, key, draw, channels):
        (x,) = host(x)
        return lambda: F.dropout(x, p)

    def philox_normal(out, key, draw):
        return lambda: torch.randn(out.shape)

    def philox_uniform(out, key, draw):
        return lambda: torch.rand(out.shape)

    return {name: call for name, call in locals().items() if name in kernels.KERNELS}


def _alternate(calls: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """The median time of each call in seconds, in alternating bursts for about `seconds` in all."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():  # compile, allocate
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not all(len(t) >= BURST for t in times.values()):
        for name, call in calls.items():
            for i in range(BURST):
                start = time.perf_counter()
                call()
                if i:
                    times[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in times.items()}


def _measure(name: str, case: str, columns: list[str], torch_calls: dict, seconds: float) -> dict[str, Any]:
    kernel = kernels.KERNELS[name]
    arguments = kernel.contract.cases[case](np.random.default_rng(0))
    calls = {}
    for column in columns:
        function = kernel.implementation(column)
        calls[column] = lambda function=function: function(**arguments)
    if name in torch_calls:
        calls["torch"] = torch_calls[name](**arguments)
    times = _alternate(calls, seconds)
    values = arguments.values()
    flops, moved = float(kernel.contract.flops(*values)), float(kernel.contract.bytes(*values))
    return {"kernel": name, "case": case, "flops": flops, "bytes": moved, "seconds": times}


def _line(row: dict[str, Any], columns: list[str]) -> str:
    times = row["seconds"]
    cells = [f"{1e3 * times[c]:10.3f}" if c in times else f"{'-':>10}" for c in [*columns, "torch"]]
    ratio = f"{times['cpu'] / times['torch']:6.2f}" if "torch" in times else f"{'-':>6}"
    rates = f"{row['flops'] / times['cpu'] / 1e9:8.1f} {row['bytes'] / times['cpu'] / 1e9:8.1f}"
    return f"{row['kernel']:19} {row['case']:20}{''.join(cells)} {ratio} {rates}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernels", nargs="*", help="names of kernels (default: all)")
    parser.add_argument("--reference", action="store_true", help="time the textbook column too (slow)")
    parser.add_argument("--seconds", type=float, default=1.0, help="time to spend on a case")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    unknown = set(options.kernels) - set(kernels.KERNELS)
    if unknown:
        parser.error(f"unknown kernels {sorted(unknown)}; there are {', '.join(kernels.KERNELS)}")
    columns = ["reference", "cpu"] if options.reference else ["cpu"]
    try:
        torch_calls = _torch_calls()
    except ImportError:
        torch_calls = {}
    machine = kernels.info()
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    heads = "".join(f"{column + ' ms':>10}" for column in [*columns, "torch"])
    print(f"{'kernel':19} {'case':20}{heads}  ratio  Gflop/s     GB/s")
    rows = []
    for name in options.kernels or kernels.KERNELS:
        for case in kernels.KERNELS[name].contract.cases:
            rows.append(_measure(name, case, columns, torch_calls, options.seconds))
            print(_line(rows[-1], columns), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
