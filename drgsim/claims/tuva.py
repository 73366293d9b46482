"""Tables of the Tuva data model: `read_tuva(path)`.

* `medical_claim` of the input layer: one row a line of a claim, with numbered diagnoses, POA indicators and procedures.
* `condition` of the core data model: one row a diagnosis, with the encounter or claim it belongs to.

Source of names: the Tuva Project, data dictionaries of the input layer and of the core data model.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from drgsim.claim_fields.assembly import build_claims, report_unmapped_columns
from drgsim.claim_fields.code_cells import DX
from drgsim.claim_fields.code_lists import CODES
from drgsim.claim_fields.column_mapping import ColumnMapping
from drgsim.claim_fields.field_values import parse_numbers, parse_revisions, parse_whole_numbers
from drgsim.claim_fields.mapping_report import Claims, MappingProblems
from drgsim.claim_fields.source_files import read_text_table
from drgsim.claims.own_columns import map_named_columns
from drgsim.exceptions import SchemaError

_NAMES = {
    "claim_id": ("claim_id",),
    "patient_id": ("person_id", "patient_id", "member_id"),
    "hospital_id": ("facility_npi", "facility_id"),
    "admission_date": ("admission_date",),
    "discharge_date": ("discharge_date",),
    "statement_from": ("claim_start_date",),
    "statement_through": ("claim_end_date",),
    "discharge_status": ("discharge_disposition_code",),
    "ms_drg_recorded": ("ms_drg_code", "drg_code"),
    "bill_type": ("bill_type_code",),
    "claim_type": ("claim_type",),
    "covered_charges_usd": ("charge_amount",),
    "dx": ("diagnosis_code_{n}",),
    "poa": ("diagnosis_poa_{n}",),
    "pr": ("procedure_code_{n}",),
    "dx_version": ("diagnosis_code_type",),
    "pr_version": ("procedure_code_type",),
}
_CLAIM, _LINE, _CHARGES = "claim_id", "claim_line_number", "charge_amount"
_ENCOUNTERS = ("encounter_id", "claim_id")
_CONDITION = {"condition_rank", "source_code"}
_LINES = "lines of a claim, the first taken, their charges added"
_OTHER_KIND = "codes of another kind, left out"
_OTHER_LINES = (
    "claim_line",
    "revenue_center",
    "service_unit",
    "place_of_service",
    "hcpcs",
    "paid_amount",
    "allowed_amount",
)


def is_tuva(columns: set[str]) -> bool:
    """Return whether column names, in any case, are those of a table of the Tuva data model.

    >>> is_tuva({"CLAIM_ID", "CLAIM_LINE_NUMBER", "DIAGNOSIS_CODE_1"}), is_tuva({"CLAIM_ID", "DX1"})
    (True, False)
    """
    lower = {name.lower() for name in columns}
    return {_CLAIM, _LINE, "diagnosis_code_1"} <= lower or (lower >= _CONDITION and bool(lower & {*_ENCOUNTERS}))


def read_tuva(path: Path) -> Claims:
    r"""Return the claims of a `medical_claim` table, or the encounters of a `condition` table.

    The lines of a claim become one row: the first line counts, and the charges of all lines are added. `hospital_id` is
    the facility's NPI, not a CCN. A `condition` table has diagnoses alone: without procedures its admissions group as
    medical ones.

    Raises:
        InputError: the file cannot be read.
        SchemaError: it is none of these tables.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "medical_claim.csv"
    >>> _ = path.write_text("claim_id,claim_line_number,diagnosis_code_1,diagnosis_poa_1\nC1,1,K810,Y\nC1,2,K810,Y\n")
    >>> read_tuva(path).admissions.select("claim_id", "pdx", "pdx_poa").rows()
    [('C1', 'K810', 'Y')]
    """
    problems = MappingProblems()
    return map_tuva(read_text_table(path, problems, str.lower), problems, path)


def map_tuva(table: pl.DataFrame, lines: MappingProblems, where: Path | str) -> Claims:
    """Return the claims of a table of texts with names in lower case: see `read_tuva`.

    Raises:
        SchemaError: as `read_tuva`.
    """
    names, problems = {*table.columns}, MappingProblems()
    if not is_tuva(names):
        raise SchemaError(
            f"{where}: no Tuva table: expected claim_id, claim_line_number and diagnosis_code_1 (medical_claim), or "
            "source_code, condition_rank and encounter_id or claim_id (condition)."
        )
    problems.report_counts(lines)
    if "diagnosis_code_1" not in names:
        return _read_conditions(table, problems)
    table = _fold_lines(table, problems)
    found = {
        ours: next((one for one in theirs if one in names or "{n}" in one), None) for ours, theirs in _NAMES.items()
    }
    columns = {ours: (one,) for ours, one in found.items() if one}
    absent = {name for name, _ in ColumnMapping(columns).find_columns(table.columns)[1]}
    mapping = ColumnMapping({ours: one for ours, one in columns.items() if ours not in absent})
    table = _drop_other_procedures(table, problems)
    return map_named_columns(table, mapping, problems, where=where, layout="tuva")


# ---------------------------------------------------------------------------------------------------------


def _fold_lines(table: pl.DataFrame, problems: MappingProblems) -> pl.DataFrame:
    """Return one row a claim, in the order of first lines; a line without claim stays."""
    key = pl.coalesce(_CLAIM, pl.format("row {}", pl.int_range(pl.len()))).alias("\0claim")
    number = parse_whole_numbers(table[_LINE])
    # A stable sort: lines without a number keep the order of the file.
    lines = table.with_columns(key, number.alias("\0line"), pl.int_range(pl.len()).alias("\0row"))
    order = lines.group_by("\0claim").agg(pl.col("\0row").min().alias("\0place"))
    sorted_lines = lines.sort("\0line", nulls_last=True, maintain_order=True)
    first = sorted_lines.unique("\0claim", keep="first", maintain_order=True)
    claims = first.join(order, on="\0claim", how="left").sort("\0place").drop("\0place")
    if _CHARGES in table.columns:
        amounts = lines.select("\0claim", parse_numbers(table[_CHARGES]).alias("\0charges"))
        totals = amounts.group_by("\0claim").agg(
            pl.col("\0charges").sum(), pl.col("\0charges").count().alias("\0given")
        )
        claims = claims.join(totals, on="\0claim", how="left", maintain_order="left")
        total = pl.when(pl.col("\0given") > 0).then(pl.col("\0charges").round(2).cast(pl.String))
        claims = claims.with_columns(total.alias(_CHARGES)).drop("\0charges", "\0given")
    problems.report_file(_LINE, _LINES, table.height - claims.height)
    of_lines = [name for name in table.columns if name.startswith(_OTHER_LINES)]
    return claims.drop("\0claim", "\0line", "\0row", *of_lines)


def _drop_other_procedures(table: pl.DataFrame, problems: MappingProblems) -> pl.DataFrame:
    """Return a table without procedures of a type that is no ICD, such as HCPCS."""
    if "procedure_code_type" not in table.columns:
        return table
    types = table["procedure_code_type"].cast(pl.String)
    other = (types.is_not_null() & parse_revisions(types).is_null()).fill_null(value=False)
    columns = [name for name in table.columns if name.startswith("procedure_code_") and name[-1].isdigit()]
    problems.flag_where("procedure_code_type", _OTHER_KIND, other)
    return (
        table.with_columns(pl.when(~other).then(pl.col(name)).alias(name) for name in columns) if other.any() else table
    )


def _read_conditions(table: pl.DataFrame, problems: MappingProblems) -> Claims:
    """Return one row an encounter from one row a diagnosis."""
    key = next(name for name in _ENCOUNTERS if name in table.columns)
    poa = next((name for name in ("present_on_admit_code", "present_on_admission") if name in table.columns), None)
    kinds = (
        table["source_code_type"]
        if "source_code_type" in table.columns
        else pl.repeat(None, table.height, dtype=pl.String, eager=True)
    )
    icd = parse_revisions(kinds.cast(pl.String))
    other = (kinds.is_not_null() & icd.is_null()).fill_null(value=False)
    lines = table.with_columns(pl.coalesce(key, pl.format("row {}", pl.int_range(pl.len()))).alias("\0key"))
    stays = lines.unique("\0key", keep="first", maintain_order=True).with_row_index("\0row")
    rows = lines.join(stays.select("\0key", "\0row"), on="\0key", how="left", maintain_order="left")["\0row"]
    rank = parse_whole_numbers(table["condition_rank"])
    codes = pl.DataFrame(
        {
            "row": rows.cast(pl.UInt32),
            "kind": pl.repeat(DX, table.height, dtype=pl.String, eager=True),
            "principal": (rank == 1).fill_null(value=False),
            "sequence": rank,
            "code": table["source_code"].cast(pl.String),
            "poa": table[poa].cast(pl.String) if poa else pl.repeat(None, table.height, dtype=pl.String, eager=True),
            "icd": icd,
        },
        schema=CODES,
    )
    problems.flag_rows("source_code_type", _OTHER_KIND, rows.filter(other).unique())
    problems.report_file("procedures", "not in the file", stays.height)
    person = next((name for name in ("person_id", "patient_id") if name in table.columns), None)
    named = {"claim_id": key, **({"patient_id": person} if person else {})}
    mapped = [*named.values(), *(one for one in (poa, "source_code", "source_code_type", "condition_rank") if one)]
    report_unmapped_columns(table, mapped, problems)
    admissions = stays.select(pl.col(theirs).cast(pl.String).alias(ours) for ours, theirs in named.items())
    return build_claims("tuva", admissions, codes.filter(~other), problems)
