"""The examples of docs/simulation.md run, in order, and print what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "simulation.md"


def test_examples(capsys: pytest.CaptureFixture[str]):
    examples = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(examples) == 7
    names: dict[str, object] = {}
    with pl.Config():
        for program, expected in examples:
            exec(compile(program, str(PAGE), "exec", dont_inherit=True), names)
            assert capsys.readouterr().out.strip() == expected.strip()
