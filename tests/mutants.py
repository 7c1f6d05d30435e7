"""Do the tests of the layers notice every wrong formula? Each mutant is a copy of the library with one change in it.

A mutant swaps an operator, flips a sign, moves a comparison, nudges a number or an axis, drops a transpose, a copy
or a factor, in one arithmetic expression of functions.py or layers.py. Texts (docstrings, errors) hold none. The
tests of both modules then run against the copy, and must fail. The mutants that change nothing are listed, with the
reason, in EQUIVALENT; any other that survives is a gap in the tests, and ends this script with status 1.

    python tests/mutants.py                        every mutant; `make mutants` does this
    python tests/mutants.py --only Relu.backward   those whose name contains a text
    python tests/mutants.py --sample 12 --seed 0   some of those that must be caught; `make test` does this
"""

import argparse
import ast
import functools
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "course_lib"
TESTED_BY = {"functions.py": "tests/test_functions.py", "layers.py": "tests/test_layers.py"}
AT_A_TIME = 2
SURVIVED, CAUGHT = 100, 101  # how a process ends; any other way is no judgement
TIME_LIMIT = 180  # seconds; the tests of an unchanged copy take about four

# Mutants that compute the same: where (module and function), what, what instead, and why that changes nothing.
EQUIVALENT = {
    f"{where}: {old} -> {new}": reason
    for where, old, new, reason in [
        (
            "functions.py negative_log_likelihood",
            "log_y_at_label = t * np.where(t == 0, 0, log_y)",
            "log_y_at_label = t * np.where(t == 0, 1, log_y)",
            "any finite number will do there, for it is multiplied by t, which is 0",
        ),
        (
            "functions.py mean_squared_error",
            "float(np.square(y - t).sum() / (2 * max(len(y), 1)))",
            "float(np.square(t - y).sum() / (2 * max(len(y), 1)))",
            "a square does not see the sign",
        ),
        (
            "functions.py _as_probabilities",
            "bad = np.flatnonzero(~((np.abs(sums - 1) < 1e-3) & (t.min(axis=1) >= 0)))",
            "bad = np.flatnonzero(~((np.abs(1 - sums) < 1e-3) & (t.min(axis=1) >= 0)))",
            "an absolute value does not see the sign",
        ),
        (
            "functions.py _as_probabilities",
            "bad = np.flatnonzero(~((np.abs(sums - 1) < 1e-3) & (t.min(axis=1) >= 0)))",
            "bad = np.flatnonzero(~((np.abs(sums - 1) <= 1e-3) & (t.min(axis=1) >= 0)))",
            "no number of 16, 32 or 64 bits lies at a distance of exactly 1e-3 from 1",
        ),
    ]
}

# --- the changes that are tried --------------------------------------------------------------------------------

OPERATORS = {
    **{ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**"},
    **{ast.MatMult: "@", ast.BitAnd: "&", ast.BitOr: "|", ast.And: "and", ast.Or: "or"},
    **{ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="},
    **{ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in"},
}
INSTEAD = {
    **{"+": ["-", "*"], "-": ["+", "*"], "*": ["/", "+"], "/": ["*", "-"], "//": ["/"], "%": ["/"], "**": ["*"]},
    **{"@": ["*"], "&": ["|"], "|": ["&"], "and": ["or"], "or": ["and"]},
    **{"<": ["<=", ">"], "<=": ["<", ">="], ">": [">=", "<"], ">=": [">", "<="], "==": ["!="], "!=": ["=="]},
    **{"is": ["is not"], "is not": ["is"], "in": ["not in"], "not in": ["in"]},
}
FUNCTIONS_INSTEAD = {
    **{"max": "min", "min": "max", "maximum": "minimum", "minimum": "maximum", "sum": "mean", "mean": "sum"},
    **{"exp": "exp2", "log": "log2", "zeros": "ones", "ones": "zeros"},
}
# f(x) may be forgotten and leave x; x.f(...) likewise.
FORGOTTEN_FUNCTIONS = {"exp", "log", "abs", "square", "sqrt", "tanh", "float", "as_floats", "atleast_1d", "atleast_2d"}
FORGOTTEN_METHODS = {"copy", "reshape", "astype"}
COMPOUND = (ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.UnaryOp)


@dataclass(frozen=True)
class Mutant:
    """One change of one file. line, where, old and new name it for people; source is the whole changed file."""

    file: str
    line: int
    where: str  # Class.method
    old: str
    new: str
    source: bytes

    @property
    def name(self):
        """What stays the same when lines move: the key of EQUIVALENT."""
        return f"{self.file} {self.where}: {self.old} -> {self.new}"

    def __str__(self):
        return self.name.replace(self.file, f"{self.file}:{self.line}", 1)


def mutants_of(source, file):
    """Every mutant of the source of a module, in order and no two alike."""
    source = source.encode()
    starts = [0]  # where each line begins: the columns that ast knows are counted in bytes
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def span(node):
        return starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset

    def text(node):
        start, end = span(node)
        return source[start:end].decode()

    found = {}
    for where, first, last, nodes in expressions(ast.parse(source)):
        begin, finish = span(first)[0], span(last)[1]
        for node, parent in nodes:
            start, end = span(node)
            hugged = source[start - 1 : start] == b"(" and source[end : end + 1] == b")"
            within = isinstance(parent, (*COMPOUND, ast.Attribute)) and not hugged
            for change in map(flat, changes(node, text)):
                if within and isinstance(ast.parse(change).body[0].value, COMPOUND):
                    change = f"({change})"
                new = source[:start] + change.encode() + source[end:]
                if ast.dump(ast.parse(change)) != ast.dump(ast.parse(flat(text(node)))):
                    shown = source[begin:start].decode() + change + source[end:finish].decode()
                    whole = source[begin:finish].decode()
                    mutant = Mutant(file, node.lineno, where, flat(whole), flat(shown), new)
                    found.setdefault(mutant.name, mutant)
    return list(found.values())


def flat(text):
    """Source on one line, as it would stand if it fitted there."""
    return " ".join(text.split()).replace("( ", "(").replace(" )", ")")


def expressions(node, where=()):
    """(Class.method, first and last node of an expression or statement, [(node, its parent) of all that is in it])."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        where = (*where, node.name)
    if isinstance(node, ast.arguments):
        names = [*node.posonlyargs, *node.args]
        defaults = [*zip(names[len(names) - len(node.defaults) :], node.defaults, strict=True)]
        for arg, default in [*defaults, *zip(node.kwonlyargs, node.kw_defaults, strict=True)]:
            if default:
                yield ".".join(where), arg, default, list(descend(default, arg))
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Raise):
            continue  # a text
        if isinstance(child, ast.Return) and child.value is not None:
            child = child.value
        if isinstance(child, ast.expr | ast.Assign | ast.AugAssign):
            yield ".".join(where), child, child, list(descend(child, node))
        else:
            yield from expressions(child, where)


def descend(node, parent):
    if isinstance(node, ast.JoinedStr):
        return  # a text
    if isinstance(node, ast.expr | ast.stmt):
        yield node, parent
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.UnaryOp) and isinstance(child, ast.Constant)):  # a negative number is one number
            yield from descend(child, node)


def changes(node, text):
    """What could stand instead of this node: source code, many times."""

    def operand(part):
        return f"({text(part)})" if isinstance(part, COMPOUND) else text(part)

    match node:
        case ast.BinOp(first, op, second):
            left, right, sign = operand(first), operand(second), OPERATORS[type(op)]
            yield from (f"{left} {other} {right}" for other in INSTEAD[sign])
            if sign in ("-", "/", "@"):
                yield f"{right} {sign} {left}"
            if sign in ("+", "*", "/", "@"):
                yield f"-({text(node)})"
            yield from (text(first), text(second))
        case ast.BoolOp(op, values):
            parts, sign = [operand(value) for value in values], OPERATORS[type(op)]
            yield from (f" {other} ".join(parts) for other in INSTEAD[sign])
            yield from (f" {sign} ".join(parts[:i] + parts[i + 1 :]) for i in range(len(parts)))
        case ast.Compare(left, ops, comparators):
            for i, op in enumerate(ops):
                for other in INSTEAD[OPERATORS[type(op)]]:
                    signs = [other if j == i else OPERATORS[type(each)] for j, each in enumerate(ops)]
                    pairs = zip(signs, comparators, strict=True)
                    yield " ".join([operand(left), *(f"{sign} {operand(part)}" for sign, part in pairs)])
        case ast.UnaryOp(ast.USub(), ast.Constant(int() as n)):
            yield from (str(n), str(1 - n), str(-n - 1))
        case ast.UnaryOp(_, part):
            yield operand(part)
        case ast.Constant(bool() as value):
            yield str(not value)
        case ast.Constant(int() as n):
            yield from [str(n + 1)] + [str(n - 1)] * (n > 0)
        case ast.Constant(float() as value):
            yield from (str(value * 10), str(value / 10)) if value else ("1.0",)
        case ast.Attribute(value, "T"):
            yield text(value)
        case ast.Tuple([first, second], ast.Load()) if not isinstance(first, ast.Constant):
            yield f"({text(second)}, {text(first)})"
        case ast.AugAssign(target, op, value):
            target, value, sign = text(target), text(value), OPERATORS[type(op)]
            yield from (f"{target} {other}= {value}" for other in INSTEAD[sign])
            yield from (f"{target} = {value}", "pass")
        case ast.Call(func, args, keywords):
            yield from changes_of_a_call(func, args, keywords, text)


def changes_of_a_call(func, args, keywords, text):
    name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
    base, parts = text(func).removesuffix(name), [text(arg) for arg in args]

    def call(name, parts, keywords):
        return f"{base}{name}({', '.join([*parts, *map(text, keywords)])})"

    if name in FUNCTIONS_INSTEAD:
        yield call(FUNCTIONS_INSTEAD[name], parts, keywords)
    if name in FORGOTTEN_FUNCTIONS and len(parts) == 1:
        yield parts[0]
    if name in FORGOTTEN_METHODS and base:
        yield base.removesuffix(".")
    if name in ("max", "min", "maximum", "minimum") and len(parts) == 2:
        yield from parts
    if name == "where":
        yield call(name, [parts[0], parts[2], parts[1]], keywords)
        yield from parts[1:]
    for keyword in keywords:
        if keyword.arg in ("axis", "initial"):
            yield call(name, parts, [other for other in keywords if other is not keyword])


@functools.cache
def all_mutants():
    return [m for file in TESTED_BY for m in mutants_of((LIBRARY / file).read_text(encoding="utf-8"), file)]


# --- the judgement ---------------------------------------------------------------------------------------------


def judge(mutant, folder):
    """Run the tests against a copy of course_lib in the folder, changed by the mutant (None: not changed), and exit.

    This runs in a process of its own, which has imported all that the tests need, except for course_lib.
    """
    import hypothesis
    import pytest

    copy = Path(folder) / "course_lib"
    copy.mkdir()
    for path in LIBRARY.glob("*.py"):
        shutil.copy(path, copy)
    if mutant:
        (copy / mutant.file).write_bytes(mutant.source)
    log = os.open(Path(folder) / "log.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)

    sys.path.insert(0, folder)
    import course_lib

    assert Path(course_lib.__file__).parent.samefile(copy), f"{course_lib.__file__} was imported, which is no mutant"

    # The same examples each time, few, and none made smaller: whether the tests fail is all there is to know.
    generate = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutants", max_examples=30, derandomize=True, database=None, phases=generate)
    hypothesis.settings.load_profile("mutants")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # nbval and the others take longer than the tests
    os.environ.pop("PYTEST_ADDOPTS", None)
    files = sorted(TESTED_BY, key=lambda file: mutant is not None and file != mutant.file)
    paths = [*(str(ROOT / TESTED_BY[file]) for file in files), str(copy / "functions.py")]
    options = ["-o", "addopts=", "-x", "-q", "-p", "no:cacheprovider", "--noconftest", f"--rootdir={ROOT}"]
    options += ["--assert=plain", "--tb=no"]  # nobody reads how a mutant failed
    status = pytest.main([*options, "-c", str(ROOT / "pyproject.toml"), "--doctest-modules", *paths], [QuickFirst()])
    sys.exit({pytest.ExitCode.OK: SURVIVED, pytest.ExitCode.TESTS_FAILED: CAUGHT}.get(status, int(status)))


class QuickFirst:
    """A plugin of pytest that runs the tests with many random examples after all the others."""

    def pytest_collection_modifyitems(self, items):
        items.sort(key=lambda item: hasattr(getattr(item, "obj", None), "hypothesis"))


def judged(mutants, at_a_time=AT_A_TIME):
    """(mutant, whether the tests caught it), as they are judged. Tests that do not end have noticed something, too."""
    # A fork has NumPy, pytest and the others imported already; where there is none, each process imports them anew.
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    waiting, running = list(reversed(mutants)), {}
    with tempfile.TemporaryDirectory() as folder:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                own, mutant = tempfile.mkdtemp(dir=folder), waiting.pop()
                process = context.Process(target=judge, args=(mutant, own))
                process.start()
                running[process] = mutant, own, time.monotonic() + TIME_LIMIT
            wait([process.sentinel for process in running], timeout=1)
            for process, (mutant, own, deadline) in list(running.items()):
                late = time.monotonic() > deadline
                if late:
                    process.kill()
                    process.join()
                elif process.is_alive():
                    continue
                del running[process]
                if not late and process.exitcode not in (SURVIVED, CAUGHT):
                    log = (Path(own) / "log.txt").read_text(encoding="utf-8", errors="replace")
                    raise RuntimeError(f"{mutant} was not judged (status {process.exitcode}):\n{log}")
                yield mutant, late or process.exitcode == CAUGHT
                shutil.rmtree(own)


def report(outcomes):
    """A table of (mutant, caught) outcomes, with all that is wrong named below it; and whether all is well."""
    counts, wrong = {}, []
    for mutant, caught in sorted(outcomes, key=lambda outcome: (outcome[0].file, outcome[0].line)):
        listed = mutant.name in EQUIVALENT
        kind = "caught" if caught else "equivalent" if listed else "survived"
        counts.setdefault(f"{mutant.file} {mutant.where}", Counter())[kind] += 1
        if caught == listed:
            wrong.append(f"listed as equivalent, but caught: {mutant}" if caught else f"survived: {mutant}")
    total = sum(counts.values(), Counter())
    kinds = "caught", "equivalent", "survived"
    width = max(map(len, counts), default=0)
    lines = [f"{'':{width}}" + "".join(f"{kind:>12}" for kind in kinds)]
    lines += [f"{where:{width}}" + "".join(f"{count[kind]:12}" for kind in kinds) for where, count in counts.items()]
    summary = ", ".join(f"{total[kind]} {kind}" for kind in kinds)
    return "\n".join([*lines, *wrong, f"{total.total()} mutants: {summary}"]), not wrong


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="the mutants whose name contains this")
    parser.add_argument("--sample", type=int, metavar="N", help="so many of those that must be caught")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    args = parser.parse_args(arguments)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import autograd.numpy  # noqa: F401
    import hypothesis.extra.numpy  # noqa: F401
    import pytest  # noqa: F401
    from tqdm import tqdm

    mutants = [mutant for mutant in all_mutants() if args.only in str(mutant)]
    if args.sample is not None:
        mutants = random.Random(args.seed).sample([m for m in mutants if m.name not in EQUIVALENT], args.sample)
    tqdm.monitor_interval = 0  # no thread beside the processes that fork
    outcomes = dict(tqdm(judged([None, *mutants]), total=len(mutants) + 1, disable=None, leave=False))
    if outcomes.pop(None):
        raise SystemExit("The tests fail even where nothing is changed: repair that first.")
    text, well = report(outcomes.items())
    print(text)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
