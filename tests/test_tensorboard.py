"""TensorBoard's event files, read back byte by byte, and by TensorBoard itself."""

import io
import json
import struct
import sys

import numpy as np
import pytest
from PIL import Image

import rawgan
from rawgan import CheckpointError, ConfigError, tensorboard
from rawgan.training import checkpoint, pictures
from rawgan.training.alarms import Alarm
from rawgan.training.rundir import RunDirectory

pytest.importorskip("tensorboardX", reason="the writer is not installed: rawgan[tensorboard]")

QUICK = {"batch_size": 8, "noise": 4, "hidden": 4, "device": "cpu", "progress": False}


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    for slow in ("plot_history", "save_animation"):
        monkeypatch.setattr(pictures, slow, lambda *arguments: None)


@pytest.fixture
def run(tmp_path):
    return rawgan.train("mlp", steps=6, sample_every=3, checkpoint_every=2, out=tmp_path / "run", **QUICK)


def events(folder):
    """Every event of a folder's files, in order of time, its checksums compared."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    found = []
    for path in sorted(folder.glob("*.tfevents.*"), key=lambda path: path.stat().st_mtime_ns):
        stream = io.BytesIO(path.read_bytes())
        while header := stream.read(8):
            (length,) = struct.unpack("<Q", header)
            assert struct.unpack("<I", stream.read(4)) == (masked_crc32c(header),)
            content = stream.read(length)
            assert struct.unpack("<I", stream.read(4)) == (masked_crc32c(content),)
            found.append(Event.FromString(content))
    return found


def values(folder):
    """{tag: {step: value}}: numbers, histograms, pictures as arrays, texts."""
    found = {}
    for event in events(folder):
        for value in event.summary.value:
            kind = value.WhichOneof("value")
            if kind == "image":
                with Image.open(io.BytesIO(value.image.encoded_image_string)) as picture:
                    read = np.asarray(picture)
            elif kind == "tensor":
                read = value.tensor.string_val[0].decode()
            else:
                read = getattr(value, kind) if kind else value.metadata
            found.setdefault(value.tag, {})[event.step] = read
    return found


def assert_is_histogram_of(found, array):
    assert found.num == array.size
    assert (found.min, found.max) == (float(array.min()), float(array.max()))
    assert abs(found.sum - array.astype(np.float64).sum()) <= 1e-6 * np.abs(array).sum()
    assert sum(found.bucket) == array.size
    for limit, count in zip(found.bucket_limit, np.cumsum(found.bucket), strict=True):
        below = (array.astype(np.float64) < limit * (1 - 1e-12 * np.sign(limit))).sum()
        assert below <= count <= (array <= limit * (1 + 1e-12 * np.sign(limit))).sum()


def test_a_run_directory(run, tmp_path):
    with open(tmp_path / "run" / "warnings.txt", "w") as file:
        file.write("4: dead: half of the units are 0\nnonsense\n")
    tensorboard.export(tmp_path / "run", tmp_path / "logs")
    found = values(tmp_path / "logs")
    history = run.history
    for column, tag in (
        ("d_loss", "losses/d_loss"),
        ("g_loss", "losses/g_loss"),
        ("d_real", "values/d_real"),
        ("g_grad_norm", "gradient_norms/g_grad_norm"),
    ):
        assert list(found[tag]) == [1, 2, 3, 4, 5, 6]
        assert np.abs(np.subtract(list(found[tag].values()), history[column])).max() <= 1e-6
    for step in (2, 4, 6):
        kept = checkpoint.load(tmp_path / "run" / "checkpoints" / f"step-{step:08d}.safetensors")[0]
        for name in ("generator.0.weight", "discriminator.5.bias"):
            tag = "weights/" + name.replace(".", "/", 1)
            assert list(found[tag]) == [2, 4, 6]
            assert_is_histogram_of(found[tag][step], kept[name])
    assert not any("optimizer" in tag for tag in found)
    for step in (3, 6):
        with Image.open(tmp_path / "run" / "samples" / f"step-{step:08d}.png") as picture:
            assert (found["samples"][step] == np.asarray(picture)).all()
    assert found["warnings/dead/text_summary"] == {4: "half of the units are 0"}
    assert "\nbatch_size | 8\n" in found["settings/text_summary"][0]
    assert {tag for tag in found if tag.startswith("_hparams_")} == {
        f"_hparams_/{part}" for part in ("experiment", "session_start_info", "session_end_info")
    }


def test_a_run_in_memory_and_a_saved_file_say_the_same(tmp_path):
    run = rawgan.train("mlp", steps=2, **QUICK)
    run.save(tmp_path / "one.safetensors")
    tensorboard.export(run, tmp_path / "a")
    tensorboard.export(tmp_path / "one.safetensors", tmp_path / "b")
    first, second = values(tmp_path / "a"), values(tmp_path / "b")
    assert first.keys() == second.keys()
    assert first["losses/d_loss"] == second["losses/d_loss"]
    assert (first["samples"][2] == pictures.image_grid(run.sample(64))).all()
    assert_is_histogram_of(first["weights/generator/0.weight"][2], run.generator[0].weight.numpy())


def test_damaged_parts_are_passed_over_with_a_word(run, tmp_path):
    (tmp_path / "run" / "checkpoints" / "step-00000004.safetensors").write_bytes(b"")
    (tmp_path / "run" / "samples" / "step-00000003.png").write_bytes(b"no")
    with pytest.warns(RuntimeWarning) as said:
        tensorboard.export(tmp_path / "run", tmp_path / "logs")
    first, second = sorted(str(warning.message) for warning in said)
    assert first.startswith(f"no histograms of step 4: {tmp_path}")
    assert second.startswith(f"no picture of step 3: {tmp_path}")
    found = values(tmp_path / "logs")
    assert list(found["weights/generator/0.weight"]) == [2, 6]
    assert list(found["samples"]) == [6]


def test_a_run_before_its_first_step(tmp_path):
    RunDirectory.create(tmp_path / "run", rawgan.train("mlp", steps=1, **QUICK).config).close()
    tensorboard.export(tmp_path / "run", tmp_path / "logs")
    assert "settings/text_summary" in values(tmp_path / "logs")


def test_while_training(tmp_path):
    seen = {}

    def keep(run, row):
        seen[run.steps] = (
            {**row},
            run.generator[0].weight.numpy().copy(),
            run.generator[0].weight.grad.copy(),
            run.discriminator[1].weight.grad.copy(),
        )
        if run.steps == 2:
            run.warnings.append(Alarm(2, "dead", "so it is"))

    with tensorboard.TensorBoard(tmp_path / "logs", every=2) as board:
        run = rawgan.train("mlp", steps=5, callbacks=[board, keep], **QUICK)
    found = values(tmp_path / "logs")
    assert list(found["losses/g_loss"]) == [1, 2, 3, 4, 5]
    assert found["losses/g_loss"][3] == np.float32(seen[3][0]["g_loss"])
    tags = ("weights/generator/0.weight", "gradients/generator/0.weight", "gradients/discriminator/1.weight")
    for at, tag in enumerate(tags, start=1):
        assert list(found[tag]) == [2, 4]
        assert_is_histogram_of(found[tag][4], seen[4][at])
    assert list(found["samples"]) == [2, 4]
    assert found["warnings/dead/text_summary"] == {2: "so it is"}
    plain = rawgan.train("mlp", steps=5, **QUICK)
    assert plain.history["g_loss"].tobytes() == run.history["g_loss"].tobytes()


def test_points_are_drawn(tmp_path):
    with tensorboard.TensorBoard(tmp_path / "logs", every=1) as board:
        run = rawgan.train("mixture", steps=1, callbacks=[board], **QUICK)
    assert values(tmp_path / "logs")["samples"][1].shape[2] == 3
    run.save(tmp_path / "one")
    tensorboard.export(tmp_path / "one", tmp_path / "again")  # a saved run has no data at hand
    assert values(tmp_path / "again")["samples"][1].shape[2] == 3


def test_a_run_that_goes_on_hides_what_was_after_its_checkpoint(tmp_path):
    def train(stop=None, **more):
        with tensorboard.TensorBoard(tmp_path / "logs", every=10) as board:
            callbacks = [board, lambda run, row: row["step"] == stop]
            settings = {"device": "cpu", "progress": False, "out": tmp_path / "run", "callbacks": callbacks}
            rawgan.train(**(settings | more))

    train(recipe="mlp", steps=6, stop=5, checkpoint_every=3, **{k: QUICK[k] for k in ("batch_size", "noise")})
    (tmp_path / "run" / "checkpoints" / "step-00000005.safetensors").unlink()
    train(resume=True)
    files = sorted((tmp_path / "logs").iterdir())
    assert len(files) == 2
    starts = [(e.step, e.session_log.status) for e in events(tmp_path / "logs") if e.HasField("session_log")]
    assert starts == [(4, 1)]
    steps = [e.step for e in events(tmp_path / "logs") for v in e.summary.value if v.tag == "losses/d_loss"]
    assert steps == [1, 2, 3, 4, 5, 4, 5, 6]


@pytest.mark.dev
def test_as_tensorboard_reads_it(run, tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="it comes with rawgan[dev]"
    )
    tensorboard.export(run, tmp_path / "logs")
    found = accumulator.EventAccumulator(
        str(tmp_path / "logs"), size_guidance={"scalars": 0, "images": 0, "histograms": 0, "tensors": 0}
    ).Reload()
    assert [e.step for e in found.Scalars("losses/d_loss")] == [1, 2, 3, 4, 5, 6]
    assert [e.step for e in found.Images("samples")] == [3, 6]
    assert [e.step for e in found.Histograms("weights/generator/0.weight")] == [2, 4, 6]
    (settings,) = found.Tensors("settings/text_summary")
    assert b"recipe | mlp" in settings.tensor_proto.string_val[0]
    data = found.summary_metadata["_hparams_/session_start_info"].plugin_data
    assert data.plugin_name == "hparams"
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    read = HParamsPluginData.FromString(data.content).session_start_info.hparams
    assert read["batch_size"].number_value == 8
    assert read["objective"].string_value == "saturating"
    assert "clip_norm" not in read  # it is None


def test_what_is_refused(run, tmp_path, monkeypatch):
    tensorboard.export(run, tmp_path / "logs")
    with pytest.raises(ConfigError, match=r"logs already holds events; give another folder"):
        tensorboard.export(run, tmp_path / "logs")
    with pytest.raises(CheckpointError, match="not the folder of a run"):
        tensorboard.export(tmp_path, tmp_path / "b")
    with pytest.raises(CheckpointError, match="there is no such file"):
        tensorboard.export(tmp_path / "none", tmp_path / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        tensorboard.export(run, tmp_path / "file" / "logs")
    with pytest.raises(ConfigError, match="every is a whole number"):
        tensorboard.TensorBoard(tmp_path / "b", every=0)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"recipe": "mpl"}))
    with pytest.raises(CheckpointError, match="recipe takes one of"):
        tensorboard.export(tmp_path / "run", tmp_path / "b")
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    for make in (tensorboard.TensorBoard, lambda logs: tensorboard.export(run, logs)):
        with pytest.raises(ConfigError, match=r"need tensorboardX: pip install rawgan\[tensorboard\]"):
            make(tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_full_disk_is_an_error_and_no_hang(tmp_path, monkeypatch):
    from tensorboardX import record_writer

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    board = tensorboard.TensorBoard(tmp_path / "logs")
    monkeypatch.setattr(record_writer, "open_file", lambda path: Full())
    with pytest.raises(CheckpointError, match="free some space"):
        rawgan.train("mlp", steps=1, callbacks=[board], **QUICK)


def test_the_command(run, tmp_path, monkeypatch, capsys):
    from rawgan import cli

    monkeypatch.chdir(tmp_path)
    for arguments, status in (
        (["tensorboard", "run"], 0),
        (["tensorboard", "run"], 2),
        (["tensorboard", "run", "--out", "x"], 0),
    ):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        assert end.value.code == status
    out, err = capsys.readouterr()
    assert out.splitlines() == ["logs/run", "x"]
    assert err == "rawgan: logs/run already holds events; give another folder, or delete these\n"
    assert values(tmp_path / "logs" / "run").keys() == values(tmp_path / "x").keys()
