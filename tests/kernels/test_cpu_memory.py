"""Memory used again: never while anybody can see it, and never without bound."""

import mmap
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawgan import kernels
from rawgan.kernels.cpu import memory
from rawgan.kernels.cpu.memory import HUGE, KEPT, LINE, SMALL, fresh, fresh_like, scratch

FLOAT = np.dtype(np.float32)
LARGE = (SMALL // 4 + 1,)


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    monkeypatch.setattr(memory, "_rooms", type(memory._rooms)())


VIEWS = {
    "itself": lambda x: x,
    "slice": lambda x: x[3:5],
    "view of a view": lambda x: x.reshape(1, -1)[:, 7:].T[2:],
    "other dtype": lambda x: x.view(np.int32),
    "buffer": memoryview,
    "list": lambda x: [x[1:]],
}


SHAPES = {"NumPy's": LARGE, "large pages": (3 * HUGE // 256, 64)}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", VIEWS)
def test_memory_is_used_again_only_when_nobody_refers_to_it(kind, shape):
    x = fresh(shape, FLOAT)
    place = x.ctypes.data
    held = VIEWS[kind](x)
    del x
    assert fresh(shape, FLOAT).ctypes.data != place
    del held
    assert place in {y.ctypes.data for y in [fresh(shape, FLOAT) for _ in range(2)]}


@pytest.mark.parametrize("size", [SMALL, HUGE - LINE, HUGE, 2 * HUGE - 4, 5 * HUGE + 12])
@pytest.mark.parametrize("large_pages", [True, False])
def test_all_of_a_room_is_there_and_begins_with_a_line(monkeypatch, size, large_pages):
    if not large_pages:

        def refuse(*args):
            raise OSError("no such pages")

        monkeypatch.setattr(memory.mmap, "mmap", refuse)
    x, y = (fresh((size // 4,), FLOAT) for _ in range(2))
    assert x.ctypes.data % LINE == y.ctypes.data % LINE == 0
    assert x.nbytes == size
    x[:], y[:] = 1, 2
    assert x.min() == x.max() == 1


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="pages of two sizes are Linux's")
def test_arrays_in_large_pages_do_not_all_begin_alike():
    """They would fall on each other in the caches."""
    arrays = [fresh((HUGE // 4,), FLOAT) for _ in range(8)]
    assert len({x.ctypes.data % HUGE for x in arrays}) == 8


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([1, 2, 3]), st.booleans()), max_size=40))
def test_live_arrays_never_share_memory(moves):
    """Arrays are made and dropped in any order; each keeps the number written into it."""
    live = {}
    for number, (slot, size, drop) in enumerate(moves):
        if drop:
            live.pop(slot, None)
            continue
        x = fresh((size * LARGE[0],), FLOAT)
        x[...] = number
        live[slot] = (number, x[1:])
        del x
        for wanted, y in live.values():
            assert y[0] == y[-1] == wanted


def test_idle_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(memory, "KEPT", 10 * SMALL)
    for n in range(1, 60):
        fresh((LARGE[0] + n,), FLOAT)
    assert sum(size * len(held) for size, held in memory._rooms.items()) <= 10 * SMALL
    assert KEPT <= 1 << 29
    with pytest.raises(MemoryError):
        fresh((1 << 60,), FLOAT)


def test_small_arrays_are_numpys():
    assert fresh((2, 3), FLOAT).base is None
    assert memory._rooms == {}


@pytest.mark.parametrize("order", ["C", "channels last", "two axes"])
def test_fresh_like_keeps_the_order(order):
    x = np.ones((4, 8, 64, 64) if order != "two axes" else (512, 512), np.float32)
    if order == "channels last":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    y = fresh_like(x)
    assert (y.shape, y.strides, y.dtype) == (x.shape, x.strides, x.dtype)


def test_threads_never_get_the_same_memory():
    wrong = []

    def work(number):
        for _ in range(300):
            x = fresh(LARGE, FLOAT)
            x[:100] = number
            y = fresh(LARGE, FLOAT)
            y[:100] = -1
            if (x[:100] != number).any():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_kernels_result_outlives_the_next_call():
    x = np.random.default_rng(0).standard_normal((256, 512)).astype(np.float32)
    first = kernels.leaky_relu(x, 0.1)
    wanted = first.copy()
    for _ in range(3):
        kernels.leaky_relu(-x, 0.1)
    np.testing.assert_array_equal(first, wanted)


def test_scratch_is_the_same_memory_by_name():
    a, b = scratch("a", (4, 5), FLOAT), scratch("a", (2, 3), FLOAT)
    assert a.ctypes.data == b.ctypes.data
    assert scratch("b", (4, 5), FLOAT).ctypes.data != a.ctypes.data
    assert scratch("a", (4, 5), np.dtype(np.float64)).dtype == np.float64


def test_the_addresses_of_many_arrays():
    whole = np.arange(24.0).reshape(2, 3, 4)
    arrays = [whole, whole[1:, ::2], whole.T, whole[0, 0, 1:2], np.float32(1) + np.empty((), "f4"), whole[:0]]
    arrays = [np.asarray(array) for array in arrays]
    assert memory.addresses(arrays).tolist() == [array.ctypes.data for array in arrays]
    assert not memory.addresses([]).size


def _read_only(array):
    array.flags.writeable = False
    return array


def test_plain_arrays_are_told_from_all_others():
    def lists():
        shapes = [(2, 3), (4,), (), (0, 5)]
        return [[np.zeros(shape, "f4") for shape in shapes] for _ in range(3)]

    found = memory.plain_addresses(*lists())
    assert found.shape == (12,)
    whole = lists()
    expected = [array.ctypes.data for arrays in whole for array in arrays]
    assert memory.plain_addresses(*whole).tolist() == expected
    assert memory.plain_addresses([]).tolist() == []

    class Own(np.ndarray):
        pass

    odd = {
        "dtype": np.zeros(4),
        "byte order": np.zeros(4, ">f4"),
        "another shape": np.zeros(5, "f4"),
        "more axes": np.zeros((4, 1), "f4"),
        "order": np.zeros(8, "f4")[::2],
        "read only": _read_only(np.zeros(4, "f4")),
        "unaligned": np.zeros(17, "u1")[1:].view("f4"),
        "class": np.zeros(4, "f4").view(Own),
        "no array": 4.0,
        "nothing": None,
    }
    for name, value in odd.items():
        for place in range(3):
            given = lists()
            given[place][1] = value
            assert memory.plain_addresses(*given) is None, name
    assert memory.plain_addresses(whole[0], whole[1][:3]) is None
    for name, value in odd.items():
        known = name in ("another shape", "more axes", "read only")
        given, found = [*whole[0], value], np.empty(5, np.int64)
        assert memory.read_plain(id(given), 1, found, *memory.IN_ORDER) == known, name
        assert found[:4].tolist() == [x.ctypes.data for x in whole[0]]
