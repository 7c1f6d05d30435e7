"""Arithmetic that remembers. A `Value` is one number that knows which numbers it was computed from, and by what
operation; so ordinary arithmetic records its own computational graph, and `backward` walks that graph from the result
to the inputs.

Every node keeps its local gradients: how fast it changes when one of its inputs does. The chain rule multiplies them
along each path and adds where paths meet (Griewank and Walther, *Evaluating Derivatives*, 2008, chapter 3).
"""

from __future__ import annotations

import math
from numbers import Real


class Value:
    """One number in a computational graph.

    Parameters
    ----------
    data : number
        Kept as a Python float. NumPy scalars are welcome, arrays are not.
    name, unit : str, optional
        What the number is called and what it is measured in: `Value(100, name="apple", unit="yen")`.

    Attributes
    ----------
    grad : float or None
        d(output) / d(this value), of the last output whose `backward` reached this node; None as long as none has.
    op, inputs, local_gradients : str, tuple of Value, tuple of float
        The operation that made this value, the values it took, and the derivative with respect to each of them.
        A leaf, which nothing made, has `""`, `()` and `()`.
    constant : bool
        True for a plain number that arithmetic mixed in, as the 2 of `2 * x`.

    Arithmetic reads `data` once, when it is written down. After changing an input, write the expression again.
    """

    # NumPy's scalars and arrays then leave `array * value` to us, who can say why it does not work.
    __array_ufunc__ = None

    def __init__(self, data, name=None, unit=None):
        self.data = _number(data)
        self.grad = None
        self.op, self.inputs, self.local_gradients = "", (), ()
        self.constant = False
        self.named(name, unit)

    def named(self, name, unit=None):
        """Give this value a name and a unit, and return it: `total = (price * count).named("total", unit="yen")`."""
        for what, text in (("name", name), ("unit", unit)):
            if not (text is None or isinstance(text, str)):
                raise TypeError(f"The {what} of a Value is text, and {text!r} is of type {type(text).__name__}.")
        self.name, self.unit = name, unit
        return self

    def __repr__(self):
        known = {"name": self.name, "unit": self.unit, "op": self.op or None, "grad": self.grad}
        return f"Value({', '.join([repr(self.data)] + [f'{k}={v!r}' for k, v in known.items() if v is not None])})"

    def __add__(self, other):
        other = _value(other)
        return node("+", self.data + other.data, (self, other), (1.0, 1.0))

    def __sub__(self, other):
        other = _value(other)
        return node("−", self.data - other.data, (self, other), (1.0, -1.0))

    def __mul__(self, other):
        other = _value(other)
        return node("×", self.data * other.data, (self, other), (other.data, self.data))

    def __truediv__(self, other):
        other = _value(other)
        if other.data == 0:
            raise ZeroDivisionError(f"{self!r} cannot be divided by {other!r}: the divisor must not be 0.")
        y = self.data / other.data
        return node("÷", y, (self, other), (1 / other.data, -y / other.data))

    def __pow__(self, exponent):
        if isinstance(exponent, Value):
            raise TypeError(
                "The exponent of a power is a plain number here, as in x ** 2, and it was a Value. "
                "For a positive base write exp(exponent * log(base))."
            )
        x, p = self.data, _number(exponent)
        if (x < 0 and not p.is_integer()) or (x == 0 and p < 1 and p != 0):
            raise ValueError(
                f"{x!r} ** {p:g} has no derivative that is a real number: "
                "a base below 0 needs a whole exponent, and a base of 0 needs an exponent of 0, or of 1 or more."
            )
        try:
            return node(f"**{p:g}", x**p, (self,), (p * x ** (p - 1) if p else 0.0,))
        except OverflowError:
            raise OverflowError(f"{x!r} ** {p:g} or its derivative is too large for a float.") from None

    def __neg__(self):
        return node("−", -self.data, (self,), (-1.0,))

    def __radd__(self, number):
        return _value(number) + self

    def __rsub__(self, number):
        return _value(number) - self

    def __rmul__(self, number):
        return _value(number) * self

    def __rtruediv__(self, number):
        return _value(number) / self

    def __rpow__(self, base):
        return _value(base) ** self

    def exp(self):
        """e to the power of this value."""
        try:
            y = math.exp(self.data)
        except OverflowError:
            raise OverflowError(f"exp({self.data!r}) is too large for a float, which ends at exp(709.78).") from None
        return node("exp", y, (self,), (y,))

    def log(self):
        """The natural logarithm of this value."""
        if self.data <= 0:
            raise ValueError(f"log needs a number above 0, and this is {self!r}.")
        return node("log", math.log(self.data), (self,), (1 / self.data,))

    def backward(self):
        """Set `grad` of every node that led to this value: d(this value) / d(node).

        The gradients are assigned, never added to those of an earlier call, so calling it twice changes nothing.
        """
        for value, grad in gradients(self).items():
            value.grad = grad

    def grad_unit(self, output):
        """The unit of d(output) / d(this value), such as "yen per apple"; None unless both units are known."""
        return f"{output.unit} per {self.unit}" if output.unit and self.unit else None


def exp(x):
    """e to the power of x, a Value or a number, as a Value."""
    return _value(x).exp()


def log(x):
    """The natural logarithm of x, a Value or a number above 0, as a Value."""
    return _value(x).log()


def maximum(a, b):
    """The larger of two values or numbers, as a Value.

    The gradient flows to the larger one alone. At a tie, where no derivative exists, all of it flows to the first:
    `maximum(0, x)` is a ReLU whose gradient is 0 at exactly 0.
    """
    a, b = _value(a), _value(b)
    if a.data >= b.data:
        return node("max", a.data, (a, b), (1.0, 0.0))
    return node("max", b.data, (a, b), (0.0, 1.0))


def node(op, data, inputs, local_gradients):
    """Record an operation of your own as one node: every operation in this module is recorded so.

    A sigmoid, say, of which only y (1 - y) is left of a graph of four nodes:

    >>> x = Value(1.0, name="x")
    >>> y = 1 / (1 + math.exp(-x.data))
    >>> s = node("σ", y, inputs=(x,), local_gradients=(y * (1 - y),))
    >>> s.backward()
    >>> round(x.grad, 8)
    0.19661193
    """
    result = Value(data)
    result.op = op
    result.inputs = tuple(_value(x) for x in inputs)
    result.local_gradients = tuple(_number(g) for g in local_gradients)
    if not result.inputs or len(result.inputs) != len(result.local_gradients):
        raise ValueError(
            f"The node {op} has {len(result.inputs)} inputs and {len(result.local_gradients)} local gradients; "
            "it needs at least one input, and one local gradient for each."
        )
    return result


def topological(output):
    """All nodes that led to `output`, as a list in which every node stands after its inputs; `output` is the last."""
    order, seen, waiting = [], set(), [(output, False)]
    while waiting:  # no recursion, which Python stops at a depth of 1,000
        value, inputs_done = waiting.pop()
        if inputs_done:
            order.append(value)
        elif value not in seen:
            seen.add(value)
            waiting.append((value, True))
            waiting.extend((x, False) for x in reversed(value.inputs))
    return order


def gradients(output):
    """d(output) / d(node) for every node that led to `output`, as a dictionary; no node is changed."""
    order = topological(output)
    grads = dict.fromkeys(order, 0.0)
    grads[output] = 1.0
    for value in reversed(order):  # every use of a value comes before the value itself, so its sum is complete
        for x, local in zip(value.inputs, value.local_gradients, strict=True):
            grads[x] += grads[value] * local
    return grads


def _number(x):
    """x as a Python float, or a sentence that says why not."""
    if isinstance(x, Real):
        return float(x)
    shape = getattr(x, "shape", None)
    what = f"an array of shape {shape}" if shape is not None else f"{x!r} of type {type(x).__name__}"
    raise TypeError(
        f"A Value holds one number, and this is {what}. Take one element, as in a[0]; "
        "course_lib.layers has the nodes that work on arrays."
    )


def _value(x):
    """x if it is a Value, else the number x as a constant of the graph."""
    if isinstance(x, Value):
        return x
    constant = Value(x)
    constant.constant = True
    return constant
