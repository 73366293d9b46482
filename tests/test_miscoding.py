"""Errors change what they say, nest as their rate rises, and do not depend on batches or order."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drgsim import InputError, TableSet, generate, group
from drgsim.attributes import attributes
from drgsim.encode import encode
from drgsim.grouper import group_encoded
from drgsim.miscoding import SdxAddUnsupported, SdxOmit

TABLES = TableSet.load("43.1")
ADMISSIONS = generate(2_000, seed=3, tables=TABLES)[1]
ENCODED = encode(ADMISSIONS, TABLES)
IDS = ADMISSIONS["admission_id"].to_numpy()


def severity(sdx: np.ndarray) -> np.ndarray:
    diagnoses = attributes(TABLES).diagnoses
    return diagnoses.scheme_severity[diagnoses.scheme[sdx]]


@pytest.mark.parametrize("error", [SdxOmit(), SdxAddUnsupported()])
def test_no_error_changes_nothing(error: SdxOmit | SdxAddUnsupported):
    billed, rows = error.apply(ENCODED, IDS, TABLES, seed=1)
    assert len(rows) == 0
    assert np.array_equal(billed.sdx, ENCODED.sdx)


def test_missing_every_mcc_leaves_none_and_touches_nothing_else():
    billed, rows = SdxOmit(mcc=1.0).apply(ENCODED, IDS, TABLES, seed=1)
    assert not (severity(billed.sdx) == 2).any()
    changed = billed.sdx != ENCODED.sdx
    assert np.array_equal(changed, severity(ENCODED.sdx) == 2)
    assert np.array_equal(np.unique(ENCODED.sdx_row[changed]), rows)


def test_an_encoded_omission_is_the_claim_without_the_code():
    billed, rows = SdxOmit(cc=0.5, mcc=0.5).apply(ENCODED, IDS, TABLES, seed=1)
    kept = (billed.sdx > 0) | (ENCODED.sdx == 0)
    lists = pl.DataFrame({"row": ENCODED.sdx_row, "kept": kept}).group_by("row", maintain_order=True).agg("kept")
    whole = pl.DataFrame({"row": np.arange(len(ADMISSIONS), dtype=np.int32)}).join(lists, on="row", how="left")
    frame = ADMISSIONS.with_columns(whole["kept"])
    pairs = [
        ([c for c, k in zip(row["sdx"], row["kept"] or [], strict=True) if k],
         [p for p, k in zip(row["sdx_poa"], row["kept"] or [], strict=True) if k])
        for row in frame.iter_rows(named=True)
    ]  # fmt: skip
    written = ADMISSIONS.with_columns(sdx=pl.Series([c for c, _ in pairs]), sdx_poa=pl.Series([p for _, p in pairs]))
    assert group(written, TABLES)["drg"].to_list() == group_encoded(billed, TABLES).drg.tolist()
    assert len(rows) > 500


def test_an_added_code_is_a_new_mcc_at_the_end_of_its_row():
    billed, rows = SdxAddUnsupported(rate=0.3).apply(ENCODED, IDS, TABLES, seed=1)
    assert np.array_equal(np.diff(billed.sdx_start) - np.diff(ENCODED.sdx_start), np.isin(np.arange(2_000), rows))
    last = billed.sdx[billed.sdx_start[rows + 1] - 1]
    assert (severity(last) == 2).all()
    for row, code in zip(rows[:50], last, strict=False):
        assert code not in ENCODED.sdx[ENCODED.sdx_start[row] : ENCODED.sdx_start[row + 1]]
    again = billed.take(rows)
    assert len(group_encoded(again, TABLES).drg) == len(rows)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_errors_nest_as_the_rate_rises(one: float, other: float):
    low, high = sorted((one, other))
    few = SdxAddUnsupported(rate=low).apply(ENCODED, IDS, TABLES, seed=5)[1]
    many = SdxAddUnsupported(rate=high).apply(ENCODED, IDS, TABLES, seed=5)[1]
    assert set(few) <= set(many)
    missed = SdxOmit(cc=low, mcc=low).apply(ENCODED, IDS, TABLES, seed=5)[0].sdx == 0
    more = SdxOmit(cc=high, mcc=high).apply(ENCODED, IDS, TABLES, seed=5)[0].sdx == 0
    assert not (missed & ~more).any()


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(60)))
def test_draws_follow_the_admission_not_its_place(order: list[int]):
    rows = np.array(order)
    error = SdxAddUnsupported(rate=0.4)
    there = set(error.apply(ENCODED.rows(0, 60), IDS[:60], TABLES, seed=9)[1])
    elsewhere = error.apply(ENCODED.take(rows), IDS[rows], TABLES, seed=9)[1]
    assert {order[row] for row in elsewhere} == there


def test_replicates_and_seeds_differ():
    error = SdxOmit(cc=0.1, mcc=0.1)
    drawn = [
        error.apply(ENCODED, IDS, TABLES, seed=seed, replicate=replicate)[1].tolist()
        for seed, replicate in ((1, 0), (1, 1), (2, 0))
    ]
    assert drawn[0] != drawn[1]
    assert drawn[0] != drawn[2]


def test_the_share_missed_is_the_rate():
    billed, _ = SdxOmit(cc=0.2).apply(ENCODED, IDS, TABLES, seed=1)
    exposed = severity(ENCODED.sdx) == 1
    share = (billed.sdx[exposed] == 0).mean()
    assert abs(share - 0.2) < 4 * (0.2 * 0.8 / exposed.sum()) ** 0.5


@pytest.mark.parametrize("rates", [{"cc": -0.1}, {"mcc": 1.1}, {"other": 0.1}])
def test_a_rate_out_of_range_or_unknown_is_refused(rates: dict[str, float]):
    with pytest.raises(ValidationError):
        SdxOmit(**rates)


def test_a_code_that_is_no_mcc_is_refused():
    with pytest.raises(InputError, match=r"no MCC in 43\.1: I10"):
        SdxAddUnsupported(rate=0.1, codes=("I10", "J96.01")).apply(ENCODED, IDS, TABLES, seed=1)
