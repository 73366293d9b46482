"""The examples of the gallery run, and draw every picture it shows; DRGSIM_REDRAW=1 stores the pictures anew."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import matplotlib as mpl
import pytest
from PIL import Image

PAGE = Path(__file__).parents[2] / "docs" / "figures.md"
TEXT = PAGE.read_text("utf-8")


def test_examples_run_and_draw_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "figures").mkdir()
    shutil.copy(PAGE.parent / "figures" / "benchmark.json", tmp_path / "figures")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```(?:\n+```text\n(.*?)```)?", TEXT, re.DOTALL)
    assert len(examples) == 16
    names: dict[str, object] = {}
    with mpl.rc_context():
        mpl.rcdefaults()
        for program, expected in examples:
            exec(compile(program, str(PAGE), "exec"), names)
            assert capsys.readouterr().out.strip() == expected.strip()
    shown = re.findall(r"!\[[^\]]+\]\((figures/\w+\.png)\)", TEXT)
    assert len(shown) == 13
    for picture in shown:
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
        if os.environ.get("DRGSIM_REDRAW"):
            Image.open(tmp_path / picture).convert("RGB").quantize(256).save(PAGE.parent / picture, optimize=True)
        assert (PAGE.parent / picture).stat().st_size < 60_000
