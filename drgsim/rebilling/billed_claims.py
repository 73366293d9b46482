"""Billed claims: admissions with the code changes that were made, and who made each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.segments import expand_rows, find_owners, find_run_starts
from drgsim.rebilling.baseline import Baseline, Rebilled
from drgsim.rebilling.code_changes import CodeChanges


@dataclass(frozen=True, eq=False)
class BilledClaims:
    """Billed claims with at least one error, (c,), sorted by row and replicate.

    Attributes:
        replicate, row: of each claim, (c,); `row` is that of its admission.
        start: (c + 1,) the changes of claim i are start[i] to start[i + 1].
        changes: (k,) the code changes of all claims, laid end to end.
        error: (k,) the error that makes each change, by its place in the scenario.
    """

    replicate: Int64Array
    row: Int64Array
    start: Int64Array
    changes: CodeChanges
    error: NDArray[np.uint8]

    def __len__(self) -> int:
        """Return the number of claims."""
        return len(self.row)

    @property
    def claim(self) -> Int64Array:
        """The claim of each change, (k,)."""
        return find_owners(self.start)

    def take(self, which: Int64Array) -> BilledClaims:
        """Return some of the claims, in that order."""
        place, nth = expand_rows(self.start, which)
        start = np.append(find_run_starts(nth), len(place))
        return BilledClaims(self.replicate[which], self.row[which], start, self.changes.take(place), self.error[place])


def find_changed(claims: BilledClaims, billed: Rebilled, baseline: Baseline) -> BoolArray:
    """Return which claims have another DRG or payment than as correctly coded, (c,)."""
    changed: BoolArray = (billed.drg != baseline.truth.drg[claims.row]) | (
        billed.cents != baseline.pricer.cents[claims.row]
    )
    return changed
