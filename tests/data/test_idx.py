"""The IDX reader gives what the file holds, or a DataError, and never takes more memory than that."""

import gzip
import io
import struct

import numpy as np
import pytest
from dataset_files import damaged, idx_bytes, peak_memory
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rawgan import DataError
from rawgan.data.idx import MAX_RATIO, read_idx, read_idx_stream

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 4), np.uint8)
VALID = {"plain": idx_bytes(IMAGES), "gzip": gzip.compress(idx_bytes(IMAGES), mtime=0)}


def read(content, ndim=3):
    return read_idx_stream(io.BytesIO(content), len(content), "the-file", ndim)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=6)), st.booleans())
def test_reads_what_was_written(array, zipped):
    content = idx_bytes(array)
    got = read(gzip.compress(content) if zipped else content, array.ndim)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, array, strict=True)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(["plain", "gzip", "gzip around damage"]))
def test_damage_gives_data_error_or_what_the_file_says(data, where):
    if where == "gzip around damage":
        content = gzip.compress(data.draw(damaged(VALID["plain"])))
    else:
        content = data.draw(damaged(VALID[where]))
    result, peak = peak_memory(lambda: read(content))
    assert peak <= 2_000_000 + MAX_RATIO * len(content)
    if isinstance(result, np.ndarray):
        raw = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        assert idx_bytes(result) == raw
    else:
        assert type(result) is DataError
        assert "the-file" in str(result)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3), st.booleans())
def test_hostile_dimensions_take_no_memory(shape, zipped):
    content = bytes([0, 0, 8, 3]) + struct.pack(">3I", *shape) + b"x" * 50
    result, peak = peak_memory(lambda: read(gzip.compress(content) if zipped else content))
    assert isinstance(result, DataError) or result.shape == tuple(shape)
    assert peak <= 2_000_000


def test_a_bomb_behind_a_small_header_is_not_unpacked():
    content = gzip.compress(idx_bytes(IMAGES) + bytes(50_000_000))
    result, peak = peak_memory(lambda: read(content))
    assert "goes on after the 140 values" in str(result)
    assert peak <= 3_000_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends within the magic number, after 0 of 4"),
        (b"\0\0\x08", "ends within the magic number, after 3 of 4"),
        (b"\0\0\x08\x03\0\0", "ends within the dimensions, after 2 of 12"),
        (b"\0\1\x08\x03" + bytes(12), "starts with 00 01 08 03"),
        (idx_bytes(IMAGES, code=0x0D), "starts with 00 00 0d 03"),
        (idx_bytes(IMAGES[0]), "3 dimensions starts with 00 00 08 03"),
        (idx_bytes(IMAGES[:0]), "which hold nothing"),
        (VALID["plain"][:-1], r"\(7, 5, 4\), so 156 bytes in all, but has 155"),
        (VALID["plain"] + b"x", "so 156 bytes in all, but has 157"),
        (VALID["gzip"][:-1], "damaged gzip"),
        (VALID["gzip"] + b"x", "damaged gzip"),
        (gzip.compress(VALID["plain"][:-1], mtime=0), "so 140 values, but ends after 139"),
        (gzip.compress(VALID["plain"] + b"x", mtime=0), "goes on after"),
        (gzip.compress(b"\0\0\x08\x03" + b"\x7f" * 12, mtime=0), "a file of its size holds at most"),
    ],
)
def test_says_what_is_wrong(content, message):
    with pytest.raises(DataError, match=f"the-file.*{message}"):
        read(content)


def test_unreadable_path(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            read_idx(path, 1)
