"""Execute notebooks and store their outputs: python tools/execute.py [NOTEBOOK ...], all of them by default.

A notebook whose outputs come out the same is left as it was, to the byte. Cells tagged nbval-ignore-output are
stored with what they print and plot, but without their widgets, and what differs in them alone is no
difference. No execution times, no widget state and no versions are stored.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from queue import Empty

import nbformat
from jupyter_client.channels import AsyncZMQSocketChannel
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent


async def _ask_every_second(self, timeout=None, *, ask=AsyncZMQSocketChannel.get_msg):
    """The channel's get_msg, asked anew each second: on a busy machine its one long wait at times misses the arrival
    of a message, and sleeps on until the time-out although the message is there."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = 1.0 if end is None else max(0.0, min(1.0, end - time.monotonic()))
        try:
            return await ask(self, timeout=left)
        except Empty:
            if end is not None and time.monotonic() >= end:
                raise


AsyncZMQSocketChannel.get_msg = _ask_every_second


def client(notebook, folder: Path, timeout: int = 900, **options) -> NotebookClient:
    """What runs the notebook's cells, in a kernel that starts in the folder; a cell may take `timeout` seconds."""
    resources = {"metadata": {"path": str(folder)}}
    options |= {"kernel_name": "python3", "record_timing": False, "coalesce_streams": True}
    return NotebookClient(notebook, resources=resources, timeout=timeout, **options)


def run(notebook, folder: Path) -> None:
    """Run the notebook's cells from top to bottom in a new kernel that starts in the folder; they get the outputs."""
    client(notebook, folder).execute()


def execute(path: Path) -> bool:
    """Run the notebook from top to bottom in a new kernel; True if the file has changed."""
    before = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(before, as_version=4)
    ignored = [cell for cell in notebook.cells if "nbval-ignore-output" in cell.metadata.get("tags", [])]
    earlier = [printed_and_plotted(cell) for cell in ignored]
    run(notebook, path.parent)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for image in (o["data"] for c in notebook.cells for o in c.get("outputs", []) if "data" in o):
        if "image/png" in image:
            image["image/png"] = image["image/png"].strip() + "\n"
    new = [printed_and_plotted(cell) for cell in ignored]

    def written(outputs):
        for cell, kept in zip(ignored, outputs, strict=True):
            cell.outputs = kept
        return nbformat.writes(notebook, version=4) + "\n"

    if written(earlier) == before:
        return False
    path.write_text(written(new), encoding="utf-8", newline="\n")
    return True


def printed_and_plotted(cell):
    return [
        output for output in cell.outputs if output.output_type == "stream" or "image/png" in output.get("data", {})
    ]


def main(arguments: list[str]) -> None:
    os.environ.pop("MPLBACKEND", None)
    os.environ["TQDM_DISABLE"] = "1"  # progress bars show rates, which never repeat
    paths = [Path(a).resolve() for a in arguments] or sorted((ROOT / "notebooks").glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IPYTHONDIR"] = folder
        for path in paths:
            print(f"{path.name}: {'stored anew' if execute(path) else 'unchanged'}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
