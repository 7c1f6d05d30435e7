"""The figures of chapter 2: what they draw, read from the figure's own data."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from course_lib.layers import Relu, Sigmoid
from course_lib.plots import BLUE, VERMILION, layer_curves, open_gates


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_a_row_for_each_layer_with_its_function_and_its_derivative():
    x = np.linspace(-3, 3, 7)
    axes = layer_curves({"ReLU": Relu(), "sigmoid": Sigmoid()}, x).axes
    assert [axis.get_ylabel() for axis in axes] == [
        "ReLU(x)",
        "derivative of ReLU",
        "sigmoid(x)",
        "derivative of sigmoid",
    ]
    drawn = [axis.lines[0].get_xydata().T for axis in axes]
    assert all(np.array_equal(along, x) for along, _ in drawn)
    y = 1 / (1 + np.exp(-x))
    for (_, shown), expected in zip(drawn, (np.maximum(x, 0), x > 0, y, y * (1 - y)), strict=True):
        np.testing.assert_allclose(shown, expected)


def test_function_and_derivative_differ_in_more_than_colour():
    left, right = (axis.lines[0] for axis in layer_curves({"ReLU": Relu()}, np.linspace(-1, 1, 5)).axes)
    assert (to_hex(left.get_color()), left.get_linestyle()) == (BLUE.lower(), "-")
    assert (to_hex(right.get_color()), right.get_linestyle()) == (VERMILION.lower(), "--")


def test_gates_are_blue_where_open_and_dead_units_are_crossed():
    mask = np.array([[True, False, True, True], [True, False, False, True], [True, True, True, True]])
    axis = open_gates(mask).axes[0]
    image = axis.images[0]
    assert np.array_equal(image.get_array(), ~mask)
    assert to_hex(image.cmap(image.norm(1))) == BLUE.lower() and to_hex(image.cmap(image.norm(0))) == "#ffffff"
    assert axis.lines[0].get_xdata().tolist() == [0, 3]
    assert axis.get_xlabel() == "unit" and axis.get_ylabel() == "sample"


def test_no_dead_unit_no_cross():
    assert len(open_gates(np.eye(3, dtype=bool)).axes[0].lines[0].get_xdata()) == 0
