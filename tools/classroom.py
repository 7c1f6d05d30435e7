"""A class on one server: many kernels run one chapter at once, from one read-only copy of the course.

make classroom [ARGS="--kernels 20 --notebook notebooks/06_training_on_mnist.ipynb"]. Each kernel runs all code cells,
with one BLAS thread and a home of its own. What it printed is compared with what is stored, except in cells tagged
nbval-ignore-output. A table of time and memory is printed; the exit code is 1 if any kernel failed.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient.exceptions import CellExecutionError

from course_lib.mnist import mnist_folder
from tools.execute import ROOT, client  # and with it, a client that does not sleep past a message

COURSE = ("course_lib", "data", "images", "notebooks")
PATIENCE = 3600  # seconds for a kernel to start, and for a cell: twenty learners on two cores wait ten times as long
PAUSE = 2.0  # seconds between two looks at the memory of all kernels together


def read_only_copy(folder: Path) -> Path:
    """A copy, inside the folder, of all that learners need, in which nobody may write; returns its path."""
    course = folder / "course"
    for name in COURSE:
        shutil.copytree(ROOT / name, course / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb*", "mnist"))
    for path in (course, *course.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    return course


def as_learner(command: list[str]) -> list[str]:
    """The command, without root's right to write where nobody may; for other users just as it is."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return ["setpriv", "--bounding-set=-dac_override", *command]
    return command


def environment(course: Path, home: Path) -> dict[str, str]:
    """The variables of a kernel that takes course_lib from this copy, and keeps its own files in this home."""
    foreign = ("MPLBACKEND", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    own = {"HOME": str(home), "IPYTHONDIR": str(home / ".ipython"), "PYTHONPATH": str(course)}
    if mnist_folder().is_dir():  # the copy has the sample alone
        own["MNIST_DIR"] = str(mnist_folder())
    return kept | own | {"OPENBLAS_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


def differing(new: nbformat.NotebookNode, stored: nbformat.NotebookNode) -> list[int]:
    """The numbers of the code cells whose text is not the stored one; cells that may differ are left out."""

    def texts(outputs):
        shown = [o for o in outputs if o.get("name") != "stderr"]
        return [o["text"] if "text" in o else o.get("data", {}).get("text/plain") for o in shown]

    code = [number for number, cell in enumerate(stored.cells) if cell.cell_type == "code"]
    return [
        number
        for number in code
        if "nbval-ignore-output" not in stored.cells[number].metadata.get("tags", [])
        and texts(new.cells[number].outputs) != texts(stored.cells[number].outputs)
    ]


def mebibytes(pid: int, file: str, name: str) -> float | None:
    """A line of a file under /proc/PID, in MiB; None where there is no such file, as on Windows and macOS."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), None)


class LearnersKernelManager(AsyncKernelManager):
    """Starts kernels that have no more rights than learners have."""

    def format_kernel_cmd(self, extra_arguments=None):
        return as_learner(super().format_kernel_cmd(extra_arguments))


@dataclass
class Learner:
    """One kernel: where it works, and afterwards how that went."""

    notebook: Path
    variables: dict[str, str]
    pid: int | None = None  # while it runs
    fault: str = ""  # why it did not reach the end
    wrong: list[int] = field(default_factory=list)  # the numbers of cells with another text than the stored one
    warnings: list[str] = field(default_factory=list)
    peak: float | None = None  # MiB of resident memory

    async def work(self) -> None:
        stored = nbformat.read(self.notebook, as_version=4)
        new = nbformat.read(self.notebook, as_version=4)
        options = {"kernel_manager_class": LearnersKernelManager, "startup_timeout": PATIENCE}
        working = client(new, self.notebook.parent, timeout=PATIENCE, **options)
        try:
            async with working.async_setup_kernel(env=self.variables):
                self.pid = working.km.provisioner.pid
                for number, cell in enumerate(new.cells):
                    await working.async_execute_cell(cell, number)
                self.peak, self.pid = mebibytes(self.pid, "status", "VmHWM"), None
        except CellExecutionError as fault:
            self.fault = f"{fault.ename}: {fault.evalue}"
        except RuntimeError as fault:  # the kernel died, or never answered
            self.fault = str(fault)
        else:
            self.wrong = differing(new, stored)
            outputs = [o for cell in new.cells for o in cell.get("outputs", [])]
            self.warnings = [o["text"].strip() for o in outputs if o.get("name") == "stderr"]
        finally:
            self.pid = None


async def teach(learners: list[Learner]) -> float | None:
    """Let all work at once; returns the most memory that they took together, in MiB, shared pages counted once."""

    async def watch():
        most = None
        while True:
            found = [mebibytes(learner.pid, "smaps_rollup", "Pss") for learner in learners if learner.pid]
            if None not in found:
                most = max(sum(found), most or 0.0)
            try:
                await asyncio.wait_for(done.wait(), PAUSE)
                return most
            except asyncio.TimeoutError:
                pass

    done = asyncio.Event()
    watching = asyncio.create_task(watch())
    await asyncio.gather(*(learner.work() for learner in learners))
    done.set()
    return await watching


def report(learners: list[Learner], together: float | None, minutes: float) -> str:
    """The table, and what went wrong."""
    times = os.times()
    peaks = [learner.peak for learner in learners if learner.peak is not None]

    def size(mib):
        return "not known here" if mib is None else f"{mib:.0f} MiB"

    rows = [
        ("kernels", f"{len(learners)} at once, on {os.cpu_count()} cores"),
        ("finished", sum(not learner.fault for learner in learners)),
        ("wrong", sum(bool(learner.wrong) for learner in learners)),
        ("minutes", f"{minutes:.1f}"),
        ("processor time of a kernel", f"{(times.children_user + times.children_system) / len(learners):.0f} s"),
        ("memory of a kernel, median", size(statistics.median(peaks) if peaks else None)),
        ("memory of a kernel, largest", size(max(peaks, default=None))),
        ("memory of all together", size(together or None)),
    ]
    lines = [f"  {name:29}{value}" for name, value in rows]
    for number, learner in enumerate(learners, start=1):
        if learner.fault or learner.wrong:
            what = learner.fault or f"another text than the stored one in cells {learner.wrong}"
            lines.append(f"kernel {number}: {what}")
    warned = Counter(warning for learner in learners for warning in learner.warnings)
    return "\n".join(lines + [f"{count} x {warning}" for warning, count in warned.items()])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make classroom", description=__doc__.partition("\n")[0])
    parser.add_argument("--kernels", type=int, default=20, help="how many learners there are (default: 20)")
    parser.add_argument("--notebook", type=Path, default=Path("notebooks/06_training_on_mnist.ipynb"))
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        course = read_only_copy(Path(folder))
        learners = []
        for number in range(chosen.kernels):
            home = Path(folder) / f"learner{number}"
            home.mkdir()
            learners.append(Learner(course / "notebooks" / chosen.notebook.name, environment(course, home)))
        print(f"{chosen.notebook.name}, from one read-only folder:", flush=True)
        start = time.monotonic()
        together = asyncio.run(teach(learners))
        print(report(learners, together, (time.monotonic() - start) / 60))
    return int(any(learner.fault or learner.wrong for learner in learners))


if __name__ == "__main__":
    sys.exit(main())
