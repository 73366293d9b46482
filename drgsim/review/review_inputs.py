"""What every review needs: versions by row, dollars of a DRG, and the columns to carry."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from drgsim.exceptions import InputError, SchemaError, did_you_mean
from drgsim.numerics.arrays import Int64Array
from drgsim.pricing.contracts import PriceTerms
from drgsim.pricing.pricer_input import with_weights
from drgsim.rebilling.repricer import price_grouped
from drgsim.schema import ADMISSIONS, DETAIL, GROUPED, PAID, Frame

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
