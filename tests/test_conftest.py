"""The instruments that watch the notebooks: strict nbval as conftest.py sets it up, and the storing of outputs."""

import asyncio
import base64
import io
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from queue import Empty

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

import conftest
from conftest import NEEDS_FULL_MNIST, NOT_RUN, PICTURE_TOLERANCE, picture_difference, pictures
from tools.execute import _ask_every_second

ROOT = Path(__file__).resolve().parent.parent
v4 = nbformat.v4

# --- pictures ----------------------------------------------------------------------------------------------


def png(scale=1.0, draw=None, dpi=100, **style):
    """The PNG, in base64, of a figure as notebooks have them: a falling loss times scale, unless draw draws another."""
    with plt.rc_context(style):
        figure, axis = plt.subplots(figsize=(6.4, 3.6))
        x = np.arange(200)
        if draw is None:
            axis.plot(x, scale * (2.3 * np.exp(-x / 50) + 0.05 * np.cos(x)), linewidth=2)
            axis.set(xlabel="step", ylabel="loss", ylim=(0, 4))
        else:
            draw(axis, x)
        file = io.BytesIO()
        figure.savefig(file, dpi=dpi)
        plt.close(figure)
    return base64.b64encode(file.getvalue()).decode()


def digits(axis, x):
    axis.imshow(np.random.default_rng(0).random((20, 36)), cmap="gray", aspect="auto")


def test_a_picture_does_not_differ_from_itself():
    assert picture_difference(png(), png()) == 0


def test_what_another_version_of_matplotlib_does_stays_below_the_tolerance():
    for other in (
        png(dpi=72),
        png(**{"font.size": 11, "text.hinting": "none"}),
        png(**{"font.family": "DejaVu Serif"}),
    ):
        assert 0 < picture_difference(png(), other) < PICTURE_TOLERANCE


def test_another_picture_is_above_the_tolerance():
    def filled(factor):
        return lambda axis, x: axis.fill_between(x, factor * 2.3 * np.exp(-x / 50)) and axis.set_ylim(0, 4)

    assert picture_difference(png(draw=filled(1)), png(draw=filled(1.5))) > PICTURE_TOLERANCE
    assert picture_difference(png(), png(draw=digits)) > PICTURE_TOLERANCE
    assert picture_difference(png(), png(**{"figure.facecolor": "black"})) > PICTURE_TOLERANCE


def test_a_loss_curve_scaled_by_one_and_a_half_is_another_picture():
    """As in the course: all losses of a run, drawn thin, with their mean on top."""

    def curve(factor):
        def draw(axis, x):
            noise = np.random.default_rng(0).normal(size=2000)
            loss = factor * (2.3 * np.exp(-np.arange(2000) / 300) + 0.25 + 0.08 * noise)
            axis.plot(loss, linewidth=0.8)
            axis.plot(np.convolve(loss, np.ones(50) / 50, mode="valid"), linewidth=2)
            axis.set_ylim(0, 4)

        return draw

    assert picture_difference(png(draw=curve(1)), png(draw=curve(1.5))) > PICTURE_TOLERANCE


def test_pictures_are_taken_from_outputs_of_any_kind():
    outputs = [
        {"output_type": "stream", "text": "1"},
        {"output_type": "display_data", "data": {"image/png": "A", "text/plain": "x"}},
        {"output_type": "error"},
        {"output_type": "execute_result", "data": {"text/plain": "3"}},
        {"output_type": "display_data", "data": {"image/png": "B"}},
    ]
    assert pictures(outputs) == ["A", "B"]


# --- a repository with one notebook ------------------------------------------------------------------------

PLOT = "plt.figure(figsize=(3, 2))\nplt.imshow(np.add.outer(np.arange(6), np.arange(9)), cmap='gray')"

# name: (source, tags); nbval is to judge each cell by itself.
CELLS = {
    "imports": ("import matplotlib.pyplot as plt\nimport numpy as np\nfrom course_lib import training", []),
    "right text": ("print('one', flush=True)\nprint('two', flush=True)\n1 + 1", []),
    "wrong text": ("print('loss 0.1234')", []),
    "right picture": (PLOT + ";", []),
    "picture missing": (PLOT + ";", []),
    "picture too many": ("'no picture'", []),
    "wrong picture": (PLOT + ";", []),
    "two pictures": (PLOT + "\nplt.show()\n" + PLOT + ";", []),
    "semicolon": ("print('said')\n41 + 1;", []),
    "history": ("Out[2], In[2][:5]", []),
    "address": ("print('<Thing at 0x7f00aabbccdd>')", []),
    "bar": ("with training._progress_bar(3) as bar:\n    bar.update()\n6", []),
    "ignored": (
        "import time\nfrom IPython.display import HTML, display\nprint(time.time_ns())\n"
        "widget = {'application/vnd.jupyter.widget-view+json': {'model_id': '0'}, 'text/plain': 'IntSlider()'}\n"
        f"display(widget, raw=True)\n{PLOT}\nplt.show()\nHTML('<i>last</i>')",
        ["nbval-ignore-output"],
    ),
    "meant error": ("raise ValueError('as it should')", ["raises-exception"]),
    "other error": ("raise ValueError('as it should')", ["raises-exception"]),
    "unmeant error": ("print('fine')", []),
}
DOCTORED = ["wrong text", "picture missing", "picture too many", "wrong picture", "other error", "unmeant error"]


def made_notebook(path, sources):
    cells = []
    for number, (source, tags) in enumerate(sources):
        metadata = {"execution": {"iopub.execute_input": "2026-11-21T12:00:00Z"}} | ({"tags": tags} if tags else {})
        cells.append(v4.new_code_cell(source, id=f"cell-{number}", metadata=metadata))
    nbformat.write(v4.new_notebook(cells=cells), path)


# A terminal may ask for another backend and for bars; neither may reach the kernels.
ENVIRONMENT = os.environ | {"MPLBACKEND": "Agg", "TQDM_DISABLE": ""}


def store(*paths):
    """What `make notebooks` runs, on these files."""
    command = [sys.executable, str(ROOT / "tools" / "execute.py"), *map(str, paths)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, encoding="utf-8")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The notebook, executed and stored: (path, what the tool said)."""
    path = tmp_path_factory.mktemp("course") / "notebooks" / "01_made.ipynb"
    path.parent.mkdir()
    made_notebook(path, CELLS.values())
    return path, store(path)


def cells_of(path):
    return dict(zip(CELLS, nbformat.read(path, as_version=4).cells, strict=True))


def test_a_notebook_is_stored_executed_and_without_metadata(stored):
    path, run = stored
    assert (run.returncode, run.stdout) == (0, "01_made.ipynb: stored anew\n"), run.stderr
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert [cell.execution_count for cell in notebook.cells] == list(range(1, len(CELLS) + 1))
    assert {key for cell in notebook.cells for key in cell.metadata} == {"tags"}
    cells = cells_of(path)
    assert [o.get("text") for o in cells["right text"].outputs] == ["one\ntwo\n", None]  # one stream, not two
    assert len(pictures(cells["right picture"].outputs)) == 1
    assert len(pictures(cells["two pictures"].outputs)) == 2
    assert [o.output_type for o in cells["semicolon"].outputs] == ["stream"]
    assert cells["meant error"].outputs[0].evalue == "as it should"


def test_progress_bars_are_not_stored(stored):
    outputs = cells_of(stored[0])["bar"].outputs
    assert [output.data for output in outputs] == [{"text/plain": "6"}]


def test_of_ignored_outputs_what_is_printed_and_plotted_is_stored(stored):
    printed, plotted = cells_of(stored[0])["ignored"].outputs
    assert printed.output_type == "stream" and printed.text.strip().isdigit()
    assert plotted.output_type == "display_data" and "image/png" in plotted.data


def test_a_second_run_changes_nothing_and_an_error_is_shown(stored, tmp_path):
    """An unchanged notebook stays the same to the byte, new times in an ignored cell or not; a broken one, too."""
    path, broken = stored[0], tmp_path / "broken.ipynb"
    made_notebook(broken, [("print('fine')", []), ("raise ValueError('this learning rate is odd')", [])])
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (path, broken)}
    run = store(path, broken)
    assert run.stdout == "01_made.ipynb: unchanged\n"
    assert run.returncode != 0
    assert "ValueError" in run.stderr and "this learning rate is odd" in run.stderr
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (path, broken)} == before
    assert before[path][0].endswith(b"}\n") and b"\r" not in before[path][0]


# --- nbval -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def verdicts(stored, tmp_path_factory):
    """The outcome of each cell, and the text of its failure, after the outputs of some were doctored."""
    root = tmp_path_factory.mktemp("checked")
    for name in ("conftest.py", "pyproject.toml", "tests/nbval_sanitize.cfg"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    path = root / "notebooks" / "01_made.ipynb"
    path.parent.mkdir()
    notebook = nbformat.read(stored[0], as_version=4)
    cells = dict(zip(CELLS, notebook.cells, strict=True))
    cells["wrong text"].outputs[0].text = "loss 0.1235\n"
    cells["picture missing"].outputs = [v4.new_output("display_data", data=dict(text_of(cells["right picture"])))]
    cells["picture too many"].outputs[0].data["image/png"] = pictures(cells["right picture"].outputs)[0]
    cells["wrong picture"].outputs[0].data["image/png"] = png(draw=digits)
    cells["other error"].outputs[0].evalue = "as it should not"
    cells["unmeant error"].source = "print('fine')\nraise ValueError"
    cells["address"].outputs[0].text = "<Thing at 0x55aabb001122>\n"  # no difference: it is sanitized
    cells["ignored"].outputs = []
    nbformat.write(notebook, path)
    report = root / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--color=no",
        f"--junitxml={report}",
        "notebooks",
    ]
    run = subprocess.run(command, cwd=root, env=ENVIRONMENT, capture_output=True, text=True, encoding="utf-8")
    assert report.exists(), run.stdout + run.stderr
    cases = ElementTree.parse(report).getroot().findall(".//testcase")
    assert [case.get("name") for case in cases] == [f"Cell {number}" for number in range(len(CELLS))], run.stdout
    failures = ["".join(part.text or "" for part in case.findall("failure")) for case in cases]
    return dict(zip(CELLS, failures, strict=True))


def text_of(cell):
    return {mime: data for mime, data in cell.outputs[0].data.items() if mime != "image/png"}


@pytest.mark.parametrize("name", [name for name in CELLS if name not in DOCTORED])
def test_what_is_right_passes(verdicts, name):
    assert verdicts[name] == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wrong text", "mismatch 'stdout'"),
        ("picture missing", "the notebook holds 0 picture(s), the cell made 1"),
        ("picture too many", "the notebook holds 1 picture(s), the cell made 0"),
        ("wrong picture", "picture 1 differs from the stored one by "),
        ("other error", "mismatch 'evalue'"),
        ("unmeant error", "Cell execution caused an exception"),
    ],
)
def test_what_differs_fails_and_says_why(verdicts, name, reason):
    assert reason in verdicts[name]


def test_every_doctored_cell_is_judged():
    assert set(DOCTORED) < set(CELLS)


def test_the_kernel_works_in_a_profile_of_its_own():
    folder = Path(os.environ["IPYTHONDIR"])
    assert folder.is_dir() and folder != Path.home() / ".ipython"
    assert "MPLBACKEND" not in os.environ


# --- the notebook that needs the full MNIST set ------------------------------------------------------------


@pytest.fixture(scope="module")
def without_data(tmp_path_factory):
    """A repository of two notebooks, both of which would fail if they were run, and a folder without the four files."""
    root = tmp_path_factory.mktemp("offline")
    for name in ("conftest.py", "pyproject.toml", "tests/nbval_sanitize.cfg"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / "notebooks").mkdir()
    for name in (NEEDS_FULL_MNIST, "01_made.ipynb"):
        made_notebook(root / "notebooks" / name, [("print('not stored')", []), ("1 / 0", [])])
        notebook = nbformat.read(root / "notebooks" / name, as_version=4)
        for number, cell in enumerate(notebook.cells, 1):
            cell.execution_count = number
            cell.outputs = [v4.new_output("stream", text="stored")]
        nbformat.write(notebook, root / "notebooks" / name)
    (root / "tests" / "test_other.py").write_text(
        "import pytest, conftest\n\ndef test_also_skipped():\n    pytest.skip(conftest.NOT_RUN)\n\n"
        "def test_skipped_for_another_reason():\n    pytest.skip('no PyTorch')\n\ndef test_runs(): ...\n"
    )
    return root


def run_pytest(root, *arguments):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", *arguments]
    environment = os.environ | {"MNIST_DIR": str(root)}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, encoding="utf-8")


@pytest.mark.parametrize("arguments", [(), ("-n", "2", "--dist", "loadfile"), ("--cov", "-rs")], ids=" ".join)
def test_without_the_full_set_its_notebook_is_skipped_and_the_last_lines_say_so_once(without_data, arguments):
    run = run_pytest(without_data, *arguments, f"notebooks/{NEEDS_FULL_MNIST}", "tests")
    assert run.returncode == 0, run.stdout + run.stderr
    *_, said, counts = run.stdout.strip().splitlines()
    assert (said, counts.partition(" in ")[0]) == (NOT_RUN, "1 passed, 3 skipped")
    assert run.stdout.splitlines().count(NOT_RUN) == 1


def test_other_notebooks_run_without_the_full_set(without_data):
    run = run_pytest(without_data, "notebooks/01_made.ipynb")
    assert run.returncode == 1 and "2 failed" in run.stdout
    assert NOT_RUN not in run.stdout


@pytest.mark.parametrize(
    ("verdicts", "left"),
    [({"a": "ok", "b": "ok"}, 3), ({"a": "ok", "b": "b is missing"}, 2), ({"a": "a holds other data", "b": "ok"}, 2)],
)
def test_a_set_that_lacks_a_file_is_as_good_as_none(monkeypatch, verdicts, left):
    class Item:
        def __init__(self, name):
            self.path, self.markers = Path("notebooks", name), []

        def add_marker(self, marker):
            self.markers.append(marker)

    monkeypatch.setattr("course_lib.mnist.check_mnist", lambda: verdicts)
    items = [Item("06_other.ipynb"), Item(NEEDS_FULL_MNIST), Item(NEEDS_FULL_MNIST)]
    conftest.pytest_collection_modifyitems(items)
    assert [item.path.name for item in items] == [NEEDS_FULL_MNIST] * (left - 1) + ["06_other.ipynb"]  # longest first
    assert [bool(item.markers) for item in items] == ([True, False] if left == 2 else [False] * 3)


def test_nothing_is_checked_where_that_notebook_is_not_among_the_tests(monkeypatch):
    monkeypatch.setattr("course_lib.mnist.check_mnist", lambda: pytest.fail("11 MB were read for nothing"))
    conftest.pytest_collection_modifyitems([])


def test_a_message_whose_arrival_was_missed_is_found_when_asked_again():
    class Deaf:
        """A channel that never notices an arrival while it waits, as zmq's poll at times does on a busy machine."""

        def __init__(self):
            self.waits = []

        async def ask(self, timeout):
            self.waits.append(timeout)
            if len(self.waits) < 3:
                raise Empty
            return "message"

    channel = Deaf()
    assert asyncio.run(_ask_every_second(channel, ask=Deaf.ask)) == "message"
    assert asyncio.run(_ask_every_second(channel, 60, ask=Deaf.ask)) == "message"
    assert channel.waits == [1.0] * 4
    channel.waits.clear()
    with pytest.raises(Empty):
        asyncio.run(_ask_every_second(channel, 0, ask=Deaf.ask))
