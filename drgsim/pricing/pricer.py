"""The IPPS payment of each admission, by component, as CMS's pricer computes it.

`price()` prices grouped admissions; `price_stays()` prices stays that have their weight and provider inputs as columns.
Both prepare the stays of a fiscal year once and price them span by span on all cores. `drgsim.pricing.ipps` holds
the regulation, component by component, in order.

The price does not include the beneficiary's deductible and coinsurance and sequestration (see
`drgsim.pricing.cost_sharing`), organ acquisition and other pass-through of stays outside Medicare Advantage, and the
bundled-payment demonstration, whose factor has been zero since 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from drgsim.exceptions import InputError, SchemaError
from drgsim.files.foreign_frames import accept_frames
from drgsim.numerics.arrays import BoolArray, FloatArray, Int64Array
from drgsim.numerics.parallel import run_over_spans
from drgsim.pricing.contracts import PriceTerms, has_contracts
from drgsim.pricing.hospital_factors import HospitalFactors, compute_hospital_factors
from drgsim.pricing.hospitals import complete_hospitals
from drgsim.pricing.informational import COLUMNS as INFORMATIONAL
from drgsim.pricing.informational import SCALE as INFORMATIONAL_SCALE
from drgsim.pricing.ipps import components
from drgsim.pricing.new_technology import AddOns, find_add_ons
from drgsim.pricing.payer_pricing import CONTRACT_COMPONENTS, ContractAmounts, ContractStays, split_by_payer
from drgsim.pricing.pricer_input import (
    YearParameters,
    fill_missing,
    to_pricer_input,
    to_stays,
)
from drgsim.rates.payment_rates import Rates, split_by_fiscal_year
from drgsim.schema import CONTRACT_PAID, GROUPED, HOSPITALS, PAID, STAYS, Frame, check_frame

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
    55: "no rates for the discharge date, or the hospital is not in force on it",
    56: "length of stay missing or negative, or 0 with a review code that is not valid",
    57: "discharge status or review code missing or not valid",
    58: "covered charges missing, negative or above 99,999,999.99",
    61: "more than 60 lifetime reserve days",
    62: "covered days missing, none, or fewer than the reserve days",
    65: "readmissions entry wrong, or in a state outside the program; capital pay code not B or C",
    67: "cost outlier with fewer covered days than the length of stay",
    68: "value-based entry wrong, without quality data, or outside the program",
    69: "new technology amounts not finite, out of range, or in lists of unequal length; too many islet isolations",
}
"""CMS's return codes, and 69 of drgsim. 50 and above pay nothing; 30 added to a code below 16 only flags
reconciliation."""

CHUNK = 16_384
"""Most rows of a span: their columns fit in the cache, and a thread has enough work."""


@accept_frames
def price(
    grouped: pl.DataFrame,
    hospitals: pl.DataFrame | None,
    rates: PriceTerms,
    *,
    threads: int | None = None,
) -> pl.DataFrame:
    """Return the payment of each admission by IPPS or a payer's contract, by component.

    Weight and mean stay are those of the rates' Table 5; `weight` and `gmlos_days` of the input are replaced
    (for other weights, see `Rates.with_table5`). The review code is that of `review_code`, or follows from
    `discharge_status`; new technologies are those of `ntap_max_usd` and `ntap_share`, or follow from the codes.

    Args:
        grouped: (n,) grouped admissions: `drg`, `hospital_id`, `los_days` [days],
            `covered_charges_usd` [USD], `discharge_status`; optional columns of `drgsim.schema.STAYS`.
        hospitals: (h,) `drgsim.schema.HOSPITALS`; None where contracts alone price, unless one needs `operating_ccr`.
        rates: one `Rates`, which prices every admission whatever its date, or several, chosen by the fiscal
            year of `discharge_date`. Or a `Contract`, which prices every admission; or a list of rates and contracts,
            chosen by the column `payer`.
        threads: the most threads; by default as many as Polars uses. The result does not depend on it.

    Returns:
        (n,) the input in its order plus `drgsim.schema.PAID`. The components add up to `total_usd` to the
        cent. `pay_code` (see `PAY_CODES`) is 50 or above where nothing is paid and says why. With a contract also
        `drgsim.schema.CONTRACT_PAID`, whose components add up with those of PAID.

    Raises:
        SchemaError: a column is missing or of the wrong type, or a hospital's value is out of range.
        InputError: `rates` or `threads` cannot be used, or a contract does not say how a stay is paid.
        MissingRateError: a rate that is needed is not known for the fiscal year.

    Source: 42 CFR 412; CMS's pricer 2021.5.

    >>> stay = {"drg": [470], "hospital_id": ["A"], "los_days": [3], "covered_charges_usd": [60000.0]}
    >>> hospital = pl.DataFrame({"hospital_id": ["A"], "wage_index": [1.2], "operating_ccr": [0.25]})
    >>> paid = price(pl.DataFrame({**stay, "discharge_status": [1]}), hospital, Rates.load(2026))
    >>> paid.select("operating_federal_usd", "capital_federal_usd", "total_usd", "pay_code").row(0)
    (14744.42, 1145.5, 15889.92, 14)
    """
    check_frame(grouped, Frame("admissions", ()))
    check_thread_count(threads)
    if has_contracts(rates):
        return _price_by_payer(grouped, hospitals, rates, threads)
    if hospitals is None:
        raise SchemaError("hospitals is None; IPPS needs their inputs. See drgsim.schema.HOSPITALS.")
    table = _PaidColumns(grouped.height, informational=False)
    for year_rates, rows in split_by_fiscal_year(grouped, rates):  # type: ignore[arg-type]  # no contract among them
        admissions = grouped[rows]
        if admissions.is_empty() and not isinstance(rates, Rates):
            continue
        stays, completed = to_stays(admissions, year_rates), complete_hospitals(hospitals, year_rates)
        factors = compute_hospital_factors(completed, year_rates)
        prepared = PreparedStays.of(stays, factors, find_hospital_rows(stays, completed), year_rates)
        table.fill(prepared, rows, threads)
    return table.append_to(grouped)


@accept_frames
def price_stays(
    frame: pl.DataFrame, rates: Rates, *, informational: bool = False, threads: int | None = None
) -> pl.DataFrame:
    """Return the IPPS payment of stays that have their weight and provider inputs as columns.

    Args:
        frame: (n,) columns of `drgsim.schema.STAYS` and, for each stay, of `drgsim.schema.HOSPITALS`
            (`hospital_id` is not needed).
        rates: of one fiscal year. Its Table 5 is not used.
        informational: whether to add the amounts that the pricer reports and does not pay: thresholds, costs, the
            standardized allowed amount, EHR savings and the standardized amounts.
        threads: as in `price`.

    Returns:
        (n,) the input in its order plus `drgsim.schema.PAID`; a column that is in both is that of PAID.

    Raises:
        SchemaError, InputError, MissingRateError: as `price`.

    >>> stay = {"drg": [470], "weight": [1.9289], "gmlos_days": [1.9], "post_acute": [True], "los_days": [3]}
    >>> more = {"special_pay": [False], "covered_charges_usd": [6e4], "review_code": [0], "wage_index": [1.2]}
    >>> price_stays(pl.DataFrame({**stay, **more, "operating_ccr": [0.25]}), Rates.load(2026))["total_usd"].item()
    15889.92
    """
    stays = check_frame(frame, STAYS)
    check_thread_count(threads)
    if not isinstance(rates, Rates):
        raise InputError(f"price_stays takes one Rates, found {type(rates).__name__}. Such as Rates.load(2026).")
    table = _PaidColumns(frame.height, informational=informational)
    if frame.height:
        names = [name for name in HOSPITALS.names if name in frame.columns and name != "hospital_id"]
        # An id that no CCN equals, because `complete_hospitals` reads the state from a CCN.
        each = frame.select(pl.format("stay {}", pl.int_range(pl.len())).alias("hospital_id"), *names)
        factors = compute_hospital_factors(complete_hospitals(each, rates), rates)
        prepared = PreparedStays.of(stays, factors, np.arange(frame.height), rates)
        table.fill(prepared, slice(None), threads)
    return table.append_to(frame)


@dataclass(frozen=True, eq=False, slots=True)
class PreparedStays:
    """Stays of one fiscal year, prepared once, of which any rows can be priced.

    Attributes:
        columns: (n,) each, of STAYS as `fill_missing` returns them.
        add_ons: the new technologies of the stays.
        hospitals: (h,) factors of the hospitals.
        hospital_row: (n,) the row of each stay's hospital, -1 where it is not known.
        year: parameters of the fiscal year.
    """

    columns: Mapping[str, npt.NDArray[Any]]
    add_ons: AddOns
    hospitals: HospitalFactors
    hospital_row: Int64Array
    year: YearParameters

    @classmethod
    def of(
        cls, stays: pl.DataFrame, hospitals: HospitalFactors, hospital_row: Int64Array, rates: Rates
    ) -> PreparedStays:
        """Return stays prepared for the pricer.

        Args:
            stays: (n,) STAYS, and the codes from which new technologies follow.
            hospitals: (h,) factors of the hospitals.
            hospital_row: (n,) as in the class.
            rates: of the fiscal year.

        Raises:
            SchemaError: there is no hospital.
        """
        if not len(hospitals):
            raise SchemaError("hospitals have no row. See drgsim.schema.HOSPITALS.")
        add_ons = find_add_ons(stays, rates)
        return cls(fill_missing(stays), add_ons, hospitals, hospital_row, YearParameters.of(rates))

    def __len__(self) -> int:
        """Return the number of stays."""
        return len(self.hospital_row)

    def price(self, span: slice, *, informational: bool = False) -> dict[str, Int64Array | FloatArray]:
        """Return the components of the payment of consecutive stays, as `ipps.components` does."""
        columns = {name: values[span] for name, values in self.columns.items()}
        rows = self.hospital_row[span]
        hospital = self.hospitals.take(rows, informational=informational)
        stay = to_pricer_input(columns, self.add_ons.take(span), rows >= 0, self.year)
        return components(stay, hospital, self.year, informational=informational)


def find_hospital_rows(stays: pl.DataFrame, hospitals: pl.DataFrame) -> Int64Array:
    """Return the row of each stay's hospital. (n,); -1 where there is none."""
    rows = hospitals.select("hospital_id", pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))
    found = stays.select("hospital_id").join(rows, on="hospital_id", how="left", maintain_order="left")
    return found["row"].fill_null(-1).to_numpy()


def price_in_cents(
    columns: Mapping[str, npt.NDArray[Any]],
    hospital: HospitalFactors,
    add_ons: AddOns,
    is_unknown: BoolArray,
    year: YearParameters,
) -> Int64Array:
    """Return the total payment of stays. (n,) [cents].

    Args:
        columns: (n,) each, of STAYS as `fill_missing` returns them.
        hospital: (n,) the hospital of each stay.
        add_ons: the new technologies of the stays.
        is_unknown: (n,) where the hospital is not known.
        year: parameters of the fiscal year.
    """
    stay = to_pricer_input(columns, add_ons, ~is_unknown, year)
    return np.asarray(components(stay, hospital, year, informational=False)["total_usd"], np.int64)


def check_thread_count(threads: int | None) -> None:
    """Raise InputError unless `threads` is None or a whole number from 1."""
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise InputError(f"threads is {threads!r}, expected a whole number from 1, or None for all cores.")


# ---------------------------------------------------------------------------------------------------------


def _price_by_payer(
    grouped: pl.DataFrame, hospitals: pl.DataFrame | None, terms: PriceTerms, threads: int | None
) -> pl.DataFrame:
    """Return the payment of stays of which contracts price some or all."""
    split = split_by_payer(grouped, terms)
    paid = _PaidColumns(grouped.height, informational=False).append_to(grouped)
    if split.rates is not None and len(split.medicare):
        own = price(grouped[split.medicare], hospitals, split.rates, threads=threads)
        paid = paid.with_columns(paid[name].scatter(split.medicare, own[name]) for name in PAID.names)
    parts = []
    for contract, rows in split.contracts:
        stays = ContractStays.of(grouped[rows], hospitals, contract)
        drg = check_frame(grouped, Frame("admissions", (GROUPED["drg"],)))["drg"][rows].fill_null(0)
        drgs = drg.to_numpy().astype(np.int64)
        parts.append((stays, stays.price(drgs), rows))
    return _append_contract_amounts(paid, parts)


def _append_contract_amounts(
    frame: pl.DataFrame, parts: Sequence[tuple[ContractStays, ContractAmounts, Int64Array]]
) -> pl.DataFrame:
    """Return a frame with CONTRACT_PAID, and PAID replaced at the rows of contracts.

    Args:
        frame: (n,) with the columns of PAID.
        parts: for each contract its stays, their payment and their rows.
    """
    columns = {name: frame[name].to_numpy().copy() for name in PAID.names if name not in ("weight", "review_code")}
    columns |= {name: np.zeros(len(frame)) for name in CONTRACT_COMPONENTS}
    weight, rule = frame["weight"].fill_null(np.nan).to_numpy().copy(), np.full(len(frame), -1)
    is_contract = np.zeros(len(frame), np.bool_)
    names: list[str] = []
    for stays, amounts, rows in parts:
        for name in COMPONENTS:
            columns[name][rows] = 0.0
        for name in CONTRACT_COMPONENTS:
            columns[name][rows] = getattr(amounts, name.removeprefix("contract_").removesuffix("_usd")) / 100
        columns["total_usd"][rows] = amounts.total / 100
        columns["transfer_fraction"][rows] = amounts.fraction4 / 1e4
        columns["pay_code"][rows] = amounts.pay_code
        weight[rows] = np.where(amounts.weight4 > 0, amounts.weight4 / 1e4, np.nan)
        rule[rows] = np.where(amounts.rule >= 0, amounts.rule + len(names), -1)
        is_contract[rows] = True
        names += [one.name for one in stays.contract.rules]
    found = pl.Series(rule).replace_strict(range(len(names)), names, default=None, return_dtype=pl.String)
    return frame.with_columns(
        *(pl.Series(name, values) for name, values in columns.items()),
        pl.Series("weight", weight).fill_nan(None),
        pl.when(pl.Series(is_contract)).then(None).otherwise("review_code").alias("review_code"),
        contract_rule=found,
    ).select(*frame.columns, *CONTRACT_PAID.names)


_SCALE = {"weight": 1.0, "review_code": 1.0, "pay_code": 1.0, "transfer_fraction": 1e4, **INFORMATIONAL_SCALE}
"""Units of one in each column; a column in USD is in cents."""


class _PaidColumns:
    """Result columns, allocated once and filled span by span from any thread."""

    def __init__(self, rows: int, *, informational: bool) -> None:
        self.informational = informational
        names = (*PAID.names, *(INFORMATIONAL if informational else ()))
        self.columns: dict[str, npt.NDArray[Any]] = {name: np.zeros(rows) for name in names}
        self.columns["weight"][:] = np.nan
        self.columns["review_code"] = np.full(rows, 255, dtype=np.uint8)
        self.columns["pay_code"] = np.full(rows, 55, dtype=np.uint8)

    def fill(self, stays: PreparedStays, rows: Int64Array | slice, threads: int | None) -> None:
        """Price stays and write them to these rows."""

        def fill_span(start: int, stop: int) -> None:
            span = slice(start, stop)
            amounts = stays.price(span, informational=self.informational)
            self._write(span if isinstance(rows, slice) else rows[span], amounts)

        run_over_spans(len(stays), fill_span, CHUNK, threads=threads)

    def _write(self, rows: Int64Array | slice, amounts: dict[str, Int64Array | FloatArray]) -> None:
        for name, values in amounts.items():
            scale = _SCALE.get(name, 100.0)
            if isinstance(rows, slice) and scale != 1.0:
                np.divide(values, scale, out=self.columns[name][rows])
            else:
                self.columns[name][rows] = values if scale == 1.0 else values / scale

    def append_to(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a frame with these columns; a missing review code or weight is null."""
        added = frame.with_columns(pl.Series(name, values) for name, values in self.columns.items())
        review = pl.col("review_code")
        return added.with_columns(pl.col("weight").fill_nan(None), pl.when(review != 255).then(review))
