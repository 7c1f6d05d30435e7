"""Rules that turn gradients into a step: each updates the parameters where they are, in place.

An optimizer is given the parameters and their gradients as two mappings of arrays with the same names. What
it remembers between steps (a velocity, a running mean) it keeps per name, in the dtype of the parameter; so
a new network wants a new optimizer. lr becomes a Python float, for a numpy one would turn float32 into float64.
"""

import numpy as np


class SGD:
    """Stochastic gradient descent: W <- W - lr * dW."""

    def __init__(self, lr=0.01):
        self.lr = float(lr)

    def update(self, params, grads):
        for name, p in params.items():
            p -= self.lr * grads[name]


class Momentum:
    """Gradient descent with a velocity that forgets slowly: v <- momentum * v - lr * dW; W <- W + v.

    Source: B. T. Polyak, Some methods of speeding up the convergence of iteration methods, 1964.
    """

    def __init__(self, lr=0.01, momentum=0.9):
        self.lr, self.momentum = float(lr), momentum
        self.velocity = {}

    def update(self, params, grads):
        for name, p in params.items():
            v = self.velocity.setdefault(name, np.zeros_like(p))
            v *= self.momentum
            v -= self.lr * grads[name]
            p += v


class Adam:
    """A step scaled, for each number by itself, by running means of its gradient and of its square.

    Source: D. P. Kingma and J. Ba, Adam: a method for stochastic optimization, 2015, Algorithm 1.
    """

    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.beta1, self.beta2, self.eps = float(lr), beta1, beta2, eps
        self.steps = 0
        self.mean, self.square = {}, {}

    def update(self, params, grads):
        self.steps += 1
        # Both means begin at 0 and so are too small at first; the quotients undo that.
        mean_share, square_share = 1 - self.beta1**self.steps, 1 - self.beta2**self.steps
        for name, p in params.items():
            m = self.mean.setdefault(name, np.zeros_like(p))
            s = self.square.setdefault(name, np.zeros_like(p))
            m += (1 - self.beta1) * (grads[name] - m)
            s += (1 - self.beta2) * (np.square(grads[name]) - s)
            p -= self.lr * (m / mean_share) / (np.sqrt(s / square_share) + self.eps)
