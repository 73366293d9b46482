"""docs/hostile_input.md: every row names a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs/hostile_input.md").read_text("utf-8")
TRIED = [line for line in PAGE.partition("## Fuzzing")[0].splitlines() if re.match(r"\| (?!tried|-)", line)]


def list_tests(name: str) -> set[str]:
    """Return the tests of the one file of that name, in whichever folder of tests it is."""
    (path,) = TESTS.rglob(name)
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_the_page_has_its_rows() -> None:
    assert len(TRIED) > 60


@pytest.mark.parametrize("row", TRIED)
def test_a_row_names_tests_that_exist(row: str) -> None:
    named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", row)
    assert named or "not guarded" in row
    for file, function in named:
        tests = list_tests(file)
        assert tests
        assert not function or function in tests


def test_the_check_can_fail() -> None:
    assert "test_a_row_that_is_not_there" not in list_tests("test_faults.py")
    with pytest.raises(ValueError, match="not enough values"):
        list_tests("test_a_file_that_is_not_there.py")
