"""A recorded graph as a picture: forward values above the arrows, gradients below them.

`draw` lays a graph out from left to right and writes SVG that is the same to the letter on every machine: the width of
a text is estimated here, never asked of a font. Labels get places of their own in the layout, as nodes do, so no arrow
runs through a text.

The method is that of Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures"
(1981): columns by depth, placeholders where long arrows pass, few crossings by barycentres, and then straight arrows.
"""

from __future__ import annotations

import base64
import unicodedata
from dataclasses import dataclass, field
from html import escape
from itertools import accumulate, combinations, pairwise
from math import fsum, sqrt
from pathlib import Path

from course_lib.graph import Value, gradients, topological

FORWARD, BACKWARD, INK, QUIET = "#0072B2", "#BA5200", "#222222", "#595959"  # vermilion, darker: small letters need it
FILL, HALO = "#EEF1F4", "#FCE0C8"  # of a named box, and behind the arrow of the current step
FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
SIGN, LARGE, SMALL, LINE = 20, 15, 13, 18  # font sizes, and the distance between lines of text
BOLD = (LARGE, BACKWARD)  # the size and colour of gradients, which are also set in bold
RADIUS = 17  # of an operation's circle
GAP = 10  # between neighbours in a column
HEAD = 9  # the length of an arrow's head
MARGIN = 18
MOST_NODES = 150


@dataclass(frozen=True, repr=False)
class Picture:
    """An SVG and its text alternative: Jupyter shows it, `save` writes it."""

    svg: str
    alt: str
    title: str
    width: int

    def _repr_html_(self):
        # JupyterLab drops inline SVG from outputs it does not trust yet, and keeps an <img>. A wide picture shrinks to
        # fit, but no further than to three quarters: then the output scrolls.
        data = base64.b64encode(self.svg.encode()).decode()
        style = f"min-width:{self.width * 3 // 4}px"
        return f'<img alt="{escape(self.alt)}" style="{style}" src="data:image/svg+xml;base64,{data}">'

    def __repr__(self):
        return f"Picture({self.title})"

    def save(self, path):
        """Write the SVG to `path`."""
        Path(path).write_text(self.svg, encoding="utf-8", newline="\n")


def draw(value, step=None, digits=6, units=True):
    """The graph that led to `value`, as a Picture.

    Parameters
    ----------
    value : Value
        The output. Its graph may have up to 150 nodes; up to about 30 it is pleasant to read.
    step : int or Value, optional
        How far the backward pass has come. 0 is forward only; step k highlights the k-th of `steps(value)` arrows and
        says what happens there. A Value of the graph stands for the step after which its gradient is known.
        Without it the picture shows all gradients if `value.backward()` was called, and none otherwise.
    digits : int
        Significant digits of the numbers shown.
    units : bool
        Whether the units of inputs and gradients are shown.

    A value used more than once forks at a dot, and each branch carries its own share of the gradient. A plain number
    that arithmetic mixed in is a constant, and its arrow has no labels.
    """
    if not isinstance(value, Value):
        raise TypeError(f"draw shows the graph of a Value, and this is {value!r} of type {type(value).__name__}.")
    backward = step is not None or value.grad is not None
    arrows = _record(value, digits, units, backward)
    walk = [arrow for arrow in arrows if arrow.story]
    if isinstance(step, Value):
        step = next((k for k, arrow in enumerate(walk, 1) if arrow.whole and arrow.source is step), step)
    if step is not None and step not in range(len(walk) + 1):
        raise ValueError(
            f"A step is a whole number from 0 to {len(walk)} here, or a Value of this graph that is no constant; "
            f"it was {step!r}."
        )
    shown = walk[:step] if backward else []
    current = walk[step - 1] if step else None

    title = f"Computational graph of {_references(value, digits)[value]} = {_short(value.data, digits)}"
    alt = _describe(value, {arrow.source for arrow in shown if arrow.whole}, digits)
    below = f"below: ← gradient of {value.name or 'the output'}"
    notes = [[("above an arrow: value", SMALL, FORWARD), (below, SMALL, BACKWARD)]] if backward else []
    stories = []
    if step is not None:
        stories = [f"Step {k} of {len(walk)}: {s}" for k, s in enumerate(["forward only", *(a.story for a in walk)])]
        notes.insert(0, [(stories[step], SMALL, INK)])
        title += f", step {step} of {len(walk)}"
        alt += f" {stories[step]}."

    # A picture is as wide and as high at one step as at any other, so that nothing jumps.
    widest = max(
        [_line_width((s, SMALL, INK)) for s in stories]
        + [sum(_line_width(t) + 20 for t in note) for note in notes]
        + [0]
    )
    edges, width, height = _place(arrows, widest + 2 * MARGIN)
    nodes = dict.fromkeys(cell for arrow in arrows for cell in (arrow.cells[0], arrow.cells[-1]))
    parts = [_arrow_svg(arrow, edges, arrow is current) for arrow in arrows]
    parts += [_node_svg(cell, edges) for cell in nodes if cell.kind != "bend"]
    parts += [_label_svg(arrow.label, edges, arrow in shown) for arrow in walk]
    for i, note in enumerate(notes):
        height += LINE + (8 if i == 0 else 2)
        x = MARGIN
        for line in note:
            parts.append(_text(x, height, line, anchor="start"))
            x += _line_width(line) + 20
    height += MARGIN
    size = f'width="{_px(width)}" height="{_px(height)}"'
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} font-family="{FONT}" '
        f'viewBox="0 0 {_px(width)} {_px(height)}">',
        f"<title>{escape(_clean(title))}</title>",
        f"<desc>{escape(_clean(alt))}</desc>",
        f'<rect {size} rx="8" fill="#FFFFFF"/>',
        *parts,
        "</svg>\n",
    ]
    return Picture("\n".join(svg), _clean(alt), _clean(title), round(width))


def steps(value):
    """How many steps the backward pass through the graph of `value` takes in `draw`: one for each labelled arrow."""
    return sum(bool(arrow.story) for arrow in _record(value, 6, False, True))


def slider(value, **options):
    """A slider that walks the backward pass live, under the cell that calls it; `options` go to `draw`."""
    # Imported only here, so that pictures need nothing beyond Python's own library.
    from ipywidgets import IntSlider, interact

    handle = IntSlider(value=0, min=0, max=steps(value), description="step")
    interact(lambda step: draw(value, step, **options), step=handle)


# --- What there is to draw: cells, and the arrows between them ------------------------------------------------------


@dataclass(eq=False)
class _Cell:
    """One place in the layout: a node, the dot of a fork, the label of an arrow, or a bend where a long arrow passes.

    `lines` are the texts in a node, or above the arrow of a label, and `under` those below it: (text, size, colour).
    """

    kind: str  # "op", "box", "plain", "fork", "label" or "bend"
    column: int
    lines: list = field(default_factory=list)
    under: list = field(default_factory=list)

    def __post_init__(self):
        self.y, self.lefts, self.rights = 0.0, [], []  # the links to the cells on either side
        text = max((_line_width(line) for line in self.lines + self.under), default=0)
        rows, rows_under = len(self.lines) * LINE, len(self.under) * LINE
        # The width, and how far the cell reaches above and below its y.
        self.width, self.top, self.bottom = {
            "op": (max(2 * RADIUS, text + 14), RADIUS, RADIUS),
            "box": (text + 16, rows / 2 + 4, rows / 2 + 4),
            "plain": (text + 6, rows / 2, rows / 2),
            "fork": (8, 4, 4),
            "label": (text + 6, rows + 4, rows_under + 4),
            "bend": (0, 0, 0),
        }[self.kind]


@dataclass(eq=False)
class _Link:
    """The part of an arrow between neighbouring columns."""

    left: _Cell
    right: _Cell
    rank: float = 0.0  # orders the inputs of a node whose inputs must not change places: between -0.5 and 0.5
    port: float = 0.0  # where the arrow meets the right cell, in pixels below its middle

    def __post_init__(self):
        self.left.rights.append(self)
        self.right.lefts.append(self)


@dataclass(eq=False)
class _Arrow:
    """An arrow between the cells of two nodes, by way of bends and, just before its end, its label.

    A `whole` arrow carries all of its source's gradient, the branch of a fork only its share. `story` says what happens
    there in the backward pass; the arrows of constants have none.
    """

    source: Value
    cells: list
    whole: bool
    story: str

    def __post_init__(self):
        self.label = self.cells[-2]
        self.links = [_Link(left, right) for left, right in pairwise(self.cells)]


def _record(output, digits, units, backward):
    """The arrows of the graph, in the order in which the backward pass takes them."""
    order, grads = topological(output), gradients(output)
    if len(order) > MOST_NODES:
        raise ValueError(
            f"This graph has {len(order)} nodes, and a picture shows up to {MOST_NODES}: draw a part of it, "
            "or make one node of several with course_lib.graph.node."
        )
    shares = {v: [] for v in order}  # the gradient that arrives from each use
    columns = {output: 0}  # each node stands as far right as its uses allow; every second column is for labels
    for v in reversed(order):
        columns[v] -= 2 * (len(shares[v]) > 1)  # a fork's dot stands between the node and its uses
        for x, local in zip(v.inputs, v.local_gradients, strict=True):
            if not x.constant:
                shares[x].append(grads[v] * local)
            columns[x] = min(columns.get(x, 0), columns[v] - 2)
    first = min(columns.values())
    nodes = {v: _node(v, columns[v] - first, units, digits) for v in order}
    ends = {v: _Cell("fork", nodes[v].column + 2) if len(shares[v]) > 1 else nodes[v] for v in order}

    def arrow(source, start, end, gradient, whole, story):
        value = (_short(source.data, digits), LARGE, FORWARD)
        if source.constant:  # a plain number at each use, in place of a label
            return _Arrow(source, [_Cell("plain", end.column - 1, [(value[0], LARGE, QUIET)]), end], whole, "")
        name = [(source.name, SMALL, INK)] if source.op and source.name and whole and source is not output else []
        under = [(f"← {_short(gradient, digits)}", *BOLD)] if backward else []
        if backward and units and whole and source.grad_unit(output):
            under.append((source.grad_unit(output), SMALL, BACKWARD))
        bends = [_Cell("bend", column) for column in range(start.column + 1, end.column - 1)]
        return _Arrow(source, [start, *bends, _Cell("label", end.column - 1, [*name, value], under), end], whole, story)

    named = output.op and output.name
    end = _Cell("bend", nodes[output].column + 2)
    if named:
        end = _Cell("box", end.column, [(output.name, LARGE, INK), *_unit(output, units)])
    story = "the gradient of the output with respect to itself is 1"
    arrows = [arrow(output, nodes[output], end, 1.0, True, story)]
    for v in reversed(order):
        upstream = _short(grads[v], digits)
        if ends[v] is not nodes[v]:
            story = f"at the fork, {' + '.join(_short(share, digits) for share in shares[v])} = {upstream}"
            arrows.append(arrow(v, nodes[v], ends[v], grads[v], True, story))
        for x, local in zip(v.inputs, v.local_gradients, strict=True):
            share = grads[v] * local
            story = f"through {v.op}, {upstream} times local gradient {_short(local, digits)} = {_short(share, digits)}"
            arrows.append(arrow(x, ends[x], nodes[v], share, ends[x] is nodes[x], story))
    return arrows


def _node(value, column, units, digits):
    if value.op:
        return _Cell("op", column, [(value.op, LARGE if len(value.op) > 1 else SIGN, INK)])
    return _Cell("box", column, [(value.name or _short(value.data, digits), LARGE, INK), *_unit(value, units)])


def _unit(value, units):
    return [(f"({value.unit})", SMALL, QUIET)] if units and value.unit else []


# --- Where it goes ----------------------------------------------------------------------------------------------------


def _place(arrows, least_width):
    """Set the y of every cell; return the left and right edge of every column, the width and the height of it all."""
    rows = _columns_of_cells(arrows)
    cells = [cell for row in rows for cell in row]
    ordered = [cell for cell in cells if cell.kind == "op" and cell.lines[0][0] not in ("+", "×")]
    for cell in ordered:
        for i, link in enumerate(cell.lefts):
            link.rank = (i + 0.5) / len(cell.lefts) - 0.5
    _reduce_crossings(rows)
    for cell in cells:
        if cell.kind == "op" and len(cell.lefts) > 1:
            links = sorted(cell.lefts, key=lambda link: (link.rank, rows[link.left.column].index(link.left)))
            for i, link in enumerate(links):
                link.port = RADIUS * min(0.85, 0.3 + 0.15 * len(links)) * (2 * i / (len(links) - 1) - 1)
    _set_heights(rows)

    top = MARGIN - min(cell.y - cell.top for cell in cells)
    for cell in cells:
        cell.y += top
    edges, x = [], float(MARGIN)
    for row in rows:
        edges.append((x, x + max((cell.width for cell in row), default=0)))
        steepest = max((abs(link.left.y - link.right.y - link.port) for cell in row for link in cell.rights), default=0)
        x = edges[-1][1] + min(6 + 0.4 * steepest, 26) + HEAD * (len(edges) % 2 == 0)
    width = edges[-1][1] + MARGIN
    shift = max(0.0, least_width - width) / 2
    height = max(cell.y + cell.bottom for cell in cells)
    return [(left + shift, right + shift) for left, right in edges], width + 2 * shift, height


def _columns_of_cells(arrows):
    """The cells, column by column, each from top to bottom in the order in which the formula names them."""
    end = arrows[0].cells[-1]
    rows, seen, waiting = [[] for _ in range(end.column + 1)], set(), [end]
    while waiting:
        cell = waiting.pop()
        if cell not in seen:
            seen.add(cell)
            rows[cell.column].append(cell)
            waiting.extend(link.left for link in reversed(cell.lefts))
    return rows


def _reduce_crossings(rows):
    """Reorder every column so that few arrows cross: by barycentres first, then by changing places with a neighbour."""
    place = {cell: i for row in rows for i, cell in enumerate(row)}

    def end(link):
        return place[link.right] + link.rank

    def crossings():
        ends = [[(place[link.left], end(link)) for cell in row for link in cell.rights] for row in rows]
        return sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for row in ends for a, b in combinations(row, 2))

    def tangles(upper, lower):
        right = sum(end(a) > end(b) for a in upper.rights for b in lower.rights)
        return right + sum(place[a.left] > place[b.left] for a in upper.lefts for b in lower.lefts)

    def settle(row):
        for i, cell in enumerate(row):
            place[cell] = i

    fewest, best = crossings(), [list(row) for row in rows]
    for sweep in range(12):
        if fewest == 0:
            break
        rightward = sweep % 2

        def barycentre(cell, rightward=rightward):
            lefts, rights = cell.lefts if rightward or not cell.rights else [], cell.rights
            if lefts:
                return fsum((place[a.left] + 0.5) / len(rows[a.left.column]) for a in lefts) / len(lefts)
            return fsum((end(a) + 0.5) / len(rows[a.right.column]) for a in rights) / len(rights)

        for row in rows if rightward else rows[::-1]:
            row.sort(key=barycentre)
            settle(row)
        allowed, improved = sweep % 4 // 2, True  # in every second round trip also swap those that make no difference
        while improved:
            improved = False
            for row in rows:
                for i in range(len(row) - 1):
                    upper, lower = row[i : i + 2]
                    gain = tangles(upper, lower) - tangles(lower, upper)
                    if gain + allowed > 0:
                        row[i : i + 2] = lower, upper
                        settle(row)
                        improved |= gain > 0
            allowed = 0
        if crossings() < fewest:
            fewest, best = crossings(), [list(row) for row in rows]
    for row, order in zip(rows, best, strict=True):
        row[:] = order


def _set_heights(rows):
    """Give every cell its y: near the cells it is linked with, in the order of its column, and in line with its rail.

    Each round moves the cells of a column to where they wish to be, as far as the others let them: least squares under
    an order, which pooling adjacent violators solves exactly (Barlow et al., *Statistical Inference under Order
    Restrictions*, 1972). In the first rounds rails move as a whole to where their ends pull them; in the last they
    straighten where they are.
    """
    rails = _rails(rows)
    # How far below its column's first cell each cell stands, when all stand as close as they may.
    depths = [list(accumulate((_distance(a, b) for a, b in pairwise(row)), initial=0.0))[: len(row)] for row in rows]
    for sweep in range(120):
        wishes = {}
        for rail in rails:
            # A node stands in the middle of its inputs, more or less: they pull three times as strongly.
            pulls = 3 * [a.left.y - a.port for cell in rail for a in cell.lefts if a.left not in rail]
            pulls += [a.right.y + a.port for cell in rail for a in cell.rights if a.right not in rail]
            here = fsum(cell.y for cell in rail) / len(rail)
            if sweep < 80 and pulls:
                here = (here + fsum(pulls) / len(pulls)) / 2  # only halfway, or two could change places for ever
            wishes.update(dict.fromkeys(rail, (here, len(rail))))
        for row, offsets in zip(rows, depths, strict=True):
            blocks = []  # a block is a run of touching cells: [wish, weight, how many]
            for cell, offset in zip(row, offsets, strict=True):
                blocks.append([wishes[cell][0] - offset, wishes[cell][1], 1])
                while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
                    (y1, w1, n1), (y2, w2, n2) = blocks[-2:]
                    blocks[-2:] = [[(y1 * w1 + y2 * w2) / (w1 + w2), w1 + w2, n1 + n2]]
            resting = [y for y, _, count in blocks for _ in range(count)]
            for cell, y, offset in zip(row, resting, offsets, strict=True):
                cell.y = y + offset
    upper = {b: a for row in rows for a, b in pairwise(row)}
    lower = {a: b for row in rows for a, b in pairwise(row)}
    for rail in rails:
        y = fsum(cell.y for cell in rail) / len(rail)
        least = max([upper[c].y + _distance(upper[c], c) for c in rail if c in upper], default=y)
        most = min([lower[c].y - _distance(c, lower[c]) for c in rail if c in lower], default=y)
        if least <= most:
            for cell in rail:
                cell.y = min(max(y, least), most)


def _distance(upper, lower):
    """How far apart the middles of two cells are at least, one below the other."""
    return upper.bottom + GAP + lower.top


def _rails(rows):
    """Lists of cells that should stand in a line, since nothing comes in or goes out between them; longest first."""
    rails = {}
    for cell in (cell for row in rows for cell in row):
        before = cell.lefts[0].left if len(cell.lefts) == 1 else None
        rails[cell] = rails[before] if before and len(before.rights) == 1 else []
        rails[cell].append(cell)
    return sorted((rail for cell, rail in rails.items() if cell is rail[0]), key=len, reverse=True)


# --- What it looks like -----------------------------------------------------------------------------------------------


def _arrow_svg(arrow, edges, current):
    start, end, port = arrow.cells[0], arrow.cells[-1], arrow.links[-1].port
    d = f"M{_px(_middle(start, edges) + start.width / 2)} {_px(start.y)}"
    for link in arrow.links:
        x1, y1 = edges[link.left.column][1], link.left.y
        x2, y2 = edges[link.right.column][0] - HEAD * (link.right.column % 2 == 0), link.right.y + link.port
        half = _px((x1 + x2) / 2)
        curve = f" C{half} {_px(y1)} {half} {_px(y2)} {_px(x2)} {_px(y2)}" if abs(y2 - y1) > 0.1 else ""
        d += f" H{_px(x1)}{curve}"
    tip = _middle(end, edges) - end.width / 2 + (RADIUS - sqrt(RADIUS**2 - port**2) if end.kind == "op" else 0)
    head = f'<path d="M{_px(tip)} {_px(end.y + port)}l-{HEAD} -4.5v9z" fill="{QUIET}"/>'
    if end.kind == "fork":  # it is where the arrow divides, not where it ends
        tip, head = tip + HEAD, ""
    d += f" H{_px(tip - HEAD + 1)}"
    halo = f'<path d="{d}" fill="none" stroke="{HALO}" stroke-width="11" stroke-linecap="round"/>' if current else ""
    return f'<g class="arrow">{halo}<path d="{d}" fill="none" stroke="{QUIET}" stroke-width="1.6"/>{head}</g>'


def _node_svg(cell, edges):
    x, y = _middle(cell, edges), cell.y
    place = (
        f'x="{_px(x - cell.width / 2)}" y="{_px(y - cell.top)}" width="{_px(cell.width)}" height="{_px(2 * cell.top)}"'
    )
    shape = {
        "op": f'<rect {place} rx="{RADIUS}" fill="#FFFFFF" stroke="{INK}" stroke-width="1.4"/>',
        "box": f'<rect {place} rx="5" fill="{FILL}" stroke="{QUIET}" stroke-width="1.2"/>',
        "fork": f'<circle cx="{_px(x)}" cy="{_px(y)}" r="4" fill="{INK}"/>',
        "plain": "",
    }[cell.kind]
    lines = enumerate(cell.lines)
    texts = [_text(x, y + (i - (len(cell.lines) - 1) / 2) * LINE + 0.35 * line[1], line) for i, line in lines]
    return f'<g class="node">{shape}{"".join(texts)}</g>'


def _label_svg(cell, edges, backward):
    x = _middle(cell, edges)
    texts = [_text(x, cell.y - 7 - i * LINE, line) for i, line in enumerate(reversed(cell.lines))]
    if backward:
        texts += [_text(x, cell.y + 17 + i * LINE, line) for i, line in enumerate(cell.under)]
    return f'<g class="label">{"".join(texts)}</g>'


def _text(x, y, line, anchor="middle"):
    text, size, colour = line
    place = f'x="{_px(x)}" y="{_px(y)}" text-anchor="{anchor}"'
    weight = ' font-weight="bold"' if line[1:] == BOLD else ""
    return f'<text {place} font-size="{size}"{weight} fill="{colour}">{escape(_clean(text))}</text>'


def _middle(cell, edges):
    return (edges[cell.column][0] + edges[cell.column][1]) / 2


def _px(x):
    """A coordinate, to a tenth of a pixel: 12, 12.5."""
    return f"{round(x, 1) + 0.0:.1f}".removesuffix(".0")


def _short(x, digits):
    """A number with so many significant digits, and a typographic minus: 220, −0.5."""
    return f"{x + 0.0:.{digits}g}".replace("-", "−")


def _clean(text):
    """One line of characters that XML may hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _line_width(line):
    """The width of a line of text in pixels, rather too large than too small for any common sans-serif font."""
    text, size, _ = line
    ems = 0.0
    for c in _clean(text):
        if unicodedata.east_asian_width(c) in "WF":
            ems += 1.1
        elif c in "ijltfrI.,:;'|!()[]/- ":
            ems += 0.42
        elif c in "mwMW@%+<>=~#&_" or not c.isascii():
            ems += 1.0
        else:
            ems += 0.79 if c.isupper() else 0.64
    return ems * size * (1.1 if line[1:] == BOLD else 1)


# --- What it says to those who hear it --------------------------------------------------------------------------------


def _references(output, digits):
    """What to call each node in a sentence: by its name, its number, or as result 1, result 2, ..."""
    called, results = {}, 0
    for v in topological(output):
        if v.op and not v.name:
            results += 1
        called[v] = v.name or (f"result {results}" if v.op else _short(v.data, digits))
    return called


def _describe(output, known, digits):
    """The picture in words; of the gradients, those of the nodes in `known`."""
    order, grads, called = topological(output), gradients(output), _references(output, digits)

    def quantity(v):
        unit = f" ({v.unit})" if v.unit else ""
        return f"{called[v]} = {_short(v.data, digits)}{unit}" if v.name or v.op else called[v]

    inputs = [quantity(v) for v in order if not v.op and not v.constant]
    made = [
        f"{' and '.join(called[x] for x in v.inputs)} {'go' if len(v.inputs) > 1 else 'goes'} into {v.op}, "
        f"giving {quantity(v)}"
        for v in order
        if v.op
    ]
    text = f"Computational graph. Inputs: {', '.join(inputs) or 'none'}. Forward: {'; '.join(made) or 'nothing'}."
    if known:
        slopes = [
            f"{called[v]}: {_short(grads[v], digits)}{' ' + unit if (unit := v.grad_unit(output)) else ''}"
            for v in reversed(order)
            if v in known
        ]
        text += f" Backward, the gradients of {called[output]} with respect to: {'; '.join(slopes)}."
    return text
