"""Our pictures are legible: the contrast of their texts and lines, by the formula of the WCAG 2.2 (level AA)."""

import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.text import Text

from course_lib import plots
from course_lib.drawing import HALO, draw, steps
from course_lib.graph import Value
from course_lib.layers import Relu, Sigmoid
from course_lib.training import History

SVG = "{http://www.w3.org/2000/svg}"
PICTURES = sorted((Path(__file__).parents[1] / "images").glob("*.svg"))
TEXT, LINE = 4.5, 3.0  # the least contrast with what is behind


def contrast(one, other):
    """From 1 (the same) to 21 (black on white)."""
    channels = np.array([to_rgb(one), to_rgb(other)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    dark, light = sorted(linear @ [0.2126, 0.7152, 0.0722])
    return (light + 0.05) / (dark + 0.05)


def test_the_formula_gives_the_known_values():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.005)  # the grey that just fails
    assert contrast("#767676", "#FFFFFF") == pytest.approx(4.54, abs=0.005)
    assert contrast("#FF0000", "#0000FF") == contrast("#0000FF", "#FF0000") == pytest.approx(2.15, abs=0.005)


# --- drawings --------------------------------------------------------------------------------------------------------


def graph():
    """A graph with everything that a drawing can show: names, units, a fork, a constant, gradients."""
    price, tax = Value(100, "price", "yen"), Value(1.1, "tax")
    total = ((2 * price).named("apples", "yen") * tax + price).named("total", "yen")
    total.backward()
    return total


def pale_parts(svg):
    """Each text of the SVG that has too little contrast with the rectangle behind it, and each such arrow.

    Frames are left out, since their words stand without them, and so is the halo, for a sentence says which step it is.
    """
    rectangles, pale = [], set()  # x, y, width, height and fill of those that are drawn so far
    for element in ET.fromstring(svg).iter():
        get = element.get
        if element.tag == f"{SVG}rect" and get("fill", "none") != "none":
            rectangles.append((*(float(get(side, 0)) for side in ("x", "y", "width", "height")), get("fill")))
        if element.tag == f"{SVG}text":
            behind = background(rectangles, float(get("x")), float(get("y")))
            if contrast(get("fill"), behind) < TEXT:
                pale.add((element.text, get("fill"), behind))
        if element.tag == f"{SVG}path" and get("stroke", HALO) != HALO:
            pale |= {("arrow", get("stroke"), b) for b in ("#FFFFFF", HALO) if contrast(get("stroke"), b) < LINE}
    return pale


def background(rectangles, x, y):
    return next(f for left, top, w, h, f in reversed(rectangles) if 0 <= x - left <= w and 0 <= y - top <= h)


def test_drawings_are_legible():
    total = graph()
    for step in (None, *range(steps(total) + 1)):
        assert pale_parts(draw(total, step).svg) == set()


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_committed_pictures_are_legible(path):
    assert pale_parts(path.read_text(encoding="utf-8")) == set()


def test_a_pale_text_and_a_pale_arrow_are_found():
    svg = draw(graph()).svg
    assert ("tax", "#999999", "#EEF1F4") in pale_parts(svg.replace("#222222", "#999999"))
    assert ("arrow", "#BBBBBB", "#FFFFFF") in pale_parts(svg.replace("#595959", "#BBBBBB"))


# --- figures ---------------------------------------------------------------------------------------------------------

X = np.linspace(-3, 3, 7)
MATRICES = ("x", "N", "D"), ("dW", "D", "M"), ("y", "N", "M")
HISTORY = History([2.3 / (1 + k / 10) for k in range(120)], [0, 60, 120], train=[0.1, 0.8, 0.9], test=[0.1, 0.7, 0.8])
FIGURES = {
    "digits": lambda: plots.digits(np.zeros((3, 784)), titles="abc"),
    "lines": lambda: plots.lines({name: ([1, 2], [3, k]) for k, name in enumerate("abcdef")}, "x", "y"),
    "training_curves": lambda: plots.training_curves(HISTORY),
    "weight_images": lambda: plots.weight_images(np.ones((784, 3))),
    "confusion": lambda: plots.confusion(np.arange(1, 101).reshape(10, 10)),
    "product": lambda: plots.product(*MATRICES, {"N": 4, "D": 2, "M": 3}),
    "layer_curves": lambda: plots.layer_curves({"ReLU": Relu(), "sigmoid": Sigmoid()}, X),
    "open_gates": lambda: plots.open_gates(np.eye(4, dtype=bool) | [True, False, False, False]),
    "curve_with_tangent": lambda: plots.curve_with_tangent(X, X**2, (1.0, 1.0), 2.0, "x", "y"),
}


@pytest.fixture(params=FIGURES)
def figure(request):
    plt.switch_backend("Agg")
    with plt.rc_context():
        plots.use_course_style()
        yield FIGURES[request.param]()
    plt.close("all")


def test_texts_of_figures_are_legible(figure):
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    texts = [text for text in texts if text.axes is None or text.axes.axison or text in text.axes.texts]
    boxes = [text.get_window_extent() for text in texts]
    for text in texts:
        text.set_alpha(0)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[::-1, :, :3] / 255  # from the bottom up, as the boxes count
    pale = {}
    for text, box in zip(texts, boxes, strict=True):
        behind = pixels[max(int(box.y0), 0) : int(box.y1) + 1, max(int(box.x0), 0) : int(box.x1) + 1]
        if behind.size:
            ratio = contrast(text.get_color(), np.median(behind.reshape(-1, 3), axis=0))
            if ratio < TEXT:
                pale[text.get_text()] = f"{text.get_color()}: {ratio:.2f}"
    assert texts and pale == {}


def test_lines_of_figures_stand_out(figure):
    pale = {}
    for line in (line for axis in figure.axes for line in axis.lines):
        *colour, alpha = to_rgba(line.get_color(), line.get_alpha())
        ratio = contrast(alpha * np.array(colour) + (1 - alpha), "white")
        if ratio < LINE:
            pale[line.get_label()] = f"{line.get_color()}: {ratio:.2f}"
    assert pale == {}
