"""One grouping pass: pre-MDC, the MDC of the principal diagnosis, and where its rows reroute to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drgsim.grouping.code_attributes import Attributes
from drgsim.grouping.encoding import Encoded
from drgsim.grouping.operand_bits import Observed, visible_operands
from drgsim.grouping.rulebook import NO_ROW, PRE_MDC
from drgsim.numerics.arrays import Int64Array, UInt64Array
from drgsim.numerics.segments import find_distinct_rows

UNGROUPABLE_MDC = 0
_OK = 0


@dataclass(frozen=True, eq=False)
class Decision:
    """One grouping pass, (n,) each: the deciding formula row (-1: none), reported MDC, severity used.

    `severity_word` is what the pass saw of CCs and MCCs.
    """

    row: Int64Array
    mdc: NDArray[np.uint8]
    severity: NDArray[np.uint8]
    severity_word: UInt64Array


@dataclass(frozen=True, eq=False)
class Step:
    """One MDC searched: for which admissions (places among those searched), where, and the row found (-1: none)."""

    admission: Int64Array
    mdc: NDArray[np.uint8]
    row: Int64Array


def search_mdcs(
    observed: Observed,
    encoded: Encoded,
    rules: Attributes,
    severity: UInt64Array,
    rows: Int64Array | None = None,
    *,
    trail: list[Step] | None = None,
) -> Decision:
    """Search pre-MDC and the PDX's MDC, then wherever a row reroutes to (Definitions Manual, pre-MDC).

    Args:
        observed, encoded, rules: the admissions and the version.
        severity: (n,) severity words of the admissions searched.
        rows: the admissions searched, or None for all.
        trail: where to note every step: pre-MDC, the MDC of the PDX, each reroute.
    """
    rulebook = rules.rulebook
    pdx_class = observed.pdx_class if rows is None else observed.pdx_class[rows]
    claim = observed.claim if rows is None else observed.claim[rows]
    reported = rulebook.class_mdc[pdx_class]
    decided, level = _first_true(
        rules, pdx_class, reported, claim, severity, visible_operands(observed, encoded, rules, reported, rows)
    )

    def search_in(at: Int64Array, mdc: NDArray[np.uint8], seen: UInt64Array) -> tuple[Int64Array, NDArray[np.uint8]]:
        return _first_true(rules, pdx_class[at], mdc, claim[at], severity[at], seen)

    # The pre-MDC goes first: where one of its rows is true, what the PDX's MDC found does not count.
    triggered = (claim & rulebook.pre_mdc_trigger.take(pdx_class) > 0) | rulebook.pre_mdc_always.take(pdx_class)
    at = np.flatnonzero(triggered)
    found, used = search_in(at, np.full(len(at), PRE_MDC, np.uint8), np.zeros(len(at), np.uint64))
    wins = found != NO_ROW
    if trail is not None:
        own = np.setdiff1d(np.arange(len(decided)), at[wins])
        trail += [Step(at, np.full(len(at), PRE_MDC, np.uint8), found), Step(own, reported[own], decided[own])]
    decided[at[wins]], level[at[wins]] = found[wins], used[wins]

    rerouted = np.flatnonzero(rulebook.reroute_mdc[decided])
    while len(rerouted):
        target = rulebook.reroute_mdc[decided[rerouted]]
        from_pre_mdc = rulebook.mdc[decided[rerouted]] == PRE_MDC
        reported[rerouted[from_pre_mdc]] = target[from_pre_mdc]
        seen = visible_operands(observed, encoded, rules, target, rerouted if rows is None else rows[rerouted])
        decided[rerouted], level[rerouted] = search_in(rerouted, target, seen)
        if trail is not None:
            trail.append(Step(rerouted, target, decided[rerouted]))
        rerouted = rerouted[rulebook.reroute_mdc[decided[rerouted]] > 0]
    reported[rulebook.return_code[decided] != _OK] = UNGROUPABLE_MDC
    return Decision(decided, reported, level, severity)


def _first_true(
    rules: Attributes,
    pdx_class: Int64Array,
    mdc: NDArray[np.uint8],
    claim: UInt64Array,
    severity: UInt64Array,
    seen: UInt64Array,
) -> tuple[Int64Array, NDArray[np.uint8]]:
    """Return the deciding row and the severity it used; evaluated once for each distinct signature."""
    lists = rules.rulebook.list_of[pdx_class, mdc]
    claim = claim & rules.rulebook.list_claim.take(lists)
    severity = _decisive(severity, lists, rules)
    chosen, of = find_distinct_rows((lists.view(np.uint64), claim, severity, seen))
    levels = pack_severity_operands(severity[chosen], rules)
    row = rules.rulebook.decide(lists[chosen], claim[chosen], levels, seen[chosen])
    used = levels >> (2 * rules.rulebook.suppression[row]).astype(np.uint64)
    level = ((used & np.uint64(1)) * np.uint64(2) + ((used >> np.uint64(1)) & np.uint64(1))).astype(np.uint8)
    return row[of], level[of]


def _decisive(severity: UInt64Array, lists: Int64Array, rules: Attributes) -> UInt64Array:
    """Drop severity bits that cannot matter: what no row suppresses outranks all of its level and below."""
    plain_mcc, plain_cc = (plain.take(lists) for plain in rules.diagnoses.plain)
    with_cc = np.where(severity & plain_cc, (severity & rules.diagnoses.any_mcc) | plain_cc, severity)
    return np.where(severity & plain_mcc, plain_mcc, with_cc)


def pack_severity_operands(severity: UInt64Array, rules: Attributes) -> UInt64Array:
    """Return MCC and CC (exactly) as each suppression list leaves them: bits 2s and 2s + 1 of list s."""
    mcc, cc = ((severity[:, None] & bits) > 0 for bits in rules.diagnoses.survives.T)
    operands = np.zeros((len(severity), 64), np.bool_)
    operands[:, 0 : 2 * mcc.shape[1] : 2] = mcc
    operands[:, 1 : 2 * cc.shape[1] : 2] = cc & ~mcc
    return np.packbits(operands, axis=1, bitorder="little").view(np.uint64).ravel()
