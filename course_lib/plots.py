"""The figures that more than one cell shares, in the one look of the course.

Each function draws on a new figure and returns it; in a notebook, end the line with a semicolon. Colours are
those of Okabe and Ito, which readers with any colour vision can tell apart; lines differ in style as well.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, PURPLE, BLACK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000"  # Okabe and Ito's
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, BLACK)  # without those too pale for a line on white
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
INK = {BLUE: BLUE, VERMILION: "#BA5200"}  # for letters, which need more contrast than lines
GREY = "#8C8C8C"


def use_course_style() -> None:
    """Set matplotlib's defaults for the whole notebook: sizes, colours and line styles of the course."""
    plt.rcParams.update(
        {
            "figure.figsize": (6.4, 3.6),
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "axes.prop_cycle": plt.cycler(color=COLOURS, linestyle=LINES),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.3,
            "legend.frameon": False,
            "image.cmap": "gray_r",
        }
    )


def digits(images: np.ndarray, titles: Sequence = (), columns: int = 10) -> Figure:
    """Images (N, 784), (N, 28, 28) or (N, 1, 28, 28) in rows, with a title above each if there are any."""
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(0.75 * columns, (0.75 + 0.3 * bool(len(titles))) * rows), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, image in zip(axes.flat, images, strict=False):
        axis.imshow(image.reshape(28, 28), cmap="gray_r")
    for axis, title in zip(axes.flat, titles, strict=False):
        axis.set_title(title, fontsize=10)
    return figure


def lines(
    curves: Mapping[str, tuple[Sequence, Sequence]],
    xlabel: str,
    ylabel: str,
    *,
    logx: bool = False,
    logy: bool = False,
) -> Figure:
    """One line for each name -> (x, y)."""
    figure, axis = plt.subplots()
    for name, (x, y) in curves.items():
        axis.plot(x, y, label=name)
    axis.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if logx else "linear", yscale="log" if logy else "linear")
    if len(curves) > 1:
        axis.legend()
    return figure


def training_curves(history) -> Figure:
    """The loss of every step with its moving average, and the accuracies after each epoch, side by side."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.8, 3.4))
    steps = np.arange(1, len(history.loss) + 1)
    left.plot(steps, history.loss, color=GREY, linewidth=0.8, linestyle="-", label="each mini-batch")
    width = min(50, len(history.loss))
    left.plot(*moving_average(history.loss, width), color=BLUE, linestyle="-", label=f"mean of {width} steps")
    left.set(xlabel="step", ylabel="loss (nats)", ylim=(0, None))
    left.legend()
    right.plot(history.steps, history.train, color=BLUE, marker="o", markersize=4, label="training set")
    if history.test:
        right.plot(history.steps, history.test, color=VERMILION, marker="s", markersize=4, label="test set")
    right.set(xlabel="step", ylabel="accuracy (share right)", ylim=(0, 1.02))
    right.legend(loc="lower right")
    return figure


def moving_average(values: Sequence[float], width: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """(step at the window's end, mean over the window); a series shorter than the window gives its one mean."""
    if len(values) == 0:
        return np.arange(0), np.zeros(0)
    width = min(width, len(values))
    mean = np.convolve(values, np.ones(width) / width, mode="valid")
    return np.arange(width, len(values) + 1), mean


def weight_images(W: np.ndarray, columns: int = 10) -> Figure:
    """Columns of W (784, M) as images: blue for negative weights, red for positive ones, white for zero."""
    rows = -(-W.shape[1] // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(0.8 * columns, 0.8 * rows), squeeze=False)
    limit = float(np.abs(W).max())
    for axis in axes.flat:
        axis.axis("off")
    for axis, w in zip(axes.flat, W.T, strict=False):
        image = axis.imshow(w.reshape(28, 28), cmap="RdBu_r", vmin=-limit, vmax=limit)
    figure.colorbar(image, ax=axes, label="weight", shrink=0.8)
    return figure


def confusion(counts: np.ndarray) -> Figure:
    """counts[i, j]: how many images of class i were taken for j; the diagonal is left pale, for it is no mistake."""
    figure, axis = plt.subplots(figsize=(5, 4.6))
    mistakes = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    axis.imshow(mistakes, cmap="Oranges")
    axis.grid(False)
    for i, j in np.ndindex(counts.shape):
        dark = mistakes[i, j] > 0.77 * mistakes.max()
        if counts[i, j]:
            axis.text(j, i, counts[i, j], ha="center", va="center", fontsize=9, color="white" if dark else "black")
    labels = range(len(counts))
    axis.set(xlabel="predicted digit", ylabel="true digit", xticks=labels, yticks=labels)
    return figure


Matrix = tuple[str, str, str]  # its name, its rows and its columns, as in ("W", "D", "M")


def product(
    left: Matrix, right: Matrix, result: Matrix, sizes: Mapping[str, int], bias: Matrix | None = None
) -> Figure:
    """left @ right (+ bias) = result: a box for each matrix, with sides as long as it has rows and columns.

    A name that begins with "d" is that of a gradient, drawn vermilion and dashed; all others are forward values,
    blue and solid. The two inner sizes, which have to agree, are set in bold.

    Parameters
    ----------
    left, right, result, bias : (name, rows, columns), rows and columns being names of sizes, or "1".
    sizes : the number behind each name, {"N": 4, "D": 2, "M": 3}.

    Raises ValueError for matrices that do not make this product, so that no picture shows what NumPy refuses.
    """
    terms = {"": left, "@": right} | ({"+": bias} if bias else {}) | {"=": result}
    (_, rows, inner), (_, *columns) = left, right
    if columns[0] != inner or result[1:] != (rows, columns[1]) or (bias and bias[1:] != ("1", columns[1])):
        shapes = ", ".join(f"{name} ({r}, {c})" for name, r, c in terms.values())
        raise ValueError(f"product draws (n, k) @ (k, m) + (1, m) = (n, m); got the shapes {shapes}.")
    counts = {"1": 1, **sizes}
    longest = max(counts[side] for box in terms.values() for side in box[1:])
    inch = min(0.32, 2.4 / longest)  # of paper for one row or column
    width = sum(0.8 + inch * counts[c] for _, _, c in terms.values())
    height = 0.9 + inch * max(counts[r] for _, r, _ in terms.values())
    figure = plt.figure(figsize=(width, height), layout="none")
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axis.axis("off")
    x, middle = 0.6, height / 2 + 0.08
    for sign, box in terms.items():
        axis.text(x - 0.42, middle, sign, ha="center", va="center", fontsize=15)
        _matrix(axis, x, middle, inch, box, counts, bold={"": 1, "@": 0}.get(sign))
        x += 0.8 + inch * counts[box[2]]
    return figure


def _matrix(axis, x, middle, inch, box, counts, bold):
    """A matrix as a box with its left edge at x; its side number `bold` (0: rows, 1: columns) is set in bold."""
    name, *sides = box
    high, wide = (inch * counts[side] for side in sides)
    y = middle - high / 2
    colour, style = (VERMILION, "--") if name.startswith("d") else (BLUE, "-")
    axis.add_patch(plt.Rectangle((x, y), wide, high, facecolor=colour + "26", edgecolor=colour, lw=2, ls=style))
    if inch > 0.1:  # room to tell its numbers apart
        grid = {"colors": colour, "linestyles": "-", "linewidth": 0.6, "alpha": 0.5}
        axis.hlines(y + inch * np.arange(1, counts[sides[0]]), x, x + wide, **grid)
        axis.vlines(x + inch * np.arange(1, counts[sides[1]]), y, y + high, **grid)
    labels = [side if side == "1" else f"{side} = {counts[side]}" for side in sides]
    weights = ["bold" if bold == i else "normal" for i in (0, 1)]
    at = {"ha": "center", "va": "center"}
    axis.text(x - 0.13, middle, labels[0], rotation=90, fontsize=10, weight=weights[0], **at)
    axis.text(x + wide / 2, y + high + 0.13, labels[1], fontsize=10, weight=weights[1], **at)
    axis.text(x + wide / 2, y - 0.2, name, fontsize=13, color=INK[colour], weight="bold", **at)


def layer_curves(layers: Mapping[str, object], x: np.ndarray) -> Figure:
    """A row for each name -> elementwise layer: on the left what forward makes of x, on the right its derivative.

    The derivative is what backward returns for ones. The layers keep this x, as after any pass.
    """
    figure, axes = plt.subplots(
        len(layers), 2, figsize=(8.8, 2.3 * len(layers)), sharex=True, sharey="col", squeeze=False
    )
    for (name, layer), (left, right) in zip(layers.items(), axes, strict=True):
        left.plot(x, layer.forward(x), color=BLUE, linestyle="-")
        right.plot(x, layer.backward(np.ones_like(x)), color=VERMILION, linestyle="--")
        left.set_ylabel(f"{name}(x)")
        right.set_ylabel(f"derivative of {name}")
    for axis in axes[-1]:
        axis.set_xlabel("x")
    return figure


def open_gates(mask: np.ndarray) -> Figure:
    """The mask of a Relu (N, M): blue where the gate is open, that is, where mask is False; a cross on each dead unit.

    A unit is dead for this batch if its gate is shut for every sample.
    """
    figure, axis = plt.subplots(figsize=(6.4, 3.0))
    axis.imshow(np.where(mask, 0.0, 1.0), cmap=ListedColormap(["white", BLUE]), vmin=0, vmax=1, aspect="auto")
    dead = np.flatnonzero(mask.all(axis=0))
    axis.plot(dead, np.full(len(dead), len(mask) / 2 - 0.5), "x", color=VERMILION, markersize=9, markeredgewidth=2)
    axis.vlines(np.arange(mask.shape[1] - 1) + 0.5, -0.5, len(mask) - 0.5, color="lightgray", linewidth=0.8)
    axis.set(xlabel="unit", ylabel="sample", xticks=range(mask.shape[1]))
    axis.grid(False)
    return figure


def curve_with_tangent(
    x: np.ndarray, y: np.ndarray, at: tuple[float, float], slope: float, xlabel: str, ylabel: str
) -> Figure:
    """The curve of y over x, and the line of that slope through the point `at`, dashed.

    The frame depends on the curve alone, so it stands still while a slider moves the point.
    """
    figure, axis = plt.subplots()
    axis.plot(x, y, color=BLUE, linestyle="-", label=ylabel)
    axis.axline(at, slope=slope, color=VERMILION, linestyle="--", label=f"tangent, slope {slope:.3g}")
    axis.plot(*at, color=VERMILION, marker="o", markersize=8)
    margin = 0.08 * float(np.ptp(y)) or 1.0
    axis.set(xlabel=xlabel, ylabel=ylabel, xlim=(x[0], x[-1]), ylim=(np.min(y) - margin, np.max(y) + margin))
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
