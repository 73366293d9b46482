"""Admissions as the pricer takes them: weights, review codes, and factors by code.

Three steps: `to_stays` gives the columns of STAYS, `fill_missing` turns them into arrays without nulls, and
`to_pricer_input` turns any rows of these into exact numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from drgsim.files.foreign_frames import accept_frames
from drgsim.numerics.arrays import BoolArray, FloatArray, Int64Array
from drgsim.numerics.fixed_point import to_fixed_point
from drgsim.pricing.contracts import Contract, PriceTerms, has_contracts
from drgsim.pricing.new_technology import (
    CODES,
    DRGS,
    AddOns,
    find_covid_treatments,
    has_covid,
    has_no_cost,
    mark_drgs,
)
from drgsim.pricing.payer_pricing import split_by_payer
from drgsim.rates.payment_rates import Rates, split_by_fiscal_year
from drgsim.schema import ADMISSIONS, GROUPED, STAYS, Frame, check_frame

FULL = 0
"""Review codes: how the pricer names the end of a stay. This one is paid in full."""
ACUTE = 3
"""Transferred to another acute care hospital; a cost outlier may be paid."""
ACUTE_NO_OUTLIER = 6
NO_OUTLIER = 7
POST_ACUTE = 9
"""Discharged to post-acute care: a transfer if the DRG is a post-acute transfer DRG."""
POST_ACUTE_NO_OUTLIER = 11
_REVIEW_CODES = (FULL, ACUTE, ACUTE_NO_OUTLIER, NO_OUTLIER, POST_ACUTE, POST_ACUTE_NO_OUTLIER)
_IS_REVIEW_CODE = np.isin(np.arange(256), _REVIEW_CODES)
PAYS_NO_OUTLIER = np.isin(np.arange(256), (ACUTE_NO_OUTLIER, NO_OUTLIER, POST_ACUTE_NO_OUTLIER))
"""Whether stays with a review code are never paid a cost outlier, by code."""
_NO_REVIEW = 255
"""In place of a missing review code; none is so high."""

MOST_ISOLATIONS = 254
MOST_CHARGES_USD = 99_999_999.99
UNKNOWN_DAY = 10**8
"""In place of a missing day of discharge."""

_BY_DRG = ("weight", "gmlos_days", "amlos_days")
_CLAIMS = Frame(
    "admissions",
    tuple(ADMISSIONS[name] for name in ("hospital_id", "discharge_date", "los_days", "covered_charges_usd"))
    + tuple(ADMISSIONS[name] for name in ("discharge_status", "pdx", "sdx", "procedures"))
    + (GROUPED["drg"],)
    + tuple(column for column in STAYS.columns[7:] if column.name != "discharge_date"),
)

PRICED = (*_CLAIMS.names, "condition_codes", "national_drug_codes")
"""Columns of admissions on which a price can depend."""


@dataclass(frozen=True, slots=True)
class YearParameters:
    """Numbers of one fiscal year that every stay shares, exact."""

    threshold2: int
    """Fixed loss of an outlier [cents]."""
    step3: int
    """Addition to the operating cost-to-charge ratio in the reconciliation test [1e-3]."""
    dsh_share2: int
    dependent_share2: int
    hac4: int
    half_decimals: int
    """Decimals of the quotient in the weight of a half-and-half transfer."""
    vbp_precedes_outlier: bool
    """Whether a wrong value-based entry precedes an outlier with too few covered days."""
    exempt: BoolArray
    """(1000,) DRGs that are defined by the transfer itself."""
    marginal2: Int64Array
    """(1000,) marginal cost factor of an outlier, by DRG [1e-2]."""
    rates: Rates

    @classmethod
    def of(cls, rates: Rates) -> YearParameters:
        """Return the numbers of these rates."""
        return cls(
            threshold2=rates.fixed_point("outlier.fixed_loss", 2),
            step3=rates.fixed_point("outlier.reconciliation_step", 3),
            dsh_share2=rates.fixed_point("operating.dsh_empirical_share", 2),
            dependent_share2=rates.fixed_point("hospital_specific.dependent_share", 2),
            hac4=rates.fixed_point("adjustments.hac_reduction", 4),
            half_decimals=int(rates.number("transfer.half_quotient_decimals")),
            vbp_precedes_outlier=bool(rates["adjustments.vbp_code_precedes_outlier"]),
            exempt=mark_drgs(rates, "transfer.exempt_drgs"),
            marginal2=np.where(
                mark_drgs(rates, "outlier.burn_drgs"),
                rates.fixed_point("outlier.marginal_cost_burn", 2),
                rates.fixed_point("outlier.marginal_cost", 2),
            ),
            rates=rates,
        )


@dataclass(frozen=True, slots=True)
class PricerInput:
    """Stays as exact numbers, (n,). The number at the end of a name is its number of decimals."""

    code: Int64Array
    """CMS return code of a stay that cannot be priced, else 0."""
    weight4: Int64Array
    gmlos1: Int64Array
    post_acute: BoolArray
    special: BoolArray
    exempt: BoolArray
    """DRGs that are defined by the transfer itself."""
    marginal2: Int64Array
    """Marginal cost factor of an outlier."""
    review: Int64Array
    los: Int64Array
    covered: Int64Array
    charges2: Int64Array
    covid2: Int64Array
    """COVID-19 factor of the operating payment."""
    no_cost2: Int64Array
    """Factor of the operating and capital payments for a product at no cost."""
    plan: BoolArray
    """Paid by a Medicare Advantage plan."""
    islet2: Int64Array
    covid_treatment: BoolArray
    """Whether the add-on for new COVID-19 treatments applies."""
    covid_other2: Int64Array
    """Highest add-on of a new technology that pays for the same treatment."""
    day: Int64Array
    """Day of discharge since 1970-01-01; where it is not known, a day on which every hospital is in force."""
    add_ons: AddOns

    def __len__(self) -> int:
        """Return the number of stays."""
        return len(self.code)


def index_weights_by_drg(rates: Rates | Contract) -> dict[str, FloatArray]:
    """Return weight, GMLOS and AMLOS at the index of their DRG. (1000,) each; NaN for no value."""
    table = rates.weights.filter(pl.col("weight") > 0)
    found = {}
    for name in _BY_DRG:
        found[name] = np.full(DRGS, np.nan)
        found[name][table["drg"].to_numpy()] = table[name].to_numpy()
    return found


@accept_frames
def with_weights(grouped: pl.DataFrame, rates: PriceTerms) -> pl.DataFrame:
    """Return the admissions with the weight and mean lengths of stay of their DRG.

    Args:
        grouped: (n,) with `drg`; and `discharge_date` where rates of several years are given.
        rates: as in `price`.

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
    parts: list[tuple[Rates | Contract, Int64Array | slice]] = [*split_medicare(grouped, rates)]
    if has_contracts(rates):
        parts += split_by_payer(grouped, rates).contracts
    for one, rows in parts:
        for name, by_drg in index_weights_by_drg(one).items():
            found[name][rows] = by_drg[drg[rows]]
    return grouped.with_columns(pl.Series(name, values).fill_nan(None) for name, values in found.items())


def split_medicare(frame: pl.DataFrame, terms: PriceTerms | None) -> Iterator[tuple[Rates, Int64Array | slice]]:
    """Yield each `Rates` with the rows that it prices; rows of contracts are in none."""
    if has_contracts(terms):
        split = split_by_payer(frame, terms)  # type: ignore[arg-type]  # it has contracts, so it is not None
        for one, rows in () if split.rates is None else split_by_fiscal_year(frame[split.medicare], split.rates):
            yield one, split.medicare[rows]
    elif terms is not None:
        yield from split_by_fiscal_year(frame, terms)  # type: ignore[arg-type]  # there is no contract among them


def to_stays(grouped: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Return admissions as STAYS with `hospital_id`: Table 5, review code and flags by code.

    Columns of STAYS that the frame has (`review_code`, `covid`, `ntap_max_usd`, ...) are kept as they are.

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
        frame = frame.with_columns(covid=has_covid(grouped, rates))
    if "no_cost_product" not in frame.columns:
        frame = frame.with_columns(no_cost_product=has_no_cost(grouped, frame["drg"], rates))
    if "covid_treatment" not in frame.columns and rates.covid_treatments is not None:
        frame = frame.with_columns(find_covid_treatments(grouped, rates))
    if "national_drug_codes" in grouped.columns:
        frame = frame.with_columns(grouped["national_drug_codes"])
    wanted = (*STAYS.names, "hospital_id", *CODES)
    return frame.select(name for name in wanted if name in frame.columns)


def derive_review_codes(discharge_status: pl.Series, rates: Rates) -> pl.Series:
    """Return the review code that a discharge status implies.

    (n,) UInt8; null where the status is null or not valid. An assumption, kept as a parameter
    (`transfer.*_statuses`): home health counts as if related care began within three days, which a claim does
    not say. Source: 42 CFR 412.4(b), (c).

    >>> derive_review_codes(pl.Series([1, 2, 3, 8, None]), Rates.load(2026)).to_list()
    [0, 3, 9, None, None]
    """
    codes = np.full(256, _NO_REVIEW, dtype=np.uint8)
    codes[np.asarray(rates.listed("transfer.valid_statuses"), dtype=np.intp)] = FULL
    codes[np.asarray(rates.listed("transfer.acute_statuses"), dtype=np.intp)] = ACUTE
    codes[np.asarray(rates.listed("transfer.post_acute_statuses"), dtype=np.intp)] = POST_ACUTE
    # 0 and a status outside 0 to 255 are not valid.
    status = discharge_status.fill_null(0).to_numpy()
    found = np.where((status >= 0) & (status < len(codes)), codes[np.clip(status, 0, len(codes) - 1)], _NO_REVIEW)
    review = pl.Series("review_code", found.astype(np.uint8))
    return review.set(review == _NO_REVIEW, None)


def fill_missing(frame: pl.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Return the numeric columns of STAYS without nulls. (n,) each.

    A null number becomes one that is not valid (-1, or 255 for a review code), for which `to_pricer_input` gives a
    return code; null covered days become the length of stay, and a null flag becomes false.
    """
    given = {column.name: column for column in STAYS.columns if column.name in frame.columns}
    substitutes = {"review_code": _NO_REVIEW, "drg": 0, "reserve_days": 0, "islet_isolations": 0}
    filled = []
    for name, column in given.items():
        if column.dtype == pl.Boolean:
            filled.append(pl.col(name).fill_null(value=False))
        elif column.dtype == pl.Date:
            filled.append(pl.col(name).cast(pl.Int32).fill_null(UNKNOWN_DAY))
        elif name == "covid_other_usd":
            filled.append(pl.col(name).fill_nan(None).fill_null(0.0))
        elif column.dtype == pl.Float64:
            filled.append(pl.col(name).fill_nan(None).fill_null(-1.0))
        elif name == "covered_days":
            filled.append(pl.col(name).fill_null(pl.col("los_days")).fill_null(-1))
        elif column.dtype.is_integer():
            filled.append(pl.col(name).fill_null(substitutes.get(name, -1)))
    return {column.name: column.to_numpy() for column in frame.select(filled)}


def to_pricer_input(
    columns: Mapping[str, npt.NDArray[Any]], add_ons: AddOns, has_hospital: BoolArray, year: YearParameters
) -> PricerInput:
    """Return stays as exact numbers, with the return code of those that cannot be priced.

    Codes and their order are those of CMS's pricer 2021.5 (1000-EDIT-THE-BILL-INFO), except 51 and 69.

    Args:
        columns: (n,) each, as `fill_missing` returns them.
        add_ons: of these stays.
        has_hospital: (n,) whether the stay's hospital is known.
        year: of the fiscal year.
    """
    n = len(columns["drg"])

    def optional(name: str, default: int) -> npt.NDArray[Any]:
        return columns.get(name, np.broadcast_to(np.asarray(default), (n,)))

    def flag(name: str) -> BoolArray:
        return np.asarray(optional(name, 0), dtype=np.bool_)

    drg = np.minimum(columns["drg"], DRGS - 1)
    weight, charges, review = columns["weight"], columns["covered_charges_usd"], columns["review_code"]
    los = columns["los_days"].astype(np.int64)
    covered, reserve = columns.get("covered_days", los), optional("reserve_days", 0)
    code = np.zeros(n, dtype=np.int64)
    code[add_ons.invalid] = 69
    code[optional("islet_isolations", 0) > MOST_ISOLATIONS] = 69
    for is_wrong, number in (  # the first of CMS's checks that fails decides, so the last is written first
        (~((charges >= 0) & (charges <= MOST_CHARGES_USD)), 58),
        (~_IS_REVIEW_CODE[review], 57),
        ((covered < 0) | ((covered == 0) & (los > 0)) | (reserve > covered), 62),
        ((reserve < 0) | (reserve > 60), 61),
        ((los < 0) | (los > 99_999) | ((los == 0) & ~_IS_REVIEW_CODE[review]), 56),
        (~((weight > 0) & (weight < 100)), 54),
        (~has_hospital, 51),
    ):
        code[is_wrong] = number
    usable = code == 0
    return PricerInput(
        code=code,
        weight4=to_fixed_point(np.where((weight > 0) & (weight < 100), weight, 0.0), 4),
        gmlos1=to_fixed_point(np.where(usable, np.maximum(columns["gmlos_days"], 0.0), 0.0), 1),
        post_acute=columns["post_acute"],
        special=columns["special_pay"],
        exempt=year.exempt[drg],
        marginal2=year.marginal2[drg],
        review=review,
        los=np.where(usable, los, 0),
        covered=np.where(usable, covered, 0),
        charges2=to_fixed_point(np.where(usable, charges, 0.0), 2),
        covid2=_factor(flag("covid"), "case.covid_factor", year.rates),
        no_cost2=_factor(flag("no_cost_product"), "case.no_cost_factor", year.rates),
        plan=flag("medicare_advantage"),
        islet2=_islet_add_on(optional("islet_isolations", 0), year.rates),
        covid_treatment=flag("covid_treatment"),
        covid_other2=to_fixed_point(optional("covid_other_usd", 0), 2),
        day=np.asarray(optional("discharge_date", UNKNOWN_DAY), dtype=np.int64),
        add_ons=add_ons,
    )


# ---------------------------------------------------------------------------------------------------------


def _factor(applies: BoolArray, name: str, rates: Rates) -> Int64Array:
    # The rates are asked only where the factor applies: its value may not be known for the year.
    factor2 = rates.fixed_point(name, 2) if applies.any() else 100
    return np.where(applies, factor2, 100)


def _islet_add_on(isolations: Int64Array, rates: Rates) -> Int64Array:
    """Return the add-on for islet isolations. (n,) [cents].

    Source: Social Security Act 1881; CMS pricer 2021.5.
    """
    if not (isolations > 0).any():
        return np.zeros(len(isolations), dtype=np.int64)
    amounts2 = np.asarray([0, rates.fixed_point("case.islet_one", 2), rates.fixed_point("case.islet_more", 2)])
    return amounts2[np.clip(isolations, 0, 2)]
