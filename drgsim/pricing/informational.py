"""Amounts that CMS's pricer reports and does not pay."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from drgsim.numerics.arrays import FloatArray, Int64Array
from drgsim.numerics.fixed_point import product, quotient, round_digits
from drgsim.pricing.hospital_factors import HospitalFactors
from drgsim.pricing.outliers import Outlier
from drgsim.pricing.pricer_input import PricerInput
from drgsim.pricing.transfers import Transfer
from drgsim.rates.payment_rates import Rates

COLUMNS = (
    "operating_threshold_usd",
    "operating_cost_usd",
    "charge_threshold_usd",
    "standardized_usd",
    "ehr_savings_usd",
    "labor_usd",
    "nonlabor_usd",
)
SCALE = dict.fromkeys(("operating_threshold_usd", "operating_cost_usd", "charge_threshold_usd"), 1e9)
"""Units of one USD in the columns with nine decimals; the others are in cents."""

_RATIOS = ("", "_no_quality_data", "_puerto_rico")
"""Endings of the ratios that restore the EHR reduction, by `InformationalFactors.ratio`."""

Amounts = Mapping[str, Int64Array | FloatArray]


def charge_threshold(hospital: HospitalFactors, outlier: Outlier) -> Int64Array:
    """Return the charges at which the stay becomes an outlier. (n,) [1e-9 USD]."""
    ratio3 = np.maximum(hospital.operating_ccr3 + hospital.capital_ccr3, 1)
    return _scaled_quotient(outlier.operating_threshold9 + outlier.capital_threshold9, 1000, ratio3)


def report_amounts(
    stay: PricerInput, hospital: HospitalFactors, transfer: Transfer, outlier: Outlier, paid: Amounts, rates: Rates
) -> dict[str, Int64Array | FloatArray]:
    """Return the informational amounts of stays except the charge threshold. (n,), see `SCALE`."""
    return {
        "operating_threshold_usd": outlier.operating_threshold9,
        "operating_cost_usd": stay.charges2 * hospital.operating_ccr3 * 10**4,
        "standardized_usd": _standardized_amount(stay, hospital, transfer, outlier, paid, rates),
        "ehr_savings_usd": _ehr_savings(hospital, paid, rates),
        "labor_usd": hospital.informational.labor2,
        "nonlabor_usd": hospital.informational.nonlabor2,
    }


# ---------------------------------------------------------------------------------------------------------


def _standardized_amount(
    stay: PricerInput, hospital: HospitalFactors, transfer: Transfer, outlier: Outlier, paid: Amounts, rates: Rates
) -> Int64Array:
    """Return the payment without adjustments for geography and policy. (n,) [cents]."""
    base2 = rates.fixed_point("information.standardized_operating_base", 2)
    capital2 = rates.fixed_point("capital.federal_rate", 2)
    ntap2 = np.asarray(paid["new_technology_usd"], dtype=np.int64)
    operating_ccr3, capital_ccr3, factors = hospital.operating_ccr3, hospital.capital_ccr3, hospital.informational
    cost2 = _scaled_quotient(stay.charges2 * operating_ccr3, 10**5, factors.location8)
    capital_cost2 = _scaled_quotient(stay.charges2 * capital_ccr3, 10**4, factors.capital_location7)
    both3 = np.maximum(operating_ccr3 + capital_ccr3, 1)
    share9, capital_share9 = (quotient(ccr3 * 10**9, both3) for ccr3 in (operating_ccr3, capital_ccr3))
    threshold9 = round_digits(outlier.loss2 * share9 + base2 * transfer.weight4 * 10**5 + ntap2 * 10**9, 2)
    capital_threshold2 = round_digits(outlier.loss2 * capital_share9 + capital2 * transfer.weight4 * 10**5, 9)
    excess9 = np.maximum(cost2 * 10**7 - threshold9, 0)
    capital_excess2 = np.maximum(capital_cost2 - capital_threshold2, 0)
    is_above = (cost2 + capital_cost2) * 10**7 > threshold9 + capital_threshold2 * 10**7
    outlier9 = product(excess9, stay.marginal2, 2, digits=1) + capital_excess2 * stay.marginal2 * 10**5
    allowed9 = (base2 + capital2) * transfer.weight4 * 10**3 + np.where(is_above, outlier9, 0) + ntap2 * 10**7
    return round_digits(allowed9, 7)


def _ehr_savings(hospital: HospitalFactors, paid: Amounts, rates: Rates) -> Int64Array:
    """Return the amount by which the EHR reduction lowers the operating payment. (n,) [cents]."""
    if not hospital.informational.ehr.any():
        return np.zeros(len(hospital), dtype=np.int64)
    names = ("hospital_specific_usd", "operating_federal_usd", "dsh_usd", "ime_usd")
    operating2 = sum(np.asarray(paid[name], dtype=np.int64) for name in names)
    low_volume2 = operating2 * hospital.low_volume6 // 10**6  # the pricer truncates here
    programs2 = np.asarray(paid["readmissions_usd"] + paid["value_based_usd"], dtype=np.int64)
    base2 = operating2 + programs2 + low_volume2
    ratio9 = np.zeros(3, dtype=np.int64)
    for used in np.unique(hospital.informational.ratio[hospital.informational.ehr]):
        ratio9[used] = rates.fixed_point(f"information.ehr_restoring_ratio{_RATIOS[used]}", 9)
    restored2 = round_digits(base2 * ratio9[hospital.informational.ratio], 9)
    return np.where(hospital.informational.ehr, restored2 - base2, 0)


def _scaled_quotient(a: Int64Array, scale: int, b: Int64Array) -> Int64Array:
    """Return `a * scale / b` to the nearest integer, half up, without overflow. a >= 0, b > 0."""
    whole, rest = np.divmod(a, b)
    return np.asarray(whole * scale + quotient(rest * scale, b))
