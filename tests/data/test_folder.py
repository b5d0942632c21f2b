"""Folders of pictures: what is read, how it is brought to one shape, and training on it."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from dataset_files import FORMATS, noise, write
from PIL import Image

import rawgan
from rawgan import ConfigError, DataError, data
from rawgan.data import folders

SHARP = {"quality": 100, "subsampling": 0}  # a JPEG that keeps what it can


def smooth(height, width):
    """A picture that no filter or JPEG harms much."""
    y, x = np.mgrid[:height, :width]
    plane = 128 + 100 * np.sin(x / width * 3) * np.cos(y / height * 2)
    return np.stack([plane, plane / 2, 255 - plane], -1).astype(np.uint8)


@pytest.fixture(autouse=True)
def no_unexpected_words():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# What is read -------------------------------------------------------------------------------------


def test_pictures_come_in_the_order_of_their_paths(tmp_path):
    for name in ("b.png", "a10.png", "a2.png", "Z.PNG", "a/z.png"):
        write(tmp_path / name, np.full((2, 3), len(name) * 10 + ord(name[0]) % 7, np.uint8))
    got = data.folder(tmp_path)
    order = ["Z.PNG", "a/z.png", "a10.png", "a2.png", "b.png"]
    assert got.items[:, 0, 0, 0].tolist() == [len(n) * 10 + ord(n[0]) % 7 for n in order]
    assert (got.shape, got.items.dtype, got.name) == ((1, 2, 3), np.uint8, str(tmp_path))
    assert (got.labels, got.classes) == (None, None)
    assert got.fingerprint == data.folder(tmp_path).fingerprint


@pytest.mark.parametrize("suffix", FORMATS)
def test_formats(tmp_path, suffix):
    pixels = smooth(16, 24)
    options = {"jpg": SHARP, "webp": {"lossless": True}}.get(suffix, {})
    write(tmp_path / f"a.{suffix}", pixels, **options)
    write(tmp_path / f"b.{suffix}.png", pixels)
    got = data.folder(tmp_path)
    lossy = {"jpg": 3, "gif": 40}.get(suffix, 0)  # at the worst pixel
    assert got.shape == (3, 16, 24)
    assert np.abs(got.items[0].astype(int) - pixels.transpose(2, 0, 1)).max() <= lossy
    np.testing.assert_array_equal(got.items[1], pixels.transpose(2, 0, 1))


def test_the_content_decides_and_not_the_suffix(tmp_path):
    pixels = noise()
    write(tmp_path / "a.png", pixels)
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(data.folder(tmp_path).items[0], pixels.transpose(2, 0, 1))


def test_sub_folders_are_labels(tmp_path):
    for name in ("dog/1.png", "cat/2.png", "cat/old/0.png", "ant/1.png"):
        write(tmp_path / name, noise())
    got = data.folder(tmp_path)
    assert got.classes == ("ant", "cat", "dog")
    assert got.labels.tolist() == [0, 1, 1, 2]
    assert got.resized(16).classes == got.classes
    write(tmp_path / "loose.png", noise())
    assert data.folder(tmp_path).labels is None
    assert data.folder(tmp_path / "cat").labels is None
    (tmp_path / "cat/2.png").unlink()
    assert data.folder(tmp_path / "cat").labels is None  # one sub-folder tells nothing apart


def test_what_is_passed_over_is_counted(tmp_path):
    write(tmp_path / "a.png", noise())
    for name in (".DS_Store", ".hidden.png", "notes.txt", "page.html", ".git/b.png", "sub/Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    os.symlink(tmp_path, tmp_path / "circle")
    with pytest.warns(UserWarning, match="passed over") as seen:
        assert len(data.folder(tmp_path)) == 1
    words = str(seen[0].message)
    assert "3 hidden" in words
    assert "3 with other suffixes" in words
    assert "1 links to folders" in words
    assert words.endswith("1 pictures remain")
    assert seen[0].filename == __file__


@pytest.mark.parametrize("name", ["empty", "file", "missing", "text only"])
def test_folders_without_pictures(tmp_path, name):
    path = tmp_path / name
    if name == "file":
        path.write_bytes(b"")
    elif name != "missing":
        path.mkdir()
    if name == "text only":
        (path / "a.txt").write_bytes(b"")
    words = {"file": "is a file", "missing": "not there", "text only": r"but 1 with other suffixes.*\.png"}
    with pytest.raises(DataError, match=rf"{path}: .*{words.get(name, 'has no pictures')}"):
        data.folder(path)


# One shape ----------------------------------------------------------------------------------------


def test_channels(tmp_path):
    grey = write(tmp_path / "a.png", noise(channels=1))
    write(tmp_path / "b.png", noise(channels=1) > 128)
    assert data.folder(tmp_path).shape == (1, 6, 8)
    as_colour = data.folder(tmp_path, channels=3)
    np.testing.assert_array_equal(as_colour.items[0], np.stack([grey] * 3))
    assert set(np.unique(as_colour.items[1])) <= {0, 255}
    colour = write(tmp_path / "c.png", noise())
    assert data.folder(tmp_path).shape == (3, 6, 8)
    luma = colour @ [0.299, 0.587, 0.114]
    assert np.abs(data.folder(tmp_path, channels=1).items[2, 0] - luma).max() <= 1


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_what_is_transparent_is_white(tmp_path, mode):
    alpha = np.array([[0, 255, 128]], np.uint8)
    picture = Image.fromarray(np.dstack([np.zeros((1, 3, 3), np.uint8), alpha]))
    picture = picture.quantize(4) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / "a.png")
    got = data.folder(tmp_path, channels=1).items[0, 0, 0]
    assert (got[0], got[1]) == (255, 0)
    assert abs(int(got[2]) - 127) <= 1


def test_16_bits_become_8(tmp_path):
    values = np.array([[0, 256, 257, 32768, 65535]], np.uint16)
    write(tmp_path / "a.png", values)
    got = data.folder(tmp_path)
    assert got.items[0, 0, 0].tolist() == [0, 1, 1, 128, 255]
    write(tmp_path / "b.tiff", values)
    np.testing.assert_array_equal(data.folder(tmp_path).items[1], got.items[0])


@pytest.mark.parametrize("array", [np.full((1, 5), 0.5, np.float32), np.full((1, 5), 70_000, np.int32)])
def test_pixels_of_no_known_range(tmp_path, array):
    write(tmp_path / "a.tiff", array)
    with pytest.raises(DataError, match=r"a\.tiff: .*8 or 16 bits"):
        data.folder(tmp_path)


def test_exif_turns_the_picture(tmp_path):
    pixels = smooth(16, 24)
    exif = Image.Exif()
    exif[folders.ORIENTATION] = 6
    write(tmp_path / "a.jpg", pixels, exif=exif, **SHARP)
    got = data.folder(tmp_path)
    assert got.shape == (3, 24, 16)
    turned = np.rot90(pixels, -1).transpose(2, 0, 1).astype(int)
    assert np.abs(got.items[0] - turned).max() <= 3


@pytest.mark.parametrize(("height", "width"), [(40, 90), (90, 40), (33, 33), (10, 12)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_size_takes_the_middle_square(tmp_path, height, width, suffix):
    pixels = smooth(height, width)
    write(tmp_path / f"a.{suffix}", pixels, **(SHARP if suffix == "jpg" else {}))
    got = data.folder(tmp_path, size=16)
    assert got.shape == (3, 16, 16)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    expected = np.asarray(square.resize((16, 16), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.abs(got.items[0].astype(int) - expected).max() <= 8
    assert np.abs(got.items[0].astype(int) - expected).mean() <= 3


def test_shrinking_averages(tmp_path):
    """A checkerboard becomes grey, not a coarser checkerboard."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    write(tmp_path / "a.png", board)
    got = data.folder(tmp_path, size=8).items
    assert np.abs(got.astype(float) - 127.5).max() <= 6


def test_different_sizes_need_one(tmp_path):
    for number, (height, width) in enumerate([(6, 8), (6, 8), (8, 6)]):
        write(tmp_path / f"{number}.png", noise(height, width))
    with pytest.raises(DataError, match=r"2 are 8 x 6, .*2\.png is 6 x 8; .*size=64"):
        data.folder(tmp_path)
    assert data.folder(tmp_path, size=4).shape == (3, 4, 4)


@pytest.mark.parametrize(
    "settings",
    [{"size": 0}, {"size": 8.0}, {"size": (8, 8)}, {"channels": 4}, {"channels": 2}, {"channels": True}],
)
def test_settings(tmp_path, settings):
    with pytest.raises(ConfigError, match=f"folder: {next(iter(settings))} is "):
        data.folder(tmp_path, **settings)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_shown_of_many_pictures_to_whoever_looks_on(tmp_path, monkeypatch):
    for number in range(4):
        write(tmp_path / "many" / f"{number}.png", noise())
    expected = data.folder(tmp_path / "many").fingerprint
    shown = {}
    for least in (4, 5):
        monkeypatch.setattr(folders, "MANY", least)
        monkeypatch.setattr(folders.sys, "stderr", Terminal())
        assert data.folder(tmp_path / "many").fingerprint == expected
        shown[least] = folders.sys.stderr.getvalue()
    assert "many: looking" in shown[4]
    assert "many: reading" in shown[4]
    assert shown[5] == ""


# In training --------------------------------------------------------------------------------------


@pytest.fixture
def faces(tmp_path):
    for number in range(12):
        write(tmp_path / "faces" / f"{number}.png", noise(8, 8, seed=number))
    return tmp_path / "faces"


def test_load_takes_a_path_where_there_is_no_such_name(faces, monkeypatch):
    monkeypatch.chdir(faces.parent)
    expected = data.folder(faces)
    for source in ("faces", "./faces", str(faces), faces, Path("faces")):
        got = data.load(source)
        assert (got.name, got.fingerprint) == (str(faces), expected.fingerprint)
    (faces.parent / "digits").mkdir()
    assert data.load("digits").name == "digits"
    with pytest.raises(DataError, match="has no pictures"):
        data.load("./digits")
    assert (data.known("digits"), data.known("faces"), data.known("face")) == (True, True, False)
    for nothing in ("face", "", "\0", "~nobody/x"):
        with pytest.raises(ConfigError, match=r"unknown data .*path of a folder"):
            data.load(nothing)
    with pytest.raises(ConfigError, match="a folder has no split 'test'"):
        data.load("faces", split="test")


def test_a_run_on_a_folder_resumes_bit_for_bit(faces, tmp_path):
    options = {"batch_size": 4, "progress": False, "device": "cpu", "hidden": 8}
    whole = rawgan.train("mlp", data=str(faces), steps=6, **options)
    rawgan.train("mlp", data=str(faces), steps=3, out=tmp_path / "run", **options)
    rest = rawgan.train(
        data=str(faces), steps=6, out=tmp_path / "run", resume=True, progress=False, device="cpu"
    )
    np.testing.assert_array_equal(rest.sample(4), whole.sample(4))
    assert rest.sample(2).shape == (2, 3, 8, 8)
    write(faces / "0.png", noise(8, 8, seed=99))
    with pytest.raises(rawgan.RawganError, match="data"):
        rawgan.train(
            data=str(faces), steps=8, out=tmp_path / "run", resume=True, progress=False, device="cpu"
        )
