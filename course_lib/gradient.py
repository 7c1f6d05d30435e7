"""Is this gradient right? Nudge the input, see how the output changes, and compare with backpropagation.

``numerical_gradient`` nudges every number. ``check_layer`` takes one layer by itself; ``check_network`` takes
a whole network, mostly along random directions, and then walks through its layers to name the one at fault.
Both checks return a Report: print it to read it, ask ``.ok``, or call ``.raise_if_bad()``.
"""

import inspect
from dataclasses import dataclass, field

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
        kind = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else f"a {type(x).__name__}"
        raise TypeError(
            f"numerical_gradient nudges an array of floats by {h:g}; it got {kind}, which cannot hold the "
            "nudged value. Convert it first, for example with np.array(x, dtype=float)."
        )
    gradient = np.empty_like(x)
    for where in np.ndindex(x.shape):
        gradient[where] = _slope(lambda: f(x), _along_axis(x, where), h)
    return gradient


def relative_error(a, b):
    """The largest |a - b| / max(|a|, |b|) of all elements, a float; where both are 0 the error is 0.

    It does not depend on units: 1e-7 is agreement and 0.5 is a fault, however small the gradient.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise ValueError(f"relative_error compares arrays of one shape; got {a.shape} and {b.shape}.")
    size = np.maximum(np.abs(a), np.abs(b))
    return float((np.abs(a - b) / np.where(size == 0, 1, size)).max(initial=0.0))


def check_layer(layer, *inputs, full=False, seed=0, tol=None):
    """Compare what ``layer.backward`` says with numerical gradients, for every float input and parameter.

    The upstream gradient is random, so that a layer which ignores it is found out. Give generic inputs, too:
    no zeros, a batch of at least two, sizes all different. What else is found: a pass that writes into its
    argument, arrays that share memory, gradients added up over passes, wrong shapes, a forgotten return.

    Parameters
    ----------
    layer : has forward(*inputs) and backward(dout). Its parameters are those in ``param_names`` or, without
        that, each array ``W`` for which backward leaves a ``dW``.
    inputs : what forward is given. Integers, and an input that forward calls ``t`` (a target), get no gradient.
    full : visit every coordinate, of arrays with more than a hundred too.
    seed : of the random upstream gradient, the directions and the sample of coordinates.
    tol : the largest relative error that passes; by default 1e-6, or 1e-2 for float32.

    Returns
    -------
    Report
    """
    report = Report(f"Gradient check of {_class(layer)}, by itself")
    try:
        _LayerCheck(layer, inputs, full, np.random.default_rng(seed), tol).run(report)
    except _Fault as fault:
        report.rows.append(Row(fault.where, verdict="WRONG", detail=str(fault)))
    return report


def check_network(net, x, t, *, full=False, seed=0, tol=None):
    """Compare ``net.gradient(x, t)`` with numerical gradients of ``net.loss(x, t)``, and find the layer at fault.

    Each parameter is nudged along random directions, which move all its numbers at once, and at a seeded sample
    of single coordinates (small arrays: at all of them). Then each layer is checked by itself, at the inputs
    that this batch gives it, and the gradients that the layers leave are compared with those of ``net.gradient``.

    Parameters
    ----------
    net : has ``params`` (a mapping of arrays), ``loss(x, t)`` and ``gradient(x, t)``; for the walk through the
        layers also ``layers`` (a mapping, in order) and ``last_layer``, the loss.
    x, t : a small batch, such as three samples.
    full : visit every coordinate of every layer, rather than a sample.
    seed, tol : as in ``check_layer``.

    Returns
    -------
    Report
    """
    rng = np.random.default_rng(seed)
    report = Report(f"Gradient check of {_class(net)} on a batch of {len(x)}")
    layers = getattr(net, "layers", None)
    if layers is not None:
        _walk(net, layers, x, t, report, full, seed, tol)
    try:
        loss = _call("loss", net.loss, x, t)
        gradients = _call("gradient", net.gradient, x, t)
        for name, p in net.params.items():
            if name not in gradients:
                raise _Fault("gradient", f"it has no entry {name}; it has {', '.join(gradients)}")
            ruler = _Ruler(p.dtype, magnitude=abs(loss) + 1, tol=tol)
            report.rows.append(
                _compare(name, p, gradients[name], lambda: net.loss(x, t), ruler, rng, full and layers is None)
            )
        if "last_layer" in report.layers and report.first_wrong_layer is None:
            _compare_with_layers(net, x, t, gradients, report)
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

    title: str
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
        parts = [self.title, _table(("", "shape", "checked", "relative error", "verdict"), self.rows)]
        if self.layers:
            rows = [Row(name, verdict=_summary(report)) for name, report in self.layers.items()]
            names = [report.title.removeprefix("Gradient check of ").split(",")[0] for report in self.layers.values()]
            cells = [(row.name, cls, row.verdict) for row, cls in zip(rows, names, strict=True)]
            parts.append("Each layer by itself:")
            parts.append(_align([("", "class", "verdict"), *cells]))
            wrong = self.first_wrong_layer
            if wrong is not None:
                parts.append(_table(("", "shape", "checked", "relative error", "verdict"), self.layers[wrong].rows))
        parts.append(self._conclusion())
        return "\n\n".join(part for part in parts if part)

    __repr__ = __str__

    def _conclusion(self):
        if self.ok:
            kinks = any(row.verdict == "kink" for r in (self, *self.layers.values()) for row in r.rows)
            return "All gradients agree." + (
                " At a kink the two one-sided slopes differ and there is no derivative to compare with."
                if kinks
                else ""
            )
        if self.first_wrong_layer is not None:
            layer = self.layers[self.first_wrong_layer]
            found = "; ".join(f"{row.name}: {row.detail}" for row in layer.rows if not row.ok)
            return f"First wrong layer: {self.first_wrong_layer}. {found}."
        found = "; ".join(f"{row.name}: {row.detail}" for row in self.rows if not row.ok)
        if self.layers:
            return (
                f"Each layer is right by itself, so the fault lies in how the network joins them (their order, one "
                f"left out, a factor, a parameter that no layer uses). {found}."
            )
        return f"Wrong. {found}."


def _summary(report):
    wrong = [row.name for row in report.rows if not row.ok]
    kinks = [row.name for row in report.rows if row.verdict == "kink"]
    return f"WRONG: {', '.join(wrong)}" if wrong else f"ok, kink in {', '.join(kinks)}" if kinks else "ok"


def _table(head, rows):
    return _align([head, *(row.cells() for row in rows)]) if rows else ""


def _align(lines):
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        ("  " + "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True))).rstrip() for line in lines
    )


# --- comparing one array -------------------------------------------------------------------------------------


class _Fault(Exception):
    """Something so wrong that no gradient can be compared: what was running, and what it did."""

    def __init__(self, where, what):
        super().__init__(what)
        self.where = where


@dataclass
class _Ruler:
    """How finely a function whose value has this magnitude can be measured in this dtype."""

    dtype: np.dtype
    magnitude: float
    tol: float | None = None

    def __post_init__(self):
        single = self.dtype != np.float64
        self.tol = self.tol or (1e-2 if single else 1e-6)
        self.h = 1e-2 if single else 1e-4
        self.eps = float(np.finfo(self.dtype).eps)

    def noise(self, h):
        """A difference of slopes that round-off alone may cause."""
        return 10 * self.eps * self.magnitude / h

    def error(self, a, b, size, h):
        """|a - b| relative to the larger, to `size` where both are tiny, and beyond round-off."""
        difference = max(abs(a - b) - self.noise(h), 0.0)
        return difference / max(abs(a), abs(b), size, np.finfo(float).tiny)


def _compare(name, x, gradient, f, ruler, rng, full):
    """The row for an array x whose gradient of f() is said to be `gradient`; x is moved in place, and put back."""
    row = Row(name, x.shape, tol=ruler.tol)
    gradient = np.asarray(gradient)
    if gradient.shape != x.shape:
        row.verdict = "WRONG"
        row.detail = f"its gradient has shape {gradient.shape} where {name} has {x.shape}"
    elif not np.isfinite(gradient).all():
        where = tuple(map(int, np.argwhere(~np.isfinite(gradient))[0]))
        row.verdict, row.detail = "WRONG", f"its gradient is {gradient[where]} at {list(where)}"
    if row.verdict != "ok" or x.size == 0:
        row.checked = row.checked or ("empty" if x.size == 0 else "")
        return row

    whole = full or x.size <= SMALL
    if whole:
        places = list(np.ndindex(x.shape))
    else:
        flat = np.sort(rng.choice(x.size, SAMPLES, replace=False))
        places = [tuple(map(int, np.unravel_index(i, x.shape))) for i in flat]
    row.checked = f"all {x.size}" if whole else f"{SAMPLES} of {x.size}, {DIRECTIONS} directions"

    largest = float(np.abs(gradient).max())
    found = []  # (place, backward's number, the numerical one, relative error, at a kink)
    for where in places:
        said = float(gradient[where])
        found.append((where, said, *_judge(f, _along_axis(x, where), said, 1e-3 * largest, ruler, ruler.tol)))
    bad = [entry for entry in found if entry[3] > ruler.tol and not entry[4]]
    kinks = [entry for entry in found if entry[4]]
    row.error = max((entry[3] for entry in found if not entry[4]), default=0.0)

    if not whole and not bad:
        typical = float(np.sqrt(np.mean(np.square(gradient, dtype=float))))
        for _ in range(DIRECTIONS):
            direction = rng.choice([-1.0, 1.0], x.shape) / np.sqrt(x.size)
            said = float(np.sum(direction * gradient))
            slope, error, kink = _judge(
                f, _along(x, direction.astype(x.dtype)), said, typical, ruler, ruler.tol / 10, direction=True
            )
            if kink:
                kinks.append((None, said, slope, error, True))
            elif error > ruler.tol / 10:
                row.error = max(row.error, error)
                row.tol = ruler.tol / 10
                row.verdict = "WRONG"
                row.detail = (
                    f"along a random direction backward says {said:.6g}, nudging says {slope:.6g}; "
                    "full=True finds the coordinate"
                )
    if bad:
        where, said, slope = bad[0][:3]
        row.verdict = "WRONG"
        row.detail = f"at {list(where)} backward says {said:.4g}, nudging says {slope:.4g}{_pattern(found)}"
    elif kinks and row.verdict == "ok":
        row.verdict = "kink"
        row.detail = f"no derivative at {list(kinks[0][0])}" if kinks[0][0] else "no derivative along a direction"
    return row


def _pattern(found):
    """What the disagreement has in common, where it has: a constant factor, or no effect at all."""
    pairs = np.array([(said, slope) for _, said, slope, _, _ in found])
    if not pairs[:, 1].any():
        return " (nudging it changes nothing: is this the array that forward uses?)"
    if not pairs[:, 0].any():
        return " (backward says 0 everywhere)"
    pairs = pairs[np.abs(pairs[:, 1]) > 1e-3 * np.abs(pairs[:, 1]).max()]
    factors = pairs[:, 0] / pairs[:, 1]
    if len(factors) > 1 and np.ptp(factors) < 1e-2 * abs(factors.mean() - 1):
        return f", {factors.mean():.4g} times as much; so it is everywhere"
    return ""


def _judge(f, put, said, size, ruler, tol, direction=False):
    """(slope, relative error, is it a kink) for one axis or direction along which `said` is the slope."""
    slope = _slope(f, put, ruler.h)
    error = ruler.error(said, slope, size, ruler.h)
    if error <= tol:
        return slope, error, False
    # Not good enough yet: cancel the h² term of the error (Richardson), with ever smaller steps, which
    # leave a kink nearby outside.
    best = np.inf
    for h in ruler.h * np.array([10, 1, 0.1, 0.01]):
        finer = (4 * _slope(f, put, h / 2) - _slope(f, put, h)) / 3
        error = ruler.error(said, finer, size, h)
        if error < best:
            slope, best = finer, error
        if error <= tol:
            return finer, error, False
    # A kink at this very point: the slopes on the two sides differ, however small the step.
    right, left = _one_sided(f, put, h)
    slack = ruler.noise(h) + tol * size
    kink = abs(right - left) > 1e-3 * max(abs(right), abs(left), size) + 2 * slack
    between = min(left, right) - slack <= said <= max(left, right) + slack
    return slope, best, bool(kink and (direction or between))


def _slope(f, put, h):
    """Central difference along the line on which put(step) puts the point."""
    try:
        put(h)
        ahead = f()
        put(-h)
        behind = f()
    finally:
        put(0)
    return float(ahead - behind) / (2 * h)


def _one_sided(f, put, h):
    try:
        here = f()
        put(h)
        ahead = f()
        put(-h)
        behind = f()
    finally:
        put(0)
    return (ahead - here) / h, (here - behind) / h


def _along_axis(x, where):
    old = x[where]

    def put(step):
        x[where] = old + step

    return put


def _along(x, direction):
    old = x.copy()

    def put(step):
        x[...] = old + step * direction if step else old

    return put


# --- one layer by itself ---------------------------------------------------------------------------------------


class _LayerCheck:
    """One check of one layer: its inputs as arrays that can be nudged, and what the passes returned."""

    def __init__(self, layer, inputs, full, rng, tol):
        self.layer, self.full, self.rng, self.tol = layer, full, rng, tol
        self.is_array = [isinstance(x, (np.ndarray, list, tuple)) for x in inputs]
        self.inputs = [np.array(x) for x in inputs]
        self.names = _input_names(layer, len(inputs))

    def arguments(self):
        return [a if whole else a[()].item() for a, whole in zip(self.inputs, self.is_array, strict=True)]

    def forward(self):
        before = [a.copy() for a in self.inputs]
        y = _call("forward", self.layer.forward, *self.arguments())
        for name, old, a in zip(self.names, before, self.inputs, strict=True):
            self.unchanged("forward", name, old, a)
            if isinstance(y, np.ndarray) and np.shares_memory(y, a):
                raise _Fault("forward", f"what it returns shares memory with {name}; return a fresh array")
        if not np.isfinite(np.asarray(y)).all():
            raise _Fault("forward", "it returned numbers that are not finite (nan or inf)")
        return y

    def backward(self, dout):
        """The gradients: a list of (name, the array it belongs to, its gradient)."""
        before = [(name, a, a.copy()) for name, a in zip(self.names, self.inputs, strict=True)]
        given = dout.copy() if isinstance(dout, np.ndarray) else dout
        returned = _call("backward", self.layer.backward, given, may_return_none=True)
        if isinstance(dout, np.ndarray):
            self.unchanged("backward", "dout", dout, given)
        for name, a, old in before:
            self.unchanged("backward", name, old, a)
        wanted = [(n, a) for n, a in zip(self.names, self.inputs, strict=True) if a.dtype.kind == "f" and n != "t"]
        if returned is None and getattr(self.layer, "input_gradient", True) is False:
            gradients = []
        elif returned is None:
            raise _Fault("backward", "it returned None; has the return been forgotten?")
        else:
            parts = returned if isinstance(returned, tuple) else (returned,)
            if len(parts) != len(wanted):
                raise _Fault("backward", f"it returned {len(parts)} gradient(s) for {len(wanted)} input(s)")
            gradients = [(n, a, g) for (n, a), g in zip(wanted, parts, strict=True)]
            arrays = [("dout", given), *((f"d{n}", g) for n, _, g in gradients)]
            arrays = [(n, g) for n, g in arrays if isinstance(g, np.ndarray)]
            for i, (n, g) in enumerate(arrays):
                for m, other in arrays[:i]:
                    if np.shares_memory(g, other):
                        raise _Fault("backward", f"{n} shares memory with {m}; return fresh arrays")
        for name in self.parameters():
            dp = getattr(self.layer, f"d{name}", None)
            if dp is None:
                raise _Fault("backward", f"it left no d{name}")
            gradients.append((name, getattr(self.layer, name), dp))
        return [(n, a, np.array(g, dtype=float)) for n, a, g in gradients]

    def parameters(self):
        names = getattr(self.layer, "param_names", None)
        if names is None:
            known = vars(self.layer)
            names = [n for n, v in known.items() if isinstance(v, np.ndarray) and f"d{n}" in known]
        return names

    def unchanged(self, which, name, old, new):
        if not np.array_equal(old, new):
            where = tuple(map(int, np.argwhere(old != new)[0]))
            raise _Fault(
                which,
                f"it writes into {name}: at {list(where)} {old[where]:.4g} became {new[where]:.4g}; work on a copy",
            )

    def run(self, report):
        y = self.forward()
        dout = self.rng.standard_normal(np.shape(y)).astype(np.asarray(y).dtype)[()]
        gradients = self.backward(dout)
        self.forward()
        for (name, _, first), (_, _, again) in zip(gradients, self.backward(dout), strict=True):
            if not np.array_equal(first, again):
                raise _Fault("backward", f"a second pass gives another d{name}; assign gradients, do not add them up")
        y = self.forward()
        if isinstance(y, np.ndarray) and y.dtype.kind == "f":
            y[...] = np.nan  # whoever receives an output may overwrite it
            for (name, _, first), (_, _, again) in zip(gradients, self.backward(dout), strict=True):
                if not np.array_equal(first, again):
                    raise _Fault(
                        "forward",
                        f"d{name} changes when the array that forward returned is overwritten; keep a copy",
                    )

        def weighted_output():
            return float(np.vdot(dout, self.layer.forward(*self.arguments())))

        magnitude = float(np.abs(dout * self.layer.forward(*self.arguments())).sum()) + np.finfo(float).tiny
        coarsest = min((a.dtype for _, a, _ in gradients), key=lambda dtype: dtype.itemsize, default=np.dtype(float))
        ruler = _Ruler(coarsest, magnitude, self.tol)
        if getattr(self.layer, "input_gradient", True) is False:
            report.rows.append(Row(self.names[0], self.inputs[0].shape, verdict="not asked for"))
        for name, array, gradient in gradients:
            report.rows.append(_compare(name, array, gradient, weighted_output, ruler, self.rng, self.full))


def _call(name, function, *arguments, may_return_none=False):
    """function(*arguments); an error, or no result, becomes a fault that a report can tell."""
    try:
        result = function(*arguments)
    except Exception as error:
        raise _Fault(name, f"it raised {type(error).__name__}: {error}") from error
    if result is None and not may_return_none:
        raise _Fault(name, "it returned None; has the return been forgotten?")
    return result


def _input_names(layer, count):
    names = [p.name for p in inspect.signature(layer.forward).parameters.values() if p.kind == p.POSITIONAL_OR_KEYWORD]
    return names[:count] if len(names) >= count else [f"input {i}" for i in range(1, count + 1)]


def _class(thing):
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


# --- a network, layer by layer -------------------------------------------------------------------------------


def _walk(net, layers, x, t, report, full, seed, tol):
    """Check each layer by itself, at the input that this batch gives it."""
    dtype = next(iter(net.params.values())).dtype
    x = np.asarray(x, dtype=dtype)
    for name, layer in layers.items():
        report.layers[name] = check_layer(layer, x, full=full, seed=seed, tol=tol)
        try:
            x = _call("forward", layer.forward, x)
        except _Fault:
            return  # the layers after it have no input
    if hasattr(net, "last_layer"):
        report.layers["last_layer"] = check_layer(net.last_layer, x, t, full=full, seed=seed, tol=tol)


def _compare_with_layers(net, x, t, gradients, report):
    """Hold what net.gradient returned against what its layers leave when they are run backward one by one."""
    net.loss(x, t)
    dout = net.last_layer.backward()
    for layer in reversed(net.layers.values()):
        dout = layer.backward(dout)
    held = [
        (getattr(layer, name), getattr(layer, f"d{name}"))
        for layer in net.layers.values()
        for name in getattr(layer, "param_names", ())
    ]
    for row in filter(lambda row: row.ok, report.rows):
        said = np.asarray(gradients[row.name])
        for left in [dp for p, dp in held if p is net.params[row.name]]:
            error = np.abs(said - left) / np.maximum(
                np.abs(left), 1e-3 * np.abs(left).max(initial=0) + np.finfo(float).tiny
            )
            if (error > row.tol).any():
                where = tuple(map(int, np.argwhere(error > row.tol)[0]))
                row.error, row.verdict = float(error.max()), "WRONG"
                row.detail = (
                    f"at {list(where)} the gradient returned is {said[where]:.6g}, but the layer, run backward, "
                    f"leaves {left[where]:.6g}"
                )
