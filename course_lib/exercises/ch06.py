"""The exercises of chapter 6: the small inventions that make training faster and its result better."""

from itertools import pairwise
from typing import ClassVar

import numpy as np

from course_lib.exercises import exercise, mistake, wording
from course_lib.exercises.compare import NotYet, argument_names, call, expect_equal, expect_function, judged_by, remark


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


class NeverFades(Momentum):
    def __init__(self, lr, momentum):
        super().__init__(lr, 1)


class FadesTheGradient(Momentum):
    def update(self, params, grads):
        super().update(params, {name: self.momentum * g for name, g in grads.items()})


class TakesAnAverage(Momentum):
    def update(self, params, grads):
        super().update(params, {name: (1 - self.momentum) * g for name, g in grads.items()})


class StepsTwice(Momentum):
    def update(self, params, grads):
        super().update(params, grads)
        for name in params:
            params[name] -= self.lr * grads[name]


class StepsByTheOldVelocity(Momentum):
    def update(self, params, grads):
        for name in params:
            v = self.velocity.get(name, 0)
            params[name] += v
            self.velocity[name] = self.momentum * v - self.lr * grads[name]


class ScalesTheStepAgain(Momentum):
    def update(self, params, grads):
        for name in params:
            v = self.velocity.get(name, 0)
            self.velocity[name] = self.momentum * v - self.lr * grads[name]
            params[name] += self.lr * self.velocity[name]


class KeepsThePosition(Momentum):
    def update(self, params, grads):
        for name in params:
            v = self.velocity.get(name, 0)
            self.velocity[name] = params[name] + self.momentum * v - self.lr * grads[name]
            params[name][...] = self.velocity[name]


class ReturnsTheResult(Momentum):
    def update(self, params, grads):
        moved = {name: p.copy() for name, p in params.items()}
        super().update(moved, grads)
        return moved


class WritesIntoGrads(Momentum):
    def update(self, params, grads):
        for name in params:
            grads[name] *= self.lr
            self.velocity[name] = self.momentum * self.velocity.get(name, 0) - grads[name]
            params[name] += self.velocity[name]


class KeepsTheRateElsewhere(Momentum):
    def __init__(self, lr, momentum):
        super().__init__(lr, momentum)
        self.rate = self.__dict__.pop("lr")

    def update(self, params, grads):
        for name in params:
            self.velocity[name] = self.momentum * self.velocity.get(name, 0) - self.rate * grads[name]
            params[name] += self.velocity[name]


class SharesItsMemory(Momentum):
    velocity: ClassVar[dict] = {}

    def __init__(self, lr, momentum):
        self.lr, self.momentum = lr, momentum


class SharesItsDefault(Momentum):
    def __init__(self, lr, momentum, velocity={}):  # noqa: B006
        self.lr, self.momentum, self.velocity = lr, momentum, velocity


class IgnoresItsRate(Momentum):
    def __init__(self, lr, momentum):
        super().__init__(0.1, momentum)


class BeginsAtOne(Momentum):
    def update(self, params, grads):
        for name in params:
            self.velocity[name] = self.momentum * self.velocity.get(name, 1) - self.lr * grads[name]
            params[name] += self.velocity[name]


class KeepsTheFirstRate(KeepsTheRateElsewhere):
    def __init__(self, lr, momentum):
        super().__init__(lr, momentum)
        self.lr = lr


class RatesTheWholeVelocity(Momentum):
    def update(self, params, grads):
        for name in params:
            self.velocity[name] = self.momentum * self.velocity.get(name, 0) + grads[name]
            params[name] -= self.lr * self.velocity[name]


class HasNoSelf(Momentum):
    def update(params, grads):
        return params


class TakesTheRateAlone(Momentum):
    def __init__(self, lr):
        super().__init__(lr, 0.9)


class NamesOneNetwork(Momentum):
    def update(self, params, grads):
        super().update({name: params[name] for name in ("W1", "b1", "W2", "b2")}, grads)


class MovesWeightsOnly(Momentum):
    def update(self, params, grads):
        super().update({name: p for name, p in params.items() if name.startswith("W")}, grads)


@exercise(
    "Momentum",
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
        mistake(
            ForgetsTheVelocity,
            because="these are the steps of plain SGD: the velocity is forgotten between two steps, the gradient "
            "never enters it, or the parameter does not move by it",
        ),
        mistake(
            ClimbsUphill,
            because="the step goes uphill; the gradient should be subtracted from the velocity, and the velocity added",
        ),
        mistake(ForgetsTheRate, because="the gradient is not multiplied by the learning rate"),
        mistake(
            OneVelocityForAll,
            because="all parameters share one velocity; each needs its own, kept under its name",
        ),
        mistake(
            NeverFades,
            because="the old velocity is not multiplied by `momentum`, so it never fades and the steps grow and grow",
        ),
        mistake(
            FadesTheGradient,
            because="`momentum` multiplies the gradient as well; only the old velocity fades",
        ),
        mistake(
            TakesAnAverage,
            because="you multiplied the gradient by 1 − momentum, as for a running mean; here it counts in full",
        ),
        mistake(
            StepsTwice,
            because="the gradient is subtracted twice, once in the velocity and once more from the parameter",
        ),
        mistake(
            StepsByTheOldVelocity,
            because="you step by the old velocity; it gets its new value first, and then the parameter moves by it",
        ),
        mistake(
            ScalesTheStepAgain,
            because="the learning rate counts twice; it is in the velocity already",
        ),
        mistake(
            KeepsThePosition,
            because="you kept the new parameter in place of the velocity; the velocity is the step alone",
        ),
        mistake(
            ReturnsTheResult,
            because="nothing in `params` has moved: the velocity was added to copies, or to nothing at all; `update` "
            "must change the arrays in `params`",
        ),
        mistake(MakesNewArrays, says="a new array"),
        mistake(WritesIntoGrads, says="changed the gradients"),
        mistake(KeepsTheRateElsewhere, says="Keep it in `self.lr`"),
        mistake(SharesItsMemory, says="shared by all optimizers"),
        mistake(SharesItsDefault, says="shared by all optimizers"),
        mistake(IgnoresItsRate, says="Take the rate from the argument"),
        mistake(BeginsAtOne, says="your velocities do not begin at 0"),
        mistake(RatesTheWholeVelocity, says="multiply the new gradient alone by `self.lr`"),
        mistake(KeepsTheFirstRate, says="`fit` changes `self.lr` to no effect"),
        mistake(
            NamesOneNetwork,
            because="you wrote the names of certain parameters into the class; go through those in `params`",
        ),
        mistake(MovesWeightsOnly, because="only what begins with W has moved; the biases learn too"),
        mistake(HasNoSelf, says="A method's first parameter is `self`"),
        mistake(TakesTheRateAlone, says="`TakesTheRateAlone` is called with 2 arguments here"),
        mistake(type("Empty", (), {"lr": 0.1, "__init__": Momentum.__init__}), says="no method `update`"),
        mistake(lambda params, grads: params, says="should be a class"),
    ),
)
def momentum(answer):
    if not isinstance(answer, type):
        raise NotYet("`Momentum` should be a class: keep the line `class Momentum:` and fill in its methods.")
    argument_names(answer, (0.1, 0.8))  # refuses a constructor that does not take them
    if not callable(getattr(answer, "update", None)):
        raise NotYet("Your class has no method `update`.")
    mine, reference = answer(0.1, 0.8), Momentum(0.1, 0.8)
    argument_names(mine.update, ({}, {}))
    _expect_rest(answer)
    arrays = {
        "W1": np.array([[1.0, -2.0], [0.5, 3.0]]),
        "b1": np.array([[0.3, -0.7], [2.0, 1.5]]),
        "W3": np.array([[-0.4, 1.1], [0.9, -1.6]]),
    }
    params, expected = dict(arrays), {name: array.copy() for name, array in arrays.items()}
    found, cases = [], []
    for step in (1, 2, 3):
        grads = {
            "W1": np.array([[0.4, -1.0], [2.0, 0.6]]) / step,
            "b1": np.array([[1.5, -0.5], [0.2, 0.8]]) * step,
            "W3": np.array([[0.7, 0.3], [-1.2, 0.5]]) * (step - 1.5),
        }
        given = {name: g.copy() for name, g in grads.items()}
        before = {name: p.copy() for name, p in expected.items()}
        mine.update(params, given)
        reference.update(expected, grads)
        for name, array in arrays.items():
            if params.get(name) is not array:
                raise NotYet(
                    f'`params["{name}"]` is a new array now, but the layers still hold the old one and would never '
                    "see your step. Change the array in place, with `+=` or `-=`."
                )
            if not np.array_equal(given[name], grads[name]):
                raise NotYet(f'`update` changed the gradients, `grads["{name}"]`. Compute a new array instead.')
            where = f"This is step {step}, with lr = 0.1 and momentum = 0.8. Before it:\n\n"
            for kind, values in (("params", before), ("grads", grads)):
                where += f'    {kind}["{name}"] = {wording.show(values[name])}\n'
            found.append(array.copy())
            cases.append((found[-1], expected[name].copy(), f'params["{name}"]', where.rstrip()))
    for mine_now, right, what, where in cases:
        with judged_by(found), remark(where):
            expect_equal(mine_now, right, what)
    if getattr(mine, "lr", None) != 0.1:
        raise NotYet("The steps are right, but `fit` does not find the learning rate. Keep it in `self.lr`.")
    _expect_rest(answer)
    slowing, W = answer(1.0, 0.8), np.zeros((2, 2))
    if getattr(slowing, "lr", None) != 1.0:
        raise NotYet("With lr = 1.0, `self.lr` is not 1.0. Take the rate from the argument `lr`.")
    for slowing.lr in (1.0, 0.1):  # as `fit` does with a schedule
        slowing.update({"W1": W}, {"W1": np.ones((2, 2))})
    if np.allclose(W, -2.8):
        raise NotYet("The steps are right, but `fit` changes `self.lr` to no effect. Read it anew in each `update`.")
    if not np.allclose(W, -1.9):
        raise NotYet(
            "The steps are right as long as the learning rate stays the same. When `fit` changes it, what the velocity "
            "holds of earlier steps should stay as it is: multiply the new gradient alone by `self.lr`."
        )
    return "With a momentum of 0.9, steps that agree add up to ten times their length; steps that disagree cancel."


def _expect_rest(answer):
    """A new optimizer has no velocity yet: where the gradient is 0, nothing moves."""
    params = {name: np.zeros((2, 2)) for name in ("W1", "b1")}
    answer(0.1, 0.8).update(params, {name: np.zeros((2, 2)) for name in params})
    if any(np.any(p) for p in params.values()):
        raise NotYet(
            "A new optimizer moves the parameters although every gradient is 0. Either your velocities do not begin at "
            "0, or what you keep is shared by all optimizers: make it in `__init__`, new for each, as "
            "`self.velocity = {}`."
        )


def _written(arrays: dict) -> str:
    """A dictionary of arrays as Python that a reader could type."""
    return "{" + ", ".join(f'"{name}": {wording.show(array)}' for name, array in arrays.items()) + "}"


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


def _decay_changes_params(params, grads, decay):
    for name in params:
        if name.startswith("W"):
            params[name] *= 1 - decay
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
        mistake(
            lambda params, grads, decay: {
                n: g + decay / 2 * np.sum(params[n] ** 2) * n.startswith("W") for n, g in grads.items()
            },
            because="you added the value of the term, one number; what belongs to a gradient is its derivative",
        ),
        mistake(
            lambda params, grads, decay: {n: g + decay / 2 * params[n] * n.startswith("W") for n, g in grads.items()},
            because="you kept the half; the derivative of w² is 2w, and the 2 cancels it",
        ),
        mistake(
            lambda params, grads, decay: {n: g + params[n] * n.startswith("W") for n, g in grads.items()},
            because="you left out `decay`",
        ),
        mistake(
            lambda params, grads, decay: {n: g + decay * g * n.startswith("W") for n, g in grads.items()},
            because="you added a part of the gradient; the new term depends on the weight itself",
        ),
        mistake(
            lambda params, grads, decay: {n: g + decay * abs(params[n]) * n.startswith("W") for n, g in grads.items()},
            because="you lost the sign of the weights, so negative ones are driven away from 0",
        ),
        mistake(
            lambda params, grads, decay: {
                n: g + decay * np.sign(params[n]) * n.startswith("W") for n, g in grads.items()
            },
            because="you derived decay · |w|, which pulls at all weights alike; the square pulls at large ones more",
        ),
        mistake(
            lambda params, grads, decay: {n: decay * params[n] if n.startswith("W") else g for n, g in grads.items()},
            because="you replaced the gradient of the loss; the new term is added to it",
        ),
        mistake(
            lambda params, grads, decay: {n: p * (1 - decay * n.startswith("W")) for n, p in params.items()},
            because="you returned weights, made smaller; what is asked for are gradients",
        ),
        mistake(
            lambda params, grads, decay: {n: g + decay * params[n] * (n == "W1") for n, g in grads.items()},
            because="you decay only weights of certain names; every one that begins with W should, whatever its number",
        ),
        mistake(
            lambda params, grads, decay: grads | {n: grads[n] + decay * params[n] for n in ("W1", "W2")},
            because="you wrote certain names into the function; go through those in `grads`, and decay what begins "
            "with W",
        ),
        mistake(
            lambda params, grads, decay: {n: g + decay * params[n] * n.startswith("b") for n, g in grads.items()},
            because="the biases decay in place of the weights",
        ),
        mistake(
            lambda params, grads, decay: dict(grads),
            because="no gradient has changed: nothing was added, or no name passed your test (`W1` and `W2` begin with "
            "`W`, but are not `W` itself)",
        ),
        mistake(
            lambda params, grads, decay: {n: g + decay * params[n] for n, g in grads.items() if n.startswith("W")},
            says="lacks the key 'b1'",
        ),
        mistake(
            _decay_changes_grads,
            because="you wrote into `grads`: `result = grads` is a second name and no new dictionary, and `+=` writes "
            "into its arrays (also through `dict(grads)` or `grads.copy()`, which copy the dictionary and not its "
            "arrays); begin with `result = {}` and put `grads[name] + ...` into it",
        ),
        mistake(_decay_changes_params, says="changed its argument `params`"),
    ),
)
def weight_decay(answer):
    few = {"W1": np.array([[1.0, -2.0, 4.0]]), "b1": np.array([[3.0, 5.0, -1.0]])}
    slopes = {"W1": np.array([[0.2, 0.1, -0.3]]), "b1": np.array([[0.5, -0.4, 0.6]])}
    more = {"W12": np.array([[-6.0], [2.5]]), "b12": np.array([8.0]), **few}
    expect_function(answer, with_decay)  # a function, at least
    for params, grads, decay in ((few, slopes, 0.1), (more, {name: np.ones_like(p) for name, p in more.items()}, 0.01)):
        with remark(f"    params = {_written(params)}\n    grads = {_written(grads)}"):
            try:
                result = call(answer, params, grads, decay)
            except NotYet as reason:
                reason.message = reason.message.replace(": it was a dictionary and became a dictionary", "")
                raise
            expect_equal(result, with_decay(params, grads, decay), f"with_decay(params, grads, {decay})")
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
            because="this is the rule of chapter 2 for tanh; ReLU halves the signal's power, which the 2 makes good",
        ),
        mistake(
            lambda rows, columns, rng: 0.01 * rng.standard_normal((rows, columns)),
            because="this is the fixed 0.01 of the chapter, whatever the number of rows",
        ),
        mistake(
            lambda rows, columns, rng: rng.standard_normal((rows, columns)),
            because="the weights are as they were drawn, with a standard deviation of 1; they must be made smaller",
        ),
        mistake(
            lambda rows, columns, rng: np.sqrt(2 / (rows + columns)) * rng.standard_normal((rows, columns)),
            because="you averaged over rows and columns, which is Glorot's rule; here only what comes in counts",
        ),
        mistake(
            lambda rows, columns, rng: np.sqrt(2 / (rows * columns)) * rng.standard_normal((rows, columns)),
            because="you divided by the number of all weights; one output sums over the rows only",
        ),
        mistake(
            lambda rows, columns, rng: np.sqrt(2) / rows * rng.standard_normal((rows, columns)),
            because="the root covers the 2 alone; it belongs over the whole fraction",
        ),
        mistake(
            lambda rows, columns, rng: 1 / rows * rng.standard_normal((rows, columns)),
            because="you divided by the number of rows, which suits a mean; a sum of random terms grows with its root",
        ),
        mistake(
            lambda rows, columns, rng: 2 / np.sqrt(rows) * rng.standard_normal((rows, columns)),
            because="the root covers `rows` alone; it belongs over the whole fraction",
        ),
        mistake(
            lambda rows, columns, rng: np.sqrt(rows / 2) * rng.standard_normal((rows, columns)),
            because="the fraction is upside down: the more inputs, the smaller each weight",
        ),
        mistake(
            lambda rows, columns, rng: np.sqrt(2 / rows) * rng.uniform(-1, 1, (rows, columns)),
            because="you drew evenly from −√(2 / rows) to √(2 / rows), whose standard deviation is smaller by √3",
        ),
        mistake(
            lambda rows, columns, rng: rng.standard_normal(rows, columns),
            because="you gave the shape as two arguments; `standard_normal` takes it as one, `(rows, columns)`",
        ),
        mistake(
            lambda rows, columns, rng: np.sqrt(2 / rows) * rng.random((rows, columns)), says="should be close to 0"
        ),
        mistake(
            lambda rows, columns, rng: np.sqrt(2 / rows) * np.random.default_rng().standard_normal((rows, columns)),
            says="The same `rng` gave different weights",
        ),
        mistake(
            lambda rows, columns, rng: np.sqrt(2 / rows) * np.random.default_rng(0).standard_normal((rows, columns)),
            says="Different `rng` gave the same weights",
        ),
        mistake(
            lambda rows, columns, rng: np.sqrt(6 / rows) * rng.uniform(-1, 1, (rows, columns)),
            says="Draw from the normal distribution",
        ),
        mistake(lambda rows, columns, rng: np.sqrt(2 / rows), says="has the shape ()"),
        mistake(
            lambda rows, columns, rng: np.sqrt(2 / rows) * rng.standard_normal((columns, rows)),
            says="shape (90, 400)",
        ),
    ),
)
def he_initialisation(answer):
    expect_function(answer, he_weights)  # a function, at least
    for rows, columns in ((400, 90), (90, 400)):
        W = call(answer, rows, columns, np.random.default_rng(5))
        if np.shape(W) != (rows, columns):
            raise NotYet(
                f"`he_weights({rows}, {columns}, rng)` should have the shape {(rows, columns)}, "
                f"but it has the shape {np.shape(W)}.",
                "shape",
            )
        if not np.isclose(np.mean(W), 0, atol=0.02 * np.std(W)):
            raise NotYet(f"The mean of your weights is {np.mean(W):.4f}; it should be close to 0.", "mean")
        what = f"standard deviation of he_weights({rows}, {columns}, rng)"
        expect_equal(float(np.std(W)), float(np.sqrt(2 / rows)), what, rtol=0.02)
        far = float(np.mean(np.abs(W) > 2 * np.std(W)))
        if not 0.04 < far < 0.05:
            raise NotYet(
                f"The standard deviation is right, but {far:.1%} of your weights lie beyond two of it; of normal "
                "numbers it is 4.6 %. Draw from the normal distribution.",
                "distribution",
            )
    first, again, other = (call(answer, 2, 3, np.random.default_rng(seed)) for seed in (5, 5, 6))
    for gave, is_so in (
        ("The same `rng` gave different", not np.array_equal(first, again)),
        ("Different `rng` gave the same", np.array_equal(first, other)),
    ):
        if is_so:
            raise NotYet(f"{gave} weights. Draw the numbers from the argument: `rng.standard_normal(...)`.")
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
    "A learning rate that falls",
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
        mistake(lambda progress: 1 - progress, because="this falls on a straight line, and to 0"),
        mistake(lambda progress: 0.01 * progress, because="this grows with progress, from 0"),
        mistake(lambda progress: 0.01 ** (1 - progress), because="this runs backwards: it ends with 1"),
        mistake(lambda progress: 0.01, because="this is 0.01 from the beginning; it should only end there"),
        mistake(lambda progress: 100**progress, because="this grows to 100: the exponent has the wrong sign"),
        mistake(
            lambda progress: 0.1**progress,
            because="this ends with 0.1; the value at 1 is the base, for anything to the power of 1 is itself",
        ),
        mistake(lambda progress: np.exp(-progress), because="this falls to 1/e only, which is 0.37"),
        mistake(
            lambda progress: 0.99 ** (100 * progress),
            because="you took off one percent a hundred times, which leaves 0.37 and not 0.01",
        ),
        mistake(
            lambda progress: 0.01 ** (10 * progress),
            because="this falls to a hundredth in each tenth of the training; it should do so once in all of it",
        ),
        mistake(
            lambda progress: 0.01 ** (progress / 100),
            because="you took progress for percent; it runs from 0 to 1",
        ),
        mistake(
            lambda progress: 0.01 ** (np.floor(10 * progress) / 10),
            because="this falls in stairs; between two stairs it should fall as well",
        ),
        mistake(
            lambda progress: 0.01 ** (np.floor(20 * progress) / 20),
            because="this falls in stairs; between two stairs it should fall as well",
        ),
        mistake(
            lambda progress: 1 if progress < 0.5 else 0.01,
            because="this falls once, in the middle, and nowhere else",
        ),
        mistake(
            lambda progress: 1 / (1 + 99 * progress),
            because="here the divisor grows by equal differences; equal factors make a power",
        ),
        mistake(
            lambda progress: 0.01 + 0.99 * (1 + np.cos(np.pi * progress)) / 2,
            because="this follows a cosine, slow at both ends; equal factors make a power",
        ),
        mistake(lambda progress: 0.5 * 0.01**progress, because="the training would begin at half its learning rate"),
        mistake(0.01, says="should be a function, but it is a number"),
    ),
)
def learning_rate_decay(answer):
    expect_function(answer, schedule)  # a function, at least
    points = (0.0, 1.0, 0.5, 0.1, 0.75, 0.37, 0.1234)
    values = [call(answer, point) for point in points]
    for point, value in zip(points, values, strict=True):
        with judged_by(values):
            expect_equal(value, schedule(point), f"schedule({point})")
    return "Long steps to arrive quickly, short ones to settle: pass it to `fit(..., schedule=schedule)`."


def arithmetic():
    # 4000 / 64 = 62.5: sixty-two full batches, and one with what is left
    steps = 63
    last = 4000 - 62 * 64
    # four times as many images halve the noise of their mean: it falls with the square root
    factor = (100 / 25) ** 0.5
    return steps, last, factor


@exercise(
    "Batch size",
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
        mistake(
            62.5, 32, 2, because="you counted half a step; what remains makes a smaller batch, and that is a whole step"
        ),
        mistake(64, 32, 2, because="you gave the size of a batch; asked is how many batches there are"),
        mistake(40, 32, 2, because="you counted batches of 100, as in the chapter; here they have 64 images"),
        mistake(4000, 32, 2, because="you counted images; a step takes a whole batch"),
        mistake(79, 32, 2, because="you divided all 5,000 images, but those for the test are not trained on"),
        mistake(63, 64, 2, because="you took the last batch for a full one"),
        mistake(63, 0.5, 2, because="you gave the share of a batch; asked is a number of images"),
        mistake(63, 62, 2, because="you gave the number of full batches; asked is what remains after them"),
        mistake(63, -32, 2, because="you took 63 full batches away; only 62 are full"),
        mistake(63, 31, 2, because="you divided by the number of steps; take away 62 batches of 64 images"),
        mistake(63, 0, 2, because="you left nothing over, but 4,000 is no multiple of 64"),
        mistake(
            63, 32, 4, because="you took the ratio of the sizes itself; the noise of a mean falls with its square root"
        ),
        mistake(63, 32, 16, because="you squared the ratio of the sizes; the noise falls with its root"),
        mistake(63, 32, 0.5, because="you gave what the noise is multiplied by; asked is what it is divided by"),
        mistake(
            63,
            32,
            0.25,
            because="you gave what the noise is multiplied by, and without the root; asked is what it is divided by",
        ),
        mistake(63, 32, 10, because="you took the root of 100; what counts is how many times as many images there are"),
        mistake(63, 32, 75, because="you gave a difference of sizes; what counts is their ratio"),
        mistake("63", 32, 2, says="should be a number, but it is a string"),
    ),
)
def batch_size(steps, last, factor):
    with remark("How many batches does it take until each of 4,000 images had its turn?"):
        expect_equal(steps, 63, "steps", reveal=False)
    with remark("How many images have not had their turn after all the full batches?"):
        expect_equal(last, 32, "last", reveal=False)
    with remark("How does the standard deviation of a mean depend on how many numbers are averaged?"):
        expect_equal(factor, 2.0, "factor", rtol=1e-2, reveal=False)
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


def _counts_all_falls(accuracies, patience):
    return sum(b <= a for a, b in pairwise(accuracies)) >= patience


def _asks_then_and_now(accuracies, patience):
    return len(accuracies) > patience and accuracies[-1] <= accuracies[-1 - patience]


def _asks_then_and_now_too_early(accuracies, patience):
    return accuracies[-1] <= accuracies[-1 - patience]


def _sorts_the_list(accuracies, patience):
    best = accuracies[-1]
    accuracies.sort()
    return best < accuracies[-1]


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
            lambda accuracies, patience: len(accuracies) - 1 - accuracies.index(max(accuracies)) == patience,
            because="you ask whether the best was reached exactly `patience` epochs ago; earlier will do as well",
        ),
        mistake(
            _takes_the_last_best,
            because="you count an equal accuracy as a new best; only a higher one is",
        ),
        mistake(
            lambda accuracies, patience: accuracies[-1] < max(accuracies),
            because="you stop as soon as the last accuracy is not the best; patience means to wait",
        ),
        mistake(
            _counts_all_falls,
            because="you count every fall since the beginning; only the epochs since the best one count",
        ),
        mistake(
            _asks_then_and_now,
            because="you compare the last accuracy with the one `patience` epochs before, and forget those between",
        ),
        mistake(
            _asks_then_and_now_too_early,
            because="an index leaves the list: a short list has no epoch `patience` epochs back, a list of one has no "
            "epoch before it, and after the last one there is none",
        ),
        mistake(
            lambda accuracies, patience: max(accuracies) in accuracies[: len(accuracies) - patience],
            because="with fewer epochs than `patience` your slice ends at a negative number, which counts from the end",
        ),
        mistake(
            lambda accuracies, patience: len(accuracies) >= patience,
            because="you count epochs from the beginning; count them from the best one",
        ),
        mistake(
            lambda accuracies, patience: len(accuracies) - 1 - accuracies.index(max(accuracies)) >= 3,
            because="you wrote a number of epochs into the function where `patience` belongs",
        ),
        mistake(
            lambda accuracies, patience: len(accuracies) - 1 - accuracies.index(min(accuracies)) >= patience,
            because="you looked for the lowest number, which is right for losses; these are accuracies",
        ),
        mistake(
            lambda accuracies, patience: not should_stop(accuracies, patience),
            because="you returned whether to go on; asked is whether to stop",
        ),
        mistake(
            lambda accuracies, patience: len(accuracies) - 1 - accuracies.index(max(accuracies)),
            says="should be a truth value, but it is a number",
        ),
        mistake(_sorts_the_list, says="changed its argument `accuracies`"),
    ),
)
def early_stopping(answer):
    expect_function(answer, should_stop)  # a function, at least
    cases = (
        ([0.5, 0.8, 0.7], 3),
        ([0.9, 0.5, 0.6, 0.7, 0.65, 0.62], 3),
        ([0.5, 0.8, 0.7, 0.75], 3),
        ([0.5, 0.8, 0.7, 0.75, 0.78], 3),
        ([0.3, 0.8, 0.8, 0.8], 2),
        ([0.9], 1),
        ([0.5, 0.6, 0.7, 0.8], 1),
        ([0.6, 0.5, 0.7, 0.6, 0.8, 0.7], 2),
        ([0.4, 0.8, 0.7, 0.6], 2),
        ([0.8, 0.9, 0.7], 2),
        ([0.8, 0.7], 3),
        ([0.8, 0.7, 0.6, 0.9], 2),
        ([0.9, 0.8, 0.7, 0.6], 2),
    )
    results = [call(answer, *case) for case in cases]
    for (accuracies, patience), result in zip(cases, results, strict=True):
        with judged_by(results):
            expect_equal(result, should_stop(accuracies, patience), f"should_stop({accuracies}, {patience})")
    return "Keep a copy of the best parameters as well, and go back to it when you stop."
