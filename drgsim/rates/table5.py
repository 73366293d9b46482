"""Table 5 of the IPPS final rule: weights and mean lengths of stay by DRG."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from drgsim.exceptions import TableError
from drgsim.files.bounded import read_whole

TABLE5 = {
    "drg": pl.UInt16(),
    "weight": pl.Float64(),
    "gmlos_days": pl.Float64(),
    "amlos_days": pl.Float64(),
    "post_acute": pl.Boolean(),
    "special_pay": pl.Boolean(),
}


MOST_TABLE5 = 1 << 22
"""Most bytes of the file; those of CMS have some 100,000."""
DIGITS = 3
"""MS-DRG numbers have three digits."""
MOST = {"weight": 99.9999, "gmlos_days": 999.9, "amlos_days": 999.9}
"""Highest values for the pricer; the lowest is 0."""


def check_table5(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame as a Table 5.

    Raises:
        TableError: a column is missing or of the wrong type, or a value is not valid.
    """
    if not isinstance(frame, pl.DataFrame):
        hint = "; call .collect() first" if isinstance(frame, pl.LazyFrame) else ""
        raise TableError(f"a Table 5 is a path or a polars DataFrame, found {type(frame).__name__}{hint}.")
    missing = [name for name in TABLE5 if name not in frame.columns]
    if missing:
        raise TableError(f"a Table 5 lacks {', '.join(missing)}. It needs {', '.join(TABLE5)}.")
    for name, dtype in TABLE5.items():
        found = frame.schema[name]
        fits = found == dtype or (
            found.is_numeric() and dtype.is_numeric() and (found.is_integer() or dtype.is_float())
        )
        if not fits:
            raise TableError(f"a Table 5: {name} is {found}, expected {dtype}. Cast it first.")
    # Checked before the cast, so that a DRG too large for its type is named and does not wrap.
    _check_values(frame, "a Table 5")
    return frame.select(pl.col(name).cast(dtype) for name, dtype in TABLE5.items())


def read_table5(path: str | os.PathLike[str]) -> pl.DataFrame:
    """Read Table 5 as CMS publishes it: tab-delimited text, title lines first. (m,).

    The header is found by its words, which differ by year (with or without capped and uncapped weights, "MS-DRG"
    or "MSDRG"). Where both weights are printed, the capped one is read. A DRG without a weight (998, 999) gets 0.
    The columns are those of a Table 5 in `Rates.weights`.

    Raises:
        TableError: no header is found, or a line is not one of a Table 5; the message names the line.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table5.txt"
    >>> head = ["MS-DRG", "FY 2026 Final Post-Acute DRG", "FY 2026 Final Special Pay DRG", "MDC", "TYPE",
    ...         "MS-DRG Title", "Weights", "Geometric mean LOS", "Arithmetic mean LOS"]
    >>> line = ["417", "No", "No", "07", "SURG", "LAPAROSCOPIC CHOLECYSTECTOMY W MCC", "2.3864", "4.6", "5.6"]
    >>> tab = chr(9)
    >>> _ = path.write_text(tab.join(head) + chr(10) + tab.join(line) + chr(10))
    >>> read_table5(path).select("drg", "weight", "gmlos_days").row(0)
    (417, 2.3864, 4.6)
    """
    file = Path(path)
    text = read_whole(file, MOST_TABLE5, TableError).decode("utf-8-sig", "replace")
    lines = [[cell.strip().strip('"').strip() for cell in line.split("\t")] for line in text.splitlines()]
    start = next((i for i, cells in enumerate(lines) if _is_header(cells)), None)
    if start is None:
        raise TableError(f"{file}: no header with MS-DRG, weights and mean lengths of stay. Is it a Table 5?")
    at = _find_columns(lines[start], f"{file}, line {start + 1}")
    rows: list[dict[str, object]] = []
    for number, cells in enumerate(lines[start + 1 :], start + 2):
        if not re.fullmatch(r"\d{1,3}", cells[0]):
            if any(cells) and rows and len([cell for cell in cells if cell]) > 2:
                raise TableError(f"{file}, line {number}: MS-DRG is {cells[0]!r}, expected a number.")
            continue  # blank lines, and footnotes below the table
        try:
            rows.append(
                {
                    "drg": int(cells[0]),
                    "weight": _parse_number(cells[at["weight"]]),
                    "gmlos_days": _parse_number(cells[at["gmlos"]]),
                    "amlos_days": _parse_number(cells[at["amlos"]]),
                    "post_acute": _parse_flag(cells[at["post"]]),
                    "special_pay": _parse_flag(cells[at["special"]]),
                }
            )
        except (ValueError, IndexError) as error:
            reason = f" ({error})" if isinstance(error, _NotAFlagError) else ""
            raise TableError(f"{file}, line {number}: not a line of Table 5{reason}: {cells}") from error
    table = pl.DataFrame(rows, schema=TABLE5)
    _check_values(table, str(file))
    return table


# ---------------------------------------------------------------------------------------------------------


class _NotAFlagError(ValueError):
    """A cell that should be yes or no is something else."""


def _check_values(table: pl.DataFrame, name: str) -> None:
    """Raise TableError unless every DRG is listed once and every number is valid."""
    if table.is_empty():
        raise TableError(f"{name}: no DRG is listed.")
    for column in TABLE5:
        if table[column].null_count():
            raise TableError(f"{name}, row {table[column].is_null().arg_max()}: {column} is empty.")
    for column, low, high in (("drg", 1, 10**DIGITS - 1), *((n, 0, MOST[n]) for n in MOST)):
        values = table[column]
        wrong = ~values.is_between(low, high)
        if values.dtype.is_float():
            wrong |= values.is_nan()
        if wrong.any():
            row = int(wrong.arg_max() or 0)
            where = f"DRG {table['drg'][row]}: {column}" if column != "drg" else f"row {row}: drg"
            raise TableError(f"{name}, {where} is {values[row]}, expected {low} to {high}; none may be negative.")
    twice = table.filter(pl.col("drg").is_duplicated())["drg"].unique().sort().to_list()
    if twice:
        raise TableError(f"{name}: DRG {', '.join(map(str, twice[:5]))} is listed twice.")


def _words(cell: str) -> str:
    return re.sub(r"[^a-z]+", " ", cell.lower()).strip()


def _is_header(cells: Sequence[str]) -> bool:
    """Return whether a line is the header: separate cells for the DRG, a weight and a mean stay.

    A title line has all these words in one cell.
    """
    words = [_words(cell) for cell in cells]
    return (
        "drg" in words[0]
        and not ("weight" in words[0] or "mean" in words[0])
        and any("weight" in word for word in words[1:])
        and any(mean in word for word in words[1:] for mean in ("mean", "gmlos", "amlos"))
    )


def _find_columns(header: Sequence[str], where: str) -> dict[str, int]:
    words = [_words(cell) for cell in header]

    def first(name: str, *needles: str) -> int:
        found = next((i for i, word in enumerate(words) if any(needle in word for needle in needles)), None)
        if found is None:
            raise TableError(f"{where}: a Table 5 needs a column {name!r}; found {', '.join(filter(None, header))}.")
        return found

    weights = [i for i, word in enumerate(words) if "weight" in word]
    capped = [i for i in weights if "cap" in words[i] and "uncap" not in words[i] and "before" not in words[i]]
    return {
        "weight": (capped or weights)[0],
        "gmlos": first("Geometric mean LOS", "geometric", "gmlos"),
        "amlos": first("Arithmetic mean LOS", "arithmetic", "amlos"),
        "post": first("Post-Acute DRG", "post acute", "postacute"),
        "special": first("Special Pay DRG", "special"),
    }


def _parse_flag(cell: str) -> bool:
    """Return whether a cell says yes; a footnote mark may follow the word."""
    word = re.sub(r"[^a-z]+$", "", cell.lower().strip())
    if word not in ("yes", "y", "no", "n"):
        raise _NotAFlagError(f"{cell!r} is neither Yes nor No")
    return word in ("yes", "y")


def _parse_number(cell: str) -> float:
    """Return the number of a cell; 0, which pays nothing, for a blank, dash, star or dot."""
    return float(cell.replace(",", "")) if re.search(r"\d", cell) else 0.0
