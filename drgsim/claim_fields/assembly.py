"""Stays and their codes, as text, to admissions: `build_claims`.

Every reader calls it, so that all read, flag and report the same thing in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import polars as pl

from drgsim.claim_fields.code_lists import collect_lists, collect_lists_in_parts
from drgsim.claim_fields.field_values import (
    blank_words,
    parse_dates,
    parse_identifiers,
    parse_labelled_numbers,
    parse_numbers,
    parse_sexes,
    parse_whole_numbers,
    years_between,
)
from drgsim.claim_fields.mapping_report import ABSENT, Claims, MappingProblems, hash_admission_ids
from drgsim.exceptions import SchemaError
from drgsim.schema import ADMISSIONS

SOURCES = ("admission_date", "birth_date", "noncovered_charges_usd", "statement_from", "statement_through")
"""Texts of a stay from which fields are derived: `los_days`, `age` and `covered_charges_usd`, where it lacks them."""

NOT_GIVEN = "not given"
UNREADABLE = "unreadable, left blank"
NO_IDENTIFIER = "no identifier, the row number taken"
SAME_IDENTIFIER = "identifier of more than one row"
DAY_FIRST = "days before months, as a number above 12 shows"


def build_claims(
    layout: str,
    stays: pl.DataFrame,
    codes: pl.DataFrame | Callable[[int, int, MappingProblems], pl.DataFrame],
    problems: MappingProblems,
    *,
    keep: Collection[str] = (),
    key: str = "claim_id",
    where: Path | str | None = None,
) -> Claims:
    """Return claims from the stays and codes that a reader found.

    Args:
        layout: the name of the layout.
        stays: (n,) rows: `claim_id`, scalar columns of ADMISSIONS and `SOURCES`, as text, and other columns.
        codes: columns of `CODES`, in the order of the file, or a function that makes those of some stays
            (`drgsim.claim_fields.code_lists.collect_lists_in_parts`).
        problems: those the reader has reported so far; more are added.
        keep: optional columns of ADMISSIONS that the result has, even without a value.
        key: the field of flags on identifiers.
        where: the file, if a column of which no value can be read is a wrong file.

    Returns:
        `admissions` has the required columns of ADMISSIONS, the optional ones that have a value, `claim_id` (the
        identifier as the file has it), then the others. Codes are ordered by sequence number, then by their order in
        the file; blank codes are dropped. ICD-9 codes are left out, because ICD-10 logic would misread them.

    Raises:
        SchemaError: no value of a column can be read, and `where` is given.

    >>> from drgsim.claim_fields.code_lists import CODES, DX
    >>> codes = [(0, DX, False, 2, "I10", "Y", 10), (0, DX, True, 1, "K810", "Y", 10)]
    >>> frame = pl.DataFrame(codes, schema=CODES, orient="row")
    >>> claims = build_claims("long", pl.DataFrame({"claim_id": ["A7"]}), frame, MappingProblems())
    >>> claims.admissions.select("pdx", "sdx").row(0)
    ('K810', ['I10'])
    """
    columns: dict[str, pl.Series] = {}
    texts = {name: _read_text(stays[name]) for name in stays.columns if _is_scalar(name) or name in SOURCES}
    derived = _derive_fields(texts, problems)
    for name in filter(_is_scalar, ADMISSIONS.names):
        blank = name not in derived and (name not in texts or texts[name].null_count() == stays.height)
        if not blank:
            columns[name] = _read_column(name, texts.get(name), derived.get(name), problems, where)
        elif ADMISSIONS[name].required or name in keep:
            columns[name] = pl.Series(name, [None] * stays.height, ADMISSIONS[name].dtype)
        if blank and name not in keep:
            problems.report_file(name, ABSENT, stays.height)
        elif blank and ADMISSIONS[name].required:
            problems.flag_rows(name, NOT_GIVEN, pl.int_range(stays.height, eager=True))
    claim_id = parse_identifiers(stays["claim_id"])
    columns["admission_id"] = _identify_stays(claim_id, key, problems)
    if isinstance(codes, pl.DataFrame):
        lists = collect_lists(stays.height, codes, problems, keep_poa="sdx_poa" in keep)
    else:
        lists = collect_lists_in_parts(stays.height, codes, problems)
    admissions = pl.DataFrame([columns[name] for name in columns]).hstack(lists)
    ordered = [name for name in ADMISSIONS.names if name in admissions.columns]
    left = {*ADMISSIONS.names, *(name for name in SOURCES if name not in keep)}
    others = stays.with_columns(claim_id=claim_id).select(name for name in stays.columns if name not in left)
    if "ms_drg_recorded" in others.columns:
        others = others.with_columns(_parse_drgs(others["ms_drg_recorded"], problems))
    return Claims(layout, admissions.select(ordered).hstack(others), problems.report(), problems.flags())


def report_unmapped_columns(table: pl.DataFrame, mapped: Sequence[str], problems: MappingProblems) -> pl.DataFrame:
    """Return the columns that the reader does not map and that have a value; report each."""
    known = set(mapped)
    others = [name for name in table.columns if name not in known]
    filled: Mapping[str, int] = table.select(pl.col(others).count()).row(0, named=True) if others else {}
    for name, count in filled.items():
        problems.report_file(name, "not mapped, kept as it is", count)
    return table.select(name for name, count in filled.items() if count)


# ---------------------------------------------------------------------------------------------- columns


def _is_scalar(name: str) -> bool:
    known = name in ADMISSIONS.names and name not in ("admission_id", "pdx", "pdx_poa")
    return known and not isinstance(ADMISSIONS[name].dtype, pl.List)


def _read_text(column: pl.Series) -> pl.Series:
    return blank_words(column) if column.dtype == pl.String else column


def _derive_fields(texts: Mapping[str, pl.Series], problems: MappingProblems) -> dict[str, pl.Series]:
    """Return days, and length of stay, age and covered charges from other fields."""
    days: dict[str, pl.Series] = {}
    for name in ("admission_date", "birth_date", "statement_from", "statement_through", "discharge_date"):
        if name in texts and texts[name].dtype == pl.String and texts[name].count():
            days[name], day_first = parse_dates(texts[name])
            problems.report_file(name, DAY_FIRST, days[name].count() if day_first else 0)
        elif name in texts and texts[name].dtype != pl.String:
            days[name] = texts[name].cast(pl.Date, strict=False)
    derived: dict[str, pl.Series] = {}
    for name, other in (("discharge_date", "statement_through"), ("admission_date", "statement_from")):
        both = [days[one] for one in (name, other) if one in days]
        if both:
            days[name] = both[0] if len(both) == 1 else both[0].zip_with(both[0].is_not_null(), both[1])
    if "discharge_date" in days:
        derived["discharge_date"] = days["discharge_date"]
    if "admission_date" in days and "discharge_date" in days:
        length = (days["discharge_date"] - days["admission_date"]).dt.total_days().cast(pl.Int32)
        derived["los_days"] = length.set(length < 0, None)
    at = days.get("admission_date", days.get("discharge_date"))
    if "birth_date" in days and at is not None:
        derived["age"] = years_between(days["birth_date"], at)
    if "noncovered_charges_usd" in texts and "covered_charges_usd" in texts:
        both = [
            parse_numbers(texts[name].cast(pl.String)) for name in ("covered_charges_usd", "noncovered_charges_usd")
        ]
        derived["covered_charges_usd"] = both[0] - both[1].fill_null(0.0)
    return {name: values for name, values in derived.items() if values.count()}


def _read_column(
    name: str, texts: pl.Series | None, derived: pl.Series | None, problems: MappingProblems, where: Path | str | None
) -> pl.Series:
    """Return a column in its type, derived where blank; flag blank and unreadable values."""
    dtype = ADMISSIONS[name].dtype
    if texts is None or not texts.count():
        read = derived if derived is not None else pl.Series(name, [], dtype)
        texts = read
    elif name in ("discharge_date", "covered_charges_usd") and derived is not None:
        read = derived
        texts = texts if texts.null_count() == 0 else texts.cast(pl.String).zip_with(
            texts.is_not_null(), read.cast(pl.String)
        )  # fmt: skip
    else:
        read = _parse_texts(name, texts)
        if derived is not None:
            gap = texts.is_null() & derived.is_not_null()
            read = read.zip_with(~gap, derived.cast(read.dtype))
            texts = texts.cast(pl.String).zip_with(~gap, derived.cast(pl.String))
    read = read.cast(dtype, strict=False).rename(name)
    if dtype.is_float():
        read = read.set(~read.is_finite().fill_null(value=True), None)
    if name == "age":
        read = read.set((read < 0).fill_null(value=False), None)
    problems.flag_where(name, NOT_GIVEN, texts.is_null())
    failed = texts.is_not_null() & read.is_null()
    if where is not None and failed.any() and failed.sum() == texts.count():
        row = int(failed.arg_max() or 0) + 1
        raise SchemaError(
            f"{where}: {name} is no {dtype} in {failed.sum()} of {failed.sum()} values, first in row {row}."
        )
    problems.flag_where(name, UNREADABLE, failed)
    return read


def _parse_texts(name: str, texts: pl.Series) -> pl.Series:
    """Return the values of texts by the rule of their column; other types stay."""
    dtype = ADMISSIONS[name].dtype
    if texts.dtype != pl.String or name == "hospital_id":
        return texts.cast(pl.String) if dtype == pl.String else texts
    if name == "sex":
        return parse_sexes(texts)
    if name == "discharge_status":
        return parse_labelled_numbers(texts)
    if dtype.is_integer():
        return parse_whole_numbers(texts)
    return parse_dates(texts).dates if dtype == pl.Date else parse_numbers(texts)


def _identify_stays(claim_id: pl.Series, key: str, problems: MappingProblems) -> pl.Series:
    """Return the admission_id of each row; a row without identifier gets the hash of its number."""
    problems.flag_where(key, NO_IDENTIFIER, claim_id.is_null())
    problems.flag_where(key, SAME_IDENTIFIER, claim_id.is_not_null() & claim_id.is_duplicated())
    numbered = pl.select(pl.format("row {}", pl.int_range(1, len(claim_id) + 1))).to_series()
    return hash_admission_ids(claim_id.zip_with(claim_id.is_not_null(), numbered) if len(claim_id) else claim_id)


def _parse_drgs(texts: pl.Series, problems: MappingProblems) -> pl.Series:
    """Return recorded DRGs as numbers; flag unreadable ones, not missing ones."""
    bare = blank_words(texts)
    drgs = parse_labelled_numbers(bare).cast(pl.UInt16, strict=False)
    problems.flag_where(texts.name, UNREADABLE, bare.is_not_null() & drgs.is_null())
    return drgs.rename(texts.name)
