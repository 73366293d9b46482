"""Tallies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.miscoding.error_draws import DrawnErrors
from drgsim.miscoding.scenarios import Scenario
from drgsim.miscoding.scrubber import REFUSALS
from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.segments import argsort_keys
from drgsim.rebilling.baseline import Baseline, Rebilled
from drgsim.rebilling.code_changes import describe_changes
from drgsim.simulation.billed_claims import BilledClaims
from drgsim.simulation.shapley import attribute_changes

_LEDGER_ORDER = ("replicate", "admission_id", "field", "place", "error")


@dataclass(frozen=True, eq=False)
class _Block:
    """What some replicates came to: see `results.Simulation`; `counts` are errors by operator and refusal."""

    totals: pl.DataFrame
    changed_claims: pl.DataFrame
    attribution: pl.DataFrame
    ledger: pl.DataFrame | None
    counts: Int64Array


# ---------------------------------------------------------------------------------------------------------


def _counted(found: Sequence[DrawnErrors], lost: Int64Array, errors: int) -> Int64Array:
    """Return how often each error had each refusal (0: was made), those that gave way included."""
    counts = np.zeros((errors, len(REFUSALS)), np.int64)
    for error, one in enumerate(found):
        counts[error] = np.bincount(one.refusal, minlength=len(REFUSALS))
        counts[error, 0] -= lost[error]
        counts[error, -1] += lost[error]
    return counts


def _by_replicate(bills: BilledClaims, which: Int64Array) -> Int64Array:
    """Return some bills ordered by replicate and row."""
    return which[argsort_keys(bills.replicate[which])]


def _bill_frame(
    bills: BilledClaims, billed: Rebilled, change: Int64Array, returned: BoolArray, moved: Int64Array
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "replicate": bills.replicate[moved].astype(np.int32),
            "row": bills.row[moved].astype(np.uint32),
            "drg": billed.drg[moved],
            "mdc": billed.mdc[moved],
            "severity": billed.severity[moved],
            "cents": change[moved],
            "returned": returned[moved],
        }
    )


def _share_frame(bills: BilledClaims, change: Int64Array, returned: BoolArray, cases: Baseline) -> pl.DataFrame:
    """Return what each error contributed to each bill; rows that say nothing are left out."""
    some = np.flatnonzero((change != 0) | (np.diff(bills.start) > 1))  # the others have nothing to share
    bills = bills.take(some)
    shares = attribute_changes(bills, change[some], returned[some], cases)
    whole = pl.DataFrame(
        {
            "replicate": bills.replicate[shares.bill].astype(np.int32),
            "row": bills.row[shares.bill].astype(np.uint32),
            "error_number": shares.error,
            "cents": shares.shapley,
            "first_in": shares.first_in,
            "last_in": shares.last_in,
        }
    )
    says = whole.filter((pl.col("cents") != 0) | (pl.col("first_in") != 0) | (pl.col("last_in") != 0))
    return says.sort("replicate", maintain_order=True)


def _totals(
    replicates: range, bills: BilledClaims, billed: Rebilled, change: Int64Array, returned: BoolArray, cases: Baseline
) -> pl.DataFrame:
    """Return the totals of each replicate, in whole numbers."""
    r, place = len(replicates), bills.replicate - replicates.start
    truth, row = cases.truth, bills.row
    told = (billed.drg != truth.drg[row]) | (billed.severity != truth.severity[row]) | (change != 0)
    some = np.flatnonzero(told)  # what all others add is nothing
    at, row, change, returned = place[some], row[some], change[some], returned[some]
    drg, now, was = billed.drg[some], billed.severity[some], truth.severity[row]

    def summed(values: NDArray[np.generic]) -> Int64Array:
        whole = np.zeros(r, np.int64)
        np.add.at(whole, at, values.astype(np.int64))
        return whole

    other_drg = (drg != truth.drg[row]) & ~returned
    weight = cases.pricer.find_weights4(row, drg) - cases.pricer.weight4[row]
    mcc, cc = (2, 1)
    return pl.DataFrame(
        {
            "replicate": np.array(replicates, np.int32),
            "errors": np.bincount(place, np.diff(bills.start), r).astype(np.int64),
            "code_changes": np.bincount(place, minlength=r),
            "drg_changes": summed(other_drg),
            "drg_changes_up": summed(other_drg & (change > 0)),
            "drg_changes_down": summed(other_drg & (change < 0)),
            "payment_changes": summed(change != 0),
            "net": summed(change),
            "overpaid": summed(np.maximum(change, 0)),
            "underpaid": summed(np.maximum(-change, 0)),
            "weight4": summed(np.where(returned, 0, weight)),
            "mcc": summed(np.where(returned, 0, (now == mcc).astype(np.int64) - (was == mcc))),
            "cc": summed(np.where(returned, 0, (now == cc).astype(np.int64) - (was == cc))),
            "returned": summed(returned),
            "returned_cents": summed(np.where(returned, cases.pricer.cents[row], 0)),
        }
    )


def _ledger(bills: BilledClaims, cases: Baseline, scenario: Scenario) -> pl.DataFrame:
    owner = bills.bill
    names = pl.Series([error.label for error in scenario.errors], dtype=pl.String)
    return pl.DataFrame(
        {
            "replicate": bills.replicate[owner].astype(np.int32),
            "admission_id": cases.ids[bills.edits.row],
            "error": names.gather(bills.error) if len(names) else pl.Series([], dtype=pl.String),
            "place": bills.edits.place,
        }
    ).hstack(describe_changes(bills.edits, cases.tables))
