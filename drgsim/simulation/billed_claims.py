"""Errors of several kinds put together into bills: which edits each admission has in each replicate.

A bill is one admission as it is billed in one replicate. Where two errors would change the same thing, the one that
stands first in the scenario is made and the other refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drgsim.miscoding.error_draws import DrawnErrors
from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.segments import argsort_keys, expand_rows, find_owners, find_run_starts
from drgsim.rebilling.baseline import Baseline, Rebilled
from drgsim.rebilling.code_changes import CodeChanges


@dataclass(frozen=True, eq=False)
class BilledClaims:
    """Bills with at least one error, (b,), by row and replicate; their edits lie end to end.

    Edits of bill i are start[i] to start[i + 1]; `error` (place in the scenario) says whose each is.
    """

    replicate: Int64Array
    row: Int64Array
    start: Int64Array
    edits: CodeChanges
    error: NDArray[np.uint8]

    def __len__(self) -> int:
        """Number of bills."""
        return len(self.row)

    @property
    def bill(self) -> Int64Array:
        """The bill of each edit."""
        return find_owners(self.start)

    def take(self, which: Int64Array) -> BilledClaims:
        """Return some of the bills, in that order."""
        own, nth = expand_rows(self.start, which)
        start = np.append(find_run_starts(nth), len(own))
        return BilledClaims(self.replicate[which], self.row[which], start, self.edits.take(own), self.error[own])


def combine_errors(found: Sequence[DrawnErrors]) -> tuple[BilledClaims, Int64Array]:
    """Put the errors of several operators together.

    Args:
        found: what each operator drew, in the scenario's order, of the same replicates.

    Returns:
        The bills, and how many errors of each operator gave way to an earlier one.
    """
    edits = CodeChanges.join([CodeChanges.none(), *(one.changes for one in found)])
    replicate = np.concatenate([np.zeros(0, np.int64), *(one.replicate[one.refusal == 0] for one in found)])
    error = np.repeat(np.arange(len(found), dtype=np.uint8), [len(one.changes) for one in found])
    begin = int(replicate.min(initial=0))
    several = int(replicate.max(initial=0)) - begin + 1
    key = edits.row * several + (replicate - begin)
    order = argsort_keys(key)
    key, edits, error = key[order], edits.take(order), error[order]
    kept = ~_gives_way(key, edits)
    lost = np.bincount(error[~kept], minlength=len(found))
    if len(key) and not kept.all():
        key, edits, error = key[kept], edits.take(kept), error[kept]
    first = find_run_starts(key)
    row = edits.row[first]
    return BilledClaims(key[first] - row * several + begin, row, np.append(first, len(key)), edits, error), lost


def _gives_way(key: Int64Array, edits: CodeChanges) -> BoolArray:
    """Return which edits would change what an earlier one of their bill changes."""
    lost = np.zeros(len(key), np.bool_)
    same = key[1:] == key[:-1]
    several = np.flatnonzero(np.append(same, False) | np.append(False, same))
    if not len(several):
        return lost
    some = edits.take(several)
    which, second = some.number_second_targets()
    at = np.concatenate([np.arange(len(several)), which])
    target = np.concatenate([some.number_targets(), second]).astype(np.int64)
    bill = key[several][at]
    order = np.lexsort((at, target, bill))
    again = (bill[order][1:] == bill[order][:-1]) & (target[order][1:] == target[order][:-1])
    lost[several[at[order[1:][again]]]] = True
    return lost


def find_changed(bills: BilledClaims, billed: Rebilled, cases: Baseline) -> BoolArray:
    """Return which bills have another DRG or payment than the truth, (b,)."""
    moved: BoolArray = (billed.drg != cases.truth.drg[bills.row]) | (billed.cents != cases.pricer.cents[bills.row])
    return moved
