"""Frames to Parquet, CSV and Excel files: `write(frame, path)`.

A list is one field of CSV or one cell of Excel, its values separated by `;` as `read_claims` reads them. A file appears
under its name once it is complete; until then the name keeps what it had.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from drgsim.exceptions import InputError
from drgsim.files.atomic import check_place, replace_whole
from drgsim.files.foreign_frames import accept_frames
from drgsim.files.spreadsheets import write_spreadsheet
from drgsim.tables.manifest import read_table, table_folder

WRITABLE = (".parquet", ".csv", ".xlsx")
_SEPARATORS = r"[;|]"
_CLAIM_LISTS = (("sdx", "sdx_poa"), ("procedures",))
"""Lists that `read_claims` reads; those of one group have the same length."""
_DRG = re.compile(r"(\w+_)?drg")
_UNTITLED = ("base_drg", "initial_drg")
_TITLES = {"drg": pl.UInt16, "first_version": pl.String, "last_version": pl.String, "title": pl.String}


@accept_frames
def write(frame: pl.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a frame to a Parquet, CSV or Excel file, by the suffix; whole or not at all.

    `read_claims` reads the file again: text keeps its zeros, lists are separated by `;`. An Excel file has a frozen
    header, filters, formats for dollars and shares, and a column of titles after each column of DRGs (those of the
    newest grouper version that has the DRG). Excel needs the extra `excel`.

    Args:
        frame: (n,) rows, such as the result of `group` or a table of a simulation.
        path: a `.parquet`, `.csv` or `.xlsx` file in a folder that exists.

    Raises:
        InputError: another suffix, no such folder, more rows than a sheet holds, or a value of a list contains `;` or
            `|`, which separate values.
        StorageError: the system cannot write it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "codes.csv"
    >>> write(pl.DataFrame({"claim_id": ["007"], "sdx": [["I10", "J96.01"]]}), path)
    >>> path.read_text().splitlines()
    ['claim_id,sdx', '007,I10;J96.01']
    """
    name = os.fspath(path)
    check_suffix(name, WRITABLE)
    check_place(name, Path(name).resolve())
    with replace_whole(name) as unfinished:
        suffix = unfinished.suffix.lower()
        if suffix == ".parquet":
            frame.write_parquet(unfinished)
        elif suffix == ".csv":
            join_lists(frame).write_csv(unfinished)
        else:
            write_spreadsheet(join_lists(frame), unfinished, _look_up_titles(frame))


def check_suffix(name: str, known: Iterable[str]) -> None:
    """Check that a file has one of the known suffixes.

    Raises:
        InputError: it has another.

    >>> check_suffix("claims.CSV", WRITABLE)
    """
    if not name.lower().endswith(tuple(known)):
        found = Path(name).suffix or "a file without suffix"
        raise InputError(f"{name}: cannot write {found}; use {', '.join(known)}.")


def join_lists(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame with each list as text, its values separated by `;`, a null value blank.

    Raises:
        InputError: a value of a list contains `;` or `|`.

    >>> join_lists(pl.DataFrame({"sdx": [["I10", "E119"], []]}))["sdx"].to_list()
    ['I10;E119', '']
    """
    names = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
    texts = frame.select(pl.col(name).cast(pl.List(pl.String)).list.eval(pl.element().fill_null("")) for name in names)
    for name in names:
        has_separator = texts.select(
            pl.col(name).list.eval(pl.element().str.contains(_SEPARATORS)).list.any()
        ).to_series()
        if has_separator.any():
            row = int(has_separator.arg_max() or 0) + 1
            raise InputError(
                f"row {row}, column {name}: a value contains ; or |, which separate values of a list in CSV "
                f"({has_separator.sum()} such rows). Write .parquet."
            )
    return frame.with_columns(_join_list(texts, name) for name in names)


# ---------------------------------------------------------------------------------------------------------


def _join_list(texts: pl.DataFrame, name: str) -> pl.Series:
    """Return lists as text.

    `read_claims` splits codes at blanks where there is no `;`, and drops blank codes. Where a code or its POA indicator
    contains a blank, a last `;` says that blanks separate nothing. In other lists a last `;` keeps a last blank value.
    """
    group = next((group for group in _CLAIM_LISTS if name in group), ())
    blank = pl.element().str.contains(r"\s")
    spaced = [pl.col(other).list.eval(blank).list.any() for other in group if other in texts.columns]
    closed = pl.any_horizontal(spaced) if group else pl.col(name).list.last() == ""
    text = pl.col(name).list.join(";")
    return texts.select(pl.when(closed).then(text + ";").otherwise(text).alias(name)).to_series()


def _look_up_titles(frame: pl.DataFrame) -> dict[str, pl.Series]:
    """Return a column of titles for each column of DRGs."""
    columns = [
        name
        for name, dtype in frame.schema.items()
        if _DRG.fullmatch(name) and name not in _UNTITLED and dtype.is_integer()
    ]
    if not columns:
        return {}
    titles = read_table(table_folder(), "msdrg/drg_titles.csv", _TITLES)
    newest = titles.unique("drg", keep="last", maintain_order=True)
    return {
        name: frame[name]
        .replace_strict(newest["drg"], newest["title"], default=None, return_dtype=pl.String)
        .alias(f"{name}_title")
        for name in columns
    }
