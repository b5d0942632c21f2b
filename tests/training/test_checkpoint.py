"""Checkpoints: bit for bit there and back, whole or not at all, and only CheckpointError for a bad one."""

import json
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rawgan.kernels.errors import CheckpointError
from rawgan.training import checkpoint

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
metas = st.dictionaries(st.text(st.characters()), json_values, max_size=4)
names = st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda name: name != "__metadata__")

DTYPES = ["<f8", ">f8", "<f4", ">f4", "<f2", "<i8", ">i8", "<i4", "<i2", "i1", "<u8", "<u4", "<u2", "u1"]


@st.composite
def arrays(draw):
    """Any dtype of the format, 0-d and empty ones, any bits (NaN payloads, -0.0), any memory order."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    seed = draw(st.integers(0, 2**32 - 1))
    bits = np.random.default_rng(seed).integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8)
    array = bits.view(dtype)[..., 0]
    if draw(st.booleans()):
        array = array > 0
    layout = draw(st.sampled_from(["C", "F", "reversed", "strided", "broadcast"]))
    if layout == "F":
        return np.asfortranarray(array) if array.ndim else array
    if layout == "reversed":
        return array[tuple(slice(None, None, -1) for _ in array.shape)]
    if layout == "strided":
        return np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
    return np.broadcast_to(array, (2, *array.shape)) if layout == "broadcast" else array


def bits(array):
    """An array's dtype, shape and bytes, whatever its memory and byte order."""
    little = array.astype(array.dtype.newbyteorder("<"), order="C")
    return little.dtype, little.shape, little.tobytes()


def all_bits(state):
    return {name: bits(array) for name, array in state.items()}


@pytest.fixture
def saved(tmp_path):
    """A small but real checkpoint: its path, its arrays and its meta."""
    path = tmp_path / "step-00000100.safetensors"
    state = {
        "0.weight": np.float32([[1.5, -0.0], [np.nan, 3]]),
        "t": np.array(7),
        "mask": np.array([True, False]),
    }
    meta = {"step": 100, "lr": 2e-4, "name": "é"}
    checkpoint.save(path, state, meta)
    return path, state, meta


@same_folder
@given(state=st.dictionaries(names, arrays(), max_size=5), meta=metas)
def test_round_trip_is_bit_for_bit(tmp_path, state, meta):
    before = all_bits(state)
    checkpoint.save(tmp_path / "c", state, meta)
    loaded, loaded_meta = checkpoint.load(tmp_path / "c")
    assert all_bits(loaded) == before
    assert loaded_meta == meta
    assert all_bits(state) == before
    for array in loaded.values():
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_orders_that_the_safetensors_package_gets_wrong(tmp_path):
    grid = np.arange(12.0).reshape(3, 4)
    state = {
        "fortran": np.asfortranarray(grid),
        "negative": grid[::-1, ::-1],
        "column": grid[:, 1],
        "transposed": grid.T,
    }
    checkpoint.save(tmp_path / "c", state, {})
    loaded, _ = checkpoint.load(tmp_path / "c")
    for name, array in state.items():
        np.testing.assert_array_equal(loaded[name], array, strict=True)


def test_nan_payloads_and_signed_zeros_survive(tmp_path):
    words = np.array([0x7FC0DEAD, 0xFFC00001, 0x7F800001, 0x80000000, 0x00000001], np.uint32)
    checkpoint.save(tmp_path / "c", {"w": words.view(np.float32)}, {"nan": float("nan"), "inf": float("inf")})
    loaded, meta = checkpoint.load(tmp_path / "c")
    np.testing.assert_array_equal(loaded["w"].view(np.uint32), words)
    assert meta["nan"] != meta["nan"]
    assert meta["inf"] == float("inf")


def test_equal_states_give_equal_files(saved):
    path, state, meta = saved
    checkpoint.save(path.parent / "again", dict(reversed(state.items())), meta)
    assert (path.parent / "again").read_bytes() == path.read_bytes()


def test_any_safetensors_reader_opens_it(saved):
    from safetensors import safe_open
    from safetensors.numpy import load_file

    path, state, meta = saved
    theirs = load_file(path)
    assert all_bits(theirs) == all_bits(state)
    with safe_open(path, "np") as file:
        assert json.loads(file.metadata()["rawgan"])["meta"] == meta


@same_folder
@given(state=st.dictionaries(names.filter(bool), arrays(), min_size=1, max_size=5))
def test_a_file_rewritten_by_the_safetensors_package_still_loads(tmp_path, state):
    from safetensors import safe_open
    from safetensors.numpy import save_file

    checkpoint.save(tmp_path / "ours", state, {"step": 1})
    with safe_open(tmp_path / "ours", "np") as file:
        contiguous = {
            name: np.asarray(array, order="C")
            for name, array in checkpoint.load(tmp_path / "ours")[0].items()
        }
        save_file(contiguous, tmp_path / "theirs", file.metadata())
    loaded, meta = checkpoint.load(tmp_path / "theirs")
    assert all_bits(loaded) == all_bits(state)
    assert meta == {"step": 1}


def test_every_single_flipped_bit_is_noticed(saved):
    path, _, _ = saved
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError, match="step-00000100"):
                checkpoint.load(path)


@same_folder
@given(data=st.data())
def test_damage_of_any_kind_is_a_checkpoint_error(saved, data):
    path, state, meta = saved
    checkpoint.save(path, state, meta)
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole)), label="start")
    stop = data.draw(st.sampled_from([start, start + 1, start + 8, len(whole)]), label="stop")
    damaged = whole[:start] + data.draw(st.binary(max_size=16), label="instead") + whole[stop:]
    path.write_bytes(damaged)
    try:
        loaded, loaded_meta = checkpoint.load(path)
    except CheckpointError as error:
        message = str(error)
    else:  # nothing changed, or only white space in the header
        assert all_bits(loaded) == all_bits(state)
        assert loaded_meta == meta
        return
    assert str(path) in message


header_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2**70)
    | st.text(max_size=4)
    | st.sampled_from(["F32", "rawgan"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["dtype", "shape", "data_offsets", "__metadata__", "rawgan", "a"]), inner
        )
    ),
    max_leaves=12,
)


@same_folder
@given(header=header_values, document=header_values, tail=st.binary(max_size=16))
def test_a_well_formed_but_senseless_header_is_a_checkpoint_error(tmp_path, header, document, tail):
    if isinstance(header, dict):
        header["__metadata__"] = {"rawgan": json.dumps(document)}
    text = json.dumps(header).encode()
    (tmp_path / "c").write_bytes(len(text).to_bytes(8, "little") + text + tail)
    with pytest.raises(CheckpointError):
        checkpoint.load(tmp_path / "c")


def safetensors_bytes(fields, data=b""):
    text = json.dumps(fields).encode()
    return len(text).to_bytes(8, "little") + text + data


def in_format(document):
    return safetensors_bytes({"__metadata__": {"rawgan": json.dumps(document)}})


FOREIGN = {  # file content -> what the message says
    "empty": (b"", "empty"),
    "four bytes": (b"abcd", "cut short"),
    "text": (b"import numpy as np\n" * 9, "not a checkpoint"),
    "pickle": (pickle.dumps({"weight": [1.0] * 9}), "PyTorch or pickle"),
    "short pickle": (pickle.dumps({"weight": 1.0}, protocol=2), "PyTorch or pickle"),
    "lying length": ((2**63).to_bytes(8, "little") + b"{}", "(?i)header ?too ?large"),
    "cut inside a header of 640 bytes": ((0x280).to_bytes(8, "little") + b'{"w', "cut short"),
    "nested too deep": ((60_000).to_bytes(8, "little") + b"[" * 60_000, "header"),
    "document nested too deep": (
        safetensors_bytes({"__metadata__": {"rawgan": "[" * 60_000}}),
        "damaged.*recursion",
    ),
    "a dtype that NumPy has not": (
        safetensors_bytes(
            {
                "__metadata__": {"rawgan": '{"format": 1}'},
                "w": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]},
            },
            b"x",
        ),
        "damaged.*float8",
    ),
    "no metadata": (
        safetensors_bytes({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"abcd"),
        "not a rawgan",
    ),
    "newer": (in_format({"format": 99, "novelty": 1}), "newer rawgan.*upgrade"),
    "format is text": (in_format({"format": "1"}), "damaged"),
    "no digest": (in_format({"format": 1, "meta": {}}), "SHA-256"),
    "no meta": (in_format({"format": 1}), "damaged"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_files_are_named_for_what_they_are(tmp_path, kind):
    content, message = FOREIGN[kind]
    path = tmp_path / "foreign.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)


def test_no_length_of_the_header_is_taken_for_the_start_of_a_pickle(tmp_path):
    lengths = set()
    for n in range(0, 1600, 8):
        checkpoint.save(tmp_path / "c", {}, {"pad": "x" * n})
        lengths.add((tmp_path / "c").read_bytes()[:2])
        checkpoint.load(tmp_path / "c")
    assert lengths >= {b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"}


def test_a_pytorch_file_is_not_opened(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02}.")
    with pytest.raises(CheckpointError, match="PyTorch"):
        checkpoint.load(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: os.mkfifo(path), "not a regular file"),
        (lambda path: None, "no such file"),
    ],
)
def test_what_is_not_a_file(tmp_path, make, message):
    make(tmp_path / "c")
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(tmp_path / "c")


def test_impossible_paths():
    for path in ["", "nul\0l", "/dev/null/c", "x" * 5000]:
        with pytest.raises(CheckpointError):
            checkpoint.load(path)


@pytest.mark.parametrize(
    "shape", [[2**62, 2**62], [2**63], [1] * 65, [0, 2**62, 2**62], [-1], [1.0], [True], "1"]
)
def test_a_header_that_promises_the_moon_costs_no_memory(tmp_path, shape):
    document = json.dumps({"format": 1, "meta": {}})
    fields = {
        "w": {"dtype": "U8", "shape": shape, "data_offsets": [0, 1]},
        "__metadata__": {"rawgan": document},
    }
    (tmp_path / "c").write_bytes(safetensors_bytes(fields, b"x"))
    tracemalloc.start()
    with pytest.raises(CheckpointError):
        checkpoint.load(tmp_path / "c")
    assert tracemalloc.get_traced_memory()[1] <= 10**6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("state", "meta", "message"),
    [
        ({"w": np.array([1j])}, {}, "'w' has dtype complex128"),
        ({"w": np.array([None])}, {}, "'w' has dtype object"),
        ({"w": np.array(["a"])}, {}, "'w' has dtype <U1"),
        ({"__metadata__": np.zeros(1)}, {}, "cannot name an array"),
        ({"\ud800": np.zeros(1)}, {}, "cannot name an array"),
        ({3: np.zeros(1)}, {}, "cannot name an array"),
        ({}, {"lr": np.float32(1)}, "meta is not JSON.*float32"),
        ({}, {"log": "x" * 101_000_000}, "(?i)header ?too ?large.*; store large things as arrays"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_the_old_file_stays(saved, state, meta, message):
    path, _, old_meta = saved
    with pytest.raises(CheckpointError, match=message):
        checkpoint.save(path, state, meta)
    assert checkpoint.load(path)[1] == old_meta
    assert os.listdir(path.parent) == [path.name]


def test_memory_stays_near_one_copy(tmp_path):
    state = {"a": np.zeros((1024, 1024)), "b": np.zeros((1024, 1024))}  # 8 MiB each
    tracemalloc.start()
    checkpoint.save(tmp_path / "c", state, {})
    saving = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    loaded, _ = checkpoint.load(tmp_path / "c")
    loading = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert saving <= 2**24 + 2**20
    assert loading <= sum(array.nbytes for array in loaded.values()) + 2**20
