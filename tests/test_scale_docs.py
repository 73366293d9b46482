"""The examples of the page on scale run and print what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"


def test_page(capsys: pytest.CaptureFixture[str]):
    examples = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(examples) >= 4
    names: dict[str, object] = {}
    for program, expected in examples:
        exec(compile(program, str(PAGE), "exec"), names)
        assert capsys.readouterr().out.strip() == expected.strip()


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([\w/.]+)\)", PAGE.read_text("utf-8")):
        assert (PAGE.parent / link).exists()
