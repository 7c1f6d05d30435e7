"""The bug clinic of chapter 5: ten networks, each with one fault from a published notebook that raises no error.

A patient is one class. Its docstring is what its owner reports; the class nested first is a layer as the owner
wrote it; ``Repaired`` derives from that and overrides what was wrong; ``layer``, ``where`` and ``fault`` are the
diagnosis. All of them read digits, but for the sixth, which turns vectors round.
"""

import inspect
import textwrap
from functools import cache

import numpy as np

from course_lib.gradient import check_network
from course_lib.layers import Affine, MeanSquaredError, Relu, SoftmaxWithLoss, Tanh
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
    """Layers in a row with a loss at the end, and the parameters of them all: Affine1's W is W1, and so on.

    ``share`` is what the loss is multiplied by, where another loss is to join it.
    """

    dtype = np.float64

    def __init__(self, layers, last_layer, share=1):
        self.layers, self.last_layer, self.share = layers, last_layer, share
        self.params = {name + key[-1]: getattr(layer, name) for key, layer, name in self._parameters()}

    def predict(self, x):
        """What the last of the layers in the row returns for x."""
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        """The loss, a float."""
        return self.share * self.last_layer.forward(self.predict(x), t)

    def backward(self, dout):
        """Send dL/d(the last layer's result) back through all layers."""
        dout = self.last_layer.backward(dout)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)

    def gradient(self, x, t):
        """The gradient of each parameter by backpropagation: a dictionary with the names of ``params``."""
        return self.loss_and_gradient(x, t)[1]

    def loss_and_gradient(self, x, t):
        """Both, from one forward and one backward pass."""
        loss = self.loss(x, t)
        self.backward(self.share)
        return loss, {name + key[-1]: getattr(layer, f"d{name}") for key, layer, name in self._parameters()}

    def _parameters(self):
        """(the layer's name, the layer, the parameter's name) for every parameter."""
        for key, layer in self.layers.items():
            for name in getattr(layer, "param_names", ()):
                yield key, layer, name


class Patient:
    """What all patients share: the sick network, the repaired one, the checker's report, the sources to read."""

    layer: str  # the diagnosis: the first wrong layer,
    where: str  # the input or the parameter whose gradient is wrong, or the argument that is written into,
    fault: str  # and what is wrong, a word of FAULTS

    @property
    def symptom(self):
        """What the owner reports, in a sentence or two."""
        return " ".join(inspect.getdoc(self).split())

    def build(self, seed=0):
        """The network as its owner built it."""
        return self.assemble(self.Repaired.__base__, np.random.default_rng(seed))

    def repaired(self, seed=0):
        """The same network, with the same weights and the repaired layer."""
        return self.assemble(self.Repaired, np.random.default_rng(seed))

    def assemble(self, kind, rng):
        """The network, with a layer of this kind in the suspect's place."""
        return two_layers(rng, **{self.layer: kind()})

    @property
    def batch(self):
        """What the network is checked on: images (3, 784) and their labels (3,)."""
        return three_digits()

    def report(self):
        """The checker's report on the sick network."""
        return check_network(self.build(), *self.batch)

    def source(self, layer):
        """The source of one layer of the sick network, by its name there, such as "Relu1"."""
        net = self.build()
        return _source(type({**net.layers, "last_layer": net.last_layer}[layer]))

    def repair(self):
        """The source of the method that the repair writes anew."""
        return textwrap.dedent(_source(self.Repaired).partition("\n")[2])


def _source(kind):
    return textwrap.dedent(inspect.getsource(kind)).rstrip()


@cache
def three_digits():
    """The first three images of the sample, (3, 784), from 0 to 1, and their labels (3,)."""
    (x, t), _ = load_sample(dtype=np.float64)
    return x[:3], t[:3]


def two_layers(rng, **replaced):
    """Affine1 784 → 50, Relu1, Affine2 50 → 10 and a last_layer, with the first weights of a TwoLayerNet."""
    parts = {
        "Affine1": Affine(0.01 * rng.standard_normal((784, 50)), np.zeros(50)),
        "Relu1": Relu(),
        "Affine2": Affine(0.01 * rng.standard_normal((50, 10)), np.zeros(10)),
        "last_layer": SoftmaxWithLoss(),
    } | replaced
    return Network(parts, parts.pop("last_layer"))


class Patient1(Patient):
    """Each hidden unit has a gain of its own, which is learned like a weight. The network runs, but however long it
    trains, its accuracy, the share of images read right, stays at 0.1.
    """

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
        net = two_layers(rng)
        first, *others = net.layers.items()
        return Network(dict([first, ("Scale1", kind(np.ones(50))), *others]), net.last_layer)


class Patient2(Patient):
    """Fed one image at a time, this network passes every check and learns. Fed a hundred at a time, its first loss is
    6.91 where ln 10 = 2.30 was expected, and in training the loss explodes.
    """

    layer, where, fault = "last_layer", "x", "whole batch"

    class SoftmaxWithLoss:
        def forward(self, x, t):
            log_y = x - x.max()
            log_y -= np.log(np.exp(log_y).sum())
            self.y, self.t = np.exp(log_y), t
            return -log_y[np.arange(len(t)), t].mean()

        def backward(self, dout=1):
            dx = self.y.copy()
            dx[np.arange(len(dx)), self.t] -= 1
            return dout * dx / len(dx)

    class Repaired(SoftmaxWithLoss):
        def forward(self, x, t):
            log_y = x - x.max(axis=1, keepdims=True)
            log_y -= np.log(np.exp(log_y).sum(axis=1, keepdims=True))
            self.y, self.t = np.exp(log_y), t
            return -log_y[np.arange(len(t)), t].mean()


class Patient3(Patient):
    """This network is as accurate as the course's own, after every epoch, to the last image. Its owner only wonders
    why the first loss on a batch of a hundred images is 230.
    """

    layer, where, fault = "last_layer", "x", "sum and mean"

    class SoftmaxWithLoss:
        def forward(self, x, t):
            log_y = x - x.max(axis=1, keepdims=True)
            log_y -= np.log(np.exp(log_y).sum(axis=1, keepdims=True))
            self.y, self.t = np.exp(log_y), t
            return -log_y[np.arange(len(t)), t].sum()

        def backward(self, dout=1):
            dx = self.y.copy()
            dx[np.arange(len(dx)), self.t] -= 1
            return dout * dx / len(dx)

    class Repaired(SoftmaxWithLoss):
        def forward(self, x, t):
            return super().forward(x, t) / len(t)


class Patient4(Patient):
    """It learns: 90 % of the test images are read right after five epochs. The owner expected 92 %, and is about to
    try other learning rates.
    """

    layer, where, fault = "Relu1", "x", "wrong test"

    class Relu:
        def forward(self, x):
            self.y = np.maximum(x, 0)
            return self.y.copy()

        def backward(self, dout):
            return dout * (self.y >= 0)

    class Repaired(Relu):
        def backward(self, dout):
            return dout * (self.y > 0)


class Patient5(Patient):
    """The first layer of this network is frozen: its results were computed once for all images, and what is trained
    begins with a sigmoid. It learns, and each gradient that its training uses is right. Now the owner wants to train
    the frozen layer too, asks for the gradient at the sigmoid's input, and gets nothing.
    """

    layer, where, fault = "Sigmoid1", "x", "no return"

    class Sigmoid:
        def forward(self, x):
            self.y = 1 / (1 + np.exp(-x))
            return self.y.copy()

        def backward(self, dout):
            self.dx = dout * self.y * (1 - self.y)

    class Repaired(Sigmoid):
        def backward(self, dout):
            return dout * self.y * (1 - self.y)

    def assemble(self, kind, rng):
        affine = Affine(0.01 * rng.standard_normal((200, 10)), np.zeros(10))
        return Network({"Sigmoid1": kind(), "Affine1": affine}, SoftmaxWithLoss())

    @staticmethod
    def frozen(images):
        """What the frozen layer gives for images (N, 784): (N, 200)."""
        return 0.3 * images @ np.random.default_rng(5).standard_normal((784, 200))

    @property
    def batch(self):
        """The frozen layer's results for three images, (3, 200), and their labels (3,)."""
        x, t = three_digits()
        return self.frozen(x), t


class Patient6(Patient):
    """A small network that is to learn to turn four numbers round. It is fed one vector of shape (4,) at a time, not a
    batch. Nothing complains, but the loss soon stops falling, far above 0.
    """

    layer, where, fault = "Affine1", "W", "1-D"

    class Affine:
        param_names = ("W", "b")

        def __init__(self, W, b):
            self.W, self.b = W, b

        def forward(self, x):
            self.x = x
            return x @ self.W + self.b

        def backward(self, dout):
            self.dW = self.x.T @ dout
            self.db = dout.copy()
            return dout @ self.W.T

    class Repaired(Affine):
        def backward(self, dout):
            self.dW = np.outer(self.x, dout)
            self.db = dout.copy()
            return dout @ self.W.T

    def assemble(self, kind, rng):
        first, second = (kind(0.5 * rng.standard_normal((4, 4)), np.zeros(4)) for _ in range(2))
        return Network({"Affine1": first, "Tanh1": Tanh(), "Affine2": second}, MeanSquaredError())

    @property
    def batch(self):
        """A single vector (4,), and the vector wanted: the same numbers in reverse."""
        x = np.array([0.5, -1.2, 0.8, 0.3])
        return x, x[::-1]


class Patient7(Patient):
    """The biases are rows, of shape (1, M). Trained with batches of one image, the network reads nine digits in ten.
    With a batch of a hundred it still computes all its gradients, but no step of learning can use them.
    """

    layer, where, fault = "Affine1", "b", "not summed"

    class Affine:
        param_names = ("W", "b")

        def __init__(self, W, b):
            self.W, self.b = W, b

        def forward(self, x):
            self.x = x
            return x @ self.W + self.b

        def backward(self, dout):
            self.dW = self.x.T @ dout
            self.db = dout.copy()
            return dout @ self.W.T

    class Repaired(Affine):
        def backward(self, dout):
            self.dW = self.x.T @ dout
            self.db = dout.sum(axis=0, keepdims=True)
            return dout @ self.W.T

    def assemble(self, kind, rng):
        net = two_layers(rng)
        rows = {key: kind(layer.W, layer.b[None]) for key, layer in net.layers.items() if key != "Relu1"}
        return Network(net.layers | rows, net.last_layer)


class Patient8(Patient):
    """What the first layer computes goes on twice, through ReLU and past it, and the two are added: a residual branch.
    At a learning rate of 0.1 the network learns as well as any, and `check` of chapter 2 found nothing wrong with its
    ReLU.
    """

    layer, where, fault = "Relu1", "dout", "writes"

    class Relu:
        def forward(self, x):
            self.mask = x <= 0
            return np.maximum(x, 0)

        def backward(self, dout):
            dout[self.mask] = 0
            return dout

    class Repaired(Relu):
        def backward(self, dout):
            return np.where(self.mask, 0, dout)

    class Branched(Network):
        def predict(self, x):
            h = self.layers["Affine1"].forward(x)
            return self.layers["Affine2"].forward(h + self.layers["Relu1"].forward(h))

        def backward(self, dout):
            dout = self.layers["Affine2"].backward(self.last_layer.backward(dout))
            through_gate = self.layers["Relu1"].backward(dout)
            self.layers["Affine1"].backward(dout + through_gate)

    def assemble(self, kind, rng):
        net = two_layers(rng, Relu1=kind())
        return self.Branched(net.layers, net.last_layer)


class Patient9(Patient):
    """The loss is multiplied by 0.25, to leave room for a second loss. The network learns well, but whatever the owner
    writes in place of 0.25, it learns in exactly the same way.
    """

    layer, where, fault = "last_layer", "x", "ignores dout"

    class SoftmaxWithLoss:
        def forward(self, x, t):
            log_y = x - x.max(axis=1, keepdims=True)
            log_y -= np.log(np.exp(log_y).sum(axis=1, keepdims=True))
            self.y, self.t = np.exp(log_y), t
            return -log_y[np.arange(len(t)), t].mean()

        def backward(self, dout=1):
            dx = self.y.copy()
            dx[np.arange(len(dx)), self.t] -= 1
            return dx / len(dx)

    class Repaired(SoftmaxWithLoss):
        def backward(self, dout=1):
            return dout * super().backward()

    def assemble(self, kind, rng):
        net = two_layers(rng)
        return Network(net.layers, kind(), share=0.25)


class Patient10(Patient):
    """The owner has written tanh by hand and checked the network in a notebook: all gradients agree. In the project,
    with the same code, the network reads 88 % of the test images after five epochs, and 92 % was expected.
    """

    layer, where, fault = "Tanh1", "x", "shadowed"

    class Tanh:
        def forward(self, x):
            self.y = np.tanh(x)
            return self.y.copy()

        def backward(self, dout):
            return dout * (1 - self.y)

    class Repaired(Tanh):
        def backward(self, dout):
            return dout * (1 - self.y**2)

    def assemble(self, kind, rng):
        net = two_layers(rng)
        row = {"Affine1": net.layers["Affine1"], "Tanh1": kind(), "Affine2": net.layers["Affine2"]}
        return Network(row, net.last_layer)

    def as_tested(self, seed=0):
        """The network that the owner's notebook checked."""
        return self.assemble(Tanh, np.random.default_rng(seed))


PATIENTS = (
    *(Patient1(), Patient2(), Patient3(), Patient4(), Patient5()),
    *(Patient6(), Patient7(), Patient8(), Patient9(), Patient10()),
)


class Practice(Patient):
    """The network whose report exercise 5.6 reads."""

    layer, where, fault = "Affine2", "x", "wrong sign"

    class Affine(Affine):
        def backward(self, dout):
            super().backward(dout)
            return -dout @ self.W.T

    class Repaired(Affine):
        def backward(self, dout):
            super().backward(dout)
            return dout @ self.W.T

    def assemble(self, kind, rng):
        net = two_layers(rng)
        return Network(net.layers | {"Affine2": kind(net.params["W2"], net.params["b2"])}, net.last_layer)


def two_faults(seed=0):
    """A network as a published notebook has it, with the faults of two of the patients at once."""

    class Both(Patient2.SoftmaxWithLoss):
        def forward(self, x, t):
            return super().forward(x, t) * len(t)

    return two_layers(np.random.default_rng(seed), last_layer=Both())
