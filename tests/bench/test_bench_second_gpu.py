"""Measurements on a GPU, and on one that is not the current one, by a stand-in for CuPy."""

import sys

import fake_cupy
import numpy as np
import pytest
from fake_cupy import STATE

import rawgan
from rawgan import arrays
from rawgan.bench import document, gradients, kernels, roofs, tables
from rawgan.bench.columns import Column
from rawgan.kernels.cuda import host, peak

pytestmark = pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")


@pytest.fixture(autouse=True)
def gpus(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy.make(2))
    for name, value in {"SIZE": 16, "TRIAD": 1 << 10, "BLOCKS": 1, "ROUNDS": 1}.items():
        monkeypatch.setattr(roofs, name, value)
    monkeypatch.setattr(peak.PROGRAM, "_compiled", {})
    yield
    assert STATE.current == 0


@pytest.mark.parametrize("number", [0, 1])
def test_who_is_waited_for_is_the_gpu_with_all_its_streams(number):
    Column(arrays.resolve(f"cuda:{number}")).wait()()
    assert STATE.awaited == [number]
    assert Column("cuda-sim").wait() is Column("cpu").wait() is None


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
@pytest.mark.parametrize(("precision", "product"), [("fp32", "SGEMM"), ("tf32", "mma.sync of TF32")])
def test_products_are_judged_by_the_roof_of_their_precision(device, precision, product):
    with rawgan.use_precision(precision):
        found = roofs.measure(device, 0.001)
    assert found["product"] == product
    assert found["gflops"] > 0 < found["gbytes"]
    number = int(device == "cuda:1")
    assert set(STATE.awaited) == {number}
    assert set(STATE.launched) == ({(number, "multiply")} if precision == "tf32" else set())


def test_the_processor_and_its_stand_in_have_one_roof():
    for device in ("cpu", "cuda-sim"):
        with rawgan.use_precision("tf32"):
            assert roofs.measure(device, 0.001)["product"] == "multiply-adds"


def test_a_document_says_which_roof_it_was():
    with rawgan.use_precision("tf32"):
        found = kernels.run(["cuda:1"], only=["matmul"], batch=2, seconds=1e-4)
    assert found["roofs"]["cuda:1"]["product"] == "mma.sync of TF32"
    assert any("Gflop/s in mma.sync of TF32" in line for line in tables.headline(found))
    assert {row["part"] for row in found["rows"]} > {"value"}  # gradient rules run there too
    assert document._fault(found) is None
    found["roofs"]["cuda:1"]["product"] = "\x1b"
    assert "has no name" in document._fault(found)


def test_gradients_of_the_second_gpu_are_those_of_the_processor():
    found = gradients.run("mlp", ["cpu", "cuda:1"], 3)
    assert found["rows"][0]["differences"]["cuda:1"] <= 1e-4
    assert np.isfinite(found["rows"][0]["differences"]["cuda:1"])
