"""What was read is reported in a few lines, and keys that are text stay text through every command."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from drgsim.cli.command_line import main

HEADER = "claim_id,mrn,hospital_id,age,sex,discharge_status,dx1,poa1,dx2,poa2,pr1,los_days,covered_charges_usd"
ROW = "54,F,1,K81.0,Y,J96.01,Y,0FT44ZZ,5,60000"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hospitals.csv").write_text("hospital_id,wage_index,operating_ccr\n010001,1.05,0.28\n")
    return tmp_path


def test_keys_stay_text_from_claims_to_payment(folder: Path):
    """000123 is not 123, V0001 and 3E03317 are no numbers, and 010001 is a hospital with its zero."""
    keys = [("000123", "007", "010001"), ("V0001", "3E03317", "010001"), ("18446744073709551616", "1.0", "010001")]
    Path("claims.csv").write_text("\n".join([HEADER, *(f"{','.join(key)},{ROW}" for key in keys), ""]))
    assert main(["group", "claims.csv", "grouped.csv", "--version", "43.1", "-q"]) == 0
    assert main(["price", "grouped.csv", "paid.csv", "--hospitals", "hospitals.csv", "-q"]) == 0
    paid = pl.read_csv("paid.csv", infer_schema=False)
    assert paid.select("claim_id", "mrn", "hospital_id").rows() == keys
    assert paid["drg"].to_list() == ["417"] * 3
    assert paid["pay_code"].cast(pl.Int64).max() < 50


@pytest.mark.parametrize("asked", ["000123", "V0001", "18446744073709551616"])
def test_one_admission_is_explained_by_the_id_of_the_file(folder: Path, asked: str, capfd: pytest.CaptureFixture[str]):
    other = ROW.replace("K81.0", "I50.23").replace("0FT44ZZ", "")
    keys = ["000123", "V0001", "18446744073709551616", "123"]
    rows = [f"{key},1,010001,{ROW if key == asked else other}" for key in keys]
    Path("claims.csv").write_text("\n".join([HEADER, *rows, ""]))
    assert main(["explain", "claims.csv", "--id", asked, "--version", "43.1", "-q"]) == 0
    assert capfd.readouterr().out.startswith("MS-DRG 417: ")
    assert main(["explain", "claims.csv", "--id", "0123", "--version", "43.1", "-q"]) == 2
    assert "0 admissions have the --id asked for" in capfd.readouterr().err


def test_the_shared_file_of_a_text_id_is_explained(shared: Path, capfd: pytest.CaptureFixture[str]):
    path = str(shared / "faults/f30_text_id_wide.csv")
    assert main(["explain", path, "--id", "CLM-7", "--version", "43.1", "--hospital-status", "EXEMPT", "-q"]) == 0
    assert capfd.readouterr().out.startswith("MS-DRG 446: ")  # K81.0 alone


def test_a_missing_poa_names_the_option(shared: Path, capfd: pytest.CaptureFixture[str]):
    assert main(["group", str(shared / "faults/f30_text_id_wide.csv"), "--version", "43.1", "-q"]) == 2
    assert "--hospital-status EXEMPT" in capfd.readouterr().err


def test_codes_that_are_none_are_counted(folder: Path, capfd: pytest.CaptureFixture[str]):
    rows = [f"{number},1,010001,{ROW.replace('J96.01', code)}" for number, code in enumerate(("4019", "J9601", "ZZZ9"))]
    Path("claims.csv").write_text("\n".join([HEADER, *rows, ""]))
    assert main(["group", "claims.csv", "grouped.csv", "--version", "43.1"]) == 0
    lines = capfd.readouterr().err.splitlines()
    assert "drgsim: 2 of 3 secondary diagnoses are not codes of 43.1: 1 ICD-9, 1 something else" in lines
    assert main(["demo", "--claims", "claims.csv", "-q"]) == 0
    assert "2 of 3 secondary diagnoses are not codes of any version" in capfd.readouterr().out


def test_codes_are_counted_over_all_slices(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Slices without an unknown code count, too: 1 of 3, not 1 of 1."""
    monkeypatch.setattr("drgsim.cli.grouping_commands.SLICE", 1)
    rows = [f"{number},1,010001,{ROW.replace('J96.01', code)}" for number, code in enumerate(("4019", "J9601", "I10"))]
    Path("claims.csv").write_text("\n".join([HEADER, *rows, ""]))
    assert main(["group", "claims.csv", "grouped.csv", "--version", "43.1"]) == 0
    assert "1 of 3 secondary diagnoses are not codes of 43.1: 1 ICD-9\n" in capfd.readouterr().err


def test_a_report_of_many_lines_is_cut(folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setattr("drgsim.cli.frame_files._MOST_LINES", 3)
    odd = "old,F,1,K81.0,Y,J96.01,Y,0FT44ZZ,five,much"
    Path("claims.csv").write_text(f"{HEADER}\nA,1,010001,{ROW}\nB,1,010001,{odd}\n")
    assert main(["group", "claims.csv", "grouped.csv", "--version", "43.1"]) == 0
    lines = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("drgsim: grouped")]
    assert len(lines) == 3
    assert lines[-1].endswith("more lines in read_claims(..., report=True).report")
