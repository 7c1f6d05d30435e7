"""The picture of a curve with its tangent: the line is where and as steep as it says, and the frame stands still."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from course_lib.plots import BLUE, VERMILION, curve_with_tangent, use_course_style

X = np.linspace(-2, 3, 51)
AT, SLOPE = (1.5, 2.25), 3.0  # on x²


@pytest.fixture
def drawn():
    def draw(y=X**2, at=AT, slope=SLOPE):
        with plt.rc_context():
            use_course_style()
            figure = curve_with_tangent(X, y, at, slope, "w5", "loss")
            figure.canvas.draw()
        return figure

    yield draw
    plt.close("all")


def test_the_tangent_goes_through_the_point_with_its_slope(drawn):
    curve, tangent, point = drawn().axes[0].lines
    assert np.array_equal(curve.get_xdata(), X) and np.array_equal(curve.get_ydata(), X**2)
    assert (tangent.get_xy1(), tangent.get_slope()) == (AT, SLOPE)
    assert (point.get_xdata()[0], point.get_ydata()[0]) == AT and point.get_marker() == "o"


def test_forward_is_blue_and_solid_the_gradient_vermilion_and_dashed(drawn):
    curve, tangent, point = drawn().axes[0].lines
    assert (to_hex(curve.get_color()).upper(), curve.get_linestyle()) == (BLUE, "-")
    assert (to_hex(tangent.get_color()).upper(), tangent.get_linestyle()) == (VERMILION, "--")
    assert to_hex(point.get_color()).upper() == VERMILION


def test_axes_and_legend_say_what_is_seen(drawn):
    figure = drawn()
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("w5", "loss")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["loss", "tangent, slope 3"]


def test_the_frame_holds_the_whole_curve_and_does_not_depend_on_the_point(drawn):
    one, other = drawn().axes[0], drawn(at=(-1.0, 1.0), slope=-2.0).axes[0]
    assert one.get_xlim() == other.get_xlim() == (-2, 3)
    assert one.get_ylim() == other.get_ylim()
    low, high = one.get_ylim()
    assert low < 0 and 9 < high < 10


def test_a_flat_curve_has_a_frame_of_some_height(drawn):
    low, high = drawn(y=np.full(51, 0.3), at=(0, 0.3), slope=0.0).axes[0].get_ylim()
    assert low < 0.3 < high
