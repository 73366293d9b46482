"""Foreign layouts give the admissions they hold, a row each, and say what they could not map."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
import math
import random
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drgsim import InputError, SchemaError, TableSet, group, read_claims
from drgsim.claims.layouts import LAYOUTS, map_claims
from drgsim.claims.mapping_report import Claims, hash_admission_ids
from drgsim.schema import ADMISSIONS

# The same three stays in every layout: identifier, age, sex, status, principal with POA, others with POA, procedures.
STAYS = [
    ("101", 71, "F", 1, ("K810", "Y"), [("I10", "Y"), ("J9601", "N"), ("E119", "U")], ["0FT44ZZ", "3E0T3BZ"]),
    ("102", 30, "M", 20, ("I2109", "Y"), [], ["02703DZ"]),
    ("103", 44, "F", 6, ("A419", "N"), [("R6521", "W")], []),
]
BORN, ADMITTED, DISCHARGED = "{}-02-01", "2024-03-01", "2024-03-06"


def write_wide(path: Path, *, names: tuple[str, str, str], head: str, rows: list[str], separator: str) -> None:
    """Write STAYS with five columns of each kind; `names` are formats of a number."""
    lines = [separator.join([head, *(name.format(i) for name in names for i in range(1, 6))])]
    for start, (_, _, _, _, pdx, sdx, procedures) in zip(rows, STAYS, strict=True):
        dx, poa = zip(*[pdx, *sdx], strict=True)
        lists = [[*values, *[""] * 5][:5] for values in (dx, poa, procedures)]
        lines.append(separator.join([start, *(value for values in lists for value in values)]))
    path.write_text("\n".join(lines) + "\n")


def as_rif(folder: Path) -> Path:
    head = "CLM_ID|BENE_ID|NCH_CLM_TYPE_CD|DOB_DT|GNDR_CD|PTNT_DSCHRG_STUS_CD|CLM_ADMSN_DT|CLM_THRU_DT|PRNCPAL_DGNS_CD"
    rows = [
        f"{key}|P{key}|60|01-Feb-{2024 - age}|{'MF'.index(sex) + 1}|{status:02}|01MAR2024|20240306|{pdx[0]}"
        for key, age, sex, status, pdx, _, _ in STAYS
    ]
    names = ("ICD_DGNS_CD{}", "CLM_POA_IND_SW{}", "ICD_PRCDR_CD{}")
    write_wide(folder / "inpatient.txt", names=names, head=head, rows=rows, separator="|")
    return folder / "inpatient.txt"


def as_hcup(folder: Path) -> Path:
    rows = [f"{key},{age},{int(sex == 'F')},{status},2024,1,5" for key, age, sex, status, _, _, _ in STAYS]
    names = ("I10_DX{}", "DXPOA{}", "I10_PR{}")
    head = "KEY,AGE,FEMALE,DISPUB04,YEAR,DQTR,LOS"
    write_wide(folder / "sid.csv", names=names, head=head, rows=rows, separator=",")
    return folder / "sid.csv"


def as_long(folder: Path) -> Path:
    lines = ["Claim_ID\tage\tsex\tdischarge_status\tdischarge_date\tlos_days\ttype\tsequence\tcode\tpoa\ticd_version"]
    for key, age, sex, status, pdx, sdx, procedures in STAYS:
        start = f"{key}\t{age}\t{sex}\t{status}\t{DISCHARGED}\t5"
        lines += [f"{start}\tDX\t{i}\t{code}\t{poa}\t10" for i, (code, poa) in enumerate([pdx, *sdx], 1)][::-1]
        lines += [f"{start}\tICD-10-PCS\t{i}\t{code}\t\t10" for i, code in enumerate(procedures, 1)]
    (folder / "codes.csv").write_text("\n".join(lines) + "\n")
    return folder / "codes.csv"


def concept(code: str, system: str = "") -> dict[str, object]:
    return {"coding": [{"code": code, "system": system}]}


def as_carin(folder: Path) -> Path:
    """R4 resources of the CARIN profile, with the patients in the same file."""
    resources: list[object] = []
    for key, age, sex, status, pdx, sdx, procedures in STAYS:
        gender = {"F": "female", "M": "male"}[sex]
        born = BORN.format(2024 - age)
        resources.append({"resourceType": "Patient", "id": key, "gender": gender, "birthDate": born})
        kinds = ["principal", *["other"] * len(sdx)]
        diagnoses = [
            {
                "sequence": place + 1,
                "type": [concept(kind)],
                "diagnosisCodeableConcept": concept(code, "http://hl7.org/fhir/sid/icd-10-cm"),
                "onAdmission": concept(poa),
            }
            for place, (kind, (code, poa)) in enumerate(zip(kinds, [pdx, *sdx], strict=True), 1)
        ]
        admitting = {"sequence": 1, "type": [concept("admitting")], "diagnosisCodeableConcept": concept("R109")}
        resources.append(
            {
                "resourceType": "ExplanationOfBenefit",
                "id": f"eob-{key}",
                "identifier": [{"type": concept("uc"), "value": key}],
                "type": concept("institutional"),
                "subType": concept("inpatient"),
                "patient": {"reference": f"Patient/{key}"},
                "billablePeriod": {"start": "2024-02-28", "end": DISCHARGED},
                "provider": {"reference": "#hospital"},
                "contained": [{"id": "hospital", "identifier": [{"value": "1234567893"}]}],
                "diagnosis": [admitting, *diagnoses],
                "procedure": [
                    {
                        "sequence": place,
                        "procedureCodeableConcept": concept(code, "http://www.cms.gov/Medicare/Coding/ICD10"),
                    }
                    for place, code in enumerate(procedures, 1)
                ],
                "supportingInfo": [
                    {"category": concept("discharge-status"), "code": concept(f"{status:02}")},
                    {
                        "category": concept("admissionperiod"),
                        "timingPeriod": {"start": f"{ADMITTED}T10:00:00-05:00", "end": DISCHARGED},
                    },
                    {"category": concept("drg"), "code": concept("417")},
                ],
                "total": [
                    {"category": concept("submitted"), "amount": {"value": 1000.5, "currency": "USD"}},
                    {"category": concept("eligible"), "amount": {"value": 800, "currency": "USD"}},
                ],
            }
        )
    (folder / "eob.ndjson").write_text("\n".join(map(json.dumps, resources)))
    return folder / "eob.ndjson"


ISA = (
    "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *240310*1200*^*00501*000000001*0*P*:~"
    "\nGS*HC*SENDER*RECEIVER*20240310*1200*1*X*005010X223A2~\n"
)


def transaction(*segments: str) -> str:
    body = ["ST*837*0001*005010X223A2", *segments]
    return ISA + "".join(f"{line}~\n" for line in [*body, f"SE*{len(body) + 1}*0001", "GE*1*1", "IEA*1*000000001"])


def as_837(folder: Path) -> Path:
    segments = ["BHT*0019*00*1*20240310*1200*CH", "HL*1**20*1", "NM1*85*2*HOSPITAL*****XX*1234567893"]
    for place, (key, age, sex, status, pdx, sdx, procedures) in enumerate(STAYS, 2):
        segments += [f"HL*{place}*1*22*0", f"NM1*IL*1*DOE*J****MI*M{key}", f"DMG*D8*{2024 - age}0201*{sex}"]
        segments += [f"CLM*{key}*1000.5***11:A:1**A*Y*Y", "DTP*434*RD8*20240301-20240306", "DTP*435*DT*202403011000"]
        segments += [f"CL1*1*7*{status:02}", f"HI*ABK:{pdx[0]}:::::::{pdx[1]}", "HI*ABJ:R109", "HI*DR:417"]
        segments += ["*".join(["HI", *(f"ABF:{code}:::::::{poa}" for code, poa in sdx)])] if sdx else []
        first, others = procedures[:1], procedures[1:]
        segments += [f"HI*BBR:{code}:D8:20240302" for code in first]
        segments += ["*".join(["HI", *(f"BBQ:{code}:D8:20240302" for code in others)])] if others else []
        segments += ["LX*1", "SV2*0120**900.5*DA*5**100", "LX*2", "SV2*0250**100*UN*1"]
    (folder / "claims.837").write_text(transaction(*segments))
    return folder / "claims.837"


def as_json(folder: Path) -> Path:
    claims = [
        {
            "claimid": key,
            "patient_status": f"{status:02}",
            "admit_date": ADMITTED,
            "thru_date": DISCHARGED,
            "principal_dx": {"code": pdx[0], "poa": pdx[1]},
            "secondary_dxs": [{"code": code, "poa": poa} for code, poa in sdx],
            "inpatient_pxs": [{"code": code} for code in procedures],
            "patient": {"age": age, "sex": sex},
        }
        for key, age, sex, status, pdx, sdx, procedures in STAYS
    ]
    (folder / "claims.json").write_text(json.dumps(claims, indent=1))
    return folder / "claims.json"


WRITERS = {"rif": as_rif, "hcup": as_hcup, "long": as_long, "fhir": as_carin, "837i": as_837, "json": as_json}


@pytest.mark.parametrize("layout", WRITERS)
@pytest.mark.parametrize("told", [False, True])
def test_the_same_stays_come_out_of_every_layout(tmp_path: Path, layout: str, told: bool) -> None:
    path = WRITERS[layout](tmp_path)
    found = map_claims(path, layout if told else None)
    admissions = found.admissions
    assert found.layout == layout
    assert admissions["admission_id"].to_list() == [101, 102, 103]
    assert admissions["claim_id"].to_list() == ["101", "102", "103"]
    for place, (_, age, sex, status, pdx, sdx, procedures) in enumerate(STAYS):
        row = admissions.row(place, named=True)
        assert (row["age"], row["sex"], row["discharge_status"]) == (age, sex, status)
        assert (row["pdx"], row["pdx_poa"]) == pdx
        assert list(zip(row["sdx"], row["sdx_poa"], strict=True)) == sdx
        assert row["procedures"] == procedures
        assert row["los_days"] == 5
        # HCUP knows the quarter alone.
        assert row["discharge_date"] == (dt.date(2024, 1, 1) if layout == "hcup" else dt.date(2024, 3, 6))
    for name in ADMISSIONS.names:
        assert name not in admissions.columns or admissions.schema[name] == ADMISSIONS[name].dtype
    assert found.flags.is_empty()
    grouped = group(admissions, version="41.0")
    # MS-DRG 417 to 419 laparoscopic cholecystectomy (J96.01 an MCC), 853 and 871 sepsis; died of an infarction.
    assert grouped["drg"].to_list()[0] == 417
    assert read_claims(path).equals(admissions)


def test_what_else_the_layouts_hold(tmp_path: Path) -> None:
    carin, x12 = map_claims(as_carin(tmp_path)).admissions, map_claims(as_837(tmp_path)).admissions
    for claims, charges in ((carin, 1000.5), (x12, 900.5)):
        assert claims["ms_drg_recorded"].to_list() == [417] * 3
        assert claims["hospital_id"].to_list() == ["1234567893"] * 3
        assert claims["covered_charges_usd"].to_list() == [charges] * 3
    assert carin["patient_id"].to_list() == ["Patient/101", "Patient/102", "Patient/103"]
    assert x12["patient_id"].to_list() == ["M101", "M102", "M103"]


@pytest.mark.parametrize("layout", ["rif", "long", "fhir", "837i", "json"])
def test_text_may_be_gzipped(tmp_path: Path, layout: str) -> None:
    path = WRITERS[layout](tmp_path)
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_claims(packed).equals(read_claims(path))


@pytest.mark.parametrize("layout", ["rif", "hcup", "long"])
def test_tables_may_be_parquet(tmp_path: Path, layout: str) -> None:
    path = WRITERS[layout](tmp_path)
    separator = {"rif": "|", "hcup": ",", "long": "\t"}[layout]
    pl.read_csv(path, separator=separator, infer_schema_length=None).write_parquet(tmp_path / "claims.parquet")
    read = read_claims(tmp_path / "claims.parquet")
    expected = read_claims(path)
    # A discharge status 01 and a day 20240306 are whole numbers there.
    assert read.select(ADMISSIONS.names[:9]).equals(expected.select(ADMISSIONS.names[:9]))


def reasons(claims: Claims) -> dict[tuple[str, str], list[int]]:
    """Rows by field and reason; the report counts the same."""
    rows: dict[tuple[str, str], list[int]] = {}
    for row, field, reason in claims.flags.iter_rows():
        rows.setdefault((field, reason), []).append(row)
    counts = {(field, reason): count for field, reason, count in claims.report.iter_rows()}
    assert {key: counts[key] for key in rows} == {key: len(found) for key, found in rows.items()}
    assert not claims.flags.height or claims.flags["row"].max() < claims.admissions.height
    return rows


# ---------------------------------------------------------------------------------------------- identifiers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # Test vectors of the FNV reference code.
        ("", 0xCBF29CE484222325),
        ("a", 0xAF63DC4C8601EC8C),
        ("foobar", 0x85944171F73967E8),
        ("0", 0),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_identifiers_known(text: str, value: int) -> None:
    assert hash_admission_ids(pl.Series([text])).to_list() == [value]


@settings(deadline=None)
@given(st.lists(st.text(max_size=12) | st.sampled_from(["7", "007", "+7", "-7", "7.0", " 7", "7" * 30])))
def test_identifiers_depend_on_themselves_alone(texts: list[str]) -> None:
    expected = []
    for text in texts:
        value = 0xCBF29CE484222325
        for byte in text.encode():
            value = (value ^ byte) * 0x100000001B3 % 2**64
        number = text.isascii() and text.isdigit() and str(int(text)) == text and int(text) < 2**64
        expected.append(int(text) if number else value)
    assert hash_admission_ids(pl.Series(texts, dtype=pl.String)).to_list() == expected


# ---------------------------------------------------------------------------------------------- RIF


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


# ---------------------------------------------------------------------------------------------- HCUP


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


# ---------------------------------------------------------------------------------------------- MIMIC-IV


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


# ---------------------------------------------------------------------------------------------- a row a code


def test_faults_of_code_rows(tmp_path: Path) -> None:
    path = tmp_path / "codes.csv"
    path.write_text(
        "hadm_id,code,type,seq,sex,note\n"
        "b,I10,dx,1,F,x\nb,E119,dx,1,M,\nb,K810,dx,3,F,\nb,99213,cpt,1,F,\n"
        "a,K810,principal,2,F,\na,A419,Principal Diagnosis,1,F,\na,I10,dx,two,F,\n"
        ",I10,dx,1,F,\n"
        "c,,dx,1,F,\n"
    )
    claims = map_claims(path)
    assert claims.admissions["claim_id"].to_list() == ["b", "a", "c"]
    assert claims.admissions["pdx"].to_list() == ["I10", "A419", None]
    assert claims.admissions["sdx"].to_list() == [["E119", "K810"], ["K810", "I10"], []]
    rows = reasons(claims)
    assert rows[("dx", "duplicate sequence number")] == [0]
    assert rows[("dx", "gap in sequence numbers")] == [0]
    assert rows[("type", "neither diagnosis nor procedure, left out")] == [0]
    assert rows[("sex", "rows of the admission disagree, the first taken")] == [0]
    assert rows[("pdx", "more than one principal diagnosis, the first taken")] == [0, 1]
    assert rows[("sequence", "no whole number, taken as last")] == [1]
    assert ("hadm_id", "codes without an admission, left out", 1) in claims.report.rows()
    assert ("note", "not mapped, left out", 1) in claims.report.rows()


def test_without_sequence_numbers_the_first_diagnosis_is_principal(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("claim_id,type,code\n1,pr,0FT44ZZ\n1,dx,K810\n1,dx,I10\n")
    row = read_claims(tmp_path / "codes.csv").row(0, named=True)
    assert (row["pdx"], row["sdx"], row["procedures"]) == ("K810", ["I10"], ["0FT44ZZ"])


def test_a_needed_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("claim_id,code\n1,K810\n")
    with pytest.raises(SchemaError, match="no type column: expected one of type, code_type, kind"):
        read_claims(tmp_path / "codes.csv", "long")


# ---------------------------------------------------------------------------------------------- FHIR


def test_the_blue_button_sample(shared: Path) -> None:
    folder = shared / "real/cms_bluebutton_eob"
    claims = map_claims(folder / "eob_inpatient_11.ndjson")
    flat = pl.read_csv(folder / "inpatient_11.csv", infer_schema=False)
    assert claims.layout == "fhir"
    assert claims.admissions.height == flat.height == 11
    for row, line in zip(claims.admissions.iter_rows(named=True), flat.iter_rows(named=True), strict=True):
        diagnoses = [part.split("/") for part in line["dx"].split("|")]
        assert [row["pdx"]] == [code for code, kind, _ in diagnoses if kind == "principal"]
        assert "inpatient-" + row["claim_id"] == line["id"]
        assert row["discharge_status"] == int(line["discharge_status"])
        assert str(row["discharge_date"]) == line["end"]
        assert row["procedures"] == ([line["pr"]] if line["pr"] else [])
        others = [code for code, kind, _ in diagnoses if not kind]
        assert [code for code in row["sdx"] if code in others] == others
        assert "provider" not in row
    assert claims.admissions["ms_drg_recorded"].null_count() == 11
    assert claims.admissions["hospital_id"].to_list()[0] == "220135"


def test_admitting_diagnoses(tmp_path: Path) -> None:
    """Alone it is none of the claim; where the principal diagnosis is the admitting one too, it is principal."""

    def claim(*kinds: tuple[str, ...]) -> str:
        diagnosis = [
            {"diagnosisCodeableConcept": concept(f"A{place:03}"), "type": [concept(kind) for kind in types]}
            for place, types in enumerate(kinds)
        ]
        resource = {"resourceType": "ExplanationOfBenefit", "type": concept("60"), "diagnosis": diagnosis}
        return json.dumps(resource)

    cases = [
        (("admitting",), ("principal",)),
        (("admitting", "principal"), ()),
        (("admitting", "principal"), ("principal",)),
    ]
    (tmp_path / "eob.ndjson").write_text("\n".join(claim(*case) for case in cases))
    claims = map_claims(tmp_path / "eob.ndjson")
    assert claims.admissions.select("pdx", "sdx").rows() == [("A001", []), ("A000", ["A001"]), ("A001", ["A000"])]
    assert reasons(claims)[("pdx", "admitting and principal next to another principal diagnosis, taken as secondary")] == [2]


def test_lines_that_are_no_claims_are_rows_that_say_so(tmp_path: Path) -> None:
    eob = {"resourceType": "ExplanationOfBenefit", "id": "x"}
    odd = {
        **eob,
        "type": concept("40"),
        "diagnosis": [
            {"diagnosisCodeableConcept": concept("25000", "http://hl7.org/fhir/sid/icd-9-cm"), "sequence": 1},
            {"diagnosisCodeableConcept": concept("K810", "http://hl7.org/fhir/sid/icd-10-cm"), "sequence": 10**40},
            {"diagnosisReference": {}, "type": "principal"},
            "nothing",
        ],
        "procedure": [
            {"procedureCodeableConcept": concept("\ud800")},
            {"procedureCodeableConcept": concept("99213", "http://www.ama-assn.org/go/cpt")},
        ],
        "totalCost": {"value": 10**400},
        "provider": 7,
        "careTeam": [],
    }
    lines = ["not json", json.dumps(odd), "[1]", '{"resourceType": "Coverage"}', "[" * 200_000, json.dumps(eob), "NaN"]
    (tmp_path / "eob.ndjson").write_text("\n".join(lines) + "\n\n")
    claims = map_claims(tmp_path / "eob.ndjson")
    assert claims.admissions.height == 7
    assert "covered_charges_usd" not in claims.admissions.columns
    assert claims.admissions["sdx"].to_list()[1] == ["K810"]
    rows = reasons(claims)
    assert rows[("resourceType", "no ExplanationOfBenefit")] == [0, 2, 3, 4, 6]
    assert rows[("type", "no inpatient claim")] == [1, 5]
    assert rows[("code", "ICD-9 and ICD-10 codes mixed")] == [1]
    assert rows[("diagnosis", "an item without code")] == [1]
    assert rows[("procedure", "no ICD code, left out")] == [1]
    assert claims.admissions["procedures"].to_list()[1] == ["?"]
    assert ("careTeam", "not mapped, left out", 1) in claims.report.rows()


def test_a_bundle_is_its_resources(tmp_path: Path) -> None:
    resources = [json.loads(line) for line in as_carin(tmp_path).read_text().splitlines()]
    bundle = {"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}
    (tmp_path / "bundle.json").write_text(json.dumps(bundle, indent=2))
    assert read_claims(tmp_path / "bundle.json").equals(read_claims(tmp_path / "eob.ndjson"))


# ---------------------------------------------------------------------------------------------- 837I


BEGIN = ("HL*1**20*1", "NM1*85*2*H*****XX*1234567893", "HL*2*1*22*0", "NM1*IL*1*D*J****MI*M1", "DMG*D8*19500101*F")


def test_faults_of_837_claims(tmp_path: Path) -> None:
    path = tmp_path / "claims.txt"
    path.write_text(
        transaction(
            *BEGIN,
            "CLM*A*100***13:A:8",
            "DTP*434*RD8*20240301-20240306",
            "HI*BK:25000*BF:4019",
            "HI*ABF:I10:::::::Y*BE:80:::15",
            "SV2*0120**900*DA*5**n/a",
            "PWK*OZ*AA",
            "PWK*OZ*BB",
            "HL*3*2*23*0",
            "DMG*D8*20200301*M",
            "CLM*B*lots***11:A:1",
            "DTP*435*D8*20240301",
            "HI*ABK:K810",
            "HI*ABN:W19XXXA:::::::Y",
        )
    )
    claims = map_claims(path)
    got = claims.admissions
    assert claims.layout == "837i"
    assert got.select("pdx", "sdx", "sex", "age").rows() == [(None, ["I10"], "F", None), ("K810", ["W19XXXA"], "M", 4)]
    assert got["sdx_poa"].to_list() == [["Y"], ["Y"]]
    assert got["covered_charges_usd"].to_list() == [100.0, None]
    rows = reasons(claims)
    assert rows[("CLM05", "no inpatient claim")] == [0]
    assert rows[("CLM05", "void of an earlier claim")] == [0]
    assert rows[("code", "ICD-9 and ICD-10 codes mixed")] == [0]
    assert rows[("HI BE", "codes of another kind, left out")] == [0]
    assert rows[("SV207", "no number, left out")] == [0]
    assert ("PWK", "segment not read", 1) in claims.report.rows()
    assert ("discharge_status", "not in the file", 2) in claims.report.rows()


WHOLE = transaction(*BEGIN, "CLM*A*100***11:A:1", "HI*ABK:K810")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WHOLE[:80], "segment 1: expected ISA with its 105 characters"),
        (WHOLE[:-5], r"segment 13: cut off; no IEA"),
        (WHOLE[: WHOLE.index("HI*")], "cut off; no IEA"),
        (WHOLE.replace("SE*9", "SE*8"), "segment 11: SE counts other segments"),
        (WHOLE.replace("ST*837", "ST*835"), "segment 3: expected a transaction 837"),
        (WHOLE.replace("SE*9*0001~\n", ""), "segment 11: GE within a transaction; SE is missing"),
        (WHOLE.replace("CLM*A*100***11:A:1", "CL1*1*1*01"), "segment 9: CL1 outside a claim"),
        (WHOLE.replace("*P*:~", "*P*~~"), "ISA names no three different separators"),
        (WHOLE + "trailing", "segment 14: expected ISA"),
    ],
)
def test_a_damaged_interchange_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "claims.edi").write_text(text)
    with pytest.raises(InputError, match=message):
        read_claims(tmp_path / "claims.edi", "837i")


def test_several_interchanges_with_their_own_separators(tmp_path: Path) -> None:
    other = WHOLE.replace(":", ">").replace("*", "|").replace("~\n", "'").replace("CLM|A|", "CLM|B|")
    (tmp_path / "claims.837").write_text(WHOLE + "\n" + other)
    claims = read_claims(tmp_path / "claims.837")
    assert claims.select("claim_id", "pdx").rows() == [("A", "K810"), ("B", "K810")]


@settings(deadline=None)
@given(st.text(alphabet="ISA*~:|HICLM\n0 ", max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "claims.837"
        path.write_text(WHOLE.replace("HI*ABK:K810~\n", f"{text}~\n"))
        try:
            found = read_claims(path, "837i").height
        except InputError:
            found = 0
    assert found <= text.count("CLM") + 1


# ---------------------------------------------------------------------------------------------- JSON claims


def test_the_fifty_dirty_claims(shared: Path) -> None:
    path = shared / "real/pydrg_claims/claims.jsonl"
    claims = map_claims(path)
    source = [json.loads(line) for line in path.read_text().splitlines()]
    assert claims.layout == "json"
    assert claims.admissions.height == len(source) == 50
    for row, claim in zip(claims.admissions.iter_rows(named=True), source, strict=True):
        assert row["claim_id"] == claim["claimid"]
        assert (row["pdx"], row["pdx_poa"]) == (claim["principal_dx"]["code"], claim["principal_dx"]["poa"])
        assert row["sdx"] == [one["code"] for one in claim.get("secondary_dxs", [])]
        assert row["procedures"] == [one["code"] for one in claim.get("inpatient_pxs", [])]
        assert (row["age"], row["sex"]) == (claim["patient"]["age"], claim["patient"]["sex"])
        assert (row["los_days"], row["discharge_status"]) == (claim["los"], int(claim["patient_status"]))
    grouped = group(claims.admissions, version="43.1", detail=True)
    diagnoses = [*grouped["pdx_valid"], *(valid for row in grouped["sdx_valid"] for valid in row)]
    procedures = [valid for row in grouped["proc_valid"] for valid in row]
    # PROVENANCE: 7 of 92 diagnoses and 4 of 23 procedures are no codes of fiscal years 2025 and 2026.
    assert (len(diagnoses), diagnoses.count(False)) == (92, 7)
    assert procedures.count(False) == 4
    assert claims.flags.is_empty()


def test_faults_of_json_claims(tmp_path: Path) -> None:
    lines = [
        '{"claimid": 5, "principal_dx": {"code": "K810"}, "patient": [], "los": 2.5, "memo": 1}',
        "{",
        '{"claimid": "b", "secondary_dxs": [{"code": 7}, {}, "I10"], "thru_date": "2024-13-01"}',
    ]
    (tmp_path / "claims.jsonl").write_text("\n".join(lines))
    claims = map_claims(tmp_path / "claims.jsonl")
    assert claims.admissions["claim_id"].to_list() == ["5", None, "b"]
    assert claims.admissions["pdx"].to_list() == ["K810", None, None]
    assert claims.admissions["sdx"].to_list() == [[], [], ["7"]]
    rows = reasons(claims)
    assert rows[("claim", "no JSON object")] == [1]
    assert ("memo", "not mapped, left out", 1) in claims.report.rows()
    assert rows[("los_days", "unreadable, left blank")] == [0]
    assert rows[("secondary_dxs", "an item without code")] == [2]
    assert ("age", "not in the file", 3) in claims.report.rows()


# ---------------------------------------------------------------------------------------------- the front


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


@pytest.mark.parametrize(
    ("name", "text", "layout", "message"),
    [
        ("a.csv", "a|b\n1|2\n", "rif", "no inpatient RIF file: it lacks PRNCPAL_DGNS_CD"),
        ("a.csv", "a,b\n1,2\n", "hcup", "it lacks I10_DX1"),
        ("a.csv", "a,b\n1,2\n", "hcupp", r"no layout 'hcupp'. Did you mean 'hcup'\? Known: admissions"),
        ("a.csv", "admission_id,age,sex,discharge_status,dx1\n1,5,F,1,K810\n", "admissions", "are those of wide"),
        ("a.txt", "a|b\n1|2\n", None, "no layout recognised by its columns; pass layout="),
        ("a.txt", "a|b\n1|2\n", "wide", r"cannot read \.txt; use \.parquet"),
        ("a.json", "[1, 2]", None, "no FHIR resource and no claim among its first objects"),
        ("a.csv", "A, A\n1,2\n", "hcup", "columns 1 and 2 have one name"),
        ("a.txt", "A|A\n1|2\n", "rif", "columns 1 and 2 have one name"),
        ("a.txt", "", "rif", "not a readable txt file"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, name: str, text: str, layout: str | None, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_claims(tmp_path / name, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_file_is_told_in_every_layout(tmp_path: Path, layout: str) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_claims(tmp_path / "absent", layout)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("mimic_iv", "mimic_demo")])
@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe", b"\x1f\x8b\x08broken", b'a,b\n"x', b"{" * 99])
def test_rubbish_is_refused_or_flagged(tmp_path: Path, layout: str, content: bytes) -> None:
    """Never another exception than ours; where a reader takes it, every row is flagged."""
    for name in ("a.csv", "a.json.gz", "a.parquet"):
        (tmp_path / name).write_bytes(content)
        try:
            claims = map_claims(tmp_path / name, layout)
        except InputError:
            continue
        assert set(range(claims.admissions.height)) <= set(claims.flags["row"])


# ---------------------------------------------------------------------------------------------- properties


CODE_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["dx", "pr", "principal"]),
        st.sampled_from(["", "1", "2", "3", "7"]),
        st.sampled_from(["K810", "I10", "E119", ""]),
        st.sampled_from(["", "Y", "n", "Q"]),
        st.sampled_from(["", "9", "10"]),
    ),
    min_size=1,
    max_size=14,
)


def by_hand(rows: list[tuple[str, ...]]) -> tuple[list[tuple[object, ...]], dict[tuple[str, str], list[int]]]:
    """The rules of claims_build and claims_long for one admission after another, in plain Python."""
    found, flags = [], {}

    def flag(row: int, field: str, reason: str, *, true: bool) -> None:
        if true:
            flags.setdefault((field, reason), []).append(row)

    for row, claim in enumerate(dict.fromkeys(one[0] for one in rows)):
        own = [one[1:] for one in rows if one[0] == claim]
        dx = [one for one in own if one[0] != "pr"]
        if any(one[0] == "principal" for one in dx):
            named = [one[0] == "principal" for one in dx]
        elif any(one[1] for one in dx):
            named = [one[1] == "1" for one in dx]
        else:
            named = [place == 0 for place in range(len(dx))]
        diagnoses = [(*one[1:], name) for one, name in zip(dx, named, strict=True) if one[2]]
        procedures = [one[1:] for one in own if one[0] == "pr" and one[2]]
        for kind, codes in (("dx", diagnoses), ("pr", procedures)):
            numbers = [int(one[0]) for one in codes if one[0]]
            flag(row, kind, "duplicate sequence number", true=len(set(numbers)) < len(numbers))
            flag(row, kind, "gap in sequence numbers", true=bool(numbers) and max(numbers) > len(set(numbers)))
        revisions = {one[3] for one in [*diagnoses, *procedures]}
        flag(row, "code", "ICD-9 codes, left out", true="9" in revisions)
        flag(row, "code", "ICD-9 and ICD-10 codes mixed", true={"9", "10"} <= revisions)
        diagnoses, procedures = ([one for one in codes if one[3] != "9"] for codes in (diagnoses, procedures))
        indicators = {one[2] for one in [*diagnoses, *procedures]}
        flag(row, "poa", "unknown POA indicator, kept", true="Q" in indicators)
        diagnoses.sort(key=lambda one: int(one[0] or 99))
        procedures.sort(key=lambda one: int(one[0] or 99))
        principals = [place for place, one in enumerate(diagnoses) if one[4]]
        flag(row, "pdx", "more than one principal diagnosis, the first taken", true=len(principals) > 1)
        flag(row, "pdx", "no principal diagnosis", true=not principals)
        pdx = diagnoses.pop(principals[0])[1] if principals else None
        poa = [one[2].upper() for one in diagnoses]
        found.append((claim, pdx, [one[1] for one in diagnoses], poa, [one[1] for one in procedures]))
    return found, flags


@settings(deadline=None, max_examples=200)
@given(CODE_ROWS)
def test_any_table_of_codes_is_read_by_the_rules(rows: list[tuple[str, ...]]) -> None:
    expected, flags = by_hand(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "codes.csv"
        lines = ["claim_id,type,sequence,code,poa,icd_version", *(",".join(row) for row in rows)]
        path.write_text("\n".join(lines))
        claims = map_claims(path)
    got = claims.admissions
    if "sdx_poa" not in got.columns:
        got = got.with_columns(sdx_poa=pl.col("sdx").list.eval(pl.lit("")))
    assert got.select("claim_id", "pdx", "sdx", "sdx_poa", "procedures").rows() == expected
    assert {key: found for key, found in reasons(claims).items() if key[0] != "claim_id"} == flags


@pytest.mark.parametrize("layout", ["rif", "hcup", "long", "json", "fhir"])
def test_a_file_in_parts_gives_the_parts_of_the_whole(tmp_path: Path, layout: str) -> None:
    path = WRITERS[layout](tmp_path)
    whole = read_claims(path)
    if layout == "json":
        claims = json.loads(path.read_text())
        parts = [json.dumps(claims[:1]), json.dumps(claims[1:])]
    else:
        lines = path.read_text().splitlines()
        head = [] if layout == "fhir" else lines[:1]
        body = lines[len(head) :]
        first = next(place for place, line in enumerate(body) if "102" in line)
        parts = ["\n".join([*head, *body[:first]]), "\n".join([*head, *body[first:]])]
    read = []
    for number, text in enumerate(parts):
        part = tmp_path / f"{number}{path.suffix}"
        part.write_text(text)
        read.append(read_claims(part))
    assert pl.concat(read).equals(whole)


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A file with some bytes changed, lost or put in."""
    data = bytearray(content)
    for _ in range(draw.choice([1, 2, 5, 20])):
        at = draw.randrange(len(data))
        byte = draw.choice([*b'|,\t\n~*:"{}[]-9', draw.randrange(256)])
        change = draw.choice([bytes([byte]), bytes([byte, byte, byte]), b""])
        data[at : at + draw.choice([0, 1, 5])] = change
    return bytes(data)


@pytest.mark.parametrize("layout", WRITERS)
def test_a_damaged_file_is_read_or_refused_by_name(tmp_path: Path, layout: str) -> None:
    path, draw = WRITERS[layout](tmp_path), random.Random(5)
    content, read, refusals = path.read_bytes(), 0, []
    for _ in range(80):
        path.write_bytes(mutated(content, draw))
        try:
            claims = map_claims(path, layout)
        except InputError as error:
            refusals.append(str(error))
        else:
            read += 1
            assert claims.admissions["admission_id"].null_count() == 0
            assert not claims.flags.height or claims.flags["row"].max() < claims.admissions.height
    assert all(str(path) in refusal for refusal in refusals)
    assert read > 10
