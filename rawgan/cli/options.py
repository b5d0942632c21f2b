"""What commands share: kinds of options, and the settings of a recipe as they are typed."""

from __future__ import annotations

import ast
from typing import Annotated, Any

from cyclopts import Group, Parameter

SETTINGS = Group("Settings of the recipe", help="Any field of the recipe, such as --noise 64 --d-steps 2.")
Setting = Annotated[str, Parameter(group=SETTINGS)]
Flag = Annotated[bool, Parameter(negative="")]
Count = Annotated[int, Parameter(alias="-n")]


def values(settings: dict[str, str]) -> dict[str, Any]:
    """Settings as keywords: a number, tuple or dict where the text is one, else the text itself."""
    return {name.replace("-", "_"): _value(text) for name, text in settings.items()}


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
