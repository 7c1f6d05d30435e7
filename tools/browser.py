"""Open every notebook in a real JupyterLab, as a learner would: make browser [ARGS="--theme dark 01"].

Each notebook is opened twice in headless Chromium, in a copy of the course's folders: once only to look (every stored
picture must be there), then Run All (no error, every cell executed, every picture drawn, each slider moved once).
Uses the Chromium of the system where there is one, else Playwright's own. Screenshots go to .browser/.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
SHOTS = ROOT / ".browser"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
RUN_TIMEOUT = 900  # seconds for the cells of one notebook
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

# What the page knows about each code cell: its prompt, errors, pictures that did and did not load.
LOOK = """() => [...document.querySelectorAll('.jp-Notebook .jp-Cell')].map(cell => ({
    code: cell.classList.contains('jp-CodeCell'),
    prompt: cell.querySelector('.jp-InputArea-prompt')?.textContent ?? '',
    errors: cell.querySelectorAll('[data-mime-type="application/vnd.jupyter.error"]').length,
    pictures: [...cell.querySelectorAll('img')].map(img => img.complete && img.naturalWidth > 0),
}))"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--theme", choices=THEMES, action="append", help="light or dark; both by default")
    parser.add_argument("only", nargs="*", help="beginnings of notebooks' names, such as 01")
    arguments = parser.parse_args()
    notebooks = [
        path
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        if not arguments.only or path.name.startswith(tuple(arguments.only))
    ]
    SHOTS.mkdir(exist_ok=True)
    faults = []
    for theme in arguments.theme or THEMES:
        with course(theme) as url, browser() as page:
            for path in notebooks:
                found = visit(page, url, path, theme)
                print(f"{theme:5} {path.name}: {'; '.join(found) or 'fine'}", flush=True)
                faults += found
    print(f"{len(faults)} fault(s); screenshots in {SHOTS.relative_to(ROOT)}/")
    return 1 if faults else 0


# --- one notebook --------------------------------------------------------------------------------------------------


def visit(page: Page, url: str, path: Path, theme: str) -> list[str]:
    """What is wrong with the notebook when it is opened, and when it is run."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    page.goto(f"{url}/lab/tree/notebooks/{path.name}?token=course&reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
    seen = settle(page, lambda seen: not compare(cells, seen, ran=False))
    faults = [f"opened: {fault}" for fault in compare(cells, seen, ran=False)]
    shoot(page, f"{path.stem}-{theme}-opened")

    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    seen = settle(page, lambda seen: not any(waiting(cell) for cell in seen), RUN_TIMEOUT)
    page.wait_for_timeout(1500)  # the last pictures
    faults += [f"run: {fault}" for fault in compare(cells, page.evaluate(LOOK), ran=True)]
    faults += move_sliders(page)
    shoot(page, f"{path.stem}-{theme}-run")
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_text("Shut Down Kernel", exact=True).click()
    return faults


def settle(page: Page, done, timeout: float = 30):
    """Look until `done` or until the time is up, and return what was seen last."""
    end = time.monotonic() + timeout
    page.wait_for_timeout(1000)
    while True:
        seen = page.evaluate(LOOK)
        if done(seen) or time.monotonic() > end:
            return seen
        page.wait_for_timeout(500)


def waiting(cell: dict) -> bool:
    return cell["code"] and ("*" in cell["prompt"] or cell["prompt"].strip() in ("", "[ ]:"))


def compare(cells: list[dict], seen: list[dict], ran: bool) -> list[str]:
    """The cells of the file against those of the page."""
    if len(cells) != len(seen):
        return [f"the page shows {len(seen)} of {len(cells)} cells"]
    faults = []
    for number, (cell, on_page) in enumerate(zip(cells, seen, strict=True)):
        expected = stored_pictures(cell)
        if not all(on_page["pictures"]):
            faults.append(f"cell {number} has a broken picture")
        if len(on_page["pictures"]) < expected:
            faults.append(f"cell {number} shows {len(on_page['pictures'])} of {expected} pictures")
        if ran and on_page["errors"] and "raises-exception" not in cell["metadata"].get("tags", []):
            faults.append(f"cell {number} ended in an error")
        if ran and "".join(cell["source"]).strip() and waiting(on_page):
            faults.append(f"cell {number} was not executed")
    return faults


def stored_pictures(cell: dict) -> int:
    if cell["cell_type"] == "markdown":
        return "".join(cell["source"]).count("![")
    data = [output["data"] for output in cell.get("outputs", []) if "data" in output]
    return sum("image/png" in d or "<img" in "".join(d.get("text/html", "")) for d in data)


def move_sliders(page: Page) -> list[str]:
    """Press the arrow key on each slider; its number must change and no error appear."""
    faults = []
    for k in range(page.locator(".jp-Notebook .widget-slider").count()):
        slider = page.locator(".jp-Notebook .widget-slider").nth(k)
        before = slider.locator(".widget-readout").inner_text()
        slider.locator(".noUi-handle").first.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(1500)
        if slider.locator(".widget-readout").inner_text() == before:
            page.keyboard.press("ArrowLeft")  # it stood at its end
            page.wait_for_timeout(1500)
        if slider.locator(".widget-readout").inner_text() == before:
            faults.append(f"slider {k + 1} does not move")
    if any(cell["errors"] for cell in page.evaluate(LOOK)) and not faults:
        faults += [f"error after a slider in cell {n}" for n, c in enumerate(page.evaluate(LOOK)) if c["errors"]]
    return faults


def shoot(page: Page, name: str) -> None:
    """The whole notebook in one tall picture (cut after 30,000 pixels, which is as far as Chromium goes)."""
    height = page.evaluate("() => document.querySelector('.jp-WindowedPanel-outer').scrollHeight")
    page.set_viewport_size({"width": 1280, "height": min(int(height) + 150, 16_000)})
    page.evaluate("() => document.querySelector('.jp-WindowedPanel-outer').scrollTo(0, 0)")
    page.wait_for_timeout(500)
    page.screenshot(path=SHOTS / f"{name}.png")
    page.set_viewport_size({"width": 1280, "height": 1000})


# --- JupyterLab and Chromium -----------------------------------------------------------------------------------------


@contextmanager
def course(theme: str):
    """A JupyterLab on a copy of the course, in that theme and with every cell in the page; yields its address."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for name in ("notebooks", "images"):
            shutil.copytree(ROOT / name, here / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
        for plugin, settings in {
            "notebook-extension/tracker": {"windowingMode": "none"},
            "apputils-extension/themes": {"theme": THEMES[theme]},
            "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        }.items():
            file = here / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(settings))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}",
            "--IdentityProvider.token=course", f"--ServerApp.root_dir={here}",
        ]  # fmt: skip
        environment = os.environ | {"JUPYTERLAB_SETTINGS_DIR": str(here / "settings"), "JUPYTER_PREFER_ENV_PATH": "1"}
        with open(SHOTS / f"jupyterlab-{theme}.log", "w") as log:
            server = subprocess.Popen(command, env=environment, cwd=here, stdout=log, stderr=log)
            try:
                url = f"http://127.0.0.1:{port}"
                wait_for(f"{url}/api?token=course")
                yield url
            finally:
                server.terminate()
                server.wait(30)


def wait_for(address: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            with urlopen(address, timeout=5):
                return
        except OSError:
            if time.monotonic() > end:
                raise RuntimeError(f"JupyterLab did not answer within {seconds:.0f} seconds; see {SHOTS}.") from None
            time.sleep(0.5)


@contextmanager
def browser():
    """A page of headless Chromium: the system's, or Playwright's own."""
    system = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=system, args=CHROMIUM_FLAGS)
        try:
            yield chromium.new_page(viewport={"width": 1280, "height": 1000})
        finally:
            chromium.close()


if __name__ == "__main__":
    sys.exit(main())
