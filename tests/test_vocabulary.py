"""Words that the glossary retired do not come back: in code, messages, tables or documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = [*ROOT.glob("drgsim/**/*.py"), *ROOT.glob("benchmarks/*.py")]
TESTS = [path for path in ROOT.glob("tests/**/*.py") if path != Path(__file__)]
TABLES = [*ROOT.glob("grouper_tables/**/*.toml"), *ROOT.glob("grouper_tables/*.md")]
PAGES = [
    *ROOT.glob("docs/**/*.md"),
    *(page for page in ROOT.glob("*.md") if page.name != "CHANGELOG.md"),
    *ROOT.glob("tests/golden/*.md"),
]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))

NAMES = re.compile(
    r"""\b(
        (over|under|gross|solo|last)_usd | gross_share | over_share | under_share
      | pcs_wrong | pcs_omit | pcs_add | typo_invalid | PcsWrong | PcsOmit | PcsAdd | TypoInvalid
      | fragility | fragile | surviving | Operator | OPERATOR | fires | over_spans | billed_together | shared_out
      | Sight | Cases | Witness | Findings | Legality | landed | told | told_by
    )\b | \.(bills|shares|applied)\b
      | \bdrgsim\.(pay|impact)\b | \bimport\ .*\b(pay|impact)\b | (?<![\w.])(pay|impact)\(
    """,
    re.VERBOSE,
)
"""Names of things that were renamed."""
PROSE = re.compile(
    r"\b(told|tells?|telling|(comes?|came|coming) to(?! (an end|light))|(comes?|came) by|stand(s|ing)? beside"
    r"|stood beside|of one's own|a replicate \[|USD a replicate)\b",
    re.IGNORECASE,
)
"""Turns of phrase that were given up for plain words."""


def text_of(path: Path) -> str:
    """Return the text of a file; of a notebook what its cells say and print."""
    text = path.read_text("utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    printed = (out.get("text", []) for cell in cells for out in cell.get("outputs", []))
    return "\n".join("".join(part) for part in [*(cell["source"] for cell in cells), *printed])


def retired(pattern: re.Pattern[str], text: str) -> list[str]:
    """Return the lines with a retired word, by number."""
    return [f"{n}: {line.strip()}" for n, line in enumerate(text.splitlines(), start=1) if pattern.search(line)]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*CODE, *TESTS, *TABLES, *PAGES, *NOTEBOOKS], ids=name_of)
def test_no_name_came_back(path: Path):
    assert not retired(NAMES, text_of(path))


@pytest.mark.parametrize("path", [*CODE, *TABLES, *PAGES, *NOTEBOOKS], ids=name_of)
def test_no_phrase_came_back(path: Path):
    assert not retired(PROSE, text_of(path))


@pytest.mark.parametrize(
    "guilty", ["result.bills", "from drgsim import group, pay", 'pl.col("over_usd")', "x = pay(y)"]
)
def test_the_check_on_names_can_fail(guilty: str):
    assert retired(NAMES, guilty)


@pytest.mark.parametrize("guilty", ["It tells why.", "what it comes to", "a kind of one's own", "USD a replicate"])
def test_the_check_on_phrases_can_fail(guilty: str):
    assert retired(PROSE, guilty)
