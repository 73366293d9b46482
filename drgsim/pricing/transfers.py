"""Transfers: what share of the full payment a stay that ended in another hospital or setting is paid.

Source: 42 CFR 412.4. A review code is the pricer's name for how the stay ended.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.fixed_point import product, quotient, round_digits

FULL = 0
ACUTE = 3
"""Transferred to another acute care hospital; a cost outlier may be paid."""
ACUTE_NO_OUTLIER = 6
NO_OUTLIER = 7
POST_ACUTE = 9
"""Went on to post-acute care: a transfer if the DRG is on the list."""
POST_ACUTE_NO_OUTLIER = 11
VALID = np.isin(np.arange(256), (FULL, ACUTE, ACUTE_NO_OUTLIER, NO_OUTLIER, POST_ACUTE, POST_ACUTE_NO_OUTLIER))
"""Whether a review code is one, by code."""
PAYS_NO_OUTLIER = np.isin(np.arange(256), (ACUTE_NO_OUTLIER, NO_OUTLIER, POST_ACUTE_NO_OUTLIER))
"""Whether a stay with that review code is never paid a cost outlier, by code."""

ONE4 = 10**4


@dataclass(frozen=True, slots=True)
class Transfer:
    """Shares of one stay, (n,) int64 [1e-4], 1 where it is paid in full."""

    days: Int64Array
    """Days paid: the length of stay, at least 1, and one more because the first day is paid double."""
    short: BoolArray
    """Whether the days paid are fewer than the geometric mean."""
    paid4: Int64Array
    """Share of the operating and capital federal payments."""
    weight4: Int64Array
    """Weight times the share, rounded as one product."""
    loss4: Int64Array
    """Share of the fixed loss that makes the stay an outlier."""
    code: Int64Array
    """CMS return code of a transfer that is paid less: 3, 6, 10 (half and half) or 12 (per diem); else 0."""


def compute_transfers(
    review: Int64Array,
    los: Int64Array,
    gmlos1: Int64Array,
    weight4: Int64Array,
    post_acute: BoolArray,
    special: BoolArray,
    exempt: BoolArray,
) -> Transfer:
    """Return the transfer shares of stays.

    Args:
        review: (n,) review codes.
        los: (n,) [days].
        gmlos1: (n,) geometric mean length of stay [0.1 days].
        weight4: (n,) relative weight [1e-4].
        post_acute: (n,) whether the DRG is a post-acute transfer DRG.
        special: (n,) whether it is a special pay DRG.
        exempt: (n,) whether the DRG is itself defined by the transfer, 42 CFR 412.4(f)(4).
    """
    days = np.maximum(los, 1) + 1
    short = 10 * days < gmlos1
    to_post_acute = ((review == POST_ACUTE) | (review == POST_ACUTE_NO_OUTLIER)) & post_acute
    half = to_post_acute & special
    less = short & (to_post_acute | (review == ACUTE) | (review == ACUTE_NO_OUTLIER))
    share4 = np.full(len(los), ONE4, dtype=np.int64)
    weighted4 = weight4.copy()
    by_day, by_half = np.flatnonzero(less & ~half), np.flatnonzero(less & half)
    # 412.4(f)(1), (f)(5): by the days of the mean stay, each by its number of days, the first one double.
    share4[by_day] = quotient(days[by_day] * 10**5, gmlos1[by_day])
    weighted4[by_day] = round_digits(share4[by_day] * weight4[by_day], 4)
    # 412.4(f)(6): half of the payment at once, half by day.
    halves, whole = gmlos1[by_half] + 10 * days[by_half], 2 * gmlos1[by_half]
    share4[by_half] = quotient(halves * ONE4, whole)
    weighted4[by_half] = quotient(weight4[by_half] * halves, whole)
    codes = np.where(half, 10, np.where(to_post_acute, 12, review))
    return Transfer(
        days=days,
        short=short,
        paid4=np.where(exempt, ONE4, share4),
        weight4=weighted4,
        # The fixed loss shrinks with the payment, and for exempt DRGs too: the pricer does not except them.
        loss4=np.where((review == ACUTE) | (review == POST_ACUTE), share4, ONE4),
        code=np.where(less & ~exempt, codes, 0),
    )


def reduce_for_transfer(full9: Int64Array, share: Transfer) -> Int64Array:
    """Payment of stays that may be transfers. (n,) [1e-9 USD], rounded to nine decimals."""
    rows = np.flatnonzero(share.paid4 < ONE4)
    full9[rows] = product(full9[rows], share.paid4[rows], 4, digits=3)
    return full9
