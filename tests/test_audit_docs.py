"""The examples of the audit and profile pages run and print what the pages say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", ["audit", "compliance_profile"])
def test_page(name: str, capsys: pytest.CaptureFixture[str]):
    path = DOCS / f"{name}.md"
    examples = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", path.read_text("utf-8"), re.DOTALL)
    assert len(examples) >= 5
    names: dict[str, object] = {}
    for program, expected in examples:
        exec(compile(program, str(path), "exec"), names)
        assert capsys.readouterr().out.strip() == expected.strip()
