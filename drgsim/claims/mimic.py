"""Tables of the hospital module of MIMIC-IV, and discharge locations: `read_mimic(folder)`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from drgsim.claim_fields.assembly import build_claims, report_unmapped_columns
from drgsim.claim_fields.code_cells import DX, PR
from drgsim.claim_fields.code_lists import CODES
from drgsim.claim_fields.field_values import parse_dates, parse_identifiers, parse_revisions, parse_whole_numbers
from drgsim.claim_fields.mapping_report import Claims, MappingProblems
from drgsim.claim_fields.source_files import drop_row_column, read_text_table
from drgsim.exceptions import InputError, SchemaError

MIMIC_DISCHARGE_STATUS: Mapping[str, int] = {
    "HOME": 1,
    "ASSISTED LIVING": 1,
    "ACUTE HOSPITAL": 2,
    "SKILLED NURSING FACILITY": 3,
    "HOME HEALTH CARE": 6,
    "AGAINST ADVICE": 7,
    "DIED": 20,
    "HOSPICE": 50,
    "REHAB": 62,
    "CHRONIC/LONG TERM ACUTE CARE": 63,
    "PSYCH FACILITY": 65,
    "HEALTHCARE FACILITY": 70,
    "OTHER FACILITY": 70,
}
"""MIMIC-IV discharge location to UB-04 patient discharge status (FL 17). Hospice is taken as hospice at
home. A blank location is taken as home (01): in the demo only observation stays of living patients have one. Any
other location becomes null, which is an invalid status."""

_TABLES = {
    "admissions": ("subject_id", "hadm_id", "admittime", "dischtime", "discharge_location"),
    "patients": ("subject_id", "gender", "anchor_age", "anchor_year"),
    "diagnoses_icd": ("hadm_id", "seq_num", "icd_code", "icd_version"),
    "procedures_icd": ("hadm_id", "seq_num", "icd_code", "icd_version"),
    "drgcodes": ("hadm_id", "drg_type", "drg_code"),
}
_OPTIONAL = ("drgcodes",)
_SUFFIXES = (".csv", ".csv.gz", ".parquet")
_MEDICARE = ("HCFA", "MS")


def find_mimic_tables(folder: Path) -> dict[str, Path]:
    """Return the files of the hospital module in a folder or its folder `hosp`, if any."""
    for home in (folder, folder / "hosp"):
        found = {
            name: next((path for suffix in _SUFFIXES if (path := home / f"{name}{suffix}").is_file()), None)
            for name in _TABLES
        }
        if found["admissions"] and found["diagnoses_icd"]:
            return {name: path for name, path in found.items() if path}
    return {}


def map_discharge_status(location: pl.Expr) -> pl.Expr:
    """Return the UB-04 status of a discharge location; blank is home."""
    place = location.str.strip_chars().str.to_uppercase()
    return (
        pl.when(place.is_null() | (place == ""))
        .then(pl.lit(MIMIC_DISCHARGE_STATUS["HOME"]))
        .otherwise(place.replace_strict(MIMIC_DISCHARGE_STATUS, default=None, return_dtype=pl.Int32))
    )


def read_mimic(folder: Path) -> Claims:
    """Return the admissions of MIMIC-IV from its module tables, as PhysioNet publishes them.

    `admissions`, `patients`, `diagnoses_icd`, `procedures_icd` and, if present, `drgcodes`, as `.csv`, `.csv.gz` or
    `.parquet`, in the folder or its folder `hosp`. Diagnosis 1 is the principal one. ICD-9 codes are left out, so an
    admission coded in ICD-9 has no principal diagnosis. There are no POA indicators (group with
    `hospital_status="EXEMPT"`), and no `discharge_date`: dates are shifted by patient. `ms_drg_recorded` is the
    recorded MS-DRG (`drg_type` HCFA).

    Raises:
        InputError: a table is missing or cannot be read.
        SchemaError: a table lacks a column.

    >>> read_mimic(Path("absent"))
    Traceback (most recent call last):
    drgsim.exceptions.InputError: absent: no admissions and diagnoses_icd (.csv, .csv.gz, .parquet) there or in hosp.
    """
    files, problems = find_mimic_tables(folder), MappingProblems()
    if not files:
        raise InputError(f"{folder}: no admissions and diagnoses_icd ({', '.join(_SUFFIXES)}) there or in hosp.")
    absent = [name for name in _TABLES if name not in files and name not in _OPTIONAL]
    if absent:
        raise InputError(f"{folder}: lacks the table {absent[0]}.")
    tables = {name: _read_table(path, name, problems) for name, path in files.items()}
    admissions = tables["admissions"]
    repeated = int(tables["patients"]["subject_id"].is_duplicated().sum())
    problems.report_file("subject_id", "patients listed more than once, the first taken", repeated)
    joined = admissions.join(
        tables["patients"]
        .unique("subject_id", keep="first")
        .select("subject_id", "gender", "anchor_age", "anchor_year"),
        on="subject_id",
        how="left",
        maintain_order="left",
    ).join(_find_recorded_drgs(tables, problems), on="hadm_id", how="left", maintain_order="left")
    problems.report_file("discharge_date", "dates are shifted, left out", admissions.height)
    stays = _build_stays(joined)
    others = admissions.rename({name: f"{name}_of_file" for name in stays.columns if name in admissions.columns})
    unmapped = report_unmapped_columns(others, ("subject_id", "hadm_id", "discharge_location"), problems)
    rows = admissions.select("hadm_id").with_row_index("row").unique("hadm_id", keep="first", maintain_order=True)
    codes = [
        _build_codes(tables[name], kind, rows, problems)
        for name, kind in (("diagnoses_icd", DX), ("procedures_icd", PR))
    ]
    return build_claims("mimic_iv", stays.hstack(unmapped), pl.concat(codes), problems)


# ---------------------------------------------------------------------------------------------- tables


def _read_table(path: Path, name: str, problems: MappingProblems) -> pl.DataFrame:
    lines = MappingProblems()
    table = drop_row_column(read_text_table(path, lines, str.lower), problems)
    problems.report_counts(lines)
    lacking = [column for column in _TABLES[name] if column not in table.columns]
    if lacking:
        raise SchemaError(f"{path}: lacks {lacking[0]}; is it MIMIC-IV's table {name}?")
    return table.with_columns(
        parse_identifiers(table[key]) for key in ("subject_id", "hadm_id") if key in table.columns
    )


def _build_stays(joined: pl.DataFrame) -> pl.DataFrame:
    admitted, discharged = (parse_dates(joined[name]).dates for name in ("admittime", "dischtime"))
    anchor_age, anchor_year = (parse_whole_numbers(joined[name]) for name in ("anchor_age", "anchor_year"))
    # A patient is anchor_age years old in the year anchor_year; MIMIC-IV has no birth dates.
    age = anchor_age + admitted.dt.year() - anchor_year
    los = (discharged - admitted).dt.total_days()
    return joined.select(
        claim_id="hadm_id",
        patient_id="subject_id",
        age=age,
        sex="gender",
        discharge_status=map_discharge_status(pl.col("discharge_location")),
        los_days=los.set(los < 0, None),
        ms_drg_recorded="drg_code",
    )


def _find_recorded_drgs(tables: Mapping[str, pl.DataFrame], problems: MappingProblems) -> pl.DataFrame:
    """Return the recorded MS-DRG of each admission; APR-DRGs are left out."""
    if "drgcodes" not in tables:
        return pl.DataFrame(schema={"hadm_id": pl.String, "drg_code": pl.String})
    drgs = tables["drgcodes"]
    medicare = drgs.filter(pl.col("drg_type").str.to_uppercase().is_in(_MEDICARE))
    problems.report_file("drgcodes", "DRGs of another kind, left out", drgs.height - medicare.height)
    first = medicare.unique("hadm_id", keep="first", maintain_order=True)
    problems.report_file("drgcodes", "further MS-DRGs of an admission, left out", medicare.height - first.height)
    return first.select("hadm_id", "drg_code")


def _build_codes(table: pl.DataFrame, kind: str, rows: pl.DataFrame, problems: MappingProblems) -> pl.DataFrame:
    known = table.join(rows, on="hadm_id", how="inner", maintain_order="left")
    problems.report_file(kind, "codes of admissions that are not in admissions, left out", table.height - known.height)
    sequence = parse_whole_numbers(known["seq_num"])
    return known.select(
        "row",
        kind=pl.lit(kind),
        principal=(sequence == 1) & (kind == DX) if len(sequence) else pl.lit(value=False),
        sequence=sequence,
        code="icd_code",
        poa=pl.lit(None, pl.String),
        icd=parse_revisions(known["icd_version"]),
    ).cast(CODES)  # type: ignore[arg-type]  # Mapping is invariant in its keys
