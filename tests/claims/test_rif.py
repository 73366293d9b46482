"""RIF files: published samples, faults of rows, revenue lines."""

from __future__ import annotations

import csv
import datetime as dt
import math
from pathlib import Path

import polars as pl

from drgsim.claims.layouts import map_claims
from tests.support.claim_files import reasons


def test_the_synthetic_rif_file(shared: Path) -> None:
    path = shared / "real/bfd_synthea_rif/rif-synthea_inpatient.csv"
    claims = map_claims(path)
    with path.open() as file:
        source = list(csv.DictReader(file, delimiter="|"))
    assert claims.layout == "rif"
    assert claims.admissions.height == len(source) == 16
    for row, line in zip(claims.admissions.iter_rows(named=True), source, strict=True):
        listed = [(line[f"ICD_DGNS_CD{i}"], line[f"CLM_POA_IND_SW{i}"].strip()) for i in range(1, 26)]
        listed = [pair for pair in listed if pair[0]]
        place = [code for code, _ in listed].index(line["PRNCPAL_DGNS_CD"])
        assert (row["pdx"], row["pdx_poa"]) == listed.pop(place)
        external = [(line[f"ICD_DGNS_E_CD{i}"].strip(), line[f"CLM_E_POA_IND_SW{i}"].strip()) for i in range(1, 13)]
        listed += [pair for pair in external if pair[0]]
        assert list(zip(row["sdx"], row["sdx_poa"], strict=True)) == listed
        assert row["claim_id"] == line["CLM_ID"]
        assert row["discharge_status"] == int(line["PTNT_DSCHRG_STUS_CD"])
        assert f"{row['discharge_date']:%d-%b-%Y}" == line["NCH_BENE_DSCHRG_DT"]
        assert row["hospital_id"] == line["PRVDR_NUM"]
        covered = float(line["CLM_TOT_CHRG_AMT"]) - float(line["NCH_IP_NCVRD_CHRG_AMT"])
        assert math.isclose(row["covered_charges_usd"], covered)
        assert row["CLM_PMT_AMT"] == line["CLM_PMT_AMT"]
    assert claims.admissions["ms_drg_recorded"].drop_nulls().to_list() == [375]
    assert reasons(claims) == {("pdx", "not the first of ICD_DGNS_CD1 to 25"): [0]}
    assert set(claims.report["reason"]) >= {"not in the file", "not mapped, kept as it is"}


def test_the_hand_made_rif_record(shared: Path) -> None:
    claims = map_claims(shared / "real/bfd_synthea_rif/rif-static-samples_sample-a-inpatient.txt")
    row = claims.admissions.row(0, named=True)
    assert (row["claim_id"], row["patient_id"], row["hospital_id"]) == ("333333222222", "567834", "777776")
    assert (row["pdx"], row["pdx_poa"], row["discharge_status"]) == ("A40", "Y", 51)
    assert row["sdx"] == ["A52", "A06", "A15", "B01", "A01", "A02"]
    assert row["sdx_poa"] == ["N", "N", "N", "N", "N", "Y"]
    assert row["procedures"] == ["BQ0HZZZ", "CD1YYZZ", "2W52X6Z", "BP17ZZZ", "D9YD8ZZ", "F00ZCKZ"]
    assert (row["discharge_date"], row["los_days"], row["ms_drg_recorded"]) == (dt.date(2016, 1, 27), 12, 695)
    assert row["covered_charges_usd"] == 84999.37 - 33.0
    assert claims.flags.is_empty()


def test_skilled_nursing_claims_are_told_from_inpatient_ones(shared: Path) -> None:
    claims = map_claims(shared / "real/bfd_synthea_rif/rif-synthea_snf.csv")
    assert claims.admissions.height == 1
    assert reasons(claims)[("NCH_CLM_TYPE_CD", "no inpatient claim")] == [0]
    folded = claims.report.filter(pl.col("reason").str.starts_with("revenue lines"))
    assert folded["count"].to_list() == [66]


RIF = "CLM_ID|NCH_CLM_TYPE_CD|PTNT_DSCHRG_STUS_CD|PRNCPAL_DGNS_CD|PRNCPAL_DGNS_VRSN_CD|"
DX = "ICD_DGNS_CD1|ICD_DGNS_VRSN_CD1|CLM_POA_IND_SW1|ICD_DGNS_CD2|ICD_DGNS_VRSN_CD2|CLM_POA_IND_SW2|ICD_DGNS_CD3"


def test_faults_of_rif_rows_are_flagged_and_no_row_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "inpatient.csv"
    rows = [
        "1|60|01|K810|0|K810|0|Y|I10|0|Q|",
        "2|60|01|25000|9|25000|9|Y|I10|0|Y|",
        "3|60|01|E8881|9|E8881|9|Y|4019|9|Y|",
        "4|60|01|K810|0|I10|0|N||||E119",
        "5|60|01||||||I10|0|Y|",
        "|61|x1|K810|0|K810|0|Y||||",
        "7|40|01|K810|0|K810|0|Y||||",
        "8|60|01|K810|0|K810|0|Y",
        "9|60|01|K810|0|K810|0|Y||||||spare",
        "1|60|01|K810|0|K810|0|Y|||||",
    ]
    path.write_text("\n".join([RIF + DX, *rows]))
    claims = map_claims(path)
    assert claims.admissions["pdx"].to_list() == [
        "K810",
        None,
        None,
        "K810",
        None,
        "K810",
        "K810",
        "K810",
        "K810",
        "K810",
    ]
    assert claims.admissions["sdx"].to_list()[:5] == [["I10"], ["I10"], [], ["I10", "E119"], ["I10"]]
    assert claims.admissions["sdx_poa"].to_list()[:5] == [["Q"], ["Y"], [], ["N", ""], ["Y"]]
    assert claims.admissions["pdx_poa"].to_list()[3:5] == ["", None]
    assert reasons(claims) == {
        ("row", "fewer fields than the header"): [7],
        ("row", "more fields than the header"): [8],
        ("NCH_CLM_TYPE_CD", "no inpatient claim"): [6],
        ("pdx", "not among ICD_DGNS_CD1 to 25, POA unknown"): [3],
        ("code", "ICD-9 codes, left out"): [1, 2],
        ("code", "ICD-9 and ICD-10 codes mixed"): [1],
        ("dx", "gap in sequence numbers"): [3, 4],
        ("poa", "unknown POA indicator, kept"): [0],
        ("pdx", "no principal diagnosis"): [1, 2, 4],
        ("discharge_status", "unreadable, left blank"): [5],
        ("claim_id", "no identifier, the row number taken"): [5],
        ("claim_id", "identifier of more than one row"): [0, 9],
    }  # fmt: skip


def test_revenue_lines_fold_into_their_claim(tmp_path: Path) -> None:
    path = tmp_path / "inpatient.csv"
    head = "CLM_ID,CLM_LINE_NUM,REV_CNTR,CLM_TOT_CHRG_AMT,PRNCPAL_DGNS_CD,ICD_DGNS_CD1"
    path.write_text(head + "\nB,1,0120,10,K810,K810\nA,1,0120,7,I10,I10\nB,2,0001,10,K810,K810\nA,2,0001,8,I10,I10\n")
    claims = map_claims(path)
    assert claims.admissions.select("claim_id", "pdx", "covered_charges_usd").rows() == [
        ("B", "K810", 10),
        ("A", "I10", 7),
    ]
    assert reasons(claims)[("claim_id", "lines of the claim disagree, the first taken")] == [1]
    assert "REV_CNTR" not in claims.admissions.columns
