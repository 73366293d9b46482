"""Runs the notebooks and keeps what they print: python -m tests.support.notebooks, or with the paths of some.

A notebook runs in a fresh kernel, from its own folder, without the user's configuration and without network. What
changes from run to run is not kept: times of execution, versions of Python, sizes of a terminal. Cells tagged `times`
print times of this machine.
"""

from __future__ import annotations

import base64
import io
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS = 600
"""After which a cell is given up; two minutes a notebook are aimed at, on a machine that has nothing else to do."""

_OFFLINE = '''
import sys


def _refused(event, args):
    """Let nothing out: kernels talk to their notebook by other means than Python's sockets."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname") or (event == "socket.connect" and args[0].family != 1):
        raise OSError("notebooks run without network")


sys.addaudithook(_refused)
'''


def executed(path: Path) -> NotebookNode:
    """Return a notebook run in a fresh kernel, its outputs as they are kept.

    Raises:
        CellExecutionError: a cell raised.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    with TemporaryDirectory() as home:
        startup = Path(home, "ipython", "profile_default", "startup")
        startup.mkdir(parents=True)
        (startup / "offline.py").write_text(_OFFLINE, "utf-8")
        apart = {f"JUPYTER_{what}_DIR": str(Path(home, what.lower())) for what in ("CONFIG", "DATA", "RUNTIME")}
        searched = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, **apart, "IPYTHONDIR": str(startup.parents[1]), "PYTHONPATH": searched}
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=SECONDS,
            record_timing=False,
            resources={"metadata": {"path": str(path.parent)}},
        )
        client.execute(env=environment)
    for cell in code_cells(notebook):
        cell.outputs = _joined(cell.outputs)
        for output in cell.outputs:
            _plain(output)
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the cells of a notebook that hold code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def words(cell: NotebookNode) -> list[str]:
    """Return what a cell prints and shows, as text."""
    return [
        output.text if output.output_type == "stream" else output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    ]


def main(paths: Sequence[str]) -> None:
    """Run notebooks, keep their outputs, and tell how long each took and how large it is."""
    for path in [Path(name).resolve() for name in paths] or NOTEBOOKS:
        began = time.perf_counter()
        nbformat.write(executed(path), path)
        print(f"{path.name}: {time.perf_counter() - began:.0f} s, {path.stat().st_size / 1000:.0f} kB")


# ---------------------------------------------------------------------------------------------------------


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Put together what was printed in pieces, as their number depends on the machine."""
    kept: list[NotebookNode] = []
    for output in outputs:
        last = kept[-1] if kept else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            kept.append(output)
    return kept


def _plain(output: NotebookNode) -> None:
    """Make pictures small: 256 colours, and no word on the program that drew them."""
    data: dict[str, Any] = output.get("data", {})
    if "image/png" in data:
        picture, small = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))), io.BytesIO()
        picture.convert("RGB").quantize(256).save(small, "PNG", optimize=True)
        data["image/png"] = base64.b64encode(small.getvalue()).decode()


if __name__ == "__main__":
    main(sys.argv[1:])
