"""What learners do to the course by mistake, and what they get: their work kept, or a sentence that helps.

Each test is one mistake, made in a real kernel, as JupyterLab would start it.
"""

import ast
import contextlib
import functools
import gzip
import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from queue import Empty

import nbformat
import numpy as np
import pytest
from jupyter_client import KernelManager
from test_mnist import IMAGES, LABELS, PLAIN, idx

from course_lib.networks import TwoLayerNet
from tools.classroom import as_learner, differing, environment, read_only_copy
from tools.execute import ROOT, run

PATIENCE = 60  # seconds for a cell, on a machine that is busy with other tests as well
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))


# --- a kernel, and a learner who runs cells in it ----------------------------------------------------------------


class LearnersKernelManager(KernelManager):
    def format_kernel_cmd(self, extra_arguments=None):
        return as_learner(super().format_kernel_cmd(extra_arguments))


class Shown:
    """What stands below a cell: its text, and the name and the message of the error that ended it, if any."""

    def __init__(self):
        self.text = self.warnings = self.error = ""

    def add(self, kind, content):
        if kind == "stream" and content["name"] == "stderr":
            self.warnings += content["text"]
        elif kind == "error":
            self.error = f"{content['ename']}: {content['evalue']}"
        else:
            self.text += content.get("text") or content.get("data", {}).get("text/plain", "")


class Kernel:
    """A kernel, with the commands of JupyterLab's menu."""

    def __init__(self, folder, variables):
        self.manager = LearnersKernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(folder), env=variables)
        self.connect()

    def connect(self):
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def begin(self, source, until):
        """Run a cell, and return as soon as it has printed the text `until`."""
        self.shown, self.cell = Shown(), self.client.execute(source)
        assert self._listen(until), self.shown.text

    def run(self, source):
        """Run a cell to its end; return what it has shown."""
        self.shown, self.cell = Shown(), self.client.execute(source)
        assert self._listen(), self.shown.text
        return self.shown

    def interrupt(self):
        """Press the stop button and wait for the end of the cell; return what it has shown.

        Like a learner, press it again if nothing happens: ipykernel has a callback in Python's garbage collector, and
        an interrupt that arrives while this one is at work is lost.
        """
        for _ in range(PATIENCE // 5):
            self.manager.interrupt_kernel()
            if self._listen(patience=5):
                return self.shown
        raise AssertionError(f"the cell cannot be interrupted; so far: {self.shown.text}")

    def _listen(self, until=None, patience=PATIENCE):
        """Wait for the end of the cell, or until it has printed a text; False if neither came in time."""
        deadline = time.monotonic() + patience
        while until is None or until not in self.shown.text:
            if time.monotonic() > deadline:
                return False
            try:  # short waits: on a busy machine a long one may sleep past a message
                message = self.client.get_iopub_msg(timeout=0.5)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") == self.cell:
                if message["content"].get("execution_state") == "idle":
                    return until is None
                self.shown.add(message["msg_type"], message["content"])
        return True

    def restart(self, now=False):
        self.client.stop_channels()
        self.manager.restart_kernel(now=now)
        self.connect()

    def shut_down(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def readers():
    """The course in a folder where nobody may write, as a class on a shared server has it."""
    with tempfile.TemporaryDirectory() as folder:
        yield read_only_copy(Path(folder))


@pytest.fixture
def start():
    """start(folder, variables) is a new kernel, which ends with the test."""
    with contextlib.ExitStack() as stack:

        def start(folder, variables):
            kernel = Kernel(folder, variables)
            stack.callback(kernel.shut_down)
            return kernel

        yield start


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A kernel in the notebooks' folder, with progress bars, that some tests share."""
    variables = environment(ROOT, tmp_path_factory.mktemp("home")) | {"TQDM_DISABLE": ""}
    variables.pop("MNIST_DIR", None)
    kernel = Kernel(ROOT / "notebooks", variables)
    yield kernel
    kernel.shut_down()


@pytest.fixture
def kernel(used):
    """That kernel, with no names left over."""
    assert not used.run("%reset -f").error
    return used


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


# --- restarting and interrupting ---------------------------------------------------------------------------------

TOP = """
import numpy as np
from course_lib.gradient import check_network
from course_lib.mnist import load_sample
from course_lib.networks import TwoLayerNet
from course_lib.optimizers import SGD
from course_lib.training import fit

train, test = load_sample(normalize=False)
net = TwoLayerNet(784, 50, 10, rng=0)
"""
TRAIN = """
history = fit(net, train, test, optimizer=SGD(0.5), epochs=2, rng=1)
print(history)
"""
TRAIN_FOR_HOURS = """
def tell(net, history):
    print("epoch", len(history.train) - 1, flush=True)

history = fit(net, train, test, optimizer=SGD(0.5), epochs=10_000, rng=1, on_epoch=tell)
"""


def trained():
    """What TRAIN prints where nothing goes wrong."""
    names = {}
    with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
        exec(TOP + TRAIN, names)
    return str(names["history"])


def test_a_restart_amid_training_then_everything_again_from_the_top(kernel):
    """The second run ends as if there had been no first."""
    kernel.begin(TOP + TRAIN_FOR_HOURS, until="epoch 1")
    kernel.restart()
    shown = kernel.run(TOP + TRAIN)
    assert not shown.error and trained() in shown.text


def test_a_power_cut_while_weights_are_saved_again_and_again(kernel, tmp_path):
    """The file holds all weights of one moment."""
    path = tmp_path / "net.npz"
    save = f"""
while True:
    for p in net.params.values():
        p += 1.0
    net.save({str(path)!r})
    print("saved", flush=True)
"""
    first = TwoLayerNet(784, 50, 10, rng=0)
    kernel.begin(TOP + save, until="saved")
    time.sleep(0.3)
    kernel.restart(now=True)
    times = {(TwoLayerNet.load(path).params[name] - p).mean().round(6) for name, p in first.params.items()}
    assert len(times) == 1 and times.pop() >= 1
    assert {file.suffix for file in tmp_path.iterdir()} <= {".npz", ".part"}


def test_an_interrupt_amid_training(kernel):
    """It says after how many steps; the net keeps what it has learned, and goes on learning."""
    kernel.begin(TOP + TRAIN_FOR_HOURS, until="epoch 2")
    shown = kernel.interrupt()
    assert not shown.error and not shown.warnings
    assert "Interrupted after " in shown.text and " of 400000 steps." in shown.text
    steps = shown.text.rpartition("Interrupted after ")[2].split()[0]
    after = kernel.run("print(history.stopped, len(history.loss), net.accuracy(test[0] / 255, test[1]) > 0.7)")
    assert after.text == f"Interrupted after {steps} of 400000 steps. {steps} True\n"
    again = kernel.run(TRAIN)
    assert not again.error and "epoch     step" in again.text


def test_interrupts_amid_a_numerical_gradient(kernel):
    """Whatever number was being nudged, all parameters are as they were, to the bit."""
    kernel.run(
        TOP + "x, t = train[0][:3] / 255, train[1][:3]\nbefore = {name: p.copy() for name, p in net.params.items()}"
    )
    for pause in (0.05, 0.3):
        kernel.begin("print('begun', flush=True)\nwhile True: check_network(net, x, t, full=True)", until="begun")
        time.sleep(pause)
        assert kernel.interrupt().error.startswith("KeyboardInterrupt")
        same = "[p.tobytes() == before[name].tobytes() for name, p in net.params.items()]"
        assert kernel.run(f"print({same}, check_network(net, x, t).ok)").text == f"{[True] * 4} True\n"


def test_an_endless_loop_in_an_answer(kernel):
    """The stop button ends it; the cell can be mended and checked again."""
    cell = """
from course_lib.exercises import ch00

def total(price, count):
    print("begun", flush=True)
    while True:
        pass
    return price * count

ch00.total_price.check(total)
"""
    kernel.begin(cell, until="begun")
    assert kernel.interrupt().error.startswith("KeyboardInterrupt")
    mended = kernel.run(cell.replace("while True:", "while False:"))
    assert "Correct." in mended.text and not mended.error


# --- cells out of order ------------------------------------------------------------------------------------------


def imports_of(cells):
    """The import statements of cells, as the source of one cell."""
    statements = [node for cell in cells if not cell.source.startswith("%") for node in ast.parse(cell.source).body]
    return "\n".join(ast.unparse(node) for node in statements if isinstance(node, (ast.Import, ast.ImportFrom)))


def checks_of(path):
    return [cell.source for cell in code_cells(path) if ".check(" in cell.source.rstrip().rpartition("\n")[2]]


def defined_in(cells):
    """The names of all functions, classes and variables that cells define."""
    nodes = [node for cell in cells if not cell.source.startswith("%") for node in ast.walk(ast.parse(cell.source))]
    variables = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return variables | {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


@pytest.mark.parametrize("path", CHAPTERS, ids=[path.stem for path in CHAPTERS])
def test_an_exercise_before_all_other_cells(kernel, path):
    """Python names what is not there yet; with the imports, the exercise is open, or lacks what the chapter defines."""
    cells = code_cells(path)
    for source in checks_of(path):
        kernel.run("%reset -f")
        shown = kernel.run(source)
        if "Not attempted yet." in shown.text:
            continue
        assert shown.error.startswith("NameError: name "), (source, shown.error)
        kernel.run(imports_of(cells))
        shown = kernel.run(source)
        missing = shown.error.removeprefix("NameError: name '").partition("'")[0]
        assert "Not attempted yet." in shown.text or missing in defined_in(cells), (source, shown.error)


def test_backward_before_forward(kernel):
    """The sentence names the layer and the call that is missing."""
    kernel.run("import numpy as np\nfrom course_lib.layers import Relu\nlayer, dout = Relu(), np.ones((2, 3))")
    error = kernel.run("layer.backward(dout)").error
    assert "Relu" in error and "forward" in error, error
    assert not kernel.run("layer.forward(dout)").error
    assert not kernel.run("layer.backward(dout)").error


def test_a_training_cell_run_twice(kernel):
    """The second run goes on where the first one ended."""
    kernel.run(TOP)
    kernel.run(TRAIN)
    kernel.run("first = history")
    again = kernel.run(TRAIN)
    assert not again.error
    assert (
        kernel.run("print(history.train[0] == first.train[-1], history.train[-1] > first.train[-1])").text
        == "True True\n"
    )


@pytest.mark.parametrize("path", CHAPTERS[:2], ids=[path.stem for path in CHAPTERS[:2]])
def test_every_cell_run_twice(kernel, path):
    """No cell of a chapter minds."""
    for cell in code_cells(path):
        for _ in range(2):
            assert not kernel.run(cell.source).error, cell.source


# --- a full disk -------------------------------------------------------------------------------------------------

ROOM = 65_536  # bytes


@pytest.fixture(params=["full disk", "limit of the user"])
def full(request, tmp_path):
    """A folder with room for 64 KiB, and the lines that a cell begins and ends with for that to be so."""
    folder = tmp_path / "small"
    folder.mkdir()
    if request.param == "limit of the user":
        pytest.importorskip("resource")
        begin = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({ROOM}, resource.RLIM_INFINITY))\n"
        yield folder, begin, "File too large"
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can make a small disk")
    yield folder, "", "No space left on device"
    subprocess.run(["umount", str(folder)], check=True)


def lift(kernel):
    kernel.run("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)")


def test_weights_saved_to_a_full_disk(kernel, full):
    """The sentence names the file; the weights saved before are as they were, and those in memory too."""
    folder, begin, reason = full
    path = folder / "net.npz"
    kernel.run(f"{TOP}small = TwoLayerNet(784, 10, 10, rng=0, dtype=np.float32)\nsmall.save({str(path)!r})")
    before = path.read_bytes()
    shown = kernel.run(f"{begin}net.save({str(path)!r})")
    lift(kernel)
    assert shown.error == (
        f"OSError: The network was not saved to {path}: {reason}. "
        "A file that was there before is unharmed; try another folder, or make room and save again."
    )
    assert path.read_bytes() == before and list(folder.iterdir()) == [path] and not shown.warnings
    elsewhere = folder.parent / "net.npz"
    assert not kernel.run(f"net.save({str(elsewhere)!r})").error
    assert (TwoLayerNet.load(elsewhere).params["W1"] == TwoLayerNet(784, 50, 10, rng=0).params["W1"]).all()


@pytest.fixture
def mirror(tmp_path):
    """A server, as load_mnist is told of it, with a small set, whose training images alone overfill the disk."""
    site, noise = tmp_path / "site", np.random.default_rng(0).integers(0, 256, (100, 28, 28), dtype=np.uint8)
    site.mkdir()
    files = dict(PLAIN) | {IMAGES: idx(noise), LABELS: idx(np.arange(100, dtype=np.uint8) % 10)}
    for name, content in files.items():
        (site / f"{name}.gz").write_bytes(gzip.compress(content))
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"mirrors=['http://127.0.0.1:{server.server_port}/'], checksums={sums}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_digits_downloaded_to_a_full_disk(kernel, full, mirror):
    """The sentence names the folder and what to do; no half a file is left, and with more room the download ends."""
    folder, begin, reason = full
    top = "import os\nfrom pathlib import Path\nfrom course_lib import mnist\nos.environ['NO_PROXY'] = '127.0.0.1'\n"
    load = f"(x, t), test = mnist.load_mnist({mirror})\nprint(x.shape)"
    shown = kernel.run(f"{top}mnist.FOLDER = Path({str(folder)!r})\n{begin}{load}")
    lift(kernel)
    assert shown.error == (
        f"MnistError: The full MNIST set could not be written to {folder} ({reason}): "
        "make that possible or set MNIST_DIR to another folder, then run `python -m course_lib.mnist`"
    )
    assert list(folder.iterdir()) == []
    shown = kernel.run(
        f"mnist.FOLDER = Path({str(folder.parent / 'large')!r})\n{load}\nmnist.FOLDER = mnist.DATA / 'mnist'"
    )
    assert not shown.error and "(100, 784)" in shown.text


# --- a folder that is read-only, or another one ------------------------------------------------------------------


needs_rights = pytest.mark.skipif(os.name == "nt", reason="folders are not made read-only like this on Windows")


@needs_rights
def test_a_chapter_in_a_folder_that_is_read_only(start, readers, tmp_path):
    """Chapter 0 runs as stored, and its exercise can be answered, even where the home is read-only too."""
    home = tmp_path / "home"
    home.mkdir(0o500)
    kernel = start(readers / "notebooks", environment(readers, home))
    assert kernel.run("open('mine.txt', 'w')").error.startswith("PermissionError")
    assert kernel.run("import course_lib; print(course_lib.__file__)").text == f"{readers / 'course_lib/__init__.py'}\n"
    for cell in code_cells(readers / "notebooks" / CHAPTERS[0].name):
        shown = kernel.run(cell.source)
        stored = Shown()
        for output in cell.outputs:
            stored.add(output.output_type, output)
        assert (shown.text, shown.error) == (stored.text, "")
        assert not shown.warnings or "atplotlib" in shown.warnings  # which says where it keeps its list of fonts
    solved = kernel.run("def total(price, count):\n    return price * count\nch00.total_price.check(total)")
    assert solved.text.startswith("Correct.")
    assert kernel.run("progress()").text.endswith("1 of 1 correct.")


@needs_rights
def test_what_wants_to_write_into_a_folder_that_is_read_only(start, readers, tmp_path):
    """Digits and weights: each time a sentence that names the folder, and where else to write."""
    variables = environment(readers, tmp_path)
    variables.pop("MNIST_DIR", None)
    kernel = start(readers / "notebooks", variables)
    shown = kernel.run("from course_lib.mnist import load_mnist\nload_mnist()")
    assert shown.error == (
        f"MnistError: The full MNIST set could not be written to {readers / 'data/mnist'} (Permission denied): "
        "make that possible or set MNIST_DIR to another folder, then run `python -m course_lib.mnist`"
    )
    shown = kernel.run(f"{TOP}net.save('net.npz')")
    assert shown.error.startswith("OSError: The network was not saved to net.npz: Permission denied. ")
    assert "try another folder" in shown.error
    assert not kernel.run(f"net.save({str(tmp_path / 'net.npz')!r})").error


def test_a_notebook_copied_to_another_folder(tmp_path):
    """It runs as it does in the course: what it imports is installed, and it reads no file beside itself."""
    letters = sys.getfilesystemencoding() == "utf-8"  # a terminal in plain C knows no others than ASCII's
    folder = tmp_path / ("Kurs für Äpfel 逆伝播" if letters else "my course")
    folder.mkdir()
    copied = Path(shutil.copy(CHAPTERS[1], folder / "mein Kapitel.ipynb"))
    notebook, stored = (nbformat.read(copied, as_version=4) for _ in range(2))
    run(notebook, folder)
    assert differing(notebook, stored) == []


def test_a_notebook_opened_with_a_python_that_lacks_the_course(start, tmp_path):
    """Python names course_lib, and chapter 0 says what to do about just these words."""
    (tmp_path / "course_lib.py").write_text("raise ModuleNotFoundError(\"No module named 'course_lib'\")")
    kernel = start(tmp_path, environment(tmp_path, tmp_path))
    error = kernel.run(code_cells(CHAPTERS[1])[0].source).error
    assert error == "ModuleNotFoundError: No module named 'course_lib'"
    assert f"`{error}`" in "".join(cell.source for cell in nbformat.read(CHAPTERS[0], as_version=4).cells)
