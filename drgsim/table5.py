"""Table 5 of the IPPS final rule: weights and mean lengths of stay by DRG."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from drgsim.errors import TableError

TABLE5 = {
    "drg": pl.UInt16(),
    "weight": pl.Float64(),
    "gmlos_days": pl.Float64(),
    "amlos_days": pl.Float64(),
    "post_acute": pl.Boolean(),
    "special_pay": pl.Boolean(),
}


def own_table5(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame of one's own as a Table 5; raises TableError where it is not whole."""
    missing = [name for name in TABLE5 if name not in frame.columns]
    if missing:
        raise TableError(f"a Table 5 lacks {', '.join(missing)}. See drgsim.table5.TABLE5.")
    table = frame.select(pl.col(name).cast(dtype) for name, dtype in TABLE5.items())
    _whole(table, "a Table 5")
    return table


def read_table5(path: str | os.PathLike[str]) -> pl.DataFrame:
    """Read Table 5 as CMS publishes it: tab-delimited text, title lines first. (m,) see `TABLE5`.

    The header is found by its words, so a year's own wording (with or without capped and uncapped weights,
    "MS-DRG" or "MSDRG") does no harm. Where both weights are printed the capped one pays.
    A DRG without a weight (998, 999) gets 0.

    Raises:
        TableError: no header is found, or a line is not one of a Table 5; names the line.
    """
    file = Path(path)
    try:
        text = file.read_bytes().decode("utf-8-sig", "replace")
    except OSError as error:
        raise TableError(f"{file}: cannot be read ({error.strerror}).") from error
    lines = [[cell.strip().strip('"').strip() for cell in line.split("\t")] for line in text.splitlines()]
    start = next((i for i, cells in enumerate(lines) if _table5_header(cells)), None)
    if start is None:
        raise TableError(f"{file}: no header with MS-DRG, weights and mean lengths of stay. Is it a Table 5?")
    at = _table5_columns(lines[start])
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
                    "post_acute": cells[at["post"]].lower() == "yes",
                    "special_pay": cells[at["special"]].lower() == "yes",
                }
            )
        except (ValueError, IndexError) as error:
            raise TableError(f"{file}, line {number}: not a line of Table 5: {cells}") from error
    table = pl.DataFrame(rows, schema=TABLE5)
    _whole(table, str(file))
    return table


# ---------------------------------------------------------------------------------------------------------


def _whole(table: pl.DataFrame, name: str) -> None:
    twice = table.filter(pl.col("drg").is_duplicated())["drg"].unique().sort().to_list()
    if twice:
        raise TableError(f"{name}: DRG {', '.join(map(str, twice[:5]))} stands there twice.")
    if table.null_count().sum_horizontal().item() or table.select((pl.col("weight") < 0).any()).item():
        raise TableError(f"{name}: a value is empty or a weight is negative.")


def _table5_header(cells: Sequence[str]) -> bool:
    joined = " ".join(cells).lower()
    return len(cells) >= 8 and "drg" in cells[0].lower() and "weight" in joined and "mean" in joined


def _table5_columns(header: Sequence[str]) -> dict[str, int]:
    words = [re.sub(r"[^a-z]+", " ", cell.lower()) for cell in header]

    def first(*needles: str) -> int:
        return next(i for i, word in enumerate(words) if any(needle in word for needle in needles))

    weights = [i for i, word in enumerate(words) if "weight" in word]
    capped = [i for i in weights if "cap" in words[i] and "uncap" not in words[i] and "before" not in words[i]]
    return {
        "weight": (capped or weights)[0],
        "gmlos": first("geometric", "gmlos"),
        "amlos": first("arithmetic", "amlos"),
        "post": first("post acute", "postacute"),
        "special": first("special"),
    }


def _table5_number(cell: str) -> float:
    """Blank, dash, star or dot is how CMS prints no value: 0 here, and 0 pays nothing."""
    return float(cell.replace(",", "")) if re.search(r"\d", cell) else 0.0
