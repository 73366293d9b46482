"""Factors that every stay of a hospital shares, exact. Each function is a rule of 42 CFR 412."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import polars as pl

from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.fixed_point import exponential, power, quotient, round_digits, to_fixed_point
from drgsim.pricing.rates import QUALITY, Rates


@dataclass(frozen=True, slots=True)
class ReportedFactors:
    """What only the amounts reported beside the payment need. Arrays (h,), as in `HospitalFactors`."""

    labor2: Int64Array
    nonlabor2: Int64Array
    location8: Int64Array
    """Wage-adjusted labor and nonlabor shares of the fixed loss."""
    capital_location7: Int64Array
    ehr: BoolArray
    quality: BoolArray


@dataclass(frozen=True, slots=True)
class HospitalFactors:
    """What a hospital brings to the price of each of its stays, exact. Arrays (h,), int64 in last places.

    The number after a name is how many decimals it has.
    """

    code: Int64Array
    """CMS return code for every stay: 0, 52 (no wage index), 53, 65 (readmissions) or 68 (value-based)."""
    standard6: Int64Array
    """Standardized amount, wage-adjusted [USD]."""
    ime9: Int64Array
    dsh4: Int64Array
    operating_addon9: Int64Array
    """IME and the share of DSH still paid, together, of the federal payment."""
    capital5: Int64Array
    """Capital federal rate, adjusted by geography and cost of living [USD]."""
    capital_ime9: Int64Array
    capital_dsh4: Int64Array
    capital_addon9: Int64Array
    operating_ccr3: Int64Array
    capital_ccr3: Int64Array
    loss_operating17: Int64Array
    """Operating share of the fixed loss, wage-adjusted, per USD of it; `loss_capital16` likewise."""
    loss_capital16: Int64Array
    tested_operating17: Int64Array
    """The same with the operating ratio of the reconciliation test."""
    tested_capital16: Int64Array
    uncompensated2: Int64Array
    specific7: Int64Array
    """Hospital-specific rate, updated [USD]; 0 for those who have none."""
    dependent: BoolArray
    hrr4: Int64Array
    """Readmissions factor less 1; `vbp11` likewise. 0 for those who take no part."""
    vbp11: Int64Array
    hac: BoolArray
    low_volume6: Int64Array
    new_capital: BoolArray
    pass_through2: Int64Array
    reported: ReportedFactors

    def __len__(self) -> int:
        """Hospitals."""
        return len(self.code)

    def of(self, rows: Int64Array | slice, *, reported: bool) -> HospitalFactors:
        """Return the terms of some hospitals, in that order, with or without what is only reported."""
        shown = self.reported
        if reported:
            shown = ReportedFactors(**{column.name: getattr(shown, column.name)[rows] for column in fields(shown)})
        columns = {c.name: getattr(self, c.name)[rows] for c in fields(self) if c.name != "reported"}
        return HospitalFactors(**columns, reported=shown)


def compute_hospital_factors(frame: pl.DataFrame, rates: Rates) -> HospitalFactors:
    """Return what each hospital brings to the price of a stay. (h,); `frame` as `completed` returns it."""
    wage4 = to_fixed_point(frame["wage_index"].fill_null(0.0).to_numpy(), 4)
    states = frame["ccn_state"]
    has_cola = states.is_in(list(rates.listed("operating.cola_states"))).to_numpy()
    cola3 = np.where(has_cola, to_fixed_point(frame["cola"].to_numpy(), 3), 1000)
    quality = frame["quality_reported"].to_numpy()
    ehr = frame["ehr_reduction"].to_numpy()
    variant = (~quality).astype(np.int64) + 2 * ehr
    labor2, nonlabor2 = _standardized(rates, wage4, variant)
    percentage4 = to_fixed_point(frame["ssi_ratio"].to_numpy(), 4) + to_fixed_point(
        frame["medicaid_ratio"].to_numpy(), 4
    )
    ime9 = operating_ime(frame, rates)
    dsh4 = operating_dsh(frame, percentage4, rates)
    share2 = int(to_fixed_point([rates.number("operating.dsh_empirical_share")], 2)[0])
    gaf4 = power(wage4, 4, rates.number("capital.gaf_exponent"), 4)
    capital_cola3 = _capital_cola(cola3, rates)
    capital_rate2 = round_digits(int(to_fixed_point([rates.number("capital.federal_rate")], 2)[0]) * gaf4, 4)
    capital_ime9, capital_dsh4 = capital_ime(frame, rates), capital_dsh(frame, percentage4, rates)
    share4 = to_fixed_point(
        [rates.number("outlier.labor_share_up_to_1"), rates.number("outlier.labor_share_above_1")], 4
    )[(wage4 > 10_000).astype(np.int64)]
    location8 = share4 * wage4 + (10_000 - share4) * cola3 * 10
    operating_ccr3 = to_fixed_point(frame["operating_ccr"].to_numpy(), 3)
    capital_ccr3 = to_fixed_point(frame["capital_ccr"].to_numpy(), 3)
    tested3 = operating_ccr3 + int(to_fixed_point([rates.number("outlier.reconciliation_step")], 3)[0])
    plain, tested = _shares(operating_ccr3, capital_ccr3), _shares(tested3, capital_ccr3)
    hrr4, vbp11, code = _programs(frame, quality, rates)
    return HospitalFactors(
        code=np.where(wage4 == 0, 52, code),
        standard6=labor2 * wage4 + nonlabor2 * cola3 * 10,
        ime9=ime9,
        dsh4=dsh4,
        operating_addon9=ime9 + dsh4 * share2 * 1000,
        capital5=capital_rate2 * capital_cola3,
        capital_ime9=capital_ime9,
        capital_dsh4=capital_dsh4,
        capital_addon9=capital_ime9 + capital_dsh4 * 10**5,
        operating_ccr3=operating_ccr3,
        capital_ccr3=capital_ccr3,
        loss_operating17=location8 * plain[0],
        loss_capital16=gaf4 * capital_cola3 * plain[1],
        tested_operating17=location8 * tested[0],
        tested_capital16=gaf4 * capital_cola3 * tested[1],
        uncompensated2=to_fixed_point(frame["uncompensated_care_usd"].to_numpy(), 2),
        specific7=_specific(frame, variant, rates),
        dependent=frame["provider_type"].is_in(list(rates.listed("hospital_specific.dependent_types"))).to_numpy(),
        hrr4=hrr4,
        vbp11=vbp11,
        hac=frame["hac_reduction"].to_numpy(),
        low_volume6=to_fixed_point(frame["low_volume_factor"].to_numpy(), 6),
        new_capital=frame["new_capital_hospital"].to_numpy(),
        pass_through2=to_fixed_point(frame["pass_through_usd"].to_numpy(), 2)
        - to_fixed_point(frame["organ_acquisition_usd"].to_numpy(), 2)
        - to_fixed_point(frame["direct_education_usd"].to_numpy(), 2),
        reported=ReportedFactors(labor2, nonlabor2, location8, gaf4 * capital_cola3, ehr, quality),
    )


def _standardized(rates: Rates, wage4: Int64Array, variant: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Labor and nonlabor part by quality reporting, EHR use and wage index above 1. 42 CFR 412.64(c), (h)."""
    column = variant + 4 * (wage4 <= 10_000)
    parts = []
    for part in ("labor", "nonlabor"):
        names = [f"operating.{part}.{area}.{name}" for area in ("above_1", "up_to_1") for name in QUALITY]
        parts.append(to_fixed_point([rates.number(name) for name in names], 2)[column])
    return parts[0], parts[1]


def operating_ime(frame: pl.DataFrame, rates: Rates) -> Int64Array:
    """Indirect medical education factor. (h,) [1e-9]. Source: 42 CFR 412.105(d)."""
    ratio4 = to_fixed_point(frame["resident_to_bed_ratio"].to_numpy(), 4)
    exponent, multiplier = rates.number("operating.ime_exponent"), rates.number("operating.ime_multiplier")
    return power(10_000 + ratio4, 4, exponent, 9, times=multiplier, less=1)


def operating_dsh(frame: pl.DataFrame, percentage4: Int64Array, rates: Rates) -> Int64Array:
    """Disproportionate share adjustment, of which a share is paid. (h,) [1e-4]. Source: 42 CFR 412.106(d)."""

    def line(name: str) -> tuple[int, Int64Array]:
        start4, slope3, base4 = (
            int(to_fixed_point([rates.number(f"operating.{name}.{part}")], digits)[0])
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
    cap4 = int(to_fixed_point([rates.number("operating.dsh_cap")], 4)[0])
    return np.where(is_capped, np.minimum(full, cap4), full)


def _capital_cola(cola3: Int64Array, rates: Rates) -> Int64Array:
    """Capital cost-of-living adjustment. (h,) [1e-3]. Source: 42 CFR 412.316(c)."""
    share4 = int(to_fixed_point([rates.number("capital.cola_share")], 4)[0])
    return round_digits(share4 * (cola3 - 1000) + 1000 * 10**4, 4)


def capital_dsh(frame: pl.DataFrame, percentage4: Int64Array, rates: Rates) -> Int64Array:
    """Capital disproportionate share factor. (h,) [1e-4]. Source: 42 CFR 412.320."""
    by_place = bool(rates["capital.dsh_by_geography"])
    urban = frame["geographic_urban"] if by_place else frame["cbsa_size"] != "R"
    qualifies = (urban & (frame["beds"] >= rates.number("capital.dsh_beds"))).to_numpy()
    factor = exponential(rates.number("capital.e"), rates.number("capital.dsh_slope"), percentage4, 4, 4)
    return np.where(qualifies, factor, 0)


def capital_ime(frame: pl.DataFrame, rates: Rates) -> Int64Array:
    """Capital indirect medical education factor. (h,) [1e-9]. Source: 42 CFR 412.322."""
    ratio4 = to_fixed_point(frame["capital_ime_ratio"].to_numpy(), 4)
    capped = np.minimum(ratio4, int(to_fixed_point([rates.number("capital.ime_ratio_cap")], 4)[0]))
    return exponential(rates.number("capital.e"), rates.number("capital.ime_slope"), capped, 4, 9)


def _shares(operating_ccr3: Int64Array, capital_ccr3: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Shares of the fixed loss by cost-to-charge ratio, 0 without any. (h,) [1e-9]. 42 CFR 412.84(h)."""
    both = np.maximum(operating_ccr3 + capital_ccr3, 1)
    return quotient(operating_ccr3 * 10**9, both), quotient(capital_ccr3 * 10**9, both)


def _specific(frame: pl.DataFrame, variant: Int64Array, rates: Rates) -> Int64Array:
    """Hospital-specific rate brought to this year. (h,) [1e-7 USD]. 42 CFR 412.92(d), 412.108(c)."""
    has_one = frame["provider_type"].is_in(list(rates.listed("hospital_specific.types"))).to_numpy()
    rate2 = np.where(has_one, to_fixed_point(frame["hospital_specific_rate_usd"].to_numpy(), 2), 0)
    factor5 = np.zeros(len(QUALITY), dtype=np.int64)
    for used in np.unique(variant[rate2 > 0]):  # a year whose update is not known is no error unless needed
        factor5[used] = int(rates.hospital_specific_update(QUALITY[used]).scaleb(5))
    return np.asarray(rate2 * factor5[variant])


def _programs(frame: pl.DataFrame, quality: BoolArray, rates: Rates) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Readmissions and value-based factors less 1, and the code of those who cannot have them.

    Source: 42 CFR 412.154 and 412.162; codes as CMS's pricer 2021.5 sets them.
    """
    states = frame["ccn_state"]

    def outside(program: str) -> BoolArray:
        return states.is_in(list(rates.listed(f"adjustments.{program}_excluded_states"))).to_numpy()

    in_hrr, in_vbp = (
        frame["hrr_factor"].is_not_null().to_numpy(),
        frame["vbp_factor"].is_not_null().to_numpy(),
    )
    hrr4 = to_fixed_point(frame["hrr_factor"].fill_null(1.0).to_numpy(), 4) - 10**4
    vbp11 = to_fixed_point(frame["vbp_factor"].fill_null(1.0).to_numpy(), 11) - 10**11
    lowest_hrr4 = int(to_fixed_point([rates.number("adjustments.hrr_lowest")], 4)[0]) - 10**4
    lowest_vbp11 = int(to_fixed_point([rates.number("adjustments.vbp_lowest")], 11)[0]) - 10**11
    bad_hrr = in_hrr & ((hrr4 < lowest_hrr4) | outside("hrr"))
    bad_vbp = in_vbp & ((vbp11 < lowest_vbp11) | outside("vbp") | ~quality)
    barred = frame["waiver"].to_numpy() | (frame["hac_reduction"].to_numpy() & outside("hac"))
    code = np.select([bad_hrr, bad_vbp, barred], [65, 68, 53], 0)
    return hrr4, vbp11, code
