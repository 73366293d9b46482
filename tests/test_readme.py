"""The README's examples run and print what the README says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

README = Path(__file__).parents[1] / "README.md"
PICTURE = README.parent / "docs" / "figures" / "readme.png"
EXAMPLES = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize(("program", "expected"), EXAMPLES, ids=["first screen", "one admission", "dollars"])
def test_example(
    program: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    monkeypatch.chdir(tmp_path)
    with mpl.rc_context():
        mpl.rcdefaults()
        exec(compile(program, str(README), "exec"), {})
    assert capsys.readouterr().out.strip() == expected.strip()
    for drawn in tmp_path.glob("*.png"):
        if os.environ.get("DRGSIM_REDRAW"):
            Image.open(drawn).convert("RGB").quantize(256).save(PICTURE, optimize=True)
        found, shown = (np.asarray(Image.open(path).convert("L"), np.float64) for path in (drawn, PICTURE))
        assert found.shape == shown.shape
        assert np.abs(found - shown).mean() < 3  # of 255 shades: letters may differ, bars not


def test_first_screen_is_short():
    program = EXAMPLES[0][0]
    assert len(program.strip().splitlines()) <= 14
    assert README.read_text("utf-8").index("```python") < 600


@pytest.mark.parametrize("path", re.findall(r"\]\(([\w/.]+)\)", README.read_text("utf-8")))
def test_links_lead_somewhere(path: str):
    assert (README.parent / path).exists()
