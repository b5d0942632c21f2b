"""Which function a call reaches, what it refuses, and what it needs from the machine."""

import doctest
import importlib
import os
import pkgutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from rawgan import kernels
from rawgan.kernels.errors import ConfigError, DeviceError, DTypeError, ShapeError

ROOT = Path(__file__).parents[2]


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )


def test_importing_kernels_is_light():
    heavy = "numba", "scipy", "threadpoolctl", "torch"
    code = f"import sys, rawgan.kernels; print([name for name in {heavy} if name in sys.modules])"
    assert python(code).stdout.strip() == "[]"


def test_refuses_to_be_imported_as_plain_kernels():
    result = python("import kernels")
    assert result.returncode == 1
    assert "ImportError" in result.stderr
    assert "import rawgan.kernels" in result.stderr


def test_use_kernels_switches_and_restores():
    x = np.ones(3)
    assert kernels.leaky_relu.resolve(np.ndarray, "reference").__module__.endswith("reference.activation")
    assert kernels.leaky_relu.resolve(np.ndarray, "fast").__module__.endswith("cpu.activation")
    seen = []

    def spy(x, negative_slope):
        seen.append("reference")
        return x

    kernel = kernels.leaky_relu
    key = (np.ndarray, "reference")
    kernel(x, 0.1)
    saved = kernel._resolved.pop(key, None)
    kernel._resolved[key] = spy, None
    try:
        with kernels.use_kernels("reference"):
            kernel(x, 0.1)
            with kernels.use_kernels("fast"):
                kernel(x, 0.1)
            thread = threading.Thread(target=kernel, args=(x, 0.1))
            thread.start()
            thread.join()
        kernel(x, 0.1)
    finally:
        del kernel._resolved[key]
        if saved:
            kernel._resolved[key] = saved
    assert seen == ["reference"]  # not in the block within, not in another thread, not after


def test_use_kernels_names_the_choices():
    with pytest.raises(ConfigError, match=r"'quick'.*fast, reference"), kernels.use_kernels("quick"):
        pass


def test_unknown_arrays_are_named():
    with pytest.raises(
        DeviceError, match=r"dense: no kernel for arrays of type builtins\.list.*numpy\.ndarray"
    ):
        kernels.dense([[1.0]], [[1.0]], None)


def test_subclasses_of_a_listed_array_are_served():
    class Mapped(np.ndarray):
        pass

    y = kernels.leaky_relu(np.array([-2.0, 2.0]).view(Mapped), 0.5)
    np.testing.assert_array_equal(y, [-1, 2])


def test_arguments_by_name_and_by_place():
    x, w = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    by_place = kernels.conv2d(x, w, None, (1, 1), (0, 0))
    by_name = kernels.conv2d(stride=(1, 1), padding=(0, 0), x=x, weight=w, bias=None)
    np.testing.assert_array_equal(by_place, by_name)
    np.testing.assert_array_equal(kernels.conv2d(x, w, None), by_place)


def f4(*shape):
    return np.zeros(shape, np.float32)


def f8(*shape):
    return np.zeros(shape)


def words(*shape):
    return np.zeros(shape, np.uint32)


def places(*shape):
    return np.zeros(shape, np.int32)


READ_ONLY = np.zeros(3)
READ_ONLY.flags.writeable = False
ONE = (1, 1)

REFUSED = [
    ("matmul", (f4(2, 3), f4(4, 5)), ShapeError, r"a \(2, 3\), b \(4, 5\)"),
    ("matmul", (f4(3), f4(3, 2)), ShapeError, r"a \(3,\)"),
    ("matmul", (f4(2, 2, 3), f4(3, 3, 2)), ShapeError, "broadcast"),
    ("matmul", (f4(2, 2), f8(2, 2)), DTypeError, "float32, float64"),
    ("matmul", (places(2, 2), places(2, 2)), DTypeError, "int32"),
    ("matmul", (f4(2, 2).astype(">f4"), f4(2, 2)), DTypeError, ">f4"),
    ("dense", (f4(2, 3), f4(4, 5), None), ShapeError, r"x \(2, 3\), weight \(4, 5\)"),
    ("dense", (f4(2, 3), f4(4, 3), f4(3)), ShapeError, r"bias \(3,\)"),
    ("dense", (f4(2, 3), f4(4, 3), f8(4)), DTypeError, "float64"),
    ("perceptron", (f4(2, 3), [f4(4, 3), f4(1, 5)], [None, None], (0, 1)), ShapeError, r"weight \(1, 5\)"),
    ("perceptron", (f4(2, 3), [f4(4, 3)], [f4(3)], (0,)), ShapeError, r"bias \(3,\)"),
    ("perceptron", (f4(2, 3), [f4(4, 3)], [None], ()), ShapeError, "0 slopes"),
    ("perceptron", (f4(3), [f4(4, 3)], [None], (1,)), ShapeError, r"x \(3,\)"),
    ("perceptron", (f4(2, 3), [f8(4, 3)], [None], (1,)), DTypeError, "float64"),
    ("perceptron", (f4(2, 3), [f4(4, 3)], [None], (0,), True), ConfigError, "a sigmoid after a slope of 0"),
    (
        "perceptron_grad",
        (f4(2, 4), f4(2, 3), [f4(2, 5)], [f4(4, 3)], (1,), (True, True)),
        ShapeError,
        r"outputs \[\(2, 5\)\]",
    ),
    (
        "perceptron_grad",
        (f4(1, 4), f4(2, 3), [f4(2, 4)], [f4(4, 3)], (1,), (True, True)),
        ShapeError,
        r"gy \(1, 4\)",
    ),
    ("perceptron_grad", (f4(2, 4), f4(2, 3), [f4(2, 4)], [f4(4, 3)], (1,), (True,)), ShapeError, "a pair"),
    (
        "conv2d",
        (f4(1, 2, 5, 5), f4(3, 4, 2, 2), None, ONE, (0, 0)),
        ShapeError,
        r"\(1, 2, 5, 5\).*\(3, 4, 2, 2\)",
    ),
    ("conv2d", (f4(2, 5, 5), f4(3, 4, 2, 2), None, ONE, (0, 0)), ShapeError, r"\(2, 5, 5\)"),
    ("conv2d", (f4(1, 2, 3, 3), f4(3, 2, 4, 4), None, ONE, (0, 0)), ShapeError, "no larger"),
    ("conv2d", (f4(1, 2, 3, 3), f4(3, 2, 2, 2), None, (0, 1), (0, 0)), ShapeError, r"stride \(0, 1\)"),
    ("conv2d", (f4(1, 2, 3, 3), f4(3, 2, 2, 2), None, ONE, (0, -1)), ShapeError, r"padding \(0, -1\)"),
    ("conv2d", (f4(1, 2, 3, 3), f4(3, 2, 2, 2), None, (1,), (0, 0)), ShapeError, "pairs"),
    ("conv2d", (f4(1, 2, 3, 3), f4(3, 2, 2, 2), f4(2), ONE, (0, 0)), ShapeError, r"bias \(2,\)"),
    ("conv2d", (f4(1, 2, 3, 3), f4(3, 2, 0, 2), None, ONE, (0, 0)), ShapeError, r"\(0, 2\)"),
    (
        "conv_transpose2d",
        (f4(1, 2, 3, 3), f4(3, 2, 2, 2), None),
        ShapeError,
        r"\(1, 2, 3, 3\).*\(3, 2, 2, 2\)",
    ),
    ("conv_transpose2d", (f4(1, 2, 1, 1), f4(2, 3, 2, 2), None, ONE, ONE), ShapeError, "less padding"),
    (
        "conv2d_weight_grad",
        (f4(1, 2, 3, 3), f4(2, 3, 2, 2), (2, 2)),
        ShapeError,
        r"\(1, 2, 3, 3\).*\(2, 3, 2, 2\)",
    ),
    ("conv2d_weight_grad", (f4(1, 2, 3, 3), f4(1, 3, 3, 2), (2, 2)), ShapeError, "reaches beyond"),
    ("max_pool2d", (f4(1, 1, 4, 4), (2, 2), (2, 2), (2, 0)), ShapeError, "half the kernel"),
    ("max_pool2d", (f4(1, 4, 4), (2, 2), (2, 2), (0, 0)), ShapeError, r"\(1, 4, 4\)"),
    (
        "max_pool2d_scatter",
        (f4(1, 1, 2, 2), places(1, 1, 2, 1), (4, 4)),
        ShapeError,
        r"\(1, 1, 2, 2\).*\(1, 1, 2, 1\)",
    ),
    ("max_pool2d_scatter", (f4(1, 1, 2, 2), places(1, 1, 2, 2).astype(int), (4, 4)), DTypeError, "int64"),
    ("max_pool2d_gather", (f4(1, 1, 2, 2), places(2, 1, 2, 1)), ShapeError, r"\(2, 1, 2, 1\)"),
    ("batch_norm", (f4(2, 3, 4), f4(3), f4(3), 1e-5), ShapeError, r"\(2, 3, 4\)"),
    ("batch_norm", (f4(2, 3), f4(2), f4(3), 1e-5), ShapeError, r"scale \(2,\)"),
    ("batch_norm", (f4(0, 3), f4(3), f4(3), 1e-5), ShapeError, r"\(0, 3\)"),
    (
        "batch_norm_grad",
        (f4(2, 3), f4(3, 3), f4(3), f4(3), f4(3), 1e-5),
        ShapeError,
        r"gy \(2, 3\), x \(3, 3\)",
    ),
    ("leaky_relu", (places(3), 0.1), DTypeError, "int32"),
    ("leaky_relu_grad", (f4(3), f4(4), 0.1), ShapeError, r"gy \(3,\), y \(4,\)"),
    ("leaky_relu_grad", (f4(3), f4(3), -0.1), ConfigError, "-0.1"),
    ("dropout", (f4(3), 1.0, 0, 0, False), ConfigError, "p = 1.0"),
    ("dropout_grad", (f4(3), f4(4), 0.5), ShapeError, r"y \(4,\)"),
    ("dropout_grad", (f4(3), f8(3), 0.5), DTypeError, "float64"),
    ("dropout_grad", (f4(3), f4(3), 1.0), ConfigError, "p = 1.0"),
    ("dropout", (f4(3), 0.5, 0, 0, False, -0.1), ConfigError, "-0.1"),
    ("dropout_grad", (f4(3), f4(3), 0.5, -0.1), ConfigError, "-0.1"),
    ("dropout", (f4(3), 0.5, -1, 0, False), ConfigError, "key -1"),
    ("dropout", (f4(3), 0.5, 0, 2**64, False), ConfigError, "draw 18446744073709551616"),
    ("dropout", (f4(3), 0.5, 0, 0, True), ShapeError, r"\(3,\)"),
    ("channel_sum", (f4(3),), ShapeError, r"x \(3,\)"),
    ("contiguous", (words(3),), DTypeError, "uint32"),
    ("sigmoid", (words(3),), DTypeError, "uint32"),
    ("sigmoid_grad", (f4(3), f4(4)), ShapeError, r"gy \(3,\), y \(4,\)"),
    ("tanh", (places(3),), DTypeError, "int32"),
    ("tanh_grad", (f4(3), f8(3)), DTypeError, "float64"),
    ("bce", (f4(3), f4(4)), ShapeError, r"predictions \(3,\), targets \(4,\)"),
    ("bce", (f4(3), f8(3)), DTypeError, "float64"),
    ("bce_with_logits", (f4(0), 1.0), ShapeError, "at least one element"),
    ("philox_words", (f4(3), 0, 0), DTypeError, "float32"),
    ("philox_words", (words(4, 4)[:, ::2], 0, 0), ShapeError, "C-contiguous"),
    ("philox_uniform", (words(3), 0, 0), DTypeError, "uint32"),
    ("philox_normal", (READ_ONLY, 0, 0), ShapeError, "writable"),
    ("sum_squares", ([words(3)],), DTypeError, "uint32"),
    ("adam", ([f4(3)], [f4(4)], [f4(3)], [f4(3)], 1, 0, 0, 1, 1), ShapeError, r"param \(3,\), grad \(4,\)"),
    ("adam", ([f4(3)], [f4(3)], [f8(3)], [f4(3)], 1, 0, 0, 1, 1), DTypeError, "float64"),
    ("adam", ([f4(3)], [f4(3)], [f4(6)[::2]], [f4(3)], 1, 0, 0, 1, 1), ShapeError, "C-contiguous"),
    ("adam", ([f4(3)], [f4(6)[::2]], [f4(3)], [f4(3)], 1, 0, 0, 1, 1), ShapeError, "C-contiguous"),
    ("adam", ([f4(3)], [f4(3)], [f4(3)], [f4(3)], 1, 0, 0, 1, 0), ConfigError, "step 0"),
    ("adam", ([f4(3)], [f4(3), f4(3)], [f4(3)], [f4(3)], 1, 0, 0, 1, 1), ShapeError, "1 params, 2 grads"),
    ("adam", ([], [], [], [], 1, 0, 0, 1, 1), ShapeError, "at least one"),
    ("adam", ([f4(3)] * 2, [f4(3)] * 2, [f4(3)] * 2, [f4(3), f8(3)], 1, 0, 0, 1, 1), DTypeError, "float64"),
    ("log_softmax", (f4(),), ShapeError, r"x \(\)"),
    ("log_softmax", (f4(3, 0),), ShapeError, r"x \(3, 0\)"),
    ("log_softmax", (words(3),), DTypeError, "uint32"),
    ("log_softmax_grad", (f4(3), f4(4)), ShapeError, r"gy \(3,\), y \(4,\)"),
    ("log_softmax_grad", (f4(3, 0), f4(3, 0)), ShapeError, r"gy \(3, 0\)"),
    ("gather", (f8(3, 2), places(1, 2), 0, 0.0, 1.0), DTypeError, "items of float64"),
    ("gather", (f4(3, 2), f4(1, 2), 0, 0.0, 1.0), DTypeError, "table of float32"),
    ("gather", (f4(3, 2), places(0, 2), 0, 0.0, 1.0), ShapeError, r"table \(0, 2\)"),
    ("gather", (f4(0, 2), places(1, 2), 0, 0.0, 1.0), ShapeError, r"items \(0, 2\)"),
    ("gather", (f4(3, 2), places(1, 2), -1, 0.0, 1.0), ConfigError, "row -1"),
    ("gather", (f4(3, 2), places(1, 2), 0, 1.0, 1.0), ConfigError, "low 1.0, high 1.0"),
    ("gather", (f4(3, 2), places(1, 2) + np.int32(3), 0, 0.0, 1.0), ShapeError, "from 3 to 3 for 3 items"),
    ("gather", (f4(3, 2), places(1, 2) - np.int32(1), 0, 0.0, 1.0), ShapeError, "from -1 to -1 for 3 items"),
    ("clip_norm", ([f4(3)], f8(2), 1.0, False), ShapeError, r"sums \(2,\) of float64 for 1 arrays"),
    ("clip_norm", ([f4(3)], f4(1), 1.0, False), ShapeError, "sums .* of float32"),
    ("clip_norm", ([f4(6)[::2]], f8(1), 1.0, False), ShapeError, "C-contiguous"),
    ("clip_norm", ([f4(3)], f8(1), 0.0, False), ConfigError, "limit 0"),
    ("clip_value", ([words(3)], 1.0), DTypeError, "uint32"),
    ("clip_value", ([f4(6)[::2]], 1.0), ShapeError, "C-contiguous"),
    ("clip_value", ([f4(3)], np.nan), ConfigError, "limit nan"),
    ("sgd", ([f4(3)], [f4(3)], [], 0.1, 0.9), ShapeError, "1 params, 1 grads, 0 vs"),
    ("sgd", ([f4(3)], [f4(3)], [f4(4)], 0.1, 0.9), ShapeError, r"v \(4,\)"),
    ("rmsprop", ([f4(3)], [f8(3)], [f4(3)], 0.1, 0.9, 0), DTypeError, "float64"),
    ("adagrad", ([f4(3)], [f4(3)], [f4(6)[::2]], 0.1, 0), ShapeError, "C-contiguous"),
]


@pytest.mark.parametrize("choice", kernels.CHOICES)
@pytest.mark.parametrize(("name", "arguments", "error", "message"), REFUSED)
def test_wrong_calls_are_refused(choice, name, arguments, error, message):
    with kernels.use_kernels(choice), pytest.raises(error, match=f"^{name}: .*{message}"):
        kernels.KERNELS[name](*arguments)


def test_every_kernel_refuses_something():
    assert {row[0] for row in REFUSED} == set(kernels.KERNELS)


BATCH = "from rawgan import kernels; import numpy as np; x = np.ones((600, 600), np.float32); "


def test_thread_count_from_the_environment():
    code = "from rawgan import kernels; print(kernels.info()['threads'])"
    assert python(code, RAWGAN_NUM_THREADS="3").stdout.strip() == "3"
    for wrong in ("0", "two", "-1", ""):
        result = python(BATCH + "kernels.dense(x, x, None)", RAWGAN_NUM_THREADS=wrong)
        assert f"ConfigError: RAWGAN_NUM_THREADS: got {wrong!r}" in result.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_has_its_own_threads():
    code = BATCH + (
        "import os; wanted = kernels.dense(x, x, None); child = os.fork()\n"
        "if child == 0: os._exit(0 if np.array_equal(kernels.dense(x, x, None), wanted) else 3)\n"
        "print(os.waitpid(child, 0)[1])"
    )
    assert python(code, RAWGAN_NUM_THREADS="2").stdout.strip() == "0"


def test_works_where_nothing_can_be_cached(tmp_path):
    """As where package and home folder are read-only: Numba finds no place and raises at decoration."""
    code = (
        "from numba.core import caching\n"
        "def nowhere(self, py_func): raise RuntimeError('cannot cache function: no locator available')\n"
        "caching.CacheImpl.__init__ = nowhere\n"
        "from rawgan import kernels; import numpy as np\n"
        "print(kernels.leaky_relu(np.array([-2.0, 2.0]), 0.5).tolist(), kernels.info()['compiled kernels'])"
    )
    result = python(code)
    assert result.stdout.strip() == "[-1.0, 2.0] made anew each time: no folder for them", result.stderr


@pytest.mark.parametrize(
    "name", sorted(m.name for m in pkgutil.walk_packages(kernels.__path__, "rawgan.kernels."))
)
def test_examples_in_docstrings(name):
    if ".cuda" not in name:
        assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_info_says_what_runs():
    info = kernels.info()
    names = {"numba", "threads", "blas", "cpu", "instructions", "simd", "second cache", "compiled kernels"}
    assert set(info) == names
    assert info["threads"] >= 1
    assert isinstance(info["instructions"], str)
