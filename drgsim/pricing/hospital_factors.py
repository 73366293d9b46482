"""Factors that all stays of a hospital share, exact; a function for each rule of 42 CFR 412."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.fixed_point import exponential, power, quotient, round_digits, to_fixed_point
from drgsim.rates.payment_rates import QUALITY, Rates

_NEVER = 10**9
"""A day after every other."""
_PUERTO_RICO_STATES = "operating.puerto_rico_states"
PUERTO_RICO = len(QUALITY)
"""Variant of the updates of a hospital in Puerto Rico with the EHR reduction; without it the full update applies."""
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
    ratio: Int64Array
    """Which ratio restores the EHR reduction: 0 with quality data, 1 without, 2 in Puerto Rico."""


@dataclass(frozen=True, slots=True)
class HospitalFactors:
    """Factors of the payment that all stays of a hospital share. (h,) int64 each, exact.

    The number at the end of a name is its number of decimals.
    """

    code: Int64Array
    """CMS return code for every stay: 0, 52 (no wage index), 53, 65 (readmissions) or 68 (value-based)."""
    capital_refused: BoolArray
    """Whether the capital pay code is not one that is paid (65, tested with the stay)."""
    first_day: Int64Array
    """First day in force, since 1970-01-01."""
    end_day: Int64Array
    """First day out of force."""
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
    wage4, cola3 = _locate(frame, rates)
    quality, ehr = frame["quality_reported"].to_numpy(), frame["ehr_reduction"].to_numpy()
    in_puerto_rico = _is_in_puerto_rico(frame, rates)
    # In Puerto Rico quality data do not matter, 42 CFR 412.64(d)(2).
    variant = np.where(in_puerto_rico, PUERTO_RICO * ehr, (~quality).astype(np.int64) + 2 * ehr)
    hrr4, vbp11, code = _programs(frame, quality, rates)
    code = np.where(wage4 == 0, 52, code)
    labor2, nonlabor2 = _standardized_amounts(rates, wage4, variant, in_puerto_rico, code == 0)
    percentage4 = _exact(frame, "ssi_ratio", 4) + _exact(frame, "medicaid_ratio", 4)
    ime9, dsh4 = operating_ime(frame, rates), operating_dsh(frame, percentage4, rates)
    capital_ime9, capital_dsh4 = capital_ime(frame, rates), capital_dsh(frame, percentage4, rates)
    gaf4, capital_cola3 = power(wage4, 4, rates.number("capital.gaf_exponent"), 4), _capital_cola(cola3, rates)
    capital_rate2 = round_digits(rates.fixed_point("capital.federal_rate", 2) * gaf4, 4)
    location8, capital_location7 = _loss_location(wage4, cola3, rates), gaf4 * capital_cola3
    operating_ccr3, capital_ccr3 = _exact(frame, "operating_ccr", 3), _exact(frame, "capital_ccr", 3)
    higher_ccr3 = operating_ccr3 + rates.fixed_point("outlier.reconciliation_step", 3)
    return HospitalFactors(
        code=code,
        capital_refused=_is_capital_refused(frame),
        first_day=_days(frame, "effective_date", -_NEVER),
        end_day=_days(frame, "termination_date", _NEVER),
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
        uncompensated2=_exact(frame, "uncompensated_care_usd", 2),
        specific7=_hospital_specific_rate(frame, variant, code == 0, rates),
        dependent=_is_of_type(frame, "hospital_specific.dependent_types", rates),
        hrr4=hrr4,
        vbp11=vbp11,
        hac=frame["hac_reduction"].to_numpy(),
        low_volume6=_low_volume(frame, rates),
        new_capital=frame["new_capital_hospital"].to_numpy(),
        pass_through2=_pass_through(frame),
        informational=InformationalFactors(
            labor2, nonlabor2, location8, capital_location7, ehr, np.where(in_puerto_rico, 2, ~quality)
        ),
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


def _exact(frame: pl.DataFrame, name: str, digits: int) -> Int64Array:
    return to_fixed_point(frame[name].to_numpy(), digits)


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


def _is_in_puerto_rico(frame: pl.DataFrame, rates: Rates) -> BoolArray:
    """Return whether a hospital is paid the amounts of Puerto Rico. (h,); none before FY2022."""
    states = rates.listed(_PUERTO_RICO_STATES) if _PUERTO_RICO_STATES in rates.values else ()
    return frame["ccn_state"].is_in(list(states)).to_numpy()


def _standardized_amounts(
    rates: Rates, wage4: Int64Array, variant: Int64Array, in_puerto_rico: BoolArray, needed: BoolArray
) -> tuple[Int64Array, Int64Array]:
    """Return the labor and nonlabor parts of the standardized amount. (h,) [cents].

    0 where it is not needed: an amount that is not known is an error only where a hospital needs it.
    Source: 42 CFR 412.64(c), (h); in Puerto Rico 412.64(d), (e).
    """
    names = [f"{area}.{name}" for area in ("above_1", "up_to_1") for name in QUALITY]
    names += [f"puerto_rico.{name}" for name in ("full", "ehr_reduction")]
    column = np.where(in_puerto_rico, 2 * len(QUALITY) + (variant > 0), variant + len(QUALITY) * (wage4 <= ABOVE_1))
    labor2, nonlabor2 = np.zeros(len(wage4), dtype=np.int64), np.zeros(len(wage4), dtype=np.int64)
    for place in np.unique(column[needed]):
        for part, found2 in (("labor", labor2), ("nonlabor", nonlabor2)):
            found2[column == place] = rates.fixed_point(f"operating.{part}.{names[place]}", 2)
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


def _hospital_specific_rate(frame: pl.DataFrame, variant: Int64Array, needed: BoolArray, rates: Rates) -> Int64Array:
    """Return the hospital-specific rate updated to this year. (h,) [1e-7 USD].

    Source: 42 CFR 412.92(d), 412.108(c).
    """
    has_rate = needed & _is_of_type(frame, "hospital_specific.types", rates)
    rate2 = np.where(has_rate, to_fixed_point(frame["hospital_specific_rate_usd"].to_numpy(), 2), 0)
    names = (*QUALITY, "puerto_rico_ehr_reduction")
    factor5 = np.zeros(len(names), dtype=np.int64)
    for used in np.unique(variant[rate2 > 0]):  # an unknown update is an error only where a hospital needs it
        factor5[used] = int(rates.hospital_specific_update(names[used]).scaleb(5))
    return np.asarray(rate2 * factor5[variant])


def _programs(frame: pl.DataFrame, quality: BoolArray, rates: Rates) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return the readmissions and value-based factors less 1, and a return code. (h,) each.

    The code is 65, 68 or 53 where an entry is wrong or the hospital is outside a program, else 0.
    Source: 42 CFR 412.154 and 412.162; codes as CMS's programs of FY2017 to FY2021 set them.
    """

    def is_outside(program: str) -> BoolArray:
        return frame["ccn_state"].is_in(list(rates.listed(f"adjustments.{program}_excluded_states"))).to_numpy()

    def entry(program: str, yes: str, no: str) -> npt.NDArray[np.str_]:
        """Return whether a hospital takes part, as the provider file writes it."""
        given = pl.when(pl.col(f"{program}_factor").is_null()).then(pl.lit(no)).otherwise(pl.lit(yes))
        filled = pl.col(f"{program}_participant").str.strip_chars().fill_null(given)
        return frame.select(filled).to_series().to_numpy().astype(np.str_)

    hrr, vbp = entry("hrr", "1", "0"), entry("vbp", "Y", "N")
    hrr4, vbp11 = (
        to_fixed_point(frame[name].fill_null(0.0).to_numpy(), digits)
        for name, digits in (("hrr_factor", 4), ("vbp_factor", 11))
    )
    (low4, high4), (low11, high11) = (
        [rates.fixed_point(f"adjustments.{program}_{end}", digits) for end in ("lowest", "highest")]
        for program, digits in (("hrr", 4), ("vbp", 11))
    )
    in_hrr, in_vbp = hrr == "1", vbp == "Y"
    bad_hrr = np.where(in_hrr, (hrr4 < low4) | (hrr4 > high4) | is_outside("hrr"), (hrr != "0") | (hrr4 != 0))
    bad_vbp = np.where(in_vbp, (vbp11 < low11) | (vbp11 > high11) | is_outside("vbp") | ~quality, vbp != "N")
    excluded = frame["waiver"].to_numpy() | (frame["hac_reduction"].to_numpy() & is_outside("hac"))
    code = np.select([bad_hrr, bad_vbp, excluded], [65, 68, 53], 0)
    return (
        np.where(in_hrr & ~bad_hrr, hrr4 - 10**4, 0),
        np.where(in_vbp & ~bad_vbp, vbp11 - 10**11, 0),
        code,
    )


def _is_of_type(frame: pl.DataFrame, name: str, rates: Rates) -> BoolArray:
    """Return whether the provider type is in a list of the rates. (h,)."""
    return frame["provider_type"].is_in(list(rates.listed(name))).to_numpy()


def _pass_through(frame: pl.DataFrame) -> Int64Array:
    """Return the pass-through less organs and direct education. (h,) [cents a day]."""
    every2, organs2, education2 = (
        to_fixed_point(frame[name].to_numpy(), 2)
        for name in ("pass_through_usd", "organ_acquisition_usd", "direct_education_usd")
    )
    return np.asarray(every2 - organs2 - education2)


def _is_capital_refused(frame: pl.DataFrame) -> BoolArray:
    """Return whether the capital pay code is not one that is paid. (h,).

    A new capital hospital is paid its cost, whatever its code.
    """
    is_paid = frame["capital_pay_code"].str.strip_chars().is_in(["B", "C"]) | frame["new_capital_hospital"]
    return (~is_paid).to_numpy()


def _low_volume(frame: pl.DataFrame, rates: Rates) -> Int64Array:
    """Return the low-volume factor, 0 without indicator or above the highest. (h,) [1e-6].

    Source: 42 CFR 412.101.
    """
    factor6 = to_fixed_point(frame["low_volume_factor"].to_numpy(), 6)
    indicated = (frame["low_volume_indicator"].str.strip_chars().fill_null("Y") == "Y").to_numpy()
    return np.where(indicated & (factor6 <= rates.fixed_point("adjustments.low_volume_highest", 6)), factor6, 0)


def _days(frame: pl.DataFrame, name: str, missing: int) -> Int64Array:
    """Return a column of dates as days since 1970-01-01. (h,)."""
    return frame[name].cast(pl.Int32).cast(pl.Int64).fill_null(missing).to_numpy()
