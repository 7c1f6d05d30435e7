"""The mutants: a sample of them is caught, the list of those that change nothing holds, and the generator is right."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import mutants
import pytest


def run(*arguments):
    """tests/mutants.py in a process of its own, which is free of what the other tests imported and started."""
    script = [sys.executable, str(Path(mutants.__file__)), *arguments]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(script, env=environment, capture_output=True, text=True, timeout=600)


def test_a_sample_of_the_mutants_is_caught():
    done = run("--sample", "12", "--seed", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("12 mutants: 12 caught, 0 equivalent, 0 survived\n")


# --- the list of those that change nothing ---------------------------------------------------------------------


@pytest.mark.parametrize("name", mutants.EQUIVALENT)
def test_each_listed_mutant_is_still_one_and_has_a_reason(name):
    assert name in {mutant.name for mutant in mutants.all_mutants()}, "the code has changed: is it still equivalent?"
    assert len(mutants.EQUIVALENT[name].split()) >= 5


def mutant(name):
    return next(m for m in mutants.all_mutants() if m.name == name)


def test_a_mutant_that_survives_is_a_failure_unless_it_is_listed():
    listed, other = mutant(next(iter(mutants.EQUIVALENT))), mutant("layers.py AddLayer.forward: x + y -> x - y")
    assert mutants.report([(listed, False), (other, True)])[1]
    for outcome, sentence in (
        ((other, False), f"survived: {other}"),
        ((listed, True), f"listed as equivalent, but caught: {listed}"),
    ):
        text, well = mutants.report([outcome])
        assert not well and sentence in text.splitlines()


# --- the generator ---------------------------------------------------------------------------------------------


def changed(expression):
    """What the generator makes of an expression, as a set."""
    found = mutants.mutants_of(f"def f(x, y):\n    return {expression}\n", "some.py")
    assert all(m.line == 2 and m.where == "f" and m.old == expression for m in found)
    return {m.new for m in found}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("x + y", {"x - y", "x * y", "-(x + y)", "x", "y"}),
        ("x - y", {"x + y", "x * y", "y - x", "x", "y"}),
        ("x * y", {"x / y", "x + y", "-(x * y)", "x", "y"}),
        ("x / y", {"x * y", "x - y", "y / x", "-(x / y)", "x", "y"}),
        ("x @ y", {"x * y", "y @ x", "-(x @ y)", "x", "y"}),
        ("x ** y", {"x * y", "x", "y"}),
        ("-x", {"x"}),
        ("not x", {"x"}),
        ("x < y", {"x <= y", "x > y"}),
        ("x >= y", {"x > y", "x <= y"}),
        ("x == y", {"x != y"}),
        ("x < y <= x", {"x <= y <= x", "x > y <= x", "x < y < x", "x < y >= x"}),
        ("x and y", {"x or y", "x", "y"}),
        ("x | y", {"x & y", "x", "y"}),
        ("x.T", {"x"}),
        ("x.copy()", {"x"}),
        ("np.exp(x)", {"np.exp2(x)", "x"}),
        ("np.maximum(x, y)", {"np.minimum(x, y)", "x", "y"}),
        ("np.where(x, x, y)", {"np.where(x, y, x)", "x", "y"}),
        ("x.sum(axis=0)", {"x.mean(axis=0)", "x.sum()", "x.sum(axis=1)"}),
        ("x.sum(axis=-1)", {"x.mean(axis=-1)", "x.sum()", "x.sum(axis=0)", "x.sum(axis=1)", "x.sum(axis=-2)"}),
        ("f(x, keepdims=True)", {"f(x, keepdims=False)"}),
        ("f(0, 1)", {"f(1, 1)", "f(0, 2)", "f(0, 0)"}),
        ("f(0.5)", {"f(5.0)", "f(0.05)"}),
        ("x, y", {"(y, x)"}),
        ("x, x", set()),  # the same again is no mutant
        ("f('a * b', f'{x * y}')", set()),  # texts
    ],
)
def test_what_becomes_of_an_expression(expression, expected):
    assert changed(expression) == expected


def test_a_change_stays_within_its_parentheses():
    assert "x * (x - y)" in changed("x * (x + y)")
    assert "(x + y) * x" in changed("x * y * x")
    assert "(x - y).sum()" in changed("np.square(x - y).sum()")
    assert "-(-x) - y" not in changed("-x - y")


def test_statements_defaults_and_classes():
    source = (
        'class Ä:\n    """Text of 1 + 1."""\n\n    def f(self, x=1, *, y=False):\n        if x < 2:\n'
        '            raise ValueError(f"{x + 1} is less than " + "2")\n        self.x -= x\n'
    )
    found = mutants.mutants_of(source, "some.py")
    assert [str(m).removeprefix("some.py:") for m in found] == [
        "4 Ä.f: x=1 -> x=2",
        "4 Ä.f: x=1 -> x=0",
        "4 Ä.f: y=False -> y=True",
        "5 Ä.f: x < 2 -> x <= 2",
        "5 Ä.f: x < 2 -> x > 2",
        "5 Ä.f: x < 2 -> x < 3",
        "5 Ä.f: x < 2 -> x < 1",
        "7 Ä.f: self.x -= x -> self.x += x",
        "7 Ä.f: self.x -= x -> self.x *= x",
        "7 Ä.f: self.x -= x -> self.x = x",
        "7 Ä.f: self.x -= x -> pass",
    ]
    assert found[-1].source.decode() == source.replace("self.x -= x", "pass")


def test_each_mutant_is_a_program_of_its_own_with_a_name_of_its_own():
    found = mutants.all_mutants()
    assert len({m.name for m in found}) == len(found)
    assert len({(m.file, m.source) for m in found}) == len(found)
    for m in found:
        compile(m.source, m.file, "exec")


def test_no_arithmetic_is_left_out():
    """Each operator of both modules, other than in errors, is swapped by a mutant that begins on its line."""
    for file in mutants.TESTED_BY:
        tree = ast.parse((mutants.LIBRARY / file).read_text(encoding="utf-8"))
        errors = {node for raising in ast.walk(tree) if isinstance(raising, ast.Raise) for node in ast.walk(raising)}
        arithmetic = (ast.BinOp, ast.AugAssign, ast.UnaryOp, ast.Compare, ast.BoolOp)
        lines = {node.lineno for node in ast.walk(tree) if isinstance(node, arithmetic) and node not in errors}
        assert len(lines) > 10
        assert lines <= {m.line for m in mutants.all_mutants() if m.file == file}
