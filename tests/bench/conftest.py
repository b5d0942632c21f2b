"""Small cases for the harness. What it measures is never asserted, only what it says about it."""

import dataclasses
import os

import pytest
from bench_samples import sample

from rawgan import kernels
from rawgan.bench import document, roofs


@pytest.fixture
def tiny_cases(monkeypatch):
    """Every kernel has one small case, and the roofs are known without measuring."""
    for name, kernel in kernels.KERNELS.items():
        cases = {"tiny": lambda rng, name=name: sample(name)}
        monkeypatch.setattr(kernel, "contract", dataclasses.replace(kernel.contract, cases=cases))
    monkeypatch.setattr(roofs, "measure", lambda device: {"gflops": 100.0, "gbytes": 10.0})


@pytest.fixture
def no_torch(monkeypatch):
    """PyTorch cannot be found."""
    find = document.importlib.util.find_spec
    monkeypatch.setattr(
        document.importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )


@pytest.fixture(autouse=True)
def threads_as_before():
    """No test leaves another number of threads behind."""
    before = os.environ.get("RAWGAN_NUM_THREADS")
    yield
    assert os.environ.get("RAWGAN_NUM_THREADS") == before
