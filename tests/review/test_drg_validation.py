"""Billed against computed DRG: README's table on real admissions, dollars to the cent, reasons."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from drgsim import Rates, SchemaError, TableSet, generate, group, price, read_claims
from drgsim.review import validate_drgs

TABLES, RATES = TableSet.load("43.1"), Rates.load(2026)
MIMIC = Path(os.environ.get("DRGSIM_SHARED", Path(__file__).parents[3] / "shared")) / "real/mimic_iv_demo"
CASE = {
    "admission_id": [7],
    "age": [54],
    "sex": ["F"],
    "discharge_status": [1],
    "pdx": ["K81.0"],
    "sdx": [["J96.01"]],
    "sdx_poa": [["Y"]],
    "procedures": [["0FT44ZZ"]],
}


@pytest.fixture(scope="module")
def stays() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Hospitals, and admissions of which every fifth is billed with another DRG of the file."""
    hospitals, admissions = generate(600, seed=5, tables=TABLES)
    drg = group(admissions, TABLES)["drg"].cast(pl.Int64)
    moved = drg.shift(1).fill_null(470)
    number = pl.int_range(len(drg))
    billed = pl.when(number % 5 == 0).then(moved).when(number % 7 == 0).then(None).otherwise(drg)
    return hospitals, admissions.with_columns(billed_drg=billed, account=number.cast(pl.String))


@pytest.mark.skipif(not MIMIC.exists(), reason="the MIMIC-IV demo of the reference data is not there")
@pytest.mark.parametrize(
    ("version", "year", "expected"), [("40.0", 2024, (85, 2, 8, 4)), ("43.1", 2026, (83, 2, 10, 4))]
)
def test_it_reproduces_the_table_of_the_readme(version: str, year: int, expected: tuple[int, ...]):
    claims = read_claims(MIMIC)
    found = validate_drgs(claims, "ms_drg_recorded", tables=TableSet.load(version), rates=Rates.load(year))
    counts = dict(found.summary().select("agreement", "accounts").iter_rows())
    assert tuple(counts[name] for name in ("equal", "other severity", "other family", "ungroupable")) == expected
    assert counts["no billed DRG"] == 24
    invalid = found.accounts.filter(pl.col("agreement") == "ungroupable")["reasons"].list.join(" ")
    assert all("no code of this version" in text for text in invalid)
    assert "subject_id" in found.accounts.columns


def test_dollars_are_those_of_price_on_both_sides(stays: tuple[pl.DataFrame, pl.DataFrame]):
    hospitals, claims = stays
    found = validate_drgs(claims, tables=TABLES, hospitals=hospitals, rates=RATES).accounts.sort("admission_id")
    grouped = group(claims, TABLES).sort("admission_id")
    computed = price(grouped, hospitals, RATES)["total_usd"]
    billed = price(grouped.with_columns(drg=pl.col("billed_drg").cast(pl.UInt16)), hospitals, RATES)["total_usd"]
    assert found["computed_usd"].to_list() == computed.to_list()
    has = found["billed_drg"].is_not_null()
    assert found.filter(has)["billed_usd"].to_list() == billed.filter(has).to_list()
    expected = [round(100 * b) - round(100 * c) for b, c in zip(billed.filter(has), computed.filter(has), strict=True)]
    assert [round(100 * usd) for usd in found.filter(has)["usd_difference"]] == expected
    assert found.filter(~has)["usd_difference"].null_count() == (~has).sum()


def test_the_summary_adds_up(stays: tuple[pl.DataFrame, pl.DataFrame]):
    hospitals, claims = stays
    summary = validate_drgs(claims, tables=TABLES, hospitals=hospitals, rates=RATES).summary()
    parts, total = summary.head(-1), summary.row(-1, named=True)
    for name in ("accounts", "billed_usd", "computed_usd", "overpaid_usd", "underpaid_usd", "net_usd"):
        assert round(100 * parts[name].sum()) == round(100 * total[name])
    assert round(100 * (total["overpaid_usd"] - total["underpaid_usd"])) == round(100 * total["net_usd"])
    assert round(100 * (total["billed_usd"] - total["computed_usd"])) == round(100 * total["net_usd"])


def test_the_order_of_rows_changes_nothing(stays: tuple[pl.DataFrame, pl.DataFrame]):
    hospitals, claims = stays
    given = {"tables": TABLES, "hospitals": hospitals, "rates": RATES}
    one, other = validate_drgs(claims, **given), validate_drgs(claims.sample(fraction=1, shuffle=True, seed=1), **given)
    assert_frame_equal(one.accounts, other.accounts)
    assert_frame_equal(one.summary(), other.summary())


def test_versions_follow_discharge_dates(stays: tuple[pl.DataFrame, pl.DataFrame]):
    import datetime as dt

    claims = (
        stays[1]
        .head(6)
        .with_columns(discharge_date=pl.Series([dt.date(2026, 5, 1), dt.date(2024, 1, 1), dt.date(1999, 1, 1)] * 2))
    )
    found = validate_drgs(claims).accounts.sort("admission_id")
    assert found["version"].to_list() == ["43.1", "41.0", None] * 2
    assert found.row(2, named=True)["reasons"] == ["no grouper version is in force on the date"]


def test_reasons_name_severity_and_code():
    found = validate_drgs(pl.DataFrame({**CASE, "billed_drg": [419]}), tables=TABLES, rates=RATES)
    assert found.accounts["computed_drg"].item() == 417
    assert found.accounts["billed_title"].item() == "Laparoscopic Cholecystectomy without C.D.E. without CC/MCC"
    reasons = found.accounts["reasons"].item().to_list()
    assert reasons == [
        "lower severity billed: MCC from J9601",
        "a code the billed DRG lacks: without J9601 it follows",
    ]
    assert "fraud" not in str(found).lower()


@pytest.mark.parametrize("billed", [["0417"], [417.0], [" 417 "]])
def test_a_billed_drg_may_be_text(billed: list[object]):
    found = validate_drgs(pl.DataFrame({**CASE, "billed_drg": billed}), tables=TABLES)
    assert found.accounts["agreement"].item() == "equal"


def test_what_is_no_drg_is_refused():
    with pytest.raises(SchemaError, match="row 0: no DRG from 1 to 999"):
        validate_drgs(pl.DataFrame({**CASE, "billed_drg": ["K81"]}), tables=TABLES)
    with pytest.raises(SchemaError, match="lack the column 'drg_billed'"):
        validate_drgs(pl.DataFrame({**CASE, "billed_drg": ["K81"]}), "drg_billed", tables=TABLES)
