"""Tables with one row a claim under any names: `map_own_columns`, `check_claim_columns`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from drgsim.claim_fields.assembly import UNREADABLE, build_claims
from drgsim.claim_fields.bill_rules import BILL_FIELDS, flag_bills
from drgsim.claim_fields.code_cells import DX, PR, is_known_code, read_element
from drgsim.claim_fields.code_lists import CODES, collect_wide_codes
from drgsim.claim_fields.column_mapping import (
    SCALAR_FIELDS,
    ColumnMapping,
    describe_missing,
    raise_problems,
    refuse_impossible,
)
from drgsim.claim_fields.column_names import report_code_columns
from drgsim.claim_fields.field_values import blank_words
from drgsim.claim_fields.mapping_report import Claims, MappingProblems
from drgsim.claim_fields.source_files import read_text_table
from drgsim.schema import ADMISSIONS

LAYOUT = "columns"
CHECKS = {
    "column": pl.String,
    "field": pl.String,
    "problem": pl.String,
    "count": pl.UInt32,
    "pattern": pl.String,
    "remedy": pl.String,
}
"""Columns of `check_claim_columns`."""
_REMEDIES = {
    "discharge_status": "give UB-04 statuses (01, 03, 20, …), or say what each text means in [values.discharge_status]",
    "sex": "give M, F or U, or say what each text means in [values.sex]",
    "age": "give whole years, or birth_date and admission_date",
    "los_days": "give whole days, or admission_date and discharge_date",
    "covered_charges_usd": "give dollars, such as 131370.09 or $131,370.09",
}
_DATES = "give dates such as 2026-01-15 or 01/15/2026"
_CODES_REMEDY = {
    DX: "no ICD-10-CM code of any version: mend the code, or leave the column out of the mapping",
    PR: "no ICD-10-PCS code of any version: mend the code, or leave the column out of the mapping",
}
_LONGEST_PATTERN = 24


def map_own_columns(
    path: Path, columns: ColumnMapping | Mapping[str, Any] | str | os.PathLike[str], layout: str = LAYOUT
) -> Claims:
    r"""Return the claims of a table whose columns have any names.

    Args:
        path: a Parquet, delimited text or Excel file with one row a claim.
        columns: which column holds which field (`ColumnMapping.from_names`).
        layout: the name of the layout in the result.

    Returns:
        The columns of ADMISSIONS that are mapped or derived (`los_days` from two dates, `age` from the date of birth),
        then the columns that are not mapped, as text. A column that is not mapped and has the name of a field is
        that field.

    Raises:
        InputError: a file cannot be read, or a field of the mapping is not known.
        SchemaError: columns are not there, or a field has no readable value; all are listed.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "export.csv"
    >>> _ = path.write_text("Acct,Dx 1,Dx 2,Admit,Disch,LOB\n007,K81.0,I10,01/10/26,01/15/26,MA\n")
    >>> names = {"claim_id": "Acct", "dx": "Dx {n}", "admission_date": "Admit", "discharge_date": "Disch"}
    >>> map_own_columns(path, names).admissions.select("claim_id", "pdx", "sdx", "los_days", "LOB").row(0)
    ('007', 'K81.0', ['I10'], 5, 'MA')
    """
    mapping, problems = ColumnMapping.from_names(columns), MappingProblems()
    return map_named_columns(read_text_table(path, problems), mapping, problems, where=path, layout=layout)


def map_named_columns(
    table: pl.DataFrame, mapping: ColumnMapping, problems: MappingProblems, *, where: Path | str, layout: str
) -> Claims:
    """Return the claims of a table of texts under a mapping: see `map_own_columns`.

    Raises:
        SchemaError: as `map_own_columns`.
    """
    found = _find_fields(table, mapping, where)
    texts = _take_texts(table, found, mapping)
    kept = _keep_unmapped(table, found, problems)
    bills = {name: found[name][1] for name in BILL_FIELDS if name in found}
    flag_bills(texts.select(list(bills)), bills, problems)
    if "claim_id" not in texts.columns:
        texts = texts.with_columns(claim_id=pl.lit(None, pl.String))
    claims = build_claims(layout, texts.hstack(kept), _collect_codes(table, found), problems)
    unread = _find_unreadable(claims, texts, found)
    raise_problems(where, [text for count, text in unread if count])
    return claims


def check_claim_columns(
    path: str | os.PathLike[str], columns: ColumnMapping | Mapping[str, Any] | str | os.PathLike[str]
) -> pl.DataFrame:
    r"""Return every problem of a file under a mapping of columns, one row each.

    No cell of the file is shown: a pattern has A for a letter and 9 for a digit, and is the most frequent one.

    Args:
        path: as of `read_claims`.
        columns: which column holds which field, as of `read_claims`.

    Returns:
        `column`, `field`, `problem`, `count` of rows or cells, `pattern`, `remedy`.

    Raises:
        InputError: a file cannot be read, or a field of the mapping is not known.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "export.csv"
    >>> _ = path.write_text("Acct,Dx 1,Disp\n007,K81.0,Home\n008,X99.QQQ,01\n")
    >>> names = {"claim_id": "Acct", "dx": "Dx {n}", "discharge_status": "Disp", "age": "Age"}
    >>> check_claim_columns(path, names).select("column", "count", "pattern").rows()
    [('Age', 2, None), ('Disp', 1, 'Aaaa'), ('Dx 1', 1, 'A99.AAA')]
    """
    mapping, problems = ColumnMapping.from_names(columns), MappingProblems()
    table = read_text_table(Path(path), problems)
    found, missing = mapping.find_columns(table.columns)
    rows: list[tuple[str, str, str, int, str | None, str]] = [
        (one, name, "no such column", table.height, None, f"name one of the {table.width} columns of the file")
        for name, one in missing
    ]
    rows += [("", "", text, table.height, None, "complete the mapping") for text in refuse_impossible(found)]
    found = _add_own_names(table, found)
    texts = _take_texts(table, found, mapping)
    if "claim_id" not in texts.columns:
        texts = texts.with_columns(claim_id=pl.lit(None, pl.String))
    claims = build_claims(LAYOUT, texts, _collect_codes(table, found), problems)
    for name, column, bad in _list_unreadable(claims, texts, found):
        remedy = _REMEDIES.get(name, _DATES if name.endswith("_date") else "give whole numbers")
        rows.append((column, name, UNREADABLE, len(bad), find_pattern(bad), remedy))
    rows += _list_unknown_codes(table, found)
    for name, reason, count in claims.report.rows():
        if reason not in (UNREADABLE, "not given", "not in the file"):
            rows.append((found.get(name, {}).get(1, ""), name, reason, count, None, ""))
    return pl.DataFrame(rows, schema=CHECKS, orient="row")


def find_pattern(texts: pl.Series) -> str | None:
    """Return the most frequent pattern of texts: A or a for a letter, 9 for a digit.

    >>> find_pattern(pl.Series(["Home", "Snf ", "Home health", "Dead"]))
    'Aaaa'
    """
    shapes = texts.drop_nulls().str.strip_chars().str.head(_LONGEST_PATTERN)
    for pattern, sign in ((r"\p{Lu}", "A"), (r"[\p{L}--\p{Lu}]", "a"), (r"\p{N}", "9")):
        shapes = shapes.str.replace_all(pattern, sign)
    return str(shapes.mode(maintain_order=True)[0]) if len(shapes) else None


# ---------------------------------------------------------------------------------------------- columns


def _find_fields(table: pl.DataFrame, mapping: ColumnMapping, where: Path | str) -> dict[str, dict[int, str]]:
    """Return the columns of each field; raise one error with everything that is missing."""
    found, missing = mapping.find_columns(table.columns)
    raise_problems(where, [*describe_missing(missing, table.columns), *refuse_impossible(found)])
    return _add_own_names(table, found)


def _add_own_names(table: pl.DataFrame, found: dict[str, dict[int, str]]) -> dict[str, dict[int, str]]:
    """Return the fields, also those that only a column of their own name holds."""
    taken = {column for columns in found.values() for column in columns.values()}
    own = {name.lower(): name for name in table.columns if name not in taken}
    return found | {name: {1: own[name]} for name in SCALAR_FIELDS if name in own and name not in found}


def _take_texts(table: pl.DataFrame, found: Mapping[str, Mapping[int, str]], mapping: ColumnMapping) -> pl.DataFrame:
    """Return the scalar fields as text, with the values that the mapping gives their texts."""
    texts = table.select(
        pl.col(next(iter(columns.values()))).cast(pl.String).alias(name)
        for name, columns in found.items()
        if name in SCALAR_FIELDS
    )
    for name, table_of_values in mapping.values.items():
        if name in texts.columns:
            meaning = {" ".join(text.split()).casefold(): means for text, means in table_of_values.items()}
            distinct = texts[name].drop_nulls().unique()
            said = pl.Series(
                [meaning.get(" ".join(text.split()).casefold(), text) for text in distinct], dtype=pl.String
            )
            texts = texts.with_columns(texts[name].replace_strict(distinct, said, default=None, return_dtype=pl.String))
    return texts


def _keep_unmapped(
    table: pl.DataFrame, found: Mapping[str, Mapping[int, str]], problems: MappingProblems
) -> pl.DataFrame:
    """Return the other columns that have a value, under names that no field of the result has."""
    taken = {column for columns in found.values() for column in columns.values()}
    others = table.select(name for name in table.columns if name not in taken and table[name].count())
    names = {*SCALAR_FIELDS, *ADMISSIONS.names}
    kept = others.rename({name: f"{name}_in_file" for name in others.columns if name in names})
    for name in kept.columns:
        problems.report_file(name, "not mapped, kept as it is", kept[name].count())
    report_code_columns(kept, problems)
    return kept


# ---------------------------------------------------------------------------------------------- codes


def _collect_codes(table: pl.DataFrame, found: Mapping[str, Mapping[int, str]]) -> pl.DataFrame:
    """Return the codes of all fields of codes, as `CODES`."""

    def collect(kind: str, codes: str, poa: str | None = None) -> pl.DataFrame:
        letters, versions = found.get(poa or "", {}), found.get(f"{kind}_version", {})
        single = next(iter(versions.values())) if len(versions) == 1 else None
        parts = [
            collect_wide_codes(table, kind, [(name, letters.get(number), versions.get(number, single))], first=number)
            for number, name in found.get(codes, {}).items()
        ]
        return pl.concat(parts) if parts else pl.DataFrame(schema=CODES)

    numbered = collect(DX, "dx", "poa")
    if "pdx" not in found:
        numbered = numbered.with_columns(principal=pl.col("sequence") == min(found.get("dx", {}), default=1))
    principal = collect(DX, "pdx", "pdx_poa")
    unnumbered = pl.lit(None, pl.Int64)
    return pl.concat(
        [
            principal.with_columns(principal=pl.lit(value=True), sequence=unnumbered),
            numbered if "pdx" not in found else numbered.with_columns(sequence=unnumbered),
            collect(DX, "sdx", "sdx_poa").with_columns(sequence=unnumbered),
            collect(PR, "pr"),
            collect(PR, "procedures").with_columns(sequence=unnumbered),
        ]
    )


# ---------------------------------------------------------------------------------------------- problems


def _list_unreadable(
    claims: Claims, texts: pl.DataFrame, found: Mapping[str, Mapping[int, str]]
) -> list[tuple[str, str, pl.Series]]:
    """Return the fields with texts that cannot be read: field, column, and those texts."""
    listed = []
    for name in texts.columns:
        given = blank_words(texts[name])
        read = claims.admissions[name] if name in claims.admissions.columns else None
        if name not in ADMISSIONS.names or read is None or read.dtype == pl.String or name == "hospital_id":
            continue
        bad = given.filter(given.is_not_null() & read.is_null())
        if len(bad):
            listed.append((name, next(iter(found[name].values())), bad))
    return listed


def _find_unreadable(
    claims: Claims, texts: pl.DataFrame, found: Mapping[str, Mapping[int, str]]
) -> list[tuple[bool, str]]:
    """Return for each field with unreadable texts whether no value can be read, and a sentence."""
    sentences = []
    for name, column, bad in _list_unreadable(claims, texts, found):
        nothing = claims.admissions[name].null_count() == claims.admissions.height
        remedy = _REMEDIES.get(name, _DATES if name.endswith("_date") else "give whole numbers")
        shown = f"({len(bad)}, such as {find_pattern(bad)})"
        sentences.append((nothing, f"{name}: no value of column {column!r} can be read {shown}; {remedy}."))
    return sentences


def _list_unknown_codes(
    table: pl.DataFrame, found: Mapping[str, Mapping[int, str]]
) -> list[tuple[str, str, str, int, str | None, str]]:
    """Return a row for each column of codes that holds texts that are no codes of any version."""
    rows: list[tuple[str, str, str, int, str | None, str]] = []
    for name, kind in (("pdx", DX), ("dx", DX), ("pr", PR)):
        for column in found.get(name, {}).values():
            bare = blank_words(table[column].cast(pl.String)).drop_nulls()
            counts = bare.value_counts()
            unknown = [
                (text, count)
                for text, count in counts.iter_rows()
                if not is_known_code(text, kind) and not _is_changed(text, kind)
            ]
            if unknown:
                pattern = find_pattern(pl.Series([text for text, _ in unknown], dtype=pl.String))
                total = sum(count for _, count in unknown)
                rows.append((column, name, "no code of any version", total, pattern, _CODES_REMEDY[kind]))
    return rows


def _is_changed(text: str, kind: str) -> bool:
    """Return whether a text is read as another code, or as several."""
    parts: Sequence[str] = [part for part in text.replace(";", ",").replace("|", ",").split(",") if part.strip()]
    return all(read_element(part.strip(), kind).reason or is_known_code(part.strip(), kind) for part in parts)
