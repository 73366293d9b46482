"""What is proposed for the columns of a file: names, contents, and how codes and POA indicators pair."""

from __future__ import annotations

from pathlib import Path

import pytest

from drgsim import group, read_claims
from drgsim.claim_fields.column_synonyms import match_field
from drgsim.claim_fields.discharge_words import find_status
from drgsim.claims import suggest_columns


def make(folder: Path, header: str, *rows: str) -> Path:
    path = folder / "export.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("names", "field"),
    [
        (
            ("Patient Account", "Acct #", "ACCT_NO", "Patient Control Number", "HAR", "Encounter ID", "Claim Number"),
            "claim_id",
        ),
        (("MRN", "Medical Record No", "Patient ID", "Member_ID"), "patient_id"),
        (("Gender", "SEX", "Pt Sex"), "sex"),
        (("DOB", "Birth Date", "Patient DOB", "BirthDate", "Date of Birth"), "birth_date"),
        (("Admit Date", "ADM_DT", "AdmissionDate", "Admit Dt/Tm", "Date Admitted"), "admission_date"),
        (("Disch Date", "DC Date", "DischargeDate", "DSCHRG_DT"), "discharge_date"),
        (
            ("Disch Disp", "Discharge Disposition", "DC Disp Code", "Pt Status", "Patient Discharge Status"),
            "discharge_status",
        ),
        (("LOS", "Length of Stay", "LOS Days"), "los_days"),
        (("Total Charges", "TOT_CHG", "Covered Charges", "Total Chrg Amt"), "covered_charges_usd"),
        (("Billed DRG", "MS-DRG", "MSDRG", "Final DRG Code"), "ms_drg_recorded"),
        (("Principal Dx", "Prin Diag", "Primary Diagnosis Code", "PDX"), "pdx"),
        (("Dx 2", "DIAG_CD_3", "ICD10 Dx 4", "Diagnosis Code 5"), "dx"),
        (("Sec Dx 1", "Other Diag 2", "Secondary Diagnosis 3"), "sdx"),
        (("Proc 1", "PX2", "ICD10 PCS Procedure 1", "Procedure Code 3"), "pr"),
        (("POA 1", "DX_POA_2", "Dx 3 POA Ind"), "poa"),
        (("Facility CCN", "Provider Number", "Hospital ID"), "hospital_id"),
        (("Admit Dx", "Admitting Diagnosis"), "admitting"),
        (("Attending Physician", "Payer", "DRG Weight", "Dx Desc 1", "APR DRG", "Proc Date 1", "Service Line"), None),
    ],
)
def test_names_as_people_have_them(names: tuple[str, ...], field: str | None):
    assert {name: match_field(name) for name in names} == dict.fromkeys(names, field)


def test_the_poa_indicators_of_an_export_pair_with_its_codes(tmp_path: Path):
    path = make(
        tmp_path,
        "Acct,Principal Dx,POA 1,Dx 2,POA 2,Dx 3,POA 3",
        "1,K81.0,Y,J96.01,N,I10,Y",
    )
    row = read_claims(path, columns=suggest_columns(path).to_mapping()).row(0, named=True)
    assert (row["pdx_poa"], row["sdx"], row["sdx_poa"]) == ("Y", ["J96.01", "I10"], ["N", "Y"])


def test_secondary_diagnoses_numbered_from_1_beside_poa_of_all(tmp_path: Path):
    path = make(
        tmp_path,
        "Acct,Prin Dx,Sec Dx 1,Sec Dx 2,POA 1,POA 2,POA 3",
        "1,K81.0,J96.01,I10,Y,N,W",
    )
    row = read_claims(path, columns=suggest_columns(path).to_mapping()).row(0, named=True)
    assert (row["pdx_poa"], row["sdx"], row["sdx_poa"]) == ("Y", ["J96.01", "I10"], ["N", "W"])


def test_content_overrules_a_name(tmp_path: Path):
    path = make(tmp_path, "Acct,Dx 1,Age,Sex", "1,K81.0,adult,F", "2,I10,child,M")
    suggestions = suggest_columns(path)
    assert "age" not in suggestions.columns
    assert any(
        note.startswith("Age: its name is that of age, its content is not (such as aaaaa)")
        for note in suggestions.notes
    )
    assert "adult" not in str(suggestions)


def test_codes_under_a_name_that_says_nothing_are_noted(tmp_path: Path):
    path = make(tmp_path, "Acct,Dx 1,Comorb 1,Comorb 2", "1,K81.0,J96.01,I10")
    assert (
        "Comorb {n}: holds diagnosis codes, not read; add it to sdx if they are of the claim."
        in suggest_columns(path).notes
    )


def test_words_of_discharge_become_statuses(tmp_path: Path):
    path = make(
        tmp_path, "Acct,Dx 1,Disch Disp", "1,K81.0,Home", "2,K81.0,Skilled Nursing Facility", "3,K81.0,Expired",
        "4,K81.0,Blue",
    )  # fmt: skip
    suggestions = suggest_columns(path)
    assert suggestions.values == {"discharge_status": {"Expired": "20", "Home": "01", "Skilled Nursing Facility": "03"}}
    assert read_claims(path, columns=suggestions.to_mapping())["discharge_status"].to_list() == [1, 3, 20, None]
    assert any("1 texts are no UB-04 status (such as Aaaa)" in note for note in suggestions.notes)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("Home Health", "06"), ("HHA", "06"), ("home w/ home health", "06"), ("AMA", "07"), ("LTACH", "63"),
        ("Inpatient Rehab", "62"), ("Hospice - Home", "50"), ("Hospice Facility", "51"), ("Died in hospital", "20"),
        ("Short-term hospital", "02"), ("Transferred to SNF", "03"), ("Psych hospital", "65"), ("Routine", "01"),
        ("Blue", None), ("", None),
    ],
)  # fmt: skip
def test_discharge_words(text: str, status: str | None):
    assert find_status(text) == status


def test_external_causes_follow_and_the_admitting_diagnosis_stays_out(tmp_path: Path):
    path = make(
        tmp_path, "Acct,Admit Dx,Dx 1,Dx 2,Ext Cause 1,External Cause 2", "1,R07.9,K81.0,J96.01,W01.0XXA,",
    )  # fmt: skip
    suggestions = suggest_columns(path)
    found = read_claims(path, columns=suggestions.to_mapping())
    assert found["pdx"].to_list() == ["K81.0"]
    assert "R07.9" not in found["sdx"].to_list()[0]
    assert found["sdx"].to_list()[0][0] == "J96.01"


def test_a_file_without_diagnoses_says_so(tmp_path: Path):
    suggestions = suggest_columns(make(tmp_path, "Acct,Age", "1,54"))
    assert suggestions.notes[0] == "no column of diagnoses found: give dx, or pdx and sdx."


def test_glued_indicators_are_seen_as_codes(tmp_path: Path):
    path = make(tmp_path, "Acct,Dx 1,Dx 2,Proc 1", "1,K81.0 (Y),J96.01-N,0FT44ZZ", "2,K81.0 (Y),J9601Y,")
    found = read_claims(path, columns=suggest_columns(path).to_mapping())
    assert found["sdx_poa"].to_list() == [["N"], ["Y"]]
    assert group(found, version="43.1")["drg"].to_list() == [417, 444]
