"""The functions that the layers are made of: pure, exact at the extremes, and silent about overflow.

Each takes arrays and returns new ones. A class axis is always the last: softmax works on one row of
scores, shape (C,), and on a batch of them, shape (N, C). Labels come in either of two forms: the
number of the class, shape (N,), or a row of probabilities, shape (N, C), one-hot as a special case.
"""

import numpy as np


def sigmoid(x):
    """1 / (1 + exp(-x)), elementwise, for any finite x: both exponents below are at most 0.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    x = as_floats(x)
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def softmax(x):
    """exp(x) divided by its sum over the last axis, so that each row sums to 1.

    Subtracting the row's maximum changes nothing in the quotient and keeps exp from overflowing.

    >>> softmax(np.array([[0.0, 0.0], [1000.0, 1000.0]]))
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    x = as_floats(x)
    exp = np.exp(x - x.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def log_softmax(x):
    """The logarithm of softmax, exact even where softmax itself rounds to 0.

    >>> log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    x = as_floats(x)
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def negative_log_likelihood(log_y, t):
    """Mean over the batch of -log(probability given to the label).

    Parameters
    ----------
    log_y : array (N, C) or (C,), the logarithms of the predicted probabilities.
    t : integer labels (N,), or probabilities (N, C).

    Returns
    -------
    float; 0.0 for an empty batch.

    >>> scores = np.array([[0.0, 40.0]])
    >>> negative_log_likelihood(log_softmax(scores), np.array([0]))
    40.0
    """
    log_y = np.atleast_2d(log_y)
    t = as_labels(t, log_y.shape)
    if t.ndim == 1:
        log_y_at_label = log_y[np.arange(len(t)), t]
    else:  # 0 * log(0) is 0 here: a class that the label excludes costs nothing
        log_y_at_label = t * np.where(t == 0, 0, log_y)
    return float(-log_y_at_label.sum() / max(len(t), 1)) + 0.0  # + 0.0 turns -0.0 into 0.0


def cross_entropy(y, t):
    """Mean over the batch of -log(y at the label), y being probabilities.

    A probability of 0 at the label costs infinity, as it should. Where the scores are at hand,
    ``negative_log_likelihood(log_softmax(scores), t)`` stays exact beyond that point.

    Parameters
    ----------
    y : array (N, C) or (C,), probabilities.
    t : integer labels (N,), or probabilities (N, C).

    >>> round(cross_entropy(np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 0])), 4)  # ln(8) / 2
    1.0397
    """
    with np.errstate(divide="ignore"):
        return negative_log_likelihood(np.log(as_floats(y)), t)


def mean_squared_error(y, t):
    """Half the squared distance between y and t, averaged over the batch.

    The half cancels the 2 of the derivative, which leaves (y - t) / N.

    Parameters
    ----------
    y, t : arrays of one shape, (N, M), or (M,) for a single sample.

    Returns
    -------
    float; 0.0 for an empty batch.

    >>> mean_squared_error(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [3.0, 0.0]]))
    5.0
    """
    y, t = np.atleast_2d(as_floats(y)), np.atleast_2d(as_floats(t))
    if y.shape != t.shape:
        raise ValueError(f"mean_squared_error compares arrays of one shape; y has {y.shape}, t has {t.shape}.")
    return float(np.square(y - t).sum() / (2 * max(len(y), 1)))


def one_hot(t, num_classes, dtype=np.float64):
    """Integer labels (N,) as rows (N, num_classes) with a 1 at the label and 0 elsewhere.

    >>> one_hot(np.array([2, 0]), 3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    t = np.asarray(t)
    if t.ndim != 1:
        raise ValueError(f"one_hot takes integer labels of shape (N,); got shape {t.shape}.")
    rows = np.zeros((len(t), num_classes), dtype=dtype)
    rows[np.arange(len(t)), as_labels(t, rows.shape)] = 1
    return rows


def as_floats(x, dtype=None):
    """x as an array of floats: of the dtype given, else of its own, else (integers, which would wrap) of float64."""
    x = np.asarray(x)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"expected an array of numbers; got one of dtype {x.dtype}.")
    return x.astype(dtype or (x.dtype if x.dtype.kind == "f" else np.float64), copy=False)


def as_labels(t, shape):
    """t as labels for scores of the given shape (N, C), or a sentence that says why it cannot be.

    Returns integers (N,) or probabilities (N, C). Raises ValueError where the shape is neither, an
    integer names no class, or a row of probabilities does not sum to 1; TypeError for other dtypes.
    """
    t = np.asarray(t)
    if len(shape) != 2:
        raise ValueError(f"scores have shape (N, C), a row for each sample; got {shape}.")
    n, num_classes = shape
    if t.shape == shape or (n == 1 and t.shape == (num_classes,) != (1,)):
        return _as_probabilities(t.reshape(shape))
    t = np.atleast_1d(t)
    if t.shape != (n,):
        raise ValueError(
            f"labels have shape {t.shape}; for scores of shape {shape} they are integers of shape ({n},) "
            f"or probabilities of shape {shape}."
        )
    if t.dtype.kind not in "iu":
        raise TypeError(
            f"labels of shape {t.shape} are class numbers and must be integers; their dtype is {t.dtype}. "
            "Convert them with t.astype(int)."
        )
    if n and not (t.min() >= 0 and t.max() < num_classes):
        wrong = t[(t < 0) | (t >= num_classes)][0]
        raise ValueError(
            f"label {wrong} names no class: with {num_classes} classes, labels go from 0 to {num_classes - 1}."
        )
    return t


def _as_probabilities(t):
    t = as_floats(t)
    sums = t.sum(axis=1)
    bad = np.flatnonzero(~((np.abs(sums - 1) < 1e-3) & (t.min(axis=1) >= 0)))
    if len(bad):
        raise ValueError(
            f"label row {bad[0]} is no distribution: it sums to {sums[bad[0]]:g} with a smallest entry of "
            f"{t[bad[0]].min():g}; a one-hot or soft label has no negative entry and sums to 1."
        )
    return t
