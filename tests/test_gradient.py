"""The instrument that finds wrong gradients: it must find what is planted, and never cry wolf."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from course_lib.functions import one_hot, softmax
from course_lib.gradient import check_layer, check_network, numerical_gradient, relative_error
from course_lib.layers import AddLayer, Affine, MeanSquaredError, MulLayer, Relu, Sigmoid, SoftmaxWithLoss, Tanh
from course_lib.networks import TwoLayerNet

pytestmark = pytest.mark.filterwarnings("error")


# --- numerical_gradient ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype, h, rtol", [(np.float64, 1e-4, 1e-7), (np.float32, 1e-2, 1e-3)])
def test_the_gradient_of_a_known_function(dtype, h, rtol):
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(dtype)
    gradient = numerical_gradient(lambda x: np.sum(np.sin(x.astype(float))), x, h)
    assert gradient.shape == x.shape and gradient.dtype == dtype and not np.shares_memory(gradient, x)
    assert np.allclose(gradient, np.cos(x), rtol=rtol, atol=rtol)


@given(arrays(float, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), elements=st.floats(-10, 10)))
@settings(deadline=None)
def test_any_shape_and_two_calls_for_each_number(x):
    calls = []

    def f(x):
        calls.append(x.copy())
        return (x**2).sum()

    before = x.tobytes()
    gradient = numerical_gradient(f, x)
    assert len(calls) == 2 * x.size
    assert x.tobytes() == before  # bit for bit: a negative zero, too
    assert np.allclose(gradient, 2 * x, rtol=1e-6, atol=1e-6)
    assert all((call != x).sum() == 1 for call in calls)


def test_a_negative_zero_stays_one():
    x = np.array([-0.0, 0.0])
    numerical_gradient(lambda x: x.sum(), x)
    assert np.signbit(x).tolist() == [True, False]


def test_x_is_put_back_where_f_raises():
    for fatal in range(1, 5):
        x, calls = np.array([0.1, 0.7]), []

        def f(x, calls=calls, fatal=fatal):
            calls.append(1)
            if len(calls) == fatal:
                raise KeyboardInterrupt
            return x.sum()

        before = x.tobytes()
        with pytest.raises(KeyboardInterrupt):
            numerical_gradient(f, x)
        assert x.tobytes() == before


def test_arrays_that_are_not_contiguous():
    whole = np.arange(24.0).reshape(4, 6)
    before = whole.copy()
    for view in whole.T, whole[::2, ::-3], whole[:, 1]:
        assert np.allclose(numerical_gradient(lambda x: (x**2).sum(), view), 2 * view, rtol=1e-7, atol=1e-7)
    assert np.array_equal(whole, before)


def test_f_may_read_the_array_elsewhere():
    net = SimpleNamespace(W=np.array([1.0, 2.0]))
    assert np.allclose(numerical_gradient(lambda _: (net.W**2).sum(), net.W), [2, 4])


def test_f_may_return_its_number_in_an_array():
    assert np.allclose(numerical_gradient(lambda x: (x**2).sum(keepdims=True), np.array([1.0, 2.0])), [2, 4])


@pytest.mark.parametrize(
    "x, error, sentence",
    [
        (np.array([3, 4]), TypeError, "it got an array of int64, which cannot hold the nudged value. Convert it first"),
        (np.array([True]), TypeError, "an array of bool"),
        ([3.0, 4.0], TypeError, "it got an object of type list"),
        (3.0, TypeError, "it got an object of type float"),
        (np.float64(3), TypeError, "it got an object of type float64"),
        (np.broadcast_to(1.0, 3), ValueError, "this array is read-only; pass x.copy()"),
    ],
)
def test_what_cannot_be_nudged_is_refused(x, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        numerical_gradient(np.sum, x)


def test_a_function_with_several_values_is_refused():
    with pytest.raises(ValueError, match="can only convert an array of size 1"):
        numerical_gradient(lambda x: x, np.ones(3))


def test_the_textbook_answers_0_for_integers():
    def textbook(f, x, h=1e-4):
        grad = np.zeros_like(x)
        for i in range(x.size):
            old = x[i]
            x[i] = old + h
            ahead = f(x)
            x[i] = old - h
            grad[i] = (ahead - f(x)) / (2 * h)
            x[i] = old
        return grad

    def right_or_refused(function):
        x = np.array([3, 4])
        try:
            gradient = function(lambda x: (x**2).sum(), x)
        except TypeError:
            return
        assert np.allclose(gradient, [6, 8])

    right_or_refused(numerical_gradient)
    with pytest.raises(AssertionError):
        right_or_refused(textbook)


# --- relative_error --------------------------------------------------------------------------------------------


def test_relative_error():
    assert relative_error([1.0, 2.0], [1.0, 2.0]) == relative_error([], []) == relative_error(0, 0) == 0
    assert relative_error([1.0, 100.0], [1.0, 101.0]) == pytest.approx(1 / 101)
    assert relative_error(0.0, 1e-30) == 1
    assert relative_error(1e-9, 2e-9) == relative_error(1e9, 2e9) == 0.5  # units do not matter
    assert relative_error(3.0, -3.0) == 2
    assert relative_error(np.array([1], np.uint8), np.array([2], np.uint8)) == 0.5
    assert np.isnan(relative_error(np.nan, 1.0))
    assert type(relative_error(np.ones(2, np.float32), np.ones(2, np.float32))) is float
    with pytest.raises(ValueError, match=re.escape("arrays of one shape; got (2,) and (2, 1)")):
        relative_error(np.ones(2), np.ones((2, 1)))


# --- networks to plant faults in -------------------------------------------------------------------------------


class Net:
    """Affine - activation - Affine - loss with any classes in their places, and a right way of joining them."""

    def __init__(self, sizes=(6, 5, 4), rng=0, first=Affine, activation=Relu, second=Affine, last=SoftmaxWithLoss):
        rng = np.random.default_rng(rng)
        d, m, c = sizes
        self.params = {
            "W1": rng.standard_normal((d, m)) * np.sqrt(2 / d),
            "b1": rng.standard_normal(m) * 0.1,
            "W2": rng.standard_normal((m, c)) * np.sqrt(2 / m),
            "b2": rng.standard_normal(c) * 0.1,
        }
        self.layers = {
            "Affine1": first(self.params["W1"], self.params["b1"]),
            "Relu1": activation(),
            "Affine2": second(self.params["W2"], self.params["b2"]),
        }
        self.last_layer = last()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        return self.last_layer.forward(self.predict(x), t)

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        return {"W1": first.dW, "b1": first.db, "W2": second.dW, "b2": second.db}


def batch(n=3, d=6, c=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.integers(0, c, n)


def digits(n=3, seed=0):
    """Like MNIST: mostly black, and never two alike."""
    rng = np.random.default_rng(seed)
    return rng.random((n, 784)) * (rng.random((n, 784)) < 0.2), rng.integers(0, 10, n)


def snapshot(*arrays):
    return [np.asarray(a).tobytes() for a in arrays]


# --- what is right passes --------------------------------------------------------------------------------------


def test_the_report_on_the_courses_network_reads_like_this():
    x, t = digits()
    report = check_network(TwoLayerNet(784, 50, 10, rng=0), x, t)
    assert report.ok and report.first_wrong_layer is None
    report.raise_if_bad()
    expected = """\
Gradient check of course_lib.networks.TwoLayerNet on a batch of 3

      shape     checked                    relative error  verdict
  W1  784 × 50  20 of 39200, 2 directions  below 1e-06     ok
  b1  50        all 50                     below 1e-06     ok
  W2  50 × 10   20 of 500, 2 directions    below 1e-06     ok
  b2  10        all 10                     below 1e-06     ok

Each layer by itself:

              class                              verdict
  Affine1     course_lib.layers.Affine           ok
  Relu1       course_lib.layers.Relu             ok
  Affine2     course_lib.layers.Affine           ok
  last_layer  course_lib.layers.SoftmaxWithLoss  ok

All gradients agree."""
    assert str(report) == repr(report) == expected


def test_the_report_on_a_layer_reads_like_this():
    report = check_layer(Affine(np.ones((4, 3)), np.ones(3)), batch(2, 4)[0].reshape(2, 2, 2))
    expected = """\
Gradient check of course_lib.layers.Affine by itself

     shape      checked  relative error  verdict
  x  2 × 2 × 2  all 8    below 1e-06     ok
  W  4 × 3      all 12   below 1e-06     ok
  b  3          all 3    below 1e-06     ok

All gradients agree."""
    assert str(report) == expected


def test_what_passes_is_told_without_digits_that_vary():
    """Other data, another seed: not a letter of the report changes."""
    net = TwoLayerNet(20, 8, 5, rng=0)
    texts = {str(check_network(net, *batch(3, 20, 5, seed), seed=seed)) for seed in range(10)}
    assert len(texts) == 1


@pytest.mark.parametrize("std", [0.01, "he"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_the_courses_network_passes_at_the_start_and_after_training(std, dtype):
    x, t = digits(10)
    net = TwoLayerNet(784, 50, 10, std, rng=0, dtype=dtype)
    for _ in range(3):
        check_network(net, x, t).raise_if_bad()
        check_network(net, x[:3], one_hot(t[:3], 10)).raise_if_bad()
        for _ in range(20):
            for name, gradient in net.gradient(x, t).items():
                net.params[name] -= 0.5 * gradient


def test_a_float32_network_is_told_by_its_own_tolerance():
    report = check_network(TwoLayerNet(784, 50, 10, rng=0, dtype=np.float32), *digits())
    assert report.ok and "below 1e-02" in str(report) and "below 1e-06" not in str(report)


def test_full_visits_every_coordinate_of_every_layer():
    net = TwoLayerNet(20, 8, 5, rng=0)
    report = check_network(net, *batch(3, 20, 5), full=True)
    assert report.ok
    assert [row.checked for row in report.layers["Affine1"].rows] == ["", "all 160", "all 8"]
    assert report.rows[0].checked == "20 of 160, 2 directions"  # once is enough
    alone = SimpleNamespace(params=net.params, loss=net.loss, gradient=net.gradient)
    assert check_network(alone, *batch(3, 20, 5), full=True).rows[0].checked == "all 160"


def test_black_images_are_at_a_kink_and_told_so():
    x, t = digits()
    x[1] = 0
    for dtype in np.float32, np.float64:
        report = check_network(TwoLayerNet(784, 50, 10, rng=0, dtype=dtype), x, t)  # biases 0: relu's inputs are 0
        report.raise_if_bad()
        assert {row.name: row.verdict for row in report.rows} == {"W1": "ok", "b1": "kink", "W2": "ok", "b2": "ok"}
        assert report.layers["Relu1"].verdict == "ok, kink in x"
        assert "All gradients agree, except at kinks" in str(report)
        assert "b1 at [0]; Relu1.x " in str(report)


def test_a_kink_excuses_only_what_lies_between_its_two_slopes():
    class AtZero(Relu):
        """max(0, x) with another slope at 0, where 0 and 1 and all between are as good as each other."""

        slope = 0.0

        def backward(self, dout):
            return np.where(self.at_zero, self.slope * dout, super().backward(dout))

        def forward(self, x):
            self.at_zero = x == 0
            return super().forward(x)

    for x in np.zeros((2, 3)), np.array([[0.0, 1.0, -1.0], [-2.0, 0.0, 2.0]]):
        for slope, verdict in ((0, "kink"), (0.5, "ok"), (0.7, "kink"), (1, "kink"), (1.1, "WRONG"), (-0.1, "WRONG")):
            layer = AtZero()
            layer.slope = slope
            assert check_layer(layer, x).rows[0].verdict == verdict  # 0.5 is what nudging finds, by symmetry


def test_numbers_are_nudged_like_arrays():
    for inputs in ((100, 2), (100.0, 2.0), (np.float64(100), 2)):
        report = check_layer(MulLayer(), *inputs)
        assert report.ok
        assert [(row.name, row.cells()[1], row.checked) for row in report.rows] == [
            ("x", "number", "all 1"),
            ("y", "number", "all 1"),
        ]


def test_a_label_stays_a_whole_number():
    assert [row.name for row in check_layer(SoftmaxWithLoss(), batch()[0][0], 2).rows] == ["x"]
    check_layer(SoftmaxWithLoss(), batch()[0][0], 2).raise_if_bad()


def test_an_empty_batch_passes():
    report = check_layer(Affine(np.ones((4, 3)), np.ones(3)), np.zeros((0, 4)))
    assert report.ok and report.rows[0].checked == "empty"
    check_layer(SoftmaxWithLoss(), np.zeros((0, 4)), np.zeros(0, int)).raise_if_bad()


def test_a_network_without_layers_is_checked_as_a_whole():
    net = Net()
    bare = SimpleNamespace(params=net.params, loss=net.loss, gradient=net.gradient)
    report = check_network(bare, *batch())
    assert report.ok and not report.layers
    assert "Each layer" not in str(report)
    listed = SimpleNamespace(**vars(bare), layers=list(net.layers.values()))  # nameless: not to be walked through
    assert check_network(listed, *batch()).ok
    headless = SimpleNamespace(**vars(bare), layers=net.layers)
    report = check_network(headless, *batch(), full=True)
    assert report.ok and list(report.layers) == list(net.layers) and report.rows[0].checked == "all 30"


def test_a_layer_without_param_names_is_known_by_its_attributes():
    class Scale:
        def __init__(self, g):
            self.g = g

        def forward(self, x):
            self.x = x
            return x * self.g

        def backward(self, dout):
            self.dg = (dout * self.x).sum(axis=0)
            return dout * self.g

    report = check_layer(Scale(np.array([2.0, 3.0])), batch(3, 2)[0])
    assert report.ok and [row.name for row in report.rows] == ["x", "g"]

    class Wrong(Scale):
        def backward(self, dout):
            dx = super().backward(dout)
            self.dg = self.dg + 1
            return dx

    assert [row.ok for row in check_layer(Wrong(np.array([2.0, 3.0])), batch(3, 2)[0]).rows] == [True, False]


def test_a_layer_whose_forward_names_nothing():
    class Add:
        def forward(self, *arrays):
            return sum(arrays)

        def backward(self, dout):
            return dout * 1, dout * 1, dout * 1

    report = check_layer(Add(), *(batch(seed=s)[0] for s in range(3)))
    assert report.ok and [row.name for row in report.rows] == ["input 1", "input 2", "input 3"]


class WithDecay(Net):
    """The loss is more than what the layers give, and gradient says so."""

    def loss(self, x, t):
        return super().loss(x, t) + 0.05 * sum((self.params[name] ** 2).sum() for name in ("W1", "W2"))

    def gradient(self, x, t):
        gradients = super().gradient(x, t)
        return {n: g + (0.1 * self.params[n] if n[0] == "W" else 0) for n, g in gradients.items()}


class WithShortcut(Net):
    """y = affine2(h + relu(h)): the layers in their order are not the network."""

    def predict(self, x):
        h = self.layers["Affine1"].forward(x)
        return self.layers["Affine2"].forward(h + self.layers["Relu1"].forward(h))

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.layers["Affine2"].backward(self.last_layer.backward(1))
        self.layers["Affine1"].backward(dout + self.layers["Relu1"].backward(dout))
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        return {"W1": first.dW, "b1": first.db, "W2": second.dW, "b2": second.db}


class Tied(Net):
    """Two layers with one W and one b: its gradient is the sum of what they leave."""

    def __init__(self):
        super().__init__((6, 6, 6))
        self.params = {"W1": self.params["W1"], "b1": self.params["b1"]}
        self.layers["Affine2"] = Affine(self.params["W1"], self.params["b1"])

    def gradient(self, x, t):
        g = super().gradient(x, t)
        return {"W1": g["W1"] + g["W2"], "b1": g["b1"] + g["b2"]}


@pytest.mark.parametrize("make", [WithDecay, WithShortcut, Tied])
@pytest.mark.parametrize("full", [False, True])
def test_a_network_that_is_more_than_a_chain_passes(make, full):
    net = make()
    check_network(net, *batch(c=4), full=full).raise_if_bad()

    def wrong(x, t):
        return {n: g * (1 + 1e-3 * (np.arange(g.size).reshape(g.shape) == 1)) for n, g in right(x, t).items()}

    right, net.gradient = net.gradient, wrong
    report = check_network(net, *batch(c=4), full=full)
    assert not report.ok and report.first_wrong_layer is None
    assert "W1: at [0, 1]" in str(report)


def test_a_check_leaves_everything_as_it_was():
    x, t = batch(3, 20, 5)
    net = TwoLayerNet(20, 8, 5, rng=0)
    net.params["b1"] = np.full(8, -0.0)
    before = snapshot(*net.params.values(), x, t)
    for full in False, True:
        check_network(net, x, t, full=full)
        assert snapshot(*net.params.values(), x, t) == before
    layer = Affine(np.full((3, 2), -0.0), np.full(2, -0.0))
    x = np.full((2, 3), -0.0)
    before = snapshot(layer.W, layer.b, x)
    check_layer(layer, x)
    assert snapshot(layer.W, layer.b, x) == before


def test_a_layer_that_writes_into_its_input_does_not_harm_the_callers():
    class WritesIntoX(Affine):
        def forward(self, x):
            x *= 0.5
            return super().forward(x)

    x, t = batch()
    before = snapshot(x)
    assert not check_layer(WritesIntoX(np.ones((6, 5)), np.ones(5)), x).ok
    assert not check_network(Net(first=WritesIntoX), x, t).ok
    assert snapshot(x) == before


# --- what is wrong is found, layer by layer --------------------------------------------------------------------


class AddsInTheProductRule(MulLayer):
    def backward(self, dout):
        return dout + self.y, dout + self.x


class SwapsTheProductRule(MulLayer):
    def backward(self, dout):
        return dout * self.x, dout * self.y


class SumsTheTwo(AddLayer):
    def backward(self, dout):
        return dout * 2


class ReturnsDout(AddLayer):
    def backward(self, dout):
        return dout, dout * 1


class ReturnsOneArrayTwice(AddLayer):
    def backward(self, dout):
        dx = dout * 1
        return dx, dx


class ReturnsItsInput(Relu):
    def forward(self, x):
        super().forward(x)
        return x


class AllOnes(Relu):
    def backward(self, dout):
        return dout * 1


class MaskOfTheOutput(Relu):
    def forward(self, x):
        out = super().forward(x)
        self.mask = ~(out >= 0)
        return out


class WritesIntoDout(Relu):
    def backward(self, dout):
        dout[self.mask] = 0
        return dout.copy()


class WritesIntoX(Relu):
    def forward(self, x):
        out = super().forward(x)
        x[self.mask] = 0
        return out


class ForgetsToReturn(Relu):
    def backward(self, dout):
        super().backward(dout)


class ForgetsForwardsReturn(Relu):
    def forward(self, x):
        super().forward(x)


class NotWrittenYet(Relu):
    def forward(self, x):
        return ...


class Crashes(Relu):
    def backward(self, dout):
        return dout @ np.ones((99, 99))


class Overflows(Sigmoid):
    def forward(self, x):
        return super().forward(x) + np.inf


class WrongShape(Relu):
    def backward(self, dout):
        return super().backward(dout).T


class ReturnsWords(Relu):
    def backward(self, dout):
        return np.full(dout.shape, "dx")


class IsNanSomewhere(Relu):
    def backward(self, dout):
        dx = super().backward(dout)
        dx[1, 2] = np.nan
        return dx


class KeepsWhatItHandsOut(Sigmoid):
    def forward(self, x):
        super().forward(x)
        return self.y


class ForgetsTheInnerDerivative(Sigmoid):
    def backward(self, dout):
        return dout * self.y


class IgnoresDout(Sigmoid):
    def backward(self, dout):
        return self.y * (1 - self.y)


class Transposed(Affine):
    def backward(self, dout):
        dx = super().backward(dout)
        self.dW = self.dW.T
        return dx


class OfTheWrongFactor(Affine):
    def backward(self, dout):
        return dout @ self.W.T if super().backward(dout) is None else dout @ self.W[::-1].T


class BiasNotSummed(Affine):
    def backward(self, dout):
        dx = super().backward(dout)
        self.db = dout
        return dx


class BiasAveraged(Affine):
    def backward(self, dout):
        dx = super().backward(dout)
        self.db = dout.mean(axis=0)
        return dx


class Twice(Affine):
    def backward(self, dout):
        dx = super().backward(dout)
        self.dW = 2 * self.dW
        return dx


class AddsUp(Affine):
    def backward(self, dout):
        before = 0 if self.dW is None else self.dW
        dx = super().backward(dout)
        self.dW = self.dW + before
        return dx


class LeavesNoBias(Affine):
    def backward(self, dout):
        dx = super().backward(dout)
        self.db = None
        return dx


class ZeroBias(Affine):
    def backward(self, dout):
        dx = super().backward(dout)
        self.db = np.zeros_like(self.db)
        return dx


class WrongSignOnce(Affine):
    def backward(self, dout):
        dx = super().backward(dout)
        self.dW[1, 2] *= -1
        return dx


class ForgetsTheBias(Affine):
    def forward(self, x):
        return super().forward(x) - self.b


class HalfAPerMilleOff(Affine):
    def backward(self, dout):
        dx = super().backward(dout)
        self.dW[1, 2] *= 1.0005
        return dx


class LossIgnoresDout(SoftmaxWithLoss):
    def backward(self, dout=1):
        return super().backward(1)


class SumsTheGradient(SoftmaxWithLoss):
    def backward(self, dout=1):
        return super().backward(dout) * len(self.y)


class SumsTheLoss(SoftmaxWithLoss):
    def forward(self, x, t):
        return super().forward(x, t) * len(self.y)


class NormalisesTheBatch(SoftmaxWithLoss):
    def forward(self, x, t):
        super().forward(x, t)
        exps = np.exp(x - x.max())
        self.y = exps / exps.sum()
        return -np.mean(np.log(self.y[np.arange(len(t)), t]))


class NudgesTheLog(SoftmaxWithLoss):
    def forward(self, x, t):
        super().forward(x, t)
        return -np.mean(np.log(softmax(x)[np.arange(len(t)), t] + 1e-4))


class ForgetsTheLabels(SoftmaxWithLoss):
    def backward(self, dout=1):
        return self.y * dout / len(self.y)


W, b = np.random.default_rng(1).standard_normal((4, 3)), np.random.default_rng(2).standard_normal(3)
one, other = batch(2, 4, seed=3)[0], batch(2, 4, seed=4)[0]
mark = np.array([3, 1])

# What is planted in a layer, and a phrase that the report must contain.
PLANTED = [
    (AddsInTheProductRule(), (100.0, 2.0), "x: backward says 2.126, nudging says 0.2515"),
    (AddsInTheProductRule(), (one, other), "x: at [0, 0] backward says"),
    (SwapsTheProductRule(), (one, other), "x: at [0, 0] backward says"),
    (SumsTheTwo(), (one, other), "backward: it returned 1 gradient(s) for 2 float input(s)"),
    (ReturnsDout(), (one, other), "backward: dx shares memory with dout; return fresh arrays"),
    (ReturnsOneArrayTwice(), (one, other), "backward: dy shares memory with dx"),
    (ReturnsItsInput(), (one,), "forward: what it returns shares memory with x"),
    (AllOnes(), (one,), "x: at ["),
    (MaskOfTheOutput(), (one,), "x: at ["),
    (WritesIntoDout(), (one,), "backward: it writes into dout: at ["),
    (WritesIntoX(), (one,), "forward: it writes into x: at ["),
    (ForgetsToReturn(), (one,), "backward: it returned None; has the return been forgotten?"),
    (ForgetsForwardsReturn(), (one,), "forward: it returned None; has the return been forgotten?"),
    (NotWrittenYet(), (one,), "forward: it returned an object of type ellipsis where numbers are expected"),
    (Crashes(), (one,), "backward: it raised ValueError: matmul"),
    (Overflows(), (one,), "forward: it returned numbers that are not finite"),
    (WrongShape(), (one,), "x: its gradient has shape (4, 2) where x has (2, 4)"),
    (ReturnsWords(), (one,), "x: its gradient is an array of <U2"),
    (IsNanSomewhere(), (one,), "x: its gradient at [1, 2] is nan"),
    (KeepsWhatItHandsOut(), (one,), "forward: dx changes when the array that forward returned is overwritten"),
    (ForgetsTheInnerDerivative(), (one,), "x: at [0, 0] backward says"),
    (IgnoresDout(), (one,), "x: at [0, 0] backward says"),
    (Transposed(W, b), (one,), "W: its gradient has shape (3, 4) where W has (4, 3)"),
    (Transposed(W[:3], b), (one[:, :3],), "W: at [0, 1] backward says"),
    (OfTheWrongFactor(W, b), (one,), "x: at [0, 0] backward says"),
    (BiasNotSummed(W, b), (one,), "b: its gradient has shape (2, 3) where b has (3,)"),
    (BiasAveraged(W, b), (one,), "everywhere it says 0.5 times as much"),
    (Twice(W, b), (one,), "everywhere it says 2 times as much"),
    (AddsUp(W, b), (one,), "backward: a second pass gives another dW; assign gradients"),
    (LeavesNoBias(W, b), (one,), "backward: it left no db"),
    (ZeroBias(W, b), (one,), "(backward says 0 everywhere)"),
    (ForgetsTheBias(W, b), (one,), "b: at [0] backward says"),
    (ForgetsTheBias(W, b), (one,), "nudging says 0 (nudging it changes nothing"),
    (WrongSignOnce(W, b), (one,), "W: at [1, 2] backward says"),
    (HalfAPerMilleOff(W, b), (one,), "W: at [1, 2] backward says"),
    (SimpleNamespace(**{"W": 1}, forward=lambda x: x * 1, backward=lambda dout: 2 * dout), (one,), "2 times as much"),
    (LossIgnoresDout(), (one, mark), "x: at [0, 0] backward says"),
    (SumsTheGradient(), (one, mark), "everywhere it says 2 times as much"),
    (SumsTheLoss(), (one, mark), "everywhere it says 0.5 times as much"),
    (NormalisesTheBatch(), (one, mark), "x: at [0, 0] backward says"),
    (NudgesTheLog(), (one, mark), "x: at [0, 0] backward says"),
    (ForgetsTheLabels(), (one, mark), "x: at [0, 3] backward says"),
    (Relu(), (one.astype(int),), "backward: it returned 1 gradient(s) for 0 float input(s)"),
]


@pytest.mark.parametrize(
    "layer, inputs, phrase", PLANTED, ids=[f"{type(p[0]).__name__}-{i}" for i, p in enumerate(PLANTED)]
)
def test_a_planted_fault_in_a_layer_is_found(layer, inputs, phrase):
    report = check_layer(layer, *inputs)
    assert not report.ok
    assert phrase in str(report)
    assert str(report).splitlines()[-1].startswith("Wrong. ")
    with pytest.raises(AssertionError, match=re.escape(phrase)) as caught:
        report.raise_if_bad()
    assert str(report) in str(caught.value)


def test_integer_parameters_are_told():
    class Whole(Affine):
        def __init__(self):
            self.W, self.b = np.ones((4, 3), int), np.ones(3, int)

        def forward(self, x):
            self.x, self.out_shape = x, (len(x), 3)
            return x @ self.W + self.b

        def backward(self, dout):
            self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
            return dout @ self.W.T

    assert "W: it is an array of int64; what is to be nudged must be an array of floats" in str(
        check_layer(Whole(), one)
    )
    net = Net()
    net.params["b2"] = np.zeros(4, int)
    assert "b2: it is an array of int64" in str(check_network(net, *batch()))


def test_a_check_of_nothing_does_not_pass():
    class Lookup:
        def forward(self, i):
            return np.eye(4)[i]

        def backward(self, dout):
            return ()

    report = check_layer(Lookup(), np.array([1, 2]))
    assert not report.ok and "nothing to compare" in str(report)


# --- what is wrong is found, in a network ----------------------------------------------------------------------

# Faults in one place of the network: the report names that layer first, whatever comes after it.
PLACES = [
    ("Affine1", {"first": Twice}),
    ("Affine1", {"first": AddsUp}),
    ("Affine1", {"first": BiasAveraged}),
    ("Affine1", {"first": WrongSignOnce}),
    ("Affine1", {"first": Twice, "activation": AllOnes, "last": SumsTheLoss}),
    ("Relu1", {"activation": AllOnes}),
    ("Relu1", {"activation": MaskOfTheOutput}),
    ("Relu1", {"activation": WritesIntoDout}),
    ("Relu1", {"activation": WritesIntoX}),
    ("Relu1", {"activation": ForgetsToReturn}),
    ("Relu1", {"activation": ForgetsForwardsReturn}),
    ("Relu1", {"activation": NotWrittenYet}),
    ("Relu1", {"activation": KeepsWhatItHandsOut}),
    ("Relu1", {"activation": IgnoresDout, "second": ZeroBias}),
    ("Affine2", {"second": Transposed}),
    ("Affine2", {"second": BiasNotSummed}),
    ("Affine2", {"second": OfTheWrongFactor}),
    ("Affine2", {"second": HalfAPerMilleOff}),
    ("last_layer", {"last": LossIgnoresDout}),
    ("last_layer", {"last": SumsTheGradient}),
    ("last_layer", {"last": SumsTheLoss}),
    ("last_layer", {"last": NormalisesTheBatch}),
    ("last_layer", {"last": NudgesTheLog}),
]


@pytest.mark.parametrize(
    "place, planted", PLACES, ids=[f"{p}-{'-'.join(f.__name__ for f in d.values())}" for p, d in PLACES]
)
def test_the_first_wrong_layer_is_named(place, planted):
    report = check_network(Net(**planted), *batch())
    assert not report.ok
    assert report.first_wrong_layer == place
    assert f"First wrong layer: {place}. " in str(report)
    culprit = next(iter(planted.values()))
    assert re.search(rf"{place} .*{culprit.__name__} +WRONG: ", str(report))


class WrongOrder(Net):
    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.layers["Affine2"].backward(self.last_layer.backward(1))
        self.layers["Affine1"].backward(dout)  # the Relu left out
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        return {"W1": first.dW, "b1": first.db, "W2": second.dW, "b2": second.db}


class ForwardOrder(Net):
    """backward through the layers in the order of forward; square, so that the shapes fit."""

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in self.layers.values():
            dout = layer.backward(dout)
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        return {"W1": first.dW, "b1": first.db, "W2": second.dW, "b2": second.db}


class Averages(Net):
    def gradient(self, x, t):
        return {n: g / len(x) for n, g in super().gradient(x, t).items()}


class Swaps(Net):
    def gradient(self, x, t):
        g = super().gradient(x, t)
        return {**g, "b1": g["b2"], "b2": g["b1"]}


class MissesAKey(Net):
    def gradient(self, x, t):
        g = super().gradient(x, t)
        del g["W2"]
        return g


class GivesATuple(Net):
    def gradient(self, x, t):
        return tuple(super().gradient(x, t).values())


class GivesNone(Net):
    def gradient(self, x, t):
        super().gradient(x, t)


class GivesTheWrongShape(Net):
    def gradient(self, x, t):
        g = super().gradient(x, t)
        return {**g, "b1": g["b1"][None]}


class GivesNan(Net):
    def gradient(self, x, t):
        g = super().gradient(x, t)
        g["W1"][2, 3] = np.nan
        return g


class Raises(Net):
    def gradient(self, x, t):
        raise IndexError("no such layer")


class ScalesX(Net):
    def gradient(self, x, t):
        g = super().gradient(x, t)
        x *= 0.5
        return g


class Detached(Net):
    """params["W1"] = ... has put a new array into the dictionary; the layer goes on using the old one."""

    def __init__(self):
        super().__init__()
        self.params["W1"] = self.params["W1"] - 0.1


class OffByHalfAPerMille(Net):
    def gradient(self, x, t):
        g = super().gradient(x, t)
        g["W1"][3, 2] *= 1.0005
        return g


JOINED = [
    (WrongOrder, "the gradient returned is|backward says"),
    (lambda: ForwardOrder((4, 4, 4)), "the gradient returned is|backward says"),
    (Averages, "everywhere it says 0.3333 times as much"),
    (lambda: Swaps((6, 5, 5)), "b1: at [0] the gradient returned is|b1: at [0] backward says"),
    (Swaps, "b1: its gradient has shape (4,) where b1 has (5,)"),
    (MissesAKey, "gradient: it has no entry W2; it has W1, b1, b2"),
    (GivesATuple, "gradient: it returned an object of type tuple; expected a dictionary of arrays"),
    (GivesNone, "gradient: it returned None"),
    (GivesTheWrongShape, "b1: its gradient has shape (1, 5) where b1 has (5,)"),
    (GivesNan, "W1: its gradient at [2, 3] is nan"),
    (Raises, "gradient: it raised IndexError: no such layer"),
    (ScalesX, "gradient: it writes into x: at [0, 0]"),
    (Detached, "nudging says 0 (nudging it changes nothing: is this the array that forward uses?)"),
    (OffByHalfAPerMille, "W1: at [3, 2] the gradient returned is|W1: at [3, 2] backward says"),
]


@pytest.mark.parametrize("make, phrase", JOINED, ids=[str(i) for i in range(len(JOINED))])
@pytest.mark.parametrize("bare", [False, True], ids=["layers", "bare"])
def test_a_fault_in_how_a_network_joins_its_layers_is_found(make, phrase, bare):
    net = make()
    x, t = batch(3, len(net.params["W1"]), len(net.params["b2"]))
    if bare:
        net = SimpleNamespace(params=net.params, loss=net.loss, gradient=net.gradient)
    report = check_network(net, x, t)
    assert not report.ok and report.first_wrong_layer is None
    assert any(p in str(report) for p in phrase.split("|"))
    assert ("Each layer is right by itself, so the fault lies in how the network joins them" in str(report)) != bare
    with pytest.raises(AssertionError, match="Gradient check of"):
        report.raise_if_bad()


def test_the_nan_loss_of_a_network_is_told():
    net = Net()
    net.params["b2"][0] = np.nan
    report = check_network(net, *batch())
    assert not report.ok and report.first_wrong_layer == "Affine2"


# --- how fine a fault it finds ---------------------------------------------------------------------------------


class OneElementOff(TwoLayerNet):
    """Right but for one element of one gradient, by a factor."""

    def plant(self, name, where, factor=1.0005):
        self.planted = name, where, factor
        return self

    def gradient(self, x, t):
        gradients = super().gradient(x, t)
        name, where, factor = self.planted
        gradients[name][where] *= factor
        return gradients


def median_element(gradient):
    """Where the median of the non-zero elements, by magnitude, stands."""
    places = np.argwhere(gradient)
    order = np.argsort(np.abs(gradient[gradient != 0]))
    return tuple(map(int, places[order[len(order) // 2]]))


@pytest.mark.parametrize("std", [0.01, "he"])
@pytest.mark.parametrize("seed", range(5))
def test_half_a_per_mille_in_one_element_of_39200_is_found_by_a_direction(std, seed):
    x, t = digits(3, seed)
    net = OneElementOff(784, 50, 10, std, rng=seed)
    where = median_element(TwoLayerNet(784, 50, 10, std, rng=seed).gradient(x, t)["W1"])
    net.plant("W1", where)
    bare = SimpleNamespace(params=net.params, loss=net.loss, gradient=net.gradient)
    report = check_network(bare, x, t, seed=seed)
    assert not report.ok and "W1: along a random direction backward says" in str(report)
    assert "full=True finds the coordinate" in str(report)
    report = check_network(net, x, t, seed=seed)  # with layers to hold it against, it is named at once
    assert f"W1: at {list(where)} the gradient returned is" in str(report)


@pytest.mark.parametrize("seed", range(2))
def test_full_names_half_a_per_mille_in_any_single_element(seed):
    x, t = batch(3, 12, 5, seed)
    net = OneElementOff(12, 10, 5, "he", rng=seed)
    bare = SimpleNamespace(params=net.params, loss=net.loss, gradient=net.gradient)
    right = TwoLayerNet(12, 10, 5, "he", rng=seed).gradient(x, t)
    for name, gradient in right.items():
        clear = np.argwhere(np.abs(gradient) > 1e-3 * np.abs(gradient).max())
        smallest = min(clear.tolist(), key=lambda where: abs(gradient[tuple(where)]))
        for where in tuple(smallest), tuple(clear[seed].tolist()):
            for factor in 1.0005, 0.9995:
                net.plant(name, where, factor)
                report = check_network(bare, x, t, full=True)
                assert f"{name}: at {list(where)} backward says" in str(report)
            assert f"{name}: at {list(where)} " in str(check_network(net, x, t, full=True))
    net.plant("W1", (0, 0), 1.0)
    assert check_network(bare, x, t, full=True).ok


@pytest.mark.parametrize("seed", range(5))
def test_a_fifth_of_a_per_mille_is_still_found(seed):
    x, t = digits(3, seed)
    net = OneElementOff(784, 50, 10, rng=seed)
    net.plant("W1", median_element(TwoLayerNet(784, 50, 10, rng=seed).gradient(x, t)["W1"]), 1.0002)
    bare = SimpleNamespace(params=net.params, loss=net.loss, gradient=net.gradient)
    assert "W1: along a random direction" in str(check_network(bare, x, t))


def test_where_a_layer_is_wrong_the_network_is_not_visited_whole():
    net = TwoLayerNet(20, 8, 5, rng=0)
    net.layers["Relu1"] = AllOnes()
    report = check_network(net, *batch(3, 20, 5), full=True)
    assert report.first_wrong_layer == "Relu1" and report.rows[0].checked == "20 of 160, 2 directions"


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_small_and_large_gradients_are_measured_alike(scale):
    """The same fault in the same network, whose loss is counted in other units."""
    net = OneElementOff(12, 10, 5, "he", rng=0)
    x, t = batch(3, 12, 5)
    scaled = SimpleNamespace(
        params=net.params,
        loss=lambda x, t: scale * net.loss(x, t),
        gradient=lambda x, t: {n: scale * g for n, g in net.gradient(x, t).items()},
    )
    where = median_element(TwoLayerNet(12, 10, 5, "he", rng=0).gradient(x, t)["W1"])
    net.plant("W1", where, 1.0)
    assert check_network(scaled, x, t, full=True).ok
    net.plant("W1", where, 1.0005)
    assert f"W1: at {list(where)} backward says" in str(check_network(scaled, x, t, full=True))


@pytest.mark.parametrize("planted", [{"second": Twice}, {"activation": AllOnes}, {"last": SumsTheLoss}])
def test_float32_finds_what_is_far_off(planted):
    net = Net(**planted)
    for name, p in net.params.items():
        net.params[name] = p.astype(np.float32)
        setattr(net.layers[f"Affine{name[1]}"], name[0], net.params[name])
    report = check_network(net, *batch())
    assert not report.ok and report.first_wrong_layer


def test_the_tolerance_may_be_chosen():
    assert not check_layer(HalfAPerMilleOff(W, b), one).ok
    assert check_layer(HalfAPerMilleOff(W, b), one, tol=1e-3).ok
    assert "below 1e-03" in str(check_layer(HalfAPerMilleOff(W, b), one, tol=1e-3))


# --- reports ---------------------------------------------------------------------------------------------------


def test_reports_are_the_same_in_every_run():
    for make in (lambda: Net(first=Twice), Averages, Net):
        assert str(check_network(make(), *batch())) == str(check_network(make(), *batch()))


def test_a_report_on_a_fault_reads_like_this():
    report = str(check_network(Net(activation=AllOnes), *batch()))
    head, table, walk = report.split("\n\n")[:3]
    assert head == f"Gradient check of {__name__}.Net on a batch of 3"
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["W1", "b1", "W2", "b2"]
    assert [line.split()[-1] for line in table.splitlines()[1:]] == ["WRONG", "WRONG", "ok", "ok"]
    assert walk == "Each layer by itself:"
    assert report.splitlines()[-1].startswith("First wrong layer: Relu1. x: at [")
    assert all(line == line.rstrip() for line in report.splitlines())


# --- no false alarms -------------------------------------------------------------------------------------------


def test_no_false_alarm_in_a_hundred_networks():
    alarms = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        d, m, c, n = (int(v) for v in rng.integers([2, 2, 2, 1], [40, 30, 11, 7]))
        dtype = np.float32 if seed % 5 == 4 else np.float64
        net = TwoLayerNet(d, m, c, (0.01, "he", 1.0)[seed % 3], rng=seed, dtype=dtype)
        if seed % 2:
            net.params["b1"] = rng.standard_normal(m)
            net.params["b2"] = rng.standard_normal(c)
        x, t = rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.7), rng.integers(0, c, n)
        for _ in range((0, 5, 50)[seed // 3 % 3]):
            for name, gradient in net.gradient(x, t).items():
                net.params[name] -= 0.1 * gradient
        report = check_network(net, x, t, seed=seed)
        if not report.ok:
            alarms.append(f"{seed}: {report}")
    assert not alarms, alarms[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_no_false_alarm_in_many_layers(dtype):
    alarms = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        n, d, m = (int(v) for v in rng.integers(1, 8, 3))
        scale = 10.0 ** rng.uniform(-2, 1)

        def a(*shape, rng=rng, scale=scale):
            return (scale * rng.standard_normal(shape)).astype(dtype)

        layer, *inputs = [
            (AddLayer(), a(n, d), a(n, d)),
            (MulLayer(), a(n, d), a(n, d)),
            (Relu(), a(n, d)),
            (Sigmoid(), a(n, d)),
            (Tanh(), a(n, d)),
            (Affine(a(d, m), a(m)), a(n, d)),
            (SoftmaxWithLoss(), a(n, d), rng.integers(0, d, n)),
            (MeanSquaredError(), a(n, d), a(n, d)),
        ][seed % 8]
        report = check_layer(layer, *inputs, seed=seed)
        if not report.ok:
            alarms.append(f"{seed}: {report}")
    assert not alarms, alarms[0]


def test_a_flag_raised_over_right_numbers_is_no_alarm():
    """As by OpenBLAS on AVX-512, whose product of a float32 matrix (n, 5) with a vector at times raises "invalid"."""

    class RaisesTheFlag(Affine):
        def forward(self, x):
            np.subtract(np.inf, np.inf)
            return super().forward(x)

        def backward(self, dout):
            np.subtract(np.inf, np.inf)
            return super().backward(dout)

    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((3, 4)), np.array([2, 0, 1])
    with pytest.raises(RuntimeWarning):
        RaisesTheFlag(np.ones((4, 5)), np.ones(5)).forward(x)
    check_layer(RaisesTheFlag(rng.standard_normal((4, 5)), rng.standard_normal(5)), x).raise_if_bad()
    net = TwoLayerNet(4, 5, 3, "he", rng=0)
    net.layers["Affine1"] = RaisesTheFlag(net.params["W1"], net.params["b1"])
    check_network(net, x, t).raise_if_bad()


def test_inputs_near_a_kink_raise_no_alarm():
    for distance in 10.0 ** -np.arange(1, 17):
        x = np.array([[distance, -distance, 1.0], [-1.0, distance, distance / 3]])
        for dtype in np.float32, np.float64:
            check_layer(Relu(), x.astype(dtype)).raise_if_bad()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_kink_beside_a_kink_raises_no_alarm(sign):
    class TwoKinks:
        def __init__(self, distance):
            self.distance = distance

        def forward(self, x):
            self.x = x
            return np.maximum(x, 0) + 3 * np.maximum(x + self.distance, 0)

        def backward(self, dout):
            return dout * ((self.x > 0) + 3 * (self.x + self.distance > 0))

    for distance in sign * 10.0 ** -np.arange(1, 17, 0.1):
        check_layer(TwoKinks(distance), np.array([0.0, 1.0, -1.0])).raise_if_bad()


def test_a_loss_that_is_nearly_0_raises_no_alarm():
    for gap in range(0, 60, 3):
        check_layer(SoftmaxWithLoss(), np.array([[0.0, gap], [0.5 * gap, 0.0]]), np.array([1, 0])).raise_if_bad()
