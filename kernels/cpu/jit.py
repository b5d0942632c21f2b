"""How Numba compiles the functions here: free of the interpreter's lock, cached on disk where possible."""

from collections.abc import Callable
from typing import Any

from numba import njit

OPTIONS = {"nogil": True, "error_model": "numpy"}

cached = True


def jit(function: Callable[..., Any]) -> Any:
    """Compiles on the first call with new argument types.

    Numba raises at once where neither the module's folder nor the user's cache folder can be written; there
    the function is compiled anew by each process.
    """
    global cached
    try:
        return njit(cache=True, **OPTIONS)(function)
    except RuntimeError:
        cached = False
        return njit(**OPTIONS)(function)
