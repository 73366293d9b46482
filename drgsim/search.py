"""One grouping pass: pre-MDC, the MDC of the principal diagnosis, and where its rows reroute to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drgsim.attributes import Attributes
from drgsim.encode import Encoded
from drgsim.observe import Observed, view
from drgsim.rulebook import NO_ROW, PRE_MDC
from drgsim.runs import Index, Words, distinct

UNGROUPABLE_MDC = 0
_OK = 0


@dataclass(frozen=True, eq=False)
class Decision:
    """One grouping pass, (n,) each: the deciding formula row (-1: none), reported MDC, severity used.

    `severity_word` is what the pass saw of CCs and MCCs.
    """

    row: Index
    mdc: NDArray[np.uint8]
    severity: NDArray[np.uint8]
    severity_word: Words


def search(
    observed: Observed, encoded: Encoded, rules: Attributes, severity: Words, rows: Index | None = None
) -> Decision:
    """Search pre-MDC and the PDX's MDC, then wherever a row reroutes to (Definitions Manual, pre-MDC).

    Args:
        observed, encoded, rules: the admissions and the version.
        severity: (n,) severity words of the admissions searched.
        rows: the admissions searched, or None for all.
    """
    rulebook = rules.rulebook
    asked = np.arange(len(observed.pdx_class)) if rows is None else rows
    pdx_class, claim = observed.pdx_class[asked], observed.claim[asked]
    decided = np.full(len(asked), NO_ROW)
    level = np.zeros(len(asked), np.uint8)
    reported = rulebook.class_mdc[pdx_class]

    def look(at: Index, mdc: NDArray[np.uint8], seen: Words) -> None:
        decided[at], level[at] = _first_true(rules, pdx_class[at], mdc, claim[at], severity[at], seen)

    triggered = (claim & rulebook.pre_mdc_trigger[pdx_class] > 0) | rulebook.pre_mdc_always[pdx_class]
    first = np.flatnonzero(triggered)
    look(first, np.full(len(first), PRE_MDC, np.uint8), np.zeros(len(first), np.uint64))
    own = np.flatnonzero(decided == NO_ROW)
    look(own, reported[own], view(observed, encoded, rules, reported, rows)[own])
    rerouted = np.flatnonzero(rulebook.reroute_mdc[decided])
    while len(rerouted):
        target = rulebook.reroute_mdc[decided[rerouted]]
        from_pre_mdc = rulebook.mdc[decided[rerouted]] == PRE_MDC
        reported[rerouted[from_pre_mdc]] = target[from_pre_mdc]
        look(rerouted, target, view(observed, encoded, rules, target, asked[rerouted]))
        rerouted = rerouted[rulebook.reroute_mdc[decided[rerouted]] > 0]
    reported[rulebook.return_code[decided] != _OK] = UNGROUPABLE_MDC
    return Decision(decided, reported, level, severity)


def _first_true(
    rules: Attributes, pdx_class: Index, mdc: NDArray[np.uint8], claim: Words, severity: Words, seen: Words
) -> tuple[Index, NDArray[np.uint8]]:
    """Return the deciding row and the severity it used; evaluated once for each distinct signature."""
    lists = rules.rulebook.list_of[pdx_class, mdc]
    claim = claim & rules.rulebook.list_claim.take(lists)
    severity = _decisive(severity, lists, rules)
    chosen, of = distinct((lists.view(np.uint64), claim, severity, seen))
    levels = severity_operands(severity[chosen], rules)
    row = rules.rulebook.decide(lists[chosen], claim[chosen], levels, seen[chosen])
    used = levels >> (2 * rules.rulebook.suppression[row]).astype(np.uint64)
    level = ((used & np.uint64(1)) * np.uint64(2) + ((used >> np.uint64(1)) & np.uint64(1))).astype(np.uint8)
    return row[of], level[of]


def _decisive(severity: Words, lists: Index, rules: Attributes) -> Words:
    """Drop severity bits that cannot matter: what no row suppresses outranks all of its level and below."""
    plain_mcc, plain_cc = (plain.take(lists) for plain in rules.diagnoses.plain)
    with_cc = np.where(severity & plain_cc, (severity & rules.diagnoses.any_mcc) | plain_cc, severity)
    return np.where(severity & plain_mcc, plain_mcc, with_cc)


def severity_operands(severity: Words, rules: Attributes) -> Words:
    """Return MCC and CC (exactly) as each suppression list leaves them: bits 2s and 2s + 1 of list s."""
    mcc, cc = ((severity[:, None] & bits) > 0 for bits in rules.diagnoses.survives.T)
    operands = np.zeros((len(severity), 64), np.bool_)
    operands[:, 0 : 2 * mcc.shape[1] : 2] = mcc
    operands[:, 1 : 2 * cc.shape[1] : 2] = cc & ~mcc
    return np.packbits(operands, axis=1, bitorder="little").view(np.uint64).ravel()
