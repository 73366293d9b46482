"""The comparison itself: what must count as a difference does."""

from __future__ import annotations

import polars as pl

from tests.oracle.compare import differences, report

CLAIMS = pl.DataFrame({"admission_id": [1, 2, 3], "pdx": ["K810", "I10", "J189"]})
EXPECTED = pl.DataFrame({"admission_id": [1, 2, 3], "final_drg": [419, 305, 195]})
COLUMNS = {"drg": "final_drg"}


def test_equal_answers_in_another_order_do_not_differ() -> None:
    found = pl.DataFrame({"admission_id": [3, 1, 2], "drg": [195, 419, 305]})
    assert differences(CLAIMS, found, EXPECTED, COLUMNS).is_empty()


def test_a_wrong_answer_a_null_and_a_missing_row_differ() -> None:
    found = pl.DataFrame({"admission_id": [1, 2], "drg": [418, None]})
    different = differences(CLAIMS, found, EXPECTED, COLUMNS).sort("admission_id")
    assert different["admission_id"].to_list() == [1, 2, 3]
    assert different["differs"].to_list() == [["drg"], ["drg"], ["drg", "a row is missing"]]


def test_the_report_names_claim_column_and_both_answers() -> None:
    found = pl.DataFrame({"admission_id": [1, 2, 3], "drg": [418, 305, 195]})
    text = report(differences(CLAIMS, found, EXPECTED, COLUMNS), 3)
    assert "1 of 3 claims differ (drg: 1)" in text
    assert "admission 1: pdx='K810'" in text
    assert "drg: found 418, expected 419" in text
