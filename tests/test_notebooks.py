"""The hygiene of every notebook and of every link: what nbval does not see, and what would embarrass a stored chapter.

Each rule is a function that yields what it finds wrong. The second half of this file breaks every rule once, in a
notebook made for it, and holds that this rule, and no other, speaks up.
"""

import copy
import re
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = sorted(p for p in ROOT.rglob("*.md") if not any(part.startswith(".") for part in p.relative_to(ROOT).parts))

TAGS = {"nbval-ignore-output", "raises-exception"}
# What JupyterLab shows of a notebook whose outputs it does not trust yet.
MIME_TYPES = {"text/plain", "text/html", "text/markdown", "text/latex", "image/png"}
MOST_IGNORED = 3  # cells whose output nbval does not compare
MOST_LINES = 15  # in a code cell
RULES = {}


def rule(function):
    RULES[function.__name__] = function
    return function


def problems(notebook, path):
    return [f"{name}: {problem}" for name, check in RULES.items() for problem in check(notebook, path)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_hygiene(path):
    found = problems(nbformat.read(path, as_version=4), path)
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_pages(path):
    text = path.read_text(encoding="utf-8")
    found = [*dead_links(text, path), *images_without_alt(text)]
    assert not found, "\n".join(["", *found])


# --- reading -----------------------------------------------------------------------------------------------


def cells(notebook, kind=None):
    """(label, cell) for each cell, or each of one kind; the label is what a person would look for."""
    for number, cell in enumerate(notebook.cells, 1):
        if kind in (None, cell.cell_type):
            first_line = cell.source.strip().partition("\n")[0][:50]
            yield f"cell {number} ({first_line!r})", cell


def code(notebook):
    return [(label, cell) for label, cell in cells(notebook, "code") if cell.source.strip()]


def outputs(notebook):
    return [(label, output) for label, cell in cells(notebook, "code") for output in cell.outputs]


def texts(notebook):
    """Everything in it that a person could read: sources and outputs, but no base64 of pictures."""
    for label, cell in cells(notebook):
        yield label, cell.source
    for label, output in outputs(notebook):
        yield label, output.get("text", "") + "\n".join(output.get("traceback", []))
        for mime, data in output.get("data", {}).items():
            if mime.startswith("text/"):
                yield label, re.sub(r"base64,[A-Za-z0-9+/=]+", "base64,", data)


def prose(text):
    """Markdown without its code, in which brackets are no links and hashes no headings."""
    text = re.sub(r"^ *(```|~~~).*?^ *\1 *$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", lambda m: "x" * len(m[0]), text)


IMAGE = re.compile(r"!\[([^\]]*)\]\(\s*<?([^)\s>]+)>?[^)]*\)")
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])+\]\(\s*<?([^)\s>]+)>?[^)]*\)")
DEFINITION = re.compile(r"^ {0,3}\[[^\]^]+\]:\s+<?(\S+?)>?\s*$", re.MULTILINE)
ATTRIBUTE = re.compile(r"""<(?:a|img)\b[^>]*?\b(?:href|src)\s*=\s*["']([^"']+)["']""", re.IGNORECASE)


def targets(text):
    text = prose(text)
    yield from (target for _, target in IMAGE.findall(text))
    text = IMAGE.sub("picture", text)  # a picture may itself be a link
    for pattern in (LINK, DEFINITION, ATTRIBUTE):
        yield from pattern.findall(text)


def images_without_alt(text):
    for alt, target in IMAGE.findall(prose(text)):
        if not alt.strip():
            yield f"the image {target[:60]} has no alt text"
    for tag in re.findall(r"<img\b[^>]*>", prose(text), flags=re.IGNORECASE):
        if not re.search(r"""\balt\s*=\s*["'][^"']*[^"'\s]""", tag):
            yield f"{tag[:60]} has no alt text"


def dead_links(text, path):
    for target in targets(text):
        if re.match(r"(https?|mailto|data|attachment):", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists() or not there.is_relative_to(ROOT):
            yield f"the link {target} leads nowhere"
        elif anchor and anchor not in anchors(there):
            yield f"the link {target} names a heading that is not there"


def anchors(path):
    """JupyterLab's names of the headings of a notebook, and GitHub's of those of a page."""
    if path.suffix == ".ipynb":
        text = "\n\n".join(cell.source for _, cell in cells(nbformat.read(path, as_version=4), "markdown"))
    else:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    own = re.findall(r"""\b(?:id|name)\s*=\s*["']([^"']+)["']""", prose(text))
    outside = re.sub(r"^ *(```|~~~).*?^ *\1 *$", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = [heading.strip() for heading in re.findall(r"^#{1,6} +(.*?)[ #]*$", outside, re.MULTILINE)]
    plain = [re.sub(r"[`*]|<[^>]*>", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)) for heading in headings]
    if path.suffix == ".ipynb":
        return {*own, *(heading.replace(" ", "-") for heading in plain)}
    return {*own, *(re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in plain)}


# --- the rules ---------------------------------------------------------------------------------------------


@rule
def executed(notebook, path):
    """A cell that never ran is a cell that nbval does not compare."""
    for wanted, (label, cell) in enumerate(code(notebook), 1):
        if cell.execution_count != wanted:
            yield f"{label} has the execution count {cell.execution_count}, not {wanted}"
    for label, output in outputs(notebook):
        if output.output_type == "execute_result" and output.execution_count is None:
            yield f"{label} has a result without an execution count"


@rule
def no_stderr(notebook, path):
    for label, output in outputs(notebook):
        if output.get("name") == "stderr":
            yield f"{label} has text on stderr: {output.text.strip()[:60]}"


@rule
def errors_are_meant(notebook, path):
    for label, cell in code(notebook):
        failed = any(output.output_type == "error" for output in cell.outputs)
        if failed and "raises-exception" not in cell.metadata.get("tags", []):
            yield f"{label} ended in an error and is not tagged raises-exception"


@rule
def only_known_tags(notebook, path):
    """A misspelt tag is ignored in silence, and a comment NBVAL_... is a tag that the next rule would not count."""
    for label, cell in cells(notebook):
        for tag in cell.metadata.get("tags", []):
            if tag not in TAGS or cell.cell_type != "code":
                yield f"{label} has the tag {tag}; code cells may have {' or '.join(sorted(TAGS))}"
        if cell.cell_type == "code" and re.search(r"^\s*#+\s*(NBVAL_|PYTEST_VALIDATE_)", cell.source, re.MULTILINE):
            yield f"{label} speaks to nbval in a comment; use a tag"


@rule
def few_outputs_are_ignored(notebook, path):
    ignored = [label for label, cell in cells(notebook) if "nbval-ignore-output" in cell.metadata.get("tags", [])]
    if len(ignored) > MOST_IGNORED:
        yield f"{len(ignored)} cells are tagged nbval-ignore-output, at most {MOST_IGNORED}: {', '.join(ignored)}"


@rule
def images_have_alt_text(notebook, path):
    for label, cell in cells(notebook, "markdown"):
        yield from (f"{label}: {problem}" for problem in images_without_alt(cell.source))
    for label, output in outputs(notebook):
        shown = output.get("data", {}).get("text/html", "")
        yield from (f"{label}, output: {problem}" for problem in images_without_alt(shown))


@rule
def links_lead_somewhere(notebook, path):
    for label, cell in cells(notebook, "markdown"):
        yield from (f"{label}: {problem}" for problem in dead_links(cell.source, path))


@rule
def no_more_metadata_than_needed(notebook, path):
    """No widget state, no versions, no times of execution, no collapsed cells."""
    if set(notebook.metadata) != {"kernelspec", "language_info"}:
        yield f"the notebook has the metadata {', '.join(notebook.metadata)}; wanted are kernelspec, language_info"
    elif notebook.metadata.language_info != {"name": "python"} or notebook.metadata.kernelspec.name != "python3":
        yield f"kernel and language are {notebook.metadata.kernelspec.name}, {dict(notebook.metadata.language_info)}"
    for label, cell in cells(notebook):
        if extra := set(cell.metadata) - {"tags"}:
            yield f"{label} has the metadata {', '.join(sorted(extra))}"


@rule
def outputs_survive_an_untrusted_opening(notebook, path):
    """Until the learner runs them, JupyterLab shows neither SVG nor widgets nor scripts."""
    for label, output in outputs(notebook):
        for mime, data in output.get("data", {}).items():
            if mime not in MIME_TYPES:
                yield f"{label} has an output of type {mime}"
            elif mime == "text/html" and re.search(r"<(svg|script|style|iframe)\b", data):
                yield f"{label} has HTML that JupyterLab removes: {re.search(r'<(svg|script|style|iframe)', data)[0]}>"


@rule
def no_absolute_paths(notebook, path):
    pattern = r"(?<![\w.:/~-])/(?:home|root|work|Users|tmp|private|opt|usr|var|mnt)/|\b[A-Z]:\\\w|file://"
    for label, text in texts(notebook):
        if match := re.search(pattern, text):
            yield f"{label} holds a path of one machine: {text[match.start() :][:40]!r}"


@rule
def no_registry_addresses(notebook, path):
    for label, text in texts(notebook):
        if match := re.search(r"pypi\.|pythonhosted|anaconda\.(org|com)|--(extra-)?index-url|npmjs", text):
            yield f"{label} holds the address of a package registry: {match[0]}"


@rule
def outputs_repeat_on_every_machine(notebook, path):
    """NumPy 1 and 2 print scalars differently, and no address in memory is like another."""
    for label, output in outputs(notebook):
        text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
        if match := re.search(r"np\.(float|int|uint|bool|str)\w*\(|\b0x[0-9a-f]{6,}", text):
            yield f"{label} shows {match[0]}"


@rule
def cells_are_short(notebook, path):
    for label, cell in code(notebook):
        if (lines := len(cell.source.strip().splitlines())) > MOST_LINES:
            yield f"{label} has {lines} lines, at most {MOST_LINES}"


@rule
def prose_between_code(notebook, path):
    labelled = list(cells(notebook))
    for label, *three in zip((label for label, _ in labelled), *(notebook.cells[i:] for i in range(3)), strict=False):
        if all(cell.cell_type == "code" for cell in three):
            yield f"{label} begins three code cells in a row"


@rule
def one_title(notebook, path):
    titles = [
        (label, title)
        for label, cell in cells(notebook, "markdown")
        for title in re.findall(r"^# .*|<h1\b.*", prose(cell.source), re.MULTILINE | re.IGNORECASE)
    ]
    if len(titles) != 1:
        yield f"there are {len(titles)} titles (H1), not one: {titles}"
    elif not notebook.cells[0].source.startswith("# "):
        yield "the first cell does not begin with the title"


@rule
def code_is_honest(notebook, path):
    for label, cell in code(notebook):
        if re.search(r"\bsys\s*\.\s*path\b", cell.source):
            yield f"{label} uses sys.path"
        if re.search(r"^\s*from\s+\S+\s+import\s+\*", cell.source, re.MULTILINE):
            yield f"{label} has a star import"


@rule
def boxes_survive_jupyterlab(notebook, path):
    for label, cell in cells(notebook, "markdown"):
        for pattern, why in {
            r"\balert-warning\b": "alert-warning is too pale to read",
            r'class="alert [\w-]+"(?! style="color: #222222")': "the dark theme needs dark letters in a box",
            r"^>\s*\[!\w+\]|^:::": "this kind of box is shown raw",
            r"^\s*[-*] \[[ x]\] ": "task lists are shown raw",
            r"background(-color)?\s*:": "a background colour breaks the dark theme",
        }.items():
            if re.search(pattern, prose(cell.source), re.MULTILINE):
                yield f"{label}: {why}"


# --- the rules, broken one by one --------------------------------------------------------------------------

PNG = "iVBORw0KGgo/tmp/AAAA"


@pytest.fixture
def good(tmp_path, monkeypatch):
    """A small notebook without a fault, in a small repository: (notebook, its path)."""
    monkeypatch.setattr("test_notebooks.ROOT", tmp_path)
    for folder in ("notebooks", "images"):
        (tmp_path / folder).mkdir()
    (tmp_path / "images" / "a b.png").write_bytes(b"")
    (tmp_path / "README.md").write_text("# A course: *for* you\n\n```\n# no heading\n```\n<a id='own'></a>")
    v4 = nbformat.v4
    shown = v4.new_output("display_data", data={"image/png": PNG, "text/plain": "<Figure size 640x360 with 1 Axes>"})
    html = '<img alt="a graph" src="data:image/svg+xml;base64,AAAA/tmp/AAAA">'
    notebook = v4.new_notebook(
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        cells=[
            v4.new_markdown_cell(
                "# Learn a `thing`\n\n[itself](#Learn-a-thing), [one](#Two-words), ![a picture](../images/a%20b.png)"
                "\n\n[page](../README.md#a-course-for-you) and [own](../README.md#own), <https://example.org/tmp/x>, "
                "[![badge](../images/a%20b.png)](https://example.org), <img src='../images/a%20b.png' alt='same'>"
                "\n\n```python\n# no title\n[no](link)\n```\nnor `[this](one)`, nor ``![](`that`)``"
            ),
            v4.new_code_cell("print(1)", execution_count=1, outputs=[v4.new_output("stream", text="1\n")]),
            v4.new_code_cell(
                "draw()\n" * MOST_LINES,
                execution_count=2,
                outputs=[shown, v4.new_output("execute_result", data={"text/html": html}, execution_count=2)],
            ),
            v4.new_markdown_cell("## Two *words*\n\n### Three"),
            v4.new_code_cell(
                "1 / 0", execution_count=3, metadata={"tags": ["raises-exception"]}, outputs=[v4.new_output("error")]
            ),
            v4.new_code_cell(""),
        ],
    )
    path = tmp_path / "notebooks" / "01_good.ipynb"
    nbformat.write(notebook, path)
    return notebook, path


def test_the_good_notebook_is_good(good):
    assert problems(*good) == []
    assert len(RULES) >= 16


def output_text(text):
    return lambda nb: nb.cells[1].outputs[0].update(text=text)


def markdown(text):
    return lambda nb: nb.cells[3].update(source=nb.cells[3].source + "\n\n" + text)


def source(text):
    return lambda nb: nb.cells[1].update(source=text)


def data(**changes):
    return lambda nb: nb.cells[2].outputs[0].data.update({k.replace("_", "/", 1): v for k, v in changes.items()})


def tagged(*tags, cell=1):
    return lambda nb: nb.cells[cell].metadata.update(tags=list(tags))


def four_ignored(nb):
    for _ in range(4):
        nb.cells += [nbformat.v4.new_markdown_cell("And:"), copy.deepcopy(nb.cells[1])]
        nb.cells[-1].metadata.tags = ["nbval-ignore-output"]
    for number, cell in enumerate([c for c in nb.cells if c.cell_type == "code" and c.source], 1):
        cell.execution_count = number


BROKEN = [
    ("executed", lambda nb: nb.cells[2].update(execution_count=None)),
    ("executed", lambda nb: nb.cells[2].update(execution_count=7)),
    ("executed", lambda nb: [cell.update(execution_count=None) for cell in nb.cells]),  # a stripped notebook
    ("executed", lambda nb: nb.cells[2].outputs[1].update(execution_count=None)),
    ("no_stderr", lambda nb: nb.cells[1].outputs[0].update(name="stderr")),
    ("errors_are_meant", tagged(cell=4)),
    ("only_known_tags", tagged("nbval-ignore-outputs")),
    ("only_known_tags", tagged("nbval-skip")),
    ("only_known_tags", tagged("nbval-ignore-output", cell=0)),
    ("only_known_tags", source("# NBVAL_IGNORE_OUTPUT\nprint(1)")),
    ("few_outputs_are_ignored", four_ignored),
    ("images_have_alt_text", markdown("![](../images/a%20b.png)")),
    ("images_have_alt_text", markdown("<img src='../images/a%20b.png'>")),
    ("images_have_alt_text", markdown("<img src='../images/a%20b.png' alt=' '>")),
    ("images_have_alt_text", data(text_html="<img src='data:image/png;base64,AAAA'>")),
    ("links_lead_somewhere", markdown("[next](02_none.ipynb)")),
    ("links_lead_somewhere", markdown("[next][2]\n\n[2]: 02_none.ipynb")),
    ("links_lead_somewhere", markdown("[up](#learn-a-thing)")),  # JupyterLab keeps the case
    ("links_lead_somewhere", markdown("[page](../README.md#no-heading)")),
    ("links_lead_somewhere", markdown("![a picture](../images/none.png)")),
    ("links_lead_somewhere", markdown("<a href='none.html'>there</a>")),
    ("links_lead_somewhere", markdown("[outside](../..)")),
    ("links_lead_somewhere", markdown("[two\nlines](none.ipynb 'title')")),
    ("no_more_metadata_than_needed", lambda nb: nb.metadata.update(widgets={})),
    ("no_more_metadata_than_needed", lambda nb: nb.metadata.language_info.update(version="3.11.7")),
    ("no_more_metadata_than_needed", lambda nb: nb.metadata.kernelspec.update(name="course")),
    ("no_more_metadata_than_needed", lambda nb: nb.cells[1].metadata.update(execution={"iopub.execute_input": "2026"})),
    ("no_more_metadata_than_needed", lambda nb: nb.cells[0].metadata.update(collapsed=True)),
    ("outputs_survive_an_untrusted_opening", data(**{"image_svg+xml": "<svg/>"})),
    ("outputs_survive_an_untrusted_opening", data(**{"application_vnd.jupyter.widget-view+json": {}})),
    ("outputs_survive_an_untrusted_opening", data(text_html="<svg width='3'></svg>")),
    ("no_absolute_paths", output_text("read from /home/someone/data\n")),
    ("no_absolute_paths", output_text('File "/tmp/x.py", line 1\n')),
    ("no_absolute_paths", output_text(r"C:\Users")),
    ("no_absolute_paths", source("open('/work/data.csv')")),
    ("no_absolute_paths", data(text_plain="file:///x")),
    ("no_absolute_paths", lambda nb: nb.cells[4].outputs[0].update(traceback=["in /usr/lib/python3/x.py"])),
    ("no_registry_addresses", markdown("`pip install --index-url https://example.org`")),
    ("no_registry_addresses", output_text("Looking in https://pypi.example\n")),
    ("outputs_repeat_on_every_machine", output_text("[np.float64(0.5)]\n")),
    ("outputs_repeat_on_every_machine", data(text_plain="<Thing at 0x7f0a1b2c3d4e>")),
    ("cells_are_short", source("x = 1\n" * (MOST_LINES + 1))),
    ("prose_between_code", lambda nb: nb.cells.insert(2, nbformat.v4.new_code_cell(""))),
    ("one_title", markdown("# Another")),
    ("one_title", markdown("<h1>Another</h1>")),
    ("one_title", lambda nb: nb.cells.insert(0, nbformat.v4.new_markdown_cell("Before."))),
    ("code_is_honest", source("import sys\nsys.path.insert(0, '..')")),
    ("code_is_honest", source("if True:\n    from numpy import *")),
    ("boxes_survive_jupyterlab", markdown('<div class="alert alert-warning">\n\nNo.\n\n</div>')),
    ("boxes_survive_jupyterlab", markdown('<div class="alert alert-info">\n\nNo.\n\n</div>')),
    ("boxes_survive_jupyterlab", markdown("> [!NOTE]\n> No.")),
    ("boxes_survive_jupyterlab", markdown("- [ ] to do")),
    ("boxes_survive_jupyterlab", markdown('<p style="background: #ffc">No.</p>')),
]


@pytest.mark.parametrize(("name", "breaking"), BROKEN, ids=[f"{i}-{name}" for i, (name, _) in enumerate(BROKEN)])
def test_each_rule_speaks_up_alone(good, name, breaking):
    notebook, path = good
    breaking(notebook)
    found = problems(notebook, path)
    assert found, "nothing was found"
    assert {problem.partition(":")[0] for problem in found} == {name}, found


def test_every_rule_is_broken_once():
    assert {name for name, _ in BROKEN} == set(RULES)


PAGE_TEXTS = {
    "[x](README.md)": 0,
    "[x](none.md)": 1,
    "![](README.md)": 1,
    "[x](#heading)": 1,
    "# Heading\n[x](#heading)": 0,
}


@pytest.mark.parametrize(("text", "count"), PAGE_TEXTS.items())
def test_the_links_of_a_page_are_checked(good, text, count):
    path = good[1].parents[1] / "page.md"
    path.write_text(text)
    (path.parent / "README.md").write_text("")
    assert len([*dead_links(text, path), *images_without_alt(text)]) == count


def test_readme_lists_the_chapters_as_they_call_themselves():
    """README's table: each chapter's own title, and the minutes that it says it takes."""
    row = re.compile(r"^\| \d \| \[(.+)\]\((.+)\) \| .+ \| ([\d +]+) \| [\d +]+ \|$", re.MULTILINE)
    rows = row.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert [path for _, path, _ in rows] == [path.relative_to(ROOT).as_posix() for path in NOTEBOOKS]
    for title, path, minutes in rows:
        opening = nbformat.read(ROOT / path, as_version=4).cells[0].source
        assert opening.startswith(f"# {title}\n")
        (takes,) = re.findall(r"\*\*It takes\*\* (.+)", opening)
        assert re.findall(r"\d+(?= minutes)|(?<=, and )\d+", takes)[0] == minutes.partition(" ")[0], path
