"""The notebooks run without error and network, print what they keep, and use public names only.

`make notebooks` runs them all and keeps what they print; `git diff` then shows what moved.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

import drgsim
from tests.support.notebooks import NOTEBOOKS, ROOT, code_cells, executed, words

KEPT = {path.stem: nbformat.read(path, as_version=4) for path in NOTEBOOKS}
REFERENCE = "\n".join(page.read_text("utf-8") for page in sorted((ROOT / "docs" / "reference").glob("*.md")))
PUBLIC = {
    *(f"drgsim.{name}" for name in drgsim.__all__),
    *re.findall(r"(?m)^::: (drgsim\.\w+\.\w+)$", REFERENCE),
}
SHOWN_MOST = 400_000
"""Bytes a notebook may take, so that it opens at once and the repository stays small."""

each_notebook = pytest.mark.parametrize("name", KEPT)


def test_all_are_here():
    assert [name[:2] for name in KEPT] == ["01", "02", "03", "04", "05", "06", "07"]


@pytest.mark.long
@each_notebook
def test_runs_and_prints_what_is_kept(name: str):
    kept, run = KEPT[name], executed(ROOT / "notebooks" / f"{name}.ipynb")
    for before, after in zip(code_cells(kept), code_cells(run), strict=True):
        assert kinds(after) == kinds(before), before.source
        if "times" not in before.metadata.get("tags", []):
            assert words(after) == words(before), before.source


@each_notebook
def test_outputs_are_kept(name: str):
    cells = code_cells(KEPT[name])
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert not [output for output in cell.outputs if output.get("name") == "stderr"], cell.source
        drawn = sum("image/png" in output.get("data", {}) for output in cell.outputs)
        assert drawn == cell.source.count(").figure"), cell.source


@each_notebook
def test_nothing_volatile_is_kept(name: str):
    notebook, path = KEPT[name], ROOT / "notebooks" / f"{name}.ipynb"
    assert path.stat().st_size < SHOWN_MOST
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for place, cell in enumerate(notebook.cells, start=1):
        assert cell.id == f"{name[:2]}-{place:02}"
        assert set(cell.metadata) <= {"tags"}
        assert not re.search(r"0x[0-9a-f]{6,}|/(home|tmp|root)/", "".join(words(cell) if "outputs" in cell else []))


# ---------------------------------------------------------------------------------------------------------


def kinds(cell: NotebookNode) -> list[tuple[str, ...]]:
    """Return what sort of thing each output of a cell is."""
    return [(output.output_type, *sorted(output.get("data", {}))) for output in cell.outputs]


def named(source: str) -> set[str]:
    """Return the names of the package that a piece of code imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "drgsim":
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "drgsim"}
    return found


@each_notebook
def test_only_public_names(name: str):
    used = set().union(*(named(cell.source) for cell in code_cells(KEPT[name])))
    assert used
    assert not used - PUBLIC


def test_the_check_on_names_can_fail():
    assert named("import drgsim.grouping.hac\nfrom drgsim.grouping.mdc_search import search_mdcs") == {
        "drgsim.grouping.hac",
        "drgsim.grouping.mdc_search.search_mdcs",
    }
    assert not named("import polars as pl\nfrom pathlib import Path")


@each_notebook
def test_links_lead_somewhere(name: str):
    text = "\n".join(cell.source for cell in KEPT[name].cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        assert (ROOT / "notebooks" / target).exists(), target
    for page in re.findall(r"`(docs/[\w./]+)`", text):
        assert (ROOT / page).exists(), page


def made(folder: Path, source: str) -> Path:
    """Write a notebook of one cell."""
    cells = [nbformat.v4.new_code_cell(source, id="one")]
    path = folder / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.mark.parametrize(
    ("source", "reported"),
    [
        ("import socket; socket.create_connection(('198.51.100.1', 80), 1)", "without network"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_what_fails_is_told(tmp_path: Path, source: str, reported: str):
    with pytest.raises(CellExecutionError, match=reported):
        executed(made(tmp_path, source))


def test_runs_in_its_own_folder(tmp_path: Path):
    assert words(executed(made(tmp_path, "from pathlib import Path\nprint(Path.cwd().name)")).cells[0]) == [
        f"{tmp_path.name}\n"
    ]
