"""The bundled digits are the UCI digits, and stay digits when enlarged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawgan import ConfigError, DataError, data


@pytest.mark.dev
def test_same_as_scikit_learns_copy():
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    theirs, ours = datasets.load_digits(), data.load("digits")
    scaled = np.floor(theirs.images * 255 / 16 + 0.5)  # to the nearest byte, halves upwards
    np.testing.assert_array_equal(ours.items[:, 0], scaled)
    np.testing.assert_array_equal(ours.labels, theirs.target)


def test_content():
    digits = data.load()
    assert (len(digits), digits.shape, digits.kind) == (1797, (1, 8, 8), "images")
    assert np.unique(digits.items).tolist() == [(255 * v + 8) // 16 for v in range(17)]
    assert np.bincount(digits.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert digits.fingerprint == "4762797d5258adf1"


def test_resized_once():
    digits = data.load("digits")
    large = digits.resized(28)
    assert large is digits.resized(28)
    assert (large.items.dtype, large.shape, large.name) == (np.uint8, (1, 28, 28), "digits")
    assert large.labels is not None
    assert digits.resized(8) is digits
    # Averaged back over 3x3, the enlarged digits are the small ones, a little softer.
    back = large.items[:, 0, 2:26, 2:26].reshape(-1, 8, 3, 8, 3).mean(axis=(2, 4))
    assert np.corrcoef(back.ravel(), digits.items.ravel())[0, 1] >= 0.99


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3]), st.integers(1, 30), st.booleans())
def test_resize_any_size(height, width, channels, size, floats):
    array = np.random.default_rng(0).integers(0, 256, (2, channels, height, width), np.uint8)
    items = (array / 255).astype(np.float32) if floats else array
    out = data.resize_images(items, size)
    assert out.shape == (2, channels, size, size)
    assert out.dtype == items.dtype
    assert out.min() >= 0
    assert out.max() <= (1 if floats else 255)
    if floats:  # bytes are rounded and cut off between the two passes, so the order shows
        turned = data.resize_images(items.swapaxes(2, 3), size).swapaxes(2, 3)
        assert np.abs(out - turned).max() <= 1e-5
    longest = max(height, width)
    if longest <= size < 2 * longest:  # not enlarged: the very pixels on black
        top, left = (size - height) // 2, (size - width) // 2
        inner = np.s_[:, :, top : top + height, left : left + width]
        np.testing.assert_allclose(out[inner], items, rtol=0, atol=1e-6 * floats)
        assert out.sum() == pytest.approx(items.sum(), rel=1e-5)


def test_enlarged_pictures_stand_in_the_middle_and_fade_out():
    flat = np.full((1, 1, 8, 8), 200, np.uint8)
    out = data.resize_images(flat, 28)[0, 0]
    np.testing.assert_array_equal(out, out[::-1])
    np.testing.assert_allclose(out, out.T.astype(float), rtol=0, atol=1)
    assert (out[8:20, 8:20] == 200).all()
    assert (np.diff(out[14, :4].astype(int)) > 0).all()


def test_what_cannot_be_resized():
    with pytest.raises(DataError, match="only images"):
        data.load(np.zeros((4, 2))).resized(28)
    with pytest.raises(ConfigError, match="size"):
        data.load("digits").resized(0)
