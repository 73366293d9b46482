"""What IPPS pays for each admission, by component, as CMS's pricer computes it.

`price()` prices grouped admissions; `price_stays()` prices stays that already carry their weight and provider inputs.
`drgsim.pricing.ipps` reads as the regulation does, component by component, in order.

Not in the price: the beneficiary's deductible and coinsurance and sequestration (see `drgsim.pricing.cost_sharing`),
organ acquisition and other pass-through of stays that no plan pays, and the bundled-payment demonstration,
whose factor has been zero since 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from drgsim.exceptions import InputError, SchemaError
from drgsim.numerics.arrays import BoolArray, FloatArray, Int64Array
from drgsim.pricing import informational as information
from drgsim.pricing.hospital_factors import HospitalFactors, compute_hospital_factors
from drgsim.pricing.hospitals import complete_hospitals
from drgsim.pricing.ipps import YearParameters, components
from drgsim.pricing.new_technology import AddOns, find_add_ons
from drgsim.pricing.pricer_input import (
    PricerInput,
    choose_thread_count,
    fill_missing,
    split_by_fiscal_year,
    to_pricer_input,
    to_stays,
)
from drgsim.pricing.rates import Rates
from drgsim.schema import HOSPITALS, PAID, STAYS, Frame, check_frame

COMPONENTS = tuple(name for name in PAID.names if name.endswith("_usd") and name != "total_usd")
"""Dollar columns whose sum is `total_usd`."""

PAY_CODES = {
    0: "paid",
    2: "paid with a cost outlier",
    3: "acute transfer, paid by day",
    5: "acute transfer with a cost outlier",
    6: "acute transfer without cost outlier, paid by day",
    10: "post-acute transfer, half at once and half by day",
    12: "post-acute transfer, paid by day",
    14: "paid, days at or above the geometric mean",
    16: "paid with a cost outlier, days at or above the geometric mean",
    30: "as 0, and an outlier if the operating ratio were higher (so 33, 40, 42, 44)",
    51: "no such hospital",
    52: "hospital without a wage index",
    53: "hospital outside IPPS, or a HAC reduction where there is none",
    54: "DRG without a weight: ungroupable, or not one of this fiscal year",
    55: "no rates for the discharge date",
    56: "length of stay missing or negative",
    57: "discharge status or review code missing or not one",
    58: "covered charges missing, negative or above 99,999,999.99",
    61: "more than 60 lifetime reserve days",
    62: "covered days missing, none, or fewer than the reserve days",
    65: "readmissions factor out of range, or in a state outside the program",
    67: "cost outlier with fewer covered days than the length of stay",
    68: "value-based factor out of range, without quality data, or outside the program",
    69: "new technology amounts that cannot be: not finite, out of range, or lists of unequal length",
}
"""CMS's return codes, 69 our own; 50 and above pay nothing. 30 added to a code below 16 flags reconciliation only."""

NOT_AN_ADD_ON = 69

CHUNK = 16_384
"""Rows priced at a time: their columns stay in the cache, and a thread has work enough."""


def price(
    grouped: pl.DataFrame,
    hospitals: pl.DataFrame,
    rates: Rates | Sequence[Rates],
    *,
    threads: int | None = None,
) -> pl.DataFrame:
    """Return what IPPS pays for each admission, by component.

    Weight and mean stay come from the rates' Table 5, and `weight` and `gmlos_days` of the input are replaced:
    weights of one's own go through `Rates.with_table5`. The review code comes from `discharge_status` (or
    `review_code`), new technologies from the codes (or `ntap_max_usd` and `ntap_share`).

    Args:
        grouped: (n,) grouped admissions: `drg`, `hospital_id`, `los_days` [days],
            `covered_charges_usd` [USD], `discharge_status`; optional columns of `drgsim.schema.STAYS`.
        hospitals: (h,) `drgsim.schema.HOSPITALS`.
        rates: one `Rates`, which prices every admission whatever its date, or several, chosen by the fiscal
            year of `discharge_date`.
        threads: how many threads; the cores by default. The result does not depend on it.

    Returns:
        (n,) the input in its order plus `drgsim.schema.PAID`. The components add up to `total_usd` to the
        cent. `pay_code` (see `PAY_CODES`) is 50 or above where nothing is paid and says why.

    Raises:
        SchemaError: a column is missing or of the wrong type, or a hospital's value is out of range.
        MissingRateError: a rate that is needed is not known for the fiscal year.

    Source: 42 CFR 412; CMS's pricer 2021.5.

    >>> stay = {"drg": [470], "hospital_id": ["A"], "los_days": [3], "covered_charges_usd": [60000.0]}
    >>> hospital = pl.DataFrame({"hospital_id": ["A"], "wage_index": [1.2], "operating_ccr": [0.25]})
    >>> paid = price(pl.DataFrame({**stay, "discharge_status": [1]}), hospital, Rates.load(2026))
    >>> paid.select("operating_federal_usd", "capital_federal_usd", "total_usd", "pay_code").row(0)
    (14744.42, 1145.5, 15889.92, 14)
    """
    check_frame(grouped, Frame("admissions", ()))
    workers = choose_thread_count(threads)
    out = _Out(grouped.height, working=False)
    for one, rows in split_by_fiscal_year(grouped, rates):
        some = grouped[rows]
        if some.is_empty() and not isinstance(rates, Rates):
            continue
        stays = to_stays(some, one)
        own = complete_hospitals(hospitals, one)
        _price(stays, compute_hospital_factors(own, one), find_hospital_rows(stays, own), one, out, rows, workers)
    return out.beside(grouped)


def price_stays(
    frame: pl.DataFrame, rates: Rates, *, working: bool = False, threads: int | None = None
) -> pl.DataFrame:
    """Return what IPPS pays for stays that carry their weight and provider inputs as columns.

    Args:
        frame: (n,) columns of `drgsim.schema.STAYS` and, for each stay, of `drgsim.schema.HOSPITALS`
            (`hospital_id` is not needed).
        rates: of one fiscal year. Its Table 5 is not used.
        working: whether to add what the pricer reports beside the payment: thresholds, costs, the
            standardized allowed amount, EHR savings and the standardized amounts.
        threads: as in `price`.

    Returns:
        (n,) the input in its order plus `drgsim.schema.PAID`; of columns that are in both, PAID's.

    Raises:
        SchemaError, MissingRateError: as `price`.

    >>> stay = {"drg": [470], "weight": [1.9289], "gmlos_days": [1.9], "post_acute": [True], "los_days": [3]}
    >>> more = {"special_pay": [False], "covered_charges_usd": [6e4], "review_code": [0], "wage_index": [1.2]}
    >>> price_stays(pl.DataFrame({**stay, **more, "operating_ccr": [0.25]}), Rates.load(2026))["total_usd"].item()
    15889.92
    """
    stays, workers = check_frame(frame, STAYS), choose_thread_count(threads)
    if not isinstance(rates, Rates):
        raise InputError(f"price takes one Rates, found {type(rates).__name__}. Such as Rates.load(2026).")
    names = [name for name in HOSPITALS.names if name in frame.columns and name != "hospital_id"]
    # An id that no CCN can equal: `completed` reads a state out of a CCN.
    each = frame.select(pl.format("stay {}", pl.int_range(pl.len())).alias("hospital_id"), *names)
    out = _Out(frame.height, working=working)
    if frame.height:
        _price(
            stays,
            compute_hospital_factors(complete_hospitals(each, rates), rates),
            None,
            rates,
            out,
            slice(None),
            workers,
        )
    return out.beside(frame)


def find_hospital_rows(stays: pl.DataFrame, hospitals: pl.DataFrame) -> Int64Array:
    """Return the row of each stay's hospital, (n,); -1 where there is none."""
    rows = hospitals.select("hospital_id", pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))
    found = stays.select("hospital_id").join(rows, on="hospital_id", how="left", maintain_order="left")
    return found["row"].fill_null(-1).to_numpy()


def price_in_cents(
    columns: Mapping[str, npt.NDArray[Any]],
    own: HospitalFactors,
    asked: AddOns,
    unknown: BoolArray,
    policy: YearParameters,
) -> Int64Array:
    """Return what stays are paid, (n,) [cents]; the total alone, in one piece.

    Args:
        columns: (n,) each, of STAYS as `stays.filled` returns them.
        own: (n,) the hospital of each stay.
        asked: the new technologies they ask for.
        unknown: (n,) where the hospital is not known.
        policy: of the fiscal year.
    """
    add_ons, wrong = asked.of(0, len(unknown))
    stays = _told_wrong(to_pricer_input(columns, policy.rates), wrong)
    return np.asarray(components(stays, own, add_ons, unknown, policy, working=False)["total_usd"], np.int64)


def _told_wrong(stays: PricerInput, rows: Int64Array) -> PricerInput:
    """Mark stays whose add-ons cannot be; an earlier code stands."""
    stays.code[rows] = np.where(stays.code[rows] > 0, stays.code[rows], NOT_AN_ADD_ON)
    return stays


def _price(
    frame: pl.DataFrame,
    hospitals: HospitalFactors,
    rows: Int64Array | None,
    rates: Rates,
    out: _Out,
    into: Int64Array | slice,
    threads: int,
) -> None:
    """Price all stays chunk by chunk, each chunk on any thread, into its own rows of `out`."""
    if not len(hospitals):
        raise SchemaError("hospitals have no row. See drgsim.schema.HOSPITALS.")
    columns, asked, policy = fill_missing(frame), find_add_ons(frame, rates), YearParameters.of(rates)

    def chunk(start: int) -> None:
        span = slice(start, min(start + CHUNK, frame.height))
        own = hospitals.of(span if rows is None else rows[span], reported=out.working)
        ours, wrong = asked.of(span.start, span.stop)
        stays = _told_wrong(to_pricer_input({name: values[span] for name, values in columns.items()}, rates), wrong)
        unknown = np.zeros(span.stop - start, dtype=np.bool_) if rows is None else rows[span] < 0
        amounts = components(stays, own, ours, unknown, policy, working=out.working)
        out.write(span if isinstance(into, slice) else into[span], amounts)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(chunk, range(0, frame.height, CHUNK)))


class _Out:
    """Result columns, allocated once and filled chunk by chunk from any thread."""

    def __init__(self, rows: int, *, working: bool) -> None:
        self.working = working
        names = (*PAID.names, *(information.COLUMNS if working else ()))
        self.columns: dict[str, npt.NDArray[Any]] = {name: np.zeros(rows) for name in names}
        self.columns["weight"][:] = np.nan
        self.columns["review_code"] = np.full(rows, 255, dtype=np.uint8)
        self.columns["pay_code"] = np.full(rows, 55, dtype=np.uint8)

    def write(self, rows: Int64Array | slice, amounts: dict[str, Int64Array | FloatArray]) -> None:
        for name, values in amounts.items():
            one = _SCALE.get(name, 100.0)
            if isinstance(rows, slice) and one != 1.0:
                np.divide(values, one, out=self.columns[name][rows])
            else:
                self.columns[name][rows] = values if one == 1.0 else values / one

    def beside(self, frame: pl.DataFrame) -> pl.DataFrame:
        added = frame.with_columns(pl.Series(name, values) for name, values in self.columns.items())
        review = pl.col("review_code")
        return added.with_columns(pl.col("weight").fill_nan(None), pl.when(review != 255).then(review))


_SCALE = {"weight": 1.0, "review_code": 1.0, "pay_code": 1.0, "transfer_fraction": 1e4, **information.SCALE}
"""What one unit of an amount is; USD are in cents."""
