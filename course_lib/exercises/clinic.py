"""The bug clinic of chapter 5: ten networks, each with one fault from a published notebook that raises no error.

A patient is one class. Its docstring is what its owner reports; the class nested first is a layer as the owner
wrote it; ``Repaired`` derives from that and overrides what was wrong; ``layer``, ``where`` and ``fault`` are the
diagnosis. All of them read digits, but for the sixth, which is fed single vectors.
"""

import inspect
import textwrap
from functools import cache

import numpy as np

from course_lib import layers
from course_lib.gradient import check_network
from course_lib.layers import Affine, Layer, MeanSquaredError, Relu, Sigmoid, SoftmaxWithLoss
from course_lib.mnist import load_sample

FAULTS = {  # what a diagnosis may say of a layer; ten of these are in the clinic
    "1-D": "x.T where x has one axis only, so that nothing is transposed",
    "accumulated": "a gradient is added to what an earlier pass left there",
    "detached": "net.params holds other arrays than those the layers use",
    "ignores dout": "backward does not multiply by the gradient that arrives",
    "no return": "the result is computed, but not returned",
    "not summed": "a gradient still has a row for each sample of the batch",
    "plus": "a sum stands where the product rule wants a product",
    "shadowed": "the class that was checked is another one of the same name",
    "sum and mean": "the loss is a sum over the batch, its gradient that of the mean",
    "transposed": "W stands where W.T belongs",
    "whole batch": "the batch is normalised as a whole, rather than each row",
    "writes": "backward changes an array that was handed to it",
    "wrong sign": "the gradient points the other way",
    "wrong test": "the gate of backward is open where that of forward was shut",
}


class Network:
    """Layers in a row with a loss at the end, and the parameters of them all: Affine1's W is W1, and so on."""

    dtype = np.float64

    def __init__(self, layers, last_layer):
        self.layers, self.last_layer = layers, last_layer
        self.params = {name + key[-1]: getattr(layer, name) for key, layer, name in self._slots()}

    def predict(self, x):
        """What the last of the layers in the row returns for the batch x."""
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        """The loss of the batch, a float."""
        return self.last_layer.forward(self.predict(x), t)

    def backward(self, dout):
        """Send the gradient of the last layer's output through all layers, last to first."""
        dout = self.last_layer.backward(dout)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)

    def gradient(self, x, t):
        """The gradient of each parameter by backpropagation: a dictionary with the names of ``params``."""
        return self.loss_and_gradient(x, t)[1]

    def loss_and_gradient(self, x, t):
        """Both, from one forward and one backward pass."""
        loss = self.loss(x, t)
        self.backward(1)
        return loss, {name + key[-1]: getattr(layer, f"d{name}") for key, layer, name in self._slots()}

    def _slots(self):
        """(the layer's name, the layer, the parameter's name) for every parameter."""
        for key, layer in self.layers.items():
            for name in getattr(layer, "param_names", ()):
                yield key, layer, name


class Patient:
    """What all patients share: the sick network, the repaired one, the checker's report, the sources to read."""

    layer: str  # the diagnosis: the first wrong layer,
    where: str  # the input or the parameter whose gradient is wrong, or the argument that is spoiled,
    fault: str  # and what is wrong, a word of FAULTS

    def build(self, seed=0):
        """The network as its owner built it."""
        return self.assemble(self.Repaired.__base__, np.random.default_rng(seed))

    def repaired(self, seed=0):
        """The same network with the repaired layer, and the same weights."""
        return self.assemble(self.Repaired, np.random.default_rng(seed))

    def assemble(self, kind, rng):
        """The network with a layer of this kind in the suspect's place."""
        raise NotImplementedError

    @property
    def batch(self):
        """The images (3, 784) and labels (3,) on which the network is checked."""
        return three_digits()

    def report(self):
        """The checker's report on the sick network."""
        return check_network(self.build(), *self.batch)

    def source(self, layer):
        """The source of the layer of this name, such as "Relu1", as it stands in the sick network."""
        net = self.build()
        return _source({**net.layers, "last_layer": net.last_layer}[layer].__class__)

    def repair(self):
        """The source of what the repair replaces."""
        return _source(self.Repaired).partition("\n")[2]


def _source(kind):
    return textwrap.dedent(inspect.getsource(kind)).rstrip()


@cache
def three_digits():
    """The first three images of the sample (3, 784), from 0 to 1, and their labels (3,)."""
    (x, t), _ = load_sample(dtype=np.float64)
    return x[:3], t[:3]


def affines(rng, **kinds):
    """A first layer 784 → 50 and a second one 50 → 10, with the small random weights of a TwoLayerNet."""
    W1, W2 = 0.01 * rng.standard_normal((784, 50)), 0.01 * rng.standard_normal((50, 10))
    return Affine(W1, np.zeros(50)), Affine(W2, np.zeros(10))


class Patient1(Patient):
    """A learned gain for each hidden unit."""

    layer, where, fault = "Scale1", "x", "plus"

    class Scale:
        param_names = ("gain",)

        def __init__(self, gain):
            self.gain = gain

        def forward(self, x):
            self.x = x
            return x * self.gain

        def backward(self, dout):
            self.dgain = (dout * self.x).sum(axis=0)
            return dout + self.gain

    class Repaired(Scale):
        def backward(self, dout):
            self.dgain = (dout * self.x).sum(axis=0)
            return dout * self.gain

    def assemble(self, kind, rng):
        first, second = affines(rng)
        row = {"Affine1": first, "Scale1": kind(np.ones(50)), "Relu1": Relu(), "Affine2": second}
        return Network(row, SoftmaxWithLoss())


class Patient2(Patient):
    """Whole."""

    layer, where, fault = "last_layer", "x", "whole batch"

    class SoftmaxWithLoss:
        def forward(self, x, t):
            e = np.exp(x - x.max())
            self.y, self.t = e / e.sum(), t
            return -np.mean(np.log(self.y[np.arange(len(t)), t]))

        def backward(self, dout=1):
            dx = self.y.copy()
            dx[np.arange(len(dx)), self.t] -= 1
            return dout * dx / len(dx)

    class Repaired(SoftmaxWithLoss):
        def forward(self, x, t):
            e = np.exp(x - x.max(axis=1, keepdims=True))
            self.y, self.t = e / e.sum(axis=1, keepdims=True), t
            return -np.mean(np.log(self.y[np.arange(len(t)), t]))

    def assemble(self, kind, rng):
        return two_layers(rng, last_layer=kind())


def two_layers(rng, activation=None, last_layer=None):
    """Affine, activation, affine, loss."""
    first, second = affines(rng)
    row = {"Affine1": first, "Relu1": activation or Relu(), "Affine2": second}
    return Network(row, last_layer or SoftmaxWithLoss())
