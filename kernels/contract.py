"""What a row of the table of kernels holds, and the table itself, which `contracts.py` fills."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import checks, checks_update, samples, samples_update
from .cases import CASES

TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
EXACT = {"float32": 0.0, "float64": 0.0}
CHECKS = {**vars(checks), **vars(checks_update)}
SAMPLES = {**vars(samples), **vars(samples_update)}


@dataclass(frozen=True)
class Contract:
    """What a kernel promises.

    `flops(*args)` counts useful multiplications and additions, `bytes(*args)` the bytes that must be read
    and written once. `tolerance[dtype name]` bounds the largest difference between two columns, divided by
    the largest magnitude of that output, or by 1 where it is smaller. `sample(rng)` draws arguments by name,
    ragged edges and odd memory orders included; `cases` are the named shapes that benchmarks time, each a
    function of a generator. `mutates` names the arguments written to.
    """

    name: str
    family: str
    arguments: tuple[str, ...]
    summary: str
    flops: Callable[..., float]
    bytes: Callable[..., float]
    tolerance: Mapping[str, float]
    check: Callable[..., None]
    sample: Callable[[np.random.Generator], dict[str, Any]]
    cases: Mapping[str, Callable[[np.random.Generator], dict[str, Any]]]
    mutates: tuple[str, ...] = ()


CONTRACTS: dict[str, Contract] = {}


def contract(
    family: str,
    name: str,
    arguments: str,
    summary: str,
    flops: Callable[..., float],
    bytes: Callable[..., float],
    tolerance: Mapping[str, float] = TOLERANCE,
    mutates: tuple[str, ...] = (),
) -> None:
    """A row: the arguments' names in one text."""
    CONTRACTS[name] = Contract(
        name,
        family,
        tuple(arguments.split()),
        summary,
        flops,
        bytes,
        tolerance,
        CHECKS[name],
        SAMPLES[name],
        CASES[name],
        mutates,
    )
