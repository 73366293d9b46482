"""Admissions split by the grouper version in force on their discharge dates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from drgsim.exceptions import InputError
from drgsim.grouping.grouper import find_versions
from drgsim.numerics.arrays import Int64Array
from drgsim.schema import ADMISSIONS, Frame, check_frame
from drgsim.tables.table_set import TableSet

_DATED = Frame("admissions", (ADMISSIONS["discharge_date"],))


def split_by_version(admissions: pl.DataFrame, tables: TableSet | None) -> Iterator[tuple[TableSet, Int64Array]]:
    """Yield each grouper version with its rows; rows without one are in none.

    Args:
        admissions: (n,) rows; with `discharge_date` unless tables are given.
        tables: the version of all rows; None chooses by `discharge_date`.

    Raises:
        InputError: `tables` is no TableSet, or there is no `discharge_date` to choose by.

    >>> import datetime as dt
    >>> stays = pl.DataFrame({"discharge_date": [dt.date(2026, 4, 1), dt.date(2024, 1, 5)]})
    >>> [(tables.version, rows.tolist()) for tables, rows in split_by_version(stays, None)]
    [('41.0', [1]), ('43.1', [0])]
    """
    if tables is not None:
        if not isinstance(tables, TableSet):
            raise InputError(f"tables is {tables!r}, expected a TableSet: TableSet.load({str(tables)!r}).")
        yield tables, np.arange(len(admissions))
        return
    if "discharge_date" not in admissions.columns:
        raise InputError(
            "without tables the grouper version is chosen by discharge_date, a column that is missing. "
            "Add it, or pass tables=TableSet.load('43.1')."
        )
    named = find_versions(check_frame(admissions, _DATED)["discharge_date"])
    for version in sorted(named.drop_nulls().unique()):
        yield TableSet.load(version), np.flatnonzero((named == version).fill_null(value=False).to_numpy())
