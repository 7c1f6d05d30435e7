"""The tool that runs a class on one machine: what it counts, and that it finds what goes wrong."""

import asyncio
import os

import nbformat
import pytest

from course_lib import mnist
from tools import classroom
from tools.classroom import Learner, as_learner, differing, environment, read_only_copy, report, teach
from tools.execute import ROOT

v4 = nbformat.v4


def made(path, *cells):
    """A notebook of (source, stored text) pairs."""
    code = [v4.new_code_cell(source, outputs=[v4.new_output("stream", text=text)]) for source, text in cells]
    nbformat.write(v4.new_notebook(cells=code), path)
    return path


def test_a_class_of_three_of_whom_one_meets_an_error_and_one_another_text(tmp_path, monkeypatch):
    monkeypatch.setattr(classroom, "PAUSE", 0.1)
    right = made(tmp_path / "right.ipynb", ("import course_lib\nprint(6 * 7)", "42\n"))
    wrong = made(tmp_path / "wrong.ipynb", ("import sys; print('slow', file=sys.stderr)", ""), ("print(6 * 7)", "41\n"))
    fault = made(tmp_path / "fault.ipynb", ("1 / 0", ""), ("print(6 * 7)", "41\n"))
    learners = [Learner(path, environment(ROOT, tmp_path)) for path in (right, wrong, fault)]
    together = asyncio.run(teach(learners))
    assert [learner.fault for learner in learners] == ["", "", "ZeroDivisionError: division by zero"]
    assert [learner.wrong for learner in learners] == [[], [0, 1], []]
    assert learners[1].warnings == ["slow"]
    if os.path.exists("/proc/self/smaps_rollup"):
        assert 20 < learners[0].peak < 500 and 20 < together < 1500
    lines = report(learners, together, minutes=1.5).splitlines()
    assert lines[1:4] == [
        "  finished                     2",
        "  wrong                        1",
        "  minutes                      1.5",
    ]
    assert lines[-3:] == [
        "kernel 2: another text than the stored one in cells [0, 1]",
        "kernel 3: ZeroDivisionError: division by zero",
        "1 x slow",
    ]


def test_cells_that_may_differ_are_not_compared():
    def notebook(text, **metadata):
        return v4.new_notebook(
            cells=[v4.new_code_cell(outputs=[v4.new_output("stream", text=text)], metadata=metadata)]
        )

    assert differing(notebook("1"), notebook("2")) == [0]
    assert differing(notebook("1"), notebook("2", tags=["nbval-ignore-output"])) == []


def test_the_full_set_is_read_from_where_it_is(tmp_path, monkeypatch):
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.setattr(mnist, "FOLDER", tmp_path / "mnist")
    assert "MNIST_DIR" not in environment(tmp_path, tmp_path)
    (tmp_path / "mnist").mkdir()
    assert environment(tmp_path, tmp_path)["MNIST_DIR"] == str(tmp_path / "mnist")


@pytest.mark.skipif(os.name == "nt", reason="folders are not made read-only like this on Windows")
def test_the_copy_is_whole_and_nobody_can_write_into_it(tmp_path):
    course = read_only_copy(tmp_path)
    assert sorted(path.name for path in course.iterdir()) == ["course_lib", "data", "images", "notebooks"]
    assert (course / "data/mnist_sample.npz").exists() and not (course / "data/mnist").exists()
    assert not [path for path in course.rglob("*") if path.stat().st_mode & 0o222]
    touch = as_learner(["touch", str(course / "notebooks/mine.txt")])
    assert os.spawnvp(os.P_WAIT, touch[0], touch) != 0
