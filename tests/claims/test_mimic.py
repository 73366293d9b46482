"""MIMIC-IV: module tables give the admissions of the demo."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from drgsim import InputError, TableSet, group, read_claims
from drgsim.claims.layouts import map_claims
from tests.support.claim_files import reasons


@pytest.fixture
def module(shared: Path, tmp_path: Path) -> Path:
    """The demo as module tables: admissions, patients, diagnoses_icd, procedures_icd, drgcodes."""
    demo, home = shared / "real/mimic_iv_demo", tmp_path / "hosp"
    home.mkdir()
    wide = pl.read_csv(demo / "admissions_icd10_wide.csv", infer_schema=False)
    facts = ("subject_id", "hadm_id", "admittime", "dischtime", "admission_type", "discharge_location", "insurance")
    wide.select(facts).write_csv(home / "admissions.csv")
    year = pl.col("admittime").str.slice(0, 4).cast(pl.Int32)
    # The anchor may be any year; here two before the admission.
    patients = wide.select(
        "subject_id", gender="sex", anchor_age=pl.col("age").cast(pl.Int32) - 2, anchor_year=year - 2, at="admittime"
    )
    patients.sort("at").unique("subject_id", keep="first").drop("at").write_csv(home / "patients.csv")
    for name, kind in (("diagnoses_icd10", "diagnoses_icd"), ("procedures_icd10", "procedures_icd")):
        codes = pl.read_csv(demo / f"{name}.csv", infer_schema=False).with_columns(icd_version=pl.lit("10"))
        codes.sample(fraction=1, shuffle=True, seed=3).write_csv(home / f"{kind}.csv")
    drgs = pl.read_csv(demo / "ms_drg_recorded.csv", infer_schema=False).rename({"ms_drg": "drg_code"})
    both = [drgs.with_columns(drg_type=pl.lit(kind)) for kind in ("APR", "HCFA")]
    pl.concat(both).write_csv(home / "drgcodes.csv")
    return tmp_path


def test_module_tables_give_the_demo(module: Path, shared: Path) -> None:
    claims, demo = map_claims(module), read_claims(shared / "real/mimic_iv_demo")
    assert claims.layout == "mimic_iv"
    assert claims.admissions.height == demo.height == 123
    for name in ("admission_id", "pdx", "sdx", "procedures", "sex", "discharge_status"):
        assert claims.admissions[name].equals(demo[name]), name
    recorded = pl.col("ms_drg_recorded").cast(pl.Int64)
    assert claims.admissions.select(recorded).equals(demo.select(recorded))
    days = (claims.admissions["los_days"] - demo["los_days"]).abs()
    assert days.max() <= 1
    # Patients are anchored two years before their earliest admission; MIMIC-IV counts calendar years from there.
    earliest = (pl.col("admittime") == pl.col("admittime").min().over("patient_id")).alias("earliest")
    at = claims.admissions.select(earliest).to_series()
    assert at.sum() > 40
    assert claims.admissions["age"].filter(at).equals(demo["age"].cast(pl.Int32).filter(at))
    grouped = group(claims.admissions, TableSet.load("40.0"), hospital_status="EXEMPT")
    assert (grouped["initial_drg"] == grouped["ms_drg_recorded"]).sum() == 85


def test_icd_9_admissions_of_mimic_are_flagged(tmp_path: Path) -> None:
    tables = {
        "admissions": "subject_id,hadm_id,admittime,dischtime,discharge_location\n"
        "1,10,2150-01-01 10:00:00,2150-01-04 09:00:00,HOME\n1,11,2152-05-01 10:00:00,2152-05-01 22:00:00,\n"
        "2,12,2150-01-01 10:00:00,2149-01-04 09:00:00,MOON\n",
        "patients": "subject_id,gender,anchor_age,anchor_year\n1,F,60,2150\n",
        "diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version\n1,10,1,25000,9\n1,10,2,4019,9\n"
        "1,11,1,K810,10\n1,11,2,4019,9\n1,11,4,I10,10\n1,11,4,E119,10\n9,99,1,I10,10\n",
        "procedures_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version\n1,11,1,0FT44ZZ,10\n",
    }
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text)
    claims = map_claims(tmp_path)
    got = claims.admissions
    assert got["pdx"].to_list() == [None, "K810", None]
    assert got["sdx"].to_list() == [[], ["I10", "E119"], []]
    assert got["age"].to_list() == [60, 62, None]
    assert got["los_days"].to_list() == [3, 0, None]
    assert got["discharge_status"].to_list() == [1, 1, None]
    rows = reasons(claims)
    assert rows[("code", "ICD-9 codes, left out")] == [0, 1]
    assert rows[("code", "ICD-9 and ICD-10 codes mixed")] == [1]
    assert rows[("dx", "duplicate sequence number")] == [1]
    assert rows[("dx", "gap in sequence numbers")] == [1]
    assert rows[("pdx", "no principal diagnosis")] == [0, 2]
    assert ("dx", "codes of admissions that are not in admissions, left out", 1) in claims.report.rows()
    (tmp_path / "patients.csv").unlink()
    with pytest.raises(InputError, match="lacks the table patients"):
        read_claims(tmp_path)
