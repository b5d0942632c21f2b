"""Warnings that name the user's line, from however deep inside rawgan they come.

Python 3.12 has `skip_file_prefixes` for this; 3.11 wants to be told how many calls to go up.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings

INSIDE = (
    os.path.join(os.path.dirname(__file__), ""),
    contextlib.__file__,
)  # a `with` of ours passes through it


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """`warnings.warn` at the innermost line outside rawgan."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(INSIDE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
