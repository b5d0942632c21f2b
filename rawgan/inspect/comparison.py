"""One step on several devices: both sides' gradients, and where they differ most."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rawgan.inspect.ledger import norm
from rawgan.inspect.show import dataframe, rich_table, table, text

if TYPE_CHECKING:
    import pandas

    from rawgan.inspect.tape import Tape


@dataclass
class Comparison:
    """tapes: by device. The first is what the others are compared with."""

    tapes: dict[str, Tape]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each player's parameter: norms, the largest difference, and ‖a − b‖ / ‖a‖."""
        first, *others = self.tapes
        out = []
        for number, turn in enumerate(self.tapes[first].turns):
            for name, update in turn.parameters.items():
                row: dict[str, Any] = {"turn": turn.phase.split(":")[0], "parameter": name}
                row[f"norm on {first}"] = norm(update.gradient)
                for device in others:
                    other = self.tapes[device].turns[number].parameters[name].gradient
                    apart = other.astype(np.float64) - update.gradient
                    size = norm(update.gradient)
                    row[f"norm on {device}"] = norm(other)
                    row[f"largest difference on {device}"] = float(np.abs(apart).max(initial=0.0))
                    row[f"relative on {device}"] = norm(apart) / size if size else norm(apart)
                out.append(row)
        return out

    def worst(self) -> dict[str, Any]:
        """The row with the largest relative difference."""
        return max(
            self.rows(), key=lambda row: max([v for k, v in row.items() if k.startswith("relative")] or [0])
        )

    def __repr__(self) -> str:
        worst = self.worst()
        return f"{text(self.rows())}\n{worst['parameter']} differs most"

    def __rich__(self) -> Any:
        return rich_table(self.rows(), f"gradients on {', '.join(self.tapes)}")

    def _repr_html_(self) -> str:
        return table(self.rows(), f"gradients on {', '.join(self.tapes)}")

    def save_html(self, path: str | os.PathLike, seconds: float = 10.0) -> None:
        """Write the report of the first device's tape, with this table; see `Tape.save_html`."""
        from rawgan.inspect.report import save

        save(next(iter(self.tapes.values())), path, seconds, self)

    def to_dataframe(self) -> pandas.DataFrame:
        """The rows as a pandas DataFrame; ConfigError without pandas."""
        return dataframe(self.rows())
