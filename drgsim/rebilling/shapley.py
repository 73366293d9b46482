"""Payment changes attributed to errors by exact Shapley values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.segments import find_owners, find_run_starts
from drgsim.rebilling.baseline import Baseline
from drgsim.rebilling.billed_claims import BilledClaims


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each error contributes to the payment change of its claim: one row per error.

    Attributes:
        claim: (k,) place of the claim.
        error: (k,) place of the error in the scenario.
        shapley: (k,) [cents]; the values of one claim add up to its payment change.
        first_in: (k,) [cents] the change if this were the only error of the claim.
        last_in: (k,) [cents] what this error adds when all other errors of the claim are made.

    All three are equal on a claim with one error.
    """

    claim: Int64Array
    error: NDArray[np.uint8]
    shapley: Int64Array
    first_in: Int64Array
    last_in: Int64Array


def attribute_changes(
    claims: BilledClaims, change: Int64Array, returned: BoolArray, baseline: Baseline, *, unpaid: bool = False
) -> Attribution:
    """Attribute the payment change of each claim to its errors by Shapley values.

    Every subset of a claim's errors is grouped and priced. The payment of one admission does not depend on another,
    so only claims with errors of at least two error models are priced again.

    Args:
        claims: (c,) the billed claims.
        change: (c,) their payment change [cents], 0 where returned.
        returned: (c,) claims that cannot be grouped; no error gets a share, because they are not paid.
        baseline: the admissions as correctly coded.
        unpaid: whether a claim that cannot be grouped counts as paid nothing, instead of as returned and unchanged.

    Source: Shapley, A value for n-person games (1953).
    """
    claim = claims.claim
    # The changes of a claim lie end to end and, within a claim, in the scenario's order.
    first = find_run_starts(claim * 256 + claims.error)
    owner, error = claim[first], claims.error[first]
    value = change[owner]
    shares = Attribution(owner, error, value.copy(), value.copy(), value.copy())
    count = np.bincount(owner, minlength=len(claims))
    first_share = np.concatenate([[0], np.cumsum(count)])
    count[returned] = 0
    by_size = [(size, np.flatnonzero(count == size)) for size in np.unique(count[count > 1]).tolist()]
    if by_size:
        rank = find_owners(np.append(first, len(claim))) - first_share[claim]
        values = _price_subsets(by_size, rank, claims, change, baseline, unpaid=unpaid)
        for (size, which), value in zip(by_size, values, strict=True):
            _fill_shares(shares, first_share[which], value, size)
    return shares


def _price_subsets(
    by_size: Sequence[tuple[int, Int64Array]],
    rank: Int64Array,
    claims: BilledClaims,
    change: Int64Array,
    baseline: Baseline,
    *,
    unpaid: bool,
) -> list[Int64Array]:
    """Return the payment change of every subset of each claim's errors [cents].

    For each size, (2 ** size, claims). Subset s contains the errors whose rank within their claim is a bit of s. All
    are grouped and priced at once.
    """
    claim, values = claims.claim, [np.zeros((1 << size, len(which)), np.int64) for size, which in by_size]
    subsets: list[tuple[Int64Array, Int64Array, Int64Array]] = []
    for (size, which), value in zip(by_size, values, strict=True):
        value[-1] = change[which]
        is_included = np.zeros(len(claims), np.bool_)
        is_included[which] = True
        place = np.flatnonzero(is_included[claim])
        for subset in range(1, (1 << size) - 1):
            chosen = place[(subset >> rank[place]) & 1 > 0]
            subsets.append((chosen, find_run_starts(claim[chosen]), which))
    before = np.cumsum([0, *(len(chosen) for chosen, _, _ in subsets)])
    start = [first + at for (_, first, _), at in zip(subsets, before, strict=False)]
    rows = np.concatenate([claims.row[which] for _, _, which in subsets])
    changes = claims.changes.take(np.concatenate([chosen for chosen, _, _ in subsets]))
    bounds = np.concatenate([*start, before[-1:]])
    billed = baseline.rebill(changes, bounds)
    difference = billed.cents - baseline.pricer.cents[rows]
    if not unpaid:
        difference[baseline.find_returned(billed.drg, changes, bounds)] = 0
    at = 0
    for value in values:
        for subset in range(1, len(value) - 1):
            value[subset] = difference[at : at + value.shape[1]]
            at += value.shape[1]
    return values


def _fill_shares(shares: Attribution, first: Int64Array, value: Int64Array, size: int) -> None:
    """Fill the shares of claims with errors of `size` error models.

    The shares of each claim begin at `first`; `value` is what `_price_subsets` returns for this size.
    """
    orders = [factorial(s) * factorial(size - s - 1) for s in range(size)]
    total, given = factorial(size), np.zeros(len(first), np.int64)
    cumulative = np.zeros(len(first), np.int64)
    for error in range(size):
        for subset in range(1 << size):
            if not subset >> error & 1:
                cumulative += orders[subset.bit_count()] * (value[subset | 1 << error] - value[subset])
        # The cumulative sum is rounded, halves up, so that the shares add up to the change to the cent.
        rounded = (2 * cumulative + total) // (2 * total)
        shares.shapley[first + error] = rounded - given
        shares.first_in[first + error] = value[1 << error]
        shares.last_in[first + error] = value[-1] - value[((1 << size) - 1) ^ (1 << error)]
        given = rounded
