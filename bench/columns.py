"""Where a kernel can run: the textbook column, and one column for each device.

A column that cannot run here says why in `missing`, and stays blank in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rawgan import arrays, kernels
from rawgan.kernels.errors import ConfigError, DeviceError

KINDS = ("reference", "cpu", "cuda", "cuda-sim")


@dataclass(frozen=True)
class Column:
    """name: "reference" or a device. kind: the first part of it. missing: why it cannot run."""

    name: str
    missing: str | None = None

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]

    @property
    def implementation(self) -> str:
        """The column of the kernels' table: "cuda" on "cuda-sim" too."""
        return "cuda" if self.kind == "cuda-sim" else self.kind

    @property
    def device(self) -> str:
        """The device whose arrays this column takes, whose roofs it is judged by."""
        return "cpu" if self.name == "reference" else self.name

    def place(self, value: Any) -> Any:
        """An argument as this column takes it: arrays on the device, in their memory order."""
        if isinstance(value, list | tuple):
            return type(value)(map(self.place, value))
        return arrays.asarray(value, device=self.device) if arrays.is_array(value) else value

    def bound(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """The call with the kernels that it makes served by this column, on its own GPU."""
        numbered = self.kind == "cuda" and self.name != "cuda"
        if self.name != "reference" and not numbered:
            return call

        def run() -> Any:
            with arrays.use_device(self.name) if numbered else kernels.use_kernels("reference"):
                return call()

        return run

    def wait(self) -> Callable[[], Any] | None:
        """What waits until the device has done what it was asked; None where calls do so themselves."""
        if self.kind != "cuda":
            return None
        array = arrays.asarray(0.0, "float32", self.device)
        return array.device.synchronize  # all its streams: a graph is replayed on one of its own


def find(names: Sequence[str] | None) -> list[Column]:
    """The columns of these names; by default the textbook, the CPU, and a GPU if there is a usable one.

    >>> [column.name for column in find(["reference", "cpu"])]
    ['reference', 'cpu']
    """
    if names is None:
        return [c for c in find(("reference", "cpu", "cuda")) if c.name != "cuda" or c.missing is None]
    return [Column(name, _why_not(name)) for name in dict.fromkeys(names)]


def _why_not(name: str) -> str | None:
    if name.partition(":")[0] not in KINDS:
        raise ConfigError(f"bench: there is no device {name!r}; there are: {', '.join(KINDS)}")
    if name == "reference":
        return None
    try:
        arrays.resolve(name)
    except DeviceError as error:
        return " ".join(str(error).partition(";")[0].split())
    return None
