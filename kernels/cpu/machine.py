"""What this processor and this installation offer, for `rawgan info` and for what is cut to its caches."""

import platform
from pathlib import Path
from typing import Any

from .threads import thread_count


def info() -> dict[str, Any]:
    """Numba's version and instruction set, the pool's threads, NumPy's BLAS.

    >>> info()["threads"] >= 1
    True
    """
    import numba
    import numpy as np  # noqa: F401  (its BLAS must be loaded to be seen)
    from llvmlite import binding as llvm
    from threadpoolctl import threadpool_info

    from . import jit, linear, vector  # noqa: F401

    features = llvm.get_host_cpu_features()
    wanted = ("sse4.2", "avx", "avx2", "fma", "avx512f", "neon", "sve")
    blas = [f"{b['internal_api']} {b['version']}" for b in threadpool_info() if b["user_api"] == "blas"]
    return {
        "numba": numba.__version__,
        "threads": thread_count(),
        "blas": ", ".join(blas) or "unknown",
        "cpu": f"{_model()} ({llvm.get_host_cpu_name()})",
        "instructions": ", ".join(name for name in wanted if features.get(name)),
        "simd": vector.SIMD,
        "second cache": f"{second_cache() >> 10} KB",
        "compiled kernels": "kept on disk" if jit.cached else "made anew each time: no folder for them",
    }


SECOND_CACHE = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")


def second_cache() -> int:
    """Bytes of a processor's second cache; 1 MB where the system does not say."""
    try:
        return int(SECOND_CACHE.read_text().strip().removesuffix("K")) << 10
    except (OSError, ValueError):
        return 1 << 20


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
