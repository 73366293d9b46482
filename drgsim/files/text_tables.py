"""Parquet and delimited text, read within limits; refusals show no cell of a file."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import polars as pl

from drgsim.exceptions import InputError, SchemaError
from drgsim.files.bounded import GZIP, check_unpacked_size
from drgsim.files.delimited_text import decode_text, split_header
from drgsim.files.spreadsheets import is_spreadsheet, read_spreadsheet

_LONGEST_HEADER = 1 << 20
MOST_CELLS, CELLS_A_BYTE = 1 << 24, 32
"""Most cells of any Parquet file, and most for each of its bytes; files of claims have up to 10 a byte."""
DAMAGED = (
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
    *(OSError, EOFError, zlib.error, UnicodeDecodeError),
)
"""Exceptions of libraries on a file that is damaged or missing; Polars panics where its Rust code fails."""


def read_header(path: Path) -> list[str]:
    """Return the column names of a Parquet, delimited text or Excel file, as written.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return list(pl.read_parquet_schema(path))
        if is_spreadsheet(path):
            return read_spreadsheet(path)[0].columns
        return [name.strip() for name in split_header(path, _read_beginning(path))[0]]
    except DAMAGED as error:
        raise describe_unreadable(path, error) from None


def read_first_line(path: Path) -> str:
    """Return the first line of a text file that is not blank, plain or gzipped.

    Raises:
        InputError: it cannot be read.
    """
    try:
        beginning = _read_beginning(path)
    except DAMAGED as error:
        raise describe_unreadable(path, error) from None
    return next((line.decode("utf-8", "replace") for line in beginning.split(b"\n") if line.strip()), "")


def _read_beginning(path: Path) -> bytes:
    """Return the beginning of a text file as UTF-8, to the end of a line where it has one."""
    with open_bytes(path) as file:
        content = file.read(_LONGEST_HEADER)
        if len(content) == _LONGEST_HEADER:
            cut = max(content.rfind(b"\n"), content.rfind(b"\r")) + 1
            content = content[: cut - cut % 2] if cut else content
    return decode_text(path, content)


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file to read bytes, plain or gzipped.

    Raises:
        InputError: it grows out of proportion when unpacked.
    """
    check_unpacked_size(path, InputError)
    with path.open("rb") as file:
        is_gzip = file.read(2) == GZIP
    named = path.suffix.lower() == ".gz"
    return gzip.open(path) if is_gzip or named else path.open("rb")  # type: ignore[return-value]  # GzipFile reads bytes like any binary file


def refuse_repeated_columns(path: Path, table: pl.DataFrame) -> None:
    """Refuse a CSV with two columns of one name; Polars has renamed the second.

    Raises:
        SchemaError: there are two; the message gives their positions.
    """
    names = table.columns
    for place, name in enumerate(names, 1):
        first, mark, _ = name.rpartition("_duplicated_")
        if mark and first in names and first:
            raise SchemaError(f"{path}: columns {names.index(first) + 1} and {place} have one name; keep one of them.")


def describe_unreadable(path: Path, error: Exception) -> InputError:
    """Return the refusal of a file, without cells that a library quotes; raise it `from None`.

    >>> error = pl.exceptions.ComputeError("could not parse `K81.0` as i64 at column 'x'")
    >>> describe_unreadable(Path("a.csv"), error).args[0]
    'a.csv: not a readable csv file: could not parse … as i64 at column …'
    """
    first = re.split(r"\n|Original error|You might want", str(error), maxsplit=1)[0]
    reason = re.sub(r"`[^`]*`?|\"[^\"]*\"?|'[^']*'?|\[.*", "…", re.sub(r"\s+", " ", first))[:200]
    return InputError(f"{path}: not a readable {path.suffix.lstrip('.') or 'text'} file: {reason.strip()}")


def read_parquet(path: Path) -> pl.DataFrame:
    """Return a Parquet file, unless it claims more cells than a file of its size can hold.

    Raises:
        InputError: it claims more than `MOST_CELLS` cells and more than `CELLS_A_BYTE` a byte.
        polars.exceptions.PolarsError, OSError: it cannot be read.
    """
    rows = pl.scan_parquet(path).select(pl.len()).collect().item()
    check_claimed_size(path, rows * len(pl.read_parquet_schema(path)))
    return pl.read_parquet(path)


def read_typed_table(path: Path, is_text: Callable[[str], bool]) -> pl.DataFrame:
    """Return a Parquet or CSV file with its types.

    Args:
        path: the file.
        is_text: which columns of a CSV stay text, by name, so that 01 does not become 1.

    Raises:
        InputError: it cannot be read, or claims more than a file of its size can hold.
        SchemaError: two columns have the same name.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return read_parquet(path)
        check_unpacked_size(path, InputError)
        texts = {name: pl.String for name in pl.read_csv(path, n_rows=0, infer_schema=False).columns if is_text(name)}
        table = pl.read_csv(path, schema_overrides=texts, infer_schema_length=None)
    except DAMAGED as error:
        raise describe_unreadable(path, error) from None
    refuse_repeated_columns(path, table)
    return table


def check_claimed_size(path: Path, cells: int) -> None:
    """Check the cells that a Parquet file claims to hold against its size.

    Raises:
        InputError: as `read_parquet`.
    """
    most = max(MOST_CELLS, CELLS_A_BYTE * path.stat().st_size)
    if cells > most:
        raise InputError(f"{path}: claims {cells:,} cells, more than {most:,}, which is most for a file of its size.")
