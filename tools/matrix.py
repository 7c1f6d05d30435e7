"""Run the course on many machines at once, as far as one machine can: make matrix [ARGS="--only oldest threads"].

Each row is an environment and a way of running in it: the oldest and the newest NumPy and matplotlib that the course
supports, each Python that is found, several of OpenBLAS's kernels, one and two threads, a terminal set to another
language, a path with spaces and letters beyond ASCII. Environments are kept in .matrix/; a table is printed at the end.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".matrix"
OLDEST = ("numpy==1.26.*", "matplotlib==3.8.*")
TOGETHER = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")  # two processes, and conftest.py's order
KERNELS = ("Nehalem", "Sandybridge", "Haswell", "SkylakeX", "Zen")
NOTEBOOKS = ("notebooks", "--deselect=notebooks/07_full_mnist.ipynb")  # what other kernels and threads could change


@dataclass
class Row:
    """One way of running the course."""

    name: str
    python: str
    packages: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    folder: str = "course"

    @property
    def environment(self) -> Path:
        kind = "oldest" if self.packages else "newest"
        return ENVIRONMENTS / f"{version(self.python)}-{kind}"


def rows() -> list[Row]:
    pythons = interpreters()
    old, new = pythons[0], pythons[-1]
    found = [Row("oldest packages", old, packages=OLDEST)]
    found += [Row("newest packages", python) for python in pythons]
    found += [
        Row(f"kernel {kernel}", new, tests=NOTEBOOKS, variables={"OPENBLAS_CORETYPE": kernel})
        for kernel in KERNELS
        if runs_here(kernel)
    ]
    found += [
        Row(f"{n} thread{'s' * (n > 1)}", new, tests=NOTEBOOKS, variables={"OPENBLAS_NUM_THREADS": str(n)})
        for n in (1, 2)
    ]
    other_language = {"LANG": "ja_JP.eucJP", "LC_ALL": "C", "LANGUAGE": "ja", "PYTHONUTF8": "0"}
    found += [Row("another language", new, variables=other_language)]
    found += [Row("path with spaces", new, folder="Kurs für Äpfel 逆伝播")]
    return found


def interpreters() -> list[str]:
    """Each Python from 3.10 on, on PATH or kept by pyenv, one of each minor version, oldest first."""
    names = [f"python3.{minor}" for minor in range(10, 20)]
    places = [shutil.which(name) for name in names]
    places += sorted(str(p) for p in Path.home().glob(".pyenv/versions/3.*/bin/python"))
    found = {}
    for place in filter(None, places):
        number = version(place)
        if number and tuple(map(int, number.split("."))) >= (3, 10):
            found.setdefault(number, place)
    return [found[number] for number in sorted(found, key=lambda n: tuple(map(int, n.split("."))))]


def version(python: str) -> str:
    """Such as "3.12", or an empty string where it does not run (pyenv's shims may not)."""
    command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def runs_here(kernel: str) -> bool:
    """Whether this processor has the instructions that the kernel is made of."""
    needed = {"SkylakeX": "avx512f", "Haswell": "avx2", "Zen": "avx2", "Sandybridge": "avx"}.get(kernel, "")
    flags = Path("/proc/cpuinfo")
    return not needed or (flags.exists() and needed in flags.read_text().split())


def prepare(row: Row) -> str:
    """Make the row's environment where it is not there yet; its Python."""
    python = row.environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (row.environment / "ready").exists():
        subprocess.run([row.python, "-m", "venv", "--clear", row.environment], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[test]", *row.packages]
        subprocess.run(install, check=True, capture_output=True)
        (row.environment / "ready").touch()
    return str(python)


def run(row: Row) -> tuple[str, str, float]:
    """(verdict, what NumPy and matplotlib it was, seconds)."""
    python = prepare(row)
    versions = "import numpy, matplotlib; print(numpy.__version__, matplotlib.__version__)"
    what = subprocess.run([python, "-c", versions], capture_output=True, text=True, check=True).stdout.strip()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder) / row.folder
        ignored = shutil.ignore_patterns(".venv", ".matrix", ".browser", ".git", "__pycache__", ".hypothesis")
        shutil.copytree(ROOT, here, ignore=ignored)
        command = [python, "-m", "pytest", *TOGETHER, "--color=no", *row.tests]
        # This copy of course_lib comes before the one that is installed; kernels start in notebooks/.
        variables = {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(here)} | row.variables
        log = ENVIRONMENTS / f"{row.name.replace(' ', '-')}-{version(row.python)}.log"
        with open(log, "w", encoding="utf-8") as file:
            done = subprocess.run(command, cwd=here, env=os.environ | variables, stdout=file, stderr=file)
    verdict = "green" if done.returncode == 0 else f"RED: see {log.relative_to(ROOT)}"
    return verdict, what, time.monotonic() - begin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="rows whose names contain one of these words")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    arguments = parser.parse_args()
    chosen = [row for row in rows() if not arguments.only or any(word in row.name for word in arguments.only)]
    ENVIRONMENTS.mkdir(exist_ok=True)
    head = f"{'':18}  {'Python':6}  {'NumPy, matplotlib':18}  {'seconds':>7}  verdict"
    print(head)
    red = 0
    for row in chosen:
        if arguments.list:
            print(f"{row.name:18}  {version(row.python):6}")
            continue
        verdict, what, seconds = run(row)
        red += verdict != "green"
        print(f"{row.name:18}  {version(row.python):6}  {what:18}  {seconds:7.0f}  {verdict}", flush=True)
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
