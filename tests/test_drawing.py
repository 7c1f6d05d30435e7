"""drawing.py: pictures in which nothing overlaps, the same to the letter everywhere, that can be read aloud."""

import base64
import importlib.util
import math
import os
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html import unescape
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from course_lib import drawing
from course_lib.drawing import draw, slider, steps
from course_lib.graph import Value, exp, log, maximum, node, topological

SVG = "{http://www.w3.org/2000/svg}"
ROOT = Path(__file__).parents[1]


def apples():
    price, count = Value(100, "apple price", "yen"), Value(2, "apple count", "apple")
    tax = Value(1.1, "tax", "unit of tax rate")
    return ((price * count).named("apples", "yen") * tax).named("total", "yen")


def fork():
    x, y = Value(3, "x"), Value(2, "y")
    return (x * y + x).named("z")


def sigmoid(x):
    y = 1 / (1 + math.exp(-x.data))
    return node("σ", y, (x,), (y * (1 - y),))


def network():
    """The 2-2-2 network of chapter 4, with 40 nodes and 6 forks."""
    x = [Value(0.05, "x1"), Value(0.10, "x2")]
    w = [Value(v, f"w{i}") for i, v in enumerate([0.15, 0.2, 0.25, 0.3, 0.4, 0.45, 0.5, 0.55], 1)]
    b1, b2 = Value(0.35, "b1"), Value(0.6, "b2")
    h = [sigmoid(x[0] * w[i] + x[1] * w[i + 1] + b1) for i in (0, 2)]
    y = [sigmoid(h[0] * w[i] + h[1] * w[i + 1] + b2) for i in (4, 6)]
    return (0.5 * (y[0] - Value(0.01, "t1")) ** 2 + 0.5 * (y[1] - Value(0.99, "t2")) ** 2).named("loss")


def some_graph(seed, nodes=30):
    """A graph of about so many nodes with forks, long arrows, constants, long names and units."""
    r = random.Random(seed)
    values = [
        Value(r.uniform(-9, 9), r.choice(["x", "price", "苹果的价格", None]), "yen") for _ in range(r.randint(1, 5))
    ]
    output = values[0]
    while len(topological(output)) < nodes:
        a, b = r.choice(values[-8:]), r.choice(values)
        c = r.choice([a + b, a - b, a * 0.1, maximum(a, b), -a, (a * a + 1).log(), 2 / (a * a + 1), exp(-(b * b))])
        values.append(c.named(r.choice([None, None, "a result"]), r.choice([None, "apple"])))
        if r.random() < 0.6:
            output = output + c
    return output.named("total", "yen")


GRAPHS = [apples, fork, network, lambda: Value(3, "x"), lambda: -Value(3), lambda: exp(2), lambda: Value(2) * 3 - 1]
GRAPHS += [lambda seed=seed, n=n: some_graph(seed, n) for n in (6, 15, 30) for seed in range(6)]


def elements(picture, kind):
    return [g for g in ET.fromstring(picture.svg).iter(f"{SVG}g") if g.get("class") == kind]


def number(element, *names):
    return [float(element.get(name)) for name in names]


def text_box(text):
    """The rectangle of a text, from its estimated width and the usual heights of letters."""
    x, y, size = number(text, "x", "y", "font-size")
    line = (text.text, int(size), text.get("fill"))
    width = drawing._line_width(line)
    left = x if text.get("text-anchor") == "start" else x - width / 2
    return left, y - 0.78 * size, left + width, y + 0.22 * size


def node_box(group):
    """The rectangle of a node: its shape, or its text where it has none."""
    if (rect := group.find(f"{SVG}rect")) is not None:
        x, y, w, h = number(rect, "x", "y", "width", "height")
        inside = [text_box(t) for t in group.iter(f"{SVG}text")]
        assert all(x <= a and c <= x + w and y <= b and d <= y + h for a, b, c, d in inside), "a text leaves its box"
        return x, y, x + w, y + h
    if (dot := group.find(f"{SVG}circle")) is not None:
        x, y, r = number(dot, "cx", "cy", "r")
        return x - r, y - r, x + r, y + r
    return text_box(group.find(f"{SVG}text"))


def path_points(d):
    """Points along a path of M, H and C commands, close together, as rows (x, y)."""
    parts = [(p[0], [float(v) for v in p[1:].split()]) for p in re.findall(r"[MHC][^MHC]*", d)]
    (_, start), *rest = parts
    points, t = [np.array([start])], np.linspace(0, 1, 21)[1:, None]
    for command, values in rest:
        p0 = points[-1][-1]
        if command == "H":
            points.append(p0 + t * [values[0] - p0[0], 0])
        else:
            p1, p2, p3 = np.reshape(values, (3, 2))
            points.append((1 - t) ** 3 * p0 + 3 * t * (1 - t) ** 2 * p1 + 3 * t**2 * (1 - t) * p2 + t**3 * p3)
    return np.concatenate(points)


def arrows(picture):
    return [path_points(g.findall(f"{SVG}path")[0].get("d")) for g in elements(picture, "arrow")]


def inside(points, boxes):
    """Whether each point is inside each box: (points, boxes)."""
    return np.all((points[:, None] > boxes[:, :2]) & (points[:, None] < boxes[:, 2:]), axis=2)


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("backward", [False, True])
def test_nothing_overlaps(graph, backward):
    value = graph()
    picture = draw(value, steps(value)) if backward else draw(value)
    root = ET.fromstring(picture.svg)
    labels = [text_box(t) for g in elements(picture, "label") for t in g]
    nodes = [node_box(g) for g in elements(picture, "node")]
    notes = [text_box(t) for t in root.findall(f"{SVG}text")]
    for a, b in combinations(labels + nodes + notes, 2):
        assert not overlap(a, b)
    width, height = number(root, "width", "height")
    for box in labels + nodes + notes:
        assert box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= height
    # No arrow runs through a text, or through a node that it neither leaves nor reaches.
    boxes = np.array(labels + nodes)
    for points in arrows(picture):
        entered = inside(points, boxes).any(axis=0)
        its_own = inside(points[[0, -1]], boxes + np.array([-12, 0, 12, 0])).any(axis=0)
        its_own[: len(labels)] = False
        assert not np.any(entered & ~its_own)


def test_the_overlap_test_can_fail(monkeypatch):
    monkeypatch.setattr(drawing, "GAP", -30)
    with pytest.raises(AssertionError):
        test_nothing_overlaps(network, True)


@pytest.mark.parametrize("graph", GRAPHS)
def test_arrows_go_right_from_node_to_node(graph):
    value = graph()
    picture = draw(value)
    nodes = [node_box(g) for g in elements(picture, "node")]
    for points in arrows(picture):
        assert np.all(np.diff(points[:, 0]) > -0.11)
        start, end = points[[0, -1]]
        assert any(abs(start[0] - n[2]) < 4 and n[1] < start[1] < n[3] for n in nodes)
        reached = [n for n in nodes if n[0] - 9 < end[0] < n[2] and n[1] < end[1] < n[3]]
        assert len(reached) == 1 or (not value.name or not value.op)  # the last arrow may point at nothing


def crossings(value):
    """How many pairs of arrows change sides between neighbouring columns."""
    record, columns = drawing._record(value, 6, True, True), {}
    drawing._place(record, 0)
    for link in (link for arrow in record for link in arrow.links):
        columns.setdefault(link.left.column, []).append((link.left.y, link.right.y + link.port))
    return sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for links in columns.values() for a, b in combinations(links, 2))


@pytest.mark.parametrize("graph", [apples, fork, lambda: (Value(1) - Value(2)) / (Value(3) - Value(4) * Value(5))])
def test_graphs_without_need_have_no_crossings(graph):
    assert crossings(graph()) == 0


def test_there_are_few_crossings():
    assert crossings(network()) <= 6  # each of its two full layers has three at least
    assert sum(crossings(some_graph(seed)) for seed in range(10)) <= 100


def test_a_chain_is_a_straight_line():
    picture = draw(log(exp(-Value(1, "x"))).named("y"))
    assert all(len({y for _, y in points}) == 1 for points in arrows(picture))


def test_inputs_stand_in_order_where_order_matters():
    x, y = Value(5, "x"), Value(3, "y")
    for value in (x - y, y - x, x / y, (x - y) * (y - x), maximum(y, x) - maximum(x, y)):
        record = drawing._record(value, 6, True, False)
        drawing._place(record, 0)
        for cell in {a.cells[-1] for a in record if a.cells[-1].kind == "op" and len(a.cells[-1].lefts) > 1}:
            if cell.lines[0][0] in "−÷":
                assert [link.port for link in cell.lefts] == sorted(link.port for link in cell.lefts)


def test_the_same_to_the_letter_in_another_process():
    code = "import test_drawing as t; print(t.draw(t.network(), 7).svg + t.draw(t.some_graph(5)).svg, end='')"
    expected = draw(network(), 7).svg + draw(some_graph(5)).svg
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent), "PYTHONUTF8": "1"}
        run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, encoding="utf-8", check=True)
        assert run.stdout == expected


def texts(picture, colour):
    return [t.text for t in ET.fromstring(picture.svg).iter(f"{SVG}text") if t.get("fill") == colour]


def test_values_above_and_gradients_below():
    value = apples()
    value.backward()
    for label in elements(draw(value), "label"):
        values = [float(t.get("y")) for t in label if t.get("fill") == drawing.FORWARD]
        grads = [float(t.get("y")) for t in label if t.get("fill") == drawing.BACKWARD]
        assert max(values) < min(grads)
        assert all(t.text.startswith("←") for t in label if t.get("font-weight"))


def test_gradients_are_shown_once_known():
    value = apples()
    assert texts(draw(value), drawing.BACKWARD) == []
    value.backward()
    shown = texts(draw(value), drawing.BACKWARD)
    assert shown[:2] == ["← 1", "yen per yen"]
    assert {"← 2.2", "← 110", "← 200", "← 1.1", "yen per apple", "yen per unit of tax rate"} < set(shown)
    assert "below: ← gradient of total" in shown
    assert "← 110.00000000000001" in texts(draw(value, digits=17), drawing.BACKWARD)
    assert "yen per apple" not in texts(draw(value, units=False), drawing.BACKWARD)


def test_a_forks_unit_stands_once():
    x = Value(3, "x", "apple")
    value = (x * x).named("y", "yen")
    assert texts(draw(value, steps(value)), drawing.BACKWARD).count("yen per apple") == 1


def test_walking_backward_step_by_step():
    value = apples()
    assert steps(value) == 5
    pictures = [draw(value, k) for k in range(6)]
    counts = [sum(t.startswith("←") for t in texts(p, drawing.BACKWARD)) for p in pictures]
    assert counts == [0, 1, 2, 3, 4, 5]
    assert [p.svg.count(drawing.HALO) for p in pictures] == [0, 1, 1, 1, 1, 1]
    assert len({re.search('width="[^"]*" height="[^"]*"', p.svg)[0] for p in pictures}) == 1
    story = "Step 4 of 5: through ×, 1.1 times local gradient 2 = 2.2"
    assert story in texts(pictures[4], drawing.INK)
    assert story in pictures[4].alt
    assert all(v.grad is None for v in topological(value))  # drawing changes nothing


def test_a_fork_adds_its_branches_up_after_they_are_known():
    value = fork()
    stories = [draw(value, k).alt.rpartition("Step ")[2] for k in range(steps(value) + 1)]
    assert stories == [
        "0 of 6: forward only.",
        "1 of 6: the gradient of the output with respect to itself is 1.",
        "2 of 6: through +, 1 times local gradient 1 = 1.",
        "3 of 6: through +, 1 times local gradient 1 = 1.",
        "4 of 6: through ×, 1 times local gradient 2 = 2.",
        "5 of 6: through ×, 1 times local gradient 3 = 3.",
        "6 of 6: at the fork, 1 + 2 = 3.",
    ]


def test_up_to_a_value():
    value = fork()
    product, x = value.inputs
    assert draw(value, product).title == draw(value, 2).title
    assert draw(value, x).title == draw(value, 6).title
    assert "; x: " not in draw(value, 5).alt  # only one branch is known
    assert "; x: 3" in draw(value, 6).alt


def test_constants_have_no_labels():
    value = 2 * Value(3, "x") + 1
    assert steps(value) == 3
    assert texts(draw(value, 3), drawing.QUIET) == ["1", "2"]
    two = (2 * Value(3)).inputs[0]
    assert len(elements(draw(two * two), "node")) == 3  # a constant does not fork: it is written at each use


def test_alt_text_can_be_followed_by_ear():
    value = apples()
    forward = (
        "Computational graph. Inputs: apple price = 100 (yen), apple count = 2 (apple), tax = 1.1 (unit of tax rate). "
        "Forward: apple price and apple count go into ×, giving apples = 200 (yen); "
        "apples and tax go into ×, giving total = 220 (yen)."
    )
    assert draw(value).alt == forward
    value.backward()
    assert draw(value).alt == forward + (
        " Backward, the gradients of total with respect to: total: 1 yen per yen; tax: 200 yen per unit of tax rate; "
        "apples: 1.1 yen per yen; apple count: 110 yen per apple; apple price: 2.2 yen per yen."
    )
    y = -exp(Value(0)) + 0.5
    assert "0 goes into exp, giving result 1 = 1; result 1 goes into −, giving result 2 = −1;" in draw(y).alt


NASTY = "a <b> & \"c\" 'd'\n\x00\ud800 苹果 🍎"


def test_names_are_escaped(tmp_path):
    value = (Value(1, NASTY, NASTY) * Value(2, "]]>", "--")).named(NASTY, NASTY)
    value.backward()
    picture = draw(value, 2)
    picture.save(tmp_path / "picture.svg")
    root = ET.parse(tmp_path / "picture.svg").getroot()
    assert root.find(f"{SVG}desc").text == picture.alt
    assert "a <b> & \"c\" 'd' 苹果 🍎" in texts(picture, drawing.INK)


def test_html_is_one_img_with_the_whole_picture():
    picture = draw((Value(1, NASTY) + 1).named("y"))
    match = re.fullmatch(
        r'<img alt="([^"<>]*)" style="min-width:\d+px" src="data:image/svg\+xml;base64,([\w+/=]+)">',
        picture._repr_html_(),
    )
    assert unescape(match[1]) == picture.alt
    assert base64.b64decode(match[2]).decode() == picture.svg
    assert 'fill="#FFFFFF"' in picture.svg.split("<g")[0]  # a white background, for the dark theme


def test_repr_is_fixed():
    assert repr(draw(apples())) == "Picture(Computational graph of total = 220)"
    assert repr(draw(apples(), 3)) == "Picture(Computational graph of total = 220, step 3 of 5)"


def test_chinese_and_japanese_names_are_wide():
    def width(name):
        return number(elements(draw(Value(1, name)), "node")[0].find(f"{SVG}rect"), "width")[0] - 16

    assert width("りんごの個数") >= 6 * drawing.LARGE
    assert width("abcdef") < 4.5 * drawing.LARGE


def test_no_text_is_small():
    sizes = [float(t.get("font-size")) for t in ET.fromstring(draw(network(), 3).svg).iter(f"{SVG}text")]
    assert min(sizes) >= 13


def test_slider_walks_all_steps(monkeypatch):
    shown = {}
    monkeypatch.setattr("ipywidgets.interact", lambda f, **widgets: shown.update(f=f, **widgets))
    value = apples()
    slider(value, digits=3)
    assert (shown["step"].min, shown["step"].max) == (0, 5)
    assert shown["f"](4) == draw(value, 4, digits=3)


@pytest.mark.parametrize(
    ("mistake", "error", "phrase"),
    [
        (lambda: draw(3), TypeError, "draw shows the graph of a Value, and this is 3 of type int"),
        (lambda: draw(apples(), 6), ValueError, "from 0 to 5"),
        (lambda: draw(apples(), -1), ValueError, "it was -1"),
        (lambda: draw(apples(), Value(1, "stranger")), ValueError, "name='stranger'"),
        (lambda: draw(sum(Value(1) for _ in range(200))), ValueError, "has 401 nodes, and a picture shows up to 150"),
    ],
)
def test_errors_are_sentences(mistake, error, phrase):
    with pytest.raises(error, match=re.escape(phrase)):
        mistake()


def test_committed_pictures_are_what_their_script_makes(tmp_path):
    spec = importlib.util.spec_from_file_location("make_images", ROOT / "images" / "make_images.py")
    make_images = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_images)
    assert make_images.stale() == []
    assert make_images.stale(tmp_path) == list(make_images.PICTURES)
