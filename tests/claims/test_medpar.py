"""MedPAR: names of both eras, versions of ICD, stays that are none of IPPS."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl

from drgsim import group
from drgsim.claims import map_claims

HEADER = (
    "BENE_ID,MEDPAR_ID,BENE_AGE_CNT,BENE_SEX_CD,PRVDR_NUM,SS_LS_SNF_IND_CD,ADMSN_DT,DSCHRG_DT,LOS_DAY_CNT,"
    "DSCHRG_DSTNTN_CD,TOT_CVR_CHRG_AMT,DRG_CD,ADMTG_DGNS_CD,DGNS_1_CD,DGNS_VRSN_CD_1,POA_DGNS_1_IND_CD,DGNS_2_CD,"
    "DGNS_VRSN_CD_2,POA_DGNS_2_IND_CD,DGNS_E_1_CD,POA_DGNS_E_1_IND_CD,SRGCL_PRCDR_1_CD,SRGCL_PRCDR_VRSN_CD_1"
)


def test_a_stay(tmp_path: Path):
    path = tmp_path / "medpar.csv"
    path.write_text(
        f"{HEADER}\n"
        "B,9001,71,2,010001,S,20260110,20260115,5,03,25000.00,417,R079,K810,0,Y,J9601,0,Y,W010XXA,Y,0FT44ZZ,0\n"
        "B,9002,71,1,010001,N,20260110,20260115,5,01,25000.00,417,R079,K810,0,Y,4019,9,Y,,,,\n"
    )
    claims = map_claims(path)
    assert claims.layout == "medpar"
    row = claims.admissions.row(0, named=True)
    assert (row["claim_id"], row["patient_id"], row["hospital_id"]) == ("9001", "B", "010001")
    assert (row["age"], row["sex"], row["discharge_status"], row["los_days"]) == (71, "F", 3, 5)
    assert row["discharge_date"] == dt.date(2026, 1, 15)
    assert (row["pdx"], row["sdx"], row["sdx_poa"]) == ("K810", ["J9601", "W010XXA"], ["Y", "Y"])
    assert claims.admissions["sdx"].to_list()[1] == []
    assert (1, "SS_LS_SNF_IND_CD", "no inpatient claim") in claims.flags.rows()
    assert (1, "code", "ICD-9 codes, left out") in claims.flags.rows()
    assert group(claims.admissions, version="43.1")["drg"].to_list()[0] == row["ms_drg_recorded"] == 417


def test_parquet_is_read_alike(tmp_path: Path):
    values = "B,9001,71,2,010001,S,20260110,20260115,5,03,25000.00,417,R079,K810,0,Y,J9601,0,Y,,,0FT44ZZ,0"
    cells = ([value] for value in values.split(","))
    frame = pl.DataFrame(dict(zip(HEADER.split(","), cells, strict=True)))
    frame = frame.with_columns(pl.col("BENE_AGE_CNT", "LOS_DAY_CNT").cast(pl.Float64))
    frame.write_parquet(tmp_path / "medpar.parquet")
    frame.write_csv(tmp_path / "medpar.csv")
    read = [map_claims(tmp_path / f"medpar.{suffix}").admissions for suffix in ("parquet", "csv")]
    assert read[0].equals(read[1])
