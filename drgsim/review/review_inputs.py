"""What every review needs: versions by row, dollars of a DRG, and the columns to carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from drgsim.exceptions import InputError, SchemaError, did_you_mean
from drgsim.grouping.grouper import find_versions
from drgsim.numerics.arrays import Int64Array
from drgsim.pricing.contracts import PriceTerms
from drgsim.pricing.pricer_input import with_weights
from drgsim.rebilling.repricer import price_grouped
from drgsim.schema import ADMISSIONS, DETAIL, GROUPED, PAID, Frame, check_frame
from drgsim.tables.table_set import TableSet

CODING = ("age", "sex", "discharge_status", "pdx", "sdx", "procedures", "pdx_poa", "sdx_poa")
"""Columns that a coder decides."""
_DATED = Frame("admissions", (ADMISSIONS["discharge_date"],))
_NOT_CARRIED = {"admission_id", *CODING, *GROUPED.names, *DETAIL.names, *PAID.names}


def choose_status(admissions: pl.DataFrame, hospital_status: str | None) -> str:
    """Return how hospitals report POA: as given, else NON_EXEMPT if there are POA indicators.

    >>> choose_status(pl.DataFrame({"sdx_poa": [["Y"]]}), None), choose_status(pl.DataFrame(), None)
    ('NON_EXEMPT', 'EXEMPT')
    """
    return hospital_status or ("NON_EXEMPT" if "sdx_poa" in admissions.columns else "EXEMPT")


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


def price_drgs(
    grouped: pl.DataFrame, hospitals: pl.DataFrame | None, rates: PriceTerms
) -> tuple[pl.Series, Int64Array]:
    """Return weight and payment [cents] of grouped admissions as `price` computes them.

    Args:
        grouped: (n,) `drg`, and with hospitals what `price` needs.
        hospitals: `schema.HOSPITALS`; with None the payment is the weight times `base_rate_usd`.
        rates: as `price` takes them.

    >>> from drgsim import Rates
    >>> price_drgs(pl.DataFrame({"drg": [470]}), None, Rates.load(2026))[1].tolist()
    [1403614]
    """
    return with_weights(grouped, rates)["weight"], price_grouped(grouped, hospitals, rates)[0]


def carry_columns(admissions: pl.DataFrame, but: Sequence[str] = ()) -> pl.DataFrame:
    """Return the columns that a result carries through, such as account and patient."""
    return admissions.select(name for name in admissions.columns if name not in _NOT_CARRIED and name not in but)


def require_columns(frame: pl.DataFrame, names: Sequence[str], what: str) -> None:
    """Raise SchemaError unless a frame has these columns."""
    for name in names:
        if name not in frame.columns:
            raise SchemaError(f"{what} lack the column {name!r}.{did_you_mean(name, frame.columns)}")


def require_rates(hospitals: pl.DataFrame | None, rates: PriceTerms | None) -> None:
    """Raise InputError where hospitals are given without rates."""
    if hospitals is not None and rates is None:
        raise InputError("hospitals without rates price nothing. Pass rates too, such as Rates.load(2026).")
