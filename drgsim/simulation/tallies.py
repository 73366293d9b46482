"""A block of replicates as tables of whole numbers.

These are totals, changed claims, the attribution to errors, and the ledger of errors made.
"""

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
from drgsim.rebilling.billed_claims import BilledClaims, find_changed
from drgsim.rebilling.code_changes import describe_changes
from drgsim.rebilling.shapley import attribute_changes

LEDGER_ORDER = ("replicate", "admission_id", "field", "place", "error")

_CC, _MCC = 1, 2
"""Places in `schema.Severity`."""


@dataclass(frozen=True, eq=False)
class ReplicateBlock:
    """The tables of some replicates, as in `Simulation`.

    `counts` is (errors, refusals), as `count_refusals` returns it.
    """

    totals: pl.DataFrame
    changed_claims: pl.DataFrame
    attribution: pl.DataFrame
    ledger: pl.DataFrame | None
    counts: Int64Array


def tally_block(
    replicates: range, claims: BilledClaims, counts: Int64Array, baseline: Baseline, ledger: pl.DataFrame | None
) -> ReplicateBlock:
    """Group and price the claims of some replicates, and return their tables."""
    billed = baseline.rebill(claims.changes, claims.start)
    change = billed.cents - baseline.pricer.cents[claims.row]
    returned = baseline.find_returned(billed.drg, claims.changes, claims.start)
    change[returned] = 0
    return ReplicateBlock(
        totals=_total_replicates(replicates, claims, billed, change, returned, baseline),
        changed_claims=_list_changed_claims(claims, billed, change, returned, baseline),
        attribution=_list_attribution(claims, change, returned, baseline),
        ledger=ledger,
        counts=counts,
    )


def count_refusals(found: Sequence[DrawnErrors], lost: Int64Array) -> Int64Array:
    """Return how many errors of each error model had each refusal, (errors, refusals).

    Refusal 0 means that the error was made.

    Args:
        found: what each error model drew.
        lost: number of its errors refused in favour of an earlier one, counted as the last refusal.
    """
    counts = np.zeros((len(found), len(REFUSALS)), np.int64)
    for error, one in enumerate(found):
        counts[error] = np.bincount(one.refusal, minlength=len(REFUSALS))
        counts[error, 0] -= lost[error]
        counts[error, -1] += lost[error]
    return counts


def list_errors(claims: BilledClaims, baseline: Baseline, scenario: Scenario) -> pl.DataFrame:
    """Return the ledger of the claims: one row per error made, in no particular order."""
    owner = claims.claim
    labels = pl.Series([error.label for error in scenario.errors], dtype=pl.String)
    return pl.DataFrame(
        {
            "replicate": claims.replicate[owner].astype(np.int32),
            "admission_id": baseline.ids[claims.changes.row],
            "error": labels.gather(claims.error) if len(labels) else labels,
            "place": claims.changes.place,
        }
    ).hstack(describe_changes(claims.changes, baseline.tables))


# ---------------------------------------------------------------------------------------------------------


def _list_changed_claims(
    claims: BilledClaims, billed: Rebilled, change: Int64Array, returned: BoolArray, baseline: Baseline
) -> pl.DataFrame:
    """Return the claims with another DRG or payment, by replicate and row."""
    changed = np.flatnonzero(find_changed(claims, billed, baseline) | returned)
    which = changed[argsort_keys(claims.replicate[changed])]
    return pl.DataFrame(
        {
            "replicate": claims.replicate[which].astype(np.int32),
            "row": claims.row[which].astype(np.uint32),
            "drg": billed.drg[which],
            "mdc": billed.mdc[which],
            "severity": billed.severity[which],
            "cents": change[which],
            "returned": returned[which],
        }
    )


def _list_attribution(
    claims: BilledClaims, change: Int64Array, returned: BoolArray, baseline: Baseline
) -> pl.DataFrame:
    """Return what each error contributed to each claim, without rows that are 0 throughout."""
    # A claim with one change and no payment change has nothing to attribute.
    some = np.flatnonzero((change != 0) | (np.diff(claims.start) > 1))
    claims = claims.take(some)
    shares = attribute_changes(claims, change[some], returned[some], baseline)
    table = pl.DataFrame(
        {
            "replicate": claims.replicate[shares.claim].astype(np.int32),
            "row": claims.row[shares.claim].astype(np.uint32),
            "error_number": shares.error,
            "cents": shares.shapley,
            "first_in": shares.first_in,
            "last_in": shares.last_in,
        }
    )
    table = table.filter((pl.col("cents") != 0) | (pl.col("first_in") != 0) | (pl.col("last_in") != 0))
    return table.sort("replicate", maintain_order=True)


def _total_replicates(
    replicates: range,
    claims: BilledClaims,
    billed: Rebilled,
    change: Int64Array,
    returned: BoolArray,
    baseline: Baseline,
) -> pl.DataFrame:
    """Return the totals of each replicate in whole numbers, money in cents.

    With an editor, what is returned for edits alone is also counted by itself.
    """
    r, place = len(replicates), claims.replicate - replicates.start
    truth, row = baseline.truth, claims.row
    differs = (billed.drg != truth.drg[row]) | (billed.severity != truth.severity[row]) | (change != 0) | returned
    some = np.flatnonzero(differs)  # all others add 0 to the sums below
    at, row, change, returned = place[some], row[some], change[some], returned[some]
    drg, severity, true_severity = billed.drg[some], billed.severity[some], truth.severity[row]

    def total(values: NDArray[np.generic]) -> Int64Array:
        np.add.at(sums := np.zeros(r, np.int64), at, values.astype(np.int64))
        return sums

    def total_severity(level: int) -> Int64Array:
        return total(np.where(returned, 0, (severity == level).astype(np.int64) - (true_severity == level)))

    drg_changes = (drg != truth.drg[row]) & ~returned
    weight = baseline.pricer.find_weights4(row, drg) - baseline.pricer.weight4[row]
    totals = pl.DataFrame(
        {
            "replicate": np.array(replicates, np.int32),
            "errors": np.bincount(place, np.diff(claims.start), r).astype(np.int64),
            "code_changes": np.bincount(place, minlength=r),
            "drg_changes": total(drg_changes),
            "drg_changes_up": total(drg_changes & (change > 0)),
            "drg_changes_down": total(drg_changes & (change < 0)),
            "payment_changes": total(change != 0),
            "net": total(change),
            "overpaid": total(np.maximum(change, 0)),
            "underpaid": total(np.maximum(-change, 0)),
            "weight4": total(np.where(returned, 0, weight)),
            "mcc": total_severity(_MCC),
            "cc": total_severity(_CC),
            "returned": total(returned),
            "returned_cents": total(np.where(returned, baseline.pricer.cents[row], 0)),
        }
    )
    if baseline.editor is None:
        return totals
    for_edits = returned & ~baseline.find_ungroupable(drg, row)
    money = total(np.where(for_edits, baseline.pricer.cents[row], 0))
    return totals.with_columns(
        returned_for_edits=pl.Series(total(for_edits)), returned_for_edits_cents=pl.Series(money)
    )
