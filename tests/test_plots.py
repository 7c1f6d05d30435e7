"""What the shared figures show, tested on their data: nbval compares only their look."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from course_lib import plots
from course_lib.training import History


@pytest.fixture(autouse=True)
def clean_pyplot():
    """Every test begins with matplotlib's own defaults and leaves no figure open."""
    with plt.rc_context():
        plt.rcdefaults()
        plt.switch_backend("Agg")
        yield
    plt.close("all")


def images(figure):
    return [np.asarray(axis.images[0].get_array()) for axis in figure.axes if axis.images]


def drawn(figure):
    """The figure, rendered: what fails only then, fails here."""
    figure.canvas.draw()
    return figure


HISTORY = History(
    loss=[2.3 / (1 + k / 10) for k in range(120)], steps=[0, 60, 120], train=[0.1, 0.8, 0.9], test=[0.11, 0.75, 0.85]
)
CALLS = {
    "digits": lambda: plots.digits(np.zeros((3, 784))),
    "lines": lambda: plots.lines({"a": ([1, 2], [3, 4]), "b": ([1, 2], [4, 3])}, "x", "y"),
    "training_curves": lambda: plots.training_curves(HISTORY),
    "weight_images": lambda: plots.weight_images(np.ones((784, 3))),
    "confusion": lambda: plots.confusion(np.eye(3, dtype=int)),
}


@pytest.mark.parametrize("styled", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_each_draws_one_new_figure_and_changes_no_setting(name, styled):
    if styled:
        plots.use_course_style()
    other = plt.figure()
    settings, others = dict(plt.rcParams), len(other.axes)
    figure = CALLS[name]()
    assert isinstance(drawn(figure), Figure)
    assert plt.get_fignums() == [other.number, figure.number]
    assert len(other.axes) == others
    assert dict(plt.rcParams) == settings


def test_the_course_style_is_one_look():
    plots.use_course_style()
    cycle = plt.rcParams["axes.prop_cycle"].by_key()
    assert cycle["color"][:2] == ["#0072B2", "#D55E00"]
    colours, styles = cycle["color"], list(map(str, cycle["linestyle"]))
    assert len(set(colours)) == len(colours) == len(set(styles))  # never colour alone
    before = dict(plt.rcParams)
    plots.use_course_style()
    assert dict(plt.rcParams) == before


# --- digits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7, 784), (7, 28, 28), (7, 1, 28, 28)])
def test_digits_shows_each_image_in_its_place(shape):
    given = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    figure = drawn(plots.digits(given, titles=range(7), columns=3))
    assert len(figure.axes) == 9
    shown = images(figure)
    assert len(shown) == 7
    assert all((a == b.reshape(28, 28)).all() for a, b in zip(shown, given, strict=True))
    assert [axis.get_title() for axis in figure.axes] == [*map(str, range(7)), "", ""]
    assert not any(axis.axison for axis in figure.axes)
    assert all(axis.images[0].get_cmap().name == "gray_r" for axis in figure.axes[:7])  # ink on paper


def test_digits_without_titles_needs_less_room():
    with_titles = plots.digits(np.zeros((20, 784)), titles=["a"] * 20)
    without = plots.digits(np.zeros((20, 784)), titles=np.array([]))
    assert with_titles.get_figheight() > without.get_figheight()
    assert with_titles.get_figwidth() == without.get_figwidth()
    assert plots.digits(np.zeros((1, 784)), titles=np.array([3])).axes[0].get_title() == "3"


# --- lines -------------------------------------------------------------------------------------------------


def test_lines_draws_one_line_a_name():
    plots.use_course_style()
    curves = {"lr 0.1": ([1, 2, 3], [3.0, 2.0, 1.0]), "lr 1": ([1, 2], [3.0, 9.0])}
    axis = plots.lines(curves, "step", "loss (nats)").axes[0]
    for line, (name, (x, y)) in zip(axis.lines, curves.items(), strict=True):
        assert line.get_label() == name
        assert line.get_xdata().tolist() == x and line.get_ydata().tolist() == y
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("step", "loss (nats)")
    assert [text.get_text() for text in axis.get_legend().get_texts()] == list(curves)
    assert len({line.get_linestyle() for line in axis.lines}) == 2
    assert (axis.get_xscale(), axis.get_yscale()) == ("linear", "linear")


@pytest.mark.parametrize(("logx", "logy"), [(True, False), (False, True), (True, True)])
def test_lines_with_logarithmic_axes(logx, logy):
    axis = drawn(plots.lines({"a": ([1, 10], [1, 100])}, "h", "error", logx=logx, logy=logy)).axes[0]
    assert axis.get_xscale() == ("log" if logx else "linear")
    assert axis.get_yscale() == ("log" if logy else "linear")
    assert axis.get_legend() is None  # a single line is named by its axes


# --- training curves ---------------------------------------------------------------------------------------


def test_training_curves_show_the_history():
    left, right = plots.training_curves(HISTORY).axes
    raw, mean = left.lines
    assert raw.get_xdata().tolist() == list(range(1, 121)) and raw.get_ydata().tolist() == HISTORY.loss
    assert mean.get_xdata().tolist() == list(range(50, 121))
    assert mean.get_ydata()[0] == pytest.approx(np.mean(HISTORY.loss[:50]))
    assert mean.get_ydata()[-1] == pytest.approx(np.mean(HISTORY.loss[-50:]))
    assert [line.get_label() for line in left.lines] == ["each mini-batch", "mean of 50 steps"]
    assert (left.get_xlabel(), left.get_ylabel(), left.get_ylim()[0]) == ("step", "loss (nats)", 0)
    train, test = right.lines
    assert train.get_xdata().tolist() == test.get_xdata().tolist() == HISTORY.steps
    assert (train.get_ydata().tolist(), test.get_ydata().tolist()) == (HISTORY.train, HISTORY.test)
    assert (train.get_label(), test.get_label()) == ("training set", "test set")
    assert train.get_marker() != test.get_marker() and to_hex(train.get_color()) != to_hex(test.get_color())
    assert (right.get_xlabel(), right.get_ylabel()) == ("step", "accuracy (share right)")
    assert right.get_ylim() == (0, 1.02)


def test_training_curves_of_an_odd_history():
    short = History([2.0, 1.0], [0, 2], [0.1, 0.5])
    left, right = drawn(plots.training_curves(short)).axes
    assert left.lines[1].get_label() == "mean of 2 steps"
    assert left.lines[1].get_ydata().tolist() == [1.5]
    assert len(right.lines) == 1  # no test set
    drawn(plots.training_curves(History([], [0], [0.1])))  # interrupted before the first step
    drawn(plots.training_curves(History()))
    drawn(plots.training_curves(History([2.0, 50.0, float("nan")], [0], [0.1])))  # diverged


def test_moving_average():
    steps, mean = plots.moving_average([1.0, 2.0, 3.0, 6.0], width=2)
    assert (steps.tolist(), mean.tolist()) == ([2, 3, 4], [1.5, 2.5, 4.5])
    steps, mean = plots.moving_average([1.0, 3.0], width=50)
    assert (steps.tolist(), mean.tolist()) == ([2], [2.0])
    values = np.random.default_rng(0).normal(size=200)
    steps, mean = plots.moving_average(values)
    np.testing.assert_allclose(mean, [values[k - 50 : k].mean() for k in steps], atol=1e-12)
    steps, mean = plots.moving_average([])
    assert len(steps) == len(mean) == 0


# --- weights and mistakes ----------------------------------------------------------------------------------


def test_weight_images_are_columns_on_one_scale_around_zero():
    W = np.random.default_rng(0).normal(size=(784, 5))
    W[3, 2] = -9.0
    figure = drawn(plots.weight_images(W, columns=2))
    panels = [axis for axis in figure.axes if axis.images and axis.get_label() != "<colorbar>"]
    assert len(panels) == 5 and len(figure.axes) == 6 + 1
    for axis, w in zip(panels, W.T, strict=True):
        assert (np.asarray(axis.images[0].get_array()) == w.reshape(28, 28)).all()
        assert axis.images[0].get_clim() == (-9, 9)
    red, _, blue, _ = panels[0].images[0].cmap(1.0)
    assert red > blue  # positive is red
    assert figure.axes[-1].get_ylabel() == "weight"


def test_weights_that_are_all_zero_are_white():
    image = drawn(plots.weight_images(np.zeros((784, 1)), columns=1)).axes[0].images[0]
    assert min(image.cmap(image.norm(0.0))[:3]) > 0.95


def test_confusion_colours_the_mistakes_and_writes_the_counts():
    counts = np.array([[90, 0, 10], [3, 97, 0], [0, 1, 99]])
    axis = drawn(plots.confusion(counts)).axes[0]
    assert np.asarray(axis.images[0].get_array()).tolist() == [[0, 0, 10], [3, 0, 0], [0, 1, 0]]
    written = {tuple(map(int, text.get_position())): text.get_text() for text in axis.texts}
    assert written == {(j, i): str(counts[i, j]) for i in range(3) for j in range(3) if counts[i, j]}
    colours = {text.get_text(): text.get_color() for text in axis.texts}
    assert colours["10"] == "white" and colours["3"] == colours["90"] == "black"  # legible on its square
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted digit", "true digit")
    assert axis.get_xticks().tolist() == axis.get_yticks().tolist() == [0, 1, 2]


def test_confusion_without_a_mistake():
    axis = drawn(plots.confusion(np.diag([5, 6]))).axes[0]
    assert [text.get_text() for text in axis.texts] == ["5", "6"]
