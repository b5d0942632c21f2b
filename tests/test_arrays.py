"""Devices are named, looked up and refused in one place."""

import sys
import types
import warnings

import numpy as np
import pytest

import rawgan
from rawgan import arrays
from rawgan.kernels.errors import DeviceError, DTypeError


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # import cupy raises ImportError


@pytest.fixture
def broken_cupy(monkeypatch):
    """CuPy is installed, but there is no GPU."""
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "14.0"
    cupy.ndarray = type("ndarray", (), {})
    cupy.cuda = types.SimpleNamespace(is_available=lambda: False)
    monkeypatch.setitem(sys.modules, "cupy", cupy)


def test_cuda_without_cupy_says_what_is_missing_and_how_to_get_it(no_cupy):
    for ask in (
        lambda: rawgan.tensor([1.0], device="cuda"),
        lambda: rawgan.tensor([1.0]).to("cuda:1"),
        lambda: rawgan.use_device("cuda").__enter__(),
        lambda: rawgan.rng.Generator(0).normal(3, device="cuda"),
    ):
        with pytest.raises(DeviceError, match=r"CuPy, which is not installed .*; install rawgan\[cuda13\]"):
            ask()


def test_cuda_without_a_gpu(broken_cupy):
    with pytest.raises(DeviceError, match=r"CuPy 14.0 is installed but finds no usable NVIDIA GPU; install"):
        rawgan.tensor([1.0], device="cuda")
    assert rawgan.tensor([1.0]).device == "cpu"


def test_auto_falls_back_and_says_so_once(no_cupy, monkeypatch):
    monkeypatch.setattr(arrays, "_said_why", set())
    with pytest.warns(UserWarning, match="device='auto' uses the CPU: .*CuPy"):
        assert rawgan.tensor([1.0], device="auto").device == "cpu"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with rawgan.use_device("auto") as name:
            assert name == "cpu"


ASKING = {
    "tensor": lambda: rawgan.tensor([1.0], device="auto"),
    "a tensor moved": lambda: rawgan.tensor([1.0]).to("auto"),
    "a module moved": lambda: rawgan.nn.Dense(1, 1).to("auto"),
    "use_device": lambda: rawgan.use_device("auto").__enter__(),
    "train": lambda: rawgan.train("mixture", steps=1, batch_size=1, progress=False),
}


@pytest.mark.parametrize("name", ASKING)
def test_the_fallback_names_the_line_that_asked(name, no_cupy, monkeypatch):
    monkeypatch.setattr(arrays, "_said_why", set())
    with pytest.warns(UserWarning, match="device='auto' uses the CPU") as seen:
        ASKING[name]()
    code = ASKING[name].__code__
    assert [(w.filename, w.lineno) for w in seen] == [(code.co_filename, code.co_firstlineno)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "no device 'gpu'; there are: auto, cpu, cuda"),
        ("", "no device ''"),
        ("CPU", "no device 'CPU'"),
        ("cpu:0", "there is one device 'cpu'; got 'cpu:0'"),
        (0, "named by a string such as 'cpu' or 'cuda:1', got 0"),
    ],
)
def test_unknown_devices(name, message):
    with pytest.raises(DeviceError, match=message):
        rawgan.tensor([1.0], device=name)


def test_use_device_is_restored(no_cupy):
    assert arrays.resolve(None) == "cpu"
    with pytest.raises(KeyError), rawgan.use_device("cpu"):
        raise KeyError
    with pytest.raises(DeviceError), rawgan.use_device("cpu"), rawgan.use_device("cuda"):
        pass
    assert arrays.resolve(None) == "cpu"


def test_arrays_and_their_modules():
    x = np.ones(2, np.float32)
    assert arrays.namespace(x) is np
    assert arrays.device_of(x) == "cpu"
    assert arrays.asarray(x) is x
    assert arrays.to_numpy(x) is x
    assert arrays.asarray([1, 2], "float64").dtype == np.float64
    assert arrays.is_array(np.float32(1))
    for other in (1.0, [1.0], "x", None, rawgan.tensor(1.0)):
        assert not arrays.is_array(other)
    with pytest.raises(DTypeError, match=r"builtins.list is not an array.*one of: cpu, cuda"):
        arrays.namespace([1.0])


def test_scatter_add_counts_repeats():
    out = arrays.scatter_add((3,), np.array([0, 2, 0]), np.array([1.0, 2.0, 4.0]))
    assert out.tolist() == [5, 0, 2]
    assert arrays.scatter_add((2, 2), (slice(None), 1), np.array([1.0, 2.0])).tolist() == [[0, 1], [0, 2]]


def test_a_foreign_array_beside_a_tensor_is_refused(monkeypatch):
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed: rawgan[test]")
    with pytest.raises(DTypeError, match=r"array_api_strict.* is not an array that rawgan can compute with"):
        rawgan.tensor([1.0]) * strict.asarray([1.0])
    monkeypatch.setattr(arrays, "BACKENDS", dict(arrays.BACKENDS))
    monkeypatch.setattr(arrays, "_by_type", {})
    kind = type(strict.asarray(0.0))
    arrays.register(
        arrays.Backend(
            "strict", lambda: strict, lambda: (kind,), None, np.asarray, lambda array: "strict", None
        )
    )
    with pytest.raises(DeviceError, match=r"multiply: got arrays on cpu and strict; move one"):
        rawgan.tensor([1.0]) * strict.asarray([1.0])
