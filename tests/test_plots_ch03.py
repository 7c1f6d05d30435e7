"""The picture of a matrix product: what it draws, and what it refuses to draw."""

from itertools import pairwise

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex

from course_lib.plots import BLUE, VERMILION, product

SIZES = {"N": 4, "D": 2, "M": 3}
X, W, B, Y = ("x", "N", "D"), ("W", "D", "M"), ("b", "1", "M"), ("y", "N", "M")
DW = ("xᵀ", "D", "N"), ("dout", "N", "M"), ("dW", "D", "M")


@pytest.fixture
def drawn():
    def draw(*matrices, sizes=SIZES, **options):
        return product(*matrices, sizes, **options).axes[0]

    yield draw
    plt.close("all")


def texts(axis):
    return [text.get_text() for text in axis.texts if text.get_text()]


def box(patch):
    return patch.get_width(), patch.get_height()


@pytest.mark.parametrize("sizes", [SIZES, {"N": 3, "D": 784, "M": 50}], ids=str)
def test_sides_are_as_long_as_the_sizes(drawn, sizes):
    axis = drawn(X, W, Y, sizes=sizes, bias=B)
    unit = axis.patches[0].get_width() / sizes["D"]
    wanted = [(sizes["D"], sizes["N"]), (sizes["M"], sizes["D"]), (sizes["M"], 1), (sizes["M"], sizes["N"])]
    assert [box(patch) for patch in axis.patches] == [pytest.approx((unit * w, unit * h)) for w, h in wanted]


def test_one_inch_is_one_unit_on_both_axes_and_everything_is_inside(drawn):
    axis = drawn(X, W, Y, bias=B)
    width, height = axis.figure.get_size_inches()
    assert (axis.get_xlim(), axis.get_ylim()) == ((0, width), (0, height))
    assert axis.get_position().bounds == (0, 0, 1, 1)
    paper = axis.figure.bbox
    for artist in (*axis.patches, *(text for text in axis.texts if text.get_text())):
        extent = artist.get_window_extent()
        assert paper.x0 <= extent.x0 < extent.x1 <= paper.x1 and paper.y0 <= extent.y0 < extent.y1 <= paper.y1, artist


def test_boxes_stand_side_by_side_without_touching(drawn):
    patches = drawn(X, W, Y, bias=B).patches
    for one, other in pairwise(patches):
        assert one.get_x() + one.get_width() < other.get_x()


def test_names_signs_and_sizes_are_written(drawn):
    assert texts(drawn(X, W, Y, bias=B)) == [
        *("N = 4", "D = 2", "x"),
        *("@", "D = 2", "M = 3", "W"),
        *("+", "1", "M = 3", "b"),
        *("=", "N = 4", "M = 3", "y"),
    ]


def test_the_inner_sizes_are_bold_and_no_others(drawn):
    axis = drawn(*DW)
    assert [t.get_text() for t in axis.texts if t.get_weight() == "bold" and "=" in t.get_text()] == ["N = 4", "N = 4"]


def test_gradients_are_vermilion_and_dashed_values_blue_and_solid(drawn):
    patches = drawn(*DW).patches
    assert [to_hex(patch.get_edgecolor()).upper() for patch in patches] == [BLUE, VERMILION, VERMILION]
    solid, dashed = ("-", "solid"), ("--", "dashed")  # matplotlib has two names for each
    styles = [patch.get_linestyle() for patch in patches]
    assert styles[0] in solid and styles[1] in dashed and styles[2] in dashed


def test_cells_can_be_counted(drawn):
    rows, columns = drawn(X, W, Y).collections[:2]  # of x, which has 4 rows and 2 columns
    assert (len(rows.get_segments()), len(columns.get_segments())) == (3, 1)


@pytest.mark.parametrize(
    ("matrices", "bias"),
    [
        ((X, ("Wᵀ", "M", "D"), Y), None),
        ((X, W, ("y", "M", "N")), None),
        ((X, ("W", "M", "M"), Y), None),
        ((("x", "N", "D"), ("dout", "N", "M"), ("dW", "D", "M")), None),
        ((X, W, Y), ("b", "N", "M")),
    ],
    ids=str,
)
def test_a_product_that_numpy_refuses_is_not_drawn(matrices, bias):
    with pytest.raises(ValueError, match=r"product draws .* got the shapes "):
        product(*matrices, SIZES, bias=bias)
