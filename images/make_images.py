"""Write the pictures of this folder: `python images/make_images.py`.

With `--check` nothing is written, and the exit status is 1 if a committed picture differs from what would be.
"""

from __future__ import annotations

import re
import sys
import textwrap
from html import escape
from pathlib import Path

from course_lib.drawing import FILL, FONT, FORWARD, INK, LARGE, LINE, MARGIN, QUIET, SMALL, Picture, draw
from course_lib.exercises import ch01
from course_lib.graph import Value

FOLDER = Path(__file__).parent

# What one builds in each chapter, in two lines of up to 30 characters.
CHAPTERS = [
    ("00", "Welcome", "your first answer:", "predict, run, check, hint"),
    ("01", "Computational graphs", "AddLayer, MulLayer:", "the price of fruit, backward"),
    ("02", "Activation layers", "Relu, Sigmoid,", "and what saturates or dies"),
    ("03", "Affine and softmax", "Affine, SoftmaxWithLoss:", "whole batches at once"),
    ("04", "A network by hand", "a 2–2–2 network,", "every number followed"),
    ("05", "Gradient checking", "numerical_gradient,", "and a clinic of ten bugs"),
    ("06", "Training on MNIST", "a training loop: 4,000 digits", "learned in seconds"),
    ("07", "The full MNIST", "60,000 digits,", "99 % of new ones read right"),
]
BOX, HEIGHT, GUTTER, ROW = 230, 106, 28, 4  # a chapter's box, the room between boxes, and how many stand in a row


def apples():
    """Two apples at 100 yen and a tax of 10 %: the graph with which chapter 1 begins, with its gradients."""
    price = Value(100, name="apple price", unit="yen")
    count = Value(2, name="apple count", unit="apple")
    tax = Value(1.1, name="tax", unit="unit of tax rate")
    total = ((price * count).named("apples", unit="yen") * tax).named("total", unit="yen")
    total.backward()
    return draw(total)


def course_map():
    """The chapters in order, each with what one builds in it."""
    alt = "The chapters in order. " + " ".join(f"{n} {title}: {' '.join(w)}." for n, title, *w in CHAPTERS)
    width = 2 * MARGIN + ROW * BOX + (ROW - 1) * GUTTER
    rows = -(-len(CHAPTERS) // ROW)  # the last one may not be full
    height = 2 * MARGIN + rows * HEIGHT + (rows - 1) * 2 * GUTTER
    parts = []
    for i, (number, title, *what) in enumerate(CHAPTERS):
        x, y = MARGIN + i % ROW * (BOX + GUTTER), MARGIN + i // ROW * (HEIGHT + 2 * GUTTER)
        if i % ROW:
            way = f"M{x - GUTTER} {y + HEIGHT // 2}H{x - 9}"
        else:  # from the end of one row to the beginning of the next
            way = f"M{width - MARGIN - BOX // 2} {y - 2 * GUTTER}v{GUTTER}H{x + BOX // 2}V{y - 9}"
        head = f"M{x - 1} {y + HEIGHT // 2}l-9 -4.5v9z" if i % ROW else f"M{x + BOX // 2} {y - 1}l-4.5 -9h9z"
        if i:
            parts.append(f'<path d="{way}" fill="none" stroke="{QUIET}" stroke-width="1.6"/>')
            parts.append(f'<path d="{head}" fill="{QUIET}"/>')
        parts.append(
            f'<rect x="{x}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="6" fill="{FILL}" stroke="{QUIET}"/>'
            f'<rect x="{x}" y="{y}" width="6" height="{HEIGHT}" rx="3" fill="{FORWARD}"/>'
        )
        lines = [(26, LARGE, FORWARD, number), (46, LARGE, INK, title)]
        lines += [(70 + j * LINE, SMALL, INK, line) for j, line in enumerate(what)]
        for down, font, colour, line in lines:
            weight = ' font-weight="bold"' if font == LARGE else ""
            place = f'x="{x + 18}" y="{y + down}" font-size="{font}"'
            parts.append(f'<text {place}{weight} fill="{colour}">{escape(line)}</text>')
    return _picture(parts, alt, "Map of the course", width, height)


ANSWER = """\
class SubLayer:
    def forward(self, x, y):
        return x - y

    def backward(self, dout):
        return dout, dout

ch01.subtraction.check(SubLayer)"""
CODE_FONT = "Menlo, Consolas, 'DejaVu Sans Mono', monospace"
CELL, CELL_EDGE, BAD, BAD_EDGE, BAD_INK = "#F7F7F7", "#BDBDBD", "#FDF1F0", "#C9736D", "#842029"
COLUMNS = 98  # characters in a line of feedback


def feedback():
    """A wrong answer to exercise 1.2, and what the check really says to it."""
    names = {"ch01": ch01}
    definition, _, check = ANSWER.rpartition("\n")
    exec(definition, names)
    said = eval(check, names)
    paragraphs = [
        part.splitlines() if part.startswith("    ") else textwrap.wrap(part, COLUMNS)
        for part in repr(said).split("\n\n")
    ]
    answer = ANSWER.splitlines()
    width, top = 720, MARGIN
    middle = top + 24 + LINE * len(answer)
    texts = [_code(MARGIN + 16, top + 26 + LINE * i, line, INK) for i, line in enumerate(answer)]
    y = middle + 42
    for lines in paragraphs:
        for line in lines:
            indented = line.startswith("    ")
            texts.append(_code(MARGIN + 32, y, line.strip(), BAD_INK) if indented else _prose(y, line, said.heading))
            y += LINE
        y += LINE // 2
    height = y + MARGIN - 6
    boxes = [
        (top, middle - top, CELL, CELL_EDGE),
        (middle + 16, height - MARGIN - middle - 16, BAD, BAD_EDGE),
    ]
    alt = f"The class SubLayer, whose backward returns dout, dout, is handed to a check, which says: {said!r}"
    alt = " ".join(alt.split())
    parts = [
        *(
            f'<rect x="{MARGIN}" y="{y}" width="{width - 2 * MARGIN}" height="{high}" rx="4" fill="{fill}" '
            f'stroke="{edge}"/>'
            for y, high, fill, edge in boxes
        ),
        *texts,
    ]
    return _picture(parts, alt, "Feedback to a wrong answer", width, height)


def _picture(parts, alt, title, width, height):
    """The parts of an SVG, in order, on a white page."""
    size = f'width="{width}" height="{height}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} font-family="{FONT}" '
        f'viewBox="0 0 {width} {height}">',
        f"<title>{title}</title>\n<desc>{escape(alt)}</desc>",
        f'<rect {size} rx="8" fill="#FFFFFF"/>',
    ]
    return Picture("\n".join([*head, *parts, "</svg>\n"]), alt, title, width)


def _code(x, y, line, colour):
    style = f'xml:space="preserve" font-family="{CODE_FONT}" font-size="{SMALL}" fill="{colour}"'
    return f'<text x="{x}" y="{y}" {style}>{escape(line)}</text>'


def _prose(y, line, heading):
    """A line of feedback: its heading in bold, and what stands in backticks as code."""
    marked = escape(line).replace(heading, f'<tspan font-weight="bold">{heading}</tspan>')
    marked = re.sub(r"`([^`]+)`", rf'<tspan font-family="{CODE_FONT}">\1</tspan>', marked)
    return f'<text x="{MARGIN + 16}" y="{y}" font-size="{LARGE - 1}" fill="{BAD_INK}">{marked}</text>'


PICTURES = {"apples.svg": apples, "course_map.svg": course_map, "feedback.svg": feedback}


def stale(folder=FOLDER):
    """The names of the pictures that `folder` lacks, or holds in another form than this script gives them."""
    return [
        name
        for name, make in PICTURES.items()
        if not (folder / name).is_file() or (folder / name).read_bytes() != make().svg.encode()
    ]


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        if names := stale():
            sys.exit(f"Out of date in {FOLDER.name}/: {', '.join(names)}. Run: python images/make_images.py")
    else:
        for name, make in PICTURES.items():
            make().save(FOLDER / name)
