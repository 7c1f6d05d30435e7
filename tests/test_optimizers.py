"""Each optimizer against numbers worked out by hand, and against its formula written in another way."""

import numpy as np
import pytest

from course_lib.networks import TwoLayerNet
from course_lib.optimizers import SGD, Adam, Momentum

# Three gradients of one parameter that begins at 1.
GRADIENTS = (0.5, -1.0, 2.0)

# SGD, lr 0.1:                   1 - 0.05 = 0.95;  0.95 + 0.1 = 1.05;  1.05 - 0.2 = 0.85.
# Momentum, lr 0.1 and 0.9:      v = -0.05, then -0.045 + 0.1 = 0.055, then 0.0495 - 0.2 = -0.1505.
# Adam, lr 0.1, b1 0.9, b2 0.99: the first step is lr * sign(g), whatever the size of g. Then
#   m = 0.05, -0.055, 0.1505 over 1 - 0.9^k = 0.1, 0.19, 0.271:             0.5, -0.28947368, 0.55535055
#   s = 0.0025, 0.012475, 0.05235025 over 1 - 0.99^k = 0.01, 0.0199, 0.029701: 0.25, 0.62688442, 1.76257533
#   lr * m / sqrt(s) = 0.1, -0.03656077, 0.04183053
BY_HAND = {
    "SGD": (SGD(0.1), (0.95, 1.05, 0.85)),
    "Momentum": (Momentum(0.1, momentum=0.9), (0.95, 1.005, 0.8545)),
    "Adam": (Adam(0.1, beta1=0.9, beta2=0.99), (0.9, 0.93656077, 0.89473024)),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_three_steps_by_hand(name):
    optimizer, wanted = BY_HAND[name]
    W = np.array([1.0])
    for gradient, value in zip(GRADIENTS, wanted, strict=True):
        optimizer.update({"W": W}, {"W": np.array([gradient])})
        assert W[0] == pytest.approx(value, abs=1e-8)


def sgd(p, gradients, lr=0.03):
    return p - lr * sum(gradients)


def momentum(p, gradients, lr=0.03, momentum=0.8):
    """The velocity written out as a sum: step k moves by -lr times the sum of momentum^(k - i) g_i."""
    for k in range(len(gradients)):
        p = p - lr * sum(momentum ** (k - i) * gradients[i] for i in range(k + 1))
    return p


def adam(p, gradients, lr=0.03, beta1=0.8, beta2=0.95, eps=1e-3):
    """Both running means as weighted means over all gradients so far, weights beta^(k - i)."""
    for k in range(len(gradients)):
        weights = [np.array([beta ** (k - i) for i in range(k + 1)]) for beta in (beta1, beta2)]
        past = np.array(gradients[: k + 1])
        m = np.tensordot(weights[0], past, 1) / weights[0].sum()
        s = np.tensordot(weights[1], past**2, 1) / weights[1].sum()
        p = p - lr * m / (np.sqrt(s) + eps)
    return p


FORMULAS = {
    "SGD": (lambda: SGD(0.03), sgd),
    "Momentum": (lambda: Momentum(0.03, 0.8), momentum),
    "Adam": (lambda: Adam(0.03, 0.8, 0.95, 1e-3), adam),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_ten_steps_by_formula_with_a_state_for_each_name(name):
    make, formula = FORMULAS[name]
    rng = np.random.default_rng(0)
    shapes = {"W1": (3, 2), "W2": (3, 2), "b": (2,)}
    first = {key: rng.normal(size=shape) for key, shape in shapes.items()}
    gradients = [{key: rng.normal(size=shape) for key, shape in shapes.items()} for _ in range(10)]
    params = {key: p.copy() for key, p in first.items()}
    optimizer = make()
    for gradient in gradients:
        optimizer.update(params, gradient)
    for key in params:
        np.testing.assert_allclose(params[key], formula(first[key], [g[key] for g in gradients]), rtol=1e-12)


def test_the_defaults_are_those_of_the_field():
    assert vars(SGD()) == {"lr": 0.01}
    assert (Momentum().lr, Momentum().momentum) == (0.01, 0.9)
    adam = Adam()
    assert (adam.lr, adam.beta1, adam.beta2, adam.eps) == (0.001, 0.9, 0.999, 1e-8)


@pytest.mark.parametrize("optimizer", [SGD, Momentum, Adam])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_updates_are_in_place_keep_the_dtype_and_leave_the_gradients_alone(optimizer, dtype):
    net = TwoLayerNet(4, 3, 2, 0.5, rng=0, dtype=dtype)
    x, t = np.random.default_rng(0).normal(size=(6, 4)).astype(dtype), np.array([0, 1, 0, 1, 1, 0])
    arrays, before = dict(net.params), net.loss(x, t)
    optimizer = optimizer(lr=0.05)
    for _ in range(5):
        gradient = net.gradient(x, t)
        for g in gradient.values():
            g.flags.writeable = False
        optimizer.update(net.params, gradient)
    assert all(net.params[name] is arrays[name] and arrays[name].dtype == dtype for name in arrays)
    assert net.loss(x, t) < before
    state = [p for held in vars(optimizer).values() if isinstance(held, dict) for p in held.values()]
    assert {p.dtype for p in state} <= {np.dtype(dtype)}
    assert not any(np.shares_memory(p, other) for p in state for other in (*arrays.values(), *gradient.values()))


@pytest.mark.parametrize("optimizer", [SGD, Momentum, Adam])
def test_a_learning_rate_from_numpy_does_not_widen_float32(optimizer):
    """np.logspace gives np.float64, which would turn every float32 product of numpy 2 into float64."""
    results = []
    for lr in (0.1, np.float64(0.1)):
        params = {"W": np.linspace(-1, 1, 50, dtype=np.float32)}
        rule = optimizer(lr=lr)
        for k in range(4):
            rule.update(params, {"W": np.cos(np.arange(50, dtype=np.float32) + k)})
        results.append(params["W"])
    assert (results[0] == results[1]).all()
    assert type(rule.lr) is float


@pytest.mark.parametrize("optimizer", [Momentum, Adam])
def test_two_optimizers_share_no_memory_of_the_past(optimizer):
    one, other = optimizer(), optimizer()
    one.update({"W": np.ones(2)}, {"W": np.ones(2)})
    assert all(held == {} for held in vars(other).values() if isinstance(held, dict))


@pytest.mark.parametrize("optimizer", [SGD, Momentum, Adam])
def test_a_gradient_that_is_missing_is_named(optimizer):
    with pytest.raises(KeyError, match="b"):
        optimizer().update({"b": np.ones(2)}, {"W": np.ones(2)})
