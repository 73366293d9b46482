"""The README's examples run and print what the README says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize(("program", "expected"), EXAMPLES, ids=["first screen", "one admission", "dollars"])
def test_example(program: str, expected: str, capsys: pytest.CaptureFixture[str]):
    exec(compile(program, str(README), "exec"), {})
    assert capsys.readouterr().out.strip() == expected.strip()


def test_first_screen_is_short():
    program = EXAMPLES[0][0]
    assert len(program.strip().splitlines()) <= 14
    assert README.read_text("utf-8").index("```python") < 600


@pytest.mark.parametrize("path", re.findall(r"\]\(([\w/.]+)\)", README.read_text("utf-8")))
def test_links_lead_somewhere(path: str):
    assert (README.parent / path).exists()
