"""What the table of kernels does not say of a training step's kernels on a device: batches, updates."""

import numpy as np
import pytest

import rawgan
from rawgan import kernels, optim
from rawgan.data import Dataset
from rawgan.kernels.cuda import host, update
from rawgan.kernels.cuda.count import Count
from rawgan.kernels.cuda.program import LISTED, Program

pytestmark = pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")
SIZES = (3, 0, update.PART, update.PART + 1, 5 * update.PART, 1)


def arrays(seed, sizes=SIZES, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [host.on_device(rng.standard_normal(n).astype(dtype)) for n in sizes]


def moved(by):
    return host.on_device(np.array([by], np.int64))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_that_moved_is_the_step_itself(dtype):
    """Bit for bit, or a replayed step would not be the eager one."""
    found = []
    for step in (7, Count(7, moved(0)), Count(2, moved(5))):
        params, grads, ms, vs = (arrays(seed, dtype=dtype) for seed in range(4))
        vs = [v * v for v in vs]
        kernels.adam(params, grads, ms, vs, 1e-2, 0.5, 0.999, 1e-8, step)
        found.append([np.asarray(x) for some in (params, ms, vs) for x in some])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_corrections_late_in_training(dtype):
    """Powers are made by squares there: up to a million steps nothing is lost."""
    for step in (1, 2, 1000, 123_457, 10**6):
        (params, grads, ms, vs), rates = (
            [arrays(s, (40,), dtype) for s in range(4)],
            (1e-2, 0.9, 0.999, 1e-8),
        )
        vs = [v * v for v in vs]
        wanted = [[np.asarray(x).astype(float) for x in some] for some in (params, grads, ms, vs)]
        kernels.adam(params, grads, ms, vs, *rates, step)
        with kernels.use_kernels("reference"):
            kernels.adam(*wanted, *rates, step)
        error = np.abs(np.asarray(params[0]) - wanted[0][0]).max()
        assert error <= (1e-6 if dtype == np.float32 else 1e-13) * np.abs(wanted[0][0]).max()


UPDATES = {
    "adam": (4, (1e-2, 0.5, 0.999, 1e-8, 3)),
    "sgd": (3, (0.1, 0.9)),
    "rmsprop": (3, (0.1, 0.9, 1e-8)),
    "adagrad": (3, (0.1, 1e-10)),
}


@pytest.mark.parametrize("name", UPDATES)
def test_arrays_of_many_blocks(name):
    """Every block its own part of its own array: what lists.cuh and update.py say of it is the same."""
    count, numbers = UPDATES[name]
    given = [arrays(seed, dtype=np.float64) for seed in range(count)]
    given[-1] = [v * v for v in given[-1]]
    wanted = [[np.array(x) for x in some] for some in given]
    getattr(kernels, name)(*given, *numbers)
    getattr(kernels, name)(*wanted, *numbers)
    for some, exact in zip(given, wanted, strict=True):
        for x, w in zip(some, exact, strict=True):
            np.testing.assert_allclose(np.asarray(x), w, rtol=1e-12, atol=1e-14)


def test_norms_and_clipping_of_many_blocks():
    xs = arrays(0)
    before = [np.array(x) for x in xs]
    sums = kernels.sum_squares(xs)
    np.testing.assert_allclose(np.asarray(sums), [(b.astype(float) ** 2).sum() for b in before], rtol=1e-13)
    kernels.clip_norm(xs, sums, 1.0, False)
    factor = 1 / np.sqrt(np.sum(np.asarray(sums)))
    for x, b in zip(xs, before, strict=True):
        np.testing.assert_allclose(np.asarray(x), b * factor, rtol=1e-6)
    kernels.clip_value(xs, 1e-3)
    for x, b in zip(xs, before, strict=True):
        np.testing.assert_allclose(np.asarray(x), np.clip(b * factor, -1e-3, 1e-3), rtol=1e-6)


def test_a_count_before_the_first_update_is_refused():
    with pytest.raises(rawgan.ConfigError, match="counted from 1"):
        kernels.adam(*(arrays(s) for s in range(4)), 1e-2, 0.5, 0.999, 1e-8, Count(0, moved(5)))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("ends", [(0.0, 1.0), (-1.0, 1.0), (0.1, 0.7)])
def test_a_gathered_batch_is_the_hosts(dtype, ends):
    """Every pixel there is, bit for bit; and the row that a Count has come to."""
    items = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8)
    data = Dataset("all", items if dtype == "uint8" else (items / 255).astype(dtype))
    table = np.array([[0, 1], [2, 3], [3, 1]], np.int32)
    given = host.on_device(np.array(data.items)), host.on_device(table)
    for row, at in ((1, 1), (5, 2), (Count(0, moved(1)), 1), (Count(2, moved(10**12)), (2 + 10**12) % 3)):
        found = np.asarray(kernels.gather(*given, row, *ends))
        np.testing.assert_array_equal(found.view("u4"), data.batch(table[at], *ends).view("u4"))


def test_points_are_gathered_as_they_are():
    points = np.array([[-0.0, 1e-42], [np.pi, -3e38]], np.float32)
    found = kernels.gather(*map(host.on_device, (points, np.array([[1, 0]], np.int32))), 0, 0.0, 1.0)
    np.testing.assert_array_equal(np.asarray(found).view("u4"), points[::-1].view("u4"))


def test_numbers_that_are_none_of_an_items_are_the_nearest():
    items, table = host.on_device(np.eye(3, dtype=np.float32)), np.array([[-5, 7, 2**31 - 1, 1]], np.int32)
    found = kernels.gather(items, host.on_device(table), 0, 0.0, 1.0)
    np.testing.assert_array_equal(np.asarray(found), np.eye(3)[[0, 2, 2, 1]])


def launches(monkeypatch):
    """The kernels launched from here on, as a list that grows."""
    found, launch = [], Program.__call__

    def noted(self, kernel, *arguments, **more):
        found.append(kernel)
        launch(self, kernel, *arguments, **more)

    monkeypatch.setattr(Program, "__call__", noted)
    return found


def test_all_parameters_take_one_launch(monkeypatch):
    found, xs = launches(monkeypatch), arrays(0)
    kernels.clip_norm(xs, kernels.sum_squares(xs), 1.0, False)
    kernels.clip_value(xs, 1.0)
    kernels.adam(xs, *(arrays(s) for s in (1, 2, 3)), 1e-2, 0.5, 0.999, 1e-8, 1)
    kernels.sgd(xs, arrays(1), [], 0.1, 0.0)
    kernels.sgd(xs, arrays(1), arrays(2), 0.1, 0.9)
    assert found == ["squares", "add_squares", "clip_norm", "clip_value", "adam", "sgd", "sgd_momentum"]


def test_more_arrays_than_a_launch_takes(monkeypatch):
    found, sizes = launches(monkeypatch), [n % 7 for n in range(2 * LISTED + 3)]
    xs = arrays(0, sizes)
    before = [np.asarray(x).copy() for x in xs]
    sums = kernels.sum_squares(xs)
    np.testing.assert_allclose(np.asarray(sums), [(b.astype(float) ** 2).sum() for b in before], rtol=1e-13)
    kernels.clip_norm(xs, sums, 2.0, True)
    for x, b in zip(xs, before, strict=True):
        np.testing.assert_allclose(np.asarray(x), b * min(1, 2 / max(1e-9, np.linalg.norm(b))), rtol=1e-6)
    kernels.sgd(xs, arrays(1, sizes), [], 0.1, 0.0)
    assert [found.count(name) for name in ("squares", "add_squares", "clip_norm", "sgd")] == [3] * 4


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_an_optimiser_reads_nothing_back(name, monkeypatch):
    """Clipping by what stays on the device, and the step: no value comes to the host, all is in place."""
    params = [
        rawgan.tensor(np.ones((3, 4), np.float32), device="cuda-sim", requires_grad=True) for _ in range(3)
    ]
    opt = optim.OPTIMIZERS[name](params, lr=0.1)
    places = [p.data.ctypes.data for p in params]
    for p in params:
        p.grad = host.on_device(np.full((3, 4), 2, np.float32))
    opt.moved = moved(0)

    def refused(*arguments):
        raise AssertionError("a value was read back")

    for method in ("__float__", "__bool__", "item", "tolist"):
        monkeypatch.setattr(host.HostArray, method, refused)
    gradients, sums = optim.squared_norms(params)
    kernels.clip_norm(gradients, sums, 1.0, False)
    opt.step()
    monkeypatch.undo()
    assert [p.data.ctypes.data for p in params] == places
    assert all((p.numpy() != 1).all() for p in params)
    assert abs(np.linalg.norm([p.grad for p in params]) - 1) <= 1e-6
