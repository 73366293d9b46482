"""The IPPS payment of a stay, component by component: the regulation, in its order.

`components` takes stays and their hospitals as exact numbers and returns every component in cents. Each step cites
its rule and rounds where CMS's pricer rounds. Amounts are whole numbers of their last decimal (`federal9` has nine
decimals), see `drgsim.numerics.fixed_point`.
"""

from __future__ import annotations

import numpy as np

from drgsim.numerics.arrays import FloatArray, Int64Array
from drgsim.numerics.fixed_point import product, round_digits
from drgsim.pricing.hospital_factors import HospitalFactors
from drgsim.pricing.informational import charge_threshold, report_amounts
from drgsim.pricing.outliers import Outlier, compute_outliers
from drgsim.pricing.pricer_input import ACUTE, UNKNOWN_DAY, PricerInput, YearParameters
from drgsim.pricing.transfers import Transfer, compute_transfers, reduce_for_transfer

_MAY_BE_RECONCILED = np.isin(np.arange(256), (0, 3, 10, 12, 14))
"""Return codes with which a stay is tested for reconciliation."""


def components(
    stay: PricerInput, hospital: HospitalFactors, year: YearParameters, *, informational: bool
) -> dict[str, Int64Array | FloatArray]:
    """Return every component of the payment. (n,) each [cents], with the return code.

    `transfer_fraction` is in 1e-4, `weight` is NaN where the DRG has none.

    Args:
        stay: (n,) stays.
        hospital: (n,) the hospital of each stay.
        year: of the fiscal year.
        informational: whether to add the amounts that the pricer reports and does not pay.
    """
    transfer = compute_transfers(stay, year.half_decimals)
    federal9 = _operating_federal(stay, hospital, transfer)
    capital_federal9 = _capital_federal(stay, hospital, transfer)
    federal2 = round_digits(federal9, 7)
    ime2 = product(federal2, hospital.ime9, 9)
    dsh2 = round_digits(federal2 * hospital.dsh4 * year.dsh_share2, 6)
    ntap2 = _new_technology(stay, hospital, federal2 + ime2 + dsh2 + hospital.uncompensated2)
    outlier = compute_outliers(
        stay,
        hospital,
        transfer,
        federal9 + product(federal9, hospital.operating_addon9, 9) + (hospital.uncompensated2 + ntap2) * 10**7,
        capital_federal9 + product(capital_federal9, hospital.capital_addon9, 9),
        year,
    )
    outlier2 = round_digits(outlier.operating9, 7)
    # 412.87: the outlier and its reconciliation do not see the add-on for COVID-19 treatments.
    ntap2 = ntap2 + _covid_treatments(stay, hospital, outlier, year)
    base2 = round_digits(federal9 + ntap2 * 10**7, 7)
    hrr2 = _share_of_base(base2, hospital.hrr4, 4)
    vbp2 = _share_of_base(base2, hospital.vbp11, 11)
    specific2 = _hospital_specific(stay, hospital, transfer, outlier.operating9, year)

    # Capital, 42 CFR 412.312; nothing for a new capital hospital, which is paid its cost, 412.324(b).
    capital_federal2 = np.where(hospital.new_capital, 0, round_digits(capital_federal9, 7))
    capital_dsh2 = round_digits(capital_federal2 * hospital.capital_dsh4, 4)
    capital_ime2 = round_digits(capital_federal2 * hospital.capital_ime9, 9)
    capital_outlier2 = round_digits(outlier.capital9, 7)

    # Low volume, 412.101: a share of everything above, before quality programs.
    operating2 = specific2 + federal2 + ime2 + dsh2 + outlier2 + hospital.uncompensated2 + ntap2
    capital2 = capital_federal2 + capital_dsh2 + capital_ime2 + capital_outlier2
    low_volume2 = product(operating2 + capital2, hospital.low_volume6, 6, digits=5)

    # A stay of a Medicare Advantage plan has no IME here, 412.105(g), but has the pass-through.
    paid_ime2 = np.where(stay.plan, 0, ime2)
    pass_through2 = np.where(stay.plan, hospital.pass_through2 * stay.los, 0)

    # Hospital-acquired conditions, 412.172(b): a share of everything but the pass-through.
    subtotal2 = operating2 - ime2 + paid_ime2 + capital2 + low_volume2 + hrr2 + vbp2
    hac2 = np.where(hospital.hac, round_digits(-subtotal2 * year.hac4, 4), 0)

    amounts: dict[str, Int64Array | FloatArray] = {
        "operating_federal_usd": federal2,
        "hospital_specific_usd": specific2,
        "ime_usd": paid_ime2,
        "dsh_usd": dsh2,
        "uncompensated_care_usd": hospital.uncompensated2,
        "operating_outlier_usd": outlier2,
        "new_technology_usd": ntap2,
        "islet_usd": stay.islet2,
        "capital_federal_usd": capital_federal2,
        "capital_ime_usd": capital_ime2,
        "capital_dsh_usd": capital_dsh2,
        "capital_outlier_usd": capital_outlier2,
        "low_volume_usd": low_volume2,
        "readmissions_usd": hrr2,
        "value_based_usd": vbp2,
        "hac_usd": hac2,
        "pass_through_usd": pass_through2,
    }
    amounts["total_usd"] = subtotal2 + hac2 + pass_through2 + stay.islet2
    code = _pay_code(stay, hospital, transfer, outlier, year)
    is_paid = code < 50
    if informational:
        amounts |= report_amounts(stay, hospital, transfer, outlier, amounts, year.rates)
    if not is_paid.all():
        amounts = {name: np.where(is_paid, values, 0) for name, values in amounts.items()}
    if informational:
        is_shown = (code == 67) | (is_paid & outlier.is_paid)
        amounts["charge_threshold_usd"] = np.where(is_shown, charge_threshold(hospital, outlier), 0)
    amounts["review_code"], amounts["pay_code"] = stay.review, code
    amounts["transfer_fraction"] = np.where(is_paid, transfer.paid4, 0)
    amounts["weight"] = np.where(stay.weight4 > 0, stay.weight4 / 10**4, np.nan)
    return amounts


def _operating_federal(stay: PricerInput, hospital: HospitalFactors, transfer: Transfer) -> Int64Array:
    """Return the operating federal payment. (n,) [1e-9 USD]. 42 CFR 412.64; transfers 412.4(f)."""
    full9 = product(hospital.standard6, stay.weight4 * stay.covid2 * stay.no_cost2, 5, digits=4)
    return reduce_for_transfer(full9, transfer)


def _capital_federal(stay: PricerInput, hospital: HospitalFactors, transfer: Transfer) -> Int64Array:
    """Return the capital federal payment. (n,) [1e-9 USD].

    Source: 42 CFR 412.308, 412.312, 412.316; transfers 412.312(d).
    """
    full9 = round_digits(stay.weight4 * hospital.capital5 * stay.no_cost2, 2)
    return reduce_for_transfer(full9, transfer)


def _new_technology(stay: PricerInput, hospital: HospitalFactors, base2: Int64Array) -> Int64Array:
    """Return the new technology add-on. (n,) [cents]. 42 CFR 412.88.

    Each technology pays its share of the costs above the payment, at most its highest add-on; together they pay
    at most the costs.

    Args:
        stay, hospital: (n,) stays and their hospitals.
        base2: (n,) the payment without new technology [cents].
    """
    total2 = np.zeros(len(stay), dtype=np.int64)
    rows = stay.add_ons.row
    if not len(rows):
        return total2
    cost5 = stay.charges2 * hospital.operating_ccr3
    above5 = cost5 - base2 * 1000
    add_on2 = np.clip(round_digits(above5[rows] * stay.add_ons.share2, 5), 0, stay.add_ons.most2)
    np.add.at(total2, rows, add_on2)
    is_capped = (base2 + total2) * 1000 > cost5
    above2 = round_digits(above5, 3)
    return np.where((total2 > 0) & is_capped & (above2 > 0), above2, total2)


def _covid_treatments(
    stay: PricerInput, hospital: HospitalFactors, outlier: Outlier, year: YearParameters
) -> Int64Array:
    """Return the add-on for new COVID-19 treatments, NCTAP. (n,) [cents].

    A share of the operating fixed loss, or of the costs above the operating payment where that is less; where a new
    technology pays for the same treatment, its highest add-on is taken off.

    Source: 42 CFR 412.87; CMS pricer 2021.5, 3650-NEW-COVID19-ADD-ON-PAY; CMS Java pricer of FY2022.
    """
    added2 = np.zeros(len(stay), dtype=np.int64)
    rows = np.flatnonzero(stay.covid_treatment)
    if not len(rows):
        return added2
    share2, other2 = year.rates.fixed_point("case.nctap_share", 2), stay.covid_other2[rows]
    loss9, paid9 = outlier.operating_loss9[rows], (outlier.operating_threshold9 - outlier.operating_loss9)[rows]
    above9 = stay.charges2[rows] * hospital.operating_ccr3[rows] * 10**4 - paid9
    lesser2 = np.minimum(
        product(loss9, share2, 9, digits=8), product(np.maximum(above9 + other2 * 10**7, 0), share2, 9, digits=8)
    )
    added2[rows] = np.where(above9 > 0, np.maximum(lesser2 - other2, 0), 0)
    return added2


def _share_of_base(base2: Int64Array, factor: Int64Array, digits: int) -> Int64Array:
    """Return the base operating DRG payment times a factor less 1. (n,) [cents].

    Source: 42 CFR 412.154(b), 412.162(b).
    """
    return np.sign(factor) * product(base2, np.abs(factor), digits, digits=min(digits - 1, 6))


def _hospital_specific(
    stay: PricerInput, hospital: HospitalFactors, transfer: Transfer, outlier9: Int64Array, year: YearParameters
) -> Int64Array:
    """Return the hospital-specific payment above the federal one. (n,) [cents].

    Source: 42 CFR 412.92(d), 412.108(c).
    """
    specific2 = np.zeros(len(stay), dtype=np.int64)
    rows = np.flatnonzero(hospital.specific7)
    if not len(rows):
        return specific2
    case4 = stay.covid2[rows] * stay.no_cost2[rows]
    rate9 = product(hospital.specific7[rows], stay.weight4[rows] * case4, 6, digits=5)
    addons13 = (10**9 + hospital.operating_addon9[rows]) * case4
    federal9 = product(hospital.standard6[rows] * transfer.weight4[rows], addons13, 14, limbs=3, digits=4, wide=True)
    above9 = rate9 - federal9 - outlier9[rows] - hospital.uncompensated2[rows] * 10**7
    above9 = np.maximum(above9, 0)
    dependent9 = product(above9, year.dependent_share2, 2, digits=1)
    specific2[rows] = round_digits(np.where(hospital.dependent[rows], dependent9, above9), 7)
    return specific2


def _pay_code(
    stay: PricerInput, hospital: HospitalFactors, transfer: Transfer, outlier: Outlier, year: YearParameters
) -> Int64Array:
    """Return CMS's return code. (n,).

    Source: CMS pricer 2021.5: 0200-MAINLINE-CONTROL, 1000, 3000, 3560, 3600, 6000 to 7000; CMS programs of FY2017 to
    FY2020, which test the value-based entry before the outlier.
    """
    is_post_acute = transfer.code >= 10
    is_other_outlier = outlier.is_paid & ~is_post_acute
    code = np.where(is_other_outlier, np.where(stay.review == ACUTE, 5, 2), transfer.code)
    code = np.where(~transfer.short & ((code == 0) | (code == 2)), code + 14, code)
    # An outlier with a post-acute code is tested for reconciliation too.
    code = np.where(outlier.reconciled & _MAY_BE_RECONCILED[code], code + 30, code)
    lacks_days = outlier.is_paid & (stay.covered < stay.los)
    code = np.where(lacks_days, 67, code)
    # A wrong readmissions entry precedes 67; so does a wrong value-based entry until FY2020.
    precedes = hospital.code == 65
    if year.vbp_precedes_outlier:
        precedes |= hospital.code == 68
    of_hospital = np.where(lacks_days & ~precedes, 0, hospital.code)
    code = np.where(of_hospital > 0, of_hospital, code)
    code = np.where(hospital.capital_refused, 65, code)
    code = np.where(stay.code > 0, stay.code, code)
    is_out_of_force = (stay.day < hospital.first_day) | (stay.day >= hospital.end_day)
    is_out_of_force &= stay.day != UNKNOWN_DAY
    code = np.where(is_out_of_force & (stay.code != 51) & (stay.code != 54), 55, code)
    # No wage index precedes every code of a stay but an unknown hospital.
    return np.where((hospital.code == 52) & (stay.code != 51), 52, code)
