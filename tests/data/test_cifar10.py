"""CIFAR-10's binary version, out of the archive and unpacked."""

import gzip
import io
import os
import tarfile

import numpy as np
import pytest
from dataset_files import cifar_records, damaged, peak_memory, tar_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from rawgan import DataError, data
from rawgan.data import cifar10

FOLDER = "cifar-10-batches-bin/"
FIRST, SECOND = cifar_records(2, seed=1), cifar_records(3, seed=2)
TAR = tar_bytes(
    {
        FOLDER + "batches.meta.txt": b"airplane\n",
        FOLDER + "data_batch_2.bin": SECOND.tobytes(),
        FOLDER + "data_batch_1.bin": FIRST.tobytes(),
    }
)
ALL = np.concatenate([FIRST, SECOND])


def test_archive(tmp_path):
    (tmp_path / cifar10.ARCHIVE).write_bytes(gzip.compress(TAR))
    got = data.load("cifar10", data_dir=tmp_path)
    np.testing.assert_array_equal(got.items, ALL[:, 1:].reshape(-1, 3, 32, 32), strict=True)
    np.testing.assert_array_equal(got.labels, ALL[:, 0])
    assert list(tmp_path.iterdir()) == [tmp_path / cifar10.ARCHIVE]  # nothing is unpacked to disk
    with pytest.raises(DataError, match=r"holds none of test_batch.bin"):
        data.load("cifar10", split="test", data_dir=tmp_path)


@pytest.mark.parametrize("below", ["", "cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"])
def test_unpacked_files_those_present(tmp_path, below):
    folder = tmp_path / below
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data_batch_2.bin").write_bytes(SECOND.tobytes())
    (folder / "test_batch.bin").write_bytes(FIRST.tobytes())
    np.testing.assert_array_equal(data.load("cifar10", data_dir=tmp_path).labels, SECOND[:, 0])
    test = data.load("cifar10", split="test", data_dir=tmp_path)
    np.testing.assert_array_equal(test.items.reshape(2, -1), FIRST[:, 1:])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes; takes a multiple of 3073"),
        (FIRST.tobytes()[:-1], "6145 bytes; takes a multiple of 3073"),
        (b"\x0a" + FIRST.tobytes()[1:], "record 0 has the label 10"),
    ],
)
def test_bad_records(tmp_path, content, message):
    (tmp_path / "data_batch_1.bin").write_bytes(content)
    with pytest.raises(DataError, match=f"data_batch_1.bin: {message}"):
        data.load("cifar10", data_dir=tmp_path)
    (tmp_path / "data_batch_1.bin").unlink()
    archive = tar_bytes({FOLDER + "data_batch_1.bin": content})
    (tmp_path / cifar10.ARCHIVE).write_bytes(gzip.compress(archive))
    with pytest.raises(DataError, match=f"data_batch_1.bin: {message}"):
        data.load("cifar10", data_dir=tmp_path)


def read_archive(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    (folder / cifar10.ARCHIVE).write_bytes(content)
    return peak_memory(lambda: data.load("cifar10", data_dir=folder))


@settings(max_examples=150, deadline=None)
@given(damaged(gzip.compress(TAR, mtime=0)))
def test_damaged_gzip_gives_data_error_or_the_very_pictures(tmp_path_factory, content):
    result, peak = read_archive(tmp_path_factory, content)
    assert peak <= 4_000_000
    if isinstance(result, data.Dataset):
        np.testing.assert_array_equal(result.items.reshape(5, -1), ALL[:, 1:])
    else:
        assert type(result) is DataError


# Headers, where the lengths are, lie at these places; damage elsewhere is only other pixels.
HEADERS = [i for i in range(0, len(TAR), 512) if TAR[i : i + 7] == b"cifar-1"]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(HEADERS), st.data())
def test_damaged_tar_gives_data_error_or_whole_records(tmp_path_factory, header, data_):
    broken = data_.draw(damaged(TAR[header : header + 512]))
    content = TAR[:header] + broken + TAR[header + 512 :]
    result, peak = read_archive(tmp_path_factory, gzip.compress(content))
    assert peak <= 4_000_000
    if isinstance(result, data.Dataset):
        assert result.shape == (3, 32, 32)
        assert 1 <= len(result) <= 5
        assert result.labels.max() <= 9
    else:
        assert type(result) is DataError


@pytest.mark.parametrize("header", HEADERS)
def test_a_file_behind_a_damaged_header_is_missed(tmp_path, header):
    content = bytearray(TAR)
    content[header + 148] ^= 1  # the header's checksum
    (tmp_path / cifar10.ARCHIVE).write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match="damaged archive"):
        data.load("cifar10", data_dir=tmp_path)


def test_archive_that_lies_about_lengths_or_unpacks_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "MAX_BYTES", 1 << 22)
    pax = tarfile.TarInfo("x")
    pax.type, pax.size = tarfile.XHDTYPE, 1 << 33  # tarfile reads such a header into memory whole
    bomb = gzip.compress(pax.tobuf(tarfile.GNU_FORMAT) + bytes(cifar10.MAX_BYTES + 1_000_000), 1)
    (tmp_path / cifar10.ARCHIVE).write_bytes(bomb)
    result, peak = peak_memory(lambda: data.load("cifar10", data_dir=tmp_path))
    assert "unpacks to more than" in str(result)
    assert peak <= 2 * cifar10.MAX_BYTES + 10_000_000


def test_links_and_paths_out_of_the_archive_lead_nowhere(tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("../data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    (tmp_path / cifar10.ARCHIVE).write_bytes(gzip.compress(out.getvalue()))
    with pytest.raises(DataError, match="holds none of"):
        data.load("cifar10", data_dir=tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", gzip.compress(b"", mtime=0), gzip.compress(b"x" * 5000, mtime=0)],
    ids=["empty", "text", "gzip of nothing", "gzip of text"],
)
def test_no_archive_at_all(tmp_path, content):
    (tmp_path / cifar10.ARCHIVE).write_bytes(content)
    with pytest.raises(DataError, match=cifar10.ARCHIVE):
        data.load("cifar10", data_dir=tmp_path)


def test_real_pictures():
    if not os.environ.get("RAWGAN_DATA"):
        pytest.skip("RAWGAN_DATA names no folder with CIFAR-10")
    got = data.load("cifar10", data_dir=os.environ["RAWGAN_DATA"])
    assert len(got) % 10_000 == 0
    assert np.bincount(got.labels).tolist() == [len(got) // 10] * 10 or len(got) < 50_000
    assert 100 <= got.items.mean() <= 140
