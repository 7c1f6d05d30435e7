"""The rules of the house that no other test would notice: who imports whom, what is never used, which lists agree."""

import ast
import functools
import io
import re
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml  # jupyter_server needs it, so it is always there

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest needs it there

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = sorted((ROOT / "course_lib").rglob("*.py"))
SCRIPTS = sorted(p for folder in ("tools", "data", "images") for p in (ROOT / folder).glob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# The arrows of the design: what each room of course_lib may import of the others.
ARROWS = {
    "": set(),  # course_lib/__init__.py re-exports nothing
    "functions": set(),
    "layers": {"functions"},
    "gradient": set(),
    "networks": {"layers", "functions", "gradient"},
    "optimizers": set(),
    "training": set(),
    "mnist": set(),
    "graph": set(),
    "drawing": {"graph"},
    "plots": set(),
}
ARROWS["exercises"] = {"exercises", *ARROWS} - {""}


@functools.cache
def tree_of(path):
    with tokenize.open(path) as file:
        return ast.parse(file.read(), str(path))


def trees():
    """(where, syntax tree) of every module, every script and every code cell that is Python."""
    for path in [*LIBRARY, *SCRIPTS]:
        yield str(path.relative_to(ROOT)), tree_of(path)
    for path in NOTEBOOKS:
        for number, cell in enumerate(nbformat.read(path, as_version=4).cells, 1):
            if cell.cell_type == "code":
                python = re.sub(r"^\s*[%!].*$", "pass", cell.source, flags=re.MULTILINE)  # magics are no Python
                yield f"{path.name}, cell {number}", ast.parse(python)


def imports(tree, package=("course_lib",)):
    """Every module that is imported anywhere in the tree, functions included, as full dotted names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def rooms(tree, package=("course_lib",)):
    """The rooms of course_lib that the tree imports from."""
    found = {name.split(".")[1] for name in imports(tree, package) if name.startswith("course_lib.")}
    return found & set(ARROWS)


def dotted(node):
    """The dotted name of an expression such as np.random.seed, or an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


# --- imports -----------------------------------------------------------------------------------------------


def test_the_table_of_arrows_names_every_room():
    there = {path.relative_to(ROOT / "course_lib").parts[0].removesuffix(".py") for path in LIBRARY}
    assert there - {"__init__"} <= set(ARROWS)
    assert {"functions", "layers", "gradient", "networks", "optimizers", "training", "plots"} <= there


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path):
    parts = path.relative_to(ROOT).parts
    room = "" if parts[1] == "__init__.py" else parts[1].removesuffix(".py")
    found = rooms(tree_of(path), parts[:-1])
    assert found <= ARROWS[room], f"{'.'.join(parts)} imports {found - ARROWS[room]}, which the design does not allow"
    outside = {name.split(".")[0] for name in imports(tree_of(path), parts[:-1])}
    assert not outside & {"tests", "notebooks", "tools", "conftest", "pytest"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from course_lib.layers import Relu", {"layers"}),
        ("import course_lib.plots as p", {"plots"}),
        ("from course_lib import graph, mnist", {"graph", "mnist"}),
        ("from .drawing import draw", {"drawing"}),
        ("from . import networks", {"networks"}),
        ("def f():\n    from course_lib.training import fit", {"training"}),
        ("if True:\n    import course_lib.exercises.ch01", {"exercises"}),
        ("import numpy\nfrom layers import x", set()),
    ],
)
def test_the_reader_of_imports_sees_them_all(source, found):
    assert rooms(ast.parse(source)) == found


def test_widgets_are_imported_only_where_one_is_drawn():
    """ipywidgets is a bonus of drawing: importing course_lib must not need a notebook's front end."""
    for path in LIBRARY:
        tree = tree_of(path)
        if any(name.split(".")[0] == "ipywidgets" for name in imports(tree)):
            assert path.name == "drawing.py", f"{path.name} imports ipywidgets"
            top = ast.Module([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], [])
            assert not any(name.split(".")[0] == "ipywidgets" for name in imports(top))


def test_each_package_is_installed():
    packages = {".".join(path.parent.relative_to(ROOT).parts) for path in LIBRARY if path.name == "__init__.py"}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) >= packages


# --- how large the rooms are -----------------------------------------------------------------------------


def lines_of_code(source):
    """How many lines hold code: no blank line, no comment and no docstring counts."""
    tree, lines = ast.parse(source), set()
    documented = [n for n in ast.walk(tree) if isinstance(n, (ast.Module, ast.ClassDef, ast.FunctionDef))]
    texts = {n.body[0].lineno: n.body[0].end_lineno for n in documented if ast.get_docstring(n) is not None}
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout and token.end[0] != texts.get(token.start[0]):
            lines |= {*range(token.start[0], token.end[0] + 1)}
    return len(lines)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("", 0),
        ('"""A text,\n\nand more."""\n\nx = 1  # why\n# no code\ny = 2\n', 2),
        ('def f(\n    x,\n):\n    """Do it."""\n    return """\n    a text"""\n', 5),
        ('class A:\n    """It."""\n\n    def g(self):\n        """Go."""\n        return 1; "no docstring"\n', 3),
    ],
)
def test_lines_of_code_are_counted(source, lines):
    assert lines_of_code(source) == lines


def test_the_rooms_stay_small():
    """Before one of these numbers is raised: what is there in the room that does not belong?"""
    rooms = {path.name: lines_of_code(path.read_text(encoding="utf-8")) for path in (ROOT / "course_lib").glob("*.py")}
    assert max(rooms.values()) <= 405, rooms
    assert sum(rooms.values()) <= 1780, rooms


# --- what is never used ------------------------------------------------------------------------------------

LOADERS = {"pickle", "cPickle", "_pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
RANDOM = {"default_rng", "Generator", "BitGenerator", "SeedSequence", "PCG64", "RandomState"}


def forbidden(tree):
    """What the tree uses that the course does without: star imports, sys.path, pickles, global random state."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            yield f"from {node.module} import *"
        if isinstance(node, ast.Attribute) and dotted(node) == "sys.path":
            yield "sys.path"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            refused = isinstance(node.value, ast.Constant) and node.value.value is False
            yield from [] if refused else ["allow_pickle"]
        if isinstance(node, ast.Attribute):
            name = re.sub(r"^numpy\.", "np.", dotted(node))
            if name.startswith("np.random.") and name.split(".")[2] not in RANDOM:
                yield name
    for name in imports(tree):
        if name.partition(".")[0] in {*LOADERS, "random"}:
            yield f"import {name}"
        if name.startswith("numpy.random.") and name.split(".")[2] not in RANDOM:
            yield f"import {name}"
        if name == "sys.path":
            yield name


def test_nothing_forbidden_is_used():
    found = [f"{where}: {what}" for where, tree in trees() for what in forbidden(tree)]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize(
    "source",
    [
        "from numpy import *",
        "import sys\nsys.path.append('x')",
        "from sys import path",
        "np.load(f, allow_pickle=True)",
        "np.load(f, allow_pickle=flag)",
        "import pickle",
        "def f():\n    from pickle import loads",
        "import joblib",
        "np.random.seed(0)",
        "numpy.random.rand(3)",
        "x = np.random.choice",
        "from numpy.random import normal",
        "import random",
        "from random import choice",
    ],
)
def test_each_forbidden_thing_is_seen(source):
    assert len(set(forbidden(ast.parse(source)))) >= 1


@pytest.mark.parametrize(
    "source",
    [
        "rng = np.random.default_rng(0)\nrng.random(3)",
        "isinstance(rng, np.random.Generator)",
        "np.load(f, allow_pickle=False)",
        "'''pickle, sys.path and np.random.seed in a text'''",
        "path.sys = os.path",
        "from numpy.random import default_rng",
    ],
)
def test_what_only_resembles_it_is_let_be(source):
    assert list(forbidden(ast.parse(source))) == []


def test_a_warning_of_the_library_is_an_error():
    """The setting in pyproject.toml that makes a division by zero in course_lib fail the test that meets it."""
    with pytest.raises(RuntimeWarning):
        exec("np.log(np.zeros(1))", {"np": np, "__name__": "course_lib.layers"})


# --- docstrings and lists ----------------------------------------------------------------------------------


def test_every_public_name_of_the_library_says_what_it_is():
    missing = []
    for path in LIBRARY:
        if re.fullmatch(r"ch\d\d", path.stem):
            continue  # solutions and mistakes: what a learner writes
        tree = tree_of(path)
        definitions = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        public = [tree, *(node for node in definitions if not node.name.startswith("_"))]
        missing += [f"{path.name}: {getattr(n, 'name', 'itself')}" for n in public if not ast.get_docstring(n)]
    assert not missing, missing


def test_the_map_of_the_package_names_every_room():
    text = ast.get_docstring(tree_of(ROOT / "course_lib" / "__init__.py"))
    assert set(re.findall(r"^(\w+)  ", text, re.MULTILINE)) == set(ARROWS) - {""}


def test_the_two_lists_of_packages_agree():
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert listed[-1] == {"pip": ["-e ."]}, "environment.yml ends with the course itself: pip: [-e .]"
    python, pip, *packages = listed[:-1]
    assert packages == wanted
    assert pip == "pip"
    assert python.partition(",")[0] == "python" + project["requires-python"]


def test_the_course_lists_the_packages_its_owner_named():
    named = {re.split(r"[=<>~!]", requirement)[0] for requirement in PYPROJECT["project"]["dependencies"]}
    named |= {re.split(r"[=<>~!]", r)[0] for r in PYPROJECT["project"]["optional-dependencies"]["test"]}
    assert {"numpy", "matplotlib", "jupyter", "nbval", "requests"} <= named
    trees = [(tree_of(path), path.relative_to(ROOT).parts[:-1]) for path in LIBRARY]
    used = {name.split(".")[0] for tree, package in trees for name in imports(tree, package)}
    assert used - sys.stdlib_module_names - {"course_lib", "IPython"} <= named  # IPython comes with jupyter


# --- no trace of one machine -------------------------------------------------------------------------------

MACHINE = re.compile(r"(?<![\w.:/~-])/(?:" + "|".join(["work", "root", r"home/\w+", r"Users/\w+"]) + ")/")


def test_no_file_holds_a_path_of_one_machine():
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, so which files belong to the course is not known")
    listing = [git, "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    found = []
    for path in (ROOT / name for name in names if name):
        if path.suffix in {".npz", ".png", ".gz"} or not path.is_file():
            continue
        text = re.sub(r"\"image/png\": \"[^\"]*\"|base64,[\w+/=]+", "", path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(ROOT)}: {text[m.start() :][:40]!r}" for m in MACHINE.finditer(text)]
    allowed = ("tests/test_notebooks.py", "tests/test_house.py")  # they show such paths to be found
    assert not [where for where in found if not where.startswith(allowed)], "\n".join(["", *found])


@pytest.mark.parametrize("text", ["in /root/x", '"/work/main"', "/home/me/x", "https://example.org/work/x"])
def test_such_paths_are_seen(text):
    assert bool(MACHINE.search(text)) == ("example.org" not in text)


def test_only_what_belongs_there_is_committed():
    """Screenshots and scratch files end up in the repository's root, or as stray pictures."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("this is no clone, or git is missing")
    committed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = committed.stdout.splitlines()
    texts = {"CITATION.cff", "CONTRIBUTING.md", "LICENSE", "README.md"}
    settings = {".gitattributes", ".gitignore", "Makefile", "conftest.py", "environment.yml", "pyproject.toml"}
    assert {file for file in files if "/" not in file} == texts | settings
    folders = {".ci", ".github", "benchmarks", "course_lib", "data", "docs", "images", "notebooks", "tests", "tools"}
    assert {file.partition("/")[0] for file in files if "/" in file} == folders
    assert [file for file in files if file.endswith((".png", ".npz", ".gz", ".zip"))] == [
        "data/mnist_sample.npz",
        "images/benchmark.png",
    ]
