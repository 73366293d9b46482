"""Titles beside numbers and codes."""

from __future__ import annotations

import polars as pl

from drgsim import TableSet
from drgsim.tables import with_titles


def test_titles_follow_their_columns():
    frame = pl.DataFrame({"drg": [470], "billed_drg": [469], "mdc": [8], "code": ["I10"], "note": ["x"]})
    found = with_titles(frame, TableSet.load("43.1"))
    assert found.columns == [
        *("drg", "drg_title", "billed_drg", "billed_drg_title", "mdc", "mdc_title", "code", "code_title", "note"),
    ]
    assert found["code_title"].item() == "Essential (primary) hypertension"
    assert with_titles(found, TableSet.load("43.1")).equals(found)


def test_what_has_no_title_is_null():
    frame = pl.DataFrame({"drg": [0, None], "code": ["0FT44ZZ", "K565"]})
    found = with_titles(frame, TableSet.load("43.1"))
    assert found["drg_title"].null_count() == found["code_title"].null_count() == 2
    assert with_titles(frame.clear(), TableSet.load("43.1")).height == 0
