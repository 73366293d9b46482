"""Admissions as the pricer takes them: weights, how the stay ended, and what its codes say of the payment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from drgsim.exceptions import InputError
from drgsim.numerics.arrays import BoolArray, FloatArray, Int64Array
from drgsim.numerics.fixed_point import to_fixed_point
from drgsim.pricing.rates import Rates
from drgsim.pricing.transfers import ACUTE, FULL, POST_ACUTE
from drgsim.pricing.transfers import VALID as VALID_REVIEW
from drgsim.schema import ADMISSIONS, GROUPED, STAYS, Frame, check_frame, normalise_codes

MOST_CHARGES_USD = 99_999_999.99
DRGS = 1000
"""MS-DRG numbers have three digits."""

_NO_REVIEW = 255
"""Stands for a missing review code; none is so high."""

_BY_DRG = ("weight", "gmlos_days", "amlos_days")
_CLAIMS = Frame(
    "admissions",
    tuple(ADMISSIONS[name] for name in ("hospital_id", "discharge_date", "los_days", "covered_charges_usd"))
    + tuple(ADMISSIONS[name] for name in ("discharge_status", "pdx", "sdx", "procedures"))
    + (GROUPED["drg"],)
    + STAYS.columns[7:],
)

PRICED = (*_CLAIMS.names, "condition_codes")
"""Columns of admissions that a price can depend on."""


@dataclass(frozen=True, slots=True)
class PricerInput:
    """Stays as exact numbers, (n,). The number after a name is how many decimals it has."""

    code: Int64Array
    """CMS return code of a stay that cannot be priced, else 0."""
    weight4: Int64Array
    gmlos1: Int64Array
    post_acute: BoolArray
    special: BoolArray
    exempt: BoolArray
    """DRGs defined by the transfer itself."""
    marginal2: Int64Array
    """Marginal cost factor of an outlier."""
    review: Int64Array
    los: Int64Array
    covered: Int64Array
    charges2: Int64Array
    covid2: Int64Array
    """Weight factor of the operating payment; `no_cost2` is one of operating and capital."""
    no_cost2: Int64Array
    plan: BoolArray
    """Paid by a Medicare Advantage plan."""
    islet2: Int64Array

    def __len__(self) -> int:
        """Stays."""
        return len(self.code)


def index_weights_by_drg(rates: Rates) -> dict[str, FloatArray]:
    """Weight, GMLOS and AMLOS at the index of their DRG, NaN where there is none. (1000,) each."""
    table = rates.weights.filter(pl.col("weight") > 0)
    found = {}
    for name in _BY_DRG:
        found[name] = np.full(DRGS, np.nan)
        found[name][table["drg"].to_numpy()] = table[name].to_numpy()
    return found


def split_by_fiscal_year(
    frame: pl.DataFrame, rates: Rates | Sequence[Rates]
) -> Iterator[tuple[Rates, Int64Array | slice]]:
    """Yield each rates with the rows it applies to.

    One `Rates` applies to every row, whatever its date: that is how a policy is held constant. Several
    apply by fiscal year of `discharge_date`; rows of other years, or without a date, are in none.

    Raises:
        InputError: no rates, two of one year, or no `discharge_date` to choose by.
    """
    if isinstance(rates, Rates):
        yield rates, slice(None)
        return
    if isinstance(rates, str) or not isinstance(rates, Sequence) or not all(isinstance(one, Rates) for one in rates):
        raise InputError(f"rates must be one Rates or a list of them, found {rates!r:.60}. Such as Rates.load(2026).")
    years = [one.fiscal_year for one in rates]
    if not years or len(set(years)) != len(years):
        raise InputError(f"rates must be one Rates, or several of different fiscal years; found {years}.")
    if "discharge_date" not in frame.columns:
        raise InputError("rates of several fiscal years are chosen by discharge_date, which is not there.")
    frame = check_frame(frame, Frame("admissions", (ADMISSIONS["discharge_date"],)))
    date = pl.col("discharge_date")
    found = frame.select((date.dt.year() + (date.dt.month() >= 10)).fill_null(0).alias("year"))["year"].to_numpy()
    for one in rates:
        yield one, np.flatnonzero(found == one.fiscal_year)


def choose_thread_count(threads: int | None) -> int:
    """Return how many threads to use, the cores by default.

    Raises:
        InputError: not a positive whole number.

    >>> choose_thread_count(2)
    2
    """
    if threads is None:
        return os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InputError(f"threads is {threads!r}, expected a whole number from 1, or None for all cores.")
    return threads


def with_weights(grouped: pl.DataFrame, rates: Rates | Sequence[Rates]) -> pl.DataFrame:
    """Return the admissions with the weight and mean lengths of stay of their DRG, no dollars.

    Args:
        grouped: (n,) with `drg`; and `discharge_date` where rates of several years are given.
        rates: one `Rates`, or several, chosen by discharge date.

    Returns:
        (n,) the input plus `weight` [1], `gmlos_days`, `amlos_days` [days]; null where the DRG has no weight
        (998, 999, unknown) or no rates are in force.

    Raises:
        MissingRateError: a fiscal year has no Table 5.

    >>> with_weights(pl.DataFrame({"drg": [470, 999]}), Rates.load(2026))["weight"].to_list()
    [1.9289, None]
    """
    contract = Frame("grouped", (GROUPED["drg"], ADMISSIONS["discharge_date"]))
    frame = check_frame(grouped, contract)
    drg = frame["drg"].fill_null(0).to_numpy()
    drg = np.where(drg < DRGS, drg, 0)
    found = {name: np.full(len(drg), np.nan) for name in _BY_DRG}
    for one, rows in split_by_fiscal_year(frame, rates):
        for name, by_drg in index_weights_by_drg(one).items():
            found[name][rows] = by_drg[drg[rows]]
    return grouped.with_columns(pl.Series(name, values).fill_nan(None) for name, values in found.items())


def to_stays(grouped: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Return admissions as STAYS: Table 5, review code and code-dependent flags, with `hospital_id`.

    What the frame already has (`review_code`, `covid`, `ntap_max_usd`, ...) is taken as it is.

    Args:
        grouped: (n,) admissions with `drg`, `hospital_id`, `los_days`, `covered_charges_usd` and
            `discharge_status` or `review_code`.
        rates: of one fiscal year.

    Raises:
        SchemaError: a column is missing or of the wrong type.
    """
    has_review = "review_code" in grouped.columns
    needs = {"drg", "hospital_id", "los_days", "covered_charges_usd"}
    needs.add("review_code" if has_review else "discharge_status")
    contract = Frame("admissions", tuple(replace(c, required=c.name in needs) for c in _CLAIMS.columns))
    frame = check_frame(grouped, contract)
    drg = frame["drg"].fill_null(0).to_numpy()
    drg = np.where(drg < DRGS, drg, 0)
    table = rates.weights
    by_drg = {name: np.zeros(DRGS) for name in ("weight", "gmlos_days")}
    flags = {name: np.zeros(DRGS, dtype=np.bool_) for name in ("post_acute", "special_pay")}
    for name, values in (*by_drg.items(), *flags.items()):
        values[table["drg"].to_numpy()] = table[name].to_numpy()
    frame = frame.with_columns(
        *(pl.Series(name, values[drg]) for name, values in (*by_drg.items(), *flags.items())),
    )
    if not has_review:
        frame = frame.with_columns(review_code=derive_review_codes(frame["discharge_status"], rates))
    if "covid" not in frame.columns and rates.number("case.covid_factor") != 1.0:
        frame = frame.with_columns(covid=_has_covid(grouped, rates))
    if "no_cost_product" not in frame.columns:
        frame = frame.with_columns(no_cost_product=_has_no_cost(grouped, frame["drg"], rates))
    kept = [name for name in (*STAYS.names, "hospital_id", "procedures", "pdx", "sdx") if name in frame.columns]
    return frame.select(kept)


def derive_review_codes(discharge_status: pl.Series, rates: Rates) -> pl.Series:
    """Return the review code a discharge status implies. (n,) UInt8; null where the status is null or not one.

    An assumption, kept as a parameter (`transfer.*_statuses`): home health counts as if related care began
    within three days, which no claim tells. Source: 42 CFR 412.4(b), (c).

    >>> derive_review_codes(pl.Series([1, 2, 3, 8, None]), Rates.load(2026)).to_list()
    [0, 3, 9, None, None]
    """
    codes = np.full(256, _NO_REVIEW, dtype=np.uint8)
    codes[np.asarray(rates.listed("transfer.valid_statuses"), dtype=np.intp)] = FULL
    codes[np.asarray(rates.listed("transfer.acute_statuses"), dtype=np.intp)] = ACUTE
    codes[np.asarray(rates.listed("transfer.post_acute_statuses"), dtype=np.intp)] = POST_ACUTE
    # A status outside 0 to 255 cannot be one, and neither can 0.
    status = discharge_status.fill_null(0).to_numpy()
    found = np.where((status >= 0) & (status < len(codes)), codes[np.clip(status, 0, len(codes) - 1)], _NO_REVIEW)
    review = pl.Series("review_code", found.astype(np.uint8))
    return review.set(review == _NO_REVIEW, None)


def fill_missing(frame: pl.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Return the numeric columns of STAYS without nulls. (n,) each.

    A null number becomes one that cannot be (-1, or 255 for a review code), which `to_pricer_input` refuses; null
    covered days are all days, and a null flag is false.
    """
    given = {column.name: column for column in STAYS.columns if column.name in frame.columns}
    never = {"review_code": _NO_REVIEW, "drg": 0, "reserve_days": 0, "islet_isolations": 0}
    filled = []
    for name, column in given.items():
        if column.dtype == pl.Boolean:
            filled.append(pl.col(name).fill_null(value=False))
        elif column.dtype == pl.Float64:
            filled.append(pl.col(name).fill_nan(None).fill_null(-1.0))
        elif name == "covered_days":
            filled.append(pl.col(name).fill_null(pl.col("los_days")).fill_null(-1))
        elif column.dtype.is_integer():
            filled.append(pl.col(name).fill_null(never.get(name, -1)))
    return {column.name: column.to_numpy() for column in frame.select(filled)}


def to_pricer_input(columns: Mapping[str, npt.NDArray[Any]], rates: Rates) -> PricerInput:
    """Return STAYS as exact numbers, with the return code of those that cannot be priced.

    Codes and their order are those of CMS's pricer 2021.5 (1000-EDIT-THE-BILL-INFO).

    Args:
        columns: (n,) each, as `fill_missing` returns them.
        rates: of the fiscal year.
    """
    n = len(columns["drg"])

    def given(name: str, default: int) -> npt.NDArray[Any]:
        return columns.get(name, np.broadcast_to(np.asarray(default), (n,)))

    def flag(name: str) -> BoolArray:
        return np.asarray(given(name, 0), dtype=np.bool_)

    drg = np.minimum(columns["drg"], DRGS - 1)
    weight, charges, review = columns["weight"], columns["covered_charges_usd"], columns["review_code"]
    los = columns["los_days"].astype(np.int64)
    covered, reserve = columns.get("covered_days", los), given("reserve_days", 0)
    code = np.zeros(n, dtype=np.int64)
    for wrong, number in (  # the first that is wrong is told, so the last is written first
        (~((charges >= 0) & (charges <= MOST_CHARGES_USD)), 58),
        (~VALID_REVIEW[review], 57),
        ((covered < 0) | ((covered == 0) & (los > 0)) | (reserve > covered), 62),
        ((reserve < 0) | (reserve > 60), 61),
        ((los < 0) | (los > 99_999), 56),
        (~((weight > 0) & (weight < 100)), 54),
    ):
        code[wrong] = number
    usable = code == 0
    return PricerInput(
        code=code,
        weight4=to_fixed_point(np.where((weight > 0) & (weight < 100), weight, 0.0), 4),
        gmlos1=to_fixed_point(np.where(usable, np.maximum(columns["gmlos_days"], 0.0), 0.0), 1),
        post_acute=columns["post_acute"],
        special=columns["special_pay"],
        exempt=_drgs(rates, "transfer.exempt_drgs")[drg],
        marginal2=np.where(
            _drgs(rates, "outlier.burn_drgs")[drg],
            int(to_fixed_point([rates.number("outlier.marginal_cost_burn")], 2)[0]),
            int(to_fixed_point([rates.number("outlier.marginal_cost")], 2)[0]),
        ),
        review=review,
        los=np.where(usable, los, 0),
        covered=np.where(usable, covered, 0),
        charges2=to_fixed_point(np.where(usable, charges, 0.0), 2),
        covid2=_factor(flag("covid"), "case.covid_factor", rates),
        no_cost2=_factor(flag("no_cost_product"), "case.no_cost_factor", rates),
        plan=flag("medicare_advantage"),
        islet2=_islet(given("islet_isolations", 0), rates),
    )


# ---------------------------------------------------------------------------------------------------------


def _drgs(rates: Rates, name: str) -> BoolArray:
    chosen = np.zeros(DRGS, dtype=np.bool_)
    chosen[np.asarray(rates.listed(name), dtype=np.intp)] = True
    return chosen


def _factor(applies: BoolArray, name: str, rates: Rates) -> Int64Array:
    factor2 = int(to_fixed_point([rates.number(name)], 2)[0]) if applies.any() else 100
    return np.where(applies, factor2, 100)


def _islet(isolations: Int64Array, rates: Rates) -> Int64Array:
    """Add-on for islet isolations. (n,) [cents]. Social Security Act 1881; CMS pricer 2021.5."""
    if not (isolations > 0).any():
        return np.zeros(len(isolations), dtype=np.int64)
    amounts2 = to_fixed_point([0.0, rates.number("case.islet_one"), rates.number("case.islet_more")], 2)
    return amounts2[np.clip(isolations, 0, 2)]


def _any_code(frame: pl.DataFrame, column: str, codes: Sequence[object]) -> pl.Expr:
    """Whether a list column holds one of these codes; null and absent hold none."""
    if column not in frame.columns:
        return pl.lit(value=False)
    if frame.schema[column] == pl.List:
        element = normalise_codes(pl.element().cast(pl.String)).is_in(list(codes)).any()
        return pl.col(column).list.eval(element).list.first().fill_null(value=False)
    return normalise_codes(pl.col(column).cast(pl.String)).is_in(list(codes)).fill_null(value=False)


def _has_covid(grouped: pl.DataFrame, rates: Rates) -> pl.Series:
    """COVID-19 among the diagnoses and no condition code against the factor."""
    codes, against = rates.listed("case.covid_diagnoses"), rates.listed("case.covid_exempting_conditions")
    has = _any_code(grouped, "pdx", codes) | _any_code(grouped, "sdx", codes)
    return grouped.with_columns(_has=has & ~_any_code(grouped, "condition_codes", against))["_has"]


def _has_no_cost(grouped: pl.DataFrame, drg: pl.Series, rates: Rates) -> pl.Series:
    """Immunotherapy whose product came at no cost: by condition code, or in a trial unless said otherwise."""
    rows = np.flatnonzero(_drgs(rates, "case.no_cost_drgs")[np.minimum(drg.fill_null(0).to_numpy(), DRGS - 1)])
    has = np.zeros(len(drg), dtype=np.bool_)
    if len(rows):
        some = grouped[rows]
        trial = _any_code(some, "sdx", rates.listed("case.no_cost_diagnoses"))
        paid_for = _any_code(some, "condition_codes", rates.listed("case.full_cost_conditions"))
        told = _any_code(some, "condition_codes", rates.listed("case.no_cost_conditions"))
        has[rows] = some.with_columns(_has=(trial & ~paid_for) | told)["_has"].to_numpy()
    return pl.Series("no_cost_product", has)
