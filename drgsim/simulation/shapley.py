"""Shapley."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.segments import find_owners, find_run_starts
from drgsim.rebilling.baseline import Baseline
from drgsim.simulation.billed_claims import BilledClaims


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each error contributes to a bill's change of payment, (k,) a row an error of a bill.

    `shapley` [cents] adds up over the errors of a bill to its change; `first_in` is the error's effect alone, `last_in`
    what its absence would change. For a bill with one error all three are the change.
    """

    bill: Int64Array
    error: NDArray[np.uint8]
    shapley: Int64Array
    first_in: Int64Array
    last_in: Int64Array


def attribute_changes(bills: BilledClaims, change: Int64Array, returned: BoolArray, cases: Baseline) -> Attribution:
    """Attribute the change of each bill to its errors: exact Shapley values, by pricing every part of its errors.

    Payment adds over admissions, so only bills with errors of two kinds or more are priced again.

    Args:
        bills: (b,) the bills.
        change: (b,) their change of payment [cents], 0 where returned.
        returned: (b,) bills that cannot be grouped: nobody's share, since they are not paid but returned.
        cases: the admissions.

    Source: Shapley, A value for n-person games (1953).
    """
    bill = bills.bill
    first = find_run_starts(
        bill * 256 + bills.error
    )  # bills lie end to end, in each the errors in the scenario's order
    owner, error = bill[first], bills.error[first]
    value = change[owner]
    shares = Attribution(owner, error, value.copy(), value.copy(), value.copy())
    count = np.bincount(owner, minlength=len(bills))
    begin = np.concatenate([[0], np.cumsum(count)])
    count[returned] = 0
    several = [(size, np.flatnonzero(count == size)) for size in np.unique(count[count > 1]).tolist()]
    if several:
        rank = find_owners(np.append(first, len(bill))) - begin[bill]
        values = _values(several, rank, bills, change, cases)
        for (size, which), value in zip(several, values, strict=True):
            _share_out(shares, begin[which], value, size)
    return shares


def _values(
    several: Sequence[tuple[int, Int64Array]],
    rank: Int64Array,
    bills: BilledClaims,
    change: Int64Array,
    cases: Baseline,
) -> list[Int64Array]:
    """Return what every part of the errors of bills comes to, (2 ** size, bills) [cents] for each size.

    Part p is made of the errors whose rank within their bill is a bit of p. All are grouped and priced at once.
    """
    bill, values = bills.bill, [np.zeros((1 << size, len(which)), np.int64) for size, which in several]
    parts: list[tuple[Int64Array, Int64Array, Int64Array, int]] = []
    for (size, which), value in zip(several, values, strict=True):
        value[-1] = change[which]
        is_mine = np.zeros(len(bills), np.bool_)
        is_mine[which] = True
        own = np.flatnonzero(is_mine[bill])
        for part in range(1, (1 << size) - 1):
            kept = own[(part >> rank[own]) & 1 > 0]
            parts.append((kept, find_run_starts(bill[kept]), which, part))
    before = np.cumsum([0, *(len(kept) for kept, _, _, _ in parts)])
    start = [first + at for (_, first, _, _), at in zip(parts, before, strict=False)]
    rows = np.concatenate([bills.row[which] for _, _, which, _ in parts])
    edits = bills.edits.take(np.concatenate([kept for kept, _, _, _ in parts]))
    billed = cases.rebill(edits, np.concatenate([*start, before[-1:]]))
    more = np.where(cases.find_returned(rows, billed.drg), 0, billed.cents - cases.pricer.cents[rows])
    at = 0
    for value in values:
        for part in range(1, len(value) - 1):
            value[part] = more[at : at + value.shape[1]]
            at += value.shape[1]
    return values


def _share_out(shares: Attribution, first: Int64Array, value: Int64Array, size: int) -> None:
    """Attribute bills with `size` kinds of error, whose shares begin at `first`."""
    orders = [_factorial(s) * _factorial(size - s - 1) for s in range(size)]
    total, given = _factorial(size), np.zeros(len(first), np.int64)
    running = np.zeros(len(first), np.int64)
    for error in range(size):
        for part in range(1 << size):
            if not part >> error & 1:
                running += orders[part.bit_count()] * (value[part | 1 << error] - value[part])
        upto = (2 * running + total) // (2 * total)  # cents, halves up: the parts add up whatever is rounded
        shares.shapley[first + error] = upto - given
        shares.first_in[first + error] = value[1 << error]
        shares.last_in[first + error] = value[-1] - value[((1 << size) - 1) ^ (1 << error)]
        given = upto


def _factorial(n: int) -> int:
    return 1 if n < 2 else n * _factorial(n - 1)
