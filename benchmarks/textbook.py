"""Code in the manner of the usual textbook, to measure the course's against: clear, and twice the work.

What it does that course_lib does not: float64 weights meet float32 images, so that each product converts the
batch; the first layer computes a gradient for the images; the loss is computed by a second forward pass; the
softmax is transposed to and fro; ReLU copies, then overwrites; images are floats from the start; accuracy
is computed for all images at once; a gradient check runs the whole network twice for each parameter.
"""

import gzip
from pathlib import Path

import numpy as np


def load(folder):
    """(images as float32 0..1, one-hot labels) for training and test."""

    def read(name, offset):
        with gzip.open(Path(folder) / f"{name}.gz", "rb") as file:
            return np.frombuffer(file.read(), np.uint8, offset=offset)

    def part(name):
        images = read(f"{name}-images-idx3-ubyte", 16).reshape(-1, 784)
        labels = read(f"{name}-labels-idx1-ubyte", 8)
        images = images.astype(np.float32)
        images /= 255.0
        one_hot = np.zeros((labels.size, 10))
        for row, label in enumerate(labels):
            one_hot[row][label] = 1
        return images, one_hot

    return part("train"), part("t10k")


def softmax(x):
    x = x.T
    x = x - np.max(x, axis=0)
    return (np.exp(x) / np.sum(np.exp(x), axis=0)).T


def cross_entropy_error(y, t):
    if t.size == y.size:
        t = t.argmax(axis=1)
    return -np.sum(np.log(y[np.arange(y.shape[0]), t] + 1e-7)) / y.shape[0]


class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx


class Relu:
    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dout[self.mask] = 0
        return dout


class SoftmaxWithLoss:
    def forward(self, x, t):
        self.t = t
        self.y = softmax(x)
        return cross_entropy_error(self.y, self.t)

    def backward(self, dout=1):
        return (self.y - self.t) / self.t.shape[0]


class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.01):
        rng = np.random.RandomState(0)
        self.params = {
            "W1": weight_init_std * rng.randn(input_size, hidden_size),
            "b1": np.zeros(hidden_size),
            "W2": weight_init_std * rng.randn(hidden_size, output_size),
            "b2": np.zeros(output_size),
        }
        self.layers = {
            "Affine1": Affine(self.params["W1"], self.params["b1"]),
            "Relu1": Relu(),
            "Affine2": Affine(self.params["W2"], self.params["b2"]),
        }
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        return self.last_layer.forward(self.predict(x), t)

    def accuracy(self, x, t):
        y = np.argmax(self.predict(x), axis=1)
        return np.sum(y == np.argmax(t, axis=1)) / float(x.shape[0])

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        return {
            "W1": self.layers["Affine1"].dW,
            "b1": self.layers["Affine1"].db,
            "W2": self.layers["Affine2"].dW,
            "b2": self.layers["Affine2"].db,
        }

    def numerical_gradient(self, x, t):
        return {name: numerical_gradient(lambda _: self.loss(x, t), p) for name, p in self.params.items()}

    def step(self, x, t, lr=0.1):
        """One step of training, with the loss that is then recorded."""
        grads = self.gradient(x, t)
        for name in grads:
            self.params[name] -= lr * grads[name]
        return self.loss(x, t)


def numerical_gradient(f, x, h=1e-4):
    grad = np.zeros_like(x)
    it = np.nditer(x, flags=["multi_index"], op_flags=["readwrite"])
    while not it.finished:
        idx = it.multi_index
        old = x[idx]
        x[idx] = float(old) + h
        fxh1 = f(x)
        x[idx] = old - h
        fxh2 = f(x)
        grad[idx] = (fxh1 - fxh2) / (2 * h)
        x[idx] = old
        it.iternext()
    return grad
