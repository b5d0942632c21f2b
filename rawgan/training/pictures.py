"""Pictures of a run: grids of samples, scatter plots of 2-D samples, loss curves, and an animation.

    save_grid("step-00000100.png", images)             images (N, C, H, W)
    points_figure("step-00000100.png", real, fake, step=100)   points (N, 2)
    plot_history("plots", history.as_arrays())         losses.png, gradient_norms.png
    save_animation("learning.png", run.sample_paths())

Every file is written whole or not at all. Matplotlib is used through its objects alone (never pyplot),
so that nothing here touches the figures, backend or settings of whoever calls.
"""

import io
import itertools
import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rawgan.kernels.errors import DataError, DTypeError, ShapeError
from rawgan.training.files import write_whole

CELL = 48  # pixels: smaller images are enlarged until they are at least this large
GAP = 2  # pixels between images and around them
GAP_GREY = 96  # seen on black and on white images
D_COLOUR, G_COLOUR, CENTRE_COLOUR = "#1f5fa8", "#d1600a", "#222222"
COLOURS = (D_COLOUR, G_COLOUR, "#3a8f4d", "#8a56a8", "#8c6d1f", "#b5417e")  # of curves, in their order
FRAMES = 48  # of an animation, at most: enough to see, and small enough to send


def image_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Lay images out in rows, enlarged by a whole factor if they are small.

    `images`: (N, C, H, W) with C 1 or 3, floats in [0, 1] or uint8; `columns`: by default about as
    many as rows. Returns uint8, (height, width) for C = 1 and (height, width, 3) for C = 3.
    Raises ShapeError, DTypeError, or DataError for values outside the range.

    >>> image_grid(np.zeros((6, 1, 8, 8))).shape      # two rows of three, each 6 times as large
    (102, 152)
    """
    pixels = _pixels(np.asarray(images))
    count, channels, height, width = pixels.shape
    columns = columns or _columns(count)
    rows = math.ceil(count / columns)
    scale = math.ceil(CELL / max(height, width))
    cells = pixels.transpose(0, 2, 3, 1).repeat(scale, axis=1).repeat(scale, axis=2)
    down, across = height * scale + GAP, width * scale + GAP
    grid = np.full((rows * down + GAP, columns * across + GAP, channels), GAP_GREY, np.uint8)
    for place, cell in enumerate(cells):
        top, left = (place // columns) * down + GAP, (place % columns) * across + GAP
        grid[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return grid if channels == 3 else grid[:, :, 0]


def save_grid(path: str | os.PathLike, images: np.ndarray, columns: int | None = None) -> None:
    """Write `image_grid(images, columns)` as a PNG. CheckpointError if it cannot be written."""
    from PIL import Image

    png = io.BytesIO()
    Image.fromarray(image_grid(images, columns)).save(png, "PNG")
    write_whole(path, [png.getvalue()])


def points_figure(
    path: str | os.PathLike,
    real: np.ndarray | None,
    fake: np.ndarray,
    step: int,
    centres: np.ndarray | None = None,
) -> None:
    """Write a scatter plot (PNG) of real and generated points after `step` steps.

    `real`, `fake`: (N, 2); `real` is None where the data is not at hand. `centres`: (K, 2), the modes
    that the real points surround, if known. The picture shows where the real points lie, so that those
    of a run line up; the legend counts the generated points that fall outside.
    """
    for name, points in (("real", real), ("fake", fake), ("centres", centres)):
        if points is not None and (np.ndim(points) != 2 or np.shape(points)[1] != 2):
            raise ShapeError(f"points_figure: {name} has shape {np.shape(points)}; it takes (N, 2)")
    shown = fake if real is None else real
    low, high = shown.min(axis=0), shown.max(axis=0)
    middle, reach = (low + high) / 2, 0.65 * max(high - low)
    outside = np.count_nonzero(~(np.abs(fake - middle) <= reach).all(axis=1))

    figure = _figure(6.4, 6.6)
    axes = figure.add_subplot(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    axes.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach))
    size = np.clip(6000 / max(len(shown), len(fake)), 4, 24)
    dots = {"s": size, "linewidths": 0, "rasterized": True}
    label = "generated" + (f" ({outside} outside)" if outside else "")
    if real is not None:
        axes.scatter(*real.T, color=D_COLOUR, alpha=0.35, label="real", **dots)
    axes.scatter(*fake.T, color=G_COLOUR, alpha=0.6, label=label, **dots)
    if centres is not None:
        axes.scatter(*centres.T, s=60, marker="+", color=CENTRE_COLOUR, linewidths=1.2, label="centres")
    axes.set_title(f"Step {step:,}", loc="left")
    legend = axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, frameon=False)
    for handle in filter(None, legend.legend_handles):
        handle.set(alpha=1, sizes=[30])
    _plain(axes)
    _save(figure, path)


def plot_history(folder: str | os.PathLike, history: Mapping[str, np.ndarray]) -> None:
    """Write `losses.png` and `gradient_norms.png` into `folder` from the arrays of a history.

    `history`: its columns, (steps,) each: losses and their further terms, D's answers where there is a D,
    and gradient norms. Every curve is drawn light as it is and dark as its running median.
    """
    steps = history["step"]
    norms = {_who(name): values for name, values in history.items() if name.endswith("grad_norm")}
    answers = {label: history[name] for name, label in ANSWERS.items() if name in history}
    others = [n for n in history if n != "step" and n not in ANSWERS and not n.endswith("grad_norm")]
    losses = {_who(name): history[name] for name in others}

    figure = _figure(8, 6.4 if answers else 4)
    rows = figure.subplots(2 if answers else 1, 1, sharex=True, squeeze=False)[:, 0]
    rows[0].set_ylabel("loss")
    _curves(rows[0], steps, losses)
    _tidy(rows[0], "Losses")
    if answers:
        _curves(rows[1], steps, answers)
        if all(((values >= 0) & (values <= 1)).all() for values in answers.values()):
            rows[1].set(ylabel="probability of real", ylim=(-0.02, 1.02))
            rows[1].axhline(0.5, color="#888888", linewidth=0.8, linestyle=":")
        else:
            rows[1].set_ylabel("score")
        _tidy(rows[1], "Answers of the discriminator")
    rows[-1].set_xlabel("step")
    _save(figure, Path(folder, "losses.png"))

    figure = _figure(8, 4)
    axes = figure.add_subplot(xlabel="step", ylabel="norm", yscale="log")
    _curves(axes, steps, {name: np.where(norm > 0, norm, np.nan) for name, norm in norms.items()})
    axes.yaxis.set_major_formatter("{x:g}")
    _tidy(axes, "Gradient norms")
    _save(figure, Path(folder, "gradient_norms.png"))


ANSWERS = {"d_real": "D(x), real data", "d_fake": "D(G(z)), generated"}


def _who(column: str) -> str:
    """ "d_loss" as "discriminator", "d_gradient_penalty" as "discriminator: gradient penalty"."""
    player, _, what = column.partition("_")
    name = {"d": "discriminator", "g": "generator"}.get(player)
    what = (what if name else column).replace("_", " ")
    if what in ("loss", "grad norm"):
        return name or "all"
    return f"{name}: {what}" if name else what


def trials_figure(
    path: str | os.PathLike, metric: str, values: np.ndarray, settings: Mapping[str, tuple[list, bool]]
) -> None:
    """Write a picture of trials (PNG): a metric in their order, and against each setting.

    values: (trials,). settings: name -> (its values, whether its axis is logarithmic).
    """
    columns = min(3, 1 + len(settings))
    rows = -(-(1 + len(settings)) // columns)
    figure = _figure(3.4 * columns, 2.8 * rows)
    every = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in every[1 + len(settings) :]:
        axes.remove()
    panels: list[tuple[str, list, bool]] = [("trial", list(range(len(values))), False)]
    panels += [(name, given, logarithmic) for name, (given, logarithmic) in settings.items()]
    for axes, (name, given, logarithmic) in zip(every, panels, strict=False):
        axes.scatter(given, values, s=18, color=D_COLOUR, alpha=0.7, linewidths=0)
        axes.set_xlabel(name)
        if logarithmic:
            axes.set_xscale("log")
        elif all(isinstance(value, int) for value in given):
            axes.locator_params(axis="x", integer=True)
        _plain(axes)
    every[0].set_ylabel(metric)
    _save(figure, path)


def save_animation(path: str | os.PathLike, frames: Mapping[int, str | os.PathLike]) -> None:
    """Write an animated PNG of a run's sample pictures: `frames` gives each one's file by its step.

    At most `FRAMES` are shown, evenly chosen, first and last among them. Below each stands its step, and
    a bar that fills as training goes on. Any browser plays it; it repeats, resting on the last frame.
    Raises DataError without frames, ShapeError if their sizes differ.
    """
    if not frames:
        raise DataError("save_animation: there are no pictures yet; set sample_every and train")
    steps = sorted(frames)
    places = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), FRAMES)).round().astype(int))
    chosen = [steps[place] for place in places]
    size = opened(frames[chosen[-1]]).size

    def captioned(step: int):
        picture = opened(frames[step])
        if picture.size != size:
            raise ShapeError(f"save_animation: {frames[step]} is {picture.size}, and the last picture {size}")
        return _caption(picture, step, steps[-1])

    durations = [120] * (len(chosen) - 1) + [2500]  # milliseconds
    png = io.BytesIO()
    shown = [captioned(step) for step in chosen]
    # With `default_image` the first picture is no frame, but what viewers show that know no animation.
    shown[-1].save(
        png, "PNG", save_all=True, append_images=shown, duration=durations, loop=0, default_image=True
    )
    write_whole(path, [png.getvalue()])


def _columns(count: int) -> int:
    """About a square: the least that leaves no place empty, if it is less than twice as wide as high."""
    square = math.ceil(math.sqrt(count))
    even = (columns for columns in range(square, math.ceil(1.42 * square) + 1) if count % columns == 0)
    return next(even, square)


def _pixels(images: np.ndarray) -> np.ndarray:
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.size:
        raise ShapeError(f"image_grid: got shape {images.shape}; it takes (N, C, H, W), N > 0 and C 1 or 3")
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise DTypeError(f"image_grid: got dtype {images.dtype}; it takes floats in [0, 1] or uint8")
    low, high = images.min(), images.max()
    if not (low >= -0.01 and high <= 1.01):  # rounding is forgiven, another range is not; NaN fails too
        raise DataError(f"image_grid: got values from {low:.4g} to {high:.4g}; rescale them to [0, 1]")
    return (images.clip(0, 1) * 255).round().astype(np.uint8)


def opened(path: str | os.PathLike):
    """A picture file as a Pillow image, "RGB" or "L"; DataError where it is none."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.convert("RGB" if picture.mode in ("RGB", "RGBA", "P") else "L")
    except OSError as error:
        raise DataError(f"{path}: is not a readable picture ({error}); delete it and try again") from error


def _caption(picture, step: int, last: int):
    from PIL import Image, ImageDraw, ImageFont

    width, height = picture.size
    framed = Image.new(picture.mode, (width, height + 24), "white")
    framed.paste(picture, (0, 0))
    draw = ImageDraw.Draw(framed)
    draw.text((4, height + 4), f"step {step:,}", fill="black", font=ImageFont.load_default(13))
    left = 100
    if width > left + 40:
        draw.rectangle((left, height + 9, width - 5, height + 15), fill="#dddddd")
        draw.rectangle(
            (left, height + 9, left + (width - 5 - left) * step // max(last, 1), height + 15), fill="#555555"
        )
    return framed


def _figure(width: float, height: float):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, layout="constrained", facecolor="white")


def _save(figure, path: str | os.PathLike) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    write_whole(path, [png.getvalue()])


def _tidy(axes, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    _plain(axes)


def _plain(axes) -> None:
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _curves(axes, steps: np.ndarray, curves: Mapping[str, np.ndarray]) -> None:
    """Draw D's curve, G's and others'. The axis spans all but the wildest, so that a spike hides nothing."""
    for (label, values), colour in zip(curves.items(), itertools.cycle(COLOURS), strict=False):
        finite = np.isfinite(values)
        axes.plot(*_outline(steps[finite], values[finite]), color=colour, alpha=0.25, linewidth=0.8)
        marker = "." if len(steps) <= 30 else ""  # one step alone would be a line without length
        smooth = _running_median(steps[finite], values[finite])
        axes.plot(*smooth, color=colour, linewidth=1.6, marker=marker, label=label)
    axes.set_xlim(0, steps[-1] if len(steps) else 1)
    low, high = _span(np.concatenate(list(curves.values())), axes.get_yscale() == "log")
    if low < high:
        axes.set_ylim(low, high)


def _span(values: np.ndarray, logarithmic: bool) -> tuple[float, float]:
    """Limits around all but the highest and lowest thousandth of `values`; (0, 0) if there are no values."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 0.0
    low, high = np.quantile(np.log(values) if logarithmic else values, [0.001, 0.999])
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    return (math.exp(low), math.exp(high)) if logarithmic else (low, high)


def _outline(steps: np.ndarray, values: np.ndarray, most: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """A line of at most `most` points with the same extremes to the eye: the low and high of each stretch."""
    if len(values) <= most:
        return steps, values
    stretches = np.array_split(np.arange(len(values)), most // 2)
    ends = [sorted((s[values[s].argmin()], s[values[s].argmax()])) for s in stretches]
    places = np.ravel(ends)
    return steps[places], values[places]


def _running_median(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The median over a window of a fortieth of the steps, at up to 400 places."""
    half = len(values) // 80
    places = np.unique(np.linspace(0, max(len(values) - 1, 0), 400).astype(int))[: len(values)]
    medians = [np.median(values[max(0, at - half) : at + half + 1]) for at in places]
    return steps[places], np.array(medians)
