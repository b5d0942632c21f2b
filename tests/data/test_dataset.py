"""What counts as data, how it is scaled, and the order in which training sees it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawgan import ConfigError, DataError, data

RANGES = [(0.0, 1.0), (-1.0, 1.0)]


@pytest.mark.parametrize(
    ("array", "shape", "dtype", "kind"),
    [
        (np.zeros((3, 5, 4), np.uint8), (1, 5, 4), np.uint8, "images"),
        (np.zeros((3, 1, 5, 4), np.uint8), (1, 5, 4), np.uint8, "images"),
        (np.zeros((3, 3, 5, 4)), (3, 5, 4), np.float32, "images"),
        (np.ones((3, 5, 4), np.float16), (1, 5, 4), np.float32, "images"),
        (np.ones((3, 5, 4), ">f8"), (1, 5, 4), np.float32, "images"),
        (np.full((3, 2), -7.5), (2,), np.float32, "points"),
        ([[0.5, 1.0], [2.0, 3.0]], (2,), np.float32, "points"),
    ],
)
def test_takes(array, shape, dtype, kind):
    got = data.load(array)
    assert (got.shape, got.items.dtype, got.kind, len(got)) == (shape, dtype, kind, len(array))
    np.testing.assert_array_equal(got.items.reshape(np.shape(array)), array)
    assert not got.items.flags.writeable
    assert data.load(got) is got


def with_value(value, shape=(4, 1, 5, 6)):
    array = np.full(shape, 0.5, np.float32)
    array[2, ..., 3 % shape[-1]] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (with_value(np.nan), r"nan at \(2, 0, 0, 3\) \(item 2\), 5 such"),
        (with_value(-np.inf), r"-inf at \(2, 0, 0, 3\)"),
        (with_value(np.inf, (4, 2)), r"inf at \(2, 1\) \(item 2\)"),
        (np.full((4, 2), 1e300), r"inf at \(0, 0\)"),
        (with_value(-0.5), r"from -0.5 to 0.5.*\(array \+ 1\) / 2"),
        (with_value(200), r"from 0.5 to 200.*array / 255"),
        (with_value(2000), r"from 0.5 to 2000.*scale"),
        (np.zeros((4, 5, 5), np.int64), r"int64.*astype\(np.uint8\)"),
        (np.zeros((4, 5, 5), bool), r"bool.*astype\(np.uint8\)"),
        (np.zeros((4, 5, 5), complex), "complex128"),
        (np.zeros((4, 5, 5), object), "object"),
        (np.full((4, 5, 5), "a"), "<U1"),
        (np.zeros((4, 2), np.uint8), "uint8"),
        (np.zeros((4, 2), np.int64), "int64"),
        (np.zeros((4, 784)), r"\(4, 784\).*reshape"),
        (np.zeros((4, 5, 5, 3), np.uint8), r"\(4, 5, 5, 3\).*moveaxis"),
        (np.zeros((4, 2, 5, 5), np.uint8), r"\(4, 2, 5, 5\)"),
        (np.zeros(4), r"\(4,\)"),
        (np.float32(1), r"\(\)"),
        (np.zeros((1, 2, 3, 4, 5)), r"\(1, 2, 3, 4, 5\)"),
        (np.zeros((0, 5, 5)), "empty"),
        (np.zeros((0, 2)), "empty"),
        (np.zeros((4, 1, 0, 5), np.uint8), "empty"),
        ([[1.0, 2.0], [3.0]], "no NumPy array"),
        (np.ma.zeros((4, 5, 5)), "masked"),
        (None, "object|shape"),
    ],
)
def test_refuses(array, message):
    with pytest.raises(DataError, match=rf"(?s)^array: .*({message})"):
        data.load(array)


@pytest.mark.parametrize("labels", [np.zeros(3, int), np.zeros(4), np.zeros((4, 1), int), list("abcd")])
def test_refuses_labels(labels):
    with pytest.raises(DataError, match="labels of shape"):
        data.Dataset("d", np.zeros((4, 5, 5)), labels)


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_scaling_is_exact_at_black_and_white_and_right_between(low, high):
    every = np.arange(256, dtype=np.uint8).reshape(256, 1, 1)
    exact = low + (high - low) * np.arange(256) / 255
    for array in (every, every / np.float32(255)):
        got = data.load(array).batch(np.arange(256), low, high)
        assert got.shape == (256, 1, 1, 1)
        assert got.dtype == np.float32
        assert (got[0].item(), got[255].item()) == (low, high)
        assert np.abs(got.ravel() - exact).max() <= 2.0**-23


def test_batch_gathers_copies_and_leaves_points_alone():
    points = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    got = data.load(points).batch([3, 1, 3], -1.0, 1.0)
    np.testing.assert_array_equal(got, points[[3, 1, 3]], strict=True)
    pictures = np.random.default_rng(0).random((9, 1, 4, 4), np.float32)
    source = data.load(pictures.copy())
    source.batch(np.arange(9), -1.0, 1.0)[:] = 5
    np.testing.assert_array_equal(source.items, pictures)


def numbered(count):
    """`count` points that tell their own number."""
    return data.load(np.stack([np.arange(count), np.zeros(count)], axis=1))


def numbers(batch):
    return batch[:, 0].astype(int).tolist()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.data(), st.integers(0, 2**64 - 1), st.integers(0, 10**6))
def test_an_epoch_sees_each_item_at_most_once_and_all_when_batches_fit(count, draw, key, epoch):
    batch_size = draw.draw(st.integers(1, count))
    source = numbered(count)
    steps = source.steps_per_epoch(batch_size)
    assert steps == count // batch_size
    first = epoch * steps
    seen = [n for s in range(first, first + steps) for n in numbers(source.batch_for(s, batch_size, key))]
    assert len(seen) == steps * batch_size
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(range(count))


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(20)), st.integers(0, 2**64 - 1))
def test_batches_depend_on_step_and_key_alone(order, key):
    in_turn, shuffled = numbered(30), numbered(30)
    expected = [numbers(in_turn.batch_for(step, 8, key)) for step in range(20)]
    got = {step: numbers(shuffled.batch_for(step, 8, key)) for step in order}
    assert [got[step] for step in range(20)] == expected


def test_orders_differ_between_epochs_and_keys_and_stay_what_they_are():
    source = numbered(1000)
    orders = [numbers(source.batch_for(step, 1000, key)) for step, key in [(0, 1), (1, 1), (0, 2)]]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]
    # Written down once: a change here breaks every checkpoint's promise to resume bit for bit.
    assert numbers(numbered(10).batch_for(3, 10, key=12345)) == [4, 1, 2, 3, 8, 0, 5, 6, 7, 9]


def test_batch_sizes_that_cannot_be():
    source = numbered(10)
    for call in (source.steps_per_epoch, lambda size: source.batch_for(0, size, key=0)):
        with pytest.raises(DataError, match=r"batch_size 11 is more than the 10 points"):
            call(11)
        with pytest.raises(ConfigError, match="batch_size"):
            call(0)


def test_fingerprint_follows_content_alone():
    array = np.random.default_rng(0).integers(0, 256, (5, 1, 4, 4), np.uint8)
    base = data.Dataset("a", array).fingerprint
    assert base == "f53b7b02925a9a03"
    assert data.Dataset("b", np.asfortranarray(array)).fingerprint == base
    changed = array.copy()
    changed[4, 0, 3, 3] ^= 1
    others = [
        data.Dataset("a", changed),
        data.Dataset("a", array.reshape(5, 1, 2, 8)),
        data.Dataset("a", array[:4]),
        data.Dataset("a", array / 255),
        data.Dataset("a", array, np.arange(5)),
    ]
    assert len({base, *(other.fingerprint for other in others)}) == 6
