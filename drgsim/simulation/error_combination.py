"""The errors of all error models put together into claims.

A billed claim is one admission as it is billed in one replicate. Where two errors would change the same code or
field, the error that comes first in the scenario is made and the other is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drgsim.miscoding.error_draws import DrawnErrors
from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.segments import argsort_keys, find_run_starts
from drgsim.rebilling.billed_claims import BilledClaims
from drgsim.rebilling.code_changes import CodeChanges


def combine_errors(found: Sequence[DrawnErrors]) -> tuple[BilledClaims, Int64Array]:
    """Put the errors of several error models together into claims.

    Args:
        found: what each error model drew, in the scenario's order, for the same replicates.

    Returns:
        The claims, and for each error model the number of errors refused in favour of an earlier one.
    """
    changes = CodeChanges.join([CodeChanges.none(), *(one.changes for one in found)])
    replicate = np.concatenate([np.zeros(0, np.int64), *(one.replicate[one.refusal == 0] for one in found)])
    error = np.repeat(np.arange(len(found), dtype=np.uint8), [len(one.changes) for one in found])
    first_replicate = int(replicate.min(initial=0))
    replicates = int(replicate.max(initial=0)) - first_replicate + 1
    key = changes.row * replicates + (replicate - first_replicate)
    order = argsort_keys(key)
    key, changes, error = key[order], changes.take(order), error[order]
    refused = _find_conflicts(key, changes)
    lost = np.bincount(error[refused], minlength=len(found))
    if refused.any():
        key, changes, error = key[~refused], changes.take(~refused), error[~refused]
    first = find_run_starts(key)
    row = changes.row[first]
    claims = BilledClaims(
        key[first] - row * replicates + first_replicate, row, np.append(first, len(key)), changes, error
    )
    return claims, lost


def _find_conflicts(key: Int64Array, changes: CodeChanges) -> BoolArray:
    """Return which changes have the target of an earlier change of the same claim.

    `key` identifies the claim of each change.
    """
    refused = np.zeros(len(key), np.bool_)
    same = key[1:] == key[:-1]
    shared = np.flatnonzero(np.append(same, False) | np.append(False, same))
    if not len(shared):
        return refused
    candidates = changes.take(shared)
    exchange, second = candidates.number_second_targets()
    at = np.concatenate([np.arange(len(shared)), exchange])
    target = np.concatenate([candidates.number_targets(), second]).astype(np.int64)
    claim = key[shared][at]
    order = np.lexsort((at, target, claim))
    repeated = (claim[order][1:] == claim[order][:-1]) & (target[order][1:] == target[order][:-1])
    refused[shared[at[order[1:][repeated]]]] = True
    return refused
