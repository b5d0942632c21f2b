"""Folders of pictures: files that are cut off, damaged, or made to do harm."""

import io
import os
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from dataset_files import FORMATS, damaged, noise, peak_memory, write
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from rawgan import DataError, data
from rawgan.data import folders


def encoded(suffix, pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, FORMATS[suffix])
    return out.getvalue()


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_cut_off_is_named(tmp_path, suffix):
    content = encoded(suffix, noise(40, 40))
    write(tmp_path / "a.png", noise(40, 40))
    for length in (0, 3, len(content) // 4, len(content) // 2):
        (tmp_path / f"b.{suffix}").write_bytes(content[:length])
        with pytest.raises(
            DataError, match=rf"b\.{suffix}: is not a readable picture \(.*restore or remove it"
        ):
            data.folder(tmp_path)


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=40, deadline=None)
@given(data_=st.data())
def test_damage_gives_a_picture_or_an_error_that_names_the_file(tmp_path_factory, suffix, data_):
    content = data_.draw(damaged(encoded(suffix, noise(9, 7, seed=3))))
    where = tmp_path_factory.mktemp(suffix)
    (where / f"a.{suffix}").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own
        result, peak = peak_memory(lambda: data.folder(where, size=8))
    assert peak <= 30_000_000
    if isinstance(result, data.Dataset):
        assert result.shape in ((3, 8, 8), (1, 8, 8))
    else:
        assert type(result) is DataError
        assert f"a.{suffix}" in str(result)


@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_head(tmp_path, side):
    """Below, at and beyond the places where Pillow itself warns and refuses."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1 << 20))
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(content)
    result, peak = peak_memory(lambda: data.folder(tmp_path, size=8))
    assert type(result) is DataError
    assert "bomb.png: " in str(result)
    assert "pixels" in str(result)
    assert peak <= 20_000_000


def test_text_that_unpacks_without_end(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "a" * (1 << 23), zip=True)
    write(tmp_path / "a.png", noise(), pnginfo=info)
    result, peak = peak_memory(lambda: data.folder(tmp_path))
    assert peak <= 20_000_000
    assert isinstance(result, data.Dataset) or "a.png: is not a readable picture" in str(result)


def test_programs_and_other_formats_stay_shut(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    with pytest.raises(DataError, match=r"a\.png: .*\(no PNG, JPEG"):
        data.folder(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_does_not_make_us_wait(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    found = []
    worker = threading.Thread(
        target=lambda: found.append(peak_memory(lambda: data.folder(tmp_path))[0]), daemon=True
    )
    worker.start()
    worker.join(20)
    assert "a.png: is no regular file" in str(found[0])


def test_links(tmp_path):
    where = tmp_path / "linked"
    where.mkdir()
    pixels = write(tmp_path / "elsewhere.png", noise())
    os.symlink(tmp_path / "elsewhere.png", where / "a.png")
    np.testing.assert_array_equal(data.folder(where).items[0], pixels.transpose(2, 0, 1))
    os.symlink(tmp_path / "nowhere.png", where / "b.png")
    with pytest.raises(DataError, match=r"b\.png: is not a readable picture \(No such file"):
        data.folder(where)


def test_a_file_that_changes_after_its_head_was_read(tmp_path, monkeypatch):
    write(tmp_path / "a.png", noise(6, 8))
    head = folders._head
    monkeypatch.setattr(folders, "_head", lambda file: (head(file), write(file, noise(5, 5)))[0])
    with pytest.raises(DataError, match=r"a\.png: has 5 x 5 pixels where its head said 8 x 6"):
        data.folder(tmp_path)


def test_more_than_memory_holds(tmp_path, monkeypatch):
    write(tmp_path / "a.png", noise())

    def refuse(*_):
        raise MemoryError

    monkeypatch.setattr(folders.np, "empty", refuse)
    with pytest.raises(DataError, match=r"1 pictures of shape \(3, 4000, 4000\) are 0.0 GB.*smaller size"):
        data.folder(tmp_path, size=4000)
