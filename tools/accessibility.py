"""Is the course accessible? axe-core on every notebook's HTML, in both themes: make accessibility [ARGS="FOLDER"].

nbconvert exports each notebook, headless Chromium opens the page without a network, and axe-core (the copy inside the
package axe-playwright-python) looks at it with every <details> open. What JupyterLab's own style does wrong is excused
below, by rule and selector; all else is ours, and one violation makes the exit code 1.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from browser import ROOT, THEMES, browser
from nbconvert import HTMLExporter
from playwright.sync_api import Page

# The rule, the elements of the template that break it, and why that is not ours to mend.
EXCUSED = [
    ("color-contrast", ".jp-InputPrompt, .jp-OutputPrompt", "the pale In [1] and Out[1] are JupyterLab's"),
    ("color-contrast", ".highlight pre, .highlight pre span:not([style])", "the colours of code are JupyterLab's"),
    ("link-in-text-block", ".jp-RenderedMarkdown a:not([style])", "JupyterLab underlines links under the pointer only"),
    ("image-alt", ".jp-RenderedImage > img", "a plot cannot carry alt text; the sentence after it says what it shows"),
]

# Opens every aside, and takes away the alt texts that say nothing: empty ones (no picture of ours is an ornament) and
# the sentence that nbconvert writes where there is none, which would hide that it is missing.
PREPARE = """() => {
    document.querySelectorAll('details').forEach(details => details.open = true);
    document.querySelectorAll('img[alt=""], img[alt="No description has been provided for this image"]')
        .forEach(img => img.removeAttribute('alt'));
}"""
BROKEN = (
    """() => [...document.images].filter(img => !img.complete || !img.naturalWidth).map(img => img.alt || img.src)"""
)
# For each [rule, selector of the element]: the number of its cell, and whether one of the excuses holds for it.
JUDGE = """([found, excuses]) => {
    const cells = [...document.querySelectorAll('.jp-Cell')];
    return found.map(([rule, selector]) => {
        const element = document.querySelector(selector);
        const excused = excuses.some(([name, ours]) => name === rule && element.matches(ours));
        return [cells.indexOf(element.closest('.jp-Cell')), excused];
    });
}"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "notebooks", help="notebooks/ by default")
    folder = parser.parse_args().folder.resolve()
    notebooks = sorted(folder.glob("*.ipynb"))
    if not notebooks:
        parser.error("that folder holds no notebook (*.ipynb).")
    ours = excused = 0
    with tempfile.TemporaryDirectory() as pages, browser() as page:
        page.route("http*://**", lambda route: route.abort())  # formulas then stand as TeX, which axe may read too
        for theme in THEMES:
            exporter = HTMLExporter(template_name="lab", theme=theme)
            for path in notebooks:
                html = Path(pages, f"{path.stem}-{theme}.html")
                # Pictures are found from where the notebook is (nbconvert embeds none from a neighbouring folder).
                base = f'<head><base href="{folder.as_uri()}/">'
                html.write_text(exporter.from_filename(str(path))[0].replace("<head>", base, 1), encoding="utf-8")
                page.goto(html.as_uri())
                found = list(violations(page))
                mine = [line for count, line in found if line]
                print(f"{theme:5} {path.name}: {f'{len(mine)} rule(s) broken' if mine else 'fine'}", flush=True)
                print(*(f"      {line}\n" for line in mine), sep="", end="", flush=True)
                ours += sum(count for count, line in found if line)
                excused += sum(count for count, line in found if not line)
    print(f"{ours} violation(s) of ours in {len(notebooks)} notebook(s); {excused} of JupyterLab's own style excused")
    return 1 if ours else 0


def violations(page: Page) -> Iterator[tuple[int, str]]:
    """How many elements break a rule, and a line about them; the line is empty for those that are excused."""
    page.evaluate(PREPARE)
    if broken := page.evaluate(BROKEN):
        yield len(broken), f"pictures that do not load: {len(broken)}; first: {broken[0][:100]}"
    for rule in Axe().run(page).response["violations"]:
        nodes = rule["nodes"]
        found = [(rule["id"], node["target"][0]) for node in nodes]
        judged = page.evaluate(JUDGE, [found, [excuse[:2] for excuse in EXCUSED]])
        mine = [(cell, node) for (cell, excused), node in zip(judged, nodes, strict=True) if not excused]
        yield len(nodes) - len(mine), ""
        if mine:
            cells = ", ".join(str(cell) for cell in dict.fromkeys(cell for cell, _ in mine))
            first = " ".join(mine[0][1]["html"].split())[:100]
            why = " ".join(mine[0][1]["failureSummary"].split())
            yield (
                len(mine),
                f"{rule['id']} ({rule['impact']}): {len(mine)}, in cells {cells}; first: {first}\n        {why}",
            )


if __name__ == "__main__":
    sys.exit(main())
