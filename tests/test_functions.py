"""The functions: exact at the extremes, silent, fresh, and clear about the labels they cannot use."""

import re
import warnings
from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from course_lib.functions import (
    as_floats,
    as_labels,
    cross_entropy,
    log_softmax,
    mean_squared_error,
    negative_log_likelihood,
    one_hot,
    sigmoid,
    softmax,
)

pytestmark = pytest.mark.filterwarnings("error")
getcontext().prec = 50

numbers = st.floats(-1e4, 1e4)
rows = arrays(float, st.integers(1, 6), elements=numbers)  # (C,)
batches = arrays(float, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=numbers)  # (N, C)


def frozen(x):
    """A copy of x that complains when it is written to."""
    x = np.array(x)
    x.setflags(write=False)
    return x


def fails(check, *arguments):
    """Does this check fail, as it must for the textbook's version?"""
    with pytest.raises(AssertionError):
        check(*arguments)


# --- sigmoid ---------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.floats(-700, 700))
def test_sigmoid_agrees_with_fifty_digits(x):
    exact = 1 / (1 + (-Decimal(x)).exp())
    assert abs(Decimal(float(sigmoid(x))) / exact - 1) < Decimal("5e-16")


@settings(deadline=None)
@given(batches)
def test_sigmoid_lies_between_0_and_1_and_is_symmetric(x):
    y = sigmoid(frozen(x))
    assert y.shape == x.shape and (y >= 0).all() and (y <= 1).all()
    assert np.allclose(y + sigmoid(-x), 1, rtol=0, atol=4e-16)


def test_sigmoid_never_warns_and_the_textbooks_does():
    def silent_and_right_far_out(function):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            y = function(np.array([-1e4, -1000.0, 0.0, 1000.0, 1e4]))
        assert not caught
        assert y.tolist() == [0, 0, 0.5, 1, 1]

    silent_and_right_far_out(sigmoid)
    fails(silent_and_right_far_out, lambda x: 1 / (1 + np.exp(-x)))


# --- softmax and its logarithm ---------------------------------------------------------------------------------


def exact_softmax(row):
    exps = [Decimal(float(v)).exp() for v in row]
    return [e / sum(exps) for e in exps]


@settings(deadline=None)
@given(rows)
def test_softmax_and_log_softmax_agree_with_fifty_digits(x):
    for y, log_y, exact in zip(softmax(x).tolist(), log_softmax(x).tolist(), exact_softmax(x), strict=True):
        # x - max is rounded, to 2e-12 at 1e4, and exp turns that into a relative error
        assert abs(Decimal(y) - exact) <= exact * Decimal("1e-11") + Decimal("1e-300")
        assert abs(Decimal(log_y) - exact.ln()) <= Decimal("1e-11")


@settings(deadline=None)
@given(batches)
def test_the_rows_of_softmax_are_distributions(x):
    y = softmax(frozen(x))
    assert y.shape == x.shape and np.isfinite(y).all() and (y >= 0).all()
    assert np.allclose(y.sum(axis=1), 1, rtol=0, atol=1e-14)


@settings(deadline=None)
@given(batches, st.integers(-1000, 1000))
def test_softmax_ignores_a_shift_of_a_row(x, shift):
    x = x.round()  # so that adding a whole number is exact
    assert np.array_equal(softmax(x + shift), softmax(x))
    assert np.array_equal(log_softmax(x + shift), log_softmax(x))


@settings(deadline=None)
@given(rows)
def test_softmax_keeps_the_order(x):
    order = np.argsort(x)
    assert (np.diff(softmax(x)[order]) >= 0).all()
    assert (np.diff(log_softmax(x)[order]) >= 0).all()


@settings(deadline=None)
@given(batches)
def test_each_row_of_a_batch_is_treated_as_if_it_were_alone(x):
    for function in softmax, log_softmax:
        assert np.array_equal(function(x), np.array([function(row) for row in x]))


@settings(deadline=None)
@given(arrays(float, (3, 4), elements=st.floats(-300, 300)))
def test_log_softmax_is_the_log_of_softmax_where_that_is_safe(x):
    assert np.allclose(log_softmax(frozen(x)), np.log(softmax(x)), rtol=1e-13, atol=1e-13)


def test_softmax_normalises_each_row_and_the_textbooks_the_whole_batch():
    def each_row_sums_to_one(function):
        assert np.allclose(function(np.array([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]])).sum(axis=1), 1)

    def textbook(x):
        return np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x)))

    each_row_sums_to_one(softmax)
    fails(each_row_sums_to_one, textbook)
    assert np.allclose(textbook(np.array([1.0, 2.0])), softmax(np.array([1.0, 2.0])))  # one row hides it


def test_softmax_at_1e4_and_the_naive_one():
    def finite_and_right(function):
        with np.errstate(all="ignore"):
            assert function(np.array([1e4, 1e4, -1e4])).tolist() == [0.5, 0.5, 0]

    finite_and_right(softmax)
    fails(finite_and_right, lambda x: np.exp(x) / np.exp(x).sum())


# --- cross-entropy ---------------------------------------------------------------------------------------------


def test_the_loss_of_a_hopeless_score_is_40_and_the_textbooks_16():
    def forty(loss):
        assert loss(np.array([[0.0, 40.0]]), np.array([0])) == pytest.approx(40, abs=1e-12)

    def textbook(x, t):
        y = softmax(x)
        return -np.sum(np.log(y[np.arange(len(t)), t] + 1e-7)) / len(t)

    forty(lambda x, t: negative_log_likelihood(log_softmax(x), t))
    forty(lambda x, t: cross_entropy(softmax(x), t))
    fails(forty, textbook)
    assert textbook(np.array([[0.0, 40.0]]), np.array([0])) == pytest.approx(16.118, abs=1e-3)


@pytest.mark.parametrize("gap", [1.0, 40.0, 1e3, 1e4])
def test_the_loss_is_exact_for_any_gap_between_the_scores(gap):
    scores = np.array([[0.0, gap], [gap, 0.0], [-gap, 0.0]])
    exact = gap + np.log1p(np.exp(-gap))
    assert negative_log_likelihood(log_softmax(scores), np.array([0, 1, 0])) == pytest.approx(exact, rel=1e-15)
    right = negative_log_likelihood(log_softmax(scores), np.array([1, 0, 1]))
    assert right == pytest.approx(np.log1p(np.exp(-gap)), rel=1e-9, abs=1e-16)
    assert not np.signbit(right)


def test_probability_0_at_the_label_costs_infinity_silently_and_elsewhere_nothing():
    y = frozen([[0.0, 1.0], [0.5, 0.5]])
    assert cross_entropy(y, np.array([0, 0])) == np.inf
    assert cross_entropy(y, np.array([[1.0, 0.0], [0.0, 1.0]])) == np.inf
    assert cross_entropy(y, np.array([1, 0])) == cross_entropy(y, np.array([[0, 1], [1, 0]])) == np.log(2) / 2
    assert cross_entropy(np.eye(2), np.eye(2)) == 0


def test_a_batch_costs_the_mean_of_its_samples_and_a_sum_is_not_that():
    y, t = softmax(np.arange(12.0).reshape(4, 3) % 5), np.array([0, 1, 2, 1])

    def mean_of_its_samples(loss):
        assert loss(y, t) == pytest.approx(np.mean([loss(y[[i]], t[[i]]) for i in range(4)]), rel=1e-14)

    mean_of_its_samples(cross_entropy)
    fails(mean_of_its_samples, lambda y, t: -np.log(y[np.arange(len(t)), t]).sum())


@settings(deadline=None)
@given(batches, st.randoms(use_true_random=False))
def test_both_forms_of_labels_cost_the_same(x, random):
    n, num_classes = x.shape
    t = np.array([random.randrange(num_classes) for _ in range(n)])
    log_y, y = log_softmax(x), softmax(x)
    for dtype in float, np.float32, int, np.uint8, bool:
        t_rows = frozen(one_hot(t, num_classes, dtype))
        assert negative_log_likelihood(log_y, t_rows) == pytest.approx(negative_log_likelihood(log_y, t), rel=1e-13)
        assert cross_entropy(y, t_rows) == pytest.approx(cross_entropy(y, t), rel=1e-13)
    for dtype in np.uint8, np.int32, np.uint64:
        assert negative_log_likelihood(log_y, t.astype(dtype)) == negative_log_likelihood(log_y, t)


def test_soft_labels_are_weighted():
    y = np.array([[0.5, 0.25, 0.25]])
    assert cross_entropy(y, np.array([[0.5, 0.5, 0.0]])) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(4))


def test_a_single_sample_needs_no_batch_axis():
    assert as_labels([0.25, 0.75], (1, 2)).tolist() == [[0.25, 0.75]]
    y = np.array([0.5, 0.25, 0.25])
    for t in 1, np.array(1), np.array([1]), [1], np.array([0, 1, 0]), np.array([[0.0, 1.0, 0.0]]):
        assert cross_entropy(y, t) == cross_entropy(y[None], t) == np.log(4)


@pytest.mark.parametrize("wrong", [np.full((2, 2), "text"), np.ones((2, 2), complex)], ids=["text", "complex"])
def test_losses_of_what_holds_no_numbers_are_refused(wrong):
    y, t = np.full((2, 2), 0.5), np.array([0, 1])
    for use in (
        lambda: cross_entropy(wrong, t),
        lambda: mean_squared_error(wrong, y),
        lambda: mean_squared_error(y, wrong),
    ):
        with pytest.raises(TypeError, match="expected an array of numbers; got one of dtype"):
            use()


def test_losses_are_plain_floats():
    y = np.full((2, 2), 0.5, np.float32)
    assert type(cross_entropy(y, np.array([0, 1]))) is float
    assert type(mean_squared_error(y, y)) is float


# --- mean squared error ----------------------------------------------------------------------------------------


def test_mean_squared_error_is_half_the_squared_distance_per_sample():
    y, t = np.array([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]), np.zeros((3, 2))
    assert mean_squared_error(frozen(y), frozen(t)) == pytest.approx((9 + 16) / 2 / 3)
    assert mean_squared_error(np.array([3.0, 4.0]), np.zeros(2)) == 12.5  # a single sample


def test_mean_squared_error_of_pixels_does_not_wrap():
    assert mean_squared_error(np.array([[1]], np.uint8), np.array([[255]], np.uint8)) == 254**2 / 2


def test_mean_squared_error_does_not_broadcast():
    with pytest.raises(ValueError, match=re.escape("y has (3, 1), t has (1, 3)")):
        mean_squared_error(np.zeros((3, 1)), np.zeros(3))


# --- labels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "t, error, sentence",
    [
        ([0, 3], ValueError, "label 3 names no class: with 3 classes, labels go from 0 to 2."),
        ([-1, 0], ValueError, "label -1 names no class"),
        ([0, 1, 2], ValueError, "labels have shape (3,); for scores of shape (2, 3) they are integers of shape (2,)"),
        ([[0], [1]], ValueError, "labels have shape (2, 1)"),
        ([[1.0, 0.0], [0.0, 1.0]], ValueError, "or probabilities of shape (2, 3)"),
        (np.eye(3), ValueError, "labels have shape (3, 3)"),
        ([0.0, 1.0], TypeError, "must be integers; their dtype is float64. Convert them with t.astype(int)."),
        ([True, False], TypeError, "their dtype is bool"),
        (["0", "1"], TypeError, "must be integers"),
        ([["a", "b", "c"]] * 2, TypeError, "expected an array of numbers"),
        ([[1, 0, 0], [1, 1, 0]], ValueError, "label row 1 is no distribution: it sums to 2"),
        ([[0.5, 0.4, 0.0], [0, 0, 1]], ValueError, "label row 0 is no distribution: it sums to 0.9"),
        ([[1.5, -0.5, 0.0], [0, 0, 1]], ValueError, "label row 0 is no distribution: it sums to 1 with a smallest"),
        ([[0, 0, 1], [1.5, -0.5, 0.0]], ValueError, "label row 1 is no distribution: it sums to 1 with a smallest"),
        ([[0, 0, 1], [1.5, -0.5, 0.0]], ValueError, "a smallest entry of -0.5"),
        ([[0, 0, 1], [np.nan, 0, 1]], ValueError, "label row 1 is no distribution"),
        (np.ones((2, 3), bool), ValueError, "label row 0 is no distribution: it sums to 3"),
    ],
)
def test_labels_that_cannot_be_used_are_told_so(t, error, sentence):
    scores = np.zeros((2, 3))
    for use in (
        lambda: as_labels(t, scores.shape),
        lambda: cross_entropy(softmax(scores), t),
        lambda: negative_log_likelihood(log_softmax(scores), t),
    ):
        with pytest.raises(error, match=re.escape(sentence)):
            use()


def test_probabilities_may_be_rounded_to_four_decimals_but_not_to_two():
    for sum_of_row, usable in ((1 - 5e-4, True), (1 + 5e-4, True), (1 - 5e-3, False), (1 + 5e-3, False)):
        t = np.array([[0.5, sum_of_row - 0.5]])
        if usable:
            assert np.array_equal(as_labels(t, (1, 2)), t)
        else:
            with pytest.raises(ValueError, match=f"it sums to {sum_of_row:g}"):
                as_labels(t, (1, 2))


def test_scores_of_three_axes_are_told_so():
    with pytest.raises(ValueError, match=re.escape("scores have shape (N, C), a row for each sample; got (2, 3, 4)")):
        negative_log_likelihood(np.zeros((2, 3, 4)), np.zeros(2, int))


def test_labels_are_not_copied_without_need():
    for t in np.array([0, 1]), np.array([[1.0, 0, 0], [0, 1.0, 0]]):
        assert np.shares_memory(as_labels(t, (2, 3)), t)


def test_one_hot():
    assert one_hot(frozen([2, 0, 1]), 3).tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert one_hot([2, 0], 4, np.float32).dtype == np.float32
    assert one_hot(np.array([1], np.uint8), 300).shape == (1, 300)
    assert one_hot(np.zeros(0, int), 3).shape == (0, 3)
    assert one_hot([0], 1).tolist() == [[1]]


@pytest.mark.parametrize(
    "t, error, sentence",
    [
        ([3], ValueError, "label 3 names no class"),
        ([-1], ValueError, "label -1 names no class"),
        ([0.0], TypeError, "must be integers"),
        (2, ValueError, "one_hot takes integer labels of shape (N,); got shape ()"),
        (np.eye(3, dtype=int), ValueError, "one_hot takes integer labels of shape (N,); got shape (3, 3)"),
    ],
)
def test_one_hot_refuses_what_names_no_class(t, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        one_hot(t, 3)


# --- all of them -----------------------------------------------------------------------------------------------

ELEMENTWISE = [sigmoid, softmax, log_softmax]


@pytest.mark.parametrize("function", ELEMENTWISE)
def test_results_are_fresh_and_keep_shape_and_dtype(function):
    for dtype in np.float32, np.float64:
        for shape in (3,), (2, 3), (0, 3):
            x = frozen(np.arange(np.prod(shape), dtype=dtype).reshape(shape))
            y = function(x)
            assert y.dtype == dtype and y.shape == shape and not np.shares_memory(x, y)


@pytest.mark.parametrize("function", ELEMENTWISE)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, bool])
def test_small_integers_do_not_wrap_around(function, dtype):
    low, high = (0, 1) if dtype is bool else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    x = np.array([[low, high, 0, 1]], dtype)
    y = function(x)
    assert y.dtype == np.float64
    assert np.array_equal(y, function(x.astype(float)))


def test_an_empty_batch_costs_nothing():
    nothing = np.zeros((0, 3))
    assert cross_entropy(nothing, np.zeros(0, int)) == cross_entropy(nothing, nothing) == 0
    assert negative_log_likelihood(log_softmax(nothing), np.zeros(0, int)) == 0
    assert mean_squared_error(nothing, nothing) == 0


def test_as_floats_converts_only_what_needs_it():
    x = np.zeros(2, np.float32)
    assert as_floats(x) is x and as_floats(x, np.float32) is x
    assert as_floats(x, np.float64).dtype == np.float64
    assert as_floats([1, 2]).dtype == as_floats(np.zeros(2, np.uint8)).dtype == np.float64
    for wrong in "text", np.array([1j]), None, [object()]:
        with pytest.raises(TypeError, match="expected an array of numbers; got one of dtype"):
            as_floats(wrong)
