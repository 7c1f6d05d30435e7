"""A network is its parameters and its layers: Params holds the first, TwoLayerNet joins both.

The arrays in ``params`` are the very arrays that the layers use, so a step of an optimizer is seen by
the layers at once. Assigning ``params["W1"] = values`` writes the values into that array, for the same reason.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from course_lib.functions import as_labels
from course_lib.gradient import numerical_gradient
from course_lib.layers import Affine, Relu, SoftmaxWithLoss


class Params(Mapping):
    """Named parameter arrays. Assignment copies into the array; names, shapes and dtypes are fixed."""

    def __init__(self, **arrays):
        self._arrays = arrays

    def __getitem__(self, name):
        if name not in self._arrays:
            raise KeyError(f"{name} is not a parameter of this network, which has {', '.join(self)}")
        return self._arrays[name]

    def __setitem__(self, name, values):
        if np.shape(values) != self[name].shape:
            raise ValueError(f"{name} has shape {self[name].shape}; the values assigned have {np.shape(values)}.")
        self[name][...] = values

    def __iter__(self):
        return iter(self._arrays)

    def __len__(self):
        return len(self._arrays)

    def __repr__(self):
        return "Params(" + ", ".join(f"{name}: {p.shape} {p.dtype}" for name, p in self.items()) + ")"

    @property
    def count(self):
        """How many numbers there are in all."""
        return sum(p.size for p in self.values())


class TwoLayerNet:
    """affine - ReLU - affine - softmax with loss.

    Parameters
    ----------
    input_size, hidden_size, output_size : how many numbers go in, pass through the middle, come out.
    weight_init_std : standard deviation of the first weights; biases begin at 0. ``"he"`` stands for
        sqrt(2 / fan-in), which keeps the size of the signal through ReLU (He et al., Delving deep into
        rectifiers, 2015).
    rng : a ``numpy.random.Generator`` or a seed for one.
    dtype : in which the network works; x is converted to it once, on entry.
    """

    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.01, *, rng=None, dtype=np.float64):
        rng = np.random.default_rng(rng)

        def weights(rows, columns):
            std = np.sqrt(2 / rows) if weight_init_std == "he" else weight_init_std
            return (std * rng.standard_normal((rows, columns))).astype(dtype)

        self.params = Params(
            W1=weights(input_size, hidden_size),
            b1=np.zeros(hidden_size, dtype),
            W2=weights(hidden_size, output_size),
            b2=np.zeros(output_size, dtype),
        )
        self.layers = {
            "Affine1": Affine(self.params["W1"], self.params["b1"], input_gradient=False),
            "Relu1": Relu(),
            "Affine2": Affine(self.params["W2"], self.params["b2"]),
        }
        self.last_layer = SoftmaxWithLoss()

    def __setattr__(self, name, value):
        if name == "params" and "params" in vars(self):
            raise AttributeError(
                "params cannot be replaced, for the layers would go on using the old arrays; "
                'assign to its entries instead: net.params["W1"] = values.'
            )
        super().__setattr__(name, value)

    @property
    def dtype(self):
        return self.params["W1"].dtype

    def predict(self, x):
        """The scores, shape (N, C), for a batch x of shape (N, ...)."""
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        """The mean cross-entropy of the batch, a float. t: integers (N,) or probabilities (N, C)."""
        return self.last_layer.forward(self.predict(x), t)

    def accuracy(self, x, t):
        """The share of the batch whose highest score is at the label, a float; a batch of none is a ValueError."""
        scores = self.predict(x)
        if len(scores) == 0:
            raise ValueError("the accuracy of an empty batch is not defined.")
        t = as_labels(t, scores.shape)
        return float(np.mean(scores.argmax(axis=1) == (t if t.ndim == 1 else t.argmax(axis=1))))

    def gradient(self, x, t):
        """dL/d(parameter) by backpropagation: a dictionary with the names and shapes of ``params``."""
        return self.loss_and_gradient(x, t)[1]

    def loss_and_gradient(self, x, t):
        """The loss and its gradient from one forward and one backward pass."""
        loss = self.loss(x, t)
        dout = self.last_layer.backward()
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        return loss, {"W1": first.dW, "b1": first.db, "W2": second.dW, "b2": second.db}

    def numerical_gradient(self, x, t):
        """The same dictionary by central differences: slow, and independent of every backward."""
        return {name: numerical_gradient(lambda _: self.loss(x, t), p) for name, p in self.params.items()}

    def save(self, path):
        """Write the parameters to an .npz file: whole, or not at all.

        A file that was there before stays as it was until the new one is complete. Raises OSError where the
        disk is full, the folder is missing, and the like.
        """
        path = Path(path)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            with open(part, "wb") as file:
                np.savez(file, **self.params)
            os.replace(part, path)
        except OSError as fault:
            raise OSError(
                f"The network was not saved to {path}: {fault.strerror or fault}. "
                "A file that was there before is unharmed; try another folder, or make room and save again."
            ) from None
        finally:
            with suppress(OSError):  # after a success there is none
                part.unlink()

    @classmethod
    def load(cls, path):
        """A network with the parameters of a file that ``save`` wrote; any other file is a ValueError."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
        except OSError:  # missing, or not ours to read: the system says it well
            raise
        except Exception:  # zipfile, zlib and numpy have a dozen errors for bytes that make no sense
            raise ValueError(f"{path} is damaged, or no file that TwoLayerNet.save wrote.") from None
        if sorted(arrays) != ["W1", "W2", "b1", "b2"]:
            raise ValueError(f"{path} holds {', '.join(arrays)}; a TwoLayerNet is saved as W1, b1, W2, b2.")
        W1, b1, W2, b2 = (arrays[name] for name in ("W1", "b1", "W2", "b2"))
        try:
            Affine(W1, b1), Affine(W2, b2)  # which check shapes and dtypes
            net = cls(len(W1), len(b1), len(b2), dtype=W1.dtype)
            for name, values in arrays.items():
                net.params[name] = values
        except (TypeError, ValueError) as fault:
            raise ValueError(f"{path} holds no TwoLayerNet: {fault}") from None
        return net
