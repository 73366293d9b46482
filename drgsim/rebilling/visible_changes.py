"""What the formulas can see of an edit: nothing, another severity, or more.

Most coding errors change no DRG, and many are known not to before anything is grouped: a procedure that no formula
searched for the claim looks at, a secondary diagnosis without operands whose severity another one keeps up. Others
change nothing but the severity the search starts from. What is told here is certain; everything else is grouped from
its codes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from drgsim.grouping.code_attributes import Attributes, Diagnoses
from drgsim.grouping.encoding import HOSPITAL_STATUS, POA_PRESENT, Encoded
from drgsim.grouping.hac import compile_hac_rules
from drgsim.grouping.rulebook import PRE_MDC
from drgsim.numerics.arrays import BoolArray, Int64Array, UInt64Array
from drgsim.numerics.segments import or_into
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges

_ENOUGH = 255
READ = 255
"""Stands for a code that a formula looks at, see `Sight.shown`."""
_BIT = np.array([0, *(1 << place for place in range(64)), *[0] * 191], np.uint64)

INVISIBLE, NO_EFFECT_ALONE, SEVERITY_ONLY, VISIBLE = range(4)
"""Nothing is seen, whatever other codes are left out beside it; nothing if made alone; severity alone; anything."""


@dataclass(frozen=True, eq=False)
class Visibility:
    """What decides whether an edit of a code can be seen, admissions (n,) and their secondary diagnoses (k,).

    `stable` admissions have nothing that looks at codes one by one: they are grouped without error, have no
    condition that may be hospital-acquired, and no principal diagnosis that asks for the `incident_pdx` it keeps.
    `count_matters` ones have a return code that tells one secondary diagnosis from several. `mdc` is that of the
    principal diagnosis; `names` are the operands that some formula searched for the admission looks at;
    `severity` is what the initial pass saw; `lasting_mccs` counts the MCCs that no rule suppresses. Of each secondary
    diagnosis, `shown` is the place of its severity bit and 1, 0 without severity, or READ where such a formula looks
    at an operand of it; `has_twin` says whether another of its admission has the very same severity.
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
        """Look at admissions once.

        Args:
            encoded: (n,) the admissions as they are.
            grouped: (n,) whether each is grouped without error.
            rules: the version.
        """
        diagnoses = rules.diagnoses
        severe = np.flatnonzero(diagnoses.kind[encoded.sdx] >= diagnoses.first_severe)
        row = encoded.sdx_row[severe].astype(np.int64)
        bits = _compute_severity_bits(encoded, rules, row, encoded.sdx[severe])
        severity = np.zeros(len(encoded), np.uint64)
        or_into(severity, row, bits)
        lasting_mccs = np.bincount(row[bits & diagnoses.lasting_mcc > 0], minlength=len(encoded))
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
        """Return what is seen of each edit, made alone, and the severity it leaves, (k,) each.

        The severity (a severity word) holds where nothing more than it is seen.
        """
        seen, severity = np.full(len(changes), VISIBLE, np.uint8), self.severity[changes.row]
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
            seen[which[hidden]] = INVISIBLE
        self._classify_sdx(changes, np.flatnonzero(of_sdx & stable), seen, severity)
        return seen, severity

    def _classify_sdx(
        self, changes: CodeChanges, which: Int64Array, seen: NDArray[np.uint8], severity: UInt64Array
    ) -> None:
        """Tell changes of secondary diagnoses on stable admissions by the severity that goes and comes."""
        row, after = changes.row[which], changes.after[which]
        own = np.flatnonzero(changes.kind[which] == ChangeKind.SDX)
        position, shown = np.zeros(len(which), np.int64), np.zeros(len(which), np.uint8)
        position[own] = self._encoded.sdx_start[row[own]] + changes.place[which[own]]
        shown[own] = self.severity_place[position[own]]
        unread, gained = self._read_sdx(row, after)
        unread &= shown != READ
        if self._encoded.poa is not None:  # a code put in another's place takes over what POA says of that
            replaced = own[after[own] > 0]
            acquired = self._rules.diagnoses.kind_hac[self._rules.diagnoses.kind[after[replaced]]]
            unread[replaced] &= ~acquired | (self._encoded.poa[position[replaced]] == POA_PRESENT)
        kept = np.flatnonzero(unread)
        which, row, position, gained = which[kept], row[kept], position[kept], gained[kept]
        lost = _BIT[shown[kept]]
        hidden = (lost | gained) == 0
        others = self.lasting_mccs[row] - (lost & self._rules.diagnoses.lasting_mcc > 0) > 0
        gone = np.flatnonzero(lost)
        lost[gone[self.has_twin[position[gone]]]] = 0
        left = (severity[which] & ~lost) | gained
        seen[which] = np.where(
            hidden, INVISIBLE, np.where((left == severity[which]) | others, NO_EFFECT_ALONE, SEVERITY_ONLY)
        )
        severity[which] = left

    def _read_sdx(self, row: Int64Array, codes: NDArray[np.int32]) -> tuple[BoolArray, UInt64Array]:
        """Return which diagnoses are unread, and the severity bits they bring; no code is unread and brings none."""
        unread, bits = np.ones(len(row), np.bool_), np.zeros(len(row), np.uint64)
        some = np.flatnonzero(codes)
        row, codes = row[some], codes[some]
        unread[some] = self._is_unread(row, codes)
        bits[some] = _compute_severity_bits(self._encoded, self._rules, row, codes)
        return unread, bits

    def _is_unread(self, row: Int64Array, codes: NDArray[np.int32]) -> BoolArray:
        """Return which diagnoses carry no operand that the formulas searched for their admission look at."""
        diagnoses = self._rules.diagnoses
        unread: BoolArray = (diagnoses.kind_claim[diagnoses.kind[codes]] & self.read_operands[row]) == 0
        return unread

    def _is_without_operands(self, row: Int64Array, codes: NDArray[np.int32]) -> BoolArray:
        """Return which diagnoses show nothing to any formula, nor spoil the incident_pdx of their admission's PDX."""
        diagnoses = self._rules.diagnoses
        spoils = self.incident_pdx[row] & diagnoses.valid[codes] & ~diagnoses.incident[codes]
        without: BoolArray = (diagnoses.kind[codes] == 0) & ~spoils
        return without

    def _is_unread_procedure(self, row: Int64Array, codes: NDArray[np.int32]) -> BoolArray:
        """Return which procedures show nothing, alone or together, to the formulas searched for their admission."""
        procedures = self._rules.procedures
        sets = procedures.operand_set[codes]
        shows = (procedures.claim[sets] & self.read_operands[row]) | procedures.seen(self.mdc[row], sets)
        of_conditions, elsewhere = _find_other_readers(self._rules)
        unread: BoolArray = (shows == 0) & ~elsewhere[codes] & (self.stable[row] | ~of_conditions[codes])
        return unread


@lru_cache(maxsize=16)
def _find_other_readers(rules: Attributes) -> tuple[BoolArray, BoolArray]:
    """Return what sees procedures beside pre-MDC and the MDC of the PDX, by codebook number.

    First, formulas of hospital-acquired conditions; second, MDCs that rows reroute to, and other procedures that
    one means something with.
    """
    procedures, book = rules.procedures, rules.rulebook
    of_conditions = compile_hac_rules(rules).procedure_word > 0
    rerouted = procedures.view[np.unique(book.reroute_mdc[book.reroute_mdc > 0])]
    elsewhere = np.bitwise_or.reduce(rerouted, axis=0) > 0
    sets = procedures.operand_set
    return of_conditions[sets], elsewhere[sets] | (procedures.part > 0)


def _find_possible_hacs(encoded: Encoded, rules: Attributes) -> BoolArray:
    """Return which admissions have a code of a hospital-acquired condition that was not present on admission."""
    acquired = rules.diagnoses.kind_hac[rules.diagnoses.kind[encoded.sdx]]
    if encoded.poa is not None:
        acquired &= encoded.poa != POA_PRESENT
    found: BoolArray = np.zeros(len(encoded), np.bool_)
    found[encoded.sdx_row[acquired]] = True
    found &= encoded.hospital_status != HOSPITAL_STATUS["EXEMPT"]
    return found


def _collect_read_operands(rules: Attributes) -> UInt64Array:
    """Return, for each class of principal diagnosis, the claim bits that any list it may be searched in looks at."""
    book = rules.rulebook
    regions = np.uint64(book.trauma_mask)  # what multiple trauma is told from
    searched = {PRE_MDC, *(int(mdc) for mdc in np.unique(book.reroute_mdc) if mdc)}
    words = book.list_claim[book.list_of[np.arange(len(book.classes)), book.class_mdc]] | regions
    for mdc in sorted(searched):
        words = words | book.list_claim[book.list_of[:, mdc]]
    return np.asarray(words, np.uint64)


def _compute_severity_bits(
    encoded: Encoded, rules: Attributes, row: Int64Array, codes: NDArray[np.int32]
) -> UInt64Array:
    """Return the severity bits of codes on admissions, 0 where the PDX or death excludes them."""
    diagnoses = rules.diagnoses
    bits = diagnoses.kind_severity[diagnoses.kind[codes]]
    some = np.flatnonzero(bits)
    beside, code = encoded.pdx[row[some]], codes[some]
    bits[some] *= ~diagnoses.excluded(beside, np.arange(len(some)), code)
    dead = some[rules.died[encoded.status_place[row[some]]]]
    bits[dead] &= ~diagnoses.death_excluded
    return bits


def _compute_severity_places(
    encoded: Encoded, read_operands: UInt64Array, severe: Int64Array, bits: UInt64Array, diagnoses: Diagnoses
) -> NDArray[np.uint8]:
    """Return `Sight.shown` of the secondary diagnoses, of which `severe` have severity `bits`."""
    shown = np.zeros(len(encoded.sdx), np.uint8)
    some = np.flatnonzero(bits)
    shown[severe[some]] = _find_bit_place(bits[some]) + 1
    carries = np.flatnonzero((diagnoses.kind_claim > 0)[diagnoses.kind[encoded.sdx]])
    claim = diagnoses.kind_claim[diagnoses.kind[encoded.sdx[carries]]]
    shown[carries[claim & read_operands[encoded.sdx_row[carries]] > 0]] = READ
    return shown


def _find_twins(count: int, severe: Int64Array, row: Int64Array, bits: UInt64Array) -> BoolArray:
    """Return which codes share their severity bits with another code of the admission, (count,)."""
    some = np.flatnonzero(bits)
    key = row[some] * 64 + _find_bit_place(bits[some])
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(np.diff(key[order]) == 0)
    found = np.zeros(count, np.bool_)
    found[severe[some[order[same]]]] = True
    found[severe[some[order[same + 1]]]] = True
    return found


def _find_bit_place(bits: UInt64Array) -> NDArray[np.uint8]:
    """Return the place of the one bit set in each word."""
    return np.asarray(np.bitwise_count(bits - np.uint64(1)))
