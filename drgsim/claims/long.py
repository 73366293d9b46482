"""Tables with one row a code: `read_long(path)`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from drgsim.claim_fields.assembly import SOURCES, build_claims, report_unmapped_columns
from drgsim.claim_fields.bill_rules import find_bill_columns, flag_bills
from drgsim.claim_fields.code_cells import DX, PR
from drgsim.claim_fields.code_lists import CODES
from drgsim.claim_fields.field_values import parse_identifiers, parse_revisions, parse_whole_numbers
from drgsim.claim_fields.mapping_report import Claims, MappingProblems
from drgsim.claim_fields.source_files import drop_row_column, read_text_table
from drgsim.exceptions import SchemaError
from drgsim.schema import ADMISSIONS

_ALIASES: Mapping[str, tuple[str, ...]] = {
    "claim_id": ("admission_id", "claim_id", "hadm_id", "encounter_id", "stay_id", "visit_id"),
    "code": ("code", "icd_code", "icd10_code"),
    "type": ("type", "code_type", "kind"),
    "sequence": ("sequence", "seq", "seq_num", "sequence_number", "position"),
    "poa": ("poa", "present_on_admission", "poa_indicator"),
    "icd": ("icd_version", "code_version", "version"),
}
_NEEDED = ("claim_id", "code", "type")
TYPES: Mapping[str, str] = {
    **dict.fromkeys(("pdx", "principal", "principal diagnosis", "primary"), "pdx"),
    **dict.fromkeys(("dx", "sdx", "d", "diagnosis", "diag", "secondary", "other", "icd10cm", "icd-10-cm", "cm"), DX),
    **dict.fromkeys(("pr", "p", "px", "procedure", "proc", "icd10pcs", "icd-10-pcs", "pcs"), PR),
}
"""Values of a row's type, in any case: the principal diagnosis, a diagnosis, or a procedure."""
_SCALARS = (
    tuple(
        column.name
        for column in ADMISSIONS.columns
        if column.name not in ("admission_id", "pdx", "pdx_poa") and not isinstance(column.dtype, pl.List)
    )
    + SOURCES
)


def is_long(columns: Iterable[str]) -> bool:
    """Return whether columns are those of a table with one row a code."""
    lower = {name.lower() for name in columns}
    return all(lower & set(_ALIASES[name]) for name in _NEEDED)


def read_long(path: Path) -> Claims:
    r"""Return the admissions of a table with one row a code.

    Columns, in any case: an identifier of the admission (`admission_id`, `claim_id`, `hadm_id`, `encounter_id`,
    `stay_id`, `visit_id`), `code`, `type` (see `TYPES`); if known `sequence`, `poa` and `icd_version` (9 or 10), and
    scalar columns of ADMISSIONS, repeated on the rows of an admission. The principal diagnosis is the one whose type
    says so, else diagnosis number 1, else, where the admission has no sequence numbers, the first. Admissions are in
    the order of their first rows. A row of another type is left out and its admission flagged.

    Raises:
        InputError: the file cannot be read.
        SchemaError: a needed column is missing.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "codes.csv"
    >>> _ = path.write_text("claim_id,code,type,sequence,poa\n7,I10,dx,2,Y\n7,K810,dx,1,Y\n7,0FT44ZZ,pr,1,\n")
    >>> read_long(path).admissions.select("pdx", "sdx", "procedures").row(0)
    ('K810', ['I10'], ['0FT44ZZ'])
    """
    problems, lines = MappingProblems(), MappingProblems()
    table = read_text_table(path, lines, str.lower)
    problems.report_counts(lines)
    return map_long(table, problems, path)


def map_long(table: pl.DataFrame, problems: MappingProblems, where: Path | str) -> Claims:
    """Return the admissions of texts with one row a code: see `read_long`.

    Args:
        table: (n,) texts, null where blank; columns in lower case.
        problems: those found so far.
        where: the file, named in errors.

    Raises:
        SchemaError: a needed column is missing.
    """
    table = drop_row_column(table, problems)
    named = {ours: next((name for name in names if name in table.columns), None) for ours, names in _ALIASES.items()}
    lacking = [name for name in _NEEDED if not named[name]]
    if lacking:
        raise SchemaError(f"{where}: no {lacking[0]} column: expected one of {', '.join(_ALIASES[lacking[0]])}.")
    key, scalars = str(named["claim_id"]), [name for name in _SCALARS if name in table.columns]
    table = table.with_columns(parse_identifiers(table[key]))
    unidentified = table[key].null_count()
    problems.report_file(key, "codes without an admission, left out", unidentified)
    table = table.filter(pl.col(key).is_not_null())
    rows = table.select(key).unique(maintain_order=True).with_row_index("row")
    table = table.join(rows, on=key, how="left", maintain_order="left")
    bills = find_bill_columns(name for name in table.columns if name not in {*named.values()})
    firsts = _take_first_values(table, [*scalars, *bills.values()], problems)
    flag_bills(firsts.select(**bills), bills, problems)
    stays = rows.select(claim_id=key).hstack(firsts)
    mapped = [*filter(None, named.values()), *scalars, *bills.values(), "row"]
    for name in report_unmapped_columns(table, mapped, MappingProblems()).columns:
        problems.report_file(name, "not mapped, left out", table[name].count())
    return build_claims("long", stays, _build_codes(table, named, problems), problems)


# ---------------------------------------------------------------------------------------------- helpers


def _take_first_values(table: pl.DataFrame, scalars: list[str], problems: MappingProblems) -> pl.DataFrame:
    """Return the first value of each scalar column by admission; flag where others differ."""
    by_admission = table.group_by("row", maintain_order=True)
    for name in scalars:
        several = by_admission.agg(pl.col(name).drop_nulls().n_unique())
        problems.flag_rows(
            name, "rows of the admission disagree, the first taken", several.filter(pl.col(name) > 1)["row"]
        )
    return by_admission.agg(pl.col(scalars).drop_nulls().first()).drop("row")


def _build_codes(table: pl.DataFrame, named: Mapping[str, str | None], problems: MappingProblems) -> pl.DataFrame:
    column = {ours: pl.col(name) if name else pl.lit(None, pl.String) for ours, name in named.items()}
    codes = table.select(
        "row",
        stated=column["type"].str.to_lowercase().replace_strict(TYPES, default=None, return_dtype=pl.String),
        text=column["sequence"],
        code=column["code"],
        poa=column["poa"],
        version=column["icd"],
    )
    codes = codes.with_columns(sequence=parse_whole_numbers(codes["text"]), icd=parse_revisions(codes["version"]))
    codes = codes.with_columns(is_unreadable=pl.col("text").is_not_null() & pl.col("sequence").is_null())
    unread = codes.filter(pl.col("version").is_not_null() & pl.col("icd").is_null())["row"].unique()
    problems.flag_rows("icd_version", "no revision of ICD, taken as not stated", unread)
    problems.flag_rows(
        "type", "neither diagnosis nor procedure, left out", codes.filter(pl.col("stated").is_null())["row"]
    )
    problems.flag_rows("sequence", "no whole number, taken as last", codes.filter("is_unreadable")["row"])
    codes = codes.filter(pl.col("stated").is_not_null()).with_columns(kind=pl.col("stated").replace({"pdx": DX}))
    is_stated = (pl.col("stated") == "pdx").any().over("row")
    is_numbered = (pl.col("sequence").is_not_null() & (pl.col("kind") == DX)).any().over("row")
    is_first = pl.int_range(pl.len()).over("row", "kind") == 0
    principal = (
        pl.when(is_stated)
        .then(pl.col("stated") == "pdx")
        .when(is_numbered)
        .then(pl.col("sequence") == 1)
        .otherwise(is_first)
    )
    return codes.with_columns(principal=principal & (pl.col("kind") == DX)).select(*CODES)
