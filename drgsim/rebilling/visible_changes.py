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

from drgsim.grouping.bit_layout import PRE_MDC
from drgsim.grouping.code_attributes import Attributes, Diagnoses
from drgsim.grouping.encoding import HOSPITAL_STATUS, POA_PRESENT, Encoded
from drgsim.grouping.hac import compile_hac_rules
from drgsim.numerics.arrays import BoolArray, Int64Array, UInt64Array
from drgsim.numerics.segments import or_into
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges

_ENOUGH = 255
LOUD = 255
"""Stands for a code that a formula looks at, see `Sight.shown`."""
_BIT = np.array([0, *(1 << place for place in range(64)), *[0] * 191], np.uint64)

HIDDEN, UNSEEN, SEVERITY, SEEN = range(4)
"""Nothing is seen, whatever other codes are left out beside it; nothing if made alone; severity alone; anything."""


@dataclass(frozen=True, eq=False)
class Visibility:
    """What decides whether an edit of a code can be seen, admissions (n,) and their secondary diagnoses (k,).

    `settled` admissions have nothing that looks at codes one by one: they are grouped without error, have no
    condition that may be hospital-acquired, and no principal diagnosis that asks for the `company` it keeps.
    `counted` ones have a return code that tells one secondary diagnosis from several. `mdc` is that of the
    principal diagnosis; `names` are the operands that some formula searched for the admission looks at;
    `severity` is what the initial pass saw; `lasting` counts the MCCs that no rule suppresses. Of each secondary
    diagnosis, `shown` is the place of its severity bit and 1, 0 without severity, or LOUD where such a formula looks
    at an operand of it; `has_twin` says whether another of its admission has the very same severity.
    """

    settled: BoolArray
    company: BoolArray
    counted: BoolArray
    mdc: NDArray[np.uint8]
    names: UInt64Array
    severity: UInt64Array
    lasting: NDArray[np.uint8]
    shown: NDArray[np.uint8]
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
        bits = _effective(encoded, rules, row, encoded.sdx[severe])
        severity = np.zeros(len(encoded), np.uint64)
        or_into(severity, row, bits)
        lasting = np.bincount(row[bits & diagnoses.unsuppressible_mcc > 0], minlength=len(encoded))
        pdx_class = diagnoses.role_class[diagnoses.role[encoded.pdx], encoded.sex]
        names = _searched_names(rules)[pdx_class]
        acquired, company = _may_be_acquired(encoded, rules), rules.rulebook.class_incident[pdx_class]
        return cls(
            settled=grouped & ~company & ~acquired,
            company=company,
            counted=acquired & (encoded.hospital_status == HOSPITAL_STATUS["UNKNOWN"]),
            mdc=rules.rulebook.class_mdc[pdx_class],
            names=names,
            severity=severity,
            lasting=np.minimum(lasting, _ENOUGH).astype(np.uint8),
            shown=_shown(encoded, names, severe, bits, diagnoses),
            has_twin=_twins(len(encoded.sdx), severe, row, bits),
            _encoded=encoded,
            _rules=rules,
        )

    def of_edits(self, edits: CodeChanges) -> tuple[NDArray[np.uint8], UInt64Array]:
        """Return what is seen of each edit, made alone, and the severity it leaves, (k,) each.

        The severity (a severity word) holds where nothing more than it is seen.
        """
        seen, severity = np.full(len(edits), SEEN, np.uint8), self.severity[edits.row]
        of_sdx = (edits.kind == ChangeKind.SDX) | (edits.kind == ChangeKind.ADD_SDX)
        of_procedure = (edits.kind == ChangeKind.PROCEDURE) | (edits.kind == ChangeKind.ADD_PROCEDURE)
        settled = self.settled[edits.row]
        counts = self.counted[edits.row] & ((edits.kind == ChangeKind.ADD_SDX) | (edits.after == 0))
        for of_kind, is_hidden in (
            (of_procedure, self._is_silent_procedure),
            (of_sdx & ~settled & ~counts, self._is_bare),
        ):
            which = np.flatnonzero(of_kind)
            some = edits.take(which)
            hidden = is_hidden(some.row, some.before) & is_hidden(some.row, some.after)
            seen[which[hidden]] = HIDDEN
        self._weigh(edits, np.flatnonzero(of_sdx & settled), seen, severity)
        return seen, severity

    def _weigh(self, edits: CodeChanges, which: Int64Array, seen: NDArray[np.uint8], severity: UInt64Array) -> None:
        """Tell edits of secondary diagnoses on settled admissions by the severity that goes and comes."""
        row, after = edits.row[which], edits.after[which]
        own = np.flatnonzero(edits.kind[which] == ChangeKind.SDX)
        position, shown = np.zeros(len(which), np.int64), np.zeros(len(which), np.uint8)
        position[own] = self._encoded.sdx_start[row[own]] + edits.place[which[own]]
        shown[own] = self.shown[position[own]]
        silent, gained = self._told(row, after)
        silent &= shown != LOUD
        if self._encoded.poa is not None:  # a code put in another's place takes over what POA says of that
            replaced = own[after[own] > 0]
            acquired = self._rules.diagnoses.kind_hac[self._rules.diagnoses.kind[after[replaced]]]
            silent[replaced] &= ~acquired | (self._encoded.poa[position[replaced]] == POA_PRESENT)
        kept = np.flatnonzero(silent)
        which, row, position, gained = which[kept], row[kept], position[kept], gained[kept]
        lost = _BIT[shown[kept]]
        hidden = (lost | gained) == 0
        others = self.lasting[row] - (lost & self._rules.diagnoses.unsuppressible_mcc > 0) > 0
        gone = np.flatnonzero(lost)
        lost[gone[self.has_twin[position[gone]]]] = 0
        left = (severity[which] & ~lost) | gained
        seen[which] = np.where(hidden, HIDDEN, np.where((left == severity[which]) | others, UNSEEN, SEVERITY))
        severity[which] = left

    def _told(self, row: Int64Array, codes: NDArray[np.int32]) -> tuple[BoolArray, UInt64Array]:
        """Return which diagnoses are silent, and the severity bits they bring; no code is silent and brings none."""
        silent, bits = np.ones(len(row), np.bool_), np.zeros(len(row), np.uint64)
        some = np.flatnonzero(codes)
        row, codes = row[some], codes[some]
        silent[some] = self._is_silent(row, codes)
        bits[some] = _effective(self._encoded, self._rules, row, codes)
        return silent, bits

    def _is_silent(self, row: Int64Array, codes: NDArray[np.int32]) -> BoolArray:
        """Return which diagnoses carry no operand that the formulas searched for their admission look at."""
        diagnoses = self._rules.diagnoses
        silent: BoolArray = (diagnoses.kind_claim_bits[diagnoses.kind[codes]] & self.names[row]) == 0
        return silent

    def _is_bare(self, row: Int64Array, codes: NDArray[np.int32]) -> BoolArray:
        """Return which diagnoses show nothing to any formula, nor spoil the company of their admission's PDX."""
        diagnoses = self._rules.diagnoses
        spoils = self.company[row] & diagnoses.valid[codes] & ~diagnoses.incident[codes]
        bare: BoolArray = (diagnoses.kind[codes] == 0) & ~spoils
        return bare

    def _is_silent_procedure(self, row: Int64Array, codes: NDArray[np.int32]) -> BoolArray:
        """Return which procedures show nothing, alone or together, to the formulas searched for their admission."""
        procedures = self._rules.procedures
        sets = procedures.operand_set[codes]
        shows = (procedures.claim_bits[sets] & self.names[row]) | procedures.take_mdc_bits(self.mdc[row], sets)
        of_conditions, elsewhere = _seen_beyond(self._rules)
        silent: BoolArray = (shows == 0) & ~elsewhere[codes] & (self.settled[row] | ~of_conditions[codes])
        return silent


@lru_cache(maxsize=16)
def _seen_beyond(rules: Attributes) -> tuple[BoolArray, BoolArray]:
    """Return what sees procedures beside pre-MDC and the MDC of the PDX, by codebook number.

    First, formulas of hospital-acquired conditions; second, MDCs that rows reroute to, and other procedures that
    one means something with.
    """
    procedures, book = rules.procedures, rules.rulebook
    of_conditions = compile_hac_rules(rules).procedure_word > 0
    rerouted = procedures.mdc_bits[np.unique(book.reroute_mdc[book.reroute_mdc > 0])]
    elsewhere = np.bitwise_or.reduce(rerouted, axis=0) > 0
    sets = procedures.operand_set
    return of_conditions[sets], elsewhere[sets] | (procedures.combines > 0)


def _may_be_acquired(encoded: Encoded, rules: Attributes) -> BoolArray:
    """Return which admissions have a code of a hospital-acquired condition that was not present on admission."""
    acquired = rules.diagnoses.kind_hac[rules.diagnoses.kind[encoded.sdx]]
    if encoded.poa is not None:
        acquired &= encoded.poa != POA_PRESENT
    found: BoolArray = np.zeros(len(encoded), np.bool_)
    found[encoded.sdx_row[acquired]] = True
    found &= encoded.hospital_status != HOSPITAL_STATUS["EXEMPT"]
    return found


def _searched_names(rules: Attributes) -> UInt64Array:
    """Return, for each class of principal diagnosis, the claim bits that any list it may be searched in looks at."""
    book = rules.rulebook
    regions = np.uint64(book.trauma_mask)  # what multiple trauma is told from
    searched = {PRE_MDC, *(int(mdc) for mdc in np.unique(book.reroute_mdc) if mdc)}
    words = book.list_claim_bits[book.list_of[np.arange(len(book.classes)), book.class_mdc]] | regions
    for mdc in sorted(searched):
        words = words | book.list_claim_bits[book.list_of[:, mdc]]
    return np.asarray(words, np.uint64)


def _effective(encoded: Encoded, rules: Attributes, row: Int64Array, codes: NDArray[np.int32]) -> UInt64Array:
    """Return the severity bits of codes on admissions, 0 where the PDX or death excludes them."""
    diagnoses = rules.diagnoses
    bits = diagnoses.kind_severity_bits[diagnoses.kind[codes]]
    some = np.flatnonzero(bits)
    beside, code = encoded.pdx[row[some]], codes[some]
    bits[some] *= ~diagnoses.is_excluded(beside, np.arange(len(some)), code)
    dead = some[rules.died[encoded.status_place[row[some]]]]
    bits[dead] &= ~diagnoses.death_excluded
    return bits


def _shown(
    encoded: Encoded, names: UInt64Array, severe: Int64Array, bits: UInt64Array, diagnoses: Diagnoses
) -> NDArray[np.uint8]:
    """Return `Sight.shown` of the secondary diagnoses, of which `severe` have severity `bits`."""
    shown = np.zeros(len(encoded.sdx), np.uint8)
    some = np.flatnonzero(bits)
    shown[severe[some]] = _place(bits[some]) + 1
    carries = np.flatnonzero((diagnoses.kind_claim_bits > 0)[diagnoses.kind[encoded.sdx]])
    claim = diagnoses.kind_claim_bits[diagnoses.kind[encoded.sdx[carries]]]
    shown[carries[claim & names[encoded.sdx_row[carries]] > 0]] = LOUD
    return shown


def _twins(count: int, severe: Int64Array, row: Int64Array, bits: UInt64Array) -> BoolArray:
    """Return which codes share their severity bits with another code of the admission, (count,)."""
    some = np.flatnonzero(bits)
    key = row[some] * 64 + _place(bits[some])
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(np.diff(key[order]) == 0)
    found = np.zeros(count, np.bool_)
    found[severe[some[order[same]]]] = True
    found[severe[some[order[same + 1]]]] = True
    return found


def _place(bits: UInt64Array) -> NDArray[np.uint8]:
    """Return the place of the one bit set in each word."""
    return np.asarray(np.bitwise_count(bits - np.uint64(1)))
