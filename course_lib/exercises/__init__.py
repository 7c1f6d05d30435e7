"""Exercises that grade themselves.

An exercise is declared once, in the module of its chapter (`ch00.py` shows how): the check, a function of the
learner's answers, stands under `@exercise(...)` with title, solution, three hints and the mistakes that people make.
The chapter's cell then ends in `ch02.tanh_layer.check(Tanh)`; `.hint()` and `.solution()` help whoever is stuck.
"""

import ast
import copy
import inspect
import sys
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from html import escape
from types import FunctionType, ModuleType

import numpy as np

from course_lib.exercises import wording
from course_lib.exercises.compare import NotYet, is_unwritten

NOT_ATTEMPTED, CORRECT, NOT_YET = "not attempted", "correct", "not yet"


@dataclass(frozen=True)
class Feedback:
    """What a check says: `state` is "not attempted", "correct" or "not yet", and `message` says why."""

    state: str
    message: str

    @property
    def heading(self) -> str:
        return {NOT_ATTEMPTED: "Not attempted yet.", CORRECT: "Correct.", NOT_YET: "Not yet."}[self.state]

    def __repr__(self) -> str:
        return f"{self.heading} {self.message}".rstrip()

    def _repr_html_(self) -> str:
        style = {NOT_ATTEMPTED: "info", CORRECT: "success", NOT_YET: "danger"}[self.state]
        return wording.box(style, self.heading, self.message)


@dataclass(frozen=True)
class Hint:
    """One hint, and what to ask for next."""

    heading: str
    message: str

    def __repr__(self) -> str:
        return f"{self.heading} {self.message}"

    def _repr_html_(self) -> str:
        return wording.box("info", self.heading, self.message)


@dataclass(frozen=True)
class Solution:
    """The source of a solution: highlighted in JupyterLab, plain text elsewhere."""

    source: str

    def __repr__(self) -> str:
        return self.source

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.source}\n```"


@dataclass(frozen=True)
class Mistake:
    """Wrong answers to one exercise, and the phrase that the feedback to them contains; see `mistake`."""

    answers: tuple
    phrase: str
    explains: bool


def mistake(*answers: object, because: str = "", says: str = "") -> Mistake:
    """A wrong answer that people really give: values, a function or a class, as they are passed to `check`.

    `because` completes "It looks as if …" (no full stop). That sentence is added to the feedback of every answer
    that first comes out wrong at the same place and with the same value as this one (as "Perhaps …" if other values of
    the same result do not agree), so the check's cases must tell the mistakes apart: order them, or compare one array
    of results. Where the check's own message is all that is needed (a missing `return`, a wrong type), give instead in
    `says` a phrase which that message has.
    """
    if bool(because) == bool(says):
        raise ValueError("A mistake takes either because=, a reason to add to the feedback, or says=, a phrase in it.")
    return Mistake(answers, because or says, explains=bool(because))


def exercise(
    title: str, *, solution: Callable, hints: tuple[str, str, str], mistakes: tuple[Mistake, ...]
) -> Callable[[Callable], "Exercise"]:
    """Turn the check below into an Exercise of the same name.

    The check is a function of the learner's answers. When they are wrong it raises NotYet, mostly through the
    functions of `course_lib.exercises.compare`; when they are right it may return a sentence to follow "Correct.".

    `solution` is the function or the class that answers the exercise. Where the answers are values, it is a
    function without parameters that works them out and ends in `return` with their names, which are the check's
    parameters as well; the learner sees its body without that last line.
    """

    def declare(check: Callable) -> Exercise:
        return Exercise(check, title, solution, hints, mistakes)

    return declare


class Exercise:
    """One exercise: `check` an answer, ask for a `hint`, see the `solution`."""

    def __init__(
        self,
        judge: Callable,
        title: str,
        solution: Callable,
        hints: tuple[str, ...],
        mistakes: tuple[Mistake, ...],
    ):
        if len(hints) != 3:
            raise ValueError(
                f"{judge.__name__} has {len(hints)} hints; an exercise has three, from a nudge to nearly all."
            )
        self.name = f"{judge.__module__.rpartition('.')[2]}.{judge.__name__}"
        self.title, self.hints, self.mistakes = title, hints, mistakes
        self._judge, self._solution = judge, solution
        self.answers = tuple(inspect.signature(judge).parameters) if self._asks_values() else (solution.__name__,)
        self.state, self.attempts, self.hints_shown = NOT_ATTEMPTED, 0, 0

    def __repr__(self) -> str:
        return f"Exercise {self.name}: {self.title}"

    def check(self, *answers: object) -> Feedback:
        """Judge the answers. It raises nothing, whatever the learner wrote, and changes nothing of it."""
        feedback = self._feedback(answers)
        self.state = feedback.state
        self.attempts += feedback.state != NOT_ATTEMPTED
        return feedback

    def hint(self, level: int | None = None) -> Hint:
        """The next hint, from a nudge to nearly all; or, with a level of 1 to 3, that one again."""
        if level is None:
            level = min(self.hints_shown + 1, 3)
        if level not in (1, 2, 3):
            raise ValueError(f"There are hints 1, 2 and 3; you asked for {level!r}.")
        self.hints_shown = max(self.hints_shown, level)
        last = f"There are no more hints; `{self.name}.solution()` shows a solution."
        after = f"`{self.name}.hint()` gives the next one." if self.hints_shown < 3 else last
        return Hint(f"Hint {level} of 3.", f"{self.hints[level - 1]}\n\n{after}")

    def solution(self) -> Solution:
        """The solution, as code that can be put above the check in the learner's cell."""
        source = textwrap.dedent(inspect.getsource(self._solution)).rstrip()
        if self._asks_values():
            function = ast.parse(source).body[0]
            body = source.splitlines()[function.lineno : function.body[-1].lineno - 1]
            source = textwrap.dedent("\n".join(body)).strip()
        return Solution(source)

    def solved(self) -> tuple:
        """The solution's own answers, as they are passed to `check`."""
        if not self._asks_values():
            return (self._solution,)
        values = self._solution()
        return values if len(self.answers) > 1 else (values,)

    def _asks_values(self) -> bool:
        return isinstance(self._solution, FunctionType) and not inspect.signature(self._solution).parameters

    def _feedback(self, answers: tuple) -> Feedback:
        if len(answers) != len(self.answers):
            return Feedback(NOT_YET, f"The cell should end in `{self.name}.check({', '.join(self.answers)})`.")
        with warnings.catch_warnings(), np.errstate(all="warn", under="ignore"):
            warnings.simplefilter("ignore")
            try:
                return self._verdict(answers)
            except NotYet as reason:
                return Feedback(NOT_YET, self._explanation(reason))

    def _verdict(self, answers: tuple) -> Feedback:
        """The feedback to an answer that is open or right; NotYet for any other, whatever its code raises."""
        try:
            unwritten = [name for name, answer in zip(self.answers, answers, strict=True) if is_unwritten(answer)]
            if len(unwritten) == len(answers):
                how = "Write your answer in place of `...`, then run the cell again."
                return Feedback(NOT_ATTEMPTED, f"{how} Stuck? `{self.name}.hint()` gives a hint.")
            if unwritten:
                raise NotYet(f"A good start. Still to be written: {', '.join(f'`{name}`' for name in unwritten)}.")
            held = (np.ndarray, list, tuple, dict)
            praise = self._judge(*(copy.deepcopy(answer) if isinstance(answer, held) else answer for answer in answers))
            return Feedback(CORRECT, praise or "")
        except (NotYet, KeyboardInterrupt):
            raise
        except BaseException as caught:  # SystemExit as well: nothing the learner wrote may end the kernel
            raise NotYet.because_of(caught) from caught

    def _explanation(self, reason: NotYet) -> str:
        """What went wrong and, if the answer behaves as one of the known mistakes does, why."""
        phrase, alike = max(
            ((phrase, failure.likeness(reason)) for phrase, failure in self._failures),
            key=lambda known: known[1],
            default=("", 0),
        )
        guess = {0: "", 1: f"Perhaps {phrase}.", 2: f"It looks as if {phrase}."}[alike]
        return "\n\n".join(filter(None, [reason.message, guess, *reason.remarks]))

    @cached_property
    def _failures(self) -> list[tuple[str, NotYet]]:
        """How each mistake that explains itself goes wrong."""
        failures = []
        for known in self.mistakes:
            if known.explains:
                try:
                    self._verdict(known.answers)
                except NotYet as failure:
                    failures.append((known.phrase, failure))
        return failures


# ---------------------------------------------------------------- how far one has come


def exercises_of(chapter: ModuleType) -> list[Exercise]:
    """The exercises of a chapter's module, in the order in which it declares them."""
    return [thing for thing in vars(chapter).values() if isinstance(thing, Exercise)]


@dataclass(frozen=True)
class Progress:
    """A table of exercises: name, title, state, attempts, hints seen."""

    rows: tuple[tuple[str, ...], ...]

    HEAD = ("exercise", "question", "state", "attempts", "hints")

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.HEAD, *self.rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (self.HEAD, *self.rows)]
        return "\n".join([*lines, self._summary()])

    def _repr_html_(self) -> str:
        def line(tag: str, row: tuple[str, ...]) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in row) + "</tr>"

        body = "".join(line("td", row) for row in self.rows)
        table = f"<table><thead>{line('th', self.HEAD)}</thead><tbody>{body}</tbody></table>"
        return f"{table}<p>{self._summary()}</p>"

    def _summary(self) -> str:
        return f"{sum(row[2] == CORRECT for row in self.rows)} of {len(self.rows)} correct."


def progress() -> Progress:
    """How far this kernel has come with the exercises of the chapters that it has imported."""
    chapters = [sys.modules[name] for name in sorted(sys.modules) if name.startswith(f"{__name__}.ch")]
    rows = [
        (each.name, each.title, each.state, str(each.attempts), f"{each.hints_shown} of 3")
        for chapter in chapters
        for each in exercises_of(chapter)
    ]
    return Progress(tuple(rows))
