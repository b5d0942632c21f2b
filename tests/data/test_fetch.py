"""Where files come from: a named folder, RAWGAN_DATA, the cache, the net; and what is said on failure."""

import gzip
import hashlib
import http.server
import os
import threading

import numpy as np
import pytest
from dataset_files import idx_bytes, mnist_pair, write_mnist

from rawgan import ConfigError, DataError, data
from rawgan.data import fetch, mnist

NOBODY = "http://127.0.0.1:9/"  # the discard port: refused at once


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No test reaches the net or the user's own cache; RAWGAN_DATA is unset."""
    monkeypatch.delenv(fetch.VARIABLE, raising=False)
    monkeypatch.setattr(fetch, "cache_folder", lambda source: tmp_path / "cache" / source.name)
    for name, source in mnist.SOURCES.items():
        point_at(monkeypatch, name, (NOBODY,), source)


def point_at(monkeypatch, name, hosts, source=None):
    source = source or mnist.SOURCES[name]
    moved = fetch.Source(source.name, source.folders, hosts, source.foreign)
    monkeypatch.setitem(mnist.SOURCES, name, moved)


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("below", ["", "fashion_mnist", "fashion-mnist"])
def test_data_dir(tmp_path, below, dot, suffix):
    images, labels = write_mnist(tmp_path / below, "t10k", suffix, dot)
    got = data.load("fashion_mnist", split="test", data_dir=tmp_path)
    np.testing.assert_array_equal(got.items[:, 0], images, strict=True)
    np.testing.assert_array_equal(got.labels, labels)
    assert got.name == "fashion_mnist"


def test_rawgan_data_and_data_dir_before_it(tmp_path, monkeypatch):
    first, _ = write_mnist(tmp_path / "a" / "mnist", seed=1)
    second, _ = write_mnist(tmp_path / "b", seed=2)
    monkeypatch.setenv(fetch.VARIABLE, str(tmp_path / "a"))
    np.testing.assert_array_equal(data.load("mnist").items[:, 0], first)
    np.testing.assert_array_equal(data.load("mnist", data_dir=str(tmp_path / "b")).items[:, 0], second)


def test_a_folder_of_mnist_is_not_taken_for_fashion_mnist(tmp_path):
    write_mnist(tmp_path / "mnist")
    with pytest.raises(DataError, match="fashion_mnist: found no train-images"):
        data.load("fashion_mnist", data_dir=tmp_path / "mnist")
    assert len(data.load("mnist", data_dir=tmp_path / "mnist")) == 6


def test_images_and_labels_come_from_one_folder(tmp_path):
    write_mnist(tmp_path / "mnist", seed=1)
    images, labels = write_mnist(tmp_path, seed=2)
    (tmp_path / "mnist" / "train-labels-idx1-ubyte.gz").unlink()
    got = data.load("mnist", data_dir=tmp_path)
    np.testing.assert_array_equal(got.items[:, 0], images)
    np.testing.assert_array_equal(got.labels, labels)


def test_missing_files_and_folders(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"found no train-images-idx3-ubyte.gz and train-labels.*mnist, "):
        data.load("mnist", data_dir=tmp_path)
    with pytest.raises(DataError, match=r"data_dir is .*nowhere.*not a folder"):
        data.load("mnist", data_dir=tmp_path / "nowhere")
    monkeypatch.setenv(fetch.VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"RAWGAN_DATA is .*nowhere.*not a folder"):
        data.load("mnist")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (mnist_pair(6)[0], mnist_pair(5)[1], "holds 6 pictures.*5 labels"),
        (mnist_pair(6)[0][:, :20], mnist_pair(6)[1], "pictures of 20x28; mnist's are 28x28"),
        (mnist_pair(6)[0], mnist_pair(6)[1] + np.uint8(10), "label 1[0-9]; mnist's are 0 to 9"),
    ],
)
def test_files_that_do_not_fit(tmp_path, images, labels, message):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(images))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    with pytest.raises(DataError, match=message):
        data.load("mnist", data_dir=tmp_path)


@pytest.fixture
def host(monkeypatch):
    """A server on this machine with small MNIST files: `.files` by path; `.asked` lists the requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path)
            content = server.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if server.cut else content)

        def log_message(self, *_):
            """Says nothing on the test's output."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    images, labels = mnist_pair()
    server.images = images
    server.files = {
        "/train-images-idx3-ubyte.gz": gzip.compress(idx_bytes(images), mtime=0),
        "/train-labels-idx1-ubyte.gz": gzip.compress(idx_bytes(labels), mtime=0),
    }
    server.asked, server.cut = [], False
    server.url = f"http://127.0.0.1:{server.server_port}/"
    for path, content in server.files.items():
        monkeypatch.setitem(mnist.SHA256["mnist"], path[1:-3], hashlib.sha256(content).hexdigest())
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_download_once_then_from_the_cache(monkeypatch, host, capfd):
    point_at(monkeypatch, "mnist", (host.url,))
    for _ in range(2):
        np.testing.assert_array_equal(data.load("mnist").items[:, 0], host.images)
    assert sorted(host.asked) == sorted(host.files)
    assert capfd.readouterr().out == ""


def test_second_host_when_the_first_fails(monkeypatch, host):
    point_at(monkeypatch, "mnist", (NOBODY, host.url + "gone/", host.url))
    assert len(data.load("mnist")) == 6


def test_damaged_cache_is_fetched_again(monkeypatch, host, tmp_path):
    point_at(monkeypatch, "mnist", (host.url,))
    write_mnist(tmp_path / "cache" / "mnist", seed=5)
    np.testing.assert_array_equal(data.load("mnist").items[:, 0], host.images)


def test_rawgan_data_without_this_dataset_leads_to_the_download(monkeypatch, host, tmp_path):
    point_at(monkeypatch, "mnist", (host.url,))
    monkeypatch.setenv(fetch.VARIABLE, str(tmp_path))
    assert len(data.load("mnist")) == 6


def refused(monkeypatch, host):
    return NOBODY, "refused"


def gone(monkeypatch, host):
    return host.url + "gone/", "404"


def wrong_hash(monkeypatch, host):
    monkeypatch.setitem(mnist.SHA256["mnist"], "train-images-idx3-ubyte", "0" * 64)
    return host.url, "hash"


def cut_off(monkeypatch, host):
    host.cut = True
    return host.url, "IncompleteRead|broken"


@pytest.mark.parametrize("failure", [refused, gone, wrong_hash, cut_off])
def test_failed_download_says_how_to_go_on_and_leaves_nothing(monkeypatch, host, tmp_path, failure):
    url, reason = failure(monkeypatch, host)
    point_at(monkeypatch, "mnist", (url,))
    monkeypatch.setenv(fetch.VARIABLE, str(tmp_path))
    with pytest.raises(DataError, match=f"(?is)train-images.*({reason})") as caught:
        data.load("mnist")
    for part in (url, str(tmp_path / "mnist"), "RAWGAN_DATA", "data_dir=", "train-labels-idx1-ubyte.gz"):
        assert part in str(caught.value)
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert left == []


def test_unwritable_cache(monkeypatch, host, tmp_path):
    point_at(monkeypatch, "mnist", (host.url,))
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="RAWGAN_DATA"):
        data.load("mnist")


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_only_where_a_terminal_is(monkeypatch, host, capfd, terminal):
    point_at(monkeypatch, "mnist", (host.url,))
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    data.load("mnist")
    assert ("kB" in capfd.readouterr().err) == terminal


def test_names_table_and_unknown_names():
    assert list(data.DATASETS) == data.names()
    for name, nearest in [("mnits", "mnist"), ("fashion-mnist", "fashion_mnist"), ("Digits", "digits")]:
        with pytest.raises(ConfigError, match=f"did you mean '{nearest}'"):
            data.load(name)
    with pytest.raises(ConfigError, match="unknown data 'zzzz': There are: digits, mnist"):
        data.load("zzzz")
    for source in ("digits", "ring", np.zeros((2, 2)), data.load("digits")):
        with pytest.raises(ConfigError, match="has no split 'test'"):
            data.load(source, split="test")
    with pytest.raises(ConfigError, match="mnist has no split 'validation'; it has: train, test"):
        data.load("mnist", split="validation")


def test_a_row_says_how_data_is_made_and_in_which_splits(monkeypatch):
    asked = []
    row = data.Entry(make=lambda *where: asked.append(where), splits=("calm", "wild"))
    monkeypatch.setitem(data.DATASETS, "own", row)
    data.load("own", split="wild", data_dir="folder")
    assert asked == [("wild", "folder")]
    with pytest.raises(ConfigError, match="own has no split 'train'; it has: calm, wild"):
        data.load("own")


def test_a_path_is_not_data(tmp_path):
    with pytest.raises(DataError, match="data_dir=path"):
        data.load(tmp_path)


def test_hashes_and_table_are_whole():
    for name, source in mnist.SOURCES.items():
        assert set(mnist.SHA256[name]) == set(mnist.SHA256["mnist"])
        assert all(len(value) == 64 and int(value, 16) for value in mnist.SHA256[name].values())
        assert source.folders[0] == name


REAL = os.environ.get(fetch.VARIABLE)  # as it is outside the tests: `offline` unsets it within


@pytest.mark.parametrize(("split", "count"), [("train", 60_000), ("test", 10_000)])
def test_real_mnist(split, count):
    if not REAL:
        pytest.skip("RAWGAN_DATA names no folder with MNIST")
    got = data.load("mnist", split=split, data_dir=REAL)
    assert (len(got), got.shape) == (count, (1, 28, 28))
    header = b"\0\0\x08\x03" + np.array([count, 28, 28], ">u4").tobytes()
    if split == "train":
        whole = hashlib.md5(header + got.items.tobytes(), usedforsecurity=False).hexdigest()
        assert whole == "6bbc9ace898e44ae57da46a324031adb"
    assert np.bincount(got.labels).min() >= count * 0.08
