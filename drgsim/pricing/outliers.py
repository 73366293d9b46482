"""Cost outliers: the payment for costs above the other payments and the fixed loss.

Source: 42 CFR 412.80 to 412.84 and 412.312(c).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.fixed_point import product, round_digits
from drgsim.pricing.hospital_factors import HospitalFactors, LossShares
from drgsim.pricing.pricer_input import PAYS_NO_OUTLIER, PricerInput, YearParameters
from drgsim.pricing.transfers import Transfer


@dataclass(frozen=True, slots=True)
class Outlier:
    """Outlier payments and what they follow from, (n,) int64 [1e-9 USD] unless said."""

    operating9: Int64Array
    capital9: Int64Array
    operating_threshold9: Int64Array
    """Operating payments plus the operating share of the fixed loss."""
    capital_threshold9: Int64Array
    operating_loss9: Int64Array
    """Operating share of the fixed loss, adjusted by location."""
    loss2: Int64Array
    """Fixed loss of this stay [cents]."""
    reconciled: BoolArray
    """Whether a higher operating ratio would have made it an outlier (a flag, 42 CFR 412.84(i)(4))."""

    @property
    def is_paid(self) -> BoolArray:
        """Whether the stay has an outlier payment. (n,)."""
        return np.asarray(self.operating9 + self.capital9 > 0)


def compute_outliers(
    stay: PricerInput,
    hospital: HospitalFactors,
    transfer: Transfer,
    operating_paid9: Int64Array,
    capital_paid9: Int64Array,
    year: YearParameters,
) -> Outlier:
    """Return the outlier payments of stays. Source: 42 CFR 412.84, 412.312(c).

    Args:
        stay: (n,) stays: charges, review code and marginal cost factor.
        hospital: (n,) the hospital of each stay: cost-to-charge ratios and shares of the fixed loss.
        transfer: (n,) share of the fixed loss of each stay.
        operating_paid9: (n,) operating payments to which the fixed loss is added [1e-9 USD].
        capital_paid9: (n,) capital payments, likewise [1e-9 USD].
        year: fixed loss and reconciliation step.
    """
    loss2 = fixed_loss(year.threshold2, transfer.loss4)

    def thresholds(loss: LossShares) -> tuple[Int64Array, Int64Array]:
        operating9 = operating_paid9 + product(loss.operating17, loss2, 10, digits=9)
        capital9 = capital_paid9 + product(loss.capital16, loss2, 9, digits=8)
        return operating9, np.where(hospital.new_capital, 0, capital9)

    # 412.84(g), (h): costs are charges by the hospital's own ratios. Five decimals are written with nine.
    operating_cost9 = stay.charges2 * hospital.operating_ccr3 * 10**4
    capital_cost9 = stay.charges2 * hospital.capital_ccr3 * 10**4
    operating_threshold9, capital_threshold9 = thresholds(hospital.loss)
    may_be_outlier = ~PAYS_NO_OUTLIER[stay.review]
    is_outlier = operating_cost9 + capital_cost9 >= operating_threshold9 + capital_threshold9
    is_outlier &= may_be_outlier

    # 412.84(k), (l): the marginal cost share of the excess over the threshold.
    def part9(cost9: Int64Array, threshold9: Int64Array) -> Int64Array:
        excess9 = np.where(is_outlier, np.maximum(cost9 - threshold9, 0), 0)
        return product(excess9, stay.marginal2, 2, digits=1, wide=True)

    # 412.84(i)(4): the same test with a higher operating ratio.
    higher_cost9 = operating_cost9 + stay.charges2 * (year.step3 * 10**4)
    operating9, capital9 = thresholds(hospital.reconciliation_loss)
    is_above = (higher_cost9 > operating9) | ((capital_cost9 > capital9) & ~hospital.new_capital)
    return Outlier(
        operating9=part9(operating_cost9, operating_threshold9),
        capital9=np.where(hospital.new_capital, 0, part9(capital_cost9, capital_threshold9)),
        operating_threshold9=operating_threshold9,
        capital_threshold9=capital_threshold9,
        operating_loss9=operating_threshold9 - operating_paid9,
        loss2=loss2,
        reconciled=may_be_outlier & is_above & (higher_cost9 + capital_cost9 >= operating9 + capital9),
    )


def fixed_loss(threshold2: int, share4: Int64Array) -> Int64Array:
    """Return the fixed loss of each stay, reduced for transfers. (n,) [cents].

    Source: 42 CFR 412.80(b).

    >>> fixed_loss(4039700, np.array([10000, 6250])).tolist()
    [4039700, 2524813]
    """
    return round_digits(threshold2 * share4, 4)
