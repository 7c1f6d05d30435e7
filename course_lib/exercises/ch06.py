"""The exercises of chapter 6: the small inventions that make training faster and its result better."""

from itertools import pairwise

import numpy as np

from course_lib.exercises import exercise, mistake
from course_lib.exercises.compare import NotYet, call, expect_equal, expect_function


class Momentum:
    def __init__(self, lr, momentum):
        self.lr, self.momentum = lr, momentum
        self.velocity = {}

    def update(self, params, grads):
        for name in params:
            v = self.velocity.get(name, 0)
            self.velocity[name] = self.momentum * v - self.lr * grads[name]
            params[name] += self.velocity[name]


class ForgetsTheVelocity(Momentum):
    def update(self, params, grads):
        self.velocity = {}
        super().update(params, grads)


class ClimbsUphill(Momentum):
    def update(self, params, grads):
        super().update(params, {name: -g for name, g in grads.items()})


class ForgetsTheRate(Momentum):
    def __init__(self, lr, momentum):
        super().__init__(1, momentum)


class OneVelocityForAll(Momentum):
    def __init__(self, lr, momentum):
        super().__init__(lr, momentum)
        self.v = 0

    def update(self, params, grads):
        for name in params:
            self.v = self.momentum * self.v - self.lr * grads[name]
            params[name] += self.v


class MakesNewArrays(Momentum):
    def update(self, params, grads):
        for name in params:
            v = self.velocity.get(name, 0)
            self.velocity[name] = self.momentum * v - self.lr * grads[name]
            params[name] = params[name] + self.velocity[name]


@exercise(
    "A velocity for each parameter",
    solution=Momentum,
    hints=(
        "The optimizer must remember something between two calls of `update`. Where does an object keep such things, "
        "and what is the velocity before the first step?",
        "Keep a dictionary `self.velocity`, empty at first. In `update`, `self.velocity.get(name, 0)` is the old "
        "velocity of a parameter, or 0 where there is none yet.",
        "For each name: `self.velocity[name] = self.momentum * old - self.lr * grads[name]`, and then "
        "`params[name] += self.velocity[name]`, in place.",
    ),
    mistakes=(
        mistake(ForgetsTheVelocity, because="the velocity is forgotten between two steps, so this is plain SGD"),
        mistake(ClimbsUphill, because="the step goes uphill: the gradient must be subtracted from the velocity"),
        mistake(ForgetsTheRate, because="the gradient is not multiplied by the learning rate"),
        mistake(
            OneVelocityForAll,
            because="all parameters share one velocity; each needs its own, kept under its name",
        ),
        mistake(MakesNewArrays, says="a new array"),
    ),
)
def momentum(answer):
    if not isinstance(answer, type):
        raise NotYet("`Momentum` should be a class: keep the line `class Momentum:` and fill in its methods.")
    mine, reference = answer(0.1, 0.9), Momentum(0.1, 0.9)
    arrays = {"W1": np.array([[1.0, -2.0], [0.5, 3.0]]), "W2": np.array([[0.3, -0.7], [2.0, 1.5]])}
    params, expected = dict(arrays), {name: array.copy() for name, array in arrays.items()}
    for step in (1, 2, 3):
        grads = {"W1": np.array([[0.4, -1.0], [2.0, 0.6]]) / step, "W2": np.array([[1.5, -0.5], [0.2, 0.8]]) * step}
        mine.update(params, {name: g.copy() for name, g in grads.items()})
        reference.update(expected, grads)
        for name, array in arrays.items():
            expect_equal(params.get(name), expected[name], f"{name} after step {step}")
            if params[name] is not array:
                raise NotYet(
                    f'`params["{name}"]` is a new array now, but the layers still hold the old one and would never '
                    "see your step. Change the array in place, with `+=` or `-=`.",
                    "a new array",
                )
    return "Steps that agree add up to ten times their length here (1 / (1 − 0.9)); steps that disagree cancel."


def with_decay(params, grads, decay):
    result = {}
    for name in grads:
        result[name] = grads[name]
        if name.startswith("W"):
            result[name] = grads[name] + decay * params[name]
    return result


def _decay_changes_grads(params, grads, decay):
    for name in grads:
        if name.startswith("W"):
            grads[name] += decay * params[name]
    return grads


@exercise(
    "Weight decay",
    solution=with_decay,
    hints=(
        "The loss gets a second term, decay/2 · (sum of W²) for each weight matrix. What is its gradient with respect "
        "to one weight?",
        "The derivative of decay/2 · w² is decay · w. It is added to the gradient of each weight matrix; biases are "
        "left as they are. The names of the weights begin with `W`.",
        'Build a new dictionary: `grads[name] + decay * params[name]` where `name.startswith("W")`, and '
        "`grads[name]` elsewhere.",
    ),
    mistakes=(
        mistake(
            lambda params, grads, decay: {n: g + decay * params[n] for n, g in grads.items()},
            because="the biases decay as well; only the weights should",
        ),
        mistake(
            lambda params, grads, decay: {n: g - decay * params[n] * n.startswith("W") for n, g in grads.items()},
            because="the term is subtracted, which drives the weights away from 0 rather than towards it",
        ),
        mistake(
            lambda params, grads, decay: {n: g + 2 * decay * params[n] * n.startswith("W") for n, g in grads.items()},
            because="you derived decay · w²; with the half in front, the 2 cancels",
        ),
        mistake(
            lambda params, grads, decay: {
                n: g + decay / 2 * params[n] ** 2 * n.startswith("W") for n, g in grads.items()
            },
            because="you added the term itself; what belongs to a gradient is its derivative",
        ),
        mistake(_decay_changes_grads, says="changed its argument `grads`"),
    ),
)
def weight_decay(answer):
    params = {"W1": np.array([[1.0, -2.0, 4.0]]), "b1": np.array([3.0, 5.0, -1.0])}
    grads = {"W1": np.array([[0.2, 0.1, -0.3]]), "b1": np.array([0.5, -0.4, 0.6])}
    more = {"W2": np.array([[-6.0], [2.5]]), "b2": np.array([8.0]), **params}
    expect_function(
        answer, with_decay, (params, grads, 0.1), (more, {name: np.ones_like(p) for name, p in more.items()}, 0.01)
    )
    return "Large weights must now earn their size, step by step."


def he_weights(rows, columns, rng):
    return np.sqrt(2 / rows) * rng.standard_normal((rows, columns))


@exercise(
    "He initialisation",
    solution=he_weights,
    hints=(
        "Each output is a sum of `rows` products. By what factor does the variance of a sum of independent terms grow "
        "with their number, and what does ReLU do to about half of its inputs?",
        "The variance of a weight should be 2 / rows: rows terms add up, and ReLU throws half of the signal's power "
        "away. The standard deviation is the square root of the variance.",
        "`rng.standard_normal((rows, columns))` has the standard deviation 1; multiply it by `np.sqrt(2 / rows)`.",
    ),
    mistakes=(
        mistake(
            lambda rows, columns, rng: np.sqrt(2 / columns) * rng.standard_normal((rows, columns)),
            because="you divided by the number of columns (what goes out); the sum runs over the rows (what comes in)",
        ),
        mistake(
            lambda rows, columns, rng: 2 / rows * rng.standard_normal((rows, columns)),
            because="the square root is missing: 2 / rows is the variance",
        ),
        mistake(
            lambda rows, columns, rng: np.sqrt(1 / rows) * rng.standard_normal((rows, columns)),
            because="this is the rule for tanh (Glorot's); ReLU halves the signal's power, which the 2 makes good",
        ),
        mistake(
            lambda rows, columns, rng: 0.01 * rng.standard_normal((rows, columns)),
            because="this is the fixed 0.01 of the chapter, whatever the number of rows",
        ),
        mistake(
            lambda rows, columns, rng: np.sqrt(2 / rows) * rng.standard_normal((columns, rows)),
            says="shape (100, 400)",
        ),
    ),
)
def he_initialisation(answer):
    for rows, columns in ((400, 100), (100, 400)):
        W = call(answer, rows, columns, np.random.default_rng(5))
        if np.shape(W) != (rows, columns):
            raise NotYet(
                f"`he_weights({rows}, {columns}, rng)` should have the shape {(rows, columns)}, "
                f"but it has the shape {np.shape(W)}.",
                "shape",
            )
        if not np.isclose(np.mean(W), 0, atol=0.02 * np.sqrt(2 / rows)):
            raise NotYet(f"The mean of your weights is {np.mean(W):.4f}; it should be close to 0.", "mean")
        what = f"standard deviation of he_weights({rows}, {columns}, rng)"
        expect_equal(float(np.std(W)), float(np.sqrt(2 / rows)), what, rtol=0.02)
    rng, x = np.random.default_rng(6), np.random.default_rng(7).standard_normal((100, 300))
    for _ in range(10):
        x = np.maximum(x @ call(answer, 300, 300, rng), 0)
        rng = np.random.default_rng(rng.integers(1 << 32))
    size = float(np.sqrt(np.mean(np.square(x))))
    if not 0.5 < size < 2:
        raise NotYet(f"After ten layers with ReLU the signal has the size {size:.3g}; it should be close to 1.", "size")
    return f"After ten layers with ReLU a signal of size 1 still has the size {size:.2f}."


def schedule(progress):
    return 0.01**progress


@exercise(
    "Let the learning rate fall",
    solution=schedule,
    hints=(
        "What must `schedule(0)` be, what `schedule(1)`, and what is halfway between them if equal stretches "
        "multiply by equal factors?",
        "Equal factors make a power: something to the power of `progress`. Anything to the power of 0 is 1; what must "
        "the base be for the value at 1?",
        "The base is the last value itself: `0.01 ** progress`.",
    ),
    mistakes=(
        mistake(
            lambda progress: 1 - 0.99 * progress,
            because="this falls by equal differences, on a straight line; equal factors make a power",
        ),
        mistake(lambda progress: 0.01 * progress, because="this grows with progress, from 0"),
        mistake(lambda progress: 0.01 ** (1 - progress), because="this runs backwards: it ends with 1"),
        mistake(lambda progress: np.exp(-progress), because="this falls to 1/e only, which is 0.37"),
        mistake(lambda progress: 0.5 * 0.01**progress, because="the training would begin at half its learning rate"),
    ),
)
def learning_rate_decay(answer):
    expect_function(answer, schedule, (0.0,), (0.5,), (1.0,), (0.1,), (0.75,))
    return "Long steps to arrive quickly, short ones to settle: pass it to `fit(..., schedule=schedule)`."


def arithmetic():
    # 4000 / 64 = 62.5: sixty-two full batches, and one with what is left
    steps = 63
    last = 4000 - 62 * 64
    # four times as many images halve the noise of their mean: it falls with the square root
    factor = (100 / 25) ** 0.5
    return steps, last, factor


@exercise(
    "What a batch size means",
    solution=arithmetic,
    hints=(
        "How many full batches of 64 are in 4,000? Are any images left over, and do they get a step of their own?",
        "The last batch holds what remains after 62 full ones. For the noise: how does the standard deviation of a "
        "mean depend on the number of things averaged?",
        "There are 62 full batches and one of 4,000 − 62 · 64 images. The noise of a mean falls with the square root "
        "of the number, and the number grows fourfold.",
    ),
    mistakes=(
        mistake(62, 32, 2, because="the images that do not fill a batch were left out; they get a step, too"),
        mistake(62.5, 32, 2, because="there is no half step: what remains makes a smaller batch"),
        mistake(63, 64, 2, because="you took the last batch for a full one"),
        mistake(63, 32, 4, because="the noise of a mean falls with the square root of the number, not with the number"),
        mistake(63, 32, 0.5, because="you gave what the noise is multiplied by; asked is what it is divided by"),
    ),
)
def batch_size(steps, last, factor):
    expect_equal(steps, 63, "steps", reveal=False)
    expect_equal(last, 32, "last", reveal=False)
    expect_equal(factor, 2.0, "factor", reveal=False)
    return "Half the noise for four times the work: that is why batches are seldom large."


def should_stop(accuracies, patience):
    best = accuracies.index(max(accuracies))
    return len(accuracies) - 1 - best >= patience


def _stops_at_the_first_fall(accuracies, patience):
    return len(accuracies) > 1 and accuracies[-1] < accuracies[-2]


def _compares_with_the_epoch_before(accuracies, patience):
    tail = accuracies[-patience - 1 :]
    return len(tail) > patience and all(b <= a for a, b in pairwise(tail))


def _takes_the_last_best(accuracies, patience):
    best = len(accuracies) - 1 - accuracies[::-1].index(max(accuracies))
    return len(accuracies) - 1 - best >= patience


@exercise(
    "Early stopping",
    solution=should_stop,
    hints=(
        "Which epoch was the best so far? How many epochs have passed since?",
        "`max(accuracies)` is the best accuracy and `accuracies.index(...)` is the first epoch that reached it; the "
        "last epoch has the number `len(accuracies) - 1`.",
        "`best = accuracies.index(max(accuracies))`, and then compare `len(accuracies) - 1 - best` with `patience`: "
        "stop when it is at least as large.",
    ),
    mistakes=(
        mistake(
            _stops_at_the_first_fall,
            because="you stop at the first fall; accuracies jump up and down, and patience means to wait",
        ),
        mistake(
            _compares_with_the_epoch_before,
            because="you compare each epoch with the one before; what counts is the best so far",
        ),
        mistake(
            lambda accuracies, patience: len(accuracies) - accuracies.index(max(accuracies)) >= patience,
            because="you stop one epoch too early: the best epoch itself is not counted",
        ),
        mistake(
            lambda accuracies, patience: len(accuracies) - 1 - accuracies.index(max(accuracies)) > patience,
            because="you stop one epoch too late: `patience` epochs without a new best are enough",
        ),
        mistake(
            _takes_the_last_best,
            because="you count an equal accuracy as a new best; only a higher one is",
        ),
    ),
)
def early_stopping(answer):
    cases = (  # each of the first five catches one of the mistakes above
        ([0.5, 0.8, 0.7], 3),
        ([0.9, 0.5, 0.6, 0.7, 0.65, 0.6], 3),
        ([0.5, 0.8, 0.7, 0.75], 3),
        ([0.5, 0.8, 0.7, 0.75, 0.78], 3),
        ([0.3, 0.8, 0.8, 0.8], 2),
        ([0.9], 1),
        ([0.5, 0.6, 0.7, 0.8], 1),
    )
    for accuracies, patience in cases:
        expected = should_stop(accuracies, patience)
        expect_equal(call(answer, accuracies, patience), expected, f"should_stop({accuracies}, {patience})")
    return "Keep a copy of the best parameters as well, and go back to it when you stop."
