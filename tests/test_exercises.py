"""The exercises: what the framework promises, then the proofs for every exercise that there is."""

import copy
import importlib
import inspect
import linecache
import pkgutil
import re
import types
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient.exceptions import CellExecutionError

import conftest
from course_lib import exercises
from course_lib.exercises import CORRECT, NOT_ATTEMPTED, NOT_YET, exercise, exercises_of, mistake, progress
from course_lib.exercises.compare import NotYet, expect_equal, expect_function, expect_layer, no_warnings
from course_lib.layers import Relu
from tools.execute import run

HINTS = ("Look.", "Look again.", "Look once more.")

# ---------------------------------------------------------------- three exercises of our own, one of each sort


class Square:
    def forward(self, x):
        self.x = x
        return x**2

    def backward(self, dout):
        return dout * 2 * self.x


class LocalOnly(Square):
    def backward(self, dout):
        return 2 * self.x


@exercise("Square layer", solution=Square, hints=HINTS, mistakes=(mistake(LocalOnly, because="you forgot `dout`"),))
def square_layer(answer):
    expect_layer(answer, Square, np.array([[0.5, -1.5, 2.0], [3.0, 0.25, -0.75]]))


def softplus(x):
    return np.logaddexp(0, x)


@exercise("Softplus", solution=softplus, hints=HINTS, mistakes=(mistake(lambda x: np.maximum(0, x), says="should be"),))
def stable_softplus(answer):
    expect_function(answer, softplus, (np.array([-1.0, 0.0, 2.0]),), (3.0,))
    with no_warnings("A stable softplus never takes exp of a large number."):
        expect_function(answer, softplus, (np.array([-1000.0, 1000.0]),))
    return "It is stable."


def worked():
    # the other two factors of the product
    apple = 2 * 1.1
    count = 100 * 1.1  # yen per apple
    return apple, count


@exercise(
    "By eye",
    solution=worked,
    hints=HINTS,
    mistakes=(mistake(2, 100, because="you left out the tax"), mistake(2.2, "110", says="a string")),
)
def by_eye(apple, count):
    expect_equal(apple, 2.2, "apple", reveal=False)
    expect_equal(count, 110.0, "count", reveal=False)


OURS = [square_layer, stable_softplus, by_eye]


def says(feedback, *phrases):
    """Assert that an answer is "not yet" for the reasons given."""
    assert feedback.state == NOT_YET
    for phrase in phrases:
        assert phrase in feedback.message


# ---------------------------------------------------------------- states and feedback


def test_an_open_stub_is_not_attempted():
    class Stub:
        def __init__(self):
            self.x = 0.0

        def forward(self, x): ...

        def backward(self, dout):
            """Say what it does."""
            return ...

    def pass_only(x):
        pass

    for feedback in (
        square_layer.check(Stub),
        square_layer.check(...),
        stable_softplus.check(pass_only),
        stable_softplus.check(None),
        by_eye.check(..., None),
    ):
        assert feedback.state == NOT_ATTEMPTED
        assert "Write your answer in place of `...`" in feedback.message and ".hint()" in feedback.message


def test_a_half_written_answer_is_told_what_is_missing():
    class Half:
        def forward(self, x):
            return x**2

        def backward(self, dout): ...

    says(square_layer.check(Half), "`forward` is right", "`backward` has not been written yet")
    says(by_eye.check(2.2, ...), "Still to be written: `count`")


def test_a_stub_that_gives_a_method_inherits_it():
    class Given:
        def forward(self, x):
            return x**2

    class Mine(Given):
        def backward(self, dout): ...

    assert square_layer.check(Mine).state == NOT_ATTEMPTED


def test_a_forgotten_return_is_not_an_open_stub():
    def forgets(x):
        y = np.logaddexp(0, x)  # noqa: F841

    def leaves_dots(x):
        x = x + 1
        return ...

    says(stable_softplus.check(forgets), "returned None", "`return`")
    says(stable_softplus.check(leaves_dots), "is still `...`")


@pytest.mark.parametrize("ours", OURS, ids=lambda each: each.name)
def test_the_solution_is_correct_and_its_source_defines_the_answers(ours):
    assert ours.check(*ours.solved()).state == CORRECT
    names = {"np": np}
    exec(ours.solution().source, names)
    assert ours.check(*(names[name] for name in ours.answers)).state == CORRECT


def test_a_solution_of_values_shows_its_reasons_but_not_the_function_around_it():
    assert repr(by_eye.solution()).startswith("# the other two factors of the product\napple = 2 * 1.1\ncount")
    assert repr(by_eye.solution()).endswith("# yen per apple")
    assert square_layer.solution()._repr_markdown_().startswith("```python\nclass Square:")


def test_feedback_reads_as_text_and_as_a_box():
    for feedback, heading, style in (
        (by_eye.check(..., ...), "Not attempted yet.", "alert-info"),
        (stable_softplus.check(softplus), "Correct. It is stable.", "alert-success"),
        (by_eye.check(1, 2), "Not yet.", "alert-danger"),
    ):
        assert repr(feedback).startswith(heading) and repr(feedback) == str(feedback)
        markup = feedback._repr_html_()
        assert f'<div class="alert {style}" style="color: #222222"><p><b>{feedback.heading}</b>' in markup
        assert markup.count("style=") == 1 and "alert-warning" not in markup


def test_what_a_learner_wrote_is_escaped():
    feedback = by_eye.check("<script>alert(1)</script>", 2)
    says(by_eye.check(2.2, "<b>"), "a string")

    def fails(x):
        raise ValueError("<img src=x> & more")

    markup = stable_softplus.check(fails)._repr_html_()
    assert "<img" not in markup and "&lt;img src=x&gt; &amp; more" in markup
    assert "<script" not in feedback._repr_html_()


def test_the_wrong_number_of_answers_is_said_kindly():
    says(by_eye.check(2.2), "test_exercises.by_eye.check(apple, count)")


# ---------------------------------------------------------------- errors in the learner's code


def cell(source):
    """Run source as a kernel runs a cell: under a file name of its own that linecache knows. Return its names."""
    name, names = "/tmp/ipykernel_1/2.py", {"np": np}
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    exec(compile(source, name, "exec"), names)
    return names


def test_an_exception_is_reported_with_the_line_of_the_cell():
    names = cell("def helper(x):\n    return x / 0\n\ndef softplus(x):\n    return helper([1])\n")
    says(
        stable_softplus.check(names["softplus"]),
        "`TypeError`: unsupported operand",
        "    in helper, line 2 of its cell:  return x / 0",
    )


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("return np.concatenate([x, 1.0])", "`ValueError`"),
        ("return np.random.default_rng(0).standard_normal(3, 4)", "`TypeError`"),
        ("return np.random.default_rng(0).normal(0, -1, 3)", "`ValueError`"),
    ],
    ids=["a function in Python", "one compiled by Cython", "and one called by that"],
)
def test_an_exception_inside_numpy_is_reported_with_the_line_that_called_it(line, error):
    names = cell(f"def softplus(x):\n    y = x + 1\n    {line}\n")
    says(stable_softplus.check(names["softplus"]), error, f"    in softplus, line 3 of its cell:  {line}")
    assert "<pre><code>in softplus, line 3 of its cell:" in stable_softplus.check(names["softplus"])._repr_html_()


def test_nothing_but_an_interrupt_leaves_check():
    class Unspeakable(Exception):
        def __str__(self):
            raise RuntimeError("never")

    def endless(x):
        return endless(x)

    def raiser(error):
        def softplus(x):
            raise error

        return softplus

    says(stable_softplus.check(endless), "RecursionError")
    says(stable_softplus.check(raiser(SystemExit(1))), "SystemExit")
    says(stable_softplus.check(raiser(Unspeakable())), "Unspeakable")
    with pytest.raises(KeyboardInterrupt):
        stable_softplus.check(raiser(KeyboardInterrupt()))


def test_a_constructor_that_fails_and_a_missing_method_are_reported():
    class Fails(Square):
        def __init__(self):
            self.x = missing  # noqa: F821

    class WantsMore(Square):
        def __init__(self, size):
            self.size = size

    class NoBackward:
        def forward(self, x):
            return x**2

    class NoSelf(Square):
        def forward(x):
            return x**2

    says(square_layer.check(Fails), "NameError", "self.x = missing")
    says(square_layer.check(WantsMore), "`WantsMore` is called with 0 arguments", "missing a required argument: 'size'")
    says(square_layer.check(NoBackward), "has no method `backward`")
    says(square_layer.check(NoSelf), "first parameter is `self`")
    says(square_layer.check(Square()), "should be a class")


def test_an_answer_without_a_line_of_its_own_is_not_blamed_on_one():
    says(CHAPTERS["ch00"].total_price.check(np.sum), "The check could not use your answer: `AxisError`")


def test_warnings_stay_inside_and_can_be_feedback(recwarn):
    says(
        stable_softplus.check(lambda x: np.log(1 + np.exp(x))),
        "NumPy warned: overflow encountered in exp",
        "A stable softplus never",
    )
    with np.errstate(all="raise"):
        says(by_eye.check(np.inf, np.nan), "too large")
        says(stable_softplus.check(lambda x: x / np.zeros(3)), "should be 0.313262, but it is -inf")
    assert not recwarn


# ---------------------------------------------------------------- what the comparison says


@pytest.mark.parametrize(
    ("found", "expected", "phrases"),
    [
        ([1.0], np.ones(1), ["should be an array of shape (1,), but it is a list"]),
        ("2", 2.0, ["should be a number, but it is a string"]),
        (np.ones((3, 1)), np.ones(3), ["shape (3,), but it is an array of shape (3, 1)"]),
        (1.0, np.ones((2, 2)), ["should be an array of shape (2, 2), but it is a number"]),
        (np.ones(1), 1.0, ["should be a number, but it is an array of shape (1,)"]),
        (np.ones(2), np.array([True, False]), ["array of truth values of shape (2,), but it is an array of shape"]),
        (np.array(["a"]), np.ones(1), ["an array of <U1"]),
        (np.array([1.0, np.nan]), np.ones(2), ["`y[1]` should be 1, but it is nan (1 of 2 values differ)"]),
        (np.array([[1.0, 2.0], [9.0, 8.0]]), np.ones((2, 2)), ["`y[0, 1]` should be 1, but it is 2 (3 of 4"]),
        (np.array([0, 1]), np.array([0.5, 1.5]), ["integers"]),
        (1.0000001, 1.0001, ["should be 1.0001, but it is 1."]),
        (1.00000001, 1.00000301, ["should be 1.00000301, but it is 1.00000001"]),
        (np.float64(2.5), 2.0, ["should be 2, but it is 2.5"]),
        (10**400, 2.0, ["an integer that is too large"]),
        (1e300, 2.0, ["1e+300"]),
        (10**16, 2.0, ["1e+16"]),
        (1 + 2j, 2.0, ["an object of class `complex`"]),
        (3, "relu", ["should be a string, but it is a number"]),
        ("tanh", "relu", ["should be 'relu', but it is 'tanh'"]),
        ([1, 2], [1, 3], ["`y[1]` should be 3, but it is 2"]),
        ([1, 2], (1, 2, 3), ["should hold 3 values, but it holds 2"]),
        ([1, ...], [1, 2], ["`y[1]` is still `...`"]),
        ({"W": 1.0}, {"W": 1.0, "b": 2.0}, ["lacks the key 'b'"]),
        ({"W": 1.0, "c": 1.0}, {"W": 1.0}, ["does not belong there: 'c'"]),
        ({"W": 1.0}, {"W": 2.0}, ["`y['W']` should be 2, but it is 1"]),
        (True, 1.0, ["should be a number, but it is a truth value"]),
        (False, True, ["should be True, but it is False"]),
    ],
    ids=str,
)
def test_a_difference_is_told_by_kind_then_shape_then_first_element(found, expected, phrases):
    with pytest.raises(NotYet) as caught:
        expect_equal(found, expected, "y")
    for phrase in phrases:
        assert phrase in caught.value.message
    assert "np.float64" not in caught.value.message


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (np.float64(2), 2),
        (220.00000000000003, 220),
        (np.array([1, 2]), np.array([1.0, 2.0])),
        (" ReLU ", "relu"),
        ((1, 2), [1, 2]),
        (np.array([np.nan, np.inf]), np.array([np.nan, np.inf])),
        ({"W": np.zeros(2)}, {"W": np.zeros(2)}),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.array(3.0), 3.0),
    ],
    ids=str,
)
def test_what_agrees_passes(found, expected):
    expect_equal(found, expected, "y")


def test_an_expected_value_can_be_kept_back():
    for found, phrase in ((3.0, "too large"), (-2.0, "wrong sign"), (1.0, "too small"), (np.nan, "not a number")):
        with pytest.raises(NotYet, match=phrase) as caught:
            expect_equal(found, 2.2, "apple", reveal=False)
        assert "2.2" not in caught.value.message
    with pytest.raises(NotYet, match="is not 'sigmoid'"):
        expect_equal("sigmoid", "relu", "culprit", reveal=False)


def test_a_known_mistake_in_other_words_is_recognised():
    class Another:
        def forward(self, value):
            self.kept = value.copy()
            return value * value

        def backward(self, upstream):
            return self.kept + self.kept

    says(square_layer.check(Another), "It looks as if you forgot `dout`.", "    dout = np.array([[")
    says(by_eye.check(np.float64(2), 0), "It looks as if you left out the tax.")
    assert "looks as if" not in by_eye.check(3, 100).message


def test_a_truth_value_is_not_taken_for_the_number_of_a_mistake():
    mistakes = (mistake(lambda x: 0, because="you returned nothing at all"),)
    ours = exercise("Zero", solution=softplus, hints=HINTS, mistakes=mistakes)(
        lambda answer: expect_function(answer, softplus, (3.0,))
    )
    says(ours.check(lambda x: 0.0), "It looks as if you returned nothing at all.")
    says(ours.check(lambda x: False), "but it is a truth value")
    assert "looks as if" not in ours.check(lambda x: False).message


def test_a_known_mistake_that_raises_is_recognised_by_what_it_raises():
    def joins(x):
        return "1" + x

    def joins_too(value):
        text = "1"
        return text + value

    ours = exercise("Joins", solution=softplus, hints=HINTS, mistakes=(mistake(joins, because="you joined a string"),))(
        lambda answer: expect_function(answer, softplus, (3.0,))
    )
    says(ours.check(joins_too), "`TypeError`", "return text + value", "It looks as if you joined a string.")
    divides = ours.check(lambda x: x / 0).message
    assert "ZeroDivisionError" in divides and "joined" not in divides


def test_of_mistakes_that_begin_alike_the_one_that_agrees_throughout_is_named():
    class Switch:
        def forward(self, x, y):
            return y

        def backward(self, dout):
            return 0, dout

    class ToBoth(Switch):
        def backward(self, dout):
            return dout, dout

    class ToTheOther(Switch):
        def backward(self, dout):
            return dout, 0

    class AnotherThatBeginsSo(Switch):
        def backward(self, dout):
            return dout, -dout

    mistakes = mistake(ToBoth, because="both got it"), mistake(ToTheOther, because="the other got it")

    @exercise("Switch", solution=Switch, hints=HINTS, mistakes=mistakes)
    def switch(answer):
        expect_layer(answer, Switch, 3.0, 8.0)

    says(switch.check(ToBoth), "It looks as if both got it.", "    x = 3\n    y = 8\n    dout = ")
    says(switch.check(ToTheOther), "It looks as if the other got it.")
    says(switch.check(AnotherThatBeginsSo), "Perhaps both got it.")


def test_a_layer_must_not_write_into_its_arguments():
    class Writes(Square):
        def backward(self, dout):
            dout *= 2 * self.x
            return dout

    says(square_layer.check(Writes), "`backward` changed its argument `dout`", "it was np.array([[")


def test_a_layer_reads_what_it_was_given_from_itself_and_not_from_the_notebook():
    class Power:
        def __init__(self, exponent):
            self.exponent = exponent

        def forward(self, x):
            self.x = x
            return x**self.exponent

        def backward(self, dout):
            return dout * self.exponent * self.x ** (self.exponent - 1)

    answer = """class Power(Right):
        def forward(self, x):
            self.x = x
            return x ** {}

        def backward(self, dout):
            return dout * {} * {} ** (self.exponent - 1)"""

    def judged(*names):
        names_of_the_notebook = {"Right": Power, "x": np.ones(2), "exponent": 3.0}
        exec(answer.format(*names), names_of_the_notebook)
        expect_layer(names_of_the_notebook["Power"], Power, np.array([0.5, 2.0]), init=(3.0,))

    judged("self.exponent", "self.exponent", "self.x")
    for names, said in [
        (("exponent", "self.exponent", "self.x"), "`forward` reads `exponent` without `self`"),
        (("self.exponent", "self.exponent", "x"), "`backward` reads `x` without `self`"),
        (("self.exponent", "exponent", "x"), "Keep it in the layer, as `self.exponent` and `self.x`"),
    ]:
        with pytest.raises(NotYet, match=said):
            judged(*names)


def test_a_layer_must_forget_and_keep_to_itself():
    class Stale(Square):
        def forward(self, x):
            if not hasattr(self, "x"):
                self.x = x
            return x**2

    class Shared(Square):
        def forward(self, x):
            Shared.x = x
            return x**2

    says(square_layer.check(Stale), "one that was used before does not")
    says(square_layer.check(Shared), "while a second layer was in use")


def test_several_numbers_change_places_so_what_a_layer_kept_of_the_last_ones_shows():
    class Max:
        def forward(self, x, y):
            self.x_wins = x >= y
            return max(x, y)

        def backward(self, dout):
            return (dout, 0) if self.x_wins else (0, dout)

    class Sticky(Max):
        x_wins = False

        def forward(self, x, y):
            self.x_wins = self.x_wins or x >= y
            return max(x, y)

    class AlwaysY(Max):
        def backward(self, dout):
            return 0, dout

    expect_layer(Max, Max, 3.0, 8.0)
    for wrong in (Sticky, AlwaysY):
        with pytest.raises(NotYet, match=r"`backward\(.*\)\[0\]` should be"):
            expect_layer(wrong, Max, 3.0, 8.0)


def test_gradients_that_backward_leaves_behind_are_compared():
    class Scale:
        def __init__(self, a):
            self.a = a

        def forward(self, x):
            self.x = x
            return self.a * x

        def backward(self, dout):
            self.da = (dout * self.x).sum()
            return dout * self.a

    class Forgets(Scale):
        def backward(self, dout):
            return dout * self.a

    class NoSum(Scale):
        def backward(self, dout):
            self.da = dout * self.x
            return dout * self.a

    x = np.array([1.0, -2.0, 0.5])
    expect_layer(Scale, Scale, x, init=(3.0,), grads=("da",))
    with pytest.raises(NotYet, match=r"Keep it in `self\.da`"):
        expect_layer(Forgets, Scale, x, init=(3.0,), grads=("da",))
    with pytest.raises(NotYet, match=r"`da` should be a number, but it is an array of shape \(3,\)"):
        expect_layer(NoSum, Scale, x, init=(3.0,), grads=("da",))


def test_a_layer_of_several_numbers_hands_back_a_tuple():
    class Mul:
        def forward(self, x, y):
            self.x, self.y = x, y
            return x * y

        def backward(self, dout):
            return dout * self.y, dout * self.x

    class Swapped(Mul):
        def backward(self, dout):
            return dout * self.x, dout * self.y

    class Single(Mul):
        def backward(self, dout):
            return dout * self.y

    expect_layer(Mul, Mul, 100.0, 2.0)
    with pytest.raises(NotYet, match=r"`backward\(.*\)\[0\]` should be"):
        expect_layer(Swapped, Mul, 100.0, 2.0)
    with pytest.raises(NotYet, match=r"should be a tuple, but it is a number"):
        expect_layer(Single, Mul, 100.0, 2.0)


# ---------------------------------------------------------------- hints and progress


def test_hints_come_one_by_one_and_can_be_asked_again():
    ours = copy.copy(by_eye)
    ours.hints_shown = 0
    first, second, third, fourth = (ours.hint() for _ in range(4))
    assert repr(first).startswith("Hint 1 of 3. Look.") and "gives the next one" in repr(first)
    assert "Look again." in repr(second)
    assert third == fourth and ".solution()` shows" in repr(third)
    assert "Look." in ours.hint(1).message and ours.hints_shown == 3
    with pytest.raises(ValueError, match="you asked for 4"):
        ours.hint(4)
    box = '<div class="alert alert-info" style="color: #222222"><p><b>Hint 1 of 3.</b> Look.</p>'
    assert first._repr_html_().startswith(box)


def test_progress_is_a_table_of_the_chapters_imported(monkeypatch):
    monkeypatch.setitem(exercises.sys.modules, "course_lib.exercises.ch99", types.SimpleNamespace(a=copy.copy(by_eye)))
    ours = exercises.sys.modules["course_lib.exercises.ch99"].a
    ours.hints_shown = ours.attempts = 0
    ours.check(1, 2), ours.check(..., ...), ours.check(2.2, 110), ours.hint()
    table = progress()
    assert ("test_exercises.by_eye", "By eye", "correct", "2", "1 of 3") in table.rows
    assert repr(table).splitlines()[0].startswith("exercise") and "correct." in repr(table).splitlines()[-1]
    assert "<td>By eye</td><td>correct</td><td>2</td><td>1 of 3</td>" in table._repr_html_()


def test_an_incomplete_declaration_fails_at_once():
    with pytest.raises(ValueError, match="square has 2 hints"):

        @exercise("Square", solution=Square, hints=("a", "b"), mistakes=())
        def square(answer): ...

    with pytest.raises(ValueError, match=r"either because=, .* or says="):
        mistake(3)


# ---------------------------------------------------------------- the proofs, for every exercise there is

FOLDER = Path(__file__).parents[1] / "notebooks"
CHAPTERS = {
    info.name: importlib.import_module(f"course_lib.exercises.{info.name}")
    for info in pkgutil.iter_modules(exercises.__path__)
    if re.fullmatch(r"ch\d\d", info.name)
}
NOTEBOOKS = {f"ch{path.name[:2]}": path for path in sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))}
EVERY = [each for chapter in CHAPTERS.values() for each in exercises_of(chapter)]
of_every_exercise = pytest.mark.parametrize("each", EVERY, ids=[each.name for each in EVERY])
of_every_mistake = pytest.mark.parametrize(
    ("each", "number"),
    [(each, number) for each in EVERY for number in range(len(each.mistakes))],
    ids=[f"{each.name}-{number}" for each in EVERY for number in range(len(each.mistakes))],
)


@of_every_exercise
def test_solution_is_correct(each):
    feedback = each.check(*each.solved())
    assert feedback.state == CORRECT, feedback


@of_every_mistake
def test_mistake_is_not_yet_and_told_why(each, number):
    known = each.mistakes[number]
    feedback = each.check(*known.answers)
    assert feedback.state == NOT_YET, feedback
    assert known.phrase in feedback.message, feedback
    if known.explains:
        assert re.match(r"[a-z`]", known.phrase) and known.phrase[-1] not in ".!?", "it completes: It looks as if ..."


@of_every_exercise
def test_declaration_is_whole(each):
    assert len(each.mistakes) >= 2
    assert all(each.hints) and len(set(each.hints)) == 3
    assert [other.title for other in EVERY].count(each.title) == 1


@of_every_exercise
def test_what_is_said_outside_of_code_has_no_markdown_but_backticks(each):
    for text in [*each.hints, *(known.phrase for known in each.mistakes)]:
        assert not re.search(r"\*\w+\*|__|\]\(", re.sub(r"`[^`]*`", "", text)), text


@of_every_exercise
def test_value_solutions_name_what_the_check_takes(each):
    if each._asks_values():
        last = inspect.getsource(each._solution).rstrip().splitlines()[-1]
        assert last.strip() == f"return {', '.join(each.answers)}"


def snapshot(answer):
    """What could be changed of an answer."""
    if isinstance(answer, type):
        return {base: dict(vars(base)) for base in answer.__mro__[:-1]}
    if isinstance(answer, types.FunctionType):
        return answer.__code__, answer.__defaults__, dict(vars(answer))
    return repr(answer) if not isinstance(answer, np.ndarray) else answer.tobytes()


@of_every_exercise
def test_check_changes_nothing_and_says_the_same_twice(each):
    for answers in (each.solved(), *(known.answers for known in each.mistakes)):
        before = [snapshot(answer) for answer in answers]
        first, second = each.check(*answers), each.check(*answers)
        assert [snapshot(answer) for answer in answers] == before
        assert repr(first) == repr(second) and first._repr_html_() == second._repr_html_()
        assert not re.search(r"0x[0-9a-f]{6}|np\.float64|ipykernel|/home|/tmp", repr(first)), first


class RaisesOnSight:
    def __eq__(self, other):
        raise RuntimeError("eq")

    def __repr__(self):
        raise RuntimeError("repr")

    __hash__ = None


class RaisesAtBirth:
    def __init__(self, *args):
        raise SystemExit("init")

    def forward(self, *args):
        return 1

    def backward(self, *args):
        return 1


class AllWrong:
    def __init__(self, *args):
        self.W = self.b = self.dW = self.db = "W"

    def forward(self, *args):
        return np.full((7, 1, 3), np.nan)

    def backward(self, *args):
        return {"dx": None}

    __call__ = update = forward


def raises(*args, **kwargs):
    raise ArithmeticError("no")


def recurses(*args, **kwargs):
    return recurses(*args, **kwargs)


def endless_list():
    items = []
    items.append(items)
    return items


GARBAGE = [
    "a string",
    "",
    10**5000,
    -12345.678,
    float("nan"),
    np.float64("inf"),
    1j,
    b"bytes",
    np.zeros((7, 1, 3)),
    np.array([{}, "x"], dtype=object),
    np.full((2, 2), np.nan),
    [],
    {},
    {"W1": ...},
    {1, 2},
    [None, RaisesOnSight()],
    endless_list(),
    (n for n in range(3)),
    np,
    int,
    print,
    np.sum,
    lambda: 1,
    lambda *args, **kwargs: "x",
    lambda *args, **kwargs: RaisesOnSight(),
    lambda *args, **kwargs: np.full((2, 3), 1e300),
    lambda *args, **kwargs: args,
    raises,
    recurses,
    RaisesOnSight,
    RaisesOnSight(),
    RaisesAtBirth,
    AllWrong,
    AllWrong(),
    type("Empty", (), {}),
]


@pytest.mark.parametrize("each", [*OURS, *EVERY], ids=lambda each: each.name)
def test_garbage_is_judged_and_never_correct(each):
    for garbage in GARBAGE:
        feedback = each.check(*[garbage] * len(each.answers))
        assert feedback.state != CORRECT, garbage
        assert feedback.message and feedback._repr_html_()
    for count in {0, len(each.answers) + 1}:
        assert each.check(*[1] * count).state == NOT_YET


# ---------------------------------------------------------------- the proofs, for every notebook there is

# A chapter whose training takes minutes sets these constants; its exercises are proved with fewer steps and epochs.
LENGTHS = {"ch07": {"STEPS": 600, "TRIAL": 1, "EPOCHS": 1}}
CHECK = re.compile(r"^(ch\d\d)\.(\w+)\.check\((.*)\)$")


def check_cells(notebook):
    """(cell, chapter, name, arguments) of every code cell whose last line is a check."""
    code = [one for one in notebook.cells if one.cell_type == "code"]
    found = [(one, CHECK.match(one.source.rstrip().rpartition("\n")[2])) for one in code]
    return [(one, *match.groups()) for one, match in found if match]


def shorten(notebook, lengths):
    """Give the constants of a notebook that say how long it trains other values."""
    for name, value in lengths.items():
        setting = re.compile(rf"^{name} = \w+", re.MULTILINE)
        (cell,) = (one for one in notebook.cells if one.cell_type == "code" and setting.search(one.source))
        cell.source = setting.sub(f"{name} = {value}", cell.source)


def run_with_solutions(notebook, chapter):
    """Run a notebook in which, after every open stub, the solution's source stands in the stub's cell.

    Return {exercise: (what the stub's cell shows, what the solution's shows)}, as text.
    """
    pairs = {}
    for stub, module, name, arguments in check_cells(notebook):
        source = vars(chapter)[name].solution().source
        solved = nbformat.v4.new_code_cell(f"{source}\n\n{module}.{name}.check({arguments})")
        notebook.cells.insert(notebook.cells.index(stub) + 1, solved)
        pairs[name] = stub, solved
    run(notebook, FOLDER)
    return {name: tuple(cell.outputs[-1].data["text/plain"] for cell in pair) for name, pair in pairs.items()}


def test_the_proof_by_notebook_sees_a_stub_that_gives_the_answer_away_and_a_solution_that_lacks_a_name(monkeypatch):
    chapter = types.SimpleNamespace(total_price=copy.copy(CHAPTERS["ch00"].total_price))
    cells = ["from course_lib.exercises import ch00", "total = max\nch00.total_price.check(total)"]

    def shown(end=""):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in [*cells, end]])
        return run_with_solutions(notebook, chapter)["total_price"]

    stub, solved = shown()
    assert stub.startswith("Not yet.") and solved.startswith("Correct.")
    chapter.total_price._solution = needs_a_name
    with pytest.raises(CellExecutionError, match="NameError"):
        shown("needs_a_name(2, 3)")


def test_a_training_is_shortened_by_its_constants_and_by_nothing_else():
    sources = ["STEPS = 10_000  # in all\nEPOCHS = 30", "print(STEPS, EPOCHS)\nMORE_STEPS = STEPS"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    shorten(notebook, {"STEPS": 600, "EPOCHS": 1})
    assert [cell.source for cell in notebook.cells] == ["STEPS = 600  # in all\nEPOCHS = 1", sources[1]]
    with pytest.raises(ValueError, match="not enough values"):
        shorten(notebook, {"TRIAL": 1})


def needs_a_name(price, count):
    return only_known_here(price, count)  # noqa: F821


@pytest.mark.parametrize("number", sorted(NOTEBOOKS.keys() & CHAPTERS.keys()))
def test_open_stubs_are_not_attempted_and_solutions_run_to_the_end(number, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    if NOTEBOOKS[number].name == conftest.NEEDS_FULL_MNIST and not conftest.full_mnist_is_here():
        pytest.skip(conftest.NOT_RUN)
    notebook = nbformat.read(NOTEBOOKS[number], as_version=4)
    shorten(notebook, LENGTHS.get(number, {}))
    for name, (stub, solved) in run_with_solutions(notebook, CHAPTERS[number]).items():
        assert stub.startswith("Not attempted yet."), f"{name}: {stub}"
        assert solved.startswith("Correct."), f"{name}: {solved}"


@pytest.mark.parametrize("name", ["tanh_layer", "leaky_relu_layer", "softplus_layer", "swish_layer"])
def test_the_check_that_chapter_2_offers_for_its_exercises_finds_their_solutions_right(name, capsys):
    names = {"np": np, "Relu": Relu}
    for one in nbformat.read(NOTEBOOKS["ch02"], as_version=4).cells:
        if one.cell_type == "code" and re.search("^def check|^points =", one.source, re.MULTILINE):
            exec(one.source, names)
    capsys.readouterr()
    names["check"](vars(CHAPTERS["ch02"])[name].solved()[0](), names["points"])
    assert capsys.readouterr().out == "largest relative error below 1e-7: True\n"


@pytest.mark.parametrize("number", sorted(NOTEBOOKS))
def test_notebook_and_module_hold_the_same_exercises(number):
    notebook = nbformat.read(NOTEBOOKS[number], as_version=4)
    declared = [each.name for each in exercises_of(CHAPTERS[number])] if number in CHAPTERS else []
    cells = check_cells(notebook)
    assert sorted(f"{chapter}.{name}" for _, chapter, name, _ in cells) == sorted(declared)
    calls = sum(
        len(re.findall(r"\bch\d\d\.\w+\.check\(", cell.source)) for cell in notebook.cells if cell.cell_type == "code"
    )
    assert calls == len(cells), "a check is the last line of its cell, on one line, and stands there once"
    for _, _, name, arguments in cells:
        each = vars(CHAPTERS[number])[name]
        assert arguments == ", ".join(each.answers)


@pytest.mark.parametrize("number", sorted(NOTEBOOKS))
def test_the_headings_of_a_notebook_are_the_titles_of_its_exercises(number):
    notebook = nbformat.read(NOTEBOOKS[number], as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^### Exercise (\d\.\d+) (.+)$", text, re.MULTILINE)
    titles = [vars(CHAPTERS[number])[name].title for _, _, name, _ in check_cells(notebook)]
    assert [count for count, _ in headings] == [f"{number[-1]}.{i}" for i in range(1, len(titles) + 1)]
    for (_, heading), title in zip(headings, titles, strict=True):
        assert heading.partition(":")[0] == title  # of the patients' headings the table has the first words


@pytest.mark.parametrize("number", sorted(NOTEBOOKS))
def test_stored_outputs_show_every_exercise_open(number):
    for cell, _, name, _ in check_cells(nbformat.read(NOTEBOOKS[number], as_version=4)):
        assert cell.outputs[-1].data["text/plain"].startswith("Not attempted yet."), name


@pytest.mark.parametrize(("page", "column"), [("README.md", -1), ("CONTRIBUTING.md", 1)])
def test_the_tables_count_the_exercises(page, column):
    text = (FOLDER.parent / page).read_text("utf-8")
    lines = text.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| \d \|", line)]
    counted = {f"ch0{row[0]}": sum(map(int, row[column].split(" + "))) for row in rows}
    assert counted == {number: len(exercises_of(chapter)) for number, chapter in CHAPTERS.items()}
    patients = sum(each.name.startswith("ch05.patient_") for each in EVERY)
    assert patients == 10  # both pages say ten, in a word
    assert re.search(rf"\b{len(EVERY) - patients}( exercises,)? and (a clinic of )?ten\b", text)
