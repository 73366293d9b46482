"""Factors that all stays of a hospital share, exact; a function for each rule of 42 CFR 412."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import polars as pl

from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.fixed_point import exponential, power, quotient, round_digits, to_fixed_point
from drgsim.pricing.rates import QUALITY, Rates

ABOVE_1 = 10_000
"""A wage index above this [1e-4] takes the larger labor share."""


@dataclass(frozen=True, slots=True)
class LossShares:
    """What one USD of fixed loss adds to each outlier threshold, adjusted by location. (h,)."""

    operating17: Int64Array
    capital16: Int64Array


@dataclass(frozen=True, slots=True)
class InformationalFactors:
    """Factors that only the informational amounts need. (h,) each, as in `HospitalFactors`."""

    labor2: Int64Array
    nonlabor2: Int64Array
    location8: Int64Array
    """Wage index and cost of living, by the labor and nonlabor shares of the fixed loss."""
    capital_location7: Int64Array
    """Geographic adjustment factor and capital cost of living."""
    ehr: BoolArray
    quality: BoolArray


@dataclass(frozen=True, slots=True)
class HospitalFactors:
    """Factors of the payment that all stays of a hospital share. (h,) int64 each, exact.

    The number at the end of a name is its number of decimals.
    """

    code: Int64Array
    """CMS return code for every stay: 0, 52 (no wage index), 53, 65 (readmissions) or 68 (value-based)."""
    standard6: Int64Array
    """Standardized amount, wage-adjusted [USD]."""
    ime9: Int64Array
    dsh4: Int64Array
    operating_addon9: Int64Array
    """IME and the share of DSH that is still paid, together, as a share of the federal payment."""
    capital5: Int64Array
    """Capital federal rate, adjusted by geography and cost of living [USD]."""
    capital_ime9: Int64Array
    capital_dsh4: Int64Array
    capital_addon9: Int64Array
    operating_ccr3: Int64Array
    capital_ccr3: Int64Array
    loss: LossShares
    reconciliation_loss: LossShares
    """`loss` with the operating cost-to-charge ratio of the reconciliation test."""
    uncompensated2: Int64Array
    specific7: Int64Array
    """Hospital-specific rate, updated [USD]; 0 where the hospital has none."""
    dependent: BoolArray
    """Medicare-dependent hospitals."""
    hrr4: Int64Array
    """Readmissions factor less 1; 0 where the hospital takes no part."""
    vbp11: Int64Array
    """Value-based purchasing factor less 1; 0 where the hospital takes no part."""
    hac: BoolArray
    low_volume6: Int64Array
    new_capital: BoolArray
    pass_through2: Int64Array
    informational: InformationalFactors

    def __len__(self) -> int:
        """Return the number of hospitals."""
        return len(self.code)

    def take(self, rows: Int64Array | slice, *, informational: bool) -> HospitalFactors:
        """Return the factors of some hospitals, in that order.

        Args:
            rows: (k,) rows of the hospitals, which may repeat.
            informational: whether `informational` is needed; if not, it is left as it is.
        """
        left = () if informational else ("informational",)
        taken: HospitalFactors = _take_rows(self, rows, left)
        return taken


def compute_hospital_factors(frame: pl.DataFrame, rates: Rates) -> HospitalFactors:
    """Return the factors of each hospital. (h,); `frame` as `complete_hospitals` returns it."""

    def exact(name: str, digits: int) -> Int64Array:
        return to_fixed_point(frame[name].to_numpy(), digits)

    wage4, cola3 = _locate(frame, rates)
    quality, ehr = frame["quality_reported"].to_numpy(), frame["ehr_reduction"].to_numpy()
    variant = (~quality).astype(np.int64) + 2 * ehr
    labor2, nonlabor2 = _standardized_amounts(rates, wage4, variant)
    percentage4 = exact("ssi_ratio", 4) + exact("medicaid_ratio", 4)
    ime9, dsh4 = operating_ime(frame, rates), operating_dsh(frame, percentage4, rates)
    capital_ime9, capital_dsh4 = capital_ime(frame, rates), capital_dsh(frame, percentage4, rates)
    gaf4, capital_cola3 = power(wage4, 4, rates.number("capital.gaf_exponent"), 4), _capital_cola(cola3, rates)
    capital_rate2 = round_digits(rates.fixed_point("capital.federal_rate", 2) * gaf4, 4)
    location8, capital_location7 = _loss_location(wage4, cola3, rates), gaf4 * capital_cola3
    operating_ccr3, capital_ccr3 = exact("operating_ccr", 3), exact("capital_ccr", 3)
    higher_ccr3 = operating_ccr3 + rates.fixed_point("outlier.reconciliation_step", 3)
    hrr4, vbp11, code = _programs(frame, quality, rates)
    dependent = frame["provider_type"].is_in(list(rates.listed("hospital_specific.dependent_types")))
    other_pass_through2 = exact("organ_acquisition_usd", 2) + exact("direct_education_usd", 2)
    return HospitalFactors(
        code=np.where(wage4 == 0, 52, code),
        standard6=labor2 * wage4 + nonlabor2 * cola3 * 10,
        ime9=ime9,
        dsh4=dsh4,
        operating_addon9=ime9 + dsh4 * rates.fixed_point("operating.dsh_empirical_share", 2) * 1000,
        capital5=capital_rate2 * capital_cola3,
        capital_ime9=capital_ime9,
        capital_dsh4=capital_dsh4,
        capital_addon9=capital_ime9 + capital_dsh4 * 10**5,
        operating_ccr3=operating_ccr3,
        capital_ccr3=capital_ccr3,
        loss=_loss_shares(operating_ccr3, capital_ccr3, location8, capital_location7),
        reconciliation_loss=_loss_shares(higher_ccr3, capital_ccr3, location8, capital_location7),
        uncompensated2=exact("uncompensated_care_usd", 2),
        specific7=_hospital_specific_rate(frame, variant, rates),
        dependent=dependent.to_numpy(),
        hrr4=hrr4,
        vbp11=vbp11,
        hac=frame["hac_reduction"].to_numpy(),
        low_volume6=exact("low_volume_factor", 6),
        new_capital=frame["new_capital_hospital"].to_numpy(),
        pass_through2=exact("pass_through_usd", 2) - other_pass_through2,
        informational=InformationalFactors(labor2, nonlabor2, location8, capital_location7, ehr, quality),
    )


def operating_ime(frame: pl.DataFrame, rates: Rates) -> Int64Array:
    """Return the indirect medical education factor. (h,) [1e-9]. Source: 42 CFR 412.105(d)."""
    ratio4 = to_fixed_point(frame["resident_to_bed_ratio"].to_numpy(), 4)
    exponent, multiplier = rates.number("operating.ime_exponent"), rates.number("operating.ime_multiplier")
    return power(10_000 + ratio4, 4, exponent, 9, times=multiplier, less=1)


def operating_dsh(frame: pl.DataFrame, percentage4: Int64Array, rates: Rates) -> Int64Array:
    """Return the disproportionate share adjustment before its reduction. (h,) [1e-4].

    `operating.dsh_empirical_share` of it is paid. Source: 42 CFR 412.106(d).

    Args:
        frame: (h,) completed hospitals.
        percentage4: (h,) disproportionate patient percentage [1e-4].
        rates: of the fiscal year.
    """

    def line(name: str) -> tuple[int, Int64Array]:
        start4, slope3, base4 = (
            rates.fixed_point(f"operating.{name}.{part}", digits)
            for part, digits in (("from", 4), ("slope", 3), ("base", 4))
        )
        return start4, round_digits((percentage4 - start4) * slope3 + base4 * 1000, 3)

    (low4, low), (high4, high) = line("dsh_low"), line("dsh_high")
    full = np.where(percentage4 >= high4, high, np.where(percentage4 >= low4, low, 0))
    beds, kind = frame["beds"].to_numpy(), frame["provider_type"]
    rural = (frame["cbsa_size"] == "R").to_numpy()
    enough = (int(rates.number(f"operating.dsh_uncapped_beds.{area}")) for area in ("rural", "urban"))
    is_capped = beds < np.where(rural, *enough)
    is_capped |= rural & kind.is_in(list(rates.listed("operating.dsh_capped_types"))).to_numpy()
    is_capped &= ~kind.is_in(list(rates.listed("operating.dsh_uncapped_types"))).to_numpy()
    return np.where(is_capped, np.minimum(full, rates.fixed_point("operating.dsh_cap", 4)), full)


def capital_dsh(frame: pl.DataFrame, percentage4: Int64Array, rates: Rates) -> Int64Array:
    """Return the capital disproportionate share factor. (h,) [1e-4]. Source: 42 CFR 412.320."""
    by_geography = bool(rates["capital.dsh_by_geography"])
    urban = frame["geographic_urban"] if by_geography else frame["cbsa_size"] != "R"
    qualifies = (urban & (frame["beds"] >= rates.number("capital.dsh_beds"))).to_numpy()
    factor = exponential(rates.number("capital.e"), rates.number("capital.dsh_slope"), percentage4, 4, 4)
    return np.where(qualifies, factor, 0)


def capital_ime(frame: pl.DataFrame, rates: Rates) -> Int64Array:
    """Return the capital indirect medical education factor. (h,) [1e-9]. Source: 42 CFR 412.322."""
    ratio4 = to_fixed_point(frame["capital_ime_ratio"].to_numpy(), 4)
    capped = np.minimum(ratio4, rates.fixed_point("capital.ime_ratio_cap", 4))
    return exponential(rates.number("capital.e"), rates.number("capital.ime_slope"), capped, 4, 9)


# ---------------------------------------------------------------------------------------------------------


def _take_rows(value: Any, rows: Int64Array | slice, left: tuple[str, ...] = ()) -> Any:
    """Return a frozen value with these rows of its arrays and of those of the values in it.

    Fields named in `left` do not change.
    """
    if isinstance(value, np.ndarray):
        return value[rows]
    columns = {column.name: getattr(value, column.name) for column in fields(value)}
    return type(value)(**{name: part if name in left else _take_rows(part, rows) for name, part in columns.items()})


def _locate(frame: pl.DataFrame, rates: Rates) -> tuple[Int64Array, Int64Array]:
    """Return the wage index, 0 where null, and the cost of living. (h,) [1e-4], [1e-3].

    Source: 42 CFR 412.64(h), (k).
    """
    wage4 = to_fixed_point(frame["wage_index"].fill_null(0.0).to_numpy(), 4)
    has_cola = frame["ccn_state"].is_in(list(rates.listed("operating.cola_states"))).to_numpy()
    return wage4, np.where(has_cola, to_fixed_point(frame["cola"].to_numpy(), 3), 1000)


def _standardized_amounts(rates: Rates, wage4: Int64Array, variant: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the labor and nonlabor parts of the standardized amount. (h,) [cents].

    Source: 42 CFR 412.64(c), (h).
    """
    column = variant + 4 * (wage4 <= ABOVE_1)
    labor2, nonlabor2 = (
        np.asarray(
            [
                rates.fixed_point(f"operating.{part}.{area}.{name}", 2)
                for area in ("above_1", "up_to_1")
                for name in QUALITY
            ]
        )[column]
        for part in ("labor", "nonlabor")
    )
    return labor2, nonlabor2


def _capital_cola(cola3: Int64Array, rates: Rates) -> Int64Array:
    """Return the capital cost-of-living adjustment. (h,) [1e-3]. Source: 42 CFR 412.316(c)."""
    return round_digits(rates.fixed_point("capital.cola_share", 4) * (cola3 - 1000) + 1000 * 10**4, 4)


def _loss_location(wage4: Int64Array, cola3: Int64Array, rates: Rates) -> Int64Array:
    """Return the location adjustment of the operating fixed loss. (h,) [1e-8]. 42 CFR 412.64(h)."""
    low4, high4 = (rates.fixed_point(f"outlier.labor_share_{area}", 4) for area in ("up_to_1", "above_1"))
    share4 = np.where(wage4 > ABOVE_1, high4, low4)
    return share4 * wage4 + (10_000 - share4) * cola3 * 10


def _loss_shares(
    operating_ccr3: Int64Array, capital_ccr3: Int64Array, location8: Int64Array, capital_location7: Int64Array
) -> LossShares:
    """Return the operating and capital shares of the fixed loss, by cost-to-charge ratio.

    Source: 42 CFR 412.84(h).
    """
    both3 = np.maximum(operating_ccr3 + capital_ccr3, 1)  # without any ratio both shares are 0
    operating9, capital9 = (quotient(ccr3 * 10**9, both3) for ccr3 in (operating_ccr3, capital_ccr3))
    return LossShares(location8 * operating9, capital_location7 * capital9)


def _hospital_specific_rate(frame: pl.DataFrame, variant: Int64Array, rates: Rates) -> Int64Array:
    """Return the hospital-specific rate updated to this year. (h,) [1e-7 USD].

    Source: 42 CFR 412.92(d), 412.108(c).
    """
    has_rate = frame["provider_type"].is_in(list(rates.listed("hospital_specific.types"))).to_numpy()
    rate2 = np.where(has_rate, to_fixed_point(frame["hospital_specific_rate_usd"].to_numpy(), 2), 0)
    factor5 = np.zeros(len(QUALITY), dtype=np.int64)
    for used in np.unique(variant[rate2 > 0]):  # an unknown update is an error only where a hospital needs it
        factor5[used] = int(rates.hospital_specific_update(QUALITY[used]).scaleb(5))
    return np.asarray(rate2 * factor5[variant])


def _programs(frame: pl.DataFrame, quality: BoolArray, rates: Rates) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return the readmissions and value-based factors less 1, and a return code. (h,) each.

    The code is 65, 68 or 53 where a factor is out of range or the hospital is outside a program, else 0.
    Source: 42 CFR 412.154 and 412.162; codes as CMS's pricer 2021.5 sets them.
    """

    def is_outside(program: str) -> BoolArray:
        return frame["ccn_state"].is_in(list(rates.listed(f"adjustments.{program}_excluded_states"))).to_numpy()

    in_hrr, in_vbp = (frame[name].is_not_null().to_numpy() for name in ("hrr_factor", "vbp_factor"))
    hrr4 = to_fixed_point(frame["hrr_factor"].fill_null(1.0).to_numpy(), 4) - 10**4
    vbp11 = to_fixed_point(frame["vbp_factor"].fill_null(1.0).to_numpy(), 11) - 10**11
    lowest_hrr4 = rates.fixed_point("adjustments.hrr_lowest", 4) - 10**4
    lowest_vbp11 = rates.fixed_point("adjustments.vbp_lowest", 11) - 10**11
    bad_hrr = in_hrr & ((hrr4 < lowest_hrr4) | is_outside("hrr"))
    bad_vbp = in_vbp & ((vbp11 < lowest_vbp11) | is_outside("vbp") | ~quality)
    excluded = frame["waiver"].to_numpy() | (frame["hac_reduction"].to_numpy() & is_outside("hac"))
    code = np.select([bad_hrr, bad_vbp, excluded], [65, 68, 53], 0)
    return hrr4, vbp11, code
