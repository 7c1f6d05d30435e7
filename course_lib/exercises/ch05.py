"""The exercises of chapter 5: parts of a gradient checker, how to read what it says, and the ten patients."""

import inspect
import textwrap

import numpy as np

from course_lib.exercises import clinic, exercise, mistake, wording
from course_lib.exercises.compare import NotYet, call, expect_equal, expect_function, remark
from course_lib.gradient import check_network, relative_error
from course_lib.layers import Affine, Relu, Sigmoid, Tanh

# ---------------------------------------------------------------- choose h


def best_h(size, third, eps):
    return (3 * eps * size / third) ** (1 / 3)


@exercise(
    "Choose h",
    solution=best_h,
    hints=(
        "The sum of the two errors is smallest where its derivative with respect to h is 0. What are the derivatives "
        "of h² and of 1/h?",
        "The derivative of third · h²/6 is third · h/3, and that of eps · size / h is −eps · size / h². Set their sum "
        "to 0 and multiply by h².",
        "What remains is third · h³/3 = eps · size, so h is the third root of 3 · eps · size / third. In Python a "
        "third root is `** (1 / 3)`, with the parentheses.",
    ),
    mistakes=(
        mistake(
            lambda size, third, eps: (3 * eps * size / third) ** (1 / 2),
            because="you took the square root; the derivative of the sum, set to 0 and multiplied by h², has h to the "
            "power of 3",
        ),
        mistake(
            lambda size, third, eps: (2 * eps * size / third) ** (1 / 2),
            because="this is the rule for forward differences, whose truncation error falls with h and not with h²",
        ),
        mistake(
            lambda size, third, eps: (eps * size / third) ** (1 / 3),
            because="the factor 3 is lost: the derivative of third · h²/6 is third · h/3",
        ),
        mistake(
            lambda size, third, eps: (6 * eps * size / third) ** (1 / 3),
            because="you set the two errors equal, or lost the 2 of the derivative of h²; the sum is smallest where "
            "the derivatives of the two, third · h/3 and −eps · size / h², cancel",
        ),
        mistake(
            lambda size, third, eps: (third / (3 * eps * size)) ** (1 / 3),
            because="the fraction is upside down: more round-off wants a larger h",
        ),
        mistake(
            lambda size, third, eps: 3 * eps * size / third,
            because="this is h to the power of 3; the third root is still to be taken",
        ),
        mistake(
            lambda size, third, eps: (3 * eps * size / third) ** 1 / 3,
            because="no root is taken: Python reads `** 1 / 3` as `** 1` and then `/ 3`; write `** (1 / 3)`",
        ),
        mistake(
            lambda size, third, eps: (3 * eps * size * third) ** (1 / 3),
            because="you multiplied by `third`; the more the function bends, the smaller h must be, so divide by it",
        ),
        mistake(
            lambda size, third, eps: (3 * eps * size) ** (1 / 3),
            because="you left `third` out; the more the function bends, the smaller h must be",
        ),
        mistake(
            lambda size, third, eps: (3 * eps / third) ** (1 / 3),
            because="you left `size` out; large values have more round-off, which wants a larger h",
        ),
        mistake(lambda size, third, eps: 1e-4, because="you gave one number, whatever the function"),
    ),
)
def choose_h(answer):
    double, single = (float(np.finfo(dtype).eps) for dtype in (np.float64, np.float32))
    small = {"rtol": 1e-3, "atol": 0}  # a search on a fine grid is an answer, too
    expect_function(answer, best_h, (5.0, 0.7, single), (1e6, 1.0, double), (1.0, 4.0, double), **small)
    return (
        f"For a function of size and third derivative 1 it gives {best_h(1, 1, double):.0e} in float64 and "
        f"{best_h(1, 1, single):.0e} in float32; for one of size a million, {best_h(1e6, 1, double):.0e}."
    )


# ---------------------------------------------------------------- numerical_gradient


def numerical_gradient(f, x, h=1e-4):
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + h
        up = f(x)
        x[i] = old - h
        down = f(x)
        x[i] = old
        gradient[i] = (up - down) / (2 * h)
    return gradient


def _forward_difference(f, x, h=1e-4):
    gradient, here = np.zeros_like(x), f(x)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + h
        gradient[i] = (f(x) - here) / h
        x[i] = old
    return gradient


def _divides_by_h(f, x, h=1e-4):
    return 2 * numerical_gradient(f, x, h)


def _times_h(f, x, h=1e-4):
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + h
        up = f(x)
        x[i] = old - h
        gradient[i] = (up - f(x)) / 2 * h
        x[i] = old
    return gradient


def _down_from_up(f, x, h=1e-4):
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] += h
        up = f(x)
        x[i] -= h
        gradient[i] = (up - f(x)) / (2 * h)
        x[i] = old
    return gradient


def _leaves_it_nudged(f, x, h=1e-4):
    return _up_and_down(f, x, h, back=0)


def _comes_back_by_h(f, x, h=1e-4):
    return _up_and_down(f, x, h, back=h)


def _up_and_down(f, x, h, back):
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        x[i] += h
        up = f(x)
        x[i] -= 2 * h
        gradient[i] = (up - f(x)) / (2 * h)
        x[i] += back
    return gradient


def _all_at_once(f, x, h=1e-4):
    return (f(x + h) - f(x - h)) / (2 * h)


def _row_by_row(keep):
    def numerical_gradient(f, x, h=1e-4):
        gradient = np.zeros_like(x)
        for i in range(len(x)):
            old = keep(x[i])
            x[i] = old + h
            up = f(x)
            x[i] = old - h
            gradient[i] = (up - f(x)) / (2 * h)
            x[i] = old
        return gradient

    return numerical_gradient


def _nudges_a_flat_copy(f, x, h=1e-4):
    return numerical_gradient(lambda _: f(x), x.ravel(), h).reshape(x.shape)


def _nudges_a_copy(f, x, h=1e-4):
    return numerical_gradient(f, x.copy(), h)


def _alone(f, x, h=1e-4):
    return np.array([(f(v + h) - f(v - h)) / (2 * h) for v in x.flat]).reshape(x.shape)


def _returns_too_early(f, x, h=1e-4):
    gradient = np.zeros_like(x)
    gradient.flat[0] = numerical_gradient(f, x, h).flat[0]
    return gradient


def _its_own_h(f, x, h=1e-4):
    return numerical_gradient(f, x, 1e-4)


def _weighted_cubes(x):
    return float(np.sum(np.arange(1, x.size + 1).reshape(x.shape) * x**3))


def _cube_of_sum(x):
    return float(np.sum(x)) ** 3


def _goes_back_at_the_end(f, x, h=1e-4):
    old = x.copy()
    gradient = _leaves_it_nudged(f, x, h)
    x[...] = old
    return gradient


@exercise(
    "Write numerical_gradient",
    solution=numerical_gradient,
    hints=(
        "For one number x[i]: keep it, put it up by h, ask f, put it down by h below the old value, ask f, put it "
        "back. How do you visit every number of an array of any shape?",
        "`for i in np.ndindex(x.shape):` goes through all index tuples, so that `x[i]` is one number. Collect the "
        "slopes in an array `gradient = np.zeros_like(x)`.",
        "In the loop: `old = x[i]`, then `x[i] = old + h`, `up = f(x)`, `x[i] = old - h`, `down = f(x)`, "
        "`x[i] = old`, and `gradient[i] = (up - down) / (2 * h)`. After the loop `return gradient`.",
    ),
    mistakes=(
        mistake(
            _forward_difference,
            because="you took a forward difference; a central one asks f on both sides and divides by 2h",
        ),
        mistake(
            _divides_by_h,
            because="you divided by h, but the two points are 2h apart",
        ),
        mistake(
            _times_h, because="you wrote `/ 2 * h`, which divides by 2 and then multiplies by h; write `/ (2 * h)`"
        ),
        mistake(
            _down_from_up,
            because="your second value of f is that where you began; go down to old − h, 2h below the nudged number",
        ),
        mistake(_leaves_it_nudged, because="you left numbers nudged when you went on to the next"),
        mistake(
            _goes_back_at_the_end,
            because="you put the numbers back only at the end; each must be back before the next is nudged",
        ),
        mistake(_all_at_once, because="you have one slope for all, nudged at once or added up; each needs its own"),
        mistake(
            _row_by_row(np.copy),
            because="you went through `range(len(x))`, which visits rows, not numbers, if x has two axes; "
            "`np.ndindex(x.shape)` visits each number",
        ),
        mistake(
            _row_by_row(np.asarray),
            because="you went through `range(len(x))`, which visits rows, not numbers, if x has two axes (and such a "
            "row is a view, which moves with x); `np.ndindex(x.shape)` visits each number",
        ),
        mistake(
            _nudges_a_copy,
            because="you nudged a copy, which this f does not look at; nudge x itself, and put each number back",
        ),
        mistake(_comes_back_by_h, says="Keep the old number, and put that back"),
        mistake(_nudges_a_flat_copy, because="you nudged a copy, which this f does not look at"),
        mistake(_alone, because="you gave f one number by itself; f wants the whole of x, with that number nudged"),
        mistake(
            _returns_too_early,
            because="only the first number has its slope: the `return` may stand inside the loop",
        ),
        mistake(_its_own_h, because="you used a fixed h instead of the one that was given"),
    ),
)
def numerical_gradient_by_hand(answer):
    if isinstance(answer, type) or not callable(answer):
        expect_function(answer, numerical_gradient)
    x = np.array([[0.5, -1.0, 2.0], [1.5, -0.5, 1.0]])
    for what, given, h in (("numerical_gradient(f, x, 0.1)", x, (0.1,)), ("numerical_gradient(f, x)", x[0], ())):
        with remark(f"Here f is a weighted sum of cubes, and x is\n\n    {given.tolist()}"):
            try:
                found = call(answer, _weighted_cubes, given, *h)
            except NotYet as reason:  # here an argument may be changed, if only for a moment
                reason.message = reason.message.replace("Compute a new value instead.", "Put each number back.")
                raise
            except (IndexError, TypeError, ValueError) as caught:  # as of two loops, where x has one axis
                raise NotYet.because_of(caught) from caught
            expect_equal(found, numerical_gradient(_weighted_cubes, given.copy(), *h), what)
    with remark("Here g is the cube of the sum of x, so each slope depends on where all the other numbers stand."):
        found = call(answer, _cube_of_sum, x, 0.1)
        expect_equal(found, numerical_gradient(_cube_of_sum, x.copy(), 0.1), "numerical_gradient(g, x, 0.1)")
    held = np.stack([x, x], axis=1)[:, :1, ::2]  # three axes, and a view, of which `ravel` would be a copy
    x = held.copy()
    found = answer(lambda _: _weighted_cubes(held), held)
    with remark(
        "Here f ignores its argument and reads the very array that was passed, as a network's loss does. That array is "
        "a slice of a larger one, of which `ravel` and `reshape` make a copy."
    ):
        expect_equal(found, numerical_gradient(_weighted_cubes, x.copy()), "numerical_gradient(loss, W)")
        expect_equal(held, x, "W afterwards", atol=1e-12)
    if not np.array_equal(held, x):
        raise NotYet(
            "The gradient is right, but W came back with other last digits: old + h − h is rounded on the way, and "
            "need not be old. Keep the old number, and put that back."
        )
    return "It works for any shape, leaves x as it was, and costs two calls of f for each number."


# ---------------------------------------------------------------- the kink


def beside_a_kink():
    h = 1e-4
    # max(0, h) = h on the right, 0 on the left
    at_zero = h / (2 * h)
    # the left point, 0.00002 - 0.0001, is beyond the kink: only the right one counts
    beside = (0.00002 + h) / (2 * h)
    # both points are below 0
    beyond = 0.0
    # the left point must stay above 0, so h must be below 0.00002
    small_h = 1e-5
    return at_zero, beside, beyond, small_h


@exercise(
    "The kink",
    solution=beside_a_kink,
    hints=(
        "Write down the two points, x + h and x − h. Which of them lies on the flat side, and what is ReLU there?",
        "The slope is (relu(x + h) − relu(x − h)) / 2h. At x = 0.00002 the left point is negative, so its ReLU is 0.",
        "For x = 0.00002 that is 0.00012 / 0.0002. The last number: both points must lie on the same side as x, so h "
        "must be smaller than 0.00002; take the largest of 1e-4, 1e-5, 1e-6, … that is.",
    ),
    mistakes=(
        mistake(0, 0.6, 0, 1e-5, because="you gave the policy of our layer at 0; asked is what nudging finds"),
        mistake(1, 0.6, 0, 1e-5, because="that is the slope on the right side; it is (relu(h) − relu(−h)) / 2h"),
        mistake(
            0.5, 1, 0, 1e-5, because="you gave the derivative at 0.00002; but x − h is on the other side of the kink"
        ),
        mistake(0.5, 0.5, 0, 1e-5, because="you took x for 0; the right point is 0.00012 and not 0.0001"),
        mistake(0.5, 1.2, 0, 1e-5, because="you divided by h, but the two points are 2h apart"),
        mistake(0.5, 0.6, 0.5, 1e-5, because="you took x = -0.0003 to be near the kink; but x + h is below 0 as well"),
        mistake(0.5, 0.6, 0, 2e-5, because="you gave the bound itself; asked is a power of ten"),
        mistake(0.5, 0.6, 0, 1e-4, because="you kept h; then x − h is still on the other side"),
        mistake(0.5, 0.6, 0, 1e-6, because="you went further than needed; a larger power of ten will do"),
    ),
)
def kink(at_zero, beside, beyond, small_h):
    named = {"at_zero": at_zero, "beside": beside, "beyond": beyond, "small_h": small_h}
    for (name, found), expected in zip(named.items(), beside_a_kink(), strict=True):
        expect_equal(found, expected, name, reveal=False, atol=1e-9)
    return "Nudging measures the slope between two points. At a kink that is nobody's derivative."


# ---------------------------------------------------------------- along a direction


def slopes(f, x, gradient, v, h=1e-4):
    said = np.sum(gradient * v)
    nudged = (f(x + h * v) - f(x - h * v)) / (2 * h)
    return said, nudged


@exercise(
    "Check along a direction",
    solution=slopes,
    hints=(
        "If x[0] moves by v[0] and x[1] by v[1], by how much does f change to first order? And which two points lie h "
        "times v away from x?",
        "`said` is the sum of all the products of a gradient and a step: `np.sum(gradient * v)`. `nudged` is a central "
        "difference between the points `x + h * v` and `x - h * v`.",
        "`nudged = (f(x + h * v) - f(x - h * v)) / (2 * h)`; then `return said, nudged`.",
    ),
    mistakes=(
        mistake(
            lambda f, x, gradient, v, h=1e-4: (np.sum(gradient), slopes(f, x, gradient, v, h)[1]),
            because="you added up the gradients without their steps; each counts v times",
        ),
        mistake(
            lambda f, x, gradient, v, h=1e-4: (gradient * v, slopes(f, x, gradient, v, h)[1]),
            because="the sum is missing: along a direction there is one slope, a number",
        ),
        mistake(
            lambda f, x, gradient, v, h=1e-4: (np.sum(gradient * v), (f(x + h) - f(x - h)) / (2 * h)),
            because="every number counts alike here; along v, each moves by h times its own v",
        ),
        mistake(
            lambda f, x, gradient, v, h=1e-4: (np.sum(gradient * v), (f(x + h * v) - f(x)) / h),
            because="you took a forward difference; go to both sides and divide by 2h",
        ),
        mistake(
            lambda f, x, gradient, v, h=1e-4: (np.sum(gradient * v), (f(x + h * v) - f(x - h * v)) / h),
            because="you divided by h, but the two points are 2h apart",
        ),
        mistake(
            lambda f, x, gradient, v, h=1e-4: slopes(f, x, gradient, v, h)[::-1],
            because="you returned the two in the wrong order",
        ),
        mistake(
            lambda f, x, gradient, v, h=1e-4: (np.sum(gradient * v), (f(x + v) - f(x - v)) / 2),
            because="you went all the way along v; go h times v, and divide by 2h",
        ),
        mistake(
            lambda f, x, gradient, v, h=1e-4: tuple(map(abs, slopes(f, x, gradient, v, h))),
            because="you lost the sign; along v the function may fall",
        ),
        mistake(lambda f, x, gradient, v, h=1e-4: slopes(f, x, gradient, v, h)[1], says="should be a tuple"),
    ),
)
def along_a_direction(answer):
    if isinstance(answer, type) or not callable(answer):
        expect_function(answer, slopes)
    x = np.array([[0.5, -1.0, 2.0], [1.5, -0.5, 1.0]])
    uphill = np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, 2.0]])
    gradient = 3 * np.arange(1, 7).reshape(2, 3) * x**2
    for h, v in ((0.1, uphill), (1e-4, -uphill)):
        args = (_weighted_cubes, x, gradient, v, h)
        given = zip(("x", "gradient", "v"), args[1:4], strict=True)
        lines = "\n".join(f"    {name} = {wording.show(array)}" for name, array in given)
        with remark(f"Here f(x) is the sum of the cubes of x times 1, 2, … 6, and\n\n{lines}"):
            expect_equal(call(answer, *args), slopes(*args), f"slopes(f, x, gradient, v, {h:g})")
    return "Two calls of f, and every number of the gradient has had its say."


# ---------------------------------------------------------------- one layer


def is_right(layer, x):
    y = layer.forward(x)
    dout = np.random.default_rng(0).standard_normal(y.shape)
    dx = layer.backward(dout)
    nudged = numerical_gradient(lambda x: np.sum(dout * layer.forward(x)), x)
    return relative_error(dx, nudged) < 1e-6


class IgnoresDout(Sigmoid):
    def backward(self, dout):
        return self.y * (1 - self.y)


class AskedOfDout(Relu):
    def backward(self, dout):
        return np.where(dout > 0, dout, 0)


class SlightlyOff(Tanh):
    def backward(self, dout):
        return 1.0005 * super().backward(dout)


class Misplaced(Tanh):
    def backward(self, dout):
        dx = super().backward(dout)
        dx[1:] = dx[1:, [0, 2, 1, 3]]
        return dx


class Mixed(Tanh):
    def backward(self, dout):
        return super().backward(dout[::-1])


class Lowered(Tanh):
    def backward(self, dout):
        return super().backward(dout) - 10


class Raised(Tanh):
    def backward(self, dout):
        return super().backward(dout) + 10


class OneTurned(Tanh):
    def backward(self, dout):
        dx = super().backward(dout)
        dx[1, 1] *= -1
        return dx


class Tiny:
    def forward(self, x):
        self.x = x
        return 1e-9 * x**2

    def backward(self, dout):
        return 1e-9 * self.x * dout


class Narrower(Affine):
    def __init__(self):
        super().__init__(np.array([[1.0, -2.0], [0.5, 1.5], [-1.0, 0.3], [2.0, 0.7]]), np.zeros(2))


SUSPECTS = {
    Sigmoid: True,
    Lowered: False,
    Raised: False,
    IgnoresDout: False,
    AskedOfDout: False,
    SlightlyOff: False,
    Misplaced: False,
    Tiny: False,
    Relu: True,
    Narrower: True,
    Mixed: False,
    OneTurned: False,
}


def _judged(dout_of=None, error=relative_error, tolerance=1e-6):
    """is_right with one of its parts replaced."""

    def is_right(layer, x):
        y = layer.forward(x)
        dout = dout_of(y) if dout_of else np.random.default_rng(0).standard_normal(y.shape)
        dx = layer.backward(dout)
        nudged = numerical_gradient(lambda x: np.sum(dout * layer.forward(x)), x)
        return bool(error(dx, nudged) < tolerance)

    return is_right


def _forgets_dout(layer, x):
    y = layer.forward(x)
    dx = layer.backward(np.random.default_rng(0).standard_normal(y.shape))
    return relative_error(dx, numerical_gradient(lambda x: np.sum(layer.forward(x)), x)) < 1e-6


def _returns_the_error(layer, x):
    y = layer.forward(x)
    dout = np.random.default_rng(0).standard_normal(y.shape)
    dx = layer.backward(dout)
    return relative_error(dx, numerical_gradient(lambda x: np.sum(dout * layer.forward(x)), x))


def _by_allclose(layer, x):
    y = layer.forward(x)
    dout = np.random.default_rng(0).standard_normal(y.shape)
    dx = layer.backward(dout)
    return np.allclose(dx, numerical_gradient(lambda x: np.sum(dout * layer.forward(x)), x))


@exercise(
    "Check one layer",
    solution=is_right,
    hints=(
        "Chapter 2 gave a layer one number to watch, the sum of `dout * y`. Which `dout` shows most, and "
        "which measure of the difference does not depend on the size of the gradient?",
        "Make a random `dout` of the shape of y, keep what `layer.backward(dout)` returns, and let "
        "`numerical_gradient` nudge x in the function `np.sum(dout * layer.forward(x))`.",
        "The last two lines: `nudged = numerical_gradient(lambda x: np.sum(dout * layer.forward(x)), x)` and "
        "`return relative_error(dx, nudged) < 1e-6`.",
    ),
    mistakes=(
        mistake(
            _judged(dout_of=np.ones_like),
            because="your `dout` is all ones, and where it is 1, a layer that never looks at it seems right; take "
            "random numbers",
        ),
        mistake(
            _judged(dout_of=lambda y: np.full_like(y, 2.0)),
            because="your `dout` has equal numbers in it, and where they are equal, a layer that takes them from the "
            "wrong places seems right; take random numbers",
        ),
        mistake(
            _judged(error=lambda a, b: np.max((a - b) / np.maximum(np.abs(b), 1e-300))),
            because="the `abs` of the difference is missing, and so a number that is too small passes; or you "
            "looked along one direction only, where errors can cancel",
        ),
        mistake(
            _judged(error=lambda a, b: np.max((b - a) / np.maximum(np.abs(b), 1e-300))),
            because="the `abs` of the difference is missing, and so a number that is too large passes; or you "
            "looked along one direction only, where errors can cancel",
        ),
        mistake(
            _judged(dout_of=lambda y: y),
            because="your `dout` has the signs of x or is 0 (as x, y and zeros do), where this layer happens to be "
            "right; or you do not compare all numbers; or your own division made 0/0, which is nan and not larger than "
            "any bound. Take random numbers, compare all, and leave the division to `relative_error`",
        ),
        mistake(
            _judged(error=lambda a, b: np.mean(np.abs(a - b))),
            because="you took the absolute difference, which is small wherever the gradient is small (`np.allclose` "
            "does so below 1e-8)",
        ),
        mistake(
            _judged(tolerance=1e-2),
            because="your bound is so wide that an error of 0.05 % passes; a right gradient agrees to about 1e-8",
        ),
        mistake(
            _judged(error=lambda a, b: np.max(np.abs(a - b) / np.abs(b))),
            because="you divided by a gradient that may be 0, as behind a shut gate, and 0/0 is not a number; "
            "`relative_error` takes care of that",
        ),
        mistake(
            _judged(error=lambda a, b: relative_error(a.sum(), b.sum())),
            because="you compared sums (or means), in which wrong numbers can make up for each other, or only some of "
            "the numbers; compare number by number, all of them",
        ),
        mistake(
            _judged(error=lambda a, b: relative_error(np.abs(a), np.abs(b))),
            because="you compared sizes without their signs, or only some of the numbers (a flag that a loop sets anew "
            "each time keeps the last verdict alone); compare number by number, with the sign, all of them",
        ),
        mistake(
            _judged(tolerance=1e-13),
            because="a right layer fails your test: the bound may be so strict that truncation and round-off exceed "
            "it, or the two gradients belong to different passes (use one `dout` for both, call `backward` before the "
            "nudging, and let the nudged function call `layer.forward` anew, on the very array that is nudged)",
        ),
        mistake(
            _forgets_dout,
            because="you gave `dout` to backward but left it out of the function that is nudged",
        ),
        mistake(_by_allclose, says="`np.allclose` does so"),
        mistake(
            lambda layer, x: not is_right(layer, x),
            because="you turned the answer round: True where the layer is wrong, False where it is right",
        ),
        mistake(_returns_the_error, says="should be a truth value"),
        mistake(lambda layer, x: True, because="you find every layer right"),
    ),
)
def check_one_layer(answer):
    if isinstance(answer, type) or not callable(answer):
        expect_function(answer, is_right)
    # So many numbers that a random dout hardly ever has the signs of x, where AskedOfDout is right.
    x = np.array([[0.7, -1.3, 2.1, -0.9], [-0.4, 1.6, -2.2, 0.3], [1.1, -0.6, 0.5, -1.8]])
    verdicts = {kind: call(answer, kind(), x) for kind in SUSPECTS}
    for kind, right in SUSPECTS.items():
        source = textwrap.indent(textwrap.dedent(inspect.getsource(kind.backward)).rstrip(), "    ")
        with remark(f"The layer in question has this backward pass:\n\n{source}"):
            try:
                expect_equal(verdicts[kind], right, f"is_right({kind.__name__}(), x)")
            except NotYet as reason:
                reason.whole = list(verdicts.values())  # mistakes are told apart by all of them
                raise
    return "Twelve layers, three of them right, and you told them apart. `check_layer` does this, and more."


# ---------------------------------------------------------------- reading a report


def reading():
    # the first verdict in the list of layers that is not ok
    wrong_layer = "Affine2"
    # W1 and b1 belong to Affine1, which is right by itself: it was handed a wrong gradient
    misled = ["W1", "b1"]
    # "everywhere it says -1 times as much"
    factor = -1
    return wrong_layer, misled, factor


@exercise(
    "Read a report",
    solution=reading,
    hints=(
        "Begin at the bottom: the last paragraph names the first wrong layer. Then look which parameters in the first "
        "table are wrong, and whose they are.",
        "W1 and b1 are parameters of Affine1, W2 and b2 of Affine2. Which of them are wrong in the first table, "
        "although the second one says ok to their layer?",
        "The layer is Affine2; the parameters are those of the layer before it, which received its wrong gradient. The "
        "factor stands in the last line, after “everywhere it says”.",
    ),
    mistakes=(
        mistake(
            "Affine1",
            ["W1", "b1"],
            -1,
            because="you took the first table for the answer; a layer's parameters are wrong there also if the layer "
            "was handed a wrong gradient",
        ),
        mistake("Affine2", ["W2", "b2"], -1, because="you named the parameters of the wrong layer, which are right"),
        mistake("Affine2", ["W1", "b1", "W2", "b2"], -1, because="you named all; two of them have the verdict ok"),
        mistake("Affine2", ["W1"], -1, because="you named one parameter; a second one shares its fate"),
        mistake("Affine2", ["b1"], -1, because="you named one parameter; a second one shares its fate"),
        mistake("Affine2", ["W1", "b1"], 1, because="you lost the sign"),
        mistake("Affine2", ["W1", "b1"], 2, because="you read the relative error; a factor of −1 has the error 2"),
    ),
)
def read_a_report(wrong_layer, misled, factor):
    _one_of(wrong_layer, [*clinic.Practice().build().layers, "last_layer"], "wrong_layer")
    expect_equal(wrong_layer, clinic.Practice.layer, "wrong_layer", reveal=False)
    if not isinstance(misled, (list, tuple, set)) or not all(isinstance(name, str) for name in misled):
        raise NotYet('`misled` should be a list of names, such as ["W1", "W2"].')
    for i, name in enumerate(misled):
        _one_of(name, [*clinic.Practice().build().params], f"misled[{i}]")
    named = sorted({name.strip().casefold() for name in misled})
    with remark("Which parameters are WRONG in the first table, although the second says ok to their layer?"):
        if named != ["b1", "w1"]:
            raise NotYet(f"`misled` is not {wording.show(list(misled))}.", "misled", named)
    expect_equal(factor, -1, "factor", reveal=False)
    return "W2 and b2 are right, so only what Affine2 hands back is wrong: dx, with the wrong sign."


# ---------------------------------------------------------------- the clinic


def _one_of(found: object, choices: list[str], name: str) -> None:
    """`found` must be one of the words, without regard to case."""
    if not isinstance(found, str):
        raise NotYet(f"`{name}` should be a string: one of {', '.join(map(repr, choices))}.")
    if found.strip().casefold() not in map(str.casefold, choices):
        raise NotYet(f"`{name}` should be one of {', '.join(map(repr, choices))}; it is {found[:40]!r}.")


def _diagnosis(
    patient: clinic.Patient, layer: object, where: object, fault: object, lesson: str, look: str | None = None
) -> str:
    """Compare a diagnosis with the patient's; if it is right, repair the network and let the checker confirm it.

    `look` says where a wrong `fault` can be put right; by default, in the layer's source.
    """
    net = patient.build()
    _one_of(layer, [*net.layers, "last_layer"], "layer")
    with remark("In the list “Each layer by itself”, which is the first whose verdict is not ok?"):
        expect_equal(layer, patient.layer, "layer", reveal=False)
    suspect = net.layers.get(patient.layer, net.last_layer)
    names = ["x", *getattr(suspect, "param_names", ()), "dout"]
    said = where.strip().casefold() if isinstance(where, str) else where
    if said in [f"d{name}".casefold() for name in names]:
        where = where.strip()[1:]
    if said == "backward":
        raise NotYet(
            "`backward` is a method, and `where` asks for an array: the one whose gradient is wrong or missing, or "
            '`"dout"`, if that is what is spoiled.'
        )
    _one_of(where, names, "where")
    with remark(f"The last table of the report says what is wrong in {patient.layer}."):
        expect_equal(where, patient.where, "where", reveal=False)
    _one_of(fault, [*clinic.FAULTS], "fault")
    with remark(look or f"Read the layer: `print(patient.source({patient.layer!r}))`."):
        expect_equal(fault, patient.fault, "fault", reveal=False)
    report = check_network(patient.repaired(), *patient.batch)
    report.raise_if_bad()
    cure = "\n".join(f"    {line}" for line in patient.repair().splitlines())
    return f"{lesson} The repair:\n\n{cure}\n\nWith it the checker says: {str(report).rpartition(chr(10))[2]}"


def diagnosis_1():
    # the only layer that is wrong by itself
    layer = "Scale1"
    # its own gain is right, so the fault is in what it hands back
    where = "x"
    # backward says one more than nudging does: dout + gain, with a gain of 1, for dout * gain
    fault = "plus"
    return layer, where, fault


@exercise(
    "Patient 1",
    solution=diagnosis_1,
    hints=(
        "Which layer does the report name, and in which row of the last table stands WRONG?",
        "Compare the two numbers of the last line: by how much do they differ? Then read `patient.source('Scale1')`.",
        "y = x · gain is a product, so dL/dx is `dout` times the gain. Which sign stands in the last line of backward?",
    ),
    mistakes=(
        mistake(
            "Affine1",
            "W",
            "plus",
            because="you began with the first table: W1 is wrong there because a wrong gradient arrives at Affine1",
        ),
        mistake("Scale1", "gain", "plus", because="you took the gain, whose gradient has the verdict ok"),
        mistake(
            "Scale1",
            "x",
            "ignores dout",
            because="you saw that `dout` is not multiplied; but it is there, with another sign than ×",
        ),
    ),
)
def patient_1(layer, where, fault):
    lesson = "The gradient of one factor is `dout` times the other factor; a sum belongs to forks."
    return _diagnosis(clinic.Patient1(), layer, where, fault, lesson)


def diagnosis_2():
    layer = "last_layer"
    where = "x"
    # both the maximum and the sum of the exponentials are taken without an axis
    fault = "whole batch"
    return layer, where, fault


@exercise(
    "Patient 2",
    solution=diagnosis_2,
    hints=(
        "All layers but one are right. The first loss of a hundred images is 6.91. What is e to that power?",
        "e^6.91 is about 1000: the network spreads its probability over a thousand places, not over ten. What has a "
        "thousand places?",
        "A hundred rows of ten scores. Look in `patient.source('last_layer')` for a sum without an axis.",
    ),
    mistakes=(
        mistake(
            "Affine1",
            "W",
            "whole batch",
            because="you took the first wrong parameter; it received its gradient from a layer behind it",
        ),
        mistake(
            "last_layer",
            "x",
            "sum and mean",
            because="you took the factor of 3 between what backward and nudging say for one in N; but the report "
            "would say that it is the same everywhere, and the loss is a mean here",
        ),
        mistake(
            "last_layer",
            "dout",
            "whole batch",
            because="you took the gradient that arrives; the layer uses it well, and what it hands back is wrong",
        ),
    ),
)
def patient_2(layer, where, fault):
    lesson = "With a batch of one image the row is the batch, and no check can see it. Check with three."
    return _diagnosis(clinic.Patient2(), layer, where, fault, lesson)


def diagnosis_3():
    layer = "last_layer"
    where = "x"
    # everywhere a third of what nudging finds, on a batch of three: forward sums, backward averages
    fault = "sum and mean"
    return layer, where, fault


@exercise(
    "Patient 3",
    solution=diagnosis_3,
    hints=(
        "The last line tells of a factor that is the same everywhere. Which number of this check could it come from?",
        "A third, with three images: backward divides by N, as it should for a mean. What does forward do?",
        "230 is a hundred times ln 10. Look at the last word of forward in `patient.source('last_layer')`.",
    ),
    mistakes=(
        mistake(
            "last_layer",
            "x",
            "not summed",
            because="you expected a row for each sample; but the shapes fit, and what differs is a factor",
        ),
        mistake(
            "last_layer",
            "x",
            "whole batch",
            because="you thought of softmax; then the numbers would not differ by one and the same factor",
        ),
        mistake(
            "last_layer",
            "x",
            "ignores dout",
            because="you thought of a `dout` that is left out; its factor would "
            "be another with each seed of the check, while this one is 1/3, one part in N",
        ),
    ),
)
def patient_3(layer, where, fault):
    lesson = (
        "A constant factor only changes the learning rate, so training cannot tell. A ratio of exactly N gives this "
        "fault away."
    )
    return _diagnosis(clinic.Patient3(), layer, where, fault, lesson)


def diagnosis_4():
    layer = "Relu1"
    where = "x"
    # y is never negative, so y >= 0 is true everywhere, and no gate is ever shut
    fault = "wrong test"
    return layer, where, fault


@exercise(
    "Patient 4",
    solution=diagnosis_4,
    hints=(
        "At the place that the last line names nudging says 0. What does that tell of the gate there?",
        "The gate was shut, and backward lets something through. In `patient.source('Relu1')`: what is asked, of "
        "which number?",
        "backward asks whether y ≥ 0. y is the output of ReLU: can it be negative?",
    ),
    mistakes=(
        mistake(
            "Relu1", "dout", "wrong test", because="you took the gradient that arrives; it is right, and left as it was"
        ),
        mistake("Relu1", "x", "writes", because="you know a ReLU that writes into `dout`; this one makes a new array"),
        mistake(
            "Affine1",
            "b",
            "wrong test",
            because="you took a parameter of the first table; its layer is right by itself",
        ),
    ),
)
def patient_4(layer, where, fault):
    lesson = "Two percent of accuracy, and nothing else to be seen: training forgives what a check does not."
    return _diagnosis(clinic.Patient4(), layer, where, fault, lesson)


def diagnosis_5():
    # all parameters are right, but one layer is not
    layer = "Sigmoid1"
    # backward gives back None, so there is no gradient for its input
    where = "x"
    fault = "no return"
    return layer, where, fault


@exercise(
    "Patient 5",
    solution=diagnosis_5,
    hints=(
        "The first table is all right, and yet the report is not content. Which layer does it name?",
        "What does a Python function give back if it says nothing about it? Look at the end of backward.",
        "backward computes the gradient of x and keeps it in `self.dx`. One word is missing.",
    ),
    mistakes=(
        mistake(
            "Affine1",
            "x",
            "no return",
            because="you thought of the layer that hands the gradient on; it does so, to the one that loses it",
        ),
        mistake(
            "Sigmoid1",
            "dout",
            "no return",
            because="you took the gradient that arrives; missing is the one that should leave",
        ),
        mistake("Sigmoid1", "x", "detached", because="you thought of parameters; this layer has none"),
    ),
)
def patient_5(layer, where, fault):
    lesson = "Nobody used the gradient at the input, so nobody missed it, until somebody did."
    return _diagnosis(clinic.Patient5(), layer, where, fault, lesson)


def diagnosis_6():
    # both affine layers are wrong; the first is asked
    layer = "Affine1"
    where = "W"
    # the gradient has the shape (), a number: for one axis x.T is x, and x @ dout is a sum of products
    fault = "1-D"
    return layer, where, fault


@exercise(
    "Patient 6",
    solution=diagnosis_6,
    hints=(
        "Two layers are wrong, both of one class. What shape has the gradient, and what shape should it have?",
        "The gradient of a 4 × 4 matrix is a single number here. Try `x = np.ones(4)` and look at `x.T.shape`.",
        "Transposing reverses the order of the axes, and of one axis there is only one order: x.T is x. Then "
        "`x.T @ dout` adds four products up.",
    ),
    mistakes=(
        mistake("Affine2", "W", "1-D", because="you named the second of two wrong layers; asked is the first"),
        mistake(
            "Affine1",
            "W",
            "transposed",
            because="you thought of W; but dx is right, where W.T stands, and what misses a transpose here is x",
        ),
        mistake("Affine1", "W", "not summed", because="you thought of a sum that is missing; here is one too many"),
    ),
)
def patient_6(layer, where, fault):
    lesson = (
        "NumPy subtracts a single number from a whole matrix without a word. Give layers a batch, even if it is a "
        "batch of one: `x[None, :]`."
    )
    return _diagnosis(clinic.Patient6(), layer, where, fault, lesson)


def diagnosis_7():
    layer = "Affine1"
    where = "b"
    # three rows, one for each image, where b has one: dout.sum(axis=0, keepdims=True)
    fault = "not summed"
    return layer, where, fault


@exercise(
    "Patient 7",
    solution=diagnosis_7,
    hints=(
        "Compare two shapes in the last line. Where does the 3 come from?",
        "Three images, three rows. Every image uses the same bias: a fork. What happens to gradients at a fork?",
        "The gradient of the bias is the sum of the rows of `dout`. What does `patient.source('Affine1')` take?",
    ),
    mistakes=(
        mistake(
            "Affine1",
            "W",
            "not summed",
            because="you named the weights; the product x.T @ dout sums over the "
            "batch by itself, and W has the verdict ok",
        ),
        mistake("Affine2", "b", "not summed", because="you named the second of two wrong layers; asked is the first"),
        mistake(
            "Affine1", "b", "sum and mean", because="you thought of a factor; but the shape is wrong, not the size"
        ),
    ),
)
def patient_7(layer, where, fault):
    lesson = "A batch of one hides a missing sum. (Patients 2 and 3 would pass a check on one image as well.)"
    return _diagnosis(clinic.Patient7(), layer, where, fault, lesson)


def diagnosis_8():
    layer = "Relu1"
    # the report: backward writes into dout
    where = "dout"
    # dout[mask] = 0 spoils the array that the other branch is still to read
    fault = "writes"
    return layer, where, fault


@exercise(
    "Patient 8",
    solution=diagnosis_8,
    hints=(
        "The last table has no row for x: the check of this layer stopped before it compared anything. Why?",
        "Read the last line: which array was changed? In a residual branch, who else reads it?",
        "backward sets numbers of `dout` to 0, in the array that it was given, and the branch that goes past ReLU "
        "reads them afterwards.",
    ),
    mistakes=(
        mistake(
            "Relu1",
            "x",
            "writes",
            because="you named the gradient that leaves, which is right; asked is the array that is spoiled",
        ),
        mistake("Relu1", "dout", "wrong test", because="you suspected the mask, which is right"),
        mistake(
            "Affine1",
            "b",
            "accumulated",
            because="you saw that W1 and b1 are wrong; but Affine1 is right by itself, and what arrives there is not",
        ),
    ),
)
def patient_8(layer, where, fault):
    lesson = "In a chain nobody reads `dout` again. This network has a branch, so W1 and b1 are wrong."
    return _diagnosis(clinic.Patient8(), layer, where, fault, lesson)


def diagnosis_9():
    layer = "last_layer"
    where = "x"
    # a constant factor that has nothing to do with N, and is another for each seed: 1 / dout
    fault = "ignores dout"
    return layer, where, fault


@exercise(
    "Patient 9",
    solution=diagnosis_9,
    hints=(
        "The last line tells of a constant factor again. Is it 1/N, as for patient 3?",
        "Run `check_network(patient.build(), *patient.batch, seed=1)`. The factor is another. What of a check depends "
        "on its seed?",
        "The upstream gradient is random: the check sends some `dout` into backward, and expects the result to be as "
        "many times as large. Is `dout` used in `patient.source('last_layer')`?",
    ),
    mistakes=(
        mistake("last_layer", "x", "sum and mean", because="you took the factor for N; but it is neither 3 nor 1/3"),
        mistake(
            "last_layer",
            "dout",
            "ignores dout",
            because="you named the gradient that arrives; it is right, and wrong is the one that leaves",
        ),
        mistake(
            "last_layer",
            "x",
            "whole batch",
            because="you thought of softmax; then the numbers would not differ by one and the same factor",
        ),
    ),
)
def patient_9(layer, where, fault):
    lesson = "As long as the loss is the last node, `dout` is 1 and the fault sleeps."
    return _diagnosis(clinic.Patient9(), layer, where, fault, lesson)


def diagnosis_10():
    # wrong by itself in the second report; the first report checked another class
    layer = "Tanh1"
    where = "x"
    # course_lib.layers.Tanh there, clinic.Patient10.Tanh here: an import took the name of the owner's class
    fault = "shadowed"
    return layer, where, fault


@exercise(
    "Patient 10",
    solution=diagnosis_10,
    hints=(
        "Two reports on the same network, and they disagree. Read both line by line: in what else do they differ?",
        "Look at the column “class”. Which Tanh was checked in the notebook?",
        "`from course_lib.layers import …, Tanh`, further down in the notebook, gave the owner's name to the course's "
        "class. The good report is about that one.",
    ),
    mistakes=(
        mistake(
            "Affine1",
            "W",
            "shadowed",
            because="you took the first wrong parameter; its layer is the course's, and right by itself",
        ),
        mistake(
            "Tanh1",
            "x",
            "wrong sign",
            because="you looked for the fault in the formula. There is one: 1 − y for "
            "1 − y². But asked is why the notebook's check did not find it",
        ),
        mistake(
            "Tanh1",
            "x",
            "detached",
            because="you thought of parameters that are not those of the layers; tanh has none",
        ),
    ),
)
def patient_10(layer, where, fault):
    lesson = (
        "The good report was about another class of the same name; the owner's own, with 1 − y for 1 − y², had never "
        "been checked. That is why a report names the class and its module."
    )
    look = "Asked is why the good report did not show it. Compare the classes that the two reports name."
    return _diagnosis(clinic.Patient10(), layer, where, fault, lesson, look)
