"""The examples of docs/claim_formats.md and docs/new_release.md run, in order, and print what the pages say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", ["claim_formats.md", "new_release.md"])
def test_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", (DOCS / name).read_text("utf-8"), re.DOTALL)
    assert examples
    names: dict[str, object] = {}
    for program, expected in examples:
        exec(compile(program, name, "exec"), names)
        assert capsys.readouterr().out.strip() == expected.strip()


def test_the_page_names_every_layout() -> None:
    from drgsim.claims import LAYOUTS

    rows = re.findall(r"(?m)^\| `([\w]+)` \|", (DOCS / "claim_formats.md").read_text("utf-8"))
    assert set(rows) - {"layout"} == set(LAYOUTS)
