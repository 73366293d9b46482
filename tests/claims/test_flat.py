"""Tables with one row an admission, in every form, give the same frame; errors say what is wrong."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest

from drgsim.claim_fields.mapping_report import hash_admission_ids
from drgsim.claims.layouts import MIMIC_DISCHARGE_STATUS, map_claims, read_claims
from drgsim.exceptions import InputError, SchemaError
from drgsim.schema import ADMISSIONS
from tests.support.claim_files import reasons

CLAIMS = pl.DataFrame(
    {
        "admission_id": [11, 12, 13],
        "age": [71, 30, 0],
        "sex": ["F", "M", "U"],
        "discharge_status": [1, 20, 6],
        "pdx": ["K810", "I2109", "Z3800"],
        "sdx": [["I10", "E119", "E6601"], [], ["P0700"]],
        "procedures": [["0FT44ZZ"], ["02703DZ", "4A023N7"], []],
        "pdx_poa": ["Y", "Y", None],
        "sdx_poa": [["Y", "", "N"], [], ["1"]],
        "site": ["north", "north", "south"],
    },
    schema_overrides={"admission_id": pl.UInt64, "age": pl.Int32, "discharge_status": pl.Int32},
).with_columns(pl.col("sdx", "procedures", "sdx_poa").cast(pl.List(pl.String)))


HEAD = "admission_id,age,sex,discharge_status,"


def joined(column: str, separator: str) -> pl.Expr:
    return pl.col(column).list.join(separator)


def test_parquet_in_the_admissions_layout_comes_back_unchanged(tmp_path: Path) -> None:
    CLAIMS.write_parquet(tmp_path / "claims.parquet")
    assert read_claims(tmp_path / "claims.parquet").equals(CLAIMS)


@pytest.mark.parametrize("separator", [";", "|", " ; ", "; "])
def test_csv_lists_may_be_separated_by_semicolons_or_bars(tmp_path: Path, separator: str) -> None:
    text = CLAIMS.with_columns(joined(c, separator) for c in ("sdx", "procedures", "sdx_poa"))
    text.write_csv(tmp_path / "claims.csv")
    assert read_claims(str(tmp_path / "claims.csv")).equals(CLAIMS)


def test_csv_lists_may_be_separated_by_blanks(tmp_path: Path) -> None:
    text = CLAIMS.drop("pdx_poa", "sdx_poa").with_columns(joined(c, "  ") for c in ("sdx", "procedures"))
    text.write_csv(tmp_path / "claims.csv")
    assert read_claims(tmp_path / "claims.csv").equals(CLAIMS.drop("pdx_poa", "sdx_poa"))


def test_blank_codes_go_with_their_poa_indicator(tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_text(
        "admission_id,age,sex,discharge_status,pdx,sdx,sdx_poa,procedures\n"
        "1,50,f,01,K810,I10;;E119,Y;N;W,;0FT44ZZ;\n"
        "2,n/a,Male,,K810,,,\n"
        "3,50,x,7,K810,I10,,\n"
    )
    claims = read_claims(path)
    assert claims["sdx"].to_list() == [["I10", "E119"], [], ["I10"]]
    assert claims["sdx_poa"].to_list() == [["Y", "W"], [], [""]]
    assert claims["procedures"].to_list() == [["0FT44ZZ"], [], []]
    assert claims["sex"].to_list() == ["F", "M", "X"]
    assert claims["discharge_status"].to_list() == [1, None, 7]
    assert claims["age"].to_list() == [50, None, 50]


def wide(names: tuple[str, str, str] = ("dx", "pr", "poa"), *, blank: str | None = None) -> pl.DataFrame:
    """CLAIMS with a column a code; unused columns hold `blank`."""
    dx, pr, poa = names
    columns = {}
    for number in range(1, 5):
        position = number - 2
        codes = pl.col("sdx").list.get(position, null_on_oob=True) if number > 1 else pl.col("pdx")
        letters = pl.col("sdx_poa").list.get(position, null_on_oob=True) if number > 1 else pl.col("pdx_poa")
        procedures = pl.col("procedures").list.get(number - 1, null_on_oob=True)
        columns[f"{dx}{number}"] = codes.fill_null(pl.lit(blank, pl.String))
        columns[f"{poa}{number}"] = letters
        columns[f"{pr}{number}"] = procedures.fill_null(pl.lit(blank, pl.String))
    plain = CLAIMS.select("admission_id", "age", "sex", "discharge_status", "site")
    return plain.hstack(CLAIMS.select(**columns))


@pytest.mark.parametrize("names", [("dx", "pr", "poa"), ("DX_", "PROC_", "DX_POA_"), ("Diag0", "PX0", "POA0")])
@pytest.mark.parametrize("blank", [None, "", "  "])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_wide_columns_become_lists(tmp_path: Path, names: tuple[str, str, str], blank: str | None, suffix: str) -> None:
    frame, path = wide(names, blank=blank), tmp_path / f"claims.{suffix}"
    shuffled = frame.select(random.Random(1).sample(frame.columns, frame.width))
    shuffled.write_csv(path) if suffix == "csv" else shuffled.write_parquet(path)
    claims = read_claims(path)
    assert claims.select(CLAIMS.columns).equals(CLAIMS)
    assert set(claims.columns) == set(CLAIMS.columns)


def test_wide_columns_without_poa_or_procedures(tmp_path: Path) -> None:
    wide().select("admission_id", "age", "sex", "discharge_status", "dx1").write_csv(tmp_path / "claims.csv")
    claims = read_claims(tmp_path / "claims.csv")
    assert claims["sdx"].to_list() == [[], [], []]
    assert claims["procedures"].to_list() == [[], [], []]
    assert "sdx_poa" not in claims.columns


def test_wide_columns_may_be_categorical(tmp_path: Path) -> None:
    codes = [name for name in wide().columns if name.startswith(("dx", "pr", "poa"))]
    wide().with_columns(pl.col(codes).cast(pl.Categorical)).write_parquet(tmp_path / "claims.parquet")
    assert read_claims(tmp_path / "claims.parquet").select(CLAIMS.columns).equals(CLAIMS)


def test_wide_diagnoses_beside_listed_procedures(tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_text(HEAD + "dx1,dx2,dx3,poa3,Procedures\n1,5,F,1,K810,I10,E119,N,0FT44ZZ 0DTJ4ZZ\n2,5,F,1,K810,,,,\n")
    claims = read_claims(path)
    assert claims["procedures"].to_list() == [["0FT44ZZ", "0DTJ4ZZ"], []]
    assert claims["sdx_poa"].to_list() == [["", "N"], []]
    assert "pdx_poa" not in claims.columns


def test_an_empty_wide_file_is_an_empty_frame(tmp_path: Path) -> None:
    (tmp_path / "claims.csv").write_text(HEAD + "dx1,dx2,pr1,poa1,poa2\n")
    claims = read_claims(tmp_path / "claims.csv")
    assert claims.height == 0
    assert claims.schema["sdx"] == claims.schema["procedures"] == claims.schema["sdx_poa"] == pl.List(pl.String)


def test_order_is_by_number_and_gaps_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_text("admission_id,age,sex,discharge_status,dx10,dx2,dx1,dx9\n1,5,F,1,A10,A2,A1,\n")
    claims = read_claims(path)
    assert claims.select("pdx", "sdx").row(0) == ("A1", ["A2", "A10"])


def test_leading_zeros_survive(tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_text("admission_id,age,sex,discharge_status,hospital_id,dx1,pr1\n1,5,F,01,010001,K810,0016070\n")
    claims = read_claims(path)
    assert claims.select("hospital_id", "discharge_status").row(0) == ("010001", 1)
    assert claims["procedures"].to_list() == [["0016070"]]


def test_dates_and_numbers_get_their_types(tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_text(
        "Admission_ID,AGE,sex,discharge_status,pdx,sdx,procedures,discharge_date,los_days,covered_charges_usd,note\n"
        "1,5,F,1,K810,,,2026-04-01,3,1000.5,7\n"
    )
    claims = read_claims(path)
    for name in claims.columns[:-1]:
        assert claims.schema[name] == ADMISSIONS[name].dtype
    assert claims["discharge_date"].dt.month().to_list() == [4]
    assert claims["note"].to_list() == ["7"]


def test_an_empty_file_of_the_right_columns_is_an_empty_frame(tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_text("admission_id,age,sex,discharge_status,pdx,sdx,procedures\n")
    assert read_claims(path).shape == (0, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no diagnosis columns: no known name at all in the first line"),
        ("admission_id,sex,discharge_status,dx1\n1,F,1,K810\n", "admissions lack 1 column: age"),
        (HEAD + "dx1,DX_1\n1,5,F,1,K810,K810\n", "columns dx1 and DX_1 are both dx1"),
        (HEAD + "dx2,dx3\n1,5,F,1,K810,K810\n", "no principal diagnosis: found dx2, dx3"),
        (HEAD + "pdx,dx1\n1,5,F,1,K810,K810\n", "both pdx and dx1; keep one"),
        (HEAD + "dx1,pr1,procedures\n1,5,F,1,K810,0FT44ZZ,0FT44ZZ\n", "both procedures and pr1; keep one"),
        (HEAD + "dx1\n1,5,F,HOME,K810\n", "discharge_status is no Int32 in 1 of 1 values, first in row 1"),
        (
            HEAD + "pdx,sdx,sdx_poa,procedures\n1,5,F,1,K810,I10;I11,Y,\n",
            "row 1 has 2 secondary diagnoses and 1 POA",
        ),
        (HEAD + "dx1,sex2,SEX\n1,5,F,1,K810,F,F\n", "two columns differ in case alone"),
    ],
)
def test_columns_that_cannot_be_used_say_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "claims.csv"
    path.write_text(text)
    with pytest.raises(SchemaError, match=message):
        read_claims(path)


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_claims(tmp_path / "absent.csv")
    with pytest.raises(InputError, match=r"a folder without admissions_icd10_wide\.csv"):
        read_claims(tmp_path)
    (tmp_path / "claims.ods").write_text("")
    with pytest.raises(InputError, match=r"cannot read \.ods; use \.parquet, \.csv"):
        read_claims(tmp_path / "claims.ods")
    (tmp_path / "claims.parquet").write_text("not parquet")
    with pytest.raises(InputError, match="not a readable parquet file"):
        read_claims(tmp_path / "claims.parquet")
    (tmp_path / "claims.csv").write_text("")
    with pytest.raises(InputError, match="not a readable csv file"):
        read_claims(tmp_path / "claims.csv")
    pl.DataFrame({"dx1": [1], "age": [3]}).write_parquet(tmp_path / "numbers.parquet")
    with pytest.raises(SchemaError, match="dx1 is Int64, expected String"):
        read_claims(tmp_path / "numbers.parquet")


def test_the_mimic_demo_as_it_lies(shared: Path) -> None:
    folder = shared / "real" / "mimic_iv_demo"
    claims = read_claims(folder)
    assert claims.equals(read_claims(folder / "admissions_icd10_wide.csv"))
    source = pl.read_csv(folder / "admissions_icd10_wide.csv", infer_schema=False)
    assert claims["admission_id"].cast(pl.String).to_list() == source["hadm_id"].to_list()
    assert claims["pdx"].to_list() == source["dx1"].to_list()
    for column, prefix, first in (("sdx", "dx", 2), ("procedures", "pr", 1)):
        names = [f"{prefix}{i}" for i in range(first, 40) if f"{prefix}{i}" in source.columns]
        kept = [[code for code in row if code] for row in source.select(names).iter_rows()]
        assert claims[column].to_list() == kept
    assert "sdx_poa" not in claims.columns
    assert claims["ms_drg_recorded"].count() == 99
    assert claims["discharge_status"].null_count() == 0
    assert set(claims.filter(pl.col("died") == 1)["discharge_status"]) == {20}
    skilled = claims.filter(pl.col("discharge_location") == "SKILLED NURSING FACILITY")
    assert set(skilled["discharge_status"]) == {MIMIC_DISCHARGE_STATUS["SKILLED NURSING FACILITY"]} == {3}
    assert claims.select("los_days", "age").null_count().row(0) == (0, 0)


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("dx1,dx2,dx3,poa1,poa2,poa3", "K81.0,I10,J96.01,Y,N,Y"),
        ("pdx,dx2,dx3,poa1,poa2,poa3", "K81.0,I10,J96.01,Y,N,Y"),
        ("PDX,Dx2,Dx3,pdx_poa,poa2,poa3", "K81.0,I10,J96.01,Y,N,Y"),
        ("pdx,sdx1,sdx2,pdx_poa,sdx_poa1,sdx_poa2", "K81.0,I10,J96.01,Y,N,Y"),
        ("sdx_2,sdx_1,pdx,sdx_poa_2,sdx_poa_1,pdx_poa", "J96.01,I10,K81.0,Y,N,Y"),
    ],
)
def test_the_principal_diagnosis_may_stand_beside_numbered_ones(tmp_path: Path, header: str, cells: str):
    path = tmp_path / "claims.csv"
    path.write_text(f"admission_id,age,sex,discharge_status,{header},pr1\n7,54,F,1,{cells},0FT44ZZ\n")
    found = read_claims(path).row(0, named=True)
    assert (found["pdx"], found["sdx"], found["procedures"]) == ("K81.0", ["I10", "J96.01"], ["0FT44ZZ"])
    assert (found["pdx_poa"], found["sdx_poa"]) == ("Y", ["N", "Y"])


@pytest.mark.parametrize(
    ("header", "reported"),
    [
        ("pdx,dx1", r"holds both pdx and dx1; keep one of them\. .*sdx1, sdx2"),
        ("pdx,sdx1,dx2", "holds both sdx1 and dx2; number all of them one way"),
        ("pdx,sdx1,poa2", "holds both sdx1 and poa2; number all of them one way"),
    ],
)
def test_numbers_that_may_mean_two_things_are_refused(tmp_path: Path, header: str, reported: str):
    path = tmp_path / "claims.csv"
    cells = ",".join("I10" for _ in header.split(","))
    path.write_text(f"admission_id,age,sex,discharge_status,{header}\n7,54,F,1,{cells}\n")
    with pytest.raises(SchemaError, match=reported):
        read_claims(path)


def test_flat_tables_report_too(tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_text(
        "admission_id,age,sex,discharge_status,dx1,dx2,dx3,poa1,poa2,poa3,pr1,pr2,site\n"
        "1,x,F,1,K810,,I10,Y,,Q,,0FT44ZZ,n\n1,5,,01,,,,,,,,,\n"
    )
    claims = map_claims(path)
    assert claims.layout == "wide"
    assert reasons(claims) == {
        ("age", "unreadable, left blank"): [0],
        ("sex", "not given"): [1],
        ("dx", "gap in sequence numbers"): [0],
        ("pr", "gap in sequence numbers"): [0],
        ("admission_id", "identifier of more than one row"): [0, 1],
        ("pdx", "no principal diagnosis"): [1],
        ("poa", "unknown POA indicator, kept"): [0],
    }
    assert ("site", "not mapped, kept as it is", 1) in claims.report.rows()


def test_text_identifiers_are_kept_and_hashed(tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_text(HEAD + "dx1\nx7,5,F,1,K810\n000123,5,F,1,K810\n-7,5,F,1,K810\n")
    claims = read_claims(path)
    assert claims["claim_id"].to_list() == ["x7", "000123", "-7"]
    assert claims["admission_id"].equals(hash_admission_ids(claims["claim_id"]))
