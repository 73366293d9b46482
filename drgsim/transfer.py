"""Transfers: what share of the full payment a stay that ended in another hospital or setting is paid.

Source: 42 CFR 412.4. A review code is the pricer's name for how the stay ended.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drgsim.exact import Bools, Ints, quotient, rounded

FULL = 0
ACUTE = 3
"""Transferred to another acute care hospital; a cost outlier may be paid."""
ACUTE_NO_OUTLIER = 6
NO_OUTLIER = 7
POST_ACUTE = 9
"""Went on to post-acute care: a transfer if the DRG is on the list."""
POST_ACUTE_NO_OUTLIER = 11
REVIEW_CODES = (FULL, ACUTE, ACUTE_NO_OUTLIER, NO_OUTLIER, POST_ACUTE, POST_ACUTE_NO_OUTLIER)

ONE4 = 10**4


@dataclass(frozen=True, slots=True)
class Transfer:
    """Shares of one stay, (n,) int64 [1e-4], 1 where it is paid in full."""

    days: Ints
    """Days paid: the length of stay, at least 1, and one more because the first day is paid double."""
    short: Bools
    """Whether the days paid are fewer than the geometric mean."""
    paid4: Ints
    """Share of the operating and capital federal payments."""
    weight4: Ints
    """Weight times the share, rounded as one product."""
    loss4: Ints
    """Share of the fixed loss that makes the stay an outlier."""
    code: Ints
    """CMS return code of a transfer that is paid less: 3, 6, 10 (half and half) or 12 (per diem); else 0."""


def transfers(
    review: Ints, los: Ints, gmlos1: Ints, weight4: Ints, post_acute: Bools, special: Bools, exempt: Bools
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
    to_post_acute = ((review == POST_ACUTE) | (review == POST_ACUTE_NO_OUTLIER)) & post_acute
    half = to_post_acute & special
    per_diem = (review == ACUTE) | (review == ACUTE_NO_OUTLIER) | (to_post_acute & ~special)
    mean = np.maximum(gmlos1, 1)
    short = 10 * days < gmlos1
    # 412.4(f)(1): a day's share of the mean stay; (f)(6): half at once and half by day.
    by_day4 = quotient(days * 10**5, mean)
    by_half4 = quotient((mean + 10 * days) * ONE4, 2 * mean)
    share4 = np.where(short, np.where(half, by_half4, np.where(per_diem, by_day4, ONE4)), ONE4)
    exact_half = quotient(weight4 * (mean + 10 * days), 2 * mean)
    weighted4 = np.where(half & short, exact_half, rounded(share4 * weight4, 4))
    codes = np.where(half, 10, np.where(to_post_acute, 12, review))
    return Transfer(
        days=days,
        short=short,
        paid4=np.where(exempt, ONE4, share4),
        weight4=weighted4,
        # The fixed loss shrinks with the payment, and for exempt DRGs too: the pricer does not except them.
        loss4=np.where((review == ACUTE) | (review == POST_ACUTE), share4, ONE4),
        code=np.where((half | per_diem) & short & ~exempt, codes, 0),
    )
