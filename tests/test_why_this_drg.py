"""The examples of docs/why_this_drg.md run and print what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "why_this_drg.md"
TEXT = PAGE.read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize(
    ("program", "expected"),
    EXAMPLES,
    ids=["why 417", "hospital-acquired", "value of a code", "worth asking", "in bulk"],
)
def test_example(program: str, expected: str, capsys: pytest.CaptureFixture[str]):
    exec(compile(program, str(PAGE), "exec"), {})
    assert capsys.readouterr().out.strip() == expected.strip()


def test_every_program_is_an_example():
    assert TEXT.count("```python") == len(EXAMPLES) == 5
