"""How the exercises put things: values in plain words and digits, errors with the learner's line, text as HTML.

Everything here reads the same on every machine: no memory address, no file name, no `np.float64(...)`.
"""

import html
import numbers
import re
import sysconfig
import traceback
from pathlib import Path

import numpy as np

# Files under these folders are never the learner's own: this package, Python itself and what is installed.
_NOT_THE_LEARNERS = (
    str(Path(__file__).parents[1]),
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)


def number(value: numbers.Real, digits: int = 6) -> str:
    """A number in plain digits: 2.2, 200, 1e-05, nan."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, numbers.Integral) and abs(value) < 10**15:
        return str(int(value))
    try:
        return f"{float(value) + 0.0:.{digits}g}"  # adding 0.0 turns -0.0 into 0.0
    except OverflowError:
        return "a number too large for a float"


def two_numbers(found: numbers.Real, expected: numbers.Real) -> tuple[str, str]:
    """Two numbers with just enough digits to be told apart."""
    for digits in (6, 9, 12, 17):
        texts = number(found, digits), number(expected, digits)
        if texts[0] != texts[1]:
            break
    return texts


def show(value: object) -> str:
    """A value as short Python that a reader could type; anything long or foreign by its kind."""
    if value is None or value is ...:
        return "None" if value is None else "..."
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:40] + "…")
    if isinstance(value, np.ndarray) and is_numeric(value) and value.size <= 24:
        return f"np.array({_nested(value)})"
    if is_numeric(value) and np.ndim(value) == 0:
        return number(value)
    if isinstance(value, (list, tuple)) and len(value) <= 12:
        inside = ", ".join(map(show, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    return kind(value)


def _nested(array: np.ndarray) -> str:
    if array.ndim == 0:
        return number(array[()])
    return "[" + ", ".join(_nested(part) for part in array) + "]"


def is_numeric(value: object) -> bool:
    """Whether a value is a real number, a truth value or an array of these."""
    return isinstance(value, (int, float, np.generic, np.ndarray)) and np.asarray(value).dtype.kind in "biuf"


def kind(value: object) -> str:
    """What sort of thing a value is, in words: "an array of shape (2, 3)", "a string"."""
    if isinstance(value, np.ndarray) and value.ndim:
        of = (
            "" if value.dtype.kind in "iuf" else " of truth values" if value.dtype.kind == "b" else f" of {value.dtype}"
        )
        return f"an array{of} of shape {value.shape}"
    if is_numeric(value):
        return "a truth value" if np.asarray(value).dtype.kind == "b" else "a number"
    if isinstance(value, type):
        return f"the class `{value.__name__}`"
    if isinstance(value, int):
        return "an integer that is too large"
    for sort, words in ((str, "a string"), (list, "a list"), (tuple, "a tuple"), (dict, "a dictionary")):
        if isinstance(value, sort):
            return words
    return "a function" if callable(value) else f"an object of class `{type(value).__name__}`"


def exception(caught: BaseException) -> str:
    """The type of an exception and what it says."""
    try:
        message = str(caught)[:300]
    except Exception:  # an exception class of the learner's own may fail to say what it is
        message = ""
    return f"`{type(caught).__name__}`" + (f": {message}" if message else "")


def report(caught: BaseException) -> str:
    """An exception in the learner's code, with the learner's line that led to it, which another cell may hold."""
    own_lines = [frame for frame in traceback.extract_tb(caught.__traceback__) if _is_the_learners(frame.filename)]
    if not own_lines:
        return f"The check could not use your answer: {exception(caught)}"
    last = own_lines[-1]
    line = f"in {last.name}, line {last.lineno} of its cell:  {last.line}"
    return f"Your code stopped with {exception(caught)}\n\n    {line}"


def _is_the_learners(filename: str) -> bool:
    compiled = filename.endswith(".pyx")  # numpy.random's own lines, whose file names are relative
    return not compiled and not filename.startswith((*_NOT_THE_LEARNERS, "<frozen", "<__array_function__"))


def box(style: str, heading: str, text: str) -> str:
    """`text` as a box of JupyterLab's, `style` being info, success or danger.

    Blank lines part paragraphs, a block indented by four spaces is code, and so is what stands in backticks.
    Everything is escaped, so nothing that a learner wrote becomes markup. The boxes are pale in JupyterLab's dark
    theme too, and its own letters in them are nearly as pale; so ours are dark in both.
    """
    first, *others = map(_block, text.split("\n\n"))
    inside = f"<p><b>{heading}</b> {first.removeprefix('<p>')}{''.join(others)}"
    return f'<div class="alert alert-{style}" style="color: #222222">{inside}</div>'


def _block(text: str) -> str:
    safe = html.escape(text)
    if text.startswith("    "):
        return "<pre><code>" + re.sub(r"^    ", "", safe, flags=re.MULTILINE) + "</code></pre>"
    return "<p>" + re.sub(r"`([^`]+)`", r"<code>\1</code>", safe) + "</p>"
