"""The page as it is written: which pictures, in which order, and nothing that gives the truth away."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from rated_runs import quick

import rawgan
from rawgan import ConfigError, DataError, rating
from rawgan.data import Dataset, Entry
from rawgan.rating import page
from rawgan.training import Run


@pytest.fixture(scope="module")
def run():
    return quick()


def data_of(path):
    """The JSON that a page holds."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', path.read_text("utf-8"))
    return json.loads(text)


def shown(path):
    """(2n, C, H, W) uint8: the pictures of a page in their order."""
    found = []
    for text in data_of(path)["pictures"]:
        with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
            assert picture.format == "PNG"
            found.append(np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1))
    return np.stack(found)


def test_real_pictures_are_where_the_seed_says(run, tmp_path):
    rating.write_page(run, tmp_path / "a.html", n=12, seed=4, progress=False)
    pictures, real = shown(tmp_path / "a.html"), page.is_real(12, 4)
    assert real.sum() == 12
    items = rawgan.data.load("digits").items
    for picture, is_real in zip(pictures, real, strict=True):
        assert (items == picture).all(axis=(1, 2, 3)).any() == is_real
    fake = (run.sample(12, seed=4) * 255).round().astype(np.uint8)
    assert sorted(map(bytes, pictures[~real])) == sorted(map(bytes, fake))
    assert len({bytes(picture) for picture in pictures[real]}) == 12


def test_the_same_seed_is_the_same_page_and_another_seed_another(run, tmp_path):
    paths = [tmp_path / name for name in ("a.html", "b.html", "c.html")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        rating.write_page(run, path, n=4, seed=seed, progress=False)
    first, again, other = (path.read_bytes() for path in paths)
    assert first == again
    assert data_of(paths[0])["pictures"] != data_of(paths[2])["pictures"]
    assert first != other


def test_held_out_pictures_where_there_are_any(tmp_path, monkeypatch):
    digits = rawgan.data.load("digits")
    training, test = (Dataset("mnist", digits.items[i::2]) for i in (0, 1))
    row = Entry(lambda split, _: training if split == "train" else test, ("train", "test"))
    monkeypatch.setitem(rawgan.data.DATASETS, "mnist", row)
    said = rating.write_page(quick(data="mnist"), tmp_path / "a.html", n=9, progress=False)
    assert said == "the real pictures are of mnist's test part, which the generator was not trained on"
    for picture in shown(tmp_path / "a.html")[page.is_real(9, 0)]:
        assert (test.items == picture).all(axis=(1, 2, 3)).any()


def test_pictures_as_the_recipe_takes_them_and_in_colour(tmp_path):
    own = np.random.default_rng(0).random((40, 3, 8, 8)).astype(np.float32)
    run = rawgan.train(
        "dcgan_cifar10", data=own, width=2, steps=1, batch_size=8, noise=4, device="cpu", progress=False
    )  # fmt: skip
    rating.write_page(run, tmp_path / "a.html", n=2, data=own, progress=False)
    assert shown(tmp_path / "a.html").shape == (4, 3, 32, 32)
    assert data_of(tmp_path / "a.html")["size"] == [32, 32]


def test_nothing_on_the_page_tells_real_from_generated(run, tmp_path):
    """The sealed bytes are no more of one kind than of the other, and no two pages seal alike."""
    rating.write_page(run, tmp_path / "a.html", n=300, seed=0, progress=False)
    found = data_of(tmp_path / "a.html")
    assert found.keys() == {"format", "page", "pictures", "size", "called", "sealed"}
    sealed = np.frombuffer(base64.b64decode(found["sealed"]["truth"]), np.uint8)
    real = page.is_real(300, 0)
    for bit in range(8):
        ones = sealed >> bit & 1
        assert abs(ones[real].mean() - ones[~real].mean()) <= 5 * np.sqrt(2 * 0.25 / 300)
    stream = page._bytes_of(found["sealed"]["key"])
    opened = np.array([next(stream) for _ in sealed], np.uint8) ^ sealed
    assert (opened == real).all()


def test_a_name_cannot_break_out_of_the_page(tmp_path):
    own = Dataset("/home/ada/</script><script>alert(1)//", rawgan.data.load("digits").items[:50])
    rating.write_page(quick(data=own), tmp_path / "a.html", n=1, data=own, progress=False)
    text = (tmp_path / "a.html").read_text("utf-8")
    assert text.count("</script>") == 2  # the data's and the program's own
    assert data_of(tmp_path / "a.html")["called"] == "script><script>alert(1)"
    assert "/home" not in text


def test_what_cannot_be_rated(run, tmp_path, monkeypatch):
    path = tmp_path / "a.html"
    with pytest.raises(ConfigError, match="'mixture' makes points, and people judge pictures"):
        rating.write_page(quick("mixture"), path)
    own = rawgan.data.load("digits").items[:9]
    with pytest.raises(ConfigError, match=r"rate: .*give it again as data="):
        rating.write_page(quick(data=own), path, progress=False)
    with pytest.raises(DataError, match="rate: array has 9 real pictures to show, not 10"):
        rating.write_page(quick(data=own), path, 10, data=own, progress=False)
    with pytest.raises(rawgan.CheckpointError, match="cannot be written"):
        rating.write_page(run, tmp_path / "none" / "a.html", 1, progress=False)
    for n in (0, 1001, 1.5):
        with pytest.raises(ConfigError, match="rate: n is"):
            rating.write_page(run, path, n)
    monkeypatch.setattr(Run, "sample", lambda self, n, seed: np.full((n, 1, 8, 8), np.nan))
    with pytest.raises(DataError, match="after 2 steps are not finite"):
        rating.write_page(run, path, 2, progress=False)
    assert not path.exists()
