"""What IPPS pays for a stay, component by component: the regulation, in its order.

`components` takes stays and hospitals as exact numbers and gives every component in cents. Each step cites its
rule, and rounds where CMS's pricer rounds. Amounts are integers of their last place (`fsp9` has nine
decimals), see `drgsim.numerics.fixed_point`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drgsim.numerics.arrays import BoolArray, FloatArray, Int64Array
from drgsim.numerics.fixed_point import product, round_digits, to_fixed_point
from drgsim.pricing import informational as information
from drgsim.pricing.hospital_factors import HospitalFactors
from drgsim.pricing.outliers import Outlier, compute_outliers, fixed_loss
from drgsim.pricing.pricer_input import PricerInput
from drgsim.pricing.rates import Rates
from drgsim.pricing.transfers import ACUTE, PAYS_NO_OUTLIER, Transfer, compute_transfers, reduce_for_transfer

_TESTED = np.isin(np.arange(256), (0, 3, 10, 12, 14))
"""Codes that meet the reconciliation test."""


@dataclass(frozen=True, slots=True)
class YearParameters:
    """The numbers of one fiscal year that every stay shares."""

    threshold2: int
    step3: int
    dsh_share2: int
    dependent_share2: int
    hac4: int
    rates: Rates

    @classmethod
    def of(cls, rates: Rates) -> YearParameters:
        """Return the numbers of these rates."""

        def exact(name: str, digits: int) -> int:
            return int(to_fixed_point([rates.number(name)], digits)[0])

        return cls(
            threshold2=exact("outlier.fixed_loss", 2),
            step3=exact("outlier.reconciliation_step", 3),
            dsh_share2=exact("operating.dsh_empirical_share", 2),
            dependent_share2=exact("hospital_specific.dependent_share", 2),
            hac4=exact("adjustments.hac_reduction", 4),
            rates=rates,
        )


def components(
    stay: PricerInput,
    at: HospitalFactors,
    asked: tuple[Int64Array, Int64Array, Int64Array],
    unknown: BoolArray,
    policy: YearParameters,
    *,
    working: bool,
) -> dict[str, Int64Array | FloatArray]:
    """Price stays: every component in cents, `pay_code`, `transfer_fraction` and the weight. (n,) each."""
    share = compute_transfers(
        stay.review, stay.los, stay.gmlos1, stay.weight4, stay.post_acute, stay.special, stay.exempt
    )
    fsp9 = _operating_federal(stay, at, share)
    cfsp9 = _capital_federal(stay, at, share)
    fsp2 = round_digits(fsp9, 7)
    ime2 = product(fsp2, at.ime9, 9)
    dsh2 = round_digits(fsp2 * at.dsh4 * policy.dsh_share2, 6)
    ntap2 = _new_technology(stay, at, asked, fsp2 + ime2 + dsh2 + at.uncompensated2)
    outlier = _outlier(stay, at, share, fsp9, cfsp9, ntap2, policy)
    outlier2 = round_digits(outlier.operating9, 7)
    code = _pay_code(stay, at, share, outlier, unknown)
    base2 = round_digits(fsp9 + ntap2 * 10**7, 7)
    hrr2 = _of_base(base2, at.hrr4, 4)
    vbp2 = _of_base(base2, at.vbp11, 11)
    specific2 = _hospital_specific(stay, at, share, outlier.operating9, policy)

    # Capital, 42 CFR 412.312; nothing for a new capital hospital, which is paid its cost, 412.324(b).
    cfsp2 = np.where(at.new_capital, 0, round_digits(cfsp9, 7))
    cdsh2 = round_digits(cfsp2 * at.capital_dsh4, 4)
    cime2 = round_digits(cfsp2 * at.capital_ime9, 9)
    coutlier2 = round_digits(outlier.capital9, 7)

    # Low volume, 412.101: a share of everything above, before quality programs.
    operating2 = specific2 + fsp2 + ime2 + dsh2 + outlier2 + at.uncompensated2 + ntap2
    capital2 = cfsp2 + cime2 + cdsh2 + coutlier2
    low_volume2 = product(operating2 + capital2, at.low_volume6, 6, digits=5)

    # A Medicare Advantage plan pays IME itself, 412.105(g), and the pass-through comes with the claim.
    planless_ime2 = np.where(stay.plan, 0, ime2)
    pass_through2 = np.where(stay.plan, at.pass_through2 * stay.los, 0)

    # Hospital-acquired conditions, 412.172(b): a share of everything but what passes through.
    subtotal2 = operating2 - ime2 + planless_ime2 + capital2 + low_volume2 + hrr2 + vbp2
    hac2 = np.where(at.hac, round_digits(-subtotal2 * policy.hac4, 4), 0)

    paid = code < 50
    amounts: dict[str, Int64Array | FloatArray] = {
        "operating_federal_usd": fsp2,
        "hospital_specific_usd": specific2,
        "ime_usd": planless_ime2,
        "dsh_usd": dsh2,
        "uncompensated_care_usd": at.uncompensated2,
        "operating_outlier_usd": outlier2,
        "new_technology_usd": ntap2,
        "islet_usd": stay.islet2,
        "capital_federal_usd": cfsp2,
        "capital_ime_usd": cime2,
        "capital_dsh_usd": cdsh2,
        "capital_outlier_usd": coutlier2,
        "low_volume_usd": low_volume2,
        "readmissions_usd": hrr2,
        "value_based_usd": vbp2,
        "hac_usd": hac2,
        "pass_through_usd": pass_through2,
    }
    amounts["total_usd"] = subtotal2 + hac2 + pass_through2 + stay.islet2
    if working:
        amounts |= information.report_amounts(stay, at, share, outlier, amounts, policy.rates)
    if not paid.all():
        amounts = {name: np.where(paid, values, 0) for name, values in amounts.items()}
    if working:
        amounts["charge_threshold_usd"] = information.charge_threshold(at, outlier) * (
            (code == 67) | _is_outlier(outlier)
        )
        amounts["charge_threshold_usd"][(code >= 50) & (code != 67)] = 0
    amounts["review_code"], amounts["pay_code"] = stay.review, code
    amounts["transfer_fraction"] = np.where(paid, share.paid4, 0)
    amounts["weight"] = np.where(stay.weight4 > 0, stay.weight4 / 10**4, np.nan)
    return amounts


def _operating_federal(stay: PricerInput, at: HospitalFactors, share: Transfer) -> Int64Array:
    """Operating federal payment. (n,) [1e-9 USD]. 42 CFR 412.64; transfers 412.4(f)."""
    full9 = product(at.standard6, stay.weight4 * stay.covid2 * stay.no_cost2, 5, digits=4)
    return reduce_for_transfer(full9, share)


def _capital_federal(stay: PricerInput, at: HospitalFactors, share: Transfer) -> Int64Array:
    """Capital federal payment. (n,) [1e-9 USD]. 42 CFR 412.308, 412.312, 412.316; transfers 412.312(d)."""
    full9 = round_digits(stay.weight4 * at.capital5 * stay.no_cost2, 2)
    return reduce_for_transfer(full9, share)


def _new_technology(
    stay: PricerInput, at: HospitalFactors, asked: tuple[Int64Array, Int64Array, Int64Array], base2: Int64Array
) -> Int64Array:
    """New technology add-on. (n,) [cents]. 42 CFR 412.88.

    Each technology pays its share of the costs above the payment, at most its highest add-on; together
    they pay no more than the costs.
    """
    total2 = np.zeros(len(stay), dtype=np.int64)
    rows, most2, share2 = asked
    if not len(rows):
        return total2
    cost5 = stay.charges2 * at.operating_ccr3
    above5 = cost5 - base2 * 1000
    add_on2 = np.clip(round_digits(above5[rows] * share2, 5), 0, most2)
    np.add.at(total2, rows, add_on2)
    capped = (base2 + total2) * 1000 > cost5
    return np.where((total2 > 0) & capped & (round_digits(above5, 3) > 0), round_digits(above5, 3), total2)


def _outlier(
    stay: PricerInput,
    at: HospitalFactors,
    share: Transfer,
    fsp9: Int64Array,
    cfsp9: Int64Array,
    ntap2: Int64Array,
    policy: YearParameters,
) -> Outlier:
    """Cost outlier, operating and capital. 42 CFR 412.80, 412.84, 412.312(c)."""
    return compute_outliers(
        stay.charges2,
        at.operating_ccr3,
        at.capital_ccr3,
        policy.step3,
        fixed_loss(policy.threshold2, share.loss4),
        at.loss_operating17,
        at.loss_capital16,
        at.tested_operating17,
        at.tested_capital16,
        operating_paid9=fsp9 + product(fsp9, at.operating_addon9, 9) + (at.uncompensated2 + ntap2) * 10**7,
        capital_paid9=cfsp9 + product(cfsp9, at.capital_addon9, 9),
        marginal2=stay.marginal2,
        barred=PAYS_NO_OUTLIER[stay.review],
        new_capital=at.new_capital,
    )


def _of_base(base2: Int64Array, factor: Int64Array, digits: int) -> Int64Array:
    """A factor less 1 of the base operating DRG payment. (n,) [cents]. 42 CFR 412.154(b), 412.162(b)."""
    return np.sign(factor) * product(base2, np.abs(factor), digits, digits=min(digits - 1, 6))


def _hospital_specific(
    stay: PricerInput, at: HospitalFactors, share: Transfer, outlier9: Int64Array, policy: YearParameters
) -> Int64Array:
    """Hospital-specific payment above the federal one. (n,) [cents]. 42 CFR 412.92(d), 412.108(c)."""
    specific2 = np.zeros(len(stay), dtype=np.int64)
    rows = np.flatnonzero(at.specific7)
    if not len(rows):
        return specific2
    case4 = stay.covid2[rows] * stay.no_cost2[rows]
    rate9 = product(at.specific7[rows], stay.weight4[rows] * case4, 6, digits=5)
    addons13 = (10**9 + at.operating_addon9[rows]) * case4
    federal9 = product(at.standard6[rows] * share.weight4[rows], addons13, 14, limbs=3, digits=4, wide=True)
    above9 = rate9 - federal9 - outlier9[rows] - at.uncompensated2[rows] * 10**7
    above9 = np.maximum(above9, 0)
    dependent9 = product(above9, policy.dependent_share2, 2, digits=1)
    specific2[rows] = round_digits(np.where(at.dependent[rows], dependent9, above9), 7)
    return specific2


def _is_outlier(outlier: Outlier) -> BoolArray:
    return np.asarray(outlier.operating9 + outlier.capital9 > 0)


def _pay_code(
    stay: PricerInput, at: HospitalFactors, share: Transfer, outlier: Outlier, unknown: BoolArray
) -> Int64Array:
    """CMS's return code. (n,). CMS pricer 2021.5: 0200-MAINLINE-CONTROL, 3000, 3560, 3600, 6000 to 7000."""
    is_outlier = _is_outlier(outlier)
    post_acute = share.code >= 10
    code = np.where(is_outlier & ~post_acute, np.where(stay.review == ACUTE, 5, 2), share.code)
    code = np.where(~share.short & ((code == 0) | (code == 2)), code + 14, code)
    # An outlier that a post-acute code hides still meets the reconciliation test.
    flagged = outlier.reconciled & _TESTED[code]
    code = np.where(flagged, code + 30, code)
    lost = is_outlier & (stay.covered < stay.los)
    code = np.where(lost, 67, code)
    refused = np.where(lost & (at.code != 65), 0, at.code)
    code = np.where(refused > 0, refused, code)
    code = np.where(stay.code > 0, stay.code, code)
    return np.where(unknown, 51, np.where(at.code == 52, 52, code))
