"""Every layer through the same tests, by one table; then what is particular to each, and the textbook's faults."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

from course_lib import layers
from course_lib.functions import one_hot, sigmoid, softmax
from course_lib.gradient import check_layer
from course_lib.layers import (
    AddLayer,
    Affine,
    Layer,
    MeanSquaredError,
    MulLayer,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    Tanh,
)

# The second: see pyproject.toml. A product that is really invalid gives nan, which no test here takes for right.
pytestmark = pytest.mark.filterwarnings("error", "ignore:invalid value encountered in matmul:RuntimeWarning")

CLASSES = 5


@dataclass
class Case:
    """One row of the table: everything that the tests need to know about a layer."""

    name: str
    make: Callable  # make(a): the layer; a(*shape) gives its parameters
    inputs: Callable  # inputs(a, n): what forward takes, for a batch of n
    formula: Callable  # formula(m, *inputs, *parameters): the same function, for m = autograd.numpy or torch

    def layer(self, dtype=np.float64):
        return self.make(generic(dtype, seed=1))

    def batch(self, n=3, dtype=np.float64, seed=2):
        return self.inputs(generic(dtype, seed), n)


def generic(dtype, seed):
    """a(*shape): an array without zeros, ties or other coincidences. a(): a number."""
    rng = np.random.default_rng(seed)
    return lambda *shape: rng.standard_normal(shape).astype(dtype) if shape else float(rng.standard_normal())


def labels(n):
    return np.arange(n) * 2 % CLASSES


def distributions(a, n):
    """Soft labels, in float64, as they come from elsewhere."""
    return softmax(a(n, CLASSES).astype(float))


def softmax_loss(m, x, t):
    exps = m.exp(x)
    return -(t * m.log(exps / exps.sum(-1).reshape(*x.shape[:-1], 1))).sum() / (len(x) if x.ndim == 2 else 1)


def squared_error(m, y, t):
    return ((y - t) ** 2).sum() / 2 / (len(y) if y.ndim == 2 else 1)


def affine(m, x, W, b):
    return x.reshape(len(x), -1) @ W + b


# A new layer is one row here.
CASES = [
    Case("AddLayer", lambda a: AddLayer(), lambda a, n: (a(n, 4), a(n, 4)), lambda m, x, y: x + y),
    Case("AddLayer, numbers", lambda a: AddLayer(), lambda a, n: (a(), a()), lambda m, x, y: x + y),
    Case("MulLayer", lambda a: MulLayer(), lambda a, n: (a(n, 4), a(n, 4)), lambda m, x, y: x * y),
    Case("MulLayer, numbers", lambda a: MulLayer(), lambda a, n: (a(), a()), lambda m, x, y: x * y),
    Case("Relu", lambda a: Relu(), lambda a, n: (a(n, 4),), lambda m, x: x * (x > 0)),
    Case("Relu, images", lambda a: Relu(), lambda a, n: (a(n, 2, 3, 4),), lambda m, x: x * (x > 0)),
    Case("Sigmoid", lambda a: Sigmoid(), lambda a, n: (a(n, 4),), lambda m, x: 1 / (1 + m.exp(-x))),
    Case("Tanh", lambda a: Tanh(), lambda a, n: (a(n, 4),), lambda m, x: m.tanh(x)),
    Case("Affine", lambda a: Affine(a(4, 6), a(6)), lambda a, n: (a(n, 4),), affine),
    Case("Affine, images", lambda a: Affine(a(24, 5), a(5)), lambda a, n: (a(n, 2, 3, 4),), affine),
    Case("Affine, of data", lambda a: Affine(a(4, 6), a(6), input_gradient=False), lambda a, n: (a(n, 4),), affine),
    Case("SoftmaxWithLoss", lambda a: SoftmaxWithLoss(), lambda a, n: (a(n, CLASSES), labels(n)), softmax_loss),
    Case(
        "SoftmaxWithLoss, one-hot",
        lambda a: SoftmaxWithLoss(),
        lambda a, n: (a(n, CLASSES), one_hot(labels(n), CLASSES)),
        softmax_loss,
    ),
    Case(
        "SoftmaxWithLoss, soft labels",
        lambda a: SoftmaxWithLoss(),
        lambda a, n: (a(n, CLASSES), distributions(a, n)),
        softmax_loss,
    ),
    Case(
        "SoftmaxWithLoss, one sample",
        lambda a: SoftmaxWithLoss(),
        lambda a, n: (a(CLASSES), np.array(3)),
        softmax_loss,
    ),
    Case("MeanSquaredError", lambda a: MeanSquaredError(), lambda a, n: (a(n, 4), a(n, 4)), squared_error),
    Case("MeanSquaredError, one sample", lambda a: MeanSquaredError(), lambda a, n: (a(4), a(4)), squared_error),
]

every_layer = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
float_types = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def test_the_table_misses_no_layer():
    defined = {c for c in vars(layers).values() if isinstance(c, type) and issubclass(c, Layer) and c is not Layer}
    assert {type(case.layer()) for case in CASES} == defined


# --- what the tests share --------------------------------------------------------------------------------------


def upstream(y, seed=3):
    """A random dL/dy of the shape and dtype of y."""
    dout = np.random.default_rng(seed).standard_normal(np.shape(y)).astype(np.asarray(y).dtype)
    return dout if isinstance(y, np.ndarray) else float(dout)


def gradients(layer, dout):
    """backward, and everything that it leaves: a list of the inputs' gradients and one of the parameters'."""
    returned = layer.backward(dout)
    of_inputs = [] if returned is None else list(returned) if isinstance(returned, tuple) else [returned]
    return of_inputs, [getattr(layer, f"d{name}") for name in layer.param_names]


def parameters(layer):
    return [getattr(layer, name) for name in layer.param_names]


def freeze(*arrays):
    for a in arrays:
        if isinstance(a, np.ndarray):
            a.setflags(write=False)


def slopes(loss, x):
    """dloss/dx by central differences: written here anew, so as not to lean on course_lib.gradient."""
    slope = np.zeros(x.size)
    for i in range(x.size):
        ends = []
        for step in 1e-5, -1e-5:
            moved = x.astype(float).ravel()
            moved[i] += step
            ends.append(loss(moved.reshape(x.shape)))
        slope[i] = (ends[0] - ends[1]) / 2e-5
    return slope.reshape(x.shape)


def agree_with_numerical_gradients(layer, *inputs):
    """The gradients of a layer, under a random dout, are those of its own forward."""
    y = layer.forward(*inputs)
    dout = upstream(y)
    of_inputs, of_parameters = gradients(layer, dout)
    for i, gradient in enumerate(of_inputs):

        def loss(moved, i=i):
            return np.vdot(dout, layer.forward(*(moved if j == i else x for j, x in enumerate(inputs))))

        slope = slopes(loss, np.asarray(inputs[i]))
        assert np.shape(gradient) == slope.shape
        assert np.allclose(gradient, slope, rtol=1e-6, atol=1e-9)
    for name, gradient in zip(layer.param_names, of_parameters, strict=True):
        own = getattr(layer, name)

        def loss(moved, name=name):
            setattr(layer, name, moved)
            return np.vdot(dout, layer.forward(*inputs))

        slope = slopes(loss, own)
        setattr(layer, name, own)
        assert np.shape(gradient) == slope.shape
        assert np.allclose(gradient, slope, rtol=1e-6, atol=1e-9)


def fails(check, *arguments):
    """Does this check fail, as it must for the textbook's version?"""
    with pytest.raises(AssertionError):
        check(*arguments)


# --- every layer through the same tests ------------------------------------------------------------------------


@every_layer
@pytest.mark.parametrize("n", [1, 2, 3])
def test_backward_agrees_with_numerical_gradients(case, n):
    agree_with_numerical_gradients(case.layer(), *case.batch(n))


def as_rows(inputs):
    """The same inputs with integer labels written as rows of a one-hot matrix."""
    return [np.eye(CLASSES)[x] if np.asarray(x).dtype.kind == "i" else x for x in inputs]


@every_layer
def test_forward_and_backward_agree_with_autograd(case):
    layer, inputs = case.layer(), case.batch()
    arguments = as_rows(inputs) + parameters(layer)
    y = layer.forward(*inputs)
    assert np.allclose(y, case.formula(anp, *arguments), rtol=1e-13, atol=1e-14)
    dout = upstream(y)
    of_inputs, of_parameters = gradients(layer, dout)
    for i, gradient in [*enumerate(of_inputs), *enumerate(of_parameters, start=len(inputs))]:
        wanted = autograd.grad(lambda *values: anp.sum(dout * case.formula(anp, *values)), i)(*arguments)
        assert np.shape(gradient) == np.shape(wanted)
        assert np.allclose(gradient, wanted, rtol=1e-12, atol=1e-14)


@every_layer
def test_forward_and_backward_agree_with_pytorch(case):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)
    layer, inputs = case.layer(), case.batch()
    arguments = [
        torch.tensor(np.asarray(a), dtype=torch.float64, requires_grad=True)
        for a in as_rows(inputs) + parameters(layer)
    ]
    y = layer.forward(*inputs)
    dout = upstream(y)
    other = case.formula(torch, *arguments)
    (torch.tensor(dout, dtype=torch.float64) * other).sum().backward()
    assert np.allclose(y, other.detach().numpy(), rtol=1e-13, atol=1e-14)
    of_inputs, of_parameters = gradients(layer, dout)
    for i, gradient in [*enumerate(of_inputs), *enumerate(of_parameters, start=len(inputs))]:
        assert np.shape(gradient) == tuple(arguments[i].grad.shape)
        assert np.allclose(gradient, arguments[i].grad.numpy(), rtol=1e-12, atol=1e-14)


@every_layer
@float_types
def test_check_layer_agrees(case, dtype):
    for seed in range(3):
        check_layer(case.layer(dtype), *case.batch(dtype=dtype), seed=seed).raise_if_bad()


@every_layer
def test_neither_pass_writes_into_its_arguments(case):
    layer, inputs = case.layer(), case.batch()
    freeze(*inputs, *parameters(layer))
    y = layer.forward(*inputs)
    dout = upstream(y)
    freeze(dout)
    layer.backward(dout)


@every_layer
def test_no_array_that_is_handed_out_shares_memory(case):
    layer, inputs = case.layer(), case.batch()
    given = [*inputs, *parameters(layer)]
    out = []
    for seed in 3, 4:  # what the first pass returned stays the caller's in the second
        y = layer.forward(*inputs)
        given.append(upstream(y, seed))
        of_inputs, of_parameters = gradients(layer, given[-1])
        out += [y, *of_inputs, *of_parameters]
    kept = [a for name, a in vars(layer).items() if name not in [f"d{p}" for p in layer.param_names]]
    pairs = [*combinations(out, 2), *((a, b) for a in out for b in given + kept)]
    for a, b in pairs:
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            assert not np.shares_memory(a, b)


@every_layer
def test_whoever_receives_an_output_may_overwrite_it(case):
    layer, inputs = case.layer(), case.batch()
    y = layer.forward(*inputs)
    dout = upstream(y)
    before = gradients(layer, dout)
    y = layer.forward(*inputs)
    if isinstance(y, np.ndarray):
        y[...] = np.nan
    after = gradients(layer, dout)
    for a, b in zip(before[0] + before[1], after[0] + after[1], strict=True):
        assert np.array_equal(a, b)


@every_layer
@float_types
def test_the_dtype_is_kept(case, dtype):
    layer = case.layer(dtype)
    y = layer.forward(*case.batch(dtype=dtype))
    of_inputs, of_parameters = gradients(layer, upstream(y))
    for a in [y, *of_inputs, *of_parameters]:
        assert a.dtype == dtype if isinstance(a, np.ndarray) else type(a) is float


@every_layer
def test_an_empty_batch_has_empty_gradients(case):
    layer, inputs = case.layer(), case.batch(n=0)
    y = layer.forward(*inputs)
    of_inputs, of_parameters = gradients(layer, upstream(y))
    for gradient, x in zip(of_inputs, inputs, strict=False):
        assert np.shape(gradient) == np.shape(x)
    for gradient, p in zip(of_parameters, parameters(layer), strict=True):
        assert gradient.shape == p.shape
        assert not gradient.any()
    if isinstance(y, np.ndarray):
        assert len(y) == 0
    elif np.size(inputs[0]) == 0:
        assert y == 0


@every_layer
def test_backward_before_forward_is_refused(case):
    layer = case.layer()
    name = type(layer).__name__
    with pytest.raises(RuntimeError, match=f"{name}.backward needs what {name}.forward keeps: call forward first"):
        layer.backward(np.ones((3, 4)))


@every_layer
def test_a_dout_of_another_shape_is_refused(case):
    layer = case.layer()
    y = layer.forward(*case.batch())
    sentence = f"got dout of shape (7, 7), but {type(layer).__name__}.forward returned shape {np.shape(y)}"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        layer.backward(np.ones((7, 7)))
    if np.shape(y):
        with pytest.raises(ValueError, match=re.escape("got dout of shape ()")):
            layer.backward(1.0)  # would be broadcast
        with pytest.raises(ValueError, match="got dout of shape"):
            layer.backward(np.ones(np.shape(y)[1:]))  # would be broadcast, too


@every_layer
def test_what_holds_no_numbers_is_refused(case):
    layer, inputs = case.layer(), case.batch()
    for wrong in np.full(np.shape(inputs[0]), "text"), np.ones(np.shape(inputs[0]), complex):
        with pytest.raises(TypeError, match="expected an array of numbers; got one of dtype"):
            layer.forward(wrong, *inputs[1:])
    y = layer.forward(*inputs)
    with pytest.raises(TypeError, match="expected an array of numbers"):
        layer.backward(np.full(np.shape(y), "text"))


@every_layer
def test_lists_do_as_well_as_arrays(case):
    layer, inputs = case.layer(), case.batch()
    y = layer.forward(*inputs)
    dout = upstream(y)
    expected = gradients(layer, dout)
    assert np.array_equal(layer.forward(*(np.asarray(x).tolist() for x in inputs)), y)
    found = gradients(layer, np.asarray(dout).tolist())
    for a, b in zip(expected[0] + expected[1], found[0] + found[1], strict=True):
        assert np.array_equal(a, b)


@every_layer
@pytest.mark.parametrize("n", [3, 4])
def test_a_second_pass_is_not_stale(case, n):
    used, fresh = case.layer(), case.layer()
    gradients(used, upstream(used.forward(*case.batch(seed=8))))
    inputs = case.batch(n, seed=9)
    y = used.forward(*inputs)
    assert np.array_equal(y, fresh.forward(*inputs))
    for a, b in zip(gradients(used, upstream(y)), gradients(fresh, upstream(y)), strict=True):
        assert all(map(np.array_equal, a, b))


@every_layer
def test_gradients_are_assigned_not_added_up(case):
    layer = case.layer()
    y = layer.forward(*case.batch())
    first = gradients(layer, upstream(y))
    for a, b in zip(first, gradients(layer, upstream(y)), strict=True):
        assert all(map(np.array_equal, a, b))


@every_layer
def test_backward_is_linear_in_dout(case):
    layer = case.layer()
    y = layer.forward(*case.batch())
    dout = upstream(y)
    for a, b in zip(gradients(layer, dout), gradients(layer, dout * -3), strict=True):
        assert all(np.allclose(-3 * u, v, rtol=1e-13, atol=1e-15) for u, v in zip(a, b, strict=True))


@every_layer
def test_a_forward_that_is_refused_leaves_the_last_pass_as_it_was(case):
    layer, inputs = case.layer(), case.batch()
    y = layer.forward(*inputs)
    before = gradients(layer, upstream(y))
    with pytest.raises((TypeError, ValueError)):
        layer.forward(*inputs[:-1], np.full(99, "text"))
    for a, b in zip(before, gradients(layer, upstream(y)), strict=True):
        assert all(map(np.array_equal, a, b))


# --- what is particular to each --------------------------------------------------------------------------------


def test_two_apples():
    apples, tax = MulLayer(), MulLayer()
    assert tax.forward(apples.forward(100, 2), 1.1) == 220.00000000000003
    price_of_apples, rate = tax.backward(1)
    assert (*apples.backward(price_of_apples), rate) == (2.2, 110.00000000000001, 200)


def test_apples_and_oranges():
    apples, oranges, fruit, tax = MulLayer(), MulLayer(), AddLayer(), MulLayer()
    total = tax.forward(fruit.forward(apples.forward(100, 2), oranges.forward(150, 3)), 1.1)
    assert total == 715.0000000000001
    dsum, dtax = tax.backward(1)
    dapples, doranges = fruit.backward(dsum)
    assert dtax == 650
    assert apples.backward(dapples) == (2.2, 110.00000000000001)
    assert oranges.backward(doranges) == (3.3000000000000003, 165.0)


def test_plain_numbers_stay_plain():
    assert [type(v) for v in (MulLayer().forward(3, 4), AddLayer().forward(0.5, 1))] == [int, float]
    for layer in AddLayer(), MulLayer():
        layer.forward(3, 4)
        assert [type(v) for v in layer.backward(2)] == [int, int]


@pytest.mark.parametrize("layer", [AddLayer(), MulLayer()])
def test_two_inputs_are_not_broadcast(layer):
    for x, y in ((np.ones(3), np.ones((3, 1))), (np.ones(3), 2.0), (2.0, np.ones(1))):
        with pytest.raises(
            ValueError, match=re.escape(f"two inputs of one shape; got {np.shape(x)} and {np.shape(y)}")
        ):
            layer.forward(x, y)


def test_relu_at_0_and_beside():
    relu = Relu()
    assert relu.forward([[1.0, -0.5], [-2.0, 3.0]]).tolist() == [[1, 0], [0, 3]]
    assert relu.mask.tolist() == [[False, True], [True, False]]
    x = np.array([-1e-300, -0.0, 0.0, 1e-300])
    assert relu.forward(x).tolist() == [0, 0, 0, 1e-300]
    assert relu.backward(np.ones(4)).tolist() == [0, 0, 0, 1]


def test_relu_lets_nan_through_rather_than_hide_it():
    assert np.isnan(Relu().forward(np.array([np.nan])))


def test_the_published_numbers_of_sigmoid():
    layer = Sigmoid()
    y = layer.forward([[1.0, -0.5], [-2.0, 3.0]])
    assert np.round(y, 8).tolist() == [[0.73105858, 0.37754067], [0.11920292, 0.95257413]]
    dx = layer.backward([[1.0, -0.5], [-2.0, 3.0]])
    assert np.round(dx, 8).tolist() == [[0.19661193, -0.11750186], [-0.20998717, 0.13552998]]


@pytest.mark.parametrize("layer", [Sigmoid(), Tanh(), Relu()])
def test_pixels_are_numbers_like_any_other(layer):
    x = np.array([[0, 1, 200, 255]], np.uint8)
    assert np.array_equal(layer.forward(x), layer.forward(x.astype(float)))
    assert layer.forward(x).dtype == np.float64


@pytest.mark.parametrize("layer", [Sigmoid(), Tanh()])
def test_saturated_units_are_flat_and_silent(layer):
    layer.forward(np.array([-1e4, -1000.0, 1000.0, 1e4]))
    assert layer.backward(np.ones(4)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "W, b, error, sentence",
    [
        (np.ones((4, 3)), np.ones(4), ValueError, "W of shape (D, M) and b of shape (M,); got (4, 3) and (4,)"),
        (np.ones((4, 3)), np.ones((1, 3)), ValueError, "got (4, 3) and (1, 3)"),
        (np.ones(3), np.ones(3), ValueError, "got (3,) and (3,)"),
        (np.ones((4, 3, 2)), np.ones((3, 2)), ValueError, "got (4, 3, 2) and (3, 2)"),
        (np.ones((4, 3), int), np.ones(3, int), TypeError, "one floating dtype; got int64 and int64"),
        ([[1, 2]], [1, 2], TypeError, "one floating dtype; got int64 and int64"),
        (np.ones((4, 3)), np.ones(3, np.float32), TypeError, "one floating dtype; got float64 and float32"),
    ],
)
def test_affine_refuses_parameters_that_do_not_fit(W, b, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        Affine(W, b)


@pytest.mark.parametrize("shape", [(2, 3), (2, 5), (2, 2, 3), (4,), ()])
def test_affine_refuses_batches_that_do_not_fit(shape):
    sentence = f"takes a batch (N, ...) with 4 numbers a sample; got shape {shape}"
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        Affine(np.ones((4, 3)), np.ones(3)).forward(np.ones(shape))
    assert ("For a single sample write x[None, :]" in str(caught.value)) == (len(shape) == 1)


def test_affine_of_one_number_a_sample_wants_a_batch_too():
    with pytest.raises(ValueError, match=re.escape("with 1 numbers a sample; got shape (5,)")):
        Affine(np.ones((1, 3)), np.ones(3)).forward(np.ones(5))


def test_affine_uses_the_arrays_that_it_is_given():
    W, b = np.ones((2, 3)), np.zeros(3)
    layer = Affine(W, b)
    assert layer.W is W and layer.b is b
    W += 1
    assert layer.forward(np.ones((1, 2))).tolist() == [[4, 4, 4]]


def test_affine_gives_images_their_gradient_in_their_shape():
    layer = Affine(np.ones((24, 5)), np.ones(5))
    layer.forward(np.ones((7, 2, 3, 4)))
    assert layer.backward(np.ones((7, 5))).shape == (7, 2, 3, 4)


def test_affine_of_data_spares_only_the_inputs_gradient():
    x, a = np.ones((7, 4)), generic(float, 1)
    whole, spared = Affine(a(4, 6), a(6)), Affine(generic(float, 1)(4, 6), np.zeros(6), input_gradient=False)
    for layer in whole, spared:
        layer.forward(x)
    dout = np.ones((7, 6))
    assert whole.backward(dout).shape == x.shape and spared.backward(dout) is None
    assert np.array_equal(whole.dW, spared.dW) and np.array_equal(whole.db, spared.db)


def test_softmax_with_loss_is_exact_at_the_extremes():
    layer = SoftmaxWithLoss()
    for gap in 40.0, 1e4:
        assert layer.forward([[0.0, gap]], [0]) == pytest.approx(gap, abs=1e-12)
        assert layer.backward() == pytest.approx(np.array([[-1.0, 1.0]]), abs=1e-15)


def test_softmax_with_loss_keeps_what_it_found():
    layer = SoftmaxWithLoss()
    x = np.random.default_rng(0).standard_normal((4, CLASSES))
    loss = layer.forward(x, labels(4))
    assert layer.loss == loss and type(loss) is float
    assert np.allclose(layer.y, softmax(x), rtol=1e-14)
    dx = layer.backward()
    assert np.allclose(dx.sum(axis=1), 0, atol=1e-16)
    assert np.allclose(dx, (softmax(x) - np.eye(CLASSES)[labels(4)]) / 4, rtol=0, atol=1e-16)


def test_both_forms_of_labels_have_one_gradient():
    x = np.random.default_rng(0).standard_normal((4, CLASSES))
    found = []
    for t in labels(4), labels(4).astype(np.uint8), *(one_hot(labels(4), CLASSES, d) for d in (int, float, bool)):
        layer = SoftmaxWithLoss()
        found.append((layer.forward(x, t), layer.backward(2.0).tolist()))
    assert all(loss == pytest.approx(found[0][0], rel=1e-15) and dx == found[0][1] for loss, dx in found)


@pytest.mark.parametrize("layer", [SoftmaxWithLoss(), MeanSquaredError()])
def test_a_loss_takes_any_plain_number_from_upstream_and_stays_float32(layer):
    x = np.ones((2, 3), np.float32)
    layer.forward(x, one_hot([0, 1], 3, np.float32))
    once = layer.backward()
    assert np.array_equal(once, layer.backward(1))
    for dout in 2, 2.0, Fraction(2), np.float64(2), np.float32(2), np.array(2.0):
        twice = layer.backward(dout)
        assert np.allclose(twice, 2 * once)
        assert twice.dtype == np.float32


@pytest.mark.parametrize(
    "x, t, error, sentence",
    [
        (np.zeros((2, 3)), [0, 3], ValueError, "label 3 names no class"),
        (np.zeros((2, 3)), [0, 1, 2], ValueError, "labels have shape (3,)"),
        (np.zeros((2, 3)), [0.0, 1.0], TypeError, "must be integers"),
        (np.zeros((2, 3, 4)), [0, 1], ValueError, "scores have shape (N, C)"),
        (np.zeros(3), [0, 1], ValueError, "labels have shape (2,); for scores of shape (1, 3)"),
    ],
)
def test_softmax_with_loss_refuses_what_does_not_fit(x, t, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        SoftmaxWithLoss().forward(x, t)


def test_mean_squared_error_refuses_to_broadcast():
    with pytest.raises(ValueError, match=re.escape("y has (3, 1), t has (3, 2)")):
        MeanSquaredError().forward(np.zeros((3, 1)), np.zeros((3, 2)))


def test_mean_squared_error_of_pixels_does_not_wrap():
    layer = MeanSquaredError()
    assert layer.forward(np.array([[1]], np.uint8), np.array([[2]], np.uint8)) == 0.5
    assert layer.backward(1).tolist() == [[-1.0]]
    pixel, single = np.array([[1]], np.uint8), np.array([[2]], np.float32)
    for y, t in (pixel, single), (single, pixel):  # integers count as float64, whatever stands beside them
        layer.forward(y, t)
        assert layer.backward(1).dtype == np.float64


# --- the textbook's faults: the check passes for the library and fails for the book ----------------------------


class BookRelu:
    def __init__(self):
        self.mask = None

    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dout[self.mask] = 0
        return dout


class BookSigmoid:
    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out) * self.out


class BookAffine:
    param_names = ("W", "b")

    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return np.dot(x, self.W) + self.b

    def backward(self, dout):
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return np.dot(dout, self.W.T)


class BookSoftmaxWithLoss:
    param_names = ()

    def forward(self, x, t):
        self.t = t
        self.y = self.softmax(x)
        self.loss = self.cross_entropy(self.y, t)
        return self.loss

    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return dx / len(self.t)

    def softmax(self, x):
        return softmax(x)

    def cross_entropy(self, y, t):
        return -np.sum(np.log(y[np.arange(len(t)), t] + 1e-7)) / len(t)


class WholeBatchSoftmax(BookSoftmaxWithLoss):
    def softmax(self, x):
        return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


class SummedLoss(BookSoftmaxWithLoss):
    def cross_entropy(self, y, t):
        return -np.sum(np.log(y[np.arange(len(t)), t]))

    def backward(self, dout=1):
        return super().backward() * dout


def test_a_branch_keeps_its_gradient_and_the_textbooks_relu_zeroes_it():
    def one_and_two(relu):
        """y = x + relu(x) at [-1, 2]: both branches get the same dout."""
        relu.forward(np.array([-1.0, 2.0]))
        dout = np.ones(2)
        through_relu = relu.backward(dout)
        assert (dout + through_relu).tolist() == [1, 2]

    one_and_two(Relu())
    fails(one_and_two, BookRelu())


def test_backward_first_is_an_error_and_the_textbooks_relu_answers_0():
    def refuses(relu):
        try:
            answer = relu.backward(np.ones(2))
        except RuntimeError:
            return
        raise AssertionError(f"it answered {answer}")

    refuses(Relu())
    fails(refuses, BookRelu())


def test_a_loss_multiplies_by_dout_and_the_textbooks_ignores_it():
    def multiplies(layer):
        x, t = np.random.default_rng(0).standard_normal((3, 4)), np.array([0, 3, 1])
        layer.forward(x, t)
        once = layer.backward(1)
        layer.forward(x, t)
        assert np.allclose(layer.backward(-2.5), -2.5 * once)

    multiplies(SoftmaxWithLoss())
    fails(multiplies, BookSoftmaxWithLoss())


def test_the_loss_is_40_where_the_textbooks_is_16():
    def forty(layer):
        assert layer.forward(np.array([[0.0, 40.0]]), np.array([0])) == pytest.approx(40, abs=1e-12)

    forty(SoftmaxWithLoss())
    fails(forty, BookSoftmaxWithLoss())


def test_the_gradient_is_that_of_the_loss_and_the_textbooks_is_1e_7_off():
    """log(y + 1e-7) has another gradient than the log(y) that backward derives: a floor under every check."""

    def agrees_to_1e_9(layer):
        x, t = np.random.default_rng(0).standard_normal((3, 10)) * 0.01, np.array([0, 3, 1])
        layer.forward(x, t)
        assert np.abs(layer.backward() - slopes(lambda moved: layer.forward(moved, t), x)).max() < 1e-9

    agrees_to_1e_9(SoftmaxWithLoss())
    fails(agrees_to_1e_9, BookSoftmaxWithLoss())


@pytest.mark.parametrize("book", [WholeBatchSoftmax, SummedLoss])
def test_the_loss_and_its_gradient_belong_together(book):
    x, t = np.random.default_rng(0).standard_normal((3, 4)), np.array([0, 3, 1])
    agree_with_numerical_gradients(SoftmaxWithLoss(), x, t)
    fails(agree_with_numerical_gradients, book(), x, t)
    assert not check_layer(book(), x, t).ok


def test_a_batch_of_one_hides_the_softmax_over_the_whole_batch():
    x, t = np.random.default_rng(0).standard_normal((1, 4)), np.array([2])
    assert WholeBatchSoftmax().forward(x, t) == pytest.approx(SoftmaxWithLoss().forward(x, t), abs=1e-6)


def test_sigmoid_is_silent_far_out_and_the_textbooks_warns():
    def silent(layer):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            y = layer.forward(np.array([-1e4, 1e4]))
        assert y.tolist() == [0, 1] and not caught

    silent(Sigmoid())
    fails(silent, BookSigmoid())


def test_an_output_is_the_receivers_and_the_textbooks_sigmoid_keeps_using_it():
    def survives_an_update_in_place(layer):
        y = layer.forward(np.array([0.5, -1.0]))
        y *= 0  # dropout, say
        expected = sigmoid(np.array([0.5, -1.0])) * (1 - sigmoid(np.array([0.5, -1.0])))
        assert np.allclose(layer.backward(np.ones(2)), expected)

    survives_an_update_in_place(Sigmoid())
    fails(survives_an_update_in_place, BookSigmoid())


@pytest.mark.parametrize(
    "given, works_in", [(np.float32, np.float64), (np.float64, np.float32), (np.uint8, np.float32)]
)
def test_a_batch_is_converted_once_and_in_the_textbook_at_each_step(given, works_in):
    def one_dtype_throughout(layer):
        """Each product has two factors of one dtype, and so none converts a whole batch behind the scenes."""
        y = layer.forward(np.ones((3, 4), given))
        dx = layer.backward(np.ones_like(y))
        assert {layer.x.dtype, y.dtype, dx.dtype, layer.dW.dtype, layer.db.dtype} == {np.dtype(works_in)}

    W, b = np.ones((4, 2), works_in), np.ones(2, works_in)
    one_dtype_throughout(Affine(W, b))
    fails(one_dtype_throughout, BookAffine(W, b))
