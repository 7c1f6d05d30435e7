"""graph.py: recorded arithmetic has Python's own numbers, and its gradients are those of calculus."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.graph import Value, exp, gradients, log, maximum, node, topological


def apples():
    price, count, tax = Value(100, "apple price", "yen"), Value(2, "apple count", "apple"), Value(1.1, "tax")
    total = ((price * count).named("apples", unit="yen") * tax).named("total", unit="yen")
    return total, price, count, tax


def test_two_apples_and_a_tax():
    total, price, count, tax = apples()
    assert total.data == 220.00000000000003
    assert (price.grad, count.grad, tax.grad) == (None, None, None)  # not known yet
    total.backward()
    assert (price.grad, count.grad, tax.grad) == (2.2, 110.00000000000001, 200.0)
    assert total.grad == 1.0


def test_apples_and_oranges():
    apple, apples, orange, oranges, tax = map(Value, (100, 2, 150, 3, 1.1))
    total = (apple * apples + orange * oranges) * tax
    total.backward()
    assert total.data == 715.0000000000001
    grads = [v.grad for v in (apple, apples, orange, oranges, tax)]
    assert grads == [2.2, 110.00000000000001, 3.3000000000000003, 165.0, 650.0]


def test_backward_twice_gives_the_same_answer():
    total, *inputs = apples()
    total.backward()
    once = [v.grad for v in inputs]
    total.backward()
    assert [v.grad for v in inputs] == once


def test_a_second_output_assigns_its_own_gradients():
    x = Value(3.0)
    for output, slope in ((x * x, 6.0), (5 * x, 5.0)):
        output.backward()
        assert x.grad == slope


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda x: x + x, 2.0),
        (lambda x: x * x, 6.0),
        (lambda x: x - x, 0.0),
        (lambda x: x / x, 0.0),
        (lambda x: (x + 1) * (x * x + x), 3 * 9 + 2 * 2 * 3 + 1),  # x³ + 2x² + x
        (lambda x: maximum(x, x * x) * x, 27.0),
    ],
)
def test_forks_sum_their_gradients(f, slope):
    x = Value(3.0)
    f(x).backward()
    assert x.grad == pytest.approx(slope, abs=1e-15)


@pytest.mark.parametrize(
    ("result", "op", "data", "local_gradients"),
    [
        (Value(3) + 2, "+", 5.0, (1.0, 1.0)),
        (2 + Value(3), "+", 5.0, (1.0, 1.0)),
        (Value(3) - 2, "−", 1.0, (1.0, -1.0)),
        (2 - Value(3), "−", -1.0, (1.0, -1.0)),
        (Value(3) * 2, "×", 6.0, (2.0, 3.0)),
        (2 * Value(3), "×", 6.0, (3.0, 2.0)),
        (Value(3) / 2, "÷", 1.5, (0.5, -0.75)),
        (2 / Value(4), "÷", 0.5, (0.25, -0.125)),
        (-Value(3), "−", -3.0, (-1.0,)),
        (Value(3) ** 2, "**2", 9.0, (6.0,)),
        (Value(-2) ** 3, "**3", -8.0, (12.0,)),
        (Value(4) ** 0.5, "**0.5", 2.0, (0.25,)),
        (Value(2) ** -1, "**-1", 0.5, (-0.25,)),
        (Value(0) ** 0, "**0", 1.0, (0.0,)),
        (Value(0) ** 1, "**1", 0.0, (1.0,)),
        (exp(Value(0)), "exp", 1.0, (1.0,)),
        (log(Value(2)), "log", math.log(2), (0.5,)),
        (maximum(Value(3), 2), "max", 3.0, (1.0, 0.0)),
        (maximum(2, Value(3)), "max", 3.0, (0.0, 1.0)),
        (maximum(0, Value(0)), "max", 0.0, (1.0, 0.0)),  # a tie goes to the first
        (maximum(Value(0), 0), "max", 0.0, (1.0, 0.0)),
    ],
)
def test_each_operation(result, op, data, local_gradients):
    assert (result.op, result.data, result.local_gradients) == (op, data, local_gradients)
    assert len(result.inputs) == len(local_gradients)


numbers = st.floats(-1e6, 1e6)


@given(numbers, numbers)
def test_forward_is_python_float_arithmetic_to_the_bit(a, b):
    x, y = Value(a), Value(b)
    assert [(x + y).data, (x - y).data, (x * y).data, (-x).data, (x**2).data] == [a + b, a - b, a * b, -a, a**2]
    assert [(x + b).data, (a - y).data, (a * y).data] == [a + b, a - b, a * b]
    if b:
        assert [(x / y).data, (a / y).data, (x / b).data] == [a / b] * 3


# Smooth functions of two numbers between 0.5 and 2 whose values stay moderate.
UNARY = [
    lambda a: -a,
    lambda a: a**2 / 4,
    lambda a: (a * a + 1) ** 0.5,
    lambda a: exp(-(a * a)),
    lambda a: log(a * a + 2),
    lambda a: 1 / (1 + exp(a * 0.5)),
]
BINARY = [lambda a, b: a + b, lambda a, b: a - 2 * b, lambda a, b: a * b / 3, lambda a, b: a / (b * b + 1)]


@settings(max_examples=80, deadline=None)
@given(st.data(), st.lists(st.floats(0.5, 2), min_size=2, max_size=3), st.integers(1, 8))
def test_gradients_agree_with_central_differences(data, at, length):
    moves = []
    for i in range(length):
        earlier = st.integers(0, len(at) + i - 1)
        moves.append((data.draw(st.sampled_from(UNARY + BINARY)), data.draw(earlier), data.draw(earlier)))

    def f(inputs):
        values = list(inputs)
        for g, i, j in moves:
            values.append(g(values[i]) if g in UNARY else g(values[i], values[j]))
        output = values[0] * 0
        for v in values:
            output = output + v
        return output

    inputs = [Value(x) for x in at]
    f(inputs).backward()
    for k, x in enumerate(inputs):
        nudged = [[Value(a + (h if i == k else 0)) for i, a in enumerate(at)] for h in (1e-5, -1e-5)]
        slope = (f(nudged[0]).data - f(nudged[1]).data) / 2e-5
        assert x.grad == pytest.approx(slope, rel=1e-5, abs=1e-5)


def test_a_chain_of_ten_thousand_nodes():
    x = y = Value(1.0)
    for _ in range(10_000):
        y = y + 1
    y.backward()
    assert (y.data, x.grad) == (10_001.0, 1.0)


def test_a_ladder_of_forks_takes_one_visit_a_node():
    x = y = Value(1.0)
    for _ in range(200):  # 2**200 paths
        y = y + y
    y.backward()
    assert x.grad == 2.0**200


def test_topological_order_has_inputs_first_and_each_node_once():
    x, y = Value(2.0), Value(3.0)
    a = x * y
    b = a + x
    out = b * a
    assert topological(out) == [x, y, a, b, out]


def test_gradients_changes_no_node():
    total, price, *_ = apples()
    assert gradients(total)[price] == 2.2
    assert all(v.grad is None for v in topological(total))


def test_units():
    total, price, count, tax = apples()
    assert price.grad_unit(total) == "yen per yen"
    assert count.grad_unit(total) == "yen per apple"
    assert tax.grad_unit(total) is None  # it was given no unit
    assert tax.named("tax", unit="unit of tax rate").grad_unit(total) == "yen per unit of tax rate"


def test_repr_is_fixed():
    total, price, *_ = apples()
    assert repr(price) == "Value(100.0, name='apple price', unit='yen')"
    assert repr(total) == "Value(220.00000000000003, name='total', unit='yen', op='×')"
    total.backward()
    assert repr(price) == "Value(100.0, name='apple price', unit='yen', grad=2.2)"
    assert repr(Value(np.float64(0.5)) * np.float32(2)) == "Value(1.0, op='×')"


@pytest.mark.parametrize("number", [2, 2.0, np.float64(2), np.float32(2), np.int64(2)])
def test_numbers_and_numpy_scalars_mix_in_on_either_side(number):
    for result in (Value(3) * number, number * Value(3)):
        assert type(result) is Value
        assert (type(result.data), result.data) == (float, 6.0)
        assert sorted(v.constant for v in result.inputs) == [False, True]
    assert (number - Value(3)).data == -1.0
    assert (number / Value(4)).data == 0.5


def test_a_node_of_ones_own():
    x = Value(1.0)
    y = 1 / (1 + math.exp(-1.0))
    collapsed = node("σ", y, (x,), (y * (1 - y),))
    collapsed.backward()
    slope = x.grad
    pieces = 1 / (1 + exp(-x))
    pieces.backward()
    assert collapsed.data == pieces.data
    assert x.grad == pytest.approx(slope, rel=1e-15)


@pytest.mark.parametrize(
    ("mistake", "error", "phrase"),
    [
        (lambda: Value([1, 2]), TypeError, "one number, and this is [1, 2] of type list"),
        (lambda: Value(np.ones((2, 3))), TypeError, "an array of shape (2, 3)"),
        (lambda: Value(1) * np.ones(2), TypeError, "an array of shape (2,)"),
        (lambda: np.ones(2) * Value(1), TypeError, "an array of shape (2,)"),
        (lambda: Value("7"), TypeError, "'7' of type str"),
        (lambda: Value(7, name=3), TypeError, "The name of a Value is text, and 3 is of type int"),
        (lambda: Value(7, unit=3), TypeError, "The unit of a Value is text"),
        (lambda: Value(1, name="x") / 0, ZeroDivisionError, "the divisor must not be 0"),
        (lambda: 1 / Value(0, name="x"), ZeroDivisionError, "name='x'"),
        (lambda: Value(2) ** Value(3), TypeError, "exp(exponent * log(base))"),
        (lambda: 2 ** Value(3), TypeError, "exp(exponent * log(base))"),
        (lambda: Value(-2) ** 0.5, ValueError, "a base below 0 needs a whole exponent"),
        (lambda: Value(0) ** -1, ValueError, "a base of 0 needs an exponent of 0, or of 1 or more"),
        (lambda: Value(0) ** 0.5, ValueError, "has no derivative"),
        (lambda: Value(1e200) ** 2, OverflowError, "too large for a float"),
        (lambda: exp(1000), OverflowError, "exp(1000.0) is too large"),
        (lambda: log(0), ValueError, "log needs a number above 0, and this is Value(0.0)"),
        (lambda: Value(-1, name="x").log(), ValueError, "name='x'"),
        (lambda: node("σ", 1.0, (Value(1),), ()), ValueError, "1 inputs and 0 local gradients"),
        (lambda: node("σ", 1.0, (), ()), ValueError, "at least one input"),
    ],
)
def test_errors_are_sentences(mistake, error, phrase):
    with pytest.raises(error) as caught:
        mistake()
    assert phrase in str(caught.value)
