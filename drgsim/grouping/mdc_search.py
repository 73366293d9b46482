"""One grouping pass: the pre-MDC, the MDC of the principal diagnosis, and reroutes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drgsim.grouping.bit_layout import PRE_MDC
from drgsim.grouping.code_attributes import Attributes
from drgsim.grouping.operand_bits import Observed, find_visible_operands
from drgsim.grouping.rulebook import NO_ROW
from drgsim.numerics.arrays import Int64Array, UInt64Array
from drgsim.numerics.segments import find_distinct_rows
from drgsim.tables.encoding import Encoded

UNGROUPABLE_MDC = 0
_OK = 0


@dataclass(frozen=True, eq=False)
class Decision:
    """One grouping pass, (n,) each: deciding formula row, MDC reported, severity used.

    `row` is -1 where no row is true. `severity_bits` are the CCs and MCCs that the pass saw.
    """

    row: Int64Array
    mdc: NDArray[np.uint8]
    severity: NDArray[np.uint8]
    severity_bits: UInt64Array


@dataclass(frozen=True, eq=False)
class MdcSearch:
    """One search: the admissions, by place, the MDC of each, and the row found (-1: none)."""

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
    trail: list[MdcSearch] | None = None,
) -> Decision:
    """Search the pre-MDC and the MDC of the PDX, then follow reroutes.

    Source: MS-DRG Definitions Manual, pre-MDC.

    Args:
        observed, encoded, rules: the admissions and the version.
        severity: (n,) severity bits of the admissions searched.
        rows: the admissions searched, or None for all.
        trail: every search is appended here: pre-MDC, the MDC of the PDX, each reroute.
    """
    rulebook = rules.rulebook
    pdx_class = observed.pdx_class if rows is None else observed.pdx_class[rows]
    claim = observed.claim_bits if rows is None else observed.claim_bits[rows]
    reported = rulebook.class_mdc[pdx_class]
    decided, level = _find_first_true(
        rules, pdx_class, reported, claim, severity, find_visible_operands(observed, encoded, rules, reported, rows)
    )

    def search_in(at: Int64Array, mdc: NDArray[np.uint8], visible: UInt64Array) -> tuple[Int64Array, NDArray[np.uint8]]:
        return _find_first_true(rules, pdx_class[at], mdc, claim[at], severity[at], visible)

    # The pre-MDC has priority: where one of its rows is true, the row found in the PDX's MDC does not count.
    triggered = (claim & rulebook.pre_mdc_trigger.take(pdx_class) > 0) | rulebook.pre_mdc_always.take(pdx_class)
    at = np.flatnonzero(triggered)
    found, used = search_in(at, np.full(len(at), PRE_MDC, np.uint8), np.zeros(len(at), np.uint64))
    wins = found != NO_ROW
    if trail is not None:
        own = np.setdiff1d(np.arange(len(decided)), at[wins])
        trail += [
            MdcSearch(at, np.full(len(at), PRE_MDC, np.uint8), found),
            MdcSearch(own, reported[own], decided[own]),
        ]
    decided[at[wins]], level[at[wins]] = found[wins], used[wins]

    rerouted = np.flatnonzero(rulebook.reroute_mdc[decided])
    while len(rerouted):
        target = rulebook.reroute_mdc[decided[rerouted]]
        from_pre_mdc = rulebook.mdc[decided[rerouted]] == PRE_MDC
        reported[rerouted[from_pre_mdc]] = target[from_pre_mdc]
        visible = find_visible_operands(observed, encoded, rules, target, rerouted if rows is None else rows[rerouted])
        decided[rerouted], level[rerouted] = search_in(rerouted, target, visible)
        if trail is not None:
            trail.append(MdcSearch(rerouted, target, decided[rerouted]))
        rerouted = rerouted[rulebook.reroute_mdc[decided[rerouted]] > 0]
    reported[rulebook.return_code[decided] != _OK] = UNGROUPABLE_MDC
    return Decision(decided, reported, level, severity)


def _find_first_true(
    rules: Attributes,
    pdx_class: Int64Array,
    mdc: NDArray[np.uint8],
    claim: UInt64Array,
    severity: UInt64Array,
    visible: UInt64Array,
) -> tuple[Int64Array, NDArray[np.uint8]]:
    """Return the first true row and its severity; each distinct signature is evaluated once."""
    lists = rules.rulebook.list_of[pdx_class, mdc]
    claim = claim & rules.rulebook.list_claim_bits.take(lists)
    severity = _drop_outranked(severity, lists, rules)
    chosen, of = find_distinct_rows((lists.view(np.uint64), claim, severity, visible))
    levels = pack_severity_operands(severity[chosen], rules)
    row = rules.rulebook.decide(lists[chosen], claim[chosen], levels, visible[chosen])
    used = levels >> (2 * rules.rulebook.suppression[row]).astype(np.uint64)
    level = ((used & np.uint64(1)) * np.uint64(2) + ((used >> np.uint64(1)) & np.uint64(1))).astype(np.uint8)
    return row[of], level[of]


def _drop_outranked(severity: UInt64Array, lists: Int64Array, rules: Attributes) -> UInt64Array:
    """Drop severity bits that cannot matter: one that no row suppresses outranks the others.

    It outranks those of its own level and of the level below.
    """
    sure_mcc, sure_cc = (bits.take(lists) for bits in rules.diagnoses.never_suppressed)
    with_cc = np.where(severity & sure_cc, (severity & rules.diagnoses.mcc_bits) | sure_cc, severity)
    return np.where(severity & sure_mcc, sure_mcc, with_cc)


def pack_severity_operands(severity: UInt64Array, rules: Attributes) -> UInt64Array:
    """Return the operands MCC and CC under each list of suppressing names, (n,) words.

    Bit 2s is MCC and bit 2s + 1 is CC under list s. CC means exactly CC: it is false where MCC is true.
    """
    mcc, cc = ((severity[:, None] & bits) > 0 for bits in rules.diagnoses.unsuppressed.T)
    operands = np.zeros((len(severity), 64), np.bool_)
    operands[:, 0 : 2 * mcc.shape[1] : 2] = mcc
    operands[:, 1 : 2 * cc.shape[1] : 2] = cc & ~mcc
    return np.packbits(operands, axis=1, bitorder="little").view(np.uint64).ravel()
