"""The documentation: its examples run and print what it says, its links lead somewhere, its reference is whole."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

import drgsim

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
PRIVATE = ("numerics", "files", "rebilling", "cli")
DRAWN = {"figures.md"}  # tests/plots/test_figures_docs.py runs its examples and looks at what they draw
TEXTS = {str(page.relative_to(DOCS)): page.read_text("utf-8") for page in PAGES}
BLOCK = re.compile(r"```python\n(.*?)```(?:\n+```text\n(.*?)```)?", re.DOTALL)
DOCUMENTED = re.findall(r"(?m)^::: (drgsim\.[\w.]+)$", "\n".join(TEXTS.values()))


@pytest.mark.parametrize("name", [name for name, text in TEXTS.items() if "```python" in text and name not in DRAWN])
def test_examples(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    with pl.Config():
        for place, (program, expected) in enumerate(BLOCK.findall(TEXTS[name]), start=1):
            exec(compile(program, f"{name}, example {place}", "exec", dont_inherit=True), names)
            printed = capsys.readouterr().out
            assert printed.strip() == expected.strip(), f"{name}, example {place}"


IMPORTS = re.findall(
    r"(?m)^(?:>>> )?(?:from (drgsim[\w.]*) import|import (drgsim[\w.]*))",
    "\n".join([*TEXTS.values(), (ROOT / "README.md").read_text("utf-8")]),
)


def test_pages_import_from_the_front_door_and_namespaces():
    used = {one or other for one, other in IMPORTS}
    packages = {f"drgsim.{path.parent.name}" for path in (ROOT / "drgsim").glob("*/__init__.py")}
    public = {*packages, "drgsim", "drgsim.schema", "drgsim.exceptions", "drgsim.scale.spark"} - {
        f"drgsim.{name}" for name in PRIVATE
    }
    assert "drgsim.plots" in used
    assert not used - public


def test_every_block_is_an_example():
    for name, text in TEXTS.items():
        assert text.count("```python") == len(BLOCK.findall(text)), name


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as the site makes them."""
    headings = re.findall(r"(?m)^#+ (.+?) *$", re.sub(r"(?s)```.*?```", "", text))
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


LINKS = [
    (name, target)
    for name, text in TEXTS.items()
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(?s)```.*?```|`[^`\n]*`", "", text))
    if not target.startswith(("http://", "https://"))
]


@pytest.mark.parametrize(("name", "target"), LINKS)
def test_links_lead_somewhere(name: str, target: str):
    path, _, anchor = target.partition("#")
    page = (DOCS / name).parent / path if path else DOCS / name
    assert page.exists()
    if anchor and page.suffix == ".md" and not anchor.startswith("drgsim."):
        assert anchor in anchors(page.read_text("utf-8"))
    if anchor.startswith("drgsim."):
        assert f"::: {anchor}" in page.read_text("utf-8").splitlines()


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"(?m)^ +- ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"))
    assert len(listed) == len(set(listed))
    assert set(TEXTS) == set(listed)


# ---------------------------------------------------------------------------------------------------------


def documented(path: str) -> object:
    """Return the object a path of the reference names."""
    namespace, _, name = path.rpartition(".")
    return getattr(import_module(namespace), name)


@pytest.mark.parametrize("page", sorted((DOCS / "reference").glob("*.md")), ids=lambda page: page.stem)
def test_a_page_of_the_reference_is_one_namespace(page: Path):
    listed = re.findall(r"(?m)^::: (drgsim\.[\w.]+)\.(\w+)$", page.read_text("utf-8"))
    if page.stem in ("index", "schema"):
        return
    assert {home for home, _ in listed} <= {f"drgsim.{page.stem}", "drgsim.scale.spark" if page.stem == "scale" else ""}
    if page.stem != "exceptions":
        space = import_module(f"drgsim.{page.stem}")
        public = {name for name in space.__all__ if inspect.isclass(getattr(space, name)) or
                  inspect.isfunction(getattr(space, name))}  # fmt: skip
        assert public == {name for home, name in listed if home == f"drgsim.{page.stem}"}


def test_the_reference_names_nothing_twice():
    assert len(DOCUMENTED) == len(set(DOCUMENTED)) > 100


@pytest.mark.parametrize("path", DOCUMENTED)
def test_public_names_have_an_executed_example(path: str):
    found = documented(path)
    assert inspect.isclass(found) or inspect.isfunction(found)
    # Where the docstring of a class comes from its base, it is not its own.
    text = found.__dict__.get("__doc__") if inspect.isclass(found) else found.__doc__
    assert text
    assert ">>> " in text, f"{path} has no example"


@pytest.mark.parametrize("path", DOCUMENTED)
def test_public_names_say_what_they_take_and_give(path: str):
    """Functions of arguments have Args or say it in a sentence for one; those that raise say what."""
    found = documented(path)
    if not inspect.isfunction(found):
        return
    text = inspect.getdoc(found) or ""
    given = [p for p in inspect.signature(found).parameters.values() if p.name != "folder"]
    elsewhere = re.search(r"Arguments\b.*\b(as|those of)\b", text)
    if len(given) > 2 and not elsewhere:
        described = text.partition("Args:")[2]
        missing = [p.name for p in given if not re.search(rf"\b{p.name}\b[^:\n]*:", described)]
        assert not missing, f"{path} says nothing of {missing}"
    if re.search(r"(?m)^    +raise ", inspect.getsource(found)):
        assert "Raises:" in text or elsewhere, f"{path} does not say what it raises"


def test_the_reference_has_the_front_door():
    known = [documented(path) for path in DOCUMENTED]
    missing = [name for name in drgsim.__all__ if not any(getattr(drgsim, name) is one for one in known)]
    assert not missing


# ---------------------------------------------------------------------------------------------------------


class Fetched(HTMLParser):
    """Collects what a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.found.append(given.get("href") or "")
        self.found.append(given.get("src") or "")


def test_the_site_builds_without_a_warning_and_fetches_nothing_from_elsewhere(tmp_path: Path):
    for package in ("mkdocs", "material", "mkdocstrings_handlers"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'drgsim[docs]', or make docs")
    for name in ("mkdocs.yml", "CHANGELOG.md", "SECURITY.md"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("docs", "drgsim"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        reader = Fetched()
        reader.feed(page.read_text("utf-8"))
        assert not [url for url in reader.found if re.match(r"(https?:)?//", url)], page
