"""Tables of the Tuva data model: lines of claims, and conditions."""

from __future__ import annotations

from pathlib import Path

from drgsim import group
from drgsim.claims import map_claims


def test_the_shared_file_is_417(shared: Path):
    claims = map_claims(shared / "faults" / "f32_tuva.csv")
    assert claims.layout == "tuva"
    row = claims.admissions.row(0, named=True)
    assert (row["claim_id"], row["los_days"], row["discharge_status"], row["sdx_poa"]) == ("C1", 5, 1, ["Y"])
    assert group(claims.admissions, version="43.1")["drg"].to_list() == [417]


def test_lines_of_a_claim_become_one_row_and_their_charges_are_added(tmp_path: Path):
    path = tmp_path / "medical_claim.csv"
    path.write_text(
        "claim_id,claim_line_number,claim_type,bill_type_code,charge_amount,diagnosis_code_type,diagnosis_code_1,"
        "diagnosis_code_2,procedure_code_type,procedure_code_1,facility_npi\n"
        "B,2,institutional,111,50.25,icd-10-cm,K810,J9601,icd-10-pcs,0FT44ZZ,0012345678\n"
        "A,1,professional,,10.00,icd-10-cm,I10,,hcpcs,99213,\n"
        "B,1,institutional,111,100.00,icd-10-cm,K810,J9601,icd-10-pcs,0FT44ZZ,0012345678\n"
    )
    claims = map_claims(path)
    found = claims.admissions
    assert found["claim_id"].to_list() == ["B", "A"]
    assert found["covered_charges_usd"].to_list() == [150.25, 10.0]
    assert found["hospital_id"].to_list() == ["0012345678", None]
    assert found["procedures"].to_list() == [["0FT44ZZ"], []]
    assert ("claim_line_number", "lines of a claim, the first taken, their charges added", 1) in claims.report.rows()
    assert (1, "claim_type", "no inpatient claim") in claims.flags.rows()
    assert (1, "procedure_code_type", "codes of another kind, left out") in claims.flags.rows()


def test_conditions_become_one_row_an_encounter(tmp_path: Path):
    path = tmp_path / "condition.csv"
    path.write_text(
        "condition_id,person_id,encounter_id,recorded_date,source_code_type,source_code,condition_rank,"
        "present_on_admit_code\n"
        "1,P,E1,2026-01-10,icd-10-cm,I10,2,Y\n2,P,E1,2026-01-10,icd-10-cm,K810,1,Y\n3,Q,E2,2026-01-11,snomed-ct,123,1,\n"
    )
    claims = map_claims(path)
    assert claims.layout == "tuva"
    assert claims.admissions.select("claim_id", "patient_id", "pdx", "sdx").rows() == [
        ("E1", "P", "K810", ["I10"]),
        ("E2", "Q", None, []),
    ]
    assert ("procedures", "not in the file", 2) in claims.report.rows()
