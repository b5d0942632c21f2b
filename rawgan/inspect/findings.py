"""What stands out in a step's summary, each with a sentence why it matters.

The limits are rules of thumb, named on the page beside what they found; a healthy step has few findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DEAD = 0.25
SATURATED = 0.5
SMALL, LARGE = 1e-5, 1e-1  # an update's share of its weights; about 1e-3 is usual
FADED = 1e-3  # of the largest gradient among the layers of one phase
CUT = 0.1  # what clipping leaves

LIMITS = (
    f"dead > {DEAD:.0%}, saturated > {SATURATED:.0%}, update / weight outside 10⁻⁵ to 10⁻¹, "
    f"a gradient under {FADED:g} of the largest in its phase, clipped to less than {CUT:.0%}"
)


def findings(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For rows of a Summary: [{"row", "column", "says"}], in their order."""
    most: dict[str, float] = {}
    for row in rows:
        most[row["phase"]] = max(most.get(row["phase"], 0.0), row.get("grad norm") or 0.0)
    out = []
    for number, row in enumerate(rows):
        for column, says in _of(row, most[row["phase"]]):
            out.append({"row": number, "column": column, "says": f"{row['layer']}, {row['phase']}: {says}"})
    return out


def _of(row: Mapping[str, Any], most: float) -> list[tuple[str, str]]:
    out = []
    if (share := row.get("dead")) is not None and share > DEAD:
        out.append(
            ("dead", f"{share:.0%} of the units are 0 for the whole batch; no gradient passes through them.")
        )
    if (share := row.get("saturated")) is not None and share > SATURATED:
        out.append(
            ("saturated", f"{share:.0%} of the outputs are within 1% of an end, where the slope is nearly 0.")
        )
    ratio = row.get("update / weight")
    if ratio is not None and ratio > LARGE:
        out.append(
            ("update / weight", f"one update changed the weights by {ratio:.0%} of their norm: very much.")
        )
    if ratio is not None and ratio < SMALL:
        out.append(
            (
                "update / weight",
                f"one update changed the weights by {ratio:.1e} of their norm: hardly at all.",
            )
        )
    if (kept := row.get("clipped")) is not None and kept < CUT:
        out.append(("clipped", f"clipping left {kept:.1%} of the gradient's norm."))
    size = row.get("grad norm")
    if size is not None and most and size < FADED * most:
        out.append(
            ("grad norm", f"the gradient is {size / most:.1e} of the largest in this phase: it has faded.")
        )
    return out
