"""How many threads there are."""

import os

from ..errors import ConfigError


def thread_count() -> int:
    """RAWGAN_NUM_THREADS, or the number of processors that this process may run on."""
    text = os.environ.get("RAWGAN_NUM_THREADS")
    if text is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"RAWGAN_NUM_THREADS: got {text!r}; takes a number of threads, 1 or more")
    return int(text)
