"""What the checks are written with: call the learner's code safely, and say where its results differ.

Every `expect_...` returns nothing when all is well, and raises `NotYet` with the reason in the learner's terms when
something is not. Expected values come from the solution itself: a check runs both on the same inputs.
"""

import copy
import dis
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType

import numpy as np

from course_lib.exercises.wording import exception, is_numeric, kind, report, show, two_numbers


class NotYet(Exception):
    """The answer is not right yet: `message` says why, `what` came out wrong, and `found` is what it was.

    `remarks` are further paragraphs, such as the inputs, that follow the message.
    """

    def __init__(self, message: str, what: str = "", found: object = None, tolerance: float = 1e-9):
        super().__init__(message)
        self.message, self.what, self.found, self.remarks = message, what, found, []
        self.tolerance = tolerance  # within which another value counts as the same
        self.whole = found  # the tuple, list or dictionary that `found` is a part of

    @classmethod
    def because_of(cls, caught: BaseException) -> "NotYet":
        """What to say of an answer whose code raised this exception."""
        return cls(report(caught), "exception", exception(caught))

    def likeness(self, other: "NotYet") -> int:
        """0, or 1 if both went wrong at the same place with the same value there, or 2 if all around it agrees too."""
        if not self.what or self.what != other.what or not _same(self.found, other.found, self.tolerance):
            return 0
        return 2 if _same(self.whole, other.whole, self.tolerance) else 1


# ---------------------------------------------------------------- the learner's code


def is_unwritten(answer: object) -> bool:
    """Whether nothing has been written yet: `...`, None, a function or class in which every body is `...`.

    A class is unwritten as long as all its own methods are, whatever its `__init__` does. What it inherits does not
    count, so a stub that gives some of the methods inherits them.
    """
    if isinstance(answer, type):
        kinds = (FunctionType, staticmethod, classmethod)
        own = {name: part for name, part in vars(answer).items() if isinstance(part, kinds)}
        return all(_is_stub(part) for name, part in own.items() if name != "__init__" or len(own) == 1)
    if isinstance(answer, (list, tuple, dict)) and answer:
        return all(part is ... for part in (answer.values() if isinstance(answer, dict) else answer))
    return answer is None or answer is ... or _is_stub(answer)


def _is_stub(function: object) -> bool:
    """Whether a function's body is only `...`, `pass`, a docstring, or a `return` of None or `...`."""
    function = getattr(function, "__func__", function)  # a bound method holds its function
    if not isinstance(function, FunctionType):
        return False
    work = [step for step in dis.get_instructions(function) if step.opname not in ("RESUME", "NOP", "RETURN_VALUE")]
    return all(step.opname in ("LOAD_CONST", "RETURN_CONST") and step.argval in (None, ...) for step in work)


def call(function: Callable, *args: object) -> object:
    """What the learner's function returns for copies of `args`, which it must leave as they were.

    An exception is left to `Exercise.check`, which reports it with the learner's line.
    """
    name = getattr(function, "__name__", "your function")
    if _is_stub(function):
        raise NotYet(f"`{name}` has not been written yet.")
    parameters, given = argument_names(function, args), copy.deepcopy(args)
    result = function(*given)
    for i, (parameter, before, after) in enumerate(zip(parameters, args, given, strict=True)):
        if not _same(before, after, tolerance=1e-12):
            message = f"`{name}` changed its argument `{parameter}`, which still belongs to the caller: "
            message += f"it was {show(before)} and became {show(after)}. Compute a new value instead."
            raise NotYet(message, f"argument {i} afterwards", after)
    if result is None:
        raise NotYet(f"`{name}` returned None. Is a `return` missing? (`print` only shows a value.)")
    return result


def argument_names(function: Callable, args: tuple) -> list[str]:
    """The name of the parameter that takes each of `args`."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions written in C do not tell
        return [f"argument {i}" for i in range(1, len(args) + 1)]
    try:
        bound = signature.bind(*args)
    except TypeError as reason:
        name = getattr(function, "__name__", "your function")
        count = "1 argument" if len(args) == 1 else f"{len(args)} arguments"
        message = f"`{name}` is called with {count} here, and yours does not take that: {reason}."
        if inspect.ismethod(function) and function.__code__.co_varnames[:1] != ("self",):
            message += " A method's first parameter is `self`."
        raise NotYet(message) from None
    names = []
    for parameter, value in bound.arguments.items():
        takes_many = signature.parameters[parameter].kind is inspect.Parameter.VAR_POSITIONAL
        names += [parameter] * (len(value) if takes_many else 1)
    return names


def _same(a: object, b: object, tolerance: float) -> bool:
    """Whether two values agree. Of foreign objects only the types are compared: they cannot be trusted to tell."""
    if is_numeric(a) and is_numeric(b):
        alike = np.shape(a) == np.shape(b) and _is_truth(a) == _is_truth(b)
        return alike and np.allclose(a, b, rtol=tolerance, atol=min(tolerance, 1e-9), equal_nan=True)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if type(a) is not type(b) or is_numeric(a) != is_numeric(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key], tolerance) for key in a)
    return a == b if isinstance(a, str) else True


@contextmanager
def no_warnings(because: str) -> Iterator[None]:
    """Inside this block a warning (overflow, division by zero) makes the answer wrong; `because` is a sentence."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            yield
        except Warning as warning:
            raise NotYet(f"NumPy warned: {warning}. {because}") from warning


@contextmanager
def remark(text: str, where: str = "") -> Iterator[None]:
    """Inside this block `text` is added to the report of a wrong value, and `where` to the name of its place.

    With a `where`, a value that goes wrong here is not taken for a mistake that goes wrong elsewhere.
    """
    try:
        yield
    except NotYet as reason:
        if reason.what and text:
            reason.remarks.append(text)
            reason.what += where
        raise


@contextmanager
def judged_by(results: list) -> Iterator[None]:
    """What goes wrong inside this block is explained by a known mistake only if all its `results` are the same."""
    try:
        yield
    except NotYet as reason:
        reason.found = results
        raise


# ---------------------------------------------------------------- comparing


def expect_equal(found, expected, what: str, *, rtol: float = 1e-6, atol: float = 1e-9, reveal: bool = True) -> None:
    """`found` must be `expected`: of its kind, of its shape, and close to it in every element.

    `expected` is a number, an array, a truth value, a string (compared without regard to case), or a list, tuple or
    dictionary of these. `what` is its name in the learner's code. `reveal=False` keeps the expected value back, for
    exercises in which it is the whole answer.
    """
    how = {"rtol": rtol, "atol": atol, "reveal": reveal}
    if found is None or found is ...:
        raise NotYet(f"`{what}` is still `{show(found)}`.", what)
    if isinstance(expected, dict):
        _expect_kind(found, (dict,), expected, what)
        for key in [*expected, *found]:
            if (key in found) != (key in expected):
                problem = "lacks the key" if key in expected else "has a key that does not belong there:"
                raise NotYet(f"`{what}` {problem} {show(key)}.", what, show(key))
        for key in expected:
            with _part_of(found):
                expect_equal(found[key], expected[key], f"{what}[{show(key)}]", **how)
    elif isinstance(expected, (list, tuple)):
        _expect_kind(found, (list, tuple), expected, what)
        if len(found) != len(expected):
            raise NotYet(f"`{what}` should hold {len(expected)} values, but it holds {len(found)}.", what, found)
        for i, (mine, wanted) in enumerate(zip(found, expected, strict=True)):
            with _part_of(found):
                expect_equal(mine, wanted, f"{what}[{i}]", **how)
    elif isinstance(expected, str):
        _expect_kind(found, (str,), expected, what)
        said = found.strip().casefold()
        if said != expected.casefold():
            wanted = f"should be {show(expected)}, but it is {show(found)}" if reveal else f"is not {show(found)}"
            raise NotYet(f"`{what}` {wanted}.", what, said)
    else:
        _expect_close(found, expected, what, **how)


@contextmanager
def _part_of(whole: object) -> Iterator[None]:
    """What goes wrong inside this block is a part of `whole`."""
    try:
        yield
    except NotYet as reason:
        reason.whole = whole
        raise


def _expect_kind(found: object, kinds: tuple[type, ...], expected: object, what: str) -> None:
    if not isinstance(found, kinds):
        raise NotYet(f"`{what}` should be {kind(expected)}, but it is {kind(found)}.", what, found)


def _expect_close(found: object, expected: object, what: str, *, rtol: float, atol: float, reveal: bool) -> None:
    """The comparison of numbers and arrays: kind and shape, truth values or numbers, then element by element."""
    want = np.asarray(expected)
    if not is_numeric(found) or np.shape(found) != want.shape or _is_truth(found) != _is_truth(want):
        raise NotYet(f"`{what}` should be {kind(expected)}, but it is {kind(found)}.", what, found)
    have = np.asarray(found)
    wrong = ~np.isclose(have, want, rtol=rtol, atol=atol, equal_nan=True)
    if not wrong.any():
        return
    index = tuple(map(int, np.argwhere(wrong)[0]))
    place = f"`{what}[{', '.join(map(str, index))}]`" if index else f"`{what}`"
    many = f" ({wrong.sum()} of {wrong.size} values differ)" if wrong.size > 1 else ""
    is_now, should_be = two_numbers(have[index], want[index])
    if reveal:
        message = f"{place} should be {should_be}, but it is {is_now}{many}."
    else:
        message = f"{place} is {is_now}{many}. That is {_direction(have[index], want[index])}."
    if have.ndim and have.dtype.kind in "iu" and want.dtype.kind == "f":
        message += " Your array holds integers, which have no room for fractions."
    raise NotYet(message, what, found, tolerance=1e-3 * rtol if reveal else rtol)


def _is_truth(value: object) -> bool:
    return np.asarray(value).dtype.kind == "b"


def _direction(have: float, want: float) -> str:
    if np.isnan(have):
        return "not a number"
    if _is_truth(have):
        return "the wrong way round"
    if have * want < 0:
        return "of the wrong sign"
    return "too large" if have > want else "too small"


# ---------------------------------------------------------------- functions and layers


def expect_function(answer: object, like: Callable, *cases: tuple, **how) -> None:
    """`answer` must be a function that returns what `like` returns, for each case: a tuple of arguments.

    `how` (rtol, atol, reveal) goes to `expect_equal`.
    """
    if isinstance(answer, type) or not callable(answer):
        message = f"`{like.__name__}` should be a function, but it is {kind(answer)}."
        raise NotYet(message, like.__name__, answer)
    for args in cases:
        names = argument_names(like, args)
        typed = ", ".join(name if np.ndim(arg) else show(arg) for name, arg in zip(names, args, strict=True))
        with remark(_inputs(names, args)):
            expect_equal(call(answer, *args), like(*copy.deepcopy(args)), f"{like.__name__}({typed})", **how)


def expect_layer(answer: object, like: type, *inputs, init: tuple = (), grads: tuple[str, ...] = (), **how) -> None:
    """`answer` must be a layer that computes what the layer `like` computes, forward and backward.

    Both classes are made with `init` and run on `inputs` and on the same inputs in reverse order: with new layers,
    with one that was used before, and with two in use at once. The upstream gradient is random, from a fixed seed,
    and has the other sign for the inputs in reverse.
    `grads` names the attributes, such as "dW", that backward must leave behind. `how` goes to `expect_equal`.
    """
    if not isinstance(answer, type):
        raise NotYet(f"`{like.__name__}` should be a class, but it is {kind(answer)}.", like.__name__, answer)
    for method in ("forward", "backward"):
        if not callable(getattr(answer, method, None)):
            raise NotYet(f"Your class has no method `{method}`.")

    def pair():
        argument_names(answer, init)  # refuses a constructor that does not take them
        return answer(*copy.deepcopy(init)), like(*copy.deepcopy(init))

    if len(inputs) > 1 and not any(map(np.ndim, inputs)):
        turned = inputs[::-1]  # numbers change places, and which of them is the larger one changes with them
    else:
        turned = tuple(x[::-1] if np.ndim(x) else 2 * x for x in inputs)
    used = pair()
    _expect_no_globals(used[0], argument_names(answer, init) + argument_names(used[0].forward, inputs))
    _expect_passes(*pair(), inputs, grads, how)
    _expect_passes(*used, turned, grads, how, sign=-1)
    used_before = "A new layer gets this right, but one that was used before does not. What does it still keep?"
    with remark(used_before, " when used again"):
        _expect_passes(*used, inputs, grads, how)
    in_use = "This happened while a second layer was in use. Does each keep its own values, in `self`?"
    with remark(in_use, " beside another"):
        other, _ = pair()
        _expect_passes(*pair(), inputs, grads, how, between=lambda: call(other.forward, *turned))


def _expect_no_globals(layer: object, given: list[str]) -> None:
    """No pass reads from the notebook, as `x` for `self.x`, what the layer itself was given."""
    for name in ("forward", "backward"):
        code = getattr(getattr(layer, name), "__code__", None)
        steps = dis.get_instructions(code) if code else ()
        if outside := sorted({step.argval for step in steps if step.opname == "LOAD_GLOBAL"} & set(given)):
            read, kept = (" and ".join(f"`{prefix}{each}`" for each in outside) for prefix in ("", "self."))
            raise NotYet(
                f"`{name}` reads {read} without `self`: that is whatever the notebook calls so, and not what the "
                f"layer was given. Keep it in the layer, as {kept}, and read it there."
            )


def _expect_passes(theirs, ours, inputs, grads, how, *, sign=1, between=lambda: None) -> None:
    """One forward and one backward pass of both layers, with `sign` before dout; `between` comes between the two."""
    names = argument_names(ours.forward, inputs)
    y = ours.forward(*copy.deepcopy(inputs))
    with remark(_inputs(names, inputs, numbers=True)):
        expect_equal(call(theirs.forward, *inputs), y, f"forward({', '.join(names)})", **how)
    if _is_stub(theirs.backward):
        raise NotYet("Your `forward` is right. `backward` has not been written yet.")
    between()
    rng = np.random.default_rng(7)
    dout = sign * (rng.uniform(0.2, 2.0, np.shape(y)) * rng.choice([-1, 1], np.shape(y))).round(2)[()]
    expected = ours.backward(copy.deepcopy(dout))
    with remark(_inputs([*names, "dout"], [*inputs, dout], numbers=True)):
        what = f"backward({'dout' if np.ndim(dout) else show(dout)})"
        expect_equal(call(theirs.backward, dout), expected, what, **how)
        for name in grads:
            if not hasattr(theirs, name):
                raise NotYet(f"After `backward` the layer has no `{name}`. Keep it in `self.{name}`.")
            expect_equal(getattr(theirs, name), getattr(ours, name), name, **how)


def _inputs(names: list[str], values: list, *, numbers: bool = False) -> str:
    """The lines that set up a case again: its arrays, as far as they are short enough to be typed, or all `numbers`."""
    typed = [(name, show(value), np.ndim(value)) for name, value in zip(names, values, strict=True)]
    return "\n".join(
        f"    {name} = {text}" for name, text, ndim in typed if text.startswith("np.array") or (numbers and not ndim)
    )
