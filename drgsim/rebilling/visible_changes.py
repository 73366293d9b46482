"""How much of a code change the formulas can read: nothing, the severity alone, or more.

Most coding errors change no DRG. For many of them this is certain before anything is grouped: no formula that is
searched for the claim reads the procedure; or the secondary diagnosis has no operands, and another one has the same
severity. Other errors change only the severity with which the search starts. This module reports only what is
certain. All other changes are grouped from the codes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from drgsim.grouping.bit_layout import PRE_MDC
from drgsim.grouping.code_attributes import Attributes, Diagnoses
from drgsim.grouping.hac import compile_hac_rules
from drgsim.numerics.arrays import BoolArray, Int64Array, UInt64Array
from drgsim.numerics.segments import or_into
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges
from drgsim.tables.encoding import HOSPITAL_STATUS, POA_PRESENT, Encoded

_ENOUGH = 255
READ = 255
"""Marks a diagnosis with an operand that a formula reads, see `Visibility.severity_place`."""
_BIT = np.array([0, *(1 << place for place in range(64)), *[0] * 191], np.uint64)

INVISIBLE, NO_EFFECT_ALONE, SEVERITY_ONLY, VISIBLE = range(4)
"""How visible a change is.

INVISIBLE: it changes nothing, whatever else is removed from the claim. NO_EFFECT_ALONE: it changes nothing if it is
the only change. SEVERITY_ONLY: it changes only the severity. VISIBLE: it may change anything.
"""


@dataclass(frozen=True, eq=False)
class Visibility:
    """What decides how visible a code change is.

    There are (n,) admissions with (k,) secondary diagnoses.

    Attributes:
        stable: (n,) whether no rule reads single codes: the admission is grouped without error, has no condition that
            may be hospital-acquired, and its principal diagnosis is not an `incident_pdx`.
        incident_pdx: (n,) whether the principal diagnosis is an incident one: the formulas then ask whether every
            secondary diagnosis is incident, too (Definitions Manual, MDC 15).
        count_matters: (n,) whether the return code depends on the number of secondary diagnoses.
        mdc: (n,) MDC of the principal diagnosis.
        read_operands: (n,) operands that some formula searched for the admission reads, as bits.
        severity: (n,) severity bits of the initial pass.
        lasting_mccs: (n,) number of MCCs that no rule suppresses, at most 255.
        severity_place: (k,) 1 plus the place of the severity bit; 0 without severity; READ where a formula that is
            searched for the admission reads an operand of the diagnosis.
        has_twin: (k,) whether another diagnosis of the admission has the same severity bit.
    """

    stable: BoolArray
    incident_pdx: BoolArray
    count_matters: BoolArray
    mdc: NDArray[np.uint8]
    read_operands: UInt64Array
    severity: UInt64Array
    lasting_mccs: NDArray[np.uint8]
    severity_place: NDArray[np.uint8]
    has_twin: BoolArray
    _encoded: Encoded = field(repr=False)
    _rules: Attributes = field(repr=False)

    @classmethod
    def of(cls, encoded: Encoded, grouped: BoolArray, rules: Attributes) -> Visibility:
        """Prepare admissions.

        Args:
            encoded: (n,) the admissions as correctly coded.
            grouped: (n,) whether each is grouped without error.
            rules: the grouper version.
        """
        diagnoses = rules.diagnoses
        severe = np.flatnonzero(diagnoses.kind[encoded.sdx] >= diagnoses.first_severe)
        row = encoded.sdx_row[severe].astype(np.int64)
        bits = _compute_severity_bits(encoded, rules, row, encoded.sdx[severe])
        severity = np.zeros(len(encoded), np.uint64)
        or_into(severity, row, bits)
        lasting_mccs = np.bincount(row[bits & diagnoses.unsuppressible_mcc > 0], minlength=len(encoded))
        pdx_class = diagnoses.role_class[diagnoses.role[encoded.pdx], encoded.sex]
        read_operands = _collect_read_operands(rules)[pdx_class]
        acquired, incident_pdx = _find_possible_hacs(encoded, rules), rules.rulebook.class_incident[pdx_class]
        return cls(
            stable=grouped & ~incident_pdx & ~acquired,
            incident_pdx=incident_pdx,
            count_matters=acquired & (encoded.hospital_status == HOSPITAL_STATUS["UNKNOWN"]),
            mdc=rules.rulebook.class_mdc[pdx_class],
            read_operands=read_operands,
            severity=severity,
            lasting_mccs=np.minimum(lasting_mccs, _ENOUGH).astype(np.uint8),
            severity_place=_compute_severity_places(encoded, read_operands, severe, bits, diagnoses),
            has_twin=_find_twins(len(encoded.sdx), severe, row, bits),
            _encoded=encoded,
            _rules=rules,
        )

    def classify(self, changes: CodeChanges) -> tuple[NDArray[np.uint8], UInt64Array]:
        """Return how visible each change alone is, and the severity after it, (k,) each.

        The severity bits hold where the change is not VISIBLE.
        """
        level, severity = np.full(len(changes), VISIBLE, np.uint8), self.severity[changes.row]
        of_sdx = (changes.kind == ChangeKind.SDX) | (changes.kind == ChangeKind.ADD_SDX)
        of_procedure = (changes.kind == ChangeKind.PROCEDURE) | (changes.kind == ChangeKind.ADD_PROCEDURE)
        stable = self.stable[changes.row]
        counts = self.count_matters[changes.row] & ((changes.kind == ChangeKind.ADD_SDX) | (changes.after == 0))
        for of_kind, is_hidden in (
            (of_procedure, self._is_unread_procedure),
            (of_sdx & ~stable & ~counts, self._is_without_operands),
        ):
            which = np.flatnonzero(of_kind)
            some = changes.take(which)
            hidden = is_hidden(some.row, some.before) & is_hidden(some.row, some.after)
            level[which[hidden]] = INVISIBLE
        self._classify_sdx(changes, np.flatnonzero(of_sdx & stable), level, severity)
        level[(changes.kind == ChangeKind.ADD_SDX) & (changes.place != 0)] = VISIBLE  # added, not present on admission
        return level, severity

    def _classify_sdx(
        self, changes: CodeChanges, which: Int64Array, level: NDArray[np.uint8], severity: UInt64Array
    ) -> None:
        """Classify changes of SDX of stable admissions by the severity lost and gained."""
        row, after = changes.row[which], changes.after[which]
        own = np.flatnonzero(changes.kind[which] == ChangeKind.SDX)
        position, place = np.zeros(len(which), np.int64), np.zeros(len(which), np.uint8)
        position[own] = self._encoded.sdx_start[row[own]] + changes.place[which[own]]
        place[own] = self.severity_place[position[own]]
        unread, gained = self._read_sdx(row, after)
        unread &= place != READ
        if self._encoded.poa is not None:  # a code that replaces another keeps its POA indicator
            replaced = own[after[own] > 0]
            acquired = self._rules.diagnoses.kind_hac[self._rules.diagnoses.kind[after[replaced]]]
            unread[replaced] &= ~acquired | (self._encoded.poa[position[replaced]] == POA_PRESENT)
        kept = np.flatnonzero(unread)
        which, row, position, gained = which[kept], row[kept], position[kept], gained[kept]
        lost = _BIT[place[kept]]
        hidden = (lost | gained) == 0
        others = self.lasting_mccs[row] - (lost & self._rules.diagnoses.unsuppressible_mcc > 0) > 0
        gone = np.flatnonzero(lost)
        lost[gone[self.has_twin[position[gone]]]] = 0
        left = (severity[which] & ~lost) | gained
        level[which] = np.where(
            hidden, INVISIBLE, np.where((left == severity[which]) | others, NO_EFFECT_ALONE, SEVERITY_ONLY)
        )
        severity[which] = left

    def _read_sdx(self, row: Int64Array, codes: NDArray[np.int32]) -> tuple[BoolArray, UInt64Array]:
        """Return which diagnoses are unread, and their severity bits, (k,) each.

        Code 0 (no code) is unread and has no severity.
        """
        unread, bits = np.ones(len(row), np.bool_), np.zeros(len(row), np.uint64)
        some = np.flatnonzero(codes)
        row, codes = row[some], codes[some]
        unread[some] = self._is_unread(row, codes)
        bits[some] = _compute_severity_bits(self._encoded, self._rules, row, codes)
        return unread, bits

    def _is_unread(self, row: Int64Array, codes: NDArray[np.int32]) -> BoolArray:
        """Return which diagnoses have no operand that a searched formula reads, (k,)."""
        diagnoses = self._rules.diagnoses
        unread: BoolArray = (diagnoses.kind_claim_bits[diagnoses.kind[codes]] & self.read_operands[row]) == 0
        return unread

    def _is_without_operands(self, row: Int64Array, codes: NDArray[np.int32]) -> BoolArray:
        """Return which diagnoses have no operand and do not affect an incident PDX, (k,)."""
        diagnoses = self._rules.diagnoses
        spoils = self.incident_pdx[row] & diagnoses.valid[codes] & ~diagnoses.incident[codes]
        found: BoolArray = (diagnoses.kind[codes] == 0) & ~spoils
        return found

    def _is_unread_procedure(self, row: Int64Array, codes: NDArray[np.int32]) -> BoolArray:
        """Return which procedures no searched formula reads, alone or in a cluster, (k,)."""
        procedures = self._rules.procedures
        sets = procedures.operand_set[codes]
        shows = (procedures.claim_bits[sets] & self.read_operands[row]) | procedures.take_mdc_bits(self.mdc[row], sets)
        of_conditions, elsewhere = _find_other_readers(self._rules)
        unread: BoolArray = (shows == 0) & ~elsewhere[codes] & (self.stable[row] | ~of_conditions[codes])
        return unread


@lru_cache(maxsize=16)
def _find_other_readers(rules: Attributes) -> tuple[BoolArray, BoolArray]:
    """Return which procedures formulas read outside pre-MDC and the MDC of the PDX.

    The first array: by formulas of hospital-acquired conditions. The second: by MDCs to which the grouper reroutes,
    or as part of a procedure cluster.
    """
    procedures, book = rules.procedures, rules.rulebook
    of_conditions = compile_hac_rules(rules).procedure_word > 0
    rerouted = procedures.mdc_bits[np.unique(book.reroute_mdc[book.reroute_mdc > 0])]
    elsewhere = np.bitwise_or.reduce(rerouted, axis=0) > 0
    sets = procedures.operand_set
    return of_conditions[sets], elsewhere[sets] | (procedures.combines > 0)


def _find_possible_hacs(encoded: Encoded, rules: Attributes) -> BoolArray:
    """Return which admissions have a HAC code that was not present on admission, (n,)."""
    acquired = rules.diagnoses.kind_hac[rules.diagnoses.kind[encoded.sdx]]
    if encoded.poa is not None:
        acquired &= encoded.poa != POA_PRESENT
    found: BoolArray = np.zeros(len(encoded), np.bool_)
    found[encoded.sdx_row[acquired]] = True
    found &= encoded.hospital_status != HOSPITAL_STATUS["EXEMPT"]
    return found


def _collect_read_operands(rules: Attributes) -> UInt64Array:
    """Return, for each class of principal diagnosis, the claim bits that its formula lists read."""
    book = rules.rulebook
    regions = np.uint64(book.trauma_mask)  # the body regions that decide multiple trauma
    searched = {PRE_MDC, *(int(mdc) for mdc in np.unique(book.reroute_mdc) if mdc)}
    words = book.list_claim_bits[book.list_of[np.arange(len(book.classes)), book.class_mdc]] | regions
    for mdc in sorted(searched):
        words = words | book.list_claim_bits[book.list_of[:, mdc]]
    return np.asarray(words, np.uint64)


def _compute_severity_bits(
    encoded: Encoded, rules: Attributes, row: Int64Array, codes: NDArray[np.int32]
) -> UInt64Array:
    """Return the severity bits of codes, (k,); 0 where the PDX or death excludes them."""
    diagnoses = rules.diagnoses
    bits = diagnoses.kind_severity_bits[diagnoses.kind[codes]]
    some = np.flatnonzero(bits)
    beside, code = encoded.pdx[row[some]], codes[some]
    bits[some] *= ~diagnoses.is_excluded(beside, np.arange(len(some)), code)
    dead = some[rules.died[encoded.status_place[row[some]]]]
    bits[dead] &= ~diagnoses.death_excluded
    return bits


def _compute_severity_places(
    encoded: Encoded, read_operands: UInt64Array, severe: Int64Array, bits: UInt64Array, diagnoses: Diagnoses
) -> NDArray[np.uint8]:
    """Return `Visibility.severity_place`; the diagnoses at `severe` have severity `bits`."""
    place = np.zeros(len(encoded.sdx), np.uint8)
    some = np.flatnonzero(bits)
    place[severe[some]] = _find_bit_place(bits[some]) + 1
    carries = np.flatnonzero((diagnoses.kind_claim_bits > 0)[diagnoses.kind[encoded.sdx]])
    claim = diagnoses.kind_claim_bits[diagnoses.kind[encoded.sdx[carries]]]
    place[carries[claim & read_operands[encoded.sdx_row[carries]] > 0]] = READ
    return place


def _find_twins(count: int, severe: Int64Array, row: Int64Array, bits: UInt64Array) -> BoolArray:
    """Return which diagnoses share their severity bit with another of the admission, (count,)."""
    some = np.flatnonzero(bits)
    key = row[some] * 64 + _find_bit_place(bits[some])
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(np.diff(key[order]) == 0)
    found = np.zeros(count, np.bool_)
    found[severe[some[order[same]]]] = True
    found[severe[some[order[same + 1]]]] = True
    return found


def _find_bit_place(bits: UInt64Array) -> NDArray[np.uint8]:
    """Return the place of the only bit that is set in each word."""
    return np.asarray(np.bitwise_count(bits - np.uint64(1)))
