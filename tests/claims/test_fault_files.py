"""Files as people have them, each of which was read wrongly once: the right DRG or the right report for each.

K81.0 with J96.01 and 0FT44ZZ is DRG 417 under 43.1, 419 without the MCC, 444 without the procedure, 446 with neither.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import polars as pl
import pytest

from drgsim.claim_fields.mapping_report import Claims
from drgsim.claims.layouts import map_claims
from drgsim.exceptions import InputError
from drgsim.grouping.grouper import group
from tests.support.claim_files import reasons

FOLDER = Path(os.environ.get("DRGSIM_SHARED", Path(__file__).parents[3] / "shared")) / "faults"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no shared files of faults at {FOLDER}")


def drgs(claims: Claims) -> list[int]:
    """Return the DRGs; a stay without discharge status is taken as sent home, and one without sex as a woman's."""
    admissions = claims.admissions.with_columns(pl.col("discharge_status").fill_null(1), pl.col("sex").fill_null("F"))
    status = "NON_EXEMPT" if "sdx_poa" in admissions.columns else "EXEMPT"
    return group(admissions, version="43.1", hospital_status=status)["drg"].to_list()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("f01_passthrough_wide.csv", [417, 417]),
        ("f01_text_ids_long.csv", [417, 446]),
        ("f01_text_ids_rif.txt", [417]),
        ("f02_commas.csv", [417]),
        ("f02_hes_and_eicu.csv", [417, 417, 417]),
        ("f02_json_list.csv", [417]),
        ("f02_json_lists.parquet", [417, 419]),
        ("f02_pg_array.csv", [417]),
        ("f02_python_list.csv", [417]),
        ("f02_two_codes_a_cell_long.csv", [417]),
        ("f04_f22_mimic_floats", [417]),
        ("f13_forms.csv", [417, 417, 417, 417, 417, 419, 417, 417, 417, 419, 419]),
        ("f14_diagnosis2.csv", [417]),
        ("f14_dx0.csv", [417]),
        ("f14_pr0.csv", [417]),
        ("f14_procedure1.csv", [417]),
        ("f15_rif_padded_numbers.txt", [417]),
        ("f16_cr_only_long.csv", [419]),
        ("f16_cr_only_one_row.csv", [417]),
        ("f16_cr_only_two_rows.csv", [417, 417]),
        ("f18_three_years.csv", [417, 417, 417]),
        ("f21_absolute.ndjson", [417]),
        ("f21_history.ndjson", [417]),
        ("f21_urn_uuid.json", [417]),
        ("f22_datetime.parquet", [417, 419]),
        ("f22_decimal.parquet", [417, 419]),
        ("f22_floats.parquet", [417, 419]),
        ("f22_floats_all.csv", [417, 417]),
        ("f22_floats_some.csv", [417, 417]),
        ("f22_sequence_floats_long.csv", [417]),
        ("f23_bars.txt", [417]),
        ("f23_semicolons.csv", [417]),
        ("f23_sep_line.csv", [417]),
        ("f23_tabs.csv", [417]),
        ("f23_tabs.tsv", [417]),
        ("f27_hcup_invl.csv", [417, 417, 444, 417, 417]),
        ("f29_us_dates.csv", [417, 417]),
        ("f31_short_isa.edi", [417]),
        ("f31_utf16.csv", [417]),
        ("f31_wrapped80.edi", [417]),
    ],
)
def test_the_drg_is_right(name: str, expected: list[int]):
    assert drgs(map_claims(FOLDER / name)) == expected


def test_keys_stay_text():
    wide = map_claims(FOLDER / "f01_passthrough_wide.csv").admissions
    assert wide["mrn"].to_list() == ["000123", "000124"]
    assert wide["zip"].to_list() == ["02139", "02140"]
    assert wide["drg_billed"].to_list() == ["039", "0470"]
    assert wide["cov"].to_list() == ["3E03317", "3E03317"]
    odd = map_claims(FOLDER / "f01_numberlike.csv").admissions
    assert odd["pol"].to_list() == ["1E5", "2E6"]
    assert odd["flag"].to_list() == ["true", "FALSE"]
    assert odd["amt"].to_list() == ["007.10", "010.0"]
    assert odd["big"].to_list() == ["12345678901234567890123", "1"]
    assert map_claims(FOLDER / "f01_quoted.csv").admissions["mrn"].to_list() == ["000123"]
    long = map_claims(FOLDER / "f01_text_ids_long.csv").admissions
    assert long["claim_id"].to_list() == ["0012", "1E5"]
    assert long["hospital_id"].to_list() == ["010001", "010001"]
    rif = map_claims(FOLDER / "f01_text_ids_rif.txt").admissions
    assert rif.select("claim_id", "patient_id", "hospital_id", "ORG_NPI_NUM").row(0) == (
        *("000012", "000777", "010001"), "0099999984",
    )  # fmt: skip
    assert rif.select("age", "discharge_status", "los_days").row(0) == (None, 1, 5)
    text = map_claims(FOLDER / "f30_text_id_wide.csv").admissions
    assert text["claim_id"].to_list() == ["CLM-7"]
    assert text["admission_id"].null_count() == 0


@pytest.mark.parametrize("name", ["f04_version_float_long.csv", "f04_version_named_long.csv"])
def test_revisions_of_icd_are_understood(name: str):
    claims = map_claims(FOLDER / name)
    assert claims.admissions["pdx"].to_list() == (["K810", None] if "float" in name else ["K810", "K810"])
    assert claims.admissions["sdx"].to_list() == [[], []]
    assert 0 in reasons(claims)[("code", "ICD-9 codes, left out")]


def test_icd_9_of_mimic_is_left_out():
    claims = map_claims(FOLDER / "f04_f22_mimic_floats")
    assert claims.admissions.select("claim_id", "age", "sdx").row(0) == ("200", 91, ["J9601"])
    assert reasons(claims)[("code", "ICD-9 and ICD-10 codes mixed")] == [0]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("f06_837d_dental.edi", "dental"),
        ("f06_837p_office.edi", "professional"),
        ("f06_837p_pos21_flagged.edi", "prof"),
    ],
)
def test_other_claims_than_institutional_ones_are_refused(name: str, kind: str):
    with pytest.raises(InputError, match=f"segment 2: {kind}.*institutional"):
        map_claims(FOLDER / name)


def test_cancelled_bills_are_flagged():
    assert reasons(map_claims(FOLDER / "f07_cancelled.ndjson"))[("status", "cancelled, no final claim")] == [0]
    both = reasons(map_claims(FOLDER / "f07_cancelled_then_active.ndjson"))
    assert both[("status", "cancelled, no final claim")] == [0]
    assert both[("claim_id", "identifier of more than one row")] == [0, 1]


def test_the_principal_diagnosis_is_no_comorbidity():
    claims = map_claims(FOLDER / "f09_fhir_principal_twice.ndjson")
    assert claims.admissions.select("pdx", "sdx").row(0) == ("J1282", ["I10"])
    assert drgs(claims) == [195]
    assert reasons(claims)[("sdx", "principal diagnosis again among the others, left out there")] == [0]


@pytest.mark.parametrize(
    ("name", "row"), [("f11_cut_off.csv", 1), ("f11_short_row_rif.csv", 1), ("f11_short_row_wide.csv", 0)]
)
def test_rows_cut_short_are_flagged(name: str, row: int):
    claims = map_claims(FOLDER / name)
    assert claims.admissions.height == 2
    assert reasons(claims)[("row", "fewer fields than the header")] == [row]


def test_what_was_read_beside_a_code_is_flagged():
    rows = reasons(map_claims(FOLDER / "f13_forms.csv"))
    assert rows[("code", "signs around a code, read without them")] == [1, 2, 3, 7]
    assert rows[("code", "words beside a code, read without them")] == [4, 6]
    assert rows[("code", "POA indicator written with the code, read")] == [8]
    claims = map_claims(FOLDER / "f13_pcs_lost_zero.csv")
    lost = "code without its leading zero, kept; format the column as text"
    assert reasons(claims)[("code", lost)] == [0]


def test_padded_poa_indicators():
    claims = map_claims(FOLDER / "f15_rif_padded_poa.txt")
    assert claims.admissions.select("pdx_poa", "sdx_poa").row(0) == ("Y", ["Y"])


def test_patients_are_found_by_any_reference():
    for name in ("f21_absolute.ndjson", "f21_history.ndjson", "f21_urn_uuid.json"):
        claims = map_claims(FOLDER / name)
        assert claims.admissions.select("age", "sex").row(0) == (76, "F"), name
        assert claims.flags.is_empty()


def test_numbers_and_dates_of_any_type():
    assert map_claims(FOLDER / "f22_datetime.parquet").admissions["discharge_date"].to_list() == [
        dt.date(2026, 1, 15),
        dt.date(2026, 1, 16),
    ]
    assert map_claims(FOLDER / "f22_decimal.parquet").admissions["covered_charges_usd"].to_list() == [60000.0, 1.0]
    for name in ("f22_floats_all.csv", "f22_floats_some.csv"):
        frame = map_claims(FOLDER / name).admissions
        assert frame["discharge_status"].to_list() == [1, 3], name
    assert map_claims(FOLDER / "f22_floats.parquet").admissions["age"].to_list() == [54, None]
    assert map_claims(FOLDER / "f29_us_dates.csv").admissions["discharge_date"].to_list() == [
        dt.date(2026, 1, 15),
        dt.date(2026, 1, 16),
    ]


def test_words_for_missing_values():
    frame = map_claims(FOLDER / "f27_null_words.csv").admissions
    assert frame["pdx"].to_list() == ["K81.0", None, "K81.0"]
    assert frame["sdx"].to_list() == [["J96.01"], ["J96.01"], []]
    assert frame["procedures"].to_list() == [["0FT44ZZ"], [], []]
    assert frame.select("age", "discharge_status").row(2) == (None, None)
    assert drgs(map_claims(FOLDER / "f27_null_words.csv"))[0] == 417


def test_a_transaction_that_miscounts_its_segments_is_refused():
    with pytest.raises(InputError, match="segment 30: SE counts other segments"):
        map_claims(FOLDER / "f31_wrong_se.edi")
