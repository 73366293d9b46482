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
"""Bytes of the file at most; CMS's have some 100,000."""
DIGITS = 3
"""MS-DRG numbers have three digits."""
MOST = {"weight": 99.9999, "gmlos_days": 999.9, "amlos_days": 999.9}
"""Highest values that the pricer carries; the lowest is 0."""


def check_table5(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame of one's own as a Table 5; raises TableError where it is not whole."""
    if not isinstance(frame, pl.DataFrame):
        hint = "; call .collect() first" if isinstance(frame, pl.LazyFrame) else ""
        raise TableError(f"a Table 5 is a path or a polars DataFrame, found {type(frame).__name__}{hint}.")
    missing = [name for name in TABLE5 if name not in frame.columns]
    if missing:
        raise TableError(f"a Table 5 lacks {', '.join(missing)}. See drgsim.pricing.table5.TABLE5.")
    for name, dtype in TABLE5.items():
        found = frame.schema[name]
        fits = found == dtype or (
            found.is_numeric() and dtype.is_numeric() and (found.is_integer() or dtype.is_float())
        )
        if not fits:
            raise TableError(f"a Table 5: {name} is {found}, expected {dtype}. Cast it first.")
    # Checked before it is cast: a DRG that its type cannot hold is named, not wrapped.
    _whole(frame, "a Table 5")
    return frame.select(pl.col(name).cast(dtype) for name, dtype in TABLE5.items())


def read_table5(path: str | os.PathLike[str]) -> pl.DataFrame:
    """Read Table 5 as CMS publishes it: tab-delimited text, title lines first. (m,) see `TABLE5`.

    The header is found by its words, so a year's own wording (with or without capped and uncapped weights,
    "MS-DRG" or "MSDRG") does no harm. Where both weights are printed the capped one pays.
    A DRG without a weight (998, 999) gets 0.

    Raises:
        TableError: no header is found, or a line is not one of a Table 5; names the line.
    """
    file = Path(path)
    text = read_whole(file, MOST_TABLE5, TableError).decode("utf-8-sig", "replace")
    lines = [[cell.strip().strip('"').strip() for cell in line.split("\t")] for line in text.splitlines()]
    start = next((i for i, cells in enumerate(lines) if _table5_header(cells)), None)
    if start is None:
        raise TableError(f"{file}: no header with MS-DRG, weights and mean lengths of stay. Is it a Table 5?")
    at = _table5_columns(lines[start], f"{file}, line {start + 1}")
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
                    "weight": _table5_number(cells[at["weight"]]),
                    "gmlos_days": _table5_number(cells[at["gmlos"]]),
                    "amlos_days": _table5_number(cells[at["amlos"]]),
                    "post_acute": _flag(cells[at["post"]]),
                    "special_pay": _flag(cells[at["special"]]),
                }
            )
        except (ValueError, IndexError) as error:
            reason = f" ({error})" if isinstance(error, _NotAFlagError) else ""
            raise TableError(f"{file}, line {number}: not a line of Table 5{reason}: {cells}") from error
    table = pl.DataFrame(rows, schema=TABLE5)
    _whole(table, str(file))
    return table


# ---------------------------------------------------------------------------------------------------------


class _NotAFlagError(ValueError):
    """A cell that should say yes or no says something else."""


def _whole(table: pl.DataFrame, name: str) -> None:
    """Raise TableError unless every DRG stands once and every number can be one."""
    if table.is_empty():
        raise TableError(f"{name}: no DRG stands in it.")
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
        raise TableError(f"{name}: DRG {', '.join(map(str, twice[:5]))} stands there twice.")


def _words(cell: str) -> str:
    return re.sub(r"[^a-z]+", " ", cell.lower()).strip()


def _table5_header(cells: Sequence[str]) -> bool:
    """Whether a line heads columns: a cell for the DRG, one for a weight, one for a mean, each its own.

    A title line says all of it too, in a single cell.
    """
    words = [_words(cell) for cell in cells]
    return (
        "drg" in words[0]
        and not ("weight" in words[0] or "mean" in words[0])
        and any("weight" in word for word in words[1:])
        and any(mean in word for word in words[1:] for mean in ("mean", "gmlos", "amlos"))
    )


def _table5_columns(header: Sequence[str], where: str) -> dict[str, int]:
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


def _flag(cell: str) -> bool:
    """Whether a cell says yes; a footnote mark after the word does no harm."""
    word = re.sub(r"[^a-z]+$", "", cell.lower().strip())
    if word not in ("yes", "y", "no", "n"):
        raise _NotAFlagError(f"{cell!r} is neither Yes nor No")
    return word in ("yes", "y")


def _table5_number(cell: str) -> float:
    """Blank, dash, star or dot is how CMS prints no value: 0 here, and 0 pays nothing."""
    return float(cell.replace(",", "")) if re.search(r"\d", cell) else 0.0
