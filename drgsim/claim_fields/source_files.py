"""Text tables and JSON documents as they are in the file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import polars as pl

from drgsim.claim_fields.mapping_report import MappingProblems
from drgsim.files.delimited_text import FEW, MANY, decode_text, read_rows, refuse_equal_names, split_header
from drgsim.files.spreadsheets import is_spreadsheet, read_spreadsheet
from drgsim.files.text_tables import DAMAGED, describe_unreadable, open_bytes, read_parquet

BROKEN = "a line end within a field"
OTHER_SHEETS = "sheets after the first with rows, not read"


def read_text_table(
    path: Path,
    problems: MappingProblems,
    case: Callable[[str], str] = str,
    *,
    compact: bool = False,
    select: Callable[[list[str]], list[str]] | None = None,
    keep_blank: bool = False,
) -> pl.DataFrame:
    """Return a Parquet, delimited text or Excel file, every column as text, null where blank.

    Every line of a text file is a row, or is reported, or the file is refused: see `drgsim.files.delimited_text`.
    A column without a name is left out if it is blank, and otherwise called by its position.

    Args:
        path: the file.
        problems: receives what cannot be mapped; rows with fewer or more fields than the header are flagged.
        case: converts column names, such as `str.upper`.
        keep_blank: whether a blank text in quotes is a blank text, and not null.
        select: chooses the columns to read, by their names; None reads all.
        compact: whether columns without any value may have the type Null, which takes no memory.

    Raises:
        InputError: it cannot be read.
        SchemaError: two columns have the same name.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return cast_to_text(read_parquet(path), case, where=path)
        if is_spreadsheet(path):
            table, others = read_spreadsheet(path)
            problems.report_file("workbook", OTHER_SHEETS, len(others))
            return cast_to_text(table, case, where=path)
        with open_bytes(path) as file:
            content = decode_text(path, file.read())
        header, separator, start = split_header(path, content)
        names = _clean_names(header, case)
        refuse_equal_names(path, names)
        columns = select(names) if select else names
        rows = read_rows(path, content, names, separator, start, keep_blank=keep_blank, columns=columns)
    except DAMAGED as error:
        raise describe_unreadable(path, error) from None
    for reason, numbers in ((FEW, rows.few), (MANY, rows.many), (BROKEN, rows.broken)):
        problems.flag_rows("row", reason, numbers)
    table = rows.table
    unnamed = [name for name, given in zip(names, header, strict=True) if not given.strip()]
    table = table.drop(name for name in unnamed if name in columns and table[name].null_count() == table.height)
    nulls = [] if compact else [name for name, dtype in table.schema.items() if dtype == pl.Null]
    return table.with_columns(pl.col(nulls).cast(pl.String)) if nulls else table


def cast_to_text(
    table: pl.DataFrame, case: Callable[[str], str] = str, where: Path | str = "the frame"
) -> pl.DataFrame:
    """Return a frame with every column as text, null where blank.

    Whole floats have no `.0`, days are in ISO form. A list of texts becomes one text, its values separated by `;`;
    other nested values are null.

    Args:
        table: (n,) rows of any types.
        case: converts column names, such as `str.upper`.
        where: named in errors.

    Raises:
        SchemaError: two columns have the same name after conversion.

    >>> cast_to_text(pl.DataFrame({"age": [54.0, None], "sdx": [["I10", "E119"], []]})).rows()
    [('54', 'I10;E119'), (None, None)]
    """
    texts = table.select(_to_text_column(table[name]) for name in table.columns)
    names = _clean_names(table.columns, case)
    refuse_equal_names(Path(where), names)
    texts.columns = names
    text = pl.all().str.strip_chars()
    return texts.select(pl.when(text != "").then(text).name.keep()) if names else texts


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


def to_text(value: object) -> str | None:
    """Return a JSON text or whole number as text without outer blanks; None for anything else.

    >>> to_text(" K81.0 "), to_text(7), to_text(" "), to_text(True)
    ('K81.0', '7', None, None)
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    # JSON can contain single surrogates, which are no characters.
    return str(value).encode("utf-8", "replace").decode().strip() or None


def _clean_names(header: list[str], case: Callable[[str], str]) -> list[str]:
    """Return column names without outer blanks; blank ones and Polars patterns by position."""
    bare = [case(name.strip()) for name in header]
    patterns = re.compile(r"\*?|\^.*\$", re.DOTALL)
    return [f"column_{place}" if patterns.fullmatch(name) else name for place, name in enumerate(bare, 1)]


def _to_text_column(column: pl.Series) -> pl.Series:
    """Return a column as text; blank where a value has no text form."""
    dtype = column.dtype
    if isinstance(dtype, pl.List) and not dtype.inner.is_nested():
        # A last `;` says that blanks separate nothing.
        parts = column.cast(pl.List(pl.String), strict=False).list.eval(pl.element().fill_null(""))
        return parts.list.join(";")
    if dtype.is_float():
        whole = (column == column.floor()) & (column.abs() < 2.0**53)
        digits = column.set(~whole.fill_null(value=False), None).cast(pl.Int64).cast(pl.String)
        return digits.zip_with(whole.fill_null(value=False), column.fill_nan(None).cast(pl.String))
    if isinstance(dtype, pl.Datetime):
        return column.dt.to_string("%Y-%m-%d %H:%M:%S")
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        return pl.Series(column.name, [None] * len(column), dtype=pl.String)
    return column.cast(pl.String, strict=False)


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
