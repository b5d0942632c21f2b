"""Our matrix product: every form and ragged size against float64, the same bits from any team."""

import ast
import os
import subprocess
import sys
import threading
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rawgan import kernels
from rawgan.kernels.cpu import linear, perceptron, team, vector
from rawgan.kernels.cpu.gemm import BREADTH, DEPTH, HEIGHT, WIDE

SIZES = st.integers(1, 40) | st.sampled_from([WIDE, 2 * WIDE + 1, HEIGHT + 5, BREADTH + 3, 2 * DEPTH + 1])


def matrix(rng, rows, columns, order):
    """In C order, transposed, or neither."""
    if order == "T":
        return rng.standard_normal((columns, rows), np.float32).T
    if order == "strided":
        return rng.standard_normal((rows, 2 * columns), np.float32)[:, ::2]
    return rng.standard_normal((rows, columns), np.float32)


crew_of = cache(team.Team)
ORDERS = st.sampled_from(["C", "T", "strided"])


@settings(max_examples=150, deadline=None)
@given(SIZES, SIZES, SIZES, ORDERS, ORDERS, st.booleans(), st.integers(0, 2**32 - 1))
@example(256, 128, 128, "C", "T", True, 0)
@example(128, 784, 128, "T", "C", False, 1)
@example(20, 700, 700, "T", "T", True, 2)  # a B that does not fit the second cache
@example(300, 700, 400, "C", "strided", False, 3)
@example(16, 12544, 100, "C", "C", True, 4)  # cut by depth
@example(7, 30_001, 13, "T", "T", True, 5)
@example(70, 1, 6272, "strided", "strided", False, 6)  # an outer product of wide rows
@example(1, 1, 300, "C", "T", False, 7)
def test_every_form_agrees_with_float64(m, k, n, a_order, b_order, biased, seed):
    rng = np.random.default_rng(seed)
    a, b = matrix(rng, m, k, a_order), matrix(rng, k, n, b_order)
    bias = rng.standard_normal(n, np.float32) if biased else None
    got = linear._product(a, b, bias)
    wanted = a.astype(np.float64) @ b.astype(np.float64) + (0 if bias is None else bias)
    assert got.dtype == np.float32
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= 1e-5 * max(1, np.abs(wanted).max())


FORMS = [
    (256, 128, 128),
    (128, 784, 128),
    (128, 128, 784),
    (2000, 64, 40),
    (7, 300, 500),
    (256, 1, 128),
    (30, 520, 1000),
    (16, 12544, 100),
]


@pytest.mark.parametrize(("m", "k", "n"), FORMS)
def test_the_same_bits_from_any_team(m, k, n, monkeypatch):
    rng = np.random.default_rng(0)
    a, b, bias = (rng.standard_normal(shape, np.float32) for shape in ((m, k), (k, n), (n,)))
    results = []
    for threads in (1, 2, 4):
        crew = team.Team(threads)
        monkeypatch.setattr(linear, "team", lambda crew=crew: crew)
        results += [linear._product(a, b, bias) for _ in range(20)]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_wide_rows_of_an_outer_product_have_the_bits_of_tiles():
    column, row = (
        np.random.default_rng(0).standard_normal(shape, np.float32) for shape in ((31, 1), (1, 700))
    )
    column[3], row[0, ::5] = 0, -0.0
    wide, tiles = linear._product(column, row), linear._product(column, row[:, :40])
    np.testing.assert_array_equal(wide[:, :40].view(np.int32), tiles.view(np.int32))


@pytest.mark.parametrize("rows", [2, 5, 16, 33, 64, 200])
@pytest.mark.parametrize("sizes", [(100, 128, 128, 784), (784, 128, 33, 1), (16, 40, 2)])
def test_a_chain_has_the_bits_of_its_layers(rows, sizes, monkeypatch):
    """By columns where rows are few, by rows where they are many, on any team."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((out, into), np.float32) for into, out in pairwise(sizes)]
    biases = [None, *(rng.standard_normal(out, np.float32) for out in sizes[2:])]
    slopes = (0.2, *[0.0] * (len(weights) - 2), 1.0)
    x = y = rng.standard_normal((rows, sizes[0]), np.float32)
    wanted = []
    for weight, bias, slope in zip(weights, biases, slopes, strict=True):
        y = kernels.dense(y, weight, bias)
        y = y if slope == 1 else kernels.leaky_relu(y, slope)
        wanted.append(y)
    for threads in (1, 2, 4):
        crew = crew_of(threads)
        monkeypatch.setattr(perceptron, "team", lambda crew=crew: crew)
        for got, exact in zip(kernels.perceptron(x, weights, biases, slopes), wanted, strict=True):
            np.testing.assert_array_equal(got, exact)
        *_, squashed = kernels.perceptron(x, weights, biases, slopes, True)
        np.testing.assert_array_equal(squashed, kernels.sigmoid(wanted[-1]))


@pytest.mark.parametrize("squashed", [False, True])
@pytest.mark.parametrize("rows", [2, 5, 16, 128, 600, 1500])
@pytest.mark.parametrize(
    "sizes",
    [(100, 128, 784), (784, 128, 33, 1), (1, 40, 2), (3, 1, 1), (16, 128, 128, 2), (20, 700, 400, 1)],
)
def test_a_chains_gradients_have_the_bits_of_its_layers(rows, sizes, squashed, monkeypatch):
    """Of any team. The weights of the last are so large that its layers are computed one by one."""
    rng = np.random.default_rng(1)
    weights = [rng.standard_normal((out, into), np.float32) for into, out in pairwise(sizes)]
    slopes = (0.2, *[0.0] * (len(weights) - 2), 1.0)
    x, gz = (rng.standard_normal((rows, width), np.float32) for width in (sizes[0], sizes[-1]))
    outputs = kernels.perceptron(x, weights, [None] * len(weights), slopes, squashed)
    found = []
    for threads in (1, 2, 4):
        crew = crew_of(threads)
        monkeypatch.setattr(perceptron, "team", lambda crew=crew: crew)
        found.append(kernels.perceptron_grad(gz, x, outputs, weights, slopes, (True, True), squashed))
    wanted = []
    gz = kernels.sigmoid_grad(gz, outputs[-1]) if squashed else gz
    for i in reversed(range(len(weights))):
        gz = gz if slopes[i] == 1 else kernels.leaky_relu_grad(gz, outputs[i], slopes[i])
        wanted = [kernels.matmul(gz.T, outputs[i - 1] if i else x), kernels.channel_sum(gz), *wanted]
        gz = kernels.matmul(gz, weights[i])
    for results in found:
        for got, exact in zip(results, [gz, *wanted], strict=True):
            np.testing.assert_array_equal(got, exact)


@pytest.mark.parametrize("asked", [(True, False), (False, True), (True, True)])
def test_a_chain_of_arrays_that_lie_otherwise(asked, monkeypatch):
    """They are copied, as an upstream gradient of ones is; a copy is as large as it is, and no larger."""
    rng = np.random.default_rng(1)
    weights = [matrix(rng, out, into, "T") for into, out in pairwise((100, 128, 1))]
    x, slopes, guard = matrix(rng, 64, 100, "strided"), (0.2, 1.0), np.full(1 << 14, 7, np.float32)
    copies = []

    def guarded(array):
        copies.append(np.concatenate([array.reshape(-1), guard]))
        return copies[-1][: array.size].reshape(array.shape)

    outputs = kernels.perceptron(x, weights, [np.zeros(len(w), "f4")[::-1] for w in weights], slopes)
    gz = np.broadcast_to(np.float32(1), (64, 1))
    found = kernels.perceptron_grad(gz.copy(), x, outputs, weights, slopes, asked)
    monkeypatch.setattr(perceptron.np, "ascontiguousarray", guarded)
    made = kernels.perceptron_grad(gz, x, outputs, weights, slopes, asked)
    assert copies
    assert all(np.array_equal(copy[-guard.size :], guard) for copy in copies)
    if not asked[1]:  # a copy of the result would be filled in its place
        np.testing.assert_array_equal(made[0], found[0])


def test_how_a_product_is_cut():
    """Why each: sums long beside the result, many columns, few; too little work; B packed by every part."""
    by_depth, by_columns, by_rows = linear.DEPTH, linear.COLUMNS, linear.ROWS
    for (m, k, n), wanted, size in (
        ((16, 12544, 100), by_depth, 12544),
        ((128, 128, 784), by_columns, 784),
        ((2000, 64, 40), by_rows, 2000),
        ((16, 50, 128), by_columns, 128),
    ):
        how, part, count = linear.plan(m, k, n)
        assert how == wanted
        assert part * (count - 1) < size <= part * count  # how wide a part is depends on the vectors
        assert (count == 1) == (size == 128)
    assert linear.plan(8192, 512, 1024) is None
    assert linear.plan(128, 256, 128, gradient=True) == (by_depth, 128, 2)  # halves of a batch
    assert linear.plan(128, 128, 128, gradient=True) == linear.plan(128, 128, 128)
    assert linear.plan(64, 25088, 64) == linear.plan(64, 25088, 64, summed=True)  # nothing asked, yet so


def test_several_callers_at_once():
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.standard_normal(s, np.float32) for s in ((256, 128), (128, 128), (128,)))
    wanted = kernels.dense(x, weight, bias)
    wrong = []

    def call():
        for _ in range(200):
            if not np.array_equal(kernels.dense(x, weight, bias), wanted):
                wrong.append(threading.current_thread().name)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_infinities_and_nan_stay_in_their_rows():
    a = np.ones((64, 64), np.float32)
    a[3, 5], a[7, 9] = np.nan, np.inf
    y = kernels.matmul(a, np.ones((64, 70), np.float32))
    assert np.isnan(y[3]).all()
    assert np.isinf(y[7]).all()
    assert np.isfinite(np.delete(y, [3, 7], axis=0)).all()


@pytest.mark.slow
@pytest.mark.parametrize("simd", [name for name in vector.WIDTHS if name != vector.SIMD])
def test_every_vector_width(simd):
    """The tests of our own products and fast convolutions and thin layers once more, with other vectors."""
    here = Path(__file__).parent
    files = [str(here / name) for name in ("test_cpu_linear.py", "test_cpu_fast.py", "test_cpu_thin.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", *files]
    done = subprocess.run(
        command, env=os.environ | {"RAWGAN_SIMD": simd}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]


def _addressed(function):
    """Names of the arrays that a function makes and takes the address of."""
    used, made = set(), set()
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Name("address"), args=[ast.Name(name)]):
                used.add(name)
            case ast.Assign([ast.Name(name)], ast.Call(ast.Attribute(ast.Name("np"), "empty" | "zeros"))):
                made.add(name)
    return used & made


def test_arrays_are_kept_while_their_address_is_used():
    """Numba frees them at their last use by name (vector.keep)."""
    seen = 0
    for path in Path(vector.__file__).parent.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                for name in _addressed(function):
                    seen += 1
                    ends = [ast.unparse(statement) for statement in function.body[-2:]]
                    assert f"keep({name})" in ends, f"{path.name}: {function.name} frees {name} too early"
    assert seen >= 3


PARTS = "any_team or several_callers or textbook"


def test_no_memory_is_used_after_it_was_freed():
    """With one arena, every thread's next allocation gets what another has just freed."""
    here = Path(__file__).parent
    files = [str(here / name) for name in ("test_cpu_linear.py", "test_cpu_fast.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", PARTS, *files]
    environment = os.environ | {"MALLOC_ARENA_MAX": "1", "MALLOC_PERTURB_": "165"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
