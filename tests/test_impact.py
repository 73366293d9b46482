from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drgsim.impact import changes, shift, transitions


def frame(*rows: tuple[int, int, float, float]) -> pl.DataFrame:
    return pl.DataFrame(
        [(place, *row) for place, row in enumerate(rows)],
        schema={
            "admission_id": pl.UInt64, "drg": pl.UInt16, "billed_drg": pl.UInt16, "usd": pl.Float64,
            "billed_usd": pl.Float64,
        },
        orient="row",
    )  # fmt: skip


def test_over_and_under_are_apart_and_net_is_their_difference():
    found = shift([frame((419, 417, 9e3, 17e3), (871, 872, 15e3, 8e3), (193, 193, 1.0, 1.0))] * 2)
    assert found["over_usd"][0] == 8e3
    assert found["under_usd"][0] == 7e3
    assert found["net_usd"] == (1e3, 0.0)
    assert found["drg_changes"][0] == 2


def test_standard_error_is_of_the_mean_over_replicates():
    """Totals 0, 3 and 6 have a standard deviation of 3, so their mean has 3 / sqrt(3)."""
    found = shift([frame((1, 2, 0.0, usd)) for usd in (0.0, 3.0, 6.0)])
    assert found["net_usd"] == (3.0, pytest.approx(3 / math.sqrt(3)))


def test_one_replicate_has_no_standard_error():
    assert math.isnan(shift([frame((1, 2, 0.0, 3.0))])["net_usd"][1])


def test_changes_leave_out_what_did_not_move():
    truth = pl.DataFrame({"admission_id": [1, 2, 3], "drg": [10, 20, 30], "usd": [1.0, 2.0, None]})
    billed = pl.DataFrame({"admission_id": [3, 2, 1], "drg": [30, 20, 11], "usd": [5.0, 2.0, 1.0]})
    assert changes(truth, billed)["admission_id"].to_list() == [3, 1]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(0, 99), st.integers(0, 99)), max_size=30))
def test_transitions_and_stayers_add_up_to_the_shift(rows: list[tuple[int, int, float, float]]):
    one = frame(*rows)
    stayed = one.filter(pl.col("drg") == pl.col("billed_drg")).select((pl.col("billed_usd") - pl.col("usd")).sum())
    total = transitions([one])["usd"].sum() + stayed.item()
    assert total == pytest.approx(shift([one])["net_usd"][0])
