"""The tiled product in every size and precision, whatever it is cut into; and the choice of the cut."""

from functools import partial

import numpy as np
import pytest

import rawgan
from rawgan import kernels
from rawgan.kernels.cuda import host, linear, tiles
from rawgan.kernels.cuda.program import Program

needs_compiler = pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")
CASES = {  # chunks of 16 bytes on both sides, on one, on none; more and fewer numbers than a tile has
    "matmul": [
        ((140, 100), (100, 132)),
        ((33, 7), (7, 130)),
        ((2, 1, 130), (130, 3)),
        ((130, 36), (36, 5)),
    ],
    "conv2d": [
        ((2, 8, 9, 9), (70, 8, 3, 3), None, (2, 2), (1, 1)),
        ((3, 3, 9, 7), (5, 3, 4, 4), None, (1, 2), (2, 1)),
    ],
    "conv_transpose2d": [
        ((2, 12, 5, 5), (12, 72, 4, 4), None, (2, 2), (1, 1), (0, 0)),
        ((2, 3, 4, 5), (3, 6, 5, 3), None, (3, 2), (1, 0), (1, 1)),
    ],
    "conv2d_weight_grad": [
        ((3, 8, 9, 9), (3, 20, 5, 5), (3, 3), (2, 2), (1, 1)),
        ((3, 3, 9, 9), (3, 8, 5, 5), (3, 3), (2, 2), (1, 1)),
        ((2, 8, 9, 9), (2, 6, 5, 5), (3, 3), (2, 2), (1, 1)),
    ],
}


@pytest.fixture
def cut(monkeypatch):
    """A function that fixes warps and parts."""

    def fix(warps, parts=1):
        def chosen(m, n, k, count, kind):
            return tiles._plan(warps, m, n, k, count, min(parts, max(1, k // tiles.DEPTH)), kind)

        monkeypatch.setattr(tiles, "choose", chosen)

    return fix


def whole_numbers(shapes, dtype=np.float32, turned=False):
    """Arguments whose products and sums every precision holds exactly: then order and cuts change no bit."""
    rng = np.random.default_rng(0)
    a, b, *rest = shapes
    made = (rng.integers(-8, 9, shape).astype(dtype) for shape in (a, b))
    if turned:
        made = (np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2) for x in made)
    return [*map(host.on_device, made), *rest]


def wanted(name, arguments):
    given = [np.asarray(x, np.float64) if i < 2 else x for i, x in enumerate(arguments)]
    return kernels.KERNELS[name].implementation("reference")(*given)


@needs_compiler
@pytest.mark.parametrize("order", [0, 5])
@pytest.mark.parametrize("kind", ["fp32", "tf32", "fp64"])
@pytest.mark.parametrize("warps", tiles.TOGETHER)
@pytest.mark.parametrize("name", CASES)
def test_every_tile_is_exact_on_whole_numbers(name, warps, kind, order, cut):
    for shapes in CASES[name]:
        for parts in (1, 3):
            cut(warps, parts)
            arguments = whole_numbers(shapes, np.float64 if kind == "fp64" else np.float32)
            with rawgan.use_precision("tf32" if kind == "tf32" else "fp32"), host.use_seed(order):
                found = kernels.KERNELS[name](*arguments)
            np.testing.assert_array_equal(np.asarray(found), wanted(name, arguments))


@needs_compiler
@pytest.mark.parametrize("kind", ["fp32", "tf32"])
@pytest.mark.parametrize("warps", [1, 8])
@pytest.mark.parametrize("turned", [(True, False), (False, True), (True, True)])
def test_memory_orders_of_matrices(turned, warps, kind, cut):
    cut(warps)
    for shapes in CASES["matmul"]:
        sides = [whole_numbers(shapes, turned=side)[i] for i, side in enumerate(turned)]
        with rawgan.use_precision(kind):
            found = kernels.matmul(*sides)
        np.testing.assert_array_equal(np.asarray(found), wanted("matmul", sides))


def beside(x):
    """A copy in C order that starts 4 bytes behind a multiple of 16."""
    room = np.empty(x.size + 8, x.dtype)
    start = next(i for i in range(8) if (room.ctypes.data + i * x.itemsize) % 16 == x.itemsize)
    room[start : start + x.size] = np.asarray(x).ravel()
    return host.on_device(room)[start : start + x.size].reshape(x.shape)


@needs_compiler
@pytest.mark.parametrize("name", CASES)
def test_arrays_that_are_not_aligned_give_the_same_bits(name):
    a, b, *rest = CASES[name][0]
    rng = np.random.default_rng(1)
    sides = [host.on_device(rng.standard_normal(shape).astype(np.float32)) for shape in (a, b)]
    expected = np.asarray(kernels.KERNELS[name](*sides, *rest))
    found = np.asarray(kernels.KERNELS[name](*map(beside, sides), *rest))
    np.testing.assert_array_equal(found, expected)


BUGS = {  # (what is there, what is planted, the orders of threads under which it must show)
    "no wait for copies": ("rg_cp_async_wait<STAGES - 2>();", "", {0, 2}),
    "a wait for one group too few": ("wait<STAGES - 2>", "wait<STAGES - 1>", {0, 2}),
    "no barrier": ("\n        __syncthreads();\n", "\n", {0, 1, 2, 3}),
    "sums over a stage that is still read": (
        "__syncthreads();  // the last stage has been read by all",
        "",
        {0},
    ),
    "a copy into a stage that is still read": ("next = arrived;", "next = (arrived + 2) % STAGES;", {1, 3}),
    "a copy before the barrier": (
        "rg_cp_async_wait<STAGES - 2>();\n        __syncthreads();",
        "if (step + STAGES - 1 < steps) source.copy(stages + next * STAGE, stages + next * STAGE + LEFT);\n"
        "        rg_cp_async_wait<STAGES - 2>();\n        __syncthreads();\n        if (false)",
        {1, 3},
    ),
}


@needs_compiler
@pytest.mark.parametrize("kind", ["fp32", "tf32"])
@pytest.mark.parametrize("bug", BUGS)
def test_bugs_planted_in_the_pipeline_show(bug, kind, cut, monkeypatch):
    there, planted, orders = BUGS[bug]
    right = linear.TILED.programs[kind, 2]
    assert right.text.count(there) == 1
    wrong = Program("linear", "product")
    wrong.__dict__["text"] = right.text.replace(there, planted)
    if bug == "a copy before the barrier":  # the one behind it is gone
        assert wrong.text.count("if (false)\n        if (step + STAGES") == 1
    monkeypatch.setitem(linear.TILED.programs, (kind, 2), wrong)
    cut(2)
    arguments = whole_numbers(((64, 144), (144, 64)))
    expected, shows = wanted("matmul", arguments), set()
    for order in range(4):
        with rawgan.use_precision(kind), host.use_seed(order):
            found = np.asarray(kernels.matmul(*arguments))
        if not np.array_equal(found, expected):
            shows.add(order)
    assert orders <= shows


def why(kind, *shape):
    """The choice, and the least cost for each number of warps."""
    chosen = tiles.choose(*shape, kind=kind)
    least = partial(min, key=lambda plan: plan.cost)
    plans = tiles.costs(*shape, kind=kind)
    return chosen, {w: least(p for p in plans if p.warps == w).cost for w in tiles.TOGETHER}


def test_a_cut_covers_the_product_and_fits_a_multiprocessor():
    for shape in [(1, 1, 1), (7, 3, 0), (128, 100, 6272), (25088, 64, 25), (2048, 256, 2048, 4)]:
        for kind, size in (("fp32", 4), ("tf32", 4), ("fp64", 8)):
            m, n, k, count = (*shape, 1)[:4]
            for plan in tiles.costs(m, n, k, count, kind):
                rows, columns = 128 // size * min(plan.warps, 4), 256 // size * max(1, plan.warps // 4)
                assert plan.down * rows >= m > (plan.down - 1) * rows
                assert plan.across * columns >= n > (plan.across - 1) * columns
                assert plan.part % tiles.DEPTH == 0
                assert plan.parts * plan.part >= k >= (plan.parts > 1) * ((plan.parts - 1) * plan.part + 1)
                assert plan.blocks == plan.across * plan.down * plan.parts * count
                assert (plan.shared + 1024) * tiles.TOGETHER[plan.warps] <= 227 << 10
            assert tiles.choose(m, n, k, count, kind) == min(
                tiles.costs(m, n, k, count, kind), key=lambda p: p.cost
            )


def test_large_tiles_where_they_fill_the_machine_else_small_ones_or_parts():
    chosen, least = why("tf32", 8192, 4096, 1024)  # what is read decides
    assert (chosen.warps, chosen.parts) == (8, 1)
    assert least[8] < least[4] < least[2] < least[1]
    chosen, least = why("fp32", 8192, 4096, 1024)
    assert (chosen.warps, chosen.parts) == (4, 1)
    assert least[4] < least[2] < least[1]
    chosen, _ = why("fp32", 8, 10, 16)
    assert (chosen.warps, chosen.blocks) == (1, 1)
    for kind in ("fp32", "tf32"):  # a gradient of weights: few numbers, each the sum of many
        chosen, _ = why(kind, 128, 1024, 8192)
        assert chosen.parts > 1
        assert chosen.blocks >= 100
        whole = min(p.cost for p in tiles.costs(128, 1024, 8192, kind=kind) if p.parts == 1)
        assert chosen.cost < whole / 2
