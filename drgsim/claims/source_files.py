"""Text tables and JSON documents as they are in the file."""

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
    describe_unreadable,
    find_separator,
    open_bytes,
    read_first_line,
    read_parquet,
    refuse_equal_names,
    refuse_repeated_columns,
)

DATES = ("%Y-%m-%d", "%Y%m%d", "%d-%b-%Y", "%d%b%Y", "%m/%d/%Y")
"""Formats of dates: ISO, digits alone, SAS and CMS. 05/07/2024 is 7 May."""


def read_text_table(path: Path, problems: MappingProblems, case: Callable[[str], str] = str) -> pl.DataFrame:
    """Return a Parquet or delimited text file, every column as text, null where blank.

    The separator is the one of `| , tab ;` that is most frequent in the header. Blanks around names and values are
    removed. In files separated by bars a quote is an ordinary character; their rows with more or fewer fields than
    the header are flagged.

    Args:
        path: the file.
        problems: receives what cannot be mapped.
        case: converts column names, such as `str.upper`.

    Raises:
        InputError: it cannot be read.
        SchemaError: two columns have the same name.
    """
    try:
        if path.suffix.lower() == ".parquet":
            table = _cast_to_text(read_parquet(path))
        elif (separator := find_separator(read_first_line(path))) == "|":
            table = _read_bar_table(path, problems)
        else:
            check_unpacked_size(path, InputError)
            table = pl.read_csv(path, separator=separator, infer_schema=False)
            refuse_repeated_columns(path, table)
    except DAMAGED as error:
        raise describe_unreadable(path, error) from None
    names = [case(name.strip()) for name in table.columns]
    refuse_equal_names(path, names)
    table.columns = names
    text = pl.all().str.strip_chars()
    return table.select(pl.when(text != "").then(text).name.keep())


def drop_row_column(table: pl.DataFrame, problems: MappingProblems) -> pl.DataFrame:
    """Return a table without a column called `row`: readers number rows under that name."""
    if "row" not in table.columns:
        return table
    problems.report_file("row", "not mapped, left out", table["row"].count())
    return table.drop("row")


def read_documents(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the objects of a JSON file: one a line, or one array; None for any other value.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with open_bytes(path) as file:
            text = file.read(1)
            while text.isspace():
                text = file.read(1)
            is_array = text == b"["
            yield from _iterate_array(file) if is_array else _iterate_lines(file, text)
    except DAMAGED as error:
        raise describe_unreadable(path, error) from None


def parse_dates(text: pl.Expr) -> pl.Expr:
    """Return the date of a text in one of the formats `DATES`, without time; null if it is none.

    >>> texts = pl.DataFrame({"day": ["2024-03-01T10:00:00-05:00", "01-MAR-2024", "20240301", "1 March"]})
    >>> [str(day) for day in texts.select(parse_dates(pl.col("day")))["day"]]
    ['2024-03-01', '2024-03-01', '2024-03-01', 'None']
    """
    day = text.str.replace(r"[T ]\d\d?:.*$", "")
    return pl.coalesce(day.str.to_date(form, strict=False) for form in DATES)


def years_between(birth: pl.Expr, day: pl.Expr) -> pl.Expr:
    """Return whole years from birth to a day, Int32; null where a date is missing or wrong.

    A birth after the day is wrong.

    >>> birth, day = (pl.lit(text).str.to_date() for text in ("1950-12-31", "2024-12-30"))
    >>> pl.select(years_between(birth, day)).item()
    73
    """
    day_of_year, birthday = (date.dt.month().cast(pl.Int32) * 100 + date.dt.day() for date in (day, birth))
    age = day.dt.year() - birth.dt.year() - (day_of_year < birthday).cast(pl.Int32)
    return pl.when(age >= 0).then(age)


def to_text(value: object) -> str | None:
    """Return a JSON text or whole number as text without outer blanks; None for anything else.

    >>> to_text(" K81.0 "), to_text(7), to_text(" "), to_text(True)
    ('K81.0', '7', None, None)
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    # JSON can contain single surrogates, which are no characters.
    return str(value).encode("utf-8", "replace").decode().strip() or None


def _read_bar_table(path: Path, problems: MappingProblems) -> pl.DataFrame:
    """Return a table separated by bars; quotes are ordinary, and a row may end in a bar."""
    with open_bytes(path) as file:
        text = file.read().decode("utf-8-sig").replace("\r\n", "\n")
    # Not splitlines, which also splits at characters that a field may contain.
    lines = pl.Series("line", text.split("\n"), dtype=pl.String)
    lines = lines.filter(lines.str.strip_chars() != "")
    if not len(lines):
        raise InputError(f"{path}: not a readable {path.suffix.lstrip('.') or 'text'} file: it is empty.")
    names, rows = lines[0].split("|"), lines.slice(1)
    refuse_equal_names(path, names)
    rest = "beyond the header"
    fields = rows.str.split_exact("|", len(names)).struct.rename_fields([*names, rest]).struct.unnest()
    separators = rows.str.count_matches("|", literal=True)
    problems.flag_where("row", "fewer fields than the header", separators < len(names) - 1)
    ends_in_bar = (separators == len(names)) & (fields[rest].str.strip_chars() == "")
    problems.flag_where("row", "more fields than the header", (separators >= len(names)) & ~ends_in_bar)
    return fields.drop(rest)


def _cast_to_text(table: pl.DataFrame) -> pl.DataFrame:
    """Return every column as text; a column that has no text form, such as a list, is blank."""
    return table.select(
        pl.col(name).cast(pl.String, strict=False) if not dtype.is_nested() else pl.lit(None, pl.String).alias(name)
        for name, dtype in table.schema.items()
    )


def _parse_json(text: bytes) -> Any:
    """Return a JSON value; None where the text is no JSON or nests too deep."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _iterate_lines(file: IO[bytes], start: bytes) -> Iterator[dict[str, Any] | None]:
    """Yield one object a line, or one object that covers many lines."""
    line = start + file.readline()
    first = _parse_json(line)
    if first is None and line.strip():
        rest = file.read()
        document = _parse_json(line + rest)
        if document is not None:
            yield _object_or_none(document)
            return
        yield None
        yield from (_object_or_none(_parse_json(text)) for text in rest.splitlines() if text.strip())
        return
    if line.strip():
        yield _object_or_none(first)
    for text in file:
        if text.strip():
            yield _object_or_none(_parse_json(text))


def _iterate_array(file: IO[bytes]) -> Iterator[dict[str, Any] | None]:
    values = _parse_json(b"[" + file.read())
    if isinstance(values, list):
        yield from map(_object_or_none, values)
    else:
        yield None


def _object_or_none(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None
