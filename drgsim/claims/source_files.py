"""Source files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import polars as pl

from drgsim.claims.mapping_report import MappingProblems
from drgsim.exceptions import InputError
from drgsim.files.bounded import check_unpacked_size
from drgsim.files.text_tables import (
    DAMAGED,
    _distinct,
    _separator,
    describe_unreadable,
    open_bytes,
    read_first_line,
    read_parquet,
    refuse_repeated_columns,
)

DATES = ("%Y-%m-%d", "%Y%m%d", "%d-%b-%Y", "%d%b%Y", "%m/%d/%Y")
"""How dates are written: ISO, plain digits, and the two ways of SAS and CMS; 05/07/2024 is 7 May."""


def read_text_table(path: Path, findings: MappingProblems, case: Callable[[str], str] = str) -> pl.DataFrame:
    """Return a Parquet or delimited text file with every column as text, blanks stripped and null where empty.

    The separator is the one of `| , tab ;` that the header has most of; names lose surrounding blanks. Files
    separated by bars write no quotes, and rows of theirs with more or fewer fields than the header are flagged.

    Args:
        path: the file.
        findings: what cannot be mapped is added.
        case: such as `str.upper`, for the names of columns.

    Raises:
        InputError: it cannot be read.
        SchemaError: two columns have the same name.
    """
    try:
        if path.suffix.lower() == ".parquet":
            table = _as_text(read_parquet(path))
        elif (separator := _separator(read_first_line(path))) == "|":
            table = _unquoted(path, findings)
        else:
            check_unpacked_size(path, InputError)
            table = pl.read_csv(path, separator=separator, infer_schema=False)
            refuse_repeated_columns(path, table)
    except DAMAGED as error:
        raise describe_unreadable(path, error) from None
    names = [case(name.strip()) for name in table.columns]
    _distinct(path, names)
    table.columns = names
    text = pl.all().str.strip_chars()
    return table.select(pl.when(text != "").then(text).name.keep())


def drop_row_column(table: pl.DataFrame, findings: MappingProblems) -> pl.DataFrame:
    """Return a table without its own column `row`, where a reader numbers rows itself."""
    if "row" not in table.columns:
        return table
    findings.whole("row", "not mapped, left out", table["row"].count())
    return table.drop("row")


def read_documents(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the objects of a JSON file, one a line or all in one array; None for what is no JSON object.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with open_bytes(path) as file:
            text = file.read(1)
            while text.isspace():
                text = file.read(1)
            whole = text == b"["
            yield from _array(file) if whole else _lines(file, text)
    except DAMAGED as error:
        raise describe_unreadable(path, error) from None


def parse_dates(text: pl.Expr) -> pl.Expr:
    """Return the date of a text in one of `DATES`, its time of day left out; null where it is none.

    >>> texts = pl.DataFrame({"day": ["2024-03-01T10:00:00-05:00", "01-MAR-2024", "20240301", "1 March"]})
    >>> [str(day) for day in texts.select(parse_dates(pl.col("day")))["day"]]
    ['2024-03-01', '2024-03-01', '2024-03-01', 'None']
    """
    day = text.str.replace(r"[T ]\d\d?:.*$", "")
    return pl.coalesce(day.str.to_date(form, strict=False) for form in DATES)


def years_between(birth: pl.Expr, day: pl.Expr) -> pl.Expr:
    """Return whole years from birth to a day, Int32; null where a date is missing or they are in the wrong order.

    >>> birth, day = (pl.lit(text).str.to_date() for text in ("1950-12-31", "2024-12-30"))
    >>> pl.select(years_between(birth, day)).item()
    73
    """
    in_year = [one.dt.month().cast(pl.Int32) * 100 + one.dt.day() for one in (day, birth)]
    age = day.dt.year() - birth.dt.year() - (in_year[0] < in_year[1]).cast(pl.Int32)
    return pl.when(age >= 0).then(age)


def to_text(value: object) -> str | None:
    """Return a JSON text or whole number as text without surrounding blanks, None where empty or anything else.

    >>> to_text(" K81.0 "), to_text(7), to_text(" "), to_text(True)
    ('K81.0', '7', None, None)
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    # JSON can write halves of a pair of surrogates, which are no characters.
    return str(value).encode("utf-8", "replace").decode().strip() or None


def _unquoted(path: Path, findings: MappingProblems) -> pl.DataFrame:
    """Return a file of bars, where a quote is a character like another and a row may end in a bar of its own."""
    with open_bytes(path) as file:
        text = file.read().decode("utf-8-sig").replace("\r\n", "\n")
    # Not splitlines, which also splits at characters that may stand in a field.
    lines = pl.Series("line", text.split("\n"), dtype=pl.String)
    lines = lines.filter(lines.str.strip_chars() != "")
    if not len(lines):
        raise InputError(f"{path}: not a readable {path.suffix.lstrip('.') or 'text'} file: it is empty.")
    names, rows = lines[0].split("|"), lines.slice(1)
    _distinct(path, names)
    beyond = "beyond the header"
    fields = rows.str.split_exact("|", len(names)).struct.rename_fields([*names, beyond]).struct.unnest()
    separators = rows.str.count_matches("|", literal=True)
    findings.mark("row", "fewer fields than the header", separators < len(names) - 1)
    spare = (separators == len(names)) & (fields[beyond].str.strip_chars() == "")
    findings.mark("row", "more fields than the header", (separators >= len(names)) & ~spare)
    return fields.drop(beyond)


def _as_text(table: pl.DataFrame) -> pl.DataFrame:
    """Return every column as text; what cannot be written as text, such as a list, is blank."""
    return table.select(
        pl.col(name).cast(pl.String, strict=False) if not dtype.is_nested() else pl.lit(None, pl.String).alias(name)
        for name, dtype in table.schema.items()
    )


def _parsed(text: bytes) -> Any:
    """Return a JSON value, None where it is none, or nests deeper than can be read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _lines(file: IO[bytes], begun: bytes) -> Iterator[dict[str, Any] | None]:
    """Read an object a line, or one object over many lines."""
    line = begun + file.readline()
    first = _parsed(line)
    if first is None and line.strip():
        rest = file.read()
        whole = _parsed(line + rest)
        if whole is not None:
            yield _object(whole)
            return
        yield None
        yield from (_object(_parsed(text)) for text in rest.splitlines() if text.strip())
        return
    if line.strip():
        yield _object(first)
    for text in file:
        if text.strip():
            yield _object(_parsed(text))


def _array(file: IO[bytes]) -> Iterator[dict[str, Any] | None]:
    values = _parsed(b"[" + file.read())
    if isinstance(values, list):
        yield from map(_object, values)
    else:
        yield None


def _object(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None
