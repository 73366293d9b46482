"""Errors of several kinds put together into bills: which edits each admission has in each replicate.

A bill is one admission as it is billed in one replicate. Where two errors would change the same thing, the one that
stands first in the scenario is made and the other refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drgsim.cases import Billed, Cases
from drgsim.draws import Ints
from drgsim.edits import Edits
from drgsim.exact import Bools
from drgsim.miscoding import Drawn
from drgsim.runs import ascending, firsts, owners, ranges


@dataclass(frozen=True, eq=False)
class Bills:
    """Bills with at least one error, (b,), by row and replicate; their edits lie end to end.

    Edits of bill i are start[i] to start[i + 1]; `error` (place in the scenario) says whose each is.
    """

    replicate: Ints
    row: Ints
    start: Ints
    edits: Edits
    error: NDArray[np.uint8]

    def __len__(self) -> int:
        """Number of bills."""
        return len(self.row)

    @property
    def bill(self) -> Ints:
        """The bill of each edit."""
        return owners(self.start)

    def take(self, which: Ints) -> Bills:
        """Return some of the bills, in that order."""
        own, nth = ranges(self.start, which)
        start = np.append(firsts(nth), len(own))
        return Bills(self.replicate[which], self.row[which], start, self.edits.take(own), self.error[own])


def billed_together(found: Sequence[Drawn]) -> tuple[Bills, Ints]:
    """Put the errors of several operators together.

    Args:
        found: what each operator drew, in the scenario's order, of the same replicates.

    Returns:
        The bills, and how many errors of each operator gave way to an earlier one.
    """
    edits = Edits.joined([Edits.none(), *(one.edits for one in found)])
    replicate = np.concatenate([np.zeros(0, np.int64), *(one.replicate[one.refusal == 0] for one in found)])
    error = np.repeat(np.arange(len(found), dtype=np.uint8), [len(one.edits) for one in found])
    begin = int(replicate.min(initial=0))
    several = int(replicate.max(initial=0)) - begin + 1
    key = edits.row * several + (replicate - begin)
    order = ascending(key)
    key, edits, error = key[order], edits.take(order), error[order]
    kept = ~_gives_way(key, edits)
    lost = np.bincount(error[~kept], minlength=len(found))
    if len(key) and not kept.all():
        key, edits, error = key[kept], edits.take(kept), error[kept]
    first = firsts(key)
    row = edits.row[first]
    return Bills(key[first] - row * several + begin, row, np.append(first, len(key)), edits, error), lost


def _gives_way(key: Ints, edits: Edits) -> Bools:
    """Return which edits would change what an earlier one of their bill changes."""
    lost = np.zeros(len(key), np.bool_)
    same = key[1:] == key[:-1]
    several = np.flatnonzero(np.append(same, False) | np.append(False, same))
    if not len(several):
        return lost
    some = edits.take(several)
    which, second = some.second_target()
    at = np.concatenate([np.arange(len(several)), which])
    target = np.concatenate([some.target(), second]).astype(np.int64)
    bill = key[several][at]
    order = np.lexsort((at, target, bill))
    again = (bill[order][1:] == bill[order][:-1]) & (target[order][1:] == target[order][:-1])
    lost[several[at[order[1:][again]]]] = True
    return lost


@dataclass(frozen=True, eq=False)
class Shares:
    """What each error contributes to a bill's change of payment, (k,) a row an error of a bill.

    `shapley` [cents] adds up over the errors of a bill to its change; `solo` is the error's effect alone, `last`
    what its absence would change. For a bill with one error all three are the change.
    """

    bill: Ints
    error: NDArray[np.uint8]
    shapley: Ints
    solo: Ints
    last: Ints


def shared_out(bills: Bills, change: Ints, returned: Bools, cases: Cases) -> Shares:
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
    first = firsts(bill * 256 + bills.error)  # bills lie end to end, in each the errors in the scenario's order
    owner, error = bill[first], bills.error[first]
    value = change[owner]
    shares = Shares(owner, error, value.copy(), value.copy(), value.copy())
    count = np.bincount(owner, minlength=len(bills))
    begin = np.concatenate([[0], np.cumsum(count)])
    count[returned] = 0
    several = [(size, np.flatnonzero(count == size)) for size in np.unique(count[count > 1]).tolist()]
    if several:
        rank = owners(np.append(first, len(bill))) - begin[bill]
        values = _values(several, rank, bills, change, cases)
        for (size, which), value in zip(several, values, strict=True):
            _share_out(shares, begin[which], value, size)
    return shares


def _values(several: Sequence[tuple[int, Ints]], rank: Ints, bills: Bills, change: Ints, cases: Cases) -> list[Ints]:
    """Return what every part of the errors of bills comes to, (2 ** size, bills) [cents] for each size.

    Part p is made of the errors whose rank within their bill is a bit of p. All are grouped and priced at once.
    """
    bill, values = bills.bill, [np.zeros((1 << size, len(which)), np.int64) for size, which in several]
    parts: list[tuple[Ints, Ints, Ints, int]] = []
    for (size, which), value in zip(several, values, strict=True):
        value[-1] = change[which]
        is_mine = np.zeros(len(bills), np.bool_)
        is_mine[which] = True
        own = np.flatnonzero(is_mine[bill])
        for part in range(1, (1 << size) - 1):
            kept = own[(part >> rank[own]) & 1 > 0]
            parts.append((kept, firsts(bill[kept]), which, part))
    before = np.cumsum([0, *(len(kept) for kept, _, _, _ in parts)])
    start = [first + at for (_, first, _, _), at in zip(parts, before, strict=False)]
    rows = np.concatenate([bills.row[which] for _, _, which, _ in parts])
    edits = bills.edits.take(np.concatenate([kept for kept, _, _, _ in parts]))
    billed = cases.billed(edits, np.concatenate([*start, before[-1:]]))
    more = np.where(cases.returns(rows, billed.drg), 0, billed.cents - cases.pricer.cents[rows])
    at = 0
    for value in values:
        for part in range(1, len(value) - 1):
            value[part] = more[at : at + value.shape[1]]
            at += value.shape[1]
    return values


def _share_out(shares: Shares, first: Ints, value: Ints, size: int) -> None:
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
        shares.solo[first + error] = value[1 << error]
        shares.last[first + error] = value[-1] - value[((1 << size) - 1) ^ (1 << error)]
        given = upto


def _factorial(n: int) -> int:
    return 1 if n < 2 else n * _factorial(n - 1)


def changed(bills: Bills, billed: Billed, cases: Cases) -> Bools:
    """Return which bills have another DRG or payment than the truth, (b,)."""
    moved: Bools = (billed.drg != cases.truth.drg[bills.row]) | (billed.cents != cases.pricer.cents[bills.row])
    return moved
