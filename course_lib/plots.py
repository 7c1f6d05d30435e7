"""The figures that more than one cell shares, in the one look of the course.

Each function draws on a new figure and returns it; in a notebook, end the line with a semicolon. Colours are
those of Okabe and Ito, which readers with any colour vision can tell apart; lines differ in style as well.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))


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
    left.plot(steps, history.loss, color=SKY, linewidth=0.8, alpha=0.7, linestyle="-", label="each mini-batch")
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
    width = max(1, min(width, len(values)))
    mean = np.convolve(values, np.ones(width) / width, mode="valid")
    return np.arange(width, len(values) + 1), mean


def weight_images(W: np.ndarray, columns: int = 10) -> Figure:
    """Columns of W (784, M) as images: blue for negative weights, red for positive ones, white for zero."""
    rows = -(-W.shape[1] // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(0.8 * columns, 0.8 * rows), squeeze=False)
    limit = float(np.abs(W).max()) or 1.0
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
        dark = mistakes[i, j] > 0.6 * mistakes.max()
        if counts[i, j]:
            axis.text(j, i, counts[i, j], ha="center", va="center", fontsize=9, color="white" if dark else "black")
    labels = range(len(counts))
    axis.set(xlabel="predicted digit", ylabel="true digit", xticks=labels, yticks=labels)
    return figure
