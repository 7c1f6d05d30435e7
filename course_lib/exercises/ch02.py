"""The exercises of chapter 2: activation layers, and a test that finds the layer which writes into its argument."""

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from numbers import Real
from unittest.mock import patch

import numpy as np

from course_lib import layers
from course_lib.exercises import exercise, mistake
from course_lib.exercises.compare import (
    NotYet,
    argument_names,
    call,
    expect_equal,
    expect_function,
    expect_layer,
    no_warnings,
    remark,
)
from course_lib.functions import sigmoid

POINTS = np.array([[0.7, -1.3, 2.1], [-0.4, 1.6, -2.2]])  # generic: no zero, no two of one size

# ---------------------------------------------------------------- the layer that writes


def writes_into_dout(layer, x):
    y = layer.forward(x)
    dout = np.random.default_rng(0).standard_normal(y.shape)
    before = dout.copy()
    layer.backward(dout)
    return not np.array_equal(dout, before)


class Relu(layers.Relu):  # its backward as the chapter writes it, for the feedback shows these lines
    def backward(self, dout):
        return np.where(self.mask, 0, dout)


class ZeroesInPlace(Relu):
    def backward(self, dout):
        dout[self.mask] = 0
        return dout


class HandsOn:
    def forward(self, x):
        return x * 1

    def backward(self, dout):
        return dout  # the very array it was given, but with nothing written into it


class CopiesTooLate(Relu):
    def backward(self, dout):
        dout[self.mask] = 0
        return dout.copy()


class ScalesInPlace:
    def forward(self, x):
        self.y = sigmoid(x)
        return self.y.copy()

    def backward(self, dout):
        dout *= self.y * (1 - self.y)
        return dout


SUSPECTS = {Relu: False, ZeroesInPlace: True, HandsOn: False, CopiesTooLate: True, ScalesInPlace: True}


def compares_with_itself(layer, x):
    y = layer.forward(x)
    dout = np.random.default_rng(0).standard_normal(y.shape)
    before = dout
    layer.backward(dout)
    return not np.array_equal(dout, before)


def compares_what_returns(layer, x):
    y = layer.forward(x)
    dout = np.random.default_rng(0).standard_normal(y.shape)
    return not np.array_equal(layer.backward(dout), dout)


def asks_for_shared_memory(layer, x):
    y = layer.forward(x)
    dout = np.random.default_rng(0).standard_normal(y.shape)
    return np.shares_memory(layer.backward(dout), dout)


def compares_number_by_number(layer, x):
    y = layer.forward(x)
    dout = np.random.default_rng(0).standard_normal(y.shape)
    before = dout.copy()
    layer.backward(dout)
    return dout != before


def asks_for_identity(layer, x):
    y = layer.forward(x)
    dout = np.random.default_rng(0).standard_normal(y.shape)
    before = dout.copy()
    layer.backward(dout)
    return dout is not before


def gives_zeros(layer, x):
    dout = np.zeros_like(layer.forward(x))
    before = dout.copy()
    layer.backward(dout)
    return not np.array_equal(dout, before)


def gives_the_output(layer, x):
    dout = layer.forward(x)
    before = dout.copy()
    layer.backward(dout)
    return not np.array_equal(dout, before)


def takes_the_shape_of_x(layer, x):
    layer.forward(x)
    return forgets_forward(layer, x)


def swaps_true_and_false(layer, x):
    return not writes_into_dout(layer, x)


def looks_at_forward_only(layer, x):
    before = x.copy()
    layer.forward(x)
    return not np.array_equal(x, before)


def compares_what_returns_with_the_copy(layer, x):
    y = layer.forward(x)
    dout = np.random.default_rng(0).standard_normal(y.shape)
    before = dout.copy()
    return not np.array_equal(layer.backward(dout), before)


def locks_and_forgets_forward(layer, x):
    dout = np.ones_like(x)
    dout.flags.writeable = False
    try:
        layer.backward(dout)
    except Exception:
        return True
    return False


def forgets_forward(layer, x):
    dout = np.random.default_rng(0).standard_normal(x.shape)
    before = dout.copy()
    layer.backward(dout)
    return not np.array_equal(dout, before)


@exercise(
    "Find the layer that writes into its argument",
    solution=writes_into_dout,
    hints=(
        "Run both passes yourself and look at `dout` before and after. What must you do to have both?",
        "First `layer.forward(x)`; then make a random `dout` with the shape of its result; keep a copy of it; run "
        "`layer.backward(dout)`; then compare the two arrays. `before = dout` is no copy, only a second name.",
        "After `y = layer.forward(x)` four lines remain: "
        "`dout = np.random.default_rng(0).standard_normal(y.shape)`, then `before = dout.copy()`, then "
        "`layer.backward(dout)`, and a `return` that is True where `np.array_equal(dout, before)` is False.",
    ),
    mistakes=(
        mistake(
            compares_with_itself,
            because="you say False of every layer. Usual ways to get there: `before = dout` or `dout[:]` is no copy, "
            "for both share one memory; a copy is made only after `backward` ran; or what you compare is not the array "
            "that `backward` was given. Copy that very array with `dout.copy()` before `backward` runs, and compare it "
            "afterwards",
        ),
        mistake(
            compares_what_returns,
            because="you compared what `backward` returns with `dout`; the two differ for most honest layers too. "
            "Compare `dout` after the call with `dout` before it",
        ),
        mistake(
            compares_what_returns_with_the_copy,
            because="you compared what `backward` returns with the copy; the two differ for most honest layers too. "
            "Compare `dout` itself, after the call, with the copy",
        ),
        mistake(
            asks_for_shared_memory,
            because="you asked whether the result is `dout` or shares memory with it; that tells nothing of writing: a "
            "layer may hand `dout` on untouched, or write into it and return a copy",
        ),
        mistake(
            compares_number_by_number,
            because="you compared number by number, which gives an array; `np.array_equal(a, b)` gives one truth value",
        ),
        mistake(
            asks_for_identity,
            because="you say True of every layer; `is` asks whether two names mean one and the same array, and a copy "
            "is never that (nor is `dout.copy` without its brackets a copy). `np.array_equal(a, b)` compares what "
            "is in them",
        ),
        mistake(gives_zeros, says="zeros written over zeros leave no trace"),
        mistake(takes_the_shape_of_x, says="it needs the shape of y"),
        mistake(gives_the_output, says="what `forward` returned"),
        mistake(swaps_true_and_false, says="True and False swapped"),
        mistake(looks_at_forward_only, says="never called `layer.backward`"),
        mistake(forgets_forward, says="before `layer.backward`"),
        mistake(locks_and_forgets_forward, says="before `layer.backward`"),
        mistake(Relu, says="`Relu` is called with 2 arguments"),
    ),
)
def find_the_writer(answer):
    if not callable(answer):
        expect_function(answer, writes_into_dout)
    _expect_telling_dout(answer)
    said = [call(answer, suspect(), POINTS) for suspect in SUSPECTS]
    if all(
        isinstance(yes, (bool, np.bool_)) and yes != writes for yes, writes in zip(said, SUSPECTS.values(), strict=True)
    ):
        raise NotYet("You tell the layers that write from those that do not, but with True and False swapped.")
    for yes, (suspect, writes) in zip(said, SUSPECTS.items(), strict=True):
        source = textwrap.indent(textwrap.dedent(inspect.getsource(suspect.backward)).rstrip(), "    ")
        with remark(f"The layer in question has this backward pass:\n\n{source}"):
            try:
                expect_equal(yes, writes, f"writes_into_dout({suspect.__name__}(), x)")
            except NotYet as reason:
                reason.found = said  # a mistake is recognised by what it says of all the layers
                raise
    return "You have a test that finds this fault in any layer. The course's own tests use the same idea."


class AnyLayer:
    """A layer that keeps the dout it is given; its output has another shape than x, as in chapter 3."""

    forward_ran, dout = False, None

    def forward(self, x):
        self.forward_ran = True
        return x[:, :2] + 0.125

    def backward(self, dout):
        self.dout = np.array(dout)
        self.expect_forward()
        return dout * 1

    def expect_forward(self):
        if not self.forward_ran:
            raise NotYet("Run `layer.forward(x)` before `layer.backward`, which needs what forward keeps.")


def _expect_telling_dout(answer):
    """The answer must run backward, with a dout in which writing would be seen."""
    layer, y = AnyLayer(), AnyLayer().forward(POINTS)
    argument_names(answer, (layer, POINTS))  # refuses a function that does not take them
    answer(layer, POINTS.copy())
    if layer.dout is None:
        raise NotYet("Your function never called `layer.backward`, so it cannot know what `backward` writes.")
    layer.expect_forward()  # once more: the answer may have caught what the first time raised
    if layer.dout.shape != y.shape:
        raise NotYet(
            f"Here `forward` made of x, of shape {POINTS.shape}, a y of shape {y.shape}, and the `dout` you made has "
            f"shape {layer.dout.shape}; it needs the shape of y."
        )
    if layer.dout.dtype.kind != "f":
        raise NotYet("The `dout` you made holds no floats, and gradients have fractions. Take random numbers.")
    if not layer.dout.any():
        raise NotYet("The `dout` you made is all zeros, and zeros written over zeros leave no trace.")
    if np.array_equal(layer.dout, y):
        raise NotYet(
            "You used as `dout` what `forward` returned. For ReLU that is 0 exactly where the gate is shut, so the "
            "zeros it writes leave no trace. Take random numbers."
        )


# ---------------------------------------------------------------- sigmoid without overflow


def stable_sigmoid(x):
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def chooses_too_late(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))


def clips(x):
    return 1 / (1 + np.exp(-np.clip(x, -500, 500)))


def clips_in_float64(x):
    return clips(x.astype(float))


def silences(x):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def silences_for_good(x):
    np.seterr(over="ignore")
    return 1 / (1 + np.exp(-x))


def clips_the_exponent(x):
    return 1 / (1 + np.e ** np.clip(-x, -80, 80))


def silences_a_power(x):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.e**-x)


def gives_up_far_out(x):
    return 1 / (1 + np.exp(-np.clip(x, -8, 8)))


def silences_both_branches(x):
    with np.errstate(all="ignore"):
        return chooses_too_late(x)


@contextmanager
def no_silence() -> Iterator[None]:
    """Inside this block an overflow makes the answer wrong, though the warning is silenced."""
    exp = np.exp

    def telling(*args, **kwargs):
        y = exp(*args, **kwargs)
        if np.isinf(y).any():
            raise FloatingPointError
        return y

    without_silence = patch.object(np, "errstate", lambda **_: nullcontext())
    with np.errstate(over="raise"), without_silence, patch.object(np, "exp", telling):
        try:
            yield
        except FloatingPointError:
            raise NotYet(
                "The values are right, but exp is still taken of a large positive number: it overflows, and only "
                "the warning is silenced. Rewrite the formula, so that there is nothing to silence."
            ) from None


@exercise(
    "A sigmoid that never overflows",
    solution=stable_sigmoid,
    hints=(
        "exp overflows only for large positive numbers. Of the two formulas, which is safe for x ≥ 0, and which for "
        "x < 0?",
        "Safe are 1 / (1 + exp(−x)) for x ≥ 0 and exp(x) / (1 + exp(x)) for x < 0. In both, the denominator is "
        "1 + exp(−|x|), in NumPy `1 + np.exp(-np.abs(x))`. Only the numerators differ.",
        "The numerator is 1 for x ≥ 0 and exp(x) for x < 0. As 1 is exp(0), both are the exp of the smaller one of "
        "x and 0, and that smaller one is `np.minimum(x, 0)`. Divide this numerator by `1 + np.exp(-np.abs(x))`.",
    ),
    mistakes=(
        mistake(lambda x: 1 / (1 + np.exp(-x)), says="overflow encountered in exp"),
        mistake(lambda x: np.exp(x) / (1 + np.exp(x)), says="overflow encountered in exp"),
        mistake(chooses_too_late, says="`np.where` computes both of its branches for every element"),
        mistake(clips, says="In float32"),
        mistake(silences, says="only the warning is silenced"),
        mistake(silences_both_branches, says="only the warning is silenced"),
        mistake(silences_a_power, says="only the warning is silenced"),
        mistake(silences_for_good, says="only the warning is silenced"),
        mistake(clips_the_exponent, says="cut x off at a bound"),
        mistake(clips_in_float64, says="cut x off at a bound"),
        mistake(gives_up_far_out, says="should be 0.000123395, but it is 0.00033535"),
        mistake(
            lambda x: 1 / (1 + np.exp(-np.abs(x))),
            because="you took |x| in the whole formula, which gives negative numbers the value of positive ones; "
            "the denominator may use |x|, but the numerator must then depend on the sign",
        ),
        mistake(lambda x: 1 / (1 + np.exp(-np.clip(x, -80, 80))), says="cut x off at a bound"),
        mistake(
            lambda x: np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))),
            because="for x ≥ 0 you have 1 / (1 + exp(x)), or exp(−x) / (1 + exp(−x)), which is the same; it should be "
            "1 / (1 + exp(−x)) there",
        ),
        mistake(
            lambda x: np.exp(np.maximum(x, 0)) / (1 + np.exp(-np.abs(x))),
            because="you took the larger of x and 0 in the numerator; it is the smaller one that is never positive",
        ),
        mistake(
            lambda x: 1 / (1 + np.exp(np.minimum(-x, 0))),
            because="you cut the exponent off at 0 and so changed the value; the exponents may only be rewritten, "
            "as in exp(x) / (1 + exp(x)), which equals 1 / (1 + exp(−x))",
        ),
    ),
)
def sigmoid_without_overflow(answer):
    near, farther = np.array([-2.0, -0.5, 0.0, 1.0, 3.0]), np.array([[-9.0, -5.0, 12.0], [0.0, 6.0, -15.0]])
    expect_function(answer, stable_sigmoid, (near,), (farther,))
    wide = np.array([-1000.0, -500.0, 500.0, 1000.0])
    narrow = np.array([-100.0, -89.0, 89.0, 100.0], dtype=np.float32)
    with no_warnings(
        "Somewhere exp is taken of a large positive number, or something is divided by an exp that was rounded to 0. "
        "(`np.where` computes both of its branches for every element and chooses afterwards.)"
    ):
        expect_function(answer, stable_sigmoid, (wide,))
    with no_warnings("In float32, where many networks are trained, exp overflows beyond 88 already."):
        expect_function(answer, stable_sigmoid, (narrow,))
    with no_silence():
        expect_function(answer, stable_sigmoid, (wide,), (narrow,))
    if np.max(call(answer, np.array([-740.0]))) > 1e-320:
        raise NotYet(
            "Nothing overflows, but σ(−740) is about 4e-322, and yours is far larger. If you cut x off at a bound, "
            "every x beyond it gets the value at the bound. Rewrite the formula, so that every exponent is at most 0."
        )
    return "No overflow from −1000 to 1000, in float64 or in float32, and no warning that had to be silenced."


# ---------------------------------------------------------------- tanh


class Tanh:
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y.copy()

    def backward(self, dout):
        return dout * (1 - self.y**2)


class TanhNoDout(Tanh):
    def backward(self, dout):
        return 1 - self.y**2


class TanhAddsDout(Tanh):
    def backward(self, dout):
        return dout + (1 - self.y**2)


class TanhOfInput(Tanh):
    def forward(self, x):
        self.y = x
        return np.tanh(x)


class TanhLikeSigmoid(Tanh):
    def backward(self, dout):
        return dout * self.y * (1 - self.y)


class TanhTwice(Tanh):
    def backward(self, dout):
        return dout * (1 - np.tanh(self.y) ** 2)


class TanhNoSquare(Tanh):
    def backward(self, dout):
        return dout * (1 - self.y)


class TanhNoBrackets(Tanh):
    def backward(self, dout):
        return dout * 1 - self.y**2


class TanhUphill(Tanh):
    def backward(self, dout):
        return dout * (self.y**2 - 1)


class TanhInPlace(Tanh):
    def backward(self, dout):
        dout *= 1 - self.y**2
        return dout


class TanhNoReturn(Tanh):
    def backward(self, dout):
        self.dx = dout * (1 - self.y**2)


@exercise(
    "Build the tanh layer",
    solution=Tanh,
    hints=(
        "Follow the pattern of `Sigmoid`: forward keeps what backward needs. Can the derivative be written with y?",
        "The derivative of tanh is 1 − tanh²(x), and y is tanh(x). So keep `self.y`, and in backward multiply "
        "`dout` by a factor that is made of `self.y`.",
        "In forward: `self.y = np.tanh(x)` and `return self.y.copy()`. In backward one line: return `dout` times "
        "the bracket `(1 - ...)`, where the dots are the square of `self.y`, in Python `self.y**2`.",
    ),
    mistakes=(
        mistake(TanhNoDout, because="you returned the derivative alone; the chain rule multiplies it by `dout`"),
        mistake(TanhAddsDout, because="you added `dout` where the chain rule multiplies"),
        mistake(TanhOfInput, because="you squared x; the derivative is 1 − y², with y the output, tanh(x)"),
        mistake(TanhLikeSigmoid, because="you used y (1 − y), which is sigmoid's derivative; tanh's is 1 − y²"),
        mistake(TanhTwice, because="you took tanh of y, but y is tanh(x) already; square it as it is"),
        mistake(TanhNoSquare, because="you left out the square: the derivative is 1 − y²"),
        mistake(TanhNoBrackets, because="the brackets are missing: `dout` must multiply all of `(1 - self.y**2)`"),
        mistake(TanhUphill, because="you wrote y² − 1; the derivative is 1 − y², for tanh rises everywhere"),
        mistake(TanhInPlace, says="changed its argument `dout`"),
        mistake(TanhNoReturn, says="`return`"),
    ),
)
def tanh_layer(answer):
    expect_layer(answer, Tanh, POINTS)
    return f"Compare it with `course_lib.layers.Tanh`.{_if_it_hands_out_what_it_keeps(answer)}"


def _if_it_hands_out_what_it_keeps(layer_class):
    """A further sentence for a layer whose backward goes wrong once its output has been overwritten."""
    kept, overwritten = layer_class(), layer_class()
    kept.forward(POINTS.copy())
    y = overwritten.forward(POINTS.copy())
    if not y.flags.writeable:
        return ""
    y[...] = 0
    if np.array_equal(overwritten.backward(np.ones_like(POINTS)), kept.backward(np.ones_like(POINTS))):
        return ""
    return (
        "\n\nOne refinement: your forward returns the very array that it keeps for backward. Whoever overwrites the "
        "output then spoils the gradient. `return self.y.copy()` makes it safe."
    )


# ---------------------------------------------------------------- dead units


def dead_or_alive():
    # Inputs go from 0 to 1, so a unit is largest where inputs with a positive weight are 1 and the others are 0.
    # unit 0: 1 + 1 + 0 = 2           unit 1: 1 + 2 - 4 = -1, dead      unit 2: 0 + 0 + 0.5 = 0.5
    # unit 3: 0 + 0 - 0.1, dead       unit 4: 2 + 0 - 1.5 = 0.5
    dead = [1, 3]
    # unit 1 gets as far as 3 + its bias
    bias = -3.0
    return dead, bias


LARGEST_AT = {0: "(1, 1)", 2: "(0, 0)", 4: "(1, 0)"}  # where the living units are largest


@exercise(
    "Predict which units die",
    solution=dead_or_alive,
    hints=(
        "A unit is dead if it is positive for no input at all. So ask of each: how large can it get at most?",
        "Both inputs go from 0 to 1. An input with a positive weight helps most at 1; one with a negative weight "
        "does least harm at 0. Add up what is left and the bias: is the sum above 0?",
        "The largest values: unit 0 reaches 1 + 1 + 0 = 2 and unit 2 reaches 0 + 0 + 0.5 = 0.5, so these two live. "
        "Do the same for units 1, 3 and 4. For `bias`: the weights of unit 1 add at most 1 + 2; which bias brings "
        "that to exactly 0?",
    ),
    mistakes=(
        mistake([1, "3"], -3.0, says="a list of the numbers of units"),
        mistake(np.where([0, 1, 0, 1, 0]), -3.0, says="a list of the numbers of units"),
        mistake(
            [1, 2, 3, 4],
            -3.0,
            because="you tried one input alone, such as (1, 1) or the middle; a unit lives if a single input opens it",
        ),
        mistake([3], -3.0, because="you looked for negative weights; a bias can outweigh positive ones"),
        mistake([1, 3, 4], -3.0, because="you set both inputs of unit 4 to 1; its second one does harm: set it to 0"),
        mistake([2, 3], -3.0, because="you judged by the weights alone, and the biases decide as well"),
        mistake([1, 3], 3.0, because="you gave what the weights add; the bias must cancel it, so its sign is opposite"),
        mistake([1, 3], -4.0, because="you gave the bias that unit 1 has now, at which it is dead by a margin of 1"),
        mistake([1, 3], 1.0, because="you gave how much the bias must rise, rather than the bias it then has"),
        mistake("1, 3", -3.0, says="should be a list"),
        mistake([0, 1, 0, 1, 0], -3.0, says="a list of the numbers of units"),
        mistake([False, True, False, True, False], -3.0, says="a list of the numbers of units"),
    ),
)
def dead_units(dead, bias):
    numbers = list(dead) if isinstance(dead, (list, tuple, set)) or np.ndim(dead) == 1 else [dead]
    units = all(isinstance(u, Real) and not isinstance(u, bool) and u in range(5) for u in numbers)
    if not units or len(set(numbers)) < len(numbers):
        raise NotYet("`dead` should be a list of the numbers of units, from 0 to 4.", "dead", dead)
    named = sorted(numbers)
    for unit in range(5):
        if unit in named and unit in LARGEST_AT:
            raise NotYet(f"Unit {unit} is not dead: an input of {LARGEST_AT[unit]} opens it.", "dead", named)
        if unit not in named and unit not in LARGEST_AT:
            message = f"Unit {unit} is dead: no input from 0 to 1 opens it. Where is it largest?"
            raise NotYet(message, "dead", named)
    expect_equal(bias, -3.0, "bias", reveal=False)
    return "The same sum, bias plus all positive weights, tells it for any layer whose inputs go from 0 to 1."


# ---------------------------------------------------------------- leaky ReLU


class LeakyRelu:
    def __init__(self, slope=0.01):
        self.slope = slope

    def forward(self, x):
        self.mask = x <= 0
        return np.where(self.mask, self.slope * x, x)

    def backward(self, dout):
        return np.where(self.mask, self.slope * dout, dout)


class LeakyForwardOnly(LeakyRelu):
    def backward(self, dout):
        return np.where(self.mask, 0, dout)


class LeakyBackwardOnly(LeakyRelu):
    def forward(self, x):
        self.mask = x <= 0
        return np.maximum(x, 0)


class LeakyConstant(LeakyRelu):
    def forward(self, x):
        self.mask = x <= 0
        return np.where(self.mask, self.slope, x)


class LeakySlopeAsGradient(LeakyRelu):
    def backward(self, dout):
        return np.where(self.mask, self.slope, dout)


class LeakyLocalOnly(LeakyRelu):
    def backward(self, dout):
        return np.where(self.mask, self.slope, 1.0)


class LeakyFixed(LeakyRelu):
    def __init__(self, slope=0.01):
        self.slope = 0.01


class LeakySwapped(LeakyRelu):
    def forward(self, x):
        self.mask = x > 0
        return np.where(self.mask, self.slope * x, x)


class LeakySwappedBack(LeakyRelu):
    def backward(self, dout):
        return np.where(self.mask, dout, self.slope * dout)


class LeakyEverywhere(LeakyRelu):
    def forward(self, x):
        self.mask = x <= 0
        return np.maximum(x, 0) + self.slope * x


class LeakyBySignOfDout(LeakyRelu):
    def backward(self, dout):
        return np.where(dout <= 0, self.slope * dout, dout)


class LeakyInPlace(LeakyRelu):
    def backward(self, dout):
        dout[self.mask] *= self.slope
        return dout


@exercise(
    "Build the leaky ReLU",
    solution=LeakyRelu,
    hints=(
        "Where x > 0 it does what ReLU does. Where x ≤ 0 it is a line through 0; what is the slope of that line?",
        "Keep the mask `x <= 0`, as `Relu` does. Where it is True, forward gives `self.slope * x`, and backward "
        "passes on `self.slope` times the gradient that arrives.",
        "Both passes are one `np.where(self.mask, ..., ...)` each: in forward it chooses between `self.slope * x` "
        "and `x`; in backward it does the same with `dout` in place of `x`. Set `self.mask` in forward first.",
    ),
    mistakes=(
        mistake(LeakyForwardOnly, because="your backward is still that of `Relu`, which lets nothing through at x < 0"),
        mistake(LeakyBackwardOnly, because="your forward is still that of `Relu`; at x < 0 it should be `slope * x`"),
        mistake(LeakyConstant, because="you returned the slope itself for negative x; the value there is `slope * x`"),
        mistake(
            LeakySlopeAsGradient,
            because="you passed on the slope itself where x < 0; the chain rule multiplies it by `dout`",
        ),
        mistake(LeakyLocalOnly, because="you returned the slopes alone; the chain rule multiplies them by `dout`"),
        mistake(LeakyFixed, because="your layer always uses 0.01; use `self.slope`, which the caller chooses"),
        mistake(LeakySwapped, because="your two cases are swapped: `slope * x` belongs where x is not positive"),
        mistake(LeakySwappedBack, because="the two cases in backward are swapped: the slope belongs where x ≤ 0"),
        mistake(LeakyEverywhere, because="you added `slope * x` for positive x too; there y is x itself"),
        mistake(
            LeakyBySignOfDout,
            because="you asked for the sign of `dout`; what counts is the sign of x, which forward must keep",
        ),
        mistake(LeakyInPlace, says="changed its argument `dout`"),
    ),
)
def leaky_relu_layer(answer):
    expect_layer(answer, LeakyRelu, POINTS, init=(0.1,))
    expect_layer(answer, LeakyRelu, POINTS, init=(0.25,))
    return "A gate that is never quite shut: whatever arrives, at least `slope` times it passes on."


# ---------------------------------------------------------------- softplus


class Softplus:
    def forward(self, x):
        self.x = x
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def backward(self, dout):
        return dout * sigmoid(self.x)


class SoftplusOverflows(Softplus):
    def forward(self, x):
        self.x = x
        return np.log(1 + np.exp(x))


class SoftplusClips(Softplus):
    def forward(self, x):
        self.x = x
        return np.log(1 + np.exp(np.clip(x, -500, 500)))


class SoftplusWithoutLog1p(Softplus):
    def forward(self, x):
        self.x = x
        return np.maximum(x, 0) + np.log(1 + np.exp(-np.abs(x)))


class SoftplusNoDout(Softplus):
    def backward(self, dout):
        return sigmoid(self.x)


class SoftplusLikeRelu(Softplus):
    def backward(self, dout):
        return np.where(self.x <= 0, 0, dout)


class SoftplusSigmoidOfOutput(Softplus):
    def backward(self, dout):
        return dout * sigmoid(np.logaddexp(0, self.x))


class SoftplusSigmoidSlope(Softplus):
    def backward(self, dout):
        y = sigmoid(self.x)
        return dout * y * (1 - y)


class SoftplusSigmoidOfMinus(Softplus):
    def backward(self, dout):
        return dout * sigmoid(-self.x)


class SoftplusOnlyExp(Softplus):
    def backward(self, dout):
        return dout * np.exp(self.x)


class SoftplusChoosesTooLate(Softplus):
    def forward(self, x):
        self.x = x
        return np.where(x > 0, x + np.log1p(np.exp(-x)), np.log1p(np.exp(x)))


class SoftplusSilences(SoftplusChoosesTooLate):
    def forward(self, x):
        with np.errstate(all="ignore"):
            return super().forward(x)


class SoftplusLogOfZero(Softplus):
    def forward(self, x):
        self.x = x
        return -np.log(sigmoid(-x))


class SoftplusIsXTooSoon(Softplus):
    def forward(self, x):
        self.x = x
        return np.where(x > 10, x, np.log1p(np.exp(np.minimum(x, 10))))


class SoftplusWithoutMaximum(Softplus):
    def forward(self, x):
        self.x = x
        return x + np.log1p(np.exp(-np.abs(x)))


class SoftplusHalf(Softplus):
    def forward(self, x):
        self.x = x
        return np.log1p(np.exp(-np.abs(x)))


@exercise(
    "Build a stable softplus",
    solution=Softplus,
    hints=(
        "Derivative first: take log(1 + exp(x)) node by node. Then forward: which exp can be kept from overflowing?",
        "The derivative of log(1 + e^x) is e^x / (1 + e^x), a function you have already. For forward use the "
        "identity log(1 + e^x) = x + log(1 + e^(−x)) where x > 0, so that every exponent is at most 0.",
        "For x > 0 it is x + log(1 + e^(−x)), else 0 + log(1 + e^x). Together: `np.maximum(x, 0)` plus "
        "`np.log1p(np.exp(-np.abs(x)))`, where `np.log1p(z)` is log(1 + z) without rounding a tiny z away. "
        "Backward multiplies `dout` by `sigmoid(self.x)`.",
    ),
    mistakes=(
        mistake(SoftplusOverflows, says="overflow encountered in exp"),
        mistake(
            SoftplusClips,
            because="you clipped x, which avoids the overflow but gives the value at the bound for all beyond it",
        ),
        mistake(
            SoftplusWithoutLog1p,
            because="the sum 1 + e^(−40) was rounded to exactly 1, whose log is 0 (or small values were cut off); "
            "`np.log1p(z)` is log(1 + z) without that rounding",
        ),
        mistake(SoftplusNoDout, because="you returned the derivative alone; the chain rule multiplies it by `dout`"),
        mistake(
            SoftplusLikeRelu,
            because="your backward is that of `Relu`; softplus has no kink, and its derivative changes smoothly",
        ),
        mistake(
            SoftplusSigmoidOfOutput,
            because="you took sigmoid of the output y; the derivative is sigmoid of the input x",
        ),
        mistake(
            SoftplusSigmoidSlope,
            because="you used the derivative of sigmoid; the derivative of softplus is sigmoid itself",
        ),
        mistake(
            SoftplusSigmoidOfMinus,
            because="you have 1 / (1 + e^x), which is σ(−x): either a sign is wrong, or the factor e^x of the exp node "
            "is missing",
        ),
        mistake(SoftplusOnlyExp, because="you took the derivative of exp alone; the log behind it has one too"),
        mistake(SoftplusChoosesTooLate, says="`np.where` computes both of its branches"),
        mistake(SoftplusSilences, says="only the warning is silenced"),
        mistake(SoftplusLogOfZero, says="divide by zero encountered in log"),
        mistake(
            SoftplusIsXTooSoon,
            because="from some x on you took x itself; what is missing there, log(1 + e^(−x)), is small but not 0",
        ),
        mistake(
            SoftplusWithoutMaximum, because="you added x for negative x as well; only for x > 0 it stands in front"
        ),
        mistake(SoftplusHalf, because="for x > 0 the x in front is missing: log(1 + e^x) = x + log(1 + e^(−x))"),
    ),
)
def softplus_layer(answer):
    expect_layer(answer, Softplus, POINTS)
    expect_layer(answer, Softplus, np.array([[0.0, 4.0, -7.0], [16.0, -15.0, 9.0]]), rtol=1e-9)
    wide = np.array([[-1000.0, 1000.0], [600.0, -800.0]])
    with no_warnings(
        "Rewrite the formula so that exp is never taken of a large positive number, nor log of 0, in both passes. "
        "(`np.where` computes both of its branches for every element and chooses afterwards.)"
    ):
        expect_layer(answer, Softplus, wide)
    with no_silence():
        expect_layer(answer, Softplus, wide)
    x = np.array([-40.0, -30.0])
    with remark("    x = np.array([-40.0, -30.0])"):
        expect_equal(call(answer().forward, x), Softplus().forward(x), "forward(x)", atol=0)
    return "ReLU with its corner rounded off, safe from −1000 to 1000, and exact at −40."


# ---------------------------------------------------------------- swish


class Swish:
    def forward(self, x):
        self.x, self.s = x, sigmoid(x)
        return self.x * self.s

    def backward(self, dout):
        through_product = dout * self.s
        through_sigmoid = dout * self.x * self.s * (1 - self.s)
        return through_product + through_sigmoid


class SwishProductOnly(Swish):
    def backward(self, dout):
        return dout * self.s


class SwishSigmoidOnly(Swish):
    def backward(self, dout):
        return dout * self.x * self.s * (1 - self.s)


class SwishSigmoidWithoutX(Swish):
    def backward(self, dout):
        return dout * self.s * (1 - self.s)


class SwishMultiplies(Swish):
    def backward(self, dout):
        return dout * self.s * self.x * self.s * (1 - self.s)


class SwishForgetsFactor(Swish):
    def backward(self, dout):
        return dout * (self.s + self.s * (1 - self.s))


class SwishNoDout(Swish):
    def backward(self, dout):
        return self.s + self.x * self.s * (1 - self.s)


class SwishHalfDout(Swish):
    def backward(self, dout):
        return dout * self.s + self.x * self.s * (1 - self.s)


class SwishUsesOutput(Swish):
    def backward(self, dout):
        y = self.x * self.s
        return dout * (self.s + self.x * y * (1 - y))


class SwishOwnFactors(Swish):
    def backward(self, dout):
        return dout * self.x + dout * self.s * self.s * (1 - self.s)


class SwishTwoGradients(Swish):
    def backward(self, dout):
        return dout * self.s, dout * self.x * self.s * (1 - self.s)


class SwishIsSigmoid(Swish):
    def forward(self, x):
        self.x, self.s = x, sigmoid(x)
        return self.s.copy()


@exercise(
    "Build the swish layer",
    solution=Swish,
    hints=(
        "Draw the graph: x is used twice, so it forks. What happens to gradients at a fork?",
        "One branch goes straight into the product, the other through σ and then into the product. The product "
        "gives each side `dout` times the other side; the second branch then passes σ, with s (1 − s).",
        "With s = σ(x), kept by forward: the straight branch brings `dout * self.s`, the branch through σ brings "
        "`dout * self.x`, times `self.s * (1 - self.s)`. At the fork the two are added; return that sum.",
    ),
    mistakes=(
        mistake(SwishProductOnly, because="you followed the straight branch alone; x also acts through σ"),
        mistake(SwishSigmoidOnly, because="you followed the branch through σ alone; x also goes straight in"),
        mistake(
            SwishSigmoidWithoutX,
            because="you passed on the derivative of σ alone; the product gives that branch the factor x, and there is "
            "a second branch on which x goes straight in",
        ),
        mistake(SwishMultiplies, because="you multiplied the two branches; gradients are added where branches meet"),
        mistake(
            SwishForgetsFactor,
            because="the branch through σ lacks a factor: the product hands it `dout` times x, not `dout` alone",
        ),
        mistake(SwishNoDout, because="you returned the derivative alone; the chain rule multiplies it by `dout`"),
        mistake(SwishHalfDout, because="only one of the branches is multiplied by `dout`; both must be"),
        mistake(
            SwishUsesOutput,
            because="you used y (1 − y) with the layer's output; the derivative of σ is s (1 − s), with s = σ(x)",
        ),
        mistake(SwishOwnFactors, because="the factors are swapped: a product gives each input the other factor"),
        mistake(
            SwishTwoGradients,
            because="you returned the gradients of the two branches; both come to the one x, where they are added",
        ),
        mistake(SwishIsSigmoid, because="your forward returns σ(x); swish is x times that"),
    ),
)
def swish_layer(answer):
    expect_layer(answer, Swish, POINTS)
    return "A fork and a product in one layer, and no rule that you had to look up."
