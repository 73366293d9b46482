"""One's own columns: mappings, what they derive, and every problem of a file at once."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from drgsim import InputError, SchemaError, group, read_claims, write
from drgsim.claims import ColumnMapping, check_claim_columns, map_claims, suggest_columns
from tests.support.export_made import make_export, make_rows

COLUMNS = {
    "claim_id": "Patient Account",
    "sex": "Gender",
    "birth_date": "Patient DOB",
    "admission_date": "Admit Date",
    "discharge_date": "Disch Date",
    "discharge_status": "Disch Disp",
    "covered_charges_usd": "Total Charges",
    "ms_drg_recorded": "Billed DRG",
    "pdx": "Principal Dx",
    "dx": "Dx {n}",
    "poa": "POA {n}",
    "pr": "Proc {n}",
}
HEADER = (
    "Patient Account,Gender,Patient DOB,Admit Date,Disch Date,Disch Disp,Total Charges,Billed DRG,"
    "Principal Dx,Dx 2,Dx 03,POA 2,POA 3,Proc 1,Attending NPI"
)
ROW = '000123,Female,02/28/1955,01/10/26,01/15/2026,03 - SNF,"$131,370.09",083,K81.0,J96.01,I10,N,Y,0FT44ZZ,0098'


def make(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "export.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def write_toml(folder: Path, text: str) -> Path:
    path = folder / "columns.toml"
    path.write_text(text)
    return path


def test_own_names_are_read(tmp_path: Path):
    claims = map_claims(make(tmp_path, ROW), columns=COLUMNS)
    row = claims.admissions.row(0, named=True)
    assert claims.layout == "columns"
    assert row["claim_id"] == "000123"
    assert (row["age"], row["sex"], row["los_days"], row["discharge_status"]) == (70, "F", 5, 3)
    assert row["discharge_date"] == dt.date(2026, 1, 15)
    assert row["covered_charges_usd"] == 131370.09
    assert row["ms_drg_recorded"] == 83
    assert (row["pdx"], row["sdx"], row["sdx_poa"]) == ("K81.0", ["J96.01", "I10"], ["N", "Y"])
    assert row["procedures"] == ["0FT44ZZ"]
    assert row["Attending NPI"] == "0098"
    assert group(claims.admissions, version="43.1")["drg"].to_list() == [417]


def test_a_toml_file_says_the_same(tmp_path: Path):
    text = "".join(f'{name} = "{column}"\n' for name, column in COLUMNS.items())
    path = make(tmp_path, ROW)
    assert read_claims(path, columns=write_toml(tmp_path, text)).equals(read_claims(path, columns=COLUMNS))


def test_names_differ_in_case_and_blanks(tmp_path: Path):
    loose = {"claim_id": "patient  ACCOUNT", "pdx": "principal dx", "dx": "DX {n}"}
    assert read_claims(make(tmp_path, ROW), columns=loose)["pdx"].to_list() == ["K81.0"]


def test_without_pdx_the_first_diagnosis_is_the_principal_one(tmp_path: Path):
    path = make(tmp_path, "7,K81.0,Y,J96.01,N", header="Acct,Diag01,P01,Diag02,P02")
    row = read_claims(path, columns={"claim_id": "Acct", "dx": "Diag{n}", "poa": "P{n}"}).row(0, named=True)
    assert (row["pdx"], row["pdx_poa"], row["sdx"], row["sdx_poa"]) == ("K81.0", "Y", ["J96.01"], ["N"])


def test_lists_of_columns_and_lists_in_cells(tmp_path: Path):
    path = make(tmp_path, '7,K81.0,"J96.01; I10",E119,"0FT44ZZ,02HV33Z"', header="Acct,PDX,Others,Extra,Ops")
    columns = {"claim_id": "Acct", "pdx": "PDX", "sdx": ["Others", "Extra"], "procedures": "Ops"}
    row = read_claims(path, columns=columns).row(0, named=True)
    assert row["sdx"] == ["J96.01", "I10", "E119"]
    assert row["procedures"] == ["0FT44ZZ", "02HV33Z"]


def test_a_principal_diagnosis_again_in_the_list_is_no_comorbidity(tmp_path: Path):
    path = make(tmp_path, "7,J18.9,J189,I10", header="Acct,PDX,Dx1,Dx2")
    claims = map_claims(path, columns={"claim_id": "Acct", "pdx": "PDX", "dx": "Dx{n}"})
    assert claims.admissions["sdx"].to_list() == [["I10"]]


def test_words_have_the_meaning_that_the_mapping_gives_them(tmp_path: Path):
    path = make(tmp_path, "7,K81.0,Home", "8,K81.0,SNF - short", header="Acct,Dx1,Disp")
    text = 'claim_id = "Acct"\ndx = "Dx{n}"\ndischarge_status = "Disp"\n'
    text += '[values.discharge_status]\nhome = "01"\n"snf - SHORT" = "03"\n'
    assert read_claims(path, columns=write_toml(tmp_path, text))["discharge_status"].to_list() == [1, 3]


def test_icd_9_codes_are_left_out_by_the_column_that_says_so(tmp_path: Path):
    path = make(tmp_path, "7,K81.0,4019,ICD-10-CM,9.0", header="Acct,Dx1,Dx2,V1,V2")
    claims = map_claims(path, columns={"claim_id": "Acct", "dx": "Dx{n}", "dx_version": "V{n}"})
    assert claims.admissions.select("pdx", "sdx").row(0) == ("K81.0", [])


def test_a_column_with_the_name_of_a_field_needs_no_mapping(tmp_path: Path):
    path = make(tmp_path, "7,K81.0,54,F,61", header="Acct,Dx1,Age,SEX,Age at Admit")
    both = read_claims(path, columns={"claim_id": "Acct", "dx": "Dx{n}", "age": "Age at Admit"})
    assert both.select("age", "sex", "Age").row(0) == (61, "F", "54")
    assert read_claims(path, columns={"claim_id": "Acct", "dx": "Dx{n}"})["age"].item() == 54


def test_all_problems_of_a_mapping_are_raised_at_once(tmp_path: Path):
    wrong = {**COLUMNS, "claim_id": "Patient Acount", "age": "Age", "poa": "Present {n}"}
    with pytest.raises(SchemaError) as caught:
        read_claims(make(tmp_path, ROW), columns=wrong)
    message = str(caught.value)
    assert "3 problems" in message
    assert "claim_id: no column 'Patient Acount'. Did you mean 'Patient Account'?" in message
    assert "age: no column 'Age'" in message
    assert "poa: no column 'Present {n}'" in message


def test_fields_of_which_nothing_can_be_read_are_raised_together(tmp_path: Path):
    path = make(tmp_path, "7,K81.0,Blue,old", "8,K81.0,Green,young", header="Acct,Dx1,Disp,Years")
    columns = {"claim_id": "Acct", "dx": "Dx{n}", "discharge_status": "Disp", "age": "Years"}
    with pytest.raises(SchemaError) as caught:
        read_claims(path, columns=columns)
    message = str(caught.value)
    assert "2 problems" in message
    assert "[values.discharge_status]" in message
    assert "Blue" not in message
    assert "young" not in message


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"discharge_stauts": "Disp", "dxx": "Dx"}, r"2 entries cannot be used.*Did you mean 'discharge_status'"),
        ({"age": ["A", "B"]}, "age has one value a claim"),
        ({"dx": 3}, "dx is int, expected the name of a column"),
        ({"dx": "Dx", "values": {"dx": {}}}, "values must hold a table for each field"),
    ],
)
def test_what_no_mapping_can_be_is_refused(columns: dict, message: str):
    with pytest.raises(InputError, match=message):
        ColumnMapping.from_names(columns)


def test_impossible_mappings_are_refused(tmp_path: Path):
    with pytest.raises(SchemaError, match=r"no field of diagnoses.*poa: needs dx"):
        read_claims(make(tmp_path, ROW), columns={"claim_id": "Patient Account", "poa": "POA {n}"})
    with pytest.raises(SchemaError, match="column 'Disch Date' is both admission_date and discharge_date"):
        read_claims(make(tmp_path, ROW), columns={**COLUMNS, "admission_date": "Disch Date"})
    with pytest.raises(InputError, match=r"layout is 'wide' and columns are given"):
        read_claims(make(tmp_path, ROW), "wide", columns=COLUMNS)


def test_the_check_lists_every_problem_with_pattern_and_remedy_and_no_cell(tmp_path: Path):
    path = make(
        tmp_path,
        "Smith01,K81.0,Home,1955-13-41,notacode,0FT44ZZ",
        "Smith02,K81.0,03,01/10/1956,I10,TOOLONG99",
        header="Acct,Dx 1,Disp,Adm,Dx 2,Op 1",
    )
    columns = {"claim_id": "Acct", "dx": "Dx {n}", "pr": "Op {n}", "discharge_status": "Disp", "admission_date": "Adm"}
    found = check_claim_columns(path, {**columns, "age": "Age"})
    by_column = {row["column"]: row for row in found.iter_rows(named=True) if row["remedy"]}
    assert set(by_column) == {"Age", "Disp", "Dx 2", "Op 1"}
    assert (by_column["Disp"]["count"], by_column["Disp"]["pattern"]) == (1, "Aaaa")
    assert by_column["Dx 2"]["pattern"] == "aaaaaaaa"
    assert by_column["Op 1"]["pattern"] == "AAAAAAA99"
    text = found.write_csv()
    assert not any(cell in text for cell in ("Smith", "Home", "notacode", "TOOLONG"))


def test_a_sound_file_has_no_problem(tmp_path: Path):
    assert check_claim_columns(make(tmp_path, ROW), COLUMNS).filter(pl.col("remedy") != "").is_empty()


def test_excel_is_read_like_csv(tmp_path: Path):
    pytest.importorskip("fastexcel")
    pytest.importorskip("xlsxwriter")
    path, _ = make_export(tmp_path, rows=40)
    sheet = tmp_path / "export.xlsx"
    write(pl.read_csv(path, infer_schema=False), sheet)
    mapping = suggest_columns(sheet).to_mapping()
    assert mapping == suggest_columns(path).to_mapping()
    assert read_claims(sheet, columns=mapping).equals(read_claims(path, columns=mapping))


# ---------------------------------------------------------------------------------------------------------


def test_an_export_of_60_columns_is_read_with_the_file_that_is_proposed(tmp_path: Path):
    path, clean = make_export(tmp_path, rows=1_000)
    assert pl.read_csv(path, infer_schema=False).width == 60
    suggestions = suggest_columns(path)
    suggestions.save(tmp_path / "columns.toml")
    claims = map_claims(path, columns=tmp_path / "columns.toml")
    found = claims.admissions
    assert found["claim_id"][1] == "000000001"
    for name in ("sex", "discharge_status", "los_days", "age", "covered_charges_usd", "pdx_poa", "sdx_poa"):
        assert found[name].to_list() == clean[name].to_list(), name
    assert (
        group(found, version="43.1")["drg"].to_list()
        == group(clean.drop("discharge_date", strict=False), version="43.1")["drg"].to_list()
    )


def test_the_export_is_what_it_says(tmp_path: Path):
    _, clean = make_export(tmp_path, rows=20)
    rows = make_rows(clean)
    assert rows.columns[:2] == ["Patient Account", "MRN"]
    assert rows["Total Charges"].str.starts_with("$").all()
    assert not rows["Principal Dx"].is_in(clean["pdx"].implode()).any()
