"""The nodes of a computational graph, one short class each: forward computes, backward passes gradients on.

The contract. ``forward(...)`` keeps what backward needs and returns a fresh array; ``backward(dout)`` takes
dL/d(output) and returns dL/d(input), a fresh array too, or a tuple with one for each input. A layer with
parameters leaves dL/dW in ``dW`` and so on, and lists their names in ``param_names``. Gradients are assigned,
never added up: one instance is one node of the graph, used once in each pass. Neither pass writes into an
argument. Arrays that forward receives are kept, not copied, so leave them alone until backward has run.
"""

import math
from numbers import Number

import numpy as np

from course_lib.functions import as_floats, as_labels, log_softmax, mean_squared_error, negative_log_likelihood, sigmoid


class Layer:
    """What all layers share: the names of their parameters, and a check of what backward is given."""

    param_names = ()
    out_shape = None  # the shape that forward returned; None until it has run

    def upstream(self, dout):
        """dout, once it is certain that forward has run and that dout has the shape of its result."""
        name = type(self).__name__
        if self.out_shape is None:
            raise RuntimeError(f"{name}.backward needs what {name}.forward keeps: call forward first.")
        if np.shape(dout) != self.out_shape:
            raise ValueError(
                f"{name}.backward got dout of shape {np.shape(dout)}, but {name}.forward returned shape "
                f"{self.out_shape}; dL/d(output) has the shape of the output."
            )
        return dout if isinstance(dout, Number) else as_floats(dout)


class AddLayer(Layer):
    """x + y, for numbers or for arrays of one shape: hands dout on to both."""

    def forward(self, x, y):
        x, y = _pair(self, x, y)
        self.out_shape = np.shape(x)
        return x + y

    def backward(self, dout):
        dout = self.upstream(dout)
        return dout * 1, dout * 1  # times 1: two fresh arrays


class MulLayer(Layer):
    """x * y, for numbers or for arrays of one shape: each input's gradient is dout times the other input."""

    def forward(self, x, y):
        self.x, self.y = _pair(self, x, y)
        self.out_shape = np.shape(self.x)
        return self.x * self.y

    def backward(self, dout):
        dout = self.upstream(dout)
        return dout * self.y, dout * self.x


class Relu(Layer):
    """max(0, x), elementwise. At exactly 0, where there is no derivative, backward uses 0."""

    def forward(self, x):
        x = as_floats(x)
        self.out_shape = x.shape
        self.mask = x <= 0
        return np.maximum(x, 0)

    def backward(self, dout):
        dout = self.upstream(dout)
        return np.where(self.mask, 0, dout)


class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x)), elementwise; dy/dx = y (1 - y)."""

    def forward(self, x):
        self.y = sigmoid(x)
        self.out_shape = self.y.shape
        return self.y.copy()

    def backward(self, dout):
        return self.upstream(dout) * self.y * (1 - self.y)


class Tanh(Layer):
    """y = tanh(x), elementwise; dy/dx = 1 - y²."""

    def forward(self, x):
        self.y = np.tanh(as_floats(x))
        self.out_shape = self.y.shape
        return self.y.copy()

    def backward(self, dout):
        return self.upstream(dout) * (1 - self.y * self.y)


class Affine(Layer):
    """x @ W + b for a batch of shape (N, ...), each sample flattened to its D numbers.

    Parameters
    ----------
    W : float array (D, M), and b : float array (M,), of one dtype, in which the layer then works.
        They are used where they are, not copied, so that an optimizer may update them in place.
    input_gradient : False where the input is data, whose gradient nobody uses: backward then leaves dW
        and db as ever and returns None. In a first layer that spares a third of the work.
    """

    param_names = ("W", "b")

    def __init__(self, W, b, *, input_gradient=True):
        W, b = np.asarray(W), np.asarray(b)  # an array stays the very array that it is
        if W.ndim != 2 or b.shape != W.shape[1:]:
            raise ValueError(f"Affine takes W of shape (D, M) and b of shape (M,); got {W.shape} and {b.shape}.")
        if W.dtype.kind != "f" or W.dtype != b.dtype:
            raise TypeError(f"Affine takes W and b of one floating dtype; got {W.dtype} and {b.dtype}.")
        self.W, self.b = W, b
        self.input_gradient = input_gradient
        self.dW = self.db = None

    def forward(self, x):
        x = as_floats(x, self.W.dtype)  # one conversion, here, rather than one in each of the products that follow
        if x.ndim < 2 or math.prod(x.shape[1:]) != len(self.W):
            raise ValueError(
                f"Affine with W of shape {self.W.shape} takes a batch (N, ...) with {len(self.W)} numbers a sample; "
                f"got shape {x.shape}." + (" For a single sample write x[None, :]." if x.ndim == 1 else "")
            )
        self.in_shape = x.shape
        self.x = x.reshape(len(x), len(self.W))  # (N, D)
        y = self.x @ self.W + self.b
        self.out_shape = y.shape
        return y  # (N, M)

    def backward(self, dout):
        dout = self.upstream(dout)  # (N, M)
        self.dW = self.x.T @ dout  # (D, N) @ (N, M)
        self.db = dout.sum(axis=0)
        if not self.input_gradient:
            return None
        return (dout @ self.W.T).reshape(self.in_shape)  # (N, M) @ (M, D)


class SoftmaxWithLoss(Layer):
    """The mean cross-entropy between softmax(x) and the labels t; dL/dx = (y - t) / N.

    x has shape (N, C), or (C,) for a single sample; t is integers (N,) or probabilities (N, C). After
    forward, ``y`` holds the probabilities and ``loss`` the loss, a float.
    """

    def forward(self, x, t):
        log_y = log_softmax(np.atleast_2d(x))  # (N, C)
        self.t = as_labels(t, log_y.shape)
        self.y = np.exp(log_y)
        self.loss = negative_log_likelihood(log_y, self.t)
        self.in_shape = np.shape(x)
        self.out_shape = ()
        return self.loss

    def backward(self, dout=1):
        dout = float(self.upstream(dout))  # a plain number leaves float32 what it is
        n = len(self.y)
        dx = self.y.copy()
        if self.t.ndim == 1:
            dx[np.arange(n), self.t] -= 1
        else:
            dx -= self.t
        return (dx * (dout / max(n, 1))).reshape(self.in_shape)


class MeanSquaredError(Layer):
    """Half the squared distance between y and t, averaged over the batch; dL/dy = (y - t) / N.

    y and t have one shape, (N, M), or (M,) for a single sample. The targets get no gradient.
    """

    def forward(self, y, t):
        y, t = as_floats(y), as_floats(t)
        self.loss = mean_squared_error(y, t)
        self.difference = y - t
        self.out_shape = ()
        return self.loss

    def backward(self, dout=1):
        dout = float(self.upstream(dout))  # a plain number leaves float32 what it is
        n = len(np.atleast_2d(self.difference))
        return self.difference * (dout / max(n, 1))


def _pair(layer, x, y):
    """x and y, of one shape: what numpy would broadcast is refused, for then a gradient would need a sum."""
    x, y = (v if isinstance(v, Number) else as_floats(v) for v in (x, y))
    if np.shape(x) != np.shape(y):
        raise ValueError(
            f"{type(layer).__name__}.forward takes two inputs of one shape; got {np.shape(x)} and {np.shape(y)}."
        )
    return x, y
