"""Convolutions in chunks of images: nothing lies on what is still needed, and no image on its neighbours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawgan.kernels.cpu import chunks, machine
from rawgan.kernels.cpu.bilinear import algorithm
from rawgan.kernels.cpu.chunks import PAD, TILE, Layout
from rawgan.kernels.cpu.fast import Fast, Shape
from rawgan.kernels.cpu.transform import BLOCK
from rawgan.kernels.cpu.vector import LANES

small = st.integers(1, 40)


@given(small, st.integers(1, 9), small, small)
def test_products_lie_on_nothing_still_needed(planes, tiles, k, n):
    layout = Layout(planes, tiles, k, n)
    rows = layout.most * tiles
    assert 0 < layout.images <= layout.most
    assert rows >= TILE
    for p in range(planes):
        end = p * layout.after + rows * (n + PAD)
        assert end <= (p + 1) * layout.after
        assert end <= layout.begin + p * layout.before
    assert layout.begin + (planes - 1) * layout.before + rows * (k + PAD) <= layout.size


def test_places_are_rows_of_planes():
    layout = Layout(3, 2, 5, 4)
    before, after = layout.places()
    assert (before[0], after[0]) == (layout.begin, 0)
    for places, row, plane in ((before, 5, layout.before), (after, 4, layout.after)):
        assert (np.diff(places.reshape(3, 2)) == row + PAD).all()
        assert (np.diff(places[::2]) == plane).all()


@pytest.mark.parametrize("images", [1, 6, 29, 30])
@pytest.mark.parametrize(
    ("image", "plane", "kernel", "stride", "padding"),
    [(16, 8, 4, 2, 1), (8, 4, 4, 2, 1), (7, 7, 5, 1, 2), (14, 7, 5, 2, 2)],
)
def test_chunks_change_no_bit(images, image, plane, kernel, stride, padding, monkeypatch):
    """Images alone, together in several chunks, and in chunks of another size."""
    rng = np.random.default_rng(images)

    def path(count):
        shape = Shape(count, BLOCK, BLOCK + LANES, *((n, n) for n in (image, plane, kernel, stride, padding)))
        return Fast(shape, algorithm(shape.image, shape.plane, shape.kernel, shape.stride, shape.padding))

    weight = rng.standard_normal((BLOCK + LANES, BLOCK, kernel, kernel), np.float32)
    x = rng.standard_normal((images, image, image, BLOCK), np.float32)
    y = rng.standard_normal((images, plane, plane, BLOCK + LANES), np.float32)
    together = path(images)
    forwards, backwards = together.conv2d(x, weight, None), together.conv_transpose2d(y, weight, None)
    alone = path(1)
    for n in range(images):
        np.testing.assert_array_equal(forwards[n : n + 1], alone.conv2d(x[n : n + 1], weight, None))
        np.testing.assert_array_equal(
            backwards[n : n + 1], alone.conv_transpose2d(y[n : n + 1], weight, None)
        )
    monkeypatch.setattr(chunks, "NEAR", chunks.NEAR * 4)
    other = path(images)
    np.testing.assert_array_equal(other.conv2d(x, weight, None), forwards)
    np.testing.assert_array_equal(other.conv_transpose2d(y, weight, None), backwards)


@pytest.mark.parametrize(("text", "size"), [("2048K\n", 2 << 20), ("", 1 << 20), (None, 1 << 20)])
def test_the_second_cache_as_the_system_has_it(text, size, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "SECOND_CACHE", tmp_path / "size")
    if text is not None:
        (tmp_path / "size").write_text(text)
    assert machine.second_cache() == size
