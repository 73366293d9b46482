"""docs/hostile_input.md: every row names a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs/hostile_input.md").read_text("utf-8")


def test_every_row_names_a_test() -> None:
    tried = PAGE.partition("## Fuzzing")[0].splitlines()
    rows = [line for line in tried if line.startswith("| ") and not line.startswith("| tried")]
    assert len(rows) > 25
    for row in rows:
        named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", row)
        assert named or "not guarded" in row, row
        for file, function in named:
            tree = ast.parse((TESTS / file).read_text("utf-8"))
            defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert not function or function in defined, row
