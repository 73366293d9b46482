"""Excel workbooks: `read_spreadsheet(path)`, `write_spreadsheet(frame, path)`.

Both need the extra `excel`: fastexcel reads, xlsxwriter writes.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from drgsim.exceptions import InputError
from drgsim.files.bounded import MOST_GROWTH, SMALL

SPREADSHEETS = (".xlsx", ".xlsm")
MOST_ROWS, MOST_COLUMNS, MOST_CELL = 1_048_575, 16_384, 32_767
"""Most rows below the header, columns, and characters of a cell that a sheet of Excel holds."""
_LARGEST_NUMBER = 2**53
"""Excel keeps numbers as floats; a larger whole number would lose digits."""
_NARROWEST, _WIDEST, _LOOKED_AT = 8, 60, 1_000
_DOLLARS, _PERCENT, _DAY, _WHOLE, _DECIMAL = '"$"#,##0.00', "0.0%", "yyyy-mm-dd", "#,##0", "#,##0.0000"
_TITLE_ROWS = 20
_SHARES = re.compile(r"(^|_)(share|percent|pct|coverage)(_|$)")
_NUMBERS_THAT_NAME = re.compile(r"(^|_)(id|drg|mdc|hac|ccn|npi|year|code|status|row|version)(_|$)")


def is_spreadsheet(path: Path) -> bool:
    """Return whether a file is an Excel workbook by its suffix.

    >>> is_spreadsheet(Path("claims.XLSX")), is_spreadsheet(Path("claims.csv"))
    (True, False)
    """
    return path.suffix.lower() in SPREADSHEETS


def read_spreadsheet(path: Path, sheet: str | None = None) -> tuple[pl.DataFrame, list[str]]:
    """Return a sheet as text, null where blank, and the names of other sheets with rows.

    A number is the text that Excel would show without a format: 54, not 54.0. A date is `2026-01-15 00:00:00`. Rows
    before the header, such as a title, are left out: the header is the first of the first rows that fills most of the
    columns. A column without name that has no value is left out.

    Args:
        path: an `.xlsx` or `.xlsm` file.
        sheet: its name; None takes the first sheet that has rows.

    Raises:
        InputError: fastexcel is not installed, the file is no workbook or grows out of proportion, or it has no such
            sheet.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "claims.xlsx"
    >>> write_spreadsheet(pl.DataFrame({"claim_id": ["007"], "age": [54]}), path)
    >>> read_spreadsheet(path)[0].row(0)
    ('007', '54')
    """
    fastexcel = _import_fastexcel()
    _check_workbook(path)
    try:
        workbook = fastexcel.read_excel(path)
        if sheet is not None and sheet not in workbook.sheet_names:
            raise InputError(f"{path}: no sheet of that name; it has {len(workbook.sheet_names)}.")
        found: dict[str, pl.DataFrame] = {}
        for name in workbook.sheet_names if sheet is None else [sheet]:
            loaded = workbook.load_sheet(name, header_row=None, dtypes="string", skip_whitespace_tail_rows=True)
            cells = loaded.to_polars()
            if cells.height:
                found[name] = cells
    except InputError:
        raise
    except Exception as error:  # its own exceptions quote cells
        raise InputError(f"{path}: not a readable Excel workbook ({type(error).__name__}).") from None
    if not found:
        raise InputError(f"{path}: not a readable Excel workbook: no sheet has rows.")
    first, *others = found
    return _take_header(path, found[first].cast(pl.String)), others


def write_spreadsheet(frame: pl.DataFrame, path: Path, titles: dict[str, pl.Series] | None = None) -> None:
    """Write a frame as one sheet with a frozen header, filters and formats.

    Columns are wide enough; names decide which are dollars and shares.
    Whole numbers beyond 2**53, which Excel would round, are text. A list is one cell, its values separated by `;`.

    Args:
        frame: (n,) rows.
        path: the file; write it through `files.atomic.replace_whole`.
        titles: columns to put after those of the given names.

    Raises:
        InputError: xlsxwriter is not installed, or the frame is larger than a sheet.

    >>> import tempfile
    >>> write_spreadsheet(pl.DataFrame({"total_usd": [11450.25]}), Path(tempfile.mkdtemp()) / "paid.xlsx")
    """
    xlsxwriter = _import_xlsxwriter()
    columns = _insert_titles(frame, titles or {})
    if frame.height > MOST_ROWS or len(columns) > MOST_COLUMNS:
        raise InputError(
            f"{frame.height:,} rows and {len(columns):,} columns; a sheet of Excel holds {MOST_ROWS:,} and "
            f"{MOST_COLUMNS:,}. Write .parquet or .csv."
        )
    # A text that begins with = or is a link stays text: cells come from files of unknown origin.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(str(path), options) as workbook:
        sheet = workbook.add_worksheet("drgsim")
        header = workbook.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1})
        for place, column in enumerate(columns):
            form = _choose_format(column)
            cell_format = workbook.add_format({"num_format": form}) if form else None
            sheet.write_string(0, place, column.name, header)
            values = _to_cells(column)
            sheet.set_column(place, place, _measure_width(column, form))
            _write_column(sheet, place, values, cell_format)
        sheet.freeze_panes(1, 0)
        if columns:
            sheet.autofilter(0, 0, frame.height, len(columns) - 1)


# ---------------------------------------------------------------------------------------------- reading


def _import_fastexcel() -> Any:
    try:
        import fastexcel
    except ImportError:
        raise InputError(_describe_missing("fastexcel")) from None
    return fastexcel


def _import_xlsxwriter() -> Any:
    try:
        import xlsxwriter
    except ImportError:
        raise InputError(_describe_missing("xlsxwriter")) from None
    return xlsxwriter


def _describe_missing(name: str) -> str:
    """Return the message on a package of the extra `excel` that is not installed."""
    return f"Excel workbooks need {name}, which is not installed: pip install 'drgsim[excel]', or save as .csv."


def _check_workbook(path: Path) -> None:
    """Refuse a file that is no workbook, or whose parts grow out of proportion when unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            grown = sum(part.file_size for part in archive.infolist())
    except zipfile.BadZipFile:
        raise InputError(f"{path}: not a readable Excel workbook; open it in Excel and save it as .xlsx.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    if grown > max(SMALL, MOST_GROWTH * path.stat().st_size):
        raise InputError(
            f"{path}: grows beyond {MOST_GROWTH} times its size when unpacked. Save it as .csv if you trust it."
        )


def _take_header(path: Path, cells: pl.DataFrame) -> pl.DataFrame:
    """Return the cells below the header, under its names."""
    bare = cells.select(pl.when(pl.all().str.strip_chars() != "").then(pl.all().str.strip_chars()).name.keep())
    head = bare.head(_TITLE_ROWS)
    filled = head.select(pl.sum_horizontal(pl.all().is_not_null())).to_series()
    place = int((filled * 2 > int(filled.max() or 0)).arg_max() or 0)  # type: ignore[arg-type]  # counts
    names = [name or "" for name in bare.row(place)]
    rows = bare.slice(place + 1)
    rows = rows.filter(pl.any_horizontal(pl.all().is_not_null()))
    kept = [i for i, name in enumerate(names) if name or rows[rows.columns[i]].count()]
    final = [names[i] or f"column {i + 1}" for i in kept]
    again = next((i for i, name in enumerate(final) if name in final[:i]), None)
    if again is not None:
        raise InputError(
            f"{path}: columns {kept[final.index(final[again])] + 1} and {kept[again] + 1} have one name; "
            "keep one of them."
        )
    return rows.select(pl.col(rows.columns[i]).alias(name) for i, name in zip(kept, final, strict=True))


# ---------------------------------------------------------------------------------------------- writing


def _insert_titles(frame: pl.DataFrame, titles: dict[str, pl.Series]) -> list[pl.Series]:
    columns: list[pl.Series] = []
    for column in frame:
        columns.append(column)
        title = titles.get(column.name)
        if title is not None and title.name not in frame.columns:
            columns.append(title)
    return columns


def _choose_format(column: pl.Series) -> str | None:
    """Return Excel's format of a column, by its name and type."""
    name, dtype = column.name.lower(), column.dtype
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        return _DAY
    if not dtype.is_numeric():
        return None
    if name.endswith("_usd") or "_usd_" in name:
        return _DOLLARS
    if dtype.is_float() and _SHARES.search(name):
        return _PERCENT
    if dtype.is_integer():
        return None if _NUMBERS_THAT_NAME.search(name) else _WHOLE
    return _DECIMAL


def _to_cells(column: pl.Series) -> list[Any]:
    """Return the values of a column as Excel takes them."""
    dtype = column.dtype
    if isinstance(dtype, pl.List | pl.Array):
        column = column.cast(pl.List(pl.String)).list.eval(pl.element().fill_null("")).list.join(";")
    elif dtype.is_integer():
        largest = max(abs(int(column.max() or 0)), abs(int(column.min() or 0)))  # type: ignore[arg-type]  # integers
        if largest > _LARGEST_NUMBER:
            column = column.cast(pl.String)
    elif dtype.is_float():
        column = column.set(~column.is_finite().fill_null(value=False), None)
    elif dtype.is_decimal():
        column = column.cast(pl.Float64)
    elif not (dtype.is_temporal() or dtype == pl.Boolean):
        column = column.cast(pl.String) if not dtype.is_nested() else pl.Series([str(value) for value in column])
    if column.dtype == pl.String:
        column = column.str.head(MOST_CELL)
    return column.to_list()


def _measure_width(column: pl.Series, form: str | None) -> int:
    """Return the width of a column in characters, by its name and its first values."""
    head = column.head(_LOOKED_AT)
    if column.dtype.is_nested():
        texts = pl.Series([";".join(map(str, value)) if value is not None else "" for value in head], dtype=pl.String)
    elif form == _DOLLARS:
        texts = pl.Series([f"${value:,.2f}" for value in head if value is not None], dtype=pl.String)
    elif column.dtype.is_float():
        texts = pl.Series([f"{value:,.4f}" for value in head if value is not None], dtype=pl.String)
    else:
        texts = head.cast(pl.String)
    # The button of the filter covers two characters of the name.
    longest = max(int(texts.str.len_chars().max() or 0), len(column.name) + 2)  # type: ignore[arg-type]  # a count
    return min(max(longest + 1, _NARROWEST), _WIDEST)


def _write_column(sheet: Any, place: int, values: list[Any], cell_format: Any) -> None:
    """Write the values of a column below its header; a missing value is an empty cell."""
    write: Callable[..., Any] = sheet.write
    for row, value in enumerate(values, 1):
        if value is None:
            continue
        if isinstance(value, bool):
            sheet.write_boolean(row, place, value, cell_format)
        elif isinstance(value, str):
            sheet.write_string(row, place, value, cell_format)
        else:
            write(row, place, value, cell_format)
