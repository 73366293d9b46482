"""Transfers: the share of the payment for a stay that ends in another hospital or setting.

Source: 42 CFR 412.4. A review code is how CMS's pricer names the end of a stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.fixed_point import product, quotient, round_digits
from drgsim.pricing.pricer_input import ACUTE, ACUTE_NO_OUTLIER, POST_ACUTE, POST_ACUTE_NO_OUTLIER, PricerInput

ONE4 = 10**4


@dataclass(frozen=True, slots=True)
class Transfer:
    """Shares of the full payment, (n,) int64 [1e-4], 1 where a stay is paid in full."""

    days: Int64Array
    """Days paid: the length of stay, at least 1, plus one because the first day is paid double."""
    short: BoolArray
    """Whether the days paid are fewer than the geometric mean."""
    paid4: Int64Array
    """Share of the operating and capital federal payments."""
    weight4: Int64Array
    """Weight times the share, rounded once."""
    loss4: Int64Array
    """Share of the fixed loss above which the stay is an outlier."""
    code: Int64Array
    """CMS return code of a transfer that is paid less: 3, 6, 10 (half per diem) or 12 (per diem); else 0."""


def compute_transfers(stay: PricerInput, half_decimals: int) -> Transfer:
    """Return the transfer shares of stays. (n,) each. Source: 42 CFR 412.4(f).

    Args:
        stay: (n,) stays.
        half_decimals: decimals after which the quotient of days and mean stay is cut off in the weight of a
            half-and-half transfer (`transfer.half_quotient_decimals`).
    """
    days = np.maximum(stay.los, 1) + 1
    short = 10 * days < stay.gmlos1
    to_post_acute = ((stay.review == POST_ACUTE) | (stay.review == POST_ACUTE_NO_OUTLIER)) & stay.post_acute
    half = to_post_acute & stay.special
    to_acute = (stay.review == ACUTE) | (stay.review == ACUTE_NO_OUTLIER)
    reduced = short & (to_post_acute | to_acute)
    share4 = np.full(len(stay), ONE4, dtype=np.int64)
    weighted4 = stay.weight4.copy()
    # 412.4(f)(1), (f)(5): a per diem for each day, the first one double; the per diem is the payment by the mean stay.
    rows = np.flatnonzero(reduced & ~half)
    share4[rows] = quotient(days[rows] * 10**5, stay.gmlos1[rows])
    weighted4[rows] = round_digits(share4[rows] * stay.weight4[rows], 4)
    # 412.4(f)(6): half of the payment, and half of the per diem for each day.
    rows = np.flatnonzero(reduced & half)
    numerator, denominator = stay.gmlos1[rows] + 10 * days[rows], 2 * stay.gmlos1[rows]
    share4[rows] = quotient(numerator * ONE4, denominator)
    # CMS's programs cut the quotient off here: an exact half of the product is then rounded down.
    cut = 5 * days[rows] * 10**half_decimals // stay.gmlos1[rows]
    weighted4[rows] = round_digits(stay.weight4[rows] * (cut + 5 * 10 ** (half_decimals - 1)), half_decimals)
    codes = np.where(half, 10, np.where(to_post_acute, 12, stay.review))
    return Transfer(
        days=days,
        short=short,
        # 412.4(f)(4): a DRG that is defined by the transfer is paid in full.
        paid4=np.where(stay.exempt, ONE4, share4),
        weight4=weighted4,
        # The fixed loss is reduced with the payment, for exempt DRGs too: the pricer makes no exception of them.
        loss4=np.where((stay.review == ACUTE) | (stay.review == POST_ACUTE), share4, ONE4),
        code=np.where(reduced & ~stay.exempt, codes, 0),
    )


def reduce_for_transfer(full9: Int64Array, transfer: Transfer) -> Int64Array:
    """Return the payment reduced for transfers. (n,) [1e-9 USD]; `full9` is changed in place."""
    rows = np.flatnonzero(transfer.paid4 < ONE4)
    full9[rows] = product(full9[rows], transfer.paid4[rows], 4, digits=3)
    return full9
