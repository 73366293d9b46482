"""Optional steps after the pricer: the beneficiary's share and sequestration.

`price()` ends where CMS's pricer ends; `settled_steps(frame)` lists the steps that were applied to a frame.
Pass-through of stays outside Medicare Advantage and cost-report reconciliation are in neither.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from drgsim.exceptions import MissingRateError
from drgsim.files.foreign_frames import accept_frames
from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.fixed_point import round_digits, to_fixed_point
from drgsim.rates.payment_rates import Rates
from drgsim.schema import ADMISSIONS, PAID, STAYS, Column, Frame, check_frame

_STEPS = {
    "total_usd": "pricer",
    "review_code": "review code",
    "deductible_usd": "deductible",
    "coinsurance_usd": "coinsurance",
    "sequestration_usd": "sequestration",
}

_NEEDED = Frame(
    "paid",
    (
        PAID["total_usd"],
        Column("los_days", pl.Int32(), "days", "length of stay, null is 0", has_default=True),
        STAYS["covered_days"],
        STAYS["reserve_days"],
        STAYS["medicare_advantage"],
        ADMISSIONS["discharge_date"],
        Column("deductible_met", pl.Boolean(), "", "paid earlier in the benefit period", required=False),
        Column("benefit_days_before", pl.Int32(), "days", "used before, default 0", required=False, has_default=True),
    ),
)


@accept_frames
def settled_steps(frame: pl.DataFrame) -> tuple[str, ...]:
    """Return the steps that were applied to a frame, by its columns.

    >>> settled_steps(pl.DataFrame({"total_usd": [1.0], "review_code": [0]}))
    ('pricer', 'review code')
    """
    return tuple(step for column, step in _STEPS.items() if column in frame.columns)


@accept_frames
def with_beneficiary_share(paid: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Return paid admissions with the Part A deductible and coinsurance.

    The two together never exceed the payment (an assumption). They are 0 for stays of a Medicare Advantage plan,
    which has its own cost sharing.

    Args:
        paid: (n,) as `price` returns it. Optional columns: `deductible_met` (default false: each stay begins
            a benefit period), `benefit_days_before` [days] (default 0), `covered_days`, `reserve_days`.
        rates: with the deductible of the calendar year of `discharge_date`, or, where there is no date, of the
            calendar year in which the fiscal year ends.

    Returns:
        (n,) the input plus `deductible_usd` and `coinsurance_usd` [USD], 0 where nothing is paid.

    Raises:
        MissingRateError: the deductible of a calendar year is not known.
        SchemaError: a column is missing or of the wrong type.

    Source: 42 CFR 409.82, 409.83.

    >>> stay = pl.DataFrame({"total_usd": [9000.0], "los_days": [70]})
    >>> with_beneficiary_share(stay, Rates.load(2026)).select("deductible_usd", "coinsurance_usd").row(0)
    (1736.0, 4340.0)
    """
    frame = check_frame(paid, _NEEDED)
    deductible2 = _deductibles(frame, rates)
    los = _days(frame, "los_days", 0)
    covered = np.where(_days(frame, "covered_days", -1) < 0, los, _days(frame, "covered_days", -1))
    reserve = np.minimum(_days(frame, "reserve_days", 0), covered)
    before = _days(frame, "benefit_days_before", 0)
    first, last = (int(rates.number(f"beneficiary.{name}_after_days")) for name in ("coinsurance", "reserve"))
    coinsured = np.clip(before + covered - reserve, first, last) - np.clip(before, first, last)
    daily2 = round_digits(deductible2 * rates.fixed_point("beneficiary.coinsurance_share", 2), 2)
    reserve2 = round_digits(deductible2 * rates.fixed_point("beneficiary.lifetime_reserve_share", 2), 2)
    total2 = to_fixed_point(frame["total_usd"].fill_null(0.0).to_numpy(), 2)
    owed2 = np.where(_is_true(frame, "medicare_advantage"), 0, np.maximum(total2, 0))
    is_met = _is_true(frame, "deductible_met")
    first2 = np.minimum(np.where(is_met, 0, deductible2), owed2)
    days2 = np.minimum(coinsured * daily2 + reserve * reserve2, owed2 - first2)
    return paid.with_columns(pl.Series("deductible_usd", first2 / 100.0), pl.Series("coinsurance_usd", days2 / 100.0))


@accept_frames
def with_sequestration(paid: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Return paid admissions with sequestration and the final Medicare payment.

    Sequestration is a share of the payment less the beneficiary's share; it does not apply to stays of a Medicare
    Advantage plan. Its size is an assumption: see `Rates.assumptions`.

    Args:
        paid: (n,) as `price` or `with_beneficiary_share` returns it.
        rates: with the share.

    Returns:
        (n,) the input plus `sequestration_usd` (not above 0) and `medicare_usd`: the total, less deductible and
        coinsurance where they are columns, less sequestration.

    Raises:
        SchemaError: `total_usd` is missing.

    Source: 2 U.S.C. 901a.

    >>> with_sequestration(pl.DataFrame({"total_usd": [1000.25]}), Rates.load(2026)).row(0)
    (1000.25, -20.01, 980.24)
    """
    owed = tuple(
        Column(name, pl.Float64(), "USD", "beneficiary", required=False)
        for name in ("deductible_usd", "coinsurance_usd")
    )
    frame = check_frame(paid, Frame("paid", (PAID["total_usd"], STAYS["medicare_advantage"], *owed)))
    left2 = to_fixed_point(frame["total_usd"].fill_null(0.0).to_numpy(), 2)
    for column in owed:
        if column.name in frame.columns:
            left2 = left2 - to_fixed_point(frame[column.name].fill_null(0.0).to_numpy(), 2)
    share4 = rates.fixed_point("beneficiary.sequestration", 4)
    cut2 = np.where(_is_true(frame, "medicare_advantage"), 0, -round_digits(np.maximum(left2, 0) * share4, 4))
    return paid.with_columns(
        pl.Series("sequestration_usd", cut2 / 100.0), pl.Series("medicare_usd", (left2 + cut2) / 100.0)
    )


# ---------------------------------------------------------------------------------------------------------


def _deductibles(frame: pl.DataFrame, rates: Rates) -> Int64Array:
    """Return the deductible of the calendar year of each stay. (n,) [cents]."""
    name = "beneficiary.deductible"
    years = np.full(frame.height, rates.fiscal_year)
    if "discharge_date" in frame.columns:
        years = frame["discharge_date"].dt.year().fill_null(rates.fiscal_year).to_numpy()
    found2 = np.zeros(frame.height, dtype=np.int64)
    for year in np.unique(years):
        # A reform applies to the calendar year in which the fiscal year ends.
        value = rates.number(name) if year == rates.fiscal_year else rates.parameters[name].at(int(year))
        if not isinstance(value, int | float):
            known = ", ".join(map(str, sorted(rates.parameters[name].values)))
            raise MissingRateError(f"{name} is not known for calendar year {year}; known for {known}.")
        found2[years == year] = to_fixed_point([value], 2)[0]
    return found2


def _days(frame: pl.DataFrame, name: str, missing: int) -> Int64Array:
    """Return a column of days; null, absent and negative are `missing`. (n,)."""
    if name not in frame.columns:
        return np.full(frame.height, missing, dtype=np.int64)
    days = frame[name].fill_null(missing).to_numpy().astype(np.int64)
    return np.where(days < 0, missing, days)


def _is_true(frame: pl.DataFrame, name: str) -> BoolArray:
    """Return a Boolean column; null and absent are false. (n,)."""
    if name not in frame.columns:
        return np.zeros(frame.height, dtype=np.bool_)
    return frame[name].fill_null(value=False).to_numpy()
