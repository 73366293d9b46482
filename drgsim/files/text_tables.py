"""Files as they lie: tables of text, JSON documents, and sums told from blanks."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import polars as pl

from drgsim.exceptions import InputError, SchemaError
from drgsim.files.bounded import check_unpacked_size

_SEPARATORS = "|,\t;"
_LONGEST_HEADER = 1 << 20
MOST_CELLS, CELLS_A_BYTE = 1 << 24, 32
"""Cells that any Parquet file may hold, and that it may for each of its bytes; files of claims hold 10 at most."""
DAMAGED = (
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
    *(OSError, EOFError, zlib.error, UnicodeDecodeError),
)
"""What libraries raise on a file that is damaged or no such file at all; a panic is how Polars fails in Rust."""


def read_header(path: Path) -> list[str]:
    """Return the column names of a Parquet or delimited text file, as written.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if path.suffix.lower() == ".parquet":
            return list(pl.read_parquet_schema(path))
        line = read_first_line(path)
    except DAMAGED as error:
        raise describe_unreadable(path, error) from None
    return [name.strip().strip('"') for name in line.lstrip("\ufeff").split(_separator(line))]


def read_first_line(path: Path) -> str:
    """Return the first line of a text file that is not blank, plain or gzipped.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with open_bytes(path) as file:
            for line in iter(lambda: file.readline(_LONGEST_HEADER), b""):
                if line.strip():
                    return line.decode("utf-8", "replace").strip("\r\n")
    except DAMAGED as error:
        raise describe_unreadable(path, error) from None
    return ""


# ---------------------------------------------------------------------------------------------- helpers


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file to read bytes, plain or gzipped.

    Raises:
        InputError: it grows out of proportion when unpacked.
    """
    check_unpacked_size(path, InputError)
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]  # it reads bytes all the same


def refuse_repeated_columns(path: Path, table: pl.DataFrame) -> None:
    """Refuse a CSV with two columns of one name, of which Polars calls the second another name.

    Raises:
        SchemaError: there are two.
    """
    names = table.columns
    for place, name in enumerate(names, 1):
        first, mark, _ = name.rpartition("_duplicated_")
        if mark and first in names and first:
            raise SchemaError(f"{path}: columns {names.index(first) + 1} and {place} have one name; keep one of them.")


def _distinct(path: Path, names: list[str]) -> None:
    """Refuse two columns of one name; told by number, as a file without a header has a patient's values for names."""
    first = {name: place for place, name in reversed([*enumerate(names, 1)])}
    again = next((place for place, name in enumerate(names, 1) if first[name] != place), None)
    if again:
        raise SchemaError(f"{path}: columns {first[names[again - 1]]} and {again} have one name; keep one of them.")


def _separator(line: str) -> str:
    return max(_SEPARATORS, key=line.count)


def describe_unreadable(path: Path, error: Exception) -> InputError:
    """Return the refusal of a file, to be raised `from None`: what libraries say may quote a patient's values.

    >>> describe_unreadable(Path("a.csv"), pl.exceptions.ComputeError("could not parse `K81.0` as i64 at column 'x'")).args[0]
    'a.csv: not a readable csv file: could not parse … as i64 at column …'
    """
    first = re.split(r"\n|Original error|You might want", str(error), maxsplit=1)[0]
    reason = re.sub(r"`[^`]*`?|\"[^\"]*\"?|'[^']*'?|\[.*", "…", re.sub(r"\s+", " ", first))[:200]
    return InputError(f"{path}: not a readable {path.suffix.lstrip('.') or 'text'} file: {reason.strip()}")


def read_parquet(path: Path) -> pl.DataFrame:
    """Return a Parquet file, unless it holds more than a file of its size can in truth.

    Raises:
        InputError: it claims more than `MOST_CELLS` cells and more than `CELLS_A_BYTE` a byte.
        polars.exceptions.PolarsError, OSError: it cannot be read.
    """
    rows = pl.scan_parquet(path).select(pl.len()).collect().item()
    check_claimed_size(path, rows * len(pl.read_parquet_schema(path)))
    return pl.read_parquet(path)


def read_typed_table(path: Path, is_text: Callable[[str], bool]) -> pl.DataFrame:
    """Return a Parquet or CSV file with its types; in CSV the columns named stay text, so that 01 does not become 1.

    Raises:
        InputError: it cannot be read, or is more than a file of its size can hold.
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
    """Hold the cells a Parquet file claims against its size.

    Raises:
        InputError: as `read_parquet`.
    """
    most = max(MOST_CELLS, CELLS_A_BYTE * path.stat().st_size)
    if cells > most:
        raise InputError(f"{path}: claims {cells:,} cells, more than {most:,}, which is most for a file of its size.")
