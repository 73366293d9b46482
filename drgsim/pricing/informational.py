"""What CMS's pricer reports beside the payment. Nothing here changes a dollar that is paid."""

from __future__ import annotations

import numpy as np

from drgsim.numerics.arrays import FloatArray, Int64Array
from drgsim.numerics.fixed_point import product, quotient, round_digits, to_fixed_point
from drgsim.pricing.hospital_factors import HospitalFactors
from drgsim.pricing.outliers import Outlier
from drgsim.pricing.pricer_input import PricerInput
from drgsim.pricing.rates import Rates
from drgsim.pricing.transfers import Transfer

COLUMNS = (
    "operating_threshold_usd",
    "operating_cost_usd",
    "charge_threshold_usd",
    "standardized_usd",
    "ehr_savings_usd",
    "labor_usd",
    "nonlabor_usd",
)
SCALE = {
    "operating_threshold_usd": 1e9,
    "operating_cost_usd": 1e9,
    "charge_threshold_usd": 1e9,
}
"""What one USD is in columns with nine decimals; the others are in cents."""


def charge_threshold(at: HospitalFactors, outlier: Outlier) -> Int64Array:
    """Charges at which the stay becomes an outlier. (n,) [1e-9 USD]."""
    ratio3 = np.maximum(at.operating_ccr3 + at.capital_ccr3, 1)
    return _ratio(outlier.operating_threshold9 + outlier.capital_threshold9, 1000, ratio3)


def report_amounts(
    stay: PricerInput,
    at: HospitalFactors,
    share: Transfer,
    outlier: Outlier,
    paid: dict[str, Int64Array | FloatArray],
    rates: Rates,
) -> dict[str, Int64Array | FloatArray]:
    """Return what the pricer reports of stays beside what it pays. (n,) each, see `SCALE`."""
    return {
        "operating_threshold_usd": outlier.operating_threshold9,
        "operating_cost_usd": stay.charges2 * at.operating_ccr3 * 10**4,
        "charge_threshold_usd": np.zeros(len(stay), dtype=np.int64),
        "standardized_usd": _standardized(stay, at, share, outlier, paid, rates),
        "ehr_savings_usd": _ehr_savings(at, paid, rates),
        "labor_usd": at.reported.labor2,
        "nonlabor_usd": at.reported.nonlabor2,
    }


def _standardized(
    stay: PricerInput,
    at: HospitalFactors,
    share: Transfer,
    outlier: Outlier,
    paid: dict[str, Int64Array | FloatArray],
    rates: Rates,
) -> Int64Array:
    """Standardized allowed amount: the payment without geography and policy adjustments. (n,) [cents]."""
    base2 = int(to_fixed_point([rates.number("information.standardized_operating_base")], 2)[0])
    capital2 = int(to_fixed_point([rates.number("capital.federal_rate")], 2)[0])
    ntap2 = np.asarray(paid["new_technology_usd"], dtype=np.int64)
    cost2 = _ratio(stay.charges2 * at.operating_ccr3, 10**5, at.reported.location8)
    capital_cost2 = _ratio(stay.charges2 * at.capital_ccr3, 10**4, at.reported.capital_location7)
    both3 = np.maximum(at.operating_ccr3 + at.capital_ccr3, 1)
    share9, capital_share9 = (quotient(ccr3 * 10**9, both3) for ccr3 in (at.operating_ccr3, at.capital_ccr3))
    threshold9 = round_digits(outlier.loss2 * share9 + base2 * share.weight4 * 10**5 + ntap2 * 10**9, 2)
    capital_threshold2 = round_digits(outlier.loss2 * capital_share9 + capital2 * share.weight4 * 10**5, 9)
    excess9 = np.maximum(cost2 * 10**7 - threshold9, 0)
    capital_excess2 = np.maximum(capital_cost2 - capital_threshold2, 0)
    is_above = (cost2 + capital_cost2) * 10**7 > threshold9 + capital_threshold2 * 10**7
    outlier9 = product(excess9, stay.marginal2, 2, digits=1) + capital_excess2 * stay.marginal2 * 10**5
    allowed9 = (base2 + capital2) * share.weight4 * 10**3 + np.where(is_above, outlier9, 0) + ntap2 * 10**7
    return round_digits(allowed9, 7)


def _ehr_savings(at: HospitalFactors, paid: dict[str, Int64Array | FloatArray], rates: Rates) -> Int64Array:
    """What the EHR reduction took from the operating payment. (n,) [cents]."""
    if not at.reported.ehr.any():
        return np.zeros(len(at), dtype=np.int64)
    names = ("hospital_specific_usd", "operating_federal_usd", "dsh_usd", "ime_usd")
    operating2 = sum(np.asarray(paid[name], dtype=np.int64) for name in names)
    low_volume2 = operating2 * at.low_volume6 // 10**6  # the pricer truncates here
    programs2 = np.asarray(paid["readmissions_usd"] + paid["value_based_usd"], dtype=np.int64)
    base2 = operating2 + programs2 + low_volume2
    full9, other9 = (
        int(to_fixed_point([rates.number(f"information.ehr_restoring_ratio{suffix}")], 9)[0])
        for suffix in ("", "_no_quality_data")
    )
    restored2 = round_digits(base2 * np.where(at.reported.quality, full9, other9), 9)
    return np.where(at.reported.ehr, restored2 - base2, 0)


def _ratio(a: Int64Array, scale: int, b: Int64Array) -> Int64Array:
    """`a * scale / b` to the nearest integer, half up, without overflow. a >= 0, b > 0."""
    whole, rest = np.divmod(a, b)
    return np.asarray(whole * scale + quotient(rest * scale, b))
