"""HCUP inpatient files in wide form, NIS and SID: `read_hcup(path)`.

Columns are those of HCUP's data element descriptions for ICD-10 years: I10_DX1 to 40, DXPOA1 to 40, I10_PR1 to 25,
AGE, FEMALE, DISPUB04 or DISPUNIFORM, LOS, TOTCHG, DRG, YEAR, DQTR or DMONTH.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from drgsim.claim_fields.assembly import build_claims, report_unmapped_columns
from drgsim.claim_fields.code_cells import DX, PR
from drgsim.claim_fields.code_lists import collect_wide_codes
from drgsim.claim_fields.mapping_report import Claims, MappingProblems
from drgsim.claim_fields.source_files import read_text_table
from drgsim.exceptions import SchemaError

DISPOSITION: Mapping[str, int] = {"1": 1, "2": 2, "5": 3, "6": 6, "7": 7, "20": 20, "21": 21, "99": 1}
"""HCUP's uniform disposition to a UB-04 patient discharge status. It is coarser than UB-04, so two values are
assumptions and are flagged: 5 (transfer to a nursing or other facility) becomes skilled nursing facility (03), and 99
(discharged alive, place unknown) becomes home (01)."""
_ASSUMED = {"5": "5 (other facility) taken as 03", "99": "99 (alive, place unknown) taken as 01"}
_ALIASES = {
    "claim_id": ("KEY_NIS", "KEY"),
    "patient_id": ("VISITLINK",),
    "age": ("AGE",),
    "female": ("FEMALE",),
    "ub04": ("DISPUB04",),
    "uniform": ("DISPUNIFORM",),
    "los_days": ("LOS",),
    "charges": ("TOTCHG",),
    "ms_drg_recorded": ("DRG",),
    "hospital_id": ("HOSP_NIS", "DSHOSPID", "HOSPID"),
    "year": ("YEAR",),
    "quarter": ("DQTR",),
    "month": ("DMONTH",),
}
_YEARS = (1900, 2200)
_MISSING = re.compile(r"-\d+(\.\d+)?|\.[A-Z]?", re.IGNORECASE)


def read_hcup(path: Path) -> Claims:
    r"""Return the discharges of a NIS or SID file.

    I10_DX1 is the principal diagnosis; external causes in columns of their own (I10_ECAUSE1, …) are secondary.
    HCUP has no day of discharge: `discharge_date` is the first day of the month or quarter, enough to choose a grouper
    version. Total charges are taken as covered. HCUP's marks of missing or invalid values (-9, -8, .A) become blank.

    Raises:
        InputError: the file cannot be read.
        SchemaError: it lacks I10_DX1.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "nis.csv"
    >>> rows = "KEY_NIS,AGE,FEMALE,DISPUNIFORM,I10_DX1,I10_DX2,I10_PR1,YEAR,DQTR\n12,71,1,20,K810,I10,0FT44ZZ,2023,4\n"
    >>> _ = path.write_text(rows)
    >>> read_hcup(path).admissions.select("sex", "discharge_status", "pdx", "sdx", "discharge_date").row(0)
    ('F', 20, 'K810', ['I10'], datetime.date(2023, 10, 1))
    """
    problems = MappingProblems()
    return map_hcup(read_text_table(path, problems, str.upper), problems, path)


def map_hcup(table: pl.DataFrame, problems: MappingProblems, where: Path | str) -> Claims:
    """Return the discharges of texts in HCUP's columns, in upper case: see `read_hcup`.

    Args:
        table: (n,) texts, null where blank.
        problems: those found so far.
        where: the file, named in errors.

    Raises:
        SchemaError: as `read_hcup`.
    """
    if "I10_DX1" not in table.columns:
        raise SchemaError(f"{where}: no HCUP file of an ICD-10 year: it lacks I10_DX1.")
    table = _blank_missing(table, problems)
    named = {ours: next((name for name in names if name in table.columns), None) for ours, names in _ALIASES.items()}
    diagnoses = _find_numbered(table, r"I10_DX_?(\d+)", r"DXPOA_?(\d+)")
    external = _find_numbered(table, r"I10_ECAUSE_?(\d+)", r"E_POA_?(\d+)")
    procedures = _find_numbered(table, r"I10_PR_?(\d+)", None)
    codes = pl.concat(
        [
            collect_wide_codes(table, DX, diagnoses).with_columns(principal=pl.col("sequence") == 1),
            collect_wide_codes(table, DX, external, first=0).with_columns(sequence=pl.lit(None, pl.Int64)),
            collect_wide_codes(table, PR, procedures),
        ]
    )
    mapped = [*filter(None, named.values())]
    mapped += [name for columns in (diagnoses, external, procedures) for column in columns for name in column if name]
    stays = _build_stays(table, named, problems).hstack(report_unmapped_columns(table, mapped, problems))
    return build_claims("hcup", stays, codes, problems)


# ---------------------------------------------------------------------------------------------- columns


def _blank_missing(table: pl.DataFrame, problems: MappingProblems) -> pl.DataFrame:
    """Return the table with HCUP's marks of missing, invalid or inconsistent values blanked."""
    missing = pl.all().str.contains(f"^(?i:{_MISSING.pattern})$")
    for name, count in table.select(missing.sum()).row(0, named=True).items():
        problems.report_file(name, "missing or invalid as HCUP marks it, left blank", count or 0)
    return table.select(pl.when(~missing).then(pl.all()).name.keep())


def _find_numbered(table: pl.DataFrame, code: str, poa: str | None) -> list[tuple[str, str | None, None]]:
    """Return the columns of codes and of their POA indicators, by ascending number."""

    def number_columns(pattern: str | None) -> dict[int, str]:
        found = {name: re.fullmatch(pattern, name) for name in table.columns} if pattern else {}
        return {int(match.group(1)): name for name, match in found.items() if match}

    codes, letters = number_columns(code), number_columns(poa)
    return [(codes[number], letters.get(number), None) for number in sorted(codes)]


def _build_stays(table: pl.DataFrame, named: dict[str, str | None], problems: MappingProblems) -> pl.DataFrame:
    # Repeated: a file may have none of these columns, and literals alone make one row.
    absent = pl.repeat(None, pl.len(), dtype=pl.String)
    values = table.select((pl.col(name) if name else absent).alias(ours) for ours, name in named.items())
    number = {name: pl.col(name).cast(pl.Float64, strict=False).cast(pl.Int32, strict=False) for name in values.columns}
    uniform = number["uniform"].cast(pl.String)
    status = pl.coalesce(number["ub04"], uniform.replace_strict(DISPOSITION, default=None, return_dtype=pl.Int32))
    for value, reason in _ASSUMED.items():
        problems.flag_where(
            "discharge_status", reason, values.select((uniform == value) & number["ub04"].is_null()).to_series()
        )
    month = pl.coalesce(number["month"], number["quarter"] * 3 - 2)
    is_date = month.is_between(1, 12) & number["year"].is_between(*_YEARS)
    stays = values.select(
        "claim_id",
        *(["patient_id"] if named["patient_id"] else []),
        *(name for name in ("age", "los_days", "hospital_id") if named[name]),
        "ms_drg_recorded",
        sex=number["female"].replace_strict({0: "M", 1: "F"}, default=None, return_dtype=pl.String),
        discharge_status=status,
        # Polars computes both branches: impossible dates must not reach pl.date.
        discharge_date=pl.when(is_date).then(pl.date(number["year"].clip(*_YEARS), month.clip(1, 12), 1)),
        covered_charges_usd="charges",
    )
    dated = stays["discharge_date"].count()
    problems.report_file("discharge_date", "day not in the file, first of the month or quarter taken", dated)
    problems.report_file("covered_charges_usd", "total charges taken as covered", stays["covered_charges_usd"].count())
    return stays
