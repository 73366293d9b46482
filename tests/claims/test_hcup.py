"""HCUP files: marks of missing values, dates, dispositions, many diagnoses."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from drgsim import read_claims
from drgsim.claims.layouts import map_claims
from tests.support.claim_files import reasons


def test_faults_of_hcup_rows(tmp_path: Path) -> None:
    path = tmp_path / "nis.csv"
    path.write_text(
        "key_nis,age,female,dispuniform,i10_dx1,i10_dx2,i10_dx3,i10_ecause1,i10_pr1,los,totchg,year,dmonth,drg,race\n"
        "1,-9,0,5,K810,,I10,W19XXXA,0FT44ZZ,0,-99999999,2023,12,419,1\n"
        "2,71,.A,99,K810,,,,,3,1000,99999999999,1,419,2\n"
        "3,50,1,-8,,I10,,,,3,1000,2023,13,419,\n"
    )
    claims = map_claims(path)
    assert claims.layout == "hcup"
    got = claims.admissions
    assert got["age"].to_list() == [None, 71, 50]
    assert got["sex"].to_list() == ["M", None, "F"]
    assert got["discharge_status"].to_list() == [3, 1, None]
    assert got["sdx"].to_list() == [["I10", "W19XXXA"], [], ["I10"]]
    assert got["discharge_date"].to_list() == [dt.date(2023, 12, 1), None, None]
    assert got["covered_charges_usd"].to_list() == [None, 1000.0, 1000.0]
    assert got["los_days"].to_list() == [0, 3, 3]
    assert got["RACE"].to_list() == ["1", "2", None]
    assert "sdx_poa" not in got.columns
    rows = reasons(claims)
    assert rows[("dx", "gap in sequence numbers")] == [0, 2]
    assert rows[("discharge_status", "5 (other facility) taken as 03")] == [0]
    assert rows[("discharge_status", "99 (alive, place unknown) taken as 01")] == [1]
    assert rows[("pdx", "no principal diagnosis")] == [2]
    assert rows[("age", "not given")] == [0]
    report = {(field, reason): count for field, reason, count in claims.report.iter_rows()}
    assert report[("AGE", "missing or invalid as HCUP marks it, left blank")] == 1
    assert report[("RACE", "not mapped, kept as it is")] == 2


def test_forty_diagnoses_stay_in_order(tmp_path: Path) -> None:
    names = ",".join(f"I10_DX{i}" for i in range(1, 41))
    codes = [f"A{i:03}" for i in range(40)]
    (tmp_path / "nis.csv").write_text(f"KEY_NIS,{names}\n1,{','.join(codes)}\n")
    row = read_claims(tmp_path / "nis.csv").row(0, named=True)
    assert [row["pdx"], *row["sdx"]] == codes
