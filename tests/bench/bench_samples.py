"""Small arguments of kernels, and documents made by hand."""

import numpy as np

from rawgan import kernels
from rawgan.bench import document


def sample(name, dtype="float32"):
    """The first arguments that a kernel's contract draws which are of that dtype and not empty."""
    for seed in range(1000):
        arguments = kernels.KERNELS[name].contract.sample(np.random.default_rng(seed))
        if arguments.get("negative_slope", 0) < 0:  # has no gradient kernel
            continue
        given = [v for key, v in arguments.items() if (name, key) != ("clip_norm", "sums")]  # always float64
        listed = [v if isinstance(v, list) else [v] for v in given]
        arrays = [v for some in listed for v in some if isinstance(v, np.ndarray)]
        if (
            arrays
            and {a.dtype.name for a in arrays} <= {dtype, "uint32", "int32"}
            and all(a.size for a in arrays)
        ):
            return arguments
    raise AssertionError(f"{name}: no sample of {dtype}")


def times(ms, spread=0.1):
    return {"median_ms": ms, "low_ms": ms * (1 - spread), "high_ms": ms * (1 + spread), "timings": 5}


def row(name, case="a case", part="value", **columns):
    """A row of a kernels' document with a median for each column."""
    taken = {column: times(ms) for column, ms in columns.items()}
    return {
        "name": name,
        "part": part,
        "case": case,
        "flops": 2e6,
        "bytes": 1e5,
        "times": taken,
        "missing": {},
    }


def made(rows, what="kernels", columns=("cpu", "torch"), main="cpu", **more):
    """A document of this machine around the rows."""
    limits = {main: {"gflops": 100.0, "gbytes": 10.0}}
    return document.make(what, rows, list(columns), main, **{"roofs": limits, **more})
