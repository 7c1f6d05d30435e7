"""How pytest runs the notebooks: nbval, made to behave as JupyterLab does, and to look at the pictures."""

import base64
import io
import os
import tempfile

import numpy as np
import pytest
from PIL import Image

# A difference above this, on a scale of 0 to 255, is another picture; what other versions of matplotlib and
# FreeType make of the same figure stays below 11, and a curve scaled by 1.5 gives 22.
PICTURE_TOLERANCE = 15

# The one notebook that needs more than the repository holds, and what is said where that is not there.
NEEDS_FULL_MNIST = "07_full_mnist.ipynb"
NOT_RUN = (
    f"notebooks/{NEEDS_FULL_MNIST} was not run: it needs the full MNIST set (11 MB). To run it, get the set with "
    "`make data`, or let MNIST_DIR name a folder that holds it, and run the tests again."
)


def pytest_configure(config):
    os.environ.pop("MPLBACKEND", None)  # the kernel draws inline, whatever the terminal is set to
    folder = tempfile.TemporaryDirectory(prefix="ipython-")
    config.add_cleanup(folder.cleanup)
    os.environ["IPYTHONDIR"] = folder.name  # no start-up files of this user
    os.environ["TQDM_DISABLE"] = "1"  # progress bars show rates, which never repeat; they are not stored either
    _repair_nbval()


def _repair_nbval():
    import nbval.kernel
    import nbval.plugin

    # nbval runs cells without history, in which a trailing semicolon, Out and In misbehave (nbval issue 194).
    def execute_cell_input(self, cell_input, allow_stdin=None):
        return self.kc.execute(cell_input, allow_stdin=allow_stdin, store_history=True, stop_on_error=False)

    nbval.kernel.RunningKernel.execute_cell_input = execute_cell_input
    # Coverage is measured on the tests; tracing the kernels would only slow the chapters down.
    nbval.plugin.setup_coverage = nbval.plugin.teardown_coverage = lambda *arguments: None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """After nbval has compared everything else, compare the pictures, which it ignores."""
    result = yield
    if hasattr(item, "test_outputs") and item.options["check"]:
        stored, new = pictures(item.cell.outputs), pictures(item.test_outputs)
        if len(stored) != len(new):
            item.raise_cell_error(f"the notebook holds {len(stored)} picture(s), the cell made {len(new)}")
        for k, (a, b) in enumerate(zip(stored, new, strict=True)):
            if (difference := picture_difference(a, b)) > PICTURE_TOLERANCE:
                item.raise_cell_error(
                    f"picture {k + 1} differs from the stored one by {difference:.1f} (at most {PICTURE_TOLERANCE})"
                )
    return result


def full_mnist_is_here():
    from course_lib.mnist import check_mnist

    return set(check_mnist().values()) == {"ok"}


def pytest_collection_modifyitems(items):
    """The longest notebook first, so that the others run beside it; without the full MNIST set, one skipped test."""
    items.sort(key=lambda item: item.path.name != NEEDS_FULL_MNIST)  # all others keep their order
    cells = [item for item in items if item.path.name == NEEDS_FULL_MNIST]
    if cells and not full_mnist_is_here():
        cells[0].add_marker(pytest.mark.skip(reason=NOT_RUN))
        items[:] = [item for item in items if item not in cells[1:]]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    """Last of all, after the table of coverage, say once which notebook was not run."""
    yield
    if any(NOT_RUN in report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(NOT_RUN)


def pictures(outputs):
    return [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]


def picture_difference(a, b):
    """Root-mean-square difference of two base64 PNGs, each averaged down to 80 x 60 pixels, from 0 to 255."""

    def small(png):
        image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
        return np.asarray(image.resize((80, 60), Image.Resampling.BOX), dtype=float)

    return float(np.sqrt(np.mean(np.square(small(a) - small(b)))))
