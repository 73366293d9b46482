"""Cost outliers: what a stay is paid whose costs exceed the payment by more than the fixed loss.

Source: 42 CFR 412.80 to 412.84 and 412.312(c).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.fixed_point import product, round_digits


@dataclass(frozen=True, slots=True)
class Outlier:
    """Outlier parts and how they came about, (n,) int64 [1e-9 USD] unless said."""

    operating9: Int64Array
    capital9: Int64Array
    operating_threshold9: Int64Array
    """Operating payments and the operating share of the fixed loss."""
    capital_threshold9: Int64Array
    loss2: Int64Array
    """Fixed loss of this stay [cents]."""
    reconciled: BoolArray
    """Whether a higher operating ratio would have made it an outlier (a flag, 42 CFR 412.84(i)(4))."""


def compute_outliers(
    charges2: Int64Array,
    operating_ccr3: Int64Array,
    capital_ccr3: Int64Array,
    step3: int,
    loss2: Int64Array,
    loss_operating17: Int64Array,
    loss_capital16: Int64Array,
    tested_operating17: Int64Array,
    tested_capital16: Int64Array,
    operating_paid9: Int64Array,
    capital_paid9: Int64Array,
    marginal2: Int64Array,
    barred: BoolArray,
    new_capital: BoolArray,
) -> Outlier:
    """Return the outlier parts of stays.

    Args:
        charges2: (n,) covered charges [cents].
        operating_ccr3: (n,) cost-to-charge ratio [1e-3]; `capital_ccr3` likewise.
        capital_ccr3: see there.
        step3: what the reconciliation test adds to the operating ratio [1e-3].
        loss2: (n,) fixed loss, less for transfers [cents].
        loss_operating17: (n,) operating part of it per USD, wage-adjusted [1e-17]; the three others likewise.
        loss_capital16: see there.
        tested_operating17: with the ratio of the reconciliation test.
        tested_capital16: see there.
        operating_paid9: (n,) every operating payment a loss counts from [1e-9 USD].
        capital_paid9: (n,) capital payments [1e-9 USD].
        marginal2: (n,) marginal cost factor [1e-2].
        barred: (n,) whether the review code pays no outlier.
        new_capital: (n,) new capital hospitals, which have no capital outlier.
    """

    def thresholds(operating17: Int64Array, capital16: Int64Array) -> tuple[Int64Array, Int64Array]:
        operating9 = operating_paid9 + product(operating17, loss2, 10, digits=9)
        capital9 = capital_paid9 + product(capital16, loss2, 9, digits=8)
        return operating9, np.where(new_capital, 0, capital9)

    # 412.84(g), (h): costs are charges by the hospital's own ratios. Five decimals are written with nine.
    operating_cost9 = charges2 * operating_ccr3 * 10**4
    capital_cost9 = charges2 * capital_ccr3 * 10**4
    operating_threshold9, capital_threshold9 = thresholds(loss_operating17, loss_capital16)
    is_outlier = operating_cost9 + capital_cost9 >= operating_threshold9 + capital_threshold9
    is_outlier &= ~barred

    # 412.84(k), (l): the marginal cost share of what lies above the threshold.
    def part9(cost9: Int64Array, threshold9: Int64Array) -> Int64Array:
        excess9 = np.where(is_outlier, np.maximum(cost9 - threshold9, 0), 0)
        return product(excess9, marginal2, 2, digits=1, wide=True)

    tested_cost9 = operating_cost9 + charges2 * (step3 * 10**4)
    tested_operating9, tested_capital9 = thresholds(tested_operating17, tested_capital16)
    above = (tested_cost9 > tested_operating9) | ((capital_cost9 > tested_capital9) & ~new_capital)
    return Outlier(
        operating9=part9(operating_cost9, operating_threshold9),
        capital9=np.where(new_capital, 0, part9(capital_cost9, capital_threshold9)),
        operating_threshold9=operating_threshold9,
        capital_threshold9=capital_threshold9,
        loss2=loss2,
        reconciled=~barred & above & (tested_cost9 + capital_cost9 >= tested_operating9 + tested_capital9),
    )


def fixed_loss(threshold2: int, share4: Int64Array) -> Int64Array:
    """Fixed loss of each stay, less for transfers. (n,) [cents]. Source: 42 CFR 412.80(b).

    >>> fixed_loss(4039700, np.array([10000, 6250])).tolist()
    [4039700, 2524813]
    """
    return round_digits(threshold2 * share4, 4)
