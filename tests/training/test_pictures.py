"""Pictures: every pixel where it belongs, files that any viewer opens, and no trace left in matplotlib."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from rawgan.kernels.errors import CheckpointError, DataError, DTypeError, ShapeError
from rawgan.training import pictures
from rawgan.training.history import COLUMNS
from rawgan.training.pictures import (
    CELL,
    GAP,
    image_grid,
    plot_history,
    points_figure,
    save_animation,
    save_grid,
)

rng = np.random.default_rng


def opened(path):
    with Image.open(path) as picture:
        picture.load()
        return picture


@settings(deadline=None)
@given(
    shape=st.tuples(st.integers(1, 12), st.sampled_from([1, 3]), st.integers(1, 40), st.integers(1, 40)),
    columns=st.none() | st.integers(1, 13),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_pixel_is_where_it_belongs(shape, columns, seed):
    images = rng(seed).integers(0, 256, shape, np.uint8)
    grid = image_grid(images, columns)
    scale = -(-CELL // max(shape[2:]))
    down, across = shape[2] * scale + GAP, shape[3] * scale + GAP
    columns = (grid.shape[1] - GAP) // across
    assert grid.dtype == np.uint8
    assert grid.ndim == (2 if shape[1] == 1 else 3)
    for place, image in enumerate(images):
        top, left = GAP + place // columns * down, GAP + place % columns * across
        cell = grid[top : top + down - GAP, left : left + across - GAP].reshape(down - GAP, across - GAP, -1)
        np.testing.assert_array_equal(cell[::scale, ::scale], image.transpose(1, 2, 0))
        np.testing.assert_array_equal(cell[scale - 1 :: scale, scale - 1 :: scale], image.transpose(1, 2, 0))


@given(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        (2, 1, 4, 4),
        elements=st.floats(0, 1, width=16),
    )
)
def test_floats_become_the_nearest_of_256_greys(images):
    before = images.copy()
    bytes_ = np.rint(images.astype(np.float64) * 255).astype(np.uint8)
    assert np.abs(image_grid(images).astype(int) - image_grid(bytes_)).max() <= 1  # float16 rounds on the way
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (6, 3), (7, 3), (10, 5), (13, 4), (64, 8), (100, 10)])
def test_grids_are_about_square(count, columns):
    assert image_grid(np.zeros((count, 1, 48, 48))).shape[1] == columns * (48 + GAP) + GAP


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((8, 8)), ShapeError, r"got shape \(8, 8\)"),
        (np.zeros((2, 4, 8, 8)), ShapeError, "C 1 or 3"),
        (np.zeros((0, 1, 8, 8)), ShapeError, "N > 0"),
        (np.zeros((1, 1, 8, 8), np.int64), DTypeError, "int64"),
        (np.full((1, 1, 8, 8), -1.0), DataError, r"from -1 to -1; rescale them to \[0, 1\]"),
        (np.full((1, 1, 8, 8), 255.0), DataError, "rescale"),
        (np.full((1, 1, 8, 8), np.nan), DataError, "nan"),
    ],
)
def test_what_is_not_an_image_is_refused(images, error, message):
    with pytest.raises(error, match=message):
        image_grid(images)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_saved_grid_reads_back(tmp_path, channels, mode):
    images = rng(0).random((9, channels, 8, 8), np.float32)
    save_grid(tmp_path / "grid.png", images)
    picture = opened(tmp_path / "grid.png")
    assert picture.mode == mode
    np.testing.assert_array_equal(np.asarray(picture), image_grid(images))


def test_a_full_disk_keeps_the_old_picture(small_disk):
    save_grid(small_disk / "grid.png", np.zeros((1, 1, 8, 8)))
    before = (small_disk / "grid.png").read_bytes()
    with pytest.raises(CheckpointError, match="No space left"):
        save_grid(small_disk / "grid.png", rng(0).integers(0, 256, (1, 3, 512, 512), np.uint8))
    assert (small_disk / "grid.png").read_bytes() == before


def coloured(path):
    """The share of pixels that are blue (D, real) and orange (G, generated), even if drawn light."""
    r, _, b = np.asarray(opened(path).convert("RGB")).astype(int).transpose(2, 0, 1)
    return (b - r > 25).mean(), (r - b > 25).mean()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_points_of_both_kinds_are_seen(tmp_path, dtype):
    real = rng(0).normal(size=(300, 2)).astype(dtype) + 5
    for step, fake in enumerate(
        [rng(1).normal(size=(300, 2)) + 5, np.full((300, 2), np.nan), np.full((5, 2), 1e30)]
    ):
        points_figure(tmp_path / "p.png", real, fake.astype(dtype), step, centres=np.array([[5.0, 5.0]]))
        blue, orange = coloured(tmp_path / "p.png")
        assert blue > 0.001
        assert orange > (0.001 if step == 0 else 0)
        assert opened(tmp_path / "p.png").size == (640, 660)


def test_points_of_another_shape_are_refused(tmp_path):
    with pytest.raises(ShapeError, match=r"fake has shape \(4, 3\)"):
        points_figure(tmp_path / "p.png", np.zeros((4, 2)), np.zeros((4, 3)), 1)
    with pytest.raises(ShapeError, match=r"centres has shape \(2,\)"):
        points_figure(tmp_path / "p.png", np.zeros((4, 2)), np.zeros((4, 2)), 1, np.zeros(2))


def made_history(steps, **columns):
    made = {name: rng(0).random(steps) for name in COLUMNS} | columns
    return made | {"step": np.arange(1, steps + 1)}


def test_points_without_the_real_ones(tmp_path):
    points = np.random.default_rng(0).normal(size=(50, 2))
    points_figure(tmp_path / "p.png", None, points, 1)
    points_figure(tmp_path / "q.png", points, points, 1)
    alone, both = (np.asarray(Image.open(tmp_path / name)) for name in ("p.png", "q.png"))
    blue = [((p[..., 2] > 150) & (p[..., 0] < 120)).sum() for p in (alone, both)]
    assert blue[0] == 0 < blue[1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "history",
    [
        made_history(0),
        made_history(1),
        made_history(50),
        made_history(20_000),
        made_history(9, d_real=np.full(9, -40.0), d_fake=np.full(9, 40.0)),
        made_history(9, d_loss=np.full(9, 3.0), g_loss=np.full(9, 3.0)),
        made_history(9, g_loss=np.array([np.nan, np.inf, -np.inf, *range(6)]), g_grad_norm=np.zeros(9)),
        made_history(9, d_grad_norm=np.zeros(9), g_grad_norm=np.full(9, np.nan)),
    ],
    ids=["none", "one", "few", "many", "scores", "flat", "not finite", "no gradient"],
)
def test_any_history_is_plotted(tmp_path, history):
    plot_history(tmp_path, history)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gradient_norms.png", "losses.png"]
    assert opened(tmp_path / "losses.png").size == (800, 640)
    assert opened(tmp_path / "gradient_norms.png").size == (800, 400)
    blue, orange = coloured(tmp_path / "losses.png")
    assert blue > 0.0001
    assert orange > 0.0001


@given(hnp.arrays(np.float64, st.integers(1, 5000), elements=st.floats(-1e9, 1e9)))
@settings(deadline=None, max_examples=30)
def test_a_thinned_curve_keeps_its_extremes_and_order(values):
    steps = np.arange(1, len(values) + 1)
    thin_steps, thin = pictures._outline(steps, values, most=100)
    assert len(thin) <= 100
    assert (thin.min(), thin.max()) == (values.min(), values.max())
    assert (np.diff(thin_steps) >= 0).all()
    np.testing.assert_array_equal(thin, values[thin_steps - 1])


@given(hnp.arrays(np.float64, st.integers(0, 1000), elements=st.floats(-1e9, 1e9)))
@settings(deadline=None, max_examples=30)
def test_the_running_median_is_the_median_around_each_place(values):
    steps = np.arange(1, len(values) + 1)
    places, medians = pictures._running_median(steps, values)
    half = len(values) // 80
    assert len(places) == len(medians) == min(len(values), 400)
    for step, median in zip(places, medians, strict=True):
        assert median == np.median(values[max(0, step - 1 - half) : step + half])


def sample_files(folder, count):
    """Sample pictures of a made-up run, by step: noise that turns into a pattern."""
    pattern, noise = rng(0).random((2, 16, 1, 8, 8))
    files = {}
    for i in range(count):
        files[100 * i] = folder / f"step-{100 * i:08d}.png"
        save_grid(files[100 * i], noise + (pattern - noise) * i / count)
    return files


@pytest.mark.parametrize(("count", "frames"), [(1, 1), (10, 10), (60, pictures.FRAMES)])
def test_an_animation_shows_the_run_from_first_to_last(tmp_path, count, frames):
    files = sample_files(tmp_path, count)
    save_animation(tmp_path / "run.png", files)
    with Image.open(tmp_path / "run.png") as animation:
        assert animation.n_frames == 1 + frames  # number 0 is no frame: what other viewers show
        for frame, step in ((0, 100 * (count - 1)), (1, 0), (frames, 100 * (count - 1))):
            animation.seek(frame)
            sample = np.asarray(opened(files[step]))
            np.testing.assert_array_equal(np.asarray(animation.convert("L"))[: len(sample)], sample)
    assert (tmp_path / "run.png").stat().st_size <= 20_000 * (1 + frames)


def test_an_animation_of_nothing_or_of_misfits_is_refused(tmp_path):
    with pytest.raises(DataError, match="no pictures yet"):
        save_animation(tmp_path / "run.png", {})
    files = sample_files(tmp_path, 2)
    save_grid(files[0], np.zeros((1, 1, 8, 8)))
    with pytest.raises(ShapeError, match="step-00000000"):
        save_animation(tmp_path / "run.png", files)
    files[0].write_bytes(files[100].read_bytes()[:60])
    with pytest.raises(DataError, match=r"step-00000000.*not a readable picture"):
        save_animation(tmp_path / "run.png", files)


UNSEEN = """
import sys, numpy as np
from rawgan.training import pictures
assert "matplotlib" not in sys.modules and "PIL" not in sys.modules
import matplotlib
raw = lambda: dict(dict.items(matplotlib.rcParams))  # looking up "backend" would itself import pyplot
before = raw()
pictures.points_figure(sys.argv[1] + "/p.png", np.eye(2), np.eye(2), 1)
assert "matplotlib.pyplot" not in sys.modules
assert raw() == before
"""


def test_matplotlib_is_loaded_late_and_left_as_it_was(tmp_path):
    done = subprocess.run([sys.executable, "-c", UNSEEN, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
