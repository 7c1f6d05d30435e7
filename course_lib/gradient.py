"""Is this gradient right? Nudge the input, see how the output changes, and compare with backpropagation.

``numerical_gradient`` nudges every number. ``check_layer`` takes one layer by itself; ``check_network`` takes
a whole network, mostly along random directions, and then walks through its layers to name the one at fault.
Both checks return a Report: print it to read it, ask ``.ok``, or call ``.raise_if_bad()``.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Number

import numpy as np

SMALL = 100  # arrays up to this size are visited whole; larger ones, unless `full`, by sample and direction
SAMPLES = 20
DIRECTIONS = 2


def numerical_gradient(f, x, h=1e-4):
    """df/dx by central differences: (f(x + h) - f(x - h)) / 2h for each number in x.

    Parameters
    ----------
    f : function of x that returns a number. It may ignore its argument and read the array elsewhere, for x is
        changed in place, one number at a time, and is as it was afterwards even where f raises an error.
    x : array of floats, writeable.
    h : half the distance between the two points. The error falls with h² (truncation) until round-off, which
        grows with 1/h, takes over.

    Returns
    -------
    array of the shape and dtype of x, at a cost of 2 * x.size calls of f.
    """
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        raise TypeError(
            f"numerical_gradient nudges an array of floats by {h:g}; it got {_kind(x)}, which cannot hold the "
            "nudged value. Convert it first, for example with np.array(x, dtype=float)."
        )
    if not x.flags.writeable:
        raise ValueError("numerical_gradient nudges x in place, but this array is read-only; pass x.copy().")
    gradient = np.empty_like(x)
    for where in np.ndindex(x.shape):
        gradient[where] = _slope(_line(lambda: f(x), x, where), h)
    return gradient


def relative_error(a, b):
    """The largest |a - b| / max(|a|, |b|) of all elements, a float; where both are 0 the error is 0.

    It does not depend on units: 1e-7 is agreement and 0.5 is a fault, however small the gradient.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape:
        raise ValueError(f"relative_error compares arrays of one shape; got {a.shape} and {b.shape}.")
    size = np.maximum(np.abs(a), np.abs(b))
    return float((np.abs(a - b) / np.where(size == 0, 1, size)).max(initial=0.0))


# Numbers are judged, and not the processor's flags: OpenBLAS on AVX-512 at times raises "invalid" over a right product.
@np.errstate(invalid="ignore")
def check_layer(layer, *inputs, full=False, seed=0, tol=None):
    """Compare what ``layer.backward`` says with numerical gradients, for every float input and parameter.

    The upstream gradient is random, so that a layer which ignores it is found out. Give generic inputs, too:
    no zeros, a batch of at least two, sizes all different. What else is found: a pass that writes into its
    argument, arrays that share memory, gradients added up over passes, wrong shapes, a forgotten return.

    Parameters
    ----------
    layer : has forward(*inputs) and backward(dout). Its parameters are those in ``param_names`` or, without
        that, each array ``W`` for which backward leaves a ``dW``.
    inputs : what forward is given, arrays or numbers; check_layer works on copies. Arrays of integers, and an
        input that forward calls ``t`` (a target), get no gradient.
    full : visit every coordinate, of arrays with more than a hundred too.
    seed : of the random upstream gradient, the directions and the sample of coordinates.
    tol : the largest relative error that passes; by default 1e-6, or 1e-2 for float32.

    Returns
    -------
    Report
    """
    report = Report(_class(layer), "by itself")
    try:
        _LayerCheck(layer, inputs).run(report, full, np.random.default_rng(seed), tol)
    except _Fault as fault:
        report.rows.append(Row(fault.where, verdict="WRONG", detail=str(fault)))
    return report


@np.errstate(invalid="ignore")
def check_network(net, x, t, *, full=False, seed=0, tol=None):
    """Compare ``net.gradient(x, t)`` with numerical gradients of ``net.loss(x, t)``, and find the layer at fault.

    Each parameter is nudged along random directions, which move all its numbers at once, and at a seeded sample
    of single coordinates (small arrays: at all of them). Then each layer is checked by itself, at the inputs
    that this batch gives it, and, where the layers in their order are the whole network, the gradients that
    they leave are compared with those of ``net.gradient``.

    Parameters
    ----------
    net : has ``params`` (a mapping of arrays), ``loss(x, t)`` and ``gradient(x, t)``; for the walk through the
        layers also ``layers`` (a mapping, in order) and ``last_layer``, the loss.
    x, t : a small batch, such as three samples. The network is given copies.
    full : visit every coordinate of every layer, rather than a sample.
    seed, tol : as in ``check_layer``.

    Returns
    -------
    Report
    """
    rng = np.random.default_rng(seed)
    report = Report(_class(net), f"on a batch of {len(x)}" if np.ndim(x) > 1 else "on a single sample")
    x, t = np.array(x), np.array(t)
    chained = None
    if isinstance(getattr(net, "layers", None), Mapping):
        chained = _walk(net, x, t, report, full=full, seed=seed, tol=tol)
    full = full and report.first_wrong_layer is None
    try:
        given = x.copy()
        loss = _call("loss", net.loss, x, t)
        gradients = _call("gradient", net.gradient, x, t)
        _unchanged("gradient", "x", given, x)
        if not isinstance(gradients, Mapping):
            raise _Fault("gradient", f"it returned {_kind(gradients)}; expected a dictionary of arrays")
        # With weight decay, say, the network's loss is not what its layers alone give: then nothing is to be held.
        alike = chained is not None and np.isclose(chained, loss, rtol=1e-9, atol=0)
        left = _left_by_layers(net, x, t) if alike and report.first_wrong_layer is None else {}
        for name, p in net.params.items():
            if name not in gradients:
                raise _Fault("gradient", f"it has no entry {name}; it has {', '.join(map(str, gradients))}")
            ruler = _Ruler([(name, p)], magnitude=abs(loss) + 1, tol=tol)
            whole = full and id(p) not in left
            row = _compare(name, p, gradients[name], lambda: net.loss(x, t), ruler, rng, whole)
            if row.error is not None and id(p) in left:
                _compare_with_layers(row, np.asarray(gradients[name]), left[id(p)])
            report.rows.append(row)
    except _Fault as fault:
        report.rows.append(Row(fault.where, verdict="WRONG", detail=str(fault)))
    return report


# --- reports -----------------------------------------------------------------------------------------------


@dataclass
class Row:
    """What was found for one array: how much of it was checked, the largest relative error, the verdict."""

    name: str
    shape: tuple | None = None
    checked: str = ""
    error: float | None = None
    tol: float = 0.0
    verdict: str = "ok"  # ok, kink, not asked for, WRONG
    detail: str = ""

    @property
    def ok(self):
        return self.verdict != "WRONG"

    def fail(self, detail):
        self.verdict, self.detail = "WRONG", detail
        return self

    def cells(self):
        shape = "" if self.shape is None else " × ".join(map(str, self.shape)) or "number"
        if self.error is None:
            error = ""
        else:  # round-off differs between machines, so what passes is told by its bound
            error = f"{self.error:.1e}" if self.error > self.tol else f"below {self.tol:.0e}"
        return self.name, shape, self.checked, error, self.verdict


@dataclass
class Report:
    """The outcome of a check: a table to print, with ``ok`` and ``raise_if_bad()`` for programs."""

    subject: str  # the class that was checked, with its module
    setting: str  # by itself, or on which batch
    rows: list[Row] = field(default_factory=list)
    layers: dict[str, "Report"] = field(default_factory=dict)

    @property
    def ok(self):
        return all(row.ok for row in self.rows) and all(report.ok for report in self.layers.values())

    @property
    def first_wrong_layer(self):
        """The name of the first layer, in the order of forward, that is wrong by itself; None if none is."""
        return next((name for name, report in self.layers.items() if not report.ok), None)

    def raise_if_bad(self):
        """Raise an AssertionError with the whole report as its message, unless all is well."""
        if not self.ok:
            raise AssertionError(f"\n{self}")

    def __str__(self):
        parts = [f"Gradient check of {self.subject} {self.setting}", _table(self.rows)]
        if self.layers:
            lines = [(name, report.subject, report.verdict) for name, report in self.layers.items()]
            parts += ["Each layer by itself:", _align([("", "class", "verdict"), *lines])]
        if self.first_wrong_layer is not None:
            parts.append(_table(self.layers[self.first_wrong_layer].rows))
        return "\n\n".join(part for part in (*parts, self._conclusion()) if part)

    __repr__ = __str__

    @property
    def verdict(self):
        """In a few words: ok, or which rows are not."""
        wrong = [row.name for row in self.rows if not row.ok]
        kinks = [row.name for row in self.rows if row.verdict == "kink"]
        return f"WRONG: {', '.join(wrong)}" if wrong else f"ok, kink in {', '.join(kinks)}" if kinks else "ok"

    def _conclusion(self):
        wrong = self.first_wrong_layer
        rows = self.rows if wrong is None else self.layers[wrong].rows
        found = "; ".join(f"{row.name}: {row.detail}" for row in rows if not row.ok)
        stop = "" if found.endswith("?") else "."
        if wrong is not None:
            return f"First wrong layer: {wrong}. {found}{stop}"
        if found and self.layers:
            return (
                "Each layer is right by itself, so the fault lies in how the network joins them (their order, one "
                f"left out, a factor, a parameter that no layer uses). {found}{stop}"
            )
        if found:
            return f"Wrong. {found}{stop}"
        reports = {"": self, **{f"{name}.": report for name, report in self.layers.items()}}
        kinks = [f"{n}{row.name} {row.detail}" for n, r in reports.items() for row in r.rows if row.verdict == "kink"]
        if kinks:
            return (
                "All gradients agree, except at kinks, where the slopes on the two sides differ and there is no "
                f"derivative to compare with: {'; '.join(kinks)}."
            )
        return "All gradients agree."


def _table(rows):
    head = ("", "shape", "checked", "relative error", "verdict")
    return _align([head, *(row.cells() for row in rows)]) if rows else ""


def _align(lines):
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(("  " + "  ".join(map(str.ljust, line, widths))).rstrip() for line in lines)


# --- comparing one array -------------------------------------------------------------------------------------


class _Fault(Exception):
    """Something so wrong that no gradient can be compared: what was running, and what it did."""

    def __init__(self, where, what):
        super().__init__(what)
        self.where = where


class _Ruler:
    """How finely a function of these arrays, whose value has this magnitude, can be measured."""

    def __init__(self, arrays, magnitude, tol):
        for name, a in arrays:
            if not isinstance(a, np.ndarray) or a.dtype.kind != "f":
                raise _Fault(name, f"it is {_kind(a)}; what is to be nudged must be an array of floats")
        eps = max((float(np.finfo(a.dtype).eps) for _, a in arrays), default=0.0)
        single = eps > 1e-10
        self.h = 1e-2 if single else 1e-4
        self.tol = tol or (1e-2 if single else 1e-6)
        self.round_off = 10 * eps * magnitude

    def noise(self, h):
        """A difference of slopes that round-off alone may cause."""
        return self.round_off / h

    def error(self, a, b, size, h):
        """|a - b| relative to the larger, to `size` where both are tiny, and beyond round-off."""
        difference = max(abs(a - b) - self.noise(h), 0.0)
        return difference / max(abs(a), abs(b), size, np.finfo(float).tiny)


def _compare(name, x, gradient, f, ruler, rng, full):
    """The row for an array x whose gradient of f() is said to be `gradient`; x is moved in place, and put back."""
    row = Row(name, x.shape, tol=ruler.tol)
    gradient = np.asarray(gradient)
    if gradient.shape != x.shape:
        return row.fail(f"its gradient has shape {gradient.shape} where {name} has {x.shape}")
    if gradient.dtype.kind not in "fiub":
        return row.fail(f"its gradient is {_kind(gradient)}")
    if not np.isfinite(gradient).all():
        where = _first(~np.isfinite(gradient))
        return row.fail(f"its gradient {_at(where)}is {gradient[where]}")
    if x.size == 0:
        row.checked = "empty"
        return row

    lines = []  # where x is moved, and along what; single coordinates first, then directions of length 1
    if full or x.size <= SMALL:
        row.checked = f"all {x.size}"
        lines += [(where, 1.0) for where in np.ndindex(x.shape)]
    else:
        row.checked = f"{SAMPLES} of {x.size}, {DIRECTIONS} directions"
        sample = np.sort(rng.choice(x.size, SAMPLES, replace=False))
        lines += [(tuple(map(int, np.unravel_index(i, x.shape))), 1.0) for i in sample]
        lines += [(..., rng.choice([-1.0, 1.0], x.shape) / np.sqrt(x.size)) for _ in range(DIRECTIONS)]
    size = 1e-3 * float(np.abs(gradient).max())
    typical = float(np.sqrt(np.mean(np.square(gradient, dtype=float))))

    row.error = 0.0
    here = np.asarray(f()).item() if x.size > SMALL else None
    pairs, bad, kinks = [], [], []
    for where, direction in lines:
        alone = where is not ...
        said = float(np.sum(direction * gradient[where]))
        tol = ruler.tol if alone else ruler.tol / 10  # along a direction one wrong number hides among right ones
        line = _line(f, x, where, direction)
        slope, error, kink = _judge(line, here, said, size if alone else typical, ruler, tol, alone)
        if kink:
            kinks.append(_at(where).strip() if alone else "along a direction")
            continue
        row.error = max(row.error, error)
        if alone:
            pairs.append((said, slope))
        if error > tol:
            bad.append((where, said, slope, tol))
    if bad:
        where, said, slope, row.tol = bad[0]
        if where is not ...:
            return row.fail(f"{_at(where)}backward says {said:.4g}, nudging says {slope:.4g}{_pattern(pairs)}")
        return row.fail(
            f"along a random direction backward says {said:.6g}, nudging says {slope:.6g}; "
            "full=True finds the coordinate"
        )
    if kinks:
        row.verdict, row.detail = "kink", kinks[0]
    return row


def _pattern(pairs):
    """What the disagreement has in common, where it has: a constant factor, or no effect at all."""
    said, slope = np.array(pairs).T
    if np.abs(slope).max() < 1e-6 * np.abs(said).max():
        return " (nudging it changes nothing: is this the array that forward uses?)"
    if np.abs(said).max() < 1e-6 * np.abs(slope).max():
        return " (backward says 0 everywhere)"
    clear = np.abs(slope) > 1e-3 * np.abs(slope).max()
    factors = said[clear] / slope[clear]
    if len(factors) > 1 and np.ptp(factors) < 1e-2 * abs(factors.mean() - 1):
        return f"; everywhere it says {factors.mean():.4g} times as much"
    return ""


def _judge(g, here, said, size, ruler, tol, alone):
    """(slope of g at 0, relative error of what backward said, is it a kink) for a single coordinate or a direction."""
    if alone and here is not None:
        # Most layers are linear in each single number, and where there are many to visit, it matters that a step to
        # one side is as good as two there, for half the price.
        slope = (g(ruler.h) - here) / ruler.h
        error = ruler.error(said, slope, size, ruler.h)
        if error <= tol:
            return slope, error, False
    slope = _slope(g, ruler.h)
    error = ruler.error(said, slope, size, ruler.h)
    if error <= tol:
        return slope, error, False
    # Not good enough yet: cancel the h² term of the error (Richardson), with ever smaller steps, which leave a kink
    # nearby outside, until the slopes agree with each other far better than with what backward says.
    steps, slopes = ruler.h * np.array([10, 1, 0.1, 0.01]), []
    for i, h in enumerate(steps):
        slopes += [_slope(g, h), _slope(g, h / 2)]
        slope = (4 * slopes[-1] - slopes[-2]) / 3
        error = ruler.error(said, slope, size, h)
        if error <= tol:
            return slope, error, False
        if i > 0 and np.ptp(slopes[-4:]) < 0.1 * abs(slope - said):
            break
    # A kink at this very point: the slopes on the two sides differ, and what backward says lies between them (but
    # along a direction, where several kinks may meet, it need not).
    for h in steps[i:]:
        low, high = sorted((4 * g(step / 2) - 3 * g(0) - g(step)) / step for step in (-h, h))
        slack = ruler.noise(h) + tol * size
        differ = high - low > max(2 * slack, 0.01 * abs(slope - said))
        if differ and (low - slack <= said <= high + slack or not alone):
            return slope, error, True
    return slope, error, False


def _slope(g, h):
    """The slope of g at 0 by central difference."""
    return (g(h) - g(-h)) / (2 * h)


def _line(f, x, where, direction=1.0):
    """f() as a function of one number: how far x[where] is moved along the direction. x is put back each time."""
    old = x[where].copy()

    def g(step):
        try:
            x[where] = old + step * direction
            return np.asarray(f()).item()
        finally:
            x[where] = old

    return g


def _at(where):
    return f"at {list(where)} " if where else ""  # a number has no coordinates


def _first(mask):
    return tuple(map(int, np.argwhere(mask)[0]))


def _kind(thing):
    return (
        f"an array of {thing.dtype}" if isinstance(thing, np.ndarray) else f"an object of type {type(thing).__name__}"
    )


# --- one layer by itself ---------------------------------------------------------------------------------------


class _LayerCheck:
    """One check of one layer: its inputs as arrays that can be nudged, and what is held against its two passes."""

    def __init__(self, layer, inputs):
        self.layer = layer
        names = [
            p.name for p in inspect.signature(layer.forward).parameters.values() if p.kind == p.POSITIONAL_OR_KEYWORD
        ]
        if len(names) < len(inputs):
            names = [f"input {i}" for i in range(1, len(inputs) + 1)]
        # A whole number is nudged like any other unless it is a label, an array of integers is not.
        self.inputs = {
            name: np.array(x, dtype=float if isinstance(x, int) and name != "t" else None)
            for name, x in zip(names, inputs, strict=False)
        }
        self.given = {name: a.copy() for name, a in self.inputs.items()}
        self.is_number = [isinstance(x, Number) for x in inputs]
        self.no_input_gradient = getattr(layer, "input_gradient", True) is False

    def output(self):
        arguments = zip(self.inputs.values(), self.is_number, strict=True)
        return self.layer.forward(*(a.item() if number else a for a, number in arguments))

    def forward(self):
        y = _call("forward", self.output)
        if np.asarray(y).dtype.kind not in "fiub":
            raise _Fault("forward", f"it returned {_kind(y)} where numbers are expected")
        if not np.isfinite(y).all():
            raise _Fault("forward", "it returned numbers that are not finite (nan or inf)")
        self.inputs_unchanged("forward")
        _fresh("forward", [*self.inputs.items(), ("what it returns", y)])
        return y

    def backward(self, dout):
        """The gradients: a list of (name, the array it belongs to, its gradient)."""
        given = dout.copy()
        returned = _call("backward", self.layer.backward, given, may_return_none=True)
        _unchanged("backward", "dout", dout, given)
        self.inputs_unchanged("backward")
        wanted = [(name, a) for name, a in self.inputs.items() if a.dtype.kind == "f" and name != "t"]
        if returned is None and self.no_input_gradient:
            wanted, returned = [], ()
        elif returned is None:
            raise _Fault("backward", "it returned None; has the return been forgotten?")
        parts = returned if isinstance(returned, tuple) else (returned,)
        if len(parts) != len(wanted):
            raise _Fault("backward", f"it returned {len(parts)} gradient(s) for {len(wanted)} float input(s)")
        gradients = [(name, a, part) for (name, a), part in zip(wanted, parts, strict=True)]
        _fresh("backward", [("dout", given), *((f"d{name}", part) for name, _, part in gradients)])
        for name in self.parameters():
            if getattr(self.layer, f"d{name}", None) is None:
                raise _Fault("backward", f"it left no d{name}")
            gradients.append((name, getattr(self.layer, name), getattr(self.layer, f"d{name}")))
        return [(name, a, np.array(gradient)) for name, a, gradient in gradients]

    def parameters(self):
        known = vars(self.layer)
        found = [name for name, a in known.items() if isinstance(a, np.ndarray) and f"d{name}" in known]
        return getattr(self.layer, "param_names", found)

    def inputs_unchanged(self, which):
        for name, a in self.inputs.items():
            _unchanged(which, name, self.given[name], a)

    def expect_again(self, gradients, dout, where, otherwise):
        for (name, _, first), (_, _, again) in zip(gradients, self.backward(dout), strict=True):
            if first.tobytes() != again.tobytes():
                raise _Fault(where, otherwise.format(name))

    def run(self, report, full, rng, tol):
        y = np.asarray(self.forward())
        dout = rng.standard_normal(y.shape).astype(y.dtype if y.dtype.kind == "f" else float)[()]
        gradients = self.backward(dout)
        self.forward()
        again = "a second pass gives another d{}; assign gradients, do not add them up"
        self.expect_again(gradients, dout, "backward", again)
        y = self.forward()
        if isinstance(y, np.ndarray) and y.dtype.kind == "f" and y.flags.writeable:
            y[...] = np.nan  # whoever receives an output may overwrite it
            kept = "d{} changes when the array that forward returned is overwritten; keep a copy"
            self.expect_again(gradients, dout, "forward", kept)

        # Round-off comes with the largest numbers in play: a small output may be the difference of large inputs.
        largest = max(float(np.abs(a).max(initial=0)) for a in self.inputs.values())
        magnitude = float(np.sum(np.abs(dout) * (np.abs(self.forward()) + largest)))
        ruler = _Ruler([(name, a) for name, a, _ in gradients], magnitude, tol)
        if self.no_input_gradient:
            report.rows.append(Row(next(iter(self.inputs)), verdict="not asked for"))
        elif not gradients:
            raise _Fault("inputs", "none is an array of floats, and there are no parameters: nothing to compare")
        for name, a, gradient in gradients:
            report.rows.append(_compare(name, a, gradient, lambda: np.vdot(dout, self.output()), ruler, rng, full))


def _fresh(which, arrays):
    """No two of these (name, array) share memory."""
    arrays = [(name, a) for name, a in arrays if isinstance(a, np.ndarray)]
    for i, (name, a) in enumerate(arrays):
        for other, b in arrays[:i]:
            if np.shares_memory(a, b):
                raise _Fault(which, f"{name} shares memory with {other}; return fresh arrays")


def _call(name, function, *arguments, may_return_none=False):
    """function(*arguments); an error, or no result, becomes a fault that a report can tell."""
    try:
        result = function(*arguments)
    except Exception as error:
        raise _Fault(name, f"it raised {type(error).__name__}: {error}") from error
    if result is None and not may_return_none:
        raise _Fault(name, "it returned None; has the return been forgotten?")
    return result


def _unchanged(which, name, old, new):
    if not np.array_equal(old, new):
        where = _first(old != new)
        raise _Fault(
            which, f"it writes into {name}: {_at(where)}{old[where]:.4g} became {new[where]:.4g}; work on a copy"
        )


def _class(thing):
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


# --- a network, layer by layer -------------------------------------------------------------------------------


def _walk(net, x, t, report, **options):
    """Check each layer by itself, at the input that this batch gives it; return the loss at the end, if it comes."""
    x = np.asarray(x, dtype=np.asarray(next(iter(net.params.values()))).dtype)
    try:
        for name, layer in net.layers.items():
            report.layers[name] = check_layer(layer, x, **options)
            x = _call("forward", layer.forward, x)
        if hasattr(net, "last_layer"):
            report.layers["last_layer"] = check_layer(net.last_layer, x, t, **options)
            return _call("forward", net.last_layer.forward, x, t)
    except _Fault:
        pass  # it stands in the report of its layer, and the layers after that one have no input
    return None


def _left_by_layers(net, x, t):
    """The gradients that the layers leave when they are run backward one by one, by the id of the parameter array."""
    net.loss(x, t)
    dout = net.last_layer.backward(1)
    left = {}
    for layer in reversed(net.layers.values()):
        dout = layer.backward(dout)
        for name in getattr(layer, "param_names", ()):
            key = id(getattr(layer, name))
            left[key] = left.get(key, 0) + getattr(layer, f"d{name}")
    return left


def _compare_with_layers(row, said, left):
    """Hold what net.gradient returned against what the layers left, number by number."""
    size = np.maximum(np.abs(left), 1e-3 * np.abs(left).max(initial=0) + np.finfo(float).tiny)
    error = np.abs(said - left) / size
    if (error > row.tol).any():
        where = _first(error > row.tol)
        row.error = float(error.max())
        row.fail(
            f"{_at(where)}the gradient returned is {said[where]:.6g}, but the layer, run backward, "
            f"leaves {left[where]:.6g}{_pattern(list(zip(said.flat, left.flat, strict=True)))}"
        )
