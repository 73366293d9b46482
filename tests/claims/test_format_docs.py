"""docs/claim_formats.md names every layout."""

from __future__ import annotations

import re
from pathlib import Path

from drgsim.claims.layouts import LAYOUTS

PAGE = Path(__file__).parents[2] / "docs" / "claim_formats.md"


def test_the_page_names_every_layout() -> None:
    rows = re.findall(r"(?m)^\| `([\w]+)` \|", PAGE.read_text("utf-8"))
    assert set(rows) - {"layout"} == set(LAYOUTS)
