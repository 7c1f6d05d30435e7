"""The exercises of chapter 3: the affine layer, softmax, cross-entropy and the squared error."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from course_lib.exercises import exercise, mistake, wording
from course_lib.exercises.compare import NotYet, expect_equal, expect_function, expect_layer, no_warnings
from course_lib.functions import one_hot, softmax
from course_lib.layers import SoftmaxWithLoss


@contextmanager
def _on_misfit(advice: str) -> Iterator[None]:
    """Inside this block `advice` is added to NumPy's complaint that shapes do not fit, which has the learner's line."""
    try:
        yield
    except ValueError as error:
        error.args = (f"{str(error).rstrip()}. {advice}.",)
        raise


# ---------------------------------------------------------------- affine without bias


class AffineWithoutBias:
    def __init__(self, W):
        self.W = W

    def forward(self, x):
        self.x = x
        return x @ self.W

    def backward(self, dout):
        self.dW = self.x.T @ dout
        return dout @ self.W.T


class Transposed(AffineWithoutBias):
    def backward(self, dout):
        self.dW = dout.T @ self.x
        return dout @ self.W.T


class Mean(AffineWithoutBias):
    def backward(self, dout):
        self.dW = self.x.T @ dout / len(dout)
        return dout @ self.W.T


class NoDW(AffineWithoutBias):
    def backward(self, dout):
        return dout @ self.W.T


class DWReturned(AffineWithoutBias):
    def backward(self, dout):
        self.dW = self.x.T @ dout
        return dout @ self.W.T, self.dW


class DWOnly(AffineWithoutBias):
    def backward(self, dout):
        self.dW = self.x.T @ dout
        return self.dW


class DxTurned(AffineWithoutBias):
    def backward(self, dout):
        self.dW = self.x.T @ dout
        return self.W @ dout.T


class WNotTurned(AffineWithoutBias):
    def backward(self, dout):
        self.dW = self.x.T @ dout
        return dout @ self.W


class XNotTurned(AffineWithoutBias):
    def backward(self, dout):
        self.dW = self.x @ dout
        return dout @ self.W.T


class Accumulates(AffineWithoutBias):
    def __init__(self, W):
        self.W, self.dW = W, np.zeros_like(W)

    def backward(self, dout):
        self.dW += self.x.T @ dout
        return dout @ self.W.T


class IgnoresDout(AffineWithoutBias):
    def backward(self, dout):
        self.dW = self.x.T @ np.ones_like(dout)
        return np.ones_like(dout) @ self.W.T


class NoReturn(AffineWithoutBias):
    def backward(self, dout):
        self.dW = self.x.T @ dout


class OneWeightEach(AffineWithoutBias):
    def forward(self, x):
        self.x = x
        return x * self.W


@exercise(
    "Affine without bias",
    solution=AffineWithoutBias,
    hints=(
        "It is the affine layer of this chapter with everything that belongs to `b` taken out. What must forward keep?",
        "Forward keeps `x` and returns x times W. Backward needs two products: one of `x` and `dout` that has the "
        "shape of W, and one of `dout` and `W` that has the shape of x.",
        "`self.dW` is (D, N) @ (N, M), so `x` has to be transposed: `self.x.T @ ...`. What backward returns is "
        "(N, M) @ (M, D), so `W` has to be: `dout @ ...`.",
    ),
    mistakes=(
        mistake(Transposed, because="you multiplied in the wrong order, which gives the transpose of dW"),
        mistake(
            Mean,
            because="you divided dW by the batch size; every sample uses W, so its gradient is a sum over the batch",
        ),
        mistake(DWReturned, because="you returned dW as well; it stays in `self.dW`, and only dx goes back"),
        mistake(DWOnly, because="you returned dW; it stays in `self.dW`, and what goes back is dx"),
        mistake(Accumulates, because="you added to an old dW with `+=`; each backward pass sets it anew"),
        mistake(IgnoresDout, because="you left `dout` out of the products"),
        mistake(DxTurned, because="you multiplied in the wrong order, which gives the transpose of dx"),
        mistake(NoDW, says="Keep it in `self.dW`"),
        mistake(WNotTurned, says="The shapes here: x (5, 3), W (3, 4), dout (5, 4)"),
        mistake(XNotTurned, says="The shapes here: x (5, 3), W (3, 4), dout (5, 4)"),
        mistake(OneWeightEach, says="The shapes here: x (5, 3), W (3, 4)"),
        mistake(NoReturn, says="`return`"),
        mistake(AffineWithoutBias(np.ones((3, 4))), says="should be a class"),
    ),
)
def affine_without_bias(answer):
    rng = np.random.default_rng(31)
    x, W = rng.normal(size=(5, 3)).round(1), rng.normal(size=(3, 4)).round(1)
    for batch in (x, x[:1]):
        with _on_misfit(f"The shapes here: x ({len(batch)}, 3), W (3, 4), dout ({len(batch)}, 4)"):
            expect_layer(answer, AffineWithoutBias, batch, init=(W,), grads=("dW",))
    return "Forward, dx and dW are right for a batch of five and for a single sample."


# ---------------------------------------------------------------- shapes by eye


def shapes():
    shape_y = (20, 50)  # (N, M)
    shape_dout = (20, 50)  # a gradient has the shape of its variable
    shape_db = (50,)
    shape_dW = (784, 50)  # D = 1 * 28 * 28
    shape_dx = (20, 1, 28, 28)
    return shape_y, shape_dout, shape_db, shape_dW, shape_dx


Y, DB, DW, DX = (20, 50), (50,), (784, 50), (20, 1, 28, 28)


@exercise(
    "Shapes by eye",
    solution=shapes,
    hints=(
        "Four of the five follow from one rule: the gradient with respect to a variable has the variable's shape.",
        "An image of 1 × 28 × 28 numbers becomes a row of D = 784. W takes D numbers to M = 50, so W is (784, 50), and "
        "the output has one row for each image.",
        "y and dout are (N, M) = (20, 50). b is (M,), so db is too. dW is as W. And dx is what the layer before handed "
        "in: the images, not yet flattened. A tuple of one number is written with a comma, `(50,)`.",
    ),
    mistakes=(
        mistake(Y, (20,), DB, DW, DX, because="you gave dout one number for each image; it has the shape of y"),
        mistake(Y, (20, 784), DB, DW, DX, because="you gave dout the shape of the input; it has that of the output, y"),
        mistake(Y, (), DB, DW, DX, because="you took dout for a single number; it has the shape of y, whatever L is"),
        mistake(Y, Y, (20, 50), DW, DX, because="you did not sum db over the batch; b is one row, used by every image"),
        mistake(Y, Y, (20,), DW, DX, because="you summed db over the outputs; the sum runs over the batch"),
        mistake(Y, Y, (1, 50), DW, DX, because="you kept the summed axis of db; b has the shape (50,)"),
        mistake(Y, Y, DB, (50, 784), DX, because="you turned dW round; it has the shape of W, (D, M)"),
        mistake(Y, Y, DB, (20, 784, 50), DX, because="you kept a dW for each image; they are summed over the batch"),
        mistake(Y, Y, DB, DW, (20, 784), because="you left the gradient flattened; x came in as images of four axes"),
        mistake(Y, Y, DB, DW, (784, 50), because="you gave dx the shape of W; it has the shape of x"),
        mistake((20, 10), Y, DB, DW, DX, because="you thought of ten digits; this layer has 50 outputs"),
        mistake(
            (20, 784), Y, DB, DW, DX, because="you gave y the shape of the flattened images; it has M = 50 columns"
        ),
        mistake((50, 20), Y, DB, DW, DX, because="you turned y round; a row is a sample"),
        mistake(Y, Y, DB, (28, 28, 50), DX, because="you did not flatten the images; dW has the shape of W"),
        mistake(Y, Y, DB, DW, (1, 28, 28), because="you gave dx the shape of one image; the batch has twenty"),
        mistake(Y, Y, DB, (1, 28, 28, 50), DX, because="you did not flatten the images; dW has the shape of W"),
        mistake(Y, Y, 50, DW, DX, because="the comma is missing: `(50)` is only a number, `(50,)` is a tuple"),
    ),
)
def shapes_by_eye(shape_y, shape_dout, shape_db, shape_dW, shape_dx):
    named = {"shape_y": shape_y, "shape_dout": shape_dout, "shape_db": shape_db}
    named |= {"shape_dW": shape_dW, "shape_dx": shape_dx}
    for (name, found), expected in zip(named.items(), shapes(), strict=True):
        if isinstance(found, (tuple, list)) and list(found) != list(expected):
            axes = "1 axis" if len(found) == 1 else f"{len(found)} axes"
            count = f" It has {axes}; the right one has {len(expected)}." * (len(found) != len(expected))
            raise NotYet(f"`{name}` is not {wording.show(tuple(found))}.{count}", name, tuple(found))
        expect_equal(found, expected, name, reveal=False)
    return "Note that N appears in no shape of a parameter: the batch has been summed away."


# ---------------------------------------------------------------- the softmax of a whole batch


def suspect(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def two_batches_and_a_repair():
    # With one row, the sum over the batch is the sum over the row.
    passes = np.array([[1.0, 2.0, 3.0, 4.0]])
    # With two, they share a sum of 1 between them.
    fails = np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])

    def repaired(x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    return passes, fails, repaired


PASSES, FAILS, REPAIRED = two_batches_and_a_repair()


def over_samples(x):
    e = np.exp(x - x.max(axis=0))
    return e / e.sum(axis=0)


def times_n(x):
    return suspect(x) * len(x)


def not_kept(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1)


def one_maximum(x):
    e = np.exp(x - x.max())
    return e / e.sum(axis=1, keepdims=True)


def row_maximum_whole_sum(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum()


def half_shifted(x):
    return np.exp(x - x.max(axis=1, keepdims=True)) / np.exp(x).sum(axis=1, keepdims=True)


def minimum(x):
    e = np.exp(x - x.min(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def mean(x):
    e = np.exp(x - x.mean(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def no_shift(x):
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


def _scores_batch(batch, name):
    if isinstance(batch, list):
        try:
            batch = np.array(batch)
        except ValueError:
            raise NotYet(f"The rows of `{name}` are not of one length.") from None
    if not wording.is_numeric(batch) or np.ndim(batch) != 2 or not np.size(batch):
        raise NotYet(f"`{name}` should be a batch of scores, an array with two axes, but it is {wording.kind(batch)}.")
    if not np.isfinite(batch).all():
        raise NotYet(f"`{name}` should hold finite numbers only.")
    return np.asarray(batch, dtype=float)


@exercise(
    "The softmax that normalises the whole batch",
    solution=two_batches_and_a_repair,
    hints=(
        "`e.sum()` without an axis is one number. Over what does it sum, and over what should it?",
        "When is the sum over the whole batch the same as the sum over each row? Think of how many rows there are. "
        "For the repair, both `max` and `sum` need to be told their axis.",
        "A batch of one row passes, any batch of two or more fails: its rows share a sum of 1 between them. In "
        "`repaired` write `x.max(axis=1, keepdims=True)` and `e.sum(axis=1, keepdims=True)`.",
    ),
    mistakes=(
        mistake(PASSES[0], FAILS, REPAIRED, says="`passes` should be a batch of scores, an array with two axes"),
        mistake(PASSES, [[1, 2, 3, 4], [1, 2]], REPAIRED, says="The rows of `fails` are not of one length"),
        mistake(FAILS, FAILS, REPAIRED, says="all of it together sums to 1, so not every row does"),
        mistake(np.zeros((2, 4)), FAILS, REPAIRED, says="all of it together sums to 1, so not every row does"),
        mistake(PASSES, PASSES, REPAIRED, says="With a single row the sum over the batch is the sum over the row"),
        mistake(PASSES, FAILS, over_samples, because="you summed over axis 0, the samples; the classes are axis 1"),
        mistake(PASSES, FAILS, times_n, because="you scaled by N: now the rows sum to 1 on average, but not each"),
        mistake(PASSES, FAILS, suspect, because="`repaired` still normalises the whole batch"),
        mistake(PASSES, FAILS, row_maximum_whole_sum, because="your maximum is the row's, but your sum is the batch's"),
        mistake(PASSES, FAILS, not_kept, says="keepdims=True"),
        mistake(PASSES, FAILS, one_maximum, says="Each row needs its own maximum"),
        mistake(PASSES, FAILS, half_shifted, because="you shifted the scores above the fraction bar, but not below it"),
        mistake(PASSES, FAILS, minimum, says="NumPy warned: overflow"),
        mistake(PASSES, FAILS, mean, says="NumPy warned: overflow"),
        mistake(PASSES, FAILS, no_shift, says="NumPy warned: overflow"),
        mistake(PASSES, FAILS, ..., says="Still to be written: `repaired`"),
    ),
)
def whole_batch_softmax(passes, fails, repaired):
    passes, fails = _scores_batch(passes, "passes"), _scores_batch(fails, "fails")
    if not np.allclose(suspect(passes), softmax(passes)):
        message = f"`suspect` is wrong on your `passes`, which has {len(passes)} rows: all of it together sums to 1, "
        raise NotYet(f"{message}so not every row does.")
    if np.allclose(suspect(fails), softmax(fails)):
        why = "With a single row the sum over the batch is the sum over the row."
        raise NotYet(f"`suspect` is right on your `fails`. {why}")
    x = np.random.default_rng(33).normal(size=(3, 4)).round(1)
    # In the last row the maximum is far above the mean, the median, the first and the last, with which one might shift.
    far_apart = np.array(
        [[0.0, 1, 2, 3], [-1003, -1002, -1001, -1000], [1010, 1000, 990, 0], [-1000, 1000, -1000, -1000]]
    )
    with _on_misfit("A maximum or a sum over an axis drops that axis, unless it is given keepdims=True"):
        expect_function(repaired, REPAIRED, (x,), (x[:1],))
        with no_warnings("Each row needs its own maximum, so that its largest exponent is 0."):
            expect_function(repaired, REPAIRED, (far_apart,))
    return "A test with one image would never have found this fault. Test with two, and look at the sum of each row."


# ---------------------------------------------------------------- log-sum-exp


class LogSumExp:
    def forward(self, x):
        top = x.max(axis=1, keepdims=True)  # (N, 1)
        e = np.exp(x - top)
        total = e.sum(axis=1, keepdims=True)
        self.share = e / total
        return (top + np.log(total))[:, 0]  # (N,)

    def backward(self, dout):
        return dout[:, None] * self.share  # (N, 1) * (N, C)


class Naive(LogSumExp):
    def forward(self, x):
        self.share = softmax(x)
        return np.log(np.exp(x).sum(axis=1))


class MaximumForgotten(LogSumExp):
    def forward(self, x):
        self.share = softmax(x)
        return np.log(np.exp(x - x.max(axis=1, keepdims=True)).sum(axis=1))


class MaximumTaken(LogSumExp):
    def forward(self, x):
        self.share = softmax(x)
        return np.log(np.exp(x - x.max(axis=1, keepdims=True)).sum(axis=1)) - x.max(axis=1)


class OneMaximum(LogSumExp):
    def forward(self, x):
        self.share = softmax(x)
        return np.log(np.exp(x - x.max()).sum(axis=1)) + x.max()


class ShiftsByTheMean(LogSumExp):
    def forward(self, x):
        self.share = softmax(x)
        mean = x.mean(axis=1)
        return np.log(np.exp(x - mean[:, None]).sum(axis=1)) + mean


class ShiftsByTheFirst(LogSumExp):
    def forward(self, x):
        self.share = softmax(x)
        return np.log(np.exp(x - x[:, :1]).sum(axis=1)) + x[:, 0]


class Squeezed(LogSumExp):
    def forward(self, x):
        return np.squeeze(super().forward(x))


class AxisKept(LogSumExp):
    def forward(self, x):
        return super().forward(x)[:, None]


class AxisKeptHalfway(LogSumExp):
    def forward(self, x):
        top = x.max(axis=1, keepdims=True)
        self.share = softmax(x)
        return top + np.log(np.exp(x - top).sum(axis=1))


class Total(LogSumExp):
    def forward(self, x):
        self.share = softmax(x)
        return np.log(np.exp(x - x.max()).sum()) + x.max()


class NoDout(LogSumExp):
    def backward(self, dout):
        return self.share


class Averaged(LogSumExp):
    def backward(self, dout):
        return dout[:, None] * self.share / len(dout)


class DoutSummed(LogSumExp):
    def backward(self, dout):
        return dout.sum() * self.share


class DoutFlat(LogSumExp):
    def backward(self, dout):
        return dout * self.share


class OnlyTheLog(LogSumExp):
    def forward(self, x):
        self.total = np.exp(x).sum(axis=1, keepdims=True)
        return super().forward(x)

    def backward(self, dout):
        return dout[:, None] / self.total * np.ones_like(self.share)


class NoLog(LogSumExp):
    def forward(self, x):
        self.e = np.exp(x)
        return super().forward(x)

    def backward(self, dout):
        return dout[:, None] * self.e


@exercise(
    "Log-sum-exp as a layer",
    solution=LogSumExp,
    hints=(
        "Forward: shift by the row's maximum, as softmax does. What must be added in the end to make up for the shift? "
        "Backward: go through log, sum and exp one after the other.",
        "ln Σ exp(x) = c + ln Σ exp(x − c) for every c. For backward, log gives 1/S, the sum hands that to every "
        "exponential, and exp multiplies by itself. You know the quotient that comes out.",
        "With `top = x.max(axis=1, keepdims=True)`, forward is `top[:, 0] + np.log(np.exp(x - top).sum(axis=1))`. The "
        "derivative is softmax(x), which forward can keep, and `dout[:, None]` turns (N,) into (N, 1), a number a row.",
    ),
    mistakes=(
        mistake(MaximumForgotten, because="you did not add the maximum that was subtracted"),
        mistake(MaximumTaken, because="you subtracted the maximum a second time instead of adding it"),
        mistake(Total, because="you summed over the whole batch; each sample has a sum of its own"),
        mistake(NoDout, because="you forgot to multiply by `dout`"),
        mistake(OnlyTheLog, because="you stopped after log and sum; exp has a derivative as well, which is exp"),
        mistake(NoLog, because="you left out the derivative of the log, 1/S"),
        mistake(AxisKept, says="should be an array of shape (3,), but it is an array of shape (3, 1)"),
        mistake(
            AxisKeptHalfway,
            because="you added (N, 1) and (N,), which broadcasting makes into (N, N); `top[:, 0]` has the shape (N,)",
        ),
        mistake(Averaged, because="you divided by the batch size, but nothing was averaged on the way forward"),
        mistake(DoutSummed, because="you added up `dout`; each row is multiplied by its own number"),
        mistake(DoutFlat, says="dout[:, None] for dout"),
        mistake(Naive, says="NumPy warned: overflow"),
        mistake(OneMaximum, says="NumPy warned: divide by zero"),
        mistake(ShiftsByTheMean, says="NumPy warned: overflow"),
        mistake(ShiftsByTheFirst, says="NumPy warned: overflow"),
        mistake(Squeezed, says="should be an array of shape (1,), but it is a number"),
    ),
)
def log_sum_exp(answer):
    x = np.random.default_rng(34).normal(size=(3, 4)).round(1)
    far_apart = np.array(
        [[1000.0, 1010, 990, 0], [-1000, -1010, -990, -2000], [0, 0.5, 1, 1.5], [-1000, 1000, -1000, -1000]]
    )
    advice = "A number for each row of (3, 4) has shape (3, 1): keepdims=True in max and sum, dout[:, None] for dout"
    with _on_misfit(advice):
        expect_layer(answer, LogSumExp, x)
        expect_layer(answer, LogSumExp, x[:1])
        with no_warnings("Shift each row by its own maximum, so that the largest exponent is 0."):
            expect_layer(answer, LogSumExp, far_apart)
    return "The gradient of log-sum-exp is softmax. You will meet it again in a moment."


# ---------------------------------------------------------------- the gradient by eye


def gradient_of_two():
    # (y - t) / N, with N = 2 and the ones of t at classes 1 and 0
    gradient = np.array([[0.1, 0.2 - 1, 0.7], [0.5 - 1, 0.25, 0.25]]) / 2
    return gradient


PROBABILITIES = np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]])
LABELS = np.array([1, 0])


@exercise(
    "The gradient by eye",
    solution=gradient_of_two,
    hints=(
        "Softmax with loss hands back (y − t)/N. What is t as two rows of zeros and ones?",
        "t is [[0, 1, 0], [1, 0, 0]]: take 1 away from the probability of the right class in each row. Of how many "
        "samples is the loss the mean?",
        "Two samples, so halve everything. The first row is [0.1, 0.2 − 1, 0.7] / 2 = [0.05, −0.4, 0.35]; the second "
        "goes the same way, and each row sums to 0.",
    ),
    mistakes=(
        mistake(PROBABILITIES - one_hot(LABELS, 3), because="you forgot to divide by the two samples"),
        mistake((one_hot(LABELS, 3) - PROBABILITIES) / 2, because="you took t − y; the gradient is y − t"),
        mistake((PROBABILITIES - one_hot(LABELS, 3)) / 3, because="you divided by the 3 classes, not by the 2 samples"),
        mistake((PROBABILITIES - one_hot(LABELS, 3)) / 6, because="you divided by all 6 numbers, not by the 2 samples"),
        mistake((PROBABILITIES - one_hot((LABELS - 1) % 3, 3)) / 2, because="you counted the classes from 1"),
        mistake(PROBABILITIES, because="you gave the probabilities as they are; take the labels off, and divide by N"),
        mistake(
            [[0, -0.4, 0], [-0.25, 0, 0]],
            because="you gave a gradient to the right class alone; all scores stand in the sum of the softmax",
        ),
        mistake([[0.05, -0.4, 0.35], [-0.25, 0.125]], says="two rows of three numbers"),
        mistake(PROBABILITIES / 2, because="you did not subtract the labels"),
        mistake(
            (PROBABILITIES - LABELS[:, None]) / 2,
            because="you subtracted the number of the class; a row of t is 0s and a 1",
        ),
        mistake(np.zeros((3, 2)), says="should be an array of shape (2, 3), but it is an array of shape (3, 2)"),
    ),
)
def gradient_by_eye(gradient):
    if isinstance(gradient, (list, tuple)):
        try:
            gradient = np.array(gradient, dtype=float)
        except (TypeError, ValueError):
            raise NotYet("`gradient` should be two rows of three numbers, such as [[1, 2, 3], [4, 5, 6]].") from None
    expect_equal(gradient, gradient_of_two(), "gradient", reveal=False)
    return "Each row sums to 0, and the second sample, already half right, pulls less than the first."


# ---------------------------------------------------------------- two losses


class TwoLosses:
    def __init__(self, share):
        self.share = share
        self.by_label, self.by_teacher = SoftmaxWithLoss(), SoftmaxWithLoss()

    def forward(self, x, t, teacher):
        label, other = self.by_label.forward(x, t), self.by_teacher.forward(x, teacher)
        return (1 - self.share) * label + self.share * other

    def backward(self, dout=1):
        dx_label = self.by_label.backward((1 - self.share) * dout)
        dx_teacher = self.by_teacher.backward(self.share * dout)
        return dx_label + dx_teacher  # x was used twice


class DoutIgnored(TwoLosses):
    def backward(self, dout=1):
        return super().backward(1)


class SharesForgotten(TwoLosses):
    def backward(self, dout=1):
        return self.by_label.backward(dout) + self.by_teacher.backward(dout)


class OneInstance(TwoLosses):
    def __init__(self, share):
        super().__init__(share)
        self.by_teacher = self.by_label


class OnlyLabel(TwoLosses):
    def backward(self, dout=1):
        return self.by_label.backward((1 - self.share) * dout)


class OnlyTeacher(TwoLosses):
    def backward(self, dout=1):
        return self.by_teacher.backward(self.share * dout)


class SharesSwapped(TwoLosses):
    def forward(self, x, t, teacher):
        return self.share * self.by_label.forward(x, t) + (1 - self.share) * self.by_teacher.forward(x, teacher)


class BackSwapped(TwoLosses):
    def backward(self, dout=1):
        return self.by_label.backward(self.share * dout) + self.by_teacher.backward((1 - self.share) * dout)


class JustAdded(TwoLosses):
    def forward(self, x, t, teacher):
        return self.by_label.forward(x, t) + self.by_teacher.forward(x, teacher)


class Multiplied(TwoLosses):
    def backward(self, dout=1):
        return self.by_label.backward((1 - self.share) * dout) * self.by_teacher.backward(self.share * dout)


class TeacherIgnored(TwoLosses):
    def forward(self, x, t, teacher):
        return super().forward(x, t, t)


class HardTeacher(TwoLosses):
    def forward(self, x, t, teacher):
        return super().forward(x, t, teacher.argmax(axis=1))


class Tuple(TwoLosses):
    def backward(self, dout=1):
        return self.by_label.backward((1 - self.share) * dout), self.by_teacher.backward(self.share * dout)


@exercise(
    "Two losses on the same scores",
    solution=TwoLosses,
    hints=(
        "Draw it: x forks into two nodes, each of which remembers a t of its own. Each loss is multiplied by its "
        "share, and the two products are added.",
        "Make two `SoftmaxWithLoss` in `__init__`; one instance can remember one t only. Backward gives each of them "
        "its own upstream gradient, and then the fork in x adds what they return.",
        "The upstream gradient of the first is `(1 - self.share) * dout`, that of the second `self.share * dout`: the "
        "× node of chapter 1, dout times the other factor. Return "
        "`self.by_label.backward(...) + self.by_teacher.backward(...)`.",
    ),
    mistakes=(
        mistake(DoutIgnored, because="you did not use `dout`; a loss that is scaled has a gradient that is scaled"),
        mistake(SharesForgotten, because="you left the shares out of backward; each is a factor of its loss"),
        mistake(
            OneInstance,
            because="you used one `SoftmaxWithLoss` twice, which remembers the second t only, or sent back the "
            "gradient of the teacher's loss alone and in full",
        ),
        mistake(OnlyLabel, because="you sent back the gradient of the label's loss alone; x is used twice"),
        mistake(OnlyTeacher, because="you sent back the gradient of the teacher's loss alone; x is used twice"),
        mistake(SharesSwapped, because="you swapped the shares; `share` belongs to the teacher"),
        mistake(BackSwapped, because="you swapped the shares in backward; `share` belongs to the teacher"),
        mistake(JustAdded, because="you added the losses without their shares"),
        mistake(Multiplied, because="you multiplied the gradients of the two branches; where branches meet they add"),
        mistake(TeacherIgnored, because="both losses got `t`; the second one is with `teacher`"),
        mistake(HardTeacher, because="you took the teacher's likeliest class; its probabilities are labels too"),
        mistake(Tuple, because="you returned both gradients; they come to the one x, where they are added"),
    ),
)
def two_losses(answer):
    rng = np.random.default_rng(36)
    x, t = rng.normal(size=(3, 4)).round(1), np.array([2, 0, 3])
    teacher = np.array([[0.1, 0.2, 0.6, 0.1], [0.7, 0.1, 0.1, 0.1], [0.2, 0.4, 0.1, 0.3]])
    expect_layer(answer, TwoLosses, x, t, teacher, init=(0.3,))
    expect_layer(answer, TwoLosses, x[:1], t[:1], teacher[:1], init=(0.9,))
    return "Small networks learn to imitate large ones like this. A loss that ignored `dout` would spoil it."


# ---------------------------------------------------------------- label smoothing


def smooth(t, num_classes, epsilon):
    return (1 - epsilon) * np.eye(num_classes)[t] + epsilon / num_classes


def to_the_others(t, num_classes, epsilon):
    rows = np.full((len(t), num_classes), epsilon / (num_classes - 1))
    rows[np.arange(len(t)), t] = 1 - epsilon
    return rows


def too_little(t, num_classes, epsilon):
    rows = np.full((len(t), num_classes), epsilon / num_classes)
    rows[np.arange(len(t)), t] = 1 - epsilon
    return rows


def too_much(t, num_classes, epsilon):
    return np.eye(num_classes)[t] + epsilon / num_classes


def undivided(t, num_classes, epsilon):
    return (1 - epsilon) * np.eye(num_classes)[t] + epsilon


def whole_to_each(t, num_classes, epsilon):
    return np.where(np.eye(num_classes)[t] == 1, 1 - epsilon, epsilon)


def takes_too_little(t, num_classes, epsilon):
    return (1 - epsilon / num_classes) * np.eye(num_classes)[t] + epsilon / num_classes


def by_one_less(t, num_classes, epsilon):
    return (1 - epsilon) * np.eye(num_classes)[t] + epsilon / (num_classes - 1)


def by_samples(t, num_classes, epsilon):
    return (1 - epsilon) * np.eye(num_classes)[t] + epsilon / len(t)


def swapped(t, num_classes, epsilon):
    return epsilon * np.eye(num_classes)[t] + (1 - epsilon) / num_classes


@exercise(
    "Label smoothing",
    solution=smooth,
    hints=(
        "Start from one-hot rows. A part ε of their probability is taken away; where does it go?",
        "`np.eye(num_classes)[t]` are the one-hot rows. Multiplied by 1 − ε, each row sums to 1 − ε. What has to be "
        "added to every entry so that it sums to 1 again?",
        "ε is shared by all C classes, the right one included, so ε/C is added everywhere: the line is "
        "`return (1 - epsilon) * np.eye(num_classes)[t] + ...`.",
    ),
    mistakes=(
        mistake(to_the_others, because="you shared ε among the other classes; here the right class has its share too"),
        mistake(too_little, because="you left the right class without its share ε/C: the rows sum to less than 1"),
        mistake(too_much, because="you added ε/C and took nothing away: the rows sum to 1 + ε"),
        mistake(undivided, because="you gave a whole ε to each class; C classes share it"),
        mistake(whole_to_each, because="you gave the whole ε to every other class; C classes share it"),
        mistake(
            takes_too_little,
            because="the label still holds the whole 1; take ε away from it before each class gets its ε/C",
        ),
        mistake(by_one_less, because="you divided by C − 1; all C classes share ε, the right one too"),
        mistake(by_samples, because="you divided ε by the number of samples; it is the classes that share it"),
        mistake(swapped, because="you swapped ε and 1 − ε"),
        mistake(lambda t, num_classes, epsilon: np.eye(num_classes)[t], because="you returned the labels unsmoothed"),
        mistake(
            lambda t, num_classes, epsilon: smooth(t, num_classes, epsilon)[0],
            says="should be an array of shape (3, 5)",
        ),
    ),
)
def label_smoothing(answer):
    t = np.array([2, 0, 4])
    expect_function(answer, smooth, (t, 5, 0.1), (t, 6, 0.3), (t, 5, 0.0), (t, 5, 1.0), (np.array([1, 1]), 2, 0.2))
    return "These rows are labels like any other: `SoftmaxWithLoss` takes them, and its gradient is still (y − t)/N."


# ---------------------------------------------------------------- mean squared error


class MeanSquaredError:
    def forward(self, y, t):
        self.difference = y - t
        return np.sum(self.difference**2) / (2 * len(y))

    def backward(self, dout=1):
        return dout * self.difference / len(self.difference)


class OverAllNumbers(MeanSquaredError):
    def forward(self, y, t):
        super().forward(y, t)
        return np.mean((y - t) ** 2)


class HalfOverAllNumbers(MeanSquaredError):
    def forward(self, y, t):
        super().forward(y, t)
        return np.mean((y - t) ** 2) / 2


class NoHalf(MeanSquaredError):
    def forward(self, y, t):
        return 2 * super().forward(y, t)


class Summed(MeanSquaredError):
    def forward(self, y, t):
        return super().forward(y, t) * len(y)


class OverOutputs(MeanSquaredError):
    def forward(self, y, t):
        super().forward(y, t)
        return np.sum((y - t) ** 2) / (2 * y.shape[1])


class NotSquared(MeanSquaredError):
    def forward(self, y, t):
        super().forward(y, t)
        return np.sum(np.abs(y - t)) / (2 * len(y))


class EachSample(MeanSquaredError):
    def forward(self, y, t):
        super().forward(y, t)
        return np.sum((y - t) ** 2, axis=1) / 2


class NotAveragedBack(MeanSquaredError):
    def backward(self, dout=1):
        return dout * self.difference


class TwiceBack(MeanSquaredError):
    def backward(self, dout=1):
        return dout * 2 * self.difference / len(self.difference)


class HalfBack(MeanSquaredError):
    def backward(self, dout=1):
        return dout * self.difference / (2 * len(self.difference))


class AddsDout(MeanSquaredError):
    def backward(self, dout=1):
        return dout + self.difference / len(self.difference)


class SummedBack(MeanSquaredError):
    def backward(self, dout=1):
        return dout * np.sum(self.difference) / len(self.difference)


class SquareOfTheSum(MeanSquaredError):
    def forward(self, y, t):
        super().forward(y, t)
        return np.sum(y - t) ** 2 / (2 * len(y))


class TimesN(MeanSquaredError):
    def forward(self, y, t):
        super().forward(y, t)
        return np.sum((y - t) ** 2) / 2 * len(y)


class SizeBack(MeanSquaredError):
    def backward(self, dout=1):
        return dout * self.difference / self.difference.size


class Uphill(MeanSquaredError):
    def backward(self, dout=1):
        return -super().backward(dout)


class AlwaysOne(MeanSquaredError):
    def backward(self, dout=1):
        return super().backward(1)


class MeanBack(MeanSquaredError):
    def backward(self, dout=1):
        return dout * 2 * self.difference / self.difference.size


class Both(MeanSquaredError):
    def backward(self, dout=1):
        return super().backward(dout), -super().backward(dout)


@exercise(
    "A layer for the mean squared error",
    solution=MeanSquaredError,
    hints=(
        "Forward needs `y - t` and backward needs it again, so keep it. What is the derivative of half a square?",
        "The loss is ½ Σ (y − t)² / N, where N is the number of rows. Nudge a single y: only its own square changes, "
        "and the 2 of the derivative cancels the ½.",
        "Forward: keep `self.difference = y - t` and return `np.sum(self.difference**2) / (2 * len(y))`. Backward is "
        "the difference divided by N, times `dout`: the targets are data, and get no gradient.",
    ),
    mistakes=(
        mistake(
            OverAllNumbers, because="you divided by all numbers, as `np.mean` does, and left out the ½; divide by 2N"
        ),
        mistake(HalfOverAllNumbers, because="you divided by all N·M numbers, as `np.mean` does; divide by N"),
        mistake(NoHalf, because="you left out the ½"),
        mistake(Summed, because="you did not divide by the number of samples"),
        mistake(OverOutputs, because="you divided by the number of outputs; N is the number of rows"),
        mistake(NotSquared, because="you did not square the differences"),
        mistake(NotAveragedBack, because="you averaged the loss but not its gradient, which is N times too large now"),
        mistake(TwiceBack, because="you forgot that the ½ cancels the 2 of the derivative"),
        mistake(HalfBack, because="you kept the ½ in the gradient; the 2 of the derivative cancels it"),
        mistake(AddsDout, because="you added `dout` where the chain rule multiplies"),
        mistake(SummedBack, because="you added up the differences; each y has a gradient of its own"),
        mistake(SquareOfTheSum, because="you squared the sum; each difference is squared by itself, and then they add"),
        mistake(TimesN, because="brackets are missing: `/ 2 * len(y)` multiplies by N, `/ (2 * len(y))` divides by it"),
        mistake(MeanBack, because="your gradient is that of `np.mean` of the squares, 2 / (N·M); the loss has 1 / 2N"),
        mistake(SizeBack, because="you divided the gradient by all numbers; the loss is divided by N"),
        mistake(Uphill, because="you took t − y; a larger y makes y − t larger"),
        mistake(AlwaysOne, because="you did not multiply by `dout`"),
        mistake(EachSample, says="should be a number, but it is an array of shape (3,)"),
        mistake(Both, says="should be an array of shape (3, 5), but it is a tuple"),
    ),
)
def mean_squared_error_layer(answer):
    rng = np.random.default_rng(38)
    y, t = rng.normal(size=(2, 3, 5)).round(1)
    expect_layer(answer, MeanSquaredError, y, t)
    expect_layer(answer, MeanSquaredError, y[:1], t[:1])
    return "Another loss, and the same (y − t)/N: that is what the ½ is for."
